"""Entities in texts, each with its span, canonical name, how ambiguous the name is in these very texts, and what supports it.

Ambiguity of a name is the share of its uses, in the texts at hand, that are written in lower case, with a prior that says whether it is a
word of a language besides (Silence, Lead) or not (Turla, Winnti):

    a = (lower + k prior) / (uses + k),      uses = those whose case tells something; with fewer than `FEW_USES` of them a = prior

Case tells nothing at the start of a sentence, in a headline, in a text all in capitals, in a hashtag, and in scripts without case; an
acronym of capitals (WHO, DNC) counts as capitalised only in capitals. k and the priors are `PRIOR_USES`, `PRIOR_ORDINARY`, `PRIOR_NAME`.

A name below `CLEAR` counts wherever it stands. Any other needs support: to be written as a name where case tells, or company.
Company is another entity that is clear, or a word of the field (measured when the gazetteer is built), within `NEAR` words. From `COMMON`
on it needs both, as does a word of the language that is only known from the name of an incident. In lower case
a word of the language is no name, whatever stands by it. Artefacts, states and sectors are never ambiguous.

Texts are read twice at most: words of all, then spans and case of those that hold a name. Time is linear in the characters.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from greyzone.entities.artefacts import ARTEFACTS, Artefact, artefacts_of, may_hold_artefacts
from greyzone.entities.automaton import outermost
from greyzone.entities.gazetteer import AREAS, Entity, Gazetteer
from greyzone.entities.tokens import Tokens, is_cyrillic, seen_words, tokens, uninflected

CLEAR = 0.1
COMMON = 0.5
PRIOR_USES = 2.0
PRIOR_ORDINARY = 0.4
PRIOR_NAME = 0.02
FEW_USES = 5
"""With fewer uses than this the share of lower case says nothing, and the prior stands."""

NEAR = 15
"""Words to either side in which a name has company: about a sentence, so that a long text vouches for no name far off."""

HEADLINE = 0.6
"""A text that capitalises more than this share of its other words says nothing by a capital."""

FEWEST_WORDS = 3
"""With fewer other words a text cannot look like a headline."""

LOWER, CAPITAL, SILENT = 0, 1, 2
SUPPORTS = ("clear", "capital", "company", "capital and company", "pattern")
"""What a match rests on: an unambiguous name, its spelling, its neighbours, both, or the pattern of an artefact."""

Int64s = npt.NDArray[np.int64]


class Match(NamedTuple):
    """One mention: row of the text, its span as [start, end), kind, canonical name, ambiguity in 0..1 and what supports it."""

    row: int
    start: int
    end: int
    kind: str
    value: str
    ambiguity: float
    support: str


@dataclass(frozen=True, slots=True)
class Matches:
    """Mentions as columns, by row, start, end and entity.

    Attributes
    ----------
    rows, starts, ends, entities
        (n,) int64: row of the texts, characters of the span, index into `gazetteer.entities`.
    ambiguity, supports
        (n,) float64 in 0..1, and int64 index into `SUPPORTS`.
    ambiguities
        Every name that was met to its ambiguity in these texts.
    unsupported
        Names to the number of uses that were left out for want of support.
    gazetteer
        What was looked for.
    """

    rows: Int64s
    starts: Int64s
    ends: Int64s
    entities: Int64s
    ambiguity: npt.NDArray[np.float64]
    supports: Int64s
    ambiguities: dict[str, float]
    unsupported: dict[str, int]
    gazetteer: Gazetteer

    def __iter__(self) -> Iterator[Match]:
        """Yield the mentions one by one."""
        columns = (self.rows, self.starts, self.ends, self.entities, self.ambiguity, self.supports)
        for row, start, end, at, ambiguity, support in zip(*(column.tolist() for column in columns), strict=True):
            kind, value = self.gazetteer.entities[at]
            yield Match(row, start, end, kind, value, ambiguity, SUPPORTS[support])

    def __len__(self) -> int:
        """Return the number of mentions."""
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Mentions:
    """int64 pairs (row of the texts, index into the gazetteer's entities), sorted, without repeats; `dropped` are common words."""

    rows: Int64s
    entities: Int64s
    dropped: tuple[str, ...]


def find_artefacts(text: str) -> list[Entity]:
    """Return the CVE ids, hashes, URLs and domains of a text, each in its one spelling, sorted, without repeats.

    Domains include those of the URLs and their parent domains (``a.b.org`` also gives ``b.org``), without platforms' own.
    """
    return sorted({Entity(found.kind, found.value) for found in artefacts_of(text)})


def find_entities(texts: Sequence[str], gazetteer: Gazetteer) -> Mentions:
    """Find which texts name which entities.

    Parameters
    ----------
    texts
        Texts with their addresses and hashtags (``#DNCLeak`` is read as two words).
    gazetteer
        What to look for.

    Returns
    -------
    Mentions
        Sorted pairs. Names that these texts mostly use as a common word, and never with support, are named in `dropped`.
    """
    matches = find_matches(texts, gazetteer)
    pairs = np.unique(np.stack([matches.rows, matches.entities], axis=1), axis=0)
    kept = set(matches.entities.tolist())
    dropped = (
        name
        for name in matches.unsupported
        if matches.ambiguities[name] >= COMMON and not any(at in kept for at in gazetteer.surfaces[name])
    )
    return Mentions(pairs[:, 0].copy(), pairs[:, 1].copy(), tuple(sorted(dropped)))


def find_matches(texts: Sequence[str], gazetteer: Gazetteer) -> Matches:
    """Find every mention of the gazetteer's entities, with its span and what it rests on.

    Parameters
    ----------
    texts, gazetteer
        As for `find_entities`. Ambiguity is measured over `texts`, so that a larger corpus judges better; their order does not matter.

    Returns
    -------
    Matches
        Nothing is dropped in silence: `unsupported` counts what was left out.
    """
    hits = _Hits(gazetteer)
    for row, text in enumerate(texts):
        hits.read(row, text)
    return hits.judge()


class _Hits:
    """Uses of names and artefacts as they are met, in columns; `judge` decides which are mentions."""

    def __init__(self, gazetteer: Gazetteer) -> None:
        self._gazetteer = gazetteer
        self._names = [name for name in gazetteer.surfaces if gazetteer.entities[gazetteer.surfaces[name][0]].kind not in ARTEFACTS]
        self._number = {name: at for at, name in enumerate(self._names)}
        self._start = gazetteer.automaton.ways[0].keys()
        self._artefacts = any(entity.kind in ARTEFACTS for entity in gazetteer.entities)
        self._short_links = any(surface.startswith("url t.co/") for surface in gazetteer.surfaces)
        self._cyrillic: dict[str, str] = {}
        # Row, start, end, name, first word, last word, case, word of the field near; artefacts have no name but an entity.
        self._uses = array("q")
        self._found = array("q")

    def read(self, row: int, text: str) -> None:
        """Take the uses of a text."""
        if self._artefacts and (self._short_links or may_hold_artefacts(text)):
            for artefact in artefacts_of(text):
                self._take(row, artefact)
        # Most texts name nobody: a cheap look tells, unless a word may be inflected.
        seen = seen_words(text)
        if seen is not None and self._start.isdisjoint(seen) and ("#" not in text or self._gazetteer.joined.keys().isdisjoint(seen)):
            return
        read = tokens(text)
        words = read.folded
        if not text.isascii():
            words = [
                self._uncased(word, text[a:b]) if word not in self._gazetteer.vocabulary else word
                for word, a, b in zip(words, read.starts, read.ends, strict=True)
            ]
        spans = [(first, last, " ".join(words[first:last]), False) for first, last in outermost(self._gazetteer.automaton.find(words))]
        for tag in read.tags:
            name = tag.word if tag.word in self._number else self._gazetteer.joined.get(tag.word)
            if name is not None and (tag.first, tag.last, name, False) not in spans:
                spans = [span for span in spans if not (tag.first <= span[0] and span[1] <= tag.last)]
                spans.append((tag.first, tag.last, name, True))
        for first, last, name, tagged in spans:
            start = read.starts[first]
            inside = tagged or any(tag.first <= first and last <= tag.last for tag in read.tags)
            case = SILENT if inside else _case(text, read, first, last, acronym=name in self._gazetteer.acronyms)
            self._uses.extend((row, start, read.ends[last - 1], self._number[name], first, last, case, self._in_field(words, first, last)))

    def judge(self) -> Matches:
        """Measure the ambiguity of every name and keep the supported uses."""
        uses = np.array(self._uses, dtype=np.int64).reshape(-1, 8)
        ambiguity = self._ambiguity(uses)
        of_use = ambiguity[uses[:, 3]] if len(uses) else np.zeros(0)
        clear = of_use < CLEAR
        company = (uses[:, 7] > 0) | self._has_company(uses, clear)
        capital = uses[:, 6] == CAPITAL
        lower = uses[:, 6] == LOWER
        word = np.array([name in self._gazetteer.ordinary for name in self._names], dtype=bool)[uses[:, 3]]
        names = np.array([self._is_name_word(name) for name in self._names], dtype=bool)[uses[:, 3]]
        needs = np.where((of_use >= COMMON) | (names & word), company & ~lower, np.where(lower & word, False, capital | company))
        supported = clear | needs
        support = np.where(clear, 0, np.where(capital & company, 3, np.where(capital, 1, 2)))
        return self._matches(uses, supported, of_use, support, ambiguity)

    def _take(self, row: int, artefact: Artefact) -> None:
        for at in self._gazetteer.surfaces.get(f"{artefact.kind} {artefact.value}", ()):
            self._found.extend((row, artefact.start, artefact.end, at))

    def _uncased(self, folded: str, written: str) -> str:
        known = self._cyrillic.get(folded)
        if known is None:
            known = folded
            if is_cyrillic(written):
                known = self._cyrillic[folded] = uninflected(folded, self._gazetteer.vocabulary, self._gazetteer.stemmed)
        return known

    def _in_field(self, words: Sequence[str], first: int, last: int) -> int:
        field = self._gazetteer.field
        near = [*words[max(first - NEAR, 0) : first], *words[last : last + NEAR]]
        return int(not field.isdisjoint(near))

    def _ambiguity(self, uses: Int64s) -> npt.NDArray[np.float64]:
        gazetteer, size = self._gazetteer, len(self._names)
        told = uses[uses[:, 6] != SILENT]
        total = np.bincount(told[:, 3], minlength=size)
        lower = np.bincount(told[told[:, 6] == LOWER, 3], minlength=size)
        prior = np.array([PRIOR_ORDINARY if name in gazetteer.ordinary else PRIOR_NAME for name in self._names])
        measured = np.where(total < FEW_USES, prior, (lower + PRIOR_USES * prior) / (total + PRIOR_USES))
        return np.where(self._areas(), 0.0, measured)

    def _has_company(self, uses: Int64s, clear: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Tell which uses have another, clear entity within `NEAR` words, or an artefact in the text."""
        found = np.isin(uses[:, 0], np.array(self._found, dtype=np.int64).reshape(-1, 4)[:, 0])
        named = ~self._areas()
        vouches = np.flatnonzero(clear & named[uses[:, 3]]) if len(uses) else np.zeros(0, dtype=np.int64)
        # One key a word of the corpus, rows so far apart that none is near another's: neighbours are found by search, not by pairs.
        width = int(uses[:, 5].max(initial=0)) + 2 * NEAR + 2
        key = uses[:, 0] * width + uses[:, 4]
        order = vouches[np.argsort(key[vouches], kind="stable")]
        ordered = key[order]
        low = np.searchsorted(ordered, key - NEAR, side="left")
        high = np.searchsorted(ordered, key + NEAR, side="right")
        # At most one use begins at a word, so that a use has at most 2 NEAR neighbours.
        for use in np.flatnonzero(~found & (high > low)).tolist():
            found[use] = any(uses[order[at], 3] != uses[use, 3] for at in range(low[use], high[use]))
        return np.asarray(found, dtype=bool)

    def _areas(self) -> npt.NDArray[np.bool_]:
        gazetteer = self._gazetteer
        areas = [all(gazetteer.entities[at].kind in AREAS for at in gazetteer.surfaces[name]) for name in self._names]
        return np.array(areas, dtype=bool)

    def _is_name_word(self, name: str) -> bool:
        return all(self._gazetteer.entities[at].kind == "name" for at in self._gazetteer.surfaces[name])

    def _matches(
        self,
        uses: Int64s,
        supported: npt.NDArray[np.bool_],
        of_use: npt.NDArray[np.float64],
        support: Int64s,
        ambiguity: npt.NDArray[np.float64],
    ) -> Matches:
        columns: list[tuple[int, int, int, int, float, int]] = []
        for use in np.flatnonzero(supported).tolist():
            row, start, end, name = uses[use, :4].tolist()
            columns += [(row, start, end, at, float(of_use[use]), int(support[use])) for at in self._gazetteer.surfaces[self._names[name]]]
        found = np.array(self._found, dtype=np.int64).reshape(-1, 4).tolist()
        columns += [(row, start, end, at, 0.0, SUPPORTS.index("pattern")) for row, start, end, at in found]
        columns = sorted(set(columns))
        whole = np.array([column[:4] for column in columns], dtype=np.int64).reshape(-1, 4)
        lost = np.bincount(uses[~supported, 3], minlength=len(self._names)).tolist()
        met = set(uses[:, 3].tolist())
        return Matches(
            whole[:, 0].copy(),
            whole[:, 1].copy(),
            whole[:, 2].copy(),
            whole[:, 3].copy(),
            np.array([column[4] for column in columns], dtype=np.float64),
            np.array([column[5] for column in columns], dtype=np.int64),
            {name: float(ambiguity[at]) for at, name in enumerate(self._names) if at in met},
            {name: lost[at] for at, name in enumerate(self._names) if lost[at]},
            self._gazetteer,
        )


def _case(text: str, read: Tokens, first: int, last: int, *, acronym: bool) -> int:
    """Return how a name is written: `LOWER`, `CAPITAL`, or `SILENT` where its case tells nothing."""
    spans = list(zip(read.starts, read.ends, strict=True))
    written = [text[a:b] for a, b in spans[first:last]]
    letters = [word for word in written if word.lower() != word.upper()]
    if not letters:
        return SILENT
    raised = all(word.isupper() or word[0].isdigit() for word in letters) if acronym else any(not word[0].islower() for word in letters)
    others = [text[a:b] for at, (a, b) in enumerate(spans) if not first <= at < last and at]
    others = [word for word in others if word[0].isalpha() and word.lower() != word.upper()]
    if not raised:
        # In a text without any capital a small letter says less than among others, but it is how common words are written.
        return LOWER
    capitals = sum(not word[0].islower() for word in others)
    if len(others) >= FEWEST_WORDS and capitals > HEADLINE * len(others):
        return SILENT
    before = text[: read.starts[first]].rstrip(" \t\"'«“„(")
    starts = not before or before[-1] in ".!?…:;\n|•—"
    return SILENT if starts and not acronym else CAPITAL
