"""The nouns of greyzone: the Arrow schema of every table, and the small frozen records between stages.

Big things are Arrow tables, small things are frozen dataclasses. Ids are hashes of content, so that the same input gives the
same id on every machine. This module imports nothing of ours but the errors.

All times are UTC. Where a date is coarser than a second, ``*_precision`` says so (one of `PRECISIONS`) and intervals carry it.
"""

from __future__ import annotations

from greyzone.records.batches import (
    Canonical,
    CleanBatch,
    Coordination,
    Encoder,
    Floats,
    ImpactResult,
    Labeller,
    LinkResult,
    NarrativeResult,
    RawBatch,
    ReportBatch,
)
from greyzone.records.campaigns import (
    ATTRIBUTIONS,
    CAMPAIGN_LINEAGE,
    CAMPAIGNS,
    COUPLINGS,
    DOSES,
    IMPACT,
    ITEMS,
    LEDGER,
    SENSITIVITY,
    SHARES,
    VIEWS,
)
from greyzone.records.coordination import (
    ACCOUNTS,
    CARRIERS,
    EDGES,
    EXPLANATIONS,
    GROUP_LINEAGE,
    GROUP_MEMBERS,
    GROUP_REUSE,
    GROUP_WINDOWS,
    GROUPS,
    TRACES,
)
from greyzone.records.documents import COPIES, DOCUMENTS, RAW_DOCUMENTS, REJECTS, SOURCES
from greyzone.records.incidents import ACTORS, ENTITIES, INCIDENTS, MERGES, REPORTS
from greyzone.records.kinds import ENTITY_KINDS, LINK_TYPES, PRECISIONS, REACHES, STRINGS, TIME
from greyzone.records.links import DECISIONS, LINKS, LLRS
from greyzone.records.narratives import BURSTS, FIRST_MOVERS, LANGUAGE_TERMS, LINEAGE, MEMBERS, NARRATIVES, SPREAD, VOLUME
from greyzone.records.tables import GIVEN, LATER, TABLES, check, content_id, empty, table

__all__ = [
    "ACCOUNTS",
    "ACTORS",
    "ATTRIBUTIONS",
    "BURSTS",
    "CAMPAIGNS",
    "CAMPAIGN_LINEAGE",
    "CARRIERS",
    "COPIES",
    "COUPLINGS",
    "DECISIONS",
    "DOCUMENTS",
    "DOSES",
    "EDGES",
    "ENTITIES",
    "ENTITY_KINDS",
    "EXPLANATIONS",
    "FIRST_MOVERS",
    "GIVEN",
    "GROUPS",
    "GROUP_LINEAGE",
    "GROUP_MEMBERS",
    "GROUP_REUSE",
    "GROUP_WINDOWS",
    "IMPACT",
    "INCIDENTS",
    "ITEMS",
    "LANGUAGE_TERMS",
    "LATER",
    "LEDGER",
    "LINEAGE",
    "LINKS",
    "LINK_TYPES",
    "LLRS",
    "MEMBERS",
    "MERGES",
    "NARRATIVES",
    "PRECISIONS",
    "RAW_DOCUMENTS",
    "REACHES",
    "REJECTS",
    "REPORTS",
    "SENSITIVITY",
    "SHARES",
    "SOURCES",
    "SPREAD",
    "STRINGS",
    "TABLES",
    "TIME",
    "TRACES",
    "VIEWS",
    "VOLUME",
    "Canonical",
    "CleanBatch",
    "Coordination",
    "Encoder",
    "Floats",
    "ImpactResult",
    "Labeller",
    "LinkResult",
    "NarrativeResult",
    "RawBatch",
    "ReportBatch",
    "check",
    "content_id",
    "empty",
    "table",
]
