"""Which reports tell the same event: Fellegi-Sunter record linkage with frequency-based weights.

The log-odds of a pair of two sources (Fellegi & Sunter 1969) start from ln(counterpart / Z). ``counterpart`` is the share of the reports of
the smaller source that the larger one has too, and Z the number of reports of a source that could be the other one's event by date and
target state alone, the larger of the two sides, at least ``rivals``: among four attacks on one state in one month each is likelier than
among four hundred. Added are log-likelihood ratios:

- dates: onset with onset, disclosure with disclosure, or an onset with the days before the other's disclosure, whichever says more:
  ln(agree) where the intervals meet, else ln((1 - agree) / (1 + gap / ``gap_days``)); wide intervals meet many, which Z holds, so that a
  year says little and a day much (`greyzone.incidents.crowds`)
- states: ln of the share of events of which two sources name a common target (``state_agree``), or none though both name some; unknown
  states count nothing, and states that the text of a report without targets names count where they meet
- words of names and texts: measured, see `greyzone.incidents.rarity`
- actors by any of their names, listed by one report and listed or mentioned by the other (`greyzone.incidents.naming`), things (malware,
  CVEs, organisations, addresses), addresses of press reports: nats of the rarest shared one; different named actors and different
  suspected states count against
- technique class: same, compatible, different

A source lists an event once: the odds of a pair are divided by one plus the odds of its rivals, the pairs of either report with other
reports of the other's source that are not told alike. Two reports of one source are one only if they are told alike. All numbers stand in
the doctrine under ``canonical``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from greyzone.doctrine import Doctrine
from greyzone.incidents.blocking import alike, candidates
from greyzone.incidents.crowds import Crowds
from greyzone.incidents.naming import known_as, with_mentions
from greyzone.incidents.rarity import Rarity, rarity_of
from greyzone.incidents.record import Record, gap, public_gap

COMPATIBLE = (
    frozenset({"data theft", "doxing", "espionage", "hijacking"}),
    frozenset({"disruption", "defacement", "hijacking"}),
    frozenset({"disruption", "ransomware", "data theft", "hijacking"}),
    frozenset({"doxing", "influence", "defacement"}),
)
"""Technique classes that two sources may both use for one event."""

_SLIGHT = 0.05
_BEST_STATE = 3.0
Numbers = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Pair:
    """A compared pair, `a` before `b` in the list of records, with its evidence in words."""

    a: int
    b: int
    posterior: float
    evidence: str


class Linkage(NamedTuple):
    """Compared pairs, and a question: whether two reports of one source tell one event, though it lists them apart."""

    pairs: list[Pair]
    twins: Callable[[int, int], bool]


def compare(records: Sequence[Record], doctrine: Doctrine) -> Linkage:
    """Compare reports in pairs.

    Parameters
    ----------
    records
        Ordered by report_id.
    doctrine
        Gives every number.

    Returns
    -------
    Linkage
        The pairs whose posterior reaches ``canonical.review``, best first, ties by ids, and a question about two reports of one source.
    """
    numbers = doctrine.section("canonical")
    records = with_mentions(records)
    judge = _Judge(records, rarity_of(records, numbers), Crowds(records, numbers), known_as(records), numbers)
    pairs: list[Pair] = []
    odds: dict[tuple[int, int], float] = {}
    for a, b in candidates(records, judge.rarity, int(numbers["block"])):
        if records[a].source == records[b].source:
            pairs.append(Pair(a, b, 1.0, "told alike by one source"))
            continue
        mass = judge.rarity.mass(a, b)
        if not judge.may_reach(a, b, mass):
            continue
        content = math.fsum(value for _, value in judge.content(a, b, mass))
        # Dates and states add nothing to the prior of the fewest rivals: they are weighed only where the rest suffices.
        if content + judge.best_prior <= numbers["least_odds"]:
            continue
        log_odds = content + math.fsum(value for _, value in judge.crowds.where_and_when(a, b))
        if log_odds > numbers["least_odds"]:
            odds[a, b] = math.exp(min(log_odds, 50.0))
    for (a, b), rivals in _rivals(records, odds, judge.twins).items():
        posterior = odds[a, b] / (1 + odds[a, b] + rivals)
        if posterior >= numbers["review"]:
            told = "; ".join(f"{name} {value:+.2f}" for name, value in judge.evidence(a, b, judge.rarity.mass(a, b), say=True))
            beside = f"; rivals {-math.log1p(rivals / (1 + odds[a, b])):+.2f}" if rivals > _SLIGHT else ""
            pairs.append(Pair(a, b, posterior, told + beside))
    pairs.sort(key=lambda pair: (-pair.posterior, pair.a, pair.b))
    return Linkage(pairs, judge.retold)


def _rivals(
    records: Sequence[Record], odds: Mapping[tuple[int, int], float], twins: Callable[[int, int], bool]
) -> dict[tuple[int, int], float]:
    """Return, for each pair, the summed odds of the pairs that cannot hold beside it; what a source seems to tell twice is no rival."""
    seen: dict[tuple[int, int], bool] = {}

    def one(a: int, b: int) -> bool:
        key = (min(a, b), max(a, b))
        if key not in seen:
            seen[key] = twins(*key)
        return seen[key]

    of: dict[tuple[int, str], list[int]] = defaultdict(list)
    for a, b in odds:
        of[a, records[b].source].append(b)
        of[b, records[a].source].append(a)

    def others(at: int, other: int) -> list[float]:
        return [
            odds[min(at, rival), max(at, rival)]
            for rival in of[at, records[other].source]
            if rival != other and odds[min(at, rival), max(at, rival)] > _SLIGHT and not one(rival, other)
        ]

    return {(a, b): math.fsum(sorted([*others(a, b), *others(b, a)])) for a, b in odds}


@dataclass(frozen=True, slots=True)
class _Judge:
    """Weighs pairs of records."""

    records: Sequence[Record]
    rarity: Rarity
    crowds: Crowds
    actors: Sequence[frozenset[str]]
    numbers: Numbers

    @property
    def best_prior(self) -> float:
        """The log-odds of a pair with the fewest rivals, before any evidence."""
        return math.log(self.numbers["counterpart"] / self.numbers["rivals"])

    def may_reach(self, a: int, b: int, mass: float) -> bool:
        """Tell, cheaply, whether the evidence can reach ``least_odds``: most compared pairs share too little."""
        one, other, numbers = self.records[a], self.records[b], self.numbers
        best = self.best_prior + numbers["technique_same"] + math.log(numbers["date_agree"])
        best += _BEST_STATE * (not one.actor_states.isdisjoint(other.actor_states))
        best += numbers["thing_clip"] * (not one.things.isdisjoint(other.things))
        best += numbers["address_clip"] * (not one.urls.isdisjoint(other.urls))
        best += numbers["actor_clip"] * (not (one.mentioned.isdisjoint(self.actors[b]) and other.mentioned.isdisjoint(self.actors[a])))
        return best + self.rarity.shared(mass) > numbers["least_odds"]

    def evidence(self, a: int, b: int, mass: float, *, say: bool = False) -> list[tuple[str, float]]:
        """Return the parts of the log-odds of a pair, each with what it rests on (`say`: with the shared words)."""
        return self.crowds.where_and_when(a, b) + self.content(a, b, mass, say=say)

    def content(self, a: int, b: int, mass: float, *, say: bool = False) -> list[tuple[str, float]]:
        """Return the parts that neither dates nor target states give."""
        one, other, numbers = self.records[a], self.records[b], self.numbers
        shared = ""
        if say:
            worth = self.rarity.worth(a, b)
            shared = f" ({' '.join(sorted(worth, key=lambda word: (-worth[word], word))[:5])})"
        content = [(f"words{shared}", self.rarity.shared(mass))]
        for kind, mine, theirs, clip in (
            ("things", one.things, other.things, numbers["thing_clip"]),
            ("addresses", one.urls, other.urls, numbers["address_clip"]),
        ):
            if not mine.isdisjoint(theirs):
                best = max(sorted(mine & theirs), key=lambda key: self.rarity.idf(one.source, other.source, key))
                content.append((f"{kind} ({best.partition(':')[2][:60]})", min(clip, self.rarity.idf(one.source, other.source, best))))
        if one.actors or other.actors:
            content.append(self._actors(a, b))
        total = math.fsum(value for _, value in content)
        if total > numbers["content_clip"]:
            content.append(("clip", numbers["content_clip"] - total))
        if one.actor_states and other.actor_states:
            both = sorted(one.actor_states & other.actor_states)
            nats = [numbers["actor_state"] * self.rarity.idf(one.source, other.source, f"by:{state}") for state in both]
            content.append(("suspected state", min(max(nats), _BEST_STATE) if both else -numbers["actor_differs"]))
        if "unknown" not in (one.technique, other.technique):
            content.append(("technique", _technique(one.technique, other.technique, numbers)))
        return content

    def twins(self, a: int, b: int, least: float = 0.5) -> bool:
        """Tell whether two reports of one source tell one event with probability `least`, though it lists them apart."""
        if alike(self.records[a], self.records[b]):
            return True
        told = math.fsum(value for _, value in self.evidence(a, b, self.rarity.mass(a, b)))
        return told + math.log(self.numbers["twice"] / self.numbers["counterpart"]) > math.log(least / (1 - least))

    def retold(self, a: int, b: int) -> bool:
        """Tell whether one source tells an event in two reports: dates that meet and mostly the same words, besides the evidence."""
        one, other = self.records[a], self.records[b]
        if alike(one, other):
            return True
        meet = gap(one, other) == 0 and public_gap(one, other) in (0, None)
        return meet and self.rarity.overlap(a, b) >= self.numbers["retold"] and self.twins(a, b, self.numbers["same_source"])

    def _shared_actors(self, a: int, b: int) -> frozenset[str]:
        """Return the actors that one report lists, by any name, and the other lists or mentions: what both mention the words say."""
        return (self.records[a].mentioned & self.actors[b]) | (self.records[b].mentioned & self.actors[a])

    def _actors(self, a: int, b: int) -> tuple[str, float]:
        one, other = self.records[a], self.records[b]
        if both := sorted(self._shared_actors(a, b)):
            rarest = max(self.rarity.idf(one.source, other.source, name) for name in both)
            return f"actors ({both[0].partition(':')[2]})", min(self.numbers["actor_clip"], self.numbers["actor_weight"] * rarest)
        return "actors", -self.numbers["actors_differ"] if one.actors and other.actors else 0.0


def _technique(a: str, b: str, numbers: Numbers) -> float:
    if a == b:
        return numbers["technique_same"]
    return 0.0 if any({a, b} <= classes for classes in COMPATIBLE) else -numbers["technique_differs"]
