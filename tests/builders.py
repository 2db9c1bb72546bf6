"""Rows of a small case that several test files build on: one state, outages, a story about them. What a test is about, it gives itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from greyzone.campaigns import profile_campaigns
from greyzone.records import LINK_TYPES

START = datetime(2024, 5, 1, tzinfo=UTC)


def incident(number, *, actor="Group 9", **more):
    """An incident against Estonia on the first day, of which one register suspects one actor."""
    return {
        "incident_id": f"inc-{number}",
        "name": f"Outage {number}",
        "onset_lo": START,
        "onset_hi": START,
        "onset_precision": "day",
        "target_state": "EE",
        "technique_class": "disruption",
        "actors": [{"name": actor, "state": "XX", "probability": 0.6, "said_by": "Registry A"}],
        "level_lo": 2.0,
        "level_mode": 3.0,
        "level_hi": 4.0,
        "credibility": 0.9,
        "reports": [f"rep-{number}"],
        "sources": ["one"],
    } | more


def narrative(number, **more):
    """A narrative in Estonian that begins on the first day and lasts for nine more."""
    return {
        "narrative_id": f"nar-{number}",
        "label": "the port was sold",
        "headline": "They sold it.",
        "exemplars": [f"doc-{number}"],
        "size": 9,
        "accounts": 3,
        "languages": ["et"],
        "onset_lo": START,
        "onset_hi": START,
        "last_seen": START + timedelta(days=9),
        "targets": ["EE"],
        "breakout": [1.0, 0, 0, 0, 0, 0],
    } | more


def link(incident_number, narrative_number, p, *, kind="exploits", **more):
    """A link of probability `p` that is most likely of one kind."""
    return {
        "link_id": f"lnk-{incident_number}-{narrative_number}",
        "incident_id": f"inc-{incident_number}",
        "narrative_id": f"nar-{narrative_number}",
        "type": kind,
        "type_probabilities": [0.6 if kind == other else 0.1 for other in LINK_TYPES],
        "p": p,
        "p_lo": p / 2,
        "p_hi": p,
        "lag_days": 2.0,
        "calibrated": False,
        "evidence": ["doc-1"],
    } | more


def document(number, account, when, **more):
    """A post of which no other has the words; without `when` it is undated."""
    return {
        "doc_id": f"doc-{number:06d}",
        "text": f"remark number {number} in words of nobody else",
        "lang": "en",
        "published_at": when,
        "published_precision": "second" if when else "unknown",
        "account": account,
        "urls": [],
        "hashtags": [],
        "mentions": [],
        "is_repost": False,
    } | more


def build_campaigns(incidents, narratives, members, groups, links, documents, scores, techniques, *, doctrine):
    """The campaigns of a case without a past."""
    tables = {"incidents": incidents, "narratives": narratives, "members": members, "groups": groups, "links": links}
    return profile_campaigns({**tables, "documents": documents}, scores, techniques, doctrine=doctrine).campaigns
