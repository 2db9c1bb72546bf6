"""The key judgements that open a profile: what it is made of, how it builds up, how sure that is, what speaks against, what is not known.

They repeat in a few sentences what the profile shows in full, and nothing else. How much a campaign adds to a score is told in words, as
the shares of single items have intervals of their own, which do not add up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from greyzone.campaigns.evidence import Evidence, Item, Row, calibrated, sourced, state_of
from greyzone.campaigns.sentences import first_day, last_day, reporting_of, rivals_of, score_sentence
from greyzone.words import counted, quoted

MOST, SOME = 0.55, 0.45
"""Shares from which a part is told as most, and as about half (the "roughly even" band of ICD 203)."""


def key_judgements(evidence: Evidence, confidence: str, named: int) -> list[Item]:
    """Return five or six sentences with their topic and documents.

    Parameters
    ----------
    evidence
        What the campaign is made of.
    confidence
        "low", "moderate" or "high" for the whole.
    named
        How many actors sources name.
    """
    judged = [("made of", _made_of(evidence), evidence.everything)]
    state = max(evidence.scores, key=lambda row: (evidence.parts.get(row["target_state"], 0.0), row["target_state"] or ""), default=None)
    if state is None:
        judged.append(("builds up", "How it builds up is not told: no state of it has a score.", evidence.everything))
    else:
        judged.append(("builds up", f"{score_sentence(state)[:-1]}; {_build_up(evidence, state)}.", evidence.everything))
    weakest = min(evidence.links, key=lambda link: (link["p"], link["link_id"]))
    measured = evidence.measured(weakest["p"], weakest["p_lo"], weakest["p_hi"])
    links = counted(len(evidence.links), "link")
    text = f"That what it joins belongs together, by the weakest of {links}: {evidence.word(weakest['p'])} ({measured})."
    judged.append(("how sure", text, evidence.of_link(weakest)))
    judged.append(("how sure", _confidence(evidence, confidence), evidence.of_links(evidence.links)))
    judged.append(("against", _against(evidence), evidence.everything))
    who = f"sources name {counted(named, 'actor')} as hypotheses of theirs" if named else "no source names an actor"
    text = f"Not known is who is behind it ({who}) and whether its parts were meant together; {evidence.doctrine.phrase('decision')}."
    judged.append(("not known", text, evidence.everything))
    return [{"topic": topic, **sourced(text, documents)} for topic, text, documents in judged]


def _made_of(evidence: Evidence) -> str:
    states = ", ".join(sorted({state_of(row["target_state"]) for row in evidence.incidents}))
    parts = [counted(len(evidence.incidents), "incident"), counted(len(evidence.narratives), "narrative")]
    parts.append(counted(len(evidence.groups), "group") + " of accounts")
    return (
        f"This hypothesis of a campaign against {states} joins {', '.join(parts)} by {counted(len(evidence.links), 'link')}, from "
        f"{first_day(evidence)} to {last_day(evidence)}."
    )


def _build_up(evidence: Evidence, row: Row) -> str:
    if row["score_p50"] is None:
        return "how it builds up is not told"
    told = []
    if row["excess"] is not None and row["dose"] is not None and row["peak"] is not None:
        whole = row["excess"] + row["peak"]
        if whole > 0:
            told.append(f"its largest single item taken alone would give {_part(row['peak'] / whole)} of it")
    if (mine := evidence.parts.get(row["target_state"])) is not None and row["excess"] is not None and row["peak"] is not None:
        whole = row["excess"] + row["peak"]
        told.append(f"{_part(mine / whole if whole > 0 else 0.0)} of it is carried by what this campaign joins")
    if row["tempo_p"] is None or row["tempo"] is None:
        told.append("its tempo is not told")
    else:
        beyond = row["tempo_p"] <= evidence.doctrine["campaign.tempo_level"]
        way = "above" if row["tempo"] > 1 else "not above"
        chance = "more than chance timing" if beyond else "no more than chance timing"
        told.append(f"the dose of its last month lies {way} the mean of its year, {chance} gives")
    return "; ".join(told)


def _part(share: float) -> str:
    return "most" if share > MOST else "about half" if share >= SOME else "less than half"


def _confidence(evidence: Evidence, confidence: str) -> str:
    links, sure = len(evidence.links), calibrated(evidence.links)
    several = sum(len(set(row["sources"] or ())) >= 2 for row in evidence.incidents)
    text = f"Confidence in this profile is {confidence}: {sure} of {counted(links, 'link')} calibrated"
    text += f", {several} of {counted(len(evidence.incidents), 'incident')} told by two sources or more"
    if agreed := _count(evidence.links, lambda link: any(row["decision"] == "yes" for row in evidence.said.get(link["link_id"], ()))):
        text += f", {agreed} of {counted(links, 'link')} confirmed by a person"
    known = [link for link in evidence.links if link["placebo_precision"] is not None]
    if known:
        held = sum(link["placebo_precision"] > 0.5 for link in known)
        text += f"; for {held} of {counted(len(known), 'link')} incidents moved in time give at most half as many pairs that strong"
    return text + "."


def _against(evidence: Evidence) -> str:
    tests = [test for group in evidence.groups for test in group["explanations"] or ()]
    fitting = sorted({quoted(test["name"]) for test in tests if test["fits"]})
    found: list[str] = []
    if fitting:
        found.append(f"an explanation without coordination fits its groups ({', '.join(fitting)})")
    if rivals := _count(evidence.links, lambda link: bool(rivals_of(link))):
        found.append(f"other incidents fit the narratives at least as well ({counted(rivals, 'link')})")
    if coverage := _count(evidence.links, lambda link: (reporting_of(link) or 0.0) >= SOME):
        found.append(f"ordinary coverage is as good a reading ({counted(coverage, 'link')})")
    if loose := _count(evidence.links, lambda link: link["type"] == "co-occurs"):
        found.append(f"nothing but time ties some of it ({counted(loose, 'link')} of mere co-occurrence)")
    if evidence.bridges:
        found.append(f"links lead out of it ({counted(len(evidence.bridges), 'link')})")
    if found:
        return f"Against it speaks that {'; '.join(found)}."
    return "Nothing that was tested speaks against it; what was not tested may."


def _count(links: Sequence[Row], holds: Callable[[Row], bool]) -> int:
    return sum(holds(link) for link in links)
