"""Readers of CFR, CSIS, CyberPeace, MISP, VERIS, ATT&CK and TAXII, on invented incidents."""

from __future__ import annotations

import csv
import gzip
import http.server
import importlib.util
import json
import pathlib
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.errors import InputError
from greyzone.incidents import read_reports
from greyzone.incidents.csis import months_of
from greyzone.incidents.reports import span_precision
from greyzone.incidents.taxii import FetchError, Limits, fetch_taxii

CFR = {
    "Title": "Targeting of Estonian ministries",
    "Date": "3/4/2019",
    "Affiliations": "Believed to be the work of Grey Otter, also known as OT-1.",
    "Description": "The threat actor used the Lanternfish malware against ministries.",
    "Response": "Denouncement   https://gov.example/statement",
    "Victims": "Estonian ministries and a bank in Latvia",
    "Sponsor": "Korea (Democratic People's Republic of)",
    "Type": "Espionage",
    "Category": "Government, Private sector",
    "Sources_1": "https://news.example/a",
    "Sources_2": "",
    "Sources_3": "",
    "date": "2019-03-04",
}
CSIS = {
    "adversary": "Russian hackers",
    "target": "Estonian ministries",
    "technique": "phishing campaign",
    "publish date": "March 2019",
    "motive": "Unknown",
    "interesting_insight": "The ministries were warned",
}
CYBERPEACE = {
    "_key": "9",
    "description": "Grey Otter claims to have conducted a DDoS attack against a bank.",
    "eventConfidence": "Possible ",
    "eventDateFrom": "2022-05-09T00:00:00Z",
    "eventName": "Campaign: attacks on banks (financial)",
    "eventType": "DDoS",
    "country": "Estonia",
    "countryAbbreviation": "EE",
    "threatActorKey": "GREYOTTER",
    "actor": "Grey Otter",
    "allegiance": "Nobody",
    "origin": "RU ",
}


def write_csv(path: pathlib.Path, *rows: dict[str, str]) -> pathlib.Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def only(batch):
    (row,) = batch.reports.to_pylist()
    return row


def reasons(batch):
    return [(row["action"], row["reason"]) for row in batch.rejects.to_pylist()]


def test_golden_cfr_row(tmp_path):
    batch = read_reports(write_csv(tmp_path / "t.csv", CFR))
    row = only(batch)
    assert (row["source"], row["name"], row["target_states"]) == ("cfr", "Targeting of Estonian ministries", ["EE", "LV"])
    assert (row["onset_lo"], row["onset_precision"]) == (None, "unknown")
    assert (row["disclosed_lo"], row["disclosed_hi"].date().isoformat()) == (datetime(2019, 3, 4, tzinfo=UTC), "2019-03-04")
    assert row["actors"] == [{"name": "Grey Otter", "state": "KP", "probability": 0.7, "said_by": "authorities"}]
    assert {"kind": "actor", "value": "OT-1"} in row["entities"]
    assert {"kind": "malware", "value": "Lanternfish"} in row["entities"]
    assert (row["technique_class"], row["admiralty"], row["reach"], row["scale_code"]) == ("espionage", 1, "sector", None)
    assert row["sectors"] == ["government", "private sector"]
    assert row["urls"] == ["https://news.example/a", "https://gov.example/statement"]
    assert json.loads(row["extra"])["date_basis"] == "the day it was made public"
    assert reasons(batch) == []


def test_a_title_says_the_target_where_the_victims_do_not(tmp_path):
    row = only(read_reports(write_csv(tmp_path / "t.csv", CFR | {"Victims": "Ministries"})))
    assert (row["target_states"], json.loads(row["extra"])["target_basis"]) == (["EE"], "title")


def test_threat_actors_of_the_tracker_are_no_incidents(tmp_path):
    profile = {"Title": "Grey Otter", "Description": "This threat actor targets ministries."}
    told = {"Description": "This threat actor compromised ministries."}
    batch = read_reports(write_csv(tmp_path / "t.csv", CFR | profile, CFR | told))
    assert only(batch)["offset"] == 2
    assert reasons(batch) == [("rejected", "entry of a threat actor, no incident")]


def test_slipped_columns_are_set_right(tmp_path):
    order = ["Response", "Victims", "Sponsor", "Type", "Category", "Sources_1", "Sources_2", "Sources_3"]
    one = ["Ministries of Latvia", "Belarus", "Defacement", "Government", "https://a.example/x", "", "", ""]
    two = ["Belarus", "Defacement", "Government", "https://a.example/x", "", "", "", ""]
    right = [" Israel", ' United Kingdom"', "", "", "Defacement", "Government", "https://a.example/x", ""]
    rows = [CFR | dict(zip(order, cells, strict=True)) for cells in (one, two, right)]
    batch = read_reports(write_csv(tmp_path / "t.csv", *rows))
    first, second, third = batch.reports.to_pylist()
    for row in (first, second, third):
        assert (row["technique_class"], row["sectors"], row["urls"]) == ("defacement", ["government"], ["https://a.example/x"])
        assert row["flags"] == ["columns slipped, set right"]
    assert (first["target_states"], first["actors"][0]["state"]) == (["LV"], "BY")
    assert (second["target_states"], second["actors"][0]["state"]) == (["EE"], "BY")
    assert (third["target_states"], third["actors"][0]["state"]) == (["IL", "GB"], None)
    assert reasons(batch).count(("repaired", "columns slipped, set right")) == 3


def test_unknown_types_are_counted(tmp_path):
    batch = read_reports(write_csv(tmp_path / "t.csv", CFR | {"Type": "Hypnosis", "Response": ""}))
    assert reasons(batch) == [("repaired", "unknown type of operation")]
    batch = read_reports(write_csv(tmp_path / "c.csv", CYBERPEACE | {"eventType": "Hypnosis", "eventConfidence": "Sure", "origin": "XX"}))
    assert {reason for _, reason in reasons(batch)} == {"unknown type of event", "unknown confidence", "unknown origin"}


def test_golden_csis_row(tmp_path):
    row = only(read_reports(write_csv(tmp_path / "t.csv", CSIS)))
    assert (row["source"], row["name"], row["target_states"]) == ("csis", "Estonian ministries: phishing campaign", ["EE"])
    assert (row["disclosed_lo"], row["disclosed_hi"].date().isoformat(), row["onset_lo"]) == (
        datetime(2019, 3, 1, tzinfo=UTC),
        "2019-03-31",
        None,
    )
    span = only(read_reports(write_csv(tmp_path / "s.csv", CSIS | {"publish date": "March to May 2019"})))
    assert (span["onset_lo"], span["onset_hi"].date().isoformat(), span["disclosed_lo"]) == (
        datetime(2019, 3, 1, tzinfo=UTC),
        "2019-05-31",
        None,
    )
    assert row["actors"] == [{"name": "unnamed", "state": "RU", "probability": 0.4, "said_by": "press, as listed by CSIS"}]
    assert (row["technique_class"], row["admiralty"]) == ("hijacking", 6)
    assert row["description"] == "Russian hackers against Estonian ministries. phishing campaign. The ministries were warned"
    assert json.loads(row["extra"]) == {"date_basis": "the month of the list", "parsed_by": "a language model"}


@pytest.mark.parametrize(
    ("adversary", "name", "state"),
    [("Grey Otter", "Grey Otter", None), ("North Korea", "unnamed", "KP"), ("unknown foreign intruders", None, None)],
)
def test_adversaries_are_named_only_by_names(tmp_path, adversary, name, state):
    actors = only(read_reports(write_csv(tmp_path / "t.csv", CSIS | {"adversary": adversary})))["actors"]
    assert [(actor["name"], actor["state"]) for actor in actors] == ([(name, state)] if name else [])


@pytest.mark.parametrize(
    ("text", "lo", "hi", "precision"),
    [
        ("May 2023", "2023-05-01", "2023-05-31", "month"),
        ("between August and November 2022", "2022-08-01", "2022-11-30", "year"),
        ("March 2022 - November 2022", "2022-03-01", "2022-11-30", "year"),
        ("December 2011 to February 2012", "2011-12-01", "2012-02-29", "year"),
        ("January 2020 and February 2022", "2020-01-01", "2022-02-28", "unknown"),
        ("second half of 2020", "2020-07-01", "2020-12-31", "year"),
        ("mid-2021", "2021-01-01", "2021-12-31", "year"),
        ("May or early June 2015", "2015-05-01", "2015-06-30", "year"),
        ("2008", "2008-01-01", "2008-12-31", "year"),
    ],
)
def test_months_of_the_list(text, lo, hi, precision):
    found = months_of(text)
    assert (found.lo.date().isoformat(), found.hi.date().isoformat(), found.precision) == (lo, hi, precision)


@pytest.mark.parametrize("text", ["", "Unknown", "unspecified", "some time"])
def test_no_month_is_no_date(text):
    assert months_of(text) is None


def test_golden_cyberpeace_row(tmp_path):
    batch = read_reports(write_csv(tmp_path / "t.csv", CYBERPEACE))
    row = only(batch)
    assert (row["source_id"], row["target_states"], row["sectors"]) == ("9", ["EE"], ["financial"])
    assert (row["onset_precision"], row["onset_hi"].date().isoformat()) == ("day", "2022-05-09")
    assert row["actors"] == [{"name": "Grey Otter", "state": "RU", "probability": 0.7, "said_by": "attacker"}]
    assert (row["technique_class"], row["admiralty"], row["information_operation"]) == ("disruption", 3, None)
    assert json.loads(row["extra"])["allegiance"] == "Nobody"
    # A claim makes its event public on its day; what the Institute found may have come out later.
    assert row["disclosed_lo"] == row["onset_lo"]
    assert only(read_reports(write_csv(tmp_path / "s.csv", CYBERPEACE | {"description": "Seen."})))["disclosed_lo"] is None
    leak = only(read_reports(write_csv(tmp_path / "l.csv", CYBERPEACE | {"eventType": "Hack And Leak", "description": "Seen by CERT."})))
    assert (leak["technique_class"], leak["information_operation"]) == ("doxing", True)
    assert (leak["actors"][0]["said_by"], leak["actors"][0]["probability"]) == ("CyberPeace Institute", 0.5)


MISP = {
    "uuid": "5c7d0000-0000-4000-8000-000000000001",
    "id": "12",
    "info": "Lanternfish wiper in Estonian ministries",
    "date": "2019-03-04",
    "threat_level_id": "1",
    "publish_timestamp": "1551916800",
    "Orgc": {"name": "CERT-X"},
    "Tag": [
        {"name": "tlp:clear"},
        {"name": 'admiralty-scale:information-credibility="2"'},
        {"name": 'misp-galaxy:target-information="Estonia"'},
    ],
    "Galaxy": [
        {
            "type": "threat-actor",
            "GalaxyCluster": [{"type": "threat-actor", "value": "Grey Otter", "meta": {"synonyms": ["OT-1"], "country": ["RU"]}}],
        }
    ],
    "Attribute": [
        {"type": "domain|ip", "category": "Network activity", "value": "Evil.example|192.0.2.1"},
        {"type": "filename|sha256", "category": "Payload delivery", "value": "a.exe|" + "AB" * 32},
        {"type": "link", "category": "External analysis", "value": "https://news.example/a"},
        {"type": "url", "category": "Network activity", "value": "https://evil.example/gate", "deleted": True},
        {"type": "text", "category": "External analysis", "value": "<b>It wiped disks.</b>"},
    ],
    "Object": [{"name": "vulnerability", "Attribute": [{"type": "vulnerability", "value": "cve-2021-12345"}]}],
}
VERIS = {
    "schema_version": "1.3.7",
    "incident_id": "a1b2",
    "summary": "Somebody took the records of a ministry.",
    "security_incident": "Confirmed",
    "timeline": {"incident": {"year": 2019, "month": 3}},
    "victim": {"victim_id": "Ministry of Lamps", "country": ["EE"], "industry": "921120"},
    "actor": {"external": {"variety": ["State-affiliated"], "motive": ["Ideology"], "country": ["RU"], "name": ["Grey Otter"]}},
    "action": {"hacking": {"variety": ["SQLi"], "cve": "CVE-2021-12345"}},
    "attribute": {"confidentiality": {"data_disclosure": "Yes"}},
    "impact": {"overall_rating": "Damaging"},
    "reference": "https://a.example/1; https://b.example/2",
    "plus": {"analyst": "x", "timeline": {"notification": {"year": 2019, "month": 5}}},
}
ATTACK = {
    "id": "C9001",
    "name": "Operation Lantern",
    "aliases": ["Operation Lantern", "Lamp"],
    "first_seen": "2019-03-01T05:00:00.000Z",
    "last_seen": "2019-04-30T23:00:00.000Z",
    "description": "[Operation Lantern](https://attack.example/C9001) wiped disks in 2019.(Citation: Lamp 2019)",
    "attributed_to": [{"id": "G9001", "name": "Grey Otter"}],
    "techniques": ["T1485"],
    "domains": ["enterprise-attack"],
    "stix_id": "campaign--00000000-0000-4000-8000-000000000001",
    "refs": ["https://attack.example/C9001"],
}


def write_json(path: pathlib.Path, value: object) -> pathlib.Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_golden_misp_event(tmp_path):
    batch = read_reports(write_json(tmp_path / "e.json", {"Event": MISP}))
    row = only(batch)
    assert (row["source"], row["source_id"], row["name"]) == ("misp:CERT-X", MISP["uuid"], MISP["info"])
    assert (row["onset_precision"], row["onset_lo"], row["published_at"]) == (
        "day",
        datetime(2019, 3, 4, tzinfo=UTC),
        datetime(2019, 3, 7, tzinfo=UTC),
    )
    assert (row["disclosed_lo"], row["disclosed_hi"]) == (
        datetime(2019, 3, 4, tzinfo=UTC),
        datetime(2019, 3, 7, 0, 0, 0, 999999, tzinfo=UTC),
    )
    assert (row["target_states"], row["technique_class"], row["admiralty"]) == (["EE"], "disruption", 2)
    assert row["actors"] == [{"name": "Grey Otter", "state": "RU", "probability": 0.5, "said_by": "CERT-X"}]
    found = {(item["kind"], item["value"]) for item in row["entities"]}
    assert found >= {("domain", "evil.example"), ("hash", "ab" * 32), ("cve", "CVE-2021-12345"), ("actor", "OT-1")}
    assert not any(value.startswith("https://evil") for _, value in found)
    assert (row["urls"], row["description"], row["scale"]) == (["https://news.example/a"], "It wiped disks.", None)
    extra = json.loads(row["extra"])
    assert json.loads(extra["attributes_not_used"]) == {"filename": 1, "ip": 1}
    assert (extra["attributes_deleted"], extra["threat_level_id"]) == ("1", "1")


def test_misp_answers_lists_and_lines(tmp_path):
    other = {"Event": MISP | {"uuid": "x", "info": "Another"}}
    answer = read_reports(write_json(tmp_path / "a.json", {"response": [{"Event": MISP}, other, {"Event": {}}, {"errors": 1}]}))
    assert answer.reports.column("offset").to_pylist() == [1, 2]
    assert reasons(answer) == [("rejected", "event without title and identifier"), ("rejected", "JSON that no reader knows")]
    listed = read_reports(write_json(tmp_path / "l.json", [{"Event": MISP}, other]))
    (tmp_path / "n.jsonl").write_text(json.dumps({"Event": MISP}) + "\n" + json.dumps(other) + "\nbroken\n")
    lines = read_reports(tmp_path / "n.jsonl")
    assert listed.reports.column("report_id") == lines.reports.column("report_id") == answer.reports.column("report_id")
    assert reasons(lines) == [("rejected", "JSON that no reader knows")]


def test_golden_veris_incident(tmp_path):
    batch = read_reports(write_json(tmp_path / "i.json", VERIS))
    row = only(batch)
    assert (row["source"], row["source_id"], row["name"]) == ("veris", "a1b2", "Ministry of Lamps: hacking")
    assert (row["onset_precision"], row["onset_hi"].date().isoformat()) == ("month", "2019-03-31")
    assert (row["disclosed_lo"].date().isoformat(), row["disclosed_hi"].date().isoformat()) == ("2019-05-01", "2019-05-31")
    assert (row["target_states"], row["sectors"], row["technique_class"]) == (["EE"], ["government"], "data theft")
    assert row["actors"] == [{"name": "Grey Otter", "state": "RU", "probability": 0.5, "said_by": "coders of VERIS"}]
    assert (row["admiralty"], row["scale_code"]) == (2, None)
    extra = json.loads(row["extra"])
    assert (extra["impact_overall_rating"], extra["fields_not_used"]) == ("Damaging", "plus")
    assert {"kind": "cve", "value": "CVE-2021-12345"} in row["entities"]


@pytest.mark.parametrize(
    ("change", "technique", "counted"),
    [
        ({"action": {"malware": {"variety": ["Ransomware"]}}}, "ransomware", []),
        ({"action": {"hacking": {"variety": ["DoS"]}}, "attribute": {}}, "disruption", []),
        ({"action": {"hypnosis": {}, "hacking": {}}}, "data theft", [("repaired", "unknown action")]),
        (
            {"victim": {"victim_id": "X", "country": ["ZZ"], "industry": "999"}},
            "data theft",
            ["target is no known state", "unknown industry"],
        ),
        ({"timeline": {"incident": {"year": 2019, "month": 2, "day": 30}}}, "data theft", []),
        ({"action": {"error": {}}}, None, [("rejected", "no attack: error")]),
        ({"security_incident": "Near miss"}, None, [("rejected", "no incident: near miss")]),
    ],
)
def test_veris_varieties(tmp_path, change, technique, counted):
    batch = read_reports(write_json(tmp_path / "i.json", [VERIS | change]))
    assert reasons(batch) == [item if isinstance(item, tuple) else ("repaired", item) for item in counted]
    assert batch.reports.column("technique_class").to_pylist() == ([technique] if technique else [])


def test_a_folder_is_read_whole_and_what_is_no_incident_is_counted(tmp_path):
    (tmp_path / "b").mkdir()
    write_json(tmp_path / "b" / "two.json", VERIS | {"incident_id": "two"})
    write_json(tmp_path / "a.json", VERIS)
    (tmp_path / "empty.json").write_text("")
    batch = read_reports(tmp_path)
    assert batch.reports.column("source_id").to_pylist() == ["a1b2", "two"]
    assert reasons(batch) == [("rejected", "file that could not be read")]
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no file of 0"):
        read_reports(tmp_path / "none")


def test_golden_attack_campaign(tmp_path):
    (tmp_path / "c.jsonl").write_text(json.dumps(ATTACK) + "\n")
    row = only(read_reports(tmp_path / "c.jsonl"))
    assert (row["source"], row["source_id"], row["description"]) == ("attack", "C9001", "Operation Lantern wiped disks in 2019.")
    assert (row["onset_lo"].date().isoformat(), row["onset_hi"].date().isoformat()) == ("2019-03-01", "2019-03-31")
    # The last hour of April is the first instant of May in a zone east of Greenwich.
    assert (row["end_lo"].date().isoformat(), row["onset_precision"], row["flags"]) == ("2019-05-01", "month", [])
    assert row["actors"] == [{"name": "Grey Otter", "state": None, "probability": 0.6, "said_by": "MITRE ATT&CK"}]
    assert json.loads(row["extra"])["techniques"] == "['T1485']"
    (tmp_path / "c.jsonl").write_text(json.dumps(ATTACK | {"first_seen": "1999-03-01T05:00:00Z"}) + "\n")
    assert only(read_reports(tmp_path / "c.jsonl"))["flags"] == ["onset in a year that the description does not name"]


def test_campaigns_of_the_attack_bundle_are_dated_by_month(tmp_path):
    campaign = {
        "type": "campaign",
        "id": "campaign--00000000-0000-4000-8000-000000000001",
        "name": "Operation Lantern",
        "description": ATTACK["description"],
        "first_seen": ATTACK["first_seen"],
        "last_seen": ATTACK["last_seen"],
        "x_mitre_first_seen_citation": "(Citation: Lamp 2019)",
    }
    bundle = {"type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000002", "objects": [campaign]}
    row = only(read_reports(write_json(tmp_path / "b.json", bundle)))
    assert (row["onset_precision"], row["onset_hi"].date().isoformat(), row["end_lo"].date().isoformat()) == (
        "month",
        "2019-03-31",
        "2019-05-01",
    )
    assert row["description"] == "Operation Lantern wiped disks in 2019."


SERVER = """
import json, sys
from werkzeug.serving import make_server
import medallion
from medallion.views import collections, discovery, manifest, objects
app = medallion.application_instance
medallion.set_config(app, "users", {"users": {"reader": "secret"}})
medallion.set_config(app, "taxii", {"taxii": {"max_page_size": 2}})
medallion.set_config(app, "backend", {"backend": {
    "module": "medallion.backends.memory_backend", "module_class": "MemoryBackend", "filename": sys.argv[1]}})
medallion.register_blueprints(app)
server = make_server("127.0.0.1", 0, app)
print(server.server_port, flush=True)
server.serve_forever()
"""
COLLECTION = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"


def campaign(number: int) -> dict[str, object]:
    stamp = f"2019-03-0{number}T00:00:00.000Z"
    return {
        "type": "campaign",
        "spec_version": "2.1",
        "id": f"campaign--00000000-0000-4000-8000-00000000000{number}",
        "created": stamp,
        "modified": stamp,
        "name": f"Lantern {number}",
        "first_seen": stamp,
    }


@pytest.fixture(scope="module")
def taxii_server(tmp_path_factory):
    """A real TAXII 2.1 server (medallion) on loopback with a collection of five campaigns, two a page."""
    for package in ("medallion", "taxii2client"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (pip install 'greyzone[dev]')")
    stored = [campaign(number) for number in range(1, 6)]
    manifest = [
        {"id": item["id"], "date_added": item["modified"], "version": item["modified"], "media_type": "application/stix+json;version=2.1"}
        for item in stored
    ]
    described = {
        "id": COLLECTION,
        "title": "Lanterns",
        "can_read": True,
        "can_write": False,
        "media_types": ["application/stix+json;version=2.1"],
    }
    root = {
        "information": {"title": "r", "versions": ["application/taxii+json;version=2.1"], "max_content_length": 99999},
        "status": [],
        "collections": [described | {"objects": stored, "manifest": manifest}],
    }
    folder = tmp_path_factory.mktemp("taxii")
    data = write_json(folder / "data.json", {"/discovery": {"title": "t", "api_roots": ["root"], "default": "root"}, "root": root})
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(data)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        port = server.stdout.readline().strip()
        yield f"http://127.0.0.1:{port}/root/collections/{COLLECTION}/"
        server.kill()


def test_a_collection_is_fetched_over_all_its_pages_and_read(taxii_server, tmp_path):
    file = fetch_taxii(taxii_server, tmp_path / "b.json", user="reader", password="secret", limits=Limits(private=True), page=2)
    batch = read_reports(file)
    assert sorted(batch.reports.column("name").to_pylist()) == [f"Lantern {number}" for number in range(1, 6)]
    assert reasons(batch) == []
    again = fetch_taxii(taxii_server, tmp_path / "c.json", user="reader", password="secret", limits=Limits(private=True), page=2)
    assert again.read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("limits", "password", "words"),
    [
        (Limits(private=True, bytes=900), "secret", "more than 900 bytes"),
        (Limits(private=True, pages=2), "secret", "more than 2 pages"),
        (Limits(private=True, seconds=0.0), "secret", "more than 0 seconds"),
        (Limits(private=True), "wrong", "401"),
    ],
)
def test_a_bound_that_is_reached_is_an_error(taxii_server, tmp_path, limits, password, words):
    with pytest.raises(FetchError, match=words):
        fetch_taxii(taxii_server, tmp_path / "b.json", user="reader", password=password, limits=limits, page=2)
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://127.0.0.1/root/collections/x/", "not public"),
        ("https://[::ffff:10.0.0.1]/root/collections/x/", "not public"),
        ("https://169.254.169.254/root/collections/x/", "not public"),
        ("http://127.0.0.1/root/collections/x/", "not encrypted"),
        ("file:///root/collections/x/", "is no collection"),
        ("https://host.example/root/", "is no collection"),
    ],
)
def test_private_addresses_and_other_schemes_are_refused(tmp_path, url, words):
    pytest.importorskip("taxii2client")
    with pytest.raises(InputError, match=words):
        fetch_taxii(url, tmp_path / "b.json")


class Hostile(http.server.BaseHTTPRequestHandler):
    """Answers as a hostile server: elsewhere, for ever, or not in TAXII."""

    def do_GET(self):
        if "redirect" in self.path:
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/root/collections/x/")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = b"[" * 100_000 if "objects" in self.path else b'{"id": "x", "title": "x", "can_read": true, "can_write": false}'
        if "endless" in self.path and "objects" in self.path:
            body = b'{"objects": [], "more": true, "next": "1"}'
        if "squeezed" in self.path:
            body = gzip.compress(b" " * (1 << 20))
        self.send_response(200)
        self.send_header("Content-Type", "application/taxii+json;version=2.1")
        if "squeezed" in self.path:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if "slow" in self.path:
            try:
                for _ in range(200):
                    self.wfile.write(b" ")
                    time.sleep(0.02)
            except OSError:
                return
        self.wfile.write(body)

    def log_message(self, *given):
        pass


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("redirect", "redirects are not followed"),
        ("endless", "no way to them"),
        ("nested", "could not be fetched"),
        ("squeezed", "more than"),
    ],
)
def test_hostile_answers_are_one_line(tmp_path, kind, words):
    pytest.importorskip("taxii2client")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{kind}/collections/x/"
        with pytest.raises(FetchError, match=words) as caught:
            fetch_taxii(url, tmp_path / "b.json", limits=Limits(private=True, bytes=200_000, seconds=1.0))
        server.shutdown()
    assert "\n" not in str(caught.value)


json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3))


@settings(deadline=None, max_examples=40)
@given(data=st.data(), known=st.sampled_from(["misp", "veris", "attack"]))
def test_hostile_json_is_a_report_or_a_reject(tmp_path_factory, data, known):
    base = {"misp": MISP, "veris": VERIS, "attack": ATTACK}[known]
    item = base | data.draw(st.dictionaries(st.sampled_from(sorted(base)), json_values, max_size=4))
    value = [{"Event": item} if known == "misp" else item]
    batch = read_reports(write_json(tmp_path_factory.mktemp("p") / "t.json", value))
    assert batch.reports.num_rows + sum(action == "rejected" for action, _ in reasons(batch)) == 1


@settings(deadline=None, max_examples=40)
@given(data=st.data(), known=st.sampled_from([CFR, CSIS, CYBERPEACE]))
def test_every_row_is_a_report_or_a_reject(tmp_path_factory, data, known):
    cell = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
    changed = data.draw(st.lists(st.dictionaries(st.sampled_from(sorted(known)), cell, max_size=4), min_size=1, max_size=4))
    batch = read_reports(write_csv(tmp_path_factory.mktemp("p") / "t.csv", *[known | row for row in changed]))
    rejected = [row["offset"] for row in batch.rejects.to_pylist() if row["action"] == "rejected"]
    assert sorted([*batch.reports.column("offset").to_pylist(), *rejected]) == list(range(1, len(changed) + 1))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "reports", "rejected", "precision"),
    [
        ("cfr_cyber_operations_tracker.csv.gz", 680, 88, "day"),
        ("csis_significant_incidents_parsed.csv.gz", 1012, 0, "month"),
        ("cyberpeace_ukraine_events.csv.gz", 2356, 0, "day"),
        ("attack_campaigns.jsonl.gz", 54, 0, "month"),
    ],
)
def test_published_tables_are_read_whole(shared_data, name, reports, rejected, precision):
    batch = read_reports(shared_data / name)
    assert batch.reports.num_rows == len(set(batch.reports.column("report_id").to_pylist())) == reports
    assert sum(action == "rejected" for action, _ in reasons(batch)) == rejected
    found = [
        (row["onset_precision"], row["onset_lo"] or row["disclosed_lo"], row["onset_hi"] or row["disclosed_hi"])
        for row in batch.reports.to_pylist()
    ]
    dated = [span_precision(lo, hi) for _, lo, hi in found if lo]
    assert dated.count(precision) >= 0.95 * reports
    assert sum(kind == "unknown" for kind, _, _ in found) >= (0.95 * reports if name.startswith(("cfr", "csis")) else 0)
