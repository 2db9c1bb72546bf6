"""Words for numbers, quotations, pseudonyms, and the phrases that no output may hold outside a quotation.

Likelihood words follow Intelligence Community Directive 203 (Office of the Director of National Intelligence, 2015), which also asks
that likelihood and confidence never stand in one sentence. Text that others wrote (names, titles, labels) is hostile input: it
appears only between “ and ”, so that a reader sees whose words they are and `refused` can leave them out.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass

from greyzone.doctrine import Doctrine
from greyzone.errors import InputError

LIKELIHOOD = (
    (0.05, "almost no chance"),
    (0.20, "very unlikely"),
    (0.45, "unlikely"),
    (0.55, "roughly even"),
    (0.80, "likely"),
    (0.95, "very likely"),
    (1.00, "almost certain"),
)
"""ICD 203: upper end of each band (.01-.05, .05-.20, ...); the outer bands also take what lies beyond .01 and .99."""

QUOTE_LENGTH = 160
"""Characters of a quotation, an ellipsis showing what was left out."""
_QUOTATION = re.compile("“[^“”]*”")
_SPACE = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Interval:
    """A score with its 90 % interval; it cannot be turned into a bare number."""

    p05: float
    p50: float
    p95: float

    def __str__(self) -> str:
        return f"{self.p50:.0f} (90 % interval {self.p05:.0f}–{self.p95:.0f})"

    __repr__ = __str__


def likelihood(p: float) -> str:
    """Return the ICD 203 word of probability `p`; a band holds its lower end.

    Raises
    ------
    InputError
        If `p` is not a probability.
    """
    if not 0 <= p <= 1:
        raise InputError(f"probability {p}", "0 to 1")
    return next((word for upper, word in LIKELIHOOD if p < upper), LIKELIHOOD[-1][1])


def counted(number: int, thing: str) -> str:
    """Return a number of things in words: ``counted(1, "report")`` is "1 report"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def pseudonym(account: str) -> str:
    """Return a name that is the same for the same account everywhere and does not show it.

    It keeps a reader from seeing handles, no more: whoever has a list of accounts can test which of them it is.
    """
    return "account-" + hashlib.blake2b(account.encode("utf-8", "surrogatepass"), digest_size=6, person=b"greyzone").hexdigest()


def quoted(text: object) -> str:
    """Return `text` as a quotation: one line, no control characters, no quotation marks of the kind that end it."""
    plain = "".join(" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in str(text or "").replace("“", '"').replace("”", '"'))
    plain = " ".join(plain.split())
    return f"“{plain[: QUOTE_LENGTH - 1]}…”" if len(plain) > QUOTE_LENGTH else f"“{plain}”"


def refused(text: str, doctrine: Doctrine) -> list[str]:
    """Return the refusal phrases of `doctrine` that `text` holds outside quotations, whatever their case, spacing or hyphens."""
    own = _QUOTATION.sub(" “” ", text)
    joined = "".join(sign for sign in unicodedata.normalize("NFKC", own) if unicodedata.category(sign) != "Cf")
    found = f" {_SPACE.sub(' ', joined.casefold())} "
    return [phrase for phrase in doctrine.phrases("refusal_phrases") if f" {_SPACE.sub(' ', phrase.casefold()).strip()} " in found]
