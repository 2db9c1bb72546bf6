"""Tables of campaigns and of impact: profiles, score vectors and shares."""

from __future__ import annotations

import pyarrow as pa

from greyzone.records.kinds import STRINGS, TIME, schema_of

ITEMS = pa.list_(pa.struct([("text", pa.string()), ("documents", STRINGS)]))

CAMPAIGNS = schema_of(
    campaign_id=pa.string(),
    title=pa.string(),
    target_states=STRINGS,
    window_lo=TIME,
    window_hi=TIME,
    incidents=STRINGS,
    narratives=STRINGS,
    groups=STRINGS,
    links=STRINGS,
    statements=ITEMS,
    gaps=STRINGS,
    alternatives=ITEMS,
    confidence=pa.string(),
    tlp=pa.string(),
    profile=pa.string(),
)
"""Hybrid-campaign profiles. `statements` are the sentences of the profile with the doc_ids (or report ids) behind each;
`profile` is JSON: members, key_judgements, phase, timeline, techniques, hypotheses (ACH), indicators, impact, bridges, attribution, words,
decision. Campaigns may share incidents and narratives."""

CAMPAIGN_LINEAGE = schema_of(
    update=pa.int64(),
    event=pa.string(),
    campaign_id=pa.string(),
    other_id=pa.string(),
    members_before=pa.int64(),
    members_after=pa.int64(),
    shared=pa.int64(),
    overlap=pa.float64(),
)
"""What became of campaigns from one run of the case to the next (`greyzone.campaigns.tracking`). `event` is "born", "split" (from
`other_id`), "continued", "merged" (into `other_id`) or "ended"; members are incidents and narratives. One that nothing happened to has no
row."""

ATTRIBUTIONS = schema_of(
    campaign_id=pa.string(),
    value=pa.string(),
    who=pa.string(),
    day=pa.date32(),
    basis=pa.string(),
    revision=pa.int64(),
)
"""Who a person says is behind a campaign, rows only ever added and only by people (`greyzone campaigns --attribute`)."""

IMPACT = schema_of(
    target_state=pa.string(),
    date=pa.date32(),
    score_p05=pa.float64(),
    score_p50=pa.float64(),
    score_p95=pa.float64(),
    doctrine_p05=pa.float64(),
    doctrine_p95=pa.float64(),
    dose=pa.float64(),
    peak=pa.float64(),
    peak_item=pa.string(),
    peak_words=pa.string(),
    excess=pa.float64(),
    tempo=pa.float64(),
    tempo_p=pa.float64(),
    breadth=pa.float64(),
    hybridity=pa.float64(),
    status=pa.string(),
    coverage=pa.string(),
    doctrine=pa.string(),
    doctrine_hash=pa.string(),
)
"""Score vector of a target state on a date. score_* carry the data's uncertainty, doctrine_* data and doctrine together; `status`
is "ok", "not robust" or "insufficient evidence" (then the scores are null)."""

SHARES = schema_of(
    target_state=pa.string(),
    date=pa.date32(),
    item_id=pa.string(),
    kind=pa.string(),
    share=pa.float64(),
    share_p05=pa.float64(),
    share_p95=pa.float64(),
)
"""Aumann-Shapley shares; those of one state and date sum to the central score. `kind` is "incident" or "narrative"."""

LEDGER = schema_of(
    target_state=pa.string(),
    date=pa.date32(),
    doctrine=pa.string(),
    doctrine_hash=pa.string(),
    own=pa.bool_(),
    q=pa.float64(),
    gamma=pa.float64(),
    d0=pa.float64(),
    score=pa.float64(),
    score_p05=pa.float64(),
    score_p50=pa.float64(),
    score_p95=pa.float64(),
    status=pa.string(),
)
"""The last score of a state under each doctrine that the page offers, with what its closed form needs. `score` is the central score,
`own` marks the case's doctrine. Incidents, narratives and links are those of the case: only the score is made anew."""

DOSES = schema_of(
    target_state=pa.string(),
    date=pa.date32(),
    doctrine=pa.string(),
    item_id=pa.string(),
    kind=pa.string(),
    wave=pa.int64(),
    dose=pa.float64(),
    without_p05=pa.float64(),
    without_p50=pa.float64(),
    without_p95=pa.float64(),
    drop_p05=pa.float64(),
    drop_p50=pa.float64(),
    drop_p95=pa.float64(),
)
"""Dose of each item that has begun, at the expected inputs, with its wave (null for narratives). `without_*` are percentiles over the
draws of the score without the item, `drop_*` those of the score less that."""

COUPLINGS = schema_of(
    target_state=pa.string(),
    date=pa.date32(),
    doctrine=pa.string(),
    incident_id=pa.string(),
    narrative_id=pa.string(),
    weight=pa.float64(),
)
"""Weight h p of each link between items of `DOSES`, where it is not zero."""

VIEWS = schema_of(
    target_state=pa.string(),
    date=pa.date32(),
    view=pa.string(),
    key=pa.string(),
    p=pa.float64(),
    items=pa.int64(),
    score_p05=pa.float64(),
    score_p50=pa.float64(),
    score_p95=pa.float64(),
    status=pa.string(),
    doctrine=pa.string(),
    doctrine_hash=pa.string(),
)
"""The last score seen otherwise. `view` is "same-originator" (incidents that `key`, a state, a name or "unknown", may have begun; `p` over
the keys of a state sums to 1) or "without source" (`key` is a source of incidents, or "documents" for all narratives; `p` is null).
Views are never added to each other nor to the score of all sources. `items` are those that could count."""

SENSITIVITY = schema_of(
    target_state=pa.string(),
    date=pa.date32(),
    parameter=pa.string(),
    low=pa.float64(),
    high=pa.float64(),
    score_low=pa.float64(),
    score_high=pa.float64(),
    swing=pa.float64(),
    s1=pa.float64(),
    st=pa.float64(),
    doctrine=pa.string(),
    doctrine_hash=pa.string(),
)
"""What the last score owes to each number: central scores with the number at `low` and at `high` and all others as they are, and, for the
numbers of the doctrine ensemble and for "data" (then the scores are the 5 and 95 % points), first-order and total Sobol indices."""
