"""All pairs of narratives and incidents weighed in tiles: nothing as large as narratives x incidents is ever held.

A first pass counts the null of meaning (`meaning.Null`), a second weighs the candidates of every tile, at the incidents' own time and at
every shift of the placebo, and keeps what is at the floor or above, and the likeliest of every narrative below it. Tiles are independent
of each other, so threads change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from greyzone.doctrine import Doctrine
from greyzone.engine import available_workers
from greyzone.link.bursts import Bursts
from greyzone.link.circle import Circle, Courses, Tables, blocks_of, chunks_of, tabulate
from greyzone.link.content import Content
from greyzone.link.lag import Kernel, Onsets
from greyzone.link.meaning import Cosines, Null, semantic_evidence
from greyzone.link.placebo import Placebo, shift_days
from greyzone.link.shown import RIVALS
from greyzone.link.weights import Weights

Vector = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

KINDS = ("entity", "semantic", "geo_sector", "artefact")
"""Kinds of evidence besides time, in the order in which they are summed."""


Piece = tuple[Rows, Tables]
"""Rows of some incidents and their tables."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Pairs at the floor or above: int64 rows, float64 ratio of time, log-odds, and evidence by kind (nan for none).

    `near` is the part of `semantic` that ties the two: the subject is the narrative's alone.
    """

    incident: Rows
    narrative: Rows
    ratio: Vector
    log_odds: Vector
    entity: Vector
    semantic: Vector
    geo_sector: Vector
    artefact: Vector
    near: Vector

    @property
    def evidence(self) -> dict[str, Vector]:
        """The evidence besides time by kind."""
        return {name: getattr(self, name) for name in KINDS}

    def take(self, rows: Rows) -> Kept:
        """Return some pairs."""
        return Kept(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Kept]) -> Kept:
        """Return the pairs of all parts, one after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(frozen=True, slots=True)
class Weighed:
    """What weighing gives: the pairs kept, by descending log-odds, then by incident and narrative; all candidates; the placebo.

    `lost` are the likeliest pairs below the floor of every narrative, at most `RIVALS`, the likeliest first.
    """

    kept: Kept
    lost: Kept
    candidates: int
    placebo: Placebo


@dataclass(frozen=True, slots=True)
class Bench:
    """What every tile needs."""

    courses: Courses
    content: Content
    cosines: Cosines
    null: Null
    weights: Weights
    doctrine: Doctrine
    shifts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Vectors:
    """Unit rows of incidents and narratives of one encoder, float32."""

    incidents: npt.NDArray[np.float32]
    narratives: npt.NDArray[np.float32]


def weigh(
    onsets: Onsets,
    bursts: Bursts,
    kernel: Kernel,
    content: Content,
    vectors: Vectors,
    *,
    doctrine: Doctrine,
    weights: Weights,
    threads: int | None,
) -> Weighed:
    """Weigh all pairs.

    Parameters
    ----------
    onsets, bursts, kernel
        As in `lag.timing`.
    content, vectors
        Evidence besides time.
    doctrine, weights
        Numbers under `link`, and how they become log-odds.
    threads
        None for all processors; the result is the same for any number.
    """
    if not len(bursts.day):
        return Weighed(_nothing(), _nothing(), 0, Placebo.none(len(vectors.narratives)))
    circle = Circle.of(bursts, kernel)
    courses = Courses.of(bursts, len(vectors.narratives), circle)
    cosines = Cosines.of(vectors.incidents, vectors.narratives)
    near = circle.near(onsets)
    chunks = chunks_of(near, circle)

    def pieces() -> Iterator[Piece]:
        return ((chunk, tabulate(onsets.rows(chunk), circle)) for chunk in chunks)

    # One chunk's tables are kept for the second pass; those of many are made again.
    held = list(pieces()) if len(chunks) == 1 else None
    far = np.setdiff1d(np.arange(len(onsets.lo)), near)
    shifts = shift_days(circle.length, kernel, int(doctrine["link.placebo_shifts"]))
    count = available_workers() if threads is None else max(1, threads)
    kept, lost, placebo = [_nothing()], [_nothing()], [np.zeros(0)]
    best = np.full((len(shifts), courses.narratives), -np.inf)
    candidates = pairs = 0
    with threadpool_limits(limits=1), ThreadPoolExecutor(count) as pool:
        null = Null.of(cosines, _null_blocks(courses, held or pieces(), far))
        bench = Bench(courses, content, cosines, null, weights, doctrine, tuple(shifts.tolist()))
        for piece in held or pieces():
            blocks = blocks_of(courses.narratives, len(piece[0]))
            for block, (found, below, seen, shifted) in zip(blocks, pool.map(partial(_tile, bench, piece), blocks), strict=True):
                kept.append(found)
                lost.append(below)
                candidates += seen
                placebo.append(shifted.log_odds)
                pairs += shifted.pairs
                best[:, block] = np.maximum(best[:, block], shifted.best)
    whole, others = Kept.joined(kept), Kept.joined(lost)
    order = np.lexsort((whole.narrative, whole.incident, -whole.log_odds))
    others = others.take(_likeliest(others.narrative, others.incident, others.log_odds))
    return Weighed(whole.take(order), others, candidates, Placebo(pairs, np.sort(np.concatenate(placebo)), best))


def _tile(bench: Bench, piece: Piece, block: slice) -> tuple[Kept, Kept, int, Placebo]:
    """Return the pairs kept of a tile and the likeliest of the others, how many are candidates, and the same of the placebo."""
    chunk, tables = piece
    weights = bench.weights
    ratio, candidate = bench.courses.ratios(tables, block)
    evidence = bench.content.block(block, chunk)
    near = semantic_evidence(bench.cosines, bench.null, block, chunk, candidate, bench.doctrine)
    evidence["semantic"] = _meaning(near, bench.content.subject[block][:, None], weights.clip)
    static = weights.static({name: evidence[name] for name in KINDS}).ravel()
    places = np.flatnonzero(candidate)
    ratio = ratio.ravel()[places]
    eta = weights.eta(weights.temporal(ratio), static[places])
    evidence["near"] = near

    def taken(at: Rows) -> Kept:
        row, column = np.divmod(places[at], len(chunk))
        told = {name: values.ravel()[places[at]] for name, values in evidence.items()}
        return Kept(chunk[column], row + block.start, ratio[at], eta[at], **told)

    chosen = eta >= weights.floor
    below = _below(eta, places, chosen, candidate.shape)
    lost = taken(below)
    values, pairs = [np.zeros(0)], 0
    best = np.full((len(bench.shifts), block.stop - block.start), -np.inf)
    for at, shift in enumerate(bench.shifts):
        row, column, moved = bench.courses.pairs(tables, block, shift)
        shifted = weights.eta(weights.temporal(moved), static[row * len(chunk) + column])
        pairs += len(shifted)
        likely = shifted >= weights.floor
        values.append(shifted[likely])
        np.maximum.at(best[at], row[likely], shifted[likely])
    lost = lost.take(_likeliest(lost.narrative, lost.incident, lost.log_odds))
    return taken(np.flatnonzero(chosen)), lost, len(places), Placebo(pairs, np.concatenate(values), best)


def _below(eta: Vector, places: Rows, chosen: npt.NDArray[np.bool_], shape: tuple[int, ...]) -> Rows:
    """Return which candidates at `places` of a block are not chosen and at least as likely as the last of the likeliest `RIVALS` such."""
    table = np.full(shape, -np.inf)
    table.ravel()[places] = np.where(chosen, -np.inf, eta)
    if table.shape[1] > RIVALS:
        table[table < np.partition(table, -RIVALS, axis=1)[:, -RIVALS, None]] = -np.inf
    return np.flatnonzero(np.isfinite(table.ravel()[places]))


def _likeliest(narrative: Rows, incident: Rows, log_odds: Vector) -> Rows:
    """Return the rows of the `RIVALS` likeliest pairs of each narrative, by narrative; of equals those with the first incidents."""
    order = np.lexsort((incident, -log_odds, narrative))
    starts = np.flatnonzero(np.diff(narrative[order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return order[place < RIVALS]


def _meaning(near: Vector, subject: Vector, clip: float) -> Vector:
    """Return nearness and subject together, nan where neither is known."""
    total = np.clip(np.nan_to_num(near) + np.nan_to_num(subject), -clip, clip)
    return np.where(np.isnan(near) & np.isnan(subject), np.nan, total)


def _null_blocks(courses: Courses, pieces: Iterable[Piece], far: Rows) -> Iterator[tuple[slice, Rows, npt.NDArray[np.bool_]]]:
    """Yield every pair once: those with incidents near the circle and which of them are candidates, then the others."""
    for chunk, tables in pieces:
        for block in blocks_of(courses.narratives, len(chunk)):
            yield block, chunk, courses.ratios(tables, block)[1]
    for block in blocks_of(courses.narratives, len(far)):
        yield block, far, np.zeros((block.stop - block.start, len(far)), dtype=bool)


def _nothing() -> Kept:
    none = np.zeros(0, dtype=np.int64)
    return Kept(none, none, *(np.zeros(0) for _ in range(7)))
