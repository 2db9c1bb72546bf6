"""The tables of a case as Parquet files to hand on, with a page that says what every column is.

A table is written as the case has it, in its declared columns; accounts stand under hashed names unless handles are asked for, in
columns of accounts as in texts and addresses (`greyzone.handles`). What a table means is taken from the text that stands below its schema
in `greyzone.records`, so that the page cannot say other than the code.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Mapping
from importlib import resources

import pyarrow as pa
import pyarrow.compute as pc

from greyzone import records
from greyzone.handles import hide, hide_item, hider
from greyzone.records import TABLES
from greyzone.words import pseudonym

ACCOUNTS: dict[str, tuple[str, ...]] = {
    "documents": ("account", "handle", "mentions"),
    "accounts": ("account",),
    "group_members": ("account",),
    "group_reuse": ("account",),
    "edges": ("account_a", "account_b"),
    "groups": ("accounts",),
}
"""Columns that hold accounts, by table."""


def hidden_table(name: str, found: pa.Table) -> pa.Table:
    """Return a table of the case without handles; the schema stays. What a row that could not be read holds is left out."""
    if name == "rejects":
        # Raw lines: a name stands there in any form.
        place = found.schema.get_field_index("detail")
        found = found.set_column(place, found.schema.field(place), pa.nulls(found.num_rows, pa.string()))
    for place, field in enumerate(found.schema):
        convert: Callable[[str], str] = pseudonym if field.name in ACCOUNTS.get(name, ()) else hide
        if (name, field.name) == ("groups", "items"):
            convert = hide_item
        if pa.types.is_string(field.type) and not (name == "campaigns" and field.name == "profile"):
            found = found.set_column(place, field, _converted(found[field.name], convert))
        elif pa.types.is_list(field.type) and pa.types.is_string(field.type.value_type):
            column = found[field.name].combine_chunks()
            column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
            inner = _converted(pa.chunked_array([column.flatten()]), convert).combine_chunks()
            inner = inner.chunk(0) if isinstance(inner, pa.ChunkedArray) else inner
            lengths = pc.fill_null(pc.list_value_length(column), 0)
            offsets = pa.array([0, *pc.cumulative_sum(lengths).to_pylist()], pa.int32())
            found = found.set_column(place, field, pa.ListArray.from_arrays(offsets, inner, mask=column.is_null()))
    nested = [field.name for field in found.schema if pa.types.is_nested(field.type) and not _plain_list(field.type)]
    nested += ["profile"] if name == "campaigns" else []
    if nested:
        part = found.select(nested)
        hidden = hider(part.schema)
        rows = pa.Table.from_pylist([hidden(row) for row in part.to_pylist()], schema=part.schema)
        for column_name in nested:
            found = found.set_column(found.schema.get_field_index(column_name), found.schema.field(column_name), rows[column_name])
    return found


def described(tables: Mapping[str, pa.Table], *, handles: bool) -> str:
    """Return the page on the tables: what each is, its rows, and of every column the type and how many values are null."""
    said = meanings()
    lines = ["# Tables", "", f"Accounts: {'as the case has them' if handles else 'hashed names'}. Times are UTC.", ""]
    lines += ["| file | rows |", "| --- | --- |", *(f"| {name}.parquet | {rows.num_rows:,} |" for name, rows in sorted(tables.items())), ""]
    for name, rows in sorted(tables.items()):
        lines += [f"## {name}", "", said.get(name, ""), "", "| column | type | null |", "| --- | --- | --- |"]
        lines += [f"| {field.name} | `{field.type}` | {rows[field.name].null_count:,} |" for field in rows.schema]
        lines.append("")
    return "\n".join(lines)


def meanings() -> dict[str, str]:
    """Return what the package says of each table below its schema, by table."""
    said: dict[str, str] = {}
    for file in sorted(resources.files("greyzone.records").iterdir(), key=lambda item: item.name):
        if file.name.endswith(".py"):
            said |= _below_names(file.read_text("utf-8"))
    return {
        name: next((text for word, text in said.items() if getattr(records, word, None) is schema), "") for name, schema in TABLES.items()
    }


def _below_names(source: str) -> dict[str, str]:
    body = ast.parse(source).body
    found = {}
    for first, second in itertools.pairwise(body):
        target = first.targets[0] if isinstance(first, ast.Assign) else None
        text = second.value.value if isinstance(second, ast.Expr) and isinstance(second.value, ast.Constant) else None
        if isinstance(target, ast.Name) and isinstance(text, str):
            found[target.id] = " ".join(text.split())
    return found


def _plain_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) and not pa.types.is_nested(kind.value_type))


def _converted(column: pa.ChunkedArray, convert: Callable[[str], str]) -> pa.ChunkedArray:
    """Convert every distinct text of a column once."""
    encoded = column.combine_chunks().dictionary_encode()
    encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
    names = pa.array([convert(text) for text in encoded.dictionary.to_pylist()], pa.string())
    return pa.chunked_array([names.take(encoded.indices)], pa.string())
