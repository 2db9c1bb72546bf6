"""Where everything on the page comes from: cited documents and reports, coverage and drops, inputs and doctrine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from greyzone.doctrine import Doctrine
from greyzone.report.parts import Row, day, shorten
from greyzone.words import pseudonym

_JOURNEY = ("collect", "collapse", "embed", "narratives", "coordinate", "incidents", "link", "impact", "campaigns")
_NO_COUNTS = frozenset({"context", "clusterer", "bytes", "fingerprint", "dimensions", "inputs", "update", "joined"})

_WORDS = {
    ("collapse", "representatives"): "texts without their copies",
    ("embed", "without_vector"): "texts without a vector",
    ("narratives", "languages"): "languages in the vectors",
    ("narratives", "lexical"): "the corpus's own words",
    ("narratives", "noise"): "documents in no narrative",
    ("narratives", "lineage"): "since the last clustering",
    ("coordinate", "flagged"): "groups that no tested alternative explains",
    ("coordinate", "paraphrases"): "rewordings",
    ("coordinate", "lineage"): "since the last run",
    ("campaigns", "bridges"): "links that lead from one to another",
    ("campaigns", "lineage"): "since the last run",
    ("campaigns", "techniques"): "techniques tagged",
}
"""What a count is called on the page, where its name in the manifest says too little."""

EXCERPT = 400
"""Characters of a text that the page shows; the case holds it whole."""


def cited(stories: list[Row], links: list[Row], groups: list[Row], campaigns: list[Row]) -> set[str]:
    """Collect the ids of every document and report that the page refers to."""
    found: set[str] = set()
    for entry, key in ((stories, "exemplars"), (links, "evidence"), (groups, "documents")):
        for row in entry:
            found |= set(row[key])
    for campaign in campaigns:
        found |= set(campaign["sources"])
    return found


def documents(known: Mapping[str, pa.Table], cited: Iterable[str]) -> list[Row]:
    """List the cited documents with the file and row that each came from."""
    chosen = pa.array(sorted(cited), pa.string())
    rows = known["documents"].filter(pc.is_in(known["documents"]["doc_id"], value_set=chosen)).to_pylist()
    sources: dict[str, str] = {}
    table = known["sources"]
    for row in table.filter(pc.is_in(table["doc_id"], value_set=chosen)).to_pylist():
        sources.setdefault(row["doc_id"], f"{row['path']}, row {row['offset']}")
    return [
        {
            "id": row["doc_id"],
            "text": shorten(row["text"] or "", EXCERPT),
            "date": str(row["published_at"].date()) if row["published_at"] else "undated",
            "lang": row["lang"],
            "account": pseudonym(row["account"]) if row["account"] else "no account",
            "source": sources.get(row["doc_id"], ""),
        }
        for row in rows
    ]


def reports(known: Mapping[str, pa.Table], cited: Iterable[str]) -> list[Row]:
    """List the cited incident reports with the file and row that each came from."""
    chosen = pa.array(sorted(cited), pa.string())
    rows = known["reports"].filter(pc.is_in(known["reports"]["report_id"], value_set=chosen)).sort_by("report_id").to_pylist()
    return [
        {
            "id": row["report_id"],
            "source": row["source"],
            "source_id": row["source_id"] or "",
            "name": row["name"],
            "description": shorten(row["description"] or "", EXCERPT),
            "onset": f"{day(row['onset_lo']) or 'undated'} to {day(row['onset_hi']) or 'undated'} ({row['onset_precision'] or 'unknown'})",
            "place": f"{row['path']}, row {row['offset']}",
        }
        for row in rows
    ]


def coverage(notes: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return every count of what was read, dropped, mended or could not be judged, by stage in the order of the journey."""
    found: list[tuple[str, list[tuple[str, str]]]] = []
    for stage in sorted(notes, key=lambda name: (_JOURNEY.index(name) if name in _JOURNEY else len(_JOURNEY), name)):
        lines = [
            (_WORDS.get((stage, key), key.replace("_", " ")), _note(key, value))
            for key, value in sorted(notes[stage].items())
            if key not in _NO_COUNTS
        ]
        if lines:
            found.append((stage, lines))
    return found


def _note(key: str, value: object) -> str:
    if isinstance(value, dict) and "reason" in value:
        return str(value["reason"]) + (f"; weight {value['weight']:.2g}" if value.get("weight") is not None else "")
    told = _counts(value) if isinstance(value, dict) else _number(value)
    if key == "unknown_scripts" and value:
        told = told.replace("Zzzz", "rare scripts")
        told += ": documents mainly in scripts that the encoder does not know; their narratives and links are not to be relied on"
    return told


def _counts(value: Mapping[str, Any]) -> str:
    # Sorted here: a manifest that was read back has its keys in another order than the one of the run that wrote it.
    if any(isinstance(item, str) for item in value.values()):
        return ", ".join(f"{name}: {_number(value[name])}" for name in sorted(value))
    return ", ".join(f"{name}: {_number(value[name])}" for name in sorted(value, key=lambda name: (-value[name], name))) or "none"


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def provenance(manifest: Mapping[str, Any], doctrine: Doctrine) -> Row:
    """Return version, inputs, settings and every number of the doctrine."""
    inputs, settings = (dict(manifest.get(name) or {}) for name in ("inputs", "settings"))
    # A manifest that was read back has lists where the one of the run has tuples.
    settings = {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
    return {
        "version": manifest.get("greyzone"),
        "inputs": [{"name": str(path).rsplit("/", 1)[-1], "sha256": sha} for path, sha in sorted(inputs.items())],
        "settings": {key: value for key, value in settings.items() if key not in {"documents", "incidents", "incident_mapping"}},
        "doctrine": [
            leaf.model_dump() | {"name": name, "range": f"{leaf.range[0]:g} to {leaf.range[1]:g}"} for name, leaf in doctrine.leaves.items()
        ],
    }
