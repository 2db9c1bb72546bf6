"""From pairs to groups: the network of a trace, its cores, and how often chance makes one as deep.

Pairs with p <= c/(n-1) are kept: chance leaves every account c ties on average. A group is a connected component of the k-core of the kept
pairs. Its p is (1 + B_k)/(B + 1), where B_k of the B graphs drawn from the null have a core as deep as the deepest one of the group. B
draws tell nothing below 1/(B + 1): where none is as deep, p is the expected number of subgraphs with as many accounts and ties in a
random graph, C(n,s) P(Bin(s(s-1)/2, r) >= ties), if that is smaller, with r the larger one of c/(n-1) and twice the rate of the draw
with most ties. Draws stop where they would cost more than ``resample_budget`` multiplications.

Groups of different traces with a Jaccard overlap of ``merge_overlap`` are one. Its p is the Cauchy combination (Liu and Xie 2020) over all
traces that the data support, in which every family of traces has one vote, divided among its scales. A trace that did not find the group
counts as p = .5, so that looking at many traces and windows has its price, and one that found it with a larger p counts no worse. Where
a common taste explains a group better, one of too few accounts for a null of their own, because its members come to what they share no
sooner than others come to their items (`greyzone.coordinate.pace`), the p of that test is the group's.
Benjamini-Hochberg over groups gives q.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse, special, stats

from greyzone.coordinate import rhythm
from greyzone.coordinate.bicm import Doubles, Ints
from greyzone.coordinate.chance import Chance, fit_chance
from greyzone.coordinate.cores import core_groups, core_numbers
from greyzone.coordinate.pace import Arrivals, Hurry, Pace, shared_items, taste_p
from greyzone.coordinate.pairs import Judges, Pairs, item_weights, kept_pairs, pair_work
from greyzone.coordinate.traces import Trace
from greyzone.doctrine import Doctrine

DRAW_WORK = 8
"""What drawing an edge costs in multiplications of the pair statistic, about."""

SMALLEST_P = 1e-6
"""Least p that is claimed: the random graph is an idealisation, and smaller numbers would only seem to know more."""


@dataclass(frozen=True, slots=True)
class TraceGroup:
    """A component of the k-core of one trace.

    Parameters
    ----------
    trace
        Name of the trace.
    accounts
        (s,) int64 rows of `Corpus.names`, ascending.
    core
        Depth of the deepest core inside.
    p
        Against the null of the trace.
    """

    trace: str
    accounts: Ints
    core: int
    p: float


@dataclass(frozen=True, slots=True)
class Network:
    """The kept pairs of a trace with what they were judged by."""

    trace: Trace
    chance: Chance | rhythm.Clock
    weights: Doubles
    pairs: Pairs
    threshold: float
    core: int
    minimum: int
    groups: tuple[TraceGroup, ...]
    note: str

    def driving(self, accounts: Ints, doctrine: Doctrine) -> tuple[Ints, Ints]:
        """Return the items that ``driving_members`` of `accounts` share, and more than the null expects, and how many share each.

        The null expects a number of them that is the sum of their probabilities; p is its Poisson tail, at most ``driving_p``.
        """
        inside = np.flatnonzero(np.isin(self.trace.accounts, accounts))
        count = np.bincount(self.trace.incidence[inside].indices, minlength=len(self.trace.items)).astype(np.int64)
        columns = np.flatnonzero((count >= doctrine["coordination.driving_members"]) & (self.weights > 0))
        if len(columns):
            expected = self.chance.expected(inside)[columns]
            columns = columns[special.pdtrc(count[columns] - 1, expected) <= doctrine["coordination.driving_p"]]
        return columns, count[columns]

    def residual(self, accounts: Ints, covered: np.ndarray) -> Ints:
        """Return which of `accounts` are still in a core once the items in `covered` (m,) bool are taken away.

        The fitted probabilities stay: only the statistic, its mean and its variance lose the covered items.
        """
        inside = np.flatnonzero(np.isin(self.trace.accounts, accounts))
        weights = np.where(covered, 0.0, self.weights)
        judge = self.chance.judge(weights, self.threshold)
        shared, light = _weighted_only(sparse.csr_array(self.trace.incidence[inside]), weights)
        pairs = kept_pairs(shared, light, judge, minimum=self.minimum, rows=inside)
        core = core_numbers(len(inside), pairs.a, pairs.b)
        return self.trace.accounts[inside[core >= self.core]]


@dataclass(frozen=True, slots=True)
class Group:
    """Groups of several traces that are one, before items and explanations; `taste` is the p of common taste, None where not testable."""

    accounts: Ints
    traces: tuple[str, ...]
    core: int
    p: float
    q: float
    taste: float | None = None


class _Taste:
    """Whether groups of a trace come to its items sooner than accounts that are in none of its cores."""

    def __init__(self, network: Network, doctrine: Doctrine) -> None:
        self.network, self.doctrine = network, doctrine
        self.arrivals = Arrivals.of(network.trace)
        self.pace = Pace(
            self.arrivals.among(~np.isin(network.trace.accounts, np.concatenate([group.accounts for group in network.groups])))
        )

    def p(self, accounts: Ints) -> float | None:
        """Return the p of a group under common taste, None where the data do not tell, or the group may have a null of its own."""
        if len(accounts) >= self.doctrine["coordination.community_accounts"]:
            return None
        columns, count = self.network.driving(accounts, self.doctrine)
        if self.pace.items < self.doctrine["coordination.pace_items"] or not len(columns):
            return None
        items, place = np.unique(shared_items(self.network.trace)[columns], return_inverse=True)
        votes = np.bincount(place.ravel(), weights=self.network.weights[columns] * count * (count - 1)).astype(np.float64)
        pace = self.pace.of_items(self.arrivals.among(np.isin(self.network.trace.accounts, accounts)))[items]
        dated = ~np.isnan(pace)
        return taste_p(pace[dated], votes[dated], self.doctrine["coordination.pace_spread"]) if dated.any() else None


def find_network(trace: Trace, doctrine: Doctrine, rng: np.random.Generator) -> Network:
    """Test every pair of a supported trace and find its groups."""
    n = len(trace.accounts)
    small = "_small" if n < doctrine["coordination.small_n"] else ""
    threshold = doctrine["coordination.c" + small] / max(n - 1, 1)
    core = int(doctrine["coordination.core" + small])
    minimum = int(doctrine["coordination.shared_minimum"]) if trace.minimum is None else trace.minimum
    degrees = np.bincount(trace.incidence.indices, minlength=len(trace.items)).astype(np.int64)
    chance: Chance | rhythm.Clock
    if trace.family == rhythm.FAMILY:
        chance, weights = rhythm.fit_clock(trace.incidence, trace.items), np.ones(len(trace.items))
    else:
        limit = doctrine.section("coordination")
        smallest = max(limit["community_accounts"], limit["community_share"] * n)
        hurry = Hurry(trace, least=int(limit["pace_items"]), members=int(limit["driving_members"]), most=limit["community_pace"])
        chance = fit_chance(trace.incidence, smallest=smallest, most=limit["community_most"], hurried=hurry, rng=rng)
        weights = np.where(degrees > 1, item_weights(degrees, n), 0.0)
    judge = chance.judge(weights, threshold)
    shared, light = _weighted_only(trace.incidence, weights)
    pairs = kept_pairs(shared, light, judge, minimum=minimum)
    found = core_groups(n, pairs.a, pairs.b, core)
    notes = [trace.note] if trace.note else []
    if chance.parts:
        notes.append(f"communities of taste with a null of their own: {len(chance.parts)}")
    if chance.residual > 1e-6:
        notes.append(f"null fitted to within {chance.residual:.2g} of the degrees")
    p_values: list[float] = []
    if found:
        cost = pair_work(shared) + DRAW_WORK * shared.nnz
        draws = int(min(doctrine["coordination.resamples"], doctrine["coordination.resample_budget"] // max(cost, 1)))
        if draws < doctrine["coordination.resamples"]:
            notes.append(f"{draws} draws from the null: more would exceed the budget")
        depths, most = _null_depths(chance, weights, judge, minimum, draws, rng)
        rate = max(threshold, 2 * most / (n * (n - 1) / 2))
        p_values = [_group_p(depths, depth, _expected(len(part), _ties(part, pairs), n, rate)) for part, depth in found]
    groups = tuple(TraceGroup(trace.name, trace.accounts[part], depth, p) for (part, depth), p in zip(found, p_values, strict=True))
    return Network(trace, chance, weights, pairs, threshold, core, minimum, groups, "; ".join(notes))


def merge_groups(networks: list[Network], doctrine: Doctrine) -> list[Group]:
    """Unite the groups of several traces and give every one its combined p and its q, ordered by their accounts."""
    found = [group for network in networks for group in network.groups]
    parent = list(range(len(found)))

    def root(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    for a in range(len(found)):
        for b in range(a):
            both = len(np.intersect1d(found[a].accounts, found[b].accounts, assume_unique=True))
            if both >= doctrine["coordination.merge_overlap"] * (len(found[a].accounts) + len(found[b].accounts) - both):
                parent[max(root(a), root(b))] = min(root(a), root(b))
    united: dict[int, list[TraceGroup]] = {}
    for index, group in enumerate(found):
        united.setdefault(root(index), []).append(group)
    families = Counter(network.trace.family for network in networks)
    votes = {network.trace.name: 1 / families[network.trace.family] for network in networks}
    shown = [network for network in networks if network.groups and network.trace.family != rhythm.FAMILY]
    taste = {network.trace.name: _Taste(network, doctrine) for network in shown}
    merged = [_united(parts, votes, taste) for parts in united.values()]
    merged.sort(key=lambda group: (tuple(group.accounts.tolist()), group.traces))
    q_values = false_discovery(np.array([group.p for group in merged]))
    return [replace(group, q=float(q)) for group, q in zip(merged, q_values, strict=True)]


def cauchy(p_values: Doubles, votes: Doubles) -> float:
    """Combine dependent p-values: P of the weighted mean of tan((1/2 - p) pi) under the standard Cauchy law (Liu and Xie 2020)."""
    return float(0.5 - np.arctan(np.average(np.tan((0.5 - p_values) * np.pi), weights=votes)) / np.pi)


def false_discovery(p_values: Doubles) -> Doubles:
    """Return Benjamini-Hochberg q-values in the order of `p_values`."""
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * count / np.arange(1, count + 1)
    q = np.empty(count)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q


def _united(parts: list[TraceGroup], votes: dict[str, float], taste: dict[str, _Taste]) -> Group:
    best: dict[str, float] = {}
    for part in parts:
        best[part.trace] = min(part.p, best.get(part.trace, 1.0))
    p = cauchy(np.array([min(best.get(name, 0.5), 0.5) for name in votes]), np.array(list(votes.values())))
    accounts = np.unique(np.concatenate([part.accounts for part in parts]))
    told = [told for name in best if name in taste and (told := taste[name].p(accounts)) is not None]
    by_taste = cauchy(np.array(told), np.ones(len(told))) if told else None
    p = p if by_taste is None else max(p, by_taste)
    return Group(accounts, tuple(best), max(part.core for part in parts), p, p, by_taste)


def _weighted_only(incidence: sparse.csr_array, weights: Doubles) -> tuple[sparse.csr_array, Doubles]:
    """Drop the items that weigh nothing: they add to no statistic."""
    heavy = np.flatnonzero(weights > 0)
    part = sparse.csr_array(incidence[:, heavy])
    part.sort_indices()
    return part, weights[heavy]


def _null_depths(
    chance: Chance | rhythm.Clock, weights: Doubles, judge: Judges, minimum: int, draws: int, rng: np.random.Generator
) -> tuple[Ints, int]:
    """Return the depth of the deepest core in each of `draws` graphs from the null, (draws,) int64, and the most ties that one had."""
    depths, most, sample = np.zeros(draws, dtype=np.int64), 0, chance.sampler(weights)
    for draw in range(draws):
        graph, light = sample(rng)
        pairs = kept_pairs(graph, light, judge, minimum=minimum)
        depths[draw] = core_numbers(graph.shape[0], pairs.a, pairs.b).max(initial=0)
        most = max(most, len(pairs.a))
    return depths, most


def _group_p(depths: Ints, depth: int, expected: float) -> float:
    """Return the p of a group by the draws, and where none is as deep by what a random graph has, if that tells more."""
    reached = int((depths >= depth).sum())
    drawn = (1 + reached) / (len(depths) + 1)
    return drawn if reached else min(drawn, expected)


def _ties(part: Ints, pairs: Pairs) -> int:
    return int((np.isin(pairs.a, part) & np.isin(pairs.b, part)).sum())


def _expected(size: int, ties: int, n: int, rate: float) -> float:
    """Return the expected number of subgraphs of `size` accounts with `ties` ties and more, within [SMALLEST_P, 1]."""
    ways = special.gammaln(n + 1) - special.gammaln(size + 1) - special.gammaln(n - size + 1)
    log_p = ways + stats.binom.logsf(ties - 1, size * (size - 1) // 2, min(rate, 1.0))
    return float(np.clip(np.exp(min(log_p, 0.0)), SMALLEST_P, 1.0))
