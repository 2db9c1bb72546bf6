"""Which reports tell the same event: Fellegi-Sunter record linkage with frequency-based weights.

The log-odds of a pair are ln(prior) plus a log-likelihood ratio ln(m/u) for each kind of evidence (Fellegi & Sunter 1969; for words, u is
the share of reports that hold the word, so that a rare word weighs its idf, Winkler 1989):

- names: sum of idf of shared words (half where a word of one name stands in the other's text) times their share of the shorter name;
  nothing where a name has no word of its own (years aside, which the onset tells already)
- texts: tf-idf cosine above a floor; entities: idf of shared malware, CVEs, organisations, addresses; actors: names and states
- state: minus the log of the share of reports that name the rarest shared target state; nothing where one report names none
- onset: overlapping intervals ln(.9 / u), u = (a + b) / (a + b + 2 window) for lengths a, b, so that a year says little and a day much;
  otherwise minus the gap in units of gap_days; technique class: same, compatible, different

Pairs are compared if they share a target state (or one names none), their onsets lie within the window, and they share a word of the
names, a rare word, an entity, an actor or a rarely hit state: other pairs stay below the review band with the default numbers. Words in
more than a tenth of the reports carry no weight. All numbers stand in the doctrine under ``canonical``.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from greyzone.doctrine import Doctrine
from greyzone.places import state_code
from greyzone.text import fold, normal_form, stopwords, words

COMPATIBLE = (
    frozenset({"data theft", "doxing", "espionage", "hijacking"}),
    frozenset({"disruption", "defacement", "hijacking"}),
    frozenset({"disruption", "ransomware", "data theft", "hijacking"}),
    frozenset({"doxing", "influence", "defacement"}),
)
"""Technique classes that two sources may both use for one event."""

_GENERIC_WORDS = """
cyber attack attacks attacked hack hacks hacked hacker hackers hacking operation operations campaign targeting targeted targets incident
data website websites government state group espionage malware breach network networks ddos defacement defaced theft denial service
compromise intrusion systems system
"""
_GENERIC = frozenset(_GENERIC_WORDS.split())
_THINGS = frozenset({"malware", "cve", "organisation", "domain", "url", "hash"})


@dataclass(frozen=True, slots=True)
class Record:
    """A report as linkage sees it; days are floats since 1970, words folded and sorted."""

    report_id: str
    source: str
    states: frozenset[str]
    lo: float | None
    hi: float | None
    name: tuple[str, ...]
    text: tuple[str, ...]
    exact: str
    technique: str
    things: tuple[str, ...]
    actors: tuple[str, ...]
    actor_states: frozenset[str]


@dataclass(frozen=True, slots=True)
class Pair:
    """A compared pair, `a` before `b` in the list of records, with its evidence in words."""

    a: int
    b: int
    posterior: float
    evidence: str


def record_of(row: Mapping[str, object]) -> Record:
    """Prepare a row of `REPORTS`."""
    entities: list[dict[str, str]] = list(row["entities"] or [])  # type: ignore[call-overload]
    actors: list[dict[str, str | None]] = list(row["actors"] or [])  # type: ignore[call-overload]
    name, description = str(row["name"] or ""), str(row["description"] or "")
    listed: list[str] = list(row["target_states"] or [])  # type: ignore[call-overload]
    return Record(
        report_id=str(row["report_id"]),
        source=str(row["source"]),
        states=frozenset(listed),
        lo=_days(row["onset_lo"]),
        hi=_days(row["onset_hi"]),
        name=tuple(word for word in _words(name) if not word.isdigit()),
        text=_words(f"{name} {description}"),
        exact=normal_form(name),
        technique=str(row["technique_class"] or "unknown"),
        things=tuple(sorted({f"{item['kind']}:{fold(item['value'])}" for item in entities if item["kind"] in _THINGS})),
        actors=tuple(sorted({f"actor:{fold(item['value'])}" for item in entities if item["kind"] == "actor"})),
        actor_states=frozenset(str(actor["state"]) for actor in actors if actor["state"]),
    )


def compare(records: Sequence[Record], doctrine: Doctrine) -> list[Pair]:
    """Return the pairs whose posterior reaches ``canonical.review``, best first, ties by ids.

    Parameters
    ----------
    records
        Ordered by report_id.
    doctrine
        Gives every number.
    """
    numbers = doctrine.section("canonical")
    idf = _idf(records)
    norms = [math.sqrt(math.fsum(idf[word] ** 2 for word in record.text)) for record in records]
    pairs: list[Pair] = []
    for a, b in _candidates(records, idf, numbers["window_days"]):
        parts = _evidence(records[a], records[b], idf, numbers, norms[a] * norms[b])
        log_odds = math.log(numbers["prior"] / (1 - numbers["prior"])) + math.fsum(value for _, value in parts)
        posterior = 1 / (1 + math.exp(-max(min(log_odds, 700.0), -700.0)))
        if posterior >= numbers["review"]:
            pairs.append(Pair(a, b, posterior, "; ".join(f"{name} {value:+.2f}" for name, value in parts)))
    return sorted(pairs, key=lambda pair: (-pair.posterior, pair.a, pair.b))


def gap(a: Record, b: Record) -> float | None:
    """Return the days between two onset intervals: 0 where they overlap, None where one has no onset."""
    if a.lo is None or a.hi is None or b.lo is None or b.hi is None:
        return None
    return max(0.0, a.lo - b.hi, b.lo - a.hi)


def _days(value: object) -> float | None:
    return value.timestamp() / 86_400 if isinstance(value, datetime) else None


def _words(text: str) -> tuple[str, ...]:
    stop = stopwords("en")
    kept = {fold(word) for word in words(text) if word not in stop and len(word) > 1}
    return tuple(sorted(word for word in kept if word not in _GENERIC and (len(word) < 4 or state_code(word) is None)))


def _idf(records: Sequence[Record]) -> dict[str, float]:
    count = Counter(word for record in records for word in {*record.text, *record.things, *record.actors})
    common = max(5.0, len(records) / 10)
    idf = {word: math.log(max(len(records), 2) / n) if n <= common else 0.0 for word, n in count.items()}
    named = Counter(f"state:{state}" for record in records for state in record.states)
    return idf | {state: math.log(max(len(records), 2) / n) for state, n in named.items()}


def _candidates(records: Sequence[Record], idf: Mapping[str, float], window: float) -> list[tuple[int, int]]:
    rare = math.log(max(len(records), 2) / max(3.0, len(records) / 200))
    postings: dict[str, list[int]] = defaultdict(list)
    for at, record in enumerate(records):
        if record.lo is not None:
            few = {key for state in record.states if idf[key := f"state:{state}"] >= rare}
            keys = {*record.name, *record.things, *record.actors, *(word for word in record.text if idf[word] >= rare), *few}
            for key in keys:
                if idf[key] > 0:
                    postings[key].append(at)
    found: set[tuple[int, int]] = set()
    for listed in postings.values():
        listed.sort(key=lambda at: (records[at].lo or 0.0, at))
        for place, a in enumerate(listed):
            last = (records[a].hi or 0.0) + window
            for b in listed[place + 1 :]:
                if (records[b].lo or 0.0) > last:
                    break
                states = records[a].states, records[b].states
                if not (states[0] and states[1]) or states[0] & states[1]:
                    found.add((a, b) if a < b else (b, a))
    return sorted(found)


def _evidence(a: Record, b: Record, idf: Mapping[str, float], numbers: Mapping[str, float], norm: float) -> list[tuple[str, float]]:
    both = sorted({*a.name} & {*b.name})
    half = sorted((({*a.name} & {*b.text}) | ({*b.name} & {*a.text})) - {*both})
    shared = math.fsum(idf[word] for word in both) + 0.5 * math.fsum(idf[word] for word in half)
    shorter = min(math.fsum(idf[word] for word in a.name), math.fsum(idf[word] for word in b.name))
    overlap = min(1.0, shared / shorter) if shorter else 0.0
    name = min(shared * overlap - 2 * (1 - overlap), numbers["name_clip"]) if shorter else 0.0
    common = {*a.text} & {*b.text}
    cosine = math.fsum(idf[word] ** 2 for word in common) / norm if norm else 0.0
    text = numbers["text_weight"] * max(0.0, cosine - numbers["text_floor"])
    things = sorted({*a.things} & {*b.things})
    entity = min(numbers["entity_clip"], math.fsum(idf[thing] for thing in things))
    actors = sorted({*a.actors} & {*b.actors})
    actor = numbers["actor_name"] if actors else 0.0
    content = name + text + entity + actor
    words_shared = " ".join([*both, *half][:6])
    parts = [(f"names ({words_shared})", name), ("texts", text)]
    parts += [(f"entities ({', '.join(things[:3])})", entity)] if things else []
    parts += [(f"actors ({', '.join(actors[:2])})", actor)] if actors else []
    if content > numbers["content_clip"]:
        parts.append(("clip", numbers["content_clip"] - content))
    parts.append(("onset", _onset(a, b, numbers)))
    if states := sorted(a.states & b.states):
        parts.append(("state", min(numbers["state_clip"], max(idf[f"state:{state}"] for state in states))))
    if a.actor_states and b.actor_states:
        agree = bool(a.actor_states & b.actor_states)
        parts.append(("suspected state", numbers["actor_state"] if agree else -numbers["actor_differs"]))
    if "unknown" not in (a.technique, b.technique):
        parts.append(("technique", _technique(a.technique, b.technique, numbers)))
    identical = a.exact == b.exact and cosine >= 0.9 and (a.lo, a.hi) == (b.lo, b.hi)
    if a.source == b.source and not identical:
        parts.append(("same source", -numbers["same_source"]))
    return parts


def _onset(a: Record, b: Record, numbers: Mapping[str, float]) -> float:
    apart = gap(a, b)
    if apart is None:
        return 0.0
    if apart > 0:
        return -apart / numbers["gap_days"]
    length = sum(max(1.0, (record.hi or 0.0) - (record.lo or 0.0)) for record in (a, b))
    return math.log(0.9 / min(0.9, length / (length + 2 * numbers["window_days"])))


def _technique(a: str, b: str, numbers: Mapping[str, float]) -> float:
    if a == b:
        return numbers["technique_same"]
    return 0.0 if any({a, b} <= classes for classes in COMPATIBLE) else -numbers["technique_differs"]
