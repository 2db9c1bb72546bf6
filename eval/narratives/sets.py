"""The sets that groupings are measured on: texts or vectors with their true narratives.

Labelled sets are those of `greyzone.eval.encoders.sets`; of `checkthat` the posts, where a narrative is a claim, or claims joined by a post
that stands with both, and a claim of one post alone is background. `semeval2025` has several narratives a document. ``synth`` is the
written scenario (`greyzone.eval.scenario`), whose everyday talk is background. ``planted`` and ``giant`` are vectors, ``hidden`` is news
among tweets; these three come in any size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from greyzone.embed import document_text
from greyzone.errors import InputError
from greyzone.eval.encoders import sets
from greyzone.eval.narratives import hidden
from greyzone.eval.narratives.grouping import Truth
from greyzone.eval.narratives.planted import MINIMUM, planted, planted_giant
from greyzone.eval.scenario.synth import generate
from greyzone.records import Floats

LABELLED = ("uci-news", "googlenews", "checkthat", "semeval2025", "crisislex", "searchsnippets")
"""Sets of `greyzone.eval.encoders.sets`, in the order in which they are measured."""

SYNTH, PLANTED, GIANT, HIDDEN = "synth", "planted", "giant", "hidden"

SIZED = (PLANTED, GIANT, HIDDEN)
"""Sets that come in any size."""

NAMES = (*LABELLED, SYNTH, PLANTED, HIDDEN, GIANT)

SYNTH_DOCUMENTS = 5000

NEWS = 11_000
"""News among the documents of `hidden`, about: the size asked for less these is the number of tweets."""

GIANT_OTHERS = 10_000
"""Planted documents around the giant, or half of all where there are fewer."""


@dataclass(frozen=True, slots=True)
class NarrativeSet:
    """Documents with their true narratives.

    `name` has the size in it where the set comes in any. `texts` is empty where the set is vectors, which are then in `rows`.
    `sha256` is of the files it was read from, by name.
    """

    name: str
    texts: list[str]
    rows: Floats | None
    truth: Truth
    sha256: dict[str, str]


def missing_files(folder: Path | None, name: str) -> list[str]:
    """Return the files of set `name` that are not in `folder`; `InputError` if there is no such set."""
    if name not in NAMES:
        raise InputError(f"set {name!r}", f"one of {', '.join(NAMES)}")
    files = list(sets.source("googlenews" if name == HIDDEN else name).files) if name in (*LABELLED, HIDDEN) else []
    files += [hidden.TWEETS] if name == HIDDEN else []
    return [file for file in files if folder is None or not (folder / file).is_file()]


def load_set(name: str, folder: Path | None, *, size: int | None = None, seed: int = 0) -> NarrativeSet:
    """Return set `name`.

    Parameters
    ----------
    name
        One of `NAMES`.
    folder
        Where the files stand; not needed for made sets.
    size
        Documents of a set that comes in any size.
    seed
        Of the sets that are made.

    Raises
    ------
    InputError
        If there is no such set, its files are absent, or the size is missing or too small.
    """
    absent = missing_files(folder, name)
    if absent:
        raise InputError(f"no {' or '.join(absent)} in {folder}", f"the files of {name}", "docs/data.md says where they are from")
    if name in SIZED:
        if size is None or size < MINIMUM:
            raise InputError(f"size {size} of {name}", f"at least {MINIMUM}")
        return _sized(name, folder or Path(), size, seed)
    if name == SYNTH:
        return _synth(seed)
    if folder is None:
        raise InputError(f"no folder for {name}", "the folder that holds the sets")
    texts, truth = _labelled(folder, name)
    return NarrativeSet(name, texts, None, truth, sets.digests(folder, name))


def _sized(name: str, folder: Path, size: int, seed: int) -> NarrativeSet:
    called = f"{name}-{size}"
    if name == HIDDEN:
        found = hidden.load_hidden(folder, max(0, size - NEWS))
        digests = sets.digests(folder, "googlenews") | {hidden.TWEETS: sets.file_sha256(folder / hidden.TWEETS)}
        return NarrativeSet(called, found.texts, None, found.labels, digests)
    if name == PLANTED:
        made = planted(size, seed=seed)
    else:
        others = max(MINIMUM, min(GIANT_OTHERS, size // 2))
        made = planted_giant(max(1, size - others - 1), others=others, seed=seed)
    return NarrativeSet(called, [], made.rows, made.labels, {})


def _synth(seed: int) -> NarrativeSet:
    posts = list(generate(SYNTH_DOCUMENTS, seed=seed))
    texts = [document_text(post.title, post.text) for post in posts]
    return NarrativeSet(SYNTH, texts, None, _numbered([post.narrative for post in posts]), {})


def _labelled(folder: Path, name: str) -> tuple[list[str], Truth]:
    if name == "checkthat":
        search = sets.load_claims(folder)
        joined = sets.joined_claims(search)
        claims = [joined[right[0]] for right in search.gold]
        posts = Counter(claims)
        return search.queries, _numbered([str(claim) if posts[claim] > 1 else None for claim in claims])
    if name == "semeval2025":
        narratives = sets.load_narratives(folder)
        names = sorted(frozenset().union(*narratives.labels))
        return narratives.documents, np.array([[name in told for name in names] for told in narratives.labels], dtype=np.bool_)
    clusters = sets.load_clusters(folder, name)
    return clusters.texts, clusters.labels


def _numbered(names: Sequence[str | None]) -> Truth:
    """Return a number for each name in the order of their first document, -1 for None."""
    numbers: dict[str, int] = {}
    return np.array([-1 if name is None else numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)
