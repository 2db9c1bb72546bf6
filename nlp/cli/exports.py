"""``greyzone export``: a case as STIX, Navigator layers, profiles and tables; GraphML and edges come from `greyzone.cli.coordination`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greyzone.cli.options import CaseArgument
from greyzone.cli.printing import export_text, note, say
from greyzone.errors import InputError, StorageError

if TYPE_CHECKING:
    from greyzone.case import Case

HandlesOption = Annotated[bool, typer.Option("--handles", help="Keep the names of accounts; hashed names otherwise.")]
CampaignsOption = Annotated[
    list[str] | None, typer.Option("--campaign", help="Id of a campaign; may be given several times (all if not given).")
]
CampaignOption = Annotated[str | None, typer.Option("--campaign", help="Id of a campaign; the whole case if not given.")]

export_app = typer.Typer(help="Write the case in another format.", no_args_is_help=True, rich_markup_mode=None)


FORMATS = ("md", "json")
"""Formats of a profile."""


@export_app.command("stix")
def export_stix(
    case: CaseArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File; CASE/export/bundle.json if not given, '-' for stdout.")] = None,
    handles: HandlesOption = False,
    least: Annotated[
        float | None,
        typer.Option("--min-link", min=0, max=1, help="Probability from which a link is written; the doctrine's if not given."),
    ] = None,
) -> None:
    """Write the case as a STIX 2.1 bundle with deterministic ids.

    Example: greyzone export stix CASE
    """
    from greyzone.case import Case
    from greyzone.doctrine import load_doctrine
    from greyzone.stix import EXPORTED, write_bundle

    opened = Case(case)
    doctrine = load_doctrine(str(opened.settings.get("doctrine", "default")))
    tables = {name: opened.table(name, columns) for name, columns in EXPORTED.items()}
    export_text(
        out or case / "export" / "bundle.json", lambda file: write_bundle(tables, file, doctrine=doctrine, handles=handles, least=least)
    )


@export_app.command("navigator")
def export_navigator(
    case: CaseArgument,
    framework: Annotated[str, typer.Option("--framework", "-f", help="attack or disarm.")],
    campaign: CampaignOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File; CASE/export/navigator-FRAMEWORK.json if not given, '-' for stdout.")
    ] = None,
    handles: HandlesOption = False,
) -> None:
    """Write techniques as a layer for the ATT&CK or DISARM Navigator.

    Those of the whole case, or of one campaign.

    Example: greyzone export navigator CASE --framework attack
    """
    import json

    from greyzone.case import Case
    from greyzone.navigator import FRAMEWORKS, layer

    if framework not in FRAMEWORKS:
        raise InputError(f"--framework {framework!r}", f"one of {', '.join(FRAMEWORKS)}")
    rows = _techniques(Case(case), campaign, handles=handles)
    name = f"greyzone {campaign or 'case'}"
    made = layer(rows, framework, name=name, description=f"Techniques of {campaign or 'the whole case'}, with what triggered each tag.")
    stem = f"navigator-{framework}{f'-{campaign}' if campaign else ''}.json"
    text = json.dumps(made, ensure_ascii=False, indent=1) + "\n"
    export_text(out or case / "export" / stem, lambda file: file.write(text))
    note(f"{len(made['techniques'])} techniques")


@export_app.command("profile")
def export_profile(
    case: CaseArgument,
    campaign: CampaignsOption = None,
    form: Annotated[str, typer.Option("--format", help="md for people, json for machines.")] = "md",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder; CASE/export/profiles if not given.")] = None,
    handles: HandlesOption = False,
) -> None:
    """Write profiles of campaigns as Markdown or JSON.

    Of every campaign, or of those named.

    Example: greyzone export profile CASE --format md --out FOLDER
    """
    from greyzone.case import Case, write_bytes
    from greyzone.dossier import build, choose, to_json, to_markdown

    if form not in FORMATS:
        raise InputError(f"--format {form!r}", f"one of {', '.join(FORMATS)}")
    opened = Case(case)
    rows = choose(opened.table("campaigns"), campaign or ())
    tables = {name: opened.table(name) for name in ("documents", "reports", "impact")}
    folder = _folder(out or case / "export" / "profiles")
    for row in rows:
        product = build(row, tables, handles=handles)
        text = to_json(product) if form == "json" else to_markdown(product)
        write_bytes(folder / f"{row['campaign_id']}.{form}", text.encode())
        say(str(folder / f"{row['campaign_id']}.{form}"))
    if not rows:
        note("the case has no campaign: no link is strong enough to join an incident and a narrative")


@export_app.command("tables")
def export_tables(
    case: CaseArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the Parquet files and README.md.")],
    handles: HandlesOption = False,
) -> None:
    """Write every table as Parquet, with a page on its columns.

    Example: greyzone export tables CASE --out FOLDER
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from greyzone.case import Case, replace_file, write_bytes
    from greyzone.records import TABLES
    from greyzone.tabular import described, hidden_table

    opened = Case(case)
    folder = _folder(out)
    shown: dict[str, pa.Table] = {}
    for name in TABLES:
        if opened.has(name):
            rows = opened.table(name)
            shown[name] = rows if handles else hidden_table(name, rows)

            def write(beside: Path, rows: pa.Table = shown[name]) -> None:
                pq.write_table(rows, beside, compression="zstd", version="2.6")

            replace_file(folder / f"{name}.parquet", write)
            say(str(folder / f"{name}.parquet"))
    write_bytes(folder / "README.md", described(shown, handles=handles).encode())
    say(str(folder / "README.md"))


def _techniques(case: Case, campaign: str | None, *, handles: bool) -> list[dict[str, Any]]:
    """Return rows of techniques: those of a campaign's profile, or those that the tables of the whole case show."""
    import json
    from dataclasses import asdict

    from greyzone.dossier import choose, redacted
    from greyzone.techniques import tag_techniques

    if campaign:
        [row] = choose(case.table("campaigns"), [campaign])
        return redacted(json.loads(row["profile"] or "{}").get("techniques") or [], handles=handles)
    names = ("narratives", "groups", "incidents", "members", "documents")
    return redacted([asdict(tag) for tag in tag_techniques(*(case.table(name) for name in names))], handles=handles)


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {path} ({error.strerror or error})", "", "name another folder") from error
    return path
