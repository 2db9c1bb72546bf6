"""The only file that knows the order: it composes the stages into the journey and keeps each one's fingerprint.

A stage declares what it reads, which settings it obeys and what it writes. Its fingerprint covers these and greyzone's own code;
while it stands in the manifest with whole files, the stage is not run again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greyzone import campaigns, clean, collapse, collect, coordinate, embed, impact, incidents, link, narratives, techniques
from greyzone import report as report_page
from greyzone.case import Case, digest, fingerprint, write_bytes
from greyzone.cluster import NarrativeClusterer
from greyzone.doctrine import Doctrine, load_doctrine
from greyzone.engine import map_batches
from greyzone.errors import CaseError, InputError
from greyzone.models import load_encoder
from greyzone.records import REJECTS, REPORTS, TABLES, CleanBatch, Encoder, ImpactResult, RawBatch, empty

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int | None], None]
"""Called with a stage's name, what is done and what there is to do (None: not known)."""


def _silent(stage: str, done: int, total: int | None) -> None:
    """Report nothing."""


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
    encoder, device
        As for `greyzone.models.load_encoder`.
    doctrine
        A bundled doctrine's name or a file.
    as_of
        Day (ISO) of the impact score; None takes the last day with a document.
    today
        Day (ISO) after which a date counts as in the future.
    min_cluster_size
        Fewest documents of a narrative.
    seed
        Seed of every random draw.
    """

    documents: tuple[str, ...] = ()
    incidents: tuple[str, ...] = ()
    mapping: dict[str, str] = field(default_factory=dict)
    incident_mapping: str | None = None
    encoder: str = "default"
    device: str = "auto"
    doctrine: str = "default"
    as_of: str | None = None
    today: str | None = None
    min_cluster_size: int = 5
    seed: int = 0


@dataclass(slots=True)
class _Work:
    """What a stage is handed: the case, the settings, and the things that several stages share."""

    case: Case
    settings: Settings
    progress: Progress
    workers: int | None
    _encoder: Encoder | None = None

    @property
    def doctrine(self) -> Doctrine:
        return load_doctrine(self.settings.doctrine)

    @property
    def encoder(self) -> Encoder:
        if self._encoder is None:
            self._encoder = load_encoder(self.settings.encoder, device=self.settings.device)
        return self._encoder

    @property
    def cache(self) -> Path:
        return self.case.path / "cache" / "embeddings"


@dataclass(frozen=True, slots=True)
class Stage:
    """One act of the journey.

    Parameters
    ----------
    name
        Its command.
    reads, writes
        Files of the case, without their ending.
    obeys
        Settings that change its result; "documents" and "incidents" stand for the inputs' digests.
    act
        Does the work and returns what the manifest should note.
    """

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    obeys: tuple[str, ...]
    act: Callable[[_Work], dict[str, object]]


def run(
    documents: str | Path | Sequence[str | Path],
    *,
    incidents: str | Path | Sequence[str | Path] = (),
    out: str | Path,
    settings: Settings | None = None,
    until: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Case:
    """Take the whole journey from documents and incidents to a report.

    Parameters
    ----------
    documents
        Files or folders of documents (JSONL, CSV, TSV, Parquet, Hugging Face dataset, Telegram export).
    incidents
        Files of cyber incidents (EuRepoC, DCID, STIX 2.1, or any table with a mapping).
    out
        Case folder; where it already holds a case, only what changed is done again.
    settings
        Everything else; defaults to ``Settings()``.
    until
        Last stage to run; None runs all.
    workers
        Processes for the maps over batches; the result does not depend on it.
    progress
        Called as the stages go on.

    Returns
    -------
    Case
        The case, open for reading.

    Raises
    ------
    InputError
        If an input cannot be used; what earlier stages wrote is kept.

    Examples
    --------
    >>> import greyzone
    >>> case = greyzone.run("posts.csv.gz", incidents="eurepoc.csv", out="CASE")  # doctest: +SKIP
    >>> case.table("links").to_pandas().head()  # doctest: +SKIP
    """
    chosen = settings or Settings()
    values = asdict(chosen) | {"documents": _paths(documents), "incidents": _paths(incidents)}
    return advance(out, values, until=until, workers=workers, progress=progress)


def advance(
    out: str | Path,
    changes: dict[str, object],
    *,
    until: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Case:
    """Bring a case up to a stage, with some settings changed and the others as the case has them.

    Parameters
    ----------
    out
        Case folder.
    changes
        Fields of `Settings` by name; those absent keep what the manifest says.
    until, workers, progress
        As for `run`.

    Returns
    -------
    Case
        The case, open for reading.
    """
    names = [stage.name for stage in STAGES]
    if until is not None and until not in names:
        raise InputError(f"no stage {until!r}", f"one of {', '.join(names)}")
    with Case.writing(out) as case:
        settings = _settle(case, changes)
        digests = _input_digests(case, settings)
        work = _Work(case, settings, progress or _silent, workers)
        for stage in STAGES:
            _run_stage(stage, work, digests)
            if stage.name == until:
                break
    return Case(out)


def _settle(case: Case, changes: dict[str, object]) -> Settings:
    known = case.settings | {name: value for name, value in changes.items() if value is not None or name not in case.settings}
    known["documents"] = tuple(_paths(known.get("documents") or ()))  # type: ignore[arg-type]
    known["incidents"] = tuple(_paths(known.get("incidents") or ()))  # type: ignore[arg-type]
    if known.get("today") is None:
        # Recorded once, so that a case that is resumed tomorrow still ends with the same bytes.
        known["today"] = datetime.now(UTC).date().isoformat()
    settings = Settings(**known)  # type: ignore[arg-type]
    if not settings.documents:
        raise CaseError(f"case {case.path} has no documents", "at least one file", "start with: greyzone run DOCUMENTS --out FOLDER")
    load_doctrine(settings.doctrine)
    if settings.as_of is not None:
        _day(settings.as_of)
    case.update("settings", asdict(settings))
    return settings


def _input_digests(case: Case, settings: Settings) -> dict[str, str]:
    """Digest every input; one that is gone keeps the digest it had, so that later stages can still be run."""
    known = case.inputs
    digests: dict[str, str] = {}
    for path in (*settings.documents, *settings.incidents, *([settings.incident_mapping] if settings.incident_mapping else [])):
        if Path(path).exists():
            digests[path] = digest(Path(path))
        elif path in known:
            logger.warning("input %s is gone; going on with what the case holds of it", path)
            digests[path] = str(known[path])
        else:
            raise InputError(f"no file or folder {path!r}", "an input that exists", "check the path")
    case.update("inputs", digests)
    return digests


def _run_stage(stage: Stage, work: _Work, digests: dict[str, str]) -> None:
    print_ = _fingerprint(stage, work, digests)
    record = work.case.stage(stage.name)
    if record is not None and record.fingerprint == print_:
        work.progress(stage.name, 1, 1)
        return
    work.progress(stage.name, 0, None)
    notes = stage.act(work)
    work.case.finish_stage(stage.name, print_, [_file(name) for name in stage.writes], notes)
    work.progress(stage.name, 1, 1)


def _fingerprint(stage: Stage, work: _Work, digests: dict[str, str]) -> str:
    files = {name: digest(work.case.path / _file(name)) for name in stage.reads}
    obeyed: dict[str, object] = {}
    for name in stage.obeys:
        value = getattr(work.settings, name)
        if name in {"documents", "incidents"}:
            value = [[Path(path).name, digests[path]] for path in value]
        elif name == "incident_mapping" and value:
            value = digests[value]
        elif name == "doctrine":
            value = work.doctrine.hash
        elif name == "encoder":
            value = work.encoder.fingerprint
        obeyed[name] = value
    return fingerprint(stage.name, files, obeyed)


def _file(name: str) -> str:
    return name if "." in name else f"{name}.parquet"


def _paths(given: str | Path | Iterable[str | Path]) -> list[str]:
    return [str(given)] if isinstance(given, str | Path) else [str(path) for path in given]


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"day {text!r}", "a date such as 2016-10-07") from None


# --- the acts ---


def _clean(batch: RawBatch) -> CleanBatch:
    cleaned = clean.clean_documents(batch.rows)
    return CleanBatch(cleaned.documents, cleaned.sources, pa.concat_tables([batch.rejects, cleaned.rejects]))


def _collect(work: _Work) -> dict[str, object]:
    settings = work.settings
    until = datetime.combine(_day(settings.today or ""), datetime.max.time(), UTC)
    read = 0

    def batches() -> Iterable[RawBatch]:
        nonlocal read
        for path in settings.documents:
            for batch in collect.read_documents(path, mapping=settings.mapping or None, as_of=until):
                read += batch.rows.num_rows
                work.progress("collect", read, None)
                yield batch

    merged = clean.merge_documents(map_batches(_clean, batches(), workers=work.workers))
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


def _collapse(work: _Work) -> dict[str, object]:
    documents = work.case.table("documents")
    copies = collapse.collapse(documents, seed=work.settings.seed)
    work.case.write_table("copies", copies)
    return {"representatives": documents.num_rows - copies.num_rows, "copies": _counts(copies, "kind")}


def _embed(work: _Work) -> dict[str, object]:
    documents = collapse.representatives(work.case.table("documents"), work.case.table("copies"))
    texts = embed.document_texts(documents)
    vectors = embed.embed_texts(texts, work.encoder, cache=work.cache, progress=lambda done, total: work.progress("embed", done, total))
    work.case.write_vectors("embeddings", documents["doc_id"].to_pylist(), vectors)
    unknown = int((~vectors.any(axis=1)).sum()) if len(vectors) else 0
    return {
        "encoder": work.settings.encoder,
        "fingerprint": work.encoder.fingerprint,
        "dimensions": int(vectors.shape[1]),
        "without_vector": unknown,
    }


def _narratives(work: _Work) -> dict[str, object]:
    documents, copies = work.case.table("documents"), work.case.table("copies")
    _, vectors = work.case.vectors("embeddings")
    weights = collapse.weights(documents, copies)
    clusterer = NarrativeClusterer(min_cluster_size=work.settings.min_cluster_size)
    clusterer.fit(vectors, sample_weight=weights)
    result = narratives.describe_narratives(documents, copies, vectors, clusterer.labels_, clusterer.probabilities_)
    work.case.write_table("narratives", result.narratives)
    work.case.write_table("members", result.members)
    work.case.write_vectors("narrative_vectors", result.narratives["narrative_id"].to_pylist(), result.vectors)
    noise = pc.sum(pc.is_null(result.members["narrative_id"])).as_py() or 0
    return {"narratives": result.narratives.num_rows, "noise": noise, "clusterer": clusterer.get_params()}


def _coordinate(work: _Work) -> dict[str, object]:
    found = coordinate.find_groups(
        work.case.table("documents"),
        work.case.table("copies"),
        doctrine=work.doctrine,
        members=work.case.table("members"),
        seed=work.settings.seed,
    )
    for name in ("groups", "group_members", "edges", "traces"):
        work.case.write_table(name, getattr(found, name))
    return {"groups": found.groups.num_rows, "flagged": int(np.sum(coordinate.flagged(found.groups).to_numpy(zero_copy_only=False)))}


def _incidents(work: _Work) -> dict[str, object]:
    settings = work.settings
    until = datetime.combine(_day(settings.today or ""), datetime.max.time(), UTC)
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


def _link(work: _Work) -> dict[str, object]:
    case = work.case
    found, stories = case.table("incidents"), case.table("narratives")
    _, narrative_vectors = case.vectors("narrative_vectors")
    texts = [
        embed.document_text(name, text) for name, text in zip(found["name"].to_pylist(), found["description"].to_pylist(), strict=True)
    ]
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
    )
    case.write_table("links", result.links)
    return {"links": result.links.num_rows, "types": _counts(result.links, "type"), "context": result.context}


def _impact(work: _Work) -> dict[str, object]:
    case = work.case
    day = _score_day(case, work.settings)
    result = impact.score(
        case.table("incidents"), case.table("narratives"), case.table("links"), doctrine=work.doctrine, as_of=day, seed=work.settings.seed
    )
    case.write_table("impact", result.impact)
    case.write_table("shares", result.shares)
    last = result.impact.filter(pc.equal(result.impact["date"], pa.scalar(day, pa.date32())))
    return {"as_of": day.isoformat(), "states": pc.count_distinct(result.impact["target_state"]).as_py(), "status": _counts(last, "status")}


def _campaigns(work: _Work) -> dict[str, object]:
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


def _report(work: _Work) -> dict[str, object]:
    case = work.case
    page = report_page.render({name: case.table(name) for name in TABLES if case.has(name)}, case.manifest, doctrine=work.doctrine)
    write_bytes(case.path / "report.html", page.encode())
    return {"bytes": len(page.encode())}


def _score_day(case: Case, settings: Settings) -> date:
    if settings.as_of is not None:
        return _day(settings.as_of)
    last = pc.max(case.table("documents")["published_at"]).as_py() or pc.max(case.table("incidents")["onset_hi"]).as_py()
    return last.date() if last else _day(settings.today or "")


def _coordinated_shares(case: Case) -> dict[str, float]:
    """Return the share of each narrative's documents that come from accounts of flagged groups."""
    groups = case.table("groups")
    accounts = pc.unique(pc.list_flatten(groups.filter(coordinate.flagged(groups))["accounts"]))
    documents = case.table("documents").select(["doc_id", "account"])
    marked = documents.append_column("coordinated", pc.cast(pc.is_in(documents["account"], value_set=accounts), pa.int64()))
    joined = case.table("members").select(["doc_id", "narrative_id"]).join(marked, "doc_id").drop_null()
    shares = joined.group_by("narrative_id").aggregate([("coordinated", "mean")])
    return dict(zip(shares["narrative_id"].to_pylist(), shares["coordinated_mean"].to_pylist(), strict=True))


def _counts(rows: pa.Table, column: str) -> dict[str, int]:
    counted = pc.value_counts(rows[column].combine_chunks()).to_pylist()
    pairs = sorted(
        ((str(item["values"]), int(item["counts"])) for item in counted if item["values"] is not None), key=lambda pair: (-pair[1], pair[0])
    )
    return dict(pairs)


STAGES: tuple[Stage, ...] = (
    Stage("collect", (), ("documents", "sources", "rejects"), ("documents", "mapping", "today"), _collect),
    Stage("collapse", ("documents",), ("copies",), ("seed",), _collapse),
    Stage("embed", ("documents", "copies"), ("embeddings",), ("encoder",), _embed),
    Stage(
        "narratives",
        ("documents", "copies", "embeddings"),
        ("narratives", "members", "narrative_vectors"),
        ("min_cluster_size", "seed"),
        _narratives,
    ),
    Stage(
        "coordinate",
        ("documents", "copies", "members"),
        ("groups", "group_members", "edges", "traces"),
        ("doctrine", "seed"),
        _coordinate,
    ),
    Stage(
        "incidents",
        (),
        ("reports", "incident_rejects", "incidents", "merges"),
        ("incidents", "incident_mapping", "doctrine", "today"),
        _incidents,
    ),
    Stage(
        "link",
        ("documents", "members", "narratives", "narrative_vectors", "groups", "incidents"),
        ("links",),
        ("encoder", "doctrine", "seed"),
        _link,
    ),
    Stage("impact", ("documents", "incidents", "narratives", "links"), ("impact", "shares"), ("doctrine", "as_of", "seed"), _impact),
    Stage(
        "campaigns",
        ("documents", "incidents", "narratives", "members", "groups", "links", "impact", "shares"),
        ("campaigns",),
        ("doctrine",),
        _campaigns,
    ),
    Stage(
        "report",
        ("documents", "rejects", "narratives", "members", "groups", "edges", "incidents", "links", "campaigns", "impact", "shares"),
        ("report.html",),
        ("doctrine",),
        _report,
    ),
)
"""The journey, in order."""
