"""Which reports tell the same event: Fellegi-Sunter record linkage with frequency-based, fitted weights.

The log-odds of a pair of two sources are the weighed parts of its evidence (`greyzone.incidents.evidence`). A source lists an event once:
the odds of a pair are divided by one plus the odds of its rivals, the pairs of either report with other reports of the other's source,
but for those that seem to tell the same event twice. Two reports of one source are one if they are told alike, or if their own evidence
says so and a report of another source holds them together: their odds are those of a pair of two sources times ``twice``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from greyzone.doctrine import Doctrine
from greyzone.incidents.blocking import alike, candidates
from greyzone.incidents.evidence import Judge, judge_of
from greyzone.incidents.record import Record, gap, public_gap

_SLIGHT = 0.05
_MOST_NATS = 50.0


@dataclass(frozen=True, slots=True)
class Pair:
    """A compared pair, `a` before `b` in the list of records, with its evidence in words."""

    a: int
    b: int
    posterior: float
    evidence: str


class Linkage(NamedTuple):
    """Compared pairs, best first, and two questions.

    `posterior` is that of any two reports of two sources, 0 where they were not compared or their log-odds are below ``least_odds``;
    `retold` is whether one source tells an event in both of its reports.
    """

    pairs: list[Pair]
    posterior: Callable[[int, int], float]
    retold: Callable[[int, int], bool]


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
        The pairs whose posterior reaches ``canonical.review``, best first, ties by ids, and two questions about any pair.
    """
    numbers = doctrine.section("canonical")
    judge = judge_of(records, numbers)
    pairs: list[Pair] = []
    odds: dict[tuple[int, int], float] = {}
    for a, b in candidates(records, judge.rarity, int(numbers["block"])):
        if records[a].source == records[b].source:
            pairs.append(Pair(a, b, 1.0, "told alike by one source"))
            continue
        nats = _nats(judge, a, b, numbers["least_odds"])
        if nats > numbers["least_odds"]:
            odds[a, b] = math.exp(min(nats, _MOST_NATS))
    rivals = rival_odds(records, odds, lambda a, b: twins(judge, a, b))
    posterior = {pair: odds[pair] / (1 + odds[pair] + beside) for pair, beside in rivals.items()}
    for (a, b), value in posterior.items():
        if value >= numbers["review"]:
            told = "; ".join(f"{part.told} {judge.weighed([part]):+.2f}" for part in judge.parts(a, b, say=True))
            beside = rivals[a, b]
            rival = f"; rivals {-math.log1p(beside):+.2f}" if beside > _SLIGHT else ""
            pairs.append(Pair(a, b, value, f"base {numbers['base']:+.2f}; {told}{rival}"))
    pairs.sort(key=lambda pair: (-pair.posterior, pair.a, pair.b))
    return Linkage(pairs, lambda a, b: posterior.get((min(a, b), max(a, b)), 0.0), lambda a, b: _retold(judge, a, b))


def rival_odds(
    records: Sequence[Record], odds: Mapping[tuple[int, int], float], same: Callable[[int, int], bool]
) -> dict[tuple[int, int], float]:
    """Return, for each pair, the summed odds of the pairs that cannot hold beside it.

    Parameters
    ----------
    records
        All reports.
    odds
        Of the pairs (a, b) of two sources, a before b.
    same
        Whether two reports of one source seem to tell one event: they are no rivals.
    """
    likely = [pair for pair, value in odds.items() if value > _SLIGHT]
    return {pair: math.fsum(sorted(odds[rival] for rival in rivals)) for pair, rivals in rivals_of(records, likely, same, of=odds).items()}


def rivals_of(
    records: Sequence[Record],
    pairs: Collection[tuple[int, int]],
    same: Callable[[int, int], bool],
    *,
    of: Iterable[tuple[int, int]] | None = None,
) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Return, for each pair (or each of `of`), the `pairs` of either report with other reports of the other's source; see `rival_odds`."""
    seen: dict[tuple[int, int], bool] = {}

    def one(a: int, b: int) -> bool:
        key = (min(a, b), max(a, b))
        if key not in seen:
            seen[key] = same(*key)
        return seen[key]

    met: dict[tuple[int, str], list[int]] = defaultdict(list)
    for a, b in pairs:
        met[a, records[b].source].append(b)
        met[b, records[a].source].append(a)

    def others(at: int, other: int) -> list[tuple[int, int]]:
        listed = met[at, records[other].source]
        return [(min(at, rival), max(at, rival)) for rival in listed if rival != other and not one(rival, other)]

    return {(a, b): [*others(a, b), *others(b, a)] for a, b in (pairs if of is None else of)}


def twins(judge: Judge, a: int, b: int, least: float = 0.5) -> bool:
    """Tell whether two reports of one source tell one event with probability `least`, though it lists them apart."""
    if alike(judge.records[a], judge.records[b]):
        return True
    needed = math.log(least / (1 - least)) - math.log(judge.numbers["twice"])
    return _nats(judge, a, b, needed) > needed


def _nats(judge: Judge, a: int, b: int, least: float) -> float:
    """Return the log-odds of a pair by its parts, -inf where they cannot exceed `least`."""
    mass = judge.rarity.mass(a, b)
    if judge.most(a, b, mass) <= least:
        return -math.inf
    content = judge.weighed(judge.content(a, b, mass))
    # Dates and states take longest: they are weighed only where the rest suffices.
    if judge.best_place + content <= least:
        return -math.inf
    return judge.numbers["base"] + judge.weighed(judge.place(a, b)) + content


def _retold(judge: Judge, a: int, b: int) -> bool:
    """Tell whether one source tells an event in two reports: they are told alike, or their dates meet and the evidence is strong."""
    one, other = judge.records[a], judge.records[b]
    if alike(one, other):
        return True
    return gap(one, other) == 0 and public_gap(one, other) in (0, None) and twins(judge, a, b, judge.numbers["same_source"])
