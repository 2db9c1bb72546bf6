"""The tables that a bundle of ours holds: the rows in its extension, put together again.

A bundle that `greyzone.stix.bundle` wrote has an object a line and is read line by line; one that other software wrote out again is read
whole. Objects without our extension add nothing. For incidents alone there is also `greyzone.incidents.read_reports`, which takes the
reports that our bundle carries.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from greyzone.errors import InputError
from greyzone.handles import Row
from greyzone.records import check
from greyzone.stix.bundle import SCHEMAS
from greyzone.stix.objects import RECORD
from greyzone.stix.rows import AT_ONCE, decode

HELD = ("campaigns", "groups", "impact", "incidents", "links", "narratives", "reports")
"""Tables whose rows a bundle holds."""


def read_tables(path: str | Path) -> dict[str, pa.Table]:
    """Read the tables that a bundle holds.

    Returns
    -------
    dict
        Every table of `HELD` by name, ordered by its id (impact by state and date); without rows where the bundle holds none.

    Raises
    ------
    InputError
        If the file cannot be read, is no bundle, or a row is not of its table; and if it holds no row of ours at all.
    """
    file = Path(path)
    parts: dict[str, list[pa.Table]] = {name: [] for name in HELD}
    rows: dict[str, list[Row]] = {name: [] for name in HELD}
    for name, row in _rows(file):
        rows[name].append(row)
        if len(rows[name]) == AT_ONCE:
            parts[name].append(_table(name, rows[name], file))
            rows[name] = []
    for name, rest in rows.items():
        parts[name].append(_table(name, rest, file))
    tables = {name: pa.concat_tables(found) for name, found in parts.items()}
    if not any(found.num_rows for found in tables.values()):
        raise InputError(f"{file} holds no row of greyzone", "a bundle that greyzone export stix wrote")
    return {name: _ordered(name, found) for name, found in tables.items()}


def objects_in(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a bundle, line by line where it has an object a line.

    Raises
    ------
    InputError
        If the file cannot be read or is no bundle.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            head = stream.readline()
            if head.startswith('{"type": "bundle"') and head.endswith('"objects": [\n'):
                for line in stream:
                    text = line.rstrip("\n")
                    if text and text != "]}":
                        yield json.loads(text.removesuffix(","))
                return
            stream.seek(0)
            content = json.load(stream)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})", "a STIX 2.1 bundle") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error})", "a STIX 2.1 bundle") from error
    if not isinstance(content, dict) or content.get("type") != "bundle" or not isinstance(content.get("objects"), list):
        raise InputError(f"{path} is no bundle", "a STIX 2.1 bundle")
    yield from (item for item in content["objects"] if isinstance(item, dict))


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    for item in objects_in(path):
        record = (item.get("extensions") or {}).get(RECORD)
        if not isinstance(record, Mapping) or record.get("table") is None:
            continue
        name = record["table"]
        where = f"{path}, {item.get('id')}"
        if name not in HELD:
            raise InputError(f"{where}: table {name!r}", f"one of {', '.join(HELD)}")
        for one in record.get("rows", [record]):
            yield name, decode(one, SCHEMAS[name][0], where)
        for one in record.get("reports", ()):
            yield "reports", decode(one, SCHEMAS["reports"][0], where)


def _table(name: str, rows: list[Row], path: Path) -> pa.Table:
    schema = SCHEMAS[name][0]
    try:
        return check(pa.Table.from_pylist(rows, schema=schema), schema, name)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"{path}: a row of {name} that does not fit ({error})", "what greyzone export stix writes") from error


def _ordered(name: str, found: pa.Table) -> pa.Table:
    keys = [(SCHEMAS[name][1], "ascending"), *([("date", "ascending")] if name == "impact" else [])]
    return found.sort_by(keys)
