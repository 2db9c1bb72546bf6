"""Groups in time: which group of a new run is which of the last one, when a group acted and when it slept, what its accounts did else.

Identity (`keep_ids`). A group has no name of its own, so it takes that of the group that it was, by accounts (`greyzone.kin`, with
``kin_share`` as the share). Any other group is a "split" from an old one or a "birth"; any old group that ends is a "merge" into a new one
or a "death" (it is not found any more). One that goes on with other members has a row, "growth" if it has more of them, else "survival".
The same rule follows groups through windows: find them in each window and pass the result of one as the old groups of the next.

Activity (`follow`). The length of a group's windows comes from its own pace: of every document that shows the group, take the shortest time
in which ``driving_members`` such documents come, itself among them; the median of these is the pace, and a window is the least of a day, a
week and four weeks that holds it (four weeks, if none does). Pauses do not count, since a document is taken with those near it. No window
is shorter than a day, or every night would be a pause. Windows begin at midnight UTC, weeks on a Monday, so that they stay where they are
when documents are added. A group is "active" in a window if ``driving_members`` members act for it, "present" if members post but fewer
of them act, else "dormant"; windows without any document up to the end of the corpus are one row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.doctrine import Doctrine
from greyzone.kin import Fate, compare, fates
from greyzone.records import GROUP_LINEAGE, GROUP_REUSE, GROUP_WINDOWS, GROUPS, TIME, Coordination, table

DAY = 86_400_000_000
"""Microseconds."""
LENGTHS = (DAY, 7 * DAY, 28 * DAY)
"""Lengths that a window may have."""
MONDAY = 4 * DAY
"""The first Monday since 1970, from which weeks are counted."""
EVENTS = ("birth", "split", "growth", "survival", "merge", "death")
"""Events in the order of the rows of one update."""

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
_NAMED = {"merged": "merge", "ended": "death", "split": "split", "born": "birth"}
"""Events of kin by what they are called of groups; one that goes on grew or survived."""

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Kept:
    """A `coordination` whose groups have lasting ids, and the `events` (`GROUP_LINEAGE`) of this update."""

    coordination: Coordination
    events: pa.Table


@dataclass(frozen=True, slots=True)
class Tracks:
    """When groups were active (`windows`, `GROUP_WINDOWS`) and which narratives their accounts posted in (`reuse`, `GROUP_REUSE`)."""

    windows: pa.Table
    reuse: pa.Table


def keep_ids(old: pa.Table, new: Coordination, *, doctrine: Doctrine, update: int) -> Kept:
    """Give groups that were there before the ids that they had, and say what became of the others.

    Parameters
    ----------
    old
        Table with columns group_id and accounts: the groups of the last run, or of the window before.
    new
        What was found now.
    doctrine
        ``coordination.kin_share``.
    update
        Number of this update.

    Returns
    -------
    Kept
        All tables of `new` under lasting ids, groups by q, size and id as before, and the events in the order (`EVENTS`, group_id).
    """
    before = {str(row["group_id"]): frozenset(row["accounts"]) for row in old.select(["group_id", "accounts"]).to_pylist()}
    after = {str(row["group_id"]): frozenset(row["accounts"]) for row in new.groups.select(["group_id", "accounts"]).to_pylist()}
    kin = compare(before, after, share=doctrine["coordination.kin_share"], prefix="grp")
    rows = sorted(map(_row, fates(kin, before, after)), key=lambda row: (EVENTS.index(str(row["event"])), str(row["group_id"])))
    return Kept(_renamed(new, kin.ids), table([{"update": update, **row} for row in rows], GROUP_LINEAGE))


def follow(groups: pa.Table, documents: pa.Table, members: pa.Table, *, doctrine: Doctrine) -> Tracks:
    """Tell when each group was active, and which narratives its accounts posted in, in any order of the rows.

    Parameters
    ----------
    groups, documents
        `GROUPS` and `DOCUMENTS`.
    members
        Columns doc_id and narrative_id of `MEMBERS`.
    doctrine
        ``coordination.driving_members``.

    Returns
    -------
    Tracks
        Windows by group and time; rows of accounts by group, account and `turn`. Documents without a time are in a row of their own, whose
        window is null and whose state is "undated", and count in the reuse, whose `first` and `last` are then null if no other has one.
    """
    posts = _read(groups, documents, members)
    needed = int(doctrine["coordination.driving_members"])
    windows: list[Row] = []
    reuse: list[Row] = []
    for row in sorted(groups.select(["group_id", "accounts", "documents"]).to_pylist(), key=lambda row: str(row["group_id"])):
        rows = posts.rows_of(row["accounts"])
        shown = pc.is_in(posts.doc_id.take(pa.array(rows)), value_set=pa.array(row["documents"] or [], pa.string()))
        acts = np.asarray(shown.to_numpy(zero_copy_only=False), dtype=bool)
        windows += [{"group_id": row["group_id"], **found} for found in _windows(posts, rows, acts, needed)]
        reuse += [{"group_id": row["group_id"], **found} for found in _reuse(posts, rows)]
    return Tracks(table(windows, GROUP_WINDOWS), table(reuse, GROUP_REUSE))


def _row(fate: Fate) -> Row:
    event = _NAMED.get(fate.event) or ("growth" if fate.after > fate.before else "survival")
    sizes = {"accounts_before": fate.before, "accounts_after": fate.after, "shared": fate.shared, "overlap": fate.overlap}
    return {"event": event, "group_id": fate.name, "other_id": fate.other, **sizes}


def _renamed(new: Coordination, ids: Mapping[str, str]) -> Coordination:
    known, lasting = pa.array(list(ids), pa.string()), pa.array(list(ids.values()), pa.string())

    def named(rows: pa.Table) -> pa.Table:
        column = lasting.take(pc.index_in(rows["group_id"].combine_chunks(), value_set=known))
        return rows.set_column(rows.schema.get_field_index("group_id"), rows.schema.field("group_id"), column)

    groups, group_members = named(new.groups), named(new.group_members)
    keyed = pa.table(
        {"q": groups["q"], "size": pc.negate(pc.list_value_length(groups["accounts"])), "group_id": groups["group_id"]}
    ).append_column("place", pa.array(np.arange(groups.num_rows)))
    order = keyed.sort_by([("q", "ascending"), ("size", "ascending"), ("group_id", "ascending")])["place"]
    groups = groups.take(order).combine_chunks()
    rank = pc.index_in(group_members["group_id"].combine_chunks(), value_set=groups["group_id"].combine_chunks())
    by_group = np.argsort(rank.to_numpy(zero_copy_only=False), kind="stable")
    return replace(new, groups=groups.cast(GROUPS), group_members=group_members.take(pa.array(by_group)), edges=named(new.edges))


@dataclass(frozen=True, slots=True)
class _Posts:
    """Documents of accounts of any group, by account, time (undated last) and id.

    `start` has where the rows of each of `speakers` begin; `narrative` is a place in `narratives` or -1; `before` is the microseconds since
    the account's last dated document, -1 where there is none; `end` is the last time of the whole corpus.
    """

    speakers: Mapping[str, int]
    start: Ints
    speaker: Ints
    doc_id: pa.Array
    time: Ints
    dated: Mask
    narratives: list[str]
    narrative: Ints
    before: Ints
    end: int

    def rows_of(self, accounts: list[str]) -> Ints:
        places = [self.speakers[account] for account in sorted(accounts)]
        return np.concatenate([np.empty(0, dtype=np.int64), *(np.arange(self.start[place], self.start[place + 1]) for place in places)])


def _read(groups: pa.Table, documents: pa.Table, members: pa.Table) -> _Posts:
    names = sorted({account for accounts in groups["accounts"].to_pylist() for account in accounts})
    # An outlet without accounts can be a member of a group in its own name.
    speaker = pc.coalesce(*(pc.if_else(pc.equal(documents[name], ""), None, documents[name]) for name in ("account", "outlet")))
    place = pc.index_in(speaker, value_set=pa.array(names, pa.string()))
    theirs = pc.is_valid(place)
    rows = pa.table(
        {"speaker": place, "time": documents["published_at"].cast(pa.int64()), "doc_id": documents["doc_id"]},
    ).filter(theirs)
    rows = rows.sort_by([("speaker", "ascending"), ("time", "ascending"), ("doc_id", "ascending")])
    code = np.asarray(rows["speaker"].to_numpy(), dtype=np.int64)
    dated = pc.is_valid(rows["time"]).to_numpy()
    time = np.asarray(pc.fill_null(rows["time"], 0).to_numpy(), dtype=np.int64)
    narratives = sorted(members["narrative_id"].drop_null().unique().to_pylist())
    found = (
        members["narrative_id"]
        .combine_chunks()
        .take(pc.index_in(rows["doc_id"].combine_chunks(), value_set=members["doc_id"].combine_chunks()))
    )
    narrative = pc.fill_null(pc.index_in(found, value_set=pa.array(narratives, pa.string())), -1)
    before = np.full(len(code), -1, dtype=np.int64)
    follows = np.flatnonzero((np.diff(code) == 0) & dated[1:]) + 1
    before[follows] = time[follows] - time[follows - 1]
    last = pc.max(documents["published_at"].cast(pa.int64())).as_py()
    return _Posts(
        speakers={name: number for number, name in enumerate(names)},
        start=np.searchsorted(code, np.arange(len(names) + 1)),
        speaker=code,
        doc_id=rows["doc_id"].combine_chunks(),
        time=time,
        dated=dated,
        narratives=narratives,
        narrative=np.asarray(narrative.to_numpy(zero_copy_only=False), dtype=np.int64),
        before=before,
        end=int(last) if last is not None else 0,
    )


def _windows(posts: _Posts, rows: Ints, acts: Mask, needed: int) -> list[Row]:
    dated = posts.dated[rows]
    found: list[Row] = []
    if dated.any():
        mine, acting = rows[dated], acts[dated]
        order = np.lexsort((mine, posts.time[mine]))
        mine, acting = mine[order], acting[order]
        length = window_length(posts.time[mine[acting]], needed)
        number = (posts.time[mine] - MONDAY) // length
        edges = np.flatnonzero(np.diff(number, prepend=number[0] - 1, append=number[-1] + 1))
        final = (posts.end - MONDAY) // length
        used = [int(number[edge]) for edge in edges[:-1]]
        for (low, high), window, following in zip(pairwise(edges.tolist()), used, [*used[1:], int(final) + 1], strict=True):
            found.append(_window(posts, mine[low:high], acting[low:high], needed) | _span(window, window + 1, length))
            if following > window + 1:
                found.append(_nothing() | _span(window + 1, following, length) | {"state": "dormant"})
    if not dated.all():
        found.append(_window(posts, rows[~dated], acts[~dated], needed) | {"state": "undated"})
    return found


def window_length(times: Ints, needed: int) -> int:
    """Return the length of the windows of a group, from the times of the documents that show it.

    Parameters
    ----------
    times
        (documents,) int64 microseconds, ascending.
    needed
        Documents that a window should hold as a rule.

    Returns
    -------
    int
        One of `LENGTHS`, in microseconds.
    """
    if len(times) < needed:
        return LENGTHS[0]
    runs = times[needed - 1 :] - times[: len(times) - needed + 1]
    nearest = np.full(len(times), np.iinfo(np.int64).max)
    for place in range(needed):
        np.minimum(nearest[place : place + len(runs)], runs, out=nearest[place : place + len(runs)])
    pace = float(np.median(nearest))
    return next((length for length in LENGTHS if length >= pace), LENGTHS[-1])


def _window(posts: _Posts, rows: Ints, acts: Mask, needed: int) -> Row:
    acting = len(np.unique(posts.speaker[rows[acts]]))
    told = posts.narrative[rows]
    codes, counts = np.unique(told[told >= 0], return_counts=True)
    return {
        "accounts": len(np.unique(posts.speaker[rows])),
        "acting": acting,
        "documents": len(rows),
        "evidence": int(acts.sum()),
        "narratives": [posts.narratives[code] for code in codes[np.lexsort((codes, -counts))]],
        "state": "active" if acting >= needed else "present",
    }


def _nothing() -> Row:
    return {"accounts": 0, "acting": 0, "documents": 0, "evidence": 0, "narratives": []}


def _span(first: int, last: int, length: int) -> Row:
    start, end = pa.array([first * length + MONDAY, last * length + MONDAY], pa.int64()).cast(TIME).to_pylist()
    return {"window_start": start, "window_end": end}


def _reuse(posts: _Posts, rows: Ints) -> list[Row]:
    """Return a row for every account and narrative; `rows` are by account and time."""
    told = rows[posts.narrative[rows] >= 0]
    if not len(told):
        return []
    pairs, first, inverse, counts = np.unique(
        np.stack([posts.speaker[told], posts.narrative[told]], axis=1), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    # Undated documents come last, so that the first of a narrative is dated if any is.
    begin, dated = told[first], posts.dated[told]
    last = np.full(len(pairs), -1, dtype=np.int64)
    np.maximum.at(last, inverse.ravel()[dated], told[dated])
    known = posts.dated[begin]
    moments = pa.array(np.where(known, posts.time[begin], 0)).cast(TIME).to_pylist(), pa.array(posts.time[last]).cast(TIME).to_pylist()
    names = list(posts.speakers)
    order = np.lexsort((pairs[:, 1], np.where(known, posts.time[begin], np.iinfo(np.int64).max), pairs[:, 0]))
    found: list[Row] = []
    number, previous = -1, -1
    for place in order.tolist():
        speaker, narrative = pairs[place].tolist()
        silent = int(posts.before[begin[place]])
        number, previous = (number + 1 if speaker == previous else 0), speaker
        found.append(
            {
                "account": names[speaker],
                "narrative_id": posts.narratives[narrative],
                "first": moments[0][place] if known[place] else None,
                "last": moments[1][place] if known[place] else None,
                "documents": int(counts[place]),
                "silent_days": silent / DAY if known[place] and silent >= 0 else None,
                "turn": number,
            }
        )
    return found
