"""Clusters of documents to narratives: what they say, when they began, who carries them, how far they got.

Identity. A narrative is named after its origin: ``narrative_id`` hashes the doc_id of its earliest distinct text (undated last, then
the smallest doc_id), so that later documents leave the id alone.

Onset. Dates are intervals of the precision they carry. ``onset_lo`` is the earliest beginning; ``onset_hi`` the instant by which 5 % of
the dated documents, and 3 at least (all if fewer), had certainly appeared: one early stray widens the interval, it does not move it.
Documents known to the month or year only count here, but not in the daily volume; undated ones in neither.

Breakout. The scale of Nimmo (2020), from what a corpus can show: 1 is one platform and one community, 2 several of one of them,
3 several of both. Several languages count as several communities, one account as one; otherwise communities are unknown and the mass
is halved. 4 needs mainstream outlets, 5 a prominent voice, 6 a political reaction or violence: none can be seen here, so the
doctrine (``breakout``) leaves them mass instead of none, more for 4 the more outlets carry the story.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from greyzone import labels as wording
from greyzone.doctrine import Doctrine
from greyzone.errors import InputError
from greyzone.places import find_states
from greyzone.records import DOCUMENTS, MEMBERS, NARRATIVES, Floats, NarrativeResult, check, content_id, table

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Row = dict[str, object]

EXEMPLARS = 5
ONSET_SHARE, ONSET_LEAST = 0.05, 3

TARGET_SHARE, TARGET_LEAST = 0.1, 2
"""A state is a target if this share of the distinct texts name it, and this many at least (one, where a narrative has one text)."""

DECIMALS = 7
"""Decimals of a cosine that count."""

CELLS = 2**22
"""Distances held at once."""

_SPANS = {"second": "s", "minute": "m", "hour": "h", "day": "D"}
_COARSE = {"month": "M", "year": "Y"}
_TICK = np.timedelta64(1, "us")
_COUNTED = ("account", "outlet", "platform", "lang")


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

    Returns
    -------
    NarrativeResult
        Narratives, largest first, then by id; one row of `members` a document, in the order (doc_id); unit centroids.

    Raises
    ------
    InputError
        If an array has not one row a representative, or a narrative lies in two themes.
    """
    frame = _frame(check(documents, DOCUMENTS, "documents"), copies, vectors, labels, probabilities)
    levels = _levels(frame, hierarchy)
    weights = _keyword_weights(frame)
    scale = doctrine.section("breakout")
    rows = [_narrative(frame, cluster, weights[cluster], scale) | levels.of(cluster) for cluster in range(frame.clusters)]
    ranks = sorted(range(len(rows)), key=lambda cluster: (-int(str(rows[cluster]["size"])), str(rows[cluster]["narrative_id"])))
    return NarrativeResult(
        narratives=table([rows[cluster] for cluster in ranks], NARRATIVES),
        members=_members(frame, [str(row["narrative_id"]) for row in rows], levels, _echoes(frame, leaders)),
        vectors=frame.centroids[np.asarray(ranks, dtype=np.int64)],
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """The documents by doc_id, as arrays and lists in that order.

    `place` is the row of a document's representative in `vectors`, `own` marks representatives; `rows` holds the documents of each
    cluster; `begins` and `ends` are microseconds of the interval of a date (NaT: undated), `exact` marks those known to the day.
    """

    columns: dict[str, list[str | None]]
    vectors: Floats
    centroids: Floats
    place: Ints
    own: npt.NDArray[np.bool_]
    label: Ints
    probability: Floats
    rows: list[Ints]
    begins: npt.NDArray[np.datetime64]
    ends: npt.NDArray[np.datetime64]
    exact: npt.NDArray[np.bool_]

    @property
    def clusters(self) -> int:
        return len(self.rows)


def _frame(
    documents: pa.Table, copies: pa.Table, vectors: Floats, labels: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]
) -> _Frame:
    copied = copies["doc_id"].combine_chunks()
    kept = documents["doc_id"].filter(pc.invert(pc.is_in(documents["doc_id"], value_set=copied))).combine_chunks()
    for name, found in (("vectors", vectors), ("labels", labels), ("probabilities", probabilities)):
        if len(found) != len(kept):
            raise InputError(f"{len(found)} rows of {name}", f"one for each of the {len(kept)} documents that are no copies")
    documents = documents.sort_by("doc_id")
    ids = documents["doc_id"].combine_chunks()
    leader = pc.coalesce(copies["representative"].combine_chunks().take(pc.index_in(ids, value_set=copied)), ids)
    found = pc.index_in(leader, value_set=kept)
    if found.null_count:
        orphan = ids.filter(found.is_null())[0].as_py()
        raise InputError(f"a copy {orphan!r} whose representative is not among the documents", "tables of one run")
    place = np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)
    own = np.asarray(pc.equal(leader, ids).to_numpy(zero_copy_only=False), dtype=bool)
    _, numbered = np.unique(np.asarray(labels)[np.asarray(labels) >= 0], return_inverse=True)
    compact = np.full(len(kept), -1, dtype=np.int64)
    compact[np.asarray(labels) >= 0] = numbered
    label = compact[place]
    clusters = int(label.max(initial=-1)) + 1
    order = np.argsort(label, kind="stable")
    bounds = np.searchsorted(label[order], np.arange(clusters + 1))
    begins, ends, exact = _intervals(documents)
    return _Frame(
        columns={name: documents[name].to_pylist() for name in ("doc_id", "text", "title", "lang", "account", "outlet", "platform")},
        vectors=vectors,
        centroids=_centroids(vectors[place[own]], label[own], clusters),
        place=place,
        own=own,
        label=label,
        probability=np.asarray(probabilities, dtype=np.float32)[place],
        rows=[order[bounds[cluster] : bounds[cluster + 1]] for cluster in range(clusters)],
        begins=begins,
        ends=ends,
        exact=exact,
    )


def _intervals(documents: pa.Table) -> tuple[npt.NDArray[np.datetime64], npt.NDArray[np.datetime64], npt.NDArray[np.bool_]]:
    begins = np.asarray(documents["published_at"].to_numpy()).astype("datetime64[us]")
    precision = np.array([name or "unknown" for name in documents["published_precision"].to_pylist()], dtype=object)
    begins = np.where(precision == "unknown", np.datetime64("NaT"), begins).astype("datetime64[us]")
    ends = begins.copy()
    for name, unit in (_SPANS | _COARSE).items():
        chosen = precision == name
        ends[chosen] = (begins[chosen].astype(f"datetime64[{unit}]") + 1).astype("datetime64[us]") - _TICK
    return begins, ends, np.isin(precision, list(_SPANS)) & ~np.isnat(begins)


def _centroids(vectors: Floats, label: Ints, clusters: int) -> Floats:
    """Return the unit mean of each cluster's distinct texts, added up in the order of their ids."""
    total = np.zeros((clusters, vectors.shape[1]))
    inside = np.flatnonzero(label >= 0)
    order = inside[np.argsort(label[inside], kind="stable")]
    if clusters:
        total = np.add.reduceat(vectors[order].astype(np.float64), np.searchsorted(label[order], np.arange(clusters)), axis=0)
    norms = np.sqrt((total**2).sum(axis=1, keepdims=True))
    return np.asarray(total / np.where(norms > 0, norms, 1.0), dtype=np.float32)


def _keyword_weights(frame: _Frame) -> list[dict[str, float]]:
    """Weigh the words of each cluster's distinct texts; the background is one class more, so that its words do not name anything."""
    classes: list[list[list[str]]] = [[] for _ in range(frame.clusters + 1)]
    texts, titles, langs = frame.columns["text"], frame.columns["title"], frame.columns["lang"]
    for row in np.flatnonzero(frame.own).tolist():
        classes[frame.label[row]].append(wording.terms(f"{titles[row] or ''} {texts[row] or ''}", langs[row] or "und"))
    return wording.keyword_weights(classes)


def _narrative(frame: _Frame, cluster: int, weights: dict[str, float], scale: Mapping[str, float]) -> Row:
    rows = frame.rows[cluster]
    distinct = rows[frame.own[rows]]
    ids = frame.columns["doc_id"]
    cosine = frame.vectors[frame.place[distinct]].astype(np.float64) @ frame.centroids[cluster].astype(np.float64)
    exemplars = distinct[np.argsort(-np.round(cosine, DECIMALS), kind="stable")][:EXEMPLARS].tolist()
    keywords = wording.top_terms(weights)
    counted = {name: Counter(value for row in rows.tolist() if (value := frame.columns[name][row])) for name in _COUNTED}
    title = wording.headline(frame.columns["title"][exemplars[0]], frame.columns["text"][exemplars[0]], weights)
    return {
        "narrative_id": content_id("nar", ids[_origin(frame, distinct)]),
        "label": ", ".join(keywords[: wording.LABEL_TERMS]) or title,
        "headline": title,
        "keywords": keywords,
        "exemplars": [ids[row] for row in exemplars],
        "size": len(rows),
        "distinct_texts": len(distinct),
        "accounts": len(counted["account"]),
        "outlets": len(counted["outlet"]),
        "platforms": _by_count(counted["platform"]),
        "languages": _by_count(counted["lang"]),
        **_timeline(frame, rows),
        "targets": _targets(frame, distinct),
        "breakout": breakout(counted["platform"], counted["lang"], len(counted["account"]), len(counted["outlet"]), scale=scale),
        "parents": [],
    }


def _origin(frame: _Frame, distinct: Ints) -> int:
    """Return the earliest distinct text; rows stand in the order of their ids and NaT sorts last."""
    return int(distinct[np.argsort(frame.begins[distinct], kind="stable")[0]])


def _timeline(frame: _Frame, rows: Ints) -> Row:
    dated = rows[~np.isnat(frame.begins[rows])]
    if not len(dated):
        return {"onset_lo": None, "onset_hi": None, "last_seen": None, "peak_day": None, "volume": []}
    ends = np.sort(frame.ends[dated])
    early = min(len(dated), max(ONSET_LEAST, math.ceil(ONSET_SHARE * len(dated))))
    exact = rows[frame.exact[rows]]
    days, counts = np.unique(frame.begins[exact].astype("datetime64[D]"), return_counts=True)
    volume = [{"day": day, "documents": count} for day, count in zip(days.tolist(), counts.tolist(), strict=True)]
    return {
        "onset_lo": _aware(frame.begins[dated].min()),
        "onset_hi": _aware(ends[early - 1]),
        "last_seen": _aware(frame.begins[dated].max()),
        "peak_day": days[counts.argmax()].item() if len(days) else None,
        "volume": volume,
    }


def _aware(instant: np.datetime64) -> datetime:
    found = instant.item()
    if not isinstance(found, datetime):
        raise InputError(f"the instant {instant}", "a date of the years 1 to 9999")
    return found.replace(tzinfo=UTC)


def _targets(frame: _Frame, distinct: Ints) -> list[str]:
    texts, titles = frame.columns["text"], frame.columns["title"]
    named: Counter[str] = Counter()
    for row in distinct.tolist():
        named.update(set(find_states(f"{titles[row] or ''}\n{texts[row] or ''}")))
    least = max(min(TARGET_LEAST, len(distinct)), TARGET_SHARE * len(distinct))
    return _by_count(Counter({state: number for state, number in named.items() if number >= least}))


def _by_count(counts: Counter[str]) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))


def breakout(platforms: Counter[str], languages: Counter[str], accounts: int, outlets: int, *, scale: Mapping[str, float]) -> list[float]:
    """Return P(category 1..6) of the breakout scale by the rule of this module's docstring.

    Parameters
    ----------
    platforms, languages
        Documents by platform and by language ("und" is no language).
    accounts, outlets
        Distinct accounts and outlets.
    scale
        Numbers of the doctrine's section ``breakout``.

    Returns
    -------
    list of float
        Six masses that sum to 1.
    """
    spoken = Counter({name: number for name, number in languages.items() if name != "und"})
    lesser = scale["lesser_share"]
    platform = _several(platforms, lesser) if platforms else 0.5
    one_voice = 0.0 if accounts == 1 else 0.5
    community = _several(spoken, lesser) or one_voice
    several = platform + community - platform * community
    both = platform * community
    fourth = max(scale["unseen_4"], min(scale["outlet_ceiling"], scale["per_outlet"] * outlets))
    fifth, sixth = scale["unseen_5"], scale["unseen_6"]
    rest = 1.0 - fourth - fifth - sixth
    return [rest * (1.0 - several), rest * (several - both), rest * both, fourth, fifth, sixth]


def _several(counts: Counter[str], lesser: float) -> float:
    """Return 1 if more than one has a share of `lesser` of the documents, else 0."""
    total = counts.total()
    return float(sum(number >= lesser * total for number in counts.values()) > 1)


@dataclass(frozen=True, slots=True)
class _Levels:
    """Ids of the story of each document and of the theme of each cluster, and the number of stories of each cluster."""

    story: pa.Array
    theme: list[str | None]
    stories: list[int] | None

    def of(self, cluster: int) -> Row:
        return {"theme_id": self.theme[cluster], "stories": self.stories[cluster] if self.stories else None}


def _levels(frame: _Frame, hierarchy: npt.NDArray[np.integer] | None) -> _Levels:
    """Name stories and themes after their earliest distinct text, as narratives are."""
    if hierarchy is None:
        return _Levels(pa.nulls(len(frame.place), pa.string()), [None] * frame.clusters, None)
    if np.shape(hierarchy) != (len(frame.vectors), 3):
        raise InputError(f"a hierarchy of shape {np.shape(hierarchy)}", f"({len(frame.vectors)}, 3): story, narrative, theme")
    story, theme = (np.asarray(hierarchy, dtype=np.int64)[frame.place, level] for level in (0, 2))
    inside = frame.label >= 0
    pairs = np.unique(np.stack([frame.label, theme], axis=1)[inside & (theme >= 0)], axis=0)
    torn = pairs[1:][pairs[1:, 0] == pairs[:-1, 0]]
    if len(torn):
        raise InputError(f"a narrative (label {torn[0, 0]}) that lies in two themes", "levels that nest: story, narrative, theme")
    names = _names(frame, theme, "thm")
    themes: list[str | None] = [None] * frame.clusters
    for cluster, own in pairs.tolist():
        themes[cluster] = names[own]
    told = np.unique(np.stack([frame.label, story], axis=1)[inside & (story >= 0)], axis=0)[:, 0]
    stories = _names(frame, story, "sto")
    return _Levels(
        pa.array([stories.get(number) for number in story.tolist()], pa.string()),
        themes,
        np.bincount(told, minlength=frame.clusters).tolist(),
    )


def _names(frame: _Frame, label: Ints, prefix: str) -> dict[int, str]:
    """Return an id for each label >= 0 of the documents: the hash of its earliest distinct text."""
    own = np.flatnonzero(frame.own & (label >= 0))
    order = own[np.lexsort((own, np.isnat(frame.begins[own]), frame.begins[own], label[own]))]
    found, first = np.unique(label[order], return_index=True)
    return {
        number: content_id(prefix, frame.columns["doc_id"][row]) for number, row in zip(found.tolist(), order[first].tolist(), strict=True)
    }


def _echoes(frame: _Frame, leaders: npt.NDArray[np.integer] | None) -> pa.Array:
    """Return for each document the representative that its own one nearly repeats."""
    if leaders is None:
        return pa.nulls(len(frame.place), pa.string())
    followed = np.asarray(leaders, dtype=np.int64)
    if followed.shape != (len(frame.vectors),) or not np.all((followed >= 0) & (followed < len(frame.vectors))):
        raise InputError(f"leaders of shape {followed.shape}", f"({len(frame.vectors)},) rows of representatives")
    row = np.empty(len(frame.vectors), dtype=np.int64)
    row[frame.place[frame.own]] = np.flatnonzero(frame.own)
    leader = followed[frame.place]
    return pa.array(frame.columns["doc_id"], pa.string()).take(pa.array(row[leader], mask=leader == frame.place))


def _members(frame: _Frame, ids: list[str], levels: _Levels, echoes: pa.Array) -> pa.Table:
    label = np.full(len(frame.vectors), -1, dtype=np.int64)
    label[frame.place] = frame.label
    nearest, second, distances = _two_nearest(frame.vectors, frame.centroids, label)
    names = pa.array([*ids, None], pa.string())

    def named(cluster: Ints) -> pa.Array:
        return names.take(pa.array(np.where(cluster >= 0, cluster, len(ids))))

    first, other = nearest[frame.place], second[frame.place]
    return pa.table(
        {
            "doc_id": pa.array(frame.columns["doc_id"], pa.string()),
            "narrative_id": named(frame.label),
            "probability": pa.array(np.where(frame.label >= 0, frame.probability, 0.0).astype(np.float32)),
            "nearest_id": named(first),
            "distance": pa.array(distances[frame.place, 0], mask=first < 0),
            "second_id": named(other),
            "second_distance": pa.array(distances[frame.place, 1], mask=other < 0),
            "story_id": levels.story,
            "echo_of": echoes,
        },
        schema=MEMBERS,
    )


def _two_nearest(vectors: Floats, centroids: Floats, label: Ints) -> tuple[Ints, Ints, Floats]:
    """Return each row's own cluster (the nearest one for noise), the nearest other one, and the two distances.

    -1 stands for none: there is no (other) cluster, or the row is noise because nothing is known of it (a zero row).
    """
    n, clusters = len(vectors), len(centroids)
    first, second = label.copy(), np.full(n, -1, dtype=np.int64)
    distances = np.zeros((n, 2), dtype=np.float32)
    transposed = centroids.T.astype(np.float64)
    step = max(1, CELLS // max(1, clusters))
    for start in range(0, n if clusters else 0, step):
        block = np.arange(start, min(n, start + step))
        rows = vectors[block].astype(np.float64)
        known = rows.any(axis=1)
        # Rounded, so that neither a row's place in its block nor the number of threads decides between equals.
        cosine = np.clip(np.round(rows @ transposed, DECIMALS), -1.0, 1.0)
        best = np.where(label[block] >= 0, label[block], cosine.argmax(axis=1))
        place = np.arange(len(block))
        distances[block, 0] = 1.0 - cosine[place, best]
        cosine[place, best] = -np.inf
        other = cosine.argmax(axis=1)
        distances[block, 1] = 1.0 - cosine[place, other]
        first[block] = np.where(known | (label[block] >= 0), best, -1)
        second[block] = np.where(known & (clusters > 1), other, -1)
    return first, second, distances
