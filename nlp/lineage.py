"""Identity of narratives from one clustering of a case to the next, and what happened to them in between.

Clusters have no names of their own: what a narrative is called must come from what it was. As in the tracking of communities (Greene,
Doyle and Cunningham 2010) an old narrative A and a new cluster B are compared by the documents that they share, and as in MONIC
(Spiliopoulou et al. 2006) what is left over is told as a split, a merge, a birth or a death. Documents are counted, copies included.

1. overlap(A, B) = |A and B| / |A or B|, of documents that are still in the case and had a narrative before: neither new documents nor
   those that were noise had a name to lose, so growth takes no id away.
2. Pairs of the largest overlap come first (then the most shared documents, then the smallest old id, then the smallest proposed one);
   B continues A, and keeps its id, if neither is taken yet and their overlap is `SHARE` or more.
3. Any other cluster is new. It keeps the id proposed for it (the hash of its earliest text), unless a narrative that lived before has it
   (a part that broke away may hold the earliest text of the whole): then that is hashed with a number. It is a "split" from the
   old narrative that gave it most documents, if these are `SHARE` of its own or more, else a "birth".
4. Any other old narrative ends: a "merge" into the cluster that got most of its documents, if these are `SHARE` of them or more, else a
   "death" (dissolved into noise, or scattered).
5. A narrative that goes on has a row only if its documents changed: "growth" if there are more of them, else "survival". One without
   new documents lives on without a row.

So every narrative that lived before either lives or has one row that ends it, every new one has one row that begins it, and births
and splits less merges and deaths are the narratives that live. An id may end and, where the same earliest text makes a narrative
again, begin anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.errors import InputError
from greyzone.records import LINEAGE, NARRATIVES, NarrativeResult, content_id, table

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Row = dict[str, object]

SHARE = 0.3
"""Least share that makes kin. The largest of three equal parts, or of three that became one, keeps the name; of four none does."""

EVENTS = ("birth", "split", "growth", "survival", "merge", "death")
"""Events in the order of the rows of one update."""

_NAMED = ("narrative_id", "rival_id", "nearest_id", "second_id")
"""Columns that hold ids of narratives."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """`ids` maps the id proposed for each narrative to the one it gets; `events` are rows of `LINEAGE` for this update alone."""

    ids: Mapping[str, str]
    events: pa.Table


def trace(before: pa.Table, after: pa.Table, *, update: int) -> Lineage:
    """Say which narratives go on, and what became of the others.

    Parameters
    ----------
    before, after
        Tables with columns doc_id and narrative_id (null: noise), one row a document, in any order. Those of `before` have the ids
        that narratives have, those of `after` the ids proposed for them.
    update
        Number of this update.

    Returns
    -------
    Lineage
        The ids, all different, and the events in the order (`EVENTS`, narrative_id).

    Raises
    ------
    InputError
        If a document has two rows in one table.
    """
    kin = _compare(before, after)
    heir = dict(_continued(kin))
    ids = _named(kin, heir)
    largest_of_old, largest_of_new = _largest(kin, kin.old), _largest(kin, kin.new)
    rows = [row for pair in heir.values() if (row := _lives_on(kin, pair))]
    rows += [_ends(kin, old, largest_of_old.get(old), ids) for old in range(len(kin.names)) if old not in heir]
    continued = set(kin.new[list(heir.values())].tolist())
    rows += [_begins(kin, new, largest_of_new.get(new), ids) for new in range(len(kin.proposed)) if new not in continued]
    rows.sort(key=lambda row: (EVENTS.index(str(row["event"])), str(row["narrative_id"])))
    events = table([{"update": update, **row} for row in rows], LINEAGE)
    return Lineage({name: ids[place] for place, name in enumerate(kin.proposed)}, events)


def parents(events: pa.Table) -> dict[str, list[str]]:
    """Return for each narrative the others that it came from: those it split from and those that merged into it, the earliest first.

    Parameters
    ----------
    events
        `LINEAGE` of all updates so far, in their order.
    """
    found: dict[str, dict[str, None]] = {}
    for event, one, other in zip(*(events[name].to_pylist() for name in ("event", "narrative_id", "other_id")), strict=True):
        if event == "split":
            found.setdefault(one, {})[other] = None
        elif event == "merge":
            found.setdefault(other, {})[one] = None
    return {name: [parent for parent in known if parent != name] for name, known in found.items()}


def renamed(result: NarrativeResult, ids: Mapping[str, str], kin: Mapping[str, list[str]]) -> NarrativeResult:
    """Return what describes the narratives with their lasting ids and their parents, largest first, then by id.

    Parameters
    ----------
    result
        Narratives under the ids proposed for them.
    ids
        The id that each gets.
    kin
        Parents of the narratives that have any.
    """
    stories = _translated(result.narratives, ids)
    column = pa.array([kin.get(name, []) for name in stories["narrative_id"].to_pylist()], NARRATIVES.field("parents").type)
    stories = stories.set_column(stories.schema.get_field_index("parents"), NARRATIVES.field("parents"), column)
    order = pc.sort_indices(stories, sort_keys=[("size", "descending"), ("narrative_id", "ascending")])
    return replace(
        result,
        narratives=stories.take(order).combine_chunks(),
        members=_translated(result.members, ids),
        vectors=result.vectors[np.asarray(order.to_numpy(zero_copy_only=False), dtype=np.int64)],
    )


@dataclass(frozen=True, slots=True)
class _Kin:
    """Old narratives (`names`) and new clusters (`proposed`), both in the order of their ids, and the pairs that share documents.

    `size` and `grown` count all documents of each, `kept` those of the old that are still in the case, `named` those of the new that had a
    narrative. `old`, `new`, `shared` and `overlap` have one entry a pair, the nearest kin first.
    """

    names: list[str]
    proposed: list[str]
    size: Ints
    grown: Ints
    kept: Ints
    named: Ints
    old: Ints
    new: Ints
    shared: Ints
    overlap: Doubles


def _compare(before: pa.Table, after: pa.Table) -> _Kin:
    names, was = _coded(before)
    proposed, is_ = _coded(after)
    places = pc.index_in(before["doc_id"].combine_chunks(), value_set=after["doc_id"].combine_chunks())
    place = np.asarray(pc.fill_null(places, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
    there = (place >= 0) & (was >= 0)
    own, other = was[there], is_[place[there]]
    met = other >= 0
    width = max(1, len(proposed))
    keys, shared = np.unique(own[met] * width + other[met], return_counts=True)
    old, new = keys // width, keys % width
    kept = np.bincount(own, minlength=len(names))
    named = np.bincount(other[met], minlength=len(proposed))
    overlap = shared / (kept[old] + named[new] - shared)
    order = np.lexsort((new, old, -shared, -overlap))
    return _Kin(
        names=names,
        proposed=proposed,
        size=np.bincount(was[was >= 0], minlength=len(names)),
        grown=np.bincount(is_[is_ >= 0], minlength=len(proposed)),
        kept=kept,
        named=named,
        old=old[order],
        new=new[order],
        shared=shared[order],
        overlap=overlap[order],
    )


def _coded(rows: pa.Table) -> tuple[list[str], Ints]:
    """Return the ids of the narratives in their order, and the place among them of each row's (-1: noise)."""
    if pc.count_distinct(rows["doc_id"]).as_py() != rows.num_rows:
        raise InputError("a document with two rows of members", "one row a document")
    column = rows["narrative_id"].combine_chunks()
    names = pa.array(sorted(column.drop_null().unique().to_pylist()), pa.string())
    codes = pc.fill_null(pc.index_in(column, value_set=names), -1)
    return names.to_pylist(), np.asarray(codes.to_numpy(zero_copy_only=False), dtype=np.int64)


def _continued(kin: _Kin) -> Iterator[tuple[int, int]]:
    """Yield (old, its pair) for every narrative that goes on."""
    given: set[int] = set()
    taken: set[int] = set()
    near = int((kin.overlap >= SHARE).sum())
    for pair, (old, new) in enumerate(zip(kin.old[:near].tolist(), kin.new[:near].tolist(), strict=True)):
        if old not in given and new not in taken:
            given.add(old)
            taken.add(new)
            yield old, pair


def _named(kin: _Kin, heir: Mapping[int, int]) -> dict[int, str]:
    """Return the id of every new cluster."""
    ids = {int(kin.new[pair]): kin.names[old] for old, pair in heir.items()}
    taken = set(kin.names)
    for new, name in enumerate(kin.proposed):
        if new not in ids:
            ids[new] = next(other for number in count() if (other := _numbered(name, number)) not in taken)
            taken.add(ids[new])
    return ids


def _numbered(name: str, number: int) -> str:
    return content_id("nar", name, number) if number else name


def _largest(kin: _Kin, side: Ints) -> dict[int, int]:
    """Return for each narrative of one side its pair of most shared documents, of equals the nearest kin."""
    found: dict[int, int] = {}
    for pair, (one, shared) in enumerate(zip(side.tolist(), kin.shared.tolist(), strict=True)):
        if one not in found or shared > kin.shared[found[one]]:
            found[one] = pair
    return found


def _lives_on(kin: _Kin, pair: int) -> Row | None:
    old, new = kin.old[pair], kin.new[pair]
    if kin.shared[pair] == kin.size[old] == kin.grown[new]:
        return None
    event = "growth" if kin.grown[new] > kin.size[old] else "survival"
    return {"event": event, "narrative_id": kin.names[old], **_figures(kin, pair)}


def _begins(kin: _Kin, new: int, pair: int | None, ids: Mapping[int, str]) -> Row:
    if pair is None or kin.shared[pair] < SHARE * kin.grown[new]:
        return {"event": "birth", "narrative_id": ids[new], **_alone(0, int(kin.grown[new]))}
    return {"event": "split", "narrative_id": ids[new], "other_id": kin.names[kin.old[pair]], **_figures(kin, pair)}


def _ends(kin: _Kin, old: int, pair: int | None, ids: Mapping[int, str]) -> Row:
    if pair is None or kin.shared[pair] < SHARE * kin.kept[old]:
        return {"event": "death", "narrative_id": kin.names[old], **_alone(int(kin.size[old]), 0)}
    return {"event": "merge", "narrative_id": kin.names[old], "other_id": ids[int(kin.new[pair])], **_figures(kin, pair)}


def _figures(kin: _Kin, pair: int) -> Row:
    return {
        "documents_before": int(kin.size[kin.old[pair]]),
        "documents_after": int(kin.grown[kin.new[pair]]),
        "shared": int(kin.shared[pair]),
        "overlap": float(kin.overlap[pair]),
    }


def _alone(before: int, after: int) -> Row:
    return {"documents_before": before, "documents_after": after, "shared": 0, "overlap": 0.0}


def _translated(rows: pa.Table, ids: Mapping[str, str]) -> pa.Table:
    known, lasting = pa.array(list(ids), pa.string()), pa.array(list(ids.values()), pa.string())
    for place, column in enumerate(rows.schema):
        if column.name in _NAMED:
            found = lasting.take(pc.index_in(rows[column.name].combine_chunks(), value_set=known))
            rows = rows.set_column(place, column, found)
    return rows
