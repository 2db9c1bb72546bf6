"""The character 5-grams of texts, and signatures that two similar sets of them must share.

A set is compared by the 64-bit hashes of its grams. Sets A and B of n and m grams have a Jaccard similarity of t or more exactly if
their symmetric difference is at most c (n + m), c = (1 - t) / (1 + t). Two things follow from that, both without misses:

- Parts (after PartEnum: Arasu, Ganti and Kaushik, VLDB 2006). Spread all grams by their hashes over p > d parts; each of at most d
  grams that differ spoils one part, so that A and B agree in p - d parts or more, empty ones counted. Whoever looks a set up by the
  contents of its parts may therefore leave out any p - d - 1 of them: the commonest, which are empty or hold one frequent gram.
- Sketches (after the bitmap filter: Sandes, Teodoro and Melo 2020). Every gram flips one of 256 bits; the bits in which two sketches
  differ are at most as many as the grams in which the sets do.

p grows with the size of a set, so sets fall into classes of sizes, each with its own p; a set is looked up in every class that can
hold a set similar to it. Sets of `LONG` grams and more would have so many parts that any two of one language shared some. They are
one class, looked up by bands of minima (Broder 1997; one permutation cut into bins: Li, Owen and Zhang, NIPS 2012): the least hash of
a bin is the same with probability t or more, so that a pair at 0.8 is missed with probability (1 - 0.8^5)^40 = 1.3e-7, one at 0.7
with 6e-4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greyzone.ranges import ranges

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Keys = npt.NDArray[np.uint32]

GRAM = 5
"""Characters of a shingle; a shorter text is one."""

WIDTH = 1.25
"""Largest over smallest size of a class. Wider ones have smaller parts, narrower ones more look-ups."""

SPARE = 0.15
"""Parts over those that must be there, by those: so many of the commonest are never looked up. Time hangs little on it (measured)."""

LONG = 256
"""Grams of the smallest set that is looked up by minima: below it nothing is missed."""

BANDS, ROWS = 40, 5
"""Bands of minima, and minima of a band."""

SKETCH_BITS = 256

BATCH_CELLS = 2**21
"""Grams held at once as a matrix."""

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio, odd: base of the rolling polynomial."""

_PADDING = np.uint64(2**64 - 1)
_WORDS = SKETCH_BITS // 64


@dataclass(frozen=True, slots=True)
class Ragged:
    """Sorted distinct `grams` of several texts one after the other; text i has those from `starts[i]` to `starts[i + 1]`."""

    grams: Hashes
    starts: Ints


@dataclass(frozen=True, slots=True)
class Sizes:
    """The classes of set sizes for a least Jaccard similarity.

    Parameters
    ----------
    similarity
        Least Jaccard similarity sought.
    firsts
        (classes,) smallest size of each class; the last one, of long sets, has no largest.
    parts
        (classes,) parts of each class, or bands of the last.
    """

    similarity: float
    firsts: Ints
    parts: Ints

    @classmethod
    def at(cls, similarity: float) -> Sizes:
        """Return the classes for a least similarity."""
        firsts = [1]
        while firsts[-1] < LONG:
            firsts.append(min(LONG, max(firsts[-1] + 1, math.ceil(firsts[-1] * WIDTH))))
        last = np.array(firsts[1:], dtype=np.int64) - 1
        least = _most_different(last + np.floor(last / similarity + 1e-9), similarity) + 1
        parts = np.append(least + np.ceil(SPARE * least).astype(np.int64), BANDS)
        return cls(similarity, np.array(firsts, dtype=np.int64), parts)

    def of(self, sizes: Ints) -> Ints:
        """Return the class of each size."""
        return np.searchsorted(self.firsts, sizes, side="right") - 1

    def within(self, sizes: Ints, number: int) -> tuple[npt.NDArray[np.bool_], Ints]:
        """Return which sets may have similar ones in class `number`, and how many parts must be looked up for them."""
        most = np.floor(sizes / self.similarity + 1e-9).astype(np.int64)
        if number == len(self.firsts) - 1:
            return most >= LONG, np.full(len(sizes), BANDS, dtype=np.int64)
        most = np.minimum(most, self.firsts[number + 1] - 1)
        fits = most >= np.maximum(self.firsts[number], np.ceil(sizes * self.similarity - 1e-9))
        return fits, _most_different(sizes + most, self.similarity) + 1

    def keys(self, sets: Ragged, number: int) -> Keys:
        """Return the (sets, parts) keys by which sets are looked up in class `number`."""
        parts = int(self.parts[number])
        return band_keys(sets) if number == len(self.firsts) - 1 else part_keys(sets, number, parts)


def differing(sizes: Ints, others: Ints | npt.NDArray[np.float64], similarity: float) -> Ints:
    """Return in how many grams sets of these sizes may differ at most."""
    return _most_different(sizes + others, similarity)


def _most_different(grams: Ints | npt.NDArray[np.float64], similarity: float) -> Ints:
    found: Ints = np.floor((1 - similarity) / (1 + similarity) * grams + 1e-9).astype(np.int64)
    return found


def gram_sets(texts: Sequence[str]) -> Iterator[tuple[Ints, Ragged]]:
    """Yield the texts' gram sets in groups of similar length, with the places of the texts in a group.

    Parameters
    ----------
    texts
        Normal forms; none is empty.

    Yields
    ------
    places, sets
        (group,) int64 and the sets in that order. Every place comes once.
    """
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    order = np.argsort(lengths, kind="stable")
    begin = 0
    while begin < len(texts):
        shortest = max(int(lengths[order[begin]]), GRAM)
        end = int(np.searchsorted(lengths[order], shortest + shortest // 8, side="right"))
        end = min(end, begin + max(1, BATCH_CELLS // (shortest + shortest // 8)))
        places = order[begin:end]
        yield places, _sets([texts[place] for place in places.tolist()])
        begin = end


def _sets(texts: list[str]) -> Ragged:
    padded = [text if len(text) >= GRAM else text.ljust(GRAM, "\0") for text in texts]
    points = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    hashes = np.zeros(len(points) - GRAM + 1, dtype=np.uint64)
    for step in range(GRAM):
        hashes *= MULTIPLIER
        hashes += points[step : len(points) - GRAM + 1 + step]
    hashes = np.minimum(mixed(hashes), _PADDING - np.uint64(1))
    counts = np.fromiter(map(len, padded), dtype=np.int64, count=len(padded))
    begins = np.cumsum(counts) - counts
    counts -= GRAM - 1
    columns = np.arange(int(counts.max()))
    inside = columns < counts[:, None]
    matrix = np.full(inside.shape, _PADDING)
    matrix[inside] = hashes[(begins[:, None] + columns)[inside]]
    matrix.sort(axis=1)
    kept = matrix != _PADDING
    kept[:, 1:] &= matrix[:, 1:] != matrix[:, :-1]
    return Ragged(matrix[kept], np.concatenate([[0], np.cumsum(kept.sum(axis=1))]))


def mixed(values: Hashes) -> Hashes:
    """Finalise as splitmix64 does (Steele, Lea and Flood 2014): every bit of a value changes half of the result's."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def sketches(sets: Ragged) -> Hashes:
    """Return the (sets, 4) uint64 sketches."""
    count = len(sets.starts) - 1
    row = np.repeat(np.arange(count), np.diff(sets.starts))
    # Bits from the low end of the hash: its high end says which part a gram is in.
    flips = np.bincount(row * SKETCH_BITS + (sets.grams & np.uint64(SKETCH_BITS - 1)).astype(np.int64), minlength=count * SKETCH_BITS)
    return np.packbits((flips & 1).astype(np.uint8)).view(np.uint64).reshape(count, _WORDS)


def part_keys(sets: Ragged, number: int, parts: int) -> Keys:
    """Return the (sets, parts) keys of class `number`: equal parts have equal keys, other ones differ but for 1 in 2^32."""
    place, starts = _runs(sets, parts)
    sums = np.zeros((len(sets.starts) - 1) * parts, dtype=np.uint64)
    sums[place[starts]] = np.add.reduceat(mixed(sets.grams), starts)
    return _salted(sums.reshape(-1, parts), number)


def band_keys(sets: Ragged) -> Keys:
    """Return the (sets, `BANDS`) keys of the least hashes in the bins of each band; an empty bin is like another empty one."""
    place, starts = _runs(sets, BANDS * ROWS)
    least = np.zeros((len(sets.starts) - 1) * BANDS * ROWS, dtype=np.uint64)
    least[place[starts]] = sets.grams[starts]
    bins = least.reshape(-1, BANDS, ROWS)
    found = np.zeros(bins.shape[:2], dtype=np.uint64)
    for row in range(ROWS):
        found = mixed(found * MULTIPLIER + bins[:, :, row])
    return _salted(found, LONG)


def _runs(sets: Ragged, parts: int) -> tuple[Ints, Ints]:
    """Return the part of each gram, counted through all sets, and where a part begins: parts are runs of a sorted set."""
    row = np.repeat(np.arange(len(sets.starts) - 1), np.diff(sets.starts))
    # The multiplied high half is a number below `parts` that grows with the hash.
    place = row * parts + ((sets.grams >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32)).astype(np.int64)
    return place, np.flatnonzero(np.diff(place, prepend=-1))


def _salted(values: Hashes, number: int) -> Keys:
    """Return 32 bits of each value that differ from part to part and from class to class."""
    salt = mixed((np.arange(values.shape[1], dtype=np.uint64) + np.uint64(number << 32)) * MULTIPLIER)
    return (mixed(values + salt) >> np.uint64(32)).astype(np.uint32)


def jaccard(left: Ragged, right: Ragged, pairs: tuple[Ints, Ints]) -> npt.NDArray[np.float64]:
    """Return (pairs,) float64 Jaccard similarities of set `pairs[0][i]` of `left` and set `pairs[1][i]` of `right`."""
    ours, theirs = np.diff(left.starts)[pairs[0]], np.diff(right.starts)[pairs[1]]
    found = np.empty(len(ours))
    order = np.argsort(ours + theirs, kind="stable")
    totals = (ours + theirs)[order]
    begin = 0
    while begin < len(order):
        # Pairs of similar size make a matrix with little padding; a gram that both have stands in it twice, side by side.
        ahead = totals[begin : begin + max(1, BATCH_CELLS // int(totals[begin]))]
        end = begin + max(1, int((ahead * np.arange(1, len(ahead) + 1) <= BATCH_CELLS).sum()))
        rows = order[begin:end]
        matrix = np.full((len(rows), int((ours[rows] + theirs[rows]).max())), _PADDING)
        _fill(matrix, left, pairs[0][rows], np.zeros(len(rows), dtype=np.int64))
        _fill(matrix, right, pairs[1][rows], ours[rows])
        matrix.sort(axis=1)
        common = ((matrix[:, 1:] == matrix[:, :-1]) & (matrix[:, 1:] != _PADDING)).sum(axis=1)
        found[rows] = common / (ours[rows] + theirs[rows] - common)
        begin = end
    return found


def _fill(matrix: Hashes, sets: Ragged, chosen: Ints, offsets: Ints) -> None:
    """Write the chosen sets into the rows of `matrix`, each from its offset on."""
    counts = np.diff(sets.starts)[chosen]
    row = np.repeat(np.arange(len(chosen)), counts)
    matrix[row, ranges(offsets, counts)] = sets.grams[ranges(sets.starts[chosen], counts)]
