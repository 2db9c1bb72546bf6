"""Parquet tables, column by column and batch by batch: nothing is turned into Python rows that need not be.

Structs are reached by dotted names (``user.screen_name``), as in JSON lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from greyzone.collect.batches import Chunk, Source
from greyzone.collect.columns import resolve
from greyzone.collect.jsonlines import DEPTH
from greyzone.errors import EmptyFileError, InputError


def chunks(path: Path, source: Source, mapping: Mapping[str, str], batch_rows: int) -> Iterator[Chunk]:
    """Yield the rows of a Parquet file.

    Raises
    ------
    InputError
        If the file is empty, not Parquet, damaged, or has no text column.
    """
    first = 1
    try:
        if not path.stat().st_size:
            raise EmptyFileError(f"{path} is empty", "a file with documents")
        with pq.ParquetFile(path) as file:
            wanted = resolve(names_of(file.schema_arrow), mapping, source.path)
            for batch in file.iter_batches(batch_size=batch_rows, columns=list(dict.fromkeys(wanted.values()))):
                if batch.num_rows:
                    yield of_table(pa.Table.from_batches([batch]), wanted, first)
                first += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        # A bare InputError of ours is a ValueError too, but never one of these two.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{source.path} is not a whole Parquet file, read up to row {first - 1} ({reason})", "", "write it again"
        ) from None


def names_of(schema: pa.Schema) -> list[str]:
    """Return the columns of a table as `of_table` finds them, those within structs under dotted names."""
    names: list[str] = _flat(schema.empty_table()).column_names
    return names


def of_table(table: pa.Table, wanted: Mapping[str, str], first: int) -> Chunk:
    """Return a table's columns as a chunk whose first row has offset `first`."""
    table = _flat(table)
    return Chunk({field: table.column(column) for field, column in wanted.items()}, range(first, first + table.num_rows))


def _flat(table: pa.Table) -> pa.Table:
    for _ in range(DEPTH):
        table = table.flatten()
    return table
