"""Ranges of whole numbers, many at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def ranges(starts: npt.NDArray[np.integer], lengths: Ints) -> Ints:
    """Return start, start + 1, ... of each range, one range after the other.

    Parameters
    ----------
    starts
        (n,) whole numbers.
    lengths
        (n,) int64, 0 or more.

    Returns
    -------
    Ints
        (lengths.sum(),) int64.

    Examples
    --------
    >>> ranges(np.array([7, 3]), np.array([2, 3])).tolist()
    [7, 8, 3, 4, 5]
    """
    ends = np.cumsum(lengths)
    found: Ints = np.repeat(starts - (ends - lengths), lengths) + np.arange(int(lengths.sum()))
    return found
