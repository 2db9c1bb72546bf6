"""What two reports have in common, as parts that weights turn into log-odds.

The log-odds that reports of two sources tell one event (Fellegi & Sunter 1969) are ``base`` plus the sum of the parts, each times its
weight ``weight_*`` in section ``canonical`` of the doctrine:

- crowd: -ln Z, Z the number of reports of a source that could be the other one's event by date and target state alone, the larger of the
  two sides, at least ``rivals``: among four attacks on one state in one month each is likelier than among four hundred
- dates: onset with onset, disclosure with disclosure, or an onset with the days before the other's disclosure, whichever says more:
  ln(agree) where the intervals meet, else ln((1 - agree) / (1 + gap / ``gap_days``)); wide intervals meet many, which Z holds, so that a
  year says little and a day much (`greyzone.incidents.crowds`)
- states: ln of the share of events of which two sources name a common target (``state_agree``), or none though both name some; unknown
  states count nothing, and states that the text of a report without targets names count where they meet
- words of names and texts: measured, see `greyzone.incidents.rarity`
- things (malware, CVEs, organisations), addresses of press reports, actors by any of their names (`greyzone.incidents.naming`), suspected
  states: nats of the rarest that both hold, at most ``thing_clip``, ``address_clip``, ``actor_clip``, ``suspect_clip``
- different actors, different suspected states, technique class the same or of another sort: 1 or -1

The parts depend on each other: reports that share an actor share words, and other attacks of one campaign share both. The weights
therefore are not 1, as they would be for independent parts, but fitted to labelled pairs (`greyzone.eval.incidents.merging`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from greyzone.incidents.crowds import Crowds
from greyzone.incidents.naming import known_as, with_mentions
from greyzone.incidents.rarity import Rarity, rarity_of
from greyzone.incidents.record import Record

COMPATIBLE = (
    frozenset({"data theft", "doxing", "espionage", "hijacking"}),
    frozenset({"disruption", "defacement", "hijacking"}),
    frozenset({"disruption", "ransomware", "data theft", "hijacking"}),
    frozenset({"doxing", "influence", "defacement"}),
)
"""Technique classes that two sources may both use for one event."""

WEIGHTS = (
    "crowd",
    "dates",
    "states",
    "words",
    "things",
    "addresses",
    "actors",
    "actors_differ",
    "suspects",
    "suspects_differ",
    "technique_same",
    "technique_differs",
)
"""Kinds of parts; the doctrine weighs each by ``canonical.weight_*``."""

Numbers = Mapping[str, float]


class Part(NamedTuple):
    """A part of the evidence: its kind, one of `WEIGHTS`, what is shared in words, and its value before it is weighed."""

    kind: str
    told: str
    value: float


@dataclass(frozen=True, slots=True)
class Judge:
    """Weighs pairs of records.

    Attributes
    ----------
    records
        Ordered by report_id, with the actors that their words name.
    rarity, crowds
        Frequencies and chance; what dates and states leave open.
    actors
        Of every record: its actors by all their names.
    numbers
        Section ``canonical`` of the doctrine.
    """

    records: Sequence[Record]
    rarity: Rarity
    crowds: Crowds
    actors: Sequence[frozenset[str]]
    numbers: Numbers

    def most(self, a: int, b: int, mass: float) -> float:
        """Return the most that the log-odds of a pair can be, cheaply: most compared pairs share too little."""
        one, other, numbers = self.records[a], self.records[b], self.numbers
        best = self.best_place + numbers["weight_technique_same"] + numbers["weight_words"] * self.rarity.shared(mass)
        for kind, clip, apart in (
            ("suspects", "suspect_clip", one.actor_states.isdisjoint(other.actor_states)),
            ("things", "thing_clip", one.things.isdisjoint(other.things)),
            ("addresses", "address_clip", one.urls.isdisjoint(other.urls)),
            ("actors", "actor_clip", not self._shared_actors(a, b)),
        ):
            best += 0.0 if apart else numbers[f"weight_{kind}"] * numbers[clip]
        return best

    @property
    def best_place(self) -> float:
        """The log-odds of a pair with the fewest rivals and dates that meet, before any other evidence."""
        numbers = self.numbers
        dates, crowd = math.log(numbers["date_agree"]), -math.log(numbers["rivals"])
        return numbers["base"] + numbers["weight_dates"] * dates + numbers["weight_crowd"] * crowd

    def weighed(self, parts: Sequence[Part]) -> float:
        """Return the sum of parts, each times its weight, in nats."""
        return math.fsum(self.numbers[f"weight_{part.kind}"] * part.value for part in parts)

    def parts(self, a: int, b: int, *, say: bool = False) -> list[Part]:
        """Return all parts of the evidence of a pair (`say`: with the words that it shares)."""
        return self.place(a, b) + self.content(a, b, self.rarity.mass(a, b), say=say)

    def place(self, a: int, b: int) -> list[Part]:
        """Return the parts that dates and target states give."""
        return [Part(kind, told, value) for kind, told, value in self.crowds.where_and_when(a, b)]

    def content(self, a: int, b: int, mass: float, *, say: bool = False) -> list[Part]:
        """Return the parts that neither dates nor target states give."""
        one, other, numbers = self.records[a], self.records[b], self.numbers
        shared = ""
        if say:
            worth = self.rarity.worth(a, b)
            shared = f" ({' '.join(sorted(worth, key=lambda word: (-worth[word], word))[:5])})"
        found = [Part("words", f"words{shared}", self.rarity.shared(mass))]
        for kind, mine, theirs, clip in (
            ("things", one.things, other.things, numbers["thing_clip"]),
            ("addresses", one.urls, other.urls, numbers["address_clip"]),
        ):
            if not mine.isdisjoint(theirs):
                rarest, nats = self._rarest(a, b, mine & theirs)
                found.append(Part(kind, f"{kind} ({rarest.partition(':')[2][:60]})", min(clip, nats)))
        if both := self._shared_actors(a, b):
            _, nats = self._rarest(a, b, both)
            found.append(Part("actors", f"actors ({min(both).partition(':')[2]})", min(numbers["actor_clip"], nats)))
        elif one.actors and other.actors:
            found.append(Part("actors_differ", "other actors", -1.0))
        if one.actor_states and other.actor_states:
            if suspected := one.actor_states & other.actor_states:
                _, nats = self._rarest(a, b, frozenset(f"by:{state}" for state in suspected))
                found.append(Part("suspects", f"suspected state {','.join(sorted(suspected)[:3])}", min(numbers["suspect_clip"], nats)))
            else:
                found.append(Part("suspects_differ", "other suspected state", -1.0))
        if "unknown" not in (one.technique, other.technique):
            if one.technique == other.technique:
                found.append(Part("technique_same", "same technique", 1.0))
            elif not any({one.technique, other.technique} <= classes for classes in COMPATIBLE):
                found.append(Part("technique_differs", "other technique", -1.0))
        return found

    def _rarest(self, a: int, b: int, keys: frozenset[str]) -> tuple[str, float]:
        """Return the rarest of the keys that two records share, and what it is worth."""
        one, other = self.records[a].source, self.records[b].source
        nats = {key: self.rarity.idf(one, other, key) for key in sorted(keys)}
        rarest = max(nats, key=nats.__getitem__)
        return rarest, nats[rarest]

    def _shared_actors(self, a: int, b: int) -> frozenset[str]:
        """Return the actors that one report lists, by any name, and the other lists or mentions: what both mention the words say."""
        return (self.records[a].mentioned & self.actors[b]) | (self.records[b].mentioned & self.actors[a])


def judge_of(records: Sequence[Record], numbers: Numbers) -> Judge:
    """Count what reports hold, and return the judge of their pairs.

    Parameters
    ----------
    records
        Ordered by report_id.
    numbers
        Section ``canonical`` of the doctrine.
    """
    records = with_mentions(records)
    return Judge(records, rarity_of(records, numbers), Crowds(records, numbers), known_as(records), numbers)
