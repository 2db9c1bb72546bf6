"""When things happened and of which stage they are: timeline, DISARM phase by ATT&CK tactic, and techniques.

Phase. Pieces of evidence name a DISARM phase, an ATT&CK tactic or both, each with a weight; the unknown phase has the weight of
``campaign.phase_unknown`` pieces, and what a piece does not say is unknown too:

    P(phase) = (weight of the pieces of the phase) / (phase_unknown + weight of all pieces of that framework)

- the lag of a narrative behind its incident: before it P02 Prepare, else P03 Execute (with it, or sustaining it: DISARM has both tactics,
  TA09 and TA11, in P03); weight p of the link.
- a technique that was tagged: the phase or the tactics that its framework lists for it, weight 1, split evenly.
- the technique class of an incident, where no technique of it was tagged: the tactic below (judgement), weight its credibility.

Nothing that is measured here speaks to P01 Plan or P04 Assess, so they get no mass; that says nothing about whether they took place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from greyzone.campaigns.evidence import Evidence, Item, lag_of, sourced
from greyzone.records import PRECISIONS
from greyzone.words import quoted

PHASES = {"P01": "Plan", "P02": "Prepare", "P03": "Execute", "P04": "Assess"}
"""Phases of DISARM, data of February 2025."""
LAGS = {"prepare": "P02", "execute": "P03", "sustain": "P03"}
TACTICS = {
    "disruption": "impact",
    "ransomware": "impact",
    "defacement": "impact",
    "data theft": "exfiltration",
    "doxing": "exfiltration",
    "espionage": "collection",
    "hijacking": "initial-access",
}
"""ATT&CK Enterprise tactic of a technique class: the last one that it must have reached (judgement)."""
UNKNOWN = "unknown"


def phase(evidence: Evidence, techniques: Sequence[Item]) -> dict[str, Any]:
    """Return probabilities of the stages and what they rest on.

    Returns
    -------
    dict
        "disarm" and "attack": probability by phase or tactic, "unknown" among them. "joint": rows {disarm, attack, p} over links.
        "rests_on": pieces with text, documents, weight. "probabilities": of prepare, execute and sustain by the lags alone, with one
        pseudo-link each; "basis" says how.
    """
    lags = [(link, lag) for link in evidence.links if (lag := lag_of(link, evidence.doctrine)) is not None]
    tactics = _tactics(evidence, techniques)
    pieces: list[Item] = []
    disarm, attack = dict.fromkeys(PHASES, 0.0), dict[str, float]()
    for link, lag in lags:
        label, name = quoted(evidence.narrative(link["narrative_id"])["label"]), quoted(evidence.incident(link["incident_id"])["name"])
        text = f"{label} {'leads' if lag == 'prepare' else 'comes with' if lag == 'execute' else 'follows'} {name}: {LAGS[lag]}."
        pieces.append({**sourced(text, evidence.of_link(link)), "weight": link["p"]})
        disarm[LAGS[lag]] += link["p"]
    for tag in techniques:
        stages = tag.get("stages") or []
        table = disarm if tag["framework"] == "DISARM" else attack
        for stage in stages:
            table[stage] = table.get(stage, 0.0) + 1 / len(stages)
        if stages:
            text = f"Technique {tag['id']} {tag['name']} is of {', '.join(stages)}."
            pieces.append({**sourced(text, tag["documents"]), "weight": 1.0})
    tagged = {tag["subject"] for tag in techniques if tag["framework"] != "DISARM" and tag.get("stages")}
    for row in evidence.incidents:
        tactic, weight = TACTICS.get(row["technique_class"] or ""), row["credibility"] or 0.0
        if tactic and row["incident_id"] not in tagged:
            attack[tactic] = attack.get(tactic, 0.0) + weight
            text = f"The technique class of {quoted(row['name'])} is {quoted(row['technique_class'])}: {tactic}."
            pieces.append({**sourced(text, evidence.of_incident(row)), "weight": weight})
    unknown = evidence.doctrine["campaign.phase_unknown"]
    by_lag = dict.fromkeys(LAGS, 1.0)
    for link, lag in lags:
        by_lag[lag] += link["p"]
    return {
        "disarm": _shares(disarm, unknown),
        "attack": _shares(attack, unknown),
        "joint": _joint(evidence, tactics, unknown),
        "rests_on": pieces,
        "probabilities": {name: value / sum(by_lag.values()) for name, value in by_lag.items()},
        "basis": "lag of the narratives, techniques tagged, technique class of incidents; a simple rule",
    }


def timeline(evidence: Evidence) -> list[Item]:
    """Return begins, disclosures and ends in order of time, with their precision and documents."""
    found = []
    for row in evidence.incidents:
        docs, name = evidence.of_incident(row), quoted(row["name"])
        precision = row["onset_precision"] if row["onset_precision"] in PRECISIONS else UNKNOWN
        found.append(_moment(row["onset_lo"], precision, "incident", f"{name} begins", docs))
        found.append(_moment(row["disclosed_lo"], UNKNOWN, "incident", f"{name} becomes public", docs))
        found.append(_moment(row["end_lo"], UNKNOWN, "incident", f"{name} ends", docs))
    for row in evidence.narratives:
        docs, label = evidence.of_narrative(row), quoted(row["label"])
        found.append(_moment(row["onset_lo"], "day", "narrative", f"{label} is first seen", docs))
        found.append(_moment(row["last_seen"], "day", "narrative", f"{label} is last seen", docs))
    return sorted((item for item in found if item["time"]), key=lambda item: (item["time"], item["kind"], item["text"], item["documents"]))


def technique_rows(evidence: Evidence, techniques: Mapping[str, Sequence[object]]) -> list[Item]:
    """Return the techniques of what is in the campaign, each with the words that triggered it as a quotation.

    Parameters
    ----------
    evidence
        What the campaign is made of.
    techniques
        Records with ``framework``, ``id``, ``name``, ``subject``, ``trigger``, ``documents`` and, if known, ``quote``, ``stages`` and
        ``version``, by subject.
    """
    ids = {row["incident_id"] for row in evidence.incidents} | {row["narrative_id"] for row in evidence.narratives}
    ids |= {row["group_id"] for row in evidence.groups} | set(evidence.all_reports())
    found = [_technique(technique) for subject in sorted(ids) for technique in techniques.get(subject, ())]
    return sorted(found, key=lambda row: (row["framework"], row["id"], row["subject"], row["trigger"]))


def _technique(technique: object) -> Item:
    row: Item = {name: getattr(technique, name) for name in ("framework", "id", "name", "subject", "trigger", "documents")}
    row |= {"name": quoted(row["name"]), "trigger": quoted(row["trigger"]), "documents": list(row["documents"] or [row["subject"]])}
    row["stages"] = list(getattr(technique, "stages", ()))
    if version := getattr(technique, "version", ""):
        row["version"] = version
    if quote := getattr(technique, "quote", None):
        row["quote"] = quoted(quote)
    return row


def _tactics(evidence: Evidence, techniques: Sequence[Item]) -> dict[str, list[str]]:
    """Return the tactics of each incident: those of its techniques, else that of its class, else unknown."""
    found: dict[str, list[str]] = {}
    for tag in techniques:
        if tag["framework"] != "DISARM":
            found.setdefault(tag["subject"], []).extend(tag.get("stages") or ())
    for row in evidence.incidents:
        if not found.get(row["incident_id"]):
            found[row["incident_id"]] = [TACTICS.get(row["technique_class"] or "", UNKNOWN)]
    return found


def _joint(evidence: Evidence, tactics: Mapping[str, Sequence[str]], unknown: float) -> list[Item]:
    cells: dict[tuple[str, str], float] = {(UNKNOWN, UNKNOWN): unknown}
    for link in evidence.links:
        lag = lag_of(link, evidence.doctrine)
        of = tactics[link["incident_id"]]
        for tactic in of:
            cell = (LAGS[lag] if lag else UNKNOWN, tactic)
            cells[cell] = cells.get(cell, 0.0) + link["p"] / len(of)
    total = sum(cells.values())
    return [{"disarm": one, "attack": other, "p": weight / total} for (one, other), weight in sorted(cells.items())]


def _shares(weights: Mapping[str, float], unknown: float) -> dict[str, float]:
    total = unknown + sum(weights.values())
    return {name: weight / total for name, weight in sorted(weights.items())} | {UNKNOWN: unknown / total}


def _moment(time: datetime | None, precision: str, kind: str, text: str, documents: Iterable[str]) -> Item:
    return {"time": time.isoformat() if time else None, "precision": precision, "kind": kind, "text": text, "documents": list(documents)}
