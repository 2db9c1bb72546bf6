"""Words that name a narrative, in each of its languages and against its nearest rival, and the sentence that says it.

Class-based TF-IDF (Grootendorst 2022, arXiv:2203.05794): a narrative is one long text; the weight of term t in narrative c is
tf(t, c) * log(1 + A / f(t)), with tf the term's share of the narrative's terms, f its number over all narratives and the background,
and A the mean number of terms of a narrative (the background counts as one). For one language the same is taken over the texts in that
language alone, A over the narratives that have such texts. A rare word of a few texts would outweigh what all say; so a term names a
narrative only if it stands in a tenth of the texts that its most widespread term stands in, and in two at least (one, where none
stands in two).

Rivals. What tells a narrative from another one are the terms whose weight here most exceeds their weight there.

Scripts without spaces. Terms are pairs of characters (`greyzone.terms`); to be read, they are put together again: abc is one word
where it stands `JOINED_LEAST` times in the corpus and in half of the places where ab or bc stands, j / (f(ab) + f(bc) - j) >= 1/2 (the
estimate of Chien 1997), greedily from the heaviest pair, the stronger side first, up to `LONGEST` characters. Words that share three
characters in a row are told once. Without a dictionary a word may still come with a piece of its neighbour, where the corpus always
has the two together.

Nothing is generated: labels are words and headlines sentences of the documents.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.terms import UNSPACED_START, Counts, Ints, clusters, spellings, unspaced
from greyzone.text import fold, sentences, words

Doubles = npt.NDArray[np.float64]

KEYWORDS = 10
LABEL_TERMS = 4
LANGUAGE_TERMS = 6
RIVAL_TERMS = 6

NAMING_SHARE, NAMING_TEXTS = 0.1, 2
"""Share of the texts of the most widespread term, and number of texts, that a term must stand in to name its narrative."""

HEADLINE_LENGTH = 160
"""Characters of a headline; a longer sentence is cut at a word."""

CANDIDATES = 48
"""Heaviest terms of a narrative that are looked at: several may be spellings or pieces of one word."""

JOINED, JOINED_LEAST = 0.5, 2
LONGEST = {"han": 6, "katakana": 12, "other": 12}
"""Characters of a word that is put together: Chinese words have two to four, and a fixed phrase reads better whole than cut; foreign
words in kana and Thai compounds are longer."""

_TAG = re.compile(r"[#＃]\w+")
_NOT_SHOWN = re.compile(r"https?://\S+|www\.\S+|^(?:[\"'“”«»(\[]{0,2}(?:RT\s++)?@\w++[:,]?\s*+)+", re.IGNORECASE)
"""Addresses, and the accounts that a post begins with: whom it repeats or answers says nothing of the story."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """How often pairs of characters stand in the corpus, and on which others: (other pair, the three characters, how often) by pair."""

    numbers: dict[str, int]
    after: dict[str, list[tuple[str, str, int]]]
    before: dict[str, list[tuple[str, str, int]]]


@dataclass(frozen=True)
class Weighed:
    """Terms of every narrative, as arrays ordered by (group, term).

    Attributes
    ----------
    vocabulary
        Terms, ascending.
    group, code, number, weight
        int64, int64 (place in `vocabulary`), int64, float64.
    named
        Whether the term may name its narrative.
    groups
        Number of narratives; group `groups` is the background.
    """

    vocabulary: pa.Array
    group: Ints
    code: Ints
    number: Ints
    weight: Doubles
    named: npt.NDArray[np.bool_]
    groups: int

    @cached_property
    def bounds(self) -> list[int]:
        """Where each group begins, and the end."""
        found: list[int] = np.searchsorted(self.group, np.arange(self.groups + 1)).tolist()
        return found

    def weights(self, group: int) -> dict[str, float]:
        """Return the weights of the terms that may name a narrative."""
        rows = np.arange(self.bounds[group], self.bounds[group + 1])
        rows = rows[self.named[rows]]
        return dict(zip(self.vocabulary.take(pa.array(self.code[rows])).to_pylist(), self.weight[rows].tolist(), strict=True))

    def tops(self, score: Doubles, number: int, pieces: Pieces) -> list[list[str]]:
        """Return for each narrative the `number` terms of greatest positive `score` (one a row), put together and told once."""
        rows = np.flatnonzero(self.named & (self.group < self.groups) & (score > 0))
        rows = rows[np.lexsort((self.code[rows], -score[rows], self.group[rows]))]
        starts = np.searchsorted(self.group[rows], np.arange(self.groups))
        rows = rows[np.arange(len(rows)) - starts[self.group[rows]] < CANDIDATES]
        bounds = np.searchsorted(self.group[rows], np.arange(self.groups + 1)).tolist()
        terms = self.vocabulary.take(pa.array(self.code[rows])).to_pylist()
        return [top_terms(terms[start:stop], number, partial(glued, pieces=pieces)) for start, stop in pairwise(bounds)]


@dataclass(frozen=True, slots=True)
class Wording:
    """What names each narrative: `keywords`, the terms that tell it from its `rival`, those `by_language` (language to terms).

    `weighed` and `shown` (from `greyzone.terms.spellings`) are what headlines need.
    """

    keywords: list[list[str]]
    rival: list[list[str]]
    by_language: list[dict[str, list[str]]]
    weighed: Weighed
    shown: dict[str, dict[str, str]]


def name_narratives(counts: Counts, rivals: Ints) -> Wording:
    """Find the words of every narrative.

    Parameters
    ----------
    counts
        Of the groups ``0 .. k - 1`` (narratives) and k (the background).
    rivals
        (k,) int64 nearest other narrative of each, -1 where there is none.

    Returns
    -------
    Wording
        Terms heaviest first, ties in alphabetical order.
    """
    groups = len(rivals)
    shown = spellings(counts.terms)
    terms = _spelt(counts.terms, shown)
    pieces = _pieces(counts)
    weighed = weigh(terms, groups, groups + 1)
    by_language: list[dict[str, list[str]]] = [{} for _ in range(groups)]
    for lang in sorted(pc.unique(terms["lang"]).to_pylist()):
        own = terms.filter(pc.equal(terms["lang"], lang))
        spoken = weigh(own, groups, len(pc.unique(own["group"])))
        for group, found in enumerate(spoken.tops(spoken.weight, LANGUAGE_TERMS, pieces)):
            if found:
                by_language[group][lang] = found
    return Wording(
        keywords=weighed.tops(weighed.weight, KEYWORDS, pieces),
        rival=weighed.tops(surplus(weighed, rivals), RIVAL_TERMS, pieces),
        by_language=by_language,
        weighed=weighed,
        shown=shown,
    )


def weigh(terms: pa.Table, groups: int, classes: int) -> Weighed:
    """Weigh terms by class-based TF-IDF.

    Parameters
    ----------
    terms
        Table of the schema `greyzone.terms.TERMS`; rows of one term and group are added up.
    groups
        Number of narratives.
    classes
        Number of classes that A is the mean over.
    """
    vocabulary = pc.unique(terms["term"]).sort()
    wide = max(1, len(vocabulary))
    code = pc.index_in(terms["term"], value_set=vocabulary).to_numpy().astype(np.int64)
    keys, place = np.unique(terms["group"].to_numpy() * wide + code, return_inverse=True)
    number, texts = (
        np.bincount(place, weights=terms[name].to_numpy(), minlength=len(keys)).astype(np.int64) for name in ("number", "texts")
    )
    group, code = np.divmod(keys, wide)
    total = np.bincount(group, weights=number, minlength=groups + 1)
    overall = np.bincount(code, weights=number, minlength=wide)
    weight = number / total[group] * np.log1p(number.sum() / max(1, classes) / overall[code])
    widest = np.zeros(groups + 1, dtype=np.int64)
    np.maximum.at(widest, group, texts)
    named = texts >= np.maximum(np.minimum(NAMING_TEXTS, widest), NAMING_SHARE * widest)[group]
    return Weighed(vocabulary, group, code, number, weight, named, groups)


def _spelt(terms: pa.Table, shown: Mapping[str, Mapping[str, str]]) -> pa.Table:
    """Write every word as it is shown."""
    for lang, spelling in sorted(shown.items()):
        words_, own = pa.array(list(spelling), pa.string()), pc.equal(terms["lang"], lang)
        other = pa.array(list(spelling.values()), pa.string()).take(pc.index_in(terms["term"], value_set=words_))
        column = pc.if_else(pc.and_(own, pc.is_valid(other)), other, terms["term"])
        terms = terms.set_column(terms.schema.get_field_index("term"), "term", column)
    return terms


def _pieces(counts: Counts) -> Pieces:
    joins = counts.joins.group_by("term").aggregate([("number", "sum")]).sort_by("term")
    pairs = (
        counts.terms.filter(pc.match_substring_regex(counts.terms["term"], UNSPACED_START)) if joins.num_rows else counts.terms.slice(0, 0)
    )
    pairs = pairs.group_by("term").aggregate([("number", "sum")])
    found = Pieces(dict(zip(pairs["term"].to_pylist(), pairs["number_sum"].to_pylist(), strict=True)), {}, {})
    for joined, count in zip(joins["term"].to_pylist(), joins["number_sum"].to_pylist(), strict=True):
        if count >= JOINED_LEAST:
            first, middle, last = clusters(joined)
            found.after.setdefault(first + middle, []).append((middle + last, joined, count))
            found.before.setdefault(middle + last, []).append((first + middle, joined, count))
    return found


def surplus(weighed: Weighed, rival: Ints) -> Doubles:
    """Return by how much each term weighs more in its narrative than in the rival of it.

    Parameters
    ----------
    weighed
        Weights of all narratives.
    rival
        (groups,) int64, -1 where there is none.

    Returns
    -------
    Doubles
        One a row of `weighed`; -inf where there is no rival.
    """
    other = np.append(rival, -1)[np.minimum(weighed.group, weighed.groups)]
    wide = len(weighed.vocabulary)
    keys = weighed.group * wide + weighed.code
    asked = other * wide + weighed.code
    place = np.minimum(np.searchsorted(keys, asked), max(0, len(keys) - 1))
    there = np.where(keys[place] == asked, weighed.weight[place], 0.0) if len(keys) else np.zeros(0)
    return np.where(other >= 0, weighed.weight - there, -np.inf)


def top_terms(terms: Iterable[str], number: int = KEYWORDS, glue: Callable[[str], str] | None = None) -> list[str]:
    """Return the first `number` of `terms` (heaviest first), one of each family of spellings; `glue` puts pieces together first."""
    kept: list[str] = []
    for term in terms:
        if len(kept) == number:
            break
        if unspaced(term):
            whole = term if glue is None or any(term in other for other in kept) else glue(term)
            if not any(_shared(whole, other) for other in kept):
                kept.append(whole)
        elif not any(_variants(term, other) for other in kept):
            kept.append(term)
    return kept


def glued(term: str, pieces: Pieces) -> str:
    """Put the word together that a pair of characters is a piece of, by the rule of this module's docstring.

    Parameters
    ----------
    term
        A pair of characters.
    pieces
        Which pairs stand on which.
    """
    parts = clusters(term)
    longest = LONGEST[script_of(term)]
    while 2 <= len(parts) < longest:
        head, tail = parts[0] + parts[1], parts[-2] + parts[-1]
        right = _strongest(tail, pieces.after.get(tail, []), pieces.numbers)
        left = _strongest(head, pieces.before.get(head, []), pieces.numbers)
        strength, joined = max(right, left, key=lambda found: found[0])
        if strength < JOINED:
            break
        added = clusters(joined)
        parts = [*parts, added[-1]] if right[0] >= left[0] else [added[0], *parts]
    return _readable("".join(parts))


def _readable(word: str) -> str:
    """Write the vowels of Thai and Lao that NFKC took apart as their readers do."""
    return word.replace("\u0e4d\u0e32", "\u0e33").replace("\u0ecd\u0eb2", "\u0eb3")


def _strongest(pair: str, following: Sequence[tuple[str, str, int]], numbers: Mapping[str, int]) -> tuple[float, str]:
    """Return the three characters that hold best to `pair`, and how well they do."""
    found = [(count / max(1, numbers.get(pair, 0) + numbers.get(other, 0) - count), joined) for other, joined, count in following]
    return max(found, default=(0.0, ""))


def script_of(term: str) -> str:
    """Return the script that decides how long a word may grow."""
    if "\u30a0" <= term[0] <= "\u31ff":
        return "katakana"
    return "other" if "\u0e00" <= term[0] <= "\u17ff" else "han"


def headline(title: str | None, text: str | None, weights: Mapping[str, float], shown: Mapping[str, str] | None = None) -> str:
    """Return the sentence of a document that says most of its narrative.

    Parameters
    ----------
    title, text
        Of the document.
    weights
        Weight of each term of the narrative.
    shown
        Spelling under which words stand in `weights`, where it is another one.

    Returns
    -------
    str
        The title or sentence with the greatest sum of weights of its distinct words over the square root of their number, the
        earlier one on ties, without addresses, at most `HEADLINE_LENGTH` characters. A string of hashtags is no sentence: it is
        taken only where there is nothing else.
    """
    found = [" ".join(_NOT_SHOWN.sub(" ", part).split()) for part in [title or "", *sentences(text or "")]]
    candidates = [candidate for candidate in found if words(_TAG.sub(" ", candidate))] or found
    spelt = shown or {}
    best, score = "", -1.0
    for candidate in candidates:
        distinct = {spelt.get(word, word) for word in words(candidate)}
        if not distinct:
            continue
        weight = sum(sorted(weights.get(word, 0.0) for word in distinct)) / math.sqrt(len(distinct))
        if weight > score + 1e-12:
            best, score = candidate, weight
    return _cut(best or next((candidate for candidate in candidates if candidate), ""))


def _cut(sentence: str) -> str:
    if len(sentence) <= HEADLINE_LENGTH:
        return sentence
    short = sentence[: HEADLINE_LENGTH - 1]
    return (short.rsplit(" ", 1)[0] if " " in short[HEADLINE_LENGTH // 2 :] else short).rstrip(" ,;:–—-") + "…"


def _shared(a: str, b: str) -> bool:
    """Tell whether two words of unspaced scripts are pieces of one: one holds the other, or they share three characters in a row."""
    return a in b or b in a or any(a[at : at + 3] in b for at in range(len(a) - 2))


def _variants(a: str, b: str) -> bool:
    """Tell whether two words look like forms of one: they share their beginning, four letters and three quarters of the shorter."""
    a, b = fold(a), fold(b)
    common = 0
    for left, right in zip(a, b, strict=False):
        if left != right:
            break
        common += 1
    return a == b or (common >= 4 and common >= 0.75 * min(len(a), len(b)))
