"""Every table by name, and what is done with tables and ids alike."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pyarrow as pa

from greyzone.errors import SchemaError
from greyzone.records.campaigns import (
    ATTRIBUTIONS,
    CAMPAIGN_LINEAGE,
    CAMPAIGNS,
    COUPLINGS,
    DOSES,
    IMPACT,
    LEDGER,
    SENSITIVITY,
    SHARES,
    VIEWS,
)
from greyzone.records.coordination import (
    ACCOUNTS,
    CARRIERS,
    EDGES,
    GROUP_LINEAGE,
    GROUP_MEMBERS,
    GROUP_REUSE,
    GROUP_WINDOWS,
    GROUPS,
    TRACES,
)
from greyzone.records.documents import COPIES, DOCUMENTS, REJECTS, SOURCES
from greyzone.records.incidents import INCIDENTS, MERGES, REPORTS
from greyzone.records.links import DECISIONS, LINKS
from greyzone.records.narratives import LINEAGE, MEMBERS, NARRATIVES

_DISCLOSED = ("disclosed_lo", "disclosed_hi")
LATER = {
    "documents": ("handle", "app"),
    "group_members": ("probability", "first", "last"),
    "links": ("anchor", "evidence_reasons", "rival_reasons"),
    "reports": _DISCLOSED,
    "incidents": (*_DISCLOSED, "names", "again_lo", "again_hi"),
}
"""Columns that a table of an earlier version lacks: they are read as null."""

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
    "accounts": ACCOUNTS,
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
    "campaign_lineage": CAMPAIGN_LINEAGE,
    "attributions": ATTRIBUTIONS,
    "impact": IMPACT,
    "shares": SHARES,
    "ledger": LEDGER,
    "doses": DOSES,
    "couplings": COUPLINGS,
    "views": VIEWS,
    "sensitivity": SENSITIVITY,
}
"""Every table of a case folder by name."""

GIVEN = ("decisions", "attributions")
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
