"""Tables of shares from files: CSV, TSV, Parquet or JSON lines, with whatever columns they have.

Users of CooRTweet have ``account_id, object_id, content_id, timestamp_share``, those of the QUT coordination network toolkit a row a
message with ``user_id, repost_id, urls, timestamp`` and more. So columns are named by the user, several of them can be items, and each of
these is a kind of its own; a column may name the kind instead.

Times are numbers (below 10^11 seconds since 1970, below 10^14 milliseconds, below 10^17 microseconds, nanoseconds above: a number of
seconds that begins elsewhere does as well, since only differences are compared), timestamps of Parquet, or dates as people write them
(`greyzone.dates`). Nothing is lost: rows without an account, an item or a time that can be read are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from greyzone.coordinate.shares import KIND, SHARE_ROWS
from greyzone.coordinate.traces import UNDATED
from greyzone.dates import day_first_of, parse_date
from greyzone.errors import InputError
from greyzone.records import TIME

SUFFIXES = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".parquet": "", ".pq": "", ".jsonl": "", ".ndjson": ""}
"""Endings by which a file is known, with the delimiter where it is text of columns."""
PACKED = (".gz", ".zst")
FORMATS = "CSV, TSV, Parquet or JSON lines (text also as .gz or .zst)"
UNITS = ((1e11, 1_000_000.0), (1e14, 1_000.0), (1e17, 1.0), (np.inf, 0.001))
"""Numbers below the first are of the unit that has as many microseconds as the second says."""
BLOCK = 1 << 24
"""Bytes read at a time; a longer row is an error."""
LATEST = 4_102_444_800_000_000
"""Microseconds to the year 2100; a time after it is a placeholder."""


@dataclass(frozen=True, slots=True)
class ShareFile:
    """Shares that were read.

    Parameters
    ----------
    rows
        `greyzone.coordinate.shares.SHARE_ROWS`.
    counts
        What was read and what not: rows of the file, shares, rows without an account or an item, times not given or not understood, rows
        that could not be read.
    """

    rows: pa.Table
    counts: dict[str, int]


def read_shares(
    path: str | Path,
    *,
    account: str,
    items: Mapping[str, str],
    time: str | None = None,
    post: str | None = None,
    kind_column: str | None = None,
) -> ShareFile:
    """Read a table of shares.

    Parameters
    ----------
    path
        A file; its name says what it is.
    account, time, post
        Columns. Without times there are no timed traces; rows of one post are one act.
    items
        Kind to column. Lists are taken apart, and addresses (a kind that begins with "url") at spaces.
    kind_column
        Column that says of what kind the item of a row is; then there is one item column, and its key is not used.

    Returns
    -------
    ShareFile

    Raises
    ------
    InputError
        If the file or a column does not exist, the file is damaged, or no row has an account and an item.
    """
    path = Path(path)
    if not items:
        raise InputError("no item column", "one at least", "for example --item url=url_id")
    if kind_column is not None and len(items) > 1:
        raise InputError(f"{len(items)} item columns and a kind column", "one item column where a column names the kind")
    wanted = list(dict.fromkeys(name for name in (account, *items.values(), time, post, kind_column) if name is not None))
    found, unreadable = _read(path, wanted)
    times, precision, told = _times(found[time] if time is not None else None, found.num_rows)
    parts = []
    for kind, column in items.items():
        parent, values = _items(found[column], kind)
        count = len(values)
        kinds = pa.array([kind], pa.string()).take(pa.array(np.zeros(count, np.int64)))
        if kind_column is not None:
            named = _texts(found[kind_column]).take(parent)
            kinds = pc.coalesce(pc.if_else(pc.equal(named, ""), None, named), pa.scalar(KIND))
        posts = pa.nulls(count, pa.string()) if post is None else _texts(found[post]).take(parent)
        columns = [_texts(found[account]).take(parent), kinds, values, times.take(parent), precision.take(parent), posts]
        parts.append(pa.table(columns, schema=SHARE_ROWS))
    rows = pa.concat_tables(parts).combine_chunks()
    nameless = pc.fill_null(pc.equal(rows["account"], ""), True)
    complete = rows.filter(pc.invert(nameless))
    counts = {
        "rows": found.num_rows + unreadable,
        "shares": complete.num_rows,
        "rows_not_read": unreadable,
        "rows_without_item": found.num_rows - len(np.unique(np.concatenate([_items(found[c], k)[0].to_numpy() for k, c in items.items()]))),
        "shares_without_account": rows.num_rows - complete.num_rows,
        **told,
    }
    if not complete.num_rows:
        raise InputError(f"{path}: {counts['rows']} rows, none with an account and an item", "shares with both", "name the right columns")
    return ShareFile(complete, counts)


def _read(path: Path, wanted: list[str]) -> tuple[pa.Table, int]:
    """Return the wanted columns, and how many rows could not be read."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in SUFFIXES:
        raise InputError(f"{path} is of no known format", FORMATS, "rename it by its format")
    if not path.is_file():
        raise InputError(f"{path} does not exist" if not path.exists() else f"{path} is a folder", f"a file: {FORMATS}")
    bad = 0

    def pass_over(_: pyarrow.csv.InvalidRow) -> str:
        nonlocal bad
        bad += 1
        return "skip"

    reading = pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK)
    try:
        if suffixes[-1] in {".parquet", ".pq"}:
            _require(pq.read_schema(path).names, wanted, path)
            return pq.read_table(path, columns=wanted), 0
        if delimiter := SUFFIXES[suffixes[-1]]:
            peeking = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=lambda _: "skip")
            with _stream(path) as stream:
                _require(pyarrow.csv.open_csv(stream, read_options=reading, parse_options=peeking).schema.names, wanted, path)
            parsing = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=pass_over)
            # Identifiers stay text: a number read as one would lose its leading zeros, or its last digits; "NA" and "null" may be names.
            typed = pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.string()), include_columns=wanted, strings_can_be_null=True, null_values=[""]
            )
            with _stream(path) as stream:
                found = pyarrow.csv.read_csv(stream, read_options=reading, parse_options=parsing, convert_options=typed)
        else:
            with _stream(path) as stream:
                found = pyarrow.json.read_json(stream, read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=BLOCK))
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        raise InputError(f"{path} cannot be read ({error})", FORMATS) from None
    _require(found.schema.names, wanted, path)
    return found.select(wanted), bad


def _stream(path: Path) -> pa.NativeFile:
    """Open a file, unpacked by its name."""
    return pa.input_stream(str(path), compression="detect")


def _require(names: Sequence[str], wanted: Sequence[str], path: Path) -> None:
    if missing := [name for name in wanted if name not in names]:
        raise InputError(f"{path} has no column {', '.join(map(repr, missing))}", f"one of {', '.join(names)}", "name the columns it has")


def _items(values: pa.ChunkedArray, kind: str) -> tuple[pa.Array, pa.Array]:
    """Return which row each item is from, and the items as text."""
    column = _plain(values)
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        column = _texts(values)
        if kind.startswith("url"):
            column = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(column))
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        parent, flat = pc.list_parent_indices(column), _texts(pa.chunked_array([pc.list_flatten(column)]))
    else:
        parent, flat = pa.array(np.arange(len(column))), column
    given = pc.fill_null(pc.not_equal(flat, ""), False)
    return parent.cast(pa.int64()).filter(given), flat.filter(given)


def _plain(values: pa.ChunkedArray) -> pa.Array:
    column = values.combine_chunks()
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _texts(values: pa.ChunkedArray) -> pa.Array:
    """Return names as text; whole numbers that a column of numbers with gaps holds as floats lose their ".0"."""
    column = _plain(values)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
        if pc.all(pc.equal(pc.floor(column), column)).as_py() is not False and (pc.max(pc.abs(column)).as_py() or 0) < 2**53:
            column = column.cast(pa.int64())
    try:
        return pc.utf8_trim_whitespace(column.cast(pa.string()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise InputError(f"a column of type {column.type}", "names: text or numbers", "name another column") from None


def _times(values: pa.ChunkedArray | None, count: int) -> tuple[pa.Array, pa.Array, dict[str, int]]:
    """Return times, how exact each is, and what could not be told."""
    if values is None:
        return pa.nulls(count, TIME), pa.array(["unknown"], pa.string()).take(pa.array(np.zeros(count, np.int64))), {"times_missing": count}
    column = _plain(values)
    missing = column.null_count
    precise: pa.Array | None = None
    if pa.types.is_temporal(column.type):
        if pa.types.is_date(column.type):
            precise = pa.array(np.full(count, "day", dtype=object), pa.string())
        micro = pc.fill_null(column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()), UNDATED).to_numpy(zero_copy_only=False)
    elif (numbers := _numbers(column)) is not None:
        missing = int(np.isnan(numbers).sum())
        micro = _from_numbers(numbers)
    else:
        texts = pc.fill_null(_texts(values), "")
        missing = pc.sum(pc.equal(texts, "")).as_py() or 0
        micro, precise = _from_texts(texts)
    dated = micro != UNDATED
    times = pa.array(micro, pa.int64(), mask=~dated).cast(TIME)
    exact = pa.array(np.full(count, "second", dtype=object), pa.string()) if precise is None else precise
    precision = pc.if_else(pa.array(dated), exact, pa.scalar("unknown"))
    return times, precision, {"times_missing": missing, "times_not_understood": int((~dated).sum()) - missing}


def _numbers(column: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
    """Return a column as numbers, nan where it is empty; None if it holds anything else."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    try:
        texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
        return np.asarray(pc.if_else(pc.equal(texts, ""), None, texts).cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _from_numbers(numbers: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    micro = np.full(len(numbers), UNDATED)
    low = 0.0
    for high, factor in UNITS:
        inside = (numbers >= low) & (numbers < high)
        with np.errstate(over="ignore"):
            scaled = np.rint(numbers[inside] * factor)
        micro[inside] = np.where(scaled < LATEST, np.minimum(scaled, LATEST), UNDATED)
        low = high
    return micro


def _from_texts(texts: pa.Array) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], pa.Array]:
    encoded = texts.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    order = day_first_of(distinct)
    micro, exact = np.full(len(distinct), UNDATED), np.full(len(distinct), "unknown", dtype=object)
    for place, text in enumerate(distinct):
        moment = parse_date(text, day_first=order)
        if moment is not None:
            micro[place] = pa.scalar(moment.lo, TIME).cast(pa.int64()).as_py()
            exact[place] = moment.precision
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    return micro[codes], pa.array(exact[codes], pa.string())
