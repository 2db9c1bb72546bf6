"""Alternatives that cover items: what is left of a group without the items that the press, a wire, a feed, an app or a public day explains.

With n members of whom s share an item, and with "the public" for accounts in no core of any trace:

- press echo: an outlet that is no member published the page, its site or the text; or as many of the public (``outside_ratio`` for each
  member) had shared it when the median member did. Not where ``together_share`` of the sharing members act within ``together_minutes``:
  readers of the press come when they read.
- syndication: a text whose sharing members are outlets (``outlet_share``). Wires are printed by machines, so hurry tells nothing.
- single feed or app: the commonest site, if it makes up ``source_share`` of the items (sites are fed to accounts by machines, so hurry
  tells nothing); or the account that is first of all, if it makes up as much, and of its items those that members share without hurry; or
  the app that posted ``source_share`` of the shared documents and at most 1 - ``source_share`` of all others.
- fandom or hashtag day: days (spans of ``day_hours``) on which ``day_share`` of the group's shared documents bear one hashtag that as many
  of the public use on the day (``outside_ratio`` for each member of the group), if such days hold ``day_share`` of the documents.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.coordinate.bicm import Ints
from greyzone.coordinate.cores import core_numbers
from greyzone.coordinate.explanations.background import Background, Press, host_of, ranges
from greyzone.coordinate.explanations.evidence import Evidence, Row
from greyzone.coordinate.explanations.items import Items
from greyzone.coordinate.groups import Group
from greyzone.coordinate.traces import UNDATED, Mask
from greyzone.doctrine import Doctrine
from greyzone.urls import PLATFORMS

HOUR = 3_600_000_000
"""Microseconds."""
Covered = tuple[Mask, str]
"""(items,) bool, and what was found or why the data cannot tell."""


def explain_by_items(group: Group, evidence: list[Evidence], items: Items, background: Background, doctrine: Doctrine) -> list[Row]:
    """Test the alternatives that cover items, in a fixed order."""
    limits = doctrine.section("coordination_explanations")
    tests: list[tuple[str, Covered]] = [
        ("press echo", _press_echo(items, background.press, group, limits)),
        ("syndication", _syndication(items, limits)),
        ("single feed or app", _feed_or_app(items, background, limits)),
        ("fandom or hashtag day", _hashtag_days(items, background, group, limits)),
    ]
    return [_judged(name, group, evidence, items, covered, note, limits["accounted"]) for name, (covered, note) in tests]


def row(name: str, statistic: float | None, threshold: float, fits: bool, note: str) -> Row:
    """Return a row of `records.EXPLANATIONS`."""
    return {"name": name, "statistic": statistic, "threshold": threshold, "fits": bool(fits), "note": note}


def _judged(name: str, group: Group, evidence: list[Evidence], items: Items, covered: Mask, note: str, threshold: float) -> Row:
    """Take the covered items away and see how many members no core holds any more."""
    taken = int(covered.sum())
    if not taken:
        return row(name, 0.0, threshold, False, f"covers none of {len(items.labels)} shared items ({note})")
    before, after = np.zeros((2, len(items.public)), dtype=bool)
    for part, place in zip(evidence, items.places, strict=True):
        away = part.columns[covered[place]]
        whole = _in_cores(part, group.accounts)
        before[whole] = True
        after[_held(part, group.accounts, away) if len(away) else whole] = True
    held, still = int(before.sum()), int(after.sum())
    accounted = 1.0 - still / held if held else 0.0
    left = f"{still} of {held} accounts stay coordinated without them"
    text = f"covers {taken} of {len(items.labels)} shared items ({note}); {left}"
    return row(name, accounted, threshold, accounted >= threshold, text)


def _held(part: Evidence, accounts: Ints, away: Ints) -> Ints:
    mask = np.zeros(len(part.network.trace.items), dtype=bool)
    mask[away] = True
    return part.network.residual(accounts, mask)


def _in_cores(part: Evidence, accounts: Ints) -> Ints:
    """Return which of `accounts` the kept pairs hold in a core: what `Network.residual` finds when nothing is taken away."""
    pairs, own = part.network.pairs, part.network.trace.accounts
    inside = np.flatnonzero(np.isin(own, accounts))
    place = np.full(len(own), -1)
    place[inside] = np.arange(len(inside))
    a, b = place[pairs.a], place[pairs.b]
    both = (a >= 0) & (b >= 0)
    return own[inside[core_numbers(len(inside), a[both], b[both]) >= part.network.core]]


def _press_echo(items: Items, press: Press, group: Group, limits: dict[str, float]) -> Covered:
    members = frozenset(group.accounts.tolist())
    printed = np.array([bool(_publishers(str(label), press) - members) for label in items.labels], dtype=bool)
    public = (items.public_before >= limits["outside_ratio"] * items.members_before) & (items.public_before > 0)
    known = f"{int(printed.sum())} published by outlets, {int(public.sum())} known to as many others before"
    return (printed | public) & items.content & _unhurried(items, limits), f"{known}, {_rush(items, items.content, limits)}"


def _unhurried(items: Items, limits: dict[str, float]) -> Mask:
    """Return which items members are known to have shared without hurry; without times nothing is known."""
    return np.asarray(items.together < limits["together_share"])


def _rush(items: Items, mask: Mask, limits: dict[str, float]) -> str:
    hurried, untimed = int((mask & (items.together >= limits["together_share"])).sum()), int((mask & np.isnan(items.together)).sum())
    return f"{hurried} shared in a rush" + (f", {untimed} without times to tell (not testable)" if untimed else "")


def _publishers(label: str, press: Press) -> frozenset[int]:
    kind, _, value = label.partition(":")
    if kind == "url":
        return press.urls.get(value, frozenset()) | press.hosts.get(host_of(value), frozenset())
    return press.texts.get(value, frozenset()) if kind in ("text", "paraphrase", "repost") else frozenset()


def _syndication(items: Items, limits: dict[str, float]) -> Covered:
    text = np.array([str(label).startswith(("text:", "paraphrase:")) for label in items.labels], dtype=bool)
    return text & (items.outlets >= limits["outlet_share"]), f"{int(text.sum())} are texts, and so many of them printed by outlets"


def _feed_or_app(items: Items, background: Background, limits: dict[str, float]) -> Covered:
    """Cover the items of the commonest source where nearly all are from it.

    Whether a site or an app is the group's own cannot be told from the data: that its readers, or machines of theirs, pass on what it
    publishes accounts for the sharing. Who follows one account comes when he reads; those who always follow within the hour act together.
    """
    covered, notes = np.zeros(len(items.labels), dtype=bool), []
    needed = limits["source_share"] * max(int(items.content.sum()), 1)
    everything = np.ones(len(items.labels), dtype=bool)
    sources = (*_commonest_host(items, background), everything), (*_commonest_leader(items), _unhurried(items, limits))
    for source, mask, readable in sources:
        said = mask & items.content
        if said.sum() >= needed:
            covered |= said & readable
            notes.append(f"{int(said.sum())} {source}, {_rush(items, said, limits)}")
    app, note = _app(items, background, limits["source_share"])
    return covered | app, "; ".join([*(notes or ["no site and no first account of nearly all"]), note])


def _commonest_host(items: Items, background: Background) -> tuple[str, Mask]:
    """Return the site that most items point to; a shortener or platform is no site, since everybody publishes there."""
    nothing = np.zeros(len(items.labels), dtype=bool)
    column = background.corpus.table["urls"].combine_chunks().take(pa.array(items.document))
    encoded = pc.list_flatten(column).dictionary_encode()
    hosts = [host_of(url or "") for url in encoded.dictionary.to_pylist()]
    names = sorted(set(hosts) - PLATFORMS - {""})
    if not names:
        return "", nothing
    known = {name: number for number, name in enumerate(names)}
    code = np.array([known.get(host, -1) for host in hosts], dtype=np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]
    entry = np.unique(np.stack([pc.list_parent_indices(column).to_numpy(), code], axis=1)[code >= 0], axis=0)
    keys, counts = np.unique(items.document_item[entry[:, 0]] * len(names) + entry[:, 1], return_counts=True)
    item, host = keys // len(names), keys % len(names)
    most = 2 * counts > np.bincount(items.document_item, minlength=len(nothing))[item]
    if not most.any():
        return "", nothing
    # Names are in order, so that of equals the first one wins.
    best = int(np.bincount(host[most], minlength=len(names)).argmax())
    nothing[item[most & (host == best)]] = True
    return f"of the site {names[best]}", nothing


def _commonest_leader(items: Items) -> tuple[str, Mask]:
    named, times = np.unique(items.leader[items.leader >= 0], return_counts=True)
    if not len(named):
        return "", np.zeros(len(items.labels), dtype=bool)
    first = int(named[times.argmax()])
    return "first from one account", items.leader == first


def _app(items: Items, background: Background, share: float) -> Covered:
    """Cover the items that one app posted, if nearly all shared documents are from it and hardly any others are."""
    nothing = np.zeros(len(items.labels), dtype=bool)
    names, code = background.apps
    shown = items.documents
    mine = code[shown]
    if not (mine >= 0).any():
        return nothing, "not testable for apps: the shared documents name none"
    counts = np.bincount(mine[mine >= 0], minlength=len(names))
    everything = np.bincount(code[code >= 0], minlength=len(names))
    # Names are in order, so that of equals the first one wins.
    best = int(counts.argmax())
    others = int(everything.sum() - counts.sum())
    if not others:
        return nothing, "not testable for apps: no other document names one"
    here, there = counts[best] / len(shown), (everything[best] - counts[best]) / others
    note = f"{names[best]} posted {here:.0%} of the shared documents and {there:.0%} of all others"
    if here < share or there > 1 - share:
        return nothing, note
    return items.majority(code[items.document] == best), note


def _hashtag_days(items: Items, background: Background, group: Group, limits: dict[str, float]) -> Covered:
    corpus, nothing = background.corpus, np.zeros(len(items.labels), dtype=bool)
    shown = items.documents
    shown = shown[corpus.time[shown] != UNDATED]
    if not len(shown):
        return nothing, "not testable: the shared documents have no times"
    span = int(limits["day_hours"] * HOUR)
    public = np.zeros(len(corpus.time), dtype=bool)
    days, held = [], 0
    for day in _spans(shown, corpus.time, span):
        tag, bearing = _commonest_tag(background, day)
        if tag < 0 or len(bearing) < limits["day_share"] * len(day):
            continue
        use = background.tags.documents(tag)
        start = int(corpus.time[day[0]])
        use = np.unique(use[(corpus.time[use] >= start) & (corpus.time[use] <= start + span)])
        users = corpus.account[use]
        outside = np.unique(users[(users >= 0) & items.public[users]])
        if len(outside) >= limits["outside_ratio"] * len(group.accounts):
            public[use] = True
            held += len(bearing)
            days.append(str(background.tags.names[tag]))
    if held < limits["day_share"] * len(shown):
        return nothing, f"{held} of {len(shown)} documents on days of a hashtag that as many others use"
    note = f"{held} of {len(shown)} documents on {len(days)} days of a hashtag that as many others use, such as #{min(days)}"
    return items.majority(public[items.document]), note


def _spans(rows: Ints, time: Ints, span: int) -> list[Ints]:
    """Cut documents into days, in order of time.

    The span with most documents is one day; before and after it a day begins with each document that is in none yet.
    """
    when = time[rows]
    order = np.lexsort((rows, when))
    rows, when = rows[order], when[order]
    reach = np.searchsorted(when, when + span, side="right")
    best = int((reach - np.arange(len(when))).argmax())
    found: list[Ints] = []
    begin = 0
    while begin < len(when):
        end = int(reach[begin]) if begin >= best else min(int(reach[begin]), best)
        found.append(rows[begin:end])
        begin = end
    return found


def _commonest_tag(background: Background, rows: Ints) -> tuple[int, Ints]:
    """Return the hashtag that most of these documents bear, -1 where they bear none, and those that do."""
    start, code = background.tags_of
    each = np.repeat(rows, start[rows + 1] - start[rows])
    tags = code[ranges(start[rows], start[rows + 1])]
    if not len(tags):
        return -1, rows[:0]
    pairs = np.unique(np.stack([tags, each], axis=1), axis=0)
    best = int(np.bincount(pairs[:, 0]).argmax())
    return best, pairs[pairs[:, 0] == best, 1]
