"""A synthetic scenario with known truth, of any size: documents, incidents, and who was planted.

Why: labelled corpora hold no truth about links and groups and may not be passed on. Here planted groups push invented narratives
that exploit invented incidents, beside what fools detectors (METHOD.md: press echo, syndication, fandom, party discipline, one
feed) and beside everyday talk. `docs/scenario.md` tells the cast. Documents come day by day as a stream; memory holds one day.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from greyzone.errors import InputError
from greyzone.eval.scenario.decoys import incident_rows, write_incidents
from greyzone.eval.scenario.plan import DAYS, Event, Plan, make_plan
from greyzone.eval.scenario.posts import Post, Writer
from greyzone.eval.scenario.templates import Draws, load

MINIMUM = 100

TRUTH_DOCUMENTS = pa.schema([(name, pa.string()) for name in ("post_id", "narrative", "language", "kind", "group", "confounder")])
"""`narrative` is null for everyday talk; `kind` is original, copy, paraphrase, translation or repost; `group` is the planted group
that an account acted for in this post, `confounder` the harmless explanation."""

TRUTH_GROUPS = pa.schema([(name, pa.string()) for name in ("group", "account", "kind")])
"""`kind` is "planted" or the name of a confounder."""

TRUTH_LINKS = pa.schema([(name, pa.string()) for name in ("narrative", "incident", "type")])
"""`incident` is the name in the table of incidents."""

_BATCH = 20_000
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Scenario:
    """Files of a written scenario."""

    folder: Path
    documents: Path
    incidents: Path
    mapping: Path
    truth_documents: Path
    truth_groups: Path
    truth_links: Path


def generate(documents: int = 5000, *, seed: int = 0) -> Iterator[Post]:
    """Yield exactly `documents` posts, day by day and in order of time within a day.

    Parameters
    ----------
    documents
        How many; at least 100, and some thousands if groups are to be found.
    seed
        Same seed, same posts.

    Raises
    ------
    InputError
        If `documents` is below 100.
    """
    plan = _checked(documents, seed)
    yield from _stream(plan, seed)


def write_scenario(folder: str | Path, *, documents: int = 5000, seed: int = 0) -> Scenario:
    """Write documents.jsonl, incidents.csv with its mapping, and the truth tables into `folder`.

    Returns
    -------
    Scenario
        The paths.

    Raises
    ------
    InputError
        If `documents` is below 100.
    """
    plan = _checked(documents, seed)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = Scenario(
        folder,
        folder / "documents.jsonl",
        folder / "incidents.csv",
        folder / "incidents.yaml",
        folder / "truth_documents.parquet",
        folder / "truth_groups.parquet",
        folder / "truth_links.parquet",
    )
    with (
        paths.documents.open("w", encoding="utf-8", newline="\n") as file,
        pq.ParquetWriter(paths.truth_documents, TRUTH_DOCUMENTS) as truth,
    ):
        rows: list[tuple[str | None, ...]] = []
        for post in _stream(plan, seed):
            file.write(_line(post))
            rows.append((post.post_id, post.narrative, post.language, post.kind, post.group, post.confounder))
            if len(rows) == _BATCH:
                truth.write_table(_columns(rows, TRUTH_DOCUMENTS))
                rows = []
        truth.write_table(_columns(rows, TRUTH_DOCUMENTS))
    incidents = incident_rows(plan.onsets, seed=seed)
    write_incidents(incidents, paths.incidents, paths.mapping)
    groups = [(cast.key, account, cast.kind) for cast in plan.casts.values() for account in cast.accounts]
    pq.write_table(_columns(groups, TRUTH_GROUPS), paths.truth_groups)
    names: dict[str, Any] = load("cast")["incidents"]  # type: ignore[index]
    links = [
        (item.key, names[item.incident]["name"], item.type)
        for item in plan.narratives.values()
        if item.incident is not None and item.type is not None
    ]
    pq.write_table(_columns(links, TRUTH_LINKS), paths.truth_links)
    return paths


def _checked(documents: int, seed: int) -> Plan:
    if documents < MINIMUM:
        raise InputError(f"{documents} documents", f"at least {MINIMUM}", "groups can be found from about 3,000 on")
    return make_plan(documents, seed=seed)


def _stream(plan: Plan, seed: int) -> Iterator[Post]:
    writer = Writer(plan, Draws(np.random.default_rng([seed, 3])))
    by_day: dict[int, list[Event]] = {}
    for event in plan.events:
        by_day.setdefault(event.day, []).append(event)
    for day in range(DAYS):
        yield from writer.day(day, by_day.get(day, []))


def _columns(rows: Sequence[tuple[str | None, ...]], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.table([pa.array(column, pa.string()) for column in columns], schema=schema)


def _line(post: Post) -> str:
    row: dict[str, object] = {"post_id": post.post_id, "published_at": post.published_at, "text": post.text, "account": post.account}
    row["platform"] = post.platform
    optional = (("title", post.title), ("lang", post.lang), ("outlet", post.outlet), ("url", post.url))
    row.update({name: value for name, value in optional if value is not None})
    if post.urls:
        row["urls"] = post.urls
    if post.hashtags:
        row["hashtags"] = post.hashtags
    if post.repost_of is not None:
        row["is_repost"] = True
        row["repost_of"] = post.repost_of
    return _ENCODER.encode(row) + "\n"
