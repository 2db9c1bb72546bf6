"""Who is behind a campaign, as a person says: unknown until one does, and never written by a stage.

The history (table ``attributions``) only grows: who changes their mind adds a row. The last row of a campaign counts, whoever wrote it, and
stands in the profile as that person's words, "set by NAME, not by greyzone". It belongs to the campaign's id, which updates keep; a
campaign that was merged into another or ended keeps its rows, and hands them to no other.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa

from greyzone.errors import InputError
from greyzone.records import ATTRIBUTIONS, check, table
from greyzone.words import quoted

UNKNOWN = "unknown"


def set_by_hand(history: pa.Table, campaigns: pa.Table, *, said: str, who: str, basis: str, day: str) -> pa.Table:
    """Return the history with one attribution more; the same once more adds nothing.

    Parameters
    ----------
    history
        `ATTRIBUTIONS` so far.
    campaigns
        Table with a column campaign_id: what can be attributed.
    said
        "CAMPAIGN=ACTOR"; the actor "unknown" takes an attribution back.
    who, basis
        Who says so, and why.
    day
        ISO day.

    Raises
    ------
    InputError
        On an unknown campaign, an empty name, actor or basis, or a day that is none or lies before the last one.
    """
    campaign, equals, actor = (part.strip() for part in said.partition("="))
    if not (campaign and equals and actor):
        raise InputError(
            f"--attribute {said!r}", "CAMPAIGN=ACTOR", "for example --attribute cmp-1f2a=“Group 9”; ACTOR unknown takes it back"
        )
    if campaign not in set(campaigns["campaign_id"].to_pylist()):
        raise InputError(f"no campaign {campaign!r}", "a campaign_id of this case", "list them with: greyzone show CASE campaigns")
    for name, value in (("--who", who), ("--basis", basis)):
        if not value.strip():
            raise InputError(f"an attribution without {name}", "who says so and on what basis", f"give {name} TEXT")
    try:
        on = date.fromisoformat(day)
    except ValueError:
        raise InputError(f"day {day!r}", "a date such as 2016-10-07", "give --day DAY") from None
    row: dict[str, Any] = {"campaign_id": campaign, "value": actor, "who": who.strip(), "day": on, "basis": basis.strip()}
    last = _latest(history).get(campaign)
    if last is not None and all(last[name] == row[name] for name in ("value", "who", "basis")):
        return history
    if last is not None and on < last["day"]:
        raise InputError(f"day {on} for a campaign that was attributed on {last['day']}", "that day or a later one")
    row["revision"] = 0 if last is None else last["revision"] + 1
    return pa.concat_tables([check(history, ATTRIBUTIONS, "attributions"), table([row], ATTRIBUTIONS)])


def attributed(history: pa.Table) -> dict[str, dict[str, str]]:
    """Return what is shown of each campaign that a person attributed, the words of that person as quotations."""
    return {name: _shown(row) for name, row in _latest(history).items()}


def unattributed() -> dict[str, str]:
    """Return what is shown of a campaign that nobody attributed."""
    return {"value": UNKNOWN, "note": "set by nobody; greyzone attributes nothing"}


def _latest(history: pa.Table) -> dict[str, dict[str, Any]]:
    rows = sorted(check(history, ATTRIBUTIONS, "attributions").to_pylist(), key=lambda row: (row["campaign_id"], row["revision"]))
    return {row["campaign_id"]: row for row in rows}


def _shown(row: dict[str, Any]) -> dict[str, str]:
    value = str(row["value"])
    shown = UNKNOWN if value.casefold() == UNKNOWN else quoted(value)
    note = f"set by {quoted(row['who'])}, not by greyzone"
    return {"value": shown, "who": quoted(row["who"]), "day": str(row["day"]), "basis": quoted(row["basis"]), "note": note}
