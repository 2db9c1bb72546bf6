"""The narratives of a corpus, described: the stage that puts the parts of this package together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from greyzone import labels as wording
from greyzone import terms
from greyzone.doctrine import Doctrine
from greyzone.engine import map_batches
from greyzone.narratives.central import cross_similarities, exemplars, two_nearest
from greyzone.narratives.frame import Frame, Ints, lay_out
from greyzone.narratives.levels import name_levels
from greyzone.narratives.members import answer
from greyzone.narratives.spread import spread
from greyzone.narratives.timeline import timeline
from greyzone.records import DOCUMENTS, LANGUAGE_TERMS, NARRATIVES, STRINGS, Floats, Labeller, NarrativeResult, check

TARGET_SHARE, TARGET_LEAST = 0.1, 2
"""A state is a target if this share of the distinct texts name it, and this many at least (one, where a narrative has one text)."""


def describe_narratives(
    documents: pa.Table,
    copies: pa.Table,
    vectors: Floats,
    labels: npt.NDArray[np.integer],
    probabilities: npt.NDArray[np.floating],
    *,
    doctrine: Doctrine,
    hierarchy: npt.NDArray[np.integer] | None = None,
    leaders: npt.NDArray[np.integer] | None = None,
    workers: int | None = 1,
    labeller: Labeller | None = None,
) -> NarrativeResult:
    """Describe the clusters of the representatives as narratives of all documents.

    Parameters
    ----------
    documents, copies
        `DOCUMENTS` and their `COPIES`; a copy belongs where its representative does.
    vectors
        (r, d) float32 unit rows of the representatives (documents that are no copies, in the order of `documents`).
    labels, probabilities
        (r,) cluster (-1: noise) and strength of membership of each representative.
    doctrine
        Gives the masses of the breakout scale.
    hierarchy
        (r, 3) labels of each representative at story, narrative and theme (-1: none); the middle column is not read, `labels` holds.
        Without it, stories and themes are null.
    leaders
        (r,) row that each representative nearly repeats in meaning, its own if none. Without it, `echo_of` is null.
    workers
        Processes that read the texts, as for `greyzone.engine.map_batches`; the result does not depend on it.
    labeller
        Writes the column ``generated_label``, null without one; nothing else depends on it.

    Returns
    -------
    NarrativeResult
        Narratives, largest first, then by id; one row of `members` a document, in the order (doc_id); unit centroids.

    Raises
    ------
    InputError
        If an array has not one row a representative, or a narrative lies in two themes.
    """
    frame = lay_out(check(documents, DOCUMENTS, "documents"), copies, vectors, labels, probabilities)
    levels = name_levels(frame, hierarchy, leaders)
    central = exemplars(frame)
    counts = terms.merge(map_batches(terms.count, _batches(frame), workers=workers))
    _, rival, _ = two_nearest(frame.centroids, frame.centroids, np.arange(frame.clusters))
    words = wording.name_narratives(counts, rival)
    narratives = {
        "narrative_id": pa.array(frame.ids, pa.string()),
        **_words(frame, central, words),
        "generated_label": _generated(frame, central, words.keywords, labeller),
        "exemplars": _exemplar_ids(frame, central),
        "size": pa.array(frame.sizes),
        "distinct_texts": pa.array(np.bincount(frame.label[frame.distinct()], minlength=frame.clusters)),
        **spread(frame, doctrine.section("breakout")),
        **timeline(frame),
        "targets": _targets(frame, counts.states),
        "parents": pa.array([[]] * frame.clusters, STRINGS),
        **_rivals(frame, rival),
        "theme_id": levels.theme,
        "stories": levels.stories,
    }
    return NarrativeResult(
        narratives=pa.table([narratives[name] for name in NARRATIVES.names], schema=NARRATIVES),
        members=answer(frame, central, levels),
        vectors=frame.centroids,
    )


def _batches(frame: Frame) -> Iterator[terms.TextBatch]:
    for texts, group in frame.slices():
        yield terms.TextBatch(texts, group, frame.clusters)


def _words(frame: Frame, central: Ints, words: wording.Wording) -> dict[str, pa.Array]:
    """Return label, headline, keywords, terms of each language, and what tells a narrative from its rival."""
    first = frame.texts(central[:, 0]).to_pylist()
    headlines = [
        wording.headline(row["title"], row["text"], words.weighed.weights(cluster), words.shown.get(row["lang"] or "und"))
        for cluster, row in enumerate(first)
    ]
    spoken = _languages(frame)
    return {
        "label": pa.array(
            [", ".join(found[: wording.LABEL_TERMS]) or title for found, title in zip(words.keywords, headlines, strict=True)], pa.string()
        ),
        "headline": pa.array(headlines, pa.string()),
        "keywords": pa.array(words.keywords, STRINGS),
        "terms": pa.array(
            [
                [{"lang": lang, "terms": found[lang]} for lang in order if lang in found]
                for order, found in zip(spoken, words.by_language, strict=True)
            ],
            LANGUAGE_TERMS,
        ),
        "rival_terms": pa.array(words.rival, STRINGS),
    }


def _generated(frame: Frame, central: Ints, keywords: list[list[str]], labeller: Labeller | None) -> pa.Array:
    """Return what a model calls each narrative."""
    if labeller is None:
        return pa.nulls(frame.clusters, pa.string())
    there = central >= 0
    texts = [" ".join(part for part in (row["title"], row["text"]) if part) for row in frame.texts(central[there]).to_pylist()]
    stops = np.cumsum(there.sum(axis=1)).tolist()
    told = zip([0, *stops], stops, keywords, strict=False)
    return pa.array([labeller.label(texts[start:stop], words) or None for start, stop, words in told], pa.string())


def _languages(frame: Frame) -> list[list[str]]:
    """Return the languages of the distinct texts of each narrative, the commonest first; texts without one count as "und"."""
    coded = frame.coded["lang"]
    names = [*coded.names, "und"]
    rows = frame.distinct()
    code = np.where(coded.code[rows] >= 0, coded.code[rows], len(coded.names))
    keys, counts = np.unique(frame.label[rows] * len(names) + code, return_counts=True)
    cluster, code = np.divmod(keys, len(names))
    order = np.lexsort((code, -counts, cluster))
    found: list[list[str]] = [[] for _ in range(frame.clusters)]
    for group, place in zip(cluster[order].tolist(), code[order].tolist(), strict=True):
        found[group].append(names[place])
    return found


def _exemplar_ids(frame: Frame, central: Ints) -> pa.Array:
    there = central >= 0
    bounds = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    return pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), frame.doc_id.take(pa.array(central[there])))


def _rivals(frame: Frame, rival: Ints) -> dict[str, pa.Array]:
    known = np.flatnonzero(rival >= 0)
    distance = np.ones(frame.clusters)
    distance[known] = 1.0 - cross_similarities(frame.centroids, known, frame.centroids, rival[known])
    names = pa.array([*frame.ids, None], pa.string())
    return {
        "rival_id": names.take(pa.array(np.where(rival >= 0, rival, frame.clusters))),
        "rival_distance": pa.array(distance.astype(np.float32), mask=rival < 0),
    }


def _targets(frame: Frame, states: pa.Table) -> pa.Array:
    """Return the states that enough of the distinct texts of each narrative name, the most named first."""
    texts = np.bincount(frame.label[frame.distinct()], minlength=frame.clusters)
    least = np.maximum(np.minimum(TARGET_LEAST, texts), TARGET_SHARE * texts)
    found: list[list[str]] = [[] for _ in range(frame.clusters)]
    ordered = states.sort_by([("group", "ascending"), ("texts", "descending"), ("state", "ascending")])
    enough = ordered.filter(pa.array(ordered["texts"].to_numpy() >= least[ordered["group"].to_numpy()]))
    for group, state in zip(enough["group"].to_pylist(), enough["state"].to_pylist(), strict=True):
        found[group].append(state)
    return pa.array(found, STRINGS)
