"""The only file that knows the order: it composes the stages into the journey and keeps each one's fingerprint.

A stage declares what it reads, which settings it obeys and what it writes. Its fingerprint covers these and greyzone's own code;
while it stands in the manifest with whole files, the stage is not run again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from greyzone import acts
from greyzone.acts import ENCODER_OPTIONS, LEXICAL, Progress, Settings, Work, parse_day
from greyzone.case import Case, digest, fingerprint
from greyzone.doctrine import load_doctrine
from greyzone.errors import CaseError, InputError
from greyzone.models import check_arguments
from greyzone.records import TABLES

__all__ = ["STAGES", "Settings", "Stage", "advance", "run"]

logger = logging.getLogger(__name__)


def _silent(stage: str, done: int, total: int | None) -> None:
    """Report nothing."""


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
    act: Callable[[Work], dict[str, object]]


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
    if chosen.today is None:
        # The case keeps the day it was made on.
        del values["today"]
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
        work = Work(case, settings, progress or _silent, workers)
        for stage in STAGES:
            _run_stage(stage, work, digests)
            if stage.name == until:
                break
    return Case(out)


def _settle(case: Case, changes: dict[str, object]) -> Settings:
    known = case.settings | changes
    if changes.get("encoder", known.get("encoder")) != case.settings.get("encoder"):
        # They were chosen for the encoder that goes.
        known = {name: value for name, value in known.items() if name in changes or name not in ENCODER_OPTIONS}
    known["documents"] = tuple(_paths(known.get("documents") or ()))  # type: ignore[arg-type]
    known["incidents"] = tuple(_paths(known.get("incidents") or ()))  # type: ignore[arg-type]
    if known.get("today") is None:
        # Recorded once, so that a case that is resumed tomorrow still ends with the same bytes.
        known["today"] = datetime.now(UTC).date().isoformat()
    settings = Settings(**known)  # type: ignore[arg-type]
    if not settings.documents:
        raise CaseError(f"case {case.path} has no documents", "at least one file", "start with: greyzone run DOCUMENTS --out FOLDER")
    load_doctrine(settings.doctrine)
    check_arguments(settings.encoder, device=settings.device, **{name: getattr(settings, name) for name in ENCODER_OPTIONS})
    if settings.lexical not in LEXICAL:
        raise InputError(f"lexical {settings.lexical!r}", " or ".join(LEXICAL))
    if settings.as_of is not None:
        parse_day(settings.as_of)
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


def _run_stage(stage: Stage, work: Work, digests: dict[str, str]) -> None:
    print_ = _fingerprint(stage, work, digests)
    record = work.case.stage(stage.name)
    if record is not None and record.fingerprint == print_:
        work.progress(stage.name, 1, 1)
        return
    work.progress(stage.name, 0, None)
    notes = stage.act(work)
    work.case.finish_stage(stage.name, print_, [_file(name) for name in stage.writes], notes)
    work.progress(stage.name, 1, 1)


def _fingerprint(stage: Stage, work: Work, digests: dict[str, str]) -> str:
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


STAGES: tuple[Stage, ...] = (
    Stage("collect", (), ("documents", "sources", "rejects"), ("documents", "mapping", "today"), acts.do_collect),
    Stage("collapse", ("documents",), ("copies",), ("seed",), acts.do_collapse),
    Stage("embed", ("documents", "copies"), ("embeddings",), ("encoder",), acts.do_embed),
    Stage(
        "narratives",
        ("documents", "copies", "embeddings"),
        ("narratives", "members", "narrative_vectors"),
        ("min_cluster_size", "lexical", "doctrine", "seed"),
        acts.do_narratives,
    ),
    Stage(
        "coordinate",
        ("documents", "copies", "members"),
        ("groups", "group_members", "carriers", "edges", "traces"),
        ("doctrine", "seed"),
        acts.do_coordinate,
    ),
    Stage(
        "incidents",
        (),
        ("reports", "incident_rejects", "incidents", "merges"),
        ("incidents", "incident_mapping", "doctrine", "today"),
        acts.do_incidents,
    ),
    Stage(
        "link",
        ("documents", "members", "narratives", "narrative_vectors", "carriers", "incidents"),
        ("links",),
        ("encoder", "doctrine", "seed"),
        acts.do_link,
    ),
    Stage("impact", ("documents", "incidents", "narratives", "links"), ("impact", "shares"), ("doctrine", "as_of", "seed"), acts.do_impact),
    Stage(
        "campaigns",
        ("documents", "incidents", "narratives", "members", "groups", "links", "impact", "shares"),
        ("campaigns",),
        ("doctrine",),
        acts.do_campaigns,
    ),
    Stage(
        "report",
        tuple(name for name in TABLES if name not in {"incident_rejects", "merges"}),
        ("report.html",),
        ("doctrine",),
        acts.do_report,
    ),
)
"""The journey, in order."""
