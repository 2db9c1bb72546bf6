"""Hybrid campaigns: incidents, narratives and groups that links tie together, with a profile of sourced sentences.

`greyzone.campaigns.ties` says which links may join, and `greyzone.campaigns.communities` groups them into campaigns that may share
incidents and narratives; each holds at least one of both. A group of accounts joins where at least ``campaign.group_share`` of the
documents that show it lie in the campaign's narratives; its probability is that of a document of it drawn at random. A campaign is a
hypothesis that things belong together; it names nobody.

Confidence (of the whole profile): high where every link is calibrated, every incident has two sources or more, and no alternative
explanation that was tested fits; moderate where every link is calibrated and some incident has two sources; low otherwise.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from greyzone.campaigns.ach import hypotheses, named_actors
from greyzone.campaigns.attribution import attributed, unattributed
from greyzone.campaigns.communities import Community, find_communities
from greyzone.campaigns.evidence import Evidence
from greyzone.campaigns.factors import indicators
from greyzone.campaigns.judgements import key_judgements
from greyzone.campaigns.phases import phase, technique_rows, timeline
from greyzone.campaigns.sentences import STORIES, alternatives, gaps, statements
from greyzone.campaigns.ties import Said, find_ties
from greyzone.campaigns.tracking import keep_ids
from greyzone.doctrine import Doctrine
from greyzone.errors import GreyzoneError
from greyzone.places import state_name
from greyzone.records import (
    ATTRIBUTIONS,
    CAMPAIGNS,
    DECISIONS,
    DOCUMENTS,
    GROUPS,
    INCIDENTS,
    LINKS,
    MEMBERS,
    NARRATIVES,
    VIEWS,
    ImpactResult,
    check,
    content_id,
    empty,
    table,
)
from greyzone.words import SCALES, marking, quoted, refused_among

Row = Mapping[str, Any]
KINDS = ("incident", "narrative", "group")
"""`kind` of the members of a profile."""


@dataclass(frozen=True, slots=True)
class Past:
    """What the case has from before.

    Attributes
    ----------
    campaigns
        Columns campaign_id, incidents, narratives of the last run.
    attributions
        `ATTRIBUTIONS`: what people set.
    update
        Number of this run.
    """

    campaigns: pa.Table = field(default_factory=lambda: empty(CAMPAIGNS))
    attributions: pa.Table = field(default_factory=lambda: empty(ATTRIBUTIONS))
    update: int = 0


@dataclass(frozen=True, slots=True)
class Profiles:
    """`campaigns` (`CAMPAIGNS`), `lineage` (`CAMPAIGN_LINEAGE` of this run), and how many links were bridges between campaigns."""

    campaigns: pa.Table
    lineage: pa.Table
    bridges: int


def profile_campaigns(
    tables: Mapping[str, pa.Table],
    impact_result: ImpactResult,
    techniques: Sequence[object],
    *,
    doctrine: Doctrine,
    past: Past | None = None,
) -> Profiles:
    """Profile every hybrid campaign.

    Parameters
    ----------
    tables
        incidents, narratives, members, groups, links and documents, of the schemas of those names; views and decisions where there are
        any.
    impact_result
        Scores and shares; the last date of each target state is told.
    techniques
        Records with ``framework``, ``id``, ``name``, ``subject``, ``trigger`` and ``documents``; ``quote``, ``stages`` and ``version``
        where they have them.
    doctrine
        Thresholds, refusal phrases, scale of likelihood, TLP and decision words.
    past
        Campaigns of the last run, whose ids go on, and what people set.

    Returns
    -------
    Profiles
        The campaign with the earliest window first.

    Raises
    ------
    GreyzoneError
        If a sentence of ours holds a refusal phrase; quotations are exempt and marked as such.
    InputError
        If the doctrine's TLP label or scale is none.
    """
    past = past or Past()
    marking(doctrine.phrase("tlp_default"))
    material = _Material.of(tables, impact_result, techniques, doctrine)
    ties, pairs, against = find_ties(material.links, material.incidents, material.narratives, material.said, doctrine=doctrine)
    found, bridges = find_communities(ties, kin=doctrine["campaign.kin"], gap_days=doctrine["campaign.gap_days"])
    proposed = {_proposed(part, pairs): part for part in found}
    kept = keep_ids(
        {row["campaign_id"]: frozenset([*row["incidents"], *row["narratives"]]) for row in past.campaigns.to_pylist()},
        {name: frozenset([*part.incidents, *part.narratives]) for name, part in proposed.items()},
        share=doctrine["campaign.kin_share"],
        update=past.update,
    )
    loose, refuted = _by_end([pairs[tie] for tie in bridges]), _by_end(against)
    set_by_people = attributed(past.attributions)
    by = f"doctrine {quoted(doctrine.id)}, hash {doctrine.hash}"
    rows = []
    for name, part in proposed.items():
        evidence = _evidence(material, part, [pairs[tie] for tie in part.ties], doctrine)
        own = [*part.incidents, *part.narratives]
        evidence = replace(evidence, by=by, bridges=_touching(loose, own), refuted=_touching(refuted, own))
        rows.append(_row(kept.ids[name], material, evidence, set_by_people.get(kept.ids[name], unattributed())))
    rows.sort(key=lambda row: (str(row["window_lo"]), str(row["campaign_id"])))
    for row in rows:
        _refuse(row, doctrine)
    return Profiles(table(rows, CAMPAIGNS), kept.events, len(bridges))


def _proposed(part: Community, pairs: Sequence[Row]) -> str:
    """Return the id of a campaign that has no past: with its links, since two parts in time may hold the same ends."""
    return content_id("cmp", *part.incidents, "|", *part.narratives, "|", *(pairs[tie]["link_id"] for tie in part.ties))


@dataclass(frozen=True, slots=True)
class _Material:
    """The tables by id, each in order of ids; `shares` has the share of a group's documents in each narrative, by narrative and group."""

    incidents: dict[str, Row]
    narratives: dict[str, Row]
    links: list[Row]
    groups: dict[str, Row]
    shares: dict[str, dict[str, float]]
    known: pa.Array
    scores: dict[str, Row]
    parts: dict[str, dict[str, float]]
    techniques: dict[str, list[object]]
    views: dict[str, list[Row]]
    said: Said

    @classmethod
    def of(cls, tables: Mapping[str, pa.Table], result: ImpactResult, techniques: Sequence[object], doctrine: Doctrine) -> _Material:
        groups, members = check(tables["groups"], GROUPS, "groups"), check(tables["members"], MEMBERS, "members")
        wanted = check(tables["links"], LINKS, "links")
        said = Said.of(tables.get("decisions", empty(DECISIONS)))
        # A table of links lists every pair above the prior; only those that can join are read into memory.
        decided = pc.is_in(wanted["link_id"], value_set=pa.array(sorted(said.rows), pa.string()))
        likely = pc.fill_null(pc.greater_equal(wanted["p"], doctrine["campaign.link"]), fill_value=False)
        wanted = wanted.filter(pc.or_(likely, decided))
        incidents = _by(check(tables["incidents"], INCIDENTS, "incidents"), "incident_id")
        narratives = _by(check(tables["narratives"], NARRATIVES, "narratives"), "narrative_id")
        links = [row for row in _by(wanted, "link_id").values() if row["incident_id"] in incidents and row["narrative_id"] in narratives]
        scores = _last_scores(result)
        by_subject: dict[str, list[object]] = defaultdict(list)
        for technique in techniques:
            by_subject[str(technique.subject)].append(technique)  # type: ignore[attr-defined]
        return cls(
            incidents,
            narratives,
            links,
            _by(groups, "group_id"),
            _group_shares(groups, members),
            check(tables["documents"], DOCUMENTS, "documents")["doc_id"].combine_chunks(),
            scores,
            _parts(result, scores),
            dict(by_subject),
            _views(check(tables.get("views", empty(VIEWS)), VIEWS, "views")),
            said,
        )


def _by_end(links: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for link in links:
        found[link["incident_id"]].append(link)
        found[link["narrative_id"]].append(link)
    return found


def _touching(links: Mapping[str, list[Row]], ends: Sequence[str]) -> list[Row]:
    """Return the links with one of these ends, once each, in order of ids."""
    found = {link["link_id"]: link for end in ends for link in links.get(end, ())}
    return [found[name] for name in sorted(found)]


def _evidence(material: _Material, part: Community, links: list[Row], doctrine: Doctrine) -> Evidence:
    incidents = [material.incidents[item] for item in part.incidents]
    narratives = [material.narratives[item] for item in part.narratives]
    held: dict[str, float] = defaultdict(float)
    drawn: dict[str, float] = defaultdict(float)
    for item, p in part.narratives.items():
        for group, share in material.shares.get(item, {}).items():
            held[group] += share
            drawn[group] += share * p
    joining = sorted(group for group, share in held.items() if share >= doctrine["campaign.group_share"] - 1e-12)
    groups = [material.groups[group] for group in joining]
    states = sorted({row["target_state"] for row in incidents if row["target_state"]})
    own = [*part.incidents, *part.narratives]
    return Evidence(
        incidents=incidents,
        narratives=narratives,
        links=sorted(links, key=lambda row: str(row["link_id"])),
        groups=groups,
        scores=[material.scores[state] for state in states if state in material.scores],
        documents=_present([*narratives, *links, *groups], material.known),
        doctrine=doctrine,
        said={link["link_id"]: material.said.rows.get(link["link_id"], ()) for link in links},
        probability={**part.incidents, **part.narratives, **{group: min(1.0, drawn[group]) for group in joining}},
        views=_seen_otherwise(material, incidents, states),
        parts={state: sum(by.get(item, 0.0) for item in own) for state in states if (by := material.parts.get(state)) is not None},
    )


def _seen_otherwise(material: _Material, incidents: Sequence[Row], states: Sequence[str]) -> list[Row]:
    """Return the views of the states that speak of these incidents: by an originator named for one, without a source of one."""
    keys = {("without source", source) for row in incidents for source in (*(row["sources"] or ()), STORIES)}
    keys |= {("same-originator", actor["state"] or actor["name"]) for row in incidents for actor in row["actors"] or ()}
    return [row for state in states for row in material.views.get(state, ()) if (row["view"], row["key"]) in keys]


def _row(name: str, material: _Material, evidence: Evidence, attribution: dict[str, str]) -> dict[str, object]:
    doctrine, probability = evidence.doctrine, evidence.probability
    starts = [row["onset_lo"] for row in (*evidence.incidents, *evidence.narratives) if row["onset_lo"]]
    ends = [row["end_hi"] or row["onset_hi"] for row in evidence.incidents]
    ends += [row["last_seen"] or row["onset_hi"] for row in evidence.narratives]
    first = max(evidence.incidents, key=lambda row: (probability[row["incident_id"]], row["incident_id"]))
    story = max(evidence.narratives, key=lambda row: (row["size"] or 0, row["narrative_id"]))
    more = len(evidence.incidents) + len(evidence.narratives) - 2
    ids = {kind: [row[f"{kind}_id"] for row in getattr(evidence, f"{kind}s")] for kind in ("incident", "narrative", "group", "link")}
    tagged = technique_rows(evidence, material.techniques)
    scale = SCALES[doctrine.phrase("scale")]
    confidence = _confidence(evidence)
    detail = {
        "key_judgements": key_judgements(evidence, confidence, len(named_actors(evidence))),
        "members": [{"kind": kind, "id": item, "probability": probability[item]} for kind in KINDS for item in ids[kind]],
        "phase": phase(evidence, tagged),
        "timeline": timeline(evidence),
        "techniques": tagged,
        "hypotheses": hypotheses(evidence),
        "indicators": indicators(evidence),
        "impact": [_told(row, evidence.parts.get(row["target_state"])) for row in evidence.scores],
        "bridges": [{key: row[key] for key in ("link_id", "incident_id", "narrative_id", "p", "p_lo", "p_hi")} for row in evidence.bridges],
        "attribution": attribution,
        "words": {"scale": scale.name, "source": scale.source, "status": scale.status},
        "decision": doctrine.phrase("decision"),
        "doctrine": evidence.by,
    }
    return {
        "campaign_id": name,
        "title": f"{quoted(story['label'])} and {quoted(first['name'])}" + (f" with {more} more" if more else ""),
        "target_states": sorted({row["target_state"] for row in evidence.incidents if row["target_state"]}),
        "window_lo": min(starts, default=None),
        "window_hi": max((end for end in ends if end), default=None),
        **{f"{kind}s": items for kind, items in ids.items()},
        "statements": statements(evidence, attribution),
        "gaps": gaps(evidence, attribution),
        "alternatives": alternatives(evidence),
        "confidence": confidence,
        "tlp": doctrine.phrase("tlp_default"),
        "profile": json.dumps(detail, ensure_ascii=False, sort_keys=True, allow_nan=False, default=str),
    }


def _told(row: Row, part: float | None) -> dict[str, Any]:
    """Return the last score of a state, with the sum of the shares of the campaign's items in the central score."""
    code = row["target_state"]
    return {**row, "target_state": quoted(code) if code and state_name(code) == code else code, "campaign_share": part}


def _confidence(evidence: Evidence) -> str:
    if not all(link["calibrated"] for link in evidence.links):
        return "low"
    several = [len(set(row["sources"] or ())) >= 2 for row in evidence.incidents]
    fitting = any(explanation["fits"] for group in evidence.groups for explanation in group["explanations"] or ())
    if all(several) and not fitting:
        return "high"
    return "moderate" if any(several) else "low"


def _refuse(row: Mapping[str, Any], doctrine: Doctrine) -> None:
    texts = [row["title"], row["confidence"], row["tlp"], *row["gaps"]]
    texts += [item["text"] for key in ("statements", "alternatives") for item in row[key]]
    texts += _strings(json.loads(row["profile"]))
    for text, phrase in refused_among(texts, doctrine):
        raise GreyzoneError(f"a profile sentence with {phrase!r}: {text[:120]}", "none of the refusal phrases outside quotations")


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, part in value.items() for text in (str(key), *_strings(part))]
    return [text for part in value for text in _strings(part)] if isinstance(value, list) else []


def _by(found: pa.Table, key: str) -> dict[str, Row]:
    return {row[key]: row for row in sorted(found.to_pylist(), key=lambda row: str(row[key]))}


def _present(rows: Sequence[Row], known: pa.Array) -> frozenset[str]:
    """Ids cited by the rows that are documents of the case."""
    cited = {doc for row in rows for name in ("exemplars", "evidence", "documents") for doc in row.get(name) or ()}
    wanted = pa.array(sorted(cited), pa.string())
    return frozenset(wanted.filter(pc.is_in(wanted, value_set=known)).to_pylist())


def _group_shares(groups: pa.Table, members: pa.Table) -> dict[str, dict[str, float]]:
    """Share of each group's documents that lie in each narrative, by narrative."""
    shown = {doc for docs in groups["documents"].to_pylist() for doc in docs or ()}
    wanted = members.filter(pc.is_in(members["doc_id"], value_set=pa.array(sorted(shown), pa.string())))
    narrative_of = dict(zip(wanted["doc_id"].to_pylist(), wanted["narrative_id"].to_pylist(), strict=True))
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for group in groups.select(["group_id", "documents"]).to_pylist():
        docs = sorted(set(group["documents"] or ()))
        for doc in docs:
            if narrative := narrative_of.get(doc):
                found[narrative][group["group_id"]] = found[narrative].get(group["group_id"], 0.0) + 1 / len(docs)
    return found


def _last_scores(result: ImpactResult) -> dict[str, Row]:
    return {row["target_state"]: row for row in sorted(result.impact.to_pylist(), key=lambda row: (row["target_state"], row["date"]))}


def _views(found: pa.Table) -> dict[str, list[Row]]:
    views: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(found.to_pylist(), key=lambda row: (row["target_state"], row["view"], row["key"])):
        views[row["target_state"]].append(row)
    return views


def _parts(result: ImpactResult, scores: Mapping[str, Row]) -> dict[str, dict[str, float]]:
    """Shares in the last central score by state and item."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for row in result.shares.to_pylist():
        state = row["target_state"]
        if state in scores and row["date"] == scores[state]["date"] and row["share"] is not None:
            found[state][row["item_id"]] = row["share"]
    return found
