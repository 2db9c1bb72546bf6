"""What a word, a sentence and the same text are, in every script, so that all stages mean the same by them.

Words are runs of letters, marks and digits (Unicode categories L, M, N). Scripts that are written without spaces (Han, kana, Thai,
Lao, Khmer, Burmese) give overlapping pairs of characters, the usual unit of retrieval without a dictionary (Nie, Gao, Zhang and
Zhou, IRAL 2000). `fold` spells Cyrillic and Greek in Latin letters (close to BGN/PCGN), so that a name meets itself across scripts.
All patterns run in linear time: texts are written by strangers.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise

STOP_LANGUAGES = ("ar", "be", "bg", "cs", "de", "en", "es", "fr", "it", "nl", "pl", "pt", "ro", "ru", "sk", "tr", "uk")
"""Languages (ISO 639-1) that have stop words of their own."""


def _class_of(codes: Iterable[int]) -> str:
    """Return the body of a character class that holds the code points `codes`, which ascend."""
    spans: list[list[int]] = []
    for code in codes:
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in spans)


def _codes(*wanted: str) -> Iterator[int]:
    """Yield all code points whose category starts with one of `wanted`."""
    return (code for code in range(0x20000) if unicodedata.category(chr(code)).startswith(wanted))


def _categories(*wanted: str) -> str:
    """Return the class of these code points."""
    return _class_of(_codes(*wanted))


_MARKS = _categories("Mn", "Mc")
_UNSPACED_BLOCKS = (
    *((0x0E00, 0x0EFF), (0x1000, 0x1049), (0x1780, 0x17B3)),  # Thai, Lao, Burmese, Khmer
    *((0x3005, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF)),  # Han and kana
)
_UNSPACED = _class_of(code for first, last in _UNSPACED_BLOCKS for code in range(first, last + 1) if chr(code).isalnum())
_ADDRESS_END = '\\s<>"\u3000-\u9fff\uac00-\ud7af\uff00-\uffef'
_URL = re.compile(
    rf"https?://[^{_ADDRESS_END}]+|www\.[^{_ADDRESS_END}]+|(?<![\w.@/-])(?:[a-z0-9-]++\.)++[a-z]{{2,24}}/[^{_ADDRESS_END}]*", re.I
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]++@(?:[\w-]++\.)++[\w-]+")
_HANDLE = re.compile(r"(?<!\w)[@＠]\w+(?:@[\w.-]+)?")
_INVISIBLE = re.compile("[\u00ad\u034f\u0640\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]")
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_UNSPACED_RUN = re.compile(f"(?:[{_UNSPACED}][{_MARKS}]*)+")
_CLUSTER = re.compile(f"[{_UNSPACED}][{_MARKS}]*")
_LETTER = rf"[^\W_{_UNSPACED}]"
_CYRILLIC = "\u0400-\u052f"
_WORD = re.compile(rf"{_LETTER}(?:{_LETTER}|[{_MARKS}]|(?<=[{_CYRILLIC}])'(?=[{_CYRILLIC}]))*|{_UNSPACED_RUN.pattern}")
_APOSTROPHE_SIGNS = ("\u2019", "\u02bc", "\u2018", "\uff07")
_APOSTROPHES = str.maketrans(dict.fromkeys(_APOSTROPHE_SIGNS, "'"))
_REPOST = re.compile(r"\s*rt\s+@\w+\s*:?\s*", re.I)
_SEPARATORS = dict.fromkeys(_codes("P", "Z", "Cc", "Cf"), " ")
_STOP = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s|$)|[。！？｡؟۔।॥]+[」』”»)\]）]*|\n+|\r")
_LAST_TOKEN = re.compile(r"[^\s(\[\"'«„“]+$")
_ABBREVIATION_LIST = """
    mr mrs ms dr prof gen col lt sgt capt maj gov sen rep st jr sr inc ltd co corp vs etc no nos vol fig approx dept est cf al jan feb
    mar apr jun jul aug sep sept oct nov dec bzw ca usw nr str evtl ggf inkl vgl abs hr fr mme mlle env art av sra dott sig ing pan
    tzn tzw np itd itp ul tj napr atd apod mj tzv г гг стр ул им т д п е руб тыс млн млрд коп см напр др проф акад вул грн рр p pp op
    i.e e.g u.s u.k u.n d.c z.b d.h u.a a.m p.m т.е т.к т.д т.п и.о
"""
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())
_SPELT_LONGER = """
    ё e ж zh х kh ц ts ч ch ш sh щ shch ю yu я ya є ye ї yi ђ dj љ lj њ nj џ dz θ th χ kh ψ ps ł l ø o đ d ð d þ th æ ae œ oe ı i ħ h
"""
_LONGER = _SPELT_LONGER.split()
_TRANSLITERATION = str.maketrans(
    dict(zip("абвгдезийклмнопрстуфыэ", "abvgdeziyklmnoprstufye", strict=True))
    | dict(zip("іґўјћәғқңөұүһѕќѓ", "iguycagknouuhzkg", strict=True))
    | dict(zip("αβγδεζηικλμνξοπρσςτυφω", "avgdeziiklmnxoprsstyfo", strict=True))
    | dict(zip(_LONGER[::2], _LONGER[1::2], strict=True))
    | dict.fromkeys("ъь'", "")
)


def words(text: str) -> list[str]:
    """Return the lower-cased words of `text` in order.

    Addresses, e-mail addresses and @handles are left out; ``#tag`` gives its word; invisible characters inside a word are removed.
    An apostrophe ends a word except between Cyrillic letters (Ukrainian ``п'ять``); hyphens and underscores always do.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    list of str
        Words in NFKC and lower case. A run of an unspaced script gives its pairs of neighbouring characters, or its only one.
    """
    lowered = _without_addresses(text).lower()
    if lowered.isascii():
        return _ASCII_WORD.findall(lowered)
    spelt = unicodedata.normalize("NFKC", lowered)
    # Four searches for a sign are several times as fast as one look at every letter.
    for sign in _APOSTROPHE_SIGNS:
        spelt = spelt.replace(sign, "'")
    clean = _INVISIBLE.sub("", spelt.lower())
    found: list[str] = []
    for word in _WORD.findall(clean):
        if _UNSPACED_RUN.match(word):
            clusters = _CLUSTER.findall(word)
            found += [a + b for a, b in pairwise(clusters)] or clusters
        else:
            found.append(word)
    return found


@lru_cache(maxsize=1 << 17)
def fold(word: str) -> str:
    """Return `word` casefolded, without diacritics, with Cyrillic and Greek spelt in Latin letters.

    Examples
    --------
    >>> fold("Čapek"), fold("Киев"), fold("Αθήνα")
    ('capek', 'kiev', 'athina')
    """
    if word.isascii():
        return word.lower().replace("'", "")
    spelt = unicodedata.normalize("NFC", word.casefold().translate(_APOSTROPHES)).translate(_TRANSLITERATION)
    bare = "".join(char for char in unicodedata.normalize("NFKD", spelt) if not unicodedata.category(char).startswith("M"))
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", bare.translate(_TRANSLITERATION)))


@cache
def stopwords(lang: str) -> frozenset[str]:
    """Return the stop words of `lang`, as `words` spells them.

    Parameters
    ----------
    lang
        ISO 639-1; "und" gives the union over `STOP_LANGUAGES`. A language without a list gives the empty set.
    """
    lists = _stop_lists()
    if lang == "und":
        return frozenset().union(*lists.values())
    return lists.get(lang, frozenset())


def sentences(text: str) -> list[str]:
    """Return the sentences of `text`, stripped, without empty ones.

    A sentence ends at a line break, at a full stop of an unspaced script, or at ``. ! ? …`` before white space, unless an
    abbreviation or an initial stands before a lone full stop or the next word starts in lower case.
    """
    found: list[str] = []
    start = 0
    for stop in _STOP.finditer(text):
        if _ends_sentence(text, start, stop):
            found.append(text[start : stop.end()].strip())
            start = stop.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def normal_form(text: str) -> str:
    """Return the form that makes exact copies equal: two texts with one normal form say the same, letter by letter.

    NFKC and casefold; addresses, invisible characters and leading ``RT @name:`` removed; punctuation and white space collapsed to
    one space. Symbols and emoji stay. A text of nothing but addresses has the empty form: callers must not take two such for copies.
    """
    start = 0
    while match := _REPOST.match(text, start):
        start = match.end()
    bare = text[start:]
    if "/" in bare or "www." in bare.lower():
        bare = _URL.sub(" ", bare)
    clean = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", bare).casefold())
    if not clean.isascii():
        clean = _INVISIBLE.sub("", clean)
    # All that `split` takes for white space is a separator, and a table of single characters is faster than a class of them.
    return " ".join(clean.translate(_SEPARATORS).split())


def _without_addresses(text: str) -> str:
    """Return `text` without URLs, e-mail addresses and handles; the guards keep the common case to one scan each."""
    if "/" in text or "www." in text or "WWW." in text:
        text = _URL.sub(" ", text)
    if "@" in text or "＠" in text:
        text = _HANDLE.sub(" ", _EMAIL.sub(" ", text))
    return text


def _ends_sentence(text: str, start: int, stop: re.Match[str]) -> bool:
    """Tell whether the stop found in `text` ends the sentence that began at `start`."""
    mark = stop.group()
    if mark[0] in "\n\r。！？｡؟۔।॥":
        return True
    following = text[stop.end() : stop.end() + 8].lstrip(" \t\"'«„“(")
    if following[:1].islower():
        return False
    if mark != ".":
        return True
    before = _LAST_TOKEN.search(text, max(start, stop.start() - 24), stop.start())
    token = before.group().lower() if before else ""
    return token not in _ABBREVIATIONS and not (len(token) == 1 and token.isalpha()) and not (token.isdigit() and len(token) < 3)


@cache
def _stop_lists() -> dict[str, frozenset[str]]:
    """Read the stop words that the frequency builder derived (see models/data/README.md)."""
    raw = json.loads(resources.files("greyzone.models").joinpath("data", "stop_words.json").read_text(encoding="utf-8"))
    return {sys.intern(lang): frozenset(listed.split()) for lang, listed in sorted(raw["words"].items())}
