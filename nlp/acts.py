"""What each stage of the journey does with a case: read its tables, call the stage, write the tables, note the counts.

No act knows what comes before or after it; `greyzone.pipeline` does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greyzone import (
    campaigns,
    clean,
    collapse,
    collect,
    coordinate,
    embed,
    growth,
    impact,
    incidents,
    lexical,
    lineage,
    link,
    narratives,
    techniques,
)
from greyzone import report as report_page
from greyzone.case import Case, fingerprint
from greyzone.cluster import NarrativeClusterer
from greyzone.doctrine import Doctrine, load_doctrine
from greyzone.engine import map_batches
from greyzone.errors import InputError
from greyzone.models import load_encoder
from greyzone.models.links import load_link_model
from greyzone.models.scripts import unknown_scripts
from greyzone.records import COPIES, REJECTS, REPORTS, TABLES, CleanBatch, Encoder, ImpactResult, RawBatch, empty

logger = logging.getLogger(__name__)

LEXICAL: tuple[lexical.Mode, ...] = ("auto", "on", "off")
"""Whether the words of the corpus are joined to the embedding."""

COPY_INDEX = "copy_index"
"""What is kept of the copies from one update to the next (`greyzone.collapse.CopyIndex`)."""

STATE = "cluster_state.npz"
"""What is kept of the clusters from one update to the next (`greyzone.growth`)."""

ENCODER_OPTIONS = ("dtype", "prompt", "dimensions", "long_texts")
"""Settings that belong to one encoder: another one begins with their defaults."""

Progress = Callable[[str, int, int | None], None]
"""Called with a stage's name, what is done and what there is to do (None: not known)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a case is run with; every field is recorded in its manifest.

    Parameters
    ----------
    documents, incidents
        Input files or folders.
    mapping
        Columns of the documents by field, where the aliases do not find them.
    incident_mapping
        A mapping file for incident tables that greyzone does not know.
    encoder, device, dtype, prompt, dimensions, long_texts
        As for `greyzone.models.load_encoder`.
    lexical
        Whether narratives are found with the words of the corpus joined to the embedding: "on", "off", or "auto" by a measured rule.
    doctrine
        A bundled doctrine's name or a file.
    as_of
        Day (ISO) of the impact score; None takes the last day with a document.
    today
        Day (ISO) after which a date counts as in the future.
    min_cluster_size
        Fewest documents of a narrative.
    link_model
        File or folder of a calibrated model of links; None or "" links by the doctrine's prior and shrink, uncalibrated.
    seed
        Seed of every random draw.
    """

    documents: tuple[str, ...] = ()
    incidents: tuple[str, ...] = ()
    mapping: dict[str, str] = field(default_factory=dict)
    incident_mapping: str | None = None
    encoder: str = "default"
    device: str = "auto"
    dtype: str = "auto"
    prompt: str = "auto"
    dimensions: int | None = None
    long_texts: str = "windows"
    lexical: lexical.Mode = "auto"
    doctrine: str = "default"
    as_of: str | None = None
    today: str | None = None
    min_cluster_size: int = 5
    link_model: str | None = None
    seed: int = 0


@dataclass(slots=True)
class Work:
    """What a stage is handed: the case, the settings, and the things that several stages share.

    `inputs` are the digest and the day of reading of each document file, `held` those files whose rows the case has already.
    """

    case: Case
    settings: Settings
    progress: Progress
    workers: int | None
    inputs: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    _encoder: Encoder | None = None
    _doctrine: Doctrine | None = None

    @property
    def doctrine(self) -> Doctrine:
        """Return the doctrine of the settings, loaded once."""
        if self._doctrine is None:
            self._doctrine = load_doctrine(self.settings.doctrine)
        return self._doctrine

    @property
    def encoder(self) -> Encoder:
        """Return the encoder of the settings, loaded once."""
        if self._encoder is None:
            settings = self.settings
            self._encoder = load_encoder(
                settings.encoder,
                device=settings.device,
                dtype=settings.dtype,
                prompt=settings.prompt,
                dimensions=settings.dimensions,
                long_texts=settings.long_texts,
            )
        return self._encoder

    @property
    def cache(self) -> Path:
        """Return the folder of embeddings by content."""
        return self.case.path / "cache" / "embeddings"


def _clean(batch: RawBatch) -> CleanBatch:
    cleaned = clean.clean_documents(batch.rows)
    return CleanBatch(cleaned.documents, cleaned.sources, pa.concat_tables([batch.rejects, cleaned.rejects]))


def do_collect(work: Work) -> dict[str, object]:
    """Read, clean and merge the documents; rows of files that the case holds are taken from its tables, which gives the same."""
    settings = work.settings
    read = 0

    def batches() -> Iterable[RawBatch]:
        nonlocal read
        for path in settings.documents:
            if path in work.held:
                continue
            until = datetime.combine(parse_day(work.inputs[path][1]), datetime.max.time(), UTC)
            for batch in collect.read_documents(path, mapping=settings.mapping or None, as_of=until):
                read += batch.rows.num_rows
                work.progress("collect", read, None)
                yield batch

    merged = clean.merge_documents(chain(_archive(work), map_batches(_clean, batches(), workers=work.workers)))
    documents = merged.documents
    if documents.num_rows == 0:
        reasons = _counts(merged.rejects, "reason")
        raise InputError(f"no usable document in {', '.join(settings.documents)} ({reasons or 'no rows'})", "at least one row with text")
    for name, rows in (("documents", documents), ("sources", merged.sources), ("rejects", merged.rejects)):
        work.case.write_table(name, rows)
    rejected = merged.rejects.filter(pc.equal(merged.rejects["action"], "rejected"))
    repaired = merged.rejects.filter(pc.equal(merged.rejects["action"], "repaired"))
    dated = documents["published_at"].drop_null()
    return {
        "inputs": {path: list(work.inputs[path]) for path in settings.documents},
        "rows_read": merged.sources.num_rows + rejected.num_rows,
        "documents": documents.num_rows,
        "repeated_rows": merged.sources.num_rows - documents.num_rows,
        "rejected": _counts(rejected, "reason"),
        "repaired": _counts(repaired, "reason"),
        "languages": _counts(documents, "lang"),
        "platforms": _counts(documents, "platform"),
        "accounts": pc.count_distinct(documents["account"]).as_py(),
        "undated": documents.num_rows - len(dated),
        "first": str(pc.min(dated).as_py()) if len(dated) else None,
        "last": str(pc.max(dated).as_py()) if len(dated) else None,
    }


def _archive(work: Work) -> list[CleanBatch]:
    """Return what the case has of the files that it holds, without the rejects that merging makes."""
    if not work.held:
        return []
    rejects = work.case.table("rejects")
    told = rejects.filter(pc.not_equal(rejects["reason"], clean.REUSED))
    return [CleanBatch(work.case.table("documents"), work.case.table("sources"), told)]


def do_collapse(work: Work) -> dict[str, object]:
    """Find exact and near copies."""
    case = work.case
    documents = case.table("documents")
    basis = fingerprint("copies")
    copies, known, index = _known_copies(case, documents, basis)
    found = collapse.collapse_into(documents.slice(known), index, workers=work.workers)
    copies = pa.concat_tables([copies, found.copies])
    case.write_table("copies", copies)
    found.index.write(case.home / COPY_INDEX)
    return {"representatives": documents.num_rows - copies.num_rows, "copies": _counts(copies, "kind"), "fingerprint": basis}


def _known_copies(case: Case, documents: pa.Table, basis: str) -> tuple[pa.Table, int, collapse.CopyIndex | None]:
    """Return the copies among the documents that the index of the case knows, how many these are, and the index.

    Later documents then find their copies as they would with all the others, so the index serves if every new document comes after
    those that it knows; else, or if a document left the case, all are looked at again.
    """
    record = case.stage("collapse")
    if record is None or record.notes.get("fingerprint") != basis:
        return empty(COPIES), 0, None
    copies, index = case.table("copies"), collapse.CopyIndex.read(case.path / COPY_INDEX)
    ids = pa.chunked_array([*copies["doc_id"].chunks, *index.representatives["doc_id"].chunks], pa.string())
    known = pc.is_in(documents["doc_id"], value_set=ids.combine_chunks())
    if pc.sum(known).as_py() != len(ids) or not pc.all(known.slice(0, len(ids))).as_py():
        return empty(COPIES), 0, None
    return copies, len(ids), index


def do_embed(work: Work) -> dict[str, object]:
    """Embed one document of each set of copies."""
    documents = collapse.representatives(work.case.table("documents"), work.case.table("copies"))
    texts = embed.document_texts(documents["title"], documents["text"])
    vectors = embed.embed_texts(texts, work.encoder, cache=work.cache, progress=lambda done, total: work.progress("embed", done, total))
    work.case.write_vectors("embeddings", documents["doc_id"].to_pylist(), vectors)
    scripts = unknown_scripts(work.encoder, texts)
    if scripts:
        told = ", ".join(f"{count} in {script}" for script, count in scripts.items())
        logger.warning(
            "encoder %s does not know the script of %d of %d texts (%s)", work.settings.encoder, sum(scripts.values()), len(texts), told
        )
    return {
        "encoder": work.settings.encoder,
        "encoder_settings": _stated(work.encoder),
        "fingerprint": work.encoder.fingerprint,
        "dimensions": int(vectors.shape[1]),
        "without_vector": int((~vectors.any(axis=1)).sum()) if len(vectors) else 0,
        "unknown_scripts": scripts,
    }


def do_narratives(work: Work) -> dict[str, object]:
    """Cluster and describe."""
    documents, copies = work.case.table("documents"), work.case.table("copies")
    _, vectors = work.case.vectors("embeddings")
    distinct = collapse.representatives(documents, copies)
    texts = embed.document_texts(distinct["title"], distinct["text"])
    # Clusters use what the corpus says of its words; centroids stay in the encoder's own space, where incidents are too.
    found = growth.grow(
        growth.Corpus(
            distinct["doc_id"].combine_chunks(),
            texts,
            distinct["lang"].to_pylist(),
            vectors,
            collapse.weights(documents, copies),
            copies,
        ),
        growth.State.read(work.case.path / STATE) if work.case.whole("narratives", STATE) else None,
        make=partial(NarrativeClusterer, min_cluster_size=work.settings.min_cluster_size),
        restore=NarrativeClusterer.from_arrays,
        mode=work.settings.lexical,
        basis=fingerprint(work.settings.min_cluster_size, work.settings.lexical, work.encoder.fingerprint),
    )
    result = narratives.describe_narratives(
        documents,
        copies,
        vectors,
        found.labels,
        found.probabilities,
        doctrine=work.doctrine,
        hierarchy=found.hierarchy,
        leaders=found.leaders,
        workers=work.workers,
    )
    members, past, number = _past(work.case, "narratives", "members", ("doc_id", "narrative_id"), "lineage")
    traced = lineage.trace(members, result.members, update=number)
    events = pa.concat_tables([past, traced.events])
    result = lineage.renamed(result, traced.ids, lineage.parents(events))
    work.case.write_table("narratives", result.narratives)
    work.case.write_table("members", result.members)
    work.case.write_table("lineage", events)
    work.case.write_vectors("narrative_vectors", result.narratives["narrative_id"].to_pylist(), result.vectors)
    work.case.write_file(STATE, found.state.write)
    noise = pc.sum(pc.is_null(result.members["narrative_id"])).as_py() or 0
    return {
        "narratives": result.narratives.num_rows,
        "noise": noise,
        "clusterer": NarrativeClusterer(min_cluster_size=work.settings.min_cluster_size).get_params(),
        "languages": found.neutral.choice_.as_dict(),
        "lexical": found.space.choice.as_dict(),
        "update": number,
        "joined": found.joined,
        "lineage": _counts(traced.events, "event"),
    }


def _past(case: Case, stage: str, name: str, columns: tuple[str, ...], events: str) -> tuple[pa.Table, pa.Table, int]:
    """Return what the case has of a table and of its lineage from the last run of the stage, and the number of the run at hand."""
    if not case.whole(stage, f"{name}.parquet"):
        return empty(TABLES[name]), empty(TABLES[events]), 0
    past = case.table(events) if case.whole(stage, f"{events}.parquet") else empty(TABLES[events])
    noted = case.notes()[stage]
    # These columns alone: another version of greyzone may have written others beside them.
    return case.table(name, columns), past, 1 + int(noted.get("update", 0) if isinstance(noted, dict) else 0)


def do_coordinate(work: Work) -> dict[str, object]:
    """Find groups of accounts."""
    documents, copies, members = (work.case.table(name) for name in ("documents", "copies", "members"))
    paraphrases = coordinate.find_paraphrases(
        documents, copies, *work.case.vectors("embeddings"), doctrine=work.doctrine, device=work.settings.device
    )
    found = coordinate.find_groups(
        documents, copies, doctrine=work.doctrine, members=members, paraphrases=paraphrases, seed=work.settings.seed
    )
    groups, past, number = _past(work.case, "coordinate", "groups", ("group_id", "accounts"), "group_lineage")
    kept = coordinate.keep_ids(groups, found, doctrine=work.doctrine, update=number)
    found = kept.coordination
    tracks = coordinate.follow(found.groups, documents, members, doctrine=work.doctrine)
    for name in ("groups", "group_members", "edges", "traces"):
        work.case.write_table(name, getattr(found, name))
    work.case.write_table("carriers", coordinate.find_carriers(found.groups, documents, members))
    work.case.write_table("group_windows", tracks.windows)
    work.case.write_table("group_reuse", tracks.reuse)
    work.case.write_table("group_lineage", pa.concat_tables([past, kept.events]))
    return {
        "groups": found.groups.num_rows,
        "flagged": int(np.sum(coordinate.flagged(found.groups).to_numpy(zero_copy_only=False))),
        "paraphrases": paraphrases.note,
        "update": number,
        "lineage": _counts(kept.events, "event"),
    }


def do_incidents(work: Work) -> dict[str, object]:
    """Read incidents and make them canonical."""
    settings = work.settings
    until = datetime.combine(parse_day(settings.today or ""), datetime.max.time(), UTC)
    batches = [incidents.read_reports(path, mapping=settings.incident_mapping, as_of=until) for path in settings.incidents]
    reports = pa.concat_tables([batch.reports for batch in batches]) if batches else empty(REPORTS)
    rejects = pa.concat_tables([batch.rejects for batch in batches]) if batches else empty(REJECTS)
    canonical = incidents.canonicalise(reports, doctrine=work.doctrine)
    tables = {"reports": reports, "incident_rejects": rejects, "incidents": canonical.incidents, "merges": canonical.merges}
    for name, rows in tables.items():
        work.case.write_table(name, rows)
    coarse = pc.sum(pc.is_in(canonical.incidents["onset_precision"], pa.array(["month", "year", "unknown"]))).as_py() or 0
    return {
        "reports": _counts(reports, "source"),
        "rejected": _counts(rejects.filter(pc.equal(rejects["action"], "rejected")), "reason"),
        "repaired": _counts(rejects.filter(pc.equal(rejects["action"], "repaired")), "reason"),
        "incidents": canonical.incidents.num_rows,
        "coarse_dates": coarse,
        "merges": _counts(canonical.merges, "decision"),
    }


def do_link(work: Work) -> dict[str, object]:
    """Link narratives to incidents."""
    case = work.case
    found, stories = case.table("incidents"), case.table("narratives")
    _, narrative_vectors = case.vectors("narrative_vectors")
    texts = embed.document_texts(found["name"], found["description"])
    incident_vectors = embed.embed_texts(texts, work.encoder, cache=work.cache)
    result = link.link(
        found,
        stories,
        case.table("members"),
        case.table("documents"),
        incident_vectors=incident_vectors,
        narrative_vectors=narrative_vectors,
        coordinated=_coordinated_shares(case),
        doctrine=work.doctrine,
        seed=work.settings.seed,
        model=load_link_model(work.settings.link_model) if work.settings.link_model else None,
    )
    case.write_table("links", result.links)
    return {"links": result.links.num_rows, "types": _counts(result.links, "type"), "context": result.context}


def do_impact(work: Work) -> dict[str, object]:
    """Score every target state."""
    case = work.case
    day = _score_day(case, work.settings)
    result = impact.score(
        case.table("incidents"), case.table("narratives"), case.table("links"), doctrine=work.doctrine, as_of=day, seed=work.settings.seed
    )
    case.write_table("impact", result.impact)
    case.write_table("shares", result.shares)
    last = result.impact.filter(pc.equal(result.impact["date"], pa.scalar(day, pa.date32())))
    return {"as_of": day.isoformat(), "states": pc.count_distinct(result.impact["target_state"]).as_py(), "status": _counts(last, "status")}


def do_campaigns(work: Work) -> dict[str, object]:
    """Join what is linked into profiles."""
    case = work.case
    tables = {name: case.table(name) for name in ("incidents", "narratives", "members", "groups", "links", "documents")}
    tags = techniques.tag_techniques(tables["narratives"], tables["groups"], tables["incidents"], tables["members"], tables["documents"])
    profiles = campaigns.build_campaigns(
        **tables,
        impact_result=ImpactResult(case.table("impact"), case.table("shares")),
        techniques=tags,
        doctrine=work.doctrine,
    )
    case.write_table("campaigns", profiles)
    return {"campaigns": profiles.num_rows, "techniques": len(tags)}


def do_report(work: Work) -> dict[str, object]:
    """Write the page."""
    case = work.case
    page = report_page.render({name: case.table(name) for name in TABLES if case.has(name)}, case.manifest, doctrine=work.doctrine)
    case.write_file("report.html", lambda target: target.write_bytes(page.encode()))
    return {"bytes": len(page.encode())}


def _stated(encoder: Encoder) -> str:
    """Return the settings of an encoder in one line."""
    settings = getattr(encoder, "settings", None)
    if settings is None or not is_dataclass(settings):
        return "none"
    return ", ".join(f"{item.name} {getattr(settings, item.name)!r}" for item in fields(settings))


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


def _counts(rows: pa.Table, column: str) -> dict[str, int]:
    counted = pc.value_counts(rows[column].combine_chunks()).to_pylist()
    pairs = sorted(
        ((str(item["values"]), int(item["counts"])) for item in counted if item["values"] is not None), key=lambda pair: (-pair[1], pair[0])
    )
    return dict(pairs)


def parse_day(text: str) -> date:
    """Read an ISO day of the settings."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"day {text!r}", "a date such as 2016-10-07") from None
