"""The space that narratives are found in: the encoder's rows, with the words of the corpus beside them where they help.

What was learnt of a corpus is a `JoinedSpace`. It gives rows to the texts of that corpus, and to later ones without a look back: a text
has the same row whenever it comes, until the space is learnt anew. It is kept as plain arrays.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError
from greyzone.lexical.channel import BLOCK_ROWS, LexicalChannel
from greyzone.lexical.choice import MOST_WEIGHT, LexicalChoice, Mode, choose_weight
from greyzone.neighbours import Doubles, Ints, unit_rows
from greyzone.records import Floats

logger = logging.getLogger(__name__)

PRIOR_TEXTS = 20
"""Texts of the whole corpus that stand in the mean of each language, so that a handful of texts is not centred to nothing."""

MOST_TEXTS = 500_000
"""Distinct texts up to which "auto" considers words: rows with words are twice as wide, and a million of them would want 9 GiB and twice
the time. "on" joins them whatever the number."""

SMALLEST = 1e-6
"""A centred row shorter than this is a zero row."""


@dataclass(frozen=True, slots=True)
class Means:
    """What lexical rows are taken about: the mean of all, and of each of `langs`.

    The mean of a language leans to the mean of all as if it had `PRIOR_TEXTS` texts of it more; one that was not met has that of all.

    Parameters
    ----------
    common
        (k,) float64.
    langs
        Languages in alphabetical order.
    own
        (langs, k) float64.
    """

    common: Doubles
    langs: tuple[str, ...]
    own: Doubles

    @classmethod
    def of(cls, rows: Floats, langs: Sequence[str]) -> Means:
        """Take the means of (n, k) rows; zero rows count in none."""
        known = rows.any(axis=1)
        exact = rows.astype(np.float64)
        common = exact[known].sum(axis=0) / max(1, int(known.sum()))
        names = np.asarray(langs, dtype=object)
        met = sorted(set(langs))
        own = np.zeros((len(met), rows.shape[1]))
        for place, name in enumerate(met):
            inside = np.flatnonzero(known & (names == name))
            own[place] = (exact[inside].sum(axis=0) + PRIOR_TEXTS * common) / (len(inside) + PRIOR_TEXTS)
        return cls(common, tuple(met), own)

    def centred(self, rows: Floats, langs: Sequence[str]) -> Floats:
        """Return unit rows about the mean of their language; zero rows stay zero."""
        known = np.flatnonzero(rows.any(axis=1))
        out = rows.astype(np.float64)
        place = {name: number for number, name in enumerate(self.langs)}
        means = np.vstack([self.own, self.common])
        out[known] -= means[np.array([place.get(langs[row], len(self.langs)) for row in known.tolist()], dtype=np.int64)]
        # What is left of a row that equals its mean is rounding.
        out[np.abs(out).max(axis=1, initial=0.0) < SMALLEST] = 0.0
        return unit_rows(out)


@dataclass(frozen=True, slots=True)
class JoinedSpace:
    """What was learnt of a corpus, to give rows to its texts and to later ones.

    Parameters
    ----------
    choice
        The weight of the lexical channel, and why.
    channel, means
        The fitted channel and what its rows are taken about; None where the weight is 0.
    """

    choice: LexicalChoice
    channel: LexicalChannel | None = None
    means: Means | None = None

    def rows(self, texts: Sequence[str], langs: Sequence[str | None], embeddings: Floats) -> Floats:
        """Return the rows to cluster, row i for text i: (n, d), or (n, d + k) where words count.

        Raises
        ------
        InputError
            If the lengths differ.
        """
        _check_lengths(texts, langs, embeddings)
        if self.channel is None or self.means is None:
            return embeddings
        distinct, first, inverse, spoken = _distinct(texts, langs)
        lexical = self.means.centred(self.channel.transform(distinct), spoken)
        return join(embeddings[first], lexical, self.choice.weight)[inverse]

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return all that `from_arrays` needs, as arrays without objects."""
        arrays: dict[str, npt.NDArray[Any]] = {"choice": _written(json.dumps(self.choice.as_dict(), sort_keys=True))}
        if self.channel is not None and self.means is not None:
            arrays |= {"words": _written("\n".join(self.channel.words_)), "idf": self.channel.idf_, "basis": self.channel.basis_}
            arrays |= {"langs": _written("\n".join(self.means.langs)), "means": self.means.own, "common": self.means.common}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> JoinedSpace:
        """Return the space that `to_arrays` wrote down."""
        choice = LexicalChoice(**json.loads(_read(arrays["choice"])))
        if "words" not in arrays:
            return cls(choice)
        channel = LexicalChannel()
        channel.words_ = tuple(_read(arrays["words"]).split("\n"))
        channel.idf_, channel.basis_ = arrays["idf"], arrays["basis"]
        return cls(choice, channel, Means(arrays["common"], tuple(_read(arrays["langs"]).split("\n")), arrays["means"]))


def learn_space(
    texts: Sequence[str], langs: Sequence[str | None], embeddings: Floats, *, mode: Mode = "auto"
) -> tuple[JoinedSpace, Floats]:
    """Learn the space of a corpus, and return it with the rows of the corpus.

    Parameters
    ----------
    texts
        What was embedded.
    langs
        Language of each; None and "und" are a language of their own. Lexical rows are taken about the mean of their language
        (`Means`), so that languages do not stand apart by their function words.
    embeddings
        (n, d) float32, unit or zero rows, equal for equal texts.
    mode
        "auto" weighs the channel by `choose_weight`, and leaves it out beyond `MOST_TEXTS` distinct texts; "on" gives it `MOST_WEIGHT`,
        "off" leaves it out.

    Returns
    -------
    space, rows
        The space; (n, d) or (n, d + k) float32 unit or zero rows, row i for text i, equal for equal texts whatever the order.

    Raises
    ------
    InputError
        If the lengths differ or there is no such mode.
    """
    _check_lengths(texts, langs, embeddings)
    if mode not in ("auto", "on", "off"):
        raise InputError(f"mode {mode!r}", "auto, on or off")
    if mode == "off":
        return JoinedSpace(LexicalChoice(0.0, mode, "it was switched off")), embeddings
    if mode == "auto" and (count := len(set(texts))) > MOST_TEXTS:
        return JoinedSpace(LexicalChoice(0.0, mode, f"{count} distinct texts, more than {MOST_TEXTS}", count)), embeddings
    distinct, first, inverse, spoken = _distinct(texts, langs)
    channel = LexicalChannel()
    rows = channel.fit_transform(distinct)
    means = Means.of(rows, spoken)
    lexical = means.centred(rows, spoken)
    known = rows.any(axis=1)
    # A gigabyte for a million texts, which is not read again.
    del rows
    seen = embeddings[first]
    counts: dict[str, Any] = {
        "texts": len(distinct),
        "words": len(channel.words_),
        "words_left_out": channel.words_rare_ + channel.words_beyond_,
        "texts_without_words": int((~known).sum()),
    }
    choice = replace(choose_weight(distinct, seen, lexical, spoken, channel.captured_), **counts)
    if mode == "on":
        choice = replace(choice, weight=MOST_WEIGHT if known.any() else 0.0, mode=mode, reason="it was switched on")
    logger.info("lexical channel: weight %.3f, %s", choice.weight, choice.reason)
    if choice.weight == 0:
        return JoinedSpace(choice), embeddings
    return JoinedSpace(choice, channel, means), join(seen, lexical, choice.weight)[inverse]


def joined_rows(
    texts: Sequence[str], langs: Sequence[str | None], embeddings: Floats, *, mode: Mode = "auto"
) -> tuple[Floats, LexicalChoice]:
    """Return the rows to cluster and the choice that was made: `learn_space` for those who need no more of it."""
    space, rows = learn_space(texts, langs, embeddings, mode=mode)
    return rows, space.choice


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


def _check_lengths(texts: Sequence[str], langs: Sequence[str | None], embeddings: Floats) -> None:
    if not len(texts) == len(langs) == len(embeddings):
        raise InputError(f"{len(texts)} texts, {len(langs)} languages and {len(embeddings)} embeddings", "one of each a document")


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


def _written(text: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(text.encode("utf-8"), dtype=np.uint8)


def _read(letters: npt.NDArray[Any]) -> str:
    return letters.tobytes().decode("utf-8")
