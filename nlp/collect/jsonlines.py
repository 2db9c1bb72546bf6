"""JSON lines: one object a line, whose keys may differ from line to line.

Which key is which field is settled per set of keys, so that a row means the same wherever it stands in the file. Nested objects are
reached by dotted names (``user.screen_name``), two levels down. Of a key that an object holds twice the last value stands, as in most
readers of JSON, and the row is told in a reject with action "repaired".
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from greyzone.collect.batches import BATCH_BYTES, Chunk, Reject, Source
from greyzone.collect.columns import FIELDS, find, resolve
from greyzone.collect.streams import LINE_LIMIT, TextFile
from greyzone.errors import InputError

PROBE = 1000
"""If none of so many first objects has a text, the file is refused rather than rejected row by row."""

DEPTH = 2
REFERENCES = "referenced_tweets"
"""List of {"type": "retweeted", "quoted" or "replied_to", "id": ...} in which Twitter v2 says what a post refers to."""
_LAYOUTS = 4096
_Row = tuple[int, dict[str, object], int]


class Decoder(json.JSONDecoder):
    """Decodes JSON and keeps the keys that one object holds twice in `repeated`, for the reader to tell and to clear."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=self._object)
        self.repeated: list[str] = []

    def _object(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            self.repeated += [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]
        return found

    def tell(self, source: Source, number: int) -> list[Reject]:
        """Return the reject about the keys that were repeated since the last call, if there were any."""
        names, self.repeated = dict.fromkeys(self.repeated), []
        return [source.reject("key stands twice", number, ", ".join(names), action="repaired")] if names else []


def chunks(path: Path, source: Source, mapping: Mapping[str, str], batch_rows: int) -> Iterator[Chunk]:
    """Yield the rows of a file of JSON lines.

    Raises
    ------
    InputError
        If the file cannot be read, or its first objects have no text.
    """
    with TextFile(path, encoding=mapping.get("encoding")) as file:
        rejects: list[Reject] = []
        yield from gather(_objects(file, source, rejects), rejects, source, mapping, batch_rows)


def gather(objects: Iterator[_Row], rejects: list[Reject], source: Source, mapping: Mapping[str, str], batch_rows: int) -> Iterator[Chunk]:
    """Group (offset, object, bytes) into chunks; `rejects` is filled by whoever makes the objects and emptied here."""
    objects = ((number, _referring(_flat(row)), length) for number, row, length in objects)
    layouts: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    head: list[_Row] = []
    for entry in objects:
        head.append(entry)
        if len(head) >= PROBE:
            break
    names = dict.fromkeys(name for _, row, _ in head for name in row)
    if not names:
        raise InputError(
            f"{source.path} has no JSON objects ({len(rejects)} lines rejected)",
            "one JSON object a line, or a list of them",
            "take a list out of an object that holds it: jq -c '.data[]' FILE > FILE.jsonl",
        )
    resolve(list(names), mapping, source.path)
    table: dict[str, list[object]] = {field: [] for field in FIELDS}
    offsets: list[int] = []
    size = 0
    for number, row, length in _chain(head, objects):
        key = tuple(row)
        layout = layouts.get(key)
        if layout is None:
            if len(layouts) >= _LAYOUTS:
                layouts.clear()
            layout = layouts[key] = list(find(key, mapping).items())
        for field, column in layout:
            values = table[field]
            # Fields that earlier rows lacked are filled up only where they appear.
            if len(values) < len(offsets):
                values.extend([None] * (len(offsets) - len(values)))
            values.append(row[column])
        offsets.append(number)
        size += length
        if len(offsets) + len(rejects) >= batch_rows or size >= BATCH_BYTES:
            yield _chunk(table, offsets, rejects)
            table, offsets, size = {field: [] for field in FIELDS}, [], 0
            rejects.clear()
    if offsets or rejects:
        yield _chunk(table, offsets, rejects)


def _flat(row: dict[str, object], depth: int = DEPTH) -> dict[str, object]:
    """Return `row` with nested objects under dotted names; deeper ones stay as they are."""
    if not depth or not any(type(value) is dict for value in row.values()):
        return row
    found: dict[str, object] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            found.update({f"{name}.{inner}": item for inner, item in _flat(value, depth - 1).items()})
        else:
            found[name] = value
    return found


def _referring(row: dict[str, object]) -> dict[str, object]:
    """Return `row` with the posts that it refers to by kind, ``referenced_tweets.retweeted.id``, as tables of such posts name them."""
    given = row.get(REFERENCES)
    if not isinstance(given, list):
        return row
    entries = [entry for entry in given if isinstance(entry, dict) and entry.get("type") and entry.get("id")]
    return row | {f"{REFERENCES}.{entry['type']}.id": entry["id"] for entry in reversed(entries)}


def _chunk(table: Mapping[str, list[object]], offsets: list[int], rejects: list[Reject]) -> Chunk:
    filled = {field: values + [None] * (len(offsets) - len(values)) for field, values in table.items() if values}
    return Chunk(filled, offsets, list(rejects))


def _chain(head: list[_Row], rest: Iterator[_Row]) -> Iterator[_Row]:
    yield from head
    head.clear()
    yield from rest


def _objects(file: TextFile, source: Source, rejects: list[Reject]) -> Iterator[_Row]:
    decoder = Decoder()
    for number, line in file.lines():
        if line is None:
            rejects.append(source.reject("line too long", number, f"more than {LINE_LIMIT} bytes"))
            continue
        if not line.strip():
            continue
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            rejects.append(source.reject("not valid UTF-8", number, line[:200].decode("utf-8", "replace")))
            continue
        try:
            row = decoder.decode(text)
        except (ValueError, RecursionError) as error:
            decoder.repeated.clear()
            rejects.append(source.reject("not valid JSON", number, str(error)))
            continue
        repeated = decoder.tell(source, number)
        if isinstance(row, dict):
            rejects += repeated
            yield number, row, len(line)
        else:
            rejects.append(source.reject("not a JSON object", number, text[:200]))
