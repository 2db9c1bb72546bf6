"""What two reports share, and how much of it two reports of different events share by chance.

Words: S = sum of g(w) idf(w) over the words of both, times 1/2 + the part of the shorter report's words that this is; idf(w) =
-ln max(p_A(w), p_B(w)) by the shares of the reports of the two sources that hold w (Winkler 1989 on frequencies in Fellegi-Sunter weights),
g the mean over both reports of 1 for a word of the name, 1/2 for one of the lead (`greyzone.incidents.record.LEAD`) and 0 for one after
it. Frequencies of a source say nothing of other sources, so that one more
source changes a pair of the others only by the little that it adds to the measured chance. A source of fewer than
``canonical.least_reports`` is taken as one of so many: a list of ten does not show that its words are rare.

What S says is measured, not assumed, on the side of different events (u): pairs of two sources that cannot be one event, since their
states differ or their dates lie `APART_DAYS` apart, though they are of one technique class, are drawn and their S counted in bins; the
tail exp(-S / ``chance_scale``) counts as ``chance_pairs`` of them, for corpora that are too small or too short to have such pairs. On the
side of one event (m) S has an Erlang distribution of shape 2 and mean ``shared_mean``: two sources of one event share about three
distinctive words. Bins whose ratio would fall are pooled.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from greyzone.incidents.record import Record, gap

APART_DAYS = 730
"""Dates so far apart are no dates of one event."""

EDGES = (0.01, 1.0, 2.0, 3.0, 4.5, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0, 25.0, 32.0, 40.0)
"""Bounds of the bins of S; the first bin is "nothing shared"."""

DRAWN = 20_000
"""Pairs that are drawn to measure chance: its share of a thousandth is then known within a quarter."""

_LEAD = 0.5
"""What a word of the lead counts beside one of the name."""


@dataclass(slots=True)
class Rarity:
    """What the reports of each source hold, in nats, and the log-likelihood ratio of each bin of S.

    Attributes
    ----------
    nats
        Of every record: word -> -ln of the share of its source's reports that hold it.
    totals
        Of every record: the sum of these.
    counts, sizes
        Of every source: reports that hold a key, and reports.
    """

    records: Sequence[Record]
    counts: Mapping[str, Counter[str]]
    sizes: Mapping[str, int]
    nats: list[dict[str, float]] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    chance: list[float] = field(default_factory=list)

    def share(self, source: str, key: str) -> float:
        """Return the share of the reports of a source that hold a key, never 0."""
        return (self.counts[source][key] + 0.5) / (self.sizes[source] + 1)

    def idf(self, a: str, b: str, key: str) -> float:
        """Return the nats that a key which reports of sources `a` and `b` share is worth."""
        return -math.log(max(self.share(a, key), self.share(b, key)))

    def worth(self, a: int, b: int) -> dict[str, float]:
        """Return what each word that two records share is worth."""
        mine, theirs, one, other = self.nats[a], self.nats[b], self.records[a], self.records[b]
        found: dict[str, float] = {}
        for word in mine.keys() & theirs.keys():
            here = 1.0 if word in one.name else _LEAD if word in one.lead else 0.0
            there = 1.0 if word in other.name else _LEAD if word in other.lead else 0.0
            found[word] = min(mine[word], theirs[word]) * (here + there) / 2
        return found

    def mass(self, a: int, b: int) -> float:
        """Return S of two records."""
        shared = math.fsum(self.worth(a, b).values())
        return shared * (0.5 + min(1.0, shared / max(min(self.totals[a], self.totals[b]), 1e-9))) if shared > 0 else 0.0

    def overlap(self, a: int, b: int) -> float:
        """Return the part of the shorter report's words, in nats, that the other one has too."""
        both = self.nats[a].keys() & self.nats[b].keys()
        common = math.fsum(min(self.nats[a][word], self.nats[b][word]) for word in both)
        return common / max(min(self.totals[a], self.totals[b]), 1e-9)

    def shared(self, mass: float) -> float:
        """Return the log-likelihood ratio of S."""
        return self.ratios[bisect_right(EDGES, mass)]


def rarity_of(records: Sequence[Record], numbers: Mapping[str, float]) -> Rarity:
    """Count frequencies source by source, and measure what different events share.

    Parameters
    ----------
    records
        Ordered by report_id.
    numbers
        Section ``canonical`` of the doctrine.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    sizes: Counter[str] = Counter()
    for record in records:
        sizes[record.source] += 1
        states = {f"by:{state}" for state in record.actor_states}
        counts[record.source].update(record.text | record.mentioned | record.things | record.urls | states)
    least = int(numbers["least_reports"])
    found = Rarity(records, counts, {source: max(size, least) for source, size in sizes.items()})
    for record in records:
        found.nats.append({word: -math.log(found.share(record.source, word)) for word in sorted(record.text)})
        found.totals.append(math.fsum(found.nats[-1].values()))
    bins = Counter(bisect_right(EDGES, found.mass(a, b)) for a, b in _strangers(records))
    scale, pseudo = numbers["chance_scale"], numbers["chance_pairs"]
    assumed = _shares(lambda mass: math.exp(-mass / scale))
    total = sum(bins.values()) + pseudo
    found.chance = [(bins.get(at, 0) + pseudo * share) / total for at, share in enumerate(assumed)]
    theta = numbers["shared_mean"] / 2
    m = _shares(lambda mass: math.exp(-mass / theta) * (1 + mass / theta))
    # A pair of one event shares no word now and then, whatever a smooth distribution says of its smallest values.
    m[0] = max(m[0], numbers["shares_nothing"])
    found.ratios = _ratios(m, found.chance)
    return found


def _strangers(records: Sequence[Record]) -> list[tuple[int, int]]:
    """Draw pairs of two sources that cannot be one event."""
    found: list[tuple[int, int]] = []
    n = len(records)
    # Records are ordered by ids, which are hashes: strides over them are as good as chance and need none.
    for stride in range(1, n // 2 + 1):
        for at in range(n):
            a, b = records[at], records[(at + stride) % n]
            if a.source == b.source or (a.technique != b.technique and "unknown" not in (a.technique, b.technique)):
                continue
            apart = gap(a, b)
            if (apart is not None and apart > APART_DAYS) or (a.states and b.states and not a.states & b.states):
                found.append((at, (at + stride) % n))
        if len(found) >= DRAWN or stride * n >= 20 * DRAWN:
            break
    return found


def _shares(tail: Callable[[float], float]) -> list[float]:
    """Return the share of each bin of a distribution by its tail."""
    edges = [tail(edge) for edge in (0.0, *EDGES)] + [0.0]
    return [max(above - below, 1e-12) for above, below in pairwise(edges)]


def _ratios(m: Sequence[float], u: Sequence[float]) -> list[float]:
    """Return ln(m/u) of each bin; neighbours whose ratio would fall are pooled, so that sharing more never counts for less."""
    pools: list[tuple[float, float, int]] = []
    for share, chance in zip(m, u, strict=True):
        pools.append((share, chance, 1))
        while len(pools) > 1 and pools[-2][0] * pools[-1][1] >= pools[-1][0] * pools[-2][1]:
            (ours, theirs, n), (more, most, k) = pools[-2:]
            pools[-2:] = [(ours + more, theirs + most, n + k)]
    return [math.log(share / chance) for share, chance, n in pools for _ in range(n)]
