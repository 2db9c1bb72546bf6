"""Groups in a table of shares: who shared what when, without any text, as users of CooRTweet and of the QUT coordination toolkit have it.

A share is a row: an account, an item, the kind of the item, a time, a post. Every kind is a trace of its own (co-url, co-hashtag, co-item
where nothing is said), and the timed traces come from all kinds together, as in a case: tests, groups and alternative explanations are the
same (`greyzone.coordinate.stage`). Rows of one account and one post are one act there; without posts every row is one.
`compare_rules` puts the rules of the literature beside, `compare_rules_in_documents` does for a case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greyzone import records
from greyzone.coordinate.baselines import RULES, RuleResult
from greyzone.coordinate.bicm import Ints
from greyzone.coordinate.explanations import flagged
from greyzone.coordinate.stage import groups_in_traces
from greyzone.coordinate.traces import FIRST, UNDATED, Corpus, Labels, Mask, Trace, content_shares, read_corpus, traces_of
from greyzone.coordinate.traces.incidence import Coded, is_shared
from greyzone.doctrine import Doctrine
from greyzone.errors import InputError

SHARE_ROWS = pa.schema(
    [
        ("account", pa.string()),
        ("kind", pa.string()),
        ("item", pa.string()),
        ("time", records.TIME),
        ("precision", pa.string()),
        ("post", pa.string()),
    ]
)
"""A table of shares. `precision` says how exactly the source gave the time (`records.PRECISIONS`); `post` may be null."""
KIND = "item"
"""Kind of items of which nothing is said."""
OURS = "greyzone"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What our test and the rules of the literature say of the same shares.

    Parameters
    ----------
    accounts
        (accounts,) object, names ascending.
    found
        Our groups.
    flagged
        By rule, ours first: (accounts,) bool. Ours flags members of groups that no tested alternative accounts for.
    grouped
        (accounts,) bool: members of any group of ours, explained or not.
    rules
        The rules of the literature in full, edges as rows of `accounts`.
    """

    accounts: Labels
    found: records.Coordination
    flagged: dict[str, Mask]
    grouped: Mask
    rules: tuple[RuleResult, ...]

    def rows(self) -> list[dict[str, object]]:
        """Return one row a rule: what it flags, how that overlaps with ours, and what is known about its errors."""
        ours = self.flagged[OURS]
        first: dict[str, object] = {
            "rule": OURS,
            "flagged": int(ours.sum()),
            "explained": int((self.grouped & ~ours).sum()),
            "edges": self.found.edges.num_rows,
            "shared_with_ours": int(ours.sum()),
            "error_control": "false discovery rate over groups",
            "note": f"{self.found.groups.num_rows} groups",
        }
        return [first, *(_told(rule, ours) for rule in self.rules)]


def share_rows(
    accounts: Sequence[str | None],
    items: Sequence[str | None],
    times: Sequence[int] | None = None,
    *,
    kinds: Sequence[str] | None = None,
    posts: Sequence[str | None] | None = None,
) -> pa.Table:
    """Make a table of shares from columns in memory.

    Parameters
    ----------
    accounts, items
        Names, one entry a share.
    times
        Microseconds since 1970, `UNDATED` where not known; None if there are none.
    kinds
        Kind of every item, `KIND` if not given.
    posts
        Names of posts; None if every share is an act of its own.

    Returns
    -------
    pyarrow.Table
        `SHARE_ROWS`.

    Raises
    ------
    InputError
        If the columns differ in length.
    """
    columns = [column for column in (accounts, items, times, kinds, posts) if column is not None]
    if len({len(column) for column in columns}) > 1:
        raise InputError(f"columns of {sorted({len(column) for column in columns})} shares", "columns of one length")
    count = len(accounts)
    moments = np.full(count, UNDATED) if times is None else np.asarray(times, dtype=np.int64)
    dated = moments != UNDATED
    return pa.table(
        [
            pa.array(accounts, pa.string()),
            pa.array([KIND] * count if kinds is None else kinds, pa.string()),
            pa.array(items, pa.string()),
            pa.array(moments, pa.int64(), mask=~dated).cast(records.TIME),
            pa.array(np.where(dated, "second", "unknown").astype(object), pa.string()),
            pa.nulls(count, pa.string()) if posts is None else pa.array(posts, pa.string()),
        ],
        schema=SHARE_ROWS,
    )


def find_groups_in_shares(rows: pa.Table, *, doctrine: Doctrine, seed: int = 0) -> records.Coordination:
    """Find groups of accounts whose sharing the null model does not explain.

    Parameters
    ----------
    rows
        `SHARE_ROWS` in any order.
    doctrine
        Sections ``coordination`` and ``coordination_explanations``.
    seed
        Seed of the draws from the null.

    Returns
    -------
    Coordination
        As `greyzone.coordinate.find_groups` returns it. `documents` of a group are posts (with their account before them where two accounts
        have posts of one name), or numbers of shares in the order of time, account, kind, item.

    Raises
    ------
    InputError
        If a column is missing or of another type, or no row has an account and an item.
    """
    rows = _checked(rows)
    corpus, row = _corpus(rows)
    traces = _traces(rows, corpus, row, doctrine)
    return groups_in_traces(corpus, traces, doctrine=doctrine, seed=seed)


def compare_rules(rows: pa.Table, *, doctrine: Doctrine, seed: int = 0) -> Comparison:
    """Let our test and the rules of the literature judge the same shares; arguments and errors are those of `find_groups_in_shares`.

    The rules know one kind of item only: items of different kinds are different items to them.
    """
    found = find_groups_in_shares(rows, doctrine=doctrine, seed=seed)
    rows = _checked(rows)
    rows = rows.filter(pc.is_valid(rows["account"]))
    names, account = _coded(rows["account"])
    _, item = _coded(_labels(rows))
    time = pc.fill_null(rows["time"].cast(pa.int64()), UNDATED).to_numpy()
    return _judged(found, names, (account, item, time), doctrine)


def compare_rules_in_documents(documents: pa.Table, copies: pa.Table, found: records.Coordination, *, doctrine: Doctrine) -> Comparison:
    """Let the rules of the literature judge the documents of a case beside the groups that were found in them.

    Parameters
    ----------
    documents, copies
        Tables of `records`.
    found
        What `greyzone.coordinate.find_groups` said of them.
    doctrine
        Section ``coordination_rules`` and the minima of the traces.

    Returns
    -------
    Comparison
        The rules see what the timed traces see: reposts, texts with their copies, addresses and runs of hashtags, as items of one kind.
    """
    corpus = read_corpus(documents, copies)
    given = content_shares(corpus, doctrine)
    shares = [given[kind] for kind in FIRST]
    rows = np.concatenate([part.rows for part in shares])
    _, item = _coded(pa.chunked_array([part.label.cast(pa.string()) for part in shares]))
    # A text that nobody repeats is in its trace as activity only; the rules would count it as a share.
    told = [
        is_shared(corpus, Coded.of(part)) if kind == "co-text" else np.ones(len(part.rows), bool)
        for kind, part in zip(FIRST, shares, strict=True)
    ]
    known = (corpus.account[rows] >= 0) & np.concatenate(told)
    rows, item = rows[known], item[known]
    return _judged(found, corpus.names, (corpus.account[rows], item, corpus.time[rows]), doctrine)


def _judged(found: records.Coordination, names: Labels, shares: tuple[Ints, Ints, Ints], doctrine: Doctrine) -> Comparison:
    rules = tuple(rule(*shares, doctrine=doctrine) for rule in RULES.values())
    groups = found.groups.select(["accounts"])
    ours = _are_in(names, groups.filter(flagged(found.groups)))
    sizes = [len(names) - len(rule.flagged) for rule in rules]
    by_rule = {OURS: ours} | {rule.rule: np.pad(rule.flagged, (0, size)) for rule, size in zip(rules, sizes, strict=True)}
    return Comparison(names, found, by_rule, _are_in(names, groups), rules)


def _told(rule: RuleResult, ours: Mask) -> dict[str, object]:
    return {
        "rule": rule.rule,
        "flagged": int(rule.flagged.sum()),
        "explained": None,
        "edges": len(rule.a),
        "shared_with_ours": int((rule.flagged & ours[: len(rule.flagged)]).sum()),
        "error_control": rule.error_control,
        "note": rule.note,
    }


def _checked(rows: pa.Table) -> pa.Table:
    """Return the rows that have an item, in canonical order."""
    if rows.schema.names != SHARE_ROWS.names or rows.schema.types != SHARE_ROWS.types:
        raise InputError(f"shares with the columns {rows.schema.names}", f"{SHARE_ROWS.names}", "make them with share_rows or read_shares")
    kept = rows.filter(pc.and_kleene(pc.is_valid(rows["item"]), pc.not_equal(rows["item"], "")))
    if not pc.any(pc.is_valid(kept["account"])).as_py():
        raise InputError(f"{rows.num_rows} shares, none with an account and an item", "shares with both", "name the right columns")
    order = [(name, "ascending") for name in ("time", "account", "kind", "item", "post", "precision")]
    return kept.sort_by(order).combine_chunks()


def _corpus(rows: pa.Table) -> tuple[Corpus, Ints]:
    """Return the posts as documents, and which document each row belongs to, (rows,) int64."""
    number = pa.array([f"share {place:09d}" for place in range(1, rows.num_rows + 1)], pa.string())
    posts = rows["post"].combine_chunks()
    if posts.null_count < len(posts):
        both = pc.binary_join_element_wise(rows["account"].combine_chunks(), posts, "/", null_handling="replace", null_replacement="")
        owners = pa.table({"post": posts, "both": both}).group_by("post").aggregate([("both", "count_distinct")])
        names = both if pc.max(owners["both_count_distinct"]).as_py() > 1 else posts
        number = pc.if_else(pc.is_valid(posts), names, number)
    number = pa.array(number, pa.string()) if isinstance(number, pa.ChunkedArray) else number
    encoded = number.dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    # Rows are in order of time, so the first row of a post has its earliest time.
    _, first = np.unique(codes, return_index=True)
    chosen = rows.take(pa.array(first))
    known = {"doc_id": encoded.dictionary, "account": chosen["account"], "published_at": chosen["time"]}
    known["published_precision"] = chosen["precision"]
    # The alternative explanations ask what a post says: its items, and its hashtags among them.
    known["urls"] = _lists(codes, _labels(rows), len(first))
    tags = pc.starts_with(rows["kind"].combine_chunks(), "hashtag")
    known["hashtags"] = _lists(codes[tags.to_numpy(zero_copy_only=False)], rows["item"].combine_chunks().filter(tags), len(first))
    columns = [known.get(field.name, pa.nulls(len(first), field.type)) for field in records.DOCUMENTS]
    corpus = read_corpus(pa.table(columns, schema=records.DOCUMENTS), records.empty(records.COPIES))
    place = pc.index_in(encoded.dictionary, value_set=corpus.table["doc_id"].combine_chunks()).to_numpy()
    return corpus, place.astype(np.int64)[codes]


def _lists(owner: Ints, values: pa.Array, count: int) -> pa.Array:
    """Return the values of each of `count` owners as lists, in the order that they have."""
    order = np.argsort(owner, kind="stable")
    offsets = np.searchsorted(owner[order], np.arange(count + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values.take(pa.array(order)))


def _traces(rows: pa.Table, corpus: Corpus, row: Ints, doctrine: Doctrine) -> list[Trace]:
    labels, kinds = _labels(rows), rows["kind"].combine_chunks()
    shares = {}
    for kind in sorted(pc.unique(kinds).to_pylist()):
        own = pc.equal(kinds, kind)
        place = row[own.to_numpy(zero_copy_only=False)]
        order = np.argsort(place, kind="stable")
        shares[f"co-{kind}"] = place[order], labels.filter(own).take(pa.array(order)), f"no shares of kind {kind}"
    found = traces_of(corpus, shares, list(shares), doctrine)
    undated = int((corpus.time == UNDATED).sum())
    if not undated:
        return found
    told = f"{undated} of {len(corpus.time)} posts without a time"
    return [trace if trace.seconds is None else replace(trace, note="; ".join(filter(None, [trace.note, told]))) for trace in found]


def _labels(rows: pa.Table) -> pa.Array:
    return pc.binary_join_element_wise(rows["kind"], rows["item"], ":").combine_chunks()


def _coded(values: pa.Array | pa.ChunkedArray) -> tuple[Labels, Ints]:
    """Return the distinct values ascending and the place of each value among them, (values,) int64."""
    plain = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    distinct = pc.unique(plain).sort()
    codes = pc.index_in(plain, value_set=distinct).to_numpy(zero_copy_only=False).astype(np.int64)
    return distinct.to_numpy(zero_copy_only=False), codes


def _are_in(names: Labels, groups: pa.Table) -> Mask:
    members = pc.unique(pc.list_flatten(groups["accounts"].combine_chunks()))
    return np.asarray(pc.is_in(pa.array(names, pa.string()), value_set=members).to_numpy(zero_copy_only=False))
