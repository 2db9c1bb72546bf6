"""Nearness in meaning of narrative and incident: the rank of their cosine among pairs that are out of each other's window.

Among pairs out of the window the cosine of the pair's narrative with other incidents, and of its incident with other narratives, is what
chance gives. With s the share of those at least as near (the pair counted in), the ratio is the p-value calibrator kappa s^(kappa - 1)
(Vovk 1993; Sellke, Bayarri and Berger 2001). Its mean under chance is 1, which that of (1 - s) / s is not: few comparisons can never
give much evidence.

The null is exact, not a sample, for cosines to three decimals: every narrative and every incident has a histogram of its null cosines,
so that memory is (incidents + narratives) x 2,001 counts and never incidents x narratives. Two cosines that agree to three decimals
are as near as one another, which errs against a link. Vectors are rounded to whole 1 / 4,000, so that every product is a sum of whole
numbers below 2^24: exact in float32 in any order, and the same whatever the size of a block or the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greyzone.doctrine import Doctrine
from greyzone.records import Floats

Matrix = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Bins = npt.NDArray[np.int16]

SCALE = 4000
"""Steps of a coordinate: 4,000^2 and the rounding of some ten thousand coordinates stay below 2^24."""

STEPS = 1000
BINS = 2 * STEPS + 1
FEWEST_COMPARISONS = 5


@dataclass(frozen=True, slots=True)
class Cosines:
    """Whole-number vectors of incidents and narratives, and which are known (not zero)."""

    incidents: Floats
    narratives: Floats
    incident_known: Mask
    narrative_known: Mask

    @classmethod
    def of(cls, incidents: Floats, narratives: Floats) -> Cosines:
        """Round the unit rows of both; longer ones are shortened, since sums past 2^24 would not be exact."""
        whole = []
        for rows in (incidents, narratives):
            length = np.maximum(np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True), 1.0)
            whole.append(np.rint(rows / length * SCALE).astype(np.float32))
        return cls(whole[0], whole[1], whole[0].any(axis=1), whole[1].any(axis=1))

    def bins(self, block: slice, incidents: Rows) -> Bins:
        """Return (block, n) int16 cosines of narratives and incidents in steps of 1 / 1,000, from 0 (-1) to 2,000 (1)."""
        products = self.narratives[block] @ self.incidents[incidents].T
        found: Bins = np.clip(np.rint(products * np.float32(STEPS / SCALE**2)) + STEPS, 0, BINS - 1).astype(np.int16)
        return found


@dataclass(frozen=True, slots=True)
class Null:
    """Counts of null cosines at least as large as a bin, int32 by incident and by narrative, and how many there are of each."""

    by_incident: npt.NDArray[np.int32]
    by_narrative: npt.NDArray[np.int32]
    incident_size: Rows
    narrative_size: Rows

    @classmethod
    def of(cls, cosines: Cosines, blocks: Iterable[tuple[slice, Rows, Mask]]) -> Null:
        """Count the null.

        Parameters
        ----------
        cosines
            Of all incidents and narratives.
        blocks
            Blocks of narratives, each with rows of incidents and the (block, n) mask of the candidates; together every pair once.
        """
        incidents, narratives = len(cosines.incidents), len(cosines.narratives)
        found = np.zeros((incidents, BINS), dtype=np.int32)
        told = np.zeros((narratives, BINS), dtype=np.int32)
        flat = found.ravel()
        for block, rows, candidate in blocks:
            known = cosines.incident_known[rows]
            places = rows * BINS
            bins = cosines.bins(block, rows)
            for at, row in enumerate(range(block.start, block.stop)):
                if not cosines.narrative_known[row]:
                    continue
                null = known & ~candidate[at]
                own = bins[at, null].astype(np.int64)
                flat[places[null] + own] += 1
                told[row] += np.bincount(own, minlength=BINS).astype(np.int32)
        sizes = found.sum(axis=1, dtype=np.int64), told.sum(axis=1, dtype=np.int64)
        for table in (found, told):
            table[:] = np.cumsum(table[:, ::-1], axis=1, dtype=np.int32)[:, ::-1]
        return cls(found, told, *sizes)


def semantic_evidence(cosines: Cosines, null: Null, block: slice, incidents: Rows, candidate: Mask, doctrine: Doctrine) -> Matrix:
    """Return (block, n) log-likelihood ratios of nearness in meaning.

    Parameters
    ----------
    cosines, null
        Of all incidents and narratives.
    block, incidents
        The pairs asked for.
    candidate
        (block, n) which of them are candidates: a pair of the null stands in its own comparison twice, by row and by column, and a
        candidate is added once, so that ranks are exchangeable.
    doctrine
        `link.semantic_kappa` and `link.clip` are read.

    Returns
    -------
    Matrix
        nan where a vector is zero or fewer than five comparisons exist.
    """
    bins = cosines.bins(block, incidents).astype(np.int64)
    known = cosines.narrative_known[block][:, None] & cosines.incident_known[incidents]
    above = null.by_incident.ravel()[incidents * BINS + bins].astype(np.float64)
    above += np.take_along_axis(null.by_narrative[block], bins, axis=1)
    own = np.where(candidate, 1.0, -1.0)
    size = (null.narrative_size[block][:, None] + null.incident_size[incidents]).astype(np.float64)
    size += candidate - 1.0
    kappa, clip = doctrine["link.semantic_kappa"], doctrine["link.clip"]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (above + own) / (size + candidate)
        evidence = np.clip(np.log(kappa) + (kappa - 1.0) * np.log(share), -clip, clip)
    return np.where(known & (size >= FEWEST_COMPARISONS), evidence, np.nan)
