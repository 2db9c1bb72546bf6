"""What to look for: the entities of a table of incidents and of tables of names, and all the ways in which they are spelt.

Links rest on what is rare (METHOD, stage C): a shared organisation, malware family, CVE or domain. States are no entities there:
"Ukraine" ties everything to everything; generic words of the field ("attack", "ministry") are none either. States and sectors can be
asked for by themselves (`areas`), for describing a document.

Aliases: an entity of an incident that a table of names knows by any of its names becomes the table's entity, so that "Sofacy" in a text
meets "Fancy Bear" in an incident. Two tables' entities are one if their kinds and main names agree; an alias of several is all.

Measured beside: the words of the field (in the descriptions of `FIELD_SHARE` of the incidents and names, and `FIELD_RATIO` times as often
as the word frequencies of general language allow), and the names that these descriptions also write in lower case.
"""

from __future__ import annotations

import json
import lzma
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pycountry

from greyzone.entities.artefacts import ARTEFACTS, spelling
from greyzone.entities.automaton import Automaton, build_automaton
from greyzone.entities.generic import GENERIC
from greyzone.entities.tables import Name
from greyzone.entities.tokens import has_case, stems
from greyzone.places import find_states, state_code, state_name
from greyzone.records import ENTITY_KINDS
from greyzone.text import fold, stopwords, words

NAME_SHARE = 0.02
"""A word in the names of more than this share of incidents (and of more than three) is a word of the field, no name."""

FIELD_SHARE = 0.02
FIELD_RATIO = 30.0
FEWEST_DESCRIPTIONS = 50
"""With fewer descriptions than this no words of the field are measured; then only other entities keep an ambiguous name company."""

AREAS = ("place", "sector")
"""Kinds that are words of a language rather than names: nothing is asked of how they are written."""

_PARTS = re.compile(r"[/;|()\[\],]|\s+aka\s+|\s+-\s+")
_TOKEN = re.compile(r"[^\W_]+")
_NUMBERED = re.compile(r"([^\W\d_]{2,})(\d{1,5})")


class Entity(NamedTuple):
    """A kind (`records.ENTITY_KINDS`, "sector", or "name" for a distinctive word of an incident's name) and its value as displayed."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Gazetteer:
    """Entities and how they are spelt.

    Attributes
    ----------
    entities
        Sorted by kind and value.
    surfaces
        Folded words joined by a blank, or kind and one spelling of an artefact, to indices into `entities`.
    acronyms
        Surfaces that are written in capitals wherever they come from (DNC, WHO).
    field
        Folded words of the field, measured.
    ordinary
        Surfaces that are words of a language besides, by the word frequencies or by their use in descriptions; several words in a script
        without case are none.
    joined
        Letters of a surface of several words without blanks, as hashtags have them, to the surface.
    automaton, vocabulary, stemmed
        The surfaces' machine, the words it knows, and those without their last vowel (`tokens.stems`).
    incident_rows, incident_entities
        int64 pairs (row of the table of incidents, index into `entities`), sorted, without repeats.
    """

    entities: tuple[Entity, ...]
    surfaces: Mapping[str, tuple[int, ...]]
    acronyms: frozenset[str]
    field: frozenset[str]
    ordinary: frozenset[str]
    joined: Mapping[str, str]
    automaton: Automaton
    vocabulary: frozenset[str]
    stemmed: Mapping[str, str]
    incident_rows: npt.NDArray[np.int64]
    incident_entities: npt.NDArray[np.int64]


def build_gazetteer(incidents: pa.Table, names: Sequence[Name] = (), *, areas: bool = False) -> Gazetteer:
    """Make the gazetteer of a table of incidents and of names with aliases.

    Parameters
    ----------
    incidents
        Table of `records.INCIDENTS`: entities, actors and the distinctive words of all names are taken.
    names
        As `tables.read_names` gives them, of several tables if need be.
    areas
        Whether target states and sectors are entities too; not for links.

    Returns
    -------
    Gazetteer
        The same, whatever the order of the rows and names, but for `incident_rows`.
    """
    rows = incidents.select(["name", "names", "description", "entities", "actors", "target_state", "sectors"]).to_pylist()
    found = _Found()
    _add_names(found, names)
    aliases = {surface: tuple(sorted(entities)) for surface, entities in found.surfaces.items()}
    for row, listed in enumerate(_named(rows)):
        for entity in listed:
            for surface, written in _surfaces(entity):
                found.add(row, surface, written, entity, aliases)
    found.settle()
    _add_name_words(found, rows, aliases)
    if areas:
        _add_areas(found, rows)
    return _assemble(found, [str(row["description"] or "") for row in rows] + [name.description for name in names])


class _Found:
    """What building gathers: surface to entities and to spellings, and who has them."""

    def __init__(self) -> None:
        self.surfaces: dict[str, set[Entity]] = {}
        self.written: dict[str, set[str]] = {}
        self.pairs: set[tuple[int, Entity]] = set()
        self.inside: dict[int, set[str]] = {}
        self._values: dict[tuple[str, str], set[str]] = {}
        self._rows: set[tuple[int, tuple[str, str]]] = set()

    def add(self, row: int, surface: str, written: str, entity: Entity, aliases: Mapping[str, Sequence[Entity]]) -> None:
        """Take a spelling of an incident's entity, as the entity that the tables know under it where they do."""
        self.written.setdefault(surface, set()).add(written)
        self.inside.setdefault(row, set()).update(surface.split() if " " in surface else ())
        if known := aliases.get(surface):
            self.pairs.update((row, one) for one in known)
            return
        key = (entity.kind, surface)
        self._values.setdefault(key, set()).add(entity.value)
        self._rows.add((row, key))

    def settle(self) -> None:
        """Give every (kind, surface) of incidents its entity: the least of the values that have it."""
        for (kind, surface), values in self._values.items():
            self.surfaces.setdefault(surface, set()).add(Entity(kind, min(values)))
        self.pairs.update((row, Entity(kind, min(self._values[kind, surface]))) for row, (kind, surface) in self._rows)


def _add_names(found: _Found, names: Sequence[Name]) -> None:
    main: dict[tuple[str, str], set[str]] = {}
    spelt = [[_surfaces(Entity(name.kind, value)) for value in (name.value, *name.aliases)] for name in names]
    keys = [(name.kind, " ".join(fold(word) for word in words(name.value))) for name in names]
    for name, key in zip(names, keys, strict=True):
        main.setdefault(key, set()).add(name.value)
    for key, listed in zip(keys, spelt, strict=True):
        for surface, written in (pair for pairs in listed for pair in pairs):
            found.surfaces.setdefault(surface, set()).add(Entity(key[0], min(main[key])))
            found.written.setdefault(surface, set()).add(written)


def _add_name_words(found: _Found, rows: Sequence[Mapping[str, object]], aliases: Mapping[str, Sequence[Entity]]) -> None:
    """Add the distinctive words of names; a word that is an entity elsewhere is that entity."""
    spelt: dict[str, set[str]] = {}
    listed = [(row, word, token) for row, word, token in _name_words(rows) if word not in found.inside.get(row, ())]
    known = {word: min(found.surfaces[word]) for _, word, _ in listed if word in found.surfaces}
    for _, word, token in listed:
        spelt.setdefault(word, set()).add(token)
        found.written.setdefault(word, set()).add(token)
    for row, word, _ in listed:
        entity = known.get(word) or Entity("name", min(spelt[word]))
        found.surfaces.setdefault(word, set()).add(entity)
        found.pairs.update((row, one) for one in aliases.get(word, (entity,)))


def _add_areas(found: _Found, rows: Sequence[Mapping[str, object]]) -> None:
    for at, row in enumerate(rows):
        entities = []
        if row["target_state"]:
            code = str(row["target_state"])
            entities.append((Entity("place", code), [state_name(code)]))
        listed = row["sectors"] if isinstance(row["sectors"], list) else []
        entities += [(Entity("sector", str(sector)), [part for part in _PARTS.split(str(sector)) if part.strip()]) for sector in listed]
        for entity, spellings in entities:
            for part in spellings:
                surface = " ".join(fold(word) for word in words(part))
                if surface and surface not in _folded_stopwords() and surface not in ("other", "unknown", "none", "not available"):
                    found.surfaces.setdefault(surface, set()).add(entity)
                    found.written.setdefault(surface, set()).add(part.strip())
                    found.pairs.add((at, entity))


def _others(row: Mapping[str, object]) -> list[str]:
    """Return the names under which other reports tell an incident."""
    names = row["names"] if isinstance(row["names"], list) else []
    return [str(name) for name in names if name != row["name"]]


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


def _surfaces(entity: Entity) -> list[tuple[str, str]]:
    """Return the surfaces of an entity's value with each as written; "APT28" is also spelt "APT 28"."""
    kind, value = entity
    if kind in ARTEFACTS:
        spelt = spelling(kind, value)
        return [(f"{kind} {spelt}", value)] if spelt else []
    found: dict[str, str] = {}
    for at, part in enumerate(_PARTS.split(value)):
        folded = [fold(word) for word in words(part)]
        # "Waynesboro, Virginia": where something is is no name of it.
        if at and " ".join(folded) in _regions():
            continue
        if not folded or _is_state(part) or not any(_tells(word) for word in folded):
            continue
        if len(folded) == 1 and (len(folded[0]) < 3 or folded[0] in GENERIC or folded[0].isdigit()):
            continue
        found[" ".join(folded)] = part.strip()
        if len(folded) == 1 and (match := _NUMBERED.fullmatch(folded[0])) and match[1] not in _folded_stopwords():
            found[f"{match[1]} {match[2]}"] = part.strip()
        elif len(folded) == 2 and folded[1].isdigit() and folded[0].isalpha() and len(folded[0]) <= 3 and len(folded[1]) <= 5:
            found["".join(folded)] = part.strip()
    return list(found.items())


def _is_state(name: str) -> bool:
    bare = name.strip()
    if len(bare) <= 3:
        return bool(find_states(bare))
    return state_code(bare) is not None


def _tells(word: str) -> bool:
    return word not in GENERIC and word not in _folded_stopwords()


@cache
def _regions() -> frozenset[str]:
    """Return the folded names of the states' subdivisions (ISO 3166-2)."""
    return frozenset(" ".join(fold(word) for word in words(region.name)) for region in pycountry.subdivisions)


@cache
def _folded_stopwords() -> frozenset[str]:
    return frozenset(fold(word) for word in stopwords("und"))


@cache
def general_words() -> Mapping[str, float]:
    """Return the folded words of general language with their largest frequency in one (models/data/README.md says where they are from)."""
    stored = json.loads(lzma.decompress(resources.files("greyzone.models").joinpath("data", "word_frequencies.json.xz").read_bytes()))
    shares: dict[str, float] = {}
    for table in stored["languages"].values():
        levels = np.cumsum(table["level_steps"]).tolist()
        for word, level in zip(table["words"].split(" "), levels, strict=True):
            shares[fold(word)] = max(shares.get(fold(word), 0.0), 10.0 ** (-level / 100))
    return shares


def _name_words(rows: Sequence[Mapping[str, object]]) -> Iterator[tuple[int, str, str]]:
    """Yield (row, folded word, word as written) for the distinctive words of the incidents' names."""
    in_names: Counter[str] = Counter()
    lower: Counter[str] = Counter()
    upper: Counter[str] = Counter()
    listed = [_TOKEN.findall(" | ".join([str(row["name"] or ""), *_others(row)])) for row in rows]
    for row, name in zip(rows, listed, strict=True):
        in_names.update({fold(token) for token in name})
        for token in _TOKEN.findall(str(row["description"] or "")):
            (lower if token[0].islower() else upper)[fold(token)] += 1
    most = max(3, int(NAME_SHARE * len(rows)))
    for at, name in enumerate(listed):
        for token in dict.fromkeys(name):
            word = fold(token)
            short = len(word) < 4 and not (token.isupper() and len(word) == 3)
            if short or not token[0].isupper() or word.isdigit() or not _tells(word) or in_names[word] > most or lower[word] > upper[word]:
                continue
            if find_states(token) or (len(word) > 3 and state_code(token) is not None):
                continue
            yield at, word, token


def _assemble(found: _Found, descriptions: Sequence[str]) -> Gazetteer:
    order = tuple(sorted({entity for entities in found.surfaces.values() for entity in entities}))
    index = {entity: at for at, entity in enumerate(order)}
    surfaces = {surface: tuple(sorted(index[entity] for entity in found.surfaces[surface])) for surface in sorted(found.surfaces)}
    names = [surface for surface in surfaces if not all(order[at].kind in ARTEFACTS for at in surfaces[surface])]
    field, lower = _described(descriptions)
    linked = sorted({(row, index[entity]) for row, entity in found.pairs if entity in index})
    table = np.array(linked, dtype=np.int64).reshape(-1, 2)
    vocabulary = frozenset(word for name in names for word in name.split())
    return Gazetteer(
        order,
        surfaces,
        frozenset(name for name in names if all(_acronym(written) for written in found.written[name])),
        field,
        frozenset(
            name
            for name in names
            if not _is_uncased_phrase(found.written[name]) and all(word in general_words() or lower[word] > 1 for word in name.split())
        ),
        {name.replace(" ", ""): name for name in reversed(names) if " " in name},
        build_automaton(name.split() for name in names),
        vocabulary,
        stems(vocabulary),
        table[:, 0].copy(),
        table[:, 1].copy(),
    )


def _acronym(written: str) -> bool:
    letters = [sign for sign in written if sign.isalpha()]
    return 2 <= len(letters) <= 5 and written.upper() == written and written.lower() != written


def _is_uncased_phrase(spellings: Iterable[str]) -> bool:
    """Tell whether a name is several words without case: no capital will ever support it, and its words in this order are seldom chance."""
    return all(" " in written and not has_case(written) for written in spellings)


def _described(descriptions: Sequence[str]) -> tuple[frozenset[str], Counter[str]]:
    """Return the words of the field, and in how many descriptions a word is written in lower case."""
    lower: Counter[str] = Counter()
    texts: Counter[str] = Counter()
    uses: Counter[str] = Counter()
    distinct = sorted(set(filter(None, descriptions)))
    for text in distinct:
        tokens = _TOKEN.findall(text)
        lower.update({fold(token) for token in tokens if token.islower() and has_case(token)})
        folded = [fold(token) for token in tokens]
        texts.update(set(folded))
        uses.update(folded)
    if len(distinct) < FEWEST_DESCRIPTIONS:
        return frozenset(), lower
    total = sum(uses.values())
    rarest = min(general_words().values())
    field = {
        word
        for word, count in texts.items()
        if count >= FIELD_SHARE * len(distinct)
        and uses[word] / total >= FIELD_RATIO * general_words().get(word, rarest)
        and len(word) > 2
        and lower[word] > count / 2
        and _is_word(word)
    }
    return frozenset(field), lower


def _is_word(word: str) -> bool:
    return word.isalpha() and word not in _folded_stopwords() and not find_states(word)
