"""What chance would do, in the whole population and within every community of taste.

A pair of one community must beat both nulls: its p is the larger one of the p under the model of the whole population and the p under the
model of its community, where items have the popularity they have there. A taste is a tendency, and tells what is shared and not when: an
item that more than ``community_most`` of a community's sharing accounts share, or that they come to sooner after each other than accounts
come to other items (`greyzone.coordinate.pace`), is beyond what taste tells, or a large group would be its own excuse. Such items keep the
probabilities of the whole population in the community's null too.

Null graphs are drawn community by community, so that the cores that a shared taste alone makes are in the distribution that a group is
compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from greyzone.coordinate.bicm import Bicm, Doubles, Ints, Sampler, fit_bicm
from greyzone.coordinate.communities import find_communities
from greyzone.coordinate.pairs import Judge, PairNull, pair_null

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Part:
    """The null of one community.

    Parameters
    ----------
    accounts
        (s,) int64 rows of the incidence, ascending.
    model
        Over these accounts, without the items that are beyond their taste.
    beyond
        (m,) bool, these items: most of them share them, or in a hurry.
    """

    accounts: Ints
    model: Bicm
    beyond: Mask

    def pair_null(self, whole: Bicm, weights: Doubles) -> PairNull:
        """Return what chance gives a pair of the community: its own model, and that of the whole population beyond its taste."""
        own, rest = pair_null(self.model, np.where(self.beyond, 0.0, weights)), pair_null(whole, np.where(self.beyond, weights, 0.0))
        classes, account_class = np.unique(
            np.stack([own.account_class, rest.account_class[self.accounts]], axis=1), axis=0, return_inverse=True
        )
        here, there = np.ix_(classes[:, 0], classes[:, 0]), np.ix_(classes[:, 1], classes[:, 1])
        return PairNull(
            account_class.ravel().astype(np.int64), own.mean[here] + rest.mean[there], own.variance[here] + rest.variance[there]
        )


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
        Null of every community.
    """

    whole: Bicm
    community: Ints
    parts: tuple[Part, ...]

    @property
    def residual(self) -> float:
        """Largest difference between an expected and an observed degree in any of the models."""
        return max([self.whole.residual, *(part.model.residual for part in self.parts)])

    def judge(self, weights: Doubles, threshold: float) -> Judge:
        """Return what a pair is judged by when items weigh `weights` (m,) float64."""
        place = np.zeros(len(self.community), dtype=np.int64)
        for part in self.parts:
            place[part.accounts] = np.arange(len(part.accounts))
        local = tuple(part.pair_null(self.whole, weights) for part in self.parts)
        return Judge(pair_null(self.whole, weights), self.community, place, local, threshold)

    def expected(self, accounts: Ints) -> Doubles:
        """Return how many of `accounts` share each item by the model of the whole population, (m,) float64."""
        counts = np.bincount(self.whole.account_class[accounts], minlength=self.whole.probability.shape[0])
        return np.asarray((counts @ self.whole.probability)[self.whole.item_class])

    def sampler(self, weights: Doubles) -> Callable[[np.random.Generator], tuple[sparse.csr_array, Doubles]]:
        """Return what draws a null graph over the items that weigh something, and their weights.

        Accounts of a community come from its model, all others from that of the whole.
        """
        heavy = np.flatnonzero(weights > 0)
        light = weights[heavy]
        nobody = np.flatnonzero(self.community < 0)
        models = [(self.whole, nobody, nobody, np.arange(len(heavy)))]
        for part in self.parts:
            beyond = part.beyond[heavy]
            models.append((part.model, np.arange(len(part.accounts)), part.accounts, np.flatnonzero(~beyond)))
            models.append((self.whole, part.accounts, part.accounts, np.flatnonzero(beyond)))
        samplers = [
            (Sampler(_restricted(model, own, heavy[items])), accounts, items)
            for model, own, accounts, items in models
            if len(own) and len(items)
        ]

        def draw(rng: np.random.Generator) -> tuple[sparse.csr_array, Doubles]:
            rows, columns = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
            for sampler, accounts, items in samplers:
                row, column = sampler.edges(rng)
                rows.append(accounts[row])
                columns.append(items[column])
            row, column = np.concatenate(rows), np.concatenate(columns)
            found = sparse.csr_array((np.ones(len(row)), (row, column)), shape=(len(self.community), len(heavy)))
            found.sort_indices()
            return found, light

        return draw


def fit_chance(
    incidence: sparse.csr_array, *, smallest: float, most: float, hurried: Callable[[Ints], Mask], rng: np.random.Generator
) -> Chance:
    """Fit the model of the whole population and those of its communities.

    Parameters
    ----------
    incidence
        (n, m) float64 of ones.
    smallest
        Effective accounts of a community that gets a null of its own.
    most
        Share of a community's sharing accounts from which an item is beyond its taste.
    hurried
        Tells which items some accounts, (s,) int64 rows, come to so soon after each other that taste does not explain it, (m,) bool.
    rng
        For the search for communities.
    """
    degrees = np.bincount(incidence.indices, minlength=incidence.shape[1]).astype(np.int64)
    community = find_communities(sparse.csr_array(incidence[:, np.flatnonzero(degrees > 1)]), smallest=smallest, rng=rng)
    parts = []
    for number in range(int(community.max(initial=-1)) + 1):
        accounts = np.flatnonzero(community == number)
        inside = sparse.csr_array(incidence[accounts])
        beyond = (np.bincount(inside.indices, minlength=incidence.shape[1]) > most * len(accounts)) | hurried(accounts)
        inside.data[beyond[inside.indices]] = 0.0
        inside.eliminate_zeros()
        parts.append(Part(accounts, _fit(inside), beyond))
    return Chance(_fit(incidence), community, tuple(parts))


def _fit(incidence: sparse.csr_array) -> Bicm:
    degrees = np.bincount(incidence.indices, minlength=incidence.shape[1]).astype(np.int64)
    return fit_bicm(np.diff(incidence.indptr).astype(np.int64), degrees)


def _restricted(model: Bicm, accounts: Ints, items: Ints) -> Bicm:
    """Restrict a model to some accounts and items without fitting it anew."""
    rows, account_class = np.unique(model.account_class[accounts], return_inverse=True)
    columns, item_class = np.unique(model.item_class[items], return_inverse=True)
    probability = model.probability[np.ix_(rows, columns)]
    return Bicm(account_class.astype(np.int64).ravel(), item_class.astype(np.int64).ravel(), probability, model.residual)
