"""The lexical channel: what the words of this corpus say beside the encoder, and how much it may count.

An encoder knows what words mean in general; which names and words hold a story together only the corpus knows. Latent semantic
analysis (Deerwester et al. 1990) learns it from the corpus itself:

1. Words are folded (`greyzone.text`), so that spellings and scripts meet. A word counts if it stands in `least_texts` distinct texts.
2. x = (1 + ln tf) (1 + ln((1 + n) / (1 + df))), rows of norm 1; df is counted over distinct texts, so copies do not make words common.
3. The leading right singular space of these rows by subspace iteration (Halko, Martinsson and Tropp 2011) from a fixed start, on
   `fit_texts` texts at most: those with the smallest digests. Text to row is then a product with that basis, scaled to norm 1.

`join` puts the two side by side, sim = (1 - w) cos_encoder + w cos_lexical, and `choose_weight` sets w by a rule that is measured on
the corpus; docs/method/lexical.md has the figures from which it was chosen.

The basis is fitted on texts in an order of their content, by one thread: neither the order of the rows nor the number of threads can
change a byte. Another processor or numerical library may change the last bits.
"""

from __future__ import annotations

import hashlib
import logging
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from scipy import linalg, sparse
from sklearn.base import BaseEstimator, TransformerMixin
from threadpoolctl import threadpool_limits

from greyzone.errors import InputError
from greyzone.neighbours import Doubles, Ints, unit_rows
from greyzone.records import Floats
from greyzone.text import fold, words

logger = logging.getLogger(__name__)

ITERATIONS = 3
"""Rounds of subspace iteration; more changed the average precision of no set by more than 0.002."""

Mode = Literal["auto", "on", "off"]

MOST_WEIGHT = 0.5
"""Weight where nothing speaks against words: both channels count alike."""

SUPPORT = (0.06, 0.17)
"""Below the first bound of captured * agreement words count nothing, from the second on in full; see docs/method/lexical.md."""

CROSSING = (0.1, 0.3)
"""Up to the first bound of crossing words count in full, from the second on nothing."""

LEAST_TEXTS = 50
"""Distinct texts with both rows below which nothing can be measured, and the channel stays out."""

SAMPLE = 2000
"""Texts that the rule looks at: all pairs of them are compared."""

PRIOR_TEXTS = 20
"""Texts of the whole corpus that stand in the mean of each language, so that a handful of texts is not centred to nothing."""

SMALLEST = 1e-6
"""A centred row shorter than this is a zero row."""

DECIMALS = 9
"""Cosines are rounded to this many decimals before they are ranked, so that ties are ties."""

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
        chosen = weighted[_smallest(distinct, self.fit_texts)]
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
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _smallest(texts: Sequence[str], most: int) -> Ints:
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


@dataclass(frozen=True, slots=True)
class LexicalChoice:
    """The weight that the lexical channel was given in a corpus, and the figures that it was given for.

    `captured` is the share of the squared norm of the weighted words that the basis keeps, `agreement` the mean reciprocal rank that a
    text's nearest by encoder has by words, `crossing` how far the encoder ties languages together (`_crossing`), each in [0, 1];
    None where nothing was measured. `texts` counts distinct texts, `words` the words kept, `words_left_out` the rare ones, and
    `texts_without_words` the distinct texts that have none of the words kept.
    """

    weight: float
    mode: str
    reason: str
    texts: int = 0
    words: int = 0
    words_left_out: int = 0
    texts_without_words: int = 0
    captured: float | None = None
    agreement: float | None = None
    crossing: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, as a manifest keeps them."""
        return asdict(self)


def join(embeddings: Floats, lexical: Floats, weight: float = 0.5) -> Floats:
    """Return rows whose cosine is (1 - weight) of the encoder's and weight of the lexical one.

    Parameters
    ----------
    embeddings, lexical
        (n, d) and (n, k) float32, unit or zero rows. Where one side is zero the row is the other side alone.
    weight
        0 to 1; at 0.5 both count alike.

    Returns
    -------
    Floats
        (n, d + k) float32, rows of norm 1, or 0 where both sides are zero.

    Raises
    ------
    InputError
        If the lengths differ or `weight` is out of its range.
    """
    if len(embeddings) != len(lexical):
        raise InputError(f"{len(embeddings)} embeddings and {len(lexical)} lexical rows", "one of each a document")
    if not 0 <= weight <= 1:
        raise InputError(f"weight {weight:g}", "0 to 1")
    width = embeddings.shape[1]
    out = np.empty((len(embeddings), width + lexical.shape[1]), dtype=np.float32)
    for start in range(0, len(out), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        one, other = embeddings[block], lexical[block]
        # Where one side says nothing, weights would only shrink the other, and at 0 or 1 lose it.
        first = np.where(other.any(axis=1), np.sqrt(1.0 - weight), 1.0)[:, None]
        second = np.where(one.any(axis=1), np.sqrt(weight), 1.0)[:, None]
        out[block] = unit_rows(np.hstack([one * first, other * second]))
    return out


def joined_rows(
    texts: Sequence[str], langs: Sequence[str | None], embeddings: Floats, *, mode: Mode = "auto"
) -> tuple[Floats, LexicalChoice]:
    """Return the rows to cluster: the embeddings, with the lexical channel beside them where the corpus supports it.

    Parameters
    ----------
    texts
        What was embedded.
    langs
        Language of each; None and "und" are a language of their own. Lexical rows are taken about the mean of their language
        (`_centred`), so that languages do not stand apart by their function words.
    embeddings
        (n, d) float32, unit or zero rows, equal for equal texts.
    mode
        "auto" weighs the channel by `choose_weight`; "on" gives it `MOST_WEIGHT`, "off" leaves it out.

    Returns
    -------
    rows, choice
        (n, d) or (n, d + k) float32 unit or zero rows, row i for text i, equal for equal texts whatever the order; and the choice.

    Raises
    ------
    InputError
        If the lengths differ or there is no such mode.
    """
    if not len(texts) == len(langs) == len(embeddings):
        raise InputError(f"{len(texts)} texts, {len(langs)} languages and {len(embeddings)} embeddings", "one of each a document")
    if mode not in ("auto", "on", "off"):
        raise InputError(f"mode {mode!r}", "auto, on or off")
    if mode == "off":
        return embeddings, LexicalChoice(0.0, mode, "it was switched off")
    distinct, first, inverse, groups = _distinct(texts, langs)
    channel = LexicalChannel()
    rows = channel.fit_transform(distinct)
    lexical = _centred(rows, groups)
    seen = embeddings[first]
    known = rows.any(axis=1)
    counts: dict[str, Any] = {
        "texts": len(distinct),
        "words": len(channel.words_),
        "words_left_out": channel.words_rare_ + channel.words_beyond_,
        "texts_without_words": int((~known).sum()),
    }
    choice = replace(choose_weight(distinct, seen, lexical, groups, channel.captured_), **counts)
    if mode == "on":
        choice = replace(choice, weight=MOST_WEIGHT if known.any() else 0.0, mode=mode, reason="it was switched on")
    logger.info("lexical channel: weight %.3f, %s", choice.weight, choice.reason)
    if choice.weight == 0:
        return embeddings, choice
    return join(seen, lexical, choice.weight)[inverse], choice


def choose_weight(texts: Sequence[str], embeddings: Floats, lexical: Floats, groups: Sequence[str], captured: float) -> LexicalChoice:
    """Weigh the lexical channel by what a sample of the corpus shows.

    With support s = captured * agreement, the weight is ``MOST_WEIGHT * ramp(s; SUPPORT) * (1 - ramp(crossing; CROSSING))``, where ramp
    rises from 0 to 1 between two bounds: words count as far as the basis holds them and the encoder's neighbours bear them out, and
    less where the encoder ties texts of several languages together, since words cannot.

    Parameters
    ----------
    texts
        Distinct texts; the sample is of those with the smallest digests that have both rows.
    embeddings, lexical
        (n, d) and (n, k) float32, unit or zero rows.
    groups
        Language of each text.
    captured
        Mean share of the squared norm of the weighted words that the basis keeps.
    """
    usable = np.flatnonzero(embeddings.any(axis=1) & lexical.any(axis=1))
    if len(usable) < LEAST_TEXTS:
        return LexicalChoice(0.0, "auto", f"{len(usable)} distinct texts share words with others, fewer than {LEAST_TEXTS}")
    sample = usable[_smallest([texts[place] for place in usable.tolist()], SAMPLE)]
    _, code = np.unique([groups[place] for place in sample.tolist()], return_inverse=True)
    with threadpool_limits(limits=1):
        cosine = _cosines(embeddings[sample])
        agreement = _agreement(cosine, _cosines(lexical[sample]))
        crossing = _crossing(cosine, code)
    weight = weigh(captured * agreement, crossing)
    if weight == 0:
        borne = captured * agreement > SUPPORT[0]
        reason = "the encoder ties languages together" if borne else "words bear out too few of the encoder's neighbours"
    else:
        reason = f"words bear out the encoder's neighbours, support {captured * agreement:.3f}, crossing {crossing:.3f}"
    return LexicalChoice(weight, "auto", reason, captured=round(captured, 4), agreement=round(agreement, 4), crossing=round(crossing, 4))


def weigh(
    support: float,
    crossing: float,
    *,
    most: float = MOST_WEIGHT,
    supports: tuple[float, float] = SUPPORT,
    crossings: tuple[float, float] = CROSSING,
) -> float:
    """Return the weight of the lexical channel by the rule of `choose_weight`, to three decimals."""
    return round(most * _ramp(support, supports) * (1.0 - _ramp(crossing, crossings)), 3)


def _distinct(texts: Sequence[str], langs: Sequence[str | None]) -> tuple[list[str], Ints, Ints, list[str]]:
    """Return the distinct texts in order, a row of each, the place of each row among them, and the language of each.

    Where equal texts have several languages, the first in alphabetical order counts, so that they keep equal rows.
    """
    rows: dict[str, int] = {}
    spoken: dict[str, str] = {}
    for row, (text, lang) in enumerate(zip(texts, langs, strict=True)):
        rows.setdefault(text, row)
        spoken[text] = min(lang or "und", spoken.get(text, lang or "und"))
    ordered = sorted(rows)
    place = {text: number for number, text in enumerate(ordered)}
    first = np.array([rows[text] for text in ordered], dtype=np.int64)
    inverse = np.array([place[text] for text in texts], dtype=np.int64)
    return ordered, first, inverse, [spoken[text] for text in ordered]


def _centred(rows: Floats, groups: Sequence[str]) -> Floats:
    """Return unit rows about the mean of their group, which leans to the mean of all as if it had `PRIOR_TEXTS` texts of it more.

    Zero rows stay zero and count in no mean.
    """
    known = rows.any(axis=1)
    out = rows.astype(np.float64)
    if not known.any():
        return rows
    common = out[known].sum(axis=0) / known.sum()
    names = np.asarray(groups, dtype=object)
    for name in sorted(set(groups)):
        inside = np.flatnonzero(known & (names == name))
        out[inside] -= (out[inside].sum(axis=0) + PRIOR_TEXTS * common) / (len(inside) + PRIOR_TEXTS)
    # What is left of a row that equals its mean is rounding.
    out[np.abs(out).max(axis=1, initial=0.0) < SMALLEST] = 0.0
    return unit_rows(out)


def _cosines(rows: Floats) -> Doubles:
    exact = rows.astype(np.float64)
    found = np.round(exact @ exact.T, DECIMALS)
    np.fill_diagonal(found, -np.inf)
    return np.asarray(found)


def _agreement(cosine: Doubles, lexical: Doubles) -> float:
    """Return the mean reciprocal rank by words of each text's nearest by encoder, ties ranked last."""
    every = np.arange(len(cosine))
    mine = lexical[every, cosine.argmax(axis=1)]
    return float((1.0 / (lexical >= mine[:, None]).sum(axis=1)).mean())


def _crossing(cosine: Doubles, code: Ints) -> float:
    """Return how far the encoder ties languages together: 0 in one language, 1 where translations find each other among many.

    It is the probability that two texts are of different languages, times the share of texts that are the best of their language for
    the text that is, of all in other languages, the best for them.
    """
    share = np.bincount(code) / len(code)
    differ = 1.0 - float((share**2).sum())
    if differ == 0:
        return 0.0
    other = np.where(code[:, None] != code[None, :], cosine, -np.inf).argmax(axis=1)
    back = np.where(code[:, None] == code[None, :], cosine[:, other].T, -np.inf)
    # A text may meet itself here: cosine has no diagonal only against itself.
    return differ * float((back.argmax(axis=1) == np.arange(len(code))).mean())


def _ramp(value: float, bounds: tuple[float, float]) -> float:
    low, high = bounds
    return min(max((value - low) / (high - low), 0.0), 1.0)
