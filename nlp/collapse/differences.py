"""How a copy differs from its representative, whom it may have copied, and how long after.

A copy differs in the last of `DIFFERENCES` that it takes to make the two texts one, and perhaps in earlier ones besides:

- ``same``: in nothing; the texts are equal character by character.
- ``prefix``: in a leading "RT @name:" of either.
- ``case``: in letters' case or compatible forms (NFKC).
- ``punctuation``: in punctuation, white space or invisible characters.
- ``urls``: in addresses.
- ``words``: in what remains; so does every near copy, and no exact one.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.collapse.grams import Ints

DIFFERENCES = ("same", "prefix", "case", "punctuation", "urls", "words")

_PREFIX = re.compile(r"(?:\s*rt\s+@\w+\s*:?\s*)+", re.I)
_NO_LETTER = re.compile(r"[\W_]+")


def difference(text: str, representative: str) -> str:
    """Return the name of the difference between an exact copy and its representative.

    Examples
    --------
    >>> difference("RT @name: The port is open", "The port is open"), difference("THE PORT IS OPEN!", "The port is open")
    ('prefix', 'punctuation')
    """
    if text == representative:
        return "same"
    left, right = (_PREFIX.sub("", one, count=1) if _PREFIX.match(one) else one.strip() for one in (text, representative))
    if left == right:
        return "prefix"
    left, right = (unicodedata.normalize("NFKC", one.casefold()) for one in (left, right))
    if left == right:
        return "case"
    return "punctuation" if _NO_LETTER.sub("", left) == _NO_LETTER.sub("", right) else "urls"


def differences(pairs: pa.Table) -> pa.Array:
    """Return `difference` of the columns `text` and `representative` of exact copies."""
    found = [difference(*pair) for pair in zip(pairs["text"].to_pylist(), pairs["representative"].to_pylist(), strict=True)]
    return pa.array(found, pa.string())


def previous(leader: Ints, dated: Ints) -> Ints:
    """Return the place of the document just before each one in its set of copies, or -1.

    Parameters
    ----------
    leader
        (n,) int64, equal for the members of a set; documents are in the order (published_at, doc_id).
    dated
        (n,) bool. Nobody knows what came before an undated document.
    """
    order = np.argsort(leader, kind="stable")
    before = np.full(len(leader), -1, dtype=np.int64)
    follows = leader[order[1:]] == leader[order[:-1]]
    before[order[1:][follows]] = order[:-1][follows]
    return np.where(dated, before, -1)


def lags(times: pa.Array, since: pa.Array) -> pa.Array:
    """Return the seconds (float64) from `since` to `times`; null where either is."""
    return pc.divide(pc.subtract(times.cast(pa.int64()), since.cast(pa.int64())).cast(pa.float64()), 1e6)
