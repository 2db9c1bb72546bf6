"""Competing hypotheses (Heuer, Psychology of Intelligence Analysis, 1999, chapter 8): what the evidence speaks against.

Unknown, criminal and organic are always among the hypotheses; a named actor is there only because a source named it. Each piece of evidence
is consistent, inconsistent or not applicable under each. Its weight is its credibility: of an incident P(real), of a link p, of a
group 1 - q, of a naming the probability that the source gave it times the credibility of the incident. Its diagnosticity is the share
of pairs of hypotheses that it rates differently; what fits every hypothesis tells nothing. A hypothesis is told by the weight of what is
inconsistent with it, never by what fits it, and the least inconsistent is no verdict: unknown excludes nothing, so it is always among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greyzone.campaigns.evidence import Evidence, Item, Row, lag_of, sourced
from greyzone.words import counted, quoted

CONSISTENT, INCONSISTENT, NEUTRAL = "consistent", "inconsistent", "not applicable"
FIXED = ("unknown", "criminal", "organic")
NOBODY = ("unknown", "not available", "unknown - not attributed", "")
"""Names of actors that name nobody."""
EQUAL = 1e-9


@dataclass(slots=True)
class _Named:
    """An actor as sources name it: mass and who said so, and by incident the probability of it."""

    by: set[str]
    incidents: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of evidence with its ratings; what is not rated is not applicable, "*" rates every named actor."""

    text: str
    documents: list[str]
    weight: float
    ratings: Mapping[str, str]


def hypotheses(evidence: Evidence) -> dict[str, Any]:
    """Return the matrix.

    Returns
    -------
    dict
        "hypotheses": name, p with the least and largest over incidents (null where no source says), basis, and of the evidence against it
        the count (`inconsistent`) and weight (`inconsistency`). "evidence": text, documents, weight, ratings, diagnosticity. "reading": the
        least inconsistent, in sentences with documents.
    """
    named = named_actors(evidence)
    names = [*FIXED, *named]
    rows = [_rated(names, piece) for piece in _pieces(evidence, named)]
    against = {name: [row for row in rows if row["ratings"][name] == INCONSISTENT] for name in names}
    found = [
        {**entry, "inconsistent": len(against[entry["name"]]), "inconsistency": sum(row["weight"] for row in against[entry["name"]])}
        for entry in _hypotheses(evidence, named)
    ]
    return {"hypotheses": found, "evidence": rows, "reading": _reading(evidence, found, rows)}


def named_actors(evidence: Evidence) -> dict[str, Any]:
    """Return the actors that sources name, in quotation marks: who said so and, by incident, with what probability."""
    found: dict[str, _Named] = {}
    for row in evidence.incidents:
        for actor in row["actors"] or ():
            if (actor["name"] or "").casefold().strip() in NOBODY:
                continue
            entry = found.setdefault(quoted(actor["name"]), _Named(set(), {}))
            entry.by.add(actor["said_by"] or "an unnamed source")
            entry.incidents[row["incident_id"]] = max(entry.incidents.get(row["incident_id"], 0.0), actor["probability"] or 0.0)
    return dict(sorted(found.items()))


def _hypotheses(evidence: Evidence, named: Mapping[str, _Named]) -> list[Item]:
    credibility = {row["incident_id"]: row["credibility"] or 0.0 for row in evidence.incidents}
    weight = sum(credibility.values()) or 1.0
    mass = {name: sum(p * credibility[item] for item, p in entry.incidents.items()) / weight for name, entry in named.items()}
    scale = max(1.0, sum(mass.values()))
    rest = max(0.0, 1 - sum(mass.values()) / scale)
    found: list[Item] = [
        {"name": "unknown", "p": rest, "basis": "what no source assigns; it includes the criminal and the organic reading"},
        {"name": "criminal", "p": None, "basis": "always considered"},
        {"name": "organic", "p": None, "basis": "always considered"},
    ]
    for name, entry in named.items():
        by = ", ".join(quoted(source) for source in sorted(entry.by))
        over = [entry.incidents.get(item, 0.0) * pi for item, pi in credibility.items()]
        bounds = {"p_lo": min([*over, mass[name] / scale]), "p_hi": max([*over, mass[name] / scale])}
        found.append({"name": name, "p": mass[name] / scale, **bounds, "basis": f"named by {by}; a hypothesis of that source"})
    return found


def _pieces(evidence: Evidence, named: Mapping[str, _Named]) -> list[_Piece]:
    rows: list[_Piece] = []
    acted = {"unknown": CONSISTENT, "*": CONSISTENT}
    for group in evidence.groups:
        ordinary = any(test["fits"] for test in group["explanations"] or ())
        ratings = {**acted, "organic": CONSISTENT if ordinary else INCONSISTENT}
        weight = 1 - min(max(group["q"] or 0.0, 0.0), 1.0)
        rows.append(_Piece("Accounts share documents beyond chance.", evidence.of_group(group), weight, ratings))
    for link in evidence.links:
        label, documents = quoted(evidence.narrative(link["narrative_id"])["label"]), evidence.of_link(link)
        if lag_of(link, evidence.doctrine) == "prepare":
            rows.append(_Piece(f"{label} begins before the incident.", documents, link["p"], {**acted, "organic": INCONSISTENT}))
        elif link["lag_days"] is not None:
            ratings = {**acted, "criminal": CONSISTENT, "organic": CONSISTENT}
            rows.append(_Piece(f"{label} begins with or after the incident.", documents, link["p"], ratings))
        if (link["llr_artefact"] or 0) > 0:
            rows.append(_Piece(f"{label} shares an artefact with the incident.", documents, link["p"], {**acted, "organic": INCONSISTENT}))
    for row in evidence.incidents:
        if "ransom" in (row["technique_class"] or "").casefold():
            ratings = {"unknown": CONSISTENT, "criminal": CONSISTENT, "organic": INCONSISTENT}
            rows.append(_Piece(f"{quoted(row['name'])} uses extortion.", evidence.of_incident(row), row["credibility"] or 0.0, ratings))
    credibility = {row["incident_id"]: row["credibility"] or 0.0 for row in evidence.incidents}
    for name, entry in named.items():
        others = {other: INCONSISTENT for other in named if other != name}
        documents = [report for item in entry.incidents for report in evidence.of_incident(evidence.incident(item))]
        weight = max(p * credibility[item] for item, p in entry.incidents.items())
        rows.append(_Piece(f"A source names {name}.", documents, weight, {"unknown": CONSISTENT, name: CONSISTENT, **others}))
    return rows


def _rated(names: Sequence[str], piece: _Piece) -> Item:
    cells = {name: piece.ratings.get(name, NEUTRAL if name in FIXED else piece.ratings.get("*", NEUTRAL)) for name in names}
    values = list(cells.values())
    pairs = len(values) * (len(values) - 1) // 2
    same = sum(count * (count - 1) // 2 for count in (values.count(value) for value in (CONSISTENT, INCONSISTENT, NEUTRAL)))
    return {**sourced(piece.text, piece.documents), "weight": piece.weight, "ratings": cells, "diagnosticity": (pairs - same) / pairs}


def _reading(evidence: Evidence, found: Sequence[Row], rows: Sequence[Row]) -> list[Item]:
    telling = [row for row in rows if row["diagnosticity"] > 0]
    documents = list(dict.fromkeys(doc for row in telling for doc in row["documents"])) or evidence.everything
    if not any(entry["inconsistent"] for entry in found):
        text = "No piece of evidence is inconsistent with any hypothesis: it does not tell them apart."
        return [sourced(text, documents)]
    least = min(entry["inconsistency"] for entry in found)
    best = [entry["name"] for entry in found if entry["inconsistency"] <= least + EQUAL]
    sentences = [
        f"Least inconsistent with {counted(len(rows), 'piece')} of evidence, weighted by credibility: {', '.join(best)}; "
        f"{counted(len(telling), 'piece')} can tell hypotheses apart."
    ]
    others = [entry for entry in found if entry["name"] != "unknown"]
    if "unknown" in best:
        least = min(entry["inconsistency"] for entry in others)
        best = [entry["name"] for entry in others if entry["inconsistency"] <= least + EQUAL]
        sentences.append(
            f"Unknown excludes nothing and so nothing is inconsistent with it; beside it, least inconsistent: {', '.join(best)}."
        )
    sentences.append("This order is no finding on who acted.")
    return [sourced(text, documents) for text in sentences]
