"""Stories inside narratives, the themes around them, and what nearly repeats what.

A story and a theme are named as a narrative is: after their earliest distinct text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from greyzone.errors import InputError
from greyzone.narratives.frame import Frame, Ints, origins
from greyzone.records import content_id


@dataclass(frozen=True, slots=True)
class Levels:
    """`story` and `echo_of` of each document, `theme` and number of `stories` of each narrative, as the tables hold them."""

    story: pa.Array
    echo_of: pa.Array
    theme: pa.Array
    stories: pa.Array


def name_levels(frame: Frame, hierarchy: npt.NDArray[np.integer] | None, leaders: npt.NDArray[np.integer] | None) -> Levels:
    """Name the levels around the narratives.

    Parameters
    ----------
    frame
        The documents.
    hierarchy, leaders
        As for `greyzone.narratives.describe_narratives`.

    Returns
    -------
    Levels
        Null where nothing was given.

    Raises
    ------
    InputError
        If an array has another shape than it should, or a narrative lies in two themes.
    """
    n, r = len(frame.label), len(frame.vectors)
    echoes = pa.nulls(n, pa.string()) if leaders is None else _echoes(frame, np.asarray(leaders))
    if hierarchy is None:
        return Levels(pa.nulls(n, pa.string()), echoes, pa.nulls(frame.clusters, pa.string()), pa.nulls(frame.clusters, pa.int64()))
    if np.shape(hierarchy) != (r, 3):
        raise InputError(f"a hierarchy of shape {np.shape(hierarchy)}", f"({r}, 3): story, narrative, theme")
    story, theme = (np.asarray(hierarchy, dtype=np.int64)[frame.place, level] for level in (0, 2))
    inside = frame.label >= 0
    pairs = _pairs(frame.label, theme, inside & (theme >= 0))
    torn = pairs[1:][pairs[1:, 0] == pairs[:-1, 0]]
    if len(torn):
        raise InputError(f"narrative {frame.ids[torn[0, 0]]} in two themes", "levels that nest: story, narrative, theme")
    themes = np.full(frame.clusters, -1, dtype=np.int64)
    themes[pairs[:, 0]] = pairs[:, 1]
    told = _pairs(frame.label, story, inside & (story >= 0))[:, 0]
    return Levels(
        story=_named(frame, story, story, "sto"),
        echo_of=echoes,
        theme=_named(frame, theme, themes, "thm"),
        stories=pa.array(np.bincount(told, minlength=frame.clusters)),
    )


def _pairs(left: Ints, right: Ints, chosen: npt.NDArray[np.bool_]) -> Ints:
    return np.unique(np.stack([left, right], axis=1)[chosen], axis=0)


def _named(frame: Frame, label: Ints, wanted: Ints, prefix: str) -> pa.Array:
    """Return the ids of the `wanted` labels (-1: null) among the `label` of the documents."""
    found, first = origins(frame.own, frame.begins, label)
    names = pa.array([content_id(prefix, name) for name in frame.doc_id.take(pa.array(first)).to_pylist()], pa.string())
    return names.take(pa.array(np.searchsorted(found, wanted), mask=wanted < 0))


def _echoes(frame: Frame, leaders: npt.NDArray[np.integer]) -> pa.Array:
    r = len(frame.vectors)
    if leaders.shape != (r,) or not np.all((leaders >= 0) & (leaders < r)):
        raise InputError(f"leaders of shape {leaders.shape}", f"({r},) rows of representatives")
    row = np.empty(r, dtype=np.int64)
    row[frame.place[frame.own]] = np.flatnonzero(frame.own)
    leader = leaders[frame.place]
    return frame.doc_id.take(pa.array(row[leader], mask=leader == frame.place))
