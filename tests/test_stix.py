"""The STIX 2.1 export: valid for stix2 and the OASIS validator, the same bytes every time, and nobody accused."""

from __future__ import annotations

import csv
import gzip
import io
import json
import uuid
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
import stix2
from builders import START, build_campaigns, incident, link, narrative
from hypothesis import given, settings
from hypothesis import strategies as st
from stix2validator import ValidationOptions, validate_string

import greyzone.stix.bundle
from greyzone import impact, incidents
from greyzone.campaigns.attribution import attributed, set_by_hand
from greyzone.doctrine import load_doctrine
from greyzone.errors import InputError
from greyzone.handles import hide
from greyzone.incidents import exported
from greyzone.records import (
    ATTRIBUTIONS,
    CAMPAIGNS,
    DECISIONS,
    DOCUMENTS,
    GROUPS,
    IMPACT,
    INCIDENTS,
    LINKS,
    MEMBERS,
    NARRATIVES,
    REPORTS,
    empty,
    table,
)
from greyzone.stix import bundle_rows, iter_objects, object_id, read_tables, to_bundle, write_bundle
from greyzone.stix.objects import EXTENSIONS, RECORD, extension_id
from greyzone.stix.rows import decode, encode
from greyzone.words import pseudonym

DOCTRINE = load_doctrine()


class Technique:
    framework, id, name, subject, trigger, documents = "attack", "T1498", "Network denial", "inc-1", "flooded", ["doc-1"]


@pytest.fixture(scope="module")
def tables():
    incidents = table([incident(k, technique_class="ddos") for k in (1, 2, 3)], INCIDENTS)
    spread = [
        {"kind": "platform", "name": "telegram", "documents": 7, "first_seen": START, "last_seen": START + timedelta(days=2)},
        {"kind": "language", "name": "et", "documents": 9, "first_seen": START, "last_seen": START},
    ]
    bursts = [{"first": date(2024, 5, 2), "last": date(2024, 5, 3), "documents": 6, "weight": 2.5}]
    movers = [{"kind": "account", "name": "@person_a", "doc_id": "doc-1", "at_lo": START, "at_hi": START}]
    narratives = table([narrative(1, keywords=["port"], spread=spread, bursts=bursts, first_movers=movers)], NARRATIVES)
    links = table([link(k, 1, p, link_id=f"lnk-{k}") for k, p in ((1, 0.8), (2, 0.1))], LINKS)
    groups = table([{"group_id": "grp-1", "accounts": ["@person_a", "@person_b"], "documents": ["doc-1"], "q": 0.01}], GROUPS)
    members = table([{"doc_id": "doc-1", "narrative_id": "nar-1"}], MEMBERS)
    documents = table(
        [
            {"doc_id": "doc-1", "published_at": START, "account": "@person_a", "url": "https://twitter.com/person_a/status/1"},
            {"doc_id": "doc-2", "published_at": START, "url": "https://news.example/port"},
        ],
        DOCUMENTS,
    )
    result = impact.score(incidents, narratives, links, doctrine=DOCTRINE, as_of=date(2024, 6, 1), days=0, draws=8)
    campaigns = build_campaigns(incidents, narratives, members, groups, links, documents, result, [Technique()], doctrine=DOCTRINE)
    return {
        "incidents": incidents,
        "documents": documents,
        "narratives": narratives,
        "links": links,
        "groups": groups,
        "campaigns": campaigns,
        "impact": result.impact,
    }


@pytest.fixture(scope="module")
def bundle(tables):
    return to_bundle(tables, doctrine=DOCTRINE)


@pytest.fixture(scope="module", autouse=True)
def own_types():
    """Our object types, registered with stix2 as a consumer would from the definitions in the bundle."""
    texts = stix2.properties.ListProperty(stix2.properties.StringProperty)
    moment, number = stix2.properties.TimestampProperty(), stix2.properties.IntegerProperty()
    name = ("name", stix2.properties.StringProperty(required=True))
    kinds = {
        "narrative": [
            name,
            ("description", stix2.properties.StringProperty()),
            *((word, texts) for word in ("narrative_types", "keywords", "languages")),
            *((word, number) for word in ("documents", "accounts")),
            *((word, moment) for word in ("first_seen", "last_seen")),
        ],
        "channel": [name, ("channel_types", texts)],
        "event": [name, ("event_types", texts), ("start_time", moment), ("stop_time", moment), ("documents", number)],
    }
    for kind, properties in kinds.items():
        stix2.v21.CustomObject(kind, properties, extension_id(kind))(type(kind.title(), (), {}))


def test_stix2_reads_it_strictly_and_gives_back_the_same_objects(bundle):
    parsed = stix2.parse(json.dumps(bundle), allow_custom=False)
    again = {item["id"]: json.loads(stix2.serialization.serialize(item)) for item in parsed.objects}
    assert {"narrative", "channel", "event"} < {item["type"] for item in again.values()}
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
    assert kinds.count("channel") == kinds.count("event") == kinds.count("intrusion-set") == 1
    assert "threat-actor" not in kinds
    relations = [item for item in bundle["objects"] if item["type"] == "relationship"]
    assert {item["relationship_type"] for item in relations} == {"related-to", "uses"}
    assert not [item for item in relations if "intrusion-set" in item["source_ref"] + item["target_ref"]]
    [link] = [item for item in relations if "confidence" in item]
    assert link["confidence"] == 80
    assert link["extensions"][RECORD]["confidence_scale"].startswith("STIX 2.1 0-100")


def test_every_hypothesis_has_a_grouping_and_a_note_that_says_whose_it_is(bundle):
    by = {item["id"]: item for item in bundle["objects"]}
    groupings = [item for item in by.values() if item["type"] == "grouping" and item["name"].startswith("Hypothesis")]
    # Once over all incidents that name the actor, and four in the campaign: the actor, unknown, criminal, organic.
    assert sorted(item["name"] for item in groupings) == [
        "Hypothesis: criminal",
        "Hypothesis: organic",
        "Hypothesis: unknown",
        "Hypothesis: “Group 9”",
        "Hypothesis: “Group 9”",
    ]
    for grouping in groupings:
        [*_, note] = [by[ref] for ref in grouping["object_refs"] if by[ref]["type"] == "note"]
        assert note["content"].startswith("Hypothesis ")
        assert ("“Registry A”" in note["content"]) == ("“Group 9”" in grouping["name"])
        assert ("intrusion-set" in {by[ref]["type"] for ref in grouping["object_refs"]}) == ("“Group 9”" in grouping["name"])


def with_profile(tables, **more):
    rows = tables["campaigns"].to_pylist()
    rows[0]["profile"] = json.dumps(json.loads(rows[0]["profile"]) | more)
    return tables | {"campaigns": table(rows, CAMPAIGNS)}


def test_only_a_person_attributes_and_in_their_own_name(tables):
    for nobody in (None, "unknown", {"value": "unknown", "who": "“A. Reader”"}, {"value": "“Group 9”"}):
        bundle = to_bundle(with_profile(tables, attribution=nobody), doctrine=DOCTRINE)
        assert "attributed-to" not in json.dumps(bundle)
    history = set_by_hand(
        empty(ATTRIBUTIONS),
        tables["campaigns"],
        said=f"{tables['campaigns']['campaign_id'][0]}=Group 9",
        who="A. Reader",
        basis="Two sources.",
        day="2024-06-02",
    )
    [said] = attributed(history).values()
    bundle = to_bundle(
        with_profile(tables, attribution=said, key_judgements=[{"text": "It is likely.", "documents": ["doc-1"]}]), doctrine=DOCTRINE
    )
    by = {item["id"]: item for item in bundle["objects"]}
    [tie] = [item for item in by.values() if item.get("relationship_type") == "attributed-to"]
    assert by[tie["created_by_ref"]]["name"] == "A. Reader"
    assert by[tie["target_ref"]]["name"] == "Group 9"
    [opinion] = [item for item in by.values() if item["type"] == "opinion"]
    assert (opinion["created_by_ref"], opinion["object_refs"]) == (tie["created_by_ref"], [tie["id"]])
    assert (opinion["created"], "Two sources." in opinion["explanation"]) == ("2024-06-02T00:00:00.000Z", True)
    assert [item["content"] for item in by.values() if item.get("abstract") == "Key judgements"] == ["It is likely. [doc-1]"]
    assert validate_string(json.dumps(bundle), ValidationOptions(version="2.1")).is_valid


@pytest.mark.parametrize(("actor", "sources"), [("Group 9", True), ("Somebody Else", False)])
def test_whom_a_person_names_is_in_the_bundle_once_whether_sources_named_them_or_not(tables, actor, sources):
    said = {"value": f"“{actor}”", "who": "“A. Reader”"}
    objects = to_bundle(with_profile(tables, attribution=said), doctrine=DOCTRINE)["objects"]
    [found] = [item for item in objects if item["type"] == "intrusion-set" and item["name"] == actor]
    [tie] = [item for item in objects if item.get("relationship_type") == "attributed-to"]
    assert tie["target_ref"] == found["id"]
    assert ("Named by “A. Reader”." in found.get("description", "")) != sources


@pytest.mark.parametrize(("word", "number"), [("low", 15), ("moderate", 50), ("high", 85), (None, None)])
def test_the_confidence_of_a_profile_is_a_number_of_the_standard_wherever_it_stands(tables, word, number):
    rows = tables["campaigns"].to_pylist()
    rows[0]["confidence"] = word
    told = with_profile(tables | {"campaigns": table(rows, CAMPAIGNS)}, key_judgements=[{"text": "It is likely.", "documents": ["doc-1"]}])
    objects = to_bundle(told, doctrine=DOCTRINE)["objects"]
    stated = [item for item in objects if item["type"] in ("campaign", "report")]
    stated += [item for item in objects if item.get("abstract") in ("Key judgements", "Caveats")]
    assert len(stated) == 4
    assert [item.get("confidence") for item in stated] == [number] * 4


def test_cited_documents_are_observed_and_sighted(tables, bundle):
    by = {item["id"]: item for item in bundle["objects"]}
    observed = by[object_id("observed-data", "doc-1")]
    assert [by[ref]["type"] for ref in observed["object_refs"]] == ["user-account"]
    open_ = {item["id"]: item for item in to_bundle(tables, doctrine=DOCTRINE, handles=True)["objects"]}
    assert [open_[ref]["type"] for ref in open_[observed["id"]]["object_refs"]] == ["user-account", "url"]
    sighted = {by[item["sighting_of_ref"]]["type"] for item in by.values() if item["type"] == "sighting"}
    assert sighted == {"narrative", "attack-pattern"}
    assert all(item["observed_data_refs"] == [observed["id"]] for item in by.values() if item["type"] == "sighting")
    pages = tables | {"groups": table([{"group_id": "grp-1", "accounts": ["a"], "documents": ["doc-2"]}], GROUPS)}
    assert "https://news.example/port" in [item.get("value") for item in to_bundle(pages, doctrine=DOCTRINE)["objects"]]


def test_ids_are_those_of_the_standard(bundle):
    """Golden: computed with uuid5 by hand from the namespace and the parts of the key."""
    namespace = uuid.UUID("6b1d6c1e-1f0a-5f57-9d63-7f0c2c9a4e11")
    assert object_id("incident", "inc-1") == f"incident--{uuid.uuid5(namespace, 'incident' + chr(31) + 'inc-1')}"
    ids = {item["id"] for item in bundle["objects"]}
    assert {
        "identity--24a77b27-81bc-5c9e-9930-7242cfa3880c",
        "incident--ff08a906-3165-54ff-9fb8-2f545b5dbbf5",
        "narrative--d72b70a5-61c1-553f-af91-6120cbd8d770",
        "extension-definition--58bcc02a-c1f3-51c5-80ee-324db21f0d82",
        "user-account--1560f4d7-4c3b-5c7c-a57c-bb5ba439f260",
    } <= ids
    # Section 2.9 of the specification: the namespace of observables over canonical JSON of what contributes.
    name = json.dumps({"user_id": pseudonym("@person_a")}, separators=(",", ":"))
    assert f"user-account--{uuid.uuid5(uuid.UUID('00abedb4-aa42-466c-9c01-fed23315a9b7'), name)}" in ids
    assert exported.RECORD == RECORD


def test_extensions_are_defined_and_pinned_to_a_version(bundle):
    defined = {item["id"]: item for item in bundle["objects"] if item["type"] == "extension-definition"}
    assert set(defined) == {extension_id(name) for name in EXTENSIONS}
    assert {item["version"] for item in defined.values()} == {"1.0.0"}
    assert not any("://" in item["schema"] for item in defined.values())
    used = {key for item in bundle["objects"] for key in item.get("extensions", {}) if item["type"] != "marking-definition"}
    assert used == set(defined)


def test_every_reference_leads_to_an_object_of_the_bundle(bundle):
    ids = {item["id"] for item in bundle["objects"]}
    assert len(ids) == len(bundle["objects"])
    before: set[str] = set()
    for item in bundle["objects"]:
        references = [value for key, value in item.items() if key.endswith("_ref")]
        references += [value for key, values in item.items() if key.endswith("_refs") for value in values]
        before.add(item["id"])
        assert set(references) <= before, item["type"]


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
    assert [item["type"] for item in found["objects"]] == ["identity", *["extension-definition"] * 4, "marking-definition"]
    assert validate_string(json.dumps(found), ValidationOptions(version="2.1")).is_valid


def test_unknown_tlp_and_a_folder_that_is_not_there(tables, tmp_path):
    pink = DOCTRINE.__class__(DOCTRINE.id, 1, DOCTRINE.title, DOCTRINE.leaves, {**DOCTRINE.words, "tlp_default": "TLP:PINK"})
    with pytest.raises(InputError, match="TLP:PINK"):
        to_bundle(tables, doctrine=pink)


def test_many_objects_are_written_without_a_bundle_in_memory(monkeypatch):
    rows = [{"incident_id": f"inc-{k:04d}", "name": "x", "onset_lo": START, "onset_hi": START, "target_state": "EE"} for k in range(2_000)]
    monkeypatch.setattr(greyzone.stix.bundle, "to_bundle", None)
    text, count = written({"incidents": table(rows, INCIDENTS)})
    assert count == len(json.loads(text)["objects"]) >= 4_000


def test_spellings_of_one_account_are_one_observable(tables):
    rows = [row | {"accounts": ["Ann", "ann", "ben"]} for row in tables["groups"].to_pylist()]
    made = list(iter_objects(tables | {"groups": table(rows, GROUPS)}, doctrine=DOCTRINE))
    assert len({item["id"] for item in made}) == len(made)
    names = [item["user_id"] for item in made if item["type"] == "user-account"]
    assert sorted(names) == sorted([pseudonym("@person_a"), pseudonym("ann"), pseudonym("ben")])
    [group] = [item for item in made if item.get("context") == "suspicious-activity"]
    assert sum(ref.startswith("user-account--") for ref in group["object_refs"]) == 2


def test_objects_come_one_by_one(tables):
    assert next(iter_objects(tables, doctrine=DOCTRINE))["type"] == "identity"


def test_texts_and_addresses_name_nobody_unless_asked():
    hidden = hide("RT @Some_One: write to a@b.org, https://twitter.com/Some_One/status/1 and https://news.example/@x")
    assert "Some_One" not in hidden
    assert "a@b.org" in hidden
    assert hidden.count(pseudonym("some_one")) == 2


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (".@{} said so", "Some_One"),
        ("(＠{})", "Some_One"),
        ("@{}@social.example", "Some_One"),
        ("@{} is one letter", "S"),
        ("https://twitter.com/{}.", "Some_One"),
        ("https://mobile.twitter.com/#!/{}", "Some_One"),
        ("https://x.com/@{}/status/1", "Some_One"),
        ("https://twitter.com/intent/user?lang=en&screen_name={}", "Some_One"),
        ("https://en-gb.facebook.com/people/{}/1", "Some.One"),
        ("https://www.facebook.com/profile.php?id={}", "10001"),
        ("https://t.me/s/{}/12", "some_one"),
        ("https://telegram.me/{}", "some_one"),
        ("https://bsky.app/profile/{}/post/1", "some-one.bsky.social"),
        ("https://old.reddit.com/user/{}/", "Some-One"),
        ("https://www.linkedin.com/in/{}", "some-one"),
        ("https://www.youtube.com/@{}/videos", "some.one"),
        ("https://social.example:8443/@{}/1", "some.one"),
        ("https://instagram.com/stories/{}/1", "some.one"),
    ],
)
def test_a_name_is_hashed_wherever_it_stands_and_what_is_around_it_stays(text, name):
    assert hide(text.format(name)) == text.format(pseudonym(name.casefold()))


@pytest.mark.parametrize(
    "text",
    [
        "write to a@b.org or some.one@social.example",
        "https://t.me/s",
        "https://twitter.com/hashtag/port?src=hash",
        "https://twitter.com/search?q=port",
        "https://mytwitter.com/port",
        "https://news.example/x.com/port",
        "5 @ 3",
        "http://",
    ],
)
def test_what_names_nobody_stays(text):
    assert hide(text) == text


def path_of(tables, tmp_path, **more):
    file = tmp_path / "bundle.json"
    with file.open("w", encoding="utf-8") as stream:
        write_bundle(tables, stream, doctrine=DOCTRINE, **more)
    return file


@pytest.mark.parametrize("handles", [True, False])
def test_a_bundle_is_read_back_to_the_rows_that_it_was_made_of(tables, tmp_path, handles):
    file = path_of(tables, tmp_path, handles=handles)
    expected = bundle_rows(tables, doctrine=DOCTRINE, handles=handles)
    found = read_tables(file)
    assert {name: rows.num_rows for name, rows in expected.items()} == {
        "campaigns": 1,
        "groups": 1,
        "impact": tables["impact"].num_rows,
        "incidents": 3,
        "links": 1,
        "narratives": 1,
    }
    for name, rows in expected.items():
        assert found[name].equals(rows), name
        if handles and name != "links":
            assert rows.equals(tables[name].sort_by([(rows.schema.names[0], "ascending")])), name
    # Written again by other software, in one line
    file.write_text(json.dumps(json.loads(file.read_text("utf-8"))), "utf-8")
    assert all(read_tables(file)[name].equals(rows) for name, rows in expected.items())


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
MOMENT = st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))


def values(kind: pa.DataType) -> st.SearchStrategy:
    if pa.types.is_string(kind):
        return TEXT
    if pa.types.is_timestamp(kind):
        return MOMENT
    if pa.types.is_date(kind):
        return st.dates(date(1950, 1, 1), date(2100, 1, 1))
    if pa.types.is_boolean(kind):
        return st.booleans()
    if pa.types.is_integer(kind):
        return st.integers(0, 2**40)
    if pa.types.is_floating(kind):
        return st.floats(width=32, allow_nan=False)
    if pa.types.is_list(kind):
        return st.lists(values(kind.value_type), max_size=2)
    return st.fixed_dictionaries({field.name: st.none() | values(field.type) for field in kind})


@settings(max_examples=60, deadline=None)
@given(data=st.data(), schema=st.sampled_from([INCIDENTS, REPORTS, NARRATIVES, LINKS, GROUPS, CAMPAIGNS, IMPACT]))
def test_any_row_survives_the_way_through_json(data, schema):
    row = {field.name: data.draw(st.none() | values(field.type), label=field.name) for field in schema}
    written = json.loads(json.dumps(encode(row, schema), allow_nan=False))
    assert "[]" not in json.dumps(written)
    assert "null" not in json.dumps({name: value for name, value in written["row"].items() if not isinstance(value, str | list)})
    again = decode(written, schema, "here")
    assert pa.Table.from_pylist([again], schema=schema).equals(pa.Table.from_pylist([row], schema=schema))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_tables_survive_the_way_through_a_bundle(data, tmp_path_factory):
    keys = {"incidents": INCIDENTS, "narratives": NARRATIVES, "groups": GROUPS}
    tables = {}
    for name, schema in keys.items():
        rows = []
        for number in range(data.draw(st.integers(0, 2))):
            row = {field.name: data.draw(st.none() | values(field.type)) for field in schema if field.name not in ("credibility", "bursts")}
            rows.append(row | {schema.names[0]: f"{name}-{number}"})
        for row in rows:
            if name == "groups":
                row["accounts"] = [account for account in row["accounts"] or () if account] or ["someone"]
        tables[name] = table(rows, schema)
    if not any(rows.num_rows for rows in tables.values()):
        return
    file = path_of(tables, tmp_path_factory.mktemp("any"), handles=True)
    found = read_tables(file)
    for name, rows in tables.items():
        assert found[name].equals(rows), name


def test_the_reader_of_incidents_makes_the_same_incidents_of_a_bundle(tmp_path):
    """An event of two states, two reports of one event, and one without a date: ids, onsets, levels, states, sectors, all columns."""
    lines = [
        {"id": "1", "what": "Wiper at a port", "when": "2024-03-02", "where": "Estonia; Latvia", "how": "6", "field": "transport"},
        {"id": "2", "what": "Leak of files", "when": "2024-05", "where": "Poland", "how": "3", "field": "government"},
        {"id": "3", "what": "Site defaced", "when": "", "where": "Poland", "how": "", "field": ""},
    ]
    file = tmp_path / "incidents.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines), "utf-8")
    mapping = {
        "columns": {"source_id": "id", "name": "what", "onset": "when", "target_states": "where", "scale_code": "how", "sectors": "field"},
        "separators": {"target_states": ";"},
        "scale": "eurepoc",
        "source": "register",
    }
    reports = incidents.read_reports(file, mapping=mapping).reports
    canonical = incidents.canonicalise(reports, doctrine=DOCTRINE)
    assert canonical.incidents.num_rows == 4
    bundle = path_of({"reports": reports, "incidents": canonical.incidents}, tmp_path)
    again = incidents.read_reports(bundle)
    assert again.reports.num_rows == 3
    assert incidents.canonicalise(again.reports, doctrine=DOCTRINE).incidents.equals(canonical.incidents)


@pytest.mark.shared
def test_a_register_comes_back_from_its_bundle_equal(shared_data, tmp_path):
    # Every fourth row of the register: a row is what it tries, not their number.
    with gzip.open(shared_data / "eurepoc_global_1.1.csv.gz", "rt", encoding="utf-8-sig", newline="") as lines:
        head, *rows = csv.reader(lines)
    with (tmp_path / "register.csv").open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows([head, *rows[::4]])
    reports = incidents.read_reports(tmp_path / "register.csv").reports
    canonical = incidents.canonicalise(reports, doctrine=DOCTRINE).incidents
    file = path_of({"reports": reports, "incidents": canonical}, tmp_path)
    assert read_tables(file)["incidents"].equals(canonical)
    again = incidents.read_reports(file).reports
    assert again.num_rows == reports.num_rows > 400
    assert canonical.num_rows > 500
    assert incidents.canonicalise(again, doctrine=DOCTRINE).incidents.equals(canonical)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("onset_lo", "soon"),
        ("onset_lo", "2030-01-01T00:00:00+00:00"),
        ("onset_lo", "2024-05-01"),
        ("admiralty", 99),
        ("sectors", [7]),
        ("actors", [{}]),
    ],
)
def test_a_report_that_was_tampered_with_is_counted_and_the_incident_read_as_any(tmp_path, field, value):
    report = {"report_id": "rep-1", "source": "register", "source_id": "1", "name": "Outage", "onset_lo": START, "onset_hi": START}
    incident = {"incident_id": "inc-1", "name": "Outage", "onset_lo": START, "onset_hi": START, "target_state": "EE", "reports": ["rep-1"]}
    file = path_of({"reports": table([report], REPORTS), "incidents": table([incident], INCIDENTS)}, tmp_path)
    assert incidents.read_reports(file).reports["source"].to_pylist() == ["register"]
    bundle = json.loads(file.read_text("utf-8"))
    [item] = [item for item in bundle["objects"] if item["type"] == "incident"]
    item["extensions"][RECORD]["reports"][0]["row"][field] = value
    file.write_text(json.dumps(bundle), "utf-8")
    again = incidents.read_reports(file)
    assert "record of greyzone that cannot be read" in again.rejects["reason"].to_pylist()
    assert again.reports["name"].to_pylist() == ["Outage"]
    assert again.reports["source"].to_pylist() != ["register"]


def test_findings_are_no_incidents_and_incidents_without_reports_are_read_as_any(tables, tmp_path):
    again = incidents.read_reports(path_of(tables, tmp_path))
    assert sorted(again.reports["name"].to_pylist()) == ["Outage 1", "Outage 2", "Outage 3"]
    assert again.reports["target_states"].to_pylist() == [["EE"]] * 3
    assert "finding of greyzone, no incident" in again.rejects["reason"].to_pylist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "no bundle"),
        (json.dumps({"type": "bundle", "objects": []}), "no row of greyzone"),
        (
            json.dumps({"type": "bundle", "objects": [{"id": "x", "extensions": {RECORD: {"table": "members", "row": {}}}}]}),
            "table 'members'",
        ),
        (
            json.dumps({"type": "bundle", "objects": [{"id": "x", "extensions": {RECORD: {"table": "links", "row": {"colour": 1}}}}]}),
            "column 'colour'",
        ),
        (
            json.dumps({"type": "bundle", "objects": [{"id": "x", "extensions": {RECORD: {"table": "links", "row": {"p": "much"}}}}]}),
            "not of its column",
        ),
        (json.dumps({"type": "bundle", "objects": [{"id": "x", "extensions": {RECORD: {"table": "links"}}}]}), "without a row"),
    ],
)
def test_what_is_no_bundle_of_ours_is_one_line(tmp_path, text, message):
    file = tmp_path / "bundle.json"
    file.write_text(text, "utf-8")
    with pytest.raises(InputError, match=message) as caught:
        read_tables(file)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be read"):
        read_tables(tmp_path / "absent.json")


def test_people_who_decided_are_identities(tables):
    row = {
        "decision_id": "dec-1",
        "link_id": "lnk-1",
        "incident_id": "inc-1",
        "narrative_id": "nar-1",
        "decision": "yes",
        "who": "A. Reader",
    }
    decisions = table([row | {"day": date(2024, 6, 1), "revision": 0}], DECISIONS)
    by = {item["id"]: item for item in to_bundle(tables | {"decisions": decisions}, doctrine=DOCTRINE)["objects"]}
    [opinion] = [item for item in by.values() if item["type"] == "opinion"]
    assert by[opinion["created_by_ref"]]["name"] == "A. Reader"
    assert opinion["object_refs"] == [object_id("relationship", "lnk-1")]
