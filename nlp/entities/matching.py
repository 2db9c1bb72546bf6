"""Entities in texts, each with its span, canonical name, how ambiguous the name is in these very texts, and what supports it.

Ambiguity of a name is the share of its uses, in the texts at hand, that are written in lower case, with a prior that says whether it is a
word of a language besides (Silence, Lead) or not (Turla, Winnti):

    a = (lower + k prior) / (uses + k),      uses = those whose case tells something; with fewer than `few` of them a = prior

Case tells nothing at the start of a sentence, in a headline, in a text all in capitals, in a hashtag, and in scripts without case; an
acronym of capitals (WHO, DNC) counts as capitalised only in capitals.

A name below `clear` counts wherever it stands. Any other needs support: to be written as a name where case tells, or company.
Company is another entity that is clear, or a word of the field (measured when the gazetteer is built), within `near` words. From `common`
on it needs both, and a word that is only known from the name of an incident is none from there on; below, such a word of the language needs
company. In lower case a word of the language is no name, whatever stands by it. Artefacts, states and sectors are never ambiguous.

Borrowed acronyms: those who attack and what they use live in the field's talk. An acronym of theirs that the corpus uses often (at least
`acronym_uses` times), mostly away from words of the field, and near them no oftener than any word is (odds below `acronym_lift` times
those of all words), is somebody else's here (GOP is a party before it is an alias of hackers): none of its uses counts. Other names of
theirs of one plain word (Superman, Trident, Mask) count only near a word of the field, unless most of their uses here are: the share
(inside + k pool) / (uses + k) is at least one half, pool that of all such names together. In scripts in which no word of the field is
known, another clear entity must stand by.

The numbers stand in the doctrine under `link.names`. Uses are weighed by the copies of their text, so that looking a text up once changes
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from greyzone.doctrine import Doctrine, load_doctrine
from greyzone.entities.artefacts import artefacts_of
from greyzone.entities.gazetteer import AREAS, Entity, Gazetteer
from greyzone.entities.uses import CAPITAL, LOWER, SILENT, Uses, names_of, read_uses

SUPPORTS = ("clear", "capital", "company", "capital and company", "pattern")
"""What a match rests on: an unambiguous name, its spelling, its neighbours, both, or the pattern of an artefact."""

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NameRules:
    """The numbers of this module's docstring."""

    clear: float
    common: float
    prior_uses: float
    prior_ordinary: float
    prior_name: float
    few: float
    near: int
    acronym_uses: float
    acronym_lift: float

    @classmethod
    def of(cls, doctrine: Doctrine) -> NameRules:
        """Return the rules of a doctrine."""
        told = doctrine.section("link.names")
        return cls(
            told["clear"],
            told["common"],
            told["prior_uses"],
            told["prior_ordinary"],
            told["prior_name"],
            told["few_uses"],
            int(told["near_words"]),
            told["acronym_uses"],
            told["acronym_lift"],
        )


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
    borrowed
        Acronyms that are somebody else's in these texts.
    gazetteer, common
        What was looked for, and the ambiguity from which a name counts as a common word.
    """

    rows: Int64s
    starts: Int64s
    ends: Int64s
    entities: Int64s
    ambiguity: npt.NDArray[np.float64]
    supports: Int64s
    ambiguities: dict[str, float]
    unsupported: dict[str, int]
    borrowed: tuple[str, ...]
    gazetteer: Gazetteer
    common: float

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


def find_entities(texts: Sequence[str], gazetteer: Gazetteer, *, doctrine: Doctrine | None = None, workers: int | None = 1) -> Mentions:
    """Find which texts name which entities.

    Parameters
    ----------
    texts
        Texts with their addresses and hashtags (``#DNCLeak`` is read as two words).
    gazetteer
        What to look for.
    doctrine
        Numbers under ``link.names``; None takes the bundled default.
    workers
        Processes, as in `greyzone.engine.map_batches`.

    Returns
    -------
    Mentions
        Sorted pairs. Names that these texts mostly use as a common word, and never with support, are named in `dropped`.
    """
    return mentions_of(find_matches(texts, gazetteer, doctrine=doctrine, workers=workers))


def find_matches(texts: Sequence[str], gazetteer: Gazetteer, *, doctrine: Doctrine | None = None, workers: int | None = 1) -> Matches:
    """Find every mention of the gazetteer's entities, with its span and what it rests on.

    Parameters
    ----------
    texts, gazetteer, doctrine, workers
        As for `find_entities`. Ambiguity is measured over `texts`, so that a larger corpus judges better; their order does not matter.

    Returns
    -------
    Matches
        Nothing is dropped in silence: `unsupported` counts what was left out.
    """
    rules = NameRules.of(doctrine or load_doctrine())
    return judge_uses(read_uses(texts, gazetteer, near=rules.near, workers=workers), gazetteer, rules)


def judge_uses(uses: Uses, gazetteer: Gazetteer, rules: NameRules, copies: Int64s | None = None) -> Matches:
    """Judge which uses are mentions.

    Parameters
    ----------
    uses
        What was met in texts.
    gazetteer, rules
        What was looked for, and the numbers.
    copies
        (texts,) how often each text stands in the corpus; None: once.
    """
    return _Judge(uses, gazetteer, rules, np.ones(len(uses.words), dtype=np.int64) if copies is None else copies).judge()


def mentions_of(matches: Matches) -> Mentions:
    """Return the pairs of text and entity of some matches."""
    pairs = np.unique(np.stack([matches.rows, matches.entities], axis=1), axis=0)
    kept = set(matches.entities.tolist())
    dropped = (
        name
        for name in matches.unsupported
        if matches.ambiguities[name] >= matches.common and not any(at in kept for at in matches.gazetteer.surfaces[name])
    )
    return Mentions(pairs[:, 0].copy(), pairs[:, 1].copy(), tuple(sorted(dropped)))


class _Judge:
    """Decides which uses are mentions."""

    def __init__(self, uses: Uses, gazetteer: Gazetteer, rules: NameRules, copies: Int64s) -> None:
        self._gazetteer, self._rules, self._copies = gazetteer, rules, copies
        self._names = names_of(gazetteer)
        self._uses, self._found, self._words = uses.names, uses.artefacts, uses.words

    def judge(self) -> Matches:
        """Measure the ambiguity of every name and keep the supported uses."""
        uses, rules = self._uses, self._rules
        ambiguity = self._ambiguity(uses)
        of_use = ambiguity[uses[:, 3]] if len(uses) else np.zeros(0)
        lower = uses[:, 6] == LOWER
        clear = of_use < rules.clear
        company = (uses[:, 7] > 0) | self._has_company(uses, clear)
        capital = uses[:, 6] == CAPITAL
        word = np.array([name in self._gazetteer.ordinary for name in self._names], dtype=bool)[uses[:, 3]]
        names = np.array([self._is_name_word(name) for name in self._names], dtype=bool)[uses[:, 3]]
        common = of_use >= rules.common
        alone = np.where(names & word, company & ~lower, np.where(lower & word, False, capital | company))
        needs = np.where(common, capital & company & ~names, alone)
        borrowed = self._borrowed(uses)
        astray = self._plain(uses)[uses[:, 3]] & ((uses[:, 7] == 0) | ((uses[:, 7] < 0) & ~company))
        supported = (clear | needs) & ~borrowed[uses[:, 3]] & ~astray
        support = np.where(clear, 0, np.where(capital & company, 3, np.where(capital, 1, 2)))
        return self._matches(uses, supported, of_use, support, np.where(borrowed, 1.0, ambiguity), borrowed)

    def _ambiguity(self, uses: Int64s) -> npt.NDArray[np.float64]:
        gazetteer, rules, size = self._gazetteer, self._rules, len(self._names)
        told = uses[uses[:, 6] != SILENT]
        weight = self._copies[told[:, 0]].astype(np.float64)
        total = np.bincount(told[:, 3], weights=weight, minlength=size)
        lower = np.bincount(told[:, 3], weights=weight * (told[:, 6] == LOWER), minlength=size)
        prior = np.array([rules.prior_ordinary if name in gazetteer.ordinary else rules.prior_name for name in self._names])
        measured = np.where(total < rules.few, prior, (lower + rules.prior_uses * prior) / (total + rules.prior_uses))
        return np.where(self._areas(), 0.0, measured)

    def _plain(self, uses: Int64s) -> npt.NDArray[np.bool_]:
        """Tell which names of attackers and tools are one plain word that these texts do not mostly use near words of the field."""
        theirs = np.array([name.isalpha() and self._is_attackers(name) for name in self._names], dtype=bool)
        told = uses[(uses[:, 7] >= 0) & theirs[uses[:, 3]]]
        if not self._words[:, 1].any():
            return np.zeros(len(theirs), dtype=bool)
        weight = self._copies[told[:, 0]].astype(np.float64)
        total = np.bincount(told[:, 3], weights=weight, minlength=len(theirs))
        inside = np.bincount(told[:, 3], weights=weight * (told[:, 7] > 0), minlength=len(theirs))
        pool = inside.sum() / total.sum() if total.sum() >= self._rules.few else 0.5
        share = (inside + self._rules.prior_uses * pool) / (total + self._rules.prior_uses)
        return np.asarray(theirs & (share < 0.5), dtype=bool)

    def _is_attackers(self, name: str) -> bool:
        return all(self._gazetteer.entities[at].kind in ("actor", "malware") for at in self._gazetteer.surfaces[name])

    def _borrowed(self, uses: Int64s) -> npt.NDArray[np.bool_]:
        """Tell which names are acronyms of attackers and their tools that these texts use for somebody else."""
        size, rules = len(self._names), self._rules
        words, near = (self._words * self._copies[:, None]).sum(axis=0).tolist()
        if not near or near == words:
            return np.zeros(size, dtype=bool)
        weight = self._copies[uses[:, 0]].astype(np.float64)
        total = np.bincount(uses[:, 3], weights=weight, minlength=size)
        inside = np.bincount(uses[:, 3], weights=weight * (uses[:, 7] > 0), minlength=size)
        theirs = [name in self._gazetteer.acronyms and self._is_attackers(name) for name in self._names]
        odds = near / (words - near)
        elsewhere = (total >= rules.acronym_uses) & (inside < total / 2) & (inside < rules.acronym_lift * odds * (total - inside))
        found: npt.NDArray[np.bool_] = np.array(theirs, dtype=bool) & elsewhere
        return found

    def _has_company(self, uses: Int64s, clear: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Tell which uses have another, clear entity within the neighbourhood, or an artefact in the text."""
        found = np.isin(uses[:, 0], self._found[:, 0])
        named = ~self._areas()
        vouches = np.flatnonzero(clear & named[uses[:, 3]]) if len(uses) else np.zeros(0, dtype=np.int64)
        near = self._rules.near
        # One key a word of the corpus, rows so far apart that none is near another's: neighbours are found by search, not by pairs.
        width = int(uses[:, 5].max(initial=0)) + 2 * near + 2
        key = uses[:, 0] * width + uses[:, 4]
        order = vouches[np.argsort(key[vouches], kind="stable")]
        ordered = key[order]
        low = np.searchsorted(ordered, key - near, side="left")
        high = np.searchsorted(ordered, key + near, side="right")
        # At most one use begins at a word, so that a use has at most 2 near neighbours.
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
        borrowed: npt.NDArray[np.bool_],
    ) -> Matches:
        columns: list[tuple[int, int, int, int, float, int]] = []
        for use in np.flatnonzero(supported).tolist():
            row, start, end, name = uses[use, :4].tolist()
            columns += [(row, start, end, at, float(of_use[use]), int(support[use])) for at in self._gazetteer.surfaces[self._names[name]]]
        columns += [(row, start, end, at, 0.0, SUPPORTS.index("pattern")) for row, start, end, at in self._found.tolist()]
        columns = sorted(set(columns))
        whole = np.array([column[:4] for column in columns], dtype=np.int64).reshape(-1, 4)
        lost = np.bincount(uses[~supported, 3], weights=self._copies[uses[~supported, 0]], minlength=len(self._names)).astype(int).tolist()
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
            tuple(sorted(name for name, theirs in zip(self._names, borrowed.tolist(), strict=True) if theirs)),
            self._gazetteer,
            self._rules.common,
        )
