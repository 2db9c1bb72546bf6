"""Small things that the parts of the report share: days, rounded numbers, short texts."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any

Row = dict[str, Any]

NAME = 160
"""Characters of a name, an address or a tag on the page: some sources put whole pages into such a field."""

_TAIL = 40
"""Characters that a cut may give up to end at a word."""

CITED = 6
"""Documents that a sentence of a profile cites on the page; it says how many more there are."""


def day(value: object) -> str | None:
    """Return the ISO day of a date or instant, None for anything else."""
    if isinstance(value, datetime):
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, date) else None


def rounded(value: object, digits: int = 3) -> float | None:
    """Round a finite number; None for anything else."""
    return None if not isinstance(value, int | float) or not math.isfinite(value) else round(float(value), digits)


def shorten(text: str, length: int) -> str:
    """Cut a text at a word, with an ellipsis; within one where the last blank is far, as in scripts that set none between words."""
    if len(text) <= length:
        return text
    cut = text[: length - 1]
    blank = cut.rfind(" ")
    return (cut[:blank] if blank > length - _TAIL else cut) + "…"
