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
`profile` is JSON: phase, timeline, techniques, hypotheses (ACH), indicators."""

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
