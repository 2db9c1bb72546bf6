"""Tables of links: candidate pairs with their evidence, and what people decided of them."""

from __future__ import annotations

import pyarrow as pa

from greyzone.records.kinds import STRINGS, schema_of

LLRS = ("temporal", "entity", "semantic", "geo_sector", "artefact")

LINKS = schema_of(
    link_id=pa.string(),
    incident_id=pa.string(),
    narrative_id=pa.string(),
    type=pa.string(),
    type_probabilities=pa.list_(pa.float64()),
    llr_temporal=pa.float64(),
    llr_entity=pa.float64(),
    llr_semantic=pa.float64(),
    llr_geo_sector=pa.float64(),
    llr_artefact=pa.float64(),
    log_odds=pa.float64(),
    p=pa.float64(),
    p_lo=pa.float64(),
    p_hi=pa.float64(),
    q=pa.float64(),
    placebo_precision=pa.float64(),
    anchor=pa.string(),
    lag_days=pa.float64(),
    calibrated=pa.bool_(),
    shared_entities=STRINGS,
    evidence=STRINGS,
    evidence_reasons=STRINGS,
    rivals=pa.list_(pa.struct([("incident_id", pa.string()), ("p", pa.float64())])),
    rival_reasons=pa.list_(pa.struct([("log_odds", pa.float64()), ("kind", pa.string()), ("nats", pa.float64())])),
)
"""One row a candidate pair. `type_probabilities` follow `LINK_TYPES`; `anchor` is the date of the incident that the time of the narrative
fits best ("onset", "end", "disclosure" or "later disclosure"), from whose middle `lag_days` counts; `evidence` are doc_ids and
`evidence_reasons` why each was chosen ("entity", "time" or "exemplar"); `rivals` are the likeliest other incidents, and `rival_reasons`
their log-odds, the kind of evidence that decides most between the two and by how many nats (positive: for this link)."""

DECISIONS = schema_of(
    **dict.fromkeys(("decision_id", "link_id", "incident_id", "narrative_id", "decision", "type", "note", "who"), pa.string()),
    day=pa.date32(),
    revision=pa.int64(),
)
"""What people decided of links (`greyzone.review`), rows only ever added. `decision` is yes, no or unsure, `revision` counts from 0 per
pair and person."""
