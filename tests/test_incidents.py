"""Readers of incident reports and their canonicalisation, on invented incidents."""

from __future__ import annotations

import csv
import gzip
import io
import json
import pathlib
import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import stix2
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.doctrine import load_doctrine
from greyzone.errors import InputError
from greyzone.incidents import TECHNIQUE_CLASSES, canonicalise, read_reports, stix
from greyzone.incidents.eurepoc import parse_list
from greyzone.incidents.reports import LONGEST_TEXT, clean_text, entities_in, list_of, origin_of
from greyzone.records import INCIDENTS, MERGES, REPORTS, table

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"
DOCTRINE = load_doctrine()

EUREPOC = {
    "ID": "7",
    "name": "Lanternfish wiper",
    "description": "<b>Lanternfish</b> wiper\u202e hit ministries via CVE-2021-12345 and hxxps://evil[.]example[.]com/a",
    "start_date": "2019-03-01",
    "end_date": "2019-03-09",
    "source_incident_detection_disclosure": "Incident disclosed by victim; Incident disclosed by IT-security company",
    "incident_type": "Data theft & Doxing; Disruption",
    "receiver_name": "[['Ministry of Lamps (Estonia)', 'Not available']]",
    "receiver_country": "['Estonia', 'Latvia', 'Europe (region)']",
    "receiver_category": "[['State institutions / political system', 'Media'], ['Critical infrastructure']]",
    "receiver_category_subcode": "[['Government / ministries', ''], ['Energy']]",
    "initiator_name": "['Grey Otter/OT-1/Unknown']",
    "initiator_country": "['Russia']",
    "attribution_basis": "IT-security community attributes attacker",
    "weighted_cyber_intensity": "4.0",
    "sources_url": "['https://news.example/a']",
    "zero_days": "No",
}
DCID = {
    "Cyberincidentnum": "12",
    "StateA": "Russia",
    "StateB": "Estonia",
    "Name": "Lanternfish_A",
    "interactionstartdate": "2019-03-04",
    "interactionenddate": "2019-03-08",
    "method": "4.2",
    "targettype": "2",
    "initiator": "365",
    "cyber_objective": "4",
    "information_operation": "1",
    "severity": "5",
    "Crit Inf": "8",
    "Ransomware": "0",
    "Political Objective": "Lanternfish malware wiped ministries",
    "Sources1": "https://a.example/x",
    "Sources2": "https://b.example/y",
}


def write_csv(path: pathlib.Path, rows: list[dict[str, str]]) -> pathlib.Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode())
    return path


def report(**fields: object) -> dict[str, object]:
    start = datetime(2020, 5, 4, tzinfo=UTC)
    row: dict[str, object] = {
        "report_id": "rep-0",
        "source": "one",
        "name": "Lanternfish",
        "description": "",
        "technique_class": "disruption",
    }
    row |= {"onset_lo": start, "onset_hi": start.replace(hour=23), "onset_precision": "day", "target_states": ["EE"], "admiralty": 2}
    return row | fields


def merged(rows: list[dict[str, object]]):
    return canonicalise(table(rows, REPORTS), doctrine=DOCTRINE)


# Readers


def test_golden_eurepoc_row(tmp_path):
    batch = read_reports(write_csv(tmp_path / "e.csv", [EUREPOC]))
    row = batch.reports.to_pylist()[0]
    assert row["source"] == "eurepoc"
    assert row["source_id"] == "7"
    assert row["description"].startswith("Lanternfish wiper hit")
    # Day 1 of March stands for March, cut at the end that the source gives.
    assert (row["onset_lo"], row["onset_hi"].date().isoformat(), row["onset_precision"]) == (
        datetime(2019, 3, 1, tzinfo=UTC),
        "2019-03-09",
        "month",
    )
    assert row["target_states"] == ["EE", "LV"]
    assert row["technique_class"] == "doxing"
    assert row["information_operation"] is True
    assert (row["scale"], row["scale_code"], row["reach"], row["admiralty"]) == ("eurepoc", "4", "several_sectors", 1)
    # The IT-security basis gives 0.6 to the one hypothesis; 0.4 stays unknown.
    assert row["actors"] == [{"name": "Grey Otter", "state": "RU", "probability": 0.6, "said_by": "IT security company"}]
    entities = {(item["kind"], item["value"]) for item in row["entities"]}
    assert {("organisation", "Ministry of Lamps"), ("actor", "Grey Otter"), ("actor", "OT-1"), ("cve", "CVE-2021-12345")} <= entities
    assert {("url", "evil.example.com/a"), ("domain", "evil.example.com")} <= entities
    assert ("malware", "Lanternfish") in entities
    assert not any(value in ("Unknown", "Not available") for _, value in entities)
    assert json.loads(row["extra"]) == {"zero_days": "No"}
    assert [(item["action"], item["reason"]) for item in batch.rejects.to_pylist()] == [("repaired", "target is no known state")]


@pytest.mark.parametrize(
    ("start", "end", "lo", "hi", "precision", "flags"),
    [
        ("2019-01-01", "", "2019-01-01", "2019-12-31", "year", []),
        ("2019-04-01", "", "2019-04-01", "2019-04-30", "month", []),
        ("2019-04-02", "2019-04-05", "2019-04-02", "2019-04-02", "day", []),
        ("2019-09-04", "2019-04-09", "2019-04-09", "2019-09-04", "year", ["dates reversed"]),
    ],
)
def test_onset_is_an_interval_that_says_what_the_source_knew(tmp_path, start, end, lo, hi, precision, flags):
    row = read_reports(write_csv(tmp_path / "e.csv", [EUREPOC | {"start_date": start, "end_date": end}])).reports.to_pylist()[0]
    assert (row["onset_lo"].date().isoformat(), row["onset_hi"].date().isoformat(), row["onset_precision"]) == (lo, hi, precision)
    assert row["flags"] == flags


def test_a_report_without_a_date_is_kept_and_counted(tmp_path):
    batch = read_reports(write_csv(tmp_path / "e.csv", [EUREPOC | {"start_date": "0000-00-00", "end_date": ""}]))
    assert batch.reports.column("onset_lo").to_pylist() == [None]
    assert ("repaired", "no usable date") in {(row["action"], row["reason"]) for row in batch.rejects.to_pylist()}


def test_golden_dcid_row(tmp_path):
    row = read_reports(write_csv(tmp_path / "d.csv", [DCID])).reports.to_pylist()[0]
    assert (row["source"], row["source_id"], row["target_states"]) == ("dcid", "12", ["EE"])
    assert row["actors"][0]["state"] == "RU"
    assert (row["technique_class"], row["scale_code"], row["information_operation"]) == ("disruption", "5", True)
    assert row["sectors"] == ["government", "energy"]
    assert row["admiralty"] == 2


def test_the_target_of_a_dyad_is_the_state_that_did_not_start(tmp_path):
    row = read_reports(write_csv(tmp_path / "d.csv", [DCID | {"initiator": "366"}])).reports.to_pylist()[0]
    assert row["target_states"] == ["RU"]
    batch = read_reports(write_csv(tmp_path / "d2.csv", [DCID | {"initiator": "710"}]))
    assert batch.reports.column("target_states").to_pylist() == [[]]
    assert batch.rejects.column("reason").to_pylist() == ["initiator is no state of the dyad"]


def test_golden_stix_bundle(tmp_path):
    maker = stix2.Identity(name="A CERT", identity_class="organization")
    place = stix2.Location(country="EE")
    victim = stix2.Identity(name="Ministry of Lamps", identity_class="organization", sectors=["government"])
    actor = stix2.IntrusionSet(name="Grey Otter", aliases=["OT-1"])
    home = stix2.Location(country="RU")
    tool = stix2.Malware(name="Lanternfish", is_family=True)
    hole = stix2.Vulnerability(name="CVE-2021-12345")
    sign = stix2.Indicator(pattern="[domain-name:value = 'evil.example']", pattern_type="stix", valid_from="2020-01-01T00:00:00Z")
    event = stix2.Campaign(
        name="Lamp campaign", description="Denial of service", first_seen="2020-05-04T10:00:00Z", created_by_ref=maker.id, confidence=70
    )
    note = stix2.Note(content="unused", object_refs=[event.id])
    lonely = stix2.Tool(name="Unused tool")
    away = stix2.Relationship(event, "related-to", "malware--11111111-1111-4111-8111-111111111111")
    ties = [(event, "targets", victim), (victim, "located-at", place), (event, "attributed-to", actor), (actor, "originates-from", home)]
    ties += [(event, "uses", tool), (tool, "exploits", hole), (sign, "indicates", event), (tool, "related-to", event)]
    relations = [stix2.Relationship(source, how, target) for source, how, target in ties if how not in ("exploits", "originates-from")]
    relations += [stix2.Relationship(event, "uses", hole), stix2.Relationship(actor, "located-at", home), away]
    listed = [maker, place, victim, actor, home, tool, hole, sign, event, note, lonely, *relations]
    path = tmp_path / "b.json"
    path.write_text(stix2.Bundle(listed).serialize())
    batch = read_reports(path)
    row = batch.reports.to_pylist()[0]
    assert batch.reports.num_rows == 1
    assert (row["name"], row["target_states"], row["sectors"]) == ("Lamp campaign", ["EE"], ["government"])
    assert (row["onset_lo"], row["admiralty"], row["technique_class"]) == (datetime(2020, 5, 4, 10, tzinfo=UTC), 2, "disruption")
    assert [(item["name"], item["state"], item["probability"]) for item in row["actors"]] == [("Grey Otter", "RU", 0.7)]
    entities = {(item["kind"], item["value"]) for item in row["entities"]}
    expected = {("malware", "Lanternfish"), ("cve", "CVE-2021-12345"), ("domain", "evil.example"), ("actor", "OT-1")}
    assert expected | {("organisation", "Ministry of Lamps")} <= entities
    counted = {(item["action"], item["reason"], item["detail"]) for item in batch.rejects.to_pylist()}
    assert ("rejected", "object type not used", "note") in counted
    assert ("rejected", "object attached to no incident", "tool") in counted
    assert any(reason == "reference to an object that is not in the bundle" for _, reason, _ in counted)


def test_stix_circles_versions_and_malformed_objects_are_survived(tmp_path):
    def event(modified: str, name: str) -> dict[str, object]:
        return {"type": "incident", "id": "incident--1", "modified": modified, "name": name}

    def tie(a: str, b: str) -> dict[str, object]:
        return {"type": "relationship", "id": f"relationship--{a}", "source_ref": a, "target_ref": b, "relationship_type": "uses"}

    circle = [tie("incident--1", "malware--1"), tie("malware--1", "tool--1"), tie("tool--1", "malware--1")]
    things = [{"type": "malware", "id": "malware--1", "name": "Aa\ud800"}, {"type": "tool", "id": "tool--1", "name": "Bb"}]
    objects = [event("2020", "old"), event("2021", "new"), 5, {"type": "incident"}, *circle, *things]
    path = tmp_path / "b.json"
    path.write_text(json.dumps({"type": "bundle", "id": "bundle--1", "objects": objects}))
    batch = read_reports(path)
    assert batch.reports.column("name").to_pylist() == ["new"]
    reasons = batch.rejects.column("reason").to_pylist()
    assert sorted(reasons) == ["no usable date", "object without type and id", "object without type and id", "older version of an object"]


MAPPING = {
    "columns": {"name": "Title", "onset": "Date", "target_states": "Victims", "scale_code": "Level", "urls": ["U1", "U2"]},
    "source": "list",
    "scale": "ciss",
    "separators": {"target_states": ";"},
}
PLAIN = [
    {
        "Title": "Lamp theft",
        "Date": "2020-05-04",
        "Victims": "Estonia; ministries in Latvia",
        "Level": "3",
        "U1": "https://a.example",
        "U2": "",
    },
    {"Title": "", "Date": "", "Victims": "", "Level": "", "U1": "", "U2": ""},
]


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet", "csv.gz", "csv.zst", "json"])
def test_any_table_by_a_mapping(tmp_path, form):
    path = tmp_path / f"t.{form}"
    text = write_csv(tmp_path / "plain.csv", PLAIN).read_bytes()
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(PLAIN), path)
    elif form in ("jsonl", "json"):
        path.write_text("\n".join(map(json.dumps, PLAIN)) if form == "jsonl" else json.dumps(PLAIN))
    elif form == "tsv":
        path.write_text("\n".join("\t".join(row) for row in [list(PLAIN[0]), *(list(row.values()) for row in PLAIN)]))
    else:
        path.write_bytes({"csv": text, "csv.gz": gzip.compress(text), "csv.zst": zstandard.compress(text)}[form])
    mapping = tmp_path / "m.yaml"
    mapping.write_text(json.dumps(MAPPING))
    batch = read_reports(path, mapping=mapping)
    row = batch.reports.to_pylist()[0]
    assert (row["name"], row["source"], row["target_states"], row["urls"]) == ("Lamp theft", "list", ["EE", "LV"], ["https://a.example"])
    assert (row["scale"], row["scale_code"], row["technique_class"]) == ("ciss", "3", "data theft")
    assert batch.rejects.column("reason").to_pylist() == ["row without name and description"]


def test_a_text_that_is_cut_says_so_and_is_counted(tmp_path):
    rows = [{"Title": "Lamp theft", "Text": "lamp " * (LONGEST_TEXT // 5) + "END"}, {"Title": "Lamp", "Text": "x" * LONGEST_TEXT}]
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    batch = read_reports(path, mapping={"columns": {"name": "Title", "description": "Text"}})
    cut, whole = batch.reports.to_pylist()
    assert cut["description"].endswith("lamp [cut at 200,000 characters]")
    assert (cut["flags"], whole["flags"]) == (["text cut at 200,000 characters"], [])
    assert batch.rejects.column("reason").to_pylist().count("text cut at 200,000 characters") == 1
    assert whole["description"] == "x" * LONGEST_TEXT


def test_a_long_pattern_of_an_indicator_is_read_to_its_end():
    pattern = " OR ".join(f"[domain-name:value = 'a{at}.example']" for at in range(2000))
    assert len(pattern) > 20_000
    found = stix._entities({"pattern": pattern}, "indicator")
    assert found == [("domain", f"a{at}.example") for at in range(2000)]


def test_a_merged_list_says_row_by_row_who_said_it(tmp_path):
    rows = [PLAIN[0] | {"From": name} for name in ("CSIS", "", "Unknown")]
    mapping = MAPPING | {"columns": MAPPING["columns"] | {"source": "From"}}
    batch = read_reports(write_csv(tmp_path / "t.csv", rows), mapping=mapping)
    assert batch.reports.column("source").to_pylist() == ["CSIS via list", "list", "list"]
    assert origin_of("CSIS via list") == origin_of("csis") == "csis"
    assert list_of("CSIS via list") == list_of("list") == "list"


def test_reports_after_the_as_of_date_are_rejected(tmp_path):
    path = write_csv(tmp_path / "d.csv", [DCID, DCID | {"interactionstartdate": "2030-02-03", "interactionenddate": ""}])
    batch = read_reports(path, as_of=datetime(2025, 1, 1, tzinfo=UTC))
    assert batch.reports.num_rows == 1
    assert batch.rejects.column("reason").to_pylist() == ["onset after the as-of date"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\x00\x01\x02binary", "is binary"),
        (b"Title,When\na,b\n", "its columns are Title, When"),
        (b'{"type": "incident"}', "type 'incident'"),
        (b'{"a": 1}\n{"a": 2}\n', "its columns are a"),
        (b"[" * 100_000, "nested too deeply"),
        (b"PAR1broken", "no whole Parquet"),
    ],
)
def test_bad_files_are_one_line(tmp_path, content, words):
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_reports(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_archives_and_mappings_are_one_line(tmp_path):
    broken = tmp_path / "t.csv.gz"
    broken.write_bytes(gzip.compress(b"Title,Date\n" * 50)[:30])
    for call in (
        lambda: read_reports(broken),
        lambda: read_reports(tmp_path / "absent.csv"),
        lambda: read_reports(write_csv(tmp_path / "t.csv", PLAIN), mapping={"columns": {"name": "Nope"}}),
        lambda: read_reports(tmp_path / "t.csv", mapping={"columns": {"nonsense": "Title"}}),
        lambda: read_reports(tmp_path / "t.csv", mapping={"columns": {"name": "Title"}, "sepators": {}}),
        lambda: read_reports(tmp_path / "t.csv", mapping=tmp_path / "none.yaml"),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert "\n" not in str(caught.value)


cells = st.dictionaries(st.sampled_from(sorted(EUREPOC)), st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30))


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(cells, min_size=1, max_size=4))
def test_rows_read_are_reports_and_rejects(tmp_path_factory, rows):
    path = write_csv(tmp_path_factory.mktemp("p") / "e.csv", [EUREPOC | row for row in rows])
    batch = read_reports(path)
    rejected = [row["offset"] for row in batch.rejects.to_pylist() if row["action"] == "rejected"]
    assert sorted([*batch.reports.column("offset").to_pylist(), *rejected]) == list(range(1, len(rows) + 1))
    for row in batch.reports.to_pylist():
        assert row["technique_class"] in TECHNIQUE_CLASSES
        assert sum(actor["probability"] for actor in row["actors"]) <= 1


def test_list_cells_are_read_without_evaluating_anything():
    assert parse_list("[['a', 'b'], ['c', '']]") == (["a", "b", "c"], True)
    assert parse_list("a; b") == (["a", "b"], True)
    assert parse_list("['a', __import__('os')]")[1] is False
    assert parse_list("[" * 5000 + "]" * 5000)[1] is False


def test_text_is_cleaned_and_entities_refanged():
    assert clean_text("a<br>b &lt;script&gt;x&lt;/script&gt;\u202e\u200fc &amp; d") == "a b c & d"
    found = entities_in("e.g. U.S. bad[.]example.ru, cve-2020-1234567; New Foo-based malware; Tigerfish ransomware; " + "a" * 64)
    assert found == [
        ("cve", "CVE-2020-1234567"),
        ("domain", "bad.example.ru"),
        ("domain", "example.ru"),
        ("hash", "a" * 64),
        ("malware", "Tigerfish"),
    ]


# Canonicalisation


def test_duplicates_across_two_sources_merge(tmp_path):
    eurepoc = read_reports(write_csv(tmp_path / "e.csv", [EUREPOC])).reports
    dcid = read_reports(write_csv(tmp_path / "d.csv", [DCID])).reports
    filler = [report(report_id=f"rep-x{at}", name=f"Matter q{at}zz", target_states=["FR"]) for at in range(400)]
    result = canonicalise(pa.concat_tables([eurepoc, dcid, table(filler, REPORTS)]), doctrine=DOCTRINE)
    estonia = [row for row in result.incidents.to_pylist() if row["target_state"] == "EE"]
    assert len(estonia) == 1
    row = estonia[0]
    assert row["sources"] == ["dcid", "eurepoc"]
    # Intersection of 1..9 March and 4 March.
    assert (row["onset_lo"].date().isoformat(), row["onset_hi"].date().isoformat(), row["onset_precision"]) == (
        "2019-03-04",
        "2019-03-04",
        "day",
    )
    # EuRepoC 4 -> 2.5 and DCID 5 -> 2.5: mode 2.5, half width 0.5.
    assert (row["level_lo"], row["level_mode"], row["level_hi"]) == (2.0, 2.5, 3.0)
    # Admiralty 1 and 2: 1 - (1 - .9)(1 - .7) = .97.
    assert row["credibility"] == pytest.approx(0.97)
    assert row["reach"] == "several_sectors"
    assert row["critical"] is True
    # 0.6 of one source and 0.7 of the other, each halved: two hypotheses that leave room for "unknown".
    assert sum(actor["probability"] for actor in row["actors"]) == pytest.approx(0.65)
    assert result.merges.column("decision").to_pylist() == ["merged"]
    assert "onset" in result.merges.column("evidence").to_pylist()[0]
    latvia = [row for row in result.incidents.to_pylist() if row["target_state"] == "LV"]
    assert latvia[0]["sources"] == ["eurepoc"]


def test_one_source_tells_its_events_apart():
    rows = [report(report_id="rep-1", name="Lanternfish one"), report(report_id="rep-2", name="Lanternfish two")]
    assert merged(rows).incidents.num_rows == 2


def test_sources_that_repeat_each_other_count_once_each():
    rows = [report(report_id="rep-1"), report(report_id="rep-1"), report(report_id="rep-2", target_states=["EE"])]
    result = merged([rows[0], rows[1]])
    assert result.incidents.to_pylist() == merged([rows[0]]).incidents.to_pylist()
    assert result.incidents.column("credibility").to_pylist() == [pytest.approx(0.7)]


def day(month: int, number: int, hour: int = 0) -> datetime:
    return datetime(2020, month, number, hour, tzinfo=UTC)


def published(**fields: object) -> dict[str, object]:
    return report(onset_lo=None, onset_hi=None, onset_precision="unknown", disclosed_lo=day(6, 1), disclosed_hi=day(6, 1, 23), **fields)


@pytest.mark.parametrize(("technique", "days"), [("disruption", "open_days"), ("espionage", "hidden_days")])
def test_an_event_of_which_only_the_disclosure_is_known_began_before_it(technique, days):
    row = merged([published(technique_class=technique)]).incidents.to_pylist()[0]
    assert row["onset_lo"] == day(6, 1) - timedelta(days=DOCTRINE[f"canonical.{days}"])
    assert (row["onset_hi"], row["disclosed_lo"], row["disclosed_hi"]) == (day(6, 1, 23), day(6, 1), day(6, 1, 23))
    assert row["flags"] == ["onset known only by the disclosure"]


def test_an_onset_that_a_source_gives_goes_before_a_bounded_one_and_ends_at_the_first_disclosure():
    month = {"onset_lo": day(5, 1), "onset_hi": day(5, 31, 23), "onset_precision": "month"}
    name = {"name": "Lanternfish wiper erased registers of lighthouse keepers"}
    rows = [
        report(report_id="rep-0", **name, **month),
        published(report_id="rep-1", source="two", **name),
        report(report_id="rep-2", source="three", disclosed_lo=day(5, 6), disclosed_hi=day(5, 20), **name, **month),
    ]
    rows += [report(report_id=f"rep-x{at}", name=f"Matter q{at}q", target_states=["FR"]) for at in range(60)]
    row = next(item for item in merged(rows).incidents.to_pylist() if item["target_state"] == "EE")
    assert row["sources"] == ["one", "three", "two"]
    # The earliest of "1 June" and "6 to 20 May" lies within 6 to 20 May, and nothing is public before it begins.
    assert (row["disclosed_lo"], row["disclosed_hi"]) == (day(5, 6), day(5, 20))
    # What one source dates after that is kept as the last disclosure; of the names none is lost.
    assert (row["again_lo"], row["again_hi"], row["names"]) == (day(6, 1), day(6, 1, 23), [name["name"]])
    assert (row["onset_lo"], row["onset_hi"], row["onset_precision"], row["flags"]) == (day(5, 1), day(5, 20), "month", [])


def test_a_disclosure_before_the_onset_is_said_and_changes_nothing():
    late = {"onset_lo": day(5, 20), "onset_hi": day(5, 20, 23)}
    row = merged([report(disclosed_lo=day(5, 1), disclosed_hi=day(5, 2), **late)]).incidents.to_pylist()[0]
    assert (row["onset_lo"], row["flags"]) == (day(5, 20), ["disclosed before the onset"])


LONG_NAME = "Lanternfish wiper erased registers of lighthouse keepers"


def swapped(**fields: object) -> dict[str, object]:
    """A report that means 9 April and says 4 September."""
    return report(name=LONG_NAME, onset_lo=day(9, 4), onset_hi=day(9, 4, 23), **fields)


@pytest.mark.parametrize(
    ("other", "onset", "flag"),
    [
        ({"disclosed_lo": day(4, 9), "disclosed_hi": day(4, 9, 23)}, day(4, 9), "day and month swapped, as another source shows"),
        ({"disclosed_lo": day(9, 4), "disclosed_hi": day(9, 4, 23)}, day(9, 4), None),
        # A list that is some days early shows nothing.
        ({"disclosed_lo": day(8, 1), "disclosed_hi": day(8, 31, 23)}, day(9, 4), "disclosed before the onset"),
    ],
)
def test_a_swapped_day_is_set_right_only_by_another_source(other, onset, flag):
    unknown = {"onset_lo": None, "onset_hi": None, "onset_precision": "unknown"}
    rows = [swapped(report_id="rep-0"), report(report_id="rep-1", source="two", name=LONG_NAME, **unknown, **other)]
    rows += [report(report_id=f"rep-x{at}", name=f"Matter q{at}q", target_states=["FR"]) for at in range(60)]
    row = next(item for item in merged(rows).incidents.to_pylist() if item["target_state"] == "EE")
    assert (row["sources"], row["onset_lo"], row["flags"]) == (["one", "two"], onset, [flag] if flag else [])


def test_a_day_that_only_its_own_report_contradicts_is_kept_and_said():
    row = merged([swapped(end_lo=day(4, 10), end_hi=day(4, 10, 23))]).incidents.to_pylist()[0]
    assert (row["onset_lo"], row["flags"]) == (day(9, 4), ["day and month possibly swapped"])
    assert merged([swapped(end_lo=day(3, 10), end_hi=day(3, 10, 23))]).incidents.to_pylist()[0]["flags"] == []


@pytest.mark.parametrize(
    ("first", "second", "credibility"),
    [
        ({}, {}, 0.91),
        ({"urls": ["https://www.news.example/a"]}, {"urls": ["http://news.example/a/"]}, 0.7),
        ({"description": "Registers were erased on Monday."}, {"description": "Registers were erased on Monday."}, 0.7),
        ({"description": "Erased."}, {"description": "Erased."}, 0.91),
    ],
)
def test_reprints_of_one_origin_count_once(first, second, credibility):
    rows = [report(report_id="rep-0", name=LONG_NAME, **first), report(report_id="rep-1", source="two", name=LONG_NAME, **second)]
    rows += [report(report_id=f"rep-x{at}", name=f"Matter q{at}q", target_states=["FR"]) for at in range(60)]
    row = next(item for item in merged(rows).incidents.to_pylist() if item["target_state"] == "EE")
    assert (row["sources"], row["credibility"]) == (["one", "two"], pytest.approx(credibility))


@pytest.mark.parametrize(("sources", "credibility"), [(["csis", "CSIS via list"], 0.7), (["CFR via list", "CSIS via list", "csis"], 0.91)])
def test_what_lists_take_from_one_source_counts_once(sources, credibility):
    rows = [report(report_id=f"rep-{at}", source=source, name=LONG_NAME) for at, source in enumerate(sources)]
    rows += [report(report_id=f"rep-x{at}", name=f"Matter q{at}q", target_states=["FR"]) for at in range(60)]
    row = next(item for item in merged(rows).incidents.to_pylist() if item["target_state"] == "EE")
    assert (row["sources"], row["credibility"]) == (sorted(sources), pytest.approx(credibility))


def test_levels_of_sources_that_disagree_are_no_narrower_than_their_disagreement():
    rows = [report(report_id="rep-0", name=LONG_NAME, scale="ciss", scale_code="1")]
    rows += [report(report_id="rep-1", source="two", name=LONG_NAME, scale="nciss", scale_code="severe")]
    rows += [report(report_id=f"rep-x{at}", name=f"Matter q{at}q", target_states=["FR"]) for at in range(60)]
    row = next(item for item in merged(rows).incidents.to_pylist() if item["target_state"] == "EE")
    assert (row["level_lo"], row["level_mode"], row["level_hi"]) == (0.5, 2.5, 4.5)


def test_cases_written_before_disclosures_are_read():
    old = table([report()], REPORTS).drop_columns(["disclosed_lo", "disclosed_hi"])
    assert canonicalise(old, doctrine=DOCTRINE).incidents["disclosed_lo"].to_pylist() == [None]


@pytest.mark.parametrize(
    ("attributed", "kind", "lo", "hi"),
    [
        ("2019-05-07 00:00:00; 2019-04-03 00:00:00", "Technical report", "2019-04-03", "2019-04-03"),
        ("2019-01-01 00:00:00", "Technical report", "2019-03-01", "2019-12-31"),
        ("2020-06-05 00:00:00", "Political statement / report; Domestic legal action", "2019-03-01", "2020-06-05"),
        ("", "", None, None),
    ],
)
def test_the_first_attribution_dates_a_disclosure(tmp_path, attributed, kind, lo, hi):
    row = EUREPOC | {"attribution_date": attributed, "attribution_type": kind}
    found = read_reports(write_csv(tmp_path / "e.csv", [row])).reports.to_pylist()[0]
    days = [found[key].date().isoformat() if found[key] else None for key in ("disclosed_lo", "disclosed_hi")]
    assert days == [lo, hi]


@pytest.mark.parametrize(
    ("code", "mode"),
    [("8", 4.0), ("12", 4.5), ("4.5", 2.5), (None, None), ("high", None)],
)
def test_codes_between_two_keys_take_the_lower_one(code, mode):
    row = merged([report(scale="eurepoc", scale_code=code)]).incidents.to_pylist()[0]
    unknown = DOCTRINE.section("unknown_level")
    assert row["level_mode"] == (unknown["mode"] if mode is None else mode)
    assert row["level_hi"] == (unknown["hi"] if mode is None else min(5.0, mode + 0.5))


def test_a_report_without_a_target_is_one_row_without_state():
    row = merged([report(target_states=[])]).incidents.to_pylist()
    assert [item["target_state"] for item in row] == [None]


def test_nothing_in_nothing_out():
    result = merged([])
    assert result.incidents.schema.equals(INCIDENTS)
    assert result.merges.schema.equals(MERGES)
    assert result.incidents.num_rows == result.merges.num_rows == 0


NAMES = ["Lanternfish strike", "Lanternfish wiper", "Oakleaf leak", "Oakleaf", "Quiet river", "River quiet theft"]


@settings(deadline=None, max_examples=60)
@given(
    drawn=st.lists(
        st.tuples(
            st.sampled_from(NAMES), st.sampled_from("abc"), st.sampled_from([["EE"], ["EE", "LV"], []]), st.integers(1, 27), st.booleans()
        ),
        max_size=12,
    ),
    seed=st.integers(0, 1000),
)
def test_the_order_of_the_reports_changes_nothing(drawn, seed):
    rows = [
        report(
            report_id=f"rep-{at:02}",
            name=name,
            source=source,
            target_states=states,
            onset_lo=datetime(2020, 5, day, tzinfo=UTC) if dated else None,
            onset_hi=datetime(2020, 5, day, 23, tzinfo=UTC) if dated else None,
            scale="dcid",
            scale_code=str(day % 11),
        )
        for at, (name, source, states, day, dated) in enumerate(drawn)
    ]
    shuffled = rows[:]
    random.Random(seed).shuffle(shuffled)
    first, second = merged(rows), merged(shuffled)
    assert first.incidents.equals(second.incidents)
    assert first.merges.equals(second.merges)
    told = [(name, state) for row in first.incidents.to_pylist() for state in [row["target_state"]] for name in row["reports"]]
    assert {name for name, _ in told} == {str(row["report_id"]) for row in rows}
    for row in rows:
        for state in row["target_states"]:
            assert (row["report_id"], state) in told


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the research data are not beside the repository")
def test_real_tables_are_read_whole_and_agree_on_known_events():
    eurepoc = read_reports(SHARED / "eurepoc_global_1.1.csv.gz")
    dcid = read_reports(SHARED / "dcid_2.0_odd.csv.gz")
    assert eurepoc.reports.num_rows == 1643
    assert dcid.reports.num_rows == 215
    result = canonicalise(pa.concat_tables([eurepoc.reports, dcid.reports]), doctrine=DOCTRINE)
    names = {row["report_id"]: (row["source"], row["source_id"]) for row in [*eurepoc.reports.to_pylist(), *dcid.reports.to_pylist()]}
    pairs = {frozenset((names[row["report_a"]], names[row["report_b"]])) for row in result.merges.to_pylist()}
    assert frozenset({("eurepoc", "947"), ("dcid", "215")}) in pairs
    assert frozenset({("eurepoc", "62"), ("dcid", "293")}) in pairs
