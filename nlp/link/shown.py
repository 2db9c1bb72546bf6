"""What is shown of a link: the documents that speak for it, each with why it was chosen, and the incidents that lost, with by how much.

Evidence, at most five documents, a wording once (as its first copy in the narrative: what was said before the incident is seen to be):
- "entity": documents that name what the incident names, most things first, then nearest in time;
- "time": from the anchor on, the nearest first; then backwards from it;
- "exemplar": the narrative's most central document, in the last place, where nearness in meaning speaks for the link.

Rivals, at most five: the likeliest other incidents of the same narrative, each with its log-odds, the kind of evidence that decides most
between the two, and by how many nats (positive: for the link shown).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from greyzone.entities import Gazetteer
from greyzone.link.corpus import Contents, Corpus

Vector = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

EVIDENCE = 5
RIVALS = 5
REASONS = ("entity", "time", "exemplar")


@dataclass(frozen=True, slots=True)
class Shelf:
    """The documents of every narrative, ready to be chosen from.

    Attributes
    ----------
    told, wordings
        (starts by narrative, rows of documents): the first document of every text, and of every wording, dated ones by time and then
        by id, undated ones last.
    exemplars
        Row of the most central document of each narrative, -1 if there is none.
    forms
        What texts of one wording have in common.
    named, own
        (texts, entities) and (incidents, entities), 0 or 1.
    """

    corpus: Corpus
    told: tuple[Rows, Rows]
    wordings: tuple[Rows, Rows]
    exemplars: Rows
    forms: Rows
    named: sparse.csr_array
    own: sparse.csr_array

    @classmethod
    def of(cls, corpus: Corpus, contents: Contents, gazetteer: Gazetteer, narratives: pa.Table, incidents: int) -> Shelf:
        """Lay out the documents of a corpus."""
        count = narratives.num_rows
        first = pa.array([listed[0] if listed else None for listed in narratives["exemplars"].to_pylist()], pa.string())
        exemplars = np.asarray(pc.fill_null(pc.index_in(first, value_set=corpus.ids, skip_nulls=True), -1), dtype=np.int64)
        mentions = contents.mentions
        shape = (len(corpus.texts), len(gazetteer.entities))
        return cls(
            corpus,
            _first(corpus, corpus.text, count),
            _first(corpus, contents.forms[corpus.text], count),
            exemplars,
            contents.forms,
            sparse.csr_array((np.ones(len(mentions.rows)), (mentions.rows, mentions.entities)), shape=shape),
            sparse.csr_array(
                (np.ones(len(gazetteer.incident_rows)), (gazetteer.incident_rows, gazetteer.incident_entities)),
                shape=(incidents, shape[1]),
            ),
        )

    def choose(self, incident: Rows, narrative: Rows, day: Vector, meant: npt.NDArray[np.bool_]) -> tuple[Rows, Rows]:
        """Choose the evidence of links.

        Parameters
        ----------
        incident, narrative
            (n,) int64 rows.
        day
            Start of the anchor's interval, in days since 1970-01-01.
        meant
            Whether nearness in meaning speaks for the link.

        Returns
        -------
        documents, reasons
            (n, 5) int64 rows of documents, -1 for none, and indices into `REASONS`.
        """
        documents = np.full((len(incident), EVIDENCE), -1, dtype=np.int64)
        reasons = np.full((len(incident), EVIDENCE), REASONS.index("time"), dtype=np.int64)
        order = np.argsort(narrative, kind="stable")
        bounds = np.flatnonzero(np.diff(narrative[order], prepend=-1, append=-1))
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            links = order[start:stop]
            row = int(narrative[links[0]])
            documents[links] = self._by_time(row, day[links])
            for at, chosen in self._by_entity(row, links, incident[links], day[links]):
                kept = [*chosen, *(doc for doc in documents[at].tolist() if doc >= 0 and doc not in chosen)][:EVIDENCE]
                documents[at, : len(kept)] = kept
                reasons[at, : len(chosen)] = REASONS.index("entity")
        self._add_exemplars(documents, reasons, self.exemplars[narrative], meant)
        return documents, reasons

    def shared(self, incident: Rows, narrative: Rows, counts: sparse.csr_array, gazetteer: Gazetteer) -> pa.ListArray:
        """Return the entities that incident and narrative share, as "kind:value", in the gazetteer's order."""
        both = sparse.csr_array(self.own[incident].multiply(counts[narrative] > 0))
        both.eliminate_zeros()
        both.sort_indices()
        labels = pa.array([f"{entity.kind}:{entity.value}" for entity in gazetteer.entities], pa.string())
        return pa.ListArray.from_arrays(pa.array(both.indptr, pa.int32()), labels.take(pa.array(both.indices.astype(np.int64))))

    def _by_time(self, narrative: int, day: Vector) -> Rows:
        starts, rows = self.wordings
        own = rows[starts[narrative] : starts[narrative + 1]]
        days = self.corpus.days[own]
        dated = int(np.isfinite(days).sum())
        place = np.searchsorted(days[:dated], day, side="left")[:, None]
        steps = np.arange(EVIDENCE)
        ahead, behind = place + steps, place - 1 - steps
        undated = np.broadcast_to(dated + steps, ahead.shape)
        index = np.concatenate([ahead, behind, undated], axis=1)
        valid = np.concatenate([ahead < dated, behind >= 0, undated < len(own)], axis=1)
        best = np.argsort(~valid, axis=1, kind="stable")[:, :EVIDENCE]
        picked = np.take_along_axis(index, best, axis=1)
        there = np.take_along_axis(valid, best, axis=1)
        return np.where(there, own[np.where(there, picked, 0)] if len(own) else -1, -1)

    def _by_entity(self, narrative: int, links: Rows, incident: Rows, day: Vector) -> list[tuple[int, list[int]]]:
        """Return for links that share a name their documents that have one, the best first; a wording once."""
        starts, rows = self.told
        own = rows[starts[narrative] : starts[narrative + 1]]
        named = self.named[self.corpus.text[own]]
        if not named.nnz:
            return []
        counts = sparse.csc_array(named @ self.own[incident].T)
        found: list[tuple[int, list[int]]] = []
        for at in np.flatnonzero(np.diff(counts.indptr)).tolist():
            part = slice(counts.indptr[at], counts.indptr[at + 1])
            documents, shared = own[counts.indices[part]], counts.data[part]
            lag = self.corpus.days[documents] - day[at]
            lag = np.where(np.isfinite(lag), lag, np.inf)
            order = np.lexsort((self.corpus.rank[documents], np.abs(lag), lag < 0, -shared))
            chosen: dict[int, int] = {}
            for doc in documents[order].tolist():
                chosen.setdefault(int(self.forms[self.corpus.text[doc]]), doc)
                if len(chosen) == EVIDENCE:
                    break
            found.append((int(links[at]), list(chosen.values())))
        return found

    def _add_exemplars(self, documents: Rows, reasons: Rows, exemplar: Rows, meant: npt.NDArray[np.bool_]) -> None:
        """Give the exemplar the last place, or the first free one, where meaning speaks for the link."""
        there = documents == exemplar[:, None]
        wanted = meant & (exemplar >= 0)
        reasons[(there & (reasons == REASONS.index("time"))) & wanted[:, None]] = REASONS.index("exemplar")
        added = np.flatnonzero(wanted & ~there.any(axis=1))
        place = np.minimum((documents[added] >= 0).sum(axis=1), EVIDENCE - 1)
        documents[added, place] = exemplar[added]
        reasons[added, place] = REASONS.index("exemplar")


@dataclass(frozen=True, slots=True)
class Rivals:
    """(n, 5) each: row of the rival among the links (-1 for none), the deciding kind of evidence, and its nats for the link."""

    links: Rows
    kinds: Rows
    nats: Vector


def rivals_of(narrative: Rows, log_odds: Vector, evidence: Mapping[str, Vector], shares: Mapping[str, float]) -> Rivals:
    """Find the rivals of links.

    Parameters
    ----------
    narrative, log_odds
        (n,) of links, which come by descending log-odds.
    evidence
        Log-likelihood ratios by kind, nan for none.
    shares
        What a nat of each kind adds to the log-odds.
    """
    order = np.argsort(narrative, kind="stable")
    bounds = np.flatnonzero(np.diff(narrative[order], prepend=-1, append=-1))
    sizes = np.diff(bounds)
    begin, end = np.repeat(bounds[:-1], sizes), np.repeat(bounds[1:], sizes)
    index = begin[:, None] + np.arange(RIVALS + 1)
    valid = (index < end[:, None]) & (index != np.arange(len(order))[:, None])
    best = np.argsort(~valid, axis=1, kind="stable")[:, :RIVALS]
    there = np.take_along_axis(valid, best, axis=1)
    picked = np.take_along_axis(index, best, axis=1)
    links = np.full((len(order), RIVALS), -1, dtype=np.int64)
    links[order] = np.where(there, order[np.where(there, picked, 0)] if len(order) else -1, -1)
    # Of the kinds, the one that moves the log-odds most towards the outcome.
    won = np.where(log_odds[:, None] >= log_odds[links], 1.0, -1.0)
    moved, told = np.full(links.shape, -np.inf), np.zeros(links.shape)
    kinds = np.zeros(links.shape, dtype=np.int64)
    for at, (name, values) in enumerate(evidence.items()):
        known = np.nan_to_num(values, nan=0.0)
        nats = known[:, None] - known[links]
        better = won * shares[name] * nats > moved
        moved, kinds, told = (
            np.where(better, won * shares[name] * nats, moved),
            np.where(better, at, kinds),
            np.where(better, nats, told),
        )
    return Rivals(links, kinds, told)


def _first(corpus: Corpus, wording: Rows, narratives: int) -> tuple[Rows, Rows]:
    """Return (starts by narrative, documents): the first document of every wording, by time and then by id, undated ones last."""
    rows = np.flatnonzero(corpus.owner >= 0)
    day = np.nan_to_num(corpus.days[rows], nan=np.inf)
    rows = rows[np.lexsort((corpus.rank[rows], day, wording[rows], corpus.owner[rows]))]
    owner, said = corpus.owner[rows], wording[rows]
    new = np.ones(len(rows), dtype=bool)
    new[1:] = (owner[1:] != owner[:-1]) | (said[1:] != said[:-1])
    rows = rows[new]
    rows = rows[np.lexsort((corpus.rank[rows], np.nan_to_num(corpus.days[rows], nan=np.inf), corpus.owner[rows]))]
    return np.searchsorted(corpus.owner[rows], np.arange(narratives + 1)), rows
