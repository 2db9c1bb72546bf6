"""Does talk that names a state rise in the week after incidents against it? One test a state, actor-neutral.

Statistic: mean over incidents of log(1 + V[0, +7)) - log(1 + V[-7, 0)), V the volume of the narratives that name the state, from the day
of the onset. Null: circular shifts of the volume series, which keep its bursts and leave only the alignment to chance; one-sided
p = (1 + #{shifted >= observed}) / (1 + B). Poisson or day-shuffle nulls call bursty noise significant (METHOD finding 2: 37.5 % and
16 % at the 5 % level, circular shifts 5.5 %). Only onsets known to the week count; with fewer than `FEWEST` of them the test is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from greyzone.link.lag import Onsets

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


def event_studies(
    onsets: Onsets,
    states: Sequence[str | None],
    volumes: Sequence[tuple[int, Vector]],
    targets: Sequence[Sequence[str]],
    *,
    shifts: int,
    seed: int,
) -> list[dict[str, object]]:
    """Test every state that incidents or narratives name.

    Parameters
    ----------
    onsets, states
        Onset intervals and target states of the incidents.
    volumes, targets
        (first day, daily counts) and states named, one entry a narrative.
    shifts, seed
        As in `shift_test`.

    Returns
    -------
    list of dict
        By state: state, incidents (near the corpus and known to the week), statistic and p, or the reason of a refusal.
    """
    filled = [volume for volume in volumes if len(volume[1])]
    first = min((start for start, _ in filled), default=0)
    length = max((start + len(counts) for start, counts in filled), default=0) - first
    precise = onsets.hi - onsets.lo <= SPAN + 1e-6
    day = np.floor(np.nan_to_num(onsets.lo, nan=-1e9)).astype(np.int64) - first
    named = sorted({state for state in states if state} | {code for codes in targets for code in codes})
    found: list[dict[str, object]] = []
    for state in named:
        mine = np.array([code == state for code in states], dtype=bool) & precise & (day >= 0) & (day < length)
        result: dict[str, object] = {"state": state, "incidents": int(mine.sum()), "statistic": None, "p": None, "shifts": 0}
        talk = [volume for volume, codes in zip(volumes, targets, strict=True) if state in codes and len(volume[1])]
        if reason := _refusal(int(mine.sum()), len(talk), length):
            found.append(result | {"refused": reason})
            continue
        series = np.zeros(length)
        for start, counts in talk:
            series[start - first : start - first + len(counts)] += counts
        statistic, p = shift_test(series, np.sort(day[mine]), shifts=shifts, seed=seed)
        found.append(result | {"statistic": round(statistic, 9), "p": p, "shifts": min(shifts, length - 1), "refused": None})
    return found


def _refusal(incidents: int, narratives: int, length: int) -> str | None:
    if incidents < FEWEST:
        return f"{incidents} incidents with an onset known to the week during the corpus; at least {FEWEST} are needed"
    if not narratives:
        return "no narrative names the state"
    if length < SHORTEST_SERIES:
        return f"the corpus covers {length} days; at least {SHORTEST_SERIES} are needed for circular shifts"
    return None
