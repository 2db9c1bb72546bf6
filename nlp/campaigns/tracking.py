"""Which campaign of a new run is which of the last one, and what became of the others.

A campaign has no name of its own, so it takes that of the campaign that it was, by incidents and narratives (`greyzone.kin`, with
``campaign.kin_share`` as the share). Any other new campaign is "split" from an old one or "born"; any other old one is "merged" into a new
one or "ended". One that goes on with other members has a row "continued"; one that nothing happened to has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from greyzone.kin import Fate, Sets, compare, fates
from greyzone.records import CAMPAIGN_LINEAGE, table

EVENTS = ("born", "split", "continued", "merged", "ended")
"""Events in the order of the rows of one update."""

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Kept:
    """`ids` maps the id proposed for each campaign to the one it gets; `events` are rows of `CAMPAIGN_LINEAGE` for this update alone."""

    ids: Mapping[str, str]
    events: pa.Table


def keep_ids(before: Sets, after: Sets, *, share: float, update: int) -> Kept:
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
    kin = compare(before, after, share=share, prefix="cmp")
    rows = sorted(map(_row, fates(kin, before, after)), key=lambda row: (EVENTS.index(str(row["event"])), str(row["campaign_id"])))
    return Kept(kin.ids, table([{"update": update, **row} for row in rows], CAMPAIGN_LINEAGE))


def _row(fate: Fate) -> Row:
    sizes = {"members_before": fate.before, "members_after": fate.after, "shared": fate.shared, "overlap": fate.overlap}
    return {"event": fate.event, "campaign_id": fate.name, "other_id": fate.other, **sizes}
