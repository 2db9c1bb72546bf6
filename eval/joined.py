"""Connected components: what pairs join, directly or through others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components


def joined(count: int, pairs: Sequence[tuple[int, int]]) -> npt.NDArray[np.int64]:
    """Return, for each of `count` nodes, the smallest node of its connected component.

    Parameters
    ----------
    count
        Nodes are numbered from 0 to count - 1.
    pairs
        Nodes that are joined, in any order, as often as one likes.

    Returns
    -------
    numpy.ndarray
        (count,) int64.
    """
    one, other = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    graph = sparse.coo_array((np.ones(len(one), dtype=bool), (one, other)), shape=(count, count))
    _, part = connected_components(graph, directed=False)
    _, first, place = np.unique(part, return_index=True, return_inverse=True)
    return first[place].astype(np.int64)
