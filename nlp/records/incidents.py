"""Tables of incidents: reports as sources give them, canonical incidents, and how reports were merged."""

from __future__ import annotations

import pyarrow as pa

from greyzone.records.kinds import STRINGS, TIME, schema_of

ENTITIES = pa.list_(pa.struct([("kind", pa.string()), ("value", pa.string())]))
ACTORS = pa.list_(pa.struct([("name", pa.string()), ("state", pa.string()), ("probability", pa.float64()), ("said_by", pa.string())]))

REPORTS = schema_of(
    report_id=pa.string(),
    source=pa.string(),
    source_id=pa.string(),
    name=pa.string(),
    description=pa.string(),
    onset_lo=TIME,
    onset_hi=TIME,
    onset_precision=pa.string(),
    end_lo=TIME,
    end_hi=TIME,
    disclosed_lo=TIME,
    disclosed_hi=TIME,
    published_at=TIME,
    target_states=STRINGS,
    sectors=STRINGS,
    technique_class=pa.string(),
    actors=ACTORS,
    entities=ENTITIES,
    scale=pa.string(),
    scale_code=pa.string(),
    reach=pa.string(),
    admiralty=pa.int64(),
    information_operation=pa.bool_(),
    urls=STRINGS,
    flags=STRINGS,
    extra=pa.string(),
    path=pa.string(),
    offset=pa.int64(),
)
"""An incident as one source tells it. `disclosed_*` is the interval in which the event became
public, null where the source does not say; `scale` names the severity scale ("eurepoc", "dcid", "ciss", ...) of `scale_code`;
`admiralty` is credibility 1 (confirmed) to 6 (cannot be judged); `flags` names mended fields ("dates swapped"); `extra` is JSON."""

INCIDENTS = schema_of(
    incident_id=pa.string(),
    name=pa.string(),
    names=STRINGS,
    description=pa.string(),
    onset_lo=TIME,
    onset_hi=TIME,
    onset_precision=pa.string(),
    end_lo=TIME,
    end_hi=TIME,
    disclosed_lo=TIME,
    disclosed_hi=TIME,
    again_lo=TIME,
    again_hi=TIME,
    target_state=pa.string(),
    sectors=STRINGS,
    critical=pa.bool_(),
    technique_class=pa.string(),
    actors=ACTORS,
    entities=ENTITIES,
    level_lo=pa.float64(),
    level_mode=pa.float64(),
    level_hi=pa.float64(),
    reach=pa.string(),
    credibility=pa.float64(),
    reports=STRINGS,
    sources=STRINGS,
    flags=STRINGS,
)
"""One row an (event, target state). Levels are on 0..5 with reach NOT yet added; `credibility` is P(real); `target_state` is
ISO 3166-1 alpha-2 or null; `names` are those of all reports, `name` that of the most precisely dated one; `disclosed_*` is the earliest
disclosure over its reports and `again_*` the latest, where it lies wholly after it (null where not)."""

MERGES = schema_of(report_a=pa.string(), report_b=pa.string(), posterior=pa.float64(), decision=pa.string(), evidence=pa.string())
"""Pairs of reports compared as one event: `decision` is "merged" or "review"."""
