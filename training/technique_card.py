"""The card of a head: what it tells, how well, from which data, and what it must not be used for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from greyzone.training.running import RunSettings

NOT_FOR = (
    "Deciding on its own that a text is propaganda, false or hostile: a technique is a way of wording, and honest texts use it too.",
    "Saying who is behind a text, or profiling private persons.",
    "Labels listed as refused, and languages, registers and subjects that are not in the data below: measure before use.",
)
"""Uses that every card warns of."""


def technique_card(settings: RunSettings, record: Mapping[str, Any]) -> str:
    """Return the text of the card; `record` is what ``training.json`` holds."""
    chosen = record["settings"]
    kind = "hashed n-grams and the vector of" if chosen["head"] == "static" else "a fine-tuned"
    lines = [
        f"# {settings.out.name}",
        "",
        f"A multi-label classifier trained with greyzone: {kind} `{chosen['base']}`, {len(record['labels'])} labels, "
        f"thresholds for {chosen['objective']}-F1.",
        *([settings.note] if settings.note else []),
        "",
        "Load it with `greyzone.models.heads.load_head(folder)`; `.predict(texts)` gives probabilities and decisions.",
        "",
        "## Figures",
        "",
        *_figures(record["measured"], chosen["objective"]),
        "",
        "## Labels",
        "",
        "| label | training texts |",
        "|---|---|",
        *(f"| {label} | {count} |" for label, count in sorted(record["labels"].items(), key=lambda item: (-item[1], item[0]))),
        "",
        f"Refused, never told (fewer than {chosen['fewest']} training texts, or all of them in one group): "
        + (", ".join(f"{label} ({count})" for label, count in record["refused"].items()) or "none")
        + ".",
        "",
        "## Data",
        "",
        "| file | SHA-256 | rows read | used | left out |",
        "|---|---|---|---|---|",
        *(
            f"| {source['name']} | `{source['sha256']}` | {source['rows']} | {source['used']} | "
            + (", ".join(f"{count} {reason}" for reason, count in source["left_out"].items()) or "none")
            + " |"
            for source in record["data"]
        ),
        "",
        "Rows: " + ", ".join(f"{value} {name}" for name, value in record["rows"].items()) + ".",
        "",
        "Licences: " + "; ".join(settings.licence or ("not stated by who trained it",)) + ". "
        "What the data's licences ask of a derived model holds for this one.",
        "",
        "## Settings",
        "",
        "```json",
        json.dumps(chosen, indent=1, sort_keys=True, ensure_ascii=False),
        "```",
        "",
        "## What it is not for",
        "",
        *(f"- {use}" for use in NOT_FOR),
    ]
    return "\n".join(lines) + "\n"


def _figures(measured: Mapping[str, Any] | None, objective: str) -> list[str]:
    if measured is None:
        return ["None: nothing was held out and no test data given."]
    lines = [
        f"On {measured['macro']['texts']} texts ({measured['how']}), 95 % intervals by resampling groups. "
        "A refused label counts as F1 0 in the macro average.",
        "",
        "| thresholds for | micro-F1 | macro-F1 | samples-F1 |",
        "|---|---|---|---|",
    ]
    for name in ("macro", "micro"):
        found = measured[name]
        lines.append(
            f"| {name}-F1 | {found['micro_f1']:.3f} {_interval(found['micro_interval'])} | "
            f"{found['macro_f1']:.3f} {_interval(found['macro_interval'])} | {found['samples_f1']:.3f} |"
        )
    if measured["languages"]:
        lines += ["", f"| language ({objective} thresholds) | texts | micro-F1 | macro-F1 | samples-F1 |", "|---|---|---|---|---|"]
        lines += [
            f"| {lang} | {n} | {micro:.3f} | {macro:.3f} | {samples:.3f} |"
            for lang, (n, micro, macro, samples) in measured["languages"].items()
        ]
    lines += ["", "| label | texts | told | precision | recall | F1 (95 %) | AP | ECE |", "|---|---|---|---|---|---|---|---|"]
    for row in sorted(measured[objective]["labels"], key=lambda item: (-item["support"], item["label"])):
        lines.append(
            f"| {row['label']} | {row['support']} | {row['predicted']} | {row['precision']:.3f} | {row['recall']:.3f} | "
            f"{row['f1']:.3f} {_interval(row['interval'])} | {_number(row['average_precision'])} | {_number(row['ece'])} |"
        )
    pooled = measured[objective]["ece"]
    lines += ["", f"Calibration, all labels together: expected calibration error {_number(pooled)}.", ""]
    lines += ["| probability | texts x labels | mean probability | share that has the label |", "|---|---|---|---|"]
    lines += [
        f"| {row['low']:.1f}-{row['high']:.1f} | {row['count']} | {row['probability']:.3f} | {row['frequency']:.3f} |"
        for row in measured["reliability"]
    ]
    return lines


def _interval(ends: tuple[float, float]) -> str:
    return f"({ends[0]:.3f}-{ends[1]:.3f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
