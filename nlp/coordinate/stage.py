"""The stage as a whole: from documents or from traces to groups, their members, their edges and what each trace had to work with."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from greyzone import records
from greyzone.coordinate.explanations import Background, Evidence, Row, explain, gather
from greyzone.coordinate.fast import FAMILY, bare_label
from greyzone.coordinate.groups import Group, Network, find_network, merge_groups
from greyzone.coordinate.membership import Membership, settle
from greyzone.coordinate.paraphrases import Paraphrases
from greyzone.coordinate.traces import UNDATED, Corpus, Trace, build_traces, read_corpus
from greyzone.doctrine import Doctrine


def find_groups(
    documents: pa.Table,
    copies: pa.Table,
    *,
    doctrine: Doctrine,
    members: pa.Table | None = None,
    paraphrases: Paraphrases | None = None,
    seed: int = 0,
) -> records.Coordination:
    """Find groups of accounts whose sharing the null model does not explain.

    Parameters
    ----------
    documents
        `records.DOCUMENTS` in any order. A document without account counts for its outlet.
    copies
        `records.COPIES` of these documents.
    doctrine
        Sections ``coordination`` and ``coordination_explanations``.
    members
        `records.MEMBERS`; checked, not needed: groups are found over the whole corpus, since the accounts of one group may push several
        narratives.
    paraphrases
        Texts that reword each other (`find_paraphrases`); without them the trace of paraphrases is not supported.
    seed
        Seed of the draws from the null.

    Returns
    -------
    Coordination
        Groups with q <= ``coordination.fdr``, ordered by q, then by size from the largest, then by id; weaker ones are counted in the notes
        of the traces.

    Raises
    ------
    SchemaError
        If a table has not the declared columns.
    """
    documents = records.check(documents, records.DOCUMENTS, "documents")
    copies = records.check(copies, records.COPIES, "copies")
    if members is not None:
        records.check(members, records.MEMBERS, "members")
    corpus = read_corpus(documents, copies)
    return groups_in_traces(corpus, build_traces(corpus, doctrine, paraphrases=paraphrases), doctrine=doctrine, seed=seed)


def groups_in_traces(corpus: Corpus, traces: list[Trace], *, doctrine: Doctrine, seed: int = 0) -> records.Coordination:
    """Find the groups in traces, whatever these are from; arguments and result are those of `find_groups`."""
    networks = {
        trace.name: find_network(trace, doctrine, np.random.default_rng([seed, place]))
        for place, trace in enumerate(traces)
        if trace.supported
    }
    merged = merge_groups(list(networks.values()), doctrine)
    settled = [settle(group, list(networks.values()), doctrine["coordination.member"]) for group in merged]
    kept = [member for member in settled if member.group.q <= doctrine["coordination.fdr"] and len(member.group.accounts) > 1]
    background = Background(corpus, (group.accounts for network in networks.values() for group in network.groups))
    found, events = [], []
    for membership in kept:
        group = membership.group
        evidence = [gather(networks[name], group, corpus, doctrine) for name in group.traces]
        if _is_event(evidence, int(doctrine["coordination.shared_minimum"])):
            events.append(group)
            continue
        found.append((_group_row(group, evidence, background, doctrine), membership, evidence))
    found.sort(key=lambda entry: (entry[0]["q"], -len(entry[1].group.accounts), entry[0]["group_id"]))
    return records.Coordination(
        records.table([row for row, _, _ in found], records.GROUPS),
        records.table([row for entry in found for row in _member_rows(*entry, corpus)], records.GROUP_MEMBERS),
        _edges(networks, [(str(row["group_id"]), membership.group) for row, membership, _ in found], corpus),
        records.table([_trace_row(trace, networks.get(trace.name), merged, events, doctrine) for trace in traces], records.TRACES),
    )


def _is_event(evidence: list[Evidence], minimum: int) -> bool:
    """Return whether a group rests on windows of fewer items than make a pattern: many windows of one item are still one item."""
    if any(part.network.trace.family != FAMILY for part in evidence):
        return False
    return len({bare_label(label) for part in evidence for label in part.network.trace.items[part.columns]}) < minimum


def _group_row(group: Group, evidence: list[Evidence], background: Background, doctrine: Doctrine) -> Row:
    corpus = background.corpus
    names = [str(name) for name in corpus.names[group.accounts]]
    driving: dict[str, float] = {}
    for part in evidence:
        strength = part.network.weights[part.columns] * part.inside * (part.inside - 1) / 2
        for label, value in zip(part.network.trace.items[part.columns], strength, strict=True):
            # A window of an item is one occasion of it; the item is what they share.
            driving[bare_label(label)] = max(float(value), driving.get(bare_label(label), 0.0))
    rows = _document_rows(evidence)
    times = corpus.time[rows]
    times = times[times != UNDATED]
    window = pa.array([times.min(), times.max()], pa.int64()).cast(records.TIME).to_pylist() if len(times) else [None, None]
    items = sorted(driving, key=lambda label: (-driving[label], label))
    return {
        "group_id": records.content_id("grp", *names, *group.traces),
        "accounts": names,
        "traces": list(group.traces),
        "window_lo": window[0],
        "window_hi": window[1],
        "statistic": float(group.core),
        "p": group.p,
        "q": group.q,
        "items": items,
        "documents": corpus.table["doc_id"].take(pa.array(rows)).to_pylist(),
        "explanations": explain(group, evidence, background, doctrine),
    }


def _document_rows(evidence: list[Evidence]) -> np.ndarray:
    return np.unique(np.concatenate([np.empty(0, dtype=np.int64), *(rows for part in evidence for rows in part.rows)]))


def _member_rows(row: Row, membership: Membership, evidence: list[Evidence], corpus: Corpus) -> list[Row]:
    rows = _document_rows(evidence)
    documents = np.bincount(corpus.account[rows], minlength=len(corpus.names))
    first, last = _acted(rows, corpus)
    return [
        {
            "group_id": row["group_id"],
            "account": str(corpus.names[account]),
            "strength": float(membership.strength[place]),
            "probability": float(membership.probability[place]),
            "documents": int(documents[account]),
            "first": first.get(int(account)),
            "last": last.get(int(account)),
        }
        for place, account in enumerate(membership.group.accounts)
    ]


def _acted(rows: np.ndarray, corpus: Corpus) -> tuple[dict[int, object], dict[int, object]]:
    """Return for every account with a dated document among `rows` when its first one was and its last one."""
    # Rows are in order of time, undated ones at the end.
    rows = rows[corpus.time[rows] != UNDATED]
    times = pa.array(corpus.time[rows]).cast(records.TIME).to_pylist()
    names = corpus.account[rows].tolist()
    return dict(zip(reversed(names), reversed(times), strict=True)), dict(zip(names, times, strict=True))


def _edges(networks: dict[str, Network], groups: list[tuple[str, Group]], corpus: Corpus) -> pa.Table:
    parts = [records.empty(records.EDGES)]
    for name, network in networks.items():
        pairs, accounts = network.pairs, network.trace.accounts
        a, b = accounts[pairs.a], accounts[pairs.b]
        owner = np.full(len(a), None, dtype=object)
        for group_id, group in reversed(groups):
            if name in group.traces:
                owner[np.isin(a, group.accounts) & np.isin(b, group.accounts)] = group_id
        columns = [
            pa.array([name] * len(a), pa.string()),
            pa.array(corpus.names[a], pa.string()),
            pa.array(corpus.names[b], pa.string()),
            pa.array(pairs.shared),
            pa.array(pairs.statistic),
            pa.array(pairs.p),
            pa.array(owner, pa.string()),
        ]
        parts.append(pa.Table.from_arrays(columns, schema=records.EDGES))
    return pa.concat_tables(parts).combine_chunks()


def _trace_row(trace: Trace, network: Network | None, merged: list[Group], events: list[Group], doctrine: Doctrine) -> Row:
    notes = [network.note if network else trace.note]
    weak = [group for group in merged if trace.name in group.traces and group.q > doctrine["coordination.fdr"]]
    if weak:
        taste = sum(group.taste is not None and group.p <= group.taste for group in weak)
        told = (
            f", {taste} of them because common taste explains as much: they come to what they share no sooner than others" if taste else ""
        )
        notes.append(f"groups not listed, above q = {doctrine['coordination.fdr']:g}: {len(weak)}{told}")
    single = sum(trace.name in group.traces for group in events)
    if single:
        notes.append(f"groups not listed, as they share windows of a single item, which is an event and no pattern: {single}")
    return {
        "trace": trace.name,
        "supported": trace.supported,
        "accounts": len(trace.accounts),
        "items": len(trace.items),
        "pairs_tested": network.pairs.tested if network else 0,
        "pairs_kept": len(network.pairs.a) if network else 0,
        "note": "; ".join(filter(None, notes)),
    }
