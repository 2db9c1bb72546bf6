"""Names and artefacts that tie a text to an incident: a gazetteer made from the incidents, matched in one pass over the texts.

Links rest on what is rare (METHOD, stage C): a shared organisation, malware family, CVE or domain. Three rules keep chance out:

- States are no entities: "Ukraine" ties everything to everything. Generic words of the field ("attack", "ministry") are none either.
- A single word is a name only where it is written as one. Its capitalised share is measured over the very texts that it is looked
  for in: below `CAPITAL_SHARE` the word is dropped, below `CAPITAL_CLEAR` only capitalised uses count (Target, Bear, Shadow).
- Artefacts (CVE, domain, URL, hash) are compared in one spelling, after refanging (``hxxp``, ``[.]``); hosting platforms and link
  shorteners identify nobody.

Matching is one dictionary look-up a word: n-grams of folded words, longest first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from greyzone.places import find_states, state_code
from greyzone.records import ENTITY_KINDS
from greyzone.text import fold, stopwords, words
from greyzone.urls import PLATFORMS

CAPITAL_SHARE = 0.5
CAPITAL_CLEAR = 0.9
FEW_USES = 5
"""Below this many texts the share of capitals says nothing and a single word is kept."""

NAME_SHARE = 0.02
"""A word in the names of more than this share of incidents (and of more than three) is a word of the field, no name."""

ARTEFACTS = ("cve", "domain", "url", "hash")
_GENERIC = (
    "access account accounts activists actor actors adversary africa african agencies agency airport america american anonymous app "
    "apps april apt arab army asia asian attack attacked attackers attacks august authorities authority backdoor bank banks botnet "
    "breach breached campaign campaigns center central centre city cloud committee companies company compromise computer computers "
    "council country court credentials crime criminal critical cyber cyberattack cyberattacks cybersecurity data database ddos "
    "december deface defaced defacement defence defense denial department device devices digital diplomats disruption distributed "
    "documents dos doxing east eastern election elections electoral email emails embassy employees energy espionage europe european "
    "exploit exploited exposed february federal file files finance financial firm firms flaw forces foreign friday global government "
    "governmental governments group groups hack hacked hacker hackers hacking hacks health hijack hijacking hospital hospitals "
    "incident incidents industry info information infrastructure institute institutions intelligence internet intrusion ip islamic "
    "january july june known leak leaked leaks local login mail mails malware march may media members military minister ministries "
    "ministry misuse mobile monday multiple national network networks new news north northern november october office officials "
    "online operation operations organisation organisations organization organizations page pages parliament party password passwords "
    "penetrated penetration personal phishing police political power president private public ransomware regional registration report "
    "republic saturday secret sector sectors security september server servers service services site sites social software south "
    "southern spear spearphishing spy spying spyware state state-sponsored states steal steals stolen sunday system systems target "
    "targeted targeting targets tech technology telecom telecommunication theft threat thursday trojan tuesday twitter union united "
    "university unknown user users various version virus vs vulnerability water web website websites wednesday west western wiper "
    "world worm"
)
GENERIC = frozenset(_GENERIC.split())

_PARTS = re.compile(r"[/;|()\[\],]|\s+aka\s+|\s+-\s+")
_TOKEN = re.compile(r"[^\W_]+")
_TAG = re.compile(r"#(\w+)")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=[0-9]{2})")
_CVE = re.compile(r"\bCVE-(?:19|20)\d\d-\d{4,7}\b", re.IGNORECASE)
_HASH = re.compile(r"(?<![0-9a-zA-Z])(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{40}|[0-9a-fA-F]{32})(?![0-9a-zA-Z])")
_URL = re.compile(r"\bhttps?://[^\s<>\"'\])}]{3,2000}", re.IGNORECASE)
_DOMAIN = re.compile(r"(?<![\w@.-])(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,5}[a-z]{2,24}(?![\w-])", re.IGNORECASE)
_DOT = re.compile(r"\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)", re.IGNORECASE)
_SCHEME = re.compile(r"\bh(?:xx|tt|XX)p(s?)(?:\[:\]|:)//", re.IGNORECASE)


class Entity(NamedTuple):
    """A kind (`records.ENTITY_KINDS`, or "name" for a distinctive word of an incident's name) and its value as displayed."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Gazetteer:
    """Entities of a table of incidents and how they are spelt.

    Attributes
    ----------
    entities
        Sorted by kind and value.
    surfaces
        Folded words joined by a blank, or the one spelling of an artefact, to indices into `entities`.
    starts
        First word of every surface to the length in words of the longest that starts so.
    incident_rows, incident_entities
        int64 pairs (row of the table of incidents, index into `entities`), sorted, without repeats.
    """

    entities: tuple[Entity, ...]
    surfaces: Mapping[str, tuple[int, ...]]
    starts: Mapping[str, int]
    incident_rows: npt.NDArray[np.int64]
    incident_entities: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Mentions:
    """int64 pairs (row of the texts, index into the gazetteer's entities), sorted, without repeats; `dropped` are common words."""

    rows: npt.NDArray[np.int64]
    entities: npt.NDArray[np.int64]
    dropped: tuple[str, ...]


def refang(text: str) -> str:
    """Return `text` with defanged addresses restored: ``hxxp://a[.]b`` becomes ``http://a.b``."""
    if "[" not in text and "(" not in text and "{" not in text and "xx" not in text.lower():
        return text
    return _SCHEME.sub(r"http\1://", _DOT.sub(".", text))


def find_artefacts(text: str) -> list[Entity]:
    """Return the CVE ids, hashes, URLs and domains of a text, each in its one spelling, sorted, without repeats.

    Domains include those of the URLs and their parent domains (``a.b.org`` also gives ``b.org``), without `PLATFORMS`.
    """
    return sorted({Entity(kind, value) for kind, value in _artefacts(refang(text))})


def build_gazetteer(incidents: pa.Table) -> Gazetteer:
    """Make the gazetteer of a table of incidents.

    Parameters
    ----------
    incidents
        Table of `records.INCIDENTS`: entities, actors and the distinctive words of each name are taken.

    Returns
    -------
    Gazetteer
        The same, whatever the order of the rows, but for `incident_rows`.
    """
    rows = incidents.select(["name", "description", "entities", "actors"]).to_pylist()
    known = _named(rows)
    taken: dict[tuple[str, str], set[str]] = {}
    pairs: set[tuple[int, tuple[str, str]]] = set()
    for row, entities in enumerate(known):
        for entity in entities:
            for surface in _surfaces(entity):
                key = (entity.kind, surface)
                taken.setdefault(key, set()).add(entity.value)
                pairs.add((row, key))
    kinds: dict[str, list[str]] = {}
    inside: dict[int, set[str]] = {}
    for kind, surface in sorted(taken):
        kinds.setdefault(surface, []).append(kind)
    for row, (_, surface) in pairs:
        inside.setdefault(row, set()).update(surface.split() if " " in surface else ())
    for row, surface, value in _name_words(rows):
        if surface not in inside.get(row, ()):
            key = (kinds.get(surface, ["name"])[0], surface)
            taken.setdefault(key, set()).add(value)
            pairs.add((row, key))
    return _assemble(taken, pairs)


def find_entities(texts: Sequence[str], gazetteer: Gazetteer) -> Mentions:
    """Find the gazetteer's entities in texts, one pass, one dictionary look-up a word.

    Parameters
    ----------
    texts
        Texts with their addresses and hashtags (``#DNCLeak`` is read as two words).
    gazetteer
        What to look for.

    Returns
    -------
    Mentions
        Sorted pairs. Single words that these texts use mostly in lower case are left out and named in `dropped`.
    """
    hits: list[tuple[int, str]] = []
    for row, text in enumerate(texts):
        hits += ((row, surface) for surface in sorted(_matches(text, gazetteer)))
    hits, dropped = _written_as_names(texts, hits)
    pairs = sorted({(row, entity) for row, surface in hits for entity in gazetteer.surfaces[surface]})
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Mentions(table[:, 0].copy(), table[:, 1].copy(), tuple(dropped))


def _named(rows: Sequence[Mapping[str, object]]) -> list[list[Entity]]:
    found: list[list[Entity]] = []
    for row in rows:
        entities = [
            Entity(_kind(str(item["kind"])), str(item["value"])) for item in _structs(row["entities"]) if item["kind"] and item["value"]
        ]
        entities += [Entity("actor", str(item["name"])) for item in _structs(row["actors"]) if item["name"]]
        found.append(entities)
    return found


def _kind(kind: str) -> str:
    return kind if kind in ENTITY_KINDS else "name"


def _structs(value: object) -> list[dict[str, object]]:
    return value if isinstance(value, list) else []


def _surfaces(entity: Entity) -> list[str]:
    kind, value = entity
    if kind in ARTEFACTS:
        spelt = {"cve": value.upper(), "hash": value.lower()}.get(kind) or _address(refang(value), kind)
        return [] if not spelt or spelt in PLATFORMS else [f"{kind} {spelt}"]
    found: dict[str, None] = {}
    for part in _PARTS.split(value):
        folded = [fold(word) for word in words(part)]
        if not folded or _is_state(part) or not any(_tells(word) for word in folded):
            continue
        if len(folded) == 1 and (len(folded[0]) < 3 or folded[0] in GENERIC or folded[0].isdigit()):
            continue
        found[" ".join(folded)] = None
    return list(found)


def _is_state(name: str) -> bool:
    bare = name.strip()
    if len(bare) <= 3:
        return bool(find_states(bare))
    return state_code(bare) is not None


def _tells(word: str) -> bool:
    return word not in GENERIC and word not in _folded_stopwords()


@cache
def _folded_stopwords() -> frozenset[str]:
    return frozenset(fold(word) for word in stopwords("und"))


def _name_words(rows: Sequence[Mapping[str, object]]) -> Iterator[tuple[int, str, str]]:
    """Yield (row, folded word, word as written) for the distinctive words of the incidents' names."""
    in_names: Counter[str] = Counter()
    lower: Counter[str] = Counter()
    upper: Counter[str] = Counter()
    tokens = [_TOKEN.findall(str(row["name"] or "")) for row in rows]
    for row, name in zip(rows, tokens, strict=True):
        in_names.update({fold(token) for token in name})
        for token in _TOKEN.findall(str(row["description"] or "")):
            (lower if token[0].islower() else upper)[fold(token)] += 1
    most = max(3, int(NAME_SHARE * len(rows)))
    for at, name in enumerate(tokens):
        for token in dict.fromkeys(name):
            word = fold(token)
            short = len(word) < 4 and not (token.isupper() and len(word) == 3)
            if short or not token[0].isupper() or word.isdigit() or not _tells(word) or in_names[word] > most or lower[word] > upper[word]:
                continue
            if find_states(token) or (len(word) > 3 and state_code(token) is not None):
                continue
            yield at, word, token


def _assemble(taken: Mapping[tuple[str, str], set[str]], pairs: set[tuple[int, tuple[str, str]]]) -> Gazetteer:
    entities = {key: Entity(key[0], min(values)) for key, values in taken.items()}
    order = sorted(set(entities.values()))
    index = {entity: at for at, entity in enumerate(order)}
    surfaces: dict[str, set[int]] = {}
    for key, entity in entities.items():
        surfaces.setdefault(key[1], set()).add(index[entity])
    starts: dict[str, int] = {}
    for surface in surfaces:
        parts = surface.split()
        starts[parts[0]] = max(starts.get(parts[0], 0), len(parts))
    linked = sorted({(row, index[entities[key]]) for row, key in pairs})
    table = np.array(linked, dtype=np.int64).reshape(-1, 2)
    ordered = {surface: tuple(sorted(surfaces[surface])) for surface in sorted(surfaces)}
    return Gazetteer(tuple(order), ordered, starts, table[:, 0].copy(), table[:, 1].copy())


def _matches(text: str, gazetteer: Gazetteer) -> set[str]:
    surfaces, starts = gazetteer.surfaces, gazetteer.starts
    spaced = _TAG.sub(lambda tag: " " + _CAMEL.sub(" ", tag[1]) + " " + tag[1] + " ", text) if "#" in text else text
    folded = [fold(word) for word in words(spaced)]
    found: set[str] = set()
    for at, word in enumerate(folded):
        for length in range(starts.get(word, 0), 0, -1):
            candidate = " ".join(folded[at : at + length])
            if candidate in surfaces:
                found.add(candidate)
                break
    if any(kind in starts for kind in ARTEFACTS):
        found.update(surface for kind, value in _artefacts(refang(text)) if (surface := f"{kind} {value}") in surfaces)
    return found


def _written_as_names(texts: Sequence[str], hits: list[tuple[int, str]]) -> tuple[list[tuple[int, str]], list[str]]:
    """Keep the single words that the texts capitalise; scripts without case count as capitalised."""
    by_word: dict[str, list[tuple[int, bool]]] = {}
    for row, surface in hits:
        if " " not in surface:
            by_word.setdefault(surface, []).append((row, _capitalised(texts[row], surface)))
    lost: set[tuple[int, str]] = set()
    dropped: list[str] = []
    for word in sorted(by_word):
        uses = by_word[word]
        share = sum(capital for _, capital in uses) / len(uses)
        if len(uses) < FEW_USES or share >= CAPITAL_CLEAR:
            continue
        if share < CAPITAL_SHARE:
            dropped.append(word)
        lost.update((row, word) for row, capital in uses if share < CAPITAL_SHARE or not capital)
    return [hit for hit in hits if hit not in lost], dropped


def _capitalised(text: str, word: str) -> bool:
    return any(
        not part[0].islower()
        for token in _TOKEN.findall(text)
        for part in (token, *_CAMEL.split(token))
        if part and len(part) <= 3 * len(word) + 3 and fold(part.lower()) == word
    )


def _artefacts(text: str) -> Iterator[tuple[str, str]]:
    for match in _CVE.findall(text):
        yield "cve", match.upper()
    for match in _HASH.findall(text):
        yield "hash", match.lower()
    if "." not in text:
        return
    for match in _URL.findall(text):
        yield "url", _address(match, "url")
    for match in _DOMAIN.findall(text):
        labels = _address(match, "domain").split(".")
        for start in range(len(labels) - 1):
            if (domain := ".".join(labels[start:])) not in PLATFORMS:
                yield "domain", domain


def _address(value: str, kind: str) -> str:
    """Return the one spelling of a URL (no scheme, ``www.``, fragment or final slash) or of a domain."""
    bare = re.sub(r"^https?://", "", value.strip(), flags=re.IGNORECASE).split("#")[0].rstrip("/.,;:!?…")
    host, slash, path = bare.partition("/")
    host = host.lower().removeprefix("www.")
    return host if kind == "domain" else host + slash + path
