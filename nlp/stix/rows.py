"""Rows of our tables as JSON that STIX allows, and back.

What STIX itself cannot hold stands in an extension as the row it came from: nulls are absent, moments and days are ISO 8601, lists
without elements (which STIX forbids, section 2.7) are left out and named by their path in ``empty_lists``, and floats that JSON does not
know are the words NaN, Infinity, -Infinity. Reading gives the same rows again; a column that this version does not know is an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from greyzone.errors import InputError
from greyzone.handles import Row, Value, hider

AT_ONCE = 512
"""Rows that are Python objects at one time."""


def rows_of(found: pa.Table, *keys: str, handles: bool) -> Iterator[Row]:
    """Yield the rows of a table in order of `keys`, with accounts hidden unless `handles`."""
    for batch in batches_of(found, *keys, handles=handles):
        yield from batch


def batches_of(found: pa.Table, *keys: str, handles: bool) -> Iterator[list[Row]]:
    """Yield the rows of `rows_of`, `AT_ONCE` at a time."""
    order = pc.sort_indices(found, sort_keys=[(key, "ascending") for key in keys])
    hidden = None if handles else hider(found.schema)
    for start in range(0, len(order), AT_ONCE):
        rows = found.take(order.slice(start, AT_ONCE)).to_pylist()
        yield [hidden(row) for row in rows] if hidden else rows


def encode(row: Mapping[str, Any], schema: pa.Schema) -> Row:
    """Return ``{"row": …}`` with ``empty_lists`` beside it where there are any."""
    empty: list[str] = []
    made = {}
    for field in schema:
        value = row[field.name]
        if value is not None and (said := _encoded(value, field.type, field.name, empty)) is not None:
            made[field.name] = said
    return {"row": made, "empty_lists": empty} if empty else {"row": made}


def decode(record: Mapping[str, Any], schema: pa.Schema, where: str) -> Row:
    """Return the row that `encode` was given.

    Raises
    ------
    InputError
        If the record has columns that `schema` has not, or values that are not of their type.
    """
    row = record.get("row")
    if not isinstance(row, Mapping):
        raise InputError(f"{where}: a record without a row", "what greyzone export stix writes")
    if unknown := sorted(set(row) - set(schema.names)):
        raise InputError(f"{where}: column {unknown[0]!r}", f"columns of version {schema.names}", "read it with the version that wrote it")
    try:
        made = {name: _decoded(value, schema.field(name).type) for name, value in row.items()}
        for path in record.get("empty_lists", ()):
            _put_empty(made, str(path).split("/"))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise InputError(f"{where}: a value that is not of its column ({error})", "what greyzone export stix writes") from error
    return {name: made.get(name) for name in schema.names}


def _encoded(value: Value, kind: pa.DataType, path: str, empty: list[str]) -> Value:
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list):
        if not value:
            empty.append(path)
            return None
        inner = kind.value_type
        if pa.types.is_string(inner) or pa.types.is_integer(inner):
            return value
        return [None if item is None else _encoded(item, inner, f"{path}/{place}", empty) for place, item in enumerate(value)]
    made = {}
    for field in kind:
        item = value[field.name]
        if item is not None and (said := _encoded(item, field.type, f"{path}/{field.name}", empty)) is not None:
            made[field.name] = said
    return made


def _decoded(value: Value, kind: pa.DataType) -> Value:
    if value is None:
        return None
    if pa.types.is_timestamp(kind):
        return datetime.fromisoformat(value)
    if pa.types.is_date(kind):
        return date.fromisoformat(value)
    if pa.types.is_floating(kind):
        return float(value)
    if pa.types.is_list(kind):
        return [_decoded(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind):
        return {field.name: _decoded(value.get(field.name), field.type) for field in kind}
    return value


def _put_empty(row: Value, path: Sequence[str]) -> None:
    """Put an empty list where `path` says; in a list of lists, one that was left out stands as null."""
    for step in path[:-1]:
        row = row[int(step)] if isinstance(row, list) else row[step]
    if isinstance(row, list):
        row[int(path[-1])] = []
    else:
        row[path[-1]] = []
