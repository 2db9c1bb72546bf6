"""The parts of a campaign's profile: sentences, gaps, alternatives, hypotheses, indicators, phases and the timeline.

Every sentence carries the documents or reports behind it. Words of others stand in quotation marks. Hypotheses follow the analysis of
competing hypotheses (Heuer, 1999): each piece of evidence is consistent, inconsistent or not applicable under each, and its
diagnosticity is the share of pairs of hypotheses that it rates differently. Unknown, criminal and organic are always among them; a
named actor is there only because a source named it. The indicators lay out evidence under the factors of Schmitt (1999) and of the
Tallinn Manual 2.0 (names from memory: unverified); there is no total and no verdict.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from greyzone.doctrine import Doctrine
from greyzone.places import state_name
from greyzone.records import LINK_TYPES
from greyzone.words import Interval, counted, likelihood, quoted

Row = Mapping[str, Any]
Item = dict[str, Any]

CONSISTENT, INCONSISTENT, NEUTRAL = "consistent", "inconsistent", "not applicable"
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
HIGH_LEVEL, LOW_LEVEL = 3.0, 1.5
"""CISS 3 is "high"; below 1.5 rounds to "low"."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a profile speaks of: rows of the tables in order of ids, the last `scores`, and which cited ids are `documents`."""

    incidents: Sequence[Row]
    narratives: Sequence[Row]
    links: Sequence[Row]
    groups: Sequence[Row]
    scores: Sequence[Row]
    documents: frozenset[str]

    def of_incident(self, row: Row) -> list[str]:
        """Report ids behind an incident; its own id where it has none."""
        return list(row["reports"] or [row["incident_id"]])

    def of_narrative(self, row: Row) -> list[str]:
        """Exemplars of a narrative; its own id where none is a document of the case."""
        return [doc for doc in row["exemplars"] or () if doc in self.documents] or [row["narrative_id"]]

    def of_group(self, row: Row) -> list[str]:
        """Documents that show a group."""
        return [doc for doc in row["documents"] or () if doc in self.documents] or [row["group_id"]]

    def of_link(self, row: Row) -> list[str]:
        """Documents behind a link, else those of its two ends."""
        found = [doc for doc in row["evidence"] or () if doc in self.documents]
        return found or self.of_incident(self.incident(row["incident_id"])) + self.of_narrative(self.narrative(row["narrative_id"]))

    def all_reports(self) -> list[str]:
        """Every report id, once, in order."""
        return list(dict.fromkeys(report for row in self.incidents for report in self.of_incident(row)))

    def all_documents(self) -> list[str]:
        """Every exemplar, once, in order."""
        return list(dict.fromkeys(doc for row in self.narratives for doc in self.of_narrative(row)))

    def incident(self, identifier: str) -> Row:
        """Row of an incident."""
        return next(row for row in self.incidents if row["incident_id"] == identifier)

    def narrative(self, identifier: str) -> Row:
        """Row of a narrative."""
        return next(row for row in self.narratives if row["narrative_id"] == identifier)


def statements(evidence: Evidence, doctrine: Doctrine) -> list[Item]:
    """Return the sentences of the profile, likelihood and confidence apart, each with its documents."""
    found = [_item(_incident_sentence(row), evidence.of_incident(row)) for row in evidence.incidents]
    found += [_item(_narrative_sentence(row), evidence.of_narrative(row)) for row in evidence.narratives]
    for link in evidence.links:
        incident, narrative = evidence.incident(link["incident_id"]), evidence.narrative(link["narrative_id"])
        low, high = (link["p"] if link[key] is None else link[key] for key in ("p_lo", "p_hi"))
        found.append(
            _item(
                f"A link between {quoted(incident['name'])} and the narrative {quoted(narrative['label'])} is {likelihood(link['p'])} "
                f"(p {link['p']:.2f}, interval {low:.2f}–{high:.2f}); its likeliest type is {quoted(link['type'])}.",
                evidence.of_link(link),
            )
        )
        found.append(_item(_link_confidence(link), evidence.of_link(link)))
    for group in evidence.groups:
        text = (
            f"{counted(len(group['accounts'] or ()), 'account')} shared {counted(len(group['items'] or ()), 'item')} more often than "
            f"chance explains (q {_number(group['q'])}); this says nothing about who they are or what they intend."
        )
        found.append(_item(text, evidence.of_group(group)))
    for row in evidence.scores:
        found.append(_item(_score_sentence(row), evidence.all_reports() + evidence.all_documents()))
    found.append(_item(f"This profile is {doctrine.phrase('decision')}.", evidence.all_reports() + evidence.all_documents()))
    return found


def gaps(evidence: Evidence) -> list[str]:
    """Return what is not known, in sentences."""
    found = []
    for row in evidence.incidents:
        if (row["onset_precision"] or "unknown") not in ("second", "minute", "hour", "day"):
            found.append(f"The onset of {quoted(row['name'])} is known to the {quoted(row['onset_precision'] or 'unknown')} only.")
        if not row["end_lo"]:
            found.append(f"No source gives an end of {quoted(row['name'])}; it is taken as over at its onset.")
        if len(set(row["sources"] or ())) < 2:
            found.append(f"{quoted(row['name'])} rests on a single source.")
    if uncalibrated := sum(not link["calibrated"] for link in evidence.links):
        found.append(f"{uncalibrated} of {len(evidence.links)} link probabilities are uncalibrated: no labelled links were at hand.")
    languages = sorted({lang for row in evidence.narratives for lang in row["languages"] or ()} - {"und"})
    listed = ", ".join(map(quoted, languages)) or "none"
    found.append(f"The narratives were seen in {counted(len(languages), 'identified language')} ({listed}); others not.")
    if not evidence.groups:
        found.append(
            "No group of accounts was found to share the documents of these narratives beyond chance; that is not evidence of its absence."
        )
    marked = [row for row in evidence.scores if row["status"] != "ok"]
    return found + [f"The score of {_state(row['target_state'])} is marked {quoted(row['status'])}." for row in marked]


def alternatives(evidence: Evidence) -> list[Item]:
    """Return other readings of the same evidence, with their documents."""
    found = []
    for group in evidence.groups:
        for test in group["explanations"] or ():
            verdict = "fits" if test["fits"] else "does not fit"
            text = f"{quoted(test['name'])} as an explanation of a group of {len(group['accounts'] or ())} accounts {verdict}"
            text += f" (statistic {_number(test['statistic'])}, threshold {_number(test['threshold'])}): {quoted(test['note'])}."
            found.append(_item(text, evidence.of_group(group)))
    for link in evidence.links:
        weights = link["type_probabilities"] or []
        reporting = weights[LINK_TYPES.index("reports")] if len(weights) == len(LINK_TYPES) else None
        name, label = quoted(evidence.incident(link["incident_id"])["name"]), quoted(evidence.narrative(link["narrative_id"])["label"])
        if reporting is not None:
            text = f"That {label} is ordinary coverage of {name} is {likelihood(min(max(reporting, 0.0), 1.0))} ({reporting:.2f})."
            found.append(_item(text, evidence.of_link(link)))
        chance = f"That {name} and {label} are not linked at all has probability {1 - link['p']:.2f}."
        found.append(_item(chance, evidence.of_link(link)))
    return found


def hypotheses(evidence: Evidence) -> dict[str, Any]:
    """Return the hypotheses about who is behind it, their probabilities as sources give them, and the ACH rows."""
    named = _named(evidence)
    names = ["unknown", "criminal", "organic", *named]
    weight = sum(row["credibility"] or 0.0 for row in evidence.incidents) or 1.0
    mass = {name: min(1.0, entry["mass"] / weight) for name, entry in named.items()}
    scale = max(1.0, sum(mass.values()))
    rest = max(0.0, 1 - sum(mass.values()) / scale)
    found: list[Item] = [
        {"name": "unknown", "p": rest, "basis": "what no source assigns; it includes the criminal and the organic reading"},
        {"name": "criminal", "p": None, "basis": "always considered"},
        {"name": "organic", "p": None, "basis": "always considered"},
    ]
    for name, entry in named.items():
        by = ", ".join(quoted(source) for source in sorted(entry["by"]))
        found.append({"name": name, "p": mass[name] / scale, "basis": f"named by {by}; a hypothesis of that source"})
    return {"hypotheses": found, "evidence": [_rated(names, *row) for row in _ach(evidence, named)]}


def indicators(evidence: Evidence) -> list[Item]:
    """Return one row a factor with evidence for, against and unknown; no total."""
    cells: dict[str, dict[str, list[Item]]] = {
        name: {"for": [], "against": [], "unknown": []} for name in (*SCHMITT, *TALLINN, *CUMULATION)
    }

    def add(factor: str, side: str, text: str, documents: Iterable[str]) -> None:
        cells[factor][side].append(_item(text, list(documents)))

    for row in evidence.incidents:
        reports, name, sectors = evidence.of_incident(row), quoted(row["name"]), row["sectors"] or []
        level = row["level_mode"]
        graded = "unknown" if level is None or LOW_LEVEL <= level < HIGH_LEVEL else "for" if level >= HIGH_LEVEL else "against"
        add("severity", graded, f"{name} is graded {'nowhere' if level is None else f'{level:.1f} of 5 before reach'}.", reports)
        if level is not None:
            add("measurability", "for", f"A source graded {name}.", reports)
        military = any(word in sector.casefold() for sector in sectors for word in ("militar", "defence", "defense"))
        side = "for" if military else "against" if sectors else "unknown"
        add("military character", side, f"Sectors of {name}: {', '.join(map(quoted, sectors)) or 'not told'}.", reports)
        add(
            "nature of the target",
            "for" if row["critical"] else "against",
            f"{name}: critical sector {'yes' if row['critical'] else 'no'}.",
            reports,
        )
        for actor in row["actors"] or ():
            text = f"{quoted(actor['name'])} is named by {quoted(actor['said_by'])} for {name}; a hypothesis of that source."
            add("identity of the originator", "unknown", text, reports)
            add("state involvement", "unknown", text, reports)
    named = _named(evidence)
    everywhere = [name for name, entry in named.items() if len(entry["incidents"]) == len(evidence.incidents) > 1]
    for name in everywhere:
        add("same originator?", "for", f"{name} is named by sources for every incident.", evidence.all_reports())
    if len(named) > 1:
        add("same originator?", "against", f"Sources name {len(named)} different actors.", evidence.all_reports())
    for link in evidence.links:
        add("related?", "for" if link["p"] >= 0.5 else "against", f"A link has probability {link['p']:.2f}.", evidence.of_link(link))
    for row in evidence.scores:
        if row["excess"] is not None:
            text = f"The score against {quoted(row['target_state'])} is {_interval(row)}; status {quoted(row['status'])}."
            add("together scale and effects?", "unknown", text, evidence.all_reports())
    for factor, cell in cells.items():
        if not any(cell.values()):
            add(factor, "unknown", "No field of the data speaks to this.", evidence.all_reports())
    return [{"factor": factor, **cell} for factor, cell in cells.items()]


def phase(evidence: Evidence, doctrine: Doctrine) -> dict[str, Any]:
    """Return probabilities of the phases by the lag of narratives, weighted by link probability, one pseudo-link for each phase.

    A narrative that leads its incident by more than ``campaign.execute_before_days`` prepares; one that follows by more than
    ``campaign.execute_after_days`` sustains; what lies between is the execution.
    """
    sums = {"prepare": 1.0, "execute": 1.0, "sustain": 1.0}
    before, after = doctrine["campaign.execute_before_days"], doctrine["campaign.execute_after_days"]
    for link in evidence.links:
        lag = link["lag_days"]
        if lag is not None:
            sums["prepare" if lag < -before else "sustain" if lag > after else "execute"] += link["p"]
    total = sum(sums.values())
    return {"probabilities": {name: value / total for name, value in sums.items()}, "basis": "lag of the narratives; a simple rule"}


def timeline(evidence: Evidence) -> list[Item]:
    """Return begins and ends in order of time, with their precision and documents."""
    found = []
    for row in evidence.incidents:
        docs = evidence.of_incident(row)
        found.append(_moment(row["onset_lo"], row["onset_precision"] or "unknown", "incident", f"{quoted(row['name'])} begins", docs))
        found.append(_moment(row["end_lo"], "unknown", "incident", f"{quoted(row['name'])} ends", docs))
    for row in evidence.narratives:
        docs = evidence.of_narrative(row)
        found.append(_moment(row["onset_lo"], "day", "narrative", f"{quoted(row['label'])} is first seen", docs))
        found.append(_moment(row["last_seen"], "day", "narrative", f"{quoted(row['label'])} is last seen", docs))
    return sorted((item for item in found if item["time"]), key=lambda item: (item["time"], item["kind"], item["text"], item["documents"]))


def technique_rows(evidence: Evidence, techniques: Sequence[object]) -> list[Item]:
    """Return the techniques whose subject is part of the campaign, each with the words that triggered it as a quotation."""
    ids = {row["incident_id"] for row in evidence.incidents} | {row["narrative_id"] for row in evidence.narratives}
    ids |= {row["group_id"] for row in evidence.groups} | set(evidence.all_reports())
    found = []
    for technique in techniques:
        row = {name: getattr(technique, name) for name in ("framework", "id", "name", "subject", "trigger", "documents")}
        if row["subject"] in ids:
            row |= {"name": quoted(row["name"]), "trigger": quoted(row["trigger"]), "documents": list(row["documents"] or [row["subject"]])}
            found.append(row)
    return sorted(found, key=lambda row: (row["framework"], row["id"], row["subject"], row["trigger"]))


def _incident_sentence(row: Row) -> str:
    return (
        f"{quoted(row['name'])} is reported against {_state(row['target_state'])} with an onset "
        f"{_span(row['onset_lo'], row['onset_hi'])} (technique class {quoted(row['technique_class'] or 'unknown')}, "
        f"{counted(len(row['reports'] or ()), 'report')} of {counted(len(set(row['sources'] or ())), 'source')})."
    )


def _narrative_sentence(row: Row) -> str:
    return (
        f"The narrative {quoted(row['label'])} is carried by {counted(row['size'] or 0, 'document')} of "
        f"{counted(row['accounts'] or 0, 'account')} and {counted(row['outlets'] or 0, 'outlet')} "
        f"{_span(row['onset_lo'], row['last_seen'])}; one of them says {quoted(row['headline'])}."
    )


def _state(code: str | None) -> str:
    return state_name(code) if code else "an unknown state"


def _span(start: datetime | None, end: datetime | None) -> str:
    return f"on {_day(start)}" if _day(start) == _day(end) else f"between {_day(start)} and {_day(end)}"


def _link_confidence(link: Row) -> str:
    if not link["calibrated"]:
        placebo = link["placebo_precision"]
        chance = (
            "" if placebo is None else f"; incidents moved in time suggest that {placebo:.0%} of pairs this strong are more than chance"
        )
        return f"Confidence in this link is low: its probability is not calibrated on labelled links{chance}."
    wide = link["p_lo"] is None or link["p_hi"] is None or link["p_hi"] - link["p_lo"] > 0.3
    return f"Confidence in this link is {'low' if wide else 'moderate'}: it is calibrated{' but its interval is wide' if wide else ''}."


def _score_sentence(row: Row) -> str:
    state, day = _state(row["target_state"]), row["date"].isoformat()
    if row["score_p50"] is None:
        return f"No score is given for {state} on {day}: insufficient evidence."
    return (
        f"The cumulative score of {state} on {day} is {_interval(row)}, with the doctrine's uncertainty "
        f"{row['doctrine_p05']:.0f}–{row['doctrine_p95']:.0f} (doctrine {quoted(row['doctrine'])}, {row['doctrine_hash']}); "
        f"peak: {row['peak_words']}; status: {row['status']}."
    )


def _interval(row: Row) -> Interval:
    return Interval(row["score_p05"], row["score_p50"], row["score_p95"])


def _named(evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Actors that sources name, in quotation marks: probability mass over incidents, who said so, which incidents."""
    found: dict[str, dict[str, Any]] = {}
    for row in evidence.incidents:
        best: dict[str, float] = {}
        for actor in row["actors"] or ():
            if not actor["name"] or actor["name"].casefold() in ("unknown", "not available"):
                continue
            name = quoted(actor["name"])
            entry = found.setdefault(name, {"mass": 0.0, "by": set(), "incidents": []})
            entry["by"].add(actor["said_by"] or "an unnamed source")
            best[name] = max(best.get(name, 0.0), actor["probability"] or 0.0)
        for name, probability in best.items():
            found[name]["mass"] += probability * (row["credibility"] or 0.0)
            found[name]["incidents"].append(row["incident_id"])
    return dict(sorted(found.items()))


def _ach(evidence: Evidence, named: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[str], dict[str, str]]]:
    """Evidence, its documents, and ratings by hypothesis; what is not rated is not applicable, "*" rates every named actor."""
    rows: list[tuple[str, list[str], dict[str, str]]] = []
    for group in evidence.groups:
        ordinary = any(test["fits"] for test in group["explanations"] or ())
        ratings = {"unknown": CONSISTENT, "*": CONSISTENT, "organic": CONSISTENT if ordinary else INCONSISTENT}
        rows.append(("Accounts share documents beyond chance.", evidence.of_group(group), ratings))
    for link in evidence.links:
        label = quoted(evidence.narrative(link["narrative_id"])["label"])
        if link["lag_days"] is not None and link["lag_days"] < -1:
            ratings = {"unknown": CONSISTENT, "*": CONSISTENT, "organic": INCONSISTENT}
            rows.append((f"{label} begins before the incident.", evidence.of_link(link), ratings))
        else:
            ratings = {"unknown": CONSISTENT, "*": CONSISTENT, "criminal": CONSISTENT, "organic": CONSISTENT}
            rows.append((f"{label} begins with or after the incident.", evidence.of_link(link), ratings))
        if (link["llr_artefact"] or 0) > 0:
            ratings = {"unknown": CONSISTENT, "*": CONSISTENT, "organic": INCONSISTENT}
            rows.append((f"{label} shares an artefact with the incident.", evidence.of_link(link), ratings))
    extortion = {"criminal": CONSISTENT, "organic": INCONSISTENT}
    rows += [
        (f"{quoted(row['name'])} uses extortion.", evidence.of_incident(row), extortion)
        for row in evidence.incidents
        if "ransom" in (row["technique_class"] or "").casefold()
    ]
    for name, entry in named.items():
        others = {other: INCONSISTENT for other in named if other != name}
        docs = [report for incident in entry["incidents"] for report in evidence.of_incident(evidence.incident(incident))]
        rows.append((f"A source names {name}.", docs, {name: CONSISTENT, **others}))
    return rows


def _rated(names: Sequence[str], text: str, documents: list[str], ratings: Mapping[str, str]) -> Item:
    fixed = ("unknown", "criminal", "organic")
    cells = {name: ratings.get(name, NEUTRAL if name in fixed else ratings.get("*", NEUTRAL)) for name in names}
    pairs = list(itertools.combinations(cells.values(), 2))
    return _item(text, documents) | {"ratings": cells, "diagnosticity": sum(a != b for a, b in pairs) / len(pairs)}


def _item(text: str, documents: Sequence[str]) -> Item:
    return {"text": text, "documents": list(dict.fromkeys(documents))}


def _moment(time: datetime | None, precision: str, kind: str, text: str, documents: list[str]) -> Item:
    return {"time": time.isoformat() if time else None, "precision": precision, "kind": kind, "text": text, "documents": documents}


def _day(moment: datetime | None) -> str:
    return moment.date().isoformat() if moment else "an unknown date"


def _number(value: float | None) -> str:
    return "not told" if value is None else f"{value:.3g}"
