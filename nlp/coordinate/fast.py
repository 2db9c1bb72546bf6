"""Shares of one item within a short time of each other, at several scales from seconds to most of a day.

Every document counts once: by its first shared repost, text, address or hashtag sequence. A window takes all shares of an item up to its
width after the first one; what falls into one window of one item is one item of the trace, with a popularity of its own, so that the
burst of an item is in the null and only meeting again and again within bursts is evidence. Widths grow by a fixed factor
(`coordination.fast_shortest`, `fast_factor`, `fast_scales`): no one knows beforehand how fast a group acts, and the combination over
traces pays for the choice (`greyzone.coordinate.groups`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from greyzone.coordinate.bicm import Ints
from greyzone.doctrine import Doctrine

FAMILY = "fast"
SECOND = 1_000_000
"""Microseconds."""
MINUTE = 60
"""Seconds."""


def widths(doctrine: Doctrine) -> dict[str, float]:
    """Return the width in seconds of every scale by the name of its trace, narrow ones first."""
    shortest, factor = doctrine["coordination.fast_shortest"], doctrine["coordination.fast_factor"]
    found = [shortest * factor**step for step in range(int(doctrine["coordination.fast_scales"]))]
    return {f"{FAMILY}-{span(seconds)}": seconds for seconds in found}


def span(seconds: float) -> str:
    """Return a length of time as people write it: 10s, 6m, 3.6h, 2d."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def bare_label(label: str) -> str:
    """Return the label of what was shared, without the window that it was shared in."""
    return label.split(":", 2)[2] if label.startswith(f"{FAMILY}:") else label


def windows(codes: Ints, time: Ints, seconds: float) -> Ints:
    """Return when the window of every share opened.

    Parameters
    ----------
    codes
        (shares,) int64 items, ascending.
    time
        (shares,) int64 microseconds, ascending within an item.
    seconds
        Width of a window.

    Returns
    -------
    ndarray
        (shares,) int64 microseconds.
    """
    width = round(seconds * SECOND)
    if not len(codes):
        return np.empty(0, dtype=np.int64)
    # A gap wider than the window opens one whatever came before, so that only shares close to their predecessor need a look one by one.
    fresh = np.r_[True, (np.diff(codes) != 0) | (np.diff(time) > width)]
    opened = time[np.maximum.accumulate(np.where(fresh, np.arange(len(codes)), 0))]
    late = _runs_with_late(fresh, time - opened > width)
    start = 0
    for index, new, moment in zip(late.tolist(), fresh[late].tolist(), time[late].tolist(), strict=True):
        if new or moment - start > width:
            start = moment
        opened[index] = start
    return opened


def _runs_with_late(fresh: npt.NDArray[np.bool_], late: npt.NDArray[np.bool_]) -> Ints:
    """Return the shares of all runs in which one comes too late for the run's first window, in order."""
    run = np.cumsum(fresh) - 1
    touched = np.zeros(int(run[-1]) + 1, dtype=bool)
    touched[run[late]] = True
    return np.flatnonzero(touched[run])
