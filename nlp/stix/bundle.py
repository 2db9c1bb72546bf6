"""The bundle: every object in an order in which what is referred to comes before what refers to it, written one by one.

The tables stay in Arrow's memory; of their rows a few hundred are Python objects at one time, and an object is gone once it is written.
What grows with a case beyond that are ids: those of incidents, narratives, groups, links and cited documents, and who is named where.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.compute as pc

from greyzone.doctrine import Doctrine
from greyzone.records import CAMPAIGNS, DECISIONS, DOCUMENTS, GROUPS, IMPACT, INCIDENTS, LINKS, NARRATIVES, REPORTS, check, empty
from greyzone.scores import Score
from greyzone.stix.campaigns import CampaignObjects
from greyzone.stix.cyber import Named, hypothesis_objects, incident_objects, note_actors
from greyzone.stix.evidence import cited_documents, evidence_objects, group_object
from greyzone.stix.objects import NAMESPACE, SHARE_SCALE, Maker, Object, marking, midnight, object_id, observable_id, timestamp, tlp_level
from greyzone.stix.rows import batches_of, encode, rows_of
from greyzone.stix.stories import channel_objects, narrative_objects
from greyzone.words import quoted

logger = logging.getLogger(__name__)

Row = Mapping[str, Any]

CITED = pa.schema([DOCUMENTS.field(name) for name in ("doc_id", "published_at", "account", "url")])
"""What is read of a document: its text is not exported."""

SCHEMAS: dict[str, tuple[pa.Schema, str]] = {
    "campaigns": (CAMPAIGNS, "campaign_id"),
    "decisions": (DECISIONS, "decision_id"),
    "documents": (CITED, "doc_id"),
    "groups": (GROUPS, "group_id"),
    "impact": (IMPACT, "target_state"),
    "incidents": (INCIDENTS, "incident_id"),
    "links": (LINKS, "link_id"),
    "narratives": (NARRATIVES, "narrative_id"),
    "reports": (REPORTS, "report_id"),
}
"""Tables that are exported, with the column that names a row."""

EXPORTED: dict[str, tuple[str, ...] | None] = dict.fromkeys(SCHEMAS) | {"documents": tuple(CITED.names)}
"""Their names, with the columns that are read where not all are."""

OPINIONS = {"yes": "agree", "no": "disagree", "unsure": "neutral"}
"""What a decision on a link is in the vocabulary of STIX 2.1, section 10.19."""


def to_bundle(tables: Mapping[str, pa.Table], *, doctrine: Doctrine, handles: bool = False, least: float | None = None) -> Object:
    """Return the tables as a STIX 2.1 bundle.

    Parameters
    ----------
    tables
        Any of `SCHEMAS`; others are not exported. Of documents those are exported that others cite, of reports those of incidents.
    doctrine
        Gives the TLP marking, and the probability from which a link is exported; those that people decided on are exported, too.
    handles
        Whether accounts keep their handles; hashed names otherwise.
    least
        Probability from which a link is exported, where it is not the doctrine's ``campaign.link``.

    Raises
    ------
    InputError
        If a table has not its declared columns or a TLP word is unknown.
    """
    found = list(iter_objects(tables, doctrine=doctrine, handles=handles, least=least))
    return {"type": "bundle", "id": _bundle_id(tables), "objects": found}


def write_bundle(
    tables: Mapping[str, pa.Table], stream: TextIO, *, doctrine: Doctrine, handles: bool = False, least: float | None = None
) -> int:
    """Write the bundle of `to_bundle` to an open text file, an object a line, and return how many objects there are."""
    count = 0
    write = json.JSONEncoder(ensure_ascii=False, sort_keys=True, allow_nan=False).encode
    for count, item in enumerate(iter_objects(tables, doctrine=doctrine, handles=handles, least=least), start=1):
        stream.write(",\n" if count > 1 else f'{{"type": "bundle", "id": "{_bundle_id(tables)}", "objects": [\n')
        stream.write(write(item))
    stream.write("\n]}\n")
    return count


def iter_objects(
    tables: Mapping[str, pa.Table], *, doctrine: Doctrine, handles: bool = False, least: float | None = None
) -> Iterator[Object]:
    """Yield the objects of the bundle, what is referred to before what refers to it."""
    found = _checked(tables)
    threshold = doctrine["campaign.link"] if least is None else least
    default = tlp_level(doctrine.phrase("tlp_default"))
    make = Maker(_stamp(found), default)
    yield make.identity
    yield from make.definitions()
    words = {default} | {tlp_level(word) for word in found["campaigns"]["tlp"].unique().to_pylist() if word}
    yield from (marking(word) for word in sorted(words))
    states = {*found["incidents"]["target_state"].unique().to_pylist(), *found["impact"]["target_state"].unique().to_pylist()}
    for state in sorted(state for state in states if state):
        yield make("location", state, country=state, name=state)
    links = exported_links(found, threshold)
    cited = cited_documents(found["documents"], _cited(found, links), handles=handles)
    yield from evidence_objects(make, cited, found["groups"], handles=handles)
    named: Named = {}
    yield from _incidents(make, found, named)
    yield from hypothesis_objects(make, named)
    yield from channel_objects(make, found["narratives"], handles=handles)
    for row in rows_of(found["narratives"], "narrative_id", handles=handles):
        yield from narrative_objects(make, row, cited.refs(row["exemplars"]))
    for row in rows_of(links, "link_id", handles=handles):
        yield _link(make, row)
    exported = set(links["link_id"].to_pylist())
    yield from _opinions(make, found["decisions"], exported)
    shown = {"incidents": "incident", "narratives": "narrative"}
    known = {item: kind for name, kind in shown.items() for item in found[name][SCHEMAS[name][1]].to_pylist()}
    for row in rows_of(found["groups"], "group_id", handles=handles):
        accounts = [observable_id("user-account", {"user_id": name}) for name in row["accounts"] or ()]
        if group := group_object(make, row, accounts, cited):
            known[row["group_id"]] = "grouping"
            yield group
    yield from _scores(make, found["impact"])
    actors = {quoted(name): object_id("intrusion-set", name) for name in named}
    campaigns = CampaignObjects(make, known, exported, actors, cited)
    for row in rows_of(found["campaigns"], "campaign_id", handles=handles):
        yield from campaigns.of(row)


def exported_links(found: Mapping[str, pa.Table], threshold: float) -> pa.Table:
    """Return the links with both ends in the tables and a probability from `threshold` on, or a decision of a person."""
    links = found["links"]
    ends = pc.and_(
        pc.is_in(links["incident_id"], value_set=found["incidents"]["incident_id"].combine_chunks()),
        pc.is_in(links["narrative_id"], value_set=found["narratives"]["narrative_id"].combine_chunks()),
    )
    decided = pc.is_in(links["link_id"], value_set=found["decisions"]["link_id"].combine_chunks())
    strong = pc.or_(pc.fill_null(pc.greater_equal(links["p"], threshold), False), decided)
    told = links.filter(pc.and_(ends, strong))
    logger.info("exported %d of %d links: those with both ends and p >= %g or a decision", told.num_rows, links.num_rows, threshold)
    return told


def bundle_rows(
    tables: Mapping[str, pa.Table], *, doctrine: Doctrine, handles: bool = False, least: float | None = None
) -> dict[str, pa.Table]:
    """Return the rows that a bundle of these tables holds, as `greyzone.stix.read_tables` gives them: ordered, accounts hidden."""
    found = _checked(tables)
    found["links"] = exported_links(found, doctrine["campaign.link"] if least is None else least)
    made = {}
    for name in ("campaigns", "groups", "impact", "incidents", "links", "narratives"):
        schema, key = SCHEMAS[name]
        keys = (key, "date") if name == "impact" else (key,)
        made[name] = pa.Table.from_pylist(list(rows_of(found[name], *keys, handles=handles or name == "incidents")), schema=schema)
    return made


def _checked(tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    found = {name: check(tables.get(name, empty(schema)), schema, name) for name, (schema, _) in SCHEMAS.items() if name != "documents"}
    documents = tables.get("documents", empty(CITED))
    kept = [name for name in CITED.names if name in documents.schema.names]
    return found | {"documents": check(documents.select(kept), CITED, "documents, as they are cited")}


def _incidents(make: Maker, found: Mapping[str, pa.Table], named: Named) -> Iterator[Object]:
    """Yield incidents with the reports behind them; a report of several incidents (an event of several states) stands in the first.

    Their words are those of registers, not of accounts, and ids are made of them: nothing is hidden in them.
    """
    reports = found["reports"]
    place = {report: at for at, report in enumerate(reports["report_id"].to_pylist())}
    for batch in batches_of(found["incidents"], "incident_id", handles=True):
        at = [[place.pop(report) for report in row["reports"] or () if report in place] for row in batch]
        rows = reports.take(pa.array([position for part in at for position in part], pa.int64())).to_pylist()
        start = 0
        for row, part in zip(batch, at, strict=True):
            own = rows[start : start + len(part)]
            start += len(part)
            note_actors(row, named)
            yield from incident_objects(make, row, own)


def _link(make: Maker, row: Row) -> Object:
    p = row["p"]
    low, high = (p if row[key] is None else row[key] for key in ("p_lo", "p_hi"))
    state = "calibrated" if row["calibrated"] else "uncalibrated"
    told = "probability not told" if p is None else f"probability {p:.2f} (interval {low:.2f}-{high:.2f}), {state}"
    return make(
        "relationship",
        row["link_id"],
        relationship_type="related-to",
        source_ref=object_id("narrative", row["narrative_id"]),
        target_ref=object_id("incident", row["incident_id"]),
        confidence=None if p is None else round(100 * p),
        description=f"{row['type'] or 'untyped'}: {told}; not a statement about causes.",
        record={"table": "links", **encode(row, LINKS), "confidence_scale": SHARE_SCALE, "link_type": row["type"] or "untyped"},
    )


def _opinions(make: Maker, decisions: pa.Table, exported: set[str]) -> Iterator[Object]:
    """Yield the people who decided, and what each last decided of a link that is exported; its id stays when they decide anew."""
    history: dict[tuple[str, str], list[Row]] = {}
    for row in rows_of(decisions, "link_id", "who", "revision", handles=True):
        history.setdefault((row["link_id"], row["who"]), []).append(row)
    told = {key: rows for key, rows in history.items() if key[0] in exported}
    logger.info("%d of %d opinions are on links that are not exported", len(history) - len(told), len(history))
    for who in sorted({who for _, who in told}):
        yield make.person(who)
    for (link, who), rows in told.items():
        first, last = rows[0], rows[-1]
        made = make(
            "opinion",
            link,
            who,
            opinion=OPINIONS[last["decision"]],
            explanation="; ".join(part for part in (last["type"], last["note"]) if part),
            authors=[who],
            object_refs=[object_id("relationship", link)],
            created_by_ref=object_id("identity", "person", who),
        )
        yield made | {"created": midnight(first["day"]), "modified": midnight(last["day"])}


def _scores(make: Maker, impact: pa.Table) -> Iterator[Object]:
    """Yield a note a target state: the last score vector in words, all of them as rows."""
    state: str | None = None
    rows: list[Row] = []
    for row in rows_of(impact, "target_state", "date", handles=True):
        if rows and row["target_state"] != state:
            yield _score(make, rows)
            rows = []
        state = row["target_state"]
        rows.append(row)
    if rows:
        yield _score(make, rows)


def _score(make: Maker, rows: Sequence[Row]) -> Object:
    row = rows[-1]
    state, score = row["target_state"], Score.of_row(row)
    lines = [f"Cumulative score of {state} on {row['date']}: {score}; status {score.status}."]
    if score.points is not None:
        lines += [
            f"With the doctrine's uncertainty {_told(row['doctrine_p05'], 0)}–{_told(row['doctrine_p95'], 0)}.",
            f"Peak: {row['peak_words'] or 'not told'}.",
            f"Central values: excess over the largest single event {_told(row['excess'], 1)}, tempo {_told(row['tempo'], 2)} "
            f"(p {_told(row['tempo_p'], 3)}), breadth {_told(row['breadth'], 2)}, hybridity {_told(row['hybridity'], 2)}.",
        ]
    record = {"table": "impact", "rows": [encode(one, IMPACT) for one in rows]}
    lines += [row["coverage"]] if row["coverage"] else []
    ref = object_id("location", state) if state else make.creator
    return make.note("score", state or "", abstract=f"Score of {state or 'no state'}", lines=lines, refs=[ref], record=record)


def _told(value: float | None, digits: int) -> str:
    return "not told" if value is None else f"{value:.{digits}f}"


def _cited(found: Mapping[str, pa.Table], links: pa.Table) -> set[str]:
    """Ids that exemplars, links, groups and campaigns cite, documents or not."""
    columns = (found["narratives"]["exemplars"], links["evidence"], found["groups"]["documents"])
    cited = {doc for column in columns for doc in pc.list_flatten(column).unique().to_pylist()}
    for row in rows_of(found["campaigns"].select(["campaign_id", "statements", "alternatives", "profile"]), "campaign_id", handles=True):
        items = [*(row["statements"] or ()), *(row["alternatives"] or ()), *(json.loads(row["profile"] or "{}").get("techniques") or ())]
        cited |= {doc for item in items for doc in item.get("documents") or ()}
    return cited - {None}


def _stamp(found: Mapping[str, pa.Table]) -> str:
    """Return the last moment that the data speak of."""
    columns = (("narratives", "last_seen"), ("incidents", "onset_hi"), ("campaigns", "window_hi"))
    moments = [pc.max(found[name][column]).as_py() for name, column in columns]
    day: date | None = pc.max(found["impact"]["date"]).as_py()
    moments.append(datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None)
    return timestamp(max((moment for moment in moments if moment), default=None)) or "2024-01-01T00:00:00.000Z"


def _bundle_id(tables: Mapping[str, pa.Table]) -> str:
    digest = hashlib.blake2b(object_id("identity", "greyzone").encode(), digest_size=16)
    for name, (_, key) in sorted(SCHEMAS.items()):
        if name in tables and name not in ("impact", "documents"):
            ids = tables[name][key]
            for identifier in ids.take(pc.sort_indices(ids)).to_pylist():
                digest.update(f"{name}\x1f{identifier}\x1e".encode())
    return f"bundle--{uuid.uuid5(NAMESPACE, digest.hexdigest())}"
