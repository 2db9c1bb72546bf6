"""Hashes of words and character n-grams that are the same on every machine, and the chunks in which texts are worked through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_BASE = np.uint64(0x100000001B3)


def mix(values: Hashes) -> Hashes:
    """Return the finaliser of SplitMix64 (Steele, Lea and Flood 2014) of every value."""
    mixed = values + GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    return mixed ^ (mixed >> np.uint64(31))


def pair_hashes(first: Hashes, second: Hashes) -> Hashes:
    """Return the hash of each ordered pair."""
    return mix(first * _BASE + mix(second))


def word_hashes(vocabulary: Sequence[str]) -> Hashes:
    """Return 64-bit hashes of the words: a sum over mixed (position, code point)."""
    if not vocabulary:
        return np.zeros(0, dtype=np.uint64)
    codes, starts, lengths = _codes(vocabulary)
    places = (np.arange(len(codes)) - np.repeat(starts, lengths)).astype(np.uint64)
    return mix(np.add.reduceat(mix(codes * _BASE + mix(places)), starts))


def ngram_hashes(vocabulary: Sequence[str], size: int) -> tuple[Integers, Hashes]:
    """Return the word and the hash of every character n-gram of `size`, word boundaries included; a shorter word has none."""
    codes, starts, lengths = _codes(vocabulary)
    owners = np.repeat(np.arange(len(vocabulary)), lengths)
    places = np.flatnonzero(np.arange(len(codes)) + size <= np.repeat(starts + lengths, lengths))
    hashed = np.full(len(places), size, dtype=np.uint64)
    for step in range(size):
        hashed = mix(hashed * _BASE + codes[places + step])
    return owners[places], hashed


def chunk_bounds(texts: Sequence[str], *, characters: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield the bounds of chunks of about `characters` characters and at most `most` texts."""
    first = size = 0
    for position, text in enumerate(texts):
        size += len(text)
        if size >= characters or position - first >= most - 1:
            yield first, position + 1
            first, size = position + 1, 0
    if first < len(texts):
        yield first, len(texts)


def _codes(vocabulary: Sequence[str]) -> tuple[Hashes, Integers, Integers]:
    """Return the code points of ``<word>`` after ``<word>``, with the first place and the length of each."""
    bounded = [f"\x02{word}\x03" for word in vocabulary]
    lengths = np.array([len(word) for word in bounded], dtype=np.int64)
    codes = np.frombuffer("".join(bounded).encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    return codes, np.cumsum(lengths) - lengths, lengths
