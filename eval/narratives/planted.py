"""Vectors with planted narratives, of any number: what labelled corpora are too small for.

Layout, by documents: `BACKGROUND` of them belong to no narrative (truth -1) and have no copies, for a text that many repeat is a
narrative; the others are narratives, whose sizes follow a power law (density s^-2 from `SMALLEST` up to the share `LARGEST` of all).
`COPIES` of all documents are near-copies of a member of their own narrative, at a cosine drawn from `COPY_COSINES`, or equal to it; only
`COPIED` of the members are copied, and of m such members the one numbered floor(m u^`SKEW`), u uniform, so that few have most.

Geometry: deviations are Gaussian with standard deviations (i + 1)^-`DECAY` over the axes, as real embeddings have few wide axes and many
narrow ones, scaled to unit length on average. A theme is such a deviation, a narrative's centre lies `CENTRE` of them from its theme, a
member as many from its centre as its narrative is spread (log-uniform in `SPREADS`), a background document `AROUND` of them from a
theme; rows have norm 1. A Hadamard matrix with signs drawn by seed turns the axes: by additions only, since the last bit of a matrix
product hangs on the number of threads. Same seed, same bytes.

Difficulty was set so that exact HDBSCAN on all rows does as badly as on the data that the clusterer was designed with (B-cubed F1
.745, ARI .205, AMI .682 at 10,000); docs/method/evaluation.md has the figures. Rows are made in place, in blocks: a million of them
need little more than their own GiB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError
from greyzone.records import Floats

Ints = npt.NDArray[np.int64]

DIMS = 256
"""Width of the rows, as the embedded encoder has."""

MINIMUM = 100
"""Fewest documents that can be asked for."""

BACKGROUND = 0.4
"""Share of documents that belong to no narrative."""

COPIES = 0.3
"""Share of documents that are near-copies of another."""

SMALLEST = 8
"""Documents of the smallest narratives, copies included."""

LARGEST = 0.05
"""Share of all documents that a narrative may have."""

ORIGINALS = 3
"""Members of every narrative that are no copies, at least."""

COPY_COSINES = (0.985, 0.999)
"""Range of the cosine of a copy with the member it copies. Two copies of one member are at .985^2 = .970 at the least, so that all
that copies one document lies within the .97 of near-duplicates, whichever of them leads."""

EXACT = 0.25
"""Share of the copies that are equal to the member."""

COPIED = 0.12
"""Share of the members of a narrative that have copies, one member at least."""

SKEW = 1.7
"""How much copies prefer few of these members; 1 is not at all."""

DECAY = 0.4
"""Exponent of the standard deviations of the axes."""

SPREADS = (0.3, 1.2)
"""How far members lie from the centre of their narrative, on average: least and greatest over narratives."""

CENTRE = 1.0
"""How far a centre lies from its theme, on average."""

AROUND = 1.5
"""How far a background document lies from its theme, on average."""

THEMES = 20
"""How many themes there are, whatever the number of documents."""

BLOCK = 8192
"""Rows made at once."""


@dataclass(frozen=True, slots=True)
class Planted:
    """Rows and their truth.

    Attributes
    ----------
    rows
        (n, `DIMS`) float32 unit rows.
    labels
        (n,) int64 narrative from 0 on, 0 the largest; -1 is background.
    copied
        (n,) int64 index of the row that a row is a near-copy of; its own where it is none.
    """

    rows: Floats
    labels: Ints
    copied: Ints


def planted(documents: int, *, seed: int = 0) -> Planted:
    """Return `documents` rows in random order with narratives among background.

    Parameters
    ----------
    documents
        How many; at least `MINIMUM`.
    seed
        Same seed and number, same bytes.

    Raises
    ------
    InputError
        If `documents` is below `MINIMUM`, or `seed` below 0.
    """
    if documents < MINIMUM or seed < 0:
        raise InputError(f"{documents} documents, seed {seed}", f"at least {MINIMUM} documents and a seed from 0 on")
    labels, copied = _layout(documents, np.random.default_rng([seed, 0]))
    rows = np.empty((documents, DIMS), dtype=np.float32)
    _fill_originals(rows, labels, copied, seed)
    _fill_copies(rows, copied, seed)
    return Planted(rows, labels, copied)


def planted_giant(copies: int = 500_000, *, others: int = 10_000, seed: int = 0) -> Planted:
    """Return `planted` rows, and among them in random order one document with `copies` near-copies, which is narrative 0.

    Raises
    ------
    InputError
        If `copies` is below 1 or `others` below `MINIMUM`.
    """
    if copies < 1:
        raise InputError(f"{copies} copies", "at least 1")
    base = planted(others, seed=seed)
    rng = np.random.default_rng([seed, 5])
    total = others + copies + 1
    place = rng.permutation(total)
    rows = np.empty((total, DIMS), dtype=np.float32)
    labels, copied = np.zeros(total, dtype=np.int64), np.empty(total, dtype=np.int64)
    rows[place[:others]] = base.rows
    labels[place[:others]] = np.where(base.labels >= 0, base.labels + 1, -1)
    copied[place[:others]] = place[base.copied]
    source = place[others]
    rows[source] = _unit(_deviations(rng, 1, _signs(seed)))[0]
    copied[place[others:]] = source
    for number, block in _blocks(np.sort(place[others + 1 :])):
        rows[block] = _copies_of(rows[copied[block]], np.random.default_rng([seed, 6, number]))
    return Planted(rows, labels, copied)


def narrative_sizes(documents: int, rng: np.random.Generator) -> Ints:
    """Return sizes of narratives that hold `documents` together, the largest first; see the head of this file."""
    greatest = max(float(SMALLEST), LARGEST * documents / (1 - BACKGROUND))
    sizes: list[int] = []
    left = documents
    while left > 0:
        u = float(rng.random())
        size = min(left, int(1 / ((1 - u) / SMALLEST + u / greatest)))
        if left - size < SMALLEST:
            # What is left over is no narrative of its own.
            size = left
        sizes.append(size)
        left -= size
    return np.sort(np.array(sizes, dtype=np.int64))[::-1].copy()


def _layout(documents: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return the narrative of each row, and the row that it copies."""
    outside = round(BACKGROUND * documents)
    sizes = narrative_sizes(documents - outside, rng)
    starts = np.cumsum(sizes) - sizes
    owner = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(len(owner)) - starts[owner]
    # The first members of every narrative are originals; copies are drawn among the others.
    may_copy = np.flatnonzero(within >= ORIGINALS)
    is_copy = np.zeros(len(owner), dtype=bool)
    is_copy[rng.choice(may_copy, min(len(may_copy), round(COPIES * documents)), replace=False)] = True
    originals = np.flatnonzero(~is_copy)
    first = np.searchsorted(originals, starts)
    count = np.diff(np.append(first, len(originals)))
    copies = np.flatnonzero(is_copy)
    repeated = np.ceil(COPIED * count).astype(np.int64)
    drawn = (repeated[owner[copies]] * rng.random(len(copies)) ** SKEW).astype(np.int64)
    source = np.arange(len(owner))
    source[copies] = originals[first[owner[copies]] + drawn]
    place = rng.permutation(documents)
    labels, copied = np.full(documents, -1, dtype=np.int64), np.arange(documents)
    labels[place[: len(owner)]] = owner
    copied[place[: len(owner)]] = place[source]
    return labels, copied


def _fill_originals(rows: Floats, labels: Ints, copied: Ints, seed: int) -> None:
    rng = np.random.default_rng([seed, 1])
    signs = _signs(seed)
    narratives = int(labels.max()) + 1
    themes = _unit(_deviations(rng, THEMES, signs))
    centres = _unit(themes[rng.integers(THEMES, size=narratives)] + CENTRE * _deviations(rng, narratives, signs))
    low, high = np.log(SPREADS)
    spread = np.exp(rng.uniform(low, high, narratives)).astype(np.float32)
    around = np.float32(AROUND)
    for number, block in _blocks(np.flatnonzero(copied == np.arange(len(rows)))):
        draw = np.random.default_rng([seed, 2, number])
        made = _deviations(draw, len(block), signs)
        theme = draw.integers(THEMES, size=len(block))
        label = labels[block]
        inside = label >= 0
        made *= np.where(inside, spread[label], around)[:, None]
        made += np.where(inside[:, None], centres[label], themes[theme])
        rows[block] = _unit(made)


def _fill_copies(rows: Floats, copied: Ints, seed: int) -> None:
    for number, block in _blocks(np.flatnonzero(copied != np.arange(len(rows)))):
        rows[block] = _copies_of(rows[copied[block]], np.random.default_rng([seed, 3, number]))


def _copies_of(rows: Floats, rng: np.random.Generator) -> Floats:
    """Return a near-copy of each row: the row turned by the angle of a drawn cosine, or as it is."""
    away = rng.standard_normal(rows.shape, dtype=np.float32)
    away -= np.einsum("ij,ij->i", away, rows)[:, None] * rows
    cosine = rng.uniform(*COPY_COSINES, len(rows))
    exact = rng.random(len(rows)) < EXACT
    made = _unit(cosine.astype(np.float32)[:, None] * rows + np.sqrt(1 - cosine**2).astype(np.float32)[:, None] * _unit(away))
    made[exact] = rows[exact]
    return made


def _signs(seed: int) -> Floats:
    return np.random.default_rng([seed, 4]).choice(np.array([-1, 1], dtype=np.float32), DIMS)


def _deviations(rng: np.random.Generator, count: int, signs: Floats) -> Floats:
    """Return (count, `DIMS`) float32 deviations of unit length on average."""
    scale = np.arange(1, DIMS + 1, dtype=np.float64) ** -DECAY
    scale /= np.sqrt((scale**2).sum() * DIMS)
    made = rng.standard_normal((count, DIMS), dtype=np.float32)
    made *= scale.astype(np.float32)
    half = 1
    while half < DIMS:
        pairs = made.reshape(count, DIMS // (2 * half), 2, half)
        left, right = pairs[:, :, 0].copy(), pairs[:, :, 1]
        pairs[:, :, 0] += right
        pairs[:, :, 1] = left - right
        half *= 2
    made *= signs
    return made


def _unit(rows: Floats) -> Floats:
    rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return rows


def _blocks(chosen: Ints) -> Iterator[tuple[int, Ints]]:
    for number, start in enumerate(range(0, len(chosen), BLOCK)):
        yield number, chosen[start : start + BLOCK]
