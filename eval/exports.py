"""``greyzone eval exports``: how fast and in what memory a case leaves as STIX, and whether it comes back equal.

    greyzone eval exports
    greyzone eval exports --objects 50000 --json

The case is invented, of a size at which its bundle has about as many objects as asked for: incidents with their reports and named actors,
narratives with channels and bursts, links, documents, groups, scores and campaigns with profiles. The bundle is written once for time
(wall and processor) and once for memory: what Python's allocator holds at most (tracemalloc, from the first object on) and what Arrow
adds to the tables; both are measured at a fifth of the size as well, so that a reader sees what grows. Then the bundle is read back, and
every table is compared with what went out; incidents are also made anew by `greyzone.incidents` from the bundle alone. A bundle of about
a thousand objects goes through ``stix2`` and, where it is installed, through ``stix2-validator`` of OASIS.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from greyzone import incidents
from greyzone.doctrine import Doctrine, load_doctrine
from greyzone.errors import InputError
from greyzone.eval.commands import run_command
from greyzone.records import CAMPAIGNS, DOCUMENTS, GROUPS, IMPACT, LINKS, NARRATIVES, REPORTS, content_id, table
from greyzone.stix import bundle_rows, read_tables, to_bundle, write_bundle

START = datetime(2023, 1, 1, tzinfo=UTC)
STATES = ("EE", "LV", "PL", "DE", "FI")

OBJECTS_A_UNIT = 60
"""Objects that a unit of the invented case becomes: 6 incidents, 4 narratives, 6 links, 12 cited documents and what hangs on them."""

SMALL = 1000
"""Objects of the bundle that is validated: the validator takes about a second for so many."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one size of bundle took.

    Attributes
    ----------
    objects, megabytes
        In the bundle.
    wall_s, processor_s
        To write it to a file.
    python_mib, arrow_mib
        Most that Python's and Arrow's allocators held while it was written, over what the tables take.
    """

    objects: int
    megabytes: float
    wall_s: float
    processor_s: float
    python_mib: float
    arrow_mib: float


def invented_case(units: int, *, doctrine: Doctrine) -> dict[str, pa.Table]:
    """Return the tables of a case of so many units; the same for the same number."""
    reports = [_report(number) for number in range(6 * units)]
    tables = {"reports": table(reports, REPORTS)}
    tables["incidents"] = incidents.canonicalise(tables["reports"], doctrine=doctrine).incidents
    ids = tables["incidents"]["incident_id"].to_pylist()
    tables["documents"] = table([_document(number) for number in range(12 * units)], DOCUMENTS)
    tables["narratives"] = table([_narrative(number) for number in range(4 * units)], NARRATIVES)
    links = [_link(number, ids[number], f"nar-{number % (4 * units):06d}") for number in range(len(ids))]
    tables["links"] = table(links, LINKS)
    tables["groups"] = table(
        [
            {
                "group_id": f"grp-{number:05d}",
                "accounts": [f"person{3 * number + k}" for k in range(3)],
                "documents": [f"doc-{12 * number + k:07d}" for k in range(12)],
                "q": 0.01,
                "explanations": [{"name": "press echo", "statistic": 0.1, "threshold": 0.5, "fits": False, "note": "covers none"}],
            }
            for number in range(units)
        ],
        GROUPS,
    )
    tables["impact"] = table([_score(state, day) for state in STATES for day in range(365)], IMPACT)
    tables["campaigns"] = table([_campaign(number, ids, links) for number in range(max(1, units // 10))], CAMPAIGNS)
    return tables


def measure(tables: Mapping[str, pa.Table], file: Path, *, doctrine: Doctrine) -> Measured:
    """Write the bundle twice, once for time and once for memory."""
    wall, processor = time.monotonic(), time.process_time()
    with file.open("w", encoding="utf-8") as stream:
        objects = write_bundle(tables, stream, doctrine=doctrine)
    wall, processor = time.monotonic() - wall, time.process_time() - processor
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    most = 0

    class Watched(io.StringIO):
        def write(self, text: str) -> int:
            nonlocal most
            most = max(most, pa.total_allocated_bytes())
            return len(text)

    write_bundle(tables, Watched(), doctrine=doctrine)
    python = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    arrow = max(0, most - before)
    return Measured(objects, file.stat().st_size / 1e6, wall, processor, python / 2**20, arrow / 2**20)


def comes_back(tables: Mapping[str, pa.Table], file: Path, *, doctrine: Doctrine) -> dict[str, bool]:
    """Say of every table whether the bundle gives it back equal, and whether `greyzone.incidents` makes the same incidents of it."""
    found = read_tables(file)
    told = {name: found[name].equals(rows) for name, rows in bundle_rows(tables, doctrine=doctrine).items()}
    again = incidents.canonicalise(incidents.read_reports(file).reports, doctrine=doctrine).incidents
    return told | {"incidents, made anew": again.equals(tables["incidents"])}


def valid(doctrine: Doctrine) -> dict[str, bool | None]:
    """Say whether `stix2` and the validator of OASIS (None if it is not installed) take a bundle of about `SMALL` objects."""
    import stix2

    text = json.dumps(to_bundle(invented_case(SMALL // OBJECTS_A_UNIT, doctrine=doctrine), doctrine=doctrine))
    parsed = stix2.parse(text, allow_custom=True)
    said: dict[str, bool | None] = {"stix2": len(parsed.objects) == len(json.loads(text)["objects"]), "stix2-validator": None}
    try:
        from stix2validator import ValidationOptions, validate_string
    except ImportError:
        return said
    return said | {"stix2-validator": bool(validate_string(text, ValidationOptions(version="2.1")).is_valid)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="greyzone eval exports", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--objects", type=int, default=50_000, help="objects of the bundle, about; at least 500 (default 50000)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    given = parser.parse_args(argv)
    return run_command(lambda: _run(given.objects, as_json=given.json))


def _run(objects: int, *, as_json: bool) -> int:
    if objects < 10 * OBJECTS_A_UNIT:
        raise InputError(f"--objects {objects}", f"at least {10 * OBJECTS_A_UNIT}")
    doctrine = load_doctrine()
    sizes = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bundle.json"
        for size in (objects // 5, objects):
            tables = invented_case(size // OBJECTS_A_UNIT, doctrine=doctrine)
            sizes.append(measure(tables, file, doctrine=doctrine))
        started = time.process_time()
        equal = comes_back(tables, file, doctrine=doctrine)
        read_s = time.process_time() - started
    checked = valid(doctrine)
    if as_json:
        found = {"sizes": [asdict(one) for one in sizes], "read_back_s": read_s, "equal": equal, "valid": checked}
        sys.stdout.write(json.dumps(found) + "\n")
        return 0
    lines = ["objects   MB   wall s   processor s   Python MiB   Arrow MiB"]
    lines += [
        f"{one.objects:7,} {one.megabytes:5.0f} {one.wall_s:8.1f} {one.processor_s:13.1f} {one.python_mib:12.1f} {one.arrow_mib:11.1f}"
        for one in sizes
    ]
    lines.append(
        f"read back in {read_s:.1f} s of processor time; equal: {', '.join(f'{name} {_yes(same)}' for name, same in equal.items())}"
    )
    lines.append(f"valid: {', '.join(f'{name} {_yes(good)}' for name, good in checked.items())}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _yes(said: bool | None) -> str:
    return "not installed" if said is None else "yes" if said else "NO"


def _day(number: int) -> datetime:
    return START + timedelta(days=number % 700, minutes=number % 1440)


def _report(number: int) -> dict[str, object]:
    """Return an event at an organisation of its own; its id is the one that readers of incidents would give it."""
    day = _day(37 * number)
    name = f"Outage at organisation {number}"
    return {
        "report_id": content_id("rep", "register", number, name, day.isoformat(), (day + timedelta(days=1)).isoformat()),
        "source": "register",
        "source_id": str(number),
        "name": name,
        "description": f"Services of organisation {number} were not to be reached for {number % 9} hours.",
        "onset_lo": day,
        "onset_hi": day + timedelta(days=1),
        "onset_precision": "day",
        "target_states": [STATES[number % len(STATES)]],
        "sectors": ["transport", "government"][: 1 + number % 2],
        "technique_class": "disruption",
        "actors": [{"name": f"Group {number % 40}", "state": None, "probability": 0.5, "said_by": "register"}] if number % 3 == 0 else [],
        "entities": [],
        "scale": "eurepoc",
        "scale_code": str(number % 7),
        "admiralty": 2,
        "urls": [f"https://register.example/{number}"],
        "flags": [],
    }


def _document(number: int) -> dict[str, object]:
    posted = {"published_at": _day(number), "account": f"person{number // 4}", "platform": "forum"}
    return {"doc_id": f"doc-{number:07d}", "text": "x"} | posted


def _narrative(number: int) -> dict[str, object]:
    day = _day(number)
    places = (("platform", "forum"), ("outlet", f"outlet{number % 50}.example"), ("language", "et"))
    return {
        "narrative_id": f"nar-{number:06d}",
        "label": f"story {number}, harbour, sold",
        "headline": f"They say that harbour {number} was sold.",
        "keywords": ["harbour", "sold"],
        "exemplars": [f"doc-{3 * number + k:07d}" for k in range(3)],
        "size": 9,
        "accounts": 3,
        "languages": ["et"],
        "onset_lo": day,
        "onset_hi": day,
        "last_seen": day + timedelta(days=20),
        "spread": [{"kind": kind, "name": name, "documents": 4, "first_seen": day, "last_seen": day} for kind, name in places],
        "bursts": [{"first": day.date(), "last": day.date() + timedelta(days=2), "documents": 6, "weight": 2.0}],
        "targets": ["EE"],
        "breakout": [0.5, 0.5, 0.0, 0.0, 0.0, 0.0],
    }


def _link(number: int, incident: str, narrative: str) -> dict[str, object]:
    return {
        "link_id": f"lnk-{number:06d}",
        "incident_id": incident,
        "narrative_id": narrative,
        "type": "exploits",
        "type_probabilities": [0.1, 0.6, 0.1, 0.1, 0.1],
        "p": 0.6 + 0.3 * (number % 10) / 10,
        "p_lo": 0.4,
        "p_hi": 0.95,
        "lag_days": 2.0,
        "calibrated": False,
        "evidence": [f"doc-{2 * number:07d}"],
    }


def _score(state: str, day: int) -> dict[str, object]:
    points = {"score_p05": 10.0, "score_p50": 20.0 + day / 100, "score_p95": 40.0, "doctrine_p05": 5.0, "doctrine_p95": 60.0}
    words = {"peak_words": "medium", "status": "ok", "coverage": "one register", "doctrine": "default 1", "doctrine_hash": "0" * 16}
    return {"target_state": state, "date": date(2024, 1, 1) + timedelta(days=day)} | points | words


def _campaign(number: int, ids: Sequence[str], links: Sequence[Mapping[str, object]]) -> dict[str, object]:
    mine = range(6 * number, 6 * number + 6)
    names = ["unknown", "criminal", "organic", f"“Group {number % 40}”"]
    cited = {"text": "Accounts share documents.", "documents": ["doc-0000001"]}
    seen = {"framework": "ATT&CK", "id": "T1498", "name": "“Network Denial of Service”", "trigger": "“ddos”", "documents": []}
    profile = {
        "decision": "for human case-by-case assessment",
        "hypotheses": {
            "hypotheses": [{"name": name, "p": None, "basis": "always considered"} for name in names],
            "evidence": [cited | {"ratings": dict.fromkeys(names, "consistent"), "diagnosticity": 0.0}],
        },
        "techniques": [seen | {"subject": ids[mine[0]]}],
    }
    return {
        "campaign_id": f"cmp-{number:05d}",
        "title": f"“story {number}” and “Outage {number}”",
        "target_states": ["EE"],
        "window_lo": _day(number),
        "window_hi": _day(number) + timedelta(days=30),
        "incidents": [ids[place] for place in mine],
        "narratives": [str(links[place]["narrative_id"]) for place in mine],
        "groups": [],
        "links": [str(links[place]["link_id"]) for place in mine],
        "statements": [{"text": "A link is likely.", "documents": ["doc-0000001"]}],
        "gaps": ["No source gives an end."],
        "alternatives": [{"text": "Chance.", "documents": ["doc-0000001"]}],
        "confidence": "low",
        "tlp": "TLP:AMBER",
        "profile": json.dumps(profile, ensure_ascii=False, sort_keys=True),
    }


if __name__ == "__main__":
    raise SystemExit(main())
