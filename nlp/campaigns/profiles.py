"""Hybrid campaigns: incidents, narratives and groups that links tie together, with a profile of sourced sentences.

A campaign is a connected component of the graph of incidents and narratives whose edges are the links with probability from
``campaign.link`` on and a type other than plain reporting, so it holds at least one of each. A group of accounts joins where at least
``campaign.group_share`` of the documents that show it belong to the campaign's narratives. A campaign is a hypothesis that things
belong together; it names nobody. Components are disjoint: one long chain of links is one campaign, and its size says so.

Confidence (of the whole profile): high where every link is calibrated, every incident has two sources or more, and no alternative
explanation that was tested fits; moderate where every link is calibrated and some incident has two sources; low otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from greyzone.campaigns.assessment import Evidence, alternatives, gaps, hypotheses, indicators, phase, statements, technique_rows, timeline
from greyzone.doctrine import Doctrine
from greyzone.errors import GreyzoneError
from greyzone.records import CAMPAIGNS, DOCUMENTS, GROUPS, INCIDENTS, LINKS, MEMBERS, NARRATIVES, ImpactResult, check, content_id, table
from greyzone.words import quoted, refused

Row = Mapping[str, Any]


def build_campaigns(
    incidents: pa.Table,
    narratives: pa.Table,
    members: pa.Table,
    groups: pa.Table,
    links: pa.Table,
    documents: pa.Table,
    impact_result: ImpactResult,
    techniques: Sequence[object],
    *,
    doctrine: Doctrine,
) -> pa.Table:
    """Profile every hybrid campaign.

    Parameters
    ----------
    incidents, narratives, members, groups, links, documents
        Tables of the schemas of those names.
    impact_result
        Scores and shares; the last date of each target state is told.
    techniques
        Records with ``framework``, ``id``, ``name``, ``subject``, ``trigger`` and ``documents``.
    doctrine
        Thresholds, refusal phrases, TLP and decision words.

    Returns
    -------
    pyarrow.Table
        `CAMPAIGNS`, the campaign with the earliest window first.

    Raises
    ------
    GreyzoneError
        If a sentence of ours holds a refusal phrase; quotations are exempt and marked as such.
    """
    cyber = _by(check(incidents, INCIDENTS, "incidents"), "incident_id")
    told = _by(check(narratives, NARRATIVES, "narratives"), "narrative_id")
    pairs = [
        link
        for link in _by(check(links, LINKS, "links"), "link_id").values()
        if link["incident_id"] in cyber and link["narrative_id"] in told
    ]
    known = check(documents, DOCUMENTS, "documents")["doc_id"]
    shares = _group_shares(check(groups, GROUPS, "groups"), check(members, MEMBERS, "members"))
    accounts = _by(groups, "group_id")
    scores = _last_scores(impact_result)
    rows = []
    for ids in components(pairs, threshold=doctrine["campaign.link"]):
        part = _Parts(
            [cyber[item] for item in ids if item in cyber],
            [told[item] for item in ids if item in told],
            [
                link
                for link in pairs
                if link["incident_id"] in ids and link["narrative_id"] in ids and link["p"] >= doctrine["campaign.link"]
            ],
            [accounts[group] for group in _joining(shares, ids, doctrine["campaign.group_share"])],
        )
        rows.append(_row(part, known, scores, techniques, doctrine))
    rows.sort(key=lambda row: (str(row["window_lo"]), str(row["campaign_id"])))
    for row in rows:
        _refuse(row, doctrine)
    return table(rows, CAMPAIGNS)


def components(links: Iterable[Row], *, threshold: float) -> list[list[str]]:
    """Return the sorted ids of each connected component over links with p from `threshold` on that are not mere reporting."""
    parent: dict[str, str] = {}

    def root(item: str) -> str:
        while parent.setdefault(item, item) != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for link in links:
        if link["p"] is not None and link["p"] >= threshold and link["type"] != "reports":
            low, high = sorted((root(link["incident_id"]), root(link["narrative_id"])))
            parent[high] = low
    found: dict[str, list[str]] = {}
    for item in sorted(parent):
        found.setdefault(root(item), []).append(item)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _Parts:
    """What one campaign is made of, each list in order of ids."""

    incidents: list[Row]
    narratives: list[Row]
    links: list[Row]
    groups: list[Row]


def _row(part: _Parts, known: pa.Array, scores: Mapping[str, Row], techniques: Sequence[object], doctrine: Doctrine) -> dict[str, object]:
    states = sorted({row["target_state"] for row in part.incidents if row["target_state"]})
    evidence = Evidence(
        incidents=part.incidents,
        narratives=part.narratives,
        links=part.links,
        groups=part.groups,
        scores=[scores[state] for state in states if state in scores],
        documents=_present(part, known),
    )
    starts = [row["onset_lo"] for row in (*part.incidents, *part.narratives) if row["onset_lo"]]
    ends = [row["end_hi"] or row["onset_hi"] for row in part.incidents] + [row["last_seen"] or row["onset_hi"] for row in part.narratives]
    ends = [end for end in ends if end]
    first, story = part.incidents[0], max(part.narratives, key=lambda row: (row["size"] or 0, row["narrative_id"]))
    more = len(part.incidents) + len(part.narratives) - 2
    incident_ids = [row["incident_id"] for row in part.incidents]
    narrative_ids = [row["narrative_id"] for row in part.narratives]
    detail = {
        "phase": phase(evidence, doctrine),
        "timeline": timeline(evidence),
        "techniques": technique_rows(evidence, techniques),
        "hypotheses": hypotheses(evidence),
        "indicators": indicators(evidence),
        "decision": doctrine.phrase("decision"),
    }
    return {
        "campaign_id": content_id("cmp", *incident_ids, "|", *narrative_ids),
        "title": f"{quoted(story['label'])} and {quoted(first['name'])}" + (f" with {more} more" if more else ""),
        "target_states": states,
        "window_lo": min(starts, default=None),
        "window_hi": max(ends, default=None),
        "incidents": incident_ids,
        "narratives": narrative_ids,
        "groups": [row["group_id"] for row in part.groups],
        "links": [row["link_id"] for row in part.links],
        "statements": statements(evidence, doctrine),
        "gaps": gaps(evidence),
        "alternatives": alternatives(evidence),
        "confidence": _confidence(part),
        "tlp": doctrine.phrase("tlp_default"),
        "profile": json.dumps(detail, ensure_ascii=False, sort_keys=True, allow_nan=False),
    }


def _confidence(part: _Parts) -> str:
    if not all(link["calibrated"] for link in part.links):
        return "low"
    several = [len(set(row["sources"] or ())) >= 2 for row in part.incidents]
    fitting = any(explanation["fits"] for group in part.groups for explanation in group["explanations"] or ())
    if all(several) and not fitting:
        return "high"
    return "moderate" if any(several) else "low"


def _refuse(row: Mapping[str, Any], doctrine: Doctrine) -> None:
    texts = [row["title"], row["confidence"], row["tlp"], *row["gaps"]]
    texts += [item["text"] for key in ("statements", "alternatives") for item in row[key]]
    texts += _strings(json.loads(row["profile"]))
    for text in texts:
        if phrases := refused(text, doctrine):
            raise GreyzoneError(f"a profile sentence with {phrases[0]!r}: {text[:120]}", "none of the refusal phrases outside quotations")


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, part in value.items() for text in (str(key), *_strings(part))]
    return [text for part in value for text in _strings(part)] if isinstance(value, list) else []


def _by(found: pa.Table, key: str) -> dict[str, Row]:
    return {row[key]: row for row in sorted(found.to_pylist(), key=lambda row: str(row[key]))}


def _present(part: _Parts, known: pa.Array) -> frozenset[str]:
    """Ids cited by the parts that are documents of the case."""
    cited = {doc for row in part.narratives for doc in row["exemplars"] or ()}
    cited |= {doc for row in part.links for doc in row["evidence"] or ()} | {doc for row in part.groups for doc in row["documents"] or ()}
    wanted = pa.array(sorted(cited), pa.string())
    return frozenset(
        wanted.filter(pc.is_in(wanted, value_set=known.combine_chunks() if isinstance(known, pa.ChunkedArray) else known)).to_pylist()
    )


def _group_shares(groups: pa.Table, members: pa.Table) -> dict[str, dict[str, float]]:
    """Share of each group's documents that lie in each narrative."""
    shown = {doc for docs in groups["documents"].to_pylist() for doc in docs or ()}
    wanted = members.filter(pc.is_in(members["doc_id"], value_set=pa.array(sorted(shown), pa.string())))
    narrative_of = dict(zip(wanted["doc_id"].to_pylist(), wanted["narrative_id"].to_pylist(), strict=True))
    found: dict[str, dict[str, float]] = {}
    for group in groups.select(["group_id", "documents"]).to_pylist():
        docs = sorted(set(group["documents"] or ()))
        shares = found.setdefault(group["group_id"], {})
        for doc in docs:
            if narrative := narrative_of.get(doc):
                shares[narrative] = shares.get(narrative, 0.0) + 1 / len(docs)
    return found


def _joining(shares: Mapping[str, Mapping[str, float]], ids: Sequence[str], least: float) -> list[str]:
    return [group for group, by in sorted(shares.items()) if sum(by.get(item, 0.0) for item in ids) >= least - 1e-12]


def _last_scores(result: ImpactResult) -> dict[str, Row]:
    return {row["target_state"]: row for row in sorted(result.impact.to_pylist(), key=lambda row: (row["target_state"], row["date"]))}
