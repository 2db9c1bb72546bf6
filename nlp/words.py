"""Words for numbers, quotations, pseudonyms, and the phrases that no output may hold outside a quotation.

Likelihood words follow Intelligence Community Directive 203 (Office of the Director of National Intelligence, 2015), or the yardstick of
PHIA where a doctrine's ``words.scale`` says so. The directive also asks that likelihood and confidence never stand in one sentence. Text
that others wrote (names, titles, labels) is hostile input: it appears only between “ and ”, so that a reader sees whose words they are
and `refused` can leave them out.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from greyzone.doctrine import Doctrine
from greyzone.errors import InputError


@dataclass(frozen=True, slots=True)
class Scale:
    """Words of likelihood: upper end and word of each band, in order, with the source and how sure the bands are."""

    name: str
    bands: tuple[tuple[float, str], ...]
    source: str
    status: str


SCALES = {
    "ICD 203": Scale(
        "ICD 203",
        (
            (0.05, "almost no chance"),
            (0.20, "very unlikely"),
            (0.45, "unlikely"),
            (0.55, "roughly even"),
            (0.80, "likely"),
            (0.95, "very likely"),
            (1.00, "almost certain"),
        ),
        "Intelligence Community Directive 203, Analytic Standards (ODNI 2015): .01-.05, .05-.20, .20-.45, .45-.55, .55-.80, .80-.95,"
        " .95-.99; the outer bands also take what lies beyond",
        "cited",
    ),
    "PHIA": Scale(
        "PHIA",
        (
            (0.075, "remote chance"),
            (0.225, "highly unlikely"),
            (0.375, "unlikely"),
            (0.525, "realistic possibility"),
            (0.775, "likely"),
            (0.925, "highly likely"),
            (1.00, "almost certain"),
        ),
        "Professional Head of Intelligence Assessment (UK), probability yardstick: 0-5, 10-20, 25-35, 40-50, 55-75, 80-90, 95-100 %, from"
        " memory; its gaps are split in the middle",
        "unverified",
    ),
}
"""Scales of likelihood by the names that ``words.scale`` of a doctrine may have."""

TLP = ("TLP:RED", "TLP:AMBER+STRICT", "TLP:AMBER", "TLP:GREEN", "TLP:CLEAR")
"""Labels of the Traffic Light Protocol 2.0 (FIRST, 2022)."""

QUOTE_LENGTH = 160
"""Characters of a quotation, an ellipsis showing what was left out."""
_QUOTATION = re.compile("“[^“”]*”")
_SPACE = re.compile(r"[\W_]+")
_FOREIGN = re.compile(r"[^\x00-\x7f]+")


def likelihood(p: float, scale: str = "ICD 203") -> str:
    """Return the word of probability `p` on a scale; a band holds its lower end.

    Raises
    ------
    InputError
        If `p` is not a probability, or there is no such scale.
    """
    if not 0 <= p <= 1:
        raise InputError(f"probability {p}", "0 to 1")
    if scale not in SCALES:
        raise InputError(f"words.scale {scale!r}", f"one of {', '.join(SCALES)}", "set it in the doctrine")
    bands = SCALES[scale].bands
    return next((word for upper, word in bands if p < upper), bands[-1][1])


def marking(label: str) -> str:
    """Return a label of the Traffic Light Protocol 2.0 as it is.

    Raises
    ------
    InputError
        If the protocol has no such label.
    """
    if label not in TLP:
        raise InputError(f"tlp_default {label!r}", f"one of {', '.join(TLP)} (TLP 2.0)", "set it in the doctrine")
    return label


def counted(number: int, thing: str) -> str:
    """Return a number of things in words: ``counted(1, "report")`` is "1 report"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def pseudonym(account: str) -> str:
    """Return a name that is the same for the same account everywhere, whatever its case, and does not show it.

    Platforms take no account of case in names, and texts are read in lower case. Ids that differ in case alone get one name.
    It keeps a reader from seeing handles, no more: whoever has a list of accounts can test which of them it is.
    """
    return "account-" + hashlib.blake2b(account.casefold().encode("utf-8", "surrogatepass"), digest_size=6, person=b"greyzone").hexdigest()


def quoted(text: object) -> str:
    """Return `text` as a quotation: one line, no control characters, no quotation marks of the kind that end it."""
    plain = "".join(" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in str(text or "").replace("“", '"').replace("”", '"'))
    plain = " ".join(plain.split())
    return f"“{plain[: QUOTE_LENGTH - 1]}…”" if len(plain) > QUOTE_LENGTH else f"“{plain}”"


def refused(text: str, doctrine: Doctrine) -> list[str]:
    """Return the refusal phrases of `doctrine` that `text` holds outside quotations, whatever their case, spacing or hyphens."""
    found = _plain(_QUOTATION.sub(" “” ", text))
    return [phrase for phrase in doctrine.phrases("refusal_phrases") if _plain(phrase) in found]


def refused_among(texts: Iterable[str], doctrine: Doctrine) -> list[tuple[str, str]]:
    """Return the texts that hold a refusal phrase outside quotations, each with its first one; many texts are read at once."""
    known = list(dict.fromkeys(texts))
    # A word of its own between texts, so that no phrase reaches from one into the next.
    joined = " 0text0 ".join(_QUOTATION.sub(" “” ", text) for text in known)
    found = _plain(joined)
    if not any(_plain(phrase) in found for phrase in doctrine.phrases("refusal_phrases")):
        return []
    return [(text, phrases[0]) for text in known if (phrases := refused(text, doctrine))]


def _plain(text: str) -> str:
    shown = _FOREIGN.sub(_visible, unicodedata.normalize("NFKC", text))
    return f" {_SPACE.sub(' ', shown.casefold()).strip()} "


def _visible(match: re.Match[str]) -> str:
    return "".join(sign for sign in match.group() if unicodedata.category(sign) != "Cf")
