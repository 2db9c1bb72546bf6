"""The embedded encoder: needs no download and no training, and gives the same bytes on every machine.

A text is the sum of its folded words, each weighted by SIF ``a / (a + p(word))`` (Arora, Liang and Ma, ICLR 2017) and sublinear tf
``1 + ln tf``, plus the pairs of neighbouring words. A word is its own feature plus its character n-grams, spelt in Latin letters, so
that inflections and names in two scripts meet. Features reach `dimensions` coordinates by a sparse signed random projection
(Achlioptas 2003; Li, Hastie and Church 2006) whose entries are hashes, so nothing is stored.

It knows spelling, not meaning: paraphrases and translations meet only in the words and names that they share.

Everything up to the last division is a sum of integers below 2**53, exact in float64: neither the batch, nor the order, nor the
processor can change a vector.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt
from scipy import sparse

from greyzone.errors import InputError
from greyzone.models.hashing import GOLDEN, Hashes, chunk_bounds, mix, ngram_hashes, pair_hashes, word_hashes
from greyzone.records import Floats
from greyzone.text import fold, words

Integers = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

VERSION = 1
"""Raised whenever the code would give another vector for the same settings."""

WEIGHT_ONE = 1 << 10
"""Fixed-point unit of a weight."""

VECTOR_ONE = 1 << 8
"""Fixed-point unit of a word's share in a feature."""

UNKNOWN_LEVEL = 600
"""-100 log10 p of a word that a language's table lacks: one in a million."""

CHUNK_CHARACTERS = 1 << 19
"""Texts are encoded in chunks of about this many characters, which bounds memory; it cannot change a vector."""

CHUNK_TEXTS = 1 << 13

VOCABULARY_SLICE = 1 << 13
"""Words whose vectors are held at a time, for the same reason."""

LONGEST_STEM = 64
"""Character n-grams are taken of this many first characters of a word; what is longer is no word but a blob."""


@dataclass(frozen=True, slots=True)
class HashedSettings:
    """Settings of `HashedEncoder`; tuned on GoogleNews stories and STS-B, English (evaluation data, nothing was trained on it).

    Attributes
    ----------
    dimensions
        Length of a vector.
    entries
        Non-zero coordinates of one feature.
    sif
        The a of SIF: a word of this frequency weighs one half.
    ngram_share
        Norm of a word's character n-grams together, where the word itself has norm 1.
    pair_share
        Norm of a pair of neighbouring words, times the geometric mean of their weights.
    shortest, longest
        Lengths of the character n-grams, word boundaries included.
    """

    dimensions: int = 512
    entries: int = 8
    sif: float = 5e-4
    ngram_share: float = 1.0
    pair_share: float = 0.15
    shortest: int = 3
    longest: int = 5


class HashedEncoder:
    """Encoder of hashed words, word pairs and character n-grams.

    Parameters
    ----------
    settings
        Sizes and weights.

    Raises
    ------
    InputError
        If a setting is out of range.
    """

    def __init__(self, settings: HashedSettings | None = None) -> None:
        self.settings = settings or HashedSettings()
        if not 8 <= self.settings.dimensions <= 1 << 16 or not 1 <= self.settings.entries <= min(64, self.settings.dimensions):
            raise InputError(f"settings {astuple(self.settings)}", "8..65536 dimensions and 1..64 entries, no more than dimensions")
        if not self.settings.sif > 0 or not 1 <= self.settings.shortest <= self.settings.longest <= 16:
            raise InputError(f"settings {astuple(self.settings)}", "sif above 0 and n-grams of 1..16 characters, shortest first")
        if not 0 <= self.settings.ngram_share <= 16 or not 0 <= self.settings.pair_share <= 16:
            raise InputError(f"settings {astuple(self.settings)}", "shares in 0..16")

    @property
    def fingerprint(self) -> str:
        """Hex digest over the code version, the settings and the shipped frequency table."""
        stated = json.dumps(["hashed", VERSION, *astuple(self.settings), hashlib.sha256(_table_bytes()).hexdigest()])
        return hashlib.sha256(stated.encode()).hexdigest()[:32]

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self.settings.dimensions

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return the vectors of `texts`.

        Parameters
        ----------
        texts
            Any texts; every word counts, however long the text.

        Returns
        -------
        Floats
            (len(texts), dimensions) float32, rows of norm 1; a text without words gives a zero row.
        """
        out = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for first, last in chunk_bounds(texts, characters=CHUNK_CHARACTERS, most=CHUNK_TEXTS):
            out[first:last] = _normalise(self._sums([words(text) for text in texts[first:last]]))
        return out

    def _sums(self, tokens: Sequence[Sequence[str]]) -> Doubles:
        """Return the integer-valued sums (len(tokens), dimensions) before they are normalised."""
        settings = self.settings
        vocabulary, owners, indices = _index(tokens)
        if not vocabulary:
            return np.zeros((len(tokens), settings.dimensions))
        levels = _levels(vocabulary)
        languages = _languages(owners, indices, levels, len(tokens))
        hashes = word_hashes(vocabulary)
        keys, counts = np.unique(owners * len(vocabulary) + indices, return_counts=True)
        rows, columns = keys // len(vocabulary), keys % len(vocabulary)
        weights = _sif(levels[columns, languages[rows]], settings.sif)
        scaled = np.rint(weights * _tf(counts))
        bags = sparse.csc_matrix((scaled, (rows, columns)), shape=(len(tokens), len(vocabulary)))
        sums = np.zeros((len(tokens), settings.dimensions))
        for start in range(0, len(vocabulary), VOCABULARY_SLICE):
            part = slice(start, start + VOCABULARY_SLICE)
            sums += bags[:, part] @ _word_vectors(vocabulary[part], hashes[part], settings)
        if settings.pair_share > 0:
            sums += self._pair_sums(owners, indices, hashes, _sif(levels[indices, languages[owners]], settings.sif), len(tokens))
        return sums

    def _pair_sums(self, owners: Integers, indices: Integers, hashes: Hashes, weights: Doubles, n_texts: int) -> Doubles:
        """Return the sums of the pairs of neighbouring words; `weights` are per token."""
        settings = self.settings
        inside = np.flatnonzero(owners[1:] == owners[:-1])
        first, second = indices[inside], indices[inside + 1]
        pairs, places = np.unique(pair_hashes(hashes[first], hashes[second]), return_inverse=True)
        keys, found, counts = np.unique(owners[inside] * max(len(pairs), 1) + places, return_index=True, return_counts=True)
        rows = keys // max(len(pairs), 1)
        geometric = np.rint(np.sqrt(weights[inside][found] * weights[inside + 1][found]))
        scaled = np.rint(geometric * _tf(counts))
        coordinates, signs = _project(pairs[places[found]], settings)
        share = np.rint(settings.pair_share * VECTOR_ONE)
        cells = rows[:, None] * settings.dimensions + coordinates
        flat = np.bincount(cells.ravel(), (signs * (share * scaled)[:, None]).ravel(), minlength=n_texts * settings.dimensions)
        return flat.astype(np.float64, copy=False).reshape(n_texts, settings.dimensions)


@cache
def _table_bytes() -> bytes:
    return resources.files("greyzone.models").joinpath("data", "word_frequencies.json.xz").read_bytes()


@cache
def _frequency_levels() -> tuple[int, dict[str, tuple[tuple[int, int], ...]]]:
    """Return the number of languages and, per folded word, its (language index, level) pairs; English is language 0."""
    stored = json.loads(lzma.decompress(_table_bytes()))["languages"]
    order = ["en", *sorted(set(stored) - {"en"})]
    shares: dict[str, dict[int, float]] = {}
    for index, lang in enumerate(order):
        levels = np.cumsum(stored[lang]["level_steps"]).tolist()
        for word, level in zip(stored[lang]["words"].split(" "), levels, strict=True):
            folded = shares.setdefault(fold(word), {})
            folded[index] = folded.get(index, 0.0) + 10.0 ** (-level / 100)
    merged = {word: tuple((i, round(-100 * float(np.log10(p)))) for i, p in sorted(found.items())) for word, found in shares.items()}
    return len(order), merged


@cache
def _weights_by_level(sif: float) -> Doubles:
    """Return the fixed-point SIF weight of every level."""
    found: Doubles = np.array(
        [round(WEIGHT_ONE * sif / (sif + 10.0 ** (-level / 100))) for level in range(UNKNOWN_LEVEL + 1)], dtype=np.float64
    )
    return found


@cache
def _tf_table() -> Doubles:
    """Return ``1 + ln tf`` in steps of 1/64 for tf below 65,536."""
    found: Doubles = np.rint(64 * (1 + np.log(np.maximum(np.arange(1 << 16), 1)))) / 64
    return found


def _sif(levels: Integers, sif: float) -> Doubles:
    found: Doubles = _weights_by_level(sif)[levels]
    return found


def _tf(counts: Integers) -> Doubles:
    found: Doubles = _tf_table()[np.minimum(counts, (1 << 16) - 1)]
    return found


def _index(tokens: Sequence[Sequence[str]]) -> tuple[list[str], Integers, Integers]:
    """Return the folded vocabulary and, per token, its text and its place in the vocabulary."""
    places: dict[str, int] = {}
    flat: list[int] = []
    lengths: list[int] = []
    by_word: dict[str, int] = {}
    for found in tokens:
        before = len(flat)
        for word in found:
            place = by_word.get(word)
            if place is None:
                folded = fold(word)
                place = by_word[word] = places.setdefault(folded, len(places)) if folded else -1
            if place >= 0:
                flat.append(place)
        lengths.append(len(flat) - before)
    return list(places), np.repeat(np.arange(len(tokens), dtype=np.int64), lengths), np.array(flat, dtype=np.int64)


def _levels(vocabulary: Sequence[str]) -> Integers:
    """Return -100 log10 p of every word in every language, (len(vocabulary), languages)."""
    n_languages, known = _frequency_levels()
    levels = np.full((len(vocabulary), n_languages), UNKNOWN_LEVEL, dtype=np.int64)
    for row, word in enumerate(vocabulary):
        for language, level in known.get(word, ()):
            levels[row, language] = min(level, UNKNOWN_LEVEL)
    return levels


def _languages(owners: Integers, indices: Integers, levels: Integers, n_texts: int) -> Integers:
    """Return the most probable language of every text: naive Bayes over the frequency tables, English first among equals.

    Without it the German for "was" would take the weight of the English word "war".
    """
    bags = sparse.csr_matrix((np.ones(len(owners), dtype=np.int64), (owners, indices)), shape=(n_texts, len(levels)))
    found: Integers = np.asarray(bags @ levels).argmin(axis=1)
    return found


def _project(hashes: Hashes, settings: HashedSettings) -> tuple[Integers, Doubles]:
    """Return the coordinates and signs of the features, both (len(hashes), entries).

    Each entry has a block of ``dimensions / entries`` coordinates to itself, as in a count sketch, so no two meet.
    """
    bounds = np.linspace(0, settings.dimensions, settings.entries + 1).astype(np.int64)
    steps = np.arange(settings.entries, dtype=np.uint64) * GOLDEN
    drawn = mix(hashes[:, None] + steps[None, :])
    widths = np.diff(bounds).astype(np.uint64)
    coordinates = bounds[:-1] + ((drawn >> np.uint64(1)) % widths).astype(np.int64)
    signs = np.where(drawn & np.uint64(1), 1.0, -1.0)
    return coordinates, signs


def _word_vectors(vocabulary: Sequence[str], hashes: Hashes, settings: HashedSettings) -> Doubles:
    """Return the integer-valued vectors of the words: the word's own feature and its character n-grams."""
    owners = [np.arange(len(vocabulary))]
    features = [hashes]
    for size in range(settings.shortest, settings.longest + 1) if settings.ngram_share > 0 else ():
        owner, hashed = ngram_hashes([word[:LONGEST_STEM] for word in vocabulary], size)
        owners.append(owner)
        features.append(hashed)
    owner = np.concatenate(owners)
    n_own = len(vocabulary)
    n_grams = np.bincount(owner[n_own:], minlength=n_own)
    shares = np.full(len(owner), float(VECTOR_ONE))
    shares[n_own:] = np.rint(settings.ngram_share * VECTOR_ONE / np.sqrt(np.maximum(n_grams, 1)))[owner[n_own:]]
    coordinates, signs = _project(np.concatenate(features), settings)
    cells = owner[:, None] * settings.dimensions + coordinates
    flat = np.bincount(cells.ravel(), (signs * shares[:, None]).ravel(), minlength=n_own * settings.dimensions)
    return flat.astype(np.float64, copy=False).reshape(n_own, settings.dimensions)


def _normalise(sums: Doubles) -> Floats:
    """Return the rows divided by their norms as float32; zero rows stay zero."""
    norms = np.sqrt(np.square(sums).sum(axis=1, keepdims=True))
    return (sums / np.where(norms > 0, norms, 1.0)).astype(np.float32)
