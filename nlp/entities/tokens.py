"""The words of a text with their places, hashtags taken apart, and what an inflected Cyrillic word stands for.

Words are runs of letters, marks and digits as in `greyzone.text.words`, folded by `greyzone.text.fold`; a name never begins or ends inside
one, in any script. Scripts without blanks give overlapping pairs of characters. Addresses, e-mail addresses and handles are passed over.

Hashtags: ``#DNCLeak`` is read as its parts (DNC, Leak); the whole tag is kept as well, so that ``#FancyBear`` meets "Fancy Bear".

Inflection: only words written in Cyrillic are reduced, only by one case ending of the East Slavic noun, and only to a stem of at least
`STEM` letters that is a word of a name (Капковым, Капкова: Капков) or a word of a name without its last vowel (Победу: Победа). Latin
script is not reduced: an English or Polish ending is too often another word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from greyzone.text import fold

STEM = 4
"""Fewest folded letters that a Cyrillic word keeps when its ending is taken off (spelt in Latin letters: ш counts as two)."""

_ENDING_LIST = "а у е и ы ю я о ой ою ей ею ом ем ём ам ами ах ям ями ях ов ев ів ові еві ові ого ому ым ими ых ую ая ий ый ій"
ENDINGS = tuple(sorted({fold(ending) for ending in _ENDING_LIST.split()}, key=lambda ending: (-len(ending), ending)))
"""Endings of nouns and adjectives in Russian, Ukrainian and Belarusian, folded, the longest first."""

_VOWELS = ("ya", "yu", "a", "o", "e", "i", "y", "u")
_HIDDEN = "\u00ad\u034f\u0640\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff"
_UNSPACED = "\u0e00-\u0eff\u1000-\u1049\u1780-\u17b3\u3005-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_MARK = "\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0903\u093a-\u094f"
_LETTER = rf"[^\W_{_UNSPACED}]"
_WORD = re.compile(
    rf"{_LETTER}(?:{_LETTER}|[{_MARK}{_HIDDEN}](?=\w)|(?<=[\u0400-\u052f])['\u2019\u02bc](?=[\u0400-\u052f]))*|[{_UNSPACED}]+"
)
_CLOSER = re.compile(f"[\u0400-\u052f{_UNSPACED}]")
_ASCII_WORD = re.compile(r"[A-Za-z0-9]+")
_PASSED = re.compile(
    r"https?://\S+|(?<!\w)www\.\S+|(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,5}[\w-]{1,63}|(?<!\w)[@＠]\w+(?:@[\w.-]+)?"
    r"|(?<![\w.@/-])(?:[a-z0-9-]{1,63}\.){1,5}[a-z]{2,24}/\S*",
    re.IGNORECASE,
)
_TAG = re.compile(r"[#＃](\w+)")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=[0-9]{2})")


class Tag(NamedTuple):
    """A hashtag without its sign: its folded letters, and where it stands among characters and words, as [start, end) each."""

    word: str
    start: int
    end: int
    first: int
    last: int


class Tokens(NamedTuple):
    """Folded words of a text, their spans in it (`starts` and `ends`), and its hashtags of several parts."""

    folded: list[str]
    starts: list[int]
    ends: list[int]
    tags: list[Tag]


def without_addresses(text: str) -> str:
    """Return `text` with blanks, one a character, for addresses, e-mail addresses and handles."""
    if "/" not in text and "@" not in text and "＠" not in text and "www." not in text.lower():
        return text
    return _PASSED.sub(lambda match: " " * len(match[0]), text)


def seen_words(text: str, plain: str | None = None) -> list[str] | None:
    """Return the words of `tokens` and whole hashtags, in any order, for a first look; None where that takes a closer one.

    Closer looks are taken at Cyrillic, which inflects, and at scripts without blanks. `plain` is the text without addresses, where it is
    known already.
    """
    plain = without_addresses(text) if plain is None else plain
    if plain.isascii():
        found = _ASCII_WORD.findall(plain.lower())
    elif _CLOSER.search(plain):
        return None
    else:
        found = [fold(word) for word in _WORD.findall(plain)]
    if "#" in plain or "＃" in plain:
        for tag in _TAG.findall(plain):
            found += [fold(part) for part in _parts(tag)]
    return found


def tokens(text: str, plain: str | None = None) -> Tokens:
    """Return the folded words of `text` with their spans; `plain` as in `seen_words`."""
    plain = without_addresses(text) if plain is None else plain
    tags = {match.start(1): match.end(1) for match in _TAG.finditer(plain)} if "#" in plain or "＃" in plain else {}
    folded: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    found: list[Tag] = []
    for match in (_ASCII_WORD if plain.isascii() else _WORD).finditer(plain):
        start, end = match.span()
        if start in tags and tags[start] == end:
            cuts = [0, *(cut.start() for cut in _CAMEL.finditer(match[0])), end - start]
            if len(cuts) > 2:
                found.append(Tag(fold(match[0]), start, end, len(folded), len(folded) + len(cuts) - 1))
            spans = [(start + a, start + b) for a, b in pairwise(cuts)]
        elif match[0][0] >= "\u0e00" and re.match(f"[{_UNSPACED}]", match[0]):
            spans = [(at, at + 2) for at in range(start, end - 1)] or [(start, end)]
        else:
            spans = [(start, end)]
        for a, b in spans:
            folded.append(fold(plain[a:b]))
            starts.append(a)
            ends.append(b)
    return Tokens(folded, starts, ends, found)


def is_cyrillic(word: str) -> bool:
    """Tell whether a word as written is in Cyrillic, which inflects."""
    return any("\u0400" <= sign <= "\u052f" for sign in word[:3])


def has_case(word: str) -> bool:
    """Tell whether a word is in letters that begin names with a capital; Georgian has capitals, and begins nothing with them."""
    return word.lower() != word.title()


def stems(vocabulary: Collection[str]) -> dict[str, str]:
    """Return the words without their last vowel to the word (the least of several), for words that keep `STEM` letters."""
    found: dict[str, str] = {}
    for word in sorted(vocabulary, reverse=True):
        vowel = next((vowel for vowel in _VOWELS if word.endswith(vowel)), "")
        if vowel and len(word) - len(vowel) >= STEM:
            found[word.removesuffix(vowel)] = word
    return found


def uninflected(word: str, vocabulary: Collection[str], stemmed: Mapping[str, str]) -> str:
    """Return the word of `vocabulary` that a folded Cyrillic word is a case of, or the word itself."""
    if word in vocabulary:
        return word
    for ending in ENDINGS:
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < STEM:
            continue
        if stem in vocabulary:
            return stem
        if stem in stemmed:
            return stemmed[stem]
    return word


@lru_cache(maxsize=1 << 15)
def _parts(tag: str) -> tuple[str, ...]:
    """Return the parts of a hashtag as written."""
    return tuple(part for part in _CAMEL.split(tag) if part)
