"""Texts with sets of labels: one reader for JSON lines and CSV, whatever the labels mean.

Columns are named ``text``, ``labels``, ``lang``, ``group`` and ``split``; where one is absent, the names of public sets are tried
(`ALIASES`), so that SemEval-2023 task 3 (paragraphs, ``techniques``, ``article``), UNLP 2025 (posts, ``techniques``) and SemEval-2025
task 10 (documents, ``narratives``) are read as they are. Labels are a list, or one text with ";" or "|" between them. A row without a
label list is unlabelled and left out; an empty list is a text that has none of the labels, which is an example like any other. What
is left out is counted by reason.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import lzma
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError

ALIASES: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "labels": ("labels", "techniques", "narratives"),
    "lang": ("lang", "language"),
    "group": ("group", "article", "id"),
    "split": ("split",),
}
"""Column names by role, in the order in which they are tried."""

_SEPARATORS = re.compile(r"[;|]")


@dataclass(frozen=True, slots=True)
class SetSource:
    """A file that was read: digest, rows, and rows left out by reason."""

    name: str
    sha256: str
    rows: int
    used: int
    left_out: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """Row i of each: text, its labels (sorted), language ("" if not said), group, split ("" if not said)."""

    texts: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    languages: tuple[str, ...]
    groups: tuple[str, ...]
    splits: tuple[str, ...]
    sources: tuple[SetSource, ...]

    def names(self) -> tuple[str, ...]:
        """Return all labels, sorted."""
        return tuple(sorted({label for found in self.labels for label in found}))

    def truth(self, names: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return (texts, names) whether a text has a label."""
        places = {name: place for place, name in enumerate(names)}
        found = np.zeros((len(self.texts), len(names)), dtype=np.bool_)
        for row, labels in enumerate(self.labels):
            for label in labels:
                if label in places:
                    found[row, places[label]] = True
        return found

    def take(self, rows: npt.NDArray[np.bool_]) -> LabelledTexts:
        """Return the rows that are marked."""
        kept = np.flatnonzero(rows)
        return LabelledTexts(
            tuple(self.texts[i] for i in kept),
            tuple(self.labels[i] for i in kept),
            tuple(self.languages[i] for i in kept),
            tuple(self.groups[i] for i in kept),
            tuple(self.splits[i] for i in kept),
            self.sources,
        )


def read_labelled(paths: Sequence[Path], columns: Mapping[str, str] | None = None) -> LabelledTexts:
    """Return the labelled rows of `paths`, in order.

    Parameters
    ----------
    paths
        ``.jsonl``, ``.csv`` or ``.tsv`` files, also ``.gz`` or ``.xz``.
    columns
        Names of columns by role where they are other than in `ALIASES`.

    Raises
    ------
    InputError
        If a file cannot be read, a column is missing, a role is unknown, or nothing labelled is left.
    """
    chosen = dict(columns or {})
    if unknown := sorted(set(chosen) - set(ALIASES)):
        raise InputError(f"columns for {', '.join(unknown)}", f"roles {', '.join(ALIASES)}")
    rows: list[tuple[str, tuple[str, ...], str, str, str]] = []
    sources = []
    for path in paths:
        found, source = _read(path, chosen)
        rows += found
        sources.append(source)
    if not rows:
        raise InputError(f"no labelled row in {', '.join(map(str, paths)) or 'no file'}", "texts with lists of labels")
    texts, labels, languages, groups, splits = (tuple(column) for column in zip(*rows, strict=True))
    return LabelledTexts(texts, labels, languages, groups, splits, tuple(sources))


def _read(path: Path, columns: Mapping[str, str]) -> tuple[list[tuple[str, tuple[str, ...], str, str, str]], SetSource]:
    try:
        content = path.read_bytes()
        opened = gzip.decompress(content) if path.suffix == ".gz" else lzma.decompress(content) if path.suffix == ".xz" else content
        text = opened.decode("utf-8-sig")
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error})", "a .jsonl, .csv or .tsv file in UTF-8, also .gz or .xz") from error
    found: list[tuple[str, tuple[str, ...], str, str, str]] = []
    left_out: Counter[str] = Counter()
    total = 0
    names: dict[str, str] | None = None
    for line, row in _rows(path, text):
        total += 1
        names = names or _names(path, row, columns)
        body = str(row.get(names["text"]) or "").strip()
        labels = _labels(path, line, row.get(names["labels"]))
        if labels is None:
            left_out["unlabelled"] += 1
        elif not body:
            left_out["without text"] += 1
        else:
            lang = str(row.get(names.get("lang", ""), "") or "")
            group = row.get(names.get("group", ""))
            key = f"{path.name}:{line}" if group is None or group == "" else f"{lang}:{group}"
            found.append((body, labels, lang, key, str(row.get(names.get("split", ""), "") or "")))
    digest = hashlib.sha256(content).hexdigest()
    return found, SetSource(path.name, digest, total, len(found), dict(sorted(left_out.items())))


def _rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    kinds = [suffix for suffix in path.suffixes if suffix in {".jsonl", ".csv", ".tsv"}]
    if not kinds:
        raise InputError(f"{path} of unknown kind", ".jsonl, .csv or .tsv, also .gz or .xz")
    if kinds[-1] == ".jsonl":
        # Not splitlines: a text may hold U+2028, which is no end of line in JSON.
        for line, raw in enumerate(text.split("\n"), 1):
            if not raw.strip():
                continue
            try:
                row = json.loads(raw)
            except ValueError as error:
                raise InputError(f"{path}, line {line} is not JSON ({error})", "one object a line") from error
            if not isinstance(row, dict):
                raise InputError(f"{path}, line {line} holds a {type(row).__name__}", "one object a line")
            yield line, row
        return
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if kinds[-1] == ".tsv" else ",")
    for line, row in enumerate(reader, 2):
        yield line, row


def _names(path: Path, row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, str]:
    """Return the column of each role that the file has."""
    found = {}
    for role, aliases in ALIASES.items():
        if role in columns:
            if columns[role] not in row:
                raise InputError(f"{path} has no column {columns[role]!r}", f"one of {', '.join(map(str, row))}", f"set columns {role}=...")
            found[role] = columns[role]
        elif present := [alias for alias in aliases if alias in row]:
            found[role] = present[0]
    for role in ("text", "labels"):
        if role not in found:
            raise InputError(f"{path} has no column {' or '.join(ALIASES[role])}", f"{role}", f"name it with columns {role}=...")
    return found


def _labels(path: Path, line: int, value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str):
        value = _SEPARATORS.split(value)
    if not isinstance(value, list) or any(not isinstance(label, str) for label in value):
        raise InputError(f"{path}, line {line} has labels {value!r}"[:200], 'a list of texts, or one text with ";" between labels')
    return tuple(sorted({label.strip() for label in value} - {""}))
