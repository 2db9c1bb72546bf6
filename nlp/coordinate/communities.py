"""Communities of taste, so that a shared taste is not taken for coordination.

Popularity within a community is not popularity overall: accounts of one community share what it likes, far beyond a null that knows
activity and popularity only. Communities are found by Barber's bipartite modularity Q = sum over (account u, item i) of one community of
A_ui/E - k_u d_i/E^2: accounts and items take turns in moving to the community that they fit best (BRIM; Barber 2007), then communities are
united while that raises Q. All counts are integers and ties go to the lower number, so the result does not depend on threads.

Only large communities count, in which many accounts do the sharing: a small one, or one that a few busy accounts carry, is what the
test is looking for. Size is therefore the effective number of sharing accounts, (sum k)^2 / sum k^2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from greyzone.coordinate.bicm import Doubles, Ints

STARTS = 6
"""Random starts; the best modularity wins."""
COMMUNITIES = 16
"""Communities to start from; most die out or are united."""
ROUNDS = 60


def find_communities(incidence: sparse.csr_array, *, smallest: float, rng: np.random.Generator) -> Ints:
    """Give every account its community.

    Parameters
    ----------
    incidence
        (n, m) float64 of ones, shared items only.
    smallest
        Least effective number of accounts of a community; those of smaller ones get -1.
    rng
        Draws the starts.

    Returns
    -------
    ndarray
        (n,) int64 community, numbered from 0, or -1.
    """
    n = incidence.shape[0]
    none = np.full(n, -1, dtype=np.int64)
    if not incidence.nnz or n < 2 * smallest:
        return none
    table = _Table(incidence)
    best, best_q = none, -np.inf
    for _ in range(STARTS):
        label, q = table.run(rng.integers(0, COMMUNITIES, n))
        if q > best_q + 1e-12:
            best, best_q = label, q
    active = np.diff(incidence.indptr) > 0
    found = none.copy()
    total = np.bincount(best[active], weights=table.k[active], minlength=COMMUNITIES)
    squares = np.bincount(best[active], weights=table.k[active] ** 2, minlength=COMMUNITIES)
    large = (total**2 >= smallest * squares) & (squares > 0)
    for place, community in enumerate(np.flatnonzero(large)):
        found[active & (best == community)] = place
    return found


class _Table:
    """An incidence with its margins."""

    def __init__(self, incidence: sparse.csr_array) -> None:
        self.forward = incidence
        self.backward = incidence.T.tocsr()
        self.k = np.diff(self.forward.indptr).astype(np.float64)
        self.d = np.diff(self.backward.indptr).astype(np.float64)
        self.edges = float(incidence.nnz)

    def run(self, label: Ints) -> tuple[Ints, float]:
        label, items = self._brim(label)
        while True:
            united = self._unite(label, items)
            if np.array_equal(united, label):
                return label, self._quality(label, items)
            label, items = self._brim(united)

    def _brim(self, label: Ints) -> tuple[Ints, Ints]:
        items = self._best(self.backward, label, self.k, self.d)
        for _ in range(ROUNDS):
            moved = self._best(self.forward, items, self.d, self.k)
            if np.array_equal(moved, label):
                break
            label = moved
            items = self._best(self.backward, label, self.k, self.d)
        return label, items

    def _best(self, edges: sparse.csr_array, other: Ints, theirs: Doubles, own: Doubles) -> Ints:
        """Return the community in which each row has most edges beyond chance; all numbers are E times whole numbers."""
        hot = np.zeros((len(other), COMMUNITIES))
        hot[np.arange(len(other)), other] = 1.0
        mass = np.bincount(other, weights=theirs, minlength=COMMUNITIES)
        return np.asarray((self.edges * (edges @ hot) - own[:, None] * mass[None, :]).argmax(axis=1), dtype=np.int64)

    def _gains(self, label: Ints, items: Ints) -> npt.NDArray[np.float64]:
        """Return E A_gh - k_g d_h for every pair of communities."""
        owner = np.repeat(label, np.diff(self.forward.indptr))
        pairs = np.bincount(owner * COMMUNITIES + items[self.forward.indices], minlength=COMMUNITIES**2).reshape(COMMUNITIES, -1)
        k = np.bincount(label, weights=self.k, minlength=COMMUNITIES)
        d = np.bincount(items, weights=self.d, minlength=COMMUNITIES)
        return np.asarray(self.edges * pairs - np.outer(k, d))

    def _quality(self, label: Ints, items: Ints) -> float:
        return float(np.trace(self._gains(label, items)) / self.edges**2)

    def _unite(self, label: Ints, items: Ints) -> Ints:
        gains = self._gains(label, items)
        target = np.arange(COMMUNITIES)
        while True:
            both = np.triu(gains + gains.T, 1)
            a, b = np.unravel_index(both.argmax(), both.shape)
            if both[a, b] <= 0:
                return target[label]
            gains[a] += gains[b]
            gains[:, a] += gains[:, b]
            gains[b], gains[:, b] = 0.0, 0.0
            target[target == b] = a
