"""What dates and target states leave open: how many reports of a source could be the event of another source's report.

A pair starts with -ln Z, Z the expected number of reports of a source in the days that both dates span, with a day (`ZONE`) around them,
among those of the target states; the larger of the two sides, at least ``rivals``. A report is spread evenly over
the days of its own interval: one that knows only the year is hardly a rival of two that give one day, and all of that year's are rivals
where one of the two knows only the year. Where the same several states are listed, the one least often attacked counts: few reports list
them all. Of the reports of a source that name no state the same part is left as of those that name one. Dates that do not overlap keep the
odds that they are off by so much. Where one report knows no onset, or none to the month, the other's onset should lie in the days before
its disclosure: close, with P = ``prompt_open`` or ``prompt_hidden`` by whether the technique is seen at once, or within ``open_days`` or
``hidden_days``. Two lone disclosures are compared with each other: that both may have begun in one year says nothing. Counting is two
searches in sorted days, so that a million pairs cost no more than their number.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from greyzone.incidents.record import OPEN, Record

_MONTH, _SHORTEST_MONTH, _HALF_DAY = 31, 28, 0.5
_ALL, _NOWHERE = "*", ""


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


class Choice(NamedTuple):
    """Target states that a report of another source may name: any of them or, if `every`, all."""

    states: frozenset[str] = frozenset()
    every: bool = False


@dataclass(frozen=True, slots=True)
class Crowd:
    """Some reports, each spread evenly over the days of its interval.

    The expected number before a day t is the sum of (t - lo) / length over the intervals begun less that of (t - hi) / length over those
    ended; `begun` and `ended` hold the running sums of 1 / length and of lo / length or hi / length over the sorted `lows` and `highs`.
    """

    lows: list[float]
    highs: list[float]
    begun: tuple[list[float], list[float]]
    ended: tuple[list[float], list[float]]

    @classmethod
    def of(cls, spans: Sequence[Span]) -> Crowd:
        """Make the crowd of these intervals."""
        wide = [(lo, max(hi, lo + _HALF_DAY)) for lo, hi in spans]
        first, last = sorted(wide), sorted(wide, key=lambda span: (span[1], span[0]))
        return cls(
            [lo for lo, _ in first],
            [hi for _, hi in last],
            (_sums(1 / (hi - lo) for lo, hi in first), _sums(lo / (hi - lo) for lo, hi in first)),
            (_sums(1 / (hi - lo) for lo, hi in last), _sums(hi / (hi - lo) for lo, hi in last)),
        )

    def within(self, lo: float, hi: float) -> float:
        """Return the expected number of reports in [lo, hi]."""
        return max(self._before(hi) - self._before(lo), 0.0)

    def _before(self, day: float) -> float:
        begun, ended = bisect_right(self.lows, day), bisect_right(self.highs, day)
        return day * (self.begun[0][begun] - self.ended[0][ended]) - (self.begun[1][begun] - self.ended[1][ended])


def _sums(values: Iterable[float]) -> list[float]:
    return [0.0, *accumulate(values)]


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
        self._crowds = {key: Crowd.of(found) for key, found in spans.items()}
        self._left: dict[tuple[str, str, float, float, Choice], float] = {}

    def where_and_when(self, a: int, b: int) -> list[tuple[str, str, float]]:
        """Return how many reports dates and states leave ("crowd"), and how well both fit ("dates", "states"): kind, words, nats."""
        one, other, numbers = self._records[a], self._records[b], self._numbers
        # A state that a text names may be another's: it counts where it meets and not where it does not.
        common = (one.states | one.named) & (other.states | other.named)
        apart = bool(one.states and other.states) and not common
        state = math.log(numbers["state_agree"]) if common else math.log(1 - numbers["state_agree"]) if apart else 0.0
        narrowed = _choices(one, other, common)
        ways = [self._weighed(a, b, way, narrowed) for way in (*_ways(one, other, numbers), *_ways(other, one, numbers, turned=True))]
        ways += [(fit - math.log(max(crowd, numbers["rivals"])), "swapped day", fit, crowd) for fit, crowd in self._swapped(a, b)]
        if not ways:
            size = max(self._sizes[one.source], self._sizes[other.source])
            ways.append((-math.log(max(size, numbers["rivals"])), "no date", 0.0, size))
        _, kind, fit, crowd = max(ways)
        found = [("crowd", f"one of {crowd:.0f}", -math.log(max(crowd, numbers["rivals"]))), ("dates", kind, fit)]
        told = f"state {','.join(sorted(common)[:3])}" if common else "no common state"
        return found + ([("states", told, state)] if state else [])

    def _weighed(self, a: int, b: int, way: Way, states: tuple[Choice, Choice]) -> tuple[float, str, float, float]:
        """Return a way with its crowd: (fit and prior, name, fit, crowd); `states` are the choices for a and for b."""
        if way.turned:
            a, b, states = b, a, states[::-1]
        days = _apart(way.mine, way.theirs)
        # A heavy tail: sources that differ in a date differ by days or by months.
        fit = math.log(way.share) if days <= ZONE else math.log((1 - way.share) / (1 + days / way.scale))
        spanned = (min(way.mine[0], way.theirs[0]) - ZONE, max(way.mine[1], way.theirs[1]) + ZONE)
        crowd = max(
            self._left_by(self._records[b].source, way.their_kind, spanned, states[0]),
            self._left_by(self._records[a].source, way.my_kind, spanned, states[1]),
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
                slack = self._numbers["slack_days"]
                crowd = self._left_by(other.source, "onset", (day - slack, day + slack), Choice(self._records[at].states))
                found.append((math.log(self._numbers["swapped"]), crowd))
        return found

    def _left_by(self, source: str, kind: str, span: Span, choice: Choice) -> float:
        key = (source, kind, span[0], span[1], choice)
        if key not in self._left:
            self._left[key] = self._count(source, kind, span, choice)
        return self._left[key]

    def _count(self, source: str, kind: str, span: Span, choice: Choice) -> float:
        def met(state: str) -> float:
            crowd = self._crowds.get((source, kind, state))
            return crowd.within(*span) if crowd else 0.0

        every, each = met(_ALL), [met(state) for state in sorted(choice.states)]
        if not each:
            return every
        if choice.every:
            return min(each)
        named, nowhere = min(math.fsum(each), every), met(_NOWHERE)
        return named + nowhere * named / max(every - nowhere, 1.0)


def _choices(one: Record, other: Record, common: frozenset[str]) -> tuple[Choice, Choice]:
    """Return the states among which each report chooses its counterpart."""
    if not common:
        # States that differ have chosen nothing: all of a source's reports of that time are left.
        apart = bool(one.states and other.states)
        return (Choice(), Choice()) if apart else (Choice(one.states), Choice(other.states))
    mine, theirs = one.states | one.named, other.states | other.named
    if len(common) > 1 and 2 * len(common) >= len(mine | theirs):
        return Choice(common, every=True), Choice(common, every=True)
    return Choice(mine), Choice(theirs)


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
    vague = onset is None or onset[1] - onset[0] > _SHORTEST_MONTH - ZONE
    if one.onset and public and (onset is None or (vague and public[1] - public[0] <= _MONTH)):
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
