"""What chance would do, in the whole population and within every community of taste.

A pair of one community must beat both nulls: its p is the larger one of the p under the model of the whole population and the p under the
model of its community, where items have the popularity they have there. Null graphs are drawn community by community, so that the
cores that a shared taste alone makes are in the distribution that a group is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from greyzone.coordinate.bicm import Bicm, Doubles, Ints, fit_bicm, sample_bicm
from greyzone.coordinate.communities import find_communities
from greyzone.coordinate.pairs import Judge, pair_null


@dataclass(frozen=True, slots=True)
class Chance:
    """Fitted nulls of one incidence.

    Parameters
    ----------
    whole
        Model of the whole population.
    community
        (n,) int64 community of every account or -1.
    parts
        Model of every community, over its accounts in ascending order.
    """

    whole: Bicm
    community: Ints
    parts: tuple[Bicm, ...]

    @property
    def residual(self) -> float:
        """Largest difference between an expected and an observed degree in any of the models."""
        return max([self.whole.residual, *(part.residual for part in self.parts)])

    def judge(self, weights: Doubles, threshold: float) -> Judge:
        """Return what a pair is judged by when items weigh `weights` (m,) float64."""
        place = np.zeros(len(self.community), dtype=np.int64)
        for number in range(len(self.parts)):
            inside = np.flatnonzero(self.community == number)
            place[inside] = np.arange(len(inside))
        local = tuple(pair_null(part, weights) for part in self.parts)
        return Judge(pair_null(self.whole, weights), self.community, place, local, threshold)

    def expected(self, accounts: Ints) -> Doubles:
        """Return how many of `accounts` share each item by the model of the whole population, (m,) float64."""
        counts = np.bincount(self.whole.account_class[accounts], minlength=self.whole.probability.shape[0])
        return np.asarray((counts @ self.whole.probability)[self.whole.item_class])

    def sample(self, weights: Doubles, rng: np.random.Generator) -> tuple[sparse.csr_array, Doubles]:
        """Draw a null graph over the items that weigh something, and their weights.

        Accounts of a community come from its model, all others from that of the whole.
        """
        heavy = np.flatnonzero(weights > 0)
        rows, columns = [], []
        for number, model in enumerate([self.whole, *self.parts]):
            inside = np.flatnonzero(self.community == number - 1)
            if not len(inside):
                continue
            own = inside if number == 0 else np.arange(len(inside))
            graph = sample_bicm(_part(model, own, heavy), rng).tocoo()
            rows.append(inside[graph.row])
            columns.append(graph.col)
        row, column = np.concatenate(rows), np.concatenate(columns)
        found = sparse.csr_array((np.ones(len(row)), (row, column)), shape=(len(self.community), len(heavy)))
        found.sort_indices()
        return found, weights[heavy]


def fit_chance(incidence: sparse.csr_array, *, smallest: float, rng: np.random.Generator) -> Chance:
    """Fit the model of the whole population and those of its communities of `smallest` effective accounts and more."""
    degrees = np.bincount(incidence.indices, minlength=incidence.shape[1]).astype(np.int64)
    community = find_communities(sparse.csr_array(incidence[:, np.flatnonzero(degrees > 1)]), smallest=smallest, rng=rng)
    parts = []
    for number in range(int(community.max(initial=-1)) + 1):
        inside = sparse.csr_array(incidence[np.flatnonzero(community == number)])
        parts.append(_fit(inside))
    return Chance(_fit(incidence), community, tuple(parts))


def _fit(incidence: sparse.csr_array) -> Bicm:
    degrees = np.bincount(incidence.indices, minlength=incidence.shape[1]).astype(np.int64)
    return fit_bicm(np.diff(incidence.indptr).astype(np.int64), degrees)


def _part(model: Bicm, accounts: Ints, items: Ints) -> Bicm:
    """Restrict a model to some accounts and items without fitting it anew."""
    rows, account_class = np.unique(model.account_class[accounts], return_inverse=True)
    columns, item_class = np.unique(model.item_class[items], return_inverse=True)
    probability = model.probability[np.ix_(rows, columns)]
    return Bicm(account_class.astype(np.int64).ravel(), item_class.astype(np.int64).ravel(), probability, model.residual)
