"""Telegram Desktop exports (``result.json``): one chat, or everything; and JSON files that are one array of objects.

Such a file is one JSON value of any size. It is read as a stream: a message at a time is decoded, never the whole. A channel's
stable id is the account, its name the outlet; ``date_unixtime`` is the time, since ``date`` is on the exporting machine's clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from greyzone.collect.batches import BATCH_BYTES, Chunk, Reject, Source
from greyzone.collect.jsonlines import Decoder, gather
from greyzone.collect.streams import BLOCK, LINE_LIMIT, TextFile
from greyzone.errors import InputError

_FIELDS = (
    *("text", "published_at", "account", "outlet", "app", "post_id", "urls", "hashtags", "mentions"),
    *("is_repost", "repost_of", "reply_to"),
)
_BLANKS = " \t\r\n"


def chunks(path: Path, source: Source, mapping: Mapping[str, str], batch_rows: int) -> Iterator[Chunk]:
    """Yield the messages of an export; service messages ("joined", "pinned") are counted as rejects.

    Raises
    ------
    InputError
        If the file is not JSON to its end, or holds no list of messages.
    """
    with TextFile(path, encoding=mapping.get("encoding")) as file:
        cursor = _Cursor(file, source.path)
        rows: list[dict[str, object]] = []
        offsets: list[int] = []
        rejects: list[Reject] = []
        number = size = 0
        for chat, message, length in _messages(cursor):
            number += 1
            if not isinstance(message, dict):
                rejects.append(source.reject("not a JSON object", number, str(message)[:200]))
            elif message.get("type", "message") != "message":
                rejects.append(source.reject("service message", number, str(message.get("action", message.get("type")))))
            else:
                rejects += cursor.decoder.tell(source, number)
                rows.append(_row(message, chat))
                offsets.append(number)
                size += length
            if len(rows) + len(rejects) >= batch_rows or size >= BATCH_BYTES:
                yield Chunk({field: [row.get(field) for row in rows] for field in _FIELDS}, offsets, rejects)
                rows, offsets, rejects, size = [], [], [], 0
        if not number:
            raise InputError(f"{source.path} has no messages", "a Telegram Desktop export in JSON")
        if offsets or rejects:
            yield Chunk({field: [row.get(field) for row in rows] for field in _FIELDS}, offsets, rejects)


def array_chunks(path: Path, source: Source, mapping: Mapping[str, str], batch_rows: int) -> Iterator[Chunk]:
    """Yield the objects of a JSON file that is one array; offsets are places in the array."""
    with TextFile(path, encoding=mapping.get("encoding")) as file:
        rejects: list[Reject] = []
        yield from gather(_array(_Cursor(file, source.path), source, rejects), rejects, source, mapping, batch_rows)


def is_export(head: bytes) -> bool:
    """Tell from the first bytes of a JSON file whether it is a Telegram export and not a first line of JSON lines."""
    text = head.decode("utf-8", "replace")
    first = text.lstrip().split("\n", 1)[0]
    marked = '"messages"' in text or ('"chats"' in text and '"list"' in text)
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return marked
    return marked and "\n" not in text.strip()


class _Cursor:
    """Walks through a JSON text that is longer than memory."""

    def __init__(self, file: TextFile, path: str) -> None:
        self._file, self._path = file, path
        self._text, self._place, self._rest, self._passed = "", 0, b"", 0
        self._ended = False
        self.decoder = Decoder()

    def peek(self) -> str:
        """Return the next character that is not blank, "" at the end."""
        while True:
            while self._place < len(self._text) and self._text[self._place] in _BLANKS:
                self._place += 1
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._fill():
                return ""

    def take(self, mark: str) -> None:
        """Step over `mark`."""
        if self.peek() != mark:
            raise self.broken(f"{self.peek()!r} where {mark!r} should be")
        self._place += 1

    def value(self) -> tuple[object, int]:
        """Decode the next value, and tell its length in characters."""
        self.peek()
        wanted = 0
        while True:
            # A try that fails, or that is cut short, may have met repeated keys.
            self.decoder.repeated.clear()
            try:
                value, end = self.decoder.raw_decode(self._text, self._place)
            except (ValueError, RecursionError) as error:
                # What is there may only be the beginning of the value; ask for twice as much each time.
                have = len(self._text) - self._place
                if isinstance(error, RecursionError) or have > LINE_LIMIT or self._ended:
                    raise self.broken("a value longer than 16 MiB" if have > LINE_LIMIT else str(error)) from None
                wanted = max(2 * have, 1)
            else:
                # A bare number at the end of the buffer may go on.
                if end < len(self._text) or self._ended:
                    length, self._place = end - self._place, end
                    return value, length
                wanted = len(self._text) - self._place + 1
            while len(self._text) - self._place < wanted and self._fill():
                pass

    def keys(self) -> Iterator[str]:
        """Walk through an object; whoever asks takes the value before the next key."""
        self.take("{")
        while self.peek() != "}":
            key, _ = self.value()
            self.take(":")
            yield str(key)
            if self.peek() == ",":
                self.take(",")
        self.take("}")

    def items(self) -> Iterator[None]:
        """Walk through an array; whoever asks takes the item."""
        self.take("[")
        while self.peek() != "]":
            yield None
            if self.peek() == ",":
                self.take(",")
        self.take("]")

    def broken(self, reason: str) -> InputError:
        """Return the error that says where the text breaks off."""
        place = self._passed + self._place
        return InputError(f"{self._path} is not valid JSON near character {place} ({reason})", "a whole export", "export it again")

    def _fill(self) -> bool:
        block = b"" if self._ended else self._file.read(BLOCK)
        if not block:
            self._ended = True
            return False
        self._passed += self._place
        data = self._rest + block
        # A character may be cut at the end of a block.
        cut = next((back for back in (1, 2, 3) if len(data) >= back and data[-back] >= 0xC0), 0)
        self._rest = data[len(data) - cut :] if cut else b""
        whole = data[: len(data) - cut] if cut else data
        self._text = self._text[self._place :] + whole.decode("utf-8", "replace")
        self._place = 0
        return True


def _messages(cursor: _Cursor) -> Iterator[tuple[dict[str, object], object, int]]:
    """Yield (what was said of the chat so far, message, length) from a chat, a list of chats, or a whole export."""
    chat: dict[str, object] = {}
    for key in cursor.keys():  # noqa: SIM118
        mark = cursor.peek()
        if key == "messages" and mark == "[":
            for _ in cursor.items():
                message, length = cursor.value()
                yield chat, message, length
        elif key in ("chats", "left_chats") and mark == "{":
            yield from _messages(cursor)
        elif key == "list" and mark == "[":
            for _ in cursor.items():
                if cursor.peek() == "{":
                    yield from _messages(cursor)
                else:
                    cursor.value()
        else:
            chat[key], _ = cursor.value()


def _array(cursor: _Cursor, source: Source, rejects: list[Reject]) -> Iterator[tuple[int, dict[str, object], int]]:
    for number, _ in enumerate(cursor.items(), start=1):
        value, length = cursor.value()
        if isinstance(value, dict):
            rejects += cursor.decoder.tell(source, number)
            yield number, value, length
        else:
            rejects.append(source.reject("not a JSON object", number, str(value)[:200]))


def _row(message: Mapping[str, object], chat: Mapping[str, object]) -> dict[str, object]:
    parts = message.get("text") or ""
    entities = parts if isinstance(parts, list) else []
    if not entities and isinstance(message.get("text_entities"), list):
        entities = message["text_entities"]  # type: ignore[assignment]
    text = parts if isinstance(parts, str) else "".join(_plain(part) for part in entities)
    named = {kind: [_plain(part) for part in entities if isinstance(part, dict) and part.get("type") == kind] for kind in _KINDS}
    hrefs = [part["href"] for part in entities if isinstance(part, dict) and isinstance(part.get("href"), str)]
    room = chat.get("id", chat.get("name"))
    identity, reply = message.get("id"), message.get("reply_to_message_id")
    origin = message.get("forwarded_from")
    seconds = message.get("date_unixtime")
    # Old exports have local time only: good to the day.
    published = str(seconds) if seconds is not None else str(message.get("date") or "")[:10]
    return {
        "text": text,
        "published_at": published,
        "account": message.get("from_id") or message.get("from") or chat.get("name"),
        "outlet": chat.get("name"),
        "app": message.get("via_bot"),
        "post_id": None if identity is None else f"{room}/{identity}",
        "urls": named["link"] + hrefs,
        "hashtags": named["hashtag"],
        "mentions": named["mention"],
        "is_repost": origin is not None or "forwarded_from" in message,
        "repost_of": origin,
        "reply_to": None if reply is None else f"{room}/{reply}",
    }


_KINDS = ("link", "hashtag", "mention")


def _plain(part: object) -> str:
    if isinstance(part, dict):
        part = part.get("text")
    return part if isinstance(part, str) else ""
