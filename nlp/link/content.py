"""What narrative and incident have in common besides time: names, artefacts, meaning, place. Log-likelihood ratios in nats.

Names. With m = P(a linked narrative speaks of the entity) and u = P(an unlinked one does), one shared entity e gives

    s(n, e) log(m / u),   u = max(u_kind, share of the documents outside of the narrative that name e),
    s(n, e) = [1 - outside / inside]+ * inside / (inside + h).

u carries the inverse document frequency: what everyone talks of is worth nothing; s asks that the narrative speaks of e more than
others do, and not in passing. An incident whose names occur in the corpus, but not in the narrative, gives log((1 - m) / (1 - u))
once. Artefacts are the same with their own m, without s, and with u measured alone. Evidence of one kind is summed and clipped.

Meaning. Among pairs that are out of each other's window the cosine of the pair's narrative with other incidents, and of its incident
with other narratives, is what chance gives. With s the share of those at least as near (the pair counted in), the ratio is the
p-value calibrator kappa s^(kappa - 1) (Vovk 1993; Sellke, Bayarri and Berger 2001). Its mean under chance is 1, which that of
(1 - s) / s is not: few comparisons can never give much evidence.

Place. Bayes factors of the doctrine for a target state that the narrative names most, names, or does not name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from greyzone.doctrine import Doctrine
from greyzone.entities import ARTEFACTS, Gazetteer, Mentions
from greyzone.records import Floats

Matrix = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

FEWEST_COMPARISONS = 5
MOST_NAMED = 3
"""A state among the first three targets of a narrative counts as what the narrative is about."""


@dataclass(frozen=True, slots=True)
class Named:
    """Who names what: `own` (incidents x entities, 0/1), `counts` (narratives x entities, documents), `sizes` (narratives)."""

    own: sparse.csr_array
    counts: sparse.csr_array
    sizes: Matrix
    documents: int
    kinds: tuple[str, ...]


def count_mentions(gazetteer: Gazetteer, mentions: Mentions, owner: Rows, shape: tuple[int, int]) -> Named:
    """Count the documents of every narrative that name an entity.

    Parameters
    ----------
    gazetteer, mentions
        What was looked for in the documents and found.
    owner
        (n_documents,) int64 row of the narrative of each document, -1 for none.
    shape
        Numbers of incidents and narratives.
    """
    incidents, narratives = shape
    entities = len(gazetteer.entities)
    own = sparse.csr_array(
        (np.ones(len(gazetteer.incident_rows)), (gazetteer.incident_rows, gazetteer.incident_entities)), shape=(incidents, entities)
    )
    # One row more than there are narratives: it takes the documents that belong to none.
    home = np.where(owner[mentions.rows] < 0, narratives, owner[mentions.rows])
    counts = sparse.csr_array((np.ones(len(home)), (home, mentions.entities)), shape=(narratives + 1, entities))
    sizes = np.bincount(np.where(owner < 0, narratives, owner), minlength=narratives + 1).astype(np.float64)
    return Named(own, counts, sizes, len(owner), tuple(entity.kind for entity in gazetteer.entities))


def entity_evidence(named: Named, doctrine: Doctrine) -> Matrix:
    """Return (n_incidents, n_narratives) log-likelihood ratios of shared names; nan where the incident has none in the corpus."""
    m, h = doctrine["link.entity_m"], doctrine["link.entity_half_share"]
    floor = np.array([0.0 if kind in ARTEFACTS else doctrine[f"link.entity_u_{kind}"] for kind in named.kinds])
    names = np.array([kind not in ARTEFACTS for kind in named.kinds], dtype=bool)
    counts, row, column, inside, outside = _shares(named)
    strength = np.maximum(1.0 - outside / inside, 0.0) * inside / (inside + h)
    worth = np.maximum(np.log(m / np.maximum(floor[column], outside)), 0.0) if len(column) else np.zeros(0)
    values = sparse.csr_array((np.where(names[column], strength * worth, 0.0), (row, column)), shape=counts.shape)
    found = (named.own @ values.T).toarray()
    seen = names & (np.asarray(named.counts.sum(axis=0)).ravel() > 0)
    present = np.asarray((named.own[:, seen]).sum(axis=1)).ravel() > 0
    absent = np.log((1.0 - m) / (1.0 - doctrine["link.entity_u_name"]))
    clip = doctrine["link.clip"]
    evidence = np.where(found > 0, np.clip(found, -clip, clip), absent)
    return np.where(present[:, None], evidence, np.nan)


def artefact_evidence(named: Named, doctrine: Doctrine) -> Matrix:
    """Return (n_incidents, n_narratives) log-likelihood ratios of shared CVEs, domains, URLs, hashes; nan where the incident has none."""
    m, clip = doctrine["link.artefact_m"], doctrine["link.clip_artefact"]
    artefact = np.array([kind in ARTEFACTS for kind in named.kinds], dtype=bool)
    counts, row, column, _, outside = _shares(named)
    worth = np.maximum(np.log(m / outside), 0.0)
    values = sparse.csr_array((np.where(artefact[column], worth, 0.0), (row, column)), shape=counts.shape)
    found = (named.own @ values.T).toarray()
    has = np.asarray(named.own[:, artefact].sum(axis=1)).ravel() > 0
    evidence = np.where(found > 0, np.clip(found, -clip, clip), np.log1p(-m))
    return np.where(has[:, None], evidence, np.nan)


def _shares(named: Named) -> tuple[sparse.csr_array, Rows, Rows, Matrix, Matrix]:
    """Return the narratives' counts, the coordinates of the positive ones, and the shares inside and outside of the narrative."""
    counts = named.counts[:-1]
    cells = counts.tocoo()
    row, column = cells.coords
    total = np.asarray(named.counts.sum(axis=0)).ravel()
    inside = cells.data / named.sizes[row]
    outside = (total[column] - cells.data + 0.5) / (named.documents - named.sizes[row] + 1.0)
    return counts, row.astype(np.int64), column.astype(np.int64), inside, outside


def semantic_evidence(incidents: Floats, narratives: Floats, candidate: npt.NDArray[np.bool_], doctrine: Doctrine) -> Matrix:
    """Return (n_incidents, n_narratives) log-likelihood ratios of nearness in meaning.

    Parameters
    ----------
    incidents, narratives
        float32 unit rows; a zero row is a text that the encoder does not know.
    candidate
        (n_incidents, n_narratives) True where the pair is in the window; the rest is the null.
    doctrine
        `link.semantic_kappa` and `link.clip` are read.

    Returns
    -------
    Matrix
        nan where a vector is zero or fewer than five comparisons exist.
    """
    cosine = np.round(incidents.astype(np.float64) @ narratives.astype(np.float64).T, 6)
    known = np.outer(incidents.any(axis=1), narratives.any(axis=1))
    null = known & ~candidate
    above = np.zeros(cosine.shape)
    for column in range(cosine.shape[1]):
        above[:, column] += _at_least(cosine[null[:, column], column], cosine[:, column])
    for row in range(cosine.shape[0]):
        above[row] += _at_least(cosine[row, null[row]], cosine[row])
    # A null pair stands in its own comparison twice, by row and by column; a candidate is added once, so that ranks are exchangeable.
    size = null.sum(axis=0)[None, :] + null.sum(axis=1)[:, None] - null
    share = np.where(null, above - 1.0, above + 1.0) / np.where(null, size, size + 1)
    kappa, clip = doctrine["link.semantic_kappa"], doctrine["link.clip"]
    with np.errstate(divide="ignore", invalid="ignore"):
        evidence = np.clip(np.log(kappa) + (kappa - 1.0) * np.log(share), -clip, clip)
    return np.where(known & (size >= FEWEST_COMPARISONS), evidence, np.nan)


def _at_least(null: Matrix, values: Matrix) -> Matrix:
    ordered = np.sort(null)
    counts: Matrix = (len(ordered) - np.searchsorted(ordered, values, side="left")).astype(np.float64)
    return counts


def place_evidence(incidents: pa.Table, narratives: pa.Table, doctrine: Doctrine) -> Matrix:
    """Return (n_incidents, n_narratives) log Bayes factors of the target state; nan where either side names none."""
    states = incidents["target_state"].to_pylist()
    targets = [list(named or ()) for named in narratives["targets"].to_pylist()]
    codes = sorted({state for state in states if state})
    column = {code: at for at, code in enumerate(codes)}
    clip = doctrine["link.clip"]
    agree, mentioned, disagree = (np.log(doctrine[f"link.geo_{name}"]) for name in ("agree", "mentioned", "disagree"))
    factors = np.full((len(targets), len(codes) + 1), disagree)
    factors[:, -1] = np.nan
    for row, named in enumerate(targets):
        if not named:
            factors[row] = np.nan
        for rank, code in enumerate(named):
            if code in column:
                factors[row, column[code]] = agree if rank < MOST_NAMED else mentioned
    picked: Matrix = np.clip(factors[:, [column[state] if state else len(codes) for state in states]].T, -clip, clip)
    return picked
