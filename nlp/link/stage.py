"""The stage: candidate pairs of incidents and narratives, weighed, typed, and judged against incidents at other times.

    eta = logit(prior) + rho (llr_temporal + llr_entity + llr_semantic + llr_geo_sector + llr_artefact),   p = 1 / (1 + exp(-eta))

(METHOD, stage C). A kind of evidence without data is null and adds nothing. rho < 1 shrinks the sum because the kinds depend on one
another; prior and rho are judgement until labels exist, so every link says calibrated = False. The interval takes the least and the
largest eta over the doctrine's ranges of prior and rho and over the intervals of dates and bursts.

What a pair's p depends on: its own dates, the documents (how common a name is elsewhere), and, through ranks that move by one in the
number of comparisons, the incidents and narratives out of each other's window. It is never normalised over rivals. `q` and
`placebo_precision` describe the list as a whole.

Time and memory: texts are read once each; pairs are weighed in tiles (`weighing`), and only those at the prior or above are held, and as
rivals the likeliest few of every narrative below it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.doctrine import Doctrine
from greyzone.entities import Name, build_gazetteer
from greyzone.errors import InputError
from greyzone.link.bursts import daily, find_bursts
from greyzone.link.content import content_of
from greyzone.link.corpus import MICROSECONDS, Contents, days_of, read_contents, read_corpus
from greyzone.link.lag import Onsets, kernel_of
from greyzone.link.population import population_tests
from greyzone.link.rows import Told, links_table
from greyzone.link.weighing import Vectors, Weighed, weigh
from greyzone.link.weights import Weights
from greyzone.models.links import LinkModel
from greyzone.records import DOCUMENTS, INCIDENTS, MEMBERS, NARRATIVES, Floats, LinkResult, check

logger = logging.getLogger(__name__)

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Linker:
    """Links narratives to incidents; `link` is the same as a function.

    Parameters
    ----------
    doctrine
        Numbers under ``link``.
    seed
        Of the shifts of the population tests; nothing else is random.
    model
        Calibrated model of links; None takes the doctrine's prior and shrink.
    names
        Names with aliases (`greyzone.entities.read_names`) by which texts may name what incidents name.
    workers
        Processes that read texts and threads that weigh pairs, None for all processors; the result is the same for any number.
    """

    doctrine: Doctrine
    seed: int = 0
    model: LinkModel | None = None
    names: Sequence[Name] = field(default=())
    workers: int | None = None

    def link(
        self,
        incidents: pa.Table,
        narratives: pa.Table,
        members: pa.Table,
        documents: pa.Table,
        *,
        incident_vectors: Floats,
        narrative_vectors: Floats,
        coordinated: Mapping[str, float] | None = None,
    ) -> LinkResult:
        """Link narratives to incidents; parameters, result and errors are those of the function `link`."""
        doctrine = self.doctrine
        incidents, incident_vectors = _ordered(check(incidents, INCIDENTS, "incidents"), incident_vectors, "incident")
        narratives, narrative_vectors = _ordered(check(narratives, NARRATIVES, "narratives"), narrative_vectors, "narrative")
        _check_inputs(incident_vectors, narrative_vectors, coordinated)
        corpus = read_corpus(check(documents, DOCUMENTS, "documents"), check(members, MEMBERS, "members"), narratives)
        onsets, bursts, kernel = onsets_of(incidents), find_bursts(narratives), kernel_of(doctrine)
        weights = Weights.of(doctrine, self.model)
        gazetteer = build_gazetteer(incidents, self.names)
        contents = read_contents(corpus, gazetteer, doctrine, workers=self.workers)
        logger.info("%d documents of %d distinct texts read", len(corpus.ids), len(corpus.texts))
        content = content_of(incidents, narratives, corpus, contents, gazetteer, doctrine)
        vectors = Vectors(incident_vectors, narrative_vectors)
        weighed = weigh(onsets, bursts, kernel, content, vectors, doctrine=doctrine, weights=weights, threads=self.workers)
        told = Told(incidents, narratives, corpus, contents, gazetteer, onsets, bursts, kernel, weights, coordinated, doctrine)
        links = links_table(told, weighed)
        logger.info("%d candidate pairs of %d, %d kept", weighed.candidates, incidents.num_rows * narratives.num_rows, links.num_rows)
        return LinkResult(links, self._context(told, weighed, links))

    def _context(self, told: Told, weighed: Weighed, links: pa.Table) -> dict[str, object]:
        doctrine, placebo = self.doctrine, weighed.placebo
        pairs = told.incidents.num_rows * told.narratives.num_rows
        return {
            "pairs_total": pairs,
            "pairs_screened": pairs - weighed.candidates,
            "pairs_candidate": weighed.candidates,
            "below_prior": weighed.candidates - links.num_rows,
            "displayed": _displayed(links, doctrine["link.fdr"]),
            "undated_incidents": int(sum(~np.any([anchor.share > 0 for anchor in told.onsets.anchors(told.kernel)], axis=0))),
            "disclosed_incidents": int((told.onsets.anchors(told.kernel)[2].share > 0).sum()),
            "prior": doctrine["link.prior"],
            "rho": doctrine["link.rho"],
            "placebo_shifts": placebo.shifts,
            "placebo_pairs": placebo.pairs,
            "placebo_reason": None if placebo.shifts else "no bursts, or a corpus too short to shift the incidents in time",
            **_names(told.contents, len(told.gazetteer.entities), len(self.names)),
            **_population(told, self.seed),
            "calibrated": self.model is not None,
            "model": None if self.model is None else {"fingerprint": self.model.fingerprint, **self.model.record},
        }


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
    doctrine, seed, model
        As of `Linker`.

    Returns
    -------
    LinkResult
        Pairs in the window whose evidence is not against them (log-odds at least the prior's), by descending log-odds; `anchor` says
        whether onset, end or disclosure carried the evidence of time. `context` counts the others and holds the population tests.

    Raises
    ------
    InputError
        If vectors and tables do not match, or a share lies outside of 0..1.
    """
    linker = Linker(doctrine, seed=seed, model=model)
    return linker.link(
        incidents,
        narratives,
        members,
        documents,
        incident_vectors=incident_vectors,
        narrative_vectors=narrative_vectors,
        coordinated=coordinated,
    )


def onsets_of(incidents: pa.Table) -> Onsets:
    """Return the intervals of a table of incidents in days; an interval that ends before it begins is unknown."""
    # The upper bounds are the last microsecond covered.
    tick = 1.0 / MICROSECONDS
    bounds: list[Vector] = []
    for name in ("onset", "end", "disclosed", "again"):
        lo, hi = days_of(incidents[f"{name}_lo"]), days_of(incidents[f"{name}_hi"]) + tick
        unknown = ~(np.isfinite(lo) & np.isfinite(hi)) | (hi < lo)
        bounds += [np.where(unknown, np.nan, lo), np.where(unknown, np.nan, hi)]
    return Onsets(*bounds)


def _displayed(links: pa.Table, level: float) -> dict[str, object]:
    """Return how many links a list at this false discovery rate has, and what share of them chance does not explain."""
    shown = links.filter(pc.fill_null(pc.less_equal(links["q"], level), False))
    precision = shown["placebo_precision"][-1].as_py() if shown.num_rows else None
    return {"q": level, "links": shown.num_rows, "placebo_precision": precision}


def _names(contents: Contents, entities: int, names: int) -> dict[str, object]:
    return {
        "entities": entities,
        "names_given": names,
        "common_words_left_out": list(contents.mentions.dropped),
        "borrowed_acronyms": list(contents.matches.borrowed),
    }


def _population(told: Told, seed: int) -> dict[str, list[dict[str, object]]]:
    targets = [sorted(codes or ()) for codes in told.narratives["targets"].to_pylist()]
    states = told.incidents["target_state"].to_pylist()
    return population_tests(told.onsets, states, daily(told.narratives), targets, doctrine=told.doctrine, seed=seed)


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
