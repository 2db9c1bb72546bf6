"""Word pieces for many languages, chosen by what they are worth and always the same for the same words.

Trainers at hand (Hugging Face WordPiece, BPE) break ties by the order of a hash table, so two builds differ. Here the pieces are chosen by
pruning, as Unigram vocabularies are (Kudo 2018), but for the greedy longest-match cut that encoding uses:

1. Every word has a worth: the root of its frequency in the sentences (down-weighted where a language has very many), plus, for a
   dictionary word, what its English translation is worth (a function of its rank).
2. Candidates: words, their stems without final vowels, prefixes after which several words branch, and the endings and inner parts.
3. All words are cut; the pieces used least, by worth, are dropped; and again, until the wanted number is left. What a dropped word was
   worth goes to its stem and its ending.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from greyzone.errors import InputError
from greyzone.models.static import CONTINUES, cut_word, word_key

SHORTEST_PREFIX = 3
LONGEST_WORD = 40
"""Longer runs of letters are no words."""

ENDING_LENGTHS = (1, 14)
"""Lengths of endings, the longer ones being second parts of compounds."""

PART_LENGTHS = (3, 9)
"""Lengths of inner parts."""

VOWELS = frozenset("aeiouyаеиоуыэюяьйієї")
"""Final letters that inflection changes in the languages that are built for (and the Cyrillic soft sign)."""

LEAST_WORTH = 2.0
"""Of a candidate that begins a word."""

LEAST_ENDING_WORTH = 8.0
FEWEST_OCCURRENCES = 20
"""A word that is seen this often keeps its own piece beside its stem."""

BRANCHING = 0.8
"""A prefix is no candidate if one longer prefix covers this share of its words."""

KEPT_A_ROUND = 0.75
LEAST_SIGN_WORTH = 20.0
"""A sign must be worth this much to be known at all."""

BEST_WORD_WORTH = 24.0
"""Worth of a dictionary word whose translation is the most frequent English word; it falls with the rank ..."""

HALF_WORTH_RANK = 1500.0
"""... to one half here."""

FREQUENT_LANGUAGE = 150_000
"""Words of a language's sentences from which on its frequencies are scaled down to this total."""


def english_worth(words: Sequence[str], ranks: Mapping[str, int]) -> float:
    """Return what a translation of the English `words` is worth: that of the rarest word, shared among the words."""
    if not words:
        return 0.0
    rank = max(ranks.get(word, 2 * len(ranks)) for word in words)
    return BEST_WORD_WORTH / (1 + rank / HALF_WORTH_RANK) / len(words)


def word_worths(counts: Mapping[str, Counter[str]], translated: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the worth of every word over all languages.

    Parameters
    ----------
    counts
        Per language, how often a word stands in its sentences.
    translated
        Per language, the best `english_worth` of a dictionary word.
    """
    found: dict[str, float] = {}
    for lang in sorted({*counts, *translated}):
        own, listed = counts.get(lang, Counter()), translated.get(lang, {})
        share = min(1.0, FREQUENT_LANGUAGE / max(1, own.total()))
        for word in {*own, *listed}:
            found[word] = found.get(word, 0.0) + math.sqrt(own[word] * share) + listed.get(word, 0.0)
    return dict(sorted(found.items()))


def base_pieces(vocabulary: Iterable[str]) -> list[str]:
    """Return the pieces of a teacher's vocabulary as `word_key` spells them, ASCII letters and digits only, in order."""
    found: dict[str, None] = {}
    for piece in vocabulary:
        head, body = (CONTINUES, piece.removeprefix(CONTINUES)) if piece.startswith(CONTINUES) else ("", piece)
        key = word_key(body)
        if key.isascii() and key.isalnum():
            found[head + key] = None
    return list(found)


def choose_pieces(worths: Mapping[str, float], occurrences: Mapping[str, int], base: Iterable[str], *, size: int) -> list[str]:
    """Return `size` pieces, sorted: `base`, every sign that is worth it, and the best for the words of `worths`.

    Parameters
    ----------
    worths
        Worth by word, as `word_parts` spells words.
    occurrences
        How often a word stands in sentences.
    base
        Pieces that are kept in any case.

    Raises
    ------
    InputError
        If `size` leaves no room beside the base and the signs.
    """
    kept = set(base) | _signs(worths)
    if size < len(kept):
        raise InputError(f"size {size}", f"{len(kept)} or more, the teacher's pieces and the signs")
    pieces = sorted(kept | _beginnings(worths, occurrences) | _endings(worths))
    while True:
        places = {piece: place for place, piece in enumerate(pieces)}
        longest = max(map(len, pieces))
        use = [0.0] * len(pieces)
        for word, worth in worths.items():
            for place in cut_word(word, places, longest):
                use[place] += worth
        free = sorted((-use[places[piece]], piece) for piece in pieces if piece not in kept)
        if len(free) <= size - len(kept):
            return pieces
        left = max(size - len(kept), int(len(free) * KEPT_A_ROUND))
        pieces = sorted(kept | {piece for _, piece in free[:left]})


def stem(word: str) -> str:
    """Return `word` without up to two final vowels, but with at least four letters.

    Examples
    --------
    >>> stem("министерство"), stem("kino"), stem("vyriausybe")
    ('министерств', 'kino', 'vyriausyb')
    """
    end = len(word)
    while end > 4 and end > len(word) - 2 and word[end - 1] in VOWELS:
        end -= 1
    return word[:end]


def _signs(worths: Mapping[str, float]) -> set[str]:
    by_sign: Counter[str] = Counter()
    for word, worth in worths.items():
        for sign in word:
            by_sign[sign] += worth  # type: ignore[assignment]
    known = {sign for sign, worth in by_sign.items() if worth >= LEAST_SIGN_WORTH}
    return known | {CONTINUES + sign for sign in known}


def _beginnings(worths: Mapping[str, float], occurrences: Mapping[str, int]) -> set[str]:
    """Return the words, stems and branching prefixes that are worth it."""
    by_prefix: dict[str, float] = {}
    n_words: Counter[str] = Counter()
    stems = {stem(word) for word in worths if len(word) >= 5}
    for word, worth in worths.items():
        if len(word) <= LONGEST_WORD:
            for end in range(min(SHORTEST_PREFIX, len(word)), len(word) + 1):
                by_prefix[word[:end]] = by_prefix.get(word[:end], 0.0) + worth
                n_words[word[:end]] += 1
    best_child: Counter[str] = Counter()
    for prefix, count in n_words.items():
        best_child[prefix[:-1]] = max(best_child[prefix[:-1]], count)
    found = set()
    for prefix, worth in by_prefix.items():
        dominated = best_child[prefix] >= BRANCHING * n_words[prefix] and prefix not in stems and prefix not in worths
        better_as_stem = (
            prefix in worths and len(prefix) >= 5 and occurrences.get(prefix, 0) < FEWEST_OCCURRENCES and stem(prefix) != prefix
        )
        if worth >= LEAST_WORTH and not dominated and not better_as_stem:
            found.add(prefix)
    return found


def _endings(worths: Mapping[str, float]) -> set[str]:
    """Return the endings and inner parts that are worth it, marked as continuing."""
    found: dict[str, float] = {}
    for word, worth in worths.items():
        size = len(word)
        if size > LONGEST_WORD:
            continue
        for start in range(max(ENDING_LENGTHS[0], size - ENDING_LENGTHS[1]), size):
            found[word[start:]] = found.get(word[start:], 0.0) + worth
        for start in range(SHORTEST_PREFIX, size - SHORTEST_PREFIX):
            for end in range(start + PART_LENGTHS[0], min(start + PART_LENGTHS[1] + 1, size)):
                found[word[start:end]] = found.get(word[start:end], 0.0) + worth / 2
    return {CONTINUES + part for part, worth in found.items() if worth >= LEAST_ENDING_WORTH}
