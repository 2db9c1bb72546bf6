"""The inputs of the dose as worlds that could be: one central world, or many drawn from what is uncertain.

    level ~ Triangular(lo, mode, hi)      real ~ Bernoulli(credibility)      onset ~ Uniform(lo, hi)
    link  ~ Triangular(p_lo, p, p_hi)     breakout category ~ Categorical(P(1..6))

The central world takes the expectation of what enters the dose: E[u(level)], credibility, the middle of the onset interval, the
link probability, and the sum of P(category) u(category). Every item has a random stream of its own, seeded with its id, so that
other items, other states and the order of rows cannot change what is drawn for it.

Numbers come from the doctrine (`greyzone.doctrine`); the ensemble crosses the low, middle and high member of five of them.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.doctrine import Doctrine
from greyzone.impact.curve import Clock, at_work, column, norms_over_time
from greyzone.impact.dose import (
    LEVEL_MAX,
    Batch,
    Coupling,
    DoseParts,
    Indices,
    Reals,
    dose,
    triangular,
    unit_dose,
)

DAY = 86_400.0
CHUNK = 250
"""Draws held in memory at once; part of the seeding, so it is a constant."""
QUANTILES = (np.arange(64) + 0.5) / 64
"""Midpoints at which E[u(level)] is taken; the error against the integral is below 1e-3 of u."""


@dataclass(frozen=True, slots=True)
class Theta:
    """The doctrine numbers that the dose needs; each is a number or a (B,) array. Half-lives are in seconds."""

    base: Batch
    half_life_cyber: Batch
    half_life_information: Batch
    q: Batch
    gamma: Batch
    v: Batch


@dataclass(frozen=True, slots=True)
class Items:
    """What counts for one target state; n incidents, m narratives, k links, times in seconds since 1970 (UTC).

    Parameters
    ----------
    incident_ids, narrative_ids
        Sorted, distinct ids.
    onset, end, level
        (2, n), (2, n) and (3, n): intervals of onset and end, and lo, mode and hi of the level with reach added.
    credibility, sector_weight
        (n,) P(real) and the multiplier of the sector.
    technique
        (n,) code of the technique class.
    sectors
        n tuples of sector names.
    narrative_onset, narrative_end, breakout
        (2, m), (m,) and (m, 6).
    link_incident, link_narrative, link_p, link_weight
        (k,), (k,), (3, k) lo, p, hi, and (k,) expected type weight h.
    """

    incident_ids: Sequence[str]
    narrative_ids: Sequence[str]
    onset: Reals
    end: Reals
    level: Reals
    credibility: Reals
    sector_weight: Reals
    technique: npt.NDArray[np.int64]
    sectors: Sequence[tuple[str, ...]]
    narrative_onset: Reals
    narrative_end: Reals
    breakout: Reals
    link_incident: Indices
    link_narrative: Indices
    link_p: Reals
    link_weight: Reals


@dataclass(frozen=True, slots=True)
class World:
    """B ways in which the `items` may have been; times in seconds, `level` (B, n, Q) is averaged over its last axis.

    `category` holds (B, m) drawn breakout categories from 0, or None where the expectation over `items.breakout` is meant.
    """

    items: Items
    onset: Reals
    end: Reals
    level: Reals
    mass: Reals
    narrative_onset: Reals
    narrative_end: Reals
    category: npt.NDArray[np.int64] | None
    coupling: Reals
    wave_seconds: float
    category_levels: Reals

    def waves(self) -> npt.NDArray[np.int64]:
        """(B, n) wave keys: technique class and window of the onset, a function of the single incident."""
        window = np.floor(self.onset / self.wave_seconds).astype(np.int64)
        return self.items.technique * np.int64(2**40) + window

    def wave_codes(self) -> npt.NDArray[np.int64]:
        """(B, n) small numbers from 0 that are equal within a draw where `waves` are."""
        window = np.floor(self.onset / self.wave_seconds).astype(np.int64)
        if not window.size:
            return window
        window -= window.min()
        return np.asarray(self.items.technique * (window.max() + 1) + window)

    def incident_doses(self, base: Batch) -> Reals:
        """(B, n) pi w u(level), before decay."""
        per_base = [(value, unit_dose(self.level, value).mean(axis=2)) for value in np.unique(base)]
        return self.mass * _choose(per_base, base)

    def narrative_doses(self, base: Batch, v: Batch) -> Reals:
        """(B, m) v u(level of the breakout category), before decay."""
        found = []
        for value in np.unique(base):
            units = unit_dose(self.category_levels, value)
            mean = (self.items.breakout @ units)[None, :]
            found.append((value, mean if self.category is None else units[self.category]))
        return column(v) * _choose(found, base)


def theta_of(doctrine: Doctrine) -> Theta:
    """Return the numbers of `doctrine` itself."""
    return Theta(
        base=doctrine["levels.base"],
        half_life_cyber=doctrine["half_life.cyber_days"] * DAY,
        half_life_information=doctrine["half_life.information_days"] * DAY,
        q=doctrine["dose.q"],
        gamma=doctrine["dose.gamma"],
        v=doctrine["dose.v"],
    )


def ensemble_grid(doctrine: Doctrine) -> Theta:
    """Return every combination of the low, middle and high members: 3^5 = 243 doctrines."""
    return _members(doctrine, np.array(list(itertools.product(range(3), repeat=5))))


def ensemble_draws(doctrine: Doctrine, draws: int, *, seed: int = 0) -> Theta:
    """Return `draws` doctrines, each number drawn evenly from its low, middle and high member."""
    return _members(doctrine, stream(seed, "doctrine", 0).integers(0, 3, size=(draws, 5)))


def part_of(theta: Theta, start: int, stop: int) -> Theta:
    """Return the draws `start` to `stop` of an ensemble; a single doctrine is returned as it is."""

    def cut(value: Batch) -> Batch:
        return value[start:stop] if isinstance(value, np.ndarray) else value

    return Theta(
        cut(theta.base), cut(theta.half_life_cyber), cut(theta.half_life_information), cut(theta.q), cut(theta.gamma), cut(theta.v)
    )


def central_world(items: Items, doctrine: Doctrine) -> World:
    """Return the one world of expected inputs."""
    onset = items.onset.mean(axis=0)[None, :]
    narrative_onset = items.narrative_onset.mean(axis=0)[None, :]
    level = triangular(QUANTILES[None, :], *(row[:, None] for row in items.level))
    return World(
        items=items,
        onset=onset,
        end=np.maximum(onset, items.end.mean(axis=0)[None, :]),
        level=np.minimum(level, LEVEL_MAX)[None, :, :],
        mass=(items.credibility * items.sector_weight)[None, :],
        narrative_onset=narrative_onset,
        narrative_end=np.maximum(narrative_onset, items.narrative_end[None, :]),
        category=None,
        coupling=(items.link_weight * items.link_p[1])[None, :],
        **_settings(doctrine),
    )


def drawn_world(items: Items, doctrine: Doctrine, *, chunk: int, draws: int, seed: int = 0) -> World:
    """Draw `draws` (at most `CHUNK`) worlds; `chunk` numbers the batches of one run."""
    incident = _uniforms([("incident", item) for item in items.incident_ids], chunk, 4, draws, seed)
    narrative = _uniforms([("narrative", item) for item in items.narrative_ids], chunk, 2, draws, seed)
    pairs = [
        ("link", items.incident_ids[i], items.narrative_ids[n]) for i, n in zip(items.link_incident, items.link_narrative, strict=True)
    ]
    link = _uniforms(pairs, chunk, 1, draws, seed)[0]
    onset = items.onset[0] + incident[2] * (items.onset[1] - items.onset[0])
    end = items.end[0] + incident[3] * (items.end[1] - items.end[0])
    level = np.minimum(triangular(incident[0], *items.level), LEVEL_MAX)
    narrative_onset = items.narrative_onset[0] + narrative[0] * (items.narrative_onset[1] - items.narrative_onset[0])
    cumulated = np.cumsum(items.breakout, axis=1)[:, :-1]
    return World(
        items=items,
        onset=onset,
        end=np.maximum(onset, end),
        level=level[:, :, None],
        mass=(incident[1] < items.credibility) * items.sector_weight,
        narrative_onset=narrative_onset,
        narrative_end=np.maximum(narrative_onset, items.narrative_end),
        category=(narrative[1][:, :, None] >= cumulated[None, :, :]).sum(axis=2),
        coupling=items.link_weight * triangular(link, *items.link_p),
        **_settings(doctrine),
    )


def own_doses(world: World, theta: Theta, moment: Batch) -> tuple[Reals, Reals]:
    """Return (B, n) and (B, m) doses of incidents and narratives each by itself at `moment`, before waves and links."""
    a = world.incident_doses(theta.base) * at_work(world.onset, world.end, theta.half_life_cyber, moment)
    b = world.narrative_doses(theta.base, theta.v) * at_work(
        world.narrative_onset, world.narrative_end, theta.half_life_information, moment
    )
    return a, b


def dose_at(world: World, theta: Theta, moment: Batch) -> DoseParts:
    """Return the dose of every world at `moment` (seconds); what has not begun by then counts nothing.

    `moment` is a number, or (B,) for one moment a row, of one world or of as many.
    """
    a, b = own_doses(world, theta, moment)
    coupling = Coupling(world.items.link_incident, world.items.link_narrative, world.coupling)
    return dose(a, world.waves(), b, coupling, q=theta.q, gamma=theta.gamma)


def dose_curve(world: World, theta: Theta, moments: Reals) -> Reals:
    """Return (B, T) doses at rising `moments`, the same as `dose_at` at each.

    The work grows with the items and their changes, not with items times moments (`greyzone.impact.curve`).
    """
    a = world.incident_doses(theta.base)
    b = world.narrative_doses(theta.base, theta.v)
    i, n = world.items.link_incident, world.items.link_narrative
    cyber = Clock(world.onset, world.end, theta.half_life_cyber)
    information = Clock(world.narrative_onset, world.narrative_end, theta.half_life_information)
    total = norms_over_time(a, world.wave_codes(), (cyber,), 1.0, theta.q, moments)
    total = total + norms_over_time(b, np.zeros((1, b.shape[1]), np.int64), (information,), 1.0, 1.0, moments)
    if len(i):
        terms = world.coupling * np.sqrt(a[:, i] * b[:, n])
        synergy = norms_over_time(terms, n[None, :], (cyber.take(i), information.take(n)), 0.5, theta.q, moments)
        total = total + column(theta.gamma) * synergy
    return total


def stream(seed: int, *key: object) -> np.random.Generator:
    """Return the random stream of `key`; equal keys and seeds give equal streams."""
    digest = hashlib.blake2b("\x1f".join(map(str, (seed, *key))).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def _members(doctrine: Doctrine, choice: npt.NDArray[np.int64]) -> Theta:
    middle, name = theta_of(doctrine), "ensemble."

    def pick(column: int, lo: float, mid: float, hi: float) -> Reals:
        return np.array([lo, mid, hi])[choice[:, column]]

    factor = pick(1, doctrine[name + "half_life_lo"], 1.0, doctrine[name + "half_life_hi"])
    return Theta(
        base=pick(0, doctrine[name + "base_lo"], float(middle.base), doctrine[name + "base_hi"]),
        half_life_cyber=middle.half_life_cyber * factor,
        half_life_information=middle.half_life_information * factor,
        q=pick(2, doctrine[name + "q_lo"], float(middle.q), doctrine[name + "q_hi"]),
        gamma=pick(3, doctrine[name + "gamma_lo"], float(middle.gamma), doctrine[name + "gamma_hi"]),
        v=pick(4, doctrine[name + "v_lo"], float(middle.v), doctrine[name + "v_hi"]),
    )


def _settings(doctrine: Doctrine) -> dict[str, Any]:
    levels = np.array([doctrine[f"breakout_level.{category}"] for category in range(1, 7)])
    return {"wave_seconds": doctrine["dose.wave_hours"] * 3600, "category_levels": levels}


def _uniforms(keys: Sequence[tuple[str, ...]], chunk: int, count: int, draws: int, seed: int) -> Reals:
    """(count, draws, len(keys)) uniforms; a run's chunk is always drawn whole, so that fewer draws are a prefix of more."""
    found = np.empty((count, draws, len(keys)))
    for place, key in enumerate(keys):
        found[:, :, place] = stream(seed, chunk, *key).random((CHUNK, count))[:draws].T
    return found


def _choose(per_base: list[tuple[float, Reals]], base: Batch) -> Reals:
    if np.ndim(base) == 0 or len(per_base) == 1:
        found = per_base[0][1]
        return found if np.ndim(base) == 0 else np.broadcast_to(found, (max(len(found), np.size(base)), found.shape[1]))
    rows = np.asarray(base)
    out = np.empty((len(rows), per_base[0][1].shape[1]))
    for value, doses in per_base:
        chosen = rows == value
        out[chosen] = np.broadcast_to(doses, out.shape)[chosen]
    return out
