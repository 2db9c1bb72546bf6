"""The stage: candidate pairs of incidents and narratives, weighed, typed, and judged against incidents at other times.

    eta = logit(prior) + rho (llr_temporal + llr_entity + llr_semantic + llr_geo_sector + llr_artefact),   p = 1 / (1 + exp(-eta))

(METHOD, stage C). A kind of evidence without data is null and adds nothing. rho < 1 shrinks the sum because the kinds depend on one
another; prior and rho are judgement until labels exist, so every link says calibrated = False. The interval takes the least and the
largest eta over the doctrine's ranges of prior and rho and over the onset and burst intervals.

What a pair's p depends on: its own dates, the documents (how common a name is elsewhere), and, through ranks that move by one in the
number of comparisons, the incidents and narratives out of each other's window. It is never normalised over rivals. `q` and
`placebo_precision` describe the list as a whole.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.doctrine import Doctrine
from greyzone.entities import Gazetteer, Mentions, build_gazetteer, find_entities
from greyzone.errors import InputError
from greyzone.link.bursts import Bursts, daily, find_bursts
from greyzone.link.content import artefact_evidence, count_mentions, entity_evidence, place_evidence, semantic_evidence
from greyzone.link.eventstudy import event_studies
from greyzone.link.kinds import YIELDS, choose_evidence, speaks_of_leaks, type_scores
from greyzone.link.lag import Onsets, Timing, kernel_of, timing
from greyzone.link.placebo import Placebo, draw_placebo, precision_at, q_values
from greyzone.models.links import LinkModel
from greyzone.records import (
    DOCUMENTS,
    INCIDENTS,
    LINK_TYPES,
    LINKS,
    LLRS,
    MEMBERS,
    NARRATIVES,
    Floats,
    LinkResult,
    check,
    content_id,
    table,
)
from greyzone.text import normal_form

logger = logging.getLogger(__name__)

RIVALS = 5
MICROSECONDS = 86_400e6

Vector = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def link(
    incidents: pa.Table,
    narratives: pa.Table,
    members: pa.Table,
    documents: pa.Table,
    *,
    incident_vectors: Floats,
    narrative_vectors: Floats,
    coordinated: Mapping[str, float] | None = None,
    doctrine: Doctrine,
    seed: int = 0,
    model: LinkModel | None = None,
) -> LinkResult:
    """Link narratives to incidents.

    Parameters
    ----------
    incidents, narratives, members, documents
        Tables of `records`.
    incident_vectors, narrative_vectors
        (n, d) float32 unit rows of one encoder, row i for incident or narrative i; zero rows are unknown texts.
    coordinated
        Share of the documents of a narrative that come from accounts flagged as coordinated, by narrative_id; absent ones have none.
        None: not looked at, and `link.coordinated_unknown` stands for all.
    doctrine
        Numbers under ``link``.
    seed
        Of the shifts of the event studies; nothing else is random.
    model
        Calibrated model of links; None takes the doctrine's prior and shrink.

    Returns
    -------
    LinkResult
        Pairs in the window whose evidence is not against them (log-odds at least the prior's), by descending log-odds. `context` counts
        the others and holds the population tests.

    Raises
    ------
    InputError
        If vectors and tables do not match, or a share lies outside of 0..1.
    """
    incidents, incident_vectors = _ordered(check(incidents, INCIDENTS, "incidents"), incident_vectors, "incident")
    narratives, narrative_vectors = _ordered(check(narratives, NARRATIVES, "narratives"), narrative_vectors, "narrative")
    _check_inputs(incident_vectors, narrative_vectors, coordinated)
    corpus = _corpus(check(documents, DOCUMENTS, "documents"), check(members, MEMBERS, "members"), narratives)
    onsets, bursts, kernel = _onsets(incidents), find_bursts(narratives), kernel_of(doctrine)
    times = timing(onsets, bursts, kernel)
    gazetteer = build_gazetteer(incidents)
    mentions = find_entities(corpus.texts, gazetteer)
    evidence = _content(incidents, narratives, corpus, gazetteer, mentions, doctrine)
    candidate = np.zeros((incidents.num_rows, narratives.num_rows), dtype=bool)
    candidate[times.incident, times.narrative] = True
    evidence["semantic"] = semantic_evidence(incident_vectors, narrative_vectors, candidate, doctrine)
    weigh = _Weights.of(doctrine, model)
    static = weigh.static(evidence)

    def log_odds(pairs: Timing) -> Vector:
        return weigh.eta(_log(pairs.ratio, weigh.clip), static[pairs.incident, pairs.narrative])

    eta = log_odds(times)
    placebo = draw_placebo(onsets, bursts, kernel, shifts=int(doctrine["link.placebo_shifts"]), floor=weigh.floor - 1e-9, log_odds=log_odds)
    kept = np.flatnonzero(eta >= weigh.floor - 1e-9)
    scored = _Scored(incidents, narratives, corpus, gazetteer, mentions, times, evidence, bursts, onsets)
    links = _rows(scored, kept, eta, placebo, weigh, _coordination(narratives, coordinated, doctrine))
    context = {
        "pairs_total": incidents.num_rows * narratives.num_rows,
        "pairs_screened": incidents.num_rows * narratives.num_rows - len(eta),
        "pairs_candidate": len(eta),
        "below_prior": len(eta) - len(kept),
        **_context(scored, placebo, doctrine, seed),
        "calibrated": model is not None,
        "model": None if model is None else {"fingerprint": model.fingerprint, **model.record},
    }
    logger.info("%d candidate pairs of %d, %d kept", len(eta), incidents.num_rows * narratives.num_rows, len(kept))
    return LinkResult(table(links, LINKS), context)


@dataclass(frozen=True, slots=True)
class _Corpus:
    """Documents by id: what they say, when, and the row of their narrative (-1: none)."""

    ids: list[str]
    texts: list[str]
    days: Vector
    owner: Rows


@dataclass(frozen=True, slots=True)
class _Weights:
    prior: tuple[float, float, float]
    rho: tuple[float, float, float]
    clip: float
    model: LinkModel | None

    @classmethod
    def of(cls, doctrine: Doctrine, model: LinkModel | None) -> _Weights:
        low, middle, high = (_logit(doctrine[f"link.{name}"]) for name in ("prior_lo", "prior", "prior_hi"))
        rho = doctrine["link.rho_lo"], doctrine["link.rho"], doctrine["link.rho_hi"]
        # A doctrine may move the central value out of the range that it inherits; the range then reaches up to it.
        return cls((min(low, middle), middle, max(high, middle)), (min(rho), rho[1], max(rho)), doctrine["link.clip"], model)

    @property
    def floor(self) -> float:
        return self.prior[1]

    def static(self, evidence: Mapping[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
        """Return the sum of the evidence that does not move in time, weighed if there is a model."""
        if self.model is not None:
            return self.model.weighed(evidence)
        return np.asarray(np.sum([np.nan_to_num(values, nan=0.0) for values in evidence.values()], axis=0), dtype=np.float64)

    def eta(self, temporal: Vector, static: Vector) -> Vector:
        if self.model is not None:
            return self.model.log_odds(self.model.weight("temporal") * temporal + static)
        return self.prior[1] + self.rho[1] * (temporal + static)

    def bounds(self, least: Vector, most: Vector, static: Mapping[str, Vector]) -> tuple[Vector, Vector]:
        """Return the ends of the interval from the ends of the temporal evidence and the other kinds."""
        if self.model is not None:
            ends = [np.stack([{"temporal": end, **static}[name] for name in LLRS], axis=1) for end in (least, most)]
            return self.model.bounds(ends[0], ends[1])
        total = np.sum([np.nan_to_num(values, nan=0.0) for values in static.values()], axis=0)
        least, most = least + total, most + total
        low = self.prior[0] + np.minimum(self.rho[0] * least, self.rho[2] * least)
        return low, self.prior[2] + np.maximum(self.rho[0] * most, self.rho[2] * most)


@dataclass(frozen=True, slots=True)
class _Scored:
    incidents: pa.Table
    narratives: pa.Table
    corpus: _Corpus
    gazetteer: Gazetteer
    mentions: Mentions
    times: Timing
    evidence: Mapping[str, npt.NDArray[np.float64]]
    bursts: Bursts
    onsets: Onsets


def _ordered(rows: pa.Table, vectors: Floats, name: str) -> tuple[pa.Table, Floats]:
    if len(vectors) != rows.num_rows:
        raise InputError(f"{len(vectors)} {name} vectors for {rows.num_rows} {name}s", "one row a record", f"embed the {name}s again")
    order = np.array(pc.sort_indices(rows[f"{name}_id"]).to_pylist(), dtype=np.int64)
    return rows.take(order), vectors[order]


def _check_inputs(incident_vectors: Floats, narrative_vectors: Floats, coordinated: Mapping[str, float] | None) -> None:
    if len(incident_vectors) and len(narrative_vectors) and incident_vectors.shape[1] != narrative_vectors.shape[1]:
        raise InputError(
            f"incident vectors of {incident_vectors.shape[1]} and narrative vectors of {narrative_vectors.shape[1]} dimensions",
            "vectors of one encoder",
            "embed both with the same encoder",
        )
    if not (np.isfinite(incident_vectors).all() and np.isfinite(narrative_vectors).all()):
        raise InputError("vectors that are not finite", "finite float32 rows", "embed the texts again")
    for narrative, share in sorted((coordinated or {}).items()):
        if not 0.0 <= share <= 1.0:
            raise InputError(f"a coordinated share of {share} for narrative {narrative}", "a share in 0..1")


def _corpus(documents: pa.Table, members: pa.Table, narratives: pa.Table) -> _Corpus:
    documents = documents.take(pc.sort_indices(documents["doc_id"]))
    ids = documents["doc_id"].to_pylist()
    row = {narrative: at for at, narrative in enumerate(narratives["narrative_id"].to_pylist())}
    home = dict(zip(members["doc_id"].to_pylist(), members["narrative_id"].to_pylist(), strict=True))
    owner = np.array([row.get(home.get(doc) or "", -1) for doc in ids], dtype=np.int64)
    columns = (documents[name].to_pylist() for name in ("title", "text", "urls", "hashtags"))
    texts = [
        "\n".join([title or "", text or "", " ".join(urls or ()), " ".join(f"#{tag.lstrip('#')}" for tag in tags or ())])
        for title, text, urls, tags in zip(*columns, strict=True)
    ]
    return _Corpus(ids, texts, _days(documents["published_at"]), owner)


def _days(times: pa.ChunkedArray) -> Vector:
    """Return days since 1970-01-01, nan for null."""
    stamps = times.cast(pa.int64()).cast(pa.float64(), safe=False)
    days: Vector = np.asarray(pc.fill_null(stamps, float("nan")).to_numpy(), dtype=np.float64) / MICROSECONDS
    return days


def _onsets(incidents: pa.Table) -> Onsets:
    # The upper bounds are the last microsecond covered.
    tick = 1.0 / MICROSECONDS
    lo, hi, end_lo, end_hi = (_days(incidents[name]) for name in ("onset_lo", "onset_hi", "end_lo", "end_hi"))
    hi, end_hi = hi + tick, end_hi + tick
    unknown = ~(np.isfinite(lo) & np.isfinite(hi)) | (hi < lo)
    return Onsets(np.where(unknown, np.nan, lo), np.where(unknown, np.nan, hi), end_lo, np.maximum(end_hi, end_lo))


def _content(
    incidents: pa.Table, narratives: pa.Table, corpus: _Corpus, gazetteer: Gazetteer, mentions: Mentions, doctrine: Doctrine
) -> dict[str, npt.NDArray[np.float64]]:
    named = count_mentions(gazetteer, mentions, corpus.owner, (incidents.num_rows, narratives.num_rows))
    return {
        "entity": entity_evidence(named, doctrine),
        "geo_sector": place_evidence(incidents, narratives, doctrine),
        "artefact": artefact_evidence(named, doctrine),
    }


def _coordination(narratives: pa.Table, shares: Mapping[str, float] | None, doctrine: Doctrine) -> Vector:
    """Return the saturated coordinated share k = s / (s + half) of every narrative."""
    ids = narratives["narrative_id"].to_pylist()
    if shares is None:
        return np.full(len(ids), doctrine["link.coordinated_unknown"])
    share = np.array([shares.get(narrative, 0.0) for narrative in ids], dtype=np.float64)
    return share / (share + doctrine["link.coordinated_half"])


def _rows(scored: _Scored, kept: Rows, eta: Vector, placebo: Placebo, weigh: _Weights, coordination: Vector) -> list[dict[str, object]]:
    times, clip = scored.times, weigh.clip
    incident, narrative = times.incident[kept], times.narrative[kept]
    incident_ids, narrative_ids = scored.incidents["incident_id"].to_pylist(), scored.narratives["narrative_id"].to_pylist()
    order = np.lexsort((narrative, incident, -eta[kept]))
    kept, incident, narrative = kept[order], incident[order], narrative[order]
    p = _sigmoid(eta[kept])
    static = {name: values[incident, narrative] for name, values in scored.evidence.items()}
    low, high = weigh.bounds(_log(times.lowest[kept], clip), _log(times.highest[kept], clip), static)
    low, high = np.minimum(low, eta[kept]), np.maximum(high, eta[kept])
    precision, q = precision_at(eta[kept], placebo), q_values(eta[kept], placebo, len(eta))
    types = _types(scored, kept, coordination)
    shared, evidence = _shown(scored, incident, narrative)
    rivals = _rivals(narrative, p, [incident_ids[at] for at in incident])
    onsets = scored.onsets
    lag = scored.bursts.day[times.burst[kept]] + 0.5 - (onsets.lo[incident] + onsets.hi[incident]) / 2.0
    rows: list[dict[str, object]] = []
    for at in range(len(kept)):
        i, n = incident_ids[incident[at]], narrative_ids[narrative[at]]
        rows.append(
            {
                "link_id": content_id("lnk", i, n),
                "incident_id": i,
                "narrative_id": n,
                "type": LINK_TYPES[int(np.argmax(types[at]))],
                "type_probabilities": [float(value) for value in types[at]],
                "llr_temporal": float(_log(times.ratio[kept[at] : kept[at] + 1], clip)[0]),
                **{f"llr_{name}": _number(values[incident[at], narrative[at]]) for name, values in scored.evidence.items()},
                "log_odds": float(eta[kept[at]]),
                "p": float(p[at]),
                "p_lo": float(_sigmoid(low[at : at + 1])[0]),
                "p_hi": float(_sigmoid(high[at : at + 1])[0]),
                "q": _number(q[at]),
                "placebo_precision": _number(precision[at]),
                "lag_days": float(lag[at]),
                "calibrated": weigh.model is not None,
                "shared_entities": shared[at],
                "evidence": evidence[at],
                "rivals": rivals[at],
            }
        )
    return rows


def _context(scored: _Scored, placebo: Placebo, doctrine: Doctrine, seed: int) -> dict[str, object]:
    targets = [sorted(codes or ()) for codes in scored.narratives["targets"].to_pylist()]
    shifts = int(doctrine["link.event_shifts"])
    states = scored.incidents["target_state"].to_pylist()
    return {
        "undated_incidents": int(np.isnan(scored.onsets.lo).sum()),
        "prior": doctrine["link.prior"],
        "rho": doctrine["link.rho"],
        "placebo_shifts": placebo.shifts,
        "placebo_pairs": placebo.pairs,
        "placebo_reason": None if placebo.shifts else "no bursts, or a corpus too short to shift the incidents in time",
        "entities": len(scored.gazetteer.entities),
        "common_words_left_out": list(scored.mentions.dropped),
        "population_tests": event_studies(scored.onsets, states, daily(scored.narratives), targets, shifts=shifts, seed=seed),
    }


def _types(scored: _Scored, kept: Rows, coordination: Vector) -> npt.NDArray[np.float64]:
    incident, narrative = scored.times.incident[kept], scored.times.narrative[kept]
    content = np.sum(
        [np.maximum(np.nan_to_num(scored.evidence[name][incident, narrative]), 0.0) for name in ("entity", "semantic", "artefact")], axis=0
    )
    owner = scored.corpus.owner
    told = np.zeros(scored.narratives.num_rows)
    for row in np.unique(narrative):
        own = np.flatnonzero(owner == row)
        told[row] = np.mean([speaks_of_leaks(scored.corpus.texts[at]) for at in own]) if len(own) else 0.0
    yields = np.array([YIELDS.get(name or "unknown", 0.0) for name in scored.incidents["technique_class"].to_pylist()])
    # Leak words in a fifth of the documents make the leak the subject.
    leaks = np.minimum(told[narrative] / 0.2, 1.0) * yields[incident]
    return type_scores(scored.times.after[kept], content, coordination[narrative], leaks)


def _shown(scored: _Scored, incident: Rows, narrative: Rows) -> tuple[list[list[str]], list[list[str]]]:
    """Return the shared entities and the documents that show each link."""
    gazetteer, mentions, corpus = scored.gazetteer, scored.mentions, scored.corpus
    own: dict[int, set[int]] = {}
    for row, entity in zip(gazetteer.incident_rows.tolist(), gazetteer.incident_entities.tolist(), strict=True):
        own.setdefault(row, set()).add(entity)
    starts = np.searchsorted(mentions.rows, np.arange(len(corpus.ids) + 1))
    order = np.argsort(corpus.owner, kind="stable")
    owners = corpus.owner[order]

    @cache
    def form(row: int) -> str:
        return normal_form(corpus.texts[row])

    @cache
    def told(narrative: int) -> tuple[Rows, list[set[int]], set[int]]:
        documents = order[np.searchsorted(owners, narrative) : np.searchsorted(owners, narrative, side="right")]
        named = [set(mentions.entities[starts[row] : starts[row + 1]].tolist()) for row in documents.tolist()]
        return documents, named, set().union(*named)

    shared: list[list[str]] = []
    evidence: list[list[str]] = []
    for i, n in zip(incident.tolist(), narrative.tolist(), strict=True):
        documents, named, any_named = told(n)
        common = own.get(i, set()) & any_named
        shared.append([f"{gazetteer.entities[at].kind}:{gazetteer.entities[at].value}" for at in sorted(common)])
        counts = np.array([len(common & names) for names in named] if common else [0] * len(named), dtype=np.int64)
        chosen = choose_evidence(documents, counts, corpus.days[documents], float(scored.onsets.lo[i]), form)
        evidence.append([corpus.ids[row] for row in chosen])
    return shared, evidence


def _rivals(narrative: Rows, p: Vector, incidents: list[str]) -> list[list[dict[str, object]]]:
    """Return the five likeliest other incidents of each link's narrative; the links come sorted by descending log-odds, then id."""
    by_narrative: dict[int, list[int]] = {}
    for at, row in enumerate(narrative.tolist()):
        by_narrative.setdefault(row, []).append(at)
    return [
        [{"incident_id": incidents[other], "p": float(p[other])} for other in by_narrative[row][: RIVALS + 1] if other != at][:RIVALS]
        for at, row in enumerate(narrative.tolist())
    ]


def _log(ratio: Vector, clip: float) -> Vector:
    logged: Vector = np.clip(np.log(np.maximum(ratio, 1e-300)), -clip, clip)
    return logged


def _logit(p: float) -> float:
    return float(np.log(p) - np.log1p(-p))


def _sigmoid(eta: Vector) -> Vector:
    return 1.0 / (1.0 + np.exp(-eta))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
