"""What narrative and incident have in common besides time and meaning: names, artefacts, place, sector. Log-likelihood ratios in nats.

Names. With m = P(a linked narrative speaks of the entity) and u = P(an unlinked one does), one shared entity e gives

    s(n, e) log(m / u),   u = max(u_kind, share of the documents outside of the narrative that name e),
    s(n, e) = [1 - outside / inside]+ * inside / (inside + h).

u carries the inverse document frequency: what everyone talks of is worth nothing; s asks that the narrative speaks of e more than
others do, and not in passing. An incident whose names occur in the corpus, but not in the narrative, gives log((1 - m) / (1 - u))
once. Artefacts are the same with their own m, without s, and with u measured alone. Evidence of one kind is summed and clipped.
u is at least the share of other narratives that speak of e (each counted inside / (inside + h)): what many stories name is no incident's.

Subject. A story that answers an incident mostly speaks of attacks, leaks or failures; most stories do not. With d its share of documents
that do, q = d / (d + h'), m' = P(a linked narrative does) and u' = the mean of q over narratives, but at least a m' with a the share of
narratives that answer any incident (these alone make up as much),

    log[q m' / u' + (1 - q) (1 - m') / (1 - u')],      0 where u' >= m' (a corpus of nothing else tells nothing apart).

It is part of the evidence of meaning, and depends on the narrative alone: it tells that a narrative answers an incident, not which. As u'
is no smaller, it raises a to 1 at most, and no pair by more than 1 / a: without that a story about hackers, in a corpus that rarely speaks
of them, would answer hundreds of incidents at once.

Place and sector. Bayes factors of the doctrine: for a target state that the narrative names most, names, or does not name while it
names others; for a sector of the incident that the narrative speaks of (in `sector_share` of its documents, and `sector_lift` times as
often as others do), or does not while it speaks of others. Where either side names none the factor is 1; where neither place nor sector
says anything the evidence is null.

Everything is held sparse or by narrative and code; `Content.block` gives a block of pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from greyzone.doctrine import Doctrine
from greyzone.entities import ARTEFACTS, Gazetteer
from greyzone.link.corpus import Contents, Corpus
from greyzone.link.sectors import SECTORS, SUBJECT, TOPICS, sectors_of_code

Matrix = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

MOST_NAMED = 3
"""A state among the first three targets of a narrative counts as what the narrative is about."""


@dataclass(frozen=True, slots=True)
class Shared:
    """One kind of shared things: (narratives, incidents) sparse positive evidence, and what incidents give without: nan where unknown."""

    found: sparse.csr_array
    absent: Matrix
    clip: float

    def block(self, block: slice, incidents: Rows) -> Matrix:
        """Return (block, n) evidence."""
        found: Matrix = self.found[block].toarray()[:, incidents]
        absent = self.absent[incidents]
        return np.where(np.isnan(absent), np.nan, np.where(found > 0, np.clip(found, -self.clip, self.clip), absent))


@dataclass(frozen=True, slots=True)
class Areas:
    """Place and sector: log factors (narratives, codes), nan for unknown, and the column of each incident; the last column is unknown."""

    places: Matrix
    place: Rows
    sectors: Matrix
    sector: Rows
    clip: float

    def block(self, block: slice, incidents: Rows) -> Matrix:
        """Return (block, n) evidence."""
        place, sector = self.places[block][:, self.place[incidents]], self.sectors[block][:, self.sector[incidents]]
        total = np.clip(np.nan_to_num(place) + np.nan_to_num(sector), -self.clip, self.clip)
        return np.where(np.isnan(place) & np.isnan(sector), np.nan, total)


@dataclass(frozen=True, slots=True)
class Content:
    """Evidence that does not move in time, by kind."""

    entity: Shared
    geo_sector: Areas
    artefact: Shared
    subject: Matrix

    def block(self, block: slice, incidents: Rows) -> dict[str, Matrix]:
        """Return the evidence of a block of narratives and some incidents by kind, each (block, n)."""
        kinds: dict[str, Shared | Areas] = {"entity": self.entity, "geo_sector": self.geo_sector, "artefact": self.artefact}
        return {name: kind.block(block, incidents) for name, kind in kinds.items()}


def content_of(
    incidents: pa.Table, narratives: pa.Table, corpus: Corpus, contents: Contents, gazetteer: Gazetteer, doctrine: Doctrine
) -> Content:
    """Weigh names, artefacts, places and sectors."""
    texts = texts_by_narrative(corpus, narratives.num_rows)
    counts = naming(texts, contents.mentions.rows, contents.mentions.entities, len(gazetteer.entities))
    sizes = np.asarray(texts.sum(axis=1)).ravel().astype(np.float64)
    own = sparse.csr_array(
        (np.ones(len(gazetteer.incident_rows)), (gazetteer.incident_rows, gazetteer.incident_entities)),
        shape=(incidents.num_rows, len(gazetteer.entities)),
    )
    kinds = tuple(entity.kind for entity in gazetteer.entities)
    spoken = naming(texts, contents.topics[:, 0], contents.topics[:, 1], len(TOPICS))
    legible = np.bincount(corpus.owner[corpus.legible & (corpus.owner >= 0)], minlength=narratives.num_rows) > sizes[:-1] / 2
    places, place = place_factors(incidents, narratives, doctrine)
    sectors, sector = sector_factors(incidents["sectors"].to_pylist(), spoken, sizes, doctrine)
    return Content(
        entity_evidence(own, counts, sizes, kinds, doctrine),
        Areas(places, place, sectors, sector, doctrine["link.clip"]),
        artefact_evidence(own, counts, sizes, kinds, doctrine),
        subject_evidence(spoken[:-1, [TOPICS.index(SUBJECT)]].toarray()[:, 0], sizes[:-1], legible, doctrine),
    )


def texts_by_narrative(corpus: Corpus, narratives: int) -> sparse.csr_array:
    """Return (narratives + 1, texts) documents of every narrative by text; the last row takes the documents that belong to none."""
    home = np.where(corpus.owner < 0, narratives, corpus.owner)
    return sparse.csr_array((np.ones(len(home)), (home, corpus.text)), shape=(narratives + 1, len(corpus.texts)))


def naming(texts: sparse.csr_array, rows: Rows, columns: Rows, size: int) -> sparse.csr_array:
    """Return (narratives + 1, size) documents that name each of some things, from (text, thing) pairs without repeats."""
    held = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(texts.shape[1], size))
    return sparse.csr_array(texts @ held)


def entity_evidence(own: sparse.csr_array, counts: sparse.csr_array, sizes: Matrix, kinds: Sequence[str], doctrine: Doctrine) -> Shared:
    """Return log-likelihood ratios of shared names; unknown where the incident has none in the corpus.

    Parameters
    ----------
    own
        (incidents, entities) 0 or 1.
    counts, sizes
        (narratives + 1, entities) documents that name an entity, and documents; the last row belongs to no narrative.
    kinds
        Of the entities.
    doctrine
        Numbers under `link`.
    """
    m, h = doctrine["link.entity_m"], doctrine["link.entity_half_share"]
    floor = np.array([0.0 if kind in ARTEFACTS else doctrine[f"link.entity_u_{kind}"] for kind in kinds])
    names = np.array([kind not in ARTEFACTS for kind in kinds], dtype=bool)
    row, column, inside, outside = _shares(counts, sizes)
    strength = np.maximum(1.0 - outside / inside, 0.0) * inside / (inside + h)
    others = np.bincount(column, weights=inside / (inside + h), minlength=len(kinds))[column] - inside / (inside + h)
    spread = others / max(len(sizes) - 2, 1)
    worth = np.maximum(np.log(m / np.maximum(np.maximum(floor[column], outside), spread)), 0.0) if len(column) else np.zeros(0)
    found = _summed(own, np.where(names[column], strength * worth, 0.0), row, column, len(sizes) - 1)
    seen = names & (np.asarray(counts.sum(axis=0)).ravel() > 0)
    present = np.asarray((own[:, seen]).sum(axis=1)).ravel() > 0
    absent = np.log((1.0 - m) / (1.0 - doctrine["link.entity_u_name"]))
    return Shared(found, np.where(present, absent, np.nan), doctrine["link.clip"])


def subject_evidence(speaking: Matrix, sizes: Matrix, legible: npt.NDArray[np.bool_], doctrine: Doctrine) -> Matrix:
    """Return (narratives,) log-likelihood ratios of the subject; nan where a narrative is empty or its language is not legible.

    Parameters
    ----------
    speaking, sizes
        Documents of each narrative that speak of attacks, leaks or failures, and all of them.
    legible
        Whether most of them are in a language whose words are known.
    doctrine
        `link.subject_m`, `link.subject_half` and `link.answering` are read.
    """
    m, half, answering = doctrine["link.subject_m"], doctrine["link.subject_half"], doctrine["link.answering"]
    share = np.divide(speaking, sizes, out=np.zeros(len(sizes)), where=sizes > 0)
    speaks = share / (share + half)
    told = legible & (sizes > 0)
    # Half a narrative of each sort is added, so that no share is 0 or 1.
    usual = max((speaks[told].sum() + 0.5) / (told.sum() + 1.0), answering * m)
    if usual >= m:
        return np.where(told, 0.0, np.nan)
    return np.where(told, np.log(speaks * m / usual + (1.0 - speaks) * (1.0 - m) / (1.0 - usual)), np.nan)


def artefact_evidence(own: sparse.csr_array, counts: sparse.csr_array, sizes: Matrix, kinds: Sequence[str], doctrine: Doctrine) -> Shared:
    """Return log-likelihood ratios of shared CVEs, domains, URLs, hashes, as `entity_evidence`."""
    m = doctrine["link.artefact_m"]
    artefact = np.array([kind in ARTEFACTS for kind in kinds], dtype=bool)
    row, column, _, outside = _shares(counts, sizes)
    worth = np.maximum(np.log(m / outside), 0.0)
    found = _summed(own, np.where(artefact[column], worth, 0.0), row, column, len(sizes) - 1)
    seen = artefact & (np.asarray(counts.sum(axis=0)).ravel() > 0)
    present = np.asarray(own[:, seen].sum(axis=1)).ravel() > 0
    return Shared(found, np.where(present, np.log1p(-m), np.nan), doctrine["link.clip_artefact"])


def _summed(own: sparse.csr_array, values: Matrix, row: Rows, column: Rows, narratives: int) -> sparse.csr_array:
    worth = values > 0
    weighed = sparse.csr_array((values[worth], (row[worth], column[worth])), shape=(narratives, own.shape[1]))
    found = sparse.csr_array(weighed @ own.T)
    found.sort_indices()
    return found


def _shares(counts: sparse.csr_array, sizes: Matrix) -> tuple[Rows, Rows, Matrix, Matrix]:
    """Return the cells of the narratives' positive counts, by row and column, and the shares inside and outside of the narrative."""
    counts.sort_indices()
    cells = counts[:-1].tocoo()
    row, column = (place.astype(np.int64) for place in cells.coords)
    total = np.asarray(counts.sum(axis=0)).ravel()
    inside = cells.data / sizes[row]
    outside = (total[column] - cells.data + 0.5) / (sizes.sum() - sizes[row] + 1.0)
    return row, column, inside, outside


def place_factors(incidents: pa.Table, narratives: pa.Table, doctrine: Doctrine) -> tuple[Matrix, Rows]:
    """Return (narratives, states + 1) log factors, nan for unknown, and the column of each incident's target state."""
    states = incidents["target_state"].to_pylist()
    targets = [list(named or ()) for named in narratives["targets"].to_pylist()]
    codes = sorted({state for state in states if state})
    column = {code: at for at, code in enumerate(codes)}
    agree, mentioned, disagree = (np.log(doctrine[f"link.geo_{name}"]) for name in ("agree", "mentioned", "disagree"))
    factors = np.full((len(targets), len(codes) + 1), disagree)
    factors[:, -1] = np.nan
    for row, named in enumerate(targets):
        if not named:
            factors[row] = np.nan
        for rank, code in enumerate(named):
            if code in column:
                factors[row, column[code]] = agree if rank < MOST_NAMED else mentioned
    return factors, np.array([column[state] if state else len(codes) for state in states], dtype=np.int64)


def sector_factors(
    listed: Sequence[Sequence[str] | None], spoken: sparse.csr_array, sizes: Matrix, doctrine: Doctrine
) -> tuple[Matrix, Rows]:
    """Return (narratives, sets of sectors + 1) log factors, nan for unknown, and the column of each incident's set.

    Parameters
    ----------
    listed
        Sectors of the incidents as their sources name them.
    spoken, sizes
        (narratives + 1, topics) documents that name a sector, and documents, as in `entity_evidence`.
    doctrine
        `link.sector_agree`, `sector_disagree`, `sector_share` and `sector_lift` are read.
    """
    sets = [frozenset().union(*map(sectors_of_code, codes or ())) for codes in listed]
    distinct = sorted({found for found in sets if found}, key=sorted)
    column = {found: at for at, found in enumerate(distinct)}
    counts = spoken.toarray()[:, : len(SECTORS)]
    inside = np.divide(counts, sizes[:, None], out=np.zeros_like(counts), where=sizes[:, None] > 0)
    outside = (counts.sum(axis=0) - counts + 0.5) / (sizes.sum() - sizes[:, None] + 1.0)
    speaks = ((inside >= doctrine["link.sector_share"]) & (inside >= doctrine["link.sector_lift"] * outside))[:-1]
    agree, disagree = np.log(doctrine["link.sector_agree"]), np.log(doctrine["link.sector_disagree"])
    factors = np.full((len(speaks), len(distinct) + 1), np.nan)
    for at, found in enumerate(distinct):
        own = speaks[:, [SECTORS.index(sector) for sector in sorted(found)]].any(axis=1)
        factors[:, at] = np.where(own, agree, np.where(speaks.any(axis=1), disagree, np.nan))
    return factors, np.array([column.get(found, len(distinct)) for found in sets], dtype=np.int64)
