"""Arguments and options that several commands share, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from greyzone.errors import InputError

CaseArgument = Annotated[Path, typer.Argument(help="Case folder, as 'greyzone run' made it.")]
DocumentsArgument = Annotated[list[Path], typer.Argument(help="JSONL, CSV, TSV, Parquet (.gz, .zst), datasets folder, Telegram export.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Case folder to make or to go on with.")]
IncidentsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--incidents",
        "-i",
        help="Incidents: EuRepoC, DCID, CFR, CSIS or CyberPeace CSV; STIX, MISP, VERIS or ATT&CK JSON; a folder; any table with a mapping.",
    ),
]
MapOption = Annotated[
    list[str] | None, typer.Option("--map", help="Columns by field: text=content,account=author_id; also encoding=cp1251, day_first=true.")
]
IncidentMappingOption = Annotated[Path | None, typer.Option("--incident-mapping", help="YAML or JSON file that says which column is what.")]
EncoderOption = Annotated[str | None, typer.Option("--encoder", help="'default', 'hashed', a sentence-transformers folder, or a hub name.")]
DeviceOption = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1.")]
DtypeOption = Annotated[
    str | None, typer.Option("--dtype", help="auto (bfloat16 or float16 on a GPU, float32 on the CPU), float32, bfloat16, float16.")
]
PromptOption = Annotated[
    str | None, typer.Option("--prompt", help="What the encoder reads before every text; auto takes the model's own, '' none.")
]
DimensionsOption = Annotated[int | None, typer.Option("--dimensions", min=1, help="First coordinates to keep of a Matryoshka model.")]
LongTextsOption = Annotated[
    str | None, typer.Option("--long-texts", help="windows reads all of a text that is too long for the model; truncate cuts it.")
]
LexicalOption = Annotated[
    str | None, typer.Option("--lexical", help="Join the corpus's own words to the embedding for narratives: auto, on, off.")
]
DoctrineOption = Annotated[str | None, typer.Option("--doctrine", help="default, additive, worst-event, or a YAML file of one's own.")]
AsOfOption = Annotated[str | None, typer.Option("--as-of", help="Day of the impact score; the last document's day if not given.")]
LabellerOption = Annotated[
    str | None,
    typer.Option(
        "--labeller", help="Language model (folder or hub name) that writes generated_label, kept for the case; 'none' goes back."
    ),
]
LinkModelOption = Annotated[
    str | None, typer.Option("--model", help="Calibrated model of links (greyzone train links), kept for the case; 'none' goes back.")
]
NamesOption = Annotated[
    list[str] | None,
    typer.Option("--names", help="Table of names with aliases (ATT&CK, STIX, MISP), kept for the case; several times; 'none' goes back."),
]
TaggerOption = Annotated[
    str | None,
    typer.Option(
        "--tagger",
        help="Token-classification model (folder or hub name) that reads names in the texts of incidents, kept for the case; "
        "'none' goes back.",
    ),
]
SizeOption = Annotated[int | None, typer.Option("--min-cluster-size", min=2, help="Fewest documents of a narrative (5 if not given).")]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of every random draw (0 if not given).")]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes; all processors if not given. Results do not depend on it.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")]


def changes(**given: object) -> dict[str, object]:
    """Return the settings that were given; the others stay as the case has them."""
    return {name: value for name, value in given.items() if value is not None}


def read_mapping(given: Sequence[str] | None) -> dict[str, str] | None:
    """Read ``--map`` options; None if there is none."""
    if given is None:
        return None
    mapping: dict[str, str] = {}
    for pair in (part for item in given for part in item.split(",")):
        name, equals, column = pair.partition("=")
        if not (name.strip() and equals and column.strip()):
            raise InputError(f"--map {pair!r}", "FIELD=COLUMN, separated by commas", "for example --map text=content,account=author_id")
        mapping[name.strip()] = column.strip()
    return mapping
