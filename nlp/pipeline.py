"""The only file that knows the order: it composes the stages into the journey and keeps each one's fingerprint.

A stage declares what it reads, which settings it obeys and what it writes. Its fingerprint covers these and greyzone's own code;
while it stands in the manifest with whole files, the stage is not run again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from greyzone import acts
from greyzone.acts import ENCODER_OPTIONS, LEXICAL, Progress, Settings, Work, parse_day
from greyzone.case import Case, digest, fingerprint
from greyzone.doctrine import load_doctrine
from greyzone.entities import read_names
from greyzone.entities.tagger import check_tagger
from greyzone.errors import CaseError, InputError
from greyzone.models import EMBEDDED, check_arguments
from greyzone.models.hub import find_encoder, find_model
from greyzone.models.labeller import check_labeller
from greyzone.models.links import load_link_model
from greyzone.records import GIVEN, TABLES

__all__ = ["STAGES", "Settings", "Stage", "advance", "run", "update"]

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
    incidents: str | Path | Sequence[str | Path] | None = (),
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
        Files or folders of cyber incidents (`greyzone.incidents.reading` finds out the format), or any table with a mapping.
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
    if not isinstance(chosen, Settings):
        raise InputError(f"settings as a {type(chosen).__name__}", "greyzone.pipeline.Settings", "Settings(seed=1) for one of them")
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

    Raises
    ------
    CaseError
        If there is neither a case in `out` nor any document or incident for a new one.
    InputError, EncoderError
        If a setting, an input or a model cannot be used. What can be told before the first stage is told then, and the case does not
        remember it.
    """
    _check_stage(until)
    unknown = sorted(set(changes) - {setting.name for setting in fields(Settings)})
    if unknown:
        raise InputError(f"no setting {unknown[0]!r}", f"one of {', '.join(setting.name for setting in fields(Settings))}")
    with Case.writing(out) as case:
        _keep_updates(case, changes)
        settings = _settle(case, changes)
        _check_files(case, settings)
        digests = _input_digests(case, settings)
        case.update("settings", asdict(settings))
        case.update("inputs", digests)
        _run_stages(Work(case, settings, progress or _silent, workers), digests, until)
    return Case(out)


def update(
    out: str | Path,
    documents: str | Path | Sequence[str | Path],
    *,
    today: str | None = None,
    until: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Case:
    """Add documents to a case: narratives that live on keep their ids, and the table ``lineage`` tells what became of the others.

    Only files that the case does not have yet are read; a file that has changed since (a log that grows) makes it read all of them
    again, since what is in a document may come from several rows. The result of reading is what `run` makes of all files together.
    The same update once more does nothing. The settings stay; the manifest keeps the added files with the day on which they were read,
    and whatever is run on the case later takes them along: `run` with the same files changes nothing, with further ones adds them, and
    with other settings clusters anew, names going from the old narratives to the new ones in the same way.

    Parameters
    ----------
    out
        Case folder, as `run` made it.
    documents
        Files or folders to add, with the columns of the case's mapping.
    today
        Day (ISO) after which a date in these files counts as in the future; None takes this day.
    until, workers, progress
        As for `run`.

    Returns
    -------
    Case
        The case, open for reading.

    Raises
    ------
    CaseError
        If there is no case in `out`, or it has no documents.
    InputError
        If a file cannot be used; the case is then as it was.

    Examples
    --------
    >>> case = greyzone.update("CASE", "posts_of_today.csv")  # doctest: +SKIP
    >>> case.table("lineage").to_pandas().tail()  # doctest: +SKIP
    """
    _check_stage(until)
    given = _paths(documents)
    if not given:
        raise InputError("no documents to add", "at least one file or folder")
    day = (parse_day(today) if today else datetime.now(UTC).date()).isoformat()
    if not Case(out).settings.get("documents"):
        raise CaseError(f"case {out} has no documents", "a case to add to", "start with: greyzone run DOCUMENTS --out FOLDER")
    with Case.writing(out) as case:
        added = _as_recorded(case, given)
        settings = _settle(case, {"documents": [*_paths(case.settings["documents"]), *added]})  # type: ignore[arg-type]
        digests = _input_digests(case, settings)
        # Saved with the first stage, so that files which cannot be read leave the case as it was.
        case.update("updates", {path: day for path in added if digests[path] != case.inputs.get(path)}, save=False)
        case.update("inputs", digests, save=False)
        case.update("settings", asdict(settings), save=False)
        _run_stages(Work(case, settings, progress or _silent, workers), digests, until)
    return Case(out)


def _run_stages(work: Work, digests: dict[str, str], until: str | None) -> None:
    days = dict.fromkeys(work.settings.documents, str(work.settings.today)) | _updates(work.case)
    work.inputs = {path: (digests[path], days[path]) for path in work.settings.documents}
    for stage in STAGES:
        _run_stage(stage, work, digests)
        if stage.name == until:
            break


def _keep_updates(case: Case, changes: dict[str, object]) -> None:
    """Refuse to forget documents that updates added."""
    if "documents" not in changes:
        return
    named = _as_recorded(case, _paths(changes["documents"]))  # type: ignore[arg-type]
    left = [path for path in _updates(case) if path not in named]
    if left:
        raise InputError(
            f"case {case.path} has {len(left)} files that updates added and that are not named here ({', '.join(left[:3])})",
            "all documents of the case",
            "name them too, or start another case",
        )


def _updates(case: Case) -> dict[str, str]:
    """Return the day on which each file that an update added, or read again, was read."""
    return dict(case.manifest.get("updates", {}))  # type: ignore[call-overload,no-any-return]


def _as_recorded(case: Case, given: Iterable[str]) -> list[str]:
    """Return paths once each, those of files that the case has in the spelling that it has them in."""
    known = {Path(path).resolve(): path for path in _paths(case.settings.get("documents") or ())}  # type: ignore[arg-type]
    return list(dict.fromkeys(known.get(Path(path).resolve(), path) for path in given))


def _check_stage(until: str | None) -> None:
    names = [stage.name for stage in STAGES]
    if until is not None and until not in names:
        raise InputError(f"no stage {until!r}", f"one of {', '.join(names)}")


def _settle(case: Case, changes: dict[str, object]) -> Settings:
    known = case.settings | changes
    if changes.get("encoder", known.get("encoder")) != case.settings.get("encoder"):
        # They were chosen for the encoder that goes.
        known = {name: value for name, value in known.items() if name in changes or name not in ENCODER_OPTIONS}
    known["documents"] = tuple(_as_recorded(case, _paths(known.get("documents") or ())))  # type: ignore[arg-type]
    for name in ("incidents", "names"):
        known[name] = tuple(_paths(known.get(name) or ()))  # type: ignore[arg-type]
    if known.get("today") is None:
        # Recorded once, so that a case that is resumed tomorrow still ends with the same bytes.
        known["today"] = datetime.now(UTC).date().isoformat()
    settings = Settings(**known)  # type: ignore[arg-type]
    if not settings.documents and not settings.incidents:
        raise CaseError(
            f"case {case.path} has no documents and no incidents",
            "at least one file",
            "start with: greyzone run DOCUMENTS --out FOLDER, or for incidents alone: greyzone incidents FOLDER FILES",
        )
    load_doctrine(settings.doctrine)
    check_arguments(settings.encoder, device=settings.device, **{name: getattr(settings, name) for name in ENCODER_OPTIONS})
    if settings.lexical not in LEXICAL:
        raise InputError(f"lexical {settings.lexical!r}", " or ".join(LEXICAL))
    if settings.as_of is not None:
        parse_day(settings.as_of)
    if settings.min_cluster_size < 2:
        raise InputError(f"min_cluster_size {settings.min_cluster_size}", "2 or more: one document is no narrative")
    if settings.seed < 0:
        raise InputError(f"seed {settings.seed}", "a whole number of 0 or more")
    return settings


def _check_files(case: Case, settings: Settings) -> None:
    """Refuse models and tables of names that cannot be used; what the case has already may be gone."""

    def new(name: str) -> str:
        given = getattr(settings, name)
        return given if given and given != case.settings.get(name) else ""

    if new("encoder") and settings.encoder not in EMBEDDED:
        find_encoder(settings.encoder)
    if path := new("link_model"):
        load_link_model(path)
    for path in settings.names:
        if path not in (case.settings.get("names") or ()):  # type: ignore[operator]
            read_names(path)
    if model := new("labeller"):
        check_labeller(model)
    if model := new("tagger"):
        check_tagger(model)


def _input_digests(case: Case, settings: Settings) -> dict[str, str]:
    """Digest every input; one that is gone keeps the digest it had, so that later stages can still be run."""
    known = case.inputs
    digests: dict[str, str] = {}
    alone = [path for path in (settings.incident_mapping, settings.link_model) if path]
    for path in (*settings.documents, *settings.incidents, *settings.names, *alone):
        if Path(path).exists():
            digests[path] = digest(Path(path))
        elif path in known:
            logger.warning("input %s is gone; going on with what the case holds of it", path)
            digests[path] = str(known[path])
        else:
            raise InputError(f"no file or folder {path!r}", "an input that exists", "check the path")
    for model in filter(None, (settings.labeller, settings.tagger)):
        # What the case knows of a model of the hub, or of a folder that is gone, stands.
        gone = not Path(model).exists() and model in known
        digests[model] = str(known[model]) if gone else digest(find_model(model))
    return digests


def _run_stage(stage: Stage, work: Work, digests: dict[str, str]) -> None:
    print_ = _fingerprint(stage, work, digests)
    record = work.case.stage(stage.name)
    if record is not None and record.fingerprint == print_:
        work.progress(stage.name, 1, 1)
        return
    work.progress(stage.name, 0, None)
    if stage.name == "collect":
        work.held = _held(stage, work, digests)
    with work.case.staged():
        notes = stage.act(work)
        work.case.finish_stage(stage.name, print_, [_file(name) for name in stage.writes], notes)
    work.progress(stage.name, 1, 1)


def _held(stage: Stage, work: Work, digests: dict[str, str]) -> frozenset[str]:
    """Return the document files whose rows the case's tables have, as reading them again would give them.

    These are all files that the tables were made of, or none: rows of a file that has changed, or left the case, cannot be taken out.
    Files that are gone cannot be read again, whatever changed in greyzone or in the mapping since; then the tables stand as they are.
    """
    record = work.case.stage(stage.name)
    noted = record.notes.get("inputs") if record else None
    if record is None or not isinstance(noted, dict):
        return frozenset()
    covered = {path: (str(sha), str(day)) for path, (sha, day) in noted.items()}
    if any(work.inputs.get(path) != entry for path, entry in covered.items()):
        return frozenset()
    if record.fingerprint == _fingerprint(stage, work, digests, covered):
        return frozenset(covered)
    gone = [path for path in covered if not Path(path).exists()]
    if gone:
        logger.warning("%d inputs are gone (%s); their documents stay as they were read", len(gone), ", ".join(gone[:3]))
    return frozenset(covered) if gone else frozenset()


def _fingerprint(stage: Stage, work: Work, digests: dict[str, str], inputs: Mapping[str, tuple[str, str]] | None = None) -> str:
    files = {name: digest(work.case.path / _file(name)) for name in stage.reads if name not in GIVEN or work.case.has(name)}
    obeyed: dict[str, object] = {}
    for name in stage.obeys:
        value = getattr(work.settings, name)
        if name == "documents":
            read = work.inputs if inputs is None else inputs
            value = sorted([Path(path).name, *entry] for path, entry in read.items())
        elif name in {"incidents", "names"}:
            value = [[Path(path).name, digests[path]] for path in value]
        elif name in {"incident_mapping", "link_model", "labeller", "tagger"} and value:
            value = digests[value]
        elif name == "doctrine":
            value = work.doctrine.hash
        elif name == "encoder":
            value = work.encoder.fingerprint
        obeyed[name] = value
    return fingerprint(stage.name, files, obeyed)


def _file(name: str) -> str:
    return name if "." in name or name == acts.COPY_INDEX else f"{name}.parquet"


def _paths(given: str | Path | Iterable[str | Path] | None) -> list[str]:
    if given is None:
        return []
    listed = [given] if isinstance(given, str | Path) else list(given) if isinstance(given, Sequence | Iterator) else [None]
    if not all(isinstance(path, str | Path) for path in listed):
        # A data frame gives the names of its columns, and a table its columns.
        raise InputError(
            f"a {type(given).__name__} in the place of files", "a file or folder, or a list of them", "write it to a Parquet file first"
        )
    paths = [str(path) for path in listed]
    for path in paths:
        try:
            path.encode()
        except UnicodeEncodeError:
            raise InputError(f"the name {path!r} is not valid UTF-8", "a name that a case can record", "rename the file") from None
    return paths


STAGES: tuple[Stage, ...] = (
    Stage("collect", (), ("documents", "sources", "rejects"), ("documents", "mapping"), acts.do_collect),
    # Here, so that a register that cannot be read is told before the corpus is embedded.
    Stage(
        "incidents",
        (),
        ("reports", "incident_rejects", "incidents", "merges"),
        ("incidents", "incident_mapping", "doctrine", "today"),
        acts.do_incidents,
    ),
    Stage("collapse", ("documents",), ("copies", acts.COPY_INDEX), (), acts.do_collapse),
    Stage("embed", ("documents", "copies"), ("embeddings",), ("encoder",), acts.do_embed),
    Stage(
        "narratives",
        ("documents", "copies", "embeddings"),
        ("narratives", "members", "lineage", "narrative_vectors", acts.STATE),
        ("min_cluster_size", "lexical", "doctrine", "seed", "labeller"),
        acts.do_narratives,
    ),
    Stage(
        "coordinate",
        ("documents", "copies", "embeddings", "members"),
        ("groups", "group_members", "accounts", "group_windows", "group_reuse", "group_lineage", "carriers", "edges", "traces"),
        ("doctrine", "seed"),
        acts.do_coordinate,
    ),
    Stage(
        "link",
        ("documents", "members", "narratives", "narrative_vectors", "carriers", "incidents"),
        ("links",),
        ("encoder", "doctrine", "seed", "link_model", "names", "tagger"),
        acts.do_link,
    ),
    Stage(
        "impact",
        ("documents", "incidents", "narratives", "links"),
        ("impact", "shares", "ledger", "doses", "couplings", "views", "sensitivity"),
        ("doctrine", "as_of", "seed"),
        acts.do_impact,
    ),
    Stage(
        "campaigns",
        ("documents", "incidents", "narratives", "members", "groups", "links", "impact", "shares", "views", "decisions", "attributions"),
        ("campaigns", "campaign_lineage"),
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
