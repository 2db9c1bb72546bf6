"""Uses of names and artefacts as they are met in texts, before it is judged which of them are mentions (`matching`).

Texts are read twice at most: words of all, then spans and case of those that hold a name. Time is linear in the characters. Batches of
texts are read apart from one another, on several processors if wished, and what was met is put together by row: the same for any batches.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from greyzone.engine import map_batches
from greyzone.entities.artefacts import ARTEFACTS, Artefact, artefacts_of, may_hold_artefacts
from greyzone.entities.automaton import outermost
from greyzone.entities.gazetteer import Gazetteer
from greyzone.entities.tokens import Tokens, has_case, is_cyrillic, seen_words, tokens, uninflected, without_addresses

HEADLINE = 0.6
"""A text that capitalises more than this share of its other words says nothing by a capital."""

FEWEST_WORDS = 3
"""With fewer other words a text cannot look like a headline."""

LOWER, CAPITAL, SILENT = 0, 1, 2

BATCH = 20_000
"""Texts of a batch: enough that sending the gazetteer to another process is little beside reading them."""

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Uses:
    """What was met, int64 columns, by row of the texts.

    Attributes
    ----------
    names
        (n, 8): row, start, end, name (place in `names_of`), first word, last word, case, and whether a word of the field is near (1 or 0;
        -1 in scripts that the words of the field are not written in).
    artefacts
        (n, 4): row, start, end, entity.
    words
        (texts, 2): words of each text, and how many of them stand near a word of the field; 0 in such scripts.
    """

    names: Int64s
    artefacts: Int64s
    words: Int64s


def names_of(gazetteer: Gazetteer) -> list[str]:
    """Return the surfaces that are names and no artefacts, in the order of the gazetteer."""
    return [name for name in gazetteer.surfaces if gazetteer.entities[gazetteer.surfaces[name][0]].kind not in ARTEFACTS]


def read_uses(texts: Sequence[str], gazetteer: Gazetteer, *, near: int, workers: int | None = 1) -> Uses:
    """Read all uses in texts.

    Parameters
    ----------
    texts, gazetteer
        Where and what to look for.
    near
        Words to either side that are a name's neighbourhood.
    workers
        Processes, as in `greyzone.engine.map_batches`.
    """
    batches = (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))
    done = 0
    parts: list[Uses] = []
    for part in map_batches(partial(_read, gazetteer, near), batches, workers=workers):
        part.names[:, 0] += done
        part.artefacts[:, 0] += done
        done += len(part.words)
        parts.append(part)
    if not parts:
        return Uses(*(np.zeros((0, width), dtype=np.int64) for width in (8, 4, 2)))
    return Uses(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("names", "artefacts", "words")))


def _read(gazetteer: Gazetteer, near: int, texts: Sequence[str]) -> Uses:
    hits = UseReader(gazetteer, near)
    for row, text in enumerate(texts):
        hits.read(row, text)
    return hits.uses()


class UseReader:
    """Takes the uses of texts as they are met; `uses` gives them in columns."""

    def __init__(self, gazetteer: Gazetteer, near: int) -> None:
        self._gazetteer, self._near = gazetteer, near
        self._number = {name: at for at, name in enumerate(names_of(gazetteer))}
        self._start = gazetteer.automaton.ways[0].keys()
        self._artefacts = any(entity.kind in ARTEFACTS for entity in gazetteer.entities)
        self._short_links = any(surface.startswith("url t.co/") for surface in gazetteer.surfaces)
        self._cyrillic: dict[str, str] = {}
        self._uses = array("q")
        self._found = array("q")
        self._words = array("q")

    def uses(self) -> Uses:
        """Return what was met so far."""
        columns = ((self._uses, 8), (self._found, 4), (self._words, 2))
        return Uses(*(np.array(values, dtype=np.int64).reshape(-1, width) for values, width in columns))

    def read(self, row: int, text: str) -> Sequence[str]:
        """Take the uses of a text, and return its folded words, in any order."""
        if self._artefacts and (self._short_links or may_hold_artefacts(text)):
            for artefact in artefacts_of(text):
                self._take(row, artefact)
        # Most texts name nobody: a cheap look tells, unless a word may be inflected.
        plain = without_addresses(text)
        seen = seen_words(text, plain)
        if seen is not None:
            self._count(seen)
        if seen is not None and self._start.isdisjoint(seen) and ("#" not in text or self._gazetteer.joined.keys().isdisjoint(seen)):
            return seen
        read = tokens(text, plain)
        words = read.folded
        if seen is None:
            self._words.extend((0, 0))
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
            inside = tagged or text[start - 1 : start] in {"#", "＃"} or any(tag.first <= first and last <= tag.last for tag in read.tags)
            case = SILENT if inside else _case(text, read, first, last, acronym=name in self._gazetteer.acronyms)
            near = self._in_field(words, first, last) or -(seen is None)
            self._uses.extend((row, start, read.ends[last - 1], self._number[name], first, last, case, near))
        return read.folded if seen is None else seen

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

    def _count(self, words: Sequence[str]) -> None:
        """Count the words of a text and those near a word of the field."""
        field = self._gazetteer.field
        covered = 0
        if not field.isdisjoint(words):
            end = 0
            for at, word in enumerate(words):
                if word in field:
                    covered += min(at + self._near + 1, len(words)) - max(at - self._near, end)
                    end = min(at + self._near + 1, len(words))
        self._words.extend((len(words), covered))

    def _in_field(self, words: Sequence[str], first: int, last: int) -> int:
        field = self._gazetteer.field
        near = [*words[max(first - self._near, 0) : first], *words[last : last + self._near]]
        return int(not field.isdisjoint(near))


def _case(text: str, read: Tokens, first: int, last: int, *, acronym: bool) -> int:
    """Return how a name is written: `LOWER`, `CAPITAL`, or `SILENT` where its case tells nothing."""
    spans = list(zip(read.starts, read.ends, strict=True))
    written = [text[a:b] for a, b in spans[first:last]]
    letters = [word for word in written if has_case(word)]
    if not letters:
        return SILENT
    raised = all(word.isupper() or word[0].isdigit() for word in letters) if acronym else any(not word[0].islower() for word in letters)
    others = [text[a:b] for at, (a, b) in enumerate(spans) if not first <= at < last and at]
    others = [word for word in others if word[0].isalpha() and has_case(word)]
    if not raised:
        # In a text without any capital a small letter says less than among others, but it is how common words are written.
        return LOWER
    capitals = sum(not word[0].islower() for word in others)
    if len(others) >= FEWEST_WORDS and capitals > HEADLINE * len(others):
        return SILENT
    before = text[: read.starts[first]].rstrip(" \t\"'«“„(")
    starts = not before or before[-1] in ".!?…:;\n|•—"
    return SILENT if starts and not acronym else CAPITAL
