"""CSV and TSV, as exports really are: quoted line breaks, stray quotes, ragged rows, single rows in another encoding.

The standard `csv` module splits; this reader feeds it line by line and keeps the lines of the row at hand. A quote that is opened
and never closed swallows the rows behind it. A row of several lines with an odd number of quotes, or with the wrong number of columns
and a closing quote in the middle of a field, is therefore given back, its first line rejected, and the others read again: one bad line
costs one row.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

from greyzone.collect.batches import BATCH_BYTES, Chunk, Reject, Source
from greyzone.collect.columns import resolve
from greyzone.collect.streams import LINE_LIMIT, TextFile
from greyzone.errors import InputError

DELIMITERS = ",;\t|"

_OPEN, _NOT_CSV = "quote never closed", "not valid CSV"


def chunks(path: Path, source: Source, mapping: Mapping[str, str], batch_rows: int) -> Iterator[Chunk]:
    """Yield the rows of a delimited file; its first line names the columns.

    Raises
    ------
    InputError
        If the file cannot be read as delimited text or has no text column.
    """
    # The limit belongs to the whole process; it is a constant, so that setting it again changes nothing.
    csv.field_size_limit(LINE_LIMIT)
    with TextFile(path, encoding=mapping.get("encoding")) as file:
        delimiter = _delimiter(path, file.head)
        feed = _Feed(file, delimiter)
        rows = csv.reader(feed, delimiter=delimiter)
        header = _header(rows, feed, source)
        wanted = {field: header.index(column) for field, column in resolve(header, mapping, source.path).items()}
        yield from _chunks(rows, feed, source, len(header), wanted, batch_rows)


class _Feed:
    """Gives lines to `csv.reader` and remembers those of the row at hand."""

    def __init__(self, file: TextFile, delimiter: str) -> None:
        self.delimiter = delimiter
        self._lines = file.lines()
        self._again: deque[tuple[int, str]] = deque()
        self.taken: list[tuple[int, str]] = []
        self.too_long = 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        if self._again:
            entry = self._again.popleft()
        else:
            number, line = next(self._lines)
            if line is None:
                self.too_long = self.too_long or number
                line = b""
            entry = (number, line.decode("utf-8", "surrogateescape") + "\n")
        self.taken.append(entry)
        return entry[1]

    def start(self) -> None:
        """Forget the last row."""
        self.taken, self.too_long = [], 0

    def give_back(self) -> None:
        """Put all lines of the row but the first back, to be read again."""
        self._again.extendleft(reversed(self.taken[1:]))


def _chunks(
    rows: Iterator[list[str]], feed: _Feed, source: Source, width: int, wanted: Mapping[str, int], batch_rows: int
) -> Iterator[Chunk]:
    kept: list[list[str]] = []
    offsets: list[int] = []
    rejects: list[Reject] = []
    size = 0
    while True:
        feed.start()
        try:
            row = next(rows)
            trouble = _trouble(row, feed, width)
        except StopIteration:
            break
        except csv.Error as error:
            row, trouble = [], (_NOT_CSV, str(error))
        if trouble:
            if trouble[0] in (_OPEN, _NOT_CSV):
                feed.give_back()
            rejects.append(source.reject(trouble[0], feed.taken[0][0], trouble[1]))
        elif row:
            kept.append(row)
            offsets.append(feed.taken[0][0])
            size += sum(map(len, row))
        if len(kept) + len(rejects) >= batch_rows or size >= BATCH_BYTES:
            yield _chunk(kept, offsets, rejects, wanted)
            kept, offsets, rejects, size = [], [], [], 0
    if kept or rejects:
        yield _chunk(kept, offsets, rejects, wanted)


def _chunk(kept: list[list[str]], offsets: list[int], rejects: list[Reject], wanted: Mapping[str, int]) -> Chunk:
    return Chunk({field: [row[place] for row in kept] for field, place in wanted.items()}, offsets, rejects)


def _trouble(row: list[str], feed: _Feed, width: int) -> tuple[str, str] | None:
    if feed.too_long:
        return "line too long", f"{_span(feed)}more than {LINE_LIMIT} bytes"
    if not row:
        return None
    taken = feed.taken
    if len(taken) > 1 and (sum(line.count('"') for _, line in taken) % 2 or (len(row) != width and not _strict(feed))):
        return _OPEN, taken[0][1]
    if len(row) != width:
        return "wrong number of columns", f"{_span(feed)}{len(row)} found, {width} expected"
    if any(not line.isascii() and _has_surrogate(line) for _, line in taken):
        return "not valid UTF-8", f"{_span(feed)}{taken[0][1]}"
    return None


def _span(feed: _Feed) -> str:
    """Name the lines of a row that a quoted field stretches over several: one reject then stands for all of them."""
    return f"lines {feed.taken[0][0]} to {feed.taken[-1][0]}: " if len(feed.taken) > 1 else ""


def _strict(feed: _Feed) -> bool:
    """Tell whether every quote of the row at hand stands at an end of a field."""
    try:
        next(csv.reader([line for _, line in feed.taken], delimiter=feed.delimiter, strict=True))
    except csv.Error:
        return False
    return True


def _has_surrogate(line: str) -> bool:
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _header(rows: Iterator[list[str]], feed: _Feed, source: Source) -> list[str]:
    header: list[str] = []
    try:
        while not header:
            feed.start()
            header = [name.strip() for name in next(rows)]
    except StopIteration:
        raise InputError(f"{source.path} has no rows", "a first line with the names of the columns") from None
    except csv.Error as error:
        raise InputError(f"{source.path}: {error}", "a first line with the names of the columns") from None
    if feed.too_long:
        raise InputError(f"{source.path}: first line longer than {LINE_LIMIT} bytes", "a first line with the names of the columns")
    # The lines of the header are the only ones that cannot be rejected, so their odd bytes are replaced.
    return [name.encode("utf-8", "replace").decode("utf-8") for name in header]


def _delimiter(path: Path, head: bytes) -> str:
    names = [suffix.lower() for suffix in path.suffixes]
    if ".tsv" in names or ".tab" in names:
        return "\t"
    first = next((line for line in head.decode("utf-8", "replace").splitlines() if line.strip()), "")
    outside = "".join(first.split('"')[::2])
    # On a tie the delimiter listed first wins; a line with none of them is a table of one column.
    return max(DELIMITERS, key=lambda mark: (outside.count(mark), -DELIMITERS.index(mark)))
