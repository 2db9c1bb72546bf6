"""Labelled links: from the decisions in cases, or from a table of log-likelihood ratios.

A pair's label is what all persons agree on who said yes or no of it; where they differ it is disputed and left out, as are pairs of which
all are unsure, and pairs that the case no longer lists. Pairs of one campaign, or else of one narrative, are a group: they are never on
both sides of a split. Everything left out is counted.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from greyzone.errors import InputError
from greyzone.records import CAMPAIGNS, DECISIONS, LINKS, LLRS, check

LABELS = {"yes": True, "1": True, "true": True, "no": False, "0": False, "false": False}
"""Words of a label; "unsure" and nothing leave the row out."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LabelledLinks:
    """Labelled pairs, sorted by group and content, so that the order in which they came is forgotten.

    Parameters
    ----------
    features
        (n, kinds) float64 log-likelihood ratios in the order of `LLRS`, nan where there is no data.
    labels
        (n,) whether the pair is linked.
    groups
        (n,) numbers of the groups, from 0 on, in the order of their names.
    left_out
        How many rows were left out, by reason.
    sources
        Names of the cases and tables.
    """

    features: npt.NDArray[np.float64]
    labels: npt.NDArray[np.bool_]
    groups: npt.NDArray[np.int64]
    left_out: Mapping[str, int]
    sources: tuple[str, ...]

    @classmethod
    def of(cls, rows: Sequence[tuple[str, tuple[float, ...], bool]], left_out: Mapping[str, int], sources: Sequence[str]) -> LabelledLinks:
        """Make one of (group, log-likelihood ratios, label)."""
        ordered = sorted(
            rows, key=lambda row: (row[0], [(math.isnan(value), 0.0 if math.isnan(value) else value) for value in row[1]], row[2])
        )
        names = {name: number for number, name in enumerate(sorted({row[0] for row in rows}))}
        features = np.array([row[1] for row in ordered], dtype=np.float64).reshape(len(ordered), len(LLRS))
        labels = np.array([row[2] for row in ordered], dtype=np.bool_)
        groups = np.array([names[row[0]] for row in ordered], dtype=np.int64)
        return cls(features, labels, groups, dict(left_out), tuple(sources))


def read_labelled(cases: Sequence[str | Path], tables: Sequence[str | Path] = ()) -> LabelledLinks:
    """Read the decisions of cases and the rows of labelled tables.

    Parameters
    ----------
    cases
        Case folders with decisions (`greyzone review`).
    tables
        CSV or JSON lines with `label` (yes, no, unsure), `group`, and ``llr_temporal`` … ``llr_artefact`` (empty: no data).

    Raises
    ------
    InputError
        If one cannot be read, a value is no number, or a label is none.
    """
    rows: list[tuple[str, tuple[float, ...], bool]] = []
    left_out: Counter[str] = Counter()
    for case in cases:
        rows += _of_case(Path(case), left_out)
    for file in tables:
        rows += _of_table(Path(file), left_out)
    return LabelledLinks.of(rows, left_out, [Path(path).name for path in (*cases, *tables)])


def _of_case(folder: Path, left_out: Counter[str]) -> list[tuple[str, tuple[float, ...], bool]]:
    said: dict[str, dict[str, str]] = {}
    for row in sorted(_table(folder, "decisions", DECISIONS), key=lambda row: row["revision"]):
        said.setdefault(row["link_id"], {})[row["who"]] = row["decision"]
    links = {row["link_id"]: row for row in _table(folder, "links", LINKS)}
    campaign: dict[str, str] = {}
    for row in sorted(_table(folder, "campaigns", CAMPAIGNS), key=lambda row: row["campaign_id"]):
        for narrative in row["narratives"] or ():
            campaign.setdefault(narrative, row["campaign_id"])
    found = []
    for link, words in sorted(said.items()):
        sure = set(words.values()) - {"unsure"}
        if len(sure) != 1:
            left_out["disputed" if sure else "unsure"] += 1
        elif link not in links:
            left_out["no longer listed"] += 1
        else:
            row = links[link]
            # Ids are hashes of content: a pair that two cases hold is in one group.
            group = campaign.get(row["narrative_id"], row["narrative_id"])
            found.append((group, _features(row, f"{folder}, link {link}"), sure == {"yes"}))
    return found


def _of_table(file: Path, left_out: Counter[str]) -> list[tuple[str, tuple[float, ...], bool]]:
    try:
        text = file.read_bytes().decode("utf-8-sig")
        lines = file.suffix.casefold() in {".jsonl", ".ndjson"}
        rows = (
            [json.loads(line) for line in text.split("\n") if line.strip()]
            if lines
            else list(csv.DictReader(io.StringIO(text, newline="")))
        )
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{file} cannot be read ({error})", "CSV or JSON lines with label, group and llr_…") from error
    found = []
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or not {"label", "group"} <= set(row):
            raise InputError(
                f"{file}, row {number}: no label or no group", f"columns label, group, {', '.join(f'llr_{name}' for name in LLRS)}"
            )
        word = str("" if row["label"] is None else row["label"]).strip().casefold()
        if word in {"", "unsure"}:
            left_out["unsure"] += 1
            continue
        if word not in LABELS:
            raise InputError(f"{file}, row {number}: label {row['label']!r}", f"one of {', '.join(LABELS)}, unsure")
        found.append((str(row["group"]), _features(row, f"{file}, row {number}"), LABELS[word]))
    return found


def _features(row: Row, where: str) -> tuple[float, ...]:
    values = []
    for name in LLRS:
        given = row.get(f"llr_{name}")
        try:
            value = math.nan if given in (None, "") else float(str(given))
        except ValueError:
            value = math.inf
        if math.isinf(value):
            raise InputError(f"{where}: llr_{name} {given!r}", "a number of nats, or nothing")
        values.append(value)
    return tuple(values)


def _table(folder: Path, name: str, schema: pa.Schema) -> list[dict[str, Any]]:
    file = folder / f"{name}.parquet"
    try:
        return list(check(pq.read_table(file), schema, name).to_pylist())
    except FileNotFoundError:
        raise InputError(
            f"{folder} has no table {name}", "a case with links, campaigns and decisions", "greyzone review CASE --read FILE"
        ) from None
    except pa.ArrowInvalid as error:
        raise InputError(f"{file} is damaged ({error})", "a Parquet file") from error
