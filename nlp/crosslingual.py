"""Rows without the language they are told in, so that one story in six languages is one narrative.

An encoder puts texts of one language nearer to each other than what they say (Roy et al. 2020, "LAReQA"; Libovický et al. 2020). Taking
off each language's mean (Libovický) or the leading directions of the languages (Yang et al. 2021) takes off too much where languages do
not tell the same: the mean of the Spanish posts about one earthquake is mostly the earthquake. So the offset of a language is read
from pairs of texts that say nearly the same in two languages, where it cannot be the subject:

1. Pairs are texts that are each other's nearest among two languages, about means that lean to the common one (only to find them), and
   whose cosine is at least `LIKE` of what the two have with their nearest in their own language.
2. Offsets d minimise sum over pairs |(x_i - d_l(i)) - (x_j - d_l(j))|^2, by a Laplacian over languages; where it leaves a choice, the
   offsets weighted by texts sum to 0, so that few rows move.
3. Each offset is shrunk by the positive part of James and Stein (1961), 1 - `DOUBT` var / |d|^2: what chance explains is not taken off.
4. x - d, scaled to norm 1, if the offsets make up `LEAST_SHARE` of the squared norm of the rows; else the rows stay as they are, byte
   by byte, as they do for one language. Texts of no known language stay too.

Pairs are sought among `SAMPLE` distinct texts, taken evenly from the languages by digest, in the order of the texts and on one thread.
docs/method/languages.md has the figures that the numbers were chosen on.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from greyzone.errors import InputError
from greyzone.neighbours import Doubles, Ints, unit_rows
from greyzone.records import Floats

logger = logging.getLogger(__name__)

Mode = Literal["auto", "off"]

UNKNOWN = "und"
"""Texts of no known language: they take no part and stay as they are."""

SAMPLE = 4096
"""Texts that pairs are sought among: all pairs of them are compared, in 0.4 GiB."""

LIKE = 0.6
"""Least cosine of a pair, as a share of the mean cosine of the two with their nearest in their own language."""

DOUBT = 2.0
"""Variances that are taken off an offset's squared length; 1 would be right if no text stood in two pairs."""

LEAST_SHARE = 0.012
"""Least share of the squared norm of the rows that the offsets must make up: below it they cost about what they gain."""

FEWEST_PAIRS = 20
"""Pairs below which the spread of the differences is not known."""

PRIOR_TEXTS = 20
"""Texts of the whole corpus that stand in the mean of each language while pairs are sought."""

SMALLEST = 1e-6
"""A row that is so near to its offset says nothing but its language, and is left as it is."""

DECIMALS = 9
"""Cosines are rounded to this many decimals before they are ranked, so that ties are ties."""

BLOCK_ROWS = 2**14
"""Rows turned at a time, which bounds memory; it cannot change a row."""


@dataclass(frozen=True, slots=True)
class LanguageOffset:
    """What was found of one language: its distinct `texts`, the `pairs` they stand in, the `length` of its offset, and the part `kept`."""

    texts: int
    pairs: int
    length: float
    kept: float


@dataclass(frozen=True, slots=True)
class NeutralChoice:
    """Whether rows were freed of their language, and the figures it was decided by.

    `share` is the mean squared length of the offsets that were kept, over texts: the share of the rows' squared norm that is language;
    `pairs` the pairs it was read from, `pairs_unlike` those that were left out because they say too little of the same.
    """

    applied: bool
    reason: str
    share: float = 0.0
    pairs: int = 0
    pairs_unlike: int = 0
    languages: dict[str, LanguageOffset] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, as a manifest keeps them."""
        return asdict(self)


class LanguageNeutral(BaseEstimator):  # type: ignore[misc]
    """Learns the offset of each language from the rows it is fitted on, and takes it off.

    Parameters
    ----------
    sample
        Most texts that pairs are sought among.
    like, doubt, least_share
        See `LIKE`, `DOUBT` and `LEAST_SHARE`.

    Attributes
    ----------
    languages_
        Languages of the fitted texts in alphabetical order, without `UNKNOWN`.
    offsets_
        (languages, d) float64, what is taken off; zero rows where nothing is.
    choice_
        `NeutralChoice`.
    """

    def __init__(self, *, sample: int = SAMPLE, like: float = LIKE, doubt: float = DOUBT, least_share: float = LEAST_SHARE) -> None:
        self.sample = sample
        self.like = like
        self.doubt = doubt
        self.least_share = least_share

    def fit(self, rows: Floats, langs: Sequence[str | None], texts: Sequence[str]) -> Self:
        """Learn the offsets.

        Parameters
        ----------
        rows
            (n, d) float32 unit or zero rows, equal for equal texts, in any order.
        langs
            Language of each; None is `UNKNOWN`.
        texts
            What each row stands for; equal ones count once.

        Raises
        ------
        InputError
            If the lengths differ or `sample` is below 1.
        """
        if not len(rows) == len(langs) == len(texts):
            raise InputError(f"{len(rows)} rows, {len(langs)} languages and {len(texts)} texts", "one of each a document")
        if self.sample < 1:
            raise InputError(f"sample {self.sample}", "1 or more")
        first, spoken = _distinct(texts, langs)
        told = np.asarray(rows.any(axis=1))
        known = [row for row in first if told[row] and spoken[texts[row]] != UNKNOWN]
        tongue = [spoken[texts[row]] for row in known]
        self.languages_ = tuple(sorted(set(tongue)))
        self.offsets_ = np.zeros((len(self.languages_), rows.shape[1]))
        place = {name: number for number, name in enumerate(self.languages_)}
        code = np.array([place[name] for name in tongue], dtype=np.int64)
        if len(self.languages_) < 2:
            self.choice_ = NeutralChoice(applied=False, reason=f"known languages: {len(self.languages_)}, fewer than 2")
            return self
        chosen = _even(code, [texts[row] for row in known], self.sample)
        with threadpool_limits(limits=1):
            self._learn(rows[np.array(known)[chosen]].astype(np.float64), code[chosen], np.bincount(code))
        logger.info("language: %s", self.choice_.reason)
        return self

    def transform(self, rows: Floats, langs: Sequence[str | None]) -> Floats:
        """Return (n, d) float32 unit rows without the offset of their language; `rows` itself if nothing is taken off.

        Raises
        ------
        InputError
            If the lengths differ.
        """
        if len(rows) != len(langs):
            raise InputError(f"{len(rows)} rows and {len(langs)} languages", "one of each a document")
        if not self.choice_.applied:
            return rows
        place = {name: number for number, name in enumerate(self.languages_) if self.offsets_[number].any()}
        code = np.array([place.get(lang or UNKNOWN, -1) for lang in langs], dtype=np.int64)
        moved = np.flatnonzero((code >= 0) & rows.any(axis=1))
        out = rows.copy()
        for start in range(0, len(moved), BLOCK_ROWS):
            block = moved[start : start + BLOCK_ROWS]
            left = rows[block].astype(np.float64) - self.offsets_[code[block]]
            told = np.abs(left).max(axis=1) >= SMALLEST
            out[block[told]] = unit_rows(left[told])
        return out

    def rows(self, texts: Sequence[str], langs: Sequence[str | None], embeddings: Floats) -> Floats:
        """Return the rows of `texts`, those of equal texts as in one language, so that they stay equal; else as `transform`.

        Raises
        ------
        InputError
            If the lengths differ.
        """
        if not len(texts) == len(langs) == len(embeddings):
            raise InputError(f"{len(texts)} texts, {len(langs)} languages and {len(embeddings)} embeddings", "one of each a document")
        if not self.choice_.applied:
            return embeddings
        _, spoken = _distinct(texts, langs)
        return self.transform(embeddings, [spoken[text] for text in texts])

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what `from_arrays` needs to give later texts their rows without a look back, as arrays without objects."""
        told = json.dumps({"languages": self.languages_, "choice": self.choice_.as_dict()}, sort_keys=True)
        return {"told": np.frombuffer(told.encode(), dtype=np.uint8), "offsets": self.offsets_}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Return what `to_arrays` wrote down, fitted."""
        told = json.loads(arrays["told"].tobytes())
        choice = told["choice"]
        found = {name: LanguageOffset(**offset) for name, offset in choice.pop("languages").items()}
        fitted = cls()
        fitted.languages_, fitted.offsets_ = tuple(told["languages"]), arrays["offsets"]
        fitted.choice_ = NeutralChoice(**choice, languages=found)
        return fitted

    def _learn(self, rows: Doubles, code: Ints, texts: Ints) -> None:
        """Set `offsets_` and `choice_` from sampled `rows` with their language `code`; `texts` counts all texts of each."""
        pairs, unlike = _pairs(rows, code, self.like)
        count = np.bincount(code[pairs].ravel(), minlength=len(texts))
        if len(pairs) < FEWEST_PAIRS:
            reason = f"{len(pairs)} pairs of texts say nearly the same in two languages, fewer than {FEWEST_PAIRS}"
            self.choice_ = NeutralChoice(applied=False, reason=reason, pairs=len(pairs), pairs_unlike=unlike)
            return
        offsets, variance = _offsets(rows, code, pairs, texts)
        squares = (offsets**2).sum(axis=1)
        kept = np.maximum(0.0, 1.0 - self.doubt * variance / np.where(squares > 0, squares, 1.0)) * (squares > 0)
        share = float((texts * kept**2 * squares).sum() / texts.sum())
        applied = share >= self.least_share
        if applied:
            self.offsets_ = offsets * kept[:, None]
        reason = f"language makes up {share:.4f} of the squared norm, {'at least' if applied else 'less than'} {self.least_share:g}"
        length = np.sqrt(squares)
        found = {
            name: LanguageOffset(int(texts[at]), int(count[at]), round(float(length[at]), 4), round(float(kept[at]), 4))
            for at, name in enumerate(self.languages_)
        }
        self.choice_ = NeutralChoice(applied, reason, round(share, 6), len(pairs), unlike, found)


def neutral_rows(
    texts: Sequence[str], langs: Sequence[str | None], embeddings: Floats, *, mode: Mode = "auto"
) -> tuple[Floats, NeutralChoice]:
    """Return the embeddings without what is language in them, where the corpus shows it.

    Parameters
    ----------
    texts
        What was embedded.
    langs
        Language of each; None and "und" are not known. Equal texts count as the first of their languages, in alphabetical order.
    embeddings
        (n, d) float32, unit or zero rows, equal for equal texts.
    mode
        "auto" follows the rule above, "off" leaves the rows as they are.

    Returns
    -------
    rows, choice
        (n, d) float32, row i for text i, equal for equal texts whatever the order, `embeddings` itself if nothing is taken off; and
        what was found.

    Raises
    ------
    InputError
        If the lengths differ or there is no such mode.
    """
    if mode not in ("auto", "off"):
        raise InputError(f"mode {mode!r}", "auto or off")
    if mode == "off":
        return embeddings, NeutralChoice(applied=False, reason="it was switched off")
    fitted = LanguageNeutral().fit(embeddings, langs, texts)
    return fitted.rows(texts, langs, embeddings), fitted.choice_


def _distinct(texts: Sequence[str], langs: Sequence[str | None]) -> tuple[list[int], dict[str, str]]:
    """Return a row of each distinct text in the order of the texts, and the language of each text: known before unknown, then by name."""
    rows: dict[str, int] = {}
    spoken: dict[str, str] = {}
    for row, (text, lang) in enumerate(zip(texts, langs, strict=True)):
        rows.setdefault(text, row)
        spoken[text] = min((name == UNKNOWN, name) for name in (lang or UNKNOWN, spoken.get(text, UNKNOWN)))[1]
    return [rows[text] for text in sorted(rows)], spoken


def _even(code: Ints, texts: Sequence[str], most: int) -> Ints:
    """Return the places of `most` texts at most, taken from each language alike as far as it has any, smallest digests first."""
    counts = np.sort(np.bincount(code))
    cap = int(counts[-1])
    if len(code) > most:
        fits = [cap for cap in range(1, most + 1) if int(np.minimum(counts, cap).sum()) <= most]
        cap = fits[-1] if fits else 1
    found = (hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts)
    digests = np.fromiter((int.from_bytes(digest) for digest in found), dtype=np.uint64, count=len(texts))
    order = np.lexsort((digests, code))
    rank = np.arange(len(code)) - np.searchsorted(code[order], code[order])
    return np.sort(order[rank < cap])


def _pairs(rows: Doubles, code: Ints, like: float) -> tuple[Ints, int]:
    """Return (p, 2) places of texts that say nearly the same in two languages, and how many pairs say too little of the same."""
    languages = int(code.max()) + 1
    cosine = _centred(rows, code) @ _centred(rows, code).T
    np.round(cosine, DECIMALS, out=cosine)
    np.fill_diagonal(cosine, -np.inf)
    every = np.arange(len(rows))
    # nearest[l, i]: of the texts in language l, the nearest to text i.
    nearest = np.zeros((languages, len(rows)), dtype=np.int64)
    near = np.full((languages, len(rows)), -np.inf)
    for lang in range(languages):
        inside = np.flatnonzero(code == lang)
        if len(inside):
            nearest[lang] = inside[cosine[:, inside].argmax(axis=1)]
            near[lang] = cosine[every, nearest[lang]]
    own = near[code, every]
    near[code, every] = -np.inf
    other = near.argmax(axis=0)
    partner = nearest[other, every]
    mutual = (nearest[code, partner] == every) & np.isfinite(near[other, every])
    pairs = np.unique(np.sort(np.column_stack([every, partner])[mutual], axis=1), axis=0).astype(np.int64).reshape(-1, 2)
    # A text alone in its language has no nearest there; nothing less than equality would then say that a pair says the same.
    own = np.where(np.isfinite(own), own, 1.0)
    good = cosine[pairs[:, 0], pairs[:, 1]] >= like * (own[pairs[:, 0]] + own[pairs[:, 1]]) / 2.0
    return pairs[good], int((~good).sum())


def _centred(rows: Doubles, code: Ints) -> Doubles:
    common = rows.mean(axis=0)
    out = rows.copy()
    for lang in range(int(code.max()) + 1):
        inside = np.flatnonzero(code == lang)
        out[inside] -= (rows[inside].sum(axis=0) + PRIOR_TEXTS * common) / (len(inside) + PRIOR_TEXTS)
    return unit_rows(out).astype(np.float64)


def _offsets(rows: Doubles, code: Ints, pairs: Ints, texts: Ints) -> tuple[Doubles, Doubles]:
    """Return the least-squares offsets (languages, d) and the variance of each, summed over its coordinates."""
    left, right = code[pairs[:, 0]], code[pairs[:, 1]]
    difference = rows[pairs[:, 0]] - rows[pairs[:, 1]]
    size = len(texts)
    laplacian, total = np.zeros((size, size)), np.zeros((size, rows.shape[1]))
    for one, two, sign in ((left, right, 1.0), (right, left, -1.0)):
        np.add.at(laplacian, (one, one), 1.0)
        np.add.at(laplacian, (one, two), -1.0)
        np.add.at(total, one, sign * difference)
    _, part = connected_components(laplacian, directed=False)
    weight = np.where(part[:, None] == part[None, :], texts[None, :].astype(np.float64), 0.0)
    settle = np.eye(size) - weight / weight.sum(axis=1, keepdims=True)
    inverse = settle @ np.linalg.pinv(laplacian, hermitian=True)
    offsets = inverse @ total
    rest = difference - (offsets[left] - offsets[right])
    spread = float((rest**2).sum()) / max(1, len(pairs) - size + 1)
    return offsets, spread * np.diagonal(inverse @ settle.T)
