"""The dose in closed form: how much is at work on one state at one moment, and whose share it is.

    D = sum over waves g of (sum of a_i^q over i in g)^(1/q)  +  sum over narratives n of b_n
        + gamma * sum over n of (sum over i of (h p_in sqrt(a_i b_n))^q)^(1/q)
    S = 100 (1 - exp(-D / D0))
    phi_j = S * (x_j dD/dx_j) / D

D is monotone and homogeneous of degree one in (a, b). By Euler's theorem the x_j dD/dx_j then sum to D, so the shares phi
sum to S: they are the Aumann-Shapley prices of a cost function (Aumann and Shapley, 1974; Billera and Heath, 1982). Within a
norm the term x_i contributes N (x_i / N)^q, which is what the code calls a contribution; a synergy term is split half to its
incident and half to its narrative, because it rises with the square root of each.

Everything takes a leading batch axis (draws, doctrines), so that one formula serves the central value and its intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError

Reals = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Batch = float | Reals
"""A number for all draws, or a (B,) array with one for each."""

LEVEL_MAX = 5.0


@dataclass(frozen=True, slots=True)
class Coupling:
    """Links as a sparse matrix.

    Parameters
    ----------
    incident, narrative
        (k,) positions in the arrays of incidents and narratives; each pair at most once.
    weight
        (k,) or (B, k) float64 in 0..1: type weight h times link probability p.
    """

    incident: Indices
    narrative: Indices
    weight: Reals


NO_COUPLING = Coupling(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))


@dataclass(frozen=True, slots=True)
class Partition:
    """Columns of a (B, n) array sorted into groups: `order` (B, n) and the flat `starts` of the groups."""

    order: Indices
    starts: Indices
    lengths: Indices


@dataclass(frozen=True, slots=True)
class DoseParts:
    """A dose taken apart; B is the batch.

    Parameters
    ----------
    cyber, information, synergy
        (B,) parts of the dose; `synergy` has gamma in it.
    incidents, narratives
        (B, n) and (B, m) values of x_j dD/dx_j, which sum to the dose.
    """

    cyber: Reals
    information: Reals
    synergy: Reals
    incidents: Reals
    narratives: Reals

    @property
    def total(self) -> Reals:
        """(B,) dose D."""
        return self.cyber + self.information + self.synergy

    def shares(self, d0: float) -> tuple[Reals, Reals]:
        """Return the Aumann-Shapley shares (B, n) of incidents and (B, m) of narratives; their sum is the score."""
        total = self.total
        factor = np.divide(score_of(total, d0), total, out=np.full_like(total, 100.0 / d0), where=total > 0)[:, None]
        return self.incidents * factor, self.narratives * factor


def dose(a: Reals, waves: npt.NDArray[np.int64], b: Reals, coupling: Coupling, *, q: Batch, gamma: Batch) -> DoseParts:
    """Compute the dose of incidents, narratives and their links.

    Parameters
    ----------
    a
        (n,) or (B, n) decayed, weighted doses of incidents, none negative.
    waves
        (n,) or (B, n) wave key of each incident; equal keys are one wave.
    b
        (m,) or (B, m) decayed, weighted doses of narratives, none negative.
    coupling
        Links between positions of `a` and `b`.
    q
        Exponent of the norm within a wave, 1 or more.
    gamma
        Weight of synergy, none negative.

    Raises
    ------
    InputError
        If a dose or weight is negative or not finite, q is below 1 or gamma negative.
    """
    a, b, weight = np.atleast_2d(a), np.atleast_2d(b), np.atleast_2d(coupling.weight)
    for name, values in (("a", a), ("b", b), ("coupling", weight), ("gamma", np.asarray(gamma)), ("q - 1", np.asarray(q) - 1)):
        if values.size and not (np.isfinite(values).all() and values.min() >= 0):
            raise InputError(f"{name} with a value that is negative or not finite", "values from 0", "check the inputs of the dose")
    size = max(len(a), len(b), len(weight), np.size(q), np.size(gamma))
    a, b, weight = _rows(a, size), _rows(b, size), _rows(weight, size)
    cyber = norm_contributions(a, partition(_rows(np.atleast_2d(waves), size)), q)
    terms = weight * np.sqrt(a[:, coupling.incident] * b[:, coupling.narrative])
    strength = np.broadcast_to(np.asarray(gamma, np.float64), (size,))[:, None]
    groups = partition(np.broadcast_to(coupling.narrative, terms.shape))
    synergy = strength * norm_contributions(terms, groups, q)
    return DoseParts(
        cyber=cyber.sum(axis=1),
        information=b.sum(axis=1),
        synergy=synergy.sum(axis=1),
        incidents=cyber + _scatter(synergy / 2, coupling.incident, a.shape[1]),
        narratives=b + _scatter(synergy / 2, coupling.narrative, b.shape[1]),
    )


def score_of(total: Reals, d0: float) -> Reals:
    """Return the score 100 (1 - exp(-D / D0)), between 0 and 100."""
    return -100.0 * np.expm1(-np.asarray(total, np.float64) / d0)


def unit_dose(level: Reals, base: Batch) -> Reals:
    """Return u(L) = (b^L - 1) / (b^5 - 1) of levels on 0..5; `base` is one number or (B, 1)."""
    return np.asarray((np.power(base, level) - 1) / (np.power(base, LEVEL_MAX) - 1))


def decay(age: Reals, half_life: Batch) -> Reals:
    """Return K: 1 while an event goes on (age at most 0, counted from its end), then 2^(-age / half-life), same unit of time."""
    return np.asarray(np.exp2(-np.maximum(age, 0.0) / half_life))


def triangular(uniform: Reals, lo: Reals, mode: Reals, hi: Reals) -> Reals:
    """Return the quantiles of the triangular distribution (lo, mode, hi) at `uniform`; degenerate ones give the mode."""
    width = hi - lo
    safe = np.where(width > 0, width, 1.0)
    cut = (mode - lo) / safe
    left = lo + np.sqrt(uniform * safe * (mode - lo))
    right = hi - np.sqrt((1 - uniform) * safe * (hi - mode))
    return np.where(width > 0, np.where(uniform < cut, left, right), mode)


def partition(keys: npt.NDArray[np.int64] | Indices) -> Partition:
    """Sort each row of (B, n) `keys` and mark where its groups begin."""
    rows, columns = keys.shape
    order = np.argsort(keys, axis=1, kind="stable")
    ordered = np.take_along_axis(keys, order, axis=1)
    first = np.ones((rows, columns), bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    starts = np.flatnonzero(first.ravel())
    return Partition(order, starts, np.diff(starts, append=rows * columns))


def norm_contributions(x: Reals, groups: Partition, q: Batch) -> Reals:
    """Return N (x / N)^q for every element, N being the q-norm of its group; a row sums to the sum of its norms.

    Terms are divided by the largest of their group first, so that no power overflows or vanishes whatever q is.
    """
    if not x.size:
        return np.zeros_like(x)
    largest, powered, sums, outer = _powers(np.take_along_axis(x, groups.order, axis=1), groups, q)
    # (sum)^(1/q - 1): sums are at least 1 where anything is there
    scale = largest * np.power(np.maximum(sums, 1.0), 1.0 / outer - 1.0)
    contributions = np.empty_like(x)
    np.put_along_axis(contributions, groups.order, (powered * np.repeat(scale, groups.lengths)).reshape(x.shape), axis=1)
    return contributions


def norm_sums(ordered: Reals, groups: Partition, q: Batch) -> Reals:
    """Return (B,) sums of the group norms of (B, n) values that are already in the order of `groups`."""
    if not ordered.size or (np.ndim(q) == 0 and float(np.asarray(q)) == 1.0):
        return np.asarray(ordered.sum(axis=1))
    largest, _, sums, outer = _powers(ordered, groups, q)
    norms = largest * np.power(sums, 1.0 / outer)
    return np.bincount(groups.starts // ordered.shape[1], weights=norms, minlength=len(ordered)).astype(np.float64)


def all_in_group(flags: npt.NDArray[np.bool_], groups: Partition) -> npt.NDArray[np.bool_]:
    """Return, for every element of (B, n) `flags`, whether the whole of its group is flagged."""
    if not flags.size:
        return flags.copy()
    flat = np.take_along_axis(flags, groups.order, axis=1).ravel()
    whole = np.repeat(np.logical_and.reduceat(flat, groups.starts), groups.lengths)
    found = np.empty_like(flags)
    np.put_along_axis(found, groups.order, whole.reshape(flags.shape), axis=1)
    return found


def _powers(ordered: Reals, groups: Partition, q: Batch) -> tuple[Reals, Reals, Reals, Batch]:
    """Largest of each group, (x / largest)^q of each element, its sum in each group, and q of each group."""
    flat = ordered.ravel()
    largest = np.maximum.reduceat(flat, groups.starts)
    ratio = flat / np.repeat(np.where(largest > 0, largest, 1.0), groups.lengths)
    if np.ndim(q) == 0:
        outer: Batch = float(np.asarray(q))
        powered = _power(ratio, float(outer))
    else:
        per_row = np.asarray(q, np.float64)
        outer = per_row[groups.starts // ordered.shape[1]]
        powered = np.power(ratio, np.repeat(per_row, ordered.shape[1]))
    return largest, powered, np.add.reduceat(powered, groups.starts), outer


def _power(ratio: Reals, q: float) -> Reals:
    if q == 1:
        return ratio
    return np.square(ratio) if q == 2 else np.power(ratio, q)


def _rows(values: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    return np.broadcast_to(values, (size, values.shape[1]))


def _scatter(values: Reals, columns: Indices, width: int) -> Reals:
    rows = len(values)
    cells = (np.arange(rows)[:, None] * width + columns).ravel()
    summed: Reals = np.bincount(cells, weights=values.ravel(), minlength=rows * width).astype(np.float64)
    return summed.reshape(rows, width)
