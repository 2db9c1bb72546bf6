"""The words and column types that several tables share."""

from __future__ import annotations

import pyarrow as pa

PRECISIONS = ("second", "minute", "hour", "day", "month", "year", "unknown")
LINK_TYPES = ("reports", "exploits", "enabled-by", "prepares", "co-occurs")
REACHES = ("local", "sector", "several_sectors", "national")
ENTITY_KINDS = ("organisation", "malware", "cve", "actor", "domain", "url", "hash", "place")

TIME = pa.timestamp("us", tz="UTC")
STRINGS = pa.list_(pa.string())


def schema_of(**fields: pa.DataType) -> pa.Schema:
    """Return the schema of columns by name, in the order given."""
    return pa.schema([pa.field(name, kind) for name, kind in fields.items()])
