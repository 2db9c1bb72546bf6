"""Part `bad-input`: files of incidents that are odd in one way; every object of each has to be a report, part of one, or a counted reject.

The large bundle is read in a process of its own, so that the peak is that of reading it.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greyzone.errors import GreyzoneError
from greyzone.incidents import read_reports

Item = dict[str, Any]
_READ = """
import json, sys, time
from greyzone.eval.memory import peak_bytes
from greyzone.incidents import read_reports
before, started = peak_bytes(), time.process_time()
batch = read_reports(sys.argv[1])
counts = {}
for row in batch.rejects.select(["action", "reason"]).to_pylist():
    counts[row["action"] + ": " + row["reason"]] = counts.get(row["action"] + ": " + row["reason"], 0) + 1
print(json.dumps([batch.reports.num_rows, counts, time.process_time() - started, before / 1e6, peak_bytes() / 1e6]))
"""


@dataclass(frozen=True, slots=True)
class Odd:
    """What came of one file: objects in it, reports, what was counted, seconds of the processors and, for the large one, memory."""

    name: str
    objects: int
    reports: int
    counted: str
    seconds: float
    memory: str = ""


def measure_odd(say: Callable[[str], None], megabytes: int) -> Iterator[Odd]:
    """Read the odd files, and a bundle of so many megabytes."""
    with tempfile.TemporaryDirectory() as folder:
        for name, items in odd_bundles().items():
            path = Path(folder) / "bundle.json"
            path.write_text(json.dumps({"type": "bundle", "id": "bundle--1", "objects": items}), encoding="utf-8")
            yield _read(name, len(items), path)
        rows = odd_rows()
        path = Path(folder) / "table.csv"
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        yield _read("table: dates that are none, reversed, tags, marks", len(rows), path)
        path = Path(folder) / "large.json"
        objects = write_large(path, megabytes)
        say(f"a bundle of {path.stat().st_size / 1e6:,.0f} MB, {objects:,} objects")
        done = subprocess.run([sys.executable, "-c", _READ, str(path)], capture_output=True, text=True, check=True)  # noqa: S603 (ourselves)
        reports, counts, seconds, before, peak = json.loads(done.stdout)
        memory = f"{before:,.0f} MB before, {peak:,.0f} MB at most"
        yield Odd(f"a bundle of {megabytes} MB", objects, reports, _listed(Counter(counts)), seconds, memory)


def odd_bundles() -> dict[str, list[Any]]:
    """Return the objects of each odd bundle by its name."""
    incident = {"type": "incident", "id": "incident--1", "modified": "2020", "name": "Lamps", "first_seen": "2020-05-04T00:00:00Z"}
    tools = [{"type": "malware", "id": f"malware--{at}", "name": f"Mal{at}"} for at in range(3)]
    ties = [("incident--1", "malware--0"), ("malware--0", "malware--1"), ("malware--1", "malware--2"), ("malware--2", "malware--0")]
    circle = [
        {"type": "relationship", "id": f"relationship--{at}", "source_ref": one, "target_ref": other, "relationship_type": "uses"}
        for at, (one, other) in enumerate([*ties, ("incident--1", "incident--1")])
    ]
    return {
        "circular references": [incident, *tools, *circle],
        "references that lead nowhere": [
            incident,
            circle[0],
            {"type": "report", "id": "report--1", "object_refs": ["gone--1", "report--1"]},
        ],
        "missing ids and types": [{"type": "incident", "name": "x"}, {"id": "incident--2"}, 7, None, "text", []],
        "duplicate ids": [incident, incident | {"modified": "2021", "name": "Lamps, again"}, incident | {"modified": "2019"}],
        "dates that are none": [incident | {"id": f"incident--d{at}", "first_seen": date} for at, date in enumerate(_NO_DATES)],
        "tags and right-to-left marks": [
            incident | {"name": "L\u202eamps\u200f", "description": "<p>A &amp; <b>B</b></p><script>x()</script>"}
        ],
        "nested too deeply": [incident, {"type": "note", "id": "note--1", "x": _nested(900)}],
    }


_NO_DATES = ("0000-00-00", "0000-00-00T00:00:00Z", "yesterday", "9999-12-31", "2020-02-31", 20_200_504, None)


def odd_rows() -> list[dict[str, str]]:
    """Return rows of a table of EuRepoC's columns."""
    row = {"ID": "1", "name": "Lamps", "description": "", "start_date": "2020-05-04", "end_date": "", "incident_type": "Disruption"}
    row |= {"receiver_country": "['Estonia']"}
    changes = [
        {"start_date": "0000-00-00"},
        {"start_date": "2020-09-04", "end_date": "2020-04-09"},
        {"description": "<b>HTML</b> &lt;script&gt;alert(1)&lt;/script&gt; \u202eleft"},
        {"name": ""},
        {"receiver_country": "['Atlantis'"},
        {},
    ]
    return [row | {"ID": str(at)} | change for at, change in enumerate(changes)]


def write_large(path: Path, megabytes: int) -> int:
    """Write a bundle of so many megabytes, a third of its objects of a type that no field takes; returns the number of objects."""
    size = objects = event = 0
    text = "<p>An account of what happened.</p> " * 20
    with path.open("w", encoding="utf-8") as stream:
        stream.write('{"type": "bundle", "id": "bundle--1", "objects": [')
        while size < megabytes * 1_000_000:
            name = f"{event:08}"
            several = [
                {
                    "type": "incident",
                    "id": f"incident--{name}",
                    "name": f"Event {name}",
                    "first_seen": "2020-05-04T00:00:00Z",
                    "description": text,
                },
                {"type": "malware", "id": f"malware--{name}", "name": f"Mal{name}"},
                {
                    "type": "relationship",
                    "id": f"relationship--{name}",
                    "source_ref": f"incident--{name}",
                    "target_ref": f"malware--{name}",
                    "relationship_type": "uses",
                },
                {"type": "observed-data", "id": f"observed-data--{name}", "x_content": "y" * 3000},
                {"type": "note", "id": f"note--{name}", "content": text},
            ]
            for item in several:
                part = ("," if objects else "") + json.dumps(item)
                stream.write(part)
                size += len(part)
                objects += 1
            event += 1
        stream.write("]}")
    return objects


def format_odd(found: Sequence[Odd]) -> str:
    """Return the table."""
    lines = ["| file | objects | reports | counted | seconds | memory |", "|---|---|---|---|---|---|"]
    return "\n".join(
        [
            *lines,
            *(f"| {one.name} | {one.objects:,} | {one.reports:,} | {one.counted} | {one.seconds:.1f} | {one.memory} |" for one in found),
        ]
    )


def _read(name: str, objects: int, path: Path) -> Odd:
    started = time.process_time()
    try:
        batch = read_reports(path)
    except GreyzoneError as error:
        return Odd(name, objects, 0, f"error: {error}", time.process_time() - started)
    counts = Counter(f"{row['action']}: {row['reason']}" for row in batch.rejects.to_pylist())
    return Odd(name, objects, batch.reports.num_rows, _listed(counts), time.process_time() - started)


def _listed(counts: Counter[str]) -> str:
    return "; ".join(f"{name} {number:,}" for name, number in sorted(counts.items())) or "nothing"


def _nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value
