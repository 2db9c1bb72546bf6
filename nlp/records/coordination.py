"""Tables of coordination: groups of accounts, when they act, what they carry, and the traces they rest on."""

from __future__ import annotations

import pyarrow as pa

from greyzone.records.kinds import STRINGS, TIME, schema_of

EXPLANATIONS = pa.list_(
    pa.struct(
        [("name", pa.string()), ("statistic", pa.float64()), ("threshold", pa.float64()), ("fits", pa.bool_()), ("note", pa.string())]
    )
)

GROUPS = schema_of(
    group_id=pa.string(),
    accounts=STRINGS,
    traces=STRINGS,
    window_lo=TIME,
    window_hi=TIME,
    statistic=pa.float64(),
    p=pa.float64(),
    q=pa.float64(),
    items=STRINGS,
    documents=STRINGS,
    explanations=EXPLANATIONS,
)
"""Accounts whose shared behaviour chance does not explain. `statistic` is the k of the core, `items` what they share,
`documents` the doc_ids that show it; every alternative explanation that was tested is listed, fitting or not."""

GROUP_MEMBERS = schema_of(
    group_id=pa.string(),
    account=pa.string(),
    strength=pa.float64(),
    probability=pa.float64(),
    documents=pa.int64(),
    first=TIME,
    last=TIME,
)
"""One row an account of a group. `strength` is the share of the other members that the account has a kept tie with, `probability` that
it belongs to the group; it acted for the group from `first` to `last` (null without times) in `documents` documents."""

ACCOUNTS = schema_of(account=pa.string(), partners=pa.int64(), traces=STRINGS, p=pa.float64())
"""How far an account is from chance by the pairs that it is in, within groups or not: `partners` is the number of accounts that it has a
kept pair with in any trace, `traces` those in which, `p` what they say together (`greyzone.coordinate.account_chances`). It is never a
flag: no alternative explanation is tested on an account, and colleagues are far from chance too."""

GROUP_WINDOWS = schema_of(
    group_id=pa.string(),
    window_start=TIME,
    window_end=TIME,
    accounts=pa.int64(),
    acting=pa.int64(),
    documents=pa.int64(),
    evidence=pa.int64(),
    narratives=STRINGS,
    state=pa.string(),
)
"""A group in windows of equal length from its first document to the end of the corpus: `accounts` of its members posted `documents` of
any kind, `acting` of them the `evidence` that shows the group; `narratives` are those that they posted in, the most documents first.
`state` is "active", "present" or "dormant" (`greyzone.coordinate.tracking`), or "undated" for the documents without a time."""

GROUP_REUSE = schema_of(
    group_id=pa.string(),
    account=pa.string(),
    narrative_id=pa.string(),
    first=TIME,
    last=TIME,
    documents=pa.int64(),
    silent_days=pa.float64(),
    turn=pa.int64(),
)
"""What accounts of a group were used for: one row a narrative, `turn` 0 for the account's first one. `silent_days` is how long the account
had posted nothing at all when it turned to the narrative (null if it had not posted before)."""

GROUP_LINEAGE = schema_of(
    update=pa.int64(),
    event=pa.string(),
    group_id=pa.string(),
    other_id=pa.string(),
    accounts_before=pa.int64(),
    accounts_after=pa.int64(),
    shared=pa.int64(),
    overlap=pa.float64(),
)
"""What became of groups from one run of the case to the next, as `LINEAGE` for narratives, with accounts in place of documents."""

CARRIERS = schema_of(narrative_id=pa.string(), group_id=pa.string(), documents=pa.int64(), share=pa.float64())
"""Documents of a narrative by accounts of a group, and their share of the narrative; a null group stands for all flagged groups."""

EDGES = schema_of(
    trace=pa.string(),
    account_a=pa.string(),
    account_b=pa.string(),
    shared=pa.int64(),
    statistic=pa.float64(),
    p=pa.float64(),
    group_id=pa.string(),
)
"""Pairs kept by the null of a trace, inside a group or not (`group_id` null)."""

TRACES = schema_of(
    trace=pa.string(),
    supported=pa.bool_(),
    accounts=pa.int64(),
    items=pa.int64(),
    pairs_tested=pa.int64(),
    pairs_kept=pa.int64(),
    note=pa.string(),
)
"""What each trace had to work with; one that the data cannot support says so in `note`."""
