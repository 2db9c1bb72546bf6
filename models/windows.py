"""Texts longer than a model reads: cut into overlapping windows of tokens, so that nothing is dropped.

A window holds at most `limit` tokens. It ends before a word rather than inside one where that costs less than half of it, and the
next one begins `OVERLAP` of a window earlier, at the start of a word if there is one near. The characters of the windows together
are the whole text. The vector of the text is the mean of its windows' unit vectors, weighted by their tokens, normalised again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Flags = npt.NDArray[np.bool_]

OVERLAP = 1 / 8
"""Share of a window that the next one repeats, so that a sentence which is cut is whole in one of the two."""

UNLIMITED = 1_000_000
"""A longest input of this many tokens or more is how the libraries say that there is none."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a text: the `text` between two characters and its number of `tokens`."""

    text: str
    tokens: int


class PieceTokenizer:
    """A model's tokenizer, seen from outside: counts, unknown tokens and windows; the model's own one is left as it is.

    Parameters
    ----------
    backend
        The tokenizer of the `tokenizers` library; it is copied, as the model's own one cuts and pads.
    """

    def __init__(self, backend: Tokenizer) -> None:
        import json

        from tokenizers import Tokenizer

        stated = backend.to_str()
        self._tokenizer = Tokenizer.from_str(stated)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.unknown = _unknown_token(json.loads(stated)["model"], self._tokenizer)
        self.special: int = self._tokenizer.num_special_tokens_to_add(is_pair=False)

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Return the encodings of `texts`, whole and without special tokens."""
        return self._tokenizer.encode_batch(list(texts), add_special_tokens=False)

    def counts(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return (len(texts), 2): the tokens of each text, and how many of them are the unknown token."""
        found = [(len(encoding.ids), encoding.ids.count(self.unknown)) for encoding in self.encode(texts)]
        return np.array(found, dtype=np.int64).reshape(-1, 2)

    def windows(self, text: str, limit: int) -> list[Window]:
        """Return `text` in windows of at most `limit` tokens.

        A part can have more tokens by itself than it had within the text; such a part is cut again. Only a part that is one token
        of the whole and still too long by itself is returned as it is, with its true number of tokens.
        """
        (encoding,) = self.encode([text])
        if len(encoding.ids) <= limit:
            return [Window(text, len(encoding.ids))]
        found: list[Window] = []
        narrowed = limit
        while True:
            parts = cut(text, encoding.offsets, narrowed)
            counted = self.counts(parts)[:, 0]
            if counted.max() <= limit or narrowed == 1:
                found += [Window(part, int(count)) for part, count in zip(parts, counted, strict=True)]
                return found
            narrowed = max(1, min(narrowed - 1, narrowed * limit // int(counted.max())))


def backend_of(tokenizer: Any) -> Any | None:  # noqa: ANN401 - the libraries' tokenizers share no type
    """Return the `tokenizers.Tokenizer` behind a model's tokenizer, or None if it has none."""
    from tokenizers import Tokenizer

    found = getattr(tokenizer, "backend_tokenizer", tokenizer)
    return found if isinstance(found, Tokenizer) else None


def cut(text: str, offsets: Sequence[tuple[int, int]], limit: int) -> list[str]:
    """Return the overlapping parts of `text` that hold at most `limit` of its tokens, given each token's characters."""
    starts = [min(start, len(text)) for start, _ in offsets]
    breaks = np.array([place == 0 or text[place - 1].isspace() or text[place : place + 1].isspace() for place in starts])
    found = []
    for first, last in spans(breaks, limit, int(limit * OVERLAP)):
        begin = starts[first] if first else 0
        end = starts[last] if last < len(starts) else len(text)
        found.append(text[begin:end])
    return found


def spans(breaks: Flags, limit: int, overlap: int) -> list[tuple[int, int]]:
    """Return spans of at most `limit` tokens that cover all of them, each beginning at or before the end of the one before.

    Parameters
    ----------
    breaks
        (n_tokens,) bool: whether a token begins a word.
    limit
        Most tokens of a span, 1 or more.
    overlap
        Tokens that a span repeats of the one before, less than half of `limit`; up to twice as many to begin with a word.
    """
    total = len(breaks)
    found: list[tuple[int, int]] = []
    start = 0
    while True:
        end = min(start + limit, total)
        if end < total:
            end = _word_start(breaks, end, start + max(1, limit - limit // 2))
        found.append((start, end))
        if end == total:
            return found
        start = _word_start(breaks, end - overlap, max(start + 1, end - 2 * overlap))


def _word_start(breaks: Flags, place: int, lowest: int) -> int:
    """Return the last start of a word in ``lowest..place``, or `place` if there is none."""
    near = np.flatnonzero(breaks[lowest : place + 1])
    return lowest + int(near[-1]) if len(near) else place


def _unknown_token(model: dict[str, Any], tokenizer: Tokenizer) -> int:
    """Return the id of the unknown token of a tokenizer's model, -1 where it has none (bytes spell everything)."""
    if model.get("unk_id") is not None:
        return int(model["unk_id"])
    name = model.get("unk_token")
    number = tokenizer.token_to_id(name) if name else None
    return -1 if number is None else number
