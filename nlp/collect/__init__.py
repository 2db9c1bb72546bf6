"""Readers of documents: whatever a corpus comes in, out come batches of `RAW_DOCUMENTS` and the rows that could not be read.

`read_documents` finds the format of a file by its name and, where the name does not say, by its first bytes. One reader a file:
`delimited` (CSV, TSV), `jsonlines`, `telegram` (Telegram Desktop exports and JSON arrays), `parquet`, `hf` (datasets folders).
Nothing is lost on the way: every row is in `rows` or in `rejects` with its place and reason, or there is an `InputError`. An empty file
of a folder is a reject, too.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from greyzone.collect import delimited, hf, jsonlines, parquet, telegram
from greyzone.collect.batches import Chunk, Source, raw_batch
from greyzone.collect.columns import check_mapping
from greyzone.collect.streams import FORMATS, TextFile
from greyzone.dates import day_first_of
from greyzone.errors import EmptyFileError, InputError
from greyzone.records import RAW_DOCUMENTS, REJECTS, RawBatch, empty, table

__all__ = ["EMPTY_FILE", "read_documents"]

logger = logging.getLogger(__name__)

EMPTY_FILE = "empty file"
"""Reason of a reject that is no row but a file of a folder; its `offset` is 0."""

PACKED = (".gz", ".zst")
SUFFIXES = {".csv": "delimited", ".tsv": "delimited", ".tab": "delimited", ".jsonl": "jsonlines", ".ndjson": "jsonlines"}
SUFFIXES |= {".parquet": "parquet", ".pq": "parquet", ".json": "json"}

_Reader = Callable[[Path, Source, Mapping[str, str], int], Iterator[Chunk]]
_READERS: dict[str, _Reader] = {
    "delimited": delimited.chunks,
    "jsonlines": jsonlines.chunks,
    "jsonarray": telegram.array_chunks,
    "telegram": telegram.chunks,
    "parquet": parquet.chunks,
    "hf": hf.chunks,
}


def read_documents(
    path: str | Path, *, mapping: Mapping[str, str] | None = None, batch_rows: int = 20_000, as_of: datetime | None = None
) -> Iterator[RawBatch]:
    """Read the documents of a file, or of every file in a folder in the order of their names.

    Parameters
    ----------
    path
        A file or folder; a relative path stays relative in the tables.
    mapping
        Field to column, over the known aliases (`greyzone.collect.columns.ALIASES`). Two keys set how files are read: ``encoding``
        and ``day_first`` ("true", "false": the order in dates such as 03/04/2016, else taken from the whole file). A Telegram export
        has its own fields and uses ``encoding`` alone.
    batch_rows
        Rows a batch at most, rejected ones counted; the tables are the same whatever it is.
    as_of
        An aware time; documents dated after it are kept undated, with a reject. None: no check.

    Returns
    -------
    Iterator of RawBatch
        Read lazily: a file that turns out to be damaged raises when the damage is reached.

    Raises
    ------
    InputError
        At once for a path or mapping that cannot be; while iterating for a file that is not text, damaged, without text, or empty (in
        a folder an empty file is a reject, and only a folder of nothing else is an error).
    """
    mapping = dict(mapping or {})
    check_mapping(mapping)
    if batch_rows < 1:
        raise InputError(f"batch_rows {batch_rows}", "at least 1")
    if as_of is not None and as_of.tzinfo is None:
        raise InputError(f"as_of {as_of.isoformat()} without a time zone", "an aware time, such as UTC")
    where = Path(path)
    files = _files(where)
    if where.is_dir():
        return _read_folder(where, files, mapping, batch_rows, as_of)
    return _read(*files[0], mapping, batch_rows, as_of)


def _read_folder(
    folder: Path, files: list[tuple[Path, str]], mapping: Mapping[str, str], batch_rows: int, as_of: datetime | None
) -> Iterator[RawBatch]:
    hollow = 0
    for path, kind in files:
        try:
            yield from _read(path, kind, mapping, batch_rows, as_of)
        except EmptyFileError as error:
            hollow += 1
            logger.warning("%s passed over: it is empty", path)
            lost = Source(path.as_posix(), kind).reject(EMPTY_FILE, 0, str(error))
            yield RawBatch(empty(RAW_DOCUMENTS), table([lost], REJECTS))
    if hollow == len(files):
        raise EmptyFileError(f"no file of {hollow:,} in {folder} holds anything", "a file with documents")


def _read(path: Path, kind: str, mapping: Mapping[str, str], batch_rows: int, as_of: datetime | None) -> Iterator[RawBatch]:
    name = kind or _sniff(path)
    if name == "telegram" and set(mapping) - {"encoding"}:
        logger.warning("%s is a Telegram export, which has fields of its own: --map does not apply to it", path)

    def read(source: Source) -> Iterator[Chunk]:
        return _READERS[name](path, source, mapping, batch_rows)

    # The order of day and month is a question to the whole file; it is asked only if a batch has a date that leaves it open.
    order = functools.cache(functools.partial(_order, read, Source(path.as_posix(), name), mapping.get("day_first")))
    source = Source(path.as_posix(), name, "telegram" if name == "telegram" else None, as_of, order)
    for chunk in read(source):
        yield raw_batch(chunk, source)


def _order(read: Callable[[Source], Iterator[Chunk]], source: Source, stated: str | None) -> bool | None:
    if stated is not None:
        return stated == "true"
    return day_first_of(value for chunk in read(source) for value in _listed(chunk))


def _listed(chunk: Chunk) -> list[object]:
    values = chunk.fields.get("published_at", [])
    return list(values.to_pylist() if hasattr(values, "to_pylist") else values)


def _files(path: Path) -> list[tuple[Path, str]]:
    """Return (file, reader) of everything to read; the reader is "" where the content has to tell."""
    if not path.exists():
        raise InputError(f"{path} does not exist", FORMATS)
    if not path.is_dir():
        return [(path, _by_name(path))]
    if hf.is_dataset(path):
        return [(part, "hf") for part in hf.splits(path)]
    found: list[tuple[Path, str]] = []
    for entry in sorted(path.iterdir(), key=lambda entry: entry.name):
        if entry.name.startswith(".") or (entry.is_dir() and entry.is_symlink()):
            continue
        if entry.is_dir():
            found.extend(_inside(entry))
        elif _suffix(entry) in SUFFIXES:
            found.append((entry, _by_name(entry)))
        else:
            logger.warning("%s passed over: not %s by its name", entry, FORMATS)
    if not found:
        raise InputError(f"{path} has no file that can be read", FORMATS)
    return found


def _inside(folder: Path) -> list[tuple[Path, str]]:
    try:
        return _files(folder)
    except InputError:
        # A folder of pictures beside an export is no error; a folder without anything is one, and the caller sees to that.
        logger.warning("%s passed over: no file in it that can be read", folder)
        return []


def _suffix(path: Path) -> str:
    names = [suffix.lower() for suffix in path.suffixes]
    while names and names[-1] in PACKED:
        names.pop()
    return names[-1] if names else ""


def _by_name(path: Path) -> str:
    kind = SUFFIXES.get(_suffix(path), "")
    return "" if kind == "json" else kind


def _sniff(path: Path) -> str:
    try:
        with path.open("rb") as file:
            if file.read(4) == b"PAR1":
                return "parquet"
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", "a file that can be read") from None
    with TextFile(path) as text:
        head = text.head
    start = head.lstrip()[:1]
    if start == b"[":
        return "jsonarray"
    if start == b"{":
        return "telegram" if telegram.is_export(head) else "jsonlines"
    if _suffix(path) == ".json" or not any(mark.encode() in head.split(b"\n", 1)[0] for mark in delimited.DELIMITERS):
        raise InputError(f"{path} is of no known format", FORMATS)
    return "delimited"
