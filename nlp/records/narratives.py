"""Tables of narratives: their course, members and lineage."""

from __future__ import annotations

import pyarrow as pa

from greyzone.records.kinds import STRINGS, TIME, schema_of

VOLUME = pa.list_(pa.struct([("day", pa.date32()), ("documents", pa.int64())]))
BURSTS = pa.list_(pa.struct([("first", pa.date32()), ("last", pa.date32()), ("documents", pa.int64()), ("weight", pa.float64())]))
LANGUAGE_TERMS = pa.list_(pa.struct([("lang", pa.string()), ("terms", STRINGS)]))
FIRST_MOVERS = pa.list_(
    pa.struct([("kind", pa.string()), ("name", pa.string()), ("doc_id", pa.string()), ("at_lo", TIME), ("at_hi", TIME)])
)
SPREAD = pa.list_(
    pa.struct(
        [("kind", pa.string()), ("name", pa.string()), ("documents", pa.int64()), ("first_seen", TIME), ("last_seen", TIME)],
    )
)

NARRATIVES = schema_of(
    narrative_id=pa.string(),
    label=pa.string(),
    headline=pa.string(),
    generated_label=pa.string(),
    keywords=STRINGS,
    terms=LANGUAGE_TERMS,
    exemplars=STRINGS,
    size=pa.int64(),
    distinct_texts=pa.int64(),
    accounts=pa.int64(),
    outlets=pa.int64(),
    platforms=STRINGS,
    languages=STRINGS,
    onset_lo=TIME,
    onset_hi=TIME,
    last_seen=TIME,
    peak_day=pa.date32(),
    volume=VOLUME,
    bursts=BURSTS,
    half_life=pa.float64(),
    first_movers=FIRST_MOVERS,
    spread=SPREAD,
    targets=STRINGS,
    breakout=pa.list_(pa.float64()),
    parents=STRINGS,
    rival_id=pa.string(),
    rival_distance=pa.float32(),
    rival_terms=STRINGS,
    theme_id=pa.string(),
    stories=pa.int64(),
)
"""One row a narrative. `exemplars` are doc_ids, the most central first; `headline` is a sentence of that one, `generated_label` what a
language model wrote (null unless one was asked for), `terms` are the keywords of each language.
`bursts` (null without dates) run from `first` to `last` day, `half_life` counts days from the peak, `first_movers` are the accounts or
outlets that came first, `spread` tells when each language, outlet and platform carried it. `targets` are ISO 3166 states named in the
documents (most named first), `breakout` is P(category 1..6), `parents` ids of the narratives it came from in an earlier run of the
case. `rival_id` is the nearest other narrative, at `rival_distance` (1 - cosine), and `rival_terms` tell the two apart. `theme_id` is
the wider theme that it belongs to and `stories` the number of stories in it (null where no hierarchy was given)."""

MEMBERS = schema_of(
    doc_id=pa.string(),
    narrative_id=pa.string(),
    probability=pa.float32(),
    nearest_id=pa.string(),
    distance=pa.float32(),
    second_id=pa.string(),
    second_distance=pa.float32(),
    exemplar=pa.string(),
    exemplar_distance=pa.float32(),
    story_id=pa.string(),
    echo_of=pa.string(),
)
"""One row a document. `narrative_id` is null for noise; `nearest_id` is then the nearest narrative. Distances are 1 - cosine to
the centroids of `nearest_id` and `second_id`; `exemplar` is the exemplar of `nearest_id` that the document is most like, at
`exemplar_distance`. `story_id` is the story inside the narrative, `echo_of` the document that this one (or the one it copies) nearly
repeats in meaning; null where there is none."""

LINEAGE = schema_of(
    update=pa.int64(),
    event=pa.string(),
    narrative_id=pa.string(),
    other_id=pa.string(),
    documents_before=pa.int64(),
    documents_after=pa.int64(),
    shared=pa.int64(),
    overlap=pa.float64(),
)
"""What became of narratives from one clustering of the case to the next (`update` counts them from 0); `greyzone.lineage` has the
rules. `event` is "birth", "growth", "survival", "split" (from `other_id`), "merge" (into `other_id`) or "death"; documents before
are those of the older of the two narratives, after those of the younger. A narrative that nothing happened to has no row."""
