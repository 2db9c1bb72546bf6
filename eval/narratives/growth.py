"""``greyzone eval update``: a corpus fed day by day against the same documents in one go.

    greyzone eval update --documents 20000 --days 5
    greyzone eval update --documents 100000 --days 10 --first 0.9
    greyzone eval update --planted 1000000

The invented scenario is cut by time: a first part begins the case, and every day adds an equal share of what is left. After each day the
same documents are run in one go in another folder. Told of each are the seconds of both up to the narratives, embedding included; ARI
of their narratives over all documents, noise as singletons; and how names last: `ids` is the share of the narratives before that still
live under their name, `documents` the share of documents that keep the id of their narrative, of those in one before and after.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sklearn.metrics import adjusted_rand_score

from greyzone.case import Case
from greyzone.errors import InputError
from greyzone.eval.commands import run_command
from greyzone.eval.narratives.adding import format_adding, measure_adding
from greyzone.eval.scenario.synth import write_scenario
from greyzone.pipeline import Settings, run, update

FIRST = 0.5
"""Share of the documents that the case begins with."""

TODAY = "2026-01-01"
"""Day after the last one of the scenario: nothing in it is in the future."""


@dataclass(frozen=True, slots=True)
class Day:
    """Figures of one day.

    Parameters
    ----------
    documents, added
        Documents of the case, and those of the day.
    narratives
        Narratives found.
    joined
        Distinct texts that joined what was learnt; None where all was fitted anew.
    seconds, seconds_batch
        Of the update, and of all documents in one go.
    ari
        Between the two.
    ids, same
        Shares of narratives and of documents that keep their id; None for the first day.
    events
        Rows of the lineage by event.
    """

    documents: int
    added: int
    narratives: int
    joined: int | None
    seconds: float
    seconds_batch: float
    ari: float
    ids: float | None
    same: float | None
    events: dict[str, int]


def measure(folder: Path, *, documents: int, days: int, first: float = FIRST, encoder: str = "default", seed: int = 0) -> Iterator[Day]:
    """Feed the scenario day by day and yield the figures of each.

    Parameters
    ----------
    folder
        Where the files and cases go.
    documents, seed
        Of the scenario.
    days
        Days after the first part.
    first
        Share of the documents that the case begins with.
    encoder
        As for `greyzone.models.load_encoder`.

    Raises
    ------
    InputError
        If there is no day, or a day without documents.
    """
    if days < 1:
        raise InputError(f"{days} days", "1 or more")
    if not 0 < first < 1:
        raise InputError(f"a first part of {first:g}", "more than 0 and less than 1")
    files = _cut(write_scenario(folder / "scenario", documents=documents, seed=seed).documents, days, first)
    settings = Settings(today=TODAY, encoder=encoder)
    grown: Case | None = None
    before: dict[str, str | None] = {}
    for number, file in enumerate(files):
        if grown is None:
            add = partial(run, file, out=folder / "grown", settings=settings, until="narratives")
        else:
            add = partial(update, folder / "grown", file, today=TODAY, until="narratives")
        grown, seconds = _timed(add)
        at_once = partial(run, files[: number + 1], out=folder / f"batch{number}", settings=settings, until="narratives")
        batch, seconds_batch = _timed(at_once)
        yield _figures(grown, batch, before, seconds, seconds_batch)
        before = _members(grown)


def format_days(days: Sequence[Day]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| documents | new | narratives | learnt | update, s | in one go, s | ARI | ids | documents with their id | lineage |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for day in days:
        learnt = "anew" if day.joined is None else f"{day.joined} texts joined"
        events = ", ".join(f"{name} {count}" for name, count in day.events.items()) or "-"
        shares = ["-" if share is None else f"{share:.3f}" for share in (day.ids, day.same)]
        cells = [
            day.documents,
            day.added,
            day.narratives,
            learnt,
            f"{day.seconds:.1f}",
            f"{day.seconds_batch:.1f}",
            f"{day.ari:.3f}",
            *shares,
        ]
        lines.append("| " + " | ".join(str(cell) for cell in (*cells, events)) + " |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 for arguments that cannot be used."""
    parser = argparse.ArgumentParser(prog="greyzone eval update", description="Measure updates against all documents in one go.")
    parser.add_argument("--documents", "-n", type=int, default=20_000, help="documents of the invented scenario (20000)")
    parser.add_argument("--days", type=int, default=5, help="updates (5)")
    parser.add_argument("--first", type=float, default=FIRST, help=f"share of the documents that the case begins with ({FIRST})")
    parser.add_argument("--encoder", "-e", default="default", help="encoder (default)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenario (0)")
    parser.add_argument("--planted", type=int, metavar="N", help="add a hundredth to this many planted rows instead, without a case")
    parser.add_argument("--out", "-o", type=Path, help="folder to keep the cases in; a temporary one if not given")
    given = parser.parse_args(argv)

    def command() -> int:
        if given.planted is not None:
            sys.stdout.write(f"{format_adding(measure_adding(given.planted, seed=given.seed))}\n")
            return 0
        with tempfile.TemporaryDirectory() as temporary:
            found = list(
                measure(
                    given.out or Path(temporary),
                    documents=given.documents,
                    days=given.days,
                    first=given.first,
                    encoder=given.encoder,
                    seed=given.seed,
                )
            )
        sys.stdout.write(f"scenario of {given.documents} documents, seed {given.seed}, encoder {given.encoder}\n\n{format_days(found)}\n")
        return 0

    return run_command(command)


def _cut(documents: Path, days: int, first: float) -> list[Path]:
    """Cut the documents, which stand in the order of time, into a first part and equal days."""
    lines = documents.read_text("utf-8").splitlines(keepends=True)
    bounds = [0, *(round(len(lines) * (first + (1 - first) * day / days)) for day in range(days + 1))]
    files = []
    for number, (start, stop) in enumerate(itertools.pairwise(bounds)):
        if start == stop:
            raise InputError(f"{len(lines)} documents for {days} days", "a document a day at least")
        files.append(documents.with_name(f"day{number}.jsonl"))
        files[-1].write_text("".join(lines[start:stop]), "utf-8")
    return files


def _timed(act: Callable[[], Case]) -> tuple[Case, float]:
    begun = time.perf_counter()
    return act(), time.perf_counter() - begun


def _members(case: Case) -> dict[str, str | None]:
    rows = case.table("members")
    return dict(zip(rows["doc_id"].to_pylist(), rows["narrative_id"].to_pylist(), strict=True))


def _figures(grown: Case, batch: Case, before: dict[str, str | None], seconds: float, seconds_batch: float) -> Day:
    now, whole = _members(grown), _members(batch)
    order = sorted(whole)
    old, new = set(before.values()) - {None}, set(now.values()) - {None}
    both = [document for document, name in before.items() if name is not None and now.get(document) is not None]
    notes = grown.notes()["narratives"]
    told = notes if isinstance(notes, dict) else {}
    return Day(
        documents=len(now),
        added=len(now) - len(before),
        narratives=len(new),
        joined=told.get("joined"),
        seconds=seconds,
        seconds_batch=seconds_batch,
        ari=float(adjusted_rand_score([whole[one] or one for one in order], [now[one] or one for one in order])),
        ids=len(old & new) / len(old) if old else None,
        same=sum(before[one] == now[one] for one in both) / len(both) if both else None,
        events=dict(told.get("lineage", {})),
    )


if __name__ == "__main__":
    raise SystemExit(main())
