"""Techniques: tagged at their thresholds, not below, and named as the frameworks name them."""

from __future__ import annotations

import gzip
import json
import pathlib
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from greyzone.records import DOCUMENTS, GROUPS, INCIDENTS, MEMBERS, NARRATIVES, empty, table
from greyzone.techniques import ATTACK, DISARM, STAGES, TABLE, Technique, tag_techniques

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"
TEXT = "The very same sentence about the harbour, posted over and over"


def of_posts(*posts: dict[str, object]) -> list[Technique]:
    time = datetime(2030, 1, 1, tzinfo=UTC)
    rows = [{"doc_id": f"doc-{at:02d}", "text": TEXT, "published_at": time, "is_repost": False, **post} for at, post in enumerate(posts)]
    members = table([{"doc_id": row["doc_id"], "narrative_id": "nar-a"} for row in rows], MEMBERS)
    narratives = table([{"narrative_id": "nar-a"}], NARRATIVES)
    return tag_techniques(narratives, empty(GROUPS), empty(INCIDENTS), members, table(rows, DOCUMENTS))


def of_incident(**row: object) -> list[str]:
    incidents = table([{"incident_id": "inc-a", "reports": ["rep-b", "rep-a"], **row}], INCIDENTS)
    return [tag.id for tag in tag_techniques(empty(NARRATIVES), empty(GROUPS), incidents)]


def test_one_text_from_five_accounts_is_copypasta_and_from_four_is_not():
    (tag,) = of_posts(*({"account": f"a{at}"} for at in range(6)))
    assert (tag.framework, tag.id, tag.subject) == (DISARM, "T0084.001", "nar-a")
    assert tag.trigger == "6 accounts posted one text, not as reposts"
    assert tag.documents == tuple(f"doc-{at:02d}" for at in range(5))
    assert of_posts(*({"account": f"a{at}"} for at in range(4))) == []


def test_reposts_one_account_and_short_texts_are_no_copypasta():
    assert of_posts(*({"account": f"a{at}", "is_repost": True} for at in range(9))) == []
    assert of_posts(*({"account": "a"} for _ in range(9))) == []
    assert of_posts(*({"account": f"a{at}", "text": "Good morning"} for at in range(9))) == []


def test_one_text_on_two_platforms():
    (tag,) = of_posts({"account": "a", "platform": "x"}, {"account": "b", "platform": "telegram"})
    assert (tag.id, tag.trigger) == ("T0119.002", "one text stands on 2 platforms (telegram, x)")


def test_an_account_in_two_languages_is_localised_and_two_accounts_are_not():
    several = [{"account": "a", "lang": lang, "text": f"{lang} {at}"} for lang in ("de", "pl") for at in range(2)]
    (tag,) = of_posts(*several)
    assert (tag.id, tag.trigger) == ("T0101", "1 account(s) tell it in several languages (de, pl)")
    assert of_posts(*(post | {"account": post["lang"]} for post in several)) == []


def test_incident_classes_and_words():
    assert of_incident(technique_class="ransomware") == ["T1486"]
    assert of_incident(technique_class="defacement") == ["T1491"]
    assert of_incident(technique_class="disruption", description="A DDoS  attack on the port") == ["T1498"]
    assert of_incident(technique_class="disruption", description="The port stood still") == []
    assert of_incident(technique_class="espionage", description="Not a DDoS") == []
    assert of_incident(technique_class="doxing") == []


def test_a_word_is_quoted_from_the_text_and_a_denied_one_is_none():
    text = "Officials spoke of a large distributed Denial of  Service attack on the port, wiped servers and more"
    row = {"incident_id": "inc-a", "technique_class": "disruption", "description": text}
    tags = {tag.id: tag for tag in tag_techniques(empty(NARRATIVES), empty(GROUPS), table([row], INCIDENTS))}
    assert tags["T1498"].quote == "Officials spoke of a large distributed Denial of Service attack on the port,"
    assert tags["T1485"].quote == "of Service attack on the port, wiped servers and more"
    assert tags["T1498"].trigger == 'the incident is described with "distributed denial"; technique class disruption'
    assert of_incident(technique_class="disruption", description="It was not a DDoS attack, they say") == []
    assert of_incident(technique_class="disruption", description="Not a DDoS at first; a DDoS later") == ["T1498"]


def test_groups_are_tagged_by_hashtags_unless_an_alternative_fits():
    row = {
        "group_id": "grp-a",
        "accounts": ["a", "b"],
        "traces": ["hashtags"],
        "q": 0.01,
        "documents": [f"doc-{at:02d}" for at in range(20)],
    }

    def tags(**more: object) -> list[str]:
        groups = table([{**row, **more}], GROUPS)
        return [tag.id for tag in tag_techniques(empty(NARRATIVES), groups, empty(INCIDENTS))]

    assert tags() == ["T0049.002"]
    assert tags(documents=["doc-01"]) == []
    assert tags(traces=["urls"]) == []
    assert tags(explanations=[{"name": "press echo", "statistic": 0.9, "threshold": 0.5, "fits": True, "note": ""}]) == []


def test_order_of_rows_does_not_matter():
    incidents = table([{"incident_id": f"inc-{at}", "technique_class": "ransomware"} for at in range(3)], INCIDENTS)
    tags = [tag_techniques(empty(NARRATIVES), empty(GROUPS), rows) for rows in (incidents, incidents.take(pa.array([2, 0, 1])))]
    assert tags[0] == tags[1]


@pytest.mark.shared
def test_names_are_the_frameworks_own():
    disarm, attack = SHARED / "disarm_1.x_2025-02.json.gz", SHARED / "attack_techniques_enterprise.jsonl.gz"
    if not (disarm.exists() and attack.exists()):
        pytest.skip("the frameworks' files are not beside the repository")
    names = {(DISARM, row["disarm_id"]): row["name"] for row in json.loads(gzip.decompress(disarm.read_bytes()))["techniques"]}
    rows = [json.loads(line) for line in gzip.decompress(attack.read_bytes()).splitlines()]
    names |= {(ATTACK, row["id"]): row["name"] for row in rows}
    assert {key: names[key] for key in TABLE} == TABLE


@pytest.mark.shared
def test_stages_are_the_frameworks_own():
    from greyzone.campaigns.phases import PHASES, TACTICS

    disarm, attack = SHARED / "disarm_1.x_2025-02.json.gz", SHARED / "attack_techniques_enterprise.jsonl.gz"
    if not (disarm.exists() and attack.exists()):
        pytest.skip("the frameworks' files are not beside the repository")
    data = json.loads(gzip.decompress(disarm.read_bytes()))
    tactics = {row["disarm_id"]: row["phase_id"] for row in data["tactics"]}
    stages = {(DISARM, row["disarm_id"]): (tactics.get(row["tactic_id"], ""),) for row in data["techniques"]}
    rows = [json.loads(line) for line in gzip.decompress(attack.read_bytes()).splitlines()]
    stages |= {(ATTACK, row["id"]): tuple(row["tactics"]) for row in rows}
    assert {key: stages[key] for key in STAGES} == STAGES
    assert STAGES.keys() == TABLE.keys()
    assert {row["disarm_id"]: row["name"] for row in data["phases"]} == PHASES
    assert set(TACTICS.values()) <= {tactic for row in rows for tactic in row["tactics"]}
