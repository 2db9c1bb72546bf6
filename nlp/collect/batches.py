"""From the columns that a reader found to batches of `RAW_DOCUMENTS`, the same for every format.

Dates are parsed once per distinct value. A date that cannot be read, or that lies after `as_of`, leaves the document undated with a
row among the rejects (action "repaired"): an undated document still has a text, an invented date would be evidence of nothing.
Numeric dates with an open order of day and month are settled by the whole file, never by a batch of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.collect import columns
from greyzone.dates import FIRST_YEAR, LAST_YEAR, Moment, is_open, parse_date
from greyzone.records import RAW_DOCUMENTS, REJECTS, TIME, RawBatch, table

DETAIL_LIMIT = 200
"""Longest `detail` of a reject."""

BATCH_BYTES = 2**26
"""A batch of text rows is handed on at this size even if it is short of rows, which bounds memory."""

Values: TypeAlias = Any
"""An Arrow column (Parquet, datasets) or a list of Python values (text formats)."""

Reject = dict[str, object]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNITS = {"day": timedelta(days=1), "s": timedelta(seconds=1), "ms": timedelta(milliseconds=1), "us": _MICROSECOND}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows as a reader found them: `fields` by field name, `offsets` 1-based, and the rows already rejected."""

    fields: Mapping[str, Values]
    offsets: Sequence[int]
    rejects: Sequence[Reject] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """Where chunks come from and how their dates are read.

    Parameters
    ----------
    path
        Name of the file as the user gave it.
    collector
        Name of the reader.
    platform
        Platform of every row, where the format says so.
    as_of
        Dates after it are refused; None: no check.
    order
        Tells the order of day and month in the whole file (`greyzone.dates.day_first_of`); called only when a batch needs it.
    """

    path: str
    collector: str
    platform: str | None = None
    as_of: datetime | None = None
    order: Callable[[], bool | None] = field(default=lambda: None)

    def reject(self, reason: str, offset: int, detail: str = "", *, action: str = "rejected") -> Reject:
        """Return a row of `REJECTS` about row `offset`."""
        return {
            "kind": "document",
            "action": action,
            "reason": reason,
            "detail": clip(detail),
            "path": self.path,
            "offset": offset,
        }


def clip(detail: str) -> str:
    """Return `detail` in one line of at most `DETAIL_LIMIT` characters that UTF-8 can hold."""
    line = " ".join(detail[: 4 * DETAIL_LIMIT].split())
    line = line.encode("utf-8", "replace").decode("utf-8")
    return line if len(line) <= DETAIL_LIMIT else line[: DETAIL_LIMIT - 1] + "…"


def raw_batch(chunk: Chunk, source: Source) -> RawBatch:
    """Turn a chunk into a batch of `RAW_DOCUMENTS` with its rejects."""
    rows = len(chunk.offsets)
    offsets = pa.array(chunk.offsets, pa.int64())
    found: dict[str, pa.Array] = {}
    rejects = list(chunk.rejects)
    for name in columns.STRING_FIELDS:
        values = chunk.fields.get(name)
        found[name] = pa.nulls(rows, pa.string()) if values is None else columns.strings(values)
        for row in [] if values is None else columns.nested(values):
            if found[name][row].is_valid:
                detail = f"{name}: {found[name][row].as_py()}"
                rejects.append(source.reject("list or object kept as JSON", offsets[row].as_py(), detail, action="repaired"))
    for name in columns.LIST_FIELDS:
        values = chunk.fields.get(name)
        found[name] = pa.nulls(rows, pa.list_(pa.string())) if values is None else columns.lists(values, name)
    # An account that is known by its handle alone is that handle.
    found["account"] = pc.coalesce(found["account"], found["handle"])
    flags = chunk.fields.get("is_repost")
    flagged = pa.nulls(rows, pa.bool_()) if flags is None else columns.reposts(flags)
    # A post that names what it repeats is a repost, unless its own kind says otherwise (a quote).
    found["is_repost"] = pc.coalesce(flagged, pc.is_valid(found["repost_of"]))
    dates = chunk.fields.get("published_at")
    found["published_at"], found["published_precision"] = _dated(dates, offsets, source, rejects)
    if source.platform is not None:
        found["platform"] = pc.coalesce(found["platform"], pa.scalar(source.platform))
    found["collector"] = pa.array([source.collector], pa.string()).take(pa.array(np.zeros(rows, np.int64)))
    found["path"] = pa.array([source.path], pa.string()).take(pa.array(np.zeros(rows, np.int64)))
    found["offset"] = offsets
    return RawBatch(pa.table([found[name] for name in RAW_DOCUMENTS.names], schema=RAW_DOCUMENTS), table(rejects, REJECTS))


def _dated(values: Values | None, offsets: pa.Array, source: Source, rejects: list[Reject]) -> tuple[pa.Array, pa.Array]:
    if values is None:
        return pa.nulls(len(offsets), TIME), _precision(pa.array(np.full(len(offsets), "unknown", object), pa.string()))
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array) and (pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)):
        times, precision = _temporal(_plausible(values, offsets, source, rejects))
        _refuse_future(times, offsets, source, rejects)
    else:
        times, precision = _parsed(values, offsets, source, rejects)
    if source.as_of is not None:
        times = pc.if_else(pc.greater(times, pa.scalar(source.as_of, TIME)), pa.scalar(None, TIME), times)
    return times, _precision(pc.if_else(pc.is_valid(times), precision, pa.scalar("unknown")))


def _precision(values: pa.Array) -> pa.Array:
    return values.cast(pa.string())


def _plausible(values: pa.Array, offsets: pa.Array, source: Source, rejects: list[Reject]) -> pa.Array:
    """Return times with null for placeholders: years that no text is read to mean either, beyond what microseconds can hold too."""
    if pa.types.is_timestamp(values.type) and values.type.unit == "ns":
        # 64 bits of nanoseconds reach from 1677 to 2262.
        values = values.cast(pa.timestamp("us", values.type.tz), safe=False)
    day = pa.types.is_date32(values.type)
    unit = "day" if day else "ms" if pa.types.is_date64(values.type) else values.type.unit
    numbers = values.cast(pa.int32() if day else pa.int64()).cast(pa.int64())
    least, most = ((datetime(year, 1, 1, tzinfo=UTC) - _EPOCH) // _UNITS[unit] for year in (FIRST_YEAR, LAST_YEAR + 1))
    kept = pc.and_(pc.greater_equal(numbers, least), pc.less(numbers, most))
    odd = pc.indices_nonzero(pc.fill_null(pc.invert(kept), False)).to_pylist()
    rejects.extend(
        source.reject("date not understood", offsets[row].as_py(), f"{numbers[row]} {unit} from 1970", action="repaired") for row in odd
    )
    return pc.if_else(kept, values, pa.scalar(None, values.type))


def _temporal(values: pa.Array) -> tuple[pa.Array, pa.Array]:
    day = pa.types.is_date(values.type)
    if pa.types.is_timestamp(values.type) and values.type.tz is None:
        values = values.cast(pa.timestamp("us"), safe=False)
    times = values.cast(pa.timestamp("us"), safe=False).cast(TIME) if day else values.cast(TIME, safe=False)
    return times, pa.array(np.full(len(values), "day" if day else "second", object), pa.string())


def _refuse_future(times: pa.Array, offsets: pa.Array, source: Source, rejects: list[Reject]) -> None:
    if source.as_of is None:
        return
    late = pc.indices_nonzero(pc.fill_null(pc.greater(times, pa.scalar(source.as_of, TIME)), False)).to_pylist()
    rejects.extend(source.reject("date in the future", offsets[row].as_py(), str(times[row].as_py()), action="repaired") for row in late)


def _parsed(values: Values, offsets: pa.Array, source: Source, rejects: list[Reject]) -> tuple[pa.Array, pa.Array]:
    items = values.to_pylist() if isinstance(values, pa.Array) else values
    known: dict[object, Moment | str | None] = {}
    order: bool | None = None
    asked = False
    times, precisions = [], []
    for row, item in enumerate(items):
        if isinstance(item, (list, dict)):
            item = str(item)
        # 1 and True are one key of a dictionary, and only one of them is a date.
        key = (item, bool) if isinstance(item, bool) else item
        if key not in known:
            if not asked and is_open(item):
                order, asked = source.order(), True
            known[key] = _read(item, order, source.as_of)
        moment = known[key]
        if isinstance(moment, str):
            rejects.append(source.reject(moment, offsets[row].as_py(), str(item), action="repaired"))
        elif moment is not None and moment.precision == "year" and is_open(item):
            detail = f"{item}: {moment.lo.date()} or {moment.hi.date()}"
            rejects.append(source.reject("date reads as two days", offsets[row].as_py(), detail, action="repaired"))
        dated = isinstance(moment, Moment)
        times.append((moment.lo - _EPOCH) // _MICROSECOND if isinstance(moment, Moment) else None)
        precisions.append(moment.precision if dated and isinstance(moment, Moment) else "unknown")
    return pa.array(times, pa.int64()).cast(TIME), pa.array(precisions, pa.string())


def _read(item: object, order: bool | None, as_of: datetime | None) -> Moment | str | None:
    """Return the moment, the reason why there is none, or None for an empty cell."""
    if item is None or (isinstance(item, str) and not item.strip()) or (isinstance(item, float) and item != item):
        return None
    moment = parse_date(item, day_first=order)
    if moment is None:
        return "date not understood"
    return "date in the future" if as_of is not None and moment.lo > as_of else moment
