"""The acts on hybrid campaigns: incidents, links, impact, profiles and the page."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from greyzone import campaigns, embed, impact, incidents, link, techniques
from greyzone import report as report_page
from greyzone.acts.work import Settings, Work, counts, parse_day, past_of
from greyzone.case import Case
from greyzone.entities import read_names
from greyzone.errors import InputError
from greyzone.models.links import load_link_model
from greyzone.records import REJECTS, REPORTS, TABLES, ImpactResult, ReportBatch, empty

logger = logging.getLogger(__name__)


def do_incidents(work: Work) -> dict[str, object]:
    """Read incidents and make them canonical."""
    settings = work.settings
    until = datetime.combine(parse_day(settings.today or ""), datetime.max.time(), UTC)
    batches = [_read_reports(path, settings.incident_mapping, until) for path in settings.incidents]
    reports = pa.concat_tables([batch.reports for batch in batches]) if batches else empty(REPORTS)
    rejects = pa.concat_tables([batch.rejects for batch in batches]) if batches else empty(REJECTS)
    canonical = incidents.canonicalise(reports, doctrine=work.doctrine)
    tables = {"reports": reports, "incident_rejects": rejects, "incidents": canonical.incidents, "merges": canonical.merges}
    for name, rows in tables.items():
        work.case.write_table(name, rows)
    coarse = pc.sum(pc.is_in(canonical.incidents["onset_precision"], pa.array(["month", "year", "unknown"]))).as_py() or 0
    return {
        "reports": counts(reports, "source"),
        "rejected": counts(rejects.filter(pc.equal(rejects["action"], "rejected")), "reason"),
        "repaired": counts(rejects.filter(pc.equal(rejects["action"], "repaired")), "reason"),
        "incidents": canonical.incidents.num_rows,
        "coarse_dates": coarse,
        "merges": counts(canonical.merges, "decision"),
        "of_several_sources": pc.sum(pc.greater(pc.list_value_length(canonical.incidents["sources"]), 1)).as_py() or 0,
        "flags": dict(sorted(Counter(flag for flags in canonical.incidents["flags"].to_pylist() for flag in flags or ()).items())),
    }


def do_link(work: Work) -> dict[str, object]:
    """Link narratives to incidents."""
    case = work.case
    found, tagged = _tagged(work)
    stories = case.table("narratives")
    _, narrative_vectors = case.vectors("narrative_vectors")
    texts = embed.document_texts(found["name"], found["description"])
    incident_vectors = embed.embed_texts(texts, work.encoder, cache=work.cache)
    linker = link.Linker(
        work.doctrine,
        seed=work.settings.seed,
        model=load_link_model(work.settings.link_model) if work.settings.link_model else None,
        names=[name for path in work.settings.names for name in read_names(path)],
        workers=work.workers,
    )
    result = linker.link(
        found,
        stories,
        case.table("members"),
        case.table("documents"),
        incident_vectors=incident_vectors,
        narrative_vectors=narrative_vectors,
        coordinated=_coordinated_shares(case),
    )
    case.write_table("links", result.links)
    return {"links": result.links.num_rows, "types": counts(result.links, "type"), **tagged, "context": result.context}


def _tagged(work: Work) -> tuple[pa.Table, dict[str, object]]:
    """Return the incidents with what the model of the settings reads in them, if there is one, and what it added."""
    found = work.case.table("incidents")
    if not work.settings.tagger:
        return found, {}
    from greyzone.entities.tagger import HubTagger, tagged_incidents

    found, added = tagged_incidents(found, HubTagger(work.settings.tagger), least=work.doctrine["link.names.tagger_score"])
    return found, {"entities_tagged": added}


def do_impact(work: Work) -> dict[str, object]:
    """Score every target state."""
    case = work.case
    day = _score_day(case, work.settings)
    result = impact.score(
        case.table("incidents"), case.table("narratives"), case.table("links"), doctrine=work.doctrine, as_of=day, seed=work.settings.seed
    )
    case.write_table("impact", result.impact)
    case.write_table("shares", result.shares)
    scored = (case.table("incidents"), case.table("narratives"), case.table("links"), result.impact)
    account = impact.take_apart(*scored, doctrine=work.doctrine, seed=work.settings.seed)
    for name, rows in (("ledger", account.ledger), ("doses", account.doses), ("couplings", account.couplings)):
        case.write_table(name, rows)
    case.write_table("views", impact.views(*scored, doctrine=work.doctrine, seed=work.settings.seed))
    case.write_table("sensitivity", impact.sensitivity(*scored, doctrine=work.doctrine, seed=work.settings.seed))
    last = result.impact.filter(pc.equal(result.impact["date"], pa.scalar(day, pa.date32())))
    return {"as_of": day.isoformat(), "states": pc.count_distinct(result.impact["target_state"]).as_py(), "status": counts(last, "status")}


def do_campaigns(work: Work) -> dict[str, object]:
    """Join what is linked into profiles."""
    case = work.case
    names = ("incidents", "narratives", "members", "groups", "links", "documents", "views", "decisions")
    tables = {name: case.table(name) for name in names if name != "views" or case.has(name)}
    tags = techniques.tag_techniques(tables["narratives"], tables["groups"], tables["incidents"], tables["members"], tables["documents"])
    old, lineage, number = past_of(case, "campaigns", "campaigns", ("campaign_id", "incidents", "narratives"), "campaign_lineage")
    found = campaigns.profile_campaigns(
        tables,
        ImpactResult(case.table("impact"), case.table("shares")),
        tags,
        doctrine=work.doctrine,
        past=campaigns.Past(old, case.table("attributions"), number),
    )
    case.write_table("campaigns", found.campaigns)
    case.write_table("campaign_lineage", pa.concat_tables([lineage, found.lineage]))
    return {
        "campaigns": found.campaigns.num_rows,
        "bridges": found.bridges,
        "techniques": len(tags),
        "update": number,
        "lineage": counts(found.lineage, "event"),
    }


def do_report(work: Work) -> dict[str, object]:
    """Write the page."""
    case = work.case
    page = report_page.render({name: case.table(name) for name in TABLES if case.has(name)}, case.manifest, doctrine=work.doctrine)
    case.write_file("report.html", lambda target: target.write_bytes(page.encode()))
    return {"bytes": len(page.encode())}


def _read_reports(path: str, mapping: str | None, until: datetime) -> ReportBatch:
    """Read one input; among several, the mapping is for those whose columns it names, and tables that greyzone knows need none."""
    try:
        return incidents.read_reports(path, mapping=mapping, as_of=until)
    except InputError as unfit:
        if mapping is None:
            raise
        try:
            read = incidents.read_reports(path, as_of=until)
        except InputError:
            raise unfit from None
        logger.warning("%s is read by its own columns, not by the mapping (%s)", path, str(unfit.found)[:120])
        return read


def _score_day(case: Case, settings: Settings) -> date:
    if settings.as_of is not None:
        return parse_day(settings.as_of)
    last = pc.max(case.table("documents")["published_at"]).as_py() or pc.max(case.table("incidents")["onset_hi"]).as_py()
    return last.date() if last else parse_day(settings.today or "")


def _coordinated_shares(case: Case) -> dict[str, float]:
    """Return the share of each narrative's documents that comes from accounts of flagged groups."""
    carriers = case.table("carriers")
    together = carriers.filter(pc.is_null(carriers["group_id"]))
    return dict(zip(together["narrative_id"].to_pylist(), together["share"].to_pylist(), strict=True))
