"""Words that name a narrative, and the sentence that says it.

Class-based TF-IDF (Grootendorst 2022, arXiv:2203.05794): a narrative is one long text; the weight of term t in narrative c is
tf(t, c) * log(1 + A / f(t)), with tf the term's share of the narrative's words, f its number over all narratives and the background,
and A the mean number of words of a narrative. Nothing is generated: labels are words and headlines sentences of the documents.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from greyzone.text import fold, sentences, stopwords, words

LEAD_WORDS = 200
"""Words of a text that count: the lead names its story, and one long text must not outweigh a hundred posts."""

KEYWORDS = 10
LABEL_TERMS = 4

HEADLINE_LENGTH = 160
"""Characters of a headline; a longer sentence is cut at a word."""

LEAST_LETTERS = 3
"""Letters of a term, but for scripts written without spaces."""

_NOT_SHOWN = re.compile(r"https?://\S+|www\.\S+|(?:^RT\s+@\w+:?\s*)", re.IGNORECASE)
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def terms(text: str, lang: str) -> list[str]:
    """Return the words of the lead of `text` that can name a story: no stop words of `lang`, no numbers, no short words.

    A language without a stop list gets the union of all lists.
    """
    stops = stopwords(lang) or stopwords("und")
    return [word for word in words(text)[:LEAD_WORDS] if word not in stops and _telling(word)]


def keyword_weights(classes: Sequence[Iterable[Sequence[str]]]) -> list[dict[str, float]]:
    """Weigh the terms of each class by class-based TF-IDF.

    Parameters
    ----------
    classes
        For each narrative (and the background) the terms of its texts, one sequence a text.

    Returns
    -------
    list of dict
        Terms with their weights, heaviest first, ties in alphabetical order. A term of one text alone counts only where no term
        stands in two texts.
    """
    counts: list[Counter[str]] = []
    texts: list[Counter[str]] = []
    for members in classes:
        count: Counter[str] = Counter()
        spread: Counter[str] = Counter()
        for found in members:
            count.update(found)
            spread.update(set(found))
        counts.append(count)
        texts.append(spread)
    overall: Counter[str] = Counter()
    for count in counts:
        overall.update(count)
    mean = overall.total() / max(1, len(counts))
    weights = []
    for count, spread in zip(counts, texts, strict=True):
        shared = any(number > 1 for number in spread.values())
        total = max(1, count.total())
        found_weights = {
            term: number / total * math.log1p(mean / overall[term]) for term, number in count.items() if spread[term] > 1 or not shared
        }
        weights.append(dict(sorted(found_weights.items(), key=lambda item: (-item[1], item[0]))))
    return weights


def top_terms(weights: dict[str, float], number: int = KEYWORDS) -> list[str]:
    """Return the first `number` of `weights` (heaviest first), one of each family of spellings."""
    kept: list[str] = []
    for term in weights:
        if len(kept) == number:
            break
        if not any(_variants(term, other) for other in kept):
            kept.append(term)
    return kept


def headline(title: str | None, text: str | None, weights: dict[str, float]) -> str:
    """Return the sentence of a document that says most of its narrative.

    Parameters
    ----------
    title, text
        Of the document.
    weights
        Weight of each term of the narrative.

    Returns
    -------
    str
        The title or sentence with the greatest sum of weights of its distinct words over the square root of their number, the
        earlier one on ties, without addresses, at most `HEADLINE_LENGTH` characters.
    """
    candidates = [" ".join(_NOT_SHOWN.sub(" ", part).split()) for part in [title or "", *sentences(text or "")]]
    best, score = "", -1.0
    for candidate in candidates:
        distinct = set(words(candidate))
        if not distinct:
            continue
        found = sum(sorted(weights.get(word, 0.0) for word in distinct)) / math.sqrt(len(distinct))
        if found > score + 1e-12:
            best, score = candidate, found
    return _cut(best or next((candidate for candidate in candidates if candidate), ""))


def _cut(sentence: str) -> str:
    if len(sentence) <= HEADLINE_LENGTH:
        return sentence
    short = sentence[: HEADLINE_LENGTH - 1]
    return (short.rsplit(" ", 1)[0] if " " in short[HEADLINE_LENGTH // 2 :] else short).rstrip(" ,;:–—-") + "…"


def _telling(word: str) -> bool:
    if _UNSPACED.search(word):
        return True
    return sum(char.isalpha() for char in word) >= LEAST_LETTERS


def _variants(a: str, b: str) -> bool:
    """Tell whether two words look like forms of one: they share their beginning, four letters and three quarters of the shorter."""
    a, b = fold(a), fold(b)
    common = 0
    for left, right in zip(a, b, strict=False):
        if left != right:
            break
        common += 1
    return a == b or (common >= 4 and common >= 0.75 * min(len(a), len(b)))
