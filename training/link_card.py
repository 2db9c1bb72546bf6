"""The card of a model of links, and its reliability plot: what was said against what came true, on groups not trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.models.links import Beta, LinkModel
from greyzone.records import LLRS

BINS = 10
WIDE, MARGIN = 320, 40
"""Sides of the plot's square and the space around it, in pixels."""

NOT_FOR = (
    "Saying that one thing caused another, what anybody intended, or who is behind either: a link says that two belong together.",
    "Pairs unlike those that were decided on: other languages, kinds of incident, sources. Pairs below the listing floor were never shown "
    "to anybody; what the model says of them is a guess.",
    "Deciding without a person.",
)
"""Uses that every card warns of."""


def reliability(labels: npt.NDArray[np.bool_], p: npt.NDArray[np.float64]) -> list[dict[str, float]]:
    """Return, for each filled tenth of the probabilities, the count, the mean, the share that is true and its 95 % Wilson interval."""
    found = []
    place = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    for number in np.unique(place):
        own = place == number
        n, share = int(own.sum()), float(labels[own].mean())
        middle, half = (share + 1.92 / n) / (1 + 3.84 / n), 1.96 / (1 + 3.84 / n) * float(np.sqrt(share * (1 - share) / n + 0.96 / n**2))
        row = {"low": number / BINS, "high": (number + 1) / BINS, "count": n, "mean": float(p[own].mean()), "share": share}
        found.append(row | {"share_lo": max(middle - half, 0.0), "share_hi": min(middle + half, 1.0)})
    return [{name: float(value) for name, value in row.items()} for row in found]


def reliability_plot(rows: Sequence[Mapping[str, float]]) -> str:
    """Return the plot as SVG: a point a tenth, as large as its count, with its interval; the diagonal is perfect calibration."""
    side = WIDE + 2 * MARGIN

    def place(x: float, y: float) -> tuple[float, float]:
        return round(MARGIN + WIDE * x, 2), round(MARGIN + WIDE * (1.0 - y), 2)

    (x0, y0), (x1, y1) = place(0, 0), place(1, 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" font-family="sans-serif" font-size="12" role="img">',
        "<title>Reliability: share of linked pairs by probability</title>",
        f'<rect width="{side}" height="{side}" fill="white"/>',
        f'<path d="M{x0} {y1}V{y0}H{x1}" fill="none" stroke="black"/><path d="M{x0} {y0}L{x1} {y1}" stroke="gray" stroke-dasharray="4"/>',
    ]
    for tick in (0.0, 0.5, 1.0):
        (x, _), (_, y) = place(tick, 0), place(0, tick)
        parts.append(f'<text x="{x}" y="{y0 + 16}" text-anchor="middle">{tick:g}</text>')
        parts.append(f'<text x="{x0 - 6}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
    parts.append(f'<text x="{side / 2}" y="{side - 6}" text-anchor="middle">probability (groups not trained on)</text>')
    parts.append(f'<text x="12" y="{side / 2}" text-anchor="middle" transform="rotate(-90 12 {side / 2})">share decided yes</text>')
    most = max((row["count"] for row in rows), default=1.0)
    for row in rows:
        x, y = place(row["mean"], row["share"])
        low, high = place(0, row["share_lo"])[1], place(0, row["share_hi"])[1]
        radius = round(2.0 + 6.0 * (row["count"] / most) ** 0.5, 2)
        parts.append(f'<path d="M{x} {low}V{high}" stroke="#1f5fa8"/><circle cx="{x}" cy="{y}" r="{radius}" fill="#1f5fa8"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def link_card(model: LinkModel, name: str, note: str = "") -> str:
    """Return the text of the card."""
    record: Mapping[str, Any] = model.record
    central = model.central
    left_out = ", ".join(f"{count} {reason}" for reason, count in record["left_out"].items())
    shape = "beta calibration" if isinstance(central.calibration, Beta) else "isotonic steps"
    low, high = (np.quantile([fit.weights for fit in model.replicates] or [central.weights], level, axis=0) for level in (0.05, 0.95))
    lines = [
        f"# {name}",
        "",
        f"A calibrated model of links between narratives and incidents (fingerprint `{model.fingerprint}`): non-negative weights of the "
        f"log-likelihood ratios, then {shape}. Use it with `greyzone link CASE --model FOLDER`.",
        *([note] if note else []),
        "",
        f"Trained on {record['pairs']} decided pairs, {record['positives']} of them linked, in {record['groups']} campaigns or "
        f"narratives, from {', '.join(record['sources'])}. Left out: {left_out or 'none'}.",
        "",
        "## Figures",
        "",
        "On pairs of groups that were not trained on (nested cross-validation):",
        "",
        "| | expected calibration error | Brier | log loss | average precision |",
        "|---|---|---|---|---|",
        *(
            f"| {who} | {row['ece']:.3f} | {row['brier']:.3f} | {row['log_loss']:.3f} | {row['average_precision']:.3f} |"
            for who, row in record["figures"].items()
        ),
        "",
        "![Reliability](reliability.svg)",
        "",
        "| probability | pairs | mean | share decided yes (95 %) |",
        "|---|---|---|---|",
        *(
            f"| {row['low']:.1f}-{row['high']:.1f} | {row['count']:.0f} | {row['mean']:.3f} | {row['share']:.3f} "
            f"({row['share_lo']:.3f}-{row['share_hi']:.3f}) |"
            for row in record["reliability"]
        ),
        "",
        "## Weights",
        "",
        "| evidence | weight | 5-95 % over resampled groups |",
        "|---|---|---|",
        *(f"| {kind} | {central.weights[at]:.3f} | {low[at]:.3f}-{high[at]:.3f} |" for at, kind in enumerate(LLRS)),
        "",
        "## Settings",
        "",
        "```json",
        json.dumps(record["settings"], indent=1, sort_keys=True),
        "```",
        "",
        "## What it is not for",
        "",
        *(f"- {use}" for use in NOT_FOR),
    ]
    return "\n".join(lines) + "\n"
