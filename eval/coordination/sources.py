"""The real sets (docs/data.md) as documents: read, cut to a window, handed to the readers of a case, copies found.

Rows go through `greyzone.collect` and `greyzone.clean` as those of any file, so that what a case sees is what is measured. Accounts are
taken whole: those with too few posts in the window are left out with all of their posts.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from greyzone.clean import clean_documents, merge_documents
from greyzone.collapse import collapse
from greyzone.collect import read_documents
from greyzone.errors import InputError

IRA = "ira_tweets_to_2016.parquet"
IRA_ACCOUNTS = "ira_accounts.csv.gz"
CONGRESS = "control_us_congress_2016-05.parquet"
DEBATE = "control_gop_debate_2015-08.csv.gz"
ELECTION = "control_us_election_stream_2016-11-07_08.csv.gz"

ACCOUNT = {IRA: "author_id", CONGRESS: "account"}
MAPPINGS = {
    IRA: {"text": "content", "account": "author_id", "published_at": "publish_date", "lang": "language"},
    CONGRESS: {"text": "content", "account": "account", "published_at": "publish_date", "lang": "language", "post_id": "tweet_id"},
    DEBATE: {"text": "content", "account": "account", "published_at": "publish_date"},
    ELECTION: {"text": "content", "published_at": "publish_date", "lang": "lang"},
}
"""Columns of the files by field (`--map`); those that are not named go by the aliases."""


@dataclass(frozen=True, slots=True)
class Window:
    """From the first day on, up to the second, which is outside."""

    first: datetime
    last: datetime


def day(year: int, month: int, number: int) -> datetime:
    """Return the beginning of a day in UTC."""
    return datetime(year, month, number, tzinfo=UTC)


def need(folder: Path, *names: str) -> None:
    """Raise an InputError that names the files that are not in `folder`."""
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise InputError(f"no {', '.join(missing)} in {folder}", "the files that docs/data.md names")


def read_rows(file: Path, window: Window, *, reposts: bool, least: int = 1) -> pa.Table:
    """Return the rows of a Parquet set in a window, of accounts with at least `least` of them there.

    Parameters
    ----------
    file
        One of the keys of `ACCOUNT`.
    window
        Of the publication date.
    reposts
        Whether retweets stay in.
    least
        Rows that an account must have among those that are left.
    """
    rows = pq.read_table(file)
    at = rows["publish_date"]
    kind = at.type
    first, last = (pa.scalar(moment.replace(tzinfo=None), pa.timestamp("us")).cast(kind) for moment in (window.first, window.last))
    wanted = pc.and_(pc.greater_equal(at, first), pc.less(at, last))
    if not reposts:
        wanted = pc.and_(wanted, pc.not_equal(rows["post_type"], "retweet"))
    rows = rows.filter(pc.fill_null(wanted, False))
    name = ACCOUNT[file.name]
    counts = pc.value_counts(rows[name].cast(pa.string()))
    enough = counts.field("values").filter(pc.greater_equal(counts.field("counts"), least))
    return rows.filter(pc.is_in(rows[name].cast(pa.string()), value_set=enough))


def as_documents(parts: dict[str, pa.Table | Path]) -> tuple[pa.Table, pa.Table]:
    """Return documents and copies of rows of the Parquet sets and of whole files, by the name of the set."""
    batches = []
    with tempfile.TemporaryDirectory() as temporary:
        for name, part in parts.items():
            file = part
            if isinstance(part, pa.Table):
                file = Path(temporary) / name
                pq.write_table(part, file)
            batches += [clean_documents(batch.rows) for batch in read_documents(file, mapping=MAPPINGS[name])]
        documents = merge_documents(batches).documents
    return documents, collapse(documents, workers=1)


def names_of(rows: pa.Table, file: str) -> frozenset[str]:
    """Return the accounts of some rows."""
    return frozenset(str(name) for name in rows[ACCOUNT[file]].cast(pa.string()).unique().to_pylist())
