"""Why a group might be nothing but ordinary life: every alternative is tested on every group and listed, fitting or not.

An alternative about items (press echo, syndication, single feed, hashtag day) says which of the shared items it covers. They are taken
out of the traces, the pairs among the members are judged again against the same null, and the statistic is the share of the members
that no core holds any more: what the alternative accounts for. It fits from ``accounted`` on. Two alternatives are about accounts: party or
institution discipline (members post mostly content of their own and are in no hurry) and a shared time zone (only for groups that
rest on the fast trace). An alternative that the data cannot test does not fit, and its note says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import special

from greyzone.coordinate.bicm import Doubles, Ints
from greyzone.coordinate.groups import Group, Network
from greyzone.coordinate.traces import UNDATED, Corpus, Mask, Trace
from greyzone.doctrine import Doctrine
from greyzone.urls import PLATFORMS

HOUR, DAY = 3_600_000_000, 86_400_000_000
"""Microseconds."""
Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The items of one trace that members of a group share.

    Parameters
    ----------
    network
        The trace they are from.
    columns
        (items,) int64 into the items of the trace: those shared by enough members.
    inside, outside
        (items,) int64 sharing accounts in and outside the group.
    first_inside, first_outside
        (items,) int64 microseconds, `UNDATED` where not known.
    together
        (items,) float64, largest share of the sharing members within ``together_minutes``; nan without times.
    outlets
        (items,) float64, share of the sharing members that are outlets.
    leader
        (items,) int64 row of `Corpus.names` that shared first of all, in the group or not.
    rows
        One (documents,) int64 array an item: rows of the members' documents.
    """

    network: Network
    columns: Ints
    inside: Ints
    outside: Ints
    first_inside: Ints
    first_outside: Ints
    together: Doubles
    outlets: Doubles
    leader: Ints
    rows: list[Ints]


@dataclass(frozen=True, slots=True)
class Press:
    """What outlets in the documents publish: `urls` and `hosts` of their pages, `texts` whose first document is theirs."""

    urls: frozenset[str]
    hosts: frozenset[str]
    texts: frozenset[str]


def read_press(corpus: Corpus) -> Press:
    """Collect the pages, hosts and texts that come from outlets."""
    outlet = pc.fill_null(pc.not_equal(corpus.table["outlet"], ""), False).combine_chunks()
    urls = [url for url in corpus.table["url"].filter(outlet).to_pylist() if url]
    # Documents are in order of time, so the first one of a representative is its origin.
    encoded = corpus.representative.dictionary_encode()
    _, first = np.unique(encoded.indices.to_numpy(), return_index=True)
    by_outlet = outlet.to_numpy(zero_copy_only=False)[first]
    texts = corpus.representative.take(pa.array(first[by_outlet])).to_pylist()
    return Press(frozenset(urls), frozenset(filter(None, map(_host, urls))), frozenset(texts))


def gather(network: Network, group: Group, corpus: Corpus, doctrine: Doctrine) -> Evidence:
    """Collect the items that enough members share, and more of them than the null expects (Poisson tail of the expected number).

    Who was first, who else shares an item and how close in time the members were is told over all shares of the item, not over one
    window of the fast trace, in which everybody is close by construction.
    """
    trace = network.trace
    member = np.isin(trace.accounts, group.accounts)
    inside = np.bincount(trace.incidence[np.flatnonzero(member)].indices, minlength=len(trace.items))
    chance = special.pdtrc(inside - 1, network.chance.expected(np.flatnonzero(member)))
    driving = (inside >= doctrine["coordination.driving_members"]) & (chance <= doctrine["coordination.driving_p"])
    columns = np.flatnonzero(driving & (network.weights > 0))
    width = int(doctrine["coordination_explanations.together_minutes"] * 60_000_000)
    start = np.searchsorted(trace.share_item, columns, side="left")
    stop = np.searchsorted(trace.share_item, columns, side="right")
    rows = [trace.share_document[a:b][member[trace.share_account[a:b]]] for a, b in zip(start, stop, strict=True)]
    times = [_times(trace, shares, member, corpus, width) for shares in _all_shares(trace, columns, start, stop)]
    return Evidence(
        network,
        columns,
        inside[columns].astype(np.int64),
        np.array([found[0] for found in times], dtype=np.int64),
        np.array([found[1] for found in times], dtype=np.int64),
        np.array([found[2] for found in times], dtype=np.int64),
        np.array([found[3] for found in times], dtype=np.float64),
        np.array([corpus.is_outlet[np.unique(corpus.account[row])].mean() for row in rows], dtype=np.float64),
        np.array([found[4] for found in times], dtype=np.int64),
        [np.unique(row) for row in rows],
    )


def _all_shares(trace: Trace, columns: Ints, start: Ints, stop: Ints) -> list[Ints]:
    """Return the shares of each item in order of time; those of a window of the fast trace are those of what was shared in it."""
    if trace.name != "fast":
        return [np.arange(a, b) for a, b in zip(start, stop, strict=True)]
    wanted = {_bare(trace.items[column]) for column in columns}
    of_label: dict[str, list[Ints]] = {}
    bounds = np.searchsorted(trace.share_item, np.arange(len(trace.items) + 1))
    # Windows of one label are in order of time, since their labels begin with the time.
    for item, label in enumerate(trace.items):
        if (bare := _bare(label)) in wanted:
            of_label.setdefault(bare, []).append(np.arange(bounds[item], bounds[item + 1]))
    return [np.concatenate(of_label[_bare(trace.items[column])]) for column in columns]


def _times(trace: Trace, shares: Ints, member: Mask, corpus: Corpus, width: int) -> tuple[int, int, int, float, int]:
    """Return accounts outside, first time inside and outside, share of the members together in time, and who was first of all."""
    account = trace.share_account[shares]
    time, mine = corpus.time[trace.share_document[shares]], member[account]
    dated = time != UNDATED
    inside, outside = time[dated & mine], time[dated & ~mine]
    # Shares are in order of time, so the first entry of an account is its first share.
    _, first = np.unique(account[dated & mine], return_index=True)
    return (
        len(np.unique(account[~mine])),
        int(inside[0]) if len(inside) else UNDATED,
        int(outside[0]) if len(outside) else UNDATED,
        _together(np.sort(inside[first]), width),
        int(trace.accounts[account[dated][0]]) if dated.any() else -1,
    )


def explain(group: Group, evidence: list[Evidence], corpus: Corpus, press: Press, doctrine: Doctrine) -> list[Row]:
    """Test every alternative on a group; rows of `records.EXPLANATIONS`, in a fixed order."""
    limits = doctrine.section("coordination_explanations")
    tests = [
        (
            "press echo",
            _press_echo(evidence, press, limits),
            "items that came from the press, or mostly from outside the group and before it",
        ),
        ("syndication", _syndication(evidence, limits), "texts that outlets print within hours"),
        ("single feed", _single_feed(evidence, corpus, limits), "items of one site or of one account that is always first"),
        ("hashtag day", _hashtag_day(evidence, corpus, group, limits), "items of one day under a hashtag that more accounts outside use"),
    ]
    rows = [_by_items(name, group, evidence, covered, note, limits["accounted"]) for name, covered, note in tests]
    rows.append(_discipline(group, evidence, corpus, limits))
    rows.append(_time_zone(group, evidence, corpus, doctrine))
    return rows


def flagged(groups: pa.Table) -> pa.BooleanArray:
    """Return which groups no tested alternative accounts for, (groups,) bool.

    Parameters
    ----------
    groups
        `records.GROUPS`. A group with a fitting explanation stays in the table and is not flagged.
    """
    fits = [any(test["fits"] for test in tests or []) for tests in groups["explanations"].to_pylist()]
    return pa.array([not fit for fit in fits], type=pa.bool_())


def _by_items(name: str, group: Group, evidence: list[Evidence], covered: list[Mask], note: str, threshold: float) -> Row:
    """Take the covered items away and see how many members no core holds any more."""
    items, taken = sum(len(part.columns) for part in evidence), sum(int(mask.sum()) for mask in covered)
    if not taken:
        return _row(name, 0.0, threshold, False, f"covers none of {items} shared items ({note})")
    held: list[Ints] = []
    for part, mask in zip(evidence, covered, strict=True):
        away = np.zeros(len(part.network.trace.items), dtype=bool)
        away[part.columns[mask]] = True
        held.append(part.network.residual(group.accounts, away))
    still = np.unique(np.concatenate(held)) if held else np.empty(0, dtype=np.int64)
    accounted = 1.0 - len(still) / len(group.accounts)
    text = f"covers {taken} of {items} shared items ({note}); {len(still)} of {len(group.accounts)} accounts stay coordinated without them"
    return _row(name, accounted, threshold, accounted >= threshold, text)


def _press_echo(evidence: list[Evidence], press: Press, limits: dict[str, float]) -> list[Mask]:
    found = []
    for part in evidence:
        labels = [_bare(label) for label in part.network.trace.items[part.columns]]
        printed = np.array([_is_printed(label, press) for label in labels], dtype=bool)
        wide = part.outside >= limits["outside_ratio"] * part.inside
        before = (part.first_outside != UNDATED) & (part.first_inside != UNDATED) & (part.first_outside <= part.first_inside)
        hurried = part.together >= limits["together_share"]
        found.append((printed | (wide & before)) & ~hurried)
    return found


def _syndication(evidence: list[Evidence], limits: dict[str, float]) -> list[Mask]:
    found = []
    for part in evidence:
        text = np.array([_bare(label).startswith("text:") for label in part.network.trace.items[part.columns]], dtype=bool)
        found.append(text & (part.outlets >= limits["outlet_share"]))
    return found


def _single_feed(evidence: list[Evidence], corpus: Corpus, limits: dict[str, float]) -> list[Mask]:
    """Cover the items of the commonest source where nearly all are from it: one site, or one account always first.

    Whether the site is the group's own cannot be told from the data: that its readers pass on what it publishes accounts for the sharing.
    """
    hosts = [[_hosts(corpus, rows) for rows in part.rows] for part in evidence]
    counts: dict[str, int] = {}
    for name in (name for part in hosts for names in part for name in names):
        counts[name] = counts.get(name, 0) + 1
    total = max(sum(len(part.columns) for part in evidence), 1)
    leaders = np.concatenate([part.leader for part in evidence]) if evidence else np.empty(0, dtype=np.int64)
    covered = [np.zeros(len(part.columns), dtype=bool) for part in evidence]
    host = max(sorted(counts), key=lambda name: counts[name], default="")
    if host and counts[host] >= limits["source_share"] * total:
        covered = [np.array([host in names for names in part], dtype=bool) for part in hosts]
    named, times = np.unique(leaders[leaders >= 0], return_counts=True)
    if len(named) and times.max() >= limits["source_share"] * total:
        first = named[times.argmax()]
        covered = [mask | (part.leader == first) for mask, part in zip(covered, evidence, strict=True)]
    return covered


def _hashtag_day(evidence: list[Evidence], corpus: Corpus, group: Group, limits: dict[str, float]) -> list[Mask]:
    rows = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *(row for part in evidence for row in part.rows)]))
    nothing = [np.zeros(len(part.columns), dtype=bool) for part in evidence]
    rows = rows[corpus.time[rows] != UNDATED]
    if not len(rows):
        return nothing
    span = int(limits["day_hours"] * HOUR)
    time = np.sort(corpus.time[rows])
    reach = np.searchsorted(time, time + span, side="right") - np.arange(len(time))
    start = int(time[reach.argmax()])
    if reach.max() < limits["day_share"] * len(time):
        return nothing
    day = (corpus.time >= start) & (corpus.time <= start + span)
    tag = _commonest_tag(corpus, rows[day[rows]])
    users = np.unique(corpus.account[day & _has_tag(corpus, tag)]) if tag else np.empty(0, dtype=np.int64)
    outside = len(np.setdiff1d(users[users >= 0], group.accounts))
    if outside < limits["outside_ratio"] * len(group.accounts):
        return nothing
    tagged = _has_tag(corpus, tag)
    return [np.array([bool((tagged & day)[row].mean() >= 0.5) for row in part.rows], dtype=bool) for part in evidence]


def _discipline(group: Group, evidence: list[Evidence], corpus: Corpus, limits: dict[str, float]) -> Row:
    """Compare what members post of their own with what they share, and how much of a hurry they are in."""
    name, threshold = "party or institution discipline", limits["own_share"]
    shared = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *(row for part in evidence for row in part.rows)]))
    posted = np.bincount(corpus.account[corpus.account >= 0], minlength=len(corpus.names))[group.accounts]
    common = np.bincount(corpus.account[shared], minlength=len(corpus.names))[group.accounts]
    own = float(np.median(1 - common / posted))
    times = np.concatenate([np.empty(0), *(part.together for part in evidence)])
    if np.isnan(times).all():
        return _row(name, own, threshold, False, "the shared posts have no times; hurry cannot be judged")
    hurry = float(np.nanmedian(times))
    fits = own >= threshold and hurry < limits["together_share"]
    return _row(name, own, threshold, fits, f"median share of members' posts that are their own; median share together in time {hurry:.2f}")


def _time_zone(group: Group, evidence: list[Evidence], corpus: Corpus, doctrine: Doctrine) -> Row:
    """Compare how often members meet within the fast window with what their hours of the day alone would give on that day."""
    name, threshold = "shared time zone", doctrine["coordination_explanations.time_zone_ratio"]
    if group.traces != ("fast",):
        return _row(name, None, threshold, False, "the group does not rest on the fast trace alone")
    rows = np.unique(np.concatenate([row for part in evidence for row in part.rows] or [np.empty(0, dtype=np.int64)]))
    if not len(rows):
        return _row(name, None, threshold, False, "no item is shared by enough members to compare hours")
    theirs = np.flatnonzero(np.isin(corpus.account, group.accounts) & corpus.timed)
    width = doctrine["coordination.fast_seconds"] * 1e6
    hours = np.bincount((corpus.time[theirs] % DAY) // HOUR, minlength=24) / len(theirs)
    expected = float(hours @ hours) * min(2 * width / HOUR, 1.0)
    bare = np.array([_bare(label) for label in evidence[0].network.trace.items], dtype=object)
    met, same_day = 0, 0
    for label in sorted({str(bare[column]) for column in evidence[0].columns}):
        at = corpus.time[evidence[0].network.trace.share_document[bare[evidence[0].network.trace.share_item] == label]]
        gaps = np.abs(at[:, None] - at[None, :])[np.triu_indices(len(at), 1)] if len(at) <= 2000 else np.diff(at)
        met, same_day = met + int((gaps <= width).sum()), same_day + int((gaps <= DAY).sum())
    ratio = min(expected / max(met / max(same_day, 1), 1e-12), 1.0)
    return _row(name, ratio, threshold, ratio >= threshold, "meetings expected from common hours of the day, over those observed")


def _row(name: str, statistic: float | None, threshold: float, fits: bool, note: str) -> Row:
    return {"name": name, "statistic": statistic, "threshold": threshold, "fits": bool(fits), "note": note}


def _together(times: Ints, width: int) -> float:
    if not len(times):
        return float("nan")
    return float((np.searchsorted(times, times + width, side="right") - np.arange(len(times))).max() / len(times))


def _bare(label: str) -> str:
    return label.split(":", 2)[2] if label.startswith("fast:") else label


def _is_printed(label: str, press: Press) -> bool:
    kind, _, value = label.partition(":")
    if kind == "url":
        return value in press.urls or _host(value) in press.hosts
    return kind in ("text", "repost") and value in press.texts


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


def _hosts(corpus: Corpus, rows: Ints) -> set[str]:
    """Return the sites that most of these documents point to; a shortener or platform is no site, since everybody publishes there."""
    lists = corpus.table["urls"].take(pa.array(rows)).to_pylist()
    counts: dict[str, int] = {}
    for urls in lists:
        for host in {_host(url) for url in urls or [] if url} - PLATFORMS - {""}:
            counts[host] = counts.get(host, 0) + 1
    return {host for host, count in counts.items() if 2 * count > len(rows)}


def _tags(corpus: Corpus) -> tuple[Ints, pa.Array]:
    column = corpus.table["hashtags"].combine_chunks()
    return pc.list_parent_indices(column).to_numpy(), pc.utf8_lower(pc.utf8_ltrim(pc.list_flatten(column), characters="#＃"))


def _commonest_tag(corpus: Corpus, rows: Ints) -> str:
    parents, tags = _tags(corpus)
    counts = pc.value_counts(tags.filter(pa.array(np.isin(parents, rows)))).to_pylist()
    best = min(((-entry["counts"], entry["values"]) for entry in counts if entry["values"]), default=(0, ""))
    return str(best[1])


def _has_tag(corpus: Corpus, tag: str) -> npt.NDArray[np.bool_]:
    parents, tags = _tags(corpus)
    found = np.zeros(len(corpus.time), dtype=bool)
    found[parents[pc.fill_null(pc.equal(tags, tag), False).to_numpy(zero_copy_only=False)]] = True
    return found
