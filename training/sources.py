"""The texts that the embedded encoder is built from, each with its licence; what is for research only is passed over and counted.

Five kinds of open text serve: sentence pairs (Tatoeba, TICO-19), word pairs (Wiktionary), names and keywords of things in all languages
(Unicode CLDR: territories, languages, emoji annotations), English definitions (WordNet), and English descriptions of influence and
cyber operations (DISARM, MISP galaxy). `SOURCES` is the list that the model card repeats.
"""

from __future__ import annotations

import gzip
import json
import lzma
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from greyzone.errors import InputError


@dataclass(frozen=True, slots=True)
class Source:
    """A work that texts are taken from."""

    title: str
    licence: str
    origin: str


SOURCES = {
    "tatoeba": Source("Tatoeba sentence pairs", "CC BY 2.0 FR", "https://tatoeba.org, as OPUS-MT-testsets and LASER publish them"),
    "manythings": Source("Tatoeba sentence pairs", "CC BY 2.0 FR", "https://tatoeba.org, as manythings.org selects them"),
    "tico19": Source("TICO-19", "CC0 1.0", "https://tico-19.github.io"),
    "wiktionary": Source("Wiktionary translations", "CC BY-SA 3.0", "https://wiktionary.org, as CPJKU/wechsel extracts them"),
    "cldr": Source("Unicode CLDR 45 names and annotations", "Unicode License v3", "npm cldr-localenames-modern, cldr-annotations-modern"),
    "wordnet": Source("WordNet 3.0 definitions and examples", "WordNet 3.0 License", "https://wordnet.princeton.edu"),
    "disarm": Source("DISARM framework descriptions", "CC BY-SA 4.0", "https://github.com/DISARMFoundation/DISARMframeworks"),
    "misp": Source("MISP galaxy threat-actor descriptions", "CC0 1.0 or BSD-2-Clause", "https://github.com/MISP/misp-galaxy"),
}
"""Every work used, by name; a corpus of sentence pairs belongs to the source that its name begins with."""

LANGUAGES = ("ar", "be", "bg", "cs", "de", "es", "et", "fr", "hr", "it", "lt", "lv", "nl", "pl", "pt", "ro", "ru", "sk", "sr", "tr", "uk")
"""ISO 639-1 codes of the languages that the embedded encoder is built for, beside English."""

LANGUAGE_OF = {"sh": "hr", "mk": "bg", "sl": "hr"}
"""Near relatives whose pairs help a language that has few of its own; Serbo-Croatian (sh) stands for hr and sr."""

FEWEST_LETTERS = 2
"""A dictionary entry of one letter is the name of a letter, not a word."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An English text and its translation: `kind` is "sentence", "word" or "name"."""

    lang: str
    source: str
    kind: str
    english: str
    foreign: str


@dataclass(slots=True)
class Reading:
    """What was read: kept and passed-over rows by corpus, for the card."""

    kept: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)


def parallel_rows(path: Path, reading: Reading | None = None) -> Iterator[tuple[str, str, str, str]]:
    """Yield (lang, source, English, foreign) of the openly licensed rows of a file of sentence pairs, in file order.

    Parameters
    ----------
    path
        Tab-separated (``.xz`` or plain) with the header ``lang corpus en xx``.
    reading
        Counts rows by corpus where given.

    Raises
    ------
    InputError
        If the header or a row has another form.
    """
    with (
        lzma.open(path, "rt", encoding="utf-8", newline="\n")
        if path.suffix == ".xz"
        else path.open(encoding="utf-8", newline="\n") as lines
    ):
        header = next(lines, "").rstrip("\n")
        if header.split("\t") != ["lang", "corpus", "en", "xx"]:
            raise InputError(f"header {header[:60]!r} in {path.name}", "lang, corpus, en, xx, separated by tabs")
        for line in lines:
            parts = line.rstrip("\n").split("\t")
            if len(parts) != 4:
                raise InputError(f"a row of {len(parts)} fields in {path.name}", "4 fields")
            lang, corpus, english, foreign = parts
            source = next((name for name in SOURCES if corpus.startswith(name)), None)
            if reading is not None:
                (reading.kept if source else reading.passed)[corpus] += 1
            if source:
                yield lang, source, english, foreign


def sentence_pairs(path: Path, languages: frozenset[str], reading: Reading | None = None) -> Iterator[Pair]:
    """Yield the distinct openly licensed sentence pairs of `languages`; see `parallel_rows`."""
    seen: set[tuple[str, str, str]] = set()
    for lang, source, english, foreign in parallel_rows(path, reading):
        if lang in languages and (lang, english, foreign) not in seen:
            seen.add((lang, english, foreign))
            yield Pair(lang, source, "sentence", english, foreign)


def word_pairs(path: Path, languages: frozenset[str], reading: Reading | None = None) -> Iterator[Pair]:
    """Yield the distinct word pairs of a dictionary file (tab-separated, ``.gz``, header ``lang en xx``).

    Raises
    ------
    InputError
        If the header has another form.
    """
    seen: set[tuple[str, str, str]] = set()
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        header = next(lines, "").rstrip("\n")
        if header.split("\t") != ["lang", "en", "xx"]:
            raise InputError(f"header {header[:60]!r} in {path.name}", "lang, en, xx, separated by tabs")
        for line in lines:
            parts = [part.strip() for part in line.rstrip("\n").split("\t")]
            if len(parts) != 3 or len(parts[2]) < FEWEST_LETTERS or not parts[1]:
                if reading is not None:
                    reading.passed["wiktionary"] += 1
                continue
            lang, english, foreign = parts
            if lang in languages and (lang, english, foreign) not in seen:
                seen.add((lang, english, foreign))
                if reading is not None:
                    reading.kept["wiktionary"] += 1
                yield Pair(lang, "wiktionary", "word", english, foreign)


def cldr_pairs(folder: Path, languages: frozenset[str], reading: Reading | None = None) -> Iterator[Pair]:
    """Yield names and keywords of the same thing in English and each language, from unpacked CLDR packages under `folder`.

    Territories and languages give a name each; an emoji annotation gives its name and, as one pair, its lists of keywords.

    Raises
    ------
    InputError
        If there are no English entries under `folder`.
    """
    english = _cldr_entries(folder, "en")
    if not english:
        raise InputError(f"no CLDR data under {folder}", "the packages cldr-localenames-modern and cldr-annotations-modern, unpacked")
    for lang in sorted(languages):
        for locale in {"sr": ("sr", "sr-Latn")}.get(lang, (lang,)):
            for key, foreign in sorted(_cldr_entries(folder, locale).items()):
                if key in english and english[key] != foreign:
                    if reading is not None:
                        reading.kept["cldr"] += 1
                    yield Pair(lang, "cldr", "name", english[key], foreign)


def definitions(folder: Path) -> Iterator[str]:
    """Yield the definitions and examples of WordNet's ``data.*`` files: the part of a line after ``|``, at its semicolons."""
    for path in sorted(folder.glob("data.*")):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("  ") or "|" not in line:
                    continue
                head, _, gloss = line.partition("|")
                words = " ".join(re.findall(r"[a-z]+", " ".join(head.split()[4:5]).lower().replace("_", " ")))
                for number, part in enumerate(gloss.strip().split(";")):
                    text = part.strip().strip('"').strip()
                    if len(text.split()) >= 3:
                        yield f"{words}: {text}" if number == 0 else text


def descriptions(disarm: Path | None, misp: Path | None) -> Iterator[tuple[str, str]]:
    """Yield (source, text) of the DISARM and MISP descriptions; URLs and markup are left out."""
    if disarm is not None:
        stored = json.loads(gzip.decompress(disarm.read_bytes()))
        for part in ("phases", "tactics", "techniques", "countermeasures", "incidents", "narratives"):
            for row in stored.get(part, []):
                text = _plain(" ".join(str(row.get(key) or "") for key in ("name", "summary")))
                if len(text.split()) >= 3:
                    yield "disarm", text
    if misp is not None:
        for row in json.loads(gzip.decompress(misp.read_bytes()))["values"]:
            text = _plain(str(row.get("description") or ""))
            if len(text.split()) >= 3:
                yield "misp", text


def _plain(text: str) -> str:
    return " ".join(re.sub(r"https?://\S+|<[^>]*>|\[\d+\]", " ", text).split())


def _cldr_entries(folder: Path, locale: str) -> dict[str, str]:
    """Return what `locale` calls each territory, language and emoji, by a key that is the same in every locale."""
    found: dict[str, str] = {}
    for kind in ("territories", "languages"):
        for path in sorted(folder.rglob(f"main/{locale}/{kind}.json")):
            names = json.loads(path.read_text("utf-8"))["main"][locale]["localeDisplayNames"][kind]
            found |= {f"{kind} {code}": name for code, name in names.items() if code.isalnum() and name != code}
    for path in sorted(folder.rglob(f"annotations*/{locale}/annotations.json")):
        stored = json.loads(path.read_text("utf-8"))
        for sign, note in (stored.get("annotations") or stored["annotationsDerived"])["annotations"].items():
            if "tts" in note:
                found[f"sign {sign}"] = note["tts"][0]
            if "default" in note:
                found[f"keywords {sign}"] = " ".join(note["default"])
    return found
