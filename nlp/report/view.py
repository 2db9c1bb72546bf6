"""What the report shows, drawn from the tables of a case: plain dictionaries, nothing that the tables do not hold.

What is left out of a list for the reader's sake is counted beside it; the tables of the case hold it all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from greyzone.doctrine import Doctrine
from greyzone.places import state_name
from greyzone.records import LINK_TYPES, LLRS, TABLES, content_id, empty
from greyzone.report.network import layout_network

Row = dict[str, object]
View = dict[str, object]

_SHOWN_P = 0.05
"""Links below this probability that are not on the displayed list are counted, not listed."""
_EXCERPT = 400
_TIMELINE_NARRATIVES = 14


def build_view(tables: Mapping[str, pa.Table], manifest: Mapping[str, object], *, doctrine: Doctrine) -> View:
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
    groups = [_group(row) for row in known["groups"].to_pylist()]
    flagged_accounts = {account for group in groups if group["flagged"] for account in group["accounts"]}
    coordinated = _coordinated(known, flagged_accounts)
    stories = [_narrative(row, coordinated) for row in known["narratives"].to_pylist()]
    links, unlisted = _links(known, doctrine)
    linked = {link["narrative"] for link in links}
    for story in stories:
        story["linked"] = story["id"] in linked
    campaigns = [_campaign(row) for row in known["campaigns"].to_pylist()]
    impact = _impact(known)
    cited = _cited(stories, links, groups, campaigns)
    return {
        "facts": _facts(known, groups, links, campaigns, doctrine),
        "groups": [group | {"accounts": [pseudonym(account) for account in group["accounts"]]} for group in groups],
        "campaigns": campaigns,
        "documents": _documents(known, cited),
        "impact": impact,
        "coverage": _coverage(notes),
        "traces": known["traces"].to_pylist(),
        "provenance": _provenance(manifest, doctrine),
        "unlisted_links": unlisted,
        "link_context": notes.get("link", {}).get("context", {}),
        "states": {code: state_name(code) for code in sorted({str(row["state"]) for row in impact})},
        "data": {
            "narratives": stories,
            "timeline": _timeline(stories, links),
            "links": links,
            "incidents": _incidents(known, links),
            "network": layout_network(
                known["groups"], known["edges"], {str(group["id"]): bool(group["flagged"]) for group in groups}, pseudonym
            ),
            "impact": impact,
            "names": _names(known),
            "llrs": list(LLRS),
            "types": list(LINK_TYPES),
        },
    }


def pseudonym(account: str) -> str:
    """Return a stable short name that does not give the account's own away to a reader."""
    return "account " + content_id("acc", account)[4:10]


def _facts(known: Mapping[str, pa.Table], groups: list[Row], links: list[Row], campaigns: list[Row], doctrine: Doctrine) -> View:
    documents = known["documents"]
    dated = documents["published_at"].drop_null()
    noise = pc.sum(pc.is_null(known["members"]["narrative_id"])).as_py() or 0
    fdr = doctrine["link.fdr"]
    return {
        "documents": documents.num_rows,
        "accounts": pc.count_distinct(documents["account"]).as_py(),
        "languages": pc.count_distinct(documents["lang"]).as_py(),
        "first": str(pc.min(dated).as_py().date()) if len(dated) else "undated",
        "last": str(pc.max(dated).as_py().date()) if len(dated) else "undated",
        "narratives": known["narratives"].num_rows,
        "noise": noise,
        "incidents": known["incidents"].num_rows,
        "groups": len(groups),
        "flagged": sum(bool(group["flagged"]) for group in groups),
        "links": known["links"].num_rows,
        "displayed_links": sum(bool(link["displayed"]) for link in links),
        "fdr": fdr,
        "campaigns": len(campaigns),
        "decision": doctrine.phrase("decision"),
        "doctrine": f"{doctrine.id} {doctrine.hash}",
    }


def _narrative(row: Row, coordinated: Mapping[str, float]) -> Row:
    return {
        "id": row["narrative_id"],
        "label": row["label"],
        "headline": row["headline"],
        "keywords": row["keywords"] or [],
        "size": row["size"],
        "texts": row["distinct_texts"],
        "accounts": row["accounts"],
        "languages": row["languages"] or [],
        "targets": row["targets"] or [],
        "onset": [_day(row["onset_lo"]), _day(row["onset_hi"])],
        "peak": _day(row["peak_day"]),
        "exemplars": row["exemplars"] or [],
        "breakout": [round(value, 3) for value in (row["breakout"] or [])],
        "volume": [[_day(point["day"]), point["documents"]] for point in (row["volume"] or [])],  # type: ignore[attr-defined]
        "coordinated": _rounded(coordinated.get(str(row["narrative_id"]), 0.0)),
    }


def _group(row: Row) -> Row:
    explanations = row["explanations"] or []
    fitting = [item["name"] for item in explanations if item["fits"]]  # type: ignore[attr-defined]
    return {
        "id": row["group_id"],
        "accounts": row["accounts"] or [],
        "traces": row["traces"] or [],
        "window": [_day(row["window_lo"]), _day(row["window_hi"])],
        "core": row["statistic"],
        "p": row["p"],
        "q": row["q"],
        "items": row["items"] or [],
        "documents": (row["documents"] or [])[:8],  # type: ignore[index]
        "documents_total": len(row["documents"] or []),  # type: ignore[arg-type]
        "explanations": explanations,
        "fitting": fitting,
        "flagged": not fitting,
    }


def _coordinated(known: Mapping[str, pa.Table], accounts: set[object]) -> dict[str, float]:
    if not accounts or known["members"].num_rows == 0:
        return {}
    documents = known["documents"].select(["doc_id", "account"])
    chosen = pc.is_in(documents["account"], value_set=pa.array(sorted(map(str, accounts))))
    marked = documents.append_column("coordinated", pc.cast(chosen, pa.int64()))
    joined = known["members"].select(["doc_id", "narrative_id"]).drop_null().join(marked.select(["doc_id", "coordinated"]), "doc_id")
    shares = joined.group_by("narrative_id").aggregate([("coordinated", "mean")])
    return dict(zip(shares["narrative_id"].to_pylist(), shares["coordinated_mean"].to_pylist(), strict=True))


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
                "types": [_rounded(value) for value in (row["type_probabilities"] or [])],
                "p": [_rounded(row["p_lo"]), _rounded(row["p"]), _rounded(row["p_hi"])],
                "q": _rounded(row["q"]),
                "placebo": _rounded(row["placebo_precision"]),
                "lag": _rounded(row["lag_days"], 1),
                "llr": [_rounded(row[f"llr_{name}"], 2) for name in LLRS],
                "entities": row["shared_entities"] or [],
                "evidence": row["evidence"] or [],
                "rivals": [[rival["incident_id"], _rounded(rival["p"])] for rival in (row["rivals"] or [])],
                "displayed": displayed,
            }
        )
    listed.sort(key=lambda link: (-(link["p"][1] or 0), str(link["id"])))  # type: ignore[index]
    return listed, unlisted


def _incidents(known: Mapping[str, pa.Table], links: list[Row]) -> list[Row]:
    needed = {link["incident"] for link in links} | {rival[0] for link in links for rival in link["rivals"]}  # type: ignore[attr-defined]
    return [
        {
            "id": row["incident_id"],
            "name": row["name"],
            "onset": [_day(row["onset_lo"]), _day(row["onset_hi"])],
            "precision": row["onset_precision"],
            "state": row["target_state"],
            "technique": row["technique_class"],
            "sources": row["sources"] or [],
            "description": _shorten(str(row["description"] or ""), _EXCERPT),
        }
        for row in known["incidents"].to_pylist()
        if row["incident_id"] in needed
    ]


def _names(known: Mapping[str, pa.Table]) -> dict[str, str]:
    """Names of everything that a share of a score may point to."""
    wanted = set(known["shares"]["item_id"].to_pylist())
    incidents = zip(known["incidents"]["incident_id"].to_pylist(), known["incidents"]["name"].to_pylist(), strict=True)
    stories = zip(known["narratives"]["narrative_id"].to_pylist(), known["narratives"]["label"].to_pylist(), strict=True)
    return {identity: name for identity, name in (*incidents, *stories) if identity in wanted}


def _timeline(stories: list[Row], links: list[Row]) -> Row:
    """Choose the narratives of the timeline: those on the displayed list by their best link, then the largest."""
    best: dict[object, float] = {}
    for link in links:
        if link["displayed"]:
            best[link["narrative"]] = max(best.get(link["narrative"], 0.0), float(link["p"][1] or 0))  # type: ignore[index]
    ordered = sorted(stories, key=lambda story: (-best.get(story["id"], -1.0), -int(story["size"]), str(story["id"])))  # type: ignore[call-overload]
    return {"narratives": [story["id"] for story in ordered[:_TIMELINE_NARRATIVES]], "of": len(stories)}


def _campaign(row: Row) -> Row:
    profile = json.loads(str(row["profile"] or "{}"))
    return {
        "id": row["campaign_id"],
        "title": row["title"],
        "states": [state_name(code) for code in (row["target_states"] or [])],  # type: ignore[attr-defined]
        "window": [_day(row["window_lo"]), _day(row["window_hi"])],
        "sizes": {name: len(row[name] or []) for name in ("incidents", "narratives", "groups", "links")},  # type: ignore[arg-type]
        "statements": row["statements"] or [],
        "alternatives": row["alternatives"] or [],
        "gaps": row["gaps"] or [],
        "confidence": row["confidence"],
        "tlp": row["tlp"],
        "profile": profile,
    }


def _impact(known: Mapping[str, pa.Table]) -> list[Row]:
    """One entry a state: its curve, the vector of the last day, the shares."""
    rows = known["impact"].sort_by([("target_state", "ascending"), ("date", "ascending")]).to_pylist()
    shares: dict[tuple[object, object], list[Row]] = {}
    for share in known["shares"].to_pylist():
        shares.setdefault((share["target_state"], share["date"]), []).append(share)
    states: dict[str, list[Row]] = {}
    for row in rows:
        states.setdefault(row["target_state"], []).append(row)
    found = [_state(state, series, shares.get((state, series[-1]["date"]), [])) for state, series in states.items()]
    return sorted(
        found, key=lambda entry: (-(entry["last"]["score"][1] if entry["last"]["score"][1] is not None else -1.0), str(entry["state"]))
    )  # type: ignore[index]


def _state(state: str, series: list[Row], shares: list[Row]) -> Row:
    last = series[-1]
    ordered = sorted(shares, key=lambda share: (-float(share["share"]), str(share["item_id"])))  # type: ignore[arg-type]
    keys = ("score_p05", "score_p50", "score_p95", "doctrine_p05", "doctrine_p95")
    return {
        "state": state,
        "name": state_name(state) if state else "state not named",
        "curve": [[_day(row["date"]), *(_rounded(row[key], 2) for key in keys)] for row in series],
        "last": {
            "date": _day(last["date"]),
            "score": [_rounded(last[key], 1) for key in ("score_p05", "score_p50", "score_p95")],
            "doctrine": [_rounded(last[key], 1) for key in ("doctrine_p05", "doctrine_p95")],
            "status": last["status"],
            "peak": _rounded(last["peak"], 1),
            "peak_item": last["peak_item"],
            "peak_words": last["peak_words"],
            "excess": _rounded(last["excess"], 1),
            "tempo": _rounded(last["tempo"], 2),
            "tempo_p": _rounded(last["tempo_p"], 3),
            "breadth": _rounded(last["breadth"], 2),
            "hybridity": _rounded(last["hybridity"], 3),
            "coverage": last["coverage"],
        },
        "shares": [
            [s["item_id"], s["kind"], _rounded(s["share"], 3), _rounded(s["share_p05"], 3), _rounded(s["share_p95"], 3)] for s in ordered
        ],
    }


def _cited(stories: list[Row], links: list[Row], groups: list[Row], campaigns: list[Row]) -> set[str]:
    found: set[str] = set()
    for entry, key in ((stories, "exemplars"), (links, "evidence"), (groups, "documents")):
        for row in entry:
            found |= set(row[key])  # type: ignore[call-overload]
    for campaign in campaigns:
        for item in (*campaign["statements"], *campaign["alternatives"]):  # type: ignore[misc]
            found |= set(item["documents"] or [])
    return found


def _documents(known: Mapping[str, pa.Table], cited: Iterable[str]) -> list[Row]:
    chosen = pa.array(sorted(cited), pa.string())
    rows = known["documents"].filter(pc.is_in(known["documents"]["doc_id"], value_set=chosen)).to_pylist()
    sources: dict[str, str] = {}
    table = known["sources"]
    for row in table.filter(pc.is_in(table["doc_id"], value_set=chosen)).to_pylist():
        sources.setdefault(row["doc_id"], f"{row['path']}, row {row['offset']}")
    return [
        {
            "id": row["doc_id"],
            "text": _shorten(row["text"] or "", _EXCERPT),
            "date": str(row["published_at"].date()) if row["published_at"] else "undated",
            "lang": row["lang"],
            "account": pseudonym(row["account"]) if row["account"] else "no account",
            "source": sources.get(row["doc_id"], ""),
        }
        for row in rows
    ]


def _coverage(notes: Mapping[str, object]) -> list[tuple[str, str]]:
    """Every count of what was read, dropped, mended or could not be judged, in the order of the journey."""
    lines: list[tuple[str, str]] = []
    for stage, content in notes.items():
        if not isinstance(content, dict):
            continue
        for key, value in content.items():
            if key in {"context", "clusterer", "bytes", "fingerprint", "dimensions"}:
                continue
            told = ", ".join(f"{name}: {count}" for name, count in value.items()) or "none" if isinstance(value, dict) else str(value)
            lines.append((f"{stage}: {key.replace('_', ' ')}", told))
    return sorted(lines)


def _provenance(manifest: Mapping[str, object], doctrine: Doctrine) -> View:
    inputs = manifest.get("inputs")
    settings = manifest.get("settings")
    return {
        "version": manifest.get("greyzone"),
        "inputs": [{"name": str(path).rsplit("/", 1)[-1], "sha256": sha} for path, sha in sorted(inputs.items())]
        if isinstance(inputs, dict)
        else [],
        "settings": {key: value for key, value in settings.items() if key not in {"documents", "incidents"}}
        if isinstance(settings, dict)
        else {},
        "doctrine": [
            {
                "name": name,
                "value": leaf.value,
                "range": f"{leaf.range[0]:g} to {leaf.range[1]:g}",
                "status": leaf.status,
                "source": leaf.source,
            }
            for name, leaf in doctrine.leaves.items()
        ],
    }


def _day(value: object) -> str | None:
    if isinstance(value, datetime):
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, date) else None


def _rounded(value: object, digits: int = 3) -> float | None:
    return None if not isinstance(value, int | float) or not math.isfinite(value) else round(float(value), digits)


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rsplit(" ", 1)[0] + "…"
