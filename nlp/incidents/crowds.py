"""What dates and target states leave open: how many reports of a source could be the event of another source's report.

A pair starts with the odds ``counterpart`` / Z, Z the number of reports of a source that a date, with ``slack_days`` around it, and the
target states leave, the larger of the two sides and at least ``rivals``. Of the reports of a source that name no state the same part is
left as of those that name one. Dates that do not overlap keep the odds that they are off by so much, and Z counts all reports as near as
these. Counting is two searches in sorted days, so that a million pairs cost no more than their number.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from greyzone.incidents.record import Record, gap, public_gap

_MONTH = 31
_ALL, _NOWHERE = "*", ""


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
            for kind, lo, hi in (("onset", record.lo, record.hi), ("public", record.public_lo, record.public_hi)):
                if lo is not None and hi is not None:
                    for state in (_ALL, *(record.states or (_NOWHERE,))):
                        spans[record.source, kind, state].append((lo, hi))
        self._records = records
        self._numbers = numbers
        self._sizes = sizes
        self._crowds = {key: Crowd(sorted(low for low, _ in found), sorted(high for _, high in found)) for key, found in spans.items()}
        self._left: dict[tuple[int, str, str, float, bool], float] = {}

    def where_and_when(self, a: int, b: int) -> list[tuple[str, float]]:
        """Return the prior among what dates and states leave, and how well dates and states fit, in nats."""
        one, other, numbers = self._records[a], self._records[b], self._numbers
        common = one.states & other.states
        apart = bool(one.states and other.states) and not common
        state = 0.0 if not (one.states and other.states) else math.log(numbers["state_agree"] if common else 1 - numbers["state_agree"])
        agree, least = numbers["date_agree"], numbers["rivals"]
        ways: list[tuple[float, str, float, float]] = []
        for kind, days in (("onset", gap(one, other)), ("public", public_gap(one, other))):
            if days is not None:
                # A heavy tail: sources that differ in a date differ by days or by months.
                fit = math.log(agree) if days == 0 else math.log((1 - agree) / (1 + days / numbers["gap_days"]))
                slack = max(days, numbers["slack_days"])
                crowd = max(
                    self._left_by(a, other.source, kind, slack, apart=apart), self._left_by(b, one.source, kind, slack, apart=apart)
                )
                ways.append((fit - math.log(max(crowd, least)), kind, fit, crowd))
        ways += [(fit - math.log(max(crowd, least)), "swapped day", fit, crowd) for fit, crowd in self._swapped(a, b)]
        if not ways:
            size = max(self._sizes[one.source], self._sizes[other.source])
            ways.append((-math.log(max(size, least)), "no date", 0.0, size))
        _, kind, fit, crowd = max(ways)
        prior = math.log(numbers["counterpart"]) - math.log(max(crowd, least))
        found = [(f"one of {crowd:.0f}", prior), (kind, fit)]
        return found + ([(f"state {','.join(sorted(common)[:3])}" if common else "no common state", state)] if state else [])

    def _swapped(self, a: int, b: int) -> list[tuple[float, float]]:
        """Return the fit and the crowd if the day of one report, with day and month changed, is in the onset or disclosure of the other."""
        found: list[tuple[float, float]] = []
        for at, other in ((a, self._records[b]), (b, self._records[a])):
            day = self._records[at].swapped
            spans = ((other.public_lo, other.public_hi), (other.lo, other.hi) if other.own else (None, None))
            known = [(lo, hi) for lo, hi in spans if lo is not None and hi is not None and hi - lo <= _MONTH]
            if day is not None and any(lo - 1 <= day <= hi + 1 for lo, hi in known):
                changed = replace(self._records[at], lo=day, hi=day)
                crowd = self._count(changed, other.source, "onset", self._numbers["slack_days"], apart=False)
                found.append((math.log(self._numbers["swapped"]), crowd))
        return found

    def _left_by(self, at: int, source: str, kind: str, slack: float, *, apart: bool) -> float:
        key = (at, source, kind, slack, apart)
        if key not in self._left:
            self._left[key] = self._count(self._records[at], source, kind, slack, apart=apart)
        return self._left[key]

    def _count(self, record: Record, source: str, kind: str, slack: float, *, apart: bool) -> float:
        lo, hi = (record.lo, record.hi) if kind == "onset" else (record.public_lo, record.public_hi)
        if lo is None or hi is None:
            return 0.0

        def met(state: str) -> int:
            crowd = self._crowds.get((source, kind, state))
            return crowd.meeting(lo - slack, hi + slack) if crowd else 0

        every = met(_ALL)
        # Where the states of a pair differ they have chosen nothing: all of the source's reports of that time are left.
        if apart or not record.states:
            return float(every)
        named, nowhere = min(sum(met(state) for state in record.states), every), met(_NOWHERE)
        return named + nowhere * named / max(every - nowhere, 1)
