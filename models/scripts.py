"""Scripts that an encoder does not know: it gives confident nonsense for them, so they are counted and warned of.

A text is mainly in the Unicode script of most of its letters. Whether an encoder knows a script is said by its own metadata
(``scripts``, ISO 15924 codes), or judged by its tokenizer on the letters of that script in up to `SAMPLE` of the texts:

- more than `UNKNOWN_SHARE` of their tokens are the unknown token, or
- the texts fall apart: there are fewer than `LETTERS_A_TOKEN` letters to a token (`LETTERS_A_TOKEN_DENSE` in scripts whose
  characters are words or syllables, where one to a token is as it should be and only bytes are not).

This judges the script, not the language: Vietnamese passes with an encoder that has only read English.
"""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from greyzone.records import Encoder

logger = logging.getLogger(__name__)

UNKNOWN_SHARE = 0.1
"""Above this share of unknown tokens a script counts as unknown. On FLORES-101, an English WordPiece has .15 to .73 for Georgian,
Armenian, Kazakh and Chinese, and .001 or less for the letters that it spells one by one."""

LETTERS_A_TOKEN = 1.5
"""On FLORES-101: 1.00 to 1.06 for Cyrillic, Greek, Arabic and Hebrew and 1.41 for Hindi in an English WordPiece, .30 to .46 in bytes,
1.86 to 2.84 in a vocabulary of 60k pieces made for all of them; 2.1 or more for Latin in both but Azerbaijani (1.75)."""

LETTERS_A_TOKEN_DENSE = 0.6
"""On FLORES-101: Chinese has .97 and Japanese 1.29 in a vocabulary made for them, .30 and .32 in bytes."""

SAMPLE = 200
"""Texts of a script by which the tokenizer is judged, evenly spaced; all texts are counted."""

CHARACTERS_AT_ONCE = 1 << 20
"""Characters looked up together, which bounds memory."""

OTHER = "Zzzz"
"""Letters of any script that `RANGES` does not list (the code of ISO 15924 for it)."""

DENSE = frozenset({"Hani", "Hira", "Kana", "Bopo", "Hang", "Ethi"})
"""Scripts whose characters are words or syllables."""

RANGES: tuple[tuple[int, int, str], ...] = (
    (0x41, 0x5A, "Latn"),
    (0x61, 0x7A, "Latn"),
    (0xC0, 0xD6, "Latn"),
    (0xD8, 0xF6, "Latn"),
    (0xF8, 0x2AF, "Latn"),
    (0x370, 0x3E1, "Grek"),
    (0x3F0, 0x3FF, "Grek"),
    (0x400, 0x52F, "Cyrl"),
    (0x531, 0x588, "Armn"),
    (0x591, 0x5F2, "Hebr"),
    (0x610, 0x6FF, "Arab"),
    (0x710, 0x74F, "Syrc"),
    (0x750, 0x77F, "Arab"),
    (0x780, 0x7B1, "Thaa"),
    (0x860, 0x86A, "Syrc"),
    (0x870, 0x8FF, "Arab"),
    (0x900, 0x97F, "Deva"),
    (0x980, 0x9FE, "Beng"),
    (0xA01, 0xA75, "Guru"),
    (0xA81, 0xAFF, "Gujr"),
    (0xB01, 0xB71, "Orya"),
    (0xB82, 0xBFA, "Taml"),
    (0xC00, 0xC7F, "Telu"),
    (0xC80, 0xCF3, "Knda"),
    (0xD00, 0xD7F, "Mlym"),
    (0xD81, 0xDF4, "Sinh"),
    (0xE01, 0xE5B, "Thai"),
    (0xE81, 0xEDF, "Laoo"),
    (0xF00, 0xFDA, "Tibt"),
    (0x1000, 0x109F, "Mymr"),
    (0x10A0, 0x10FF, "Geor"),
    (0x1100, 0x11FF, "Hang"),
    (0x1200, 0x139F, "Ethi"),
    (0x1780, 0x17F9, "Khmr"),
    (0x180B, 0x18AA, "Mong"),
    (0x1C80, 0x1C88, "Cyrl"),
    (0x1C90, 0x1CBF, "Geor"),
    (0x1E00, 0x1EFF, "Latn"),
    (0x1F00, 0x1FFC, "Grek"),
    (0x2C60, 0x2C7F, "Latn"),
    (0x2D00, 0x2D2D, "Geor"),
    (0x2D80, 0x2DDE, "Ethi"),
    (0x2DE0, 0x2DFF, "Cyrl"),
    (0x3041, 0x3096, "Hira"),
    (0x309D, 0x309F, "Hira"),
    (0x30A1, 0x30FA, "Kana"),
    (0x30FD, 0x30FF, "Kana"),
    (0x3105, 0x312F, "Bopo"),
    (0x3131, 0x318E, "Hang"),
    (0x31A0, 0x31BF, "Bopo"),
    (0x31F0, 0x31FF, "Kana"),
    (0x3400, 0x4DBF, "Hani"),
    (0x4E00, 0x9FFF, "Hani"),
    (0xA640, 0xA69F, "Cyrl"),
    (0xA722, 0xA7FF, "Latn"),
    (0xA8E0, 0xA8FF, "Deva"),
    (0xA960, 0xA97C, "Hang"),
    (0xA9E0, 0xA9FE, "Mymr"),
    (0xAA60, 0xAA7F, "Mymr"),
    (0xAB01, 0xAB2E, "Ethi"),
    (0xAB30, 0xAB5A, "Latn"),
    (0xAC00, 0xD7FB, "Hang"),
    (0xF900, 0xFAD9, "Hani"),
    (0xFB00, 0xFB06, "Latn"),
    (0xFB13, 0xFB17, "Armn"),
    (0xFB1D, 0xFB4F, "Hebr"),
    (0xFB50, 0xFDFB, "Arab"),
    (0xFE70, 0xFEFC, "Arab"),
    (0xFF21, 0xFF3A, "Latn"),
    (0xFF41, 0xFF5A, "Latn"),
    (0xFF66, 0xFF9F, "Kana"),
    (0xFFA0, 0xFFDC, "Hang"),
    (0x1EE00, 0x1EEBB, "Arab"),
    (0x20000, 0x323AF, "Hani"),
)
"""First and last code point of the letters of a script (Unicode 14, Scripts.txt, without the rare ones); marks and digits within count."""


@runtime_checkable
class CountsTokens(Protocol):
    """An encoder whose tokenizer can be asked."""

    def token_counts(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return (len(texts), 2): tokens, and how many of them are the unknown token."""
        ...


@runtime_checkable
class SaysWhatItIs(Protocol):
    """An encoder with metadata; "scripts" in it lists what it knows."""

    @property
    def metadata(self) -> Mapping[str, object]:
        """Return what the encoder says of itself."""
        ...


def unknown_scripts(encoder: Encoder, texts: Sequence[str]) -> dict[str, int]:
    """Count the texts that are mainly in a script which `encoder` does not know.

    Parameters
    ----------
    encoder
        One with metadata that lists its scripts, or with a tokenizer (`CountsTokens`); any other is taken to know all, as
        `HashedEncoder` does.
    texts
        Any texts; those without letters are in no script.

    Returns
    -------
    dict[str, int]
        Texts by ISO 15924 code, most first; empty if every script is known.
    """
    knows: Callable[[str, Sequence[str]], bool]
    if (listed := _listed(encoder)) is not None:
        knows = partial(_lists, listed)
    elif isinstance(encoder, CountsTokens):
        knows = partial(_reads, encoder)
    else:
        return {}
    names = main_scripts(texts)
    found = Counter(name for name in names if name is not None)
    unknown = {name for name in found if not knows(name, [text for text, its in zip(texts, names, strict=True) if its == name])}
    return {name: count for name, count in sorted(found.items(), key=lambda item: (-item[1], item[0])) if name in unknown}


def main_scripts(texts: Sequence[str]) -> list[str | None]:
    """Return the script of most letters of each text (of equals the first by code), None where there is no letter."""
    codes = sorted({name for _, _, name in RANGES} | {OTHER})
    counts = np.zeros((len(texts), len(codes)), dtype=np.int64)
    start = 0
    while start < len(texts):
        stop, characters = start, 0
        while stop < len(texts) and (stop == start or characters + len(texts[stop]) <= CHARACTERS_AT_ONCE):
            characters += len(texts[stop])
            stop += 1
        counts[start:stop] = _count_letters(texts[start:stop], codes)
        start = stop
    totals = counts.sum(axis=1)
    main = counts.argmax(axis=1) if len(texts) else np.zeros(0, dtype=np.int64)
    return [codes[place] if total else None for place, total in zip(main, totals, strict=True)]


def _count_letters(texts: Sequence[str], codes: list[str]) -> npt.NDArray[np.int64]:
    """Return (len(texts), len(codes)): letters of each script in each text."""
    points, script = _scripts_of("".join(texts), codes)
    owners = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    outside = np.unique(points[(script < 0) & (points > RANGES[1][1])])
    rare = [point for point in outside.tolist() if unicodedata.category(chr(point)).startswith("L")]
    script[np.isin(points, rare)] = codes.index(OTHER)
    seen = script >= 0
    flat = np.bincount(owners[seen] * len(codes) + script[seen], minlength=len(texts) * len(codes))
    return flat.reshape(len(texts), len(codes)).astype(np.int64)


def _scripts_of(text: str, codes: list[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Return the code points of `text` and the place of each one's script in `codes`, -1 where `RANGES` has none."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    firsts, lasts, places = _table(tuple(codes))
    rows = np.searchsorted(firsts, points, side="right") - 1
    return points, np.where((rows >= 0) & (points <= lasts[rows]), places[rows], -1)


@cache
def _table(codes: tuple[str, ...]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    firsts, lasts, names = zip(*RANGES, strict=True)
    places = np.array([codes.index(name) if name in codes else -1 for name in names])
    return np.array(firsts, dtype=np.uint32), np.array(lasts, dtype=np.uint32), places


def _listed(encoder: Encoder) -> set[str] | None:
    """Return the scripts that the metadata of `encoder` lists, None if it lists none."""
    scripts = encoder.metadata.get("scripts") if isinstance(encoder, SaysWhatItIs) else None
    if isinstance(scripts, str):
        # Metadata of a safetensors file are strings.
        return set(scripts.replace(",", " ").split())
    return {str(name) for name in scripts} if isinstance(scripts, list | tuple) else None


def _lists(listed: set[str], script: str, texts: Sequence[str]) -> bool:  # noqa: ARG001 - the same form as `_reads`
    return script in listed


def _reads(encoder: CountsTokens, script: str, texts: Sequence[str]) -> bool:
    """Say whether the tokenizer of `encoder` knows `script`, in which all `texts` are."""
    places = np.linspace(0, len(texts) - 1, min(len(texts), SAMPLE)).astype(int)
    judged = [_letters_alone(texts[place], script) for place in places]
    letters = sum(len(text) - text.count(" ") for text in judged)
    tokens, unknown = encoder.token_counts(judged).sum(axis=0)
    if tokens == 0 or unknown > UNKNOWN_SHARE * tokens:
        return False
    return bool(letters >= (LETTERS_A_TOKEN_DENSE if script in DENSE else LETTERS_A_TOKEN) * tokens)


def _letters_alone(text: str, script: str) -> str:
    """Return `text` with a space for whatever is no letter or mark of `script`, so that emoji and numbers are not judged.

    The scripts of `DENSE` stay together: a Japanese word is written in three of them.
    """
    codes = sorted(DENSE) if script in DENSE else [script]
    _, places = _scripts_of(text, codes)
    kinds = [unicodedata.category(character)[0] for character in text]
    wanted = [kind == "M" or (kind == "L" and (place >= 0 or script == OTHER)) for kind, place in zip(kinds, places.tolist(), strict=True)]
    return "".join(character if keep else " " for character, keep in zip(text, wanted, strict=True))
