"""Which campaign of a new run is which of the last one, and what became of the others.

A campaign has no name of its own, so it takes that of the campaign that it was, by members, as narratives do by documents and groups by
accounts (`greyzone.lineage`, `greyzone.coordinate.tracking`; Greene, Doyle and Cunningham 2010). overlap(A, B) = |A and B| / |A or B|, of
incidents and narratives, where of B only those count that were in some campaign before: growth takes no name away. Pairs of the largest
overlap come first (then the most shared, then the smaller old and new ids); B goes on as A if neither is taken and their overlap is
``campaign.kin_share`` or more. Any other new campaign is "split" from the old one that gave it most members, if these are ``kin_share`` of
its own, else "born"; any other old one is "merged" into the one that got most of its members, if these are ``kin_share`` of them, else
"ended". One that goes on with other members has a row "continued"; one that nothing happened to has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import pyarrow as pa

from greyzone.records import CAMPAIGN_LINEAGE, content_id, table

EVENTS = ("born", "split", "continued", "merged", "ended")
"""Events in the order of the rows of one update."""

Members = Mapping[str, frozenset[str]]
Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Kept:
    """`ids` maps the id proposed for each campaign to the one it gets; `events` are rows of `CAMPAIGN_LINEAGE` for this update alone."""

    ids: Mapping[str, str]
    events: pa.Table


@dataclass(frozen=True, slots=True)
class _Pair:
    old: str
    new: str
    shared: int
    overlap: float


def keep_ids(before: Members, after: Members, *, share: float, update: int) -> Kept:
    """Say which campaigns go on, and what became of the others.

    Parameters
    ----------
    before, after
        Ids of incidents and narratives by campaign: under the ids that campaigns have, and under those proposed now.
    share
        ``campaign.kin_share``.
    update
        Number of this update.

    Returns
    -------
    Kept
        Ids, all different, and events in the order (`EVENTS`, campaign_id).
    """
    kin = _kin(before, after)
    heirs: dict[str, _Pair] = {}
    ids: dict[str, str] = {}
    for pair in kin:
        if pair.overlap >= share and pair.old not in heirs and pair.new not in ids:
            heirs[pair.old], ids[pair.new] = pair, pair.old
    taken = set(before)
    for name in sorted(set(after) - set(ids)):
        numbered = (content_id("cmp", name, number) if number else name for number in count())
        ids[name] = next(other for other in numbered if other not in taken)
        taken.add(ids[name])
    rows = [*_ends(before, after, kin, heirs, ids, share), *_begins(before, after, kin, heirs, ids, share)]
    rows.sort(key=lambda row: (EVENTS.index(str(row["event"])), str(row["campaign_id"])))
    return Kept(ids, table([{"update": update, **row} for row in rows], CAMPAIGN_LINEAGE))


def _kin(before: Members, after: Members) -> list[_Pair]:
    """Return the pairs of old and new campaigns that share members, the nearest first."""
    homes: dict[str, list[str]] = {}
    for name, members in before.items():
        for member in members:
            homes.setdefault(member, []).append(name)
    found = []
    for new, members in after.items():
        shared: dict[str, int] = {}
        for member in members:
            for old in homes.get(member, ()):
                shared[old] = shared.get(old, 0) + 1
        known = sum(member in homes for member in members)
        found += [_Pair(old, new, both, both / (len(before[old]) + known - both)) for old, both in shared.items()]
    return sorted(found, key=lambda pair: (-pair.overlap, -pair.shared, pair.old, pair.new))


def _ends(
    before: Members, after: Members, kin: Sequence[_Pair], heirs: Mapping[str, _Pair], ids: Mapping[str, str], share: float
) -> list[Row]:
    most = _largest(kin, "old")
    rows: list[Row] = []
    for name, members in before.items():
        if name in heirs:
            if members != after[heirs[name].new]:
                rows.append({"event": "continued", "campaign_id": name, **_figures(heirs[name], before, after)})
        elif name in most and most[name].shared >= share * len(members):
            pair = most[name]
            rows.append({"event": "merged", "campaign_id": name, "other_id": ids[pair.new], **_figures(pair, before, after)})
        else:
            rows.append({"event": "ended", "campaign_id": name, **_alone(len(members), 0)})
    return rows


def _begins(
    before: Members, after: Members, kin: Sequence[_Pair], heirs: Mapping[str, _Pair], ids: Mapping[str, str], share: float
) -> list[Row]:
    most = _largest(kin, "new")
    rows: list[Row] = []
    for name, members in after.items():
        if ids[name] in heirs:
            continue
        if name in most and most[name].shared >= share * len(members):
            pair = most[name]
            rows.append({"event": "split", "campaign_id": ids[name], "other_id": pair.old, **_figures(pair, before, after)})
        else:
            rows.append({"event": "born", "campaign_id": ids[name], **_alone(0, len(members))})
    return rows


def _largest(kin: Sequence[_Pair], side: str) -> dict[str, _Pair]:
    """Return for each campaign of one side its pair of most shared members, of equals the nearest kin."""
    found: dict[str, _Pair] = {}
    for pair in kin:
        name = str(getattr(pair, side))
        if name not in found or pair.shared > found[name].shared:
            found[name] = pair
    return found


def _figures(pair: _Pair, before: Members, after: Members) -> Row:
    sizes = {"members_before": len(before[pair.old]), "members_after": len(after[pair.new])}
    return {**sizes, "shared": pair.shared, "overlap": pair.overlap}


def _alone(before: int, after: int) -> Row:
    return {"members_before": before, "members_after": after, "shared": 0, "overlap": 0.0}
