"""The real corpora as case folders that are kept: tweets of an operation in windows, and cases of disinformation with dates and outlets.

Narratives take most of the time and do not depend on incidents, so a folder that holds them is used as it is; `--fresh` makes it anew.
Incidents are read by the readers of a case and made canonical each time. The cases of EUvsDisinfo become documents of one title each: what
that team wrote of what was claimed, on the day on which it was claimed.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from greyzone import embed, incidents, pipeline
from greyzone.case import Case
from greyzone.doctrine import load_doctrine
from greyzone.eval.coordination.sources import IRA, MAPPINGS, Window, day, need, read_rows
from greyzone.models import load_encoder

TWEETS = IRA
DISINFO = "euvsdisinfo_cases_2015_2021.jsonl.gz"
INCIDENT_FILES = ("eurepoc_global_1.1.csv.gz", "cfr_cyber_operations_tracker.csv.gz", "dcid_2.0_odd.csv.gz")
CSIS = "csis_significant_incidents_parsed.csv.gz"
"""A register that dates by month what became public; the known stories are also looked up with it."""

WINDOWS = {
    "2014-15": Window(day(2014, 5, 1), day(2015, 6, 20)),
    "2015-11": Window(day(2015, 11, 1), day(2015, 12, 11)),
    "2016-04": Window(day(2016, 4, 1), day(2016, 6, 1)),
    "2016-06": Window(day(2016, 6, 1), day(2016, 12, 1)),
    "2016-12": Window(day(2016, 11, 20), day(2017, 1, 1)),
}
"""Parts of the tweets that hold what the known cases need: at least a month before what became public, and the weeks after it."""

WHOLE = "whole"
ALL = Window(day(2012, 1, 1), day(2017, 1, 1))

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stories:
    """Narratives of a corpus and what they are made of; `first` and `last` are the days that the corpus covers."""

    name: str
    narratives: pa.Table
    members: pa.Table
    documents: pa.Table
    vectors: Floats
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """Canonical incidents with their vectors, and of each report the source and its number or name there."""

    incidents: pa.Table
    vectors: Floats
    reports: pa.Table


def read_incidents(folder: Path, files: tuple[str, ...] = INCIDENT_FILES) -> Held:
    """Read the tables of incidents, make them canonical and embed them."""
    need(folder, *files)
    doctrine = load_doctrine()
    reports = pa.concat_tables([incidents.read_reports(folder / name).reports for name in files])
    rows = incidents.canonicalise(reports, doctrine=doctrine).incidents
    vectors = embed.embed_texts(embed.document_texts(rows["name"], rows["description"]), load_encoder("default"))
    return Held(rows, vectors, reports)


def tweets(data: Path, work: Path, name: str, say: Callable[[str], None], *, fresh: bool = False) -> Stories:
    """Return the narratives of a window of the tweets (or `WHOLE`), from the folder that `work` keeps of it."""
    window = ALL if name == WHOLE else WINDOWS[name]

    def write(file: Path) -> None:
        need(data, TWEETS)
        pq.write_table(read_rows(data / TWEETS, window, reposts=True), file)

    return _stories(f"tweets {name}", work / f"tweets-{name}", "tweets.parquet", write, say, fresh=fresh, mapping=MAPPINGS[IRA])


def disinformation(data: Path, work: Path, say: Callable[[str], None], *, fresh: bool = False) -> Stories:
    """Return the narratives of the cases of EUvsDisinfo."""

    def write(file: Path) -> None:
        need(data, DISINFO)
        with gzip.open(data / DISINFO, "rt", encoding="utf-8") as stream, file.open("w", encoding="utf-8", newline="\n") as target:
            for line in stream:
                row = json.loads(line)
                document = {"text": row["title"], "published_at": row["date"], "lang": "en", "url": row["url"], "post_id": row["id"]}
                outlets = [outlet for outlet in row["outlets"] or () if outlet]
                target.write(json.dumps(document | ({"outlet": outlets[0]} if outlets else {}), ensure_ascii=False) + "\n")

    return _stories("EUvsDisinfo", work / "euvsdisinfo", "cases.jsonl", write, say, fresh=fresh, mapping={})


def of_case(folder: Path, name: str) -> Stories:
    """Return the narratives of a finished case, of which those that have a document in the window `name`, whole."""
    whole = _open(f"case {name}", folder)
    window = ALL if name == WHOLE else WINDOWS[name]
    documents = whole.documents
    inside = _between(documents["published_at"], window)
    named = documents["doc_id"].filter(inside).combine_chunks()
    of_window = pc.is_in(whole.members["doc_id"], value_set=named)
    ids = pc.unique(whole.members["narrative_id"].filter(of_window)).drop_null()
    chosen = pc.is_in(whole.narratives["narrative_id"], value_set=ids)
    members = whole.members.filter(pc.or_(pc.fill_null(pc.is_in(whole.members["narrative_id"], value_set=ids), False), of_window))
    kept = documents.filter(pc.is_in(documents["doc_id"], value_set=members["doc_id"].combine_chunks()))
    vectors = whole.vectors[chosen.to_numpy(zero_copy_only=False)]
    return Stories(f"case {name}", whole.narratives.filter(chosen), members, kept, vectors, window.first, window.last)


def _stories(
    name: str, folder: Path, file: str, write: Callable[[Path], None], say: Callable[[str], None], *, fresh: bool, mapping: dict[str, str]
) -> Stories:
    if fresh and folder.exists():
        shutil.rmtree(folder)
    if not (folder / "case" / "narratives.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / file)
        say(f"{name}: narratives are made and kept in {folder}")
        settings = pipeline.Settings(mapping=mapping, today=datetime.now(UTC).date().isoformat())
        pipeline.run(folder / file, out=folder / "case", settings=settings, until="narratives", workers=1)
    return _open(name, folder / "case")


def _open(name: str, folder: Path) -> Stories:
    case = Case(folder)
    documents = case.table("documents")
    bounds = pc.min_max(documents["published_at"]).as_py()
    _, vectors = case.vectors("narrative_vectors")
    return Stories(name, case.table("narratives"), case.table("members"), documents, vectors, bounds["min"], bounds["max"])


def _between(times: pa.ChunkedArray, window: Window) -> pa.ChunkedArray:
    first, last = (pa.scalar(moment, times.type) for moment in (window.first, window.last))
    return pc.fill_null(pc.and_(pc.greater_equal(times, first), pc.less(times, last)), False)
