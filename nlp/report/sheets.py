"""The profile sheet of each campaign: what the template lays out, with every source numbered as in a footnote.

A sentence cites at most `CITED` of its documents and says how many more there are; lists are bounded and say the same. What a later
version of the profile adds is shown where it is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from greyzone.places import state_name
from greyzone.report.lanes import draw_lanes
from greyzone.report.parts import CITED, Row, day, rounded

SHEETS = 40
"""Campaigns that get a sheet: those with the most members; the others get a line each."""
LISTED = 60
"""Rows of a list on a sheet."""
CELL = 8
"""Pieces of evidence in a cell of the table of factors."""
DISARM = {"P01": "P01 plan", "P02": "P02 prepare", "P03": "P03 execute", "P04": "P04 assess"}
SIDES = ("for", "against", "unknown")
TONES = {"RED": "red", "AMBER": "amber", "AMBER+STRICT": "amber", "GREEN": "green", "CLEAR": "clear"}


def tell_campaigns(known: Mapping[str, pa.Table], scores: Mapping[str, Row]) -> tuple[list[Row], list[Row]]:
    """Build the sheets of the largest campaigns, and a line for each other one.

    Parameters
    ----------
    known
        Tables of the case by name.
    scores
        What the page says of each target state, by its code.

    Returns
    -------
    tuple
        Sheets and lines, each in the order of the table.
    """
    rows = known["campaigns"].to_pylist()
    ranked = sorted(rows, key=lambda row: (-len(row["incidents"] or ()) - len(row["narratives"] or ()), str(row["campaign_id"])))
    chosen = {row["campaign_id"] for row in ranked[:SHEETS]}
    parts = _Parts(known, [row for row in rows if row["campaign_id"] in chosen])
    sheets = [_sheet(row, parts, scores) for row in rows if row["campaign_id"] in chosen]
    return sheets, [_head(row) for row in rows if row["campaign_id"] not in chosen]


class _Parts:
    """Rows of the incidents, narratives, groups and links that the campaigns have, by id, and what became of the campaigns."""

    def __init__(self, known: Mapping[str, pa.Table], campaigns: Sequence[Row]) -> None:
        self.incidents = _by(known["incidents"], "incident_id", campaigns, "incidents")
        self.narratives = _by(known["narratives"], "narrative_id", campaigns, "narratives")
        self.groups = _by(known["groups"], "group_id", campaigns, "groups")
        self.links = _by(known["links"], "link_id", campaigns, "links")
        self.names = {
            name: dict(zip(known[table][key].to_pylist(), known[table][label].to_pylist(), strict=True))
            for name, table, key, label in (
                ("incident", "incidents", "incident_id", "name"),
                ("narrative", "narratives", "narrative_id", "label"),
            )
        }
        self.events: dict[str, list[Row]] = {}
        for event in known["campaign_lineage"].to_pylist():
            self.events.setdefault(event["campaign_id"], []).append(event)


def _by(found: pa.Table, key: str, campaigns: Sequence[Row], column: str) -> dict[str, Row]:
    wanted = pa.array(sorted({identity for row in campaigns for identity in row[column] or ()}), pa.string())
    return {row[key]: row for row in found.filter(pc.is_in(found[key], value_set=wanted)).to_pylist()}


def _head(row: Row) -> Row:
    return {
        "id": row["campaign_id"],
        "title": row["title"],
        "states": [state_name(code) for code in row["target_states"] or []],
        "window": [day(row["window_lo"]), day(row["window_hi"])],
        "sizes": {name: len(row[name] or []) for name in ("incidents", "narratives", "groups", "links")},
        "confidence": row["confidence"],
        "tlp": row["tlp"],
    }


def _sheet(row: Row, parts: _Parts, scores: Mapping[str, Row]) -> Row:
    profile = json.loads(str(row["profile"] or "{}"))
    sheet = _head(row) | {
        "tone": TONES.get(str(row["tlp"] or "").upper().removeprefix("TLP:"), "amber"),
        "decision": profile.get("decision"),
        "judgements": _items(profile.get("key_judgements")),
        "statements": _bounded(_items(row["statements"])),
        "lanes": draw_lanes(*_of(row, parts)),
        "moments": _bounded([item | {"day": str(item.get("time") or "")[:10]} for item in profile.get("timeline") or []]),
        "members": _bounded(_members(row, profile, parts)),
        "phases": _phases(profile.get("phase") or {}),
        "joint": _joint((profile.get("phase") or {}).get("joint") or []),
        "rests_on": _bounded((profile.get("phase") or {}).get("rests_on") or []),
        "phase_basis": (profile.get("phase") or {}).get("basis"),
        "techniques": _bounded(profile.get("techniques") or []),
        "hypotheses": (profile.get("hypotheses") or {}).get("hypotheses") or [],
        "reading": _items((profile.get("hypotheses") or {}).get("reading")),
        "evidence": _bounded(sorted((profile.get("hypotheses") or {}).get("evidence") or [], key=_diagnosticity)),
        "attribution": profile.get("attribution") or {"value": "unknown"},
        "bridges": _bounded([_bridge(entry, parts) for entry in profile.get("bridges") or []]),
        "words": (profile.get("words") or {}).get("scale"),
        "events": parts.events.get(row["campaign_id"], []),
        "indicators": [_indicator(entry) for entry in profile.get("indicators") or []],
        "gaps": _bounded([gap if isinstance(gap, dict) else {"text": gap, "documents": []} for gap in row["gaps"] or []]),
        "alternatives": _bounded(_items(row["alternatives"])),
        "scores": [scores[code] for code in row["target_states"] or [] if code in scores],
    }
    evidence = sheet["evidence"]["shown"]
    sheet["against"] = {
        entry["name"]: sum((row.get("ratings") or {}).get(entry["name"]) == "inconsistent" for row in evidence)
        for entry in sheet["hypotheses"]
    }
    sheet["evidence_of"] = len(evidence)
    sheet["sources"] = list(dict.fromkeys(_cited(sheet)))
    return sheet


def _of(row: Row, parts: _Parts) -> tuple[list[Row], list[Row], list[Row]]:
    found = ((parts.incidents, "incidents"), (parts.narratives, "narratives"), (parts.links, "links"))
    cyber, told, links = ([by[identity] for identity in row[column] or () if identity in by] for by, column in found)
    return cyber, told, links


def _members(row: Row, profile: Row, parts: _Parts) -> list[Row]:
    """Members with their probability, the likeliest first; a profile without these lists them all the same."""
    given = {entry.get("id"): entry.get("probability") for entry in profile.get("members") or []}
    named: list[Row] = []
    for kind, by, label in (("incident", parts.incidents, "name"), ("narrative", parts.narratives, "label"), ("group", parts.groups, None)):
        for identity in row[f"{kind}s"] or ():
            about = by.get(identity, {})
            name = about.get(label) if label else f"group of {len(about.get('accounts') or ())} accounts"
            named.append({"kind": kind, "id": identity, "name": name or identity, "p": rounded(given.get(identity), 2)})
    return sorted(named, key=lambda member: (0.0 if member["p"] is None else -member["p"], member["kind"], member["id"]))


def _phases(phase: Row) -> list[Row]:
    """Each distribution over phases as rows of name and probability."""
    found = []
    for title, key in (("By the lag of the narratives", "probabilities"), ("DISARM phase", "disarm"), ("ATT&CK tactic", "attack")):
        if isinstance(phase.get(key), dict) and phase[key]:
            found.append({"title": title, "rows": [[DISARM.get(name, name), float(p)] for name, p in sorted(phase[key].items())]})
    return found


def _bridge(entry: Row, parts: _Parts) -> Row:
    """Tell a link that leads out of the campaign, by the names of its ends."""
    ends = {kind: parts.names[kind].get(entry.get(f"{kind}_id")) or entry.get(f"{kind}_id") for kind in ("incident", "narrative")}
    return ends | {"p": [rounded(entry.get(key), 2) for key in ("p_lo", "p", "p_hi")]}


def _joint(cells: Sequence[Row]) -> Row:
    """Lay the joint probabilities out as a table: DISARM phases down, ATT&CK tactics across."""
    down, across = (sorted({str(cell[name]) for cell in cells}) for name in ("disarm", "attack"))
    found = {(str(cell["disarm"]), str(cell["attack"])): float(cell["p"]) for cell in cells}
    return {
        "across": across,
        "rows": [[DISARM.get(phase, phase), [found.get((phase, tactic), 0.0) for tactic in across]] for phase in down],
    }


def _indicator(entry: Row) -> Row:
    about = {"factor": entry["factor"], "source": entry.get("source"), "status": entry.get("status")}
    return about | {side: _bounded(entry.get(side) or [], CELL) for side in SIDES}


def _diagnosticity(row: Row) -> tuple[float, str]:
    return (-float(row.get("diagnosticity") or 0.0), str(row.get("text")))


def _items(found: Iterable[Any] | None) -> list[Row]:
    """Sentences with their documents, whichever way they are given."""
    return [dict(item) if isinstance(item, dict) else {"text": str(item), "documents": []} for item in found or ()]


def _bounded(rows: Sequence[Row], most: int = LISTED) -> Row:
    return {"shown": list(rows[:most]), "more": max(0, len(rows) - most)}


def _cited(content: object) -> Iterator[str]:
    """Ids under the ``documents`` keys of what a sheet shows, in its order, as many as each sentence cites."""
    if isinstance(content, dict):
        yield from (content.get("documents") or [])[:CITED]
        for key, value in content.items():
            if key not in ("documents", "scores", "lanes"):
                yield from _cited(value)
    elif isinstance(content, list):
        for value in content:
            yield from _cited(value)
