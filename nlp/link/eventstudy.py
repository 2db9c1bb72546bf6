"""Does talk that names a state rise in the week after incidents against it? One test a state, actor-neutral.

Statistic: mean over incidents of log(1 + V[0, +7)) - log(1 + V[-7, 0)), V the volume of the narratives that name the state, from the day
of the onset. Null: circular shifts of the volume series, which keep its bursts and leave only the alignment to chance; one-sided
p = (1 + #{shifted >= observed}) / (1 + B). Poisson or day-shuffle nulls call bursty noise significant (METHOD finding 2: 37.5 % and
16 % at the 5 % level, circular shifts 5.5 %). Only onsets known to the week count; with fewer than `FEWEST` of them the test is refused.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

SPAN = 7
FEWEST = 5
SHORTEST_SERIES = 8 * SPAN


def shift_test(series: Vector, days: npt.NDArray[np.int64], *, shifts: int, seed: int = 0) -> tuple[float, float]:
    """Return (statistic, p) of the rise of a daily series in the week after some days.

    Parameters
    ----------
    series
        (n_days,) float64 daily volume.
    days
        int64 positions of the events in the series.
    shifts
        B; where the series has no more than B other positions, all of them are taken.
    seed
        Of the draw of shifts.
    """
    length = len(series)
    ring = np.concatenate([[0.0], np.cumsum(np.concatenate([series[-SPAN:], series, series[:SPAN]]))])
    at = np.arange(length) + SPAN
    change = np.log1p(np.maximum(ring[at + SPAN] - ring[at], 0.0)) - np.log1p(np.maximum(ring[at] - ring[at - SPAN], 0.0))
    others = np.arange(1, length)
    if len(others) > shifts:
        others = np.random.default_rng(seed).choice(others, size=shifts, replace=False)
    observed = float(change[days].mean())
    shifted = change[(days[:, None] - others[None, :]) % length].mean(axis=0)
    # Sums in another order differ in the last digit; a tie must stay a tie.
    p = (1 + int((shifted >= observed - 1e-12).sum())) / (1 + len(others))
    return observed, p
