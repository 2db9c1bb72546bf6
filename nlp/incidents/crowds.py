"""What dates and target states leave open: how many reports of a source could be the event of another source's report.

A pair starts with the odds ``counterpart`` / Z, Z the number of reports of a source that a date, with ``slack_days`` around it, and the
target states leave, the larger of the two sides and at least ``rivals``. Of the reports of a source that name no state the same part is
left as of those that name one. Dates that do not overlap keep the odds that they are off by so much, and Z counts all reports as near as
these. Where one report knows only its disclosure, the other's onset should lie in the days before it: close, with P = ``prompt_open`` or
``prompt_hidden`` by whether the technique is seen at once, or within ``open_days`` or ``hidden_days``. Two lone disclosures are compared
with each other: that both may have begun in one year says nothing. Counting is two searches in sorted days, so that a million pairs cost
no more than their number.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from greyzone.incidents.record import OPEN, Record

_MONTH = 31
_ALL, _NOWHERE = "*", ""
_NO_STATES = (frozenset[str](), frozenset[str]())


Span = tuple[float, float]

ZONE = 1.0
"""Days by which two dates of one day differ, by time zones and by who heard when."""


class Way(NamedTuple):
    """How the dates of two reports are compared: kinds and days of both, P(they meet | one event), and the mean days if not."""

    name: str
    my_kind: str
    their_kind: str
    mine: Span
    theirs: Span
    share: float
    scale: float
    turned: bool = False


class Crowd(NamedTuple):
    """First and last days of some reports, each sorted."""

    lows: list[float]
    highs: list[float]

    def meeting(self, lo: float, hi: float) -> int:
        """Return the number of intervals that overlap [lo, hi]."""
        return bisect_right(self.lows, hi) - bisect_left(self.highs, lo)


class Crowds:
    """The reports of every source by kind of date (onset, disclosure) and target state.

    Parameters
    ----------
    records
        All reports.
    numbers
        Section ``canonical`` of the doctrine.
    """

    def __init__(self, records: Sequence[Record], numbers: Mapping[str, float]) -> None:
        spans: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
        sizes: dict[str, int] = defaultdict(int)
        for record in records:
            sizes[record.source] += 1
            for kind, span in (("onset", record.onset), ("public", record.public)):
                if span:
                    for state in (_ALL, *(record.states or record.named or (_NOWHERE,))):
                        spans[record.source, kind, state].append(span)
        self._records = records
        self._numbers = numbers
        self._sizes = sizes
        self._crowds = {key: Crowd(sorted(low for low, _ in found), sorted(high for _, high in found)) for key, found in spans.items()}
        self._left: dict[tuple[str, str, float, float, frozenset[str]], float] = {}

    def where_and_when(self, a: int, b: int) -> list[tuple[str, float]]:
        """Return the prior among what dates and states leave, and how well dates and states fit, in nats."""
        one, other, numbers = self._records[a], self._records[b], self._numbers
        # A state that a text names may be another's: it counts where it meets and not where it does not.
        common = (one.states | one.named) & (other.states | other.named)
        apart = bool(one.states and other.states) and not common
        state = math.log(numbers["state_agree"]) if common else math.log(1 - numbers["state_agree"]) if apart else 0.0
        # Where the states of a pair differ they have chosen nothing: all of a source's reports of that time are left.
        narrowed = _NO_STATES if apart else (one.states | one.named, other.states | other.named) if common else (one.states, other.states)
        ways = [self._weighed(a, b, way, narrowed) for way in (*_ways(one, other, numbers), *_ways(other, one, numbers, turned=True))]
        ways += [(fit - math.log(max(crowd, numbers["rivals"])), "swapped day", fit, crowd) for fit, crowd in self._swapped(a, b)]
        if not ways:
            size = max(self._sizes[one.source], self._sizes[other.source])
            ways.append((-math.log(max(size, numbers["rivals"])), "no date", 0.0, size))
        _, kind, fit, crowd = max(ways)
        prior = math.log(numbers["counterpart"]) - math.log(max(crowd, numbers["rivals"]))
        found = [(f"one of {crowd:.0f}", prior), (kind, fit)]
        return found + ([(f"state {','.join(sorted(common)[:3])}" if common else "no common state", state)] if state else [])

    def _weighed(self, a: int, b: int, way: Way, states: tuple[frozenset[str], frozenset[str]]) -> tuple[float, str, float, float]:
        """Return a way with its crowd: (fit and prior, name, fit, crowd); `states` narrow the choice for a and for b."""
        if way.turned:
            a, b, states = b, a, states[::-1]
        days = _apart(way.mine, way.theirs)
        # A heavy tail: sources that differ in a date differ by days or by months.
        fit = math.log(way.share) if days <= ZONE else math.log((1 - way.share) / (1 + days / way.scale))
        slack = max(days, self._numbers["slack_days"])
        crowd = max(
            self._left_by(self._records[b].source, way.their_kind, way.mine, slack, states[0]),
            self._left_by(self._records[a].source, way.my_kind, way.theirs, slack, states[1]),
        )
        return fit - math.log(max(crowd, self._numbers["rivals"])), way.name, fit, crowd

    def _swapped(self, a: int, b: int) -> list[tuple[float, float]]:
        """Return the fit and the crowd if the day of one report, with day and month changed, is in the onset or disclosure of the other."""
        found: list[tuple[float, float]] = []
        for at, other in ((a, self._records[b]), (b, self._records[a])):
            day = self._records[at].swapped
            spans = ((other.public_lo, other.public_hi), (other.lo, other.hi) if other.own else (None, None))
            known = [(lo, hi) for lo, hi in spans if lo is not None and hi is not None and hi - lo <= _MONTH]
            if day is not None and any(lo - 1 <= day <= hi + 1 for lo, hi in known):
                crowd = self._left_by(other.source, "onset", (day, day), self._numbers["slack_days"], self._records[at].states)
                found.append((math.log(self._numbers["swapped"]), crowd))
        return found

    def _left_by(self, source: str, kind: str, span: Span, slack: float, states: frozenset[str]) -> float:
        key = (source, kind, span[0] - slack, span[1] + slack, states)
        if key not in self._left:
            self._left[key] = self._count(states, source, kind, (span[0] - slack, span[1] + slack))
        return self._left[key]

    def _count(self, states: frozenset[str], source: str, kind: str, span: Span) -> float:
        def met(state: str) -> int:
            crowd = self._crowds.get((source, kind, state))
            return crowd.meeting(*span) if crowd else 0

        every = met(_ALL)
        if not states:
            return float(every)
        named, nowhere = min(sum(met(state) for state in states), every), met(_NOWHERE)
        return named + nowhere * named / max(every - nowhere, 1)


def _ways(one: Record, other: Record, numbers: Mapping[str, float], *, turned: bool = False) -> list[Way]:
    """Return how the dates of two reports may fit; those that are alike from both sides only if not `turned`."""
    onset, public, agree = other.onset, other.public, numbers["date_agree"]
    found: list[Way] = []
    if not turned and one.onset and onset:
        brief = max(one.onset[1] - one.onset[0], onset[1] - onset[0]) <= ZONE and {one.technique, other.technique} <= OPEN
        scale = numbers["gap_days_open"] if brief else numbers["gap_days"]
        found.append(Way("onset", "onset", "onset", one.onset, onset, agree, scale))
    if not turned and one.public and public:
        found.append(Way("public", "public", "public", one.public, public, agree, numbers["gap_days"]))
    if one.onset and public and not onset:
        # The other began some days before it became public: soon, as many do, or as long before as most do.
        seen = other.technique in OPEN
        near = (numbers["slack_days"], numbers["prompt_open"]) if seen else (numbers["open_days"], numbers["prompt_hidden"])
        for days, share in (near, (numbers["open_days" if seen else "hidden_days"], agree)):
            began = (public[0] - days, public[1])
            if days == near[0] and _apart(one.onset, began) > ZONE:
                continue
            found.append(Way(f"public within {days:.0f} days", "onset", "public", one.onset, began, share, numbers["gap_days"], turned))
    return found


def _apart(one: Span, other: Span) -> float:
    """Return the days between two intervals, below 0 where they overlap."""
    return max(one[0] - other[1], other[0] - one[1])
