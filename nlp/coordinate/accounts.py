"""How far each account is from chance, in a group or not: all that its pairs say, paid for the number of pairs and of traces it could have.

A group is a flag, and an account outside all groups is none; but an account with one strong pair is further from chance than one whose
pairs are those that everybody has. In a trace of n accounts an account has n - 1 pairs; those that are not kept count nothing, as p = .5
does. Its evidence is the Cauchy combination (Liu and Xie 2020) over its pairs and then over all supported traces, a family of traces
having one vote divided among its scales, as for groups (`greyzone.coordinate.groups`):

    E_u = mean over traces of sum over kept pairs of tan((1/2 - p_uv) pi) / (n - 1),    p_u = 1/2 - arctan(E_u) / pi.

Colleagues, parties and fans are far from chance too, and no explanation has been tested on an account: this orders accounts for reading and
flags nobody.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greyzone import records
from greyzone.coordinate.traces import family_of

SMALLEST_PAIR = 1e-15
"""Least p of a pair that is combined: the Gamma tail of the pair statistic is an approximation, and the tangent has a pole at 0."""


def account_chances(edges: pa.Table, traces: pa.Table) -> pa.Table:
    """Return how far every account that has a kept pair is from chance.

    Parameters
    ----------
    edges, traces
        `records.EDGES` and `records.TRACES` of one search for groups.

    Returns
    -------
    pyarrow.Table
        `records.ACCOUNTS`, by p, then by account. Accounts without a row have no kept pair: their p is .5, of which nothing follows.

    Raises
    ------
    SchemaError
        If a table has not the declared columns.
    """
    edges, traces = records.check(edges, records.EDGES, "edges"), records.check(traces, records.TRACES, "traces")
    sizes = {row["trace"]: row["accounts"] for row in traces.to_pylist() if row["supported"]}
    scales = Counter(family_of(name) for name in sizes)
    votes = {name: 1 / scales[family_of(name)] for name in sizes}
    ends = pc.unique(pa.chunked_array([edges[side].combine_chunks() for side in ("account_a", "account_b")])).sort()
    a, b = (pc.index_in(edges[side], value_set=ends).to_numpy().astype(np.int64) for side in ("account_a", "account_b"))
    evidence = np.zeros(len(ends))
    shown: list[list[str]] = [[] for _ in range(len(ends))]
    for name, size in sorted(sizes.items()):
        rows = np.flatnonzero(pc.equal(edges["trace"], name).to_numpy())
        p = np.maximum(edges["p"].to_numpy()[rows], SMALLEST_PAIR)
        both = np.r_[a[rows], b[rows]]
        # Sorted before they are added, so that the order of the rows leaves no trace in the last digits.
        strength = np.r_[p, p]
        order = np.lexsort((strength, both))
        strength = np.tan((0.5 - strength[order]) * np.pi) / max(size - 1, 1)
        evidence += votes[name] * np.bincount(both[order], weights=strength, minlength=len(ends))
        for place in np.unique(both).tolist():
            shown[place].append(name)
    # 1/2 - arctan(E)/pi, without losing the digits of a small p.
    p = np.arctan2(sum(votes.values()), evidence) / np.pi
    partners = np.bincount(np.concatenate(np.divmod(np.unique(a * len(ends) + b), max(len(ends), 1))), minlength=len(ends))
    found = [
        {"account": account, "partners": int(partners[place]), "traces": shown[place], "p": float(p[place])}
        for place, account in enumerate(ends.to_pylist())
    ]
    return records.table(sorted(found, key=lambda row: (row["p"], row["account"])), records.ACCOUNTS)
