"""Parts `ira-congress` and `hoaxes`: accounts of a known operation against members of Congress, and two invented alarms of 2015.

Members of Congress are the hard control: parties and offices share texts, tags and pages openly (`docs/data.md`). What the label says is
that an account belonged to the operation, not that it acted with others in these four months, so recall has no reason to reach 1.
The score of an account is its largest membership probability in any flagged group, 0 in none; beside it stands how far
the account is from chance by its pairs, in a group or not (`account_chances`), which flags nobody. Precision at a base rate is that of
a corpus in which one account in a hundred is of the operation, from the rates that are measured (Wilson intervals of 95 %).
The sets differ in more than the accounts: addresses of the operation's tweets are t.co, times are good to a minute; those of Congress
carry expanded addresses and ids of what is reposted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from greyzone import records
from greyzone.coordinate import account_chances, flagged
from greyzone.doctrine import load_doctrine
from greyzone.eval.commands import aligned
from greyzone.eval.coordination.journey import groups_of
from greyzone.eval.coordination.judging import at_base_rate, auc, commonest, wilson
from greyzone.eval.coordination.sources import (
    CONGRESS,
    DEBATE,
    ELECTION,
    IRA,
    IRA_ACCOUNTS,
    Window,
    as_documents,
    day,
    names_of,
    need,
    read_rows,
)

SPRING = Window(day(2016, 2, 1), day(2016, 6, 1))
LEAST_POSTS = 30
"""Posts that an account must have in the window to be judged."""
BASE_RATE = 0.01
ASKED_AUC = 0.95
FROM_CHANCE = "from chance"


@dataclass(frozen=True, slots=True)
class Contest:
    """Accounts of the operation against the control in one corpus.

    Parameters
    ----------
    name
        What the corpus is.
    documents
        Number of documents.
    scores
        By list ("flagged", "listed", and "from chance", which is none): scores of the operation's accounts and of the control's.
    background
        Accounts of neither that are in a flagged group, and all of them.
    categories
        By account category: accounts, flagged, listed.
    groups
        Whose most accounts are ("operation", "control", "background"), size, traces, fitting explanations.
    """

    name: str
    documents: int
    scores: dict[str, tuple[list[float], list[float]]]
    background: tuple[int, int]
    categories: dict[str, tuple[int, int, int]]
    groups: list[tuple[str, int, str, str]]


@dataclass(frozen=True, slots=True)
class Hoax:
    """An invented alarm: its days, the window that is searched, and a pattern of its tweets (RE2, letters of either case)."""

    name: str
    window: Window
    days: Window
    pattern: str


HOAXES = (
    Hoax(
        "Koch Farms",
        Window(day(2015, 11, 16), day(2015, 12, 7)),
        Window(day(2015, 11, 26), day(2015, 11, 28)),
        r"koch\s*'?s?\s*farm|turkey",
    ),
    Hoax("phosphorus", Window(day(2015, 3, 1), day(2015, 3, 22)), Window(day(2015, 3, 10), day(2015, 3, 11)), r"phosph?or|idaho"),
)
"""Days from docs/data.md."""
HOAX_POSTS = 2
"""Posts on the alarm in its days from which an account took part: one may be a remark on it."""


@dataclass(frozen=True, slots=True)
class HoaxFound:
    """What came out of the corpus of a hoax; `groups` are those of whose documents half and more are on it.

    A group is (first day, last day, accounts, share of its documents on the hoax, flagged, traces, fitting explanations).
    """

    name: str
    documents: int
    posts: int
    accounts: int
    members: int
    members_flagged: int
    groups: list[tuple[str, str, int, float, bool, str, str]]


def contests(folder: Path) -> list[Contest]:
    """Measure the four corpora: retweets in and out, alone and before a background."""
    need(folder, IRA, IRA_ACCOUNTS, CONGRESS)
    category = _categories(folder)
    found = []
    for reposts in (True, False):
        rows = {name: read_rows(folder / name, SPRING, reposts=reposts, least=LEAST_POSTS) for name in (IRA, CONGRESS)}
        operation, control = names_of(rows[IRA], IRA), names_of(rows[CONGRESS], CONGRESS)
        name = "retweets in" if reposts else "retweets out"
        found.append(_contest(name, dict(rows), operation, control, category))
        background = {file: folder / file for file in (DEBATE, ELECTION) if (folder / file).is_file()}
        if background and reposts:
            found.append(_contest(f"{name}, with background", {**rows, **background}, operation, control, category))
    return found


def format_contests(found: Sequence[Contest]) -> str:
    """Return the tables: rates, recall by category, groups."""
    head = ["corpus", "score", "operation", "control", "AUC", "recall", "false alarms", f"precision at {BASE_RATE:.0%}", "asked"]
    lines = [head]
    for one in found:
        for which, (positive, negative) in one.scores.items():
            rates = [f"{auc(positive, negative):.3f}", "-", "-", "-"] if which == FROM_CHANCE else _rates(positive, negative)
            lines.append([one.name, which, str(len(positive)), str(len(negative)), *rates, f"AUC {ASKED_AUC}"])
    kinds = sorted({kind for one in found for kind in one.categories})
    recall = [["recall of", "list", *kinds]]
    for one in found:
        for place, which in ((1, "flagged"), (2, "listed")):
            cells = [one.categories.get(kind, (0, 0, 0)) for kind in kinds]
            recall.append([one.name, which, *(f"{cell[place]} of {cell[0]}" for cell in cells)])
    owners = [["corpus", "groups mostly of", "listed", "flagged", "traces", "explanations that fit"]]
    for one in found:
        for owner in ("operation", "control", "background"):
            chosen = [group for group in one.groups if group[0] == owner]
            traces = commonest(name for group in chosen for name in group[2].split("+"))
            fits = commonest((name for group in chosen for name in group[3].split("+") if name), 7)
            owners.append([one.name, owner, str(len(chosen)), str(sum(not group[3] for group in chosen)), traces, fits])
    notes = [
        f"{one.name}: {one.documents:,} documents; background accounts flagged: {one.background[0]} of {one.background[1]:,}"
        for one in found
    ]
    return "\n".join([*aligned(lines), "", *aligned(recall), "", *aligned(owners), "", *notes])


def hoaxes(folder: Path) -> list[HoaxFound]:
    """Look for both hoaxes in all of the operation's tweets of three weeks around each."""
    need(folder, IRA)
    return [_hoax(folder, hoax) for hoax in HOAXES]


def format_hoaxes(found: Sequence[HoaxFound]) -> str:
    """Return a table of the hoaxes and one of their groups."""
    days = {hoax.name: f"{hoax.days.first:%Y-%m-%d} to {hoax.days.last:%Y-%m-%d}" for hoax in HOAXES}
    lines = [["hoax", "documents searched", "posts on it", "accounts", "in its groups, listed", "flagged", "its days"]]
    groups = [["hoax", "from", "to", "accounts", "documents on it", "flagged", "traces", "explanations that fit"]]
    for one in found:
        shares = [f"{count} ({count / max(one.accounts, 1):.0%})" for count in (one.members, one.members_flagged)]
        lines.append([one.name, f"{one.documents:,}", f"{one.posts:,}", str(one.accounts), *shares, days[one.name]])
        for first, last, size, share, kept, traces, fits in one.groups:
            groups.append([one.name, first, last, str(size), f"{share:.0%}", "yes" if kept else "no", traces, fits or "-"])
    return "\n".join([*aligned(lines), "", *aligned(groups)])


def _contest(
    name: str, parts: dict[str, pa.Table | Path], operation: frozenset[str], control: frozenset[str], category: dict[str, str]
) -> Contest:
    documents, copies = as_documents(parts)
    found = groups_of(documents, copies, doctrine=load_doctrine())
    kept = dict(zip(found.groups["group_id"].to_pylist(), flagged(found.groups).to_pylist(), strict=True))
    score: dict[str, dict[str, float]] = {"flagged": {}, "listed": {}}
    for row in found.group_members.to_pylist():
        for which in ("listed", "flagged") if kept[row["group_id"]] else ("listed",):
            score[which][row["account"]] = max(score[which].get(row["account"], 0.0), _probability(row))
    chances = account_chances(found.edges, found.traces)
    # -ln(2 p): 0 for an account without a kept pair, whose p is .5.
    score[FROM_CHANCE] = dict(zip(chances["account"].to_pylist(), (-np.log(2 * chances["p"].to_numpy())).tolist(), strict=True))
    scores = {
        which: ([table.get(account, 0.0) for account in sorted(operation)], [table.get(account, 0.0) for account in sorted(control)])
        for which, table in score.items()
    }
    others = {account for account in documents["account"].to_pylist() if account} - operation - control
    categories: dict[str, tuple[int, int, int]] = {}
    for account in operation:
        kind = category.get(account, "?")
        count, hit, listed = categories.get(kind, (0, 0, 0))
        categories[kind] = (count + 1, hit + (account in score["flagged"]), listed + (account in score["listed"]))
    groups = [
        (_owner(row, operation, control), len(row["accounts"]), "+".join(row["traces"]), _fits(row)) for row in found.groups.to_pylist()
    ]
    return Contest(name, documents.num_rows, scores, (len(others & set(score["flagged"])), len(others)), categories, groups)


def _hoax(folder: Path, hoax: Hoax) -> HoaxFound:
    documents, copies = as_documents({IRA: read_rows(folder / IRA, hoax.window, reposts=True)})
    on_it = pc.match_substring_regex(documents["text"], hoax.pattern, ignore_case=True).to_numpy(zero_copy_only=False)
    inside = pc.and_(
        pc.greater_equal(documents["published_at"], pa.scalar(hoax.days.first, records.TIME)),
        pc.less(documents["published_at"], pa.scalar(hoax.days.last, records.TIME)),
    )
    posts = on_it & inside.to_numpy(zero_copy_only=False)
    counts = documents["account"].filter(pa.array(posts)).value_counts()
    took_part = set(counts.field("values").filter(pc.greater_equal(counts.field("counts"), HOAX_POSTS)).to_pylist())
    found = groups_of(documents, copies, doctrine=load_doctrine())
    about = set(documents["doc_id"].filter(pa.array(on_it)).to_pylist())
    groups, members, members_flagged = [], set[str](), set[str]()
    for row, kept in zip(found.groups.to_pylist(), flagged(found.groups).to_pylist(), strict=True):
        share = float(np.mean([document in about for document in row["documents"]])) if row["documents"] else 0.0
        if share < 0.5:
            continue
        members |= took_part & set(row["accounts"])
        members_flagged |= took_part & set(row["accounts"]) if kept else set()
        days = [f"{row[end]:%Y-%m-%d}" if row[end] else "?" for end in ("window_lo", "window_hi")]
        groups.append((days[0], days[1], len(row["accounts"]), share, bool(kept), "+".join(row["traces"]), _fits(row)))
    return HoaxFound(hoax.name, documents.num_rows, int(posts.sum()), len(took_part), len(members), len(members_flagged), groups)


def _rates(positive: list[float], negative: list[float]) -> list[str]:
    hits, alarms = sum(score > 0 for score in positive), sum(score > 0 for score in negative)
    recall, wrong = wilson(hits, len(positive)), wilson(alarms, len(negative))
    middle = at_base_rate(hits / len(positive), alarms / len(negative), BASE_RATE)
    ends = [at_base_rate(recall[0], wrong[1], BASE_RATE), at_base_rate(recall[1], wrong[0], BASE_RATE)]
    return [
        f"{auc(positive, negative):.3f}",
        f"{hits / len(positive):.3f} [{recall[0]:.3f}, {recall[1]:.3f}]",
        f"{alarms / len(negative):.3f} [{wrong[0]:.3f}, {wrong[1]:.3f}]",
        "-" if middle is None else f"{middle:.3f} [{ends[0] or 0:.3f}, {ends[1] or 0:.3f}]",
    ]


def _probability(row: dict[str, float]) -> float:
    # A member counts as one however small its probability, and above every account in no group.
    return max(float(row["probability"]), 1e-9)


def _categories(folder: Path) -> dict[str, str]:
    table = csv.read_csv(folder / IRA_ACCOUNTS, convert_options=csv.ConvertOptions(column_types={"author_id": pa.string()}))
    return dict(zip(table["author_id"].to_pylist(), table["account_category"].to_pylist(), strict=True))


def _owner(row: dict[str, list[str]], operation: frozenset[str], control: frozenset[str]) -> str:
    accounts = row["accounts"]
    for name, owned in (("operation", operation), ("control", control)):
        if 2 * sum(account in owned for account in accounts) > len(accounts):
            return name
    return "background"


def _fits(row: dict[str, list[dict[str, object]]]) -> str:
    return "+".join(str(test["name"]) for test in row["explanations"] or [] if test["fits"])
