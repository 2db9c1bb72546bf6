"""The coordination network as GraphML, for Gephi, igraph, networkx and the like (graphml.graphdrawing.org, version 1.0).

A node is an account with the groups it belongs to; an edge is a pair that a trace keeps, with every number that the case has of it, so a
pair that several traces keep has several edges. The file is written node by node and edge by edge, in an order that does not depend on
that of the tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from io import TextIOBase
from typing import Any, TextIO, cast
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

import pyarrow as pa

from greyzone.errors import InputError
from greyzone.records import EDGES, GROUP_MEMBERS, GROUPS, check
from greyzone.words import pseudonym

NAMESPACE = "http://graphml.graphdrawing.org/xmlns"
TYPES = {pa.string(): "string", pa.int64(): "long", pa.float64(): "double", pa.bool_(): "boolean"}
"""GraphML's names for the types of our columns; others are written as text."""
NODE_KEYS = ("account", "group", "groups", "explained_by", "probability", "strength", "documents")
"""Attributes of a node. `group` is the first of its `groups` by q and size, `explained_by` the alternatives that fit that group."""
NODE_TYPES = {"probability": "double", "strength": "double", "documents": "long"}
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not know."""

Row = dict[str, Any]


def write_graphml(tables: Mapping[str, pa.Table], stream: TextIO, *, handles: bool = False) -> tuple[int, int]:
    """Write the network to an open text file.

    Parameters
    ----------
    tables
        ``groups``, ``group_members`` and ``edges`` as the stage `coordinate` makes them.
    handles
        Whether accounts keep their names; hashed names otherwise.

    Returns
    -------
    tuple
        Nodes and edges written.

    Raises
    ------
    InputError
        If a table is missing or has not its declared columns.
    """
    for name in ("groups", "group_members", "edges"):
        if name not in tables:
            raise InputError(f"no table {name}", "groups, group_members and edges", "run the stage coordinate first")
    groups = check(tables["groups"], GROUPS, "groups").select(["group_id", "explanations"]).to_pylist()
    members = check(tables["group_members"], GROUP_MEMBERS, "group_members")
    edges = check(tables["edges"], EDGES, "edges")
    rename: Callable[[str], str] = str if handles else pseudonym
    nodes = _nodes(groups, members.to_pylist(), edges)
    place = {account: number for number, account in enumerate(nodes)}
    xml = _Writer(stream)
    xml.start("graphml", xmlns=NAMESPACE)
    for name in NODE_KEYS:
        xml.empty("key", **{"id": f"n_{name}", "for": "node", "attr.name": name, "attr.type": NODE_TYPES.get(name, "string")})
    told = [field for field in EDGES if field.name not in {"account_a", "account_b"}]
    for field in told:
        xml.empty("key", **{"id": f"e_{field.name}", "for": "edge", "attr.name": field.name, "attr.type": TYPES.get(field.type, "string")})
    xml.start("graph", id="coordination", edgedefault="undirected")
    for account, node in nodes.items():
        xml.start("node", id=f"n{place[account]}")
        xml.data("n_", {"account": rename(account)} | node)
        xml.end("node")
    ordered = edges.sort_by([(name, "ascending") for name in ("trace", "account_a", "account_b")])
    number = 0
    for batch in ordered.to_batches():
        for row in batch.to_pylist():
            source, target = place[row["account_a"]], place[row["account_b"]]
            xml.start("edge", id=f"e{number}", source=f"n{source}", target=f"n{target}")
            xml.data("e_", {field.name: row[field.name] for field in told})
            xml.end("edge")
            number += 1
    xml.end("graph")
    xml.end("graphml")
    xml.finish()
    return len(nodes), number


def renamed_edges(edges: pa.Table, *, handles: bool = False) -> pa.Table:
    """Return the edges with every number, accounts under hashed names unless handles are asked for."""
    edges = check(edges, EDGES, "edges")
    if handles:
        return edges
    for name in ("account_a", "account_b"):
        encoded = edges[name].combine_chunks().dictionary_encode()
        names = pa.array([pseudonym(account) for account in encoded.dictionary.to_pylist()], pa.string())
        edges = edges.set_column(edges.schema.get_field_index(name), name, names.take(encoded.indices))
    return edges


def _nodes(groups: list[Row], members: list[Row], edges: pa.Table) -> dict[str, Row]:
    """Return the attributes of every account in a group or an edge, by account, ascending."""
    rank = {row["group_id"]: place for place, row in enumerate(groups)}
    fitting = {row["group_id"]: [item["name"] for item in row["explanations"] or [] if item["fits"]] for row in groups}
    own: dict[str, list[Row]] = {}
    for row in members:
        own.setdefault(row["account"], []).append(row)
    ends = {account for name in ("account_a", "account_b") for account in edges[name].unique().to_pylist()}
    found: dict[str, Row] = {}
    for account in sorted(ends | set(own)):
        rows = sorted(own.get(account, []), key=lambda row: rank[row["group_id"]])
        if not rows:
            found[account] = {}
            continue
        first = rows[0]
        found[account] = {
            "group": first["group_id"],
            "groups": " ".join(row["group_id"] for row in rows),
            "explained_by": ", ".join(fitting[first["group_id"]]) or None,
            **{name: first[name] for name in ("probability", "strength", "documents")},
        }
    return found


class _Writer:
    """Elements with line breaks; text and attributes are escaped by the standard library."""

    def __init__(self, stream: TextIO) -> None:
        self._xml = XMLGenerator(cast("TextIOBase", stream), encoding="utf-8", short_empty_elements=True)
        self._xml.startDocument()

    def start(self, name: str, **attributes: str) -> None:
        self._xml.startElement(name, AttributesImpl(attributes))
        if name != "data":
            self._xml.ignorableWhitespace("\n")

    def end(self, name: str) -> None:
        self._xml.endElement(name)
        self._xml.ignorableWhitespace("\n")

    def empty(self, name: str, **attributes: str) -> None:
        self._xml.startElement(name, AttributesImpl(attributes))
        self.end(name)

    def data(self, prefix: str, values: Row) -> None:
        for name, value in values.items():
            if value is None:
                continue
            self.start("data", key=prefix + name)
            self._xml.characters(_FORBIDDEN.sub("\ufffd", repr(value) if isinstance(value, float) else str(value)))
            self.end("data")

    def finish(self) -> None:
        self._xml.endDocument()
