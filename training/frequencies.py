"""Builds the word frequencies and stop words that greyzone ships, from sentence pairs under open licences.

The embedded encoder weighs a word by ``a / (a + p(word))`` (Arora, Liang and Ma, ICLR 2017), so it needs p for the frequent words of
each language. Sentence collections have subjects (Tatoeba is full of Tom and Mary, TICO-19 is about COVID-19), and a subject is no
property of the language. Where a language has both registers, a word gets the smaller of its two smoothed frequencies,
``min over registers of (count + 5) / tokens``, and a word that is tied to an English subject word (Tom) is left out everywhere.
A word is a stop word if it is frequent in Tatoeba and no single English content word stands in most of the translations of its
sentences; stop words keep their frequency in Tatoeba, since TICO-19 hardly says I, he or my.

Run: ``python -m greyzone.training.frequencies --parallel parallel_en_xx.tsv.xz --out models/data``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import lzma
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from greyzone.errors import InputError
from greyzone.text import STOP_LANGUAGES, words
from greyzone.training.sources import parallel_rows

logger = logging.getLogger(__name__)

EXTRA_LANGUAGES = ("da", "el", "fa", "fi", "he", "hi", "hu", "ja", "mk", "sv", "zh")
"""Languages with frequencies but without stop words."""

LICENCES = {"tatoeba": "Tatoeba, CC BY 2.0 FR, https://tatoeba.org", "tico19": "TICO-19, CC0, https://tico-19.github.io"}
"""Registers that words are counted in (`greyzone.training.sources.parallel_rows` passes over what is for research only)."""

WORDS_PER_LANGUAGE = 2500
SMOOTHING = 5
"""Added to a count before the smaller register is taken: a rare word that one register happens to lack keeps its frequency."""

STOP_FREQUENCY = 1.2e-3
"""Least frequency in Tatoeba of a stop word: about one word in 800."""

BOTH_REGISTERS = 5e-4
"""An English word is a stop word below `STOP_FREQUENCY` too if both registers agree on this frequency."""

CONTENT_SHARE = 0.5
"""A word is content if one English content word stands in this share of the translations of its sentences."""

SUBJECT_RATIO = 8.0
"""An English word is a subject of Tatoeba if it is this many times as frequent there as its smaller register says."""

NOT_STOP_WORDS = {
    "names that Tatoeba's sentences are about": "tom mary sami layla boston french english",
    "what Tatoeba's sentences are about": "book car children day dog eat father home house life love man money room school work buy",
    "what reporting is about": "asked believe health help need people problem public said says speak stop talk tell told water world",
}
"""Frequent English words that carry the subject of a text and so are no stop words, by reason; their translations are none either."""


@dataclass
class _Register:
    """Word counts of one language in one register."""

    counts: Counter[str] = field(default_factory=Counter)
    tokens: int = 0

    def add(self, found: list[str]) -> None:
        self.counts.update(found)
        self.tokens += len(found)


@dataclass
class Counts:
    """What one pass over the sentence pairs found.

    Attributes
    ----------
    registers
        Per language and register, the word counts of distinct sentences.
    pairs
        Per language, the (English, foreign) word lists of its Tatoeba rows.
    """

    registers: dict[str, dict[str, _Register]] = field(default_factory=dict)
    pairs: dict[str, list[tuple[list[str], list[str]]]] = field(default_factory=dict)

    def register(self, lang: str, name: str) -> _Register:
        """Return the register called `name` of `lang`, made on first use."""
        return self.registers.setdefault(lang, {}).setdefault(name, _Register())


def count_words(parallel: Path) -> Counts:
    """Count the words of the openly licensed rows of `parallel`.

    Parameters
    ----------
    parallel
        A tab-separated file (``.xz``) with the header ``lang corpus en xx``.

    Raises
    ------
    InputError
        If the header is another one or no row has an open licence.
    """
    wanted = {*STOP_LANGUAGES, *EXTRA_LANGUAGES}
    found = Counts()
    seen: set[bytes] = set()
    for lang, register, english, foreign in parallel_rows(parallel):
        if register not in LICENCES:
            continue
        english_words, foreign_words = words(english), words(foreign)
        for tongue, sentence, tokens in (("en", english, english_words), (lang, foreign, foreign_words)):
            key = hashlib.blake2b(f"{tongue}\t{register}\t{sentence}".encode(), digest_size=12).digest()
            if tongue in wanted and key not in seen:
                seen.add(key)
                found.register(tongue, register).add(tokens)
        if lang in wanted and register == "tatoeba":
            found.pairs.setdefault(lang, []).append((english_words, foreign_words))
    if not found.registers:
        raise InputError(f"no openly licensed row in {parallel.name}", f"corpora that start with {' or '.join(LICENCES)}")
    return found


def frequencies(registers: Mapping[str, _Register]) -> dict[str, float]:
    """Return p(word) of one language: the smallest smoothed frequency over its registers."""
    vocabulary = sorted(set().union(*(register.counts for register in registers.values())))
    return {
        word: min((register.counts[word] + SMOOTHING) / (register.tokens + SMOOTHING) for register in registers.values())
        if len(registers) > 1
        else next(iter(registers.values())).counts[word] / next(iter(registers.values())).tokens
        for word in vocabulary
    }


def build(counts: Counts) -> tuple[dict[str, dict[str, float]], dict[str, list[str]]]:
    """Return the frequencies and the stop words of every language.

    Returns
    -------
    tuple
        ``{lang: {word: p}}``, the most frequent words first, and ``{lang: stop words in alphabetical order}``.
    """
    smoothed = {lang: frequencies(registers) for lang, registers in counts.registers.items()}
    english = _plain(counts.registers["en"])
    stops = {"en": _english_stops(english, smoothed["en"])}
    subjects = _subjects(english, smoothed["en"], frozenset(stops["en"]))
    tables = {"en": _top(smoothed["en"], {word: english[word] for word in stops["en"]})}
    for lang in sorted(set(counts.registers) - {"en"}):
        plain = _plain(counts.registers[lang])
        partners = _content_partners(counts.pairs.get(lang, []), _top(plain, {}), frozenset(stops["en"]))
        frequent = sorted(
            word for word, p in plain.items() if p >= STOP_FREQUENCY and word not in partners and not any(char.isdigit() for char in word)
        )
        if lang in STOP_LANGUAGES:
            stops[lang] = frequent
        table = _top(smoothed[lang], {word: plain[word] for word in frequent})
        tables[lang] = {word: p for word, p in table.items() if partners.get(word) not in subjects}
    return tables, stops


def write(tables: Mapping[str, Mapping[str, float]], stops: Mapping[str, list[str]], out: Path, *, source_sha256: str) -> None:
    """Write ``word_frequencies.json.xz`` and ``stop_words.json`` into `out`; the same arguments give the same bytes.

    Frequencies are stored as ``round(-100 log10 p)``, so that every reader computes with the same integers.
    """
    about = {"licences": LICENCES, "source_sha256": source_sha256, "built_by": "python -m greyzone.training.frequencies"}
    languages = {}
    for lang in sorted(tables):
        levels = sorted((round(-100 * math.log10(p)), word) for word, p in tables[lang].items())
        steps = [level - before for (level, _), before in zip(levels, [0, *(level for level, _ in levels)], strict=False)]
        languages[lang] = {"words": " ".join(word for _, word in levels), "level_steps": steps}
    out.mkdir(parents=True, exist_ok=True)
    table = json.dumps({"about": about, "languages": languages}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    (out / "word_frequencies.json.xz").write_bytes(lzma.compress(table.encode(), format=lzma.FORMAT_XZ, preset=9 | lzma.PRESET_EXTREME))
    listed = {lang: " ".join(stops[lang]) for lang in sorted(stops)}
    text = json.dumps({"about": about, "words": listed}, ensure_ascii=False, indent=1, sort_keys=True)
    (out / "stop_words.json").write_text(text + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Build both files from the command line."""
    parser = argparse.ArgumentParser(prog="python -m greyzone.training.frequencies", description="Build the shipped word frequencies.")
    parser.add_argument("--parallel", type=Path, required=True, help="sentence pairs: .tsv.xz with the columns lang, corpus, en, xx")
    parser.add_argument("--out", type=Path, required=True, help="folder for word_frequencies.json.xz and stop_words.json")
    given = parser.parse_args(arguments)
    if not given.parallel.is_file():
        raise InputError(f"no file {given.parallel}", "the sentence pairs as .tsv.xz")
    tables, stops = build(count_words(given.parallel))
    write(tables, stops, given.out, source_sha256=hashlib.sha256(given.parallel.read_bytes()).hexdigest())
    logger.info("wrote %d languages, %d with stop words, to %s", len(tables), len(stops), given.out)


def _plain(registers: Mapping[str, _Register]) -> dict[str, float]:
    """Return the frequencies in Tatoeba, or in the only register there is."""
    register = registers["tatoeba"] if "tatoeba" in registers else next(iter(registers.values()))
    return {word: count / register.tokens for word, count in register.counts.items()}


def _top(table: Mapping[str, float], stops: Mapping[str, float]) -> dict[str, float]:
    """Keep the most frequent words that are not numbers; `stops` brings the frequencies of the function words."""
    merged = {**table, **stops}
    ranked = sorted(merged.items(), key=lambda item: (-item[1], item[0]))
    return dict([(word, p) for word, p in ranked if not word[0].isdigit()][:WORDS_PER_LANGUAGE])


def _english_stops(tatoeba: Mapping[str, float], smoothed: Mapping[str, float]) -> list[str]:
    """Return the English stop words: frequent in Tatoeba, or fairly frequent in both registers."""
    excluded = {word for listed in NOT_STOP_WORDS.values() for word in listed.split()}
    return sorted(
        word
        for word, p in tatoeba.items()
        if (p >= STOP_FREQUENCY or min(p, smoothed[word]) >= BOTH_REGISTERS)
        and word not in excluded
        and not any(char.isdigit() for char in word)
    )


def _subjects(tatoeba: Mapping[str, float], smoothed: Mapping[str, float], stops: frozenset[str]) -> frozenset[str]:
    """Return the English content words that Tatoeba uses far more than the smaller register says (Tom, Mary, Boston)."""
    return frozenset(word for word, p in tatoeba.items() if p >= max(SUBJECT_RATIO * smoothed[word], BOTH_REGISTERS) and word not in stops)


def _content_partners(
    pairs: list[tuple[list[str], list[str]]], table: Mapping[str, float], english_stops: frozenset[str]
) -> dict[str, str]:
    """Return, for each word of `table` that is tied to an English content word, that word (the most frequent partner)."""
    appearances: Counter[str] = Counter()
    together: dict[str, Counter[str]] = {}
    for english, foreign in pairs:
        content = sorted(set(english) - english_stops)
        for word in set(foreign) & table.keys():
            appearances[word] += 1
            together.setdefault(word, Counter()).update(content)
    partners = {}
    for word in sorted(together):
        if together[word]:
            count, partner = min((-count, partner) for partner, count in together[word].items())
            if -count >= CONTENT_SHARE * appearances[word]:
                partners[word] = partner
    return partners


if __name__ == "__main__":
    main()
