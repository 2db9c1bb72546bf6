"""Latent semantic analysis: texts to unit rows by the words of the corpus that it was fitted on (see `greyzone.lexical`)."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import linalg, sparse
from sklearn.base import BaseEstimator, TransformerMixin
from threadpoolctl import threadpool_limits

from greyzone.errors import InputError
from greyzone.neighbours import Doubles, Ints, unit_rows
from greyzone.records import Floats
from greyzone.text import fold, words

ITERATIONS = 3
"""Rounds of subspace iteration; more changed the average precision of no set by more than 0.002."""

BLOCK_ROWS = 2**14
"""Rows turned or joined at a time, which bounds memory; it cannot change a row."""


class LexicalChannel(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Texts to unit rows by latent semantic analysis of the texts it was fitted on.

    Parameters
    ----------
    components
        Most coordinates of a row; fewer where there are fewer texts or words.
    least_texts
        Distinct texts that a word must stand in: a word of one text joins nothing.
    most_words
        Words that are kept, those of most texts first (ties in alphabetical order); `words_beyond_` counts the others.
    fit_texts
        Distinct texts that the basis is fitted on; `texts_fitted_` tells how many there were. All texts count for df.

    Attributes
    ----------
    words_
        Folded words in alphabetical order.
    idf_
        (words,) float64.
    basis_
        (words, k) float32, orthonormal columns; k is `components` or fewer.
    texts_, texts_fitted_
        Distinct texts seen, and those of them that the basis is fitted on.
    words_rare_, words_beyond_
        Words left out because too few texts have them, or because of `most_words`.
    captured_
        Mean share of the squared norm of the weighted words that the basis keeps, over the fitted texts that have any of `words_`.

    Examples
    --------
    >>> rows = LexicalChannel().fit_transform(["Bank raid in Kyiv", "raid on bank", "Sunny day", "sunny Kyiv"])
    >>> bool(rows[0] @ rows[1] > rows[0] @ rows[3] > rows[0] @ rows[2])
    True
    """

    def __init__(self, *, components: int = 256, least_texts: int = 2, most_words: int = 2**16, fit_texts: int = 2**15) -> None:
        self.components = components
        self.least_texts = least_texts
        self.most_words = most_words
        self.fit_texts = fit_texts

    def fit(self, texts: Sequence[str], y: object = None) -> Self:  # noqa: ARG002
        """Learn the words, their weights and the basis from `texts`, in any order; equal texts count once.

        Raises
        ------
        InputError
            If a setting is below 1.
        """
        self._fit(sorted(set(texts)))
        return self

    def fit_transform(self, texts: Sequence[str], y: object = None) -> Floats:  # noqa: ARG002
        """Fit and return the rows of `texts`, as `transform` would."""
        distinct = sorted(set(texts))
        place = {text: number for number, text in enumerate(distinct)}
        rows = self._turned(self._fit(distinct))
        return rows[np.fromiter((place[text] for text in texts), dtype=np.int64, count=len(texts))]

    def transform(self, texts: Sequence[str]) -> Floats:
        """Return (len(texts), k) float32 unit rows; a text without any of `words_` gives a zero row."""
        out = np.zeros((len(texts), self.basis_.shape[1]), dtype=np.float32)
        for start in range(0, len(texts), BLOCK_ROWS):
            out[start : start + BLOCK_ROWS] = self._turned(self._weighted(_bags(texts[start : start + BLOCK_ROWS])))
        return out

    def _fit(self, distinct: Sequence[str]) -> sparse.csr_array:
        """Learn from distinct texts in their order and return their weighted bags."""
        for name, value in self.get_params().items():
            if value < 1:
                raise InputError(f"{name} {value}", "1 or more")
        bags = _bags(distinct)
        self._learn_words(bags, len(distinct))
        weighted = self._weighted(bags)
        chosen = weighted[smallest(distinct, self.fit_texts)]
        self.texts_, self.texts_fitted_ = len(distinct), chosen.shape[0]
        self.basis_ = _basis(chosen, self.components)
        told = chosen[np.diff(chosen.indptr) > 0]
        kept = np.square(np.asarray(told @ self.basis_), dtype=np.float64).sum(axis=1)
        self.captured_ = float(kept.mean()) if len(kept) else 0.0
        return weighted

    def _turned(self, weighted: sparse.csr_array) -> Floats:
        out = np.empty((weighted.shape[0], self.basis_.shape[1]), dtype=np.float32)
        for start in range(0, len(out), BLOCK_ROWS):
            out[start : start + BLOCK_ROWS] = unit_rows(np.asarray(weighted[start : start + BLOCK_ROWS] @ self.basis_))
        return out

    def _learn_words(self, bags: _Bags, texts: int) -> None:
        found = np.bincount(bags.counts.indices, minlength=len(bags.words))
        common = [(-int(found[place]), word, place) for word, place in bags.words.items() if found[place] >= self.least_texts]
        kept = sorted((word, place) for _, word, place in sorted(common)[: self.most_words])
        self.words_ = tuple(word for word, _ in kept)
        self.words_rare_, self.words_beyond_ = len(bags.words) - len(common), len(common) - len(kept)
        self.idf_ = 1.0 + np.log((1.0 + texts) / (1.0 + found[np.array([place for _, place in kept], dtype=np.int64)]))

    def _weighted(self, bags: _Bags) -> sparse.csr_array:
        """Return the weighted bags (texts, words_) float32 with rows of norm 1."""
        places = {word: place for place, word in enumerate(self.words_)}
        column = np.fromiter((places.get(word, -1) for word in bags.words), dtype=np.int64, count=len(bags.words))
        row, place, number = _cells(bags.counts)
        inside = column[place] >= 0
        row, place, number = row[inside], column[place[inside]], number[inside]
        # In the order of the columns, so that a row is added up alike in whatever company it stands.
        order = np.lexsort((place, row))
        row, place = row[order], place[order]
        values = (1.0 + np.log(number[order])) * self.idf_[place]
        norms = np.sqrt(np.bincount(row, weights=values**2, minlength=bags.counts.shape[0]))
        cells = ((values / norms[row]).astype(np.float32), (row, place))
        return sparse.csr_array(cells, shape=(bags.counts.shape[0], len(self.words_)))


@dataclass(frozen=True, slots=True)
class _Bags:
    """Folded `words` with their columns, and the `counts` (texts, words) of each text."""

    words: dict[str, int]
    counts: sparse.csr_array


def _bags(texts: Sequence[str]) -> _Bags:
    known: dict[str, int] = {}
    columns: dict[str, int] = {}
    flat = array("q")
    ends = np.zeros(len(texts) + 1, dtype=np.int64)
    for row, text in enumerate(texts):
        for word in words(text):
            place = known.get(word)
            if place is None:
                folded = fold(word)
                place = known[word] = columns.setdefault(folded, len(columns)) if folded else -1
            if place >= 0:
                flat.append(place)
        ends[row + 1] = len(flat)
    indices = np.frombuffer(flat, dtype=np.int64) if flat else np.empty(0, dtype=np.int64)
    owners = np.repeat(np.arange(len(texts), dtype=np.int64), np.diff(ends))
    keys, number = np.unique(owners * max(1, len(columns)) + indices, return_counts=True)
    cells = (number.astype(np.float32), (keys // max(1, len(columns)), keys % max(1, len(columns))))
    return _Bags(columns, sparse.csr_array(cells, shape=(len(texts), len(columns))))


def _cells(counts: sparse.csr_array) -> tuple[Ints, Ints, Doubles]:
    found = counts.tocoo()
    return found.row.astype(np.int64), found.col.astype(np.int64), found.data.astype(np.float64)


def _digest(text: str) -> bytes:
    # A digest of its own: what was itself chosen by the smallest digests would fill every sample.
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, person=b"greyzone lexical").digest()


def smallest(texts: Sequence[str], most: int) -> Ints:
    """Return the places of the `most` texts with the smallest digests, in the order given."""
    if len(texts) <= most:
        return np.arange(len(texts), dtype=np.int64)
    ranked = sorted(range(len(texts)), key=lambda place: _digest(texts[place]))
    return np.sort(np.array(ranked[:most], dtype=np.int64))


def _basis(rows: sparse.csr_array, components: int) -> Floats:
    """Return (words, k) float32 with orthonormal columns that span nearly the leading right singular space of `rows`."""
    k = min(components, *rows.shape)
    if k == 0:
        return np.zeros((rows.shape[1], 0), dtype=np.float32)
    with threadpool_limits(limits=1):
        basis = np.random.default_rng(0).standard_normal((rows.shape[1], k), dtype=np.float32)
        transposed = rows.T.tocsr()
        for _ in range(ITERATIONS):
            basis = _orthonormal(np.asarray(transposed @ _orthonormal(np.asarray(rows @ basis))))
    return basis


def _orthonormal(columns: Floats) -> Floats:
    """Return the Q of a QR decomposition, signs such that R has a diagonal of no negative numbers."""
    q, r = linalg.qr(columns, mode="economic", overwrite_a=True, check_finite=False)
    return np.asarray(q * np.where(np.diagonal(r) < 0, -1.0, 1.0).astype(columns.dtype))
