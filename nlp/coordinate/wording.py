"""Which texts have words enough to be somebody's wording: shorter ones are greetings and reactions that many write alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.text import words

_BESIDES = r"\S*(?:[@＠/]|\S\.\S)\S*"
"""Tokens that hold an address or a handle, or may."""

_PLAIN = r"(?:^|\s)[#(«\"']?[A-Za-zА-Яа-я]+"
"""The beginning of a token that is a word beyond doubt."""


def has_words(texts: pa.Array | pa.ChunkedArray, minimum: int) -> npt.NDArray[np.bool_]:
    """Return which texts have at least `minimum` words by `greyzone.text.words`, (texts,) bool.

    Most have words enough beyond doubt, which Arrow tells many times as fast; only the others are counted word by word.
    """
    plain = pc.count_substring_regex(pc.replace_substring_regex(pc.fill_null(texts, ""), _BESIDES, " "), _PLAIN)
    enough = pc.greater_equal(plain, minimum).to_numpy(zero_copy_only=False).copy() if len(texts) else np.empty(0, dtype=bool)
    doubtful = np.flatnonzero(~enough)
    left = texts.take(pa.array(doubtful)).to_pylist()
    enough[doubtful] = np.fromiter((len(words(text or "")) >= minimum for text in left), dtype=bool, count=len(left))
    return enough
