"""Rows of a static encoder by least squares, for targets of which only the direction matters.

With A the bags of pieces, each divided by its norm, and T the unit targets, the rows W minimise

    sum_i v_i^2 |A_i W - s_i T_i|^2  +  sum_j p_j |W_j - S_j|^2

from the start rows S. It is solved by conjugate gradients with a Jacobi preconditioner (without it, rare pieces stay at their start).
The scales s_i begin equal. A sum of rows has no reason to reach the same norm for every text, so they are set to the text's own
``max(least, A_i W . T_i) ** power`` (mean square kept) and W is solved again, a few times: alternating least squares for the cosine.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from greyzone.errors import InputError
from greyzone.records import Floats

logger = logging.getLogger(__name__)

LEAST_SCALE = 0.2
"""A text whose sum misses its target still pulls with this scale."""

TINY = np.float32(1e-20)

Weights = npt.NDArray[np.float32]
Bags = sparse.csr_matrix


@dataclass(frozen=True, slots=True)
class Fit:
    """How a system is solved.

    Parameters
    ----------
    iterations
        Conjugate-gradient steps from the start rows.
    rescalings
        How often the scales are set anew.
    rescaled_iterations
        Steps after each.
    """

    iterations: int = 20
    rescalings: int = 3
    rescaled_iterations: int = 12


def unit_bags(bags: Bags) -> Bags:
    """Return the bags with rows of norm 1, float32; empty ones stay empty."""
    norms = np.sqrt(np.asarray(bags.multiply(bags).sum(axis=1)).ravel())
    found: Bags = (sparse.diags(1.0 / np.maximum(norms, 1e-9)) @ bags).astype(np.float32).tocsr()
    return found


def ridge(bags: Bags, targets: Floats, start: Floats, penalty: Weights | float, iterations: int, *, begin: Floats | None = None) -> Floats:
    """Return W of ``min |bags W - targets|^2 + sum_j penalty_j |W_j - start_j|^2`` after `iterations` steps.

    Parameters
    ----------
    bags
        (n, pieces) float32, compressed by rows.
    targets
        (n, dimensions) float32.
    start
        (pieces, dimensions) float32, what the rows are pulled to.
    penalty
        (pieces,) or one for all, above 0.
    begin
        Rows where the steps begin; `start` if not given.

    Raises
    ------
    InputError
        If shapes do not fit or a penalty is not above 0.
    """
    weight = np.broadcast_to(np.asarray(penalty, dtype=np.float32), (bags.shape[1],))[:, None]
    if bags.shape != (len(targets), len(start)) or targets.shape[1] != start.shape[1]:
        raise InputError(f"bags {bags.shape}, targets {targets.shape}, start {start.shape}", "a target a bag and a start row a piece")
    if not bool((weight > 0).all()):
        raise InputError("a penalty of 0 or less", "penalties above 0")
    across = bags.T.tocsr()
    inverse = 1.0 / (np.asarray(bags.multiply(bags).sum(axis=0), dtype=np.float32).reshape(-1, 1) + weight)
    rows: Floats = (start if begin is None else begin).astype(np.float32, copy=True)
    residual = across @ (targets - bags @ rows) - weight * (rows - start)
    step = inverse * residual
    energy = np.einsum("ij,ij->j", residual, step)
    for _ in range(iterations):
        moved = across @ (bags @ step) + weight * step
        length = energy / np.maximum(np.einsum("ij,ij->j", step, moved), TINY)
        rows += length * step
        residual -= length * moved
        ahead = inverse * residual
        renewed = np.einsum("ij,ij->j", residual, ahead)
        step = ahead + (renewed / np.maximum(energy, TINY)) * step
        energy = renewed
    return rows


def fit_directions(
    bags: Bags,
    targets: Floats,
    start: Floats,
    penalty: Weights | float,
    *,
    weights: Weights,
    powers: Weights | float = 1.0,
    scale: float = 1.0,
    fit: Fit | None = None,
    fixed: tuple[Bags, Floats] | None = None,
) -> Floats:
    """Return rows whose sums point along `targets`.

    Parameters
    ----------
    bags
        (n, pieces) `unit_bags`.
    targets
        (n, dimensions) float32 of norm 1.
    start, penalty
        As for `ridge`.
    weights
        (n,) how much a text counts.
    powers
        (n,) or one for all: 1 takes a text's scale as found, 0 leaves it as it was.
    scale
        Root mean square of the scales.
    fit
        How it is solved.
    fixed
        Further (bags, targets), weighted already, whose targets keep their norm.
    """
    how = fit or Fit()
    weighted = (sparse.diags(weights) @ bags).astype(np.float32).tocsr()
    system = weighted if fixed is None else sparse.vstack([weighted, fixed[0]]).tocsr()

    def wanted(scales: Weights) -> Floats:
        own = targets * (weights * scales)[:, None]
        found: Floats = own if fixed is None else np.concatenate([own, fixed[1]])
        return found.astype(np.float32)

    rows = ridge(system, wanted(np.full(len(targets), scale, dtype=np.float32)), start, penalty, how.iterations)
    for turn in range(how.rescalings):
        reached = np.einsum("ij,ij->i", bags @ rows, targets)
        scales = np.maximum(reached, LEAST_SCALE) ** powers
        scales *= scale / np.sqrt(np.square(scales).mean())
        rows = ridge(system, wanted(scales.astype(np.float32)), start, penalty, how.rescaled_iterations, begin=rows)
        logger.info("rescaling %d: mean cosine %.4f", turn + 1, float(_cosines(bags @ rows, targets).mean()))
    return rows


def _cosines(found: Floats, targets: Floats) -> Weights:
    norms = np.maximum(np.sqrt(np.einsum("ij,ij->i", found, found)), 1e-9)
    cosines: Weights = np.einsum("ij,ij->i", found, targets) / norms
    return cosines
