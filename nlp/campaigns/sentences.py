"""The sentences of a profile, its gaps, and other readings of the same evidence.

Likelihood and confidence stand in separate sentences (ICD 203). Words of others stand in quotation marks. A probability stands with its
interval and doctrine, a statistic with its threshold, a score with its interval; any other number is a count.
"""

from __future__ import annotations

from typing import Any

from greyzone.campaigns.evidence import Evidence, Item, Row, day, sourced, span, state_of
from greyzone.records import LINK_TYPES
from greyzone.scores import Score
from greyzone.words import counted, quoted

STORIES = "documents"
"""Key of the view without narratives (`VIEWS`)."""
WIDE = 0.3
"""Width of a link's interval from which confidence in it is low, calibrated or not (judgement)."""


def statements(evidence: Evidence, attribution: Item) -> list[Item]:
    """Return the sentences of the profile, each with its documents.

    Parameters
    ----------
    evidence
        What the campaign is made of.
    attribution
        What a person set (`greyzone.campaigns.attribution.shown`).
    """
    found = [sourced(_incident(row), evidence.of_incident(row)) for row in evidence.incidents]
    found += [sourced(_narrative(row), evidence.of_narrative(row)) for row in evidence.narratives]
    for link in evidence.links:
        documents = evidence.of_link(link)
        found += [sourced(_link(evidence, link), documents), sourced(_link_confidence(link), documents)]
        found += [sourced(_decided(row), documents) for row in evidence.said.get(link["link_id"], ())]
    for group in evidence.groups:
        text = (
            f"{counted(len(group['accounts'] or ()), 'account')} shared {counted(len(group['items'] or ()), 'item')} more often than "
            f"chance explains ({evidence.tested('q', group['q'], evidence.doctrine['coordination.fdr'])}); this says nothing about who "
            "they are or what they intend."
        )
        found.append(sourced(text, evidence.of_group(group)))
    found += [sourced(score_sentence(row), evidence.everything) for row in evidence.scores]
    if attribution["value"] != "unknown":
        text = f"An attribution to {attribution['value']} was {attribution['note']} on {attribution['day']}; basis: {attribution['basis']}."
        found.append(sourced(text, evidence.everything))
    return [*found, sourced(f"This profile is {evidence.doctrine.phrase('decision')}.", evidence.everything)]


def gaps(evidence: Evidence, attribution: Item) -> list[str]:
    """Return what is not known, in sentences."""
    found = []
    for row in evidence.incidents:
        name, precision = quoted(row["name"]), row["onset_precision"] or "unknown"
        if precision not in ("second", "minute", "hour", "day"):
            found.append(f"The onset of {name} is known to the {quoted(precision)} only.")
        if not row["end_lo"]:
            found.append(f"No source gives an end of {name}; it is taken as over at its onset.")
        if len(set(row["sources"] or ())) < 2:
            found.append(f"{name} rests on a single source.")
        if row["level_mode"] is None:
            found.append(f"No source grades the severity of {name}.")
    if uncalibrated := sum(not link["calibrated"] for link in evidence.links):
        found.append(f"{uncalibrated} of {counted(len(evidence.links), 'link')} uncalibrated: no labelled links were at hand.")
    languages = sorted({lang for row in evidence.narratives for lang in row["languages"] or ()} - {"und"})
    listed = ", ".join(map(quoted, languages)) or "none"
    found.append(f"The narratives were seen in {counted(len(languages), 'identified language')} ({listed}); others not.")
    if not evidence.groups:
        found.append(
            "No group of accounts was found to share the documents of these narratives beyond chance; that is not evidence of its absence."
        )
    marked = [row for row in evidence.scores if row["status"] != "ok"]
    found += [f"The score of {state_of(row['target_state'])} is marked {quoted(row['status'])}." for row in marked]
    if attribution["value"] == "unknown":
        found.append("Who is behind it is unknown: no person has set an attribution.")
    return found


def alternatives(evidence: Evidence) -> list[Item]:
    """Return other readings of the same evidence, with their documents."""
    found = []
    for group in evidence.groups:
        for test in group["explanations"] or ():
            verdict = "fits" if test["fits"] else "does not fit"
            text = (
                f"{quoted(test['name'])} as an explanation of a group of {counted(len(group['accounts'] or ()), 'account')} {verdict} "
                f"({evidence.tested('statistic', test['statistic'], test['threshold'])}): {quoted(test['note'])}."
            )
            found.append(sourced(text, evidence.of_group(group)))
    for link in evidence.links:
        found += _other_readings(evidence, link)
    for row in evidence.views:
        if row["view"] == "without source":
            told = "any narrative" if row["key"] == STORIES else f"what {quoted(row['key'])} tells"
            text = f"Without {told}, the score of {state_of(row['target_state'])} would be {Score.of_row(row)}."
            found.append(sourced(text, evidence.everything))
    if evidence.refuted:
        text = f"Links of its incidents and narratives that people decided against: {counted(len(evidence.refuted), 'link')}."
        found.append(sourced(text, evidence.everything))
    if evidence.bridges:
        text = f"Links of its incidents and narratives that lead elsewhere and join nothing: {counted(len(evidence.bridges), 'link')}."
        found.append(sourced(text, evidence.everything))
    return found


def score_sentence(row: Row) -> str:
    """Return the score of a state in one sentence, or that there is none."""
    state, when = state_of(row["target_state"]), row["date"].isoformat()
    if row["score_p50"] is None:
        return f"No score is given for {state} on {when}: insufficient evidence."
    return (
        f"The cumulative score of {state} on {when} is {Score.of_row(row)}, with the doctrine's own uncertainty an interval "
        f"{row['doctrine_p05']:.0f}–{row['doctrine_p95']:.0f}; peak: {quoted(row['peak_words'])}; status: {quoted(row['status'])}."
    )


def reporting_of(link: Row) -> float | None:
    """Return the probability that a link is ordinary coverage; None where the types have none."""
    weights: list[Any] = link["type_probabilities"] or []
    return float(weights[LINK_TYPES.index("reports")]) if len(weights) == len(LINK_TYPES) else None


def rivals_of(link: Row) -> list[Row]:
    """Return the other incidents that fit the narrative of a link at least as well."""
    return [rival for rival in link["rivals"] or () if rival["p"] is not None and rival["p"] >= link["p"]]


def _incident(row: Row) -> str:
    return (
        f"{quoted(row['name'])} is reported against {state_of(row['target_state'])} with an onset "
        f"{span(row['onset_lo'], row['onset_hi'])} (technique class {quoted(row['technique_class'] or 'unknown')}, "
        f"{counted(len(row['reports'] or ()), 'report')} of {counted(len(set(row['sources'] or ())), 'source')})."
    )


def _narrative(row: Row) -> str:
    return (
        f"The narrative {quoted(row['label'])} is carried by {counted(row['size'] or 0, 'document')} of "
        f"{counted(row['accounts'] or 0, 'account')} and {counted(row['outlets'] or 0, 'outlet')} "
        f"{span(row['onset_lo'], row['last_seen'])}; one of them says {quoted(row['headline'])}."
    )


def _link(evidence: Evidence, link: Row) -> str:
    name, label = _ends(evidence, link)
    return (
        f"That {name} and the narrative {label} are linked: {evidence.word(link['p'])} "
        f"({evidence.measured(link['p'], link['p_lo'], link['p_hi'])}); the likeliest type of the link is {quoted(link['type'])}."
    )


def _link_confidence(link: Row) -> str:
    if not link["calibrated"]:
        return "Confidence in this link is low: its probability is not calibrated on labelled links."
    wide = link["p_lo"] is None or link["p_hi"] is None or link["p_hi"] - link["p_lo"] > WIDE
    return f"Confidence in this link is {'low' if wide else 'moderate'}: it is calibrated{' but its interval is wide' if wide else ''}."


def _decided(row: Row) -> str:
    kind = f" (type {quoted(row['type'])})" if row["type"] else ""
    note = f": {quoted(row['note'])}" if row["note"] else ""
    return f"On whether these two belong together, {quoted(row['who'])} said {quoted(row['decision'])}{kind} on {row['day']}{note}."


def _other_readings(evidence: Evidence, link: Row) -> list[Item]:
    name, label = _ends(evidence, link)
    documents = evidence.of_link(link)
    found = []
    if (reporting := reporting_of(link)) is not None:
        found.append(sourced(f"That {label} is ordinary coverage of {name}: {evidence.word(reporting)}.", documents))
    low, high = (None if link[key] is None else 1 - link[key] for key in ("p_hi", "p_lo"))
    text = f"That {name} and {label} are not linked at all: {evidence.word(1 - link['p'])} ({evidence.measured(1 - link['p'], low, high)})."
    found.append(sourced(text, documents))
    if link["placebo_precision"] is not None:
        found.append(sourced(_chance(link["placebo_precision"], name, label), documents))
    if rivals := rivals_of(link):
        text = f"Incidents that fit {label} at least as well as {name} does: {counted(len(rivals), 'other incident')}."
        found.append(sourced(text, documents))
    return found


def _chance(precision: float, name: str, label: str) -> str:
    # Above one half, fewer than half of the narratives have such a link by chance; below, look-alike incidents alone may lower it.
    share = "less than half as many narratives have" if precision > 0.5 else "half as many narratives or more may have"
    return (
        f"With incidents moved in time, {share} a link at least as likely as that of {name} and {label}; this tests the timing alone, "
        "weakly where such links are few, and is no probability that the link is true."
    )


def _ends(evidence: Evidence, link: Row) -> tuple[str, str]:
    return quoted(evidence.incident(link["incident_id"])["name"]), quoted(evidence.narrative(link["narrative_id"])["label"])


def first_day(evidence: Evidence) -> str:
    """Return the first day of anything in the campaign."""
    return day(min((row["onset_lo"] for row in (*evidence.incidents, *evidence.narratives) if row["onset_lo"]), default=None))


def last_day(evidence: Evidence) -> str:
    """Return the last day of anything in the campaign."""
    ends = [row["end_hi"] or row["onset_hi"] for row in evidence.incidents]
    ends += [row["last_seen"] or row["onset_hi"] for row in evidence.narratives]
    return day(max((end for end in ends if end), default=None))
