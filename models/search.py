"""Blocks of products of whole-number rows and their greatest entries, on the processors or a GPU.

Rows of whole numbers (`greyzone.cluster.lists`) have products that float32 holds exactly, so that every device finds the same ones.
TF32 would round them, and stays off here. Of equal products the one of the lower place counts as the greater: so the result is one,
whatever finds it.

On the processors the k-th greatest of the maxima of `GROUP` columns each bounds the k-th greatest product from below. Few products
reach that bound, and only these are sorted, as whole numbers that hold row, product and place: several times faster than to select
among all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from greyzone.models.device import resolve_device
from greyzone.records import Floats

if TYPE_CHECKING:
    import torch

Ints = npt.NDArray[np.int64]

NORM = 4096
"""Greatest norm of a row: products lie within its square, 2^24, up to which float32 counts exactly."""

CELLS = 2**20
"""Products held at once on a processor: 4 MiB, which stay in the cache."""

GPU_CELLS = 2**27
"""Products held at once on a GPU: .5 GiB, and twice that as whole numbers of 64 bits."""

GROUP = 16
"""Columns of which one maximum is taken."""

HIDDEN = -2 * NORM**2
"""Stands for a product that does not count."""


class Search:
    """Finds the greatest products on one device.

    Parameters
    ----------
    device
        "auto", "cpu", "cuda" or another name that torch knows.
    """

    def __init__(self, device: str = "auto") -> None:
        self.device = resolve_device(device)

    def rows_at_once(self, columns: int) -> int:
        """Return how many queries against `columns` rows fit into one block."""
        return max(1, (CELLS if self.device == "cpu" else GPU_CELLS) // max(1, columns))

    def hold(self, rows: Floats) -> Floats | torch.Tensor:
        """Return `rows` (m, d) as the device wants them, for several calls of `top`."""
        return np.ascontiguousarray(rows) if self.device == "cpu" else self._sent(rows)

    def top(self, queries: Floats, rows: Floats | torch.Tensor, k: int, *, hidden: Ints | None = None) -> tuple[Floats, Ints]:
        """Return the `k` greatest products of each query with `rows`, greatest first, ties by place.

        Parameters
        ----------
        queries
            (q, d) float32 whole numbers of norm `NORM` at most.
        rows
            (m, d) the like, or what `hold` made of it; m >= k.
        k
            Entries wanted.
        hidden
            (q,) entry of each query that does not count; -1 hides none.

        Returns
        -------
        products, places
            (q, k) float32 and int64; a hidden entry has -inf.
        """
        if self.device != "cpu":
            return self._top_there(self._products_there(queries, rows, hidden), k)
        products = queries @ np.asarray(rows).T
        if hidden is not None:
            seen = np.flatnonzero(hidden >= 0)
            products[seen, hidden[seen]] = HIDDEN
        if k == 1:
            # Of equal ones argmax takes the first.
            places = products.argmax(axis=1)[:, None]
            return _open(np.take_along_axis(products, places, axis=1)), places
        return _greatest(products, products >= _bound(products, k)[:, None], k)

    def top_above(self, queries: Floats, rows: Floats | torch.Tensor, k: int, least: Floats) -> tuple[Ints, Floats, Ints]:
        """Do as `top` for those queries only that have a product above `least` (q,), for products above it, and tell which they are.

        Returns
        -------
        some, products, places
            (s,) int64 queries, (s, k) float32 and int64; -inf where there are fewer than k.
        """
        if self.device != "cpu":
            products = self._products_there(queries, rows, None)
            some = (products.amax(dim=1).cpu().numpy() > least).nonzero()[0]
            values, places = self._top_there(products[some], k)
            return some, np.where(values > least[some, None], values, np.float32(-np.inf)), places
        found = queries @ np.asarray(rows).T
        some = np.flatnonzero(found.max(axis=1) > least)
        found = found[some]
        return some, *_greatest(found, found > least[some, None], k)

    def _sent(self, rows: Floats) -> torch.Tensor:
        import torch

        return torch.from_numpy(np.ascontiguousarray(rows)).to(self.device)

    def _products_there(self, queries: Floats, rows: Floats | torch.Tensor, hidden: Ints | None) -> torch.Tensor:
        import torch

        products = self._sent(queries) @ (self._sent(rows) if isinstance(rows, np.ndarray) else rows).T
        if hidden is not None:
            seen = np.flatnonzero(hidden >= 0)
            products[torch.from_numpy(seen), torch.from_numpy(hidden[seen])] = HIDDEN
        return products

    def _top_there(self, products: torch.Tensor, k: int) -> tuple[Floats, Ints]:
        import torch

        columns = products.shape[1]
        # No two are equal, so that which are greatest does not hang on the device.
        ranked = products.to(torch.int64) * columns - torch.arange(columns, device=products.device)
        places = ranked.topk(k, dim=1).indices
        return _open(products.gather(1, places).cpu().numpy()), places.cpu().numpy()


def _bound(products: Floats, k: int) -> Floats:
    """Return for each row (q,) a number that its k-th greatest product reaches, and few others."""
    groups = products.shape[1] // GROUP
    if groups < k:
        return np.asarray(np.partition(products, products.shape[1] - k, axis=1)[:, products.shape[1] - k])
    heads = products[:, : groups * GROUP].reshape(len(products), GROUP, groups).max(axis=1)
    return np.asarray(np.partition(heads, groups - k, axis=1)[:, groups - k])


def _greatest(products: Floats, among: npt.NDArray[np.bool_], k: int) -> tuple[Floats, Ints]:
    """Return the `k` greatest products of each row and their places, of those told by `among`; -inf where there are fewer."""
    rows, columns = products.shape
    place = np.flatnonzero(among)
    row = place // columns
    # From the left: the row, how far the product lies below the greatest possible, the column.
    bits = max(1, (columns - 1).bit_length())
    below = NORM**2 - products.ravel()[place].astype(np.int64)
    ranked = np.sort((((row << 26) + below) << bits) + (place - row * columns))
    count = np.bincount(row, minlength=rows)
    at = (np.cumsum(count) - count)[:, None] + np.arange(k)
    there = np.arange(k) < count[:, None]
    taken = ranked[np.where(there, at, 0)] if len(ranked) else np.zeros((rows, k), dtype=np.int64)
    values = (NORM**2 - ((taken >> bits) & (2**26 - 1))).astype(np.float32)
    return _open(np.where(there, values, np.float32(HIDDEN))), np.where(there, taken & (2**bits - 1), 0)


def _open(values: Floats) -> Floats:
    """Return products with -inf for what is hidden."""
    return np.where(values == HIDDEN, np.float32(-np.inf), values)
