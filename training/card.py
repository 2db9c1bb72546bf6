"""The model card (README.md) of a trained model: what it was made of, how, how well it does, and what it is not for.

It is written from the same record as ``training.json``, so that the two cannot differ. Texts are never quoted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from greyzone.training.growth import Growth
from greyzone.training.running import RunSettings, Start, stated_settings, versions
from greyzone.training.trainer import Trained

NOT_FOR = (
    "Deciding on its own that a text is false, hostile, or part of a campaign: nearness says what texts are about, not who is behind them.",
    "Languages, registers and subjects that are not in the data below: measure before use.",
    "Profiling or judging private persons.",
)
"""Uses that every card warns of."""


def record_of(start: Start, settings: RunSettings, growth: Growth | None, trained: Trained) -> dict[str, Any]:
    """Return what the record of every trained encoder has: base, settings, growth and trained."""
    return {
        "base": {"name": start.name, "fingerprint": start.fingerprint, "static": start.static, "dimensions": start.dimensions},
        "settings": stated_settings(settings),
        "growth": asdict(growth) if growth else {},
        "trained": {name: value for name, value in asdict(trained).items() if name != "resumed_from"},
    }


def card(what: str, settings: RunSettings, record: Mapping[str, Any]) -> str:
    """Return the text of the card.

    Parameters
    ----------
    what
        How the model came to be: "fine-tuned", "multilingual".
    settings
        Where licences and the note come from.
    record
        What ``training.json`` holds: `record_of` and data, test_data, rows, figures.
    """
    base = record["base"]
    licences = list(settings.licence) or ["not stated by who trained it"]
    lines = [
        "---",
        "library_name: sentence-transformers",
        "pipeline_tag: sentence-similarity",
        "tags: [sentence-transformers, greyzone]",
        "---",
        f"# {settings.out.name}",
        "",
        f"An encoder {what} with greyzone from `{base['name']}` (fingerprint `{base['fingerprint']}`, "
        f"{'static' if base['static'] else 'transformer'}, {base['dimensions']} dimensions).",
        *([settings.note] if settings.note else []),
        "",
        "Load it with `greyzone.models.load_encoder(folder)` or `SentenceTransformer(folder)`.",
        "",
        "## Figures",
        "",
        *_figures(record["figures"]),
        "",
        f"Kept: step {record['trained']['best_step']} of {record['trained']['steps']}"
        + (", the best by validation." if record["trained"]["history"] else ", the last (no validation)."),
        "",
        *_growth(record.get("growth", {})),
        "## Data",
        "",
        "| part | file | SHA-256 | rows read | used | left out |",
        "|---|---|---|---|---|---|",
        *_data("training", record["data"]),
        *_data("test", record.get("test_data", [])),
        "",
        "Rows: " + ", ".join(f"{value} {name}" for name, value in record["rows"].items()) + ".",
        "",
        "Licences: " + "; ".join(licences) + ". What the data's licences ask of a derived model holds for this one.",
        "",
        "## Settings",
        "",
        "```json",
        json.dumps(record["settings"], indent=1, sort_keys=True, ensure_ascii=False, default=str),
        "```",
        "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions().items()) + ".",
        "",
        "## What it is not for",
        "",
        *(f"- {use}" for use in NOT_FOR),
    ]
    return "\n".join(lines) + "\n"


def _figures(figures: Mapping[str, Mapping[str, list[float]]]) -> list[str]:
    if not figures:
        return ["None: nothing was held back and no test data given."]
    rows = [
        f"| {part} | {name} | {before:.4f} | {after:.4f} | {after - before:+.4f} |"
        for part, found in figures.items()
        for name, (before, after) in found.items()
    ]
    return ["| part | figure | before | after | change |", "|---|---|---|---|---|", *rows]


def _data(part: str, sources: list[Mapping[str, Any]]) -> list[str]:
    return [
        f"| {part} | {source['name']} | `{source['sha256']}` | {source['rows']} | {source['used']} | "
        + (", ".join(f"{count} {reason}" for reason, count in source["left_out"].items()) or "none")
        + " |"
        for source in sources
    ]


def _growth(growth: Mapping[str, Any]) -> list[str]:
    if not growth:
        return []
    known = f"unknown pieces of the training texts: {growth['unknown_before']:.1%} before, {growth['unknown_after']:.1%} after"
    return [f"Vocabulary: {growth['pieces']} pieces added; {known}.", ""]
