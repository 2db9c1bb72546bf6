"""Documents, copies and clusters side by side, as arrays in the order of doc_id.

Identity. A narrative is named after its origin: ``narrative_id`` hashes the doc_id of its earliest distinct text (undated last, then
the smallest doc_id), so that later documents leave the id alone. Clusters are numbered here by size (largest first), then by id; so
the numbers that came in leave no trace, and cluster i is row i of the narratives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.errors import InputError
from greyzone.records import Floats, content_id

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Times = npt.NDArray[np.datetime64]

SLICE = 2**14
"""Documents of one batch of texts."""

SUMMED = 2**15
"""Rows added up at once."""

_SPANS = {"second": "s", "minute": "m", "hour": "h", "day": "D"}
_COARSE = {"month": "M", "year": "Y"}
_TICK = np.timedelta64(1, "us")
_CODED = ("account", "outlet", "platform", "lang")


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of names as numbers: `code` (n,) int64, -1 where there is none, in the alphabetical order of `names`."""

    code: Ints
    names: list[str]


@dataclass(frozen=True, slots=True)
class Frame:
    """The documents as arrays in the order of their ids.

    Attributes
    ----------
    doc_id
        (n,) string, ascending.
    documents
        The table that came in, and `row` (n,) int64, the place in it of each document.
    vectors, centroids
        (r, d) float32 of the representatives, (k, d) float32 unit means of the distinct texts of each cluster.
    place, own
        (n,) int64 row of a document's representative in `vectors`, and whether it is its own.
    label, probability
        (n,) cluster (-1: none) and strength.
    inside, bounds
        Documents of clusters, ordered by (cluster, id); cluster c holds ``inside[bounds[c]:bounds[c + 1]]``.
    begins, ends, exact
        Microseconds of the interval of a date (NaT: undated), and whether it is known to the day.
    coded
        The columns account, outlet, platform and lang.
    ids
        narrative_id of each cluster.
    """

    doc_id: pa.Array
    documents: pa.Table
    row: Ints
    vectors: Floats
    centroids: Floats
    place: Ints
    own: Bools
    label: Ints
    probability: Floats
    inside: Ints
    bounds: Ints
    begins: Times
    ends: Times
    exact: Bools
    coded: dict[str, Coded]
    ids: list[str]

    @property
    def clusters(self) -> int:
        """Number of narratives."""
        return len(self.ids)

    @property
    def sizes(self) -> Ints:
        """(k,) documents of each narrative."""
        return np.diff(self.bounds)

    def distinct(self) -> Ints:
        """Distinct texts of the narratives, ordered by (cluster, id)."""
        return self.inside[self.own[self.inside]]

    def texts(self, rows: Ints) -> pa.Table:
        """Return doc_id, title, text and lang of some documents, in the order asked."""
        wanted = self.row[rows]
        order = np.argsort(wanted, kind="stable")
        mask = np.zeros(self.documents.num_rows, dtype=bool)
        mask[wanted] = True
        kept = self.documents.select(["doc_id", "title", "text", "lang"]).filter(pa.array(mask)).combine_chunks()
        back = np.empty(len(rows), dtype=np.int64)
        back[order] = np.searchsorted(np.flatnonzero(mask), wanted[order])
        return kept.take(pa.array(back))

    def slices(self) -> Iterator[tuple[pa.Table, Ints]]:
        """Yield the distinct texts (title, text, lang) in slices of the table that came in, with the cluster of each (k: none)."""
        own, label = np.zeros(len(self.row), dtype=bool), np.empty(len(self.row), dtype=np.int64)
        own[self.row] = self.own
        label[self.row] = np.where(self.label >= 0, self.label, self.clusters)
        columns = self.documents.select(["title", "text", "lang"])
        for start in range(0, len(own), SLICE):
            chosen = own[start : start + SLICE]
            yield columns.slice(start, SLICE).filter(pa.array(chosen)), label[start : start + SLICE][chosen]


def lay_out(
    documents: pa.Table, copies: pa.Table, vectors: Floats, labels: npt.NDArray[np.integer], strengths: npt.NDArray[np.floating]
) -> Frame:
    """Lay documents, copies and clusters side by side.

    Parameters
    ----------
    documents, copies, vectors, labels, strengths
        As for `greyzone.narratives.describe_narratives`.

    Returns
    -------
    Frame

    Raises
    ------
    InputError
        If an array has not one row a representative, or a copy's representative is not among the documents.
    """
    copied = copies["doc_id"].combine_chunks()
    kept = documents["doc_id"].filter(pc.invert(pc.is_in(documents["doc_id"], value_set=copied))).combine_chunks()
    for name, found in (("vectors", vectors), ("labels", labels), ("probabilities", strengths)):
        if len(found) != len(kept):
            raise InputError(f"{len(found)} rows of {name}", f"one for each of the {len(kept)} documents that are no copies")
    row = pc.sort_indices(documents["doc_id"]).to_numpy().astype(np.int64)
    ids = documents["doc_id"].combine_chunks().take(pa.array(row))
    place, own = _representatives(ids, copies, kept)
    begins, ends, exact = _intervals(documents, row)
    label, names = _numbered(np.asarray(labels), place, own, begins, ids)
    order = np.argsort(label, kind="stable")
    bounds = np.searchsorted(label[order], np.arange(len(names) + 1))
    return Frame(
        doc_id=ids,
        documents=documents,
        row=row,
        vectors=vectors,
        centroids=_centroids(vectors, place, label, order[bounds[0] :], own, len(names)),
        place=place,
        own=own,
        label=label,
        probability=np.asarray(strengths, dtype=np.float32)[place],
        inside=order[bounds[0] :],
        bounds=bounds - bounds[0],
        begins=begins,
        ends=ends,
        exact=exact,
        coded={name: _coded(documents[name], row) for name in _CODED},
        ids=names,
    )


def origins(frame_own: Bools, begins: Times, label: Ints) -> tuple[Ints, Ints]:
    """Return the labels >= 0 that occur, ascending, and the earliest distinct text of each (undated last, then the smallest id)."""
    own = np.flatnonzero(frame_own & (label >= 0))
    # NaT sorts last, and rows stand in the order of their ids.
    order = own[np.lexsort((begins[own], label[own]))]
    found, first = np.unique(label[order], return_index=True)
    return found, order[first]


def _representatives(ids: pa.Array, copies: pa.Table, kept: pa.Array) -> tuple[Ints, Bools]:
    leader = pc.coalesce(copies["representative"].combine_chunks().take(pc.index_in(ids, value_set=copies["doc_id"].combine_chunks())), ids)
    found = pc.index_in(leader, value_set=kept)
    if found.null_count:
        orphan = ids.filter(found.is_null())[0].as_py()
        raise InputError(f"a copy {orphan!r} whose representative is not among the documents", "tables of one run")
    own = np.asarray(pc.equal(leader, ids).to_numpy(zero_copy_only=False), dtype=bool)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64), own


def _numbered(labels: npt.NDArray[np.integer], place: Ints, own: Bools, begins: Times, ids: pa.Array) -> tuple[Ints, list[str]]:
    """Return the clusters of the documents numbered by size, then by id (-1 stays), and their ids."""
    _, compact = np.unique(np.where(labels >= 0, labels, -1), return_inverse=True)
    compact = compact.astype(np.int64) - int((labels < 0).any())
    label = compact[place] if len(place) else np.zeros(0, dtype=np.int64)
    _, first = origins(own, begins, label)
    names = [content_id("nar", name) for name in ids.take(pa.array(first)).to_pylist()]
    sizes = np.bincount(label[label >= 0], minlength=len(names)).tolist()
    ranks = sorted(range(len(names)), key=lambda cluster: (-sizes[cluster], names[cluster]))
    new = np.full(len(names) + 1, -1, dtype=np.int64)
    new[ranks] = np.arange(len(names))
    return new[label], [names[cluster] for cluster in ranks]


def _intervals(documents: pa.Table, row: Ints) -> tuple[Times, Times, Bools]:
    begins = np.asarray(documents["published_at"].to_numpy()).astype("datetime64[us]")[row]
    precision = _coded(documents["published_precision"], row)
    codes = {name: code for code, name in enumerate(precision.names)}
    begins[(precision.code < 0) | (precision.code == codes.get("unknown", -2))] = np.datetime64("NaT")
    ends = begins.copy()
    for name, unit in (_SPANS | _COARSE).items():
        chosen = precision.code == codes.get(name, -2)
        ends[chosen] = (begins[chosen].astype(f"datetime64[{unit}]") + 1).astype("datetime64[us]") - _TICK
    return begins, ends, np.isin(precision.code, [codes[name] for name in _SPANS if name in codes]) & ~np.isnat(begins)


def _coded(column: pa.ChunkedArray, row: Ints) -> Coded:
    """Return a column as numbers; an empty name is none."""
    plain = column.combine_chunks()
    encoded = pc.if_else(pc.equal(plain, ""), pa.scalar(None, pa.string()), plain).dictionary_encode()
    names = encoded.dictionary.to_pylist()
    rank = np.empty(len(names) + 1, dtype=np.int64)
    order = sorted(range(len(names)), key=names.__getitem__)
    rank[order] = np.arange(len(names))
    rank[len(names)] = -1
    codes = pc.fill_null(encoded.indices, len(names)).to_numpy(zero_copy_only=False)
    return Coded(rank[codes][row], [names[place] for place in order])


def _centroids(vectors: Floats, place: Ints, label: Ints, inside: Ints, own: Bools, clusters: int) -> Floats:
    """Return the unit mean of each cluster's distinct texts, added up in the order of (cluster, id)."""
    total = np.zeros((clusters, vectors.shape[1]))
    rows = inside[own[inside]]
    for start in range(0, len(rows), SUMMED):
        part = rows[start : start + SUMMED]
        first, met = label[part[0]], label[part[-1]]
        starts = np.searchsorted(label[part], np.arange(first, met + 1))
        total[first : met + 1] += np.add.reduceat(vectors[place[part]].astype(np.float64), starts, axis=0)
    norms = np.sqrt((total**2).sum(axis=1, keepdims=True))
    return np.asarray(total / np.where(norms > 0, norms, 1.0), dtype=np.float32)
