"""The objects of a STIX bundle one by one, so that a bundle of hundreds of megabytes is never in memory as a whole.

A bundle is one JSON object with a list ``objects``. Of the text as much is held as the object at hand needs: a chunk is read, objects are
decoded from it, and what is left is the beginning of the next. An object of more than `LARGEST_OBJECT` characters, or nested too deeply, is
passed over by its brackets and comes as its error, so that it can be counted.
"""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from greyzone.errors import InputError
from greyzone.incidents.reports import sound

CHUNK = 1 << 20
"""Bytes read at a time."""

LARGEST_OBJECT = 16 << 20
"""Characters of an object above which it is passed over, as the rows of documents are."""

_SPACE = re.compile(r"[ \t\n\r]*")
_MARK = re.compile(r'["{}\[\]]')
_STRING_END = re.compile(r'(?:[^"\\]|\\.)*"', re.DOTALL)
_AFTER = frozenset(" \t\n\r,:]}")
_DECODER = json.JSONDecoder()


class Unread(str):
    """Why an object could not be read."""

    __slots__ = ()


def bundle_objects(stream: IO[bytes], path: Path, largest: int) -> Iterator[tuple[int, Any]] | None:
    """Yield (1-based place, object or `Unread`) of the bundle in a stream, or return None if it holds no bundle.

    Raises
    ------
    InputError
        While it is read: if the stream is damaged, ends within the bundle or holds more than `largest` bytes.
    """
    text = _Text(stream, path, largest)
    try:
        found = text.begins("{") and _to_objects(text)
    except InputError:
        # Whoever reads the file otherwise says what is wrong with it.
        return None
    return _elements(text) if found else None


def _to_objects(text: _Text) -> bool:
    """Go to the first object of the bundle; False if a key before it says that this is none."""
    text.at += 1
    while True:
        key = text.value()
        if not isinstance(key, str) or not text.begins(":"):
            return False
        text.at += 1
        if key == "objects":
            if not text.begins("["):
                return False
            text.at += 1
            return True
        value = text.value()
        if isinstance(value, Unread) or (key == "type" and value != "bundle") or not text.begins(","):
            return False
        text.at += 1


def _elements(text: _Text) -> Iterator[tuple[int, Any]]:
    place = 0
    while not text.begins("]"):
        if place:
            if not text.begins(","):
                raise InputError(f"{text.path} is no JSON after object {place}", "a comma or the end of the list", "fetch it again")
            text.at += 1
        place += 1
        value = text.value()
        yield place, value if isinstance(value, Unread) else _sound(value)


def _sound(value: object) -> object:
    try:
        return sound(value)
    except RecursionError:
        # The decoder takes a little more depth than our own functions.
        return Unread("nested too deeply")


class _Text:
    """The text of a stream from `at` on, as far as it was read."""

    def __init__(self, stream: IO[bytes], path: Path, largest: int) -> None:
        self.path, self.at = path, 0
        self._stream, self._largest, self._bytes, self._ended = stream, largest, 0, False
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._text = ""

    def begins(self, mark: str) -> bool:
        """Tell whether the next character that is no space is `mark`, and go there."""
        while True:
            found = _SPACE.match(self._text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self._text):
                return self._text[self.at] == mark
            if not self._more():
                return False

    def value(self) -> Any:  # noqa: ANN401 (any value of JSON)
        """Return the next value and go behind it; `Unread` for one that is too large, too deep or no JSON but whole by its brackets."""
        self.begins("")
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self.at)
            except RecursionError:
                return self._pass_over("nested too deeply")
            except ValueError:
                if len(self._text) - self.at > LARGEST_OBJECT:
                    return self._pass_over(f"more than {LARGEST_OBJECT:,} characters")
                if not self._more():
                    return self._pass_over("no JSON")
            else:
                # A number may go on in the next chunk ("1", then ".5").
                if self._text[end : end + 1] not in _AFTER and self._more():
                    continue
                self.at = end
                return value

    def _pass_over(self, why: str) -> Unread:
        depth = 0
        while True:
            found = _MARK.search(self._text, self.at)
            if found is None:
                self._text, self.at = "", 0
                if not self._more():
                    raise InputError(f"{self.path} is damaged (it ends within an object that is {why})", "a whole file", "fetch it again")
                continue
            self.at = found.end()
            if found[0] == '"':
                self._string()
            else:
                depth += 1 if found[0] in "{[" else -1
            if depth <= 0:
                return Unread(why)

    def _string(self) -> None:
        while True:
            end = _STRING_END.match(self._text, self.at)
            if end is not None:
                self.at = end.end()
                return
            if not self._more():
                raise InputError(f"{self.path} is damaged (it ends within a text)", "a whole file", "fetch it again")

    def _more(self) -> bool:
        """Read a chunk; what lies before `at` is let go."""
        if self._ended:
            return False
        import zstandard

        try:
            chunk = self._stream.read(CHUNK)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            raise InputError(f"{self.path} is damaged ({error})", "a whole file", "fetch it again") from None
        self._bytes += len(chunk)
        if self._bytes > self._largest:
            raise InputError(f"{self.path} holds more than {self._largest >> 20} MiB unpacked", "a list of incidents", "split it")
        self._ended = not chunk
        self._text, self.at = self._text[self.at :] + self._decoder.decode(chunk, final=self._ended), 0
        return True
