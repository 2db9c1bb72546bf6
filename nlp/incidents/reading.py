"""Which reader a file of incidents takes, told by its content, and the bounded opening of plain, .gz and .zst files and of folders."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from greyzone.errors import InputError
from greyzone.incidents import attack, cfr, csis, cyberpeace, dcid, eurepoc, misp, stix, veris
from greyzone.incidents.mapping import Mapped, load_mapping, parse_json_lines, read_row
from greyzone.incidents.reports import CUT, Draft, finish, reject, sound
from greyzone.incidents.stream import bundle_objects
from greyzone.records import REJECTS, REPORTS, ReportBatch, table

LARGEST = 1 << 30
"""Bytes of a file, unpacked, above which it is refused: incident lists are small, decompression bombs are not."""

Row = Mapping[str, object]
Found = tuple[list[tuple[Draft, int]], list[dict[str, object]]]


class Known(NamedTuple):
    """A table that is known by its columns: those columns, the ones of which one must say something, and its reader."""

    columns: frozenset[str]
    named: tuple[str, ...]
    read_row: Callable[[Mapping[str, str], str, int], tuple[Draft | None, list[dict[str, object]]]]


TABLES = (
    Known(eurepoc.COLUMNS, ("name",), eurepoc.read_row),
    Known(dcid.COLUMNS, ("Name",), dcid.read_row),
    Known(cfr.COLUMNS, ("Title",), cfr.read_row),
    Known(csis.COLUMNS, ("target", "adversary", "technique"), csis.read_row),
    Known(cyberpeace.COLUMNS, ("eventName",), cyberpeace.read_row),
)
"""Tables read without a mapping; the first whose columns are all there is taken."""


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
        A table of EuRepoC, DCID, CFR, CSIS or CyberPeace; a STIX 2.1 bundle; MISP events, VERIS incidents or ATT&CK campaigns as an
        object, list or lines of JSON; any CSV, TSV, JSON lines or Parquet table with a mapping; plain, .gz or .zst; or a folder of
        these, read in the order of their names.
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
        If the file is absent, empty, binary, too large or damaged, or its columns are not known and there is no mapping; in a folder
        such a file is a reject, and only a folder without any other is an error.
    """
    where = Path(path)
    mapped = load_mapping(mapping) if mapping is not None else None
    last = as_of.replace(tzinfo=as_of.tzinfo or UTC) if as_of is not None else None
    rows: list[dict[str, object]] = []
    rejects: list[dict[str, object]] = []
    failed: list[InputError] = []
    files = sorted(item for item in where.rglob("*") if item.is_file()) if where.is_dir() else [where]
    for file in files:
        try:
            drafts, notes = (None if mapped else _bundle(file)) or _parse(_content(file), file, mapped, source)
        except InputError as error:
            if not where.is_dir():
                raise
            failed.append(error)
            rejects.append(reject("file that could not be read", error, str(file), 0))
            continue
        rejects += notes
        for draft, offset in drafts:
            _finish(draft, offset, str(file), source, last, rows, rejects)
    if len(failed) == len(files):
        first = f"; the first: {failed[0]}" if failed else ""
        raise InputError(f"no file of {len(files):,} in {path} could be read{first}", "files of incidents")
    return ReportBatch(table(rows, REPORTS), table(rejects, REJECTS))


def _finish(
    draft: Draft,
    offset: int,
    path: str,
    source: str | None,
    last: datetime | None,
    rows: list[dict[str, object]],
    rejects: list[dict[str, object]],
) -> None:
    draft.source = source or draft.source
    if last is not None and draft.onset is not None and draft.onset.lo > last:
        rejects.append(reject("onset after the as-of date", draft.onset.lo.date(), path, offset))
        return
    if last is not None and draft.onset is None and draft.disclosed is not None and draft.disclosed.lo > last:
        rejects.append(reject("disclosed after the as-of date", draft.disclosed.lo.date(), path, offset))
        return
    if draft.onset is None and draft.disclosed is None:
        rejects.append(reject("no usable date", draft.name, path, offset, action="repaired"))
    if any(CUT in text for text in (draft.name, draft.description)):
        draft.flags.append(f"text {CUT[1:-1]}")
    rejects += [reject(flag, draft.name, path, offset, action="repaired") for flag in draft.flags]
    rows.append(finish(draft, path, offset))


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


def _bundle(path: Path) -> Found | None:
    """Read a STIX bundle object by object, or return None if the file holds none."""
    with _opened(path) as stream:
        if bundle_objects(stream, path, LARGEST) is None:
            return None

    def again() -> Iterator[tuple[int, object]]:
        with _opened(path) as stream:
            yield from bundle_objects(stream, path, LARGEST) or ()

    return stix.read_objects(again, str(path))


def _content(path: Path) -> bytes:
    with _opened(path) as stream:
        return _bounded(stream, path)


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
        raise InputError(f"{path} is nested too deeply", "JSON of STIX, MISP, VERIS or ATT&CK") from None
    except ValueError:
        rows = parse_json_lines(text)
        known = mapped is None and any(_kind(row) for _, row in rows)
        return _objects(rows, path) if known else _by_mapping(rows, path, mapped, source)
    if isinstance(value, list):
        listed = list(enumerate(value, start=1))
        if mapped is None and any(_kind(item) for item in value):
            return _objects(listed, path)
        return _by_mapping([(at, item if isinstance(item, dict) else None) for at, item in listed], path, mapped, source)
    content = value if isinstance(value, dict) else {}
    if isinstance(content.get("response"), list | dict):
        inner = content["response"]
        return _objects(list(enumerate(inner if isinstance(inner, list) else [inner], start=1)), path)
    if _kind(content):
        return _objects([(1, content)], path)
    kind = f"type {content['type']!r}" if "type" in content else f"keys {', '.join(sorted(content)[:8])}"
    raise InputError(
        f"{path} holds JSON with {kind}", "a STIX 2.1 bundle, a MISP event, a VERIS incident", "or JSON lines with a mapping file"
    )


def _kind(item: object) -> str:
    """Name what an object of JSON is, by its keys; "" for what no reader knows."""
    if not isinstance(item, dict):
        return ""
    if item.get("type") == "bundle" and isinstance(item.get("objects"), list):
        return "stix"
    if isinstance(item.get("Event"), dict):
        return "misp"
    if item.keys() >= attack.COLUMNS:
        return "attack"
    return "veris" if item.keys() >= veris.KEYS else ""


def _objects(items: list[tuple[int, object]], path: Path) -> Found:
    """Read objects of JSON, each by the reader of its kind; one bundle alone keeps the places of its objects."""
    drafts: list[tuple[Draft, int]] = []
    rejects: list[dict[str, object]] = []
    for offset, item in items:
        kind = _kind(item)
        content = cast("dict[str, object]", item)
        if kind == "stix":
            found, notes = stix.read_bundle(content, str(path))
            drafts += found if len(items) == 1 else [(draft, offset) for draft, _ in found]
        elif kind:
            event = cast("Row", content["Event"]) if kind == "misp" else content
            draft, notes = _READERS[kind](event, str(path), offset)
            drafts += [(draft, offset)] if draft is not None else []
        else:
            notes = [reject("JSON that no reader knows", str(item)[:80], str(path), offset)]
        rejects += notes
    return drafts, rejects


_READERS: dict[str, Callable[[Row, str, int], tuple[Draft | None, list[dict[str, object]]]]] = {
    "misp": misp.read_event,
    "attack": attack.read_campaign,
    "veris": veris.read_incident,
}


def _delimited(text: str, path: Path, mapped: Mapped | None, source: str | None) -> Found:
    first = text.lstrip().split("\n", 1)[0]
    separator = max(",\t;|", key=lambda mark: (first.count(mark), mark == ","))
    rows = _csv_rows(text, separator)
    header = next(rows, (0, ""))[1]
    names = header if isinstance(header, list) else []
    known = next((table for table in TABLES if {*names} >= table.columns), None)
    if mapped is None and known is None:
        raise _unknown_table(path, names)
    drafts: list[tuple[Draft, int]] = []
    rejects: list[dict[str, object]] = []
    if mapped is not None:
        _check_columns(mapped, names, path)
    name = _source_name(path, mapped, source)
    for offset, cells in rows:
        if isinstance(cells, str) or len(cells) != len(names):
            detail = cells if isinstance(cells, str) else f"{len(cells)} fields instead of {len(names)}"
            rejects.append(reject("row that is not a row of its table", detail, str(path), offset))
            continue
        row = dict(zip(names, cells, strict=True))
        draft: Draft | None
        if mapped is not None or known is None:
            draft, notes = read_row(row, cast("Mapped", mapped), name, str(path), offset)
        elif not any((row.get(column) or "").strip() for column in known.named):
            draft, notes = None, [reject("row without name", "", str(path), offset)]
        else:
            draft, notes = known.read_row(row, str(path), offset)
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
        "a table of EuRepoC, DCID, CFR, CSIS or CyberPeace, or JSON of STIX, MISP, VERIS or ATT&CK",
        "write a mapping file such as {columns: {name: Title, onset: Date, target_states: Victims}, source: cfr}",
    )
