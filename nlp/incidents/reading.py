"""Which reader a file of incidents takes, told by its content, and the bounded opening of plain, .gz and .zst files."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from greyzone.errors import InputError
from greyzone.incidents import dcid, eurepoc, stix
from greyzone.incidents.mapping import Mapped, load_mapping, parse_json_lines, read_row
from greyzone.incidents.reports import Draft, finish, reject, sound
from greyzone.records import REJECTS, REPORTS, ReportBatch, table

LARGEST = 1 << 30
"""Bytes of a file, unpacked, above which it is refused: incident lists are small, decompression bombs are not."""

Row = Mapping[str, object]
Found = tuple[list[tuple[Draft, int]], list[dict[str, object]]]


def read_reports(
    path: str | Path,
    *,
    mapping: str | Path | Mapping[str, object] | None = None,
    source: str | None = None,
    as_of: datetime | None = None,
) -> ReportBatch:
    """Read the incident reports of one file.

    Parameters
    ----------
    path
        EuRepoC or DCID table, STIX 2.1 bundle, or any CSV, TSV, JSON lines or Parquet table with a mapping; plain, .gz or .zst.
    mapping
        A mapping file or its content (see `greyzone.incidents.mapping`); it takes precedence over what the columns look like.
    source
        Name of the source; by default what the reader or mapping says, else the name of the file.
    as_of
        Reports whose onset lies wholly later are rejected.

    Returns
    -------
    ReportBatch
        For tables, rows read = reports + rejects with action "rejected". `offset` is the 1-based row (line of JSON lines, place in a
        bundle).

    Raises
    ------
    InputError
        If the file is absent, empty, binary, too large or damaged, or its columns are not known and there is no mapping.
    """
    where = Path(path)
    mapped = load_mapping(mapping) if mapping is not None else None
    with _opened(where) as stream:
        content = _bounded(stream, where)
    drafts, rejects = _parse(content, where, mapped, source)
    last = as_of.replace(tzinfo=as_of.tzinfo or UTC) if as_of is not None else None
    rows: list[dict[str, object]] = []
    for draft, offset in drafts:
        draft.source = source or draft.source
        if last is not None and draft.onset is not None and draft.onset.lo > last:
            rejects.append(reject("onset after the as-of date", draft.onset.lo.date(), str(path), offset))
            continue
        if draft.onset is None:
            rejects.append(reject("no usable date", draft.name, str(path), offset, action="repaired"))
        rejects += [reject(flag, draft.name, str(path), offset, action="repaired") for flag in draft.flags]
        rows.append(finish(draft, str(path), offset))
    return ReportBatch(table(rows, REPORTS), table(rejects, REJECTS))


def _opened(path: Path) -> IO[bytes]:
    try:
        if path.suffix == ".gz":
            return cast("IO[bytes]", gzip.open(path, "rb"))
        if path.suffix == ".zst":
            import zstandard

            return cast("IO[bytes]", zstandard.open(path, "rb"))
        return path.open("rb")
    except FileNotFoundError:
        raise InputError(f"no file {str(path)!r}", "a file of incidents") from None
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror})", "a readable file") from None


def _bounded(stream: IO[bytes], path: Path) -> bytes:
    import zstandard

    try:
        content = stream.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise InputError(f"{path} is damaged ({error})", "a whole file", "fetch it again") from None
    if len(content) > LARGEST:
        raise InputError(f"{path} holds more than {LARGEST >> 20} MiB unpacked", "a list of incidents", "split it")
    if not content.strip():
        raise InputError(f"{path} is empty", "a table of incidents or a STIX bundle")
    return content


def _parse(content: bytes, path: Path, mapped: Mapped | None, source: str | None) -> Found:
    if content[:4] == b"PAR1":
        return _by_mapping(_parquet(content, path), path, mapped, source)
    if b"\x00" in content[:4096]:
        raise InputError(f"{path} is binary", "CSV, TSV, JSON lines, Parquet or a STIX bundle")
    text, note = _decoded(content, path)
    if text.lstrip()[:1] in ("{", "["):
        return _json(text, path, mapped, source)
    drafts, rejects = _delimited(text, path, mapped, source)
    return drafts, note + rejects


def _decoded(content: bytes, path: Path) -> tuple[str, list[dict[str, object]]]:
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        note = reject("file is not UTF-8, read as Windows-1252", f"byte {error.start}", str(path), 0, action="repaired")
        return content.decode("cp1252", errors="replace"), [note]


def _json(text: str, path: Path, mapped: Mapped | None, source: str | None) -> Found:
    if mapped is not None and text.lstrip()[0] == "{":
        return _by_mapping(parse_json_lines(text), path, mapped, source)
    try:
        value = sound(json.loads(text))
    except RecursionError:
        raise InputError(f"{path} is nested too deeply", "a STIX 2.1 bundle") from None
    except ValueError:
        return _by_mapping(parse_json_lines(text), path, mapped, source)
    if isinstance(value, list):
        return _by_mapping([(at, item if isinstance(item, dict) else None) for at, item in enumerate(value, start=1)], path, mapped, source)
    if not isinstance(value, dict) or value.get("type") != "bundle" or not isinstance(value.get("objects"), list):
        content = value if isinstance(value, dict) else {}
        kind = f"type {content['type']!r}" if "type" in content else f"keys {', '.join(sorted(content)[:8])}"
        raise InputError(f"{path} holds JSON with {kind}", "a STIX 2.1 bundle", "or JSON lines with a mapping file")
    return stix.read_bundle(value, str(path))


def _delimited(text: str, path: Path, mapped: Mapped | None, source: str | None) -> Found:
    first = text.lstrip().split("\n", 1)[0]
    separator = max(",\t;|", key=lambda mark: (first.count(mark), mark == ","))
    rows = _csv_rows(text, separator)
    header = next(rows, (0, ""))[1]
    names = header if isinstance(header, list) else []
    if mapped is None and not ({*names} >= eurepoc.COLUMNS or {*names} >= dcid.COLUMNS):
        raise _unknown_table(path, names)
    drafts: list[tuple[Draft, int]] = []
    rejects: list[dict[str, object]] = []
    if mapped is not None:
        _check_columns(mapped, names, path)
    name = _source_name(path, mapped, source)
    reader = eurepoc.read_row if {*names} >= eurepoc.COLUMNS else dcid.read_row
    for offset, cells in rows:
        if isinstance(cells, str) or len(cells) != len(names):
            detail = cells if isinstance(cells, str) else f"{len(cells)} fields instead of {len(names)}"
            rejects.append(reject("row that is not a row of its table", detail, str(path), offset))
            continue
        row = dict(zip(names, cells, strict=True))
        draft: Draft | None
        if mapped is not None:
            draft, notes = read_row(row, mapped, name, str(path), offset)
        elif not any(cell.strip() for cell in cells) or not (row.get("name", row.get("Name")) or "").strip():
            draft, notes = None, [reject("row without name", "", str(path), offset)]
        else:
            draft, notes = reader(row, str(path), offset)
        rejects += notes
        if draft is not None:
            drafts.append((draft, offset))
    return drafts, rejects


def _csv_rows(text: str, separator: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield (row, cells); the header is row 0, empty lines are no rows, a row that cannot be parsed comes as its message."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    offset = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield offset, str(error)
        else:
            if not cells:
                continue
            yield offset, cells
        offset += 1


def _parquet(content: bytes, path: Path) -> list[tuple[int, object]]:
    try:
        rows = pq.read_table(io.BytesIO(content)).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is no whole Parquet file ({str(error).splitlines()[0]})", "a Parquet table") from None
    return list(enumerate(rows, start=1))


def _by_mapping(rows: Iterable[tuple[int, object]], path: Path, mapped: Mapped | None, source: str | None) -> Found:
    listed = list(rows)
    names = sorted({str(key) for _, row in listed[:200] if isinstance(row, dict) for key in row})
    if mapped is None:
        raise _unknown_table(path, names)
    _check_columns(mapped, names, path)
    drafts: list[tuple[Draft, int]] = []
    rejects: list[dict[str, object]] = []
    name = _source_name(path, mapped, source)
    for offset, row in listed:
        if not isinstance(row, dict):
            rejects.append(reject("line that is no JSON object", "", str(path), offset))
            continue
        draft, notes = read_row(row, mapped, name, str(path), offset)
        rejects += notes
        if draft is not None:
            drafts.append((draft, offset))
    return drafts, rejects


def _check_columns(mapped: Mapped, names: list[str], path: Path) -> None:
    for field, columns in mapped.columns.items():
        for column in columns:
            if column not in names:
                raise InputError(f"{path} has no column {column!r} for {field}", f"one of {', '.join(names[:40])}", "mend the mapping")


def _source_name(path: Path, mapped: Mapped | None, source: str | None) -> str:
    return source or (mapped.source if mapped else None) or path.name.split(".")[0]


def _unknown_table(path: Path, names: list[str]) -> InputError:
    return InputError(
        f"{path} is no table that greyzone knows; its columns are {', '.join(names[:30]) or 'none'}",
        "an EuRepoC or DCID table or a STIX bundle",
        "write a mapping file such as {columns: {name: Title, onset: Date, target_states: Victims}, source: cfr}",
    )
