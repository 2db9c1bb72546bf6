"""The six published tables of incidents as one table of reports, and a key for every report that does not depend on greyzone's ids."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from greyzone.eval.joined import joined
from greyzone.incidents import read_reports
from greyzone.incidents.reports import list_of
from greyzone.records import Canonical

MAPPING: dict[str, object] = {
    "source": "ukraine",
    "columns": {
        "source": "source",
        "name": "canonical_incident_name",
        "description": "description",
        "source_id": "original_id",
        "onset": "date",
        "target_states": "target_country_iso",
        "actors": "actor",
        "actor_states": "actor_country",
        "technique_class": "event_subtype",
        "organisation": "target_actor",
        "urls": ["native_source_url", "external_citation_urls"],
    },
    "separators": {"target_states": ";"},
}
"""How the merged table of the war in Ukraine is read, as docs/data.md has it."""

FILES: dict[str, str] = {
    "eurepoc": "eurepoc_global_1.1.csv.gz",
    "dcid": "dcid_2.0_odd.csv.gz",
    "cfr": "cfr_cyber_operations_tracker.csv.gz",
    "csis": "csis_significant_incidents_parsed.csv.gz",
    "cyberpeace": "cyberpeace_ukraine_events.csv.gz",
    "ukraine": "ukraine_war_cyber_ops_merged.csv.gz",
}
"""Source and file of each table."""


def published_reports(folder: Path) -> pa.Table:
    """Return the reports of all tables as one table of `REPORTS`."""
    batches = [read_reports(folder / file, mapping=MAPPING if source == "ukraine" else None) for source, file in FILES.items()]
    return pa.concat_tables([batch.reports for batch in batches])


def key_of(row: dict[str, object]) -> str:
    """Return "table:row" of a report: its table and 1-based row there."""
    return f"{table_of(row)}:{row['offset']}"


def table_of(row: dict[str, object]) -> str:
    """Return the table that a report stands in, by its source."""
    return list_of(str(row["source"]))


def group_of(names: Iterable[str], canonical: Canonical) -> dict[str, str]:
    """Return, for report ids, the least report_id of its event, by what was merged."""
    listed = sorted(set(names))
    place = {name: at for at, name in enumerate(listed)}
    merged = [row for row in canonical.merges.to_pylist() if row["decision"] == "merged"]
    least = joined(len(listed), [(place[row["report_a"]], place[row["report_b"]]) for row in merged])
    return {name: listed[at] for name, at in zip(listed, least.tolist(), strict=True)}
