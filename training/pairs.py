"""Reads what an encoder is fine-tuned on: pairs, triplets, labelled texts or scored pairs, from the usual files.

All of it becomes one form, `Examples`: distinct texts, and rows that point at them. Every text belongs to a group. For pairs and
triplets a group is a connected component of "stands with" (texts of one claim, however many posts and wordings it has); for labelled
texts it is the label; for scored pairs a component too. Groups do two things: no text is ever used as a negative of a text of its own
group, and a split never puts a group on both sides.

Labelled texts become pairs by drawing the texts of a label in a circle, each the anchor of the next: as many rows as texts, each text
once on either side, where all pairs of a label would be quadratic and drown the small labels.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import lzma
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError
from greyzone.eval.joined import joined

Integers = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

KINDS: dict[str, tuple[str, ...]] = {
    "triplets": ("anchor", "positive", "negative"),
    "pairs": ("anchor", "positive"),
    "scored": ("s1", "s2", "score"),
    "labelled": ("text", "label"),
}
"""Columns of each kind of data; a file is of the first kind whose columns it has."""

FIELD_LIMIT = 1 << 24
"""Longest field of a delimited file, in characters."""

_TABLES = {".csv": ",", ".tsv": "\t"}
_LINES = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read: rows read = rows used + rows left out, and the reasons of the latter."""

    name: str
    sha256: str
    rows: int
    used: int
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows to train or to measure on.

    Attributes
    ----------
    kind
        A key of `KINDS`.
    texts
        (m,) distinct texts.
    anchors, positives
        (n,) int64, places in `texts`.
    negatives
        (n, k) int64, places in `texts`; -1 where a row has fewer than k.
    scores
        (n,) float64 for scored pairs, ones otherwise.
    groups
        (m,) int64, a number for the group of each text.
    sources
        Where the rows come from.
    """

    kind: str
    texts: tuple[str, ...]
    anchors: Integers
    positives: Integers
    negatives: Integers
    scores: Doubles
    groups: Integers
    sources: tuple[Source, ...] = ()

    def __len__(self) -> int:
        return len(self.anchors)

    @property
    def candidates(self) -> Integers:
        """Places of the texts that stand as a positive of some row: what a query is ranked against."""
        return np.unique(self.positives)


@dataclass
class _Rows:
    """Raw rows of one kind, with the text columns first."""

    texts: list[tuple[str, ...]] = field(default_factory=list)
    values: list[float | str] = field(default_factory=list)
    origins: list[int] = field(default_factory=list)


def read_examples(paths: Sequence[Path], *, kind: str = "auto", columns: Mapping[str, str] | None = None, seed: int = 0) -> Examples:
    """Return the rows of `paths`, all of one kind.

    Parameters
    ----------
    paths
        Files (.jsonl, .csv, .tsv, .parquet; the first three also with .gz or .xz) or folders that `datasets` wrote with ``save_to_disk``.
    kind
        A key of `KINDS`, or "auto" for the first kind whose columns the first file has.
    columns
        The file's name of a column by its name in `KINDS`, where they differ.
    seed
        Draws the circle of each label.

    Raises
    ------
    InputError
        If a file cannot be read, lacks a column, holds a value of the wrong type, or no usable row is left.
    """
    if not paths:
        raise InputError("no data", "at least one file")
    named = dict(columns or {})
    roles = {role for known in KINDS.values() for role in known}
    if unknown := sorted(set(named) - roles):
        raise InputError(f"column {unknown[0]!r}", f"one of {', '.join(sorted(roles))}")
    if kind != "auto" and kind not in KINDS:
        raise InputError(f"kind {kind!r}", f"auto, {', '.join(KINDS)}")
    rows, reports = _Rows(), []
    for origin, path in enumerate(paths):
        read, left, kind = _read(path, kind, named, rows, origin)
        reports.append((path.name, file_digest(path), read, left))
    built = _of_labels(rows, reports, seed) if kind == "labelled" else _of_pairs(kind, rows, reports)
    used = Counter(rows.origins)
    sources = tuple(
        Source(name, digest, read, used[origin], dict(sorted(left.items()))) for origin, (name, digest, read, left) in enumerate(reports)
    )
    if not len(built):
        raise InputError(
            f"no usable row in {', '.join(source.name for source in sources)}", f"rows with {', '.join(KINDS.get(kind, KINDS['pairs']))}"
        )
    return replace(built, sources=sources)


def split(examples: Examples, share: float, *, seed: int = 0) -> tuple[Examples, Examples]:
    """Return the rows to train on and the rows to measure on, no group on both sides.

    A group's side is the hash of its smallest text and the seed, so that it depends neither on the order of the rows nor on the others.
    A negative from the other side is taken off its row.

    Raises
    ------
    InputError
        If `share` is not in [0, 1), or one side is empty although it should not be.
    """
    if not 0 <= share < 1:
        raise InputError(f"evaluation share {share:g}", "0 up to but not 1")
    smallest: dict[int, str] = {}
    for text, group in zip(examples.texts, examples.groups.tolist(), strict=True):
        smallest[group] = min(text, smallest.get(group, text))
    held = {group for group, text in smallest.items() if hash_fraction(f"{seed}\t{text}") < share}
    away = np.array([group in held for group in examples.groups.tolist()], dtype=np.bool_)
    parts = [_part(examples, ~away), _part(examples, away)]
    if share > 0 and not all(len(part) for part in parts):
        raise InputError(f"{len(held)} of {len(smallest)} groups for evaluation", "rows on both sides", "give more data or another share")
    return parts[0], parts[1]


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and digests of a folder's files.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    if path.is_dir():
        parts = [f"{part.relative_to(path).as_posix()}\t{file_digest(part)}" for part in sorted(path.rglob("*")) if part.is_file()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror or error})", "a file or folder with data") from error


def read_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the number (from 1) and the columns of each row of a file; every row of a table has all columns.

    Raises
    ------
    InputError
        If the file cannot be read as what its name says.
    """
    inner = path.with_suffix("") if path.suffix in {".gz", ".xz"} else path
    if path.is_dir():
        yield from enumerate(_dataset(path), 1)
    elif inner.suffix == ".parquet" and inner == path:
        yield from enumerate(_parquet(path), 1)
    elif inner.suffix in _TABLES or inner.suffix in _LINES:
        with open_text(path) as stream:
            yield from _table(stream, path, _TABLES[inner.suffix]) if inner.suffix in _TABLES else _lines(stream, path)
    else:
        raise InputError(
            f"{path} is no file of examples",
            "a name that ends in .jsonl, .csv, .tsv (also .gz or .xz), .parquet or a folder of save_to_disk",
        )


def hash_fraction(text: str) -> float:
    """Return a number in [0, 1) that is the hash of `text`."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=7).digest()) / (1 << 56)


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a text file, plain or packed as .gz or .xz; what goes wrong in reading is an `InputError` that names the file."""
    opened: Any = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as stream:
            yield stream
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError, zlib.error, csv.Error) as error:
        raise InputError(f"cannot read {path} ({error})", "text in UTF-8, packed as its name says") from error


def _read(path: Path, kind: str, named: Mapping[str, str], rows: _Rows, origin: int) -> tuple[int, Counter[str], str]:
    """Add the rows of a file to `rows`; return the number read, the reasons why some were left out, and the kind."""
    left: Counter[str] = Counter()
    read = 0
    for number, row in read_rows(path):
        read += 1
        if kind == "auto":
            kind = _kind(path, row, named)
        roles = KINDS[kind]
        wanted = {role: named.get(role, role) for role in roles}
        if absent := [column for column in wanted.values() if column not in row]:
            met = ", ".join(map(str, row))
            raise InputError(f"row {number} of {path.name} has no column {absent[0]!r} but {met}", "", "name it, as in --columns text=body")
        found = [row[column] for column in wanted.values()]
        empty = [role for role, value in zip(roles, found, strict=True) if value is None or not str(value).strip()]
        if empty:
            left[f"no {empty[0]}"] += 1
            continue
        n_texts = 1 if kind == "labelled" else len(roles) - (kind == "scored")
        for role, value in zip(roles[:n_texts], found[:n_texts], strict=True):
            if not isinstance(value, str):
                raise InputError(f"{role} in row {number} of {path.name} is {type(value).__name__}", "text")
        rows.texts.append(tuple(found[:n_texts]))
        rows.values.append(_value(kind, found[-1], number, path))
        rows.origins.append(origin)
    return read, left, kind


def _kind(path: Path, row: Mapping[str, Any], named: Mapping[str, str]) -> str:
    for kind, roles in KINDS.items():
        if all(named.get(role, role) in row for role in roles):
            return kind
    met = ", ".join(map(str, row))
    known = ", or ".join("+".join(roles) for roles in KINDS.values())
    raise InputError(f"columns {met} in {path.name}", known, "name them, as in --columns anchor=post positive=claim")


def _value(kind: str, value: object, number: int, path: Path) -> float | str:
    if kind == "labelled":
        if isinstance(value, list | dict):
            raise InputError(f"a {type(value).__name__} as label in row {number} of {path.name}", "one label a row")
        return str(value).strip()
    if kind != "scored":
        return 1.0
    try:
        score = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"score {value!r} in row {number} of {path.name}", "a number")
    return score


def _of_pairs(kind: str, rows: _Rows, reports: list[tuple[str, str, int, Counter[str]]]) -> Examples:
    """Return the examples of pairs, triplets or scored pairs; rows that teach nothing are left out and counted."""
    kept: list[int] = []
    seen: set[tuple[object, ...]] = set()
    for place, (texts, value) in enumerate(zip(rows.texts, rows.values, strict=True)):
        reason = "repeated row" if (*texts, value) in seen else "anchor is its positive" if texts[0] == texts[1] else ""
        if reason and not (kind == "scored" and reason != "repeated row"):
            reports[rows.origins[place]][3][reason] += 1
            continue
        seen.add((*texts, value))
        kept.append(place)
    places: dict[str, int] = {}
    cells = [[places.setdefault(text, len(places)) for text in rows.texts[place]] for place in kept]
    groups = joined(len(places), [(cell[0], cell[1]) for cell in cells])
    if kind == "triplets":
        good = [groups[cell[2]] != groups[cell[0]] for cell in cells]
        for place, fine in zip(kept, good, strict=True):
            if not fine:
                reports[rows.origins[place]][3]["negative of the same group"] += 1
        kept = [place for place, fine in zip(kept, good, strict=True) if fine]
        cells = [cell for cell, fine in zip(cells, good, strict=True) if fine]
    values = [float(rows.values[place]) for place in kept]
    rows.origins = [rows.origins[place] for place in kept]
    table = np.array(cells, dtype=np.int64).reshape(len(cells), 3 if kind == "triplets" else 2)
    return Examples(kind, tuple(places), table[:, 0], table[:, 1], table[:, 2:], np.array(values), groups)


def _of_labels(rows: _Rows, reports: list[tuple[str, str, int, Counter[str]]], seed: int) -> Examples:
    """Return the examples of labelled texts: each label's distinct texts in a circle."""
    labels: dict[str, set[str]] = {}
    for (text,), label in zip(rows.texts, rows.values, strict=True):
        labels.setdefault(text, set()).add(str(label))
    members: dict[str, list[str]] = {}
    origins: dict[str, int] = {}
    for place, (text,) in enumerate(rows.texts):
        reason = "text with several labels" if len(labels[text]) > 1 else "repeated text" if text in origins else ""
        if reason:
            reports[rows.origins[place]][3][reason] += 1
            continue
        origins[text] = rows.origins[place]
        members.setdefault(str(rows.values[place]), []).append(text)
    anchors: list[int] = []
    positives: list[int] = []
    groups: list[int] = []
    texts: list[str] = []
    for label, found in sorted(members.items()):
        if len(found) < 2:
            reports[origins[found[0]]][3]["label with one text"] += 1
            continue
        drawn = sorted(found, key=lambda text: hash_fraction(f"{seed}\t{label}\t{text}"))
        first = len(texts)
        texts += drawn
        anchors += range(first, len(texts))
        positives += [*range(first + 1, len(texts)), first]
        groups += [first] * len(drawn)
    rows.origins = [origins[text] for text in texts]
    table = np.array([anchors, positives], dtype=np.int64).reshape(2, len(anchors))
    none = np.empty((len(anchors), 0), dtype=np.int64)
    return Examples("labelled", tuple(texts), table[0], table[1], none, np.ones(len(anchors)), np.array(groups, dtype=np.int64))


def _part(examples: Examples, inside: npt.NDArray[np.bool_]) -> Examples:
    """Return the rows whose texts are `inside`, with the texts that they use."""
    rows = np.flatnonzero(inside[examples.anchors])
    negatives = examples.negatives[rows]
    negatives = np.where((negatives >= 0) & inside[np.maximum(negatives, 0)], negatives, -1)
    used = np.unique(np.concatenate([examples.anchors[rows], examples.positives[rows], negatives[negatives >= 0]]))
    new = np.full(len(examples.texts) + 1, -1, dtype=np.int64)
    new[used] = np.arange(len(used))
    return replace(
        examples,
        texts=tuple(examples.texts[place] for place in used),
        anchors=new[examples.anchors[rows]],
        positives=new[examples.positives[rows]],
        negatives=new[negatives],
        scores=examples.scores[rows],
        groups=np.unique(examples.groups[used], return_inverse=True)[1].astype(np.int64) if len(used) else used,
    )


def _lines(stream: TextIO, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"line {number} of {path.name} is no JSON ({error.msg})", "one object a line") from error
        if not isinstance(row, dict):
            raise InputError(f"line {number} of {path.name} is a {type(row).__name__}", "one object a line")
        yield number, row


def _table(stream: TextIO, path: Path, delimiter: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    csv.field_size_limit(FIELD_LIMIT)
    rows = csv.reader(stream, delimiter=delimiter)
    header = next(rows, [])
    for number, row in enumerate((row for row in rows if row), 1):
        if len(row) != len(header):
            raise InputError(f"row {number} of {path.name} has {len(row)} fields", f"{len(header)}, as in the header")
        yield number, dict(zip(header, row, strict=True))


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot read {path} ({' '.join(str(error).split())})", "a Parquet file") from error


def _dataset(path: Path) -> Iterator[Mapping[str, Any]]:
    import datasets

    if not (path / "state.json").is_file():
        raise InputError(f"folder {path} is no dataset", "a folder of Dataset.save_to_disk", "name the split's folder if there are several")
    yield from datasets.Dataset.load_from_disk(str(path))
