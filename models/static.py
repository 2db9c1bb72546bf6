"""The embedded default encoder: a text is the sum of its word pieces' rows, fitted to a sentence encoder in closed form.

The rows in 4-bit form and the pieces come in one safetensors file: `greyzone.training.distill` makes it, models/data/README.md is its card.
A word is cut greedily into the longest pieces there are (WordPiece; Wu et al. 2016), diacritics folded away, an Arabic article apart.
A word with a sign that the encoder does not know counts for nothing, and a text of such words gives a zero row.

A row is ``scale * (2 code - 15)``, both integers, so a text's sum is one of integers below 2**53, exact in float64; it is then rounded
to integers below 2**21, whose squares sum exactly too. The last steps are one square root and one division, which IEEE 754 rounds alike
everywhere: neither the batch, nor the order, nor the number of threads, nor the processor can change a vector.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from greyzone.errors import EncoderError
from greyzone.models.hashing import chunk_bounds
from greyzone.records import Floats
from greyzone.text import words

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Integers = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

VERSION = 1
"""Raised whenever the code would give another vector for the same file."""

FORMAT = "greyzone-static-1"
"""What the metadata of a file must call itself."""

CODE_ZERO = 15
"""Codes 0..15 stand for the odd numbers -15..15, so that there is no zero to favour."""

SUM_BITS = 21
"""A sum is rounded to this many bits before its norm is taken."""

CHUNK_CHARACTERS = 1 << 18
"""Texts are encoded in chunks of about this many characters, which bounds memory; it cannot change a vector."""

CHUNK_TEXTS = 1 << 12
REMEMBERED_WORDS = 1 << 19
"""Words whose pieces are kept at hand; a corpus with more has them cut again."""

CONTINUES = "##"
"""Mark of a piece that continues a word."""

FOLDED_LETTERS = {"ı": "i", "ł": "l", "đ": "d", "ø": "o", "ґ": "г", "ة": "ه", "ى": "ي", "'": "", "ß": "ss"}
"""Letters that Unicode does not decompose and that writers leave out or exchange."""

ARABIC_ARTICLE = "[وف]?(?:[بك]?ال|لل)(?=[\u0621-\u064a]{3})"
"""The article with the particles that are written together with it: a word of its own, so that its noun is the same with and without."""

_FOLD = str.maketrans(FOLDED_LETTERS)
_ARTICLE = re.compile(ARABIC_ARTICLE)


class StaticEncoder:
    """Encoder that sums rows of word pieces.

    Parameters
    ----------
    pieces
        (n_pieces,) word pieces, distinct; those that continue a word begin with `CONTINUES`.
    codes
        (n_pieces, dimensions / 2) uint8, two 4-bit codes a byte, the earlier dimension in the low bits.
    scales
        (n_pieces,) uint16.
    metadata
        What the file says of itself: teacher, sources, languages, scripts, figures.

    Raises
    ------
    EncoderError
        If the arrays do not fit each other.

    Attributes
    ----------
    portable
        Whether other processes have the same encoder at once: the shipped one, which each of them reads for itself and keeps.
    """

    portable = False

    def __init__(self, pieces: Sequence[str], codes: Bytes, scales: npt.NDArray[np.uint16], metadata: Mapping[str, Any]) -> None:
        if codes.ndim != 2 or codes.dtype != np.uint8 or scales.dtype != np.uint16 or not len(pieces) == len(codes) == len(scales):
            raise EncoderError(
                f"{len(pieces)} pieces, codes {codes.dtype} {codes.shape}, scales {scales.dtype} {scales.shape}",
                "a piece, a row of uint8 codes and a uint16 scale each",
            )
        self.metadata = dict(metadata)
        self._places = {piece: place for place, piece in enumerate(pieces)}
        self._longest = max(map(len, pieces), default=0)
        self._codes, self._scales = codes, scales
        self._known = _Known(self._places, self._longest)
        stated = hashlib.sha256(json.dumps(["static", VERSION, list(pieces)]).encode())
        stated.update(np.ascontiguousarray(codes).tobytes() + np.ascontiguousarray(scales.astype("<u2")).tobytes())
        self._fingerprint = stated.hexdigest()[:32]

    @classmethod
    def load(cls, path: Path | None = None) -> StaticEncoder:
        """Return the encoder of a file, or the shipped one.

        Raises
        ------
        EncoderError
            If the file cannot be read or is none of this kind.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        name = "the shipped weights" if path is None else str(path)
        try:
            raw = path.read_bytes() if path else resources.files("greyzone.models").joinpath("data", "static.safetensors").read_bytes()
            header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
            found = load(raw)
            metadata = json.loads(header["__metadata__"]["greyzone"])
            pieces = lzma.decompress(found["pieces"].tobytes()).decode().split("\n")
            if metadata["format"] != FORMAT:
                raise ValueError(f"format {metadata['format']!r}")
            made = cls(pieces, found["codes"], found["scales"], metadata)
            made.portable = path is None
            return made
        except (OSError, SafetensorError, lzma.LZMAError, ValueError, KeyError) as error:
            raise EncoderError(
                f"{name}: {type(error).__name__} {error}", f"a {FORMAT} file, as greyzone train distill writes it"
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        return (shipped, ()) if self.portable else (StaticEncoder, (self.pieces, self._codes, self._scales, self.metadata))

    @property
    def fingerprint(self) -> str:
        """Hex digest over the code version, the pieces and the rows."""
        return self._fingerprint

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return 2 * int(self._codes.shape[1])

    @property
    def pieces(self) -> list[str]:
        """The word pieces, row i of the weights for piece i."""
        return list(self._places)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return the vectors of `texts`.

        Parameters
        ----------
        texts
            Any texts; every word counts, however long the text.

        Returns
        -------
        Floats
            (len(texts), dimensions) float32, rows of norm 1; a text without a known word gives a zero row.
        """
        out = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for first, last in chunk_bounds(texts, characters=CHUNK_CHARACTERS, most=CHUNK_TEXTS):
            bags = self.bags(texts[first:last])
            used = np.unique(bags.indices).astype(np.int64)
            narrow = sparse.csr_matrix((bags.data, np.searchsorted(used, bags.indices), bags.indptr), shape=(last - first, len(used)))
            sums: Doubles = np.asarray(narrow.dot(self._rows(used)))
            out[first:last] = _unit(sums)
        return out

    def bags(self, texts: Sequence[str]) -> sparse.csr_matrix[np.float64]:
        """Return how often each piece stands in each text, (len(texts), n_pieces) float64."""
        flat: list[int] = []
        bounds = [0]
        for text in texts:
            flat.extend(chain.from_iterable(map(self._known.__getitem__, words(text))))
            bounds.append(len(flat))
        found = sparse.csr_matrix(
            (np.ones(len(flat)), np.array(flat, dtype=np.int32), np.array(bounds, dtype=np.int64)), shape=(len(texts), len(self._places))
        )
        found.sum_duplicates()
        return found

    def word_pieces(self, word: str) -> tuple[int, ...]:
        """Return the places of the pieces of one of `greyzone.text.words`; none if a sign is unknown."""
        return self._known[word]

    def place(self, piece: str) -> int | None:
        """Return the row of a piece, None if there is no such piece."""
        return self._places.get(piece)

    def weights(self) -> Floats:
        """Return the rows, (n_pieces, dimensions) float32, scaled so that the mean norm is 1."""
        rows = self._rows(np.arange(len(self._scales)))
        scale = float(np.sqrt(np.square(rows).sum(axis=1)).mean()) or 1.0
        return (rows / scale).astype(np.float32)

    def as_sentence_transformer(self) -> SentenceTransformer:
        """Return the same encoder as a sentence-transformers model (StaticEmbedding, Normalize), as fine-tuning wants it.

        Its tokenizer spells the same rules for the Hugging Face library, where marks and unspaced scripts can fall apart otherwise;
        vectors of ordinary texts agree to 1e-5.
        """
        from greyzone.models.static_modules import sentence_transformer

        return sentence_transformer(self.pieces, self.weights())

    def _rows(self, places: Integers) -> Doubles:
        """Return integer-valued rows (len(places), dimensions)."""
        return unpack_rows(self._codes[places], self._scales[places])


@cache
def shipped() -> StaticEncoder:
    """Return the shipped encoder, read once a process; with it stay the words that it has cut."""
    return StaticEncoder.load()


class _Known(dict[str, tuple[int, ...]]):
    """The pieces of the words met so far; a new word is cut, and a full store begins anew."""

    def __init__(self, places: Mapping[str, int], longest: int) -> None:
        super().__init__()
        self._places, self._longest = places, longest

    def __missing__(self, word: str) -> tuple[int, ...]:
        if len(self) >= REMEMBERED_WORDS:
            self.clear()
        found = self[word] = tuple(chain.from_iterable(cut_word(part, self._places, self._longest) for part in word_parts(word)))
        return found


@lru_cache(maxsize=1 << 16)
def word_key(word: str) -> str:
    """Return `word` as pieces spell it: casefolded, without marks, with `FOLDED_LETTERS` folded.

    Examples
    --------
    >>> word_key("Čapek"), word_key("Łódź"), word_key("український"), word_key("مدرسة")
    ('capek', 'lodz', 'украінськии', 'مدرسه')
    """
    if word.isascii():
        return word.lower()
    bare = "".join(char for char in unicodedata.normalize("NFKD", word.lower()) if unicodedata.category(char) != "Mn")
    return bare.translate(_FOLD)


def word_parts(word: str) -> tuple[str, ...]:
    """Return the parts of a word that are cut into pieces each on its own: an Arabic article, and the rest."""
    key = word_key(word)
    if key and "\u0621" <= key[0] <= "\u064a" and (article := _ARTICLE.match(key)):
        return article.group(), key[article.end() :]
    return (key,) if key else ()


def cut_word(part: str, places: Mapping[str, int], longest: int) -> tuple[int, ...]:
    """Return the places of the pieces of a word's part, each the longest there is; none if something is left that is no piece.

    Examples
    --------
    >>> cut_word("unknowable", {"un": 0, "unknow": 1, "##able": 2}, 6), cut_word("unk?", {"un": 0}, 6)
    ((1, 2), ())
    """
    found: list[int] = []
    start, size = 0, len(part)
    while start < size:
        head = CONTINUES if start else ""
        for end in range(min(size, start + longest), start, -1):
            place = places.get(head + part[start:end])
            if place is not None:
                found.append(place)
                start = end
                break
        else:
            return ()
    return tuple(found)


def unpack_rows(codes: Bytes, scales: npt.NDArray[np.uint16]) -> Doubles:
    """Return the integer-valued rows (n, dimensions) float64 that codes (n, dimensions / 2) and scales (n,) stand for."""
    rows = np.empty((len(codes), 2 * codes.shape[1]))
    rows[:, 0::2] = codes & 15
    rows[:, 1::2] = codes >> 4
    return (2 * rows - CODE_ZERO) * scales.astype(np.float64)[:, None]


def _unit(sums: Doubles) -> Floats:
    """Return the integer-valued rows divided by their norms as float32; zero rows stay zero."""
    largest = np.abs(sums).max(axis=1, initial=0.0)
    steps = np.ldexp(1.0, np.maximum(np.frexp(np.maximum(largest, 1.0))[1] - SUM_BITS, 0))
    whole = np.rint(sums / steps[:, None])
    norms = np.sqrt(np.square(whole).sum(axis=1, keepdims=True))
    rows: Floats = (whole / np.where(norms > 0, norms, 1.0)).astype(np.float32)
    return rows
