"""Evidence under factors of the law on the use of force, laid out for and against; there is no total and no verdict.

Eight factors after Schmitt (1999), three more that the Tallinn Manual 2.0 (2017, commentary to rule 69) lists beside them, and three
questions that NATO's wording of June 2021 ("significant malicious cumulative cyber activities") raises. Their names are from memory:
unverified. Most fields of incident tables speak to few of them; where none does, the cell says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from greyzone.campaigns.ach import named_actors
from greyzone.campaigns.evidence import Evidence, Item, Row, calibrated, sourced, state_of
from greyzone.scores import Score
from greyzone.words import counted, quoted

SCHMITT = (
    "severity",
    "immediacy",
    "directness",
    "invasiveness",
    "measurability",
    "military character",
    "state involvement",
    "presumptive legality",
)
TALLINN = ("political environment", "identity of the originator", "nature of the target")
CUMULATION = ("same originator?", "related?", "together scale and effects?")
SOURCES = (
    dict.fromkeys(SCHMITT, ("Schmitt 1999, from memory", "unverified"))
    | dict.fromkeys(TALLINN, ("Tallinn Manual 2.0, from memory", "unverified"))
    | dict.fromkeys(CUMULATION, ("questions of this method", "judgement"))
)
"""Source and status of each factor, in their order."""

HIGH_LEVEL, LOW_LEVEL = 3.0, 1.5
"""CISS 3 is "high"; below 1.5 rounds to "low"."""
INTRUSIVE, OUTSIDE = ("hijacking", "data theft", "doxing", "espionage", "ransomware"), ("disruption", "influence")
"""Technique classes that enter a system, and those that need not."""
MILITARY = ("militar", "defence", "defense", "armed forces")


def indicators(evidence: Evidence) -> list[Item]:
    """Return one row a factor: source, status, and items for, against and unknown; no total."""
    cells: dict[str, dict[str, list[Item]]] = {name: {"for": [], "against": [], "unknown": []} for name in SOURCES}

    def add(factor: str, side: str, text: str, documents: Iterable[str]) -> None:
        cells[factor][side].append(sourced(text, documents))

    for row in evidence.incidents:
        for factor, side, text in _of_incident(evidence, row):
            add(factor, side, text, evidence.of_incident(row))
    for factor, side, text in _of_actors(evidence):
        add(factor, side, text, evidence.all_reports())
    for link in evidence.links:
        side = "for" if link["p"] >= evidence.doctrine["campaign.link"] else "against"
        text = f"A link: {evidence.word(link['p'])} ({evidence.measured(link['p'], link['p_lo'], link['p_hi'])})."
        add("related?", side, text, evidence.of_link(link))
    if uncalibrated := len(evidence.links) - calibrated(evidence.links):
        add("related?", "unknown", f"Links that are not calibrated: {counted(uncalibrated, 'link')}.", evidence.of_links(evidence.links))
    for row in evidence.scores:
        if row["score_p50"] is not None:
            text = (
                f"The cumulative score of {state_of(row['target_state'])} is {Score.of_row(row)}; peak: {quoted(row['peak_words'])}; "
                f"status: {quoted(row['status'])}."
            )
            add("together scale and effects?", "unknown", text, evidence.everything)
    for row in evidence.views:
        if row["view"] == "same-originator":
            text = f"If only what sources suspect of {quoted(row['key'])} counted, the score of {state_of(row['target_state'])} "
            add("same originator?", "unknown", f"{text}would be {Score.of_row(row)}.", evidence.all_reports())
    for factor, cell in cells.items():
        if not any(cell.values()):
            add(factor, "unknown", "No field of the data speaks to this.", evidence.everything)
    return [{"factor": factor, "source": SOURCES[factor][0], "status": SOURCES[factor][1], **cell} for factor, cell in cells.items()]


def _of_incident(evidence: Evidence, row: Row) -> Sequence[tuple[str, str, str]]:
    name, sectors, kind = quoted(row["name"]), row["sectors"] or [], row["technique_class"] or "unknown"
    found = []
    if (level := row["level_mode"]) is None:
        found += [("severity", "unknown", f"{name} is graded nowhere."), ("measurability", "against", f"No source graded {name}.")]
    else:
        low, high = (level if row[key] is None else row[key] for key in ("level_lo", "level_hi"))
        side = "for" if level >= HIGH_LEVEL else "against" if level < LOW_LEVEL else "unknown"
        interval = f"interval {min(low, level):.1f}–{max(high, level):.1f}"
        text = f"{name}, on a scale of 0 to 5 before reach: level {level:.1f}, {interval}, {evidence.by}."
        found += [("severity", side, text), ("measurability", "for", f"A source graded {name}.")]
    if kind in (*INTRUSIVE, *OUTSIDE):
        side, text = ("for", "enters a system") if kind in INTRUSIVE else ("unknown", "need not enter a system")
        found.append(("invasiveness", side, f"The technique class of {name}, {quoted(kind)}, {text}."))
    military = any(word in sector.casefold() for sector in sectors for word in MILITARY)
    side = "for" if military else "against" if sectors else "unknown"
    found.append(("military character", side, f"Sectors of {name}: {', '.join(map(quoted, sectors)) or 'not told'}."))
    side, told = ("for", "yes") if row["critical"] else ("against", "no") if sectors else ("unknown", "not told")
    found.append(("nature of the target", side, f"{name}: critical sector {told}."))
    for actor in row["actors"] or ():
        text = f"{quoted(actor['name'])} is named by {quoted(actor['said_by'])} for {name}; a hypothesis of that source."
        found += [("identity of the originator", "unknown", text), ("state involvement", "unknown", text)]
    return found


def _of_actors(evidence: Evidence) -> Sequence[tuple[str, str, str]]:
    named: dict[str, Any] = named_actors(evidence)
    found = [
        ("same originator?", "for", f"{name} is named by sources for every incident.")
        for name, entry in named.items()
        if len(entry.incidents) == len(evidence.incidents) > 1
    ]
    if len(named) > 1:
        found.append(("same originator?", "against", f"Sources name {counted(len(named), 'different actor')}."))
    return found
