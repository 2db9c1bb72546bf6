"""Texts to sparse counts of hashed words, word pairs and character n-grams: the surface that a sentence vector smooths away.

Persuasion is often in the wording itself (a slur, an exclamation mark, "so-called" in quotes), so the static head of
`greyzone.models.heads` reads these features beside the vector of an encoder. A token is a run of letters and digits or one other
sign; addresses and handles are reduced to one sign each, so that no account can become a feature. Features are

- the token, lower-cased, and each pair of neighbouring tokens, lower-cased;
- the character n-grams of ``<token>``, in the case in which it stands (shouting is a signal).

No vocabulary is kept: a feature is a 64-bit hash, and its column is the hash modulo 2^bits (Weinberger et al. 2009). The n-grams of a
word are computed once for each distinct word: counts = (texts x words) @ (words x n-grams).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from greyzone.errors import InputError
from greyzone.models.hashing import Hashes, ngram_hashes, pair_hashes, word_hashes

CHUNK_TEXTS = 2048
"""Texts counted at once; bounds the memory, cannot change a result."""

LONGEST_WORD = 64
"""Characters of a token whose n-grams are read; no word of a language is longer, unbroken runs of a foreign script are."""

_ADDRESS = re.compile(r"(?:https?://|www\.)\S+")
_HANDLE = re.compile(r"(?<!\w)@\w+")
_TOKEN = re.compile(r"[^\W_]+|[^\w\s]|_")

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NgramSettings:
    """What is counted.

    Attributes
    ----------
    bits
        Columns are ``2 ** bits`` for words and pairs, and as many again for character n-grams.
    shortest, longest
        Lengths of the character n-grams, word boundaries included.
    pairs
        Whether pairs of neighbouring tokens are counted.
    """

    bits: int = 18
    shortest: int = 2
    longest: int = 5
    pairs: bool = True

    def __post_init__(self) -> None:
        if not 4 <= self.bits <= 24:
            raise InputError(f"{self.bits} bits of hashed columns", "4..24")
        if not 1 <= self.shortest <= self.longest <= 8:
            raise InputError(f"character n-grams of {self.shortest}..{self.longest}", "lengths of 1..8, shortest first")


def count_words(texts: Sequence[str], settings: NgramSettings) -> sparse.csr_array:
    """Return (len(texts), 2 ** bits) float32 counts of words and pairs of neighbouring words."""
    return _stack([_words_of(texts[at : at + CHUNK_TEXTS], settings) for at in range(0, len(texts), CHUNK_TEXTS)], settings)


def count_characters(texts: Sequence[str], settings: NgramSettings) -> sparse.csr_array:
    """Return (len(texts), 2 ** bits) float32 counts of character n-grams."""
    return _stack([_characters_of(texts[at : at + CHUNK_TEXTS], settings) for at in range(0, len(texts), CHUNK_TEXTS)], settings)


def tokens(text: str) -> list[str]:
    """Return the tokens of `text`.

    >>> tokens("See https://x.org @someone: NO!!")
    ['See', '/', '@', ':', 'NO', '!', '!']
    """
    return _TOKEN.findall(_HANDLE.sub("@", _ADDRESS.sub("/", text)))


def _words_of(texts: Sequence[str], settings: NgramSettings) -> sparse.csr_array:
    vocabulary, owners, places = _index([[token.lower() for token in tokens(text)] for text in texts])
    hashes = word_hashes([word[:LONGEST_WORD] for word in vocabulary])
    rows, keys = [owners], [hashes[places]]
    if settings.pairs:
        inside = np.flatnonzero(owners[1:] == owners[:-1])
        rows.append(owners[inside])
        keys.append(pair_hashes(hashes[places[inside]], hashes[places[inside + 1]]))
    columns = _columns(np.concatenate(keys), settings)
    return _counts(np.concatenate(rows), columns, (len(texts), 1 << settings.bits))


def _characters_of(texts: Sequence[str], settings: NgramSettings) -> sparse.csr_array:
    vocabulary, owners, places = _index([tokens(text) for text in texts])
    bags = _counts(owners, places, (len(texts), len(vocabulary)))
    shortened = [word[:LONGEST_WORD] for word in vocabulary]
    found = [ngram_hashes(shortened, size) for size in range(settings.shortest, settings.longest + 1)]
    words = np.concatenate([word for word, _ in found])
    columns = _columns(np.concatenate([hashed for _, hashed in found]), settings)
    counted = sparse.csr_array(bags @ _counts(words, columns, (len(vocabulary), 1 << settings.bits)))
    counted.sort_indices()
    return counted


def _index(found: Sequence[Sequence[str]]) -> tuple[list[str], Integers, Integers]:
    """Return the distinct tokens and, per token, its text and its place among them."""
    known: dict[str, int] = {}
    places = [known.setdefault(token, len(known)) for text in found for token in text]
    lengths = np.array([len(text) for text in found], dtype=np.int64)
    return list(known), np.repeat(np.arange(len(found), dtype=np.int64), lengths), np.array(places, dtype=np.int64)


def _counts(rows: Integers, columns: Integers, shape: tuple[int, int]) -> sparse.csr_array:
    counted: sparse.csr_array = sparse.csr_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
    counted.sum_duplicates()
    return counted


def _stack(parts: Sequence[sparse.csr_array], settings: NgramSettings) -> sparse.csr_array:
    if not parts:
        nothing = np.zeros(0, dtype=np.int64)
        return _counts(nothing, nothing, (0, 1 << settings.bits))
    return sparse.csr_array(sparse.vstack(parts, format="csr"))


def _columns(hashes: Hashes, settings: NgramSettings) -> Integers:
    return (hashes >> np.uint64(64 - settings.bits)).astype(np.int64)
