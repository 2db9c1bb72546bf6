"""The table of links: columns made from arrays, some tens of thousands of links at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from greyzone.doctrine import Doctrine
from greyzone.entities import Gazetteer
from greyzone.link.bursts import Bursts, daily
from greyzone.link.content import naming, texts_by_narrative
from greyzone.link.corpus import Contents, Corpus
from greyzone.link.kinds import prepared, type_scores, yields_of
from greyzone.link.lag import ANCHORS, Kernel, Onsets, Timing, timing
from greyzone.link.placebo import precision_at, q_values
from greyzone.link.shown import REASONS, Rivals, Shelf, rivals_of
from greyzone.link.weighing import Kept, Weighed
from greyzone.link.weights import Weights, sigmoid
from greyzone.records import LINK_TYPES, LINKS, LLRS, content_id

Vector = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

PART = 50_000
"""Links whose columns are made in one go."""


@dataclass(frozen=True, slots=True)
class Told:
    """All that the table is made of."""

    incidents: pa.Table
    narratives: pa.Table
    corpus: Corpus
    contents: Contents
    gazetteer: Gazetteer
    onsets: Onsets
    bursts: Bursts
    kernel: Kernel
    weights: Weights
    coordinated: Mapping[str, float] | None
    doctrine: Doctrine


def links_table(told: Told, weighed: Weighed) -> pa.Table:
    """Return the rows of `records.LINKS`, by descending log-odds."""
    kept = weighed.kept
    texts = texts_by_narrative(told.corpus, told.narratives.num_rows)
    named = naming(texts, told.contents.mentions.rows, told.contents.mentions.entities, len(told.gazetteer.entities))
    shelf = Shelf.of(told.corpus, told.contents, told.gazetteer, told.narratives, told.incidents.num_rows)
    # Rivals may lie below the floor: of a narrative with a single link they all do.
    whole = Kept.joined([kept, weighed.lost])
    evidence = {"temporal": told.weights.temporal(whole.ratio), **whole.evidence}
    rivals = rivals_of(whole.narrative, whole.log_odds, evidence, {name: told.weights.share(name) for name in evidence})
    tuned = _Tuned(told)
    p = sigmoid(kept.log_odds)
    events = _events(told.incidents)[kept.incident]
    precision = precision_at(kept.log_odds, kept.narrative, events, weighed.placebo)
    q = q_values(kept.log_odds, weighed.placebo, weighed.candidates)
    parts = []
    for start in range(0, len(p), PART):
        rows = np.arange(start, min(start + PART, len(p)))
        part = kept.take(rows)
        times = _times(told, part)
        columns = {
            **_pair_columns(told, part, evidence, rows, times),
            **_type_columns(tuned.scores(part)),
            "log_odds": part.log_odds,
            "p": p[rows],
            "q": _null(q[rows]),
            "placebo_precision": _null(precision[rows]),
            **_shown_columns(told, shelf, part, times, named),
            **_rival_columns(told, whole, rivals, rows),
            "calibrated": np.full(len(rows), told.weights.model is not None),
        }
        parts.append(pa.table({name: columns[name] for name in LINKS.names}).cast(LINKS))
    return pa.concat_tables(parts) if parts else LINKS.empty_table()


def _events(incidents: pa.Table) -> Rows:
    """Return a number for every incident that the rows of one event against several states have in common."""
    reports = pc.binary_join(incidents["reports"], "+")
    own = pc.if_else(pc.equal(pc.fill_null(reports, ""), ""), incidents["incident_id"], reports)
    return np.asarray(own.combine_chunks().dictionary_encode().indices, dtype=np.int64)


def _times(told: Told, part: Kept) -> Timing:
    """Return the timing of the pairs of a part, in their order."""
    order = np.lexsort((part.narrative, part.incident))
    found = timing(told.onsets, told.bursts, told.kernel, (part.incident[order], part.narrative[order]))
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    names = ("incident", "narrative", "ratio", "lowest", "highest", "after", "burst", "anchor")
    return Timing(*(getattr(found, name)[back] for name in names))


def _pair_columns(told: Told, part: Kept, evidence: Mapping[str, Vector], rows: Rows, times: Timing) -> dict[str, object]:
    weights = told.weights
    incidents = told.incidents["incident_id"].combine_chunks().take(pa.array(part.incident))
    narratives = told.narratives["narrative_id"].combine_chunks().take(pa.array(part.narrative))
    low, high = weights.bounds(weights.temporal(times.lowest), weights.temporal(times.highest), part.evidence)
    anchors = told.onsets.anchors(told.kernel)
    lo, hi = (np.stack([getattr(anchor, end) for anchor in anchors])[times.anchor, part.incident] for end in ("lo", "hi"))
    return {
        "link_id": [content_id("lnk", i, n) for i, n in zip(incidents.to_pylist(), narratives.to_pylist(), strict=True)],
        "incident_id": incidents,
        "narrative_id": narratives,
        **{f"llr_{name}": _null(evidence[name][rows]) for name in LLRS},
        "p_lo": sigmoid(np.minimum(low, part.log_odds)),
        "p_hi": sigmoid(np.maximum(high, part.log_odds)),
        "anchor": pa.array(ANCHORS).take(pa.array(times.anchor)),
        "lag_days": told.bursts.day[times.burst] + 0.5 - (lo + hi) / 2.0,
    }


class _Tuned:
    """Types of links: what depends on narratives and incidents alone is made once."""

    def __init__(self, told: Told) -> None:
        corpus, count, doctrine = told.corpus, told.narratives.num_rows, told.doctrine
        self._told = told
        home = np.where(corpus.owner < 0, count, corpus.owner)
        sizes = np.bincount(home, minlength=count + 1)

        def mean(values: Vector) -> Vector:
            total = np.bincount(home, weights=values, minlength=count + 1)
            return np.divide(total, sizes, out=np.zeros(count + 1), where=sizes > 0)[:count]

        self._leaks = np.minimum(mean(told.contents.leaks[corpus.text].astype(np.float64)) / doctrine["link.leak_share"], 1.0)
        media = mean(np.where(np.isnan(corpus.media), doctrine["link.media_unknown"], corpus.media))
        self._media = media / (media + doctrine["link.media_half"])
        self._yields = yields_of(told.incidents["technique_class"].to_pylist(), doctrine)
        self._coordinated = _coordination(told.narratives, told.coordinated, doctrine)
        self._volumes = daily(told.narratives)

    def scores(self, part: Kept) -> npt.NDArray[np.float64]:
        """Return (n, 5) probabilities of the types."""
        told = self._told
        content = np.sum([np.maximum(np.nan_to_num(values), 0.0) for values in (part.entity, part.near, part.artefact)], axis=0)
        return type_scores(
            prepared(
                told.onsets,
                told.bursts,
                told.kernel,
                self._volumes,
                (part.incident, part.narrative),
                stray=told.doctrine["link.stray_share"],
            ),
            content,
            self._coordinated[part.narrative],
            self._media[part.narrative],
            self._leaks[part.narrative] * self._yields[part.incident],
            scale=told.doctrine["link.content_scale"],
        )


def _coordination(narratives: pa.Table, shares: Mapping[str, float] | None, doctrine: Doctrine) -> Vector:
    """Return the saturated coordinated share k = s / (s + half) of every narrative."""
    ids = narratives["narrative_id"].to_pylist()
    if shares is None:
        return np.full(len(ids), doctrine["link.coordinated_unknown"])
    share = np.array([shares.get(narrative, 0.0) for narrative in ids], dtype=np.float64)
    return share / (share + doctrine["link.coordinated_half"])


def _type_columns(scores: npt.NDArray[np.float64]) -> dict[str, object]:
    return {
        "type": pa.array(LINK_TYPES).take(pa.array(scores.argmax(axis=1))),
        "type_probabilities": _lists(pa.array(scores.ravel()), np.full(len(scores), scores.shape[1])),
    }


def _shown_columns(told: Told, shelf: Shelf, part: Kept, times: Timing, named: sparse.csr_array) -> dict[str, object]:
    starts = np.stack([anchor.lo for anchor in told.onsets.anchors(told.kernel)])[times.anchor, part.incident]
    documents, reasons = shelf.choose(part.incident, part.narrative, starts, np.nan_to_num(part.near) > 0)
    there = documents >= 0
    sizes = there.sum(axis=1)
    return {
        "shared_entities": shelf.shared(part.incident, part.narrative, named, told.gazetteer),
        "evidence": _lists(told.corpus.ids.take(pa.array(documents[there])), sizes),
        "evidence_reasons": _lists(pa.array(REASONS).take(pa.array(reasons[there])), sizes),
    }


def _rival_columns(told: Told, kept: Kept, rivals: Rivals, rows: Rows) -> dict[str, object]:
    links = rivals.links[rows]
    there = links >= 0
    sizes, chosen = there.sum(axis=1), links[there]
    names = told.incidents["incident_id"].combine_chunks().take(pa.array(kept.incident[chosen]))
    kinds = pa.array(["temporal", *kept.evidence]).take(pa.array(rivals.kinds[rows][there]))
    return {
        "rivals": _lists(pa.StructArray.from_arrays([names, pa.array(sigmoid(kept.log_odds[chosen]))], ["incident_id", "p"]), sizes),
        "rival_reasons": _lists(
            pa.StructArray.from_arrays(
                [pa.array(kept.log_odds[chosen]), kinds, pa.array(rivals.nats[rows][there])], ["log_odds", "kind", "nats"]
            ),
            sizes,
        ),
    }


def _lists(values: pa.Array, sizes: Rows) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(sizes)]), pa.int32()), values)


def _null(values: Vector) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))
