"""Why is this document here.

For every document its narrative and how near it is, the exemplar that it is most like, the second best narrative, its story, and what
it echoes; for noise, the narrative that it nearly belongs to.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from greyzone.narratives.central import two_nearest
from greyzone.narratives.frame import Doubles, Frame, Ints
from greyzone.narratives.levels import Levels
from greyzone.neighbours import BORDER, pair_similarities
from greyzone.records import MEMBERS

_STEP = 2**15
"""Rows compared at once."""


def answer(frame: Frame, exemplars: Ints, levels: Levels) -> pa.Table:
    """Return the table of members.

    Parameters
    ----------
    frame
        The documents.
    exemplars
        (k, e) int64 documents that stand for each narrative, -1 where there are no more.
    levels
        Stories and echoes.

    Returns
    -------
    pa.Table
        One row a document, by doc_id.
    """
    label = np.full(len(frame.vectors), -1, dtype=np.int64)
    label[frame.place] = frame.label
    nearest, second, distances = two_nearest(frame.vectors, frame.centroids, label)
    # An exemplar is a document; what is compared is its vector.
    vectors = np.where(exemplars >= 0, frame.place[exemplars], -1) if len(frame.place) else exemplars
    slot, likeness = _nearest_exemplar(frame, nearest, vectors)
    names = pa.array([*frame.ids, None], pa.string())

    def named(cluster: Ints) -> pa.Array:
        return names.take(pa.array(np.where(cluster >= 0, cluster, frame.clusters)))

    first, other, shown = nearest[frame.place], second[frame.place], slot[frame.place]
    like = exemplars[first, shown] if frame.clusters else np.full(len(first), -1, dtype=np.int64)
    return pa.table(
        {
            "doc_id": frame.doc_id,
            "narrative_id": named(frame.label),
            "probability": pa.array(np.where(frame.label >= 0, frame.probability, 0.0).astype(np.float32)),
            "nearest_id": named(first),
            "distance": _float(distances[frame.place, 0], first < 0),
            "second_id": named(other),
            "second_distance": _float(distances[frame.place, 1], other < 0),
            "exemplar": frame.doc_id.take(pa.array(like, mask=first < 0)),
            "exemplar_distance": _float(1.0 - likeness[frame.place], first < 0),
            "story_id": levels.story,
            "echo_of": levels.echo_of,
        },
        schema=MEMBERS,
    )


def _nearest_exemplar(frame: Frame, nearest: Ints, vectors: Ints) -> tuple[Ints, Doubles]:
    """Return for each representative which exemplar of its nearest narrative it is most like, and their cosine."""
    slot, likeness = np.zeros(len(nearest), dtype=np.int64), np.zeros(len(nearest))
    rows = np.flatnonzero(nearest >= 0)
    rough = np.full((len(rows), vectors.shape[1]), -np.inf, dtype=np.float32)
    for turn in range(vectors.shape[1]):
        like = vectors[nearest[rows], turn]
        there = np.flatnonzero(like >= 0)
        for start in range(0, len(there), _STEP):
            part = there[start : start + _STEP]
            rough[part, turn] = np.einsum("ij,ij->i", frame.vectors[rows[part]], frame.vectors[like[part]])
    hits, turns = np.nonzero(rough >= rough.max(axis=1, keepdims=True, initial=-np.inf) - np.float32(BORDER))
    exact = pair_similarities(frame.vectors, rows[hits], vectors[nearest[rows[hits]], turns])
    order = np.lexsort((turns, -exact, hits))
    _, best = np.unique(hits[order], return_index=True)
    slot[rows], likeness[rows] = turns[order[best]], exact[order[best]]
    return slot, likeness


def _float(values: Doubles, missing: np.ndarray) -> pa.Array:
    return pa.array(values.astype(np.float32), mask=missing)
