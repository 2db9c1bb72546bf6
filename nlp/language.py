"""The language of a document: what the source said, as ISO 639-1, or else what its letters look like.

Detection is by py3langid (naive Bayes over byte n-grams, after Lui and Baldwin, ACL 2012), restricted to `LANGUAGES`: among all that
it knows, short posts drift into small ones. It is asked once per distinct text, on the first `SAMPLE` letters.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

FEWEST_LETTERS = 20
"""Shorter texts stay "und"; scripts without spaces say more per sign and need `FEWEST_SIGNS`."""

FEWEST_SIGNS = 6
SAMPLE = 240

_DETECTED = (
    "af am ar az be bg bn bs ca cs cy da de el en es et eu fa fi fr ga gl gu he hi hr hu hy id is it ja ka kk km kn ko ky lo lt lv "
    "mk ml mn mr ms my ne nl no pa pl ps pt ro ru si sk sl sq sr sv sw ta te th tl tr uk ur uz vi zh"
)
LANGUAGES = tuple(_DETECTED.split())
"""ISO 639-1 codes that detection chooses from."""

_NAMES = {
    "farsi": "fa",
    "farsi (persian)": "fa",
    "greek": "el",
    "mandarin": "zh",
    "simplified chinese": "zh",
    "traditional chinese": "zh",
    "iw": "he",
    "in": "id",
    "ji": "yi",
    "fil": "tl",
    "filipino": "tl",
    "tagalog (filipino)": "tl",
    "cmn": "zh",
    "nb": "no",
    "nn": "no",
    "slovene": "sl",
    "moldavian": "ro",
    "malay": "ms",
    "swahili": "sw",
    "kyrgyz": "ky",
    "pashto": "ps",
    "nepali": "ne",
    "deutsch": "de",
    "français": "fr",
    "español": "es",
    "русский": "ru",
    "українська": "uk",
    "polski": "pl",
    "italiano": "it",
}
_NOT_LETTERS = re.compile(r"[@＠#＃]\w+|https?://\S+|[^\w\s'’-]+|[\d_]+")
_SPACELESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@functools.lru_cache(maxsize=4096)
def language_code(value: str | None) -> str | None:
    """Return the ISO 639-1 code of a code (with or without region) or an English name; None if it says nothing.

    Examples
    --------
    >>> language_code("en-US"), language_code("Russian"), language_code("deu"), language_code("LANGUAGE UNDEFINED")
    ('en', 'ru', 'de', None)
    """
    if value is None or len(value) > 64:
        return None
    name = value.strip().casefold()
    if name in _NAMES:
        return _NAMES[name]
    head = re.split(r"[-_]", name, maxsplit=1)[0] if re.match(r"[a-z]{2,3}(?:[-_]|$)", name) else name
    if head in _NAMES:
        return _NAMES[head]
    known = _codes()
    return known.get(head) or known.get(name.split(" (", 1)[0])


def detect_languages(texts: Sequence[str]) -> list[str]:
    """Return a code of `LANGUAGES` for every text, or "und" for one with too few letters.

    Parameters
    ----------
    texts
        Best without addresses; handles, tags and digits are passed over here.
    """
    return [_detect(_letters(text)) for text in texts]


def _letters(text: str) -> str:
    return " ".join(_NOT_LETTERS.sub(" ", text[: 4 * SAMPLE]).split())[:SAMPLE].lower()


@functools.lru_cache(maxsize=2**16)
def _detect(letters: str) -> str:
    count = sum(map(str.isalpha, letters))
    if count < FEWEST_LETTERS and not (count >= FEWEST_SIGNS and len(_SPACELESS.findall(letters)) >= FEWEST_SIGNS):
        return "und"
    code, _ = _identifier().classify(letters)
    return str(code)


@functools.cache
def _identifier() -> Any:  # noqa: ANN401
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(LANGUAGES)
    return identifier


@functools.cache
def _codes() -> dict[str, str]:
    """Return ISO 639-1 by two-letter code, three-letter code and English name."""
    import pycountry

    found: dict[str, str] = {}
    for language in pycountry.languages:
        code = getattr(language, "alpha_2", None)
        if code is None:
            continue
        for name in (
            code,
            language.alpha_3,
            getattr(language, "bibliographic", None),
            language.name,
            getattr(language, "common_name", None),
        ):
            if name:
                found.setdefault(name.casefold(), code)
                found.setdefault(name.casefold().split(" (", 1)[0], code)
    return found
