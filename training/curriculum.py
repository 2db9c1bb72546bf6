"""What the teacher is asked: English texts of several registers, each with the register's name.

Sentences alone teach a static encoder too little of names and rare words. So there are also *keywords* (content words of descriptions,
of TICO-19 and of pairs of definitions, as headlines and tags have them) and *mixtures* of content words with words drawn from the
teacher's own vocabulary. The choice is by content hash and by a seeded generator: same sources, same texts, in the same order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from greyzone.text import sentences, stopwords, words

FEWEST_WORDS = 5
MOST_WORDS = 40
"""Bounds of a sentence cut out of a description."""

OWN_WORDS = 6
"""Content words of a definition that a mixture begins with, two times in three."""

DRAWN_WORDS = ((4, 9), (6, 16))
"""How many words are drawn for a mixture with and without a definition: from the first number up to, not including, the second."""

RANK_OFFSET, RANK_POWER = 500.0, -0.35
"""Words are drawn with probability ``(rank + offset) ** power``: much flatter than speech, so that rare words are met too."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """Distinct texts and their registers, row i for row i."""

    texts: list[str]
    registers: list[str]


@dataclass(frozen=True, slots=True)
class Amounts:
    """How many texts of a kind are asked at most; 0 leaves the kind out.

    Parameters
    ----------
    tatoeba, definitions
        Sentences.
    keywords
        Keyword texts made of pairs of definitions.
    mixtures
        Texts with drawn words.
    """

    tatoeba: int = 32_000
    definitions: int = 60_000
    keywords: int = 9_000
    mixtures: int = 56_000


def lessons(
    *,
    vocabulary: Sequence[str],
    tatoeba: Iterable[str],
    tico: Iterable[str],
    definitions: Iterable[str],
    descriptions: Iterable[str],
    amounts: Amounts,
    seed: int,
) -> Lessons:
    """Return the texts that the teacher is asked.

    Parameters
    ----------
    vocabulary
        The teacher's whole words by falling frequency (`greyzone.training.teacher.whole_words`).
    tatoeba, tico, definitions, descriptions
        English texts by source.
    amounts, seed
        How many, and the seed of what is drawn.
    """
    known = by_hash(definitions)
    described = by_hash(descriptions)
    cut = by_hash(part for text in described for part in sentences(text) if FEWEST_WORDS <= len(part.split()) <= MOST_WORDS)
    news = by_hash(tico)
    rest = known[amounts.definitions :] or known
    pairs = [f"{rest[2 * i % len(rest)]} {rest[(2 * i + 1) % len(rest)]}" for i in range(amounts.keywords if rest else 0)]
    keywords = [found for text in [*cut, *news, *pairs] if len(found := content_words(text)) > 3]
    parts = {
        "description": [*described, *cut],
        "tico": news,
        "definition": known[: amounts.definitions],
        "tatoeba": by_hash(tatoeba)[: amounts.tatoeba],
        "keywords": [" ".join(found) for found in keywords],
        "mixture": _mixtures(rest, vocabulary, amounts.mixtures, seed),
    }
    seen: dict[str, str] = {}
    for register, texts in parts.items():
        for text in texts:
            seen.setdefault(text, register)
    return Lessons(list(seen), list(seen.values()))


def by_hash(texts: Iterable[str]) -> list[str]:
    """Return the distinct texts in the order of their BLAKE2b digests, which is as good as a draw and needs no seed."""
    return sorted(set(texts), key=lambda text: (hashlib.blake2b(text.encode(), digest_size=8).digest(), text))


def content_words(text: str) -> list[str]:
    """Return the English words of `text` that are no stop words."""
    stop = stopwords("en")
    return [word for word in words(text) if word not in stop]


def _mixtures(definitions: Sequence[str], vocabulary: Sequence[str], amount: int, seed: int) -> list[str]:
    stop = stopwords("en")
    drawn_from = [word for word in vocabulary if word.isascii() and word.isalnum() and len(word) > 2 and word not in stop]
    if not drawn_from:
        return []
    chances = (np.arange(len(drawn_from)) + RANK_OFFSET) ** RANK_POWER
    chances /= chances.sum()
    random = np.random.default_rng(seed)
    found = []
    for number in range(amount):
        own = content_words(definitions[number % len(definitions)])[:OWN_WORDS] if definitions and number % 3 else []
        count = int(random.integers(*DRAWN_WORDS[0 if own else 1]))
        found.append(" ".join([*own, *(drawn_from[place] for place in random.choice(len(drawn_from), count, p=chances))]))
    return found
