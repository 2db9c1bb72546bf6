"""Which pairs of reports are compared: those that meet in a block that is small enough to say something.

A report stands in a block for each key it holds: its distinctive words, actors, things and addresses; each of these with a target state,
and with a quarter of a year; and each target state with a month. A block in which a source has more than ``canonical.block`` reports is
not used: its finer keys are, so that a frequent word still brings together what shares the state or the quarter. Blocks of bounded size
make the number of pairs grow with the number of reports. Pairs of two sources whose dates lie farther apart than `FARTHEST` days, and
pairs of one source that are not told alike, are never compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from greyzone.incidents.rarity import Rarity
from greyzone.incidents.record import Record

FARTHEST = 400
"""Days between dates of two reports, onset or disclosure, from which no other evidence makes them one event."""

WORDS = 24
"""Words of a report, the rarest ones, that open blocks."""

_QUARTER, _MONTH = 91.3, 30.4
_MOST_PERIODS = 6


def candidates(records: Sequence[Record], rarity: Rarity, block: int) -> list[tuple[int, int]]:
    """Return the pairs of places in `records` that are compared, in order.

    Parameters
    ----------
    records
        Ordered by report_id.
    rarity
        Of these records.
    block
        Reports of one source in a block above which the block is not used.
    """
    postings: dict[str, list[int]] = defaultdict(list)
    for at, record in enumerate(records):
        for key in set(_keys(record, rarity)):
            postings[key].append(at)
    n = len(records)
    found: set[int] = set()
    for listed in postings.values():
        if len(listed) > 1:
            by_source: dict[str, list[int]] = defaultdict(list)
            for at in listed:
                by_source[records[at].source].append(at)
            if len(by_source) > 1 and max(map(len, by_source.values())) <= block:
                found.update(min(a, b) * n + max(a, b) for one, other in combinations(by_source.values(), 2) for a in one for b in other)
    return sorted([*_near(records, np.array(sorted(found), dtype=np.int64)), *_repeats(records)])


def alike(a: Record, b: Record) -> bool:
    """Tell whether two reports of one source say the same thing twice: same words, same dates and states that meet."""
    same_dates = (a.lo, a.hi, a.public_lo, a.public_hi) == (b.lo, b.hi, b.public_lo, b.public_hi)
    meet = a.states == b.states or bool(a.states & b.states)
    return same_dates and meet and a.told == b.told and (a.exact == b.exact or len(a.told) > len(a.exact) + 20)


def _near(records: Sequence[Record], codes: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the pairs, as first * n + second, of which onsets or disclosures lie near or nothing is known."""
    n = len(records)
    first, second = codes // n, codes % n
    apart = np.full(len(codes), np.nan)
    for lows, highs in (
        ([r.lo for r in records], [r.hi for r in records]),
        ([r.public_lo for r in records], [r.public_hi for r in records]),
    ):
        lo, hi = np.array(lows, dtype=np.float64), np.array(highs, dtype=np.float64)
        apart = np.fmin(apart, np.maximum(lo[first] - hi[second], lo[second] - hi[first]))
    kept = ~(apart > FARTHEST)
    return list(zip(first[kept].tolist(), second[kept].tolist(), strict=True))


def _repeats(records: Sequence[Record]) -> list[tuple[int, int]]:
    """Return the pairs of one source that are told alike."""
    told: dict[tuple[str, str], list[int]] = defaultdict(list)
    for at, record in enumerate(records):
        told[record.source, record.told].append(at)
    return [(a, b) for listed in told.values() for a, b in combinations(listed, 2) if alike(records[a], records[b])]


def _keys(record: Record, rarity: Rarity) -> Iterator[str]:
    share = {word: rarity.share(record.source, word) for word in record.text}
    worth = sorted(record.text, key=lambda word: (word not in record.name, share[word], word))[:WORDS]
    held = [*worth, *record.actors, *record.things, *record.urls]
    quarters = [f"q{period}" for period in _periods(record, _QUARTER)]
    yield from held
    for word in held:
        yield from (f"{word} {state}" for state in record.states or record.named)
        yield from (f"{word} {quarter}" for quarter in quarters)
    for state in record.states or record.named:
        yield from (f"{state} m{month}" for month in _periods(record, _MONTH))


def _periods(record: Record, length: float) -> list[int]:
    """Return the periods of an onset or, failing that, of a disclosure, none where there are too many to say anything."""
    lo, hi = (record.lo, record.hi) if record.lo is not None else (record.public_lo, record.public_hi)
    spans = [(lo, hi), (record.public_lo, record.public_hi)]
    found: set[int] = set()
    for low, high in spans:
        if low is not None and high is not None and (high - low) / length <= _MOST_PERIODS:
            found |= set(range(int((low - 10) // length), int((high + 10) // length) + 1))
    return sorted(found)
