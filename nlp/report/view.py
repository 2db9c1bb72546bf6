"""What the report shows, drawn from the tables of a case: plain dictionaries, nothing that the tables do not hold.

What is left out of a list for the reader's sake is counted beside it; the tables of the case hold it all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from greyzone.doctrine import Doctrine
from greyzone.places import state_name
from greyzone.records import LINK_TYPES, LLRS, TABLES, empty
from greyzone.report import provenance
from greyzone.report.activity import group_activity, group_reuse
from greyzone.report.names import known_names, without_names
from greyzone.report.narratives import tell_narratives
from greyzone.report.network import layout_network
from greyzone.report.parts import NAME, Row, day, rounded, shorten
from greyzone.report.scores import names_of, tell_scores, tell_terms
from greyzone.report.sheets import tell_campaigns
from greyzone.words import pseudonym

View = dict[str, Any]

_SHOWN_P = 0.05
"""Links below this probability that are not on the displayed list are counted, not listed."""
_TIMELINE_NARRATIVES = 14
_DRAWN_P = 0.3
"""Links from this probability on decide which narratives the timeline draws."""
_TOLD_STATES = 3
_GROUP_DOCUMENTS = 8
"""Documents of a group that the page names; it says how many there are."""


def build_view(tables: Mapping[str, pa.Table], manifest: Mapping[str, Any], *, doctrine: Doctrine) -> View:
    """Collect everything that the template and the script need.

    Parameters
    ----------
    tables
        Tables of the case by name.
    manifest
        Its manifest.
    doctrine
        The doctrine in force.

    Returns
    -------
    dict
        Texts and lists for the template, and under ``data`` the JSON for the script.
    """
    known = {name: tables.get(name, empty(schema)) for name, schema in TABLES.items()}
    stages = manifest.get("stages")
    notes = {name: record.get("notes", {}) for name, record in stages.items()} if isinstance(stages, dict) else {}
    belongs = _members(known["group_members"])
    names = known_names(known["documents"]) if known["groups"].num_rows else frozenset()
    groups = [_group(row, belongs, names) for row in known["groups"].to_pylist()]
    coordinated = _coordinated(known["carriers"])
    stories = tell_narratives(known["narratives"], coordinated)
    labels = {str(story["id"]): str(story["label"]) for story in stories}
    active, used = group_activity(known["group_windows"]), group_reuse(known["group_reuse"], labels)
    links, unlisted = _links(known, doctrine)
    linked = {link["narrative"] for link in links}
    for story in stories:
        story["linked"] = story["id"] in linked
    impact = tell_scores(known)
    campaigns, briefly = tell_campaigns(known, {entry["state"]: entry for entry in impact})
    ranked = sorted(impact, key=_by_evidence)
    terms, untold = tell_terms(known, [entry["state"] for entry in ranked])
    cited = provenance.cited(stories, links, groups, campaigns)
    documents, reports = provenance.documents(known, cited), provenance.reports(known, cited)
    return {
        "facts": _facts(known, groups, links, doctrine),
        "groups": [
            group | {"accounts": [pseudonym(account) for account in group["accounts"]]} | _course(group, active, used) for group in groups
        ],
        "campaigns": campaigns,
        "more_campaigns": briefly,
        "documents": documents,
        "reports": reports,
        "sources": {row["id"]: row for row in (*documents, *reports)},
        "impact": impact,
        "most_evidence": [entry for entry in ranked if entry["last"]["score"][1] is not None][:_TOLD_STATES],
        "coverage": provenance.coverage(notes),
        "traces": known["traces"].to_pylist(),
        "provenance": provenance.provenance(manifest, doctrine),
        "unlisted_links": unlisted,
        "least_p": _SHOWN_P,
        "link_context": notes.get("link", {}).get("context", {}),
        "states": {code: state_name(code) for code in sorted({str(row["state"]) for row in impact})},
        "data": {
            "narratives": stories,
            "timeline": _timeline(stories, links),
            "links": links,
            "incidents": _incidents(known, links),
            "network": layout_network(
                known["groups"],
                known["edges"],
                {str(group["id"]): bool(group["flagged"]) for group in groups},
                pseudonym,
                known["group_members"],
            ),
            "impact": impact,
            "first_state": ranked[0]["state"] if ranked else None,
            "terms": terms,
            "no_room": untold,
            "wide": doctrine["impact.wide"],
            "names": names_of(known),
            "llrs": list(LLRS),
            "types": list(LINK_TYPES),
        },
    }


def _facts(known: Mapping[str, pa.Table], groups: list[Row], links: list[Row], doctrine: Doctrine) -> View:
    documents = known["documents"]
    dated = documents["published_at"].drop_null()
    noise = pc.sum(pc.is_null(known["members"]["narrative_id"])).as_py() or 0
    fdr = doctrine["link.fdr"]
    return {
        "documents": documents.num_rows,
        "accounts": pc.count_distinct(documents["account"]).as_py(),
        # Detection names a stray language for a short text now and then; a count of every code would look like reach.
        "languages": sum(entry["counts"] >= 0.01 * documents.num_rows for entry in pc.value_counts(documents["lang"]).to_pylist()),
        "first": str(pc.min(dated).as_py().date()) if len(dated) else "undated",
        "last": str(pc.max(dated).as_py().date()) if len(dated) else "undated",
        "narratives": known["narratives"].num_rows,
        "noise": noise,
        "incidents": known["incidents"].num_rows,
        "groups": len(groups),
        "flagged": sum(bool(group["flagged"]) for group in groups),
        "links": known["links"].num_rows,
        "beyond": _beyond_chance(links),
        "shifted": known["links"]["q"].null_count < known["links"].num_rows,
        "fdr": fdr,
        "calibrated": known["links"].num_rows > 0 and pc.all(known["links"]["calibrated"]).as_py() is True,
        "reviewed": len(set(known["decisions"]["link_id"].to_pylist()) & set(known["links"]["link_id"].to_pylist())),
        "campaigns": known["campaigns"].num_rows,
        "decision": doctrine.phrase("decision"),
        "doctrine": f"{doctrine.id} {doctrine.hash}",
    }


def _beyond_chance(links: list[Row]) -> Row:
    """Count the displayed links, and how many of them are wrong if each holds as often as its own probability says, with bounds."""
    chosen = [[value if value is not None else link["p"][1] for value in link["p"]] for link in links if link["displayed"]]
    low, middle, high = (sum(1.0 - points[place] for points in chosen) for place in (2, 1, 0))
    return {"links": len(chosen), "wrong": [low, middle, high]}


def _members(rows: pa.Table) -> dict[tuple[str, str], float | None]:
    columns = (rows[name].to_pylist() for name in ("group_id", "account", "probability"))
    return {(group, account): rounded(probability, 2) for group, account, probability in zip(*columns, strict=True)}


def _group(row: Row, belongs: Mapping[tuple[str, str], float | None], names: frozenset[str]) -> Row:
    explanations = row["explanations"] or []
    fitting = [item["name"] for item in explanations if item["fits"]]
    return {
        "id": row["group_id"],
        "accounts": row["accounts"] or [],
        "members": [[pseudonym(account), belongs.get((row["group_id"], account))] for account in row["accounts"] or []],
        "traces": row["traces"] or [],
        "window": [day(row["window_lo"]), day(row["window_hi"])],
        "core": row["statistic"],
        "p": row["p"],
        "q": row["q"],
        "items": [shorten(without_names(label, names), NAME) for label in row["items"] or []],
        "documents": (row["documents"] or [])[:_GROUP_DOCUMENTS],
        "documents_total": len(row["documents"] or []),
        "explanations": explanations,
        "fitting": fitting,
        "flagged": not fitting,
    }


def _course(group: Row, active: Mapping[str, Row], used: Mapping[str, Row]) -> Row:
    nothing: Row = {"shown": [], "of": 0}
    return {"activity": active.get(group["id"], nothing), "reuse": used.get(group["id"], nothing)}


def _coordinated(carriers: pa.Table) -> dict[str, float]:
    together = carriers.filter(pc.is_null(carriers["group_id"]))
    return dict(zip(together["narrative_id"].to_pylist(), together["share"].to_pylist(), strict=True))


def _links(known: Mapping[str, pa.Table], doctrine: Doctrine) -> tuple[list[Row], int]:
    fdr = doctrine["link.fdr"]
    listed: list[Row] = []
    unlisted = 0
    for row in known["links"].to_pylist():
        displayed = row["q"] is not None and row["q"] <= fdr
        if not displayed and (row["p"] or 0) < _SHOWN_P:
            unlisted += 1
            continue
        listed.append(
            {
                "id": row["link_id"],
                "incident": row["incident_id"],
                "narrative": row["narrative_id"],
                "type": row["type"],
                "types": [rounded(value) for value in (row["type_probabilities"] or [])],
                "p": [rounded(row["p_lo"]), rounded(row["p"]), rounded(row["p_hi"])],
                "q": rounded(row["q"]),
                "placebo": rounded(row["placebo_precision"]),
                "lag": rounded(row["lag_days"], 1),
                "llr": [rounded(row[f"llr_{name}"], 2) for name in LLRS],
                "entities": [shorten(name, NAME) for name in row["shared_entities"] or []],
                "evidence": row["evidence"] or [],
                "rivals": [[rival["incident_id"], rounded(rival["p"])] for rival in (row["rivals"] or [])],
                "displayed": displayed,
            }
        )
    listed.sort(key=lambda link: (-(link["p"][1] or 0), str(link["id"])))
    return listed, unlisted


def _incidents(known: Mapping[str, pa.Table], links: list[Row]) -> list[Row]:
    needed = {link["incident"] for link in links} | {rival[0] for link in links for rival in link["rivals"]}
    return [
        {
            "id": row["incident_id"],
            "name": row["name"],
            "onset": [day(row["onset_lo"]), day(row["onset_hi"])],
            "precision": row["onset_precision"],
            "state": row["target_state"],
            "technique": row["technique_class"],
            "sources": row["sources"] or [],
            "description": shorten(str(row["description"] or ""), provenance.EXCERPT),
        }
        for row in known["incidents"].to_pylist()
        if row["incident_id"] in needed
    ]


def _timeline(stories: list[Row], links: list[Row]) -> Row:
    """Choose the narratives of the timeline: those with the strongest links, then the largest."""
    best: dict[str, float] = {}
    for link in links:
        if (link["p"][1] or 0.0) >= _DRAWN_P:
            best[link["narrative"]] = max(best.get(link["narrative"], 0.0), link["p"][1])
    ordered = sorted(stories, key=lambda story: (-best.get(story["id"], 0.0), -story["size"], story["id"]))
    return {"narratives": [story["id"] for story in ordered[:_TIMELINE_NARRATIVES]], "of": len(stories), "least": _DRAWN_P}


def _by_evidence(entry: Row) -> tuple[bool, int, str]:
    return (entry["last"]["score"][1] is None, -len(entry["shares"]), str(entry["state"]))
