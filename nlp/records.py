"""The nouns of greyzone: the Arrow schema of every table, and the small frozen records between stages.

Big things are Arrow tables, small things are frozen dataclasses. Ids are hashes of content, so that the same input gives the
same id on every machine. This module imports nothing of ours but the errors.

All times are UTC. Where a date is coarser than a second, ``*_precision`` says so (one of `PRECISIONS`) and intervals carry it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from greyzone.errors import SchemaError

Floats = npt.NDArray[np.float32]
"""float32 array; rows of embeddings are L2-normalised unless said otherwise."""

PRECISIONS = ("second", "minute", "hour", "day", "month", "year", "unknown")
LINK_TYPES = ("reports", "exploits", "enabled-by", "prepares", "co-occurs")
REACHES = ("local", "sector", "several_sectors", "national")
ENTITY_KINDS = ("organisation", "malware", "cve", "actor", "domain", "url", "hash", "place")

TIME = pa.timestamp("us", tz="UTC")
STRINGS = pa.list_(pa.string())


def _schema(**fields: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in fields.items()])


RAW_DOCUMENTS = _schema(
    text=pa.string(),
    title=pa.string(),
    lang=pa.string(),
    published_at=TIME,
    published_precision=pa.string(),
    account=pa.string(),
    handle=pa.string(),
    outlet=pa.string(),
    platform=pa.string(),
    app=pa.string(),
    post_id=pa.string(),
    url=pa.string(),
    urls=STRINGS,
    hashtags=STRINGS,
    mentions=STRINGS,
    is_repost=pa.bool_(),
    repost_of=pa.string(),
    reply_to=pa.string(),
    collector=pa.string(),
    path=pa.string(),
    offset=pa.int64(),
)
"""What a collector yields: text untouched. `offset` is the 1-based line or row of `path`."""

DOCUMENTS = _schema(
    doc_id=pa.string(),
    text=pa.string(),
    title=pa.string(),
    lang=pa.string(),
    published_at=TIME,
    published_precision=pa.string(),
    account=pa.string(),
    handle=pa.string(),
    outlet=pa.string(),
    platform=pa.string(),
    app=pa.string(),
    post_id=pa.string(),
    url=pa.string(),
    urls=STRINGS,
    hashtags=STRINGS,
    mentions=STRINGS,
    is_repost=pa.bool_(),
    repost_of=pa.string(),
    reply_to=pa.string(),
)
"""One row a distinct document, ordered by (published_at, doc_id), undated ones last. `lang` is ISO 639-1 or "und"; `handle` is the
screen name that the account had at the time (lower case, without @), `app` the client or service that posted."""

LATER = {"documents": ("handle", "app"), "group_members": ("probability", "first", "last")}
"""Columns that a table of an earlier version lacks: they are read as null."""

SOURCES = _schema(doc_id=pa.string(), collector=pa.string(), path=pa.string(), offset=pa.int64())
"""One row an input row that became (part of) a document: rows read = sources + rejects with action "rejected"."""

REJECTS = _schema(kind=pa.string(), action=pa.string(), reason=pa.string(), detail=pa.string(), path=pa.string(), offset=pa.int64())
"""Rows left out ("rejected") or kept with a field mended ("repaired"). `kind` is "document" or "incident"; `reason` is a fixed
phrase that can be counted, `detail` the value met (at most 200 characters)."""

COPIES = _schema(
    doc_id=pa.string(),
    representative=pa.string(),
    kind=pa.string(),
    similarity=pa.float32(),
    differs=pa.string(),
    previous=pa.string(),
    lag_seconds=pa.float64(),
)
"""Documents that repeat an earlier one: `kind` is "exact" (same normal form) or "near", `differs` says in what ("same", "prefix",
"case", "punctuation", "urls", "words": the last that it takes). `previous` is the document just before it in the set of copies by
(published_at, doc_id), whom it may have copied; `lag_seconds` runs from the representative. Both are null for an undated document.
Representatives have no row."""

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

NARRATIVES = _schema(
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
"""`exemplars` are doc_ids, the most central first; `headline` is a sentence of that one, `generated_label` what a language model wrote
(null unless one was asked for), `terms` are the keywords of each language.
`bursts` (null without dates) run from `first` to `last` day, `half_life` counts days from the peak, `first_movers` are the accounts or
outlets that came first, `spread` tells when each language, outlet and platform carried it. `targets` are ISO 3166 states named in the
documents (most named first), `breakout` is P(category 1..6), `parents` ids of the narratives it came from in an earlier run of the
case. `rival_id` is the nearest other narrative, at `rival_distance` (1 - cosine), and `rival_terms` tell the two apart. `theme_id` is
the wider theme that it belongs to and `stories` the number of stories in it (null where no hierarchy was given)."""

MEMBERS = _schema(
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

LINEAGE = _schema(
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

EXPLANATIONS = pa.list_(
    pa.struct(
        [("name", pa.string()), ("statistic", pa.float64()), ("threshold", pa.float64()), ("fits", pa.bool_()), ("note", pa.string())]
    )
)

GROUPS = _schema(
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

GROUP_MEMBERS = _schema(
    group_id=pa.string(),
    account=pa.string(),
    strength=pa.float64(),
    probability=pa.float64(),
    documents=pa.int64(),
    first=TIME,
    last=TIME,
)
"""`strength` is the share of the other members that the account has a kept tie with, `probability` that it belongs to the group; it acted
for the group from `first` to `last` (null without times) in `documents` documents."""

GROUP_WINDOWS = _schema(
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

GROUP_REUSE = _schema(
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

GROUP_LINEAGE = _schema(
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

CARRIERS = _schema(narrative_id=pa.string(), group_id=pa.string(), documents=pa.int64(), share=pa.float64())
"""Documents of a narrative by accounts of a group, and their share of the narrative; a null group stands for all flagged groups."""

EDGES = _schema(
    trace=pa.string(),
    account_a=pa.string(),
    account_b=pa.string(),
    shared=pa.int64(),
    statistic=pa.float64(),
    p=pa.float64(),
    group_id=pa.string(),
)
"""Pairs kept by the null of a trace, inside a group or not (`group_id` null)."""

TRACES = _schema(
    trace=pa.string(),
    supported=pa.bool_(),
    accounts=pa.int64(),
    items=pa.int64(),
    pairs_tested=pa.int64(),
    pairs_kept=pa.int64(),
    note=pa.string(),
)
"""What each trace had to work with; one that the data cannot support says so in `note`."""

ENTITIES = pa.list_(pa.struct([("kind", pa.string()), ("value", pa.string())]))
ACTORS = pa.list_(pa.struct([("name", pa.string()), ("state", pa.string()), ("probability", pa.float64()), ("said_by", pa.string())]))

REPORTS = _schema(
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
"""An incident as one source tells it. `scale` names the severity scale ("eurepoc", "dcid", "ciss", ...) of `scale_code`;
`admiralty` is credibility 1 (confirmed) to 6 (cannot be judged); `flags` names mended fields ("dates swapped"); `extra` is JSON."""

INCIDENTS = _schema(
    incident_id=pa.string(),
    name=pa.string(),
    description=pa.string(),
    onset_lo=TIME,
    onset_hi=TIME,
    onset_precision=pa.string(),
    end_lo=TIME,
    end_hi=TIME,
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
ISO 3166-1 alpha-2 or null."""

MERGES = _schema(report_a=pa.string(), report_b=pa.string(), posterior=pa.float64(), decision=pa.string(), evidence=pa.string())
"""Pairs of reports compared as one event: `decision` is "merged" or "review"."""

LLRS = ("temporal", "entity", "semantic", "geo_sector", "artefact")

LINKS = _schema(
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
    lag_days=pa.float64(),
    calibrated=pa.bool_(),
    shared_entities=STRINGS,
    evidence=STRINGS,
    rivals=pa.list_(pa.struct([("incident_id", pa.string()), ("p", pa.float64())])),
)
"""One row a candidate pair. `type_probabilities` follow `LINK_TYPES`; `evidence` are doc_ids; `rivals` the incidents that lost."""

DECISIONS = _schema(
    **dict.fromkeys(("decision_id", "link_id", "incident_id", "narrative_id", "decision", "type", "note", "who"), pa.string()),
    day=pa.date32(),
    revision=pa.int64(),
)
"""What people decided of links (`greyzone.review`), rows only ever added. `decision` is yes, no or unsure, `revision` counts from 0 per
pair and person."""

ITEMS = pa.list_(pa.struct([("text", pa.string()), ("documents", STRINGS)]))

CAMPAIGNS = _schema(
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

IMPACT = _schema(
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

SHARES = _schema(
    target_state=pa.string(),
    date=pa.date32(),
    item_id=pa.string(),
    kind=pa.string(),
    share=pa.float64(),
    share_p05=pa.float64(),
    share_p95=pa.float64(),
)
"""Aumann-Shapley shares; those of one state and date sum to the central score. `kind` is "incident" or "narrative"."""

TABLES: dict[str, pa.Schema] = {
    "documents": DOCUMENTS,
    "sources": SOURCES,
    "rejects": REJECTS,
    "incident_rejects": REJECTS,
    "copies": COPIES,
    "narratives": NARRATIVES,
    "members": MEMBERS,
    "lineage": LINEAGE,
    "groups": GROUPS,
    "group_members": GROUP_MEMBERS,
    "group_windows": GROUP_WINDOWS,
    "group_reuse": GROUP_REUSE,
    "group_lineage": GROUP_LINEAGE,
    "carriers": CARRIERS,
    "edges": EDGES,
    "traces": TRACES,
    "reports": REPORTS,
    "incidents": INCIDENTS,
    "merges": MERGES,
    "links": LINKS,
    "decisions": DECISIONS,
    "campaigns": CAMPAIGNS,
    "impact": IMPACT,
    "shares": SHARES,
}
"""Every table of a case folder by name."""

GIVEN = ("decisions",)
"""Tables that people fill and no stage writes: without rows until they do."""


def content_id(prefix: str, *parts: object) -> str:
    """Hash `parts` into an id such as ``doc-3f2a…``.

    Parameters
    ----------
    prefix
        What the id names: doc, nar, sto, thm, grp, rep, inc, lnk, cmp.
    parts
        Anything whose ``str`` is its content; None and "" differ.

    Returns
    -------
    str
        The prefix, a hyphen and 24 hexadecimal digits (96 bits of BLAKE2b).
    """
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        encoded = b"\x00" if part is None else b"\x01" + str(part).encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return f"{prefix}-{digest.hexdigest()}"


def empty(schema: pa.Schema) -> pa.Table:
    """Return a table of `schema` without rows."""
    return schema.empty_table()


def table(rows: Sequence[dict[str, object]], schema: pa.Schema) -> pa.Table:
    """Build a table of `schema` from dictionaries; absent keys are null.

    Raises
    ------
    SchemaError
        If a row has a key that the schema has not, or a value of another type.
    """
    names = set(schema.names)
    for row in rows:
        if unknown := set(row) - names:
            raise SchemaError(f"column {sorted(unknown)[0]!r}", f"one of {', '.join(schema.names)}")
    try:
        return pa.Table.from_pylist(list(rows), schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise SchemaError(f"a value that does not fit its column ({error})", "the declared types") from error


def check(found: pa.Table, schema: pa.Schema, name: str) -> pa.Table:
    """Return `found` in the declared column order, or say what is wrong with it.

    Raises
    ------
    SchemaError
        If columns are missing (but those that came `LATER`), unknown or of another type.
    """
    for column in LATER.get(name, ()):
        if column not in found.schema.names:
            found = found.append_column(schema.field(column), pa.nulls(found.num_rows, schema.field(column).type))
    if set(found.schema.names) != set(schema.names):
        missing = sorted(set(schema.names) - set(found.schema.names))
        surplus = sorted(set(found.schema.names) - set(schema.names))
        raise SchemaError(f"table {name} lacks {missing} and has {surplus} besides", "the declared columns")
    ordered = found.select(schema.names)
    for field in schema:
        kind = ordered.schema.field(field.name).type
        if kind != field.type:
            raise SchemaError(f"column {name}.{field.name} of type {kind}", str(field.type))
    return ordered.cast(schema)


@runtime_checkable
class Encoder(Protocol):
    """What every embedding model offers to the journey (`greyzone.models.load_encoder` makes one)."""

    @property
    def fingerprint(self) -> str:
        """Hex digest that changes whenever the same text could get another vector."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        ...

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return (len(texts), dimensions) float32 rows of norm 1; an empty or unknown text gives a zero row."""
        ...


@runtime_checkable
class Labeller(Protocol):
    """What a model offers that puts narratives into words (`greyzone.models.labeller.HubLabeller` is one)."""

    def label(self, exemplars: Sequence[str], keywords: Sequence[str]) -> str:
        """Return one line, or nothing, for a narrative with these texts (the most central first) and keywords (the heaviest first)."""
        ...


@dataclass(frozen=True, slots=True)
class RawBatch:
    """A batch as a collector yields it: `rows` of `RAW_DOCUMENTS` and the `rejects` met on the way."""

    rows: pa.Table
    rejects: pa.Table


@dataclass(frozen=True, slots=True)
class CleanBatch:
    """Cleaned documents with their `sources` and `rejects`."""

    documents: pa.Table
    sources: pa.Table
    rejects: pa.Table


@dataclass(frozen=True, slots=True)
class ReportBatch:
    """Incident reports of one source file and the `rejects` met on the way."""

    reports: pa.Table
    rejects: pa.Table


@dataclass(frozen=True, slots=True)
class Canonical:
    """Canonical `incidents` and the log of `merges`."""

    incidents: pa.Table
    merges: pa.Table


@dataclass(frozen=True, slots=True)
class NarrativeResult:
    """`narratives`, `members`, and `vectors`: (len(narratives), d) float32 unit centroids, row i for narrative i."""

    narratives: pa.Table
    members: pa.Table
    vectors: Floats


@dataclass(frozen=True, slots=True)
class Coordination:
    """`groups` with their members, the kept `edges`, and what each trace had to work with."""

    groups: pa.Table
    group_members: pa.Table
    edges: pa.Table
    traces: pa.Table


@dataclass(frozen=True, slots=True)
class LinkResult:
    """Candidate `links`, and `context`: JSON-able population tests and counts."""

    links: pa.Table
    context: dict[str, object]


@dataclass(frozen=True, slots=True)
class ImpactResult:
    """`impact` vectors and `shares`."""

    impact: pa.Table
    shares: pa.Table
