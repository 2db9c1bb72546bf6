"""Bytes of a text file as UTF-8 lines, whatever it is packed in, with bounded memory.

gzip and zstd are opened by their magic numbers and read as streams. What is read is hostile until shown otherwise: a stream that
unpacks to more than `RATIO` times its size, a line longer than `LINE_LIMIT`, a file that is not text are told, never swallowed.
UTF-8 (with or without byte-order mark) and UTF-16 with one are understood by themselves; another encoding has to be named.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol

import zstandard

from greyzone.errors import EmptyFileError, InputError

LINE_LIMIT = 16 * 2**20
"""Longest line, row or JSON value, in bytes; a longer one is a counted reject."""

FORMATS = "CSV, TSV, JSON lines, Parquet, a datasets folder or a Telegram export (text also as .gz or .zst)"

BLOCK = 2**20
SAMPLE = 2**16
"""Bytes at the start from which format and encoding are judged."""

RATIO = 250
RATIO_FREE = 2**28
"""A packed file may unpack to `RATIO` times its size, and to `RATIO_FREE` bytes in any case; text packs by 3 to 30."""

BINARY_SHARE = 0.05
"""Share of control bytes in the sample above which a file is not text."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_OTHERS = {
    b"BZh": ("packed with bzip2", "unpack it first: bunzip2 FILE"),
    b"\xfd7zXZ\x00": ("packed with xz", "unpack it first: xz -d FILE"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it first"),
    b"Rar!": ("a RAR archive", "unpack it first"),
    b"PK\x03\x04": ("a ZIP archive or a workbook (xlsx, ods)", "unpack it first; save a workbook as CSV (UTF-8)"),
    b"\xd0\xcf\x11\xe0": ("an old Office file (xls, doc)", "save it as CSV (UTF-8)"),
    b"SQLite format 3": ("an SQLite database", "write its table as CSV: sqlite3 -csv -header FILE 'select * from TABLE'"),
    b"%PDF": ("a PDF", "take the texts out into a table"),
}
"""What a file may be by its first bytes that cannot be read, and what to do about it."""
_ZSTD_STEP = 2**11
_ZSTD_WINDOW = 2**27
_CONTROLS = bytes(set(range(32)) - {9, 10, 12, 13, 27}) + b"\x7f"


class Bytes(Protocol):
    """Anything that gives its next bytes, b"" at the end."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes (the next block where `size` is not given)."""
        ...


class TextFile:
    """A text file as a stream of UTF-8 bytes; a context manager.

    Parameters
    ----------
    path
        The file, plain or packed with gzip or zstd.
    encoding
        Name of its encoding; None for UTF-8, or UTF-16 with a byte-order mark.

    Raises
    ------
    InputError
        On reading or opening: no such file, empty, not text, not in the encoding, packed data that is broken or unpacks too far.
    """

    def __init__(self, path: Path, *, encoding: str | None = None) -> None:
        self.path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}", "a file that can be read") from None
        self._head = b""
        try:
            self._stream: Bytes = _Guarded(self._file, path)
            self._settle(encoding)
        except BaseException:
            self._file.close()
            raise

    def _settle(self, encoding: str | None) -> None:
        head = b""
        while len(head) < SAMPLE and (block := self._stream.read(SAMPLE - len(head))):
            head += block
        if not head:
            raise EmptyFileError(f"{self.path} is empty", "a file with documents")
        if encoding is None and head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            encoding = "utf-16"
        if encoding is not None:
            self._stream = _Recoded(self._stream, head, encoding, self.path)
            head = self._stream.read(SAMPLE)
        head = head.removeprefix(codecs.BOM_UTF8)
        _judge(head, self.path)
        if b"\r" in head and b"\n" not in head:
            self._stream, head = _Returns(self._stream), head.replace(b"\r", b"\n")
        self._head = head

    @property
    def head(self) -> bytes:
        """The first bytes, at most about `SAMPLE`, without consuming them; empty once something was read."""
        return self._head

    def read(self, size: int = BLOCK) -> bytes:
        """Return the next bytes, about `size` of them; b"" at the end."""
        if self._head:
            head, self._head = self._head, b""
            return head
        return self._stream.read(size)

    def lines(self) -> Iterator[tuple[int, bytes | None]]:
        """Yield (1-based number, line without its line feed); the line is None where it was longer than `LINE_LIMIT`."""
        number, tail, too_long = 0, b"", False
        while block := self.read(BLOCK):
            pieces = block.split(b"\n")
            if len(pieces) > 1:
                number += 1
                first = tail + pieces[0]
                yield number, None if too_long or len(first) > LINE_LIMIT else first
                for piece in pieces[1:-1]:
                    number += 1
                    yield number, piece
                tail, too_long = pieces[-1], False
            elif not too_long:
                tail += block
            if len(tail) > LINE_LIMIT:
                tail, too_long = b"", True
        if tail or too_long:
            yield number + 1, None if too_long else tail

    def __enter__(self) -> TextFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


class _Returns:
    """Text whose lines end in carriage returns alone, as spreadsheets on old Macs write it."""

    def __init__(self, stream: Bytes) -> None:
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        return self._stream.read(size).replace(b"\r", b"\n")


class _Guarded:
    """Unpacks, counts what comes out, and turns the decoders' errors into ours."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        magic = file.read(4)
        file.seek(0)
        self._file, self._path, self._total = file, path, 0
        self._packed = magic.startswith((_GZIP, _ZSTD))
        self._stream: Bytes = file
        if magic.startswith(_GZIP):
            self._stream = gzip.GzipFile(fileobj=file)
        elif magic == _ZSTD:
            self._stream = _Zstd(file)

    def read(self, size: int = -1, /) -> bytes:
        try:
            block = self._stream.read(size)
        except (EOFError, zlib.error, zstandard.ZstdError, OSError) as error:
            raise InputError(
                f"{self._path} breaks off or is damaged after {self._total} unpacked bytes ({error})",
                "a whole file",
                "fetch or pack it again",
            ) from None
        self._total += len(block)
        if self._packed and self._total > max(RATIO_FREE, RATIO * self._file.tell()):
            raise InputError(
                f"{self._path} unpacks to more than {RATIO} times its size", "packed text", "unpack it yourself if it is what it should be"
            )
        return block


class _Zstd:
    """zstd frames one after the other; unlike the library's own reader it tells a stream that ends within a frame."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._buffer = b""
        self._rest = b""
        self._frame = self._new()

    @staticmethod
    def _new() -> zstandard.ZstdDecompressionObj:
        return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()

    def read(self, size: int = -1, /) -> bytes:
        want = size if size > 0 else BLOCK
        parts, have = [self._buffer], len(self._buffer)
        while have < want:
            # Small steps: one step of a hostile frame can unpack to 32,768 times its size.
            chunk = self._rest or self._file.read(_ZSTD_STEP)
            self._rest = b""
            if self._frame.eof and chunk:
                self._frame = self._new()
            if not chunk:
                if not self._frame.eof:
                    raise EOFError("the last frame is not complete")
                break
            parts.append(self._frame.decompress(chunk))
            have += len(parts[-1])
            if self._frame.eof:
                self._rest = self._frame.unused_data
        everything = b"".join(parts)
        self._buffer = everything[want:]
        return everything[:want]


class _Recoded:
    """Turns another encoding into UTF-8."""

    def __init__(self, stream: Bytes, head: bytes, encoding: str, path: Path) -> None:
        try:
            self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        except LookupError:
            raise InputError(f"unknown encoding {encoding!r}", "a name such as utf-16, cp1251 or latin-1") from None
        self._stream, self._head, self._encoding, self._path, self._total = stream, head, encoding, path, 0

    def read(self, size: int = -1, /) -> bytes:
        while True:
            block = self._head or self._stream.read(size)
            self._head = b""
            try:
                text = self._decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                place = self._total + error.start
                raise InputError(
                    f"{self._path} is not {self._encoding} near byte {place} ({error.reason})", "the encoding it is in"
                ) from None
            self._total += len(block)
            if text or not block:
                return text.encode("utf-8", "surrogatepass")


def _judge(head: bytes, path: Path) -> None:
    """Refuse a sample that is not UTF-8 text; single lines that are not are left to the readers."""
    controls = len(head) - len(head.translate(None, _CONTROLS))
    for magic, (what, remedy) in _OTHERS.items():
        if controls and head.startswith(magic):
            raise InputError(f"{path} is {what}", FORMATS, remedy)
    if controls > BINARY_SHARE * len(head):
        hint = "UTF-16 without byte-order mark? name it with --map encoding=utf-16-le" if head[1::2].count(0) > len(head) / 4 else ""
        raise InputError(f"{path} is a binary file", FORMATS, hint)
    # The last line of the sample may be cut within a character.
    rows = head.split(b"\n")[:-1] or [head[:-4]]
    foreign = [row for row in rows if not row.isascii()]
    broken = sum(not _is_utf8(row) for row in foreign)
    if broken > len(rows) / 2 or (len(foreign) >= 20 and broken > len(foreign) / 2):
        raise InputError(
            f"{path} is not UTF-8 ({broken} of the first {len(rows)} lines)",
            "UTF-8, or UTF-16 with a byte-order mark",
            "convert it (iconv -f cp1251 -t utf-8) or name its encoding: --map encoding=cp1251",
        )


def _is_utf8(row: bytes) -> bool:
    try:
        row.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
