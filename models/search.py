"""Blocks of similarities and their best entries, on the processors or a GPU.

Rows of whole numbers (`greyzone.lists`) have products that float32 holds exactly, so that a GPU finds the same ones. TF32 would round
them, and stays off here.
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

CELLS = 2**23
"""Similarities held at once on the processors: 32 MiB, so that most of it stays in the cache."""

GPU_CELLS = 2**28
"""Similarities held at once on a GPU: 1 GiB."""


class Search:
    """Makes blocks of products on one device.

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

    def hold(self, rows: Floats) -> torch.Tensor:
        """Return `rows` (m, d) as the device wants them, for several calls of `top`."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(rows)).to(self.device)

    def top(self, queries: Floats, rows: Floats | torch.Tensor, k: int, *, hidden: Ints | None = None) -> tuple[Floats, Ints]:
        """Return the `k` greatest products of each query with `rows`, greatest first.

        Parameters
        ----------
        queries
            (q, d) float32.
        rows
            (m, d) float32, or what `hold` made of it; m >= k.
        k
            Entries wanted.
        hidden
            (q,) entry of each query that does not count; -1 hides none.

        Returns
        -------
        products, places
            (q, k) float32 and int64.
        """
        import torch

        there = self.hold(rows) if isinstance(rows, np.ndarray) else rows
        products = self.hold(queries) @ there.T
        if hidden is not None:
            seen = np.flatnonzero(hidden >= 0)
            products[torch.from_numpy(seen), torch.from_numpy(hidden[seen])] = -torch.inf
        values, places = products.max(dim=1, keepdim=True) if k == 1 else products.topk(k, dim=1)
        return values.cpu().numpy(), places.cpu().numpy()

    def top_above(self, queries: Floats, rows: Floats | torch.Tensor, k: int, least: Floats) -> tuple[Ints, Floats, Ints]:
        """Do as `top` for those queries only that have a product above `least` (q,), and return their numbers too.

        To look for the greatest product is much faster than to find the `k` greatest.
        """
        import torch

        there = self.hold(rows) if isinstance(rows, np.ndarray) else rows
        products = self.hold(queries) @ there.T
        some = torch.nonzero(products.amax(dim=1) > self.hold(least))[:, 0]
        values, places = products[some].topk(k, dim=1)
        return some.cpu().numpy(), values.cpu().numpy(), places.cpu().numpy()
