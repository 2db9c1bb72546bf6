"""What was asked beside what was measured, and whether that is met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a part: `met` is None where nothing was asked and the number is there to be read."""

    what: str
    asked: str
    measured: str
    met: bool | None = None


def format_findings(found: Sequence[Finding]) -> str:
    """Return findings as a Markdown table."""
    lines = ["| what | asked | measured | met |", "|---|---|---|---|"]
    for one in found:
        verdict = "" if one.met is None else "met" if one.met else "MISS"
        lines.append(f"| {one.what} | {one.asked} | {one.measured} | {verdict} |")
    return "\n".join(lines)
