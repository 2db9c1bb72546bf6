"""The STIX 2.1 export: valid for stix2 and the OASIS validator, the same bytes every time, and nobody accused."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime, timedelta

import pytest
import stix2
from stix2validator import ValidationOptions, validate_string

import greyzone.stix
from greyzone import impact
from greyzone.campaigns import build_campaigns
from greyzone.doctrine import load_doctrine
from greyzone.errors import InputError
from greyzone.records import DOCUMENTS, GROUPS, INCIDENTS, LINK_TYPES, LINKS, MEMBERS, NARRATIVES, table
from greyzone.stix import iter_objects, to_bundle, write_bundle

DOCTRINE = load_doctrine()
START = datetime(2024, 5, 1, tzinfo=UTC)


class Technique:
    framework, id, name, subject, trigger, documents = "attack", "T1498", "Network denial", "inc-1", "flooded", ["doc-1"]


@pytest.fixture(scope="module")
def tables():
    incidents = table(
        [
            {
                "incident_id": f"inc-{k}",
                "name": f"Outage {k}",
                "onset_lo": START,
                "onset_hi": START,
                "onset_precision": "day",
                "target_state": "EE",
                "technique_class": "ddos",
                "actors": [{"name": "Group 9", "state": "XX", "probability": 0.6, "said_by": "Registry A"}],
                "level_lo": 2.0,
                "level_mode": 3.0,
                "level_hi": 4.0,
                "credibility": 0.9,
                "reports": [f"rep-{k}"],
                "sources": ["one"],
            }
            for k in (1, 2, 3)
        ],
        INCIDENTS,
    )
    narratives = table(
        [
            {
                "narrative_id": "nar-1",
                "label": "the port was sold",
                "headline": "They sold it.",
                "exemplars": ["doc-1"],
                "size": 9,
                "accounts": 3,
                "languages": ["et"],
                "keywords": ["port"],
                "onset_lo": START,
                "onset_hi": START,
                "last_seen": START + timedelta(days=9),
                "targets": ["EE"],
                "breakout": [1.0, 0, 0, 0, 0, 0],
            }
        ],
        NARRATIVES,
    )
    links = table(
        [
            {
                "link_id": f"lnk-{k}",
                "incident_id": f"inc-{k}",
                "narrative_id": "nar-1",
                "type": "exploits",
                "type_probabilities": [0.2] * len(LINK_TYPES),
                "p": p,
                "p_lo": p / 2,
                "p_hi": p,
                "calibrated": False,
                "evidence": ["doc-1"],
            }
            for k, p in ((1, 0.8), (2, 0.1))
        ],
        LINKS,
    )
    groups = table([{"group_id": "grp-1", "accounts": ["@person_a", "@person_b"], "documents": ["doc-1"], "q": 0.01}], GROUPS)
    members = table([{"doc_id": "doc-1", "narrative_id": "nar-1"}], MEMBERS)
    documents = table([{"doc_id": "doc-1"}], DOCUMENTS)
    result = impact.score(incidents, narratives, links, doctrine=DOCTRINE, as_of=date(2024, 6, 1), days=0, draws=8)
    campaigns = build_campaigns(incidents, narratives, members, groups, links, documents, result, [Technique()], doctrine=DOCTRINE)
    return {
        "incidents": incidents,
        "narratives": narratives,
        "links": links,
        "groups": groups,
        "campaigns": campaigns,
        "impact": result.impact,
    }


@pytest.fixture(scope="module")
def bundle(tables):
    return to_bundle(tables, doctrine=DOCTRINE)


def test_stix2_reads_it_and_gives_back_the_same_objects(bundle):
    parsed = stix2.parse(json.dumps(bundle), allow_custom=True)
    again = {item["id"]: json.loads(stix2.serialization.serialize(item)) for item in parsed.objects}
    for item in bundle["objects"]:
        # stix2 writes whole seconds without decimals where the specification leaves it open
        assert json.dumps(again[item["id"]], sort_keys=True).replace(".000Z", "Z") == json.dumps(item, sort_keys=True).replace(".000Z", "Z")


def test_the_oasis_validator_has_no_error(bundle):
    found = validate_string(json.dumps(bundle), ValidationOptions(version="2.1"))
    assert found.is_valid, [str(error) for error in found.errors or ()]


def test_it_holds_what_was_found_and_accuses_nobody(bundle):
    kinds = [item["type"] for item in bundle["objects"]]
    assert kinds.count("incident") == 3
    assert kinds.count("narrative") == kinds.count("campaign") == kinds.count("report") == kinds.count("attack-pattern") == 1
    assert not {"threat-actor", "intrusion-set"} & set(kinds)
    relations = {item["relationship_type"] for item in bundle["objects"] if item["type"] == "relationship"}
    assert relations == {"related-to", "uses"}
    [link] = [item for item in bundle["objects"] if "confidence" in item and item["type"] == "relationship"]
    assert link["confidence"] == 80


def test_every_reference_leads_to_an_object_of_the_bundle(bundle):
    ids = {item["id"] for item in bundle["objects"]}
    assert len(ids) == len(bundle["objects"])
    for item in bundle["objects"]:
        references = [value for key, value in item.items() if key.endswith("_ref")]
        references += [value for key, values in item.items() if key.endswith("_refs") for value in values]
        assert set(references) <= ids


def test_scores_stand_with_their_interval_doctrine_and_status(bundle):
    [note] = [item for item in bundle["objects"] if item.get("abstract") == "Score of EE"]
    assert "90 % interval" in note["content"]
    assert DOCTRINE.hash in note["content"]
    assert "status" in note["content"]


def test_handles_are_hidden_unless_asked_for(tables, bundle):
    assert "person_a" not in json.dumps(bundle)
    assert "@person_a" in json.dumps(to_bundle(tables, doctrine=DOCTRINE, handles=True))


def written(tables) -> tuple[str, int]:
    stream = io.StringIO()
    count = write_bundle(tables, stream, doctrine=DOCTRINE)
    return stream.getvalue(), count


def test_the_file_is_the_bundle_whatever_the_order_of_rows(tables, bundle):
    turned = {name: rows.take(list(range(rows.num_rows))[::-1]) for name, rows in tables.items()}
    text, count = written(tables)
    assert written(turned) == (text, count)
    assert json.loads(text) == bundle
    assert count == len(bundle["objects"])


def test_no_tables_give_a_valid_bundle_of_our_own_objects():
    found = to_bundle({}, doctrine=DOCTRINE)
    assert [item["type"] for item in found["objects"]] == ["identity", "extension-definition", "marking-definition"]
    assert validate_string(json.dumps(found), ValidationOptions(version="2.1")).is_valid


def test_unknown_tlp_and_a_folder_that_is_not_there(tables, tmp_path):
    pink = DOCTRINE.__class__(DOCTRINE.id, 1, DOCTRINE.title, DOCTRINE.leaves, {**DOCTRINE.words, "tlp_default": "TLP:PINK"})
    with pytest.raises(InputError, match="TLP:PINK"):
        to_bundle(tables, doctrine=pink)


def test_many_objects_are_written_without_a_bundle_in_memory(monkeypatch):
    rows = [{"incident_id": f"inc-{k:04d}", "name": "x", "onset_lo": START, "onset_hi": START, "target_state": "EE"} for k in range(2_000)]
    monkeypatch.setattr(greyzone.stix, "to_bundle", None)
    text, count = written({"incidents": table(rows, INCIDENTS)})
    assert count == len(json.loads(text)["objects"]) >= 4_000


def test_objects_come_one_by_one(tables):
    assert next(iter_objects(tables, doctrine=DOCTRINE))["type"] == "identity"
