"""The journey: a command a stage, `run` for all of them, `demo` for the bundled scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from greyzone.cli.options import (
    AsOfOption,
    CaseArgument,
    DeviceOption,
    DimensionsOption,
    DoctrineOption,
    DocumentsArgument,
    DtypeOption,
    EncoderOption,
    IncidentMappingOption,
    IncidentsOption,
    LabellerOption,
    LexicalOption,
    LinkModelOption,
    LongTextsOption,
    MapOption,
    NamesOption,
    OutOption,
    PromptOption,
    SeedOption,
    SizeOption,
    TaggerOption,
    WorkersOption,
    changes,
    read_mapping,
)
from greyzone.cli.printing import note, print_notes, progress_shown, say
from greyzone.errors import InputError
from greyzone.words import counted


def run(
    documents: DocumentsArgument,
    out: OutOption,
    incidents: IncidentsOption = None,
    mapping: MapOption = None,
    incident_mapping: IncidentMappingOption = None,
    encoder: EncoderOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    prompt: PromptOption = None,
    dimensions: DimensionsOption = None,
    long_texts: LongTextsOption = None,
    lexical: LexicalOption = None,
    doctrine: DoctrineOption = None,
    as_of: AsOfOption = None,
    min_cluster_size: SizeOption = None,
    seed: SeedOption = None,
    workers: WorkersOption = None,
) -> None:
    """Take the whole journey, from documents to the report.

    Example: greyzone run posts.csv.gz --incidents eurepoc.csv --out CASE
    """
    given = changes(
        mapping=read_mapping(mapping),
        incident_mapping=None if incident_mapping is None else str(incident_mapping),
        encoder=encoder,
        device=device,
        dtype=dtype,
        prompt=prompt,
        dimensions=dimensions,
        long_texts=long_texts,
        lexical=lexical,
        doctrine=doctrine,
        as_of=as_of,
        min_cluster_size=min_cluster_size,
        seed=seed,
    )
    run_case(documents, incidents or [], out, given, workers)
    say(str(out / "report.html"))


def update(
    case: CaseArgument,
    documents: DocumentsArgument,
    today: Annotated[str | None, typer.Option("--today", help="Day after which a date is in the future; this day if not given.")] = None,
    workers: WorkersOption = None,
) -> None:
    """Add documents to a case; its narratives keep their ids.

    The table `lineage` tells what became of the others.

    Example: greyzone update CASE posts_of_today.csv
    """
    from greyzone.case import Case
    from greyzone.pipeline import update as add_documents

    before = Case(case).notes().get("narratives")
    with progress_shown() as progress:
        done = add_documents(case, documents, today=today, workers=workers, progress=progress)
    told: Any = done.notes()["narratives"]
    events = ", ".join(f"{name} {number}" for name, number in told["lineage"].items())
    if told == before:
        note("nothing new: the narratives are as they were")
    else:
        note(f"clustering {told['update']} of the case: {events or 'nothing happened to its narratives'}")
    say(str(case / "report.html"))


def demo(
    out: OutOption = Path("demo-case"),
    documents: Annotated[int, typer.Option("--documents", min=100, help="Documents of the scenario.")] = 5000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the scenario.")] = 0,
    workers: WorkersOption = None,
) -> None:
    """Run the bundled invented scenario, without any network.

    Prints the path of its report.

    Example: greyzone demo --out demo-case
    """
    scenario = demo_case(out, documents, seed, workers)
    note(f"scenario with its truth tables: {scenario}")
    say(str(out / "case" / "report.html"))


def collect(documents: DocumentsArgument, out: OutOption, mapping: MapOption = None, workers: WorkersOption = None) -> None:
    """Read, clean and store documents.

    Every row is a document, a repeat or a counted reject.

    Example: greyzone collect posts.jsonl --out CASE --map text=body
    """
    advance_case(out, changes(documents=[str(path) for path in documents], mapping=read_mapping(mapping)), until="collect", workers=workers)
    print_notes(out, "collect")


def narratives(
    case: CaseArgument, min_cluster_size: SizeOption = None, lexical: LexicalOption = None, labeller: LabellerOption = None
) -> None:
    """Cluster the documents of a case into narratives.

    Example: greyzone narratives CASE --min-cluster-size 8
    """
    chosen = "" if labeller == "none" else labeller
    advance_case(case, changes(min_cluster_size=min_cluster_size, lexical=lexical, labeller=chosen), until="narratives")
    print_notes(case, "narratives")


def embed(
    case: CaseArgument,
    encoder: EncoderOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    prompt: PromptOption = None,
    dimensions: DimensionsOption = None,
    long_texts: LongTextsOption = None,
) -> None:
    """Collapse the copies of a case and embed what is left.

    Vectors are cached by content.

    Example: greyzone embed CASE --encoder ./my-model --device cuda
    """
    given = changes(encoder=encoder, device=device, dtype=dtype, prompt=prompt, dimensions=dimensions, long_texts=long_texts)
    advance_case(case, given, until="embed")
    print_notes(case, "embed")


def read_incidents(
    case: CaseArgument,
    files: Annotated[list[Path] | None, typer.Argument(help="Incident files; those of the case if not given.")] = None,
    incident_mapping: IncidentMappingOption = None,
) -> None:
    """Read incidents into a case, one row an event and target state.

    Example: greyzone incidents CASE eurepoc.csv dcid.csv
    """
    given = None if not files else [str(path) for path in files]
    advance_case(
        case, changes(incidents=given, incident_mapping=None if incident_mapping is None else str(incident_mapping)), until="incidents"
    )
    print_notes(case, "incidents")


def link(
    case: CaseArgument,
    doctrine: DoctrineOption = None,
    model: LinkModelOption = None,
    names: NamesOption = None,
    tagger: TaggerOption = None,
) -> None:
    """Link narratives to incidents, with the evidence and the odds.

    Says how many are worth showing, and what chance alone would give.

    Example: greyzone link CASE

    Example: greyzone link CASE --model link-model --names attack_groups.jsonl --names threat-actor.json
    """
    from greyzone.case import Case
    from greyzone.link.population import TESTS

    tables = [] if names == ["none"] else names
    given = changes(doctrine=doctrine, link_model="" if model == "none" else model, names=tables, tagger="" if tagger == "none" else tagger)
    advance_case(case, given, until="link")
    print_notes(case, "link", without=TESTS)
    told: Any = Case(case).notes()["link"]
    shown = told["context"]["displayed"]
    precision = "unknown" if shown["placebo_precision"] is None else f"{shown['placebo_precision']:.2f}"
    listed = f"{shown['links']} to display at q <= {shown['q']:g}, placebo precision there at least {precision}"
    note(f"{told['links']} links at the prior or above; {listed}; the tests of states: greyzone show {case} tests")


def campaigns(
    case: CaseArgument,
    doctrine: DoctrineOption = None,
    attribute: Annotated[
        str | None,
        typer.Option("--attribute", help="CAMPAIGN=ACTOR: note who a person says is behind a campaign; 'unknown' takes it back"),
    ] = None,
    who: Annotated[str | None, typer.Option("--who", help="ATTRIBUTE: who says so.")] = None,
    basis: Annotated[str | None, typer.Option("--basis", help="ATTRIBUTE: on what basis.")] = None,
    day: Annotated[str | None, typer.Option("--day", help="ATTRIBUTE: day (ISO); this day if not given.")] = None,
) -> None:
    """Join incidents, narratives and groups into campaign profiles.

    With --attribute, note who a person says is behind one.

    Example: greyzone campaigns CASE

    Example: greyzone campaigns CASE --attribute cmp-0123=unknown --who "A. Reader" --basis "sources disagree"
    """
    if attribute is not None:
        _attribute(case, attribute, who or "", basis or "", day)
    elif who is not None or basis is not None or day is not None:
        raise InputError("--who, --basis or --day without --attribute", "what they belong to", "give --attribute CAMPAIGN=ACTOR")
    advance_case(case, changes(doctrine=doctrine), until="campaigns")
    print_notes(case, "campaigns")


def _attribute(folder: Path, said: str, who: str, basis: str, day: str | None) -> None:
    """Add what a person says of a campaign to the case."""
    from datetime import UTC, datetime

    from greyzone.campaigns import set_by_hand
    from greyzone.case import Case

    Case(folder)
    with Case.writing(folder) as case:
        history = case.table("attributions")
        on = day or datetime.now(UTC).date().isoformat()
        case.write_table("attributions", set_by_hand(history, case.table("campaigns"), said=said, who=who, basis=basis, day=on))


def report(case: CaseArgument, doctrine: DoctrineOption = None) -> None:
    """Bring a case up to its report and print the path of the page.

    Example: greyzone report CASE
    """
    advance_case(case, changes(doctrine=doctrine))
    say(str(case / "report.html"))


def demo_case(folder: Path, documents: int, seed: int, workers: int | None) -> Path:
    """Write the bundled scenario below `folder`, run it into ``folder/case`` and return the scenario's folder."""
    from greyzone.eval.scenario.synth import write_scenario

    scenario = folder / "scenario"
    paths = write_scenario(scenario, documents=documents, seed=seed)
    run_case([paths.documents], [paths.incidents], folder / "case", {"incident_mapping": str(paths.mapping)}, workers)
    return scenario


def run_case(documents: Sequence[Path], incidents: Sequence[Path], out: Path, given: dict[str, Any], workers: int | None) -> None:
    """Run the whole journey with progress."""
    from greyzone.pipeline import Settings, run

    with progress_shown() as progress:
        done = run(documents, incidents=incidents, out=out, settings=Settings(**given), workers=workers, progress=progress)
    note(summary(done.notes()))


def summary(notes: Mapping[str, Any]) -> str:
    """Say in one line what a finished case holds."""
    beyond = notes["link"]["context"]["displayed"]
    flagged = notes["coordinate"]["flagged"]
    return ", ".join(
        [
            counted(notes["collect"]["documents"], "document") + _lacking(notes["collect"]),
            counted(notes["narratives"]["narratives"], "narrative"),
            f"{counted(notes['coordinate']['groups'], 'group')} of accounts ({flagged} that no tested alternative explains)",
            f"{counted(notes['link']['links'], 'candidate link')} ({beyond['links']} beyond chance timing, at q <= {beyond['q']:g})",
            counted(notes["campaigns"]["campaigns"], "campaign"),
        ]
    )


def _lacking(read: Mapping[str, Any]) -> str:
    """Say of documents without dates or accounts that most stages have nothing to go by, and how their columns are named."""
    gone = [
        f"none has {what}: name the column with --map {field}=COLUMN"
        for what, field, lacks in (
            ("a date", "published_at", read["undated"] == read["documents"]),
            ("an account", "account", not read["accounts"]),
        )
        if lacks and read["documents"]
    ]
    if 0 < read["undated"] < read["documents"]:
        gone.append(f"{read['undated']} without a date")
    return f" ({'; '.join(gone)})" if gone else ""


def advance_case(out: Path, given: dict[str, object], *, until: str | None = None, workers: int | None = None) -> None:
    """Bring a case up to a stage with progress; `given` are the settings that change.

    Only documents or incidents make a folder: a case that is named wrongly is an error, not a new, empty case.
    """
    from greyzone.case import Case
    from greyzone.pipeline import advance

    if "documents" not in given and "incidents" not in given:
        Case(out)
    with progress_shown() as progress:
        advance(out, given, until=until, workers=workers, progress=progress)
