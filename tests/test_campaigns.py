"""Campaign profiles on a small case: what is joined, sentences, hypotheses, indicators, words, the stage in a case, attributions."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from datetime import date, timedelta

import pytest
from builders import START, build_campaigns, incident, link, narrative
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone import impact
from greyzone.acts import Settings, Work, do_campaigns
from greyzone.campaigns import profile_campaigns
from greyzone.case import Case
from greyzone.doctrine import load_doctrine
from greyzone.errors import GreyzoneError, InputError
from greyzone.records import CAMPAIGNS, DECISIONS, DOCUMENTS, GROUPS, INCIDENTS, LINKS, MEMBERS, NARRATIVES, check, table
from greyzone.techniques import Technique as Tagged
from greyzone.words import likelihood, quoted, refused

DOCTRINE = load_doctrine()


@dataclass(frozen=True, slots=True)
class Technique:
    framework: str
    id: str
    name: str
    subject: str
    trigger: str
    documents: list[str]


def case(name="Harbour outage", label="the port was sold", actor="Group 9", note="one feed", calibrated=False):
    """Two linked pairs (inc-1 with nar-1 and nar-2), one pair that only reports (inc-2, nar-3), one group on nar-1."""
    told = {"name": name, "technique_class": name, "onset_hi": START + timedelta(days=1), "level_lo": 2.5, "level_hi": 3.5}
    told |= {"actor": actor, "sectors": ["transport"], "reach": "local", "sources": ["one", "two"]}
    incidents = [incident(k, onset_precision="day" if k == 1 else "month", critical=k == 1, **told) for k in (1, 2)]
    story = {"label": label, "headline": label, "accounts": 5, "outlets": 1, "languages": ["et", "und"]}
    story |= {"last_seen": START + timedelta(days=20), "breakout": [0.2, 0.5, 0.3, 0, 0, 0]}
    begins = [START + timedelta(days=k) for k in (1, 2, 3)]
    narratives = [
        narrative(k, size=10 * k, onset_lo=onset, onset_hi=onset + timedelta(hours=3), **story) for k, onset in enumerate(begins, start=1)
    ]
    pairs = [(1, 1, 0.9, "exploits"), (1, 2, 0.6, "co-occurs"), (2, 3, 0.9, "reports"), (2, 1, 0.2, "exploits")]
    links = [
        link(i, n, p, kind=kind, p_lo=p - 0.1, p_hi=min(1.0, p + 0.05), calibrated=calibrated, evidence=["doc-1", "gone"])
        for i, n, p, kind in pairs
    ]
    groups = [
        {
            "group_id": "grp-1",
            "accounts": ["@one", "@two", "@three"],
            "items": ["x", "y"],
            "q": 0.01,
            "documents": ["doc-1", "doc-9"],
            "explanations": [{"name": note, "statistic": 0.7, "threshold": 0.5, "fits": True, "note": note}],
        },
        {"group_id": "grp-2", "accounts": ["@four"], "items": ["z"], "q": 0.01, "documents": ["doc-3", "doc-9"], "explanations": []},
    ]
    members = [{"doc_id": f"doc-{k}", "narrative_id": f"nar-{k}"} for k in (1, 2, 3)]
    documents = [{"doc_id": f"doc-{k}", "text": label, "title": name} for k in (1, 2, 3, 9)]
    found = [
        table(rows, schema)
        for rows, schema in (
            (incidents, INCIDENTS),
            (narratives, NARRATIVES),
            (members, MEMBERS),
            (groups, GROUPS),
            (links, LINKS),
            (documents, DOCUMENTS),
        )
    ]
    return found, [
        Technique("attack", "T1498", "Network denial", "inc-1", name, ["doc-1"]),
        Technique("attack", "T0", "x", "inc-9", "y", []),
    ]


@functools.cache
def scores():
    """Scores of the case; names and labels do not enter them."""
    incidents, narratives, _, _, links, _ = case()[0]
    return impact.score(incidents, narratives, links, doctrine=DOCTRINE, as_of=date(2024, 6, 1), days=0, draws=4)


def campaigns_of(found, techniques):
    return build_campaigns(*found, scores(), techniques, doctrine=DOCTRINE)


@pytest.fixture(scope="module")
def profile():
    [row] = campaigns_of(*case()).to_pylist()
    return row


def test_links_that_only_report_or_are_weak_tie_nothing(profile):
    assert profile["incidents"] == ["inc-1"]
    assert profile["narratives"] == ["nar-1", "nar-2"]
    assert profile["links"] == ["lnk-1-1", "lnk-1-2"]
    assert profile["groups"] == ["grp-1"]
    assert profile["target_states"] == ["EE"]
    assert profile["window_lo"] == START
    assert profile["window_hi"] == START + timedelta(days=20)


def test_every_sentence_has_documents_that_are_known(profile):
    for item in profile["statements"] + profile["alternatives"]:
        assert item["documents"]
        assert set(item["documents"]) <= {"doc-1", "doc-2", "doc-9", "rep-1"}


def test_likelihood_and_confidence_never_share_a_sentence(profile):
    texts = [item["text"] for item in profile["statements"]]
    likely = [text for text in texts if "very likely (p 0.90" in text]
    sure = [text for text in texts if "onfidence" in text]
    assert likely
    assert sure
    assert not any("likely" in text for text in sure)


def test_hypotheses_hold_the_fixed_ones_and_what_sources_name(profile):
    found = json.loads(profile["profile"])["hypotheses"]
    names = {entry["name"]: entry for entry in found["hypotheses"]}
    assert list(names) == ["unknown", "criminal", "organic", "“Group 9”"]
    assert names["“Group 9”"]["p"] == pytest.approx(0.6)
    assert names["unknown"]["p"] == pytest.approx(0.4)
    assert "named by “Registry A”" in names["“Group 9”"]["basis"]
    for row in found["evidence"]:
        assert row["ratings"].keys() == names.keys()
        assert set(row["ratings"].values()) <= {"consistent", "inconsistent", "not applicable"}
    # a narrative that follows its incident fits every hypothesis: it tells nothing
    follows = [row for row in found["evidence"] if "with or after" in row["text"]]
    assert [row["diagnosticity"] for row in follows] == [0, 0]
    # named: the actor and unknown consistent, two not applicable: 4 of 6 pairs differ; weight .6 x .9
    [named] = [row for row in found["evidence"] if "A source names" in row["text"]]
    assert named["diagnosticity"] == pytest.approx(4 / 6)
    assert named["weight"] == pytest.approx(0.54)


def test_indicators_have_fourteen_factors_and_no_total(profile):
    found = json.loads(profile["profile"])["indicators"]
    assert len(found) == 14
    for row in found:
        assert row.keys() == {"factor", "source", "status", "for", "against", "unknown"}
        assert row["for"] or row["against"] or row["unknown"]
        assert all(item["documents"] for side in ("for", "against", "unknown") for item in row[side])
    severity = next(row for row in found if row["factor"] == "severity")
    assert severity["for"]
    assert not severity["against"]


def test_phase_weighs_lags_by_probability(profile):
    # two links at +2 days: execute (1 + .9 + .6) / (3 + 1.5)
    found = json.loads(profile["profile"])["phase"]["probabilities"]
    assert found["execute"] == pytest.approx(2.5 / 4.5)
    assert sum(found.values()) == pytest.approx(1)


def test_techniques_timeline_gaps_decision_and_confidence(profile):
    detail = json.loads(profile["profile"])
    assert [row["id"] for row in detail["techniques"]] == ["T1498"]
    assert [row["time"] for row in detail["timeline"]] == sorted(row["time"] for row in detail["timeline"])
    assert any("uncalibrated" in gap for gap in profile["gaps"])
    assert detail["decision"] == "for human case-by-case assessment"
    assert profile["tlp"] == "TLP:AMBER"
    assert profile["confidence"] == "low"


def test_calibrated_links_and_two_sources_give_moderate_confidence_while_an_alternative_fits():
    [row] = campaigns_of(*case(calibrated=True)).to_pylist()
    assert row["confidence"] == "moderate"


def test_ids_and_bytes_do_not_depend_on_the_order_of_rows():
    found, techniques = case()
    turned = [rows.take(list(range(rows.num_rows))[::-1]) for rows in found]
    assert campaigns_of(turned, techniques[::-1]).equals(campaigns_of(found, techniques))


def decided(*rows):
    """Profiles of the case with decisions (link, who, decision, type, revision)."""
    found, techniques = case()
    names = ("link_id", "who", "decision", "type", "revision")
    told = [dict(zip(names, row, strict=True)) | {"day": date(2024, 6, 1), "note": "seen"} for row in rows]
    tables = dict(zip(("incidents", "narratives", "members", "groups", "links", "documents"), found, strict=True))
    tables["decisions"] = table(told, DECISIONS)
    return profile_campaigns(tables, scores(), techniques, doctrine=DOCTRINE).campaigns.to_pylist()


def test_people_join_a_weak_link_and_take_a_strong_one_out():
    weak, strong = "lnk-2-1", "lnk-1-1"
    [row] = decided((weak, "A", "yes", None, 0))
    assert row["links"] == ["lnk-1-1", "lnk-1-2", weak]
    assert any("“A” said “yes” on 2024-06-01: “seen”" in item["text"] for item in row["statements"])
    assert any("1 of 3 links confirmed by a person" in item["text"] for item in json.loads(row["profile"])["key_judgements"])
    [row] = decided((strong, "A", "no", None, 0))
    assert row["links"] == ["lnk-1-2"]
    assert any("people decided against: 1 link" in item["text"] for item in row["alternatives"])


def test_disputed_unsure_and_withdrawn_decisions_leave_a_link_as_it_was(profile):
    strong = "lnk-1-1"
    for rows in (
        [(strong, "A", "yes", None, 0), (strong, "B", "no", None, 0)],
        [(strong, "A", "unsure", None, 0)],
        [(strong, "A", "no", None, 0), (strong, "A", "unsure", None, 1)],
    ):
        [row] = decided(*rows)
        assert row["links"] == profile["links"]


def test_the_type_that_people_give_weighs_a_link_and_reporting_ties_nothing():
    weak = "lnk-2-1"
    [row] = decided((weak, "A", "yes", "prepares", 0))
    assert {item["id"]: item["probability"] for item in json.loads(row["profile"])["members"]}["inc-2"] == 1
    [row] = decided((weak, "A", "yes", "reports", 0))
    assert weak not in row["links"]


def test_no_links_no_campaigns():
    found, techniques = case()
    found[4] = found[4].slice(0, 0)
    assert check(campaigns_of(found, techniques), CAMPAIGNS, "campaigns").num_rows == 0


@pytest.mark.parametrize(
    ("p", "word"),
    [
        (0, "almost no chance"),
        (0.05, "very unlikely"),
        (0.2, "unlikely"),
        (0.45, "roughly even"),
        (0.5, "roughly even"),
        (0.55, "likely"),
        (0.8, "very likely"),
        (0.95, "almost certain"),
        (1, "almost certain"),
    ],
)
def test_likelihood_words_at_the_edges_of_icd_203(p, word):
    assert likelihood(p) == word


def test_likelihood_refuses_what_is_no_probability():
    with pytest.raises(InputError):
        likelihood(1.2)


@pytest.mark.parametrize(
    "text", ["an ARMED attack", "an armed-attack", "armed\u00a0 attack", "ar\u200bmed attack", "Article_5!", "“a” was behind “b”"]
)
def test_refusals_are_found_whatever_their_dress(text):
    assert refused(text, DOCTRINE)


@pytest.mark.parametrize("text", ["“an armed attack”, says a title", "an unarmed attacker", "article 55"])
def test_quotations_and_longer_words_are_no_refusals(text):
    assert refused(text, DOCTRINE) == []


def test_a_doctrine_cannot_put_a_refused_phrase_into_a_profile():
    found, techniques = case()
    loud = DOCTRINE.__class__(DOCTRINE.id, 1, DOCTRINE.title, DOCTRINE.leaves, {**DOCTRINE.words, "decision": "an act of war"})
    with pytest.raises(GreyzoneError, match="act of war"):
        build_campaigns(*found, scores(), techniques, doctrine=loud)


hostile = st.lists(
    st.sampled_from([*DOCTRINE.phrases("refusal_phrases"), "“", "”", "”.", "\n", "\u200b", "\u202e", "“x” ", "a", "was\nbehind"]),
    max_size=4,
).map(" ".join) | st.text(max_size=30)


@settings(max_examples=max(200, settings().max_examples), deadline=None, derandomize=True, database=None)
@given(hostile)
def test_a14_a_quotation_cannot_be_broken_out_of(text):
    found = quoted(text)
    assert refused(found, DOCTRINE) == []
    assert found.startswith("“")
    assert found.endswith("”")
    assert found.count("“") == found.count("”") == 1
    assert "\n" not in found


@pytest.fixture
def folder(tmp_path):
    """A case folder with the tables that the stage reads."""
    tables = dict(zip(("incidents", "narratives", "members", "groups", "links", "documents"), case()[0], strict=True))
    with Case.writing(tmp_path / "case") as opened:
        for name, rows in (*tables.items(), ("impact", scores().impact), ("shares", scores().shares)):
            opened.write_table(name, rows)
    return tmp_path / "case"


def profiled(folder):
    """Run the stage as the pipeline does; return its notes and the campaigns."""
    with Case.writing(folder) as opened:
        with opened.staged():
            notes = do_campaigns(Work(opened, Settings(), lambda *_: None, 1))
            opened.finish_stage("campaigns", "any", ["campaigns.parquet", "campaign_lineage.parquet"], notes)
        return notes, opened.table("campaigns").to_pylist()


def test_the_stage_keeps_ids_and_logs_what_became_of_campaigns(folder):
    notes, [first] = profiled(folder)
    assert (notes["update"], notes["lineage"]) == (0, {"born": 1})
    links = Case(folder).table("links")
    with Case.writing(folder) as opened:
        opened.write_table("links", links.slice(0, 1))
    notes, [second] = profiled(folder)
    assert (notes["update"], notes["lineage"]) == (1, {"continued": 1})
    assert second["narratives"] == ["nar-1"]
    assert second["campaign_id"] == first["campaign_id"]
    with Case.writing(folder) as opened:
        opened.write_table("links", links.slice(0, 0))
    assert profiled(folder)[1] == []
    rows = Case(folder).table("campaign_lineage").to_pylist()
    assert [(row["update"], row["event"], row["members_before"], row["members_after"]) for row in rows] == [
        (0, "born", 0, 3),
        (1, "continued", 3, 2),
        (2, "ended", 2, 0),
    ]


def test_an_attribution_is_a_persons_and_outlives_the_stage(folder, monkeypatch):
    from typer.testing import CliRunner

    from greyzone.cli import app, journey

    monkeypatch.setattr(journey, "advance_case", lambda *_, **__: None)
    monkeypatch.setattr(journey, "print_notes", lambda *_: None)
    _, [row] = profiled(folder)
    assert json.loads(row["profile"])["attribution"]["value"] == "unknown"
    assert any("no person has set an attribution" in gap for gap in row["gaps"])
    given = ["--attribute", f"{row['campaign_id']}=Group 9", "--who", "A. Reader", "--basis", "it was behind b", "--day", "2024-06-01"]
    done = CliRunner().invoke(app, ["campaigns", str(folder), *given])
    assert done.exit_code == 0, done.output
    written = (folder / "attributions.parquet").read_bytes()
    _, [row] = profiled(folder)
    assert (folder / "attributions.parquet").read_bytes() == written
    assert json.loads(row["profile"])["attribution"]["value"] == "“Group 9”"
    [item] = [item for item in row["statements"] if "attribution" in item["text"]]
    assert "set by “A. Reader”, not by greyzone on 2024-06-01; basis: “it was behind b”" in item["text"]
    assert item["documents"]
    for wrong in (["--who", "A"], ["--attribute", "cmp-9=x", "--who", "A", "--basis", "b"]):
        assert isinstance(CliRunner().invoke(app, ["campaigns", str(folder), *wrong]).exception, InputError)


def test_phia_changes_the_words_and_nothing_else(profile):
    phia = DOCTRINE.__class__(DOCTRINE.id, 1, DOCTRINE.title, DOCTRINE.leaves, {**DOCTRINE.words, "scale": "PHIA"})
    found, techniques = case()
    [row] = build_campaigns(*found, scores(), techniques, doctrine=phia).to_pylist()
    assert json.loads(row["profile"])["words"]["status"] == "unverified"
    # p .6 and .9: likely and very likely by ICD 203, likely and highly likely by PHIA
    told = [item["text"].split("linked: ")[1].split(" (")[0] for item in row["statements"] if "linked: " in item["text"]]
    assert told == ["highly likely", "likely"]
    assert row["links"] == profile["links"]


@pytest.mark.parametrize(
    ("p", "word"), [(0.05, "remote chance"), (0.45, "realistic possibility"), (0.6, "likely"), (0.96, "almost certain")]
)
def test_likelihood_words_of_phia(p, word):
    assert likelihood(p, "PHIA") == word


def test_an_unknown_scale_is_refused():
    with pytest.raises(InputError, match="one of ICD 203, PHIA"):
        likelihood(0.5, "Kent")


def test_key_judgements_tell_what_it_is_how_sure_and_what_is_not_known(profile):
    found = json.loads(profile["profile"])["key_judgements"]
    assert [item["topic"] for item in found] == ["made of", "builds up", "how sure", "how sure", "against", "not known"]
    texts = [item["text"] for item in found]
    assert "joins 1 incident, 2 narratives, 1 group of accounts by 2 links, from 2024-05-01 to 2024-05-21" in texts[0]
    assert "(p 0.60, interval 0.50–0.65, doctrine “default”" in texts[2]
    assert texts[3].startswith("Confidence in this profile is low: 0 of 2 links calibrated, 1 of 1 incident told by two sources or more")
    assert "“one feed”" in texts[4]
    assert "1 link of mere co-occurrence" in texts[4]
    assert "sources name 1 actor" in texts[5]


def test_members_and_stages_by_hand(profile):
    detail = json.loads(profile["profile"])
    # expected weights: .9 (.6 + .1 + .1 + .25 x .1) = .7425 and .6 (.1 + .1 + .1 + .25 x .6) = .27; the group has half its documents there
    assert {row["id"]: row["probability"] for row in detail["members"]} == {
        "inc-1": pytest.approx(1 - (1 - 0.7425) * (1 - 0.27)),
        "nar-1": pytest.approx(0.7425),
        "nar-2": pytest.approx(0.27),
        "grp-1": pytest.approx(0.7425 / 2),
    }
    # lags of +2 days: P03 weighs .9 + .6 beside one piece of the unknown
    assert detail["phase"]["disarm"] == {
        "P01": 0,
        "P02": 0,
        "P03": pytest.approx(1.5 / 2.5),
        "P04": 0,
        "unknown": pytest.approx(1 / 2.5),
    }
    assert all(row["documents"] for row in detail["phase"]["rests_on"])


def staged(found, *tags):
    """Return the phase of the campaign."""
    [row] = campaigns_of(found, tags).to_pylist()
    return json.loads(row["profile"])["phase"]


def with_lags(found, *lags):
    """Return the case with other lags of its two tying links, of p .9 and .6."""
    links = [row | {"lag_days": lag} for row, lag in zip(found[4].to_pylist(), [*lags, 2.0, 2.0], strict=True)]
    return [*found[:4], table(links, LINKS), *found[5:]]


def told_of(found, part):
    """Return a part of the profile of the campaign."""
    [row] = campaigns_of(found, []).to_pylist()
    return json.loads(row["profile"])[part]


def with_rows(found, place, **more):
    """Return the case with other values in all rows of one of its tables."""
    rows = [row | more for row in found[place].to_pylist()]
    return [*found[:place], table(rows, found[place].schema), *found[place + 1 :]]


def test_what_each_piece_of_evidence_speaks_against():
    told = told_of(with_rows(with_lags(case(name="ransomware")[0], -30.0, 2.0), 4, llr_artefact=1.5), "hypotheses")
    names = ["unknown", "criminal", "organic", "“Group 9”"]
    yes, no, neither = "consistent", "inconsistent", "not applicable"
    rated = {item["text"]: ([item["ratings"][name] for name in names], pytest.approx(item["weight"])) for item in told["evidence"]}
    assert rated == {
        "Accounts share documents beyond chance.": ([yes, neither, yes, yes], 0.99),
        "“the port was sold” begins before the incident.": ([yes, neither, no, yes], 0.9),
        "“the port was sold” begins with or after the incident.": ([yes, yes, yes, yes], 0.6),
        # Of both links; the weaker stands last.
        "“the port was sold” shares an artefact with the incident.": ([yes, neither, no, yes], 0.6),
        "“ransomware” uses extortion.": ([yes, yes, no, neither], 0.9),
        "A source names “Group 9”.": ([yes, neither, neither, yes], 0.54),
    }
    against = {entry["name"]: (entry["inconsistent"], pytest.approx(entry["inconsistency"])) for entry in told["hypotheses"]}
    assert against == {"unknown": (0, 0), "criminal": (0, 0), "organic": (4, 0.9 + 0.9 + 0.6 + 0.9), "“Group 9”": (0, 0)}


def test_actors_that_sources_name_speak_against_each_other_and_nobody_is_no_actor():
    named = [("Group 8", 0.5, "Registry B"), ("Group 9", 0.9, "Registry A"), (" Not available", 0.4, "Registry C"), (None, 0.4, None)]
    actors = [{"name": name, "state": None, "probability": p, "said_by": by} for name, p, by in named]
    told = told_of(with_rows(case()[0], 0, actors=actors), "hypotheses")
    by_name = {entry["name"]: entry for entry in told["hypotheses"]}
    assert list(by_name) == ["unknown", "criminal", "organic", "“Group 8”", "“Group 9”"]
    # Together they have 1.4: each has its part of that, and nothing is left.
    assert by_name["“Group 8”"]["p"] == pytest.approx(0.5 / 1.4)
    assert by_name["unknown"]["p"] == 0
    assert (by_name["“Group 9”"]["p_lo"], by_name["“Group 9”"]["p_hi"]) == pytest.approx((0.9 / 1.4, 0.9 * 0.9))
    assert (by_name["“Group 8”"]["inconsistency"], by_name["“Group 9”"]["inconsistency"]) == pytest.approx((0.9 * 0.9, 0.5 * 0.9))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"level_mode": 3.0}, {"severity": "for", "measurability": "for"}),
        ({"level_mode": 2.9}, {"severity": "unknown"}),
        ({"level_lo": 1.0, "level_mode": 1.5, "level_hi": 2.0}, {"severity": "unknown"}),
        ({"level_lo": 1.0, "level_mode": 1.4, "level_hi": 2.0}, {"severity": "against"}),
        ({"level_lo": None, "level_mode": None, "level_hi": None}, {"severity": "unknown", "measurability": "against"}),
        ({"technique_class": "doxing"}, {"invasiveness": "for"}),
        ({"technique_class": "disruption"}, {"invasiveness": "unknown"}),
        ({"sectors": ["Armed Forces"]}, {"military character": "for"}),
        ({"sectors": ["transport"], "critical": False}, {"military character": "against", "nature of the target": "against"}),
        ({"sectors": [], "critical": False}, {"military character": "unknown", "nature of the target": "unknown"}),
        ({"sectors": [], "critical": True}, {"nature of the target": "for"}),
    ],
)
def test_the_side_of_each_factor(fields, expected):
    rows = {row["factor"]: row for row in told_of(with_rows(case()[0], 0, **fields), "indicators")}
    for factor, side in expected.items():
        assert [name for name in ("for", "against", "unknown") if rows[factor][name]] == [side], factor


def test_stages_of_tagged_techniques_by_hand():
    tags = [
        Tagged("DISARM", "T0049", "Flooding", "nar-1", "many posts", ("doc-1",), "v", ("P02", "P03")),
        Tagged("ATT&CK", "T1498", "Network denial", "inc-1", "flooded", ("rep-1",), "v", ("impact", "exfiltration")),
    ]
    found = staged(case(name="ransomware")[0], *tags)
    # One piece is unknown; both links come with their incident (P03: .9 + .6); half a technique is of each of its stages.
    assert found["disarm"] == pytest.approx({"P01": 0, "P02": 0.5 / 3.5, "P03": 2 / 3.5, "P04": 0, "unknown": 1 / 3.5})
    assert found["attack"] == pytest.approx({"exfiltration": 0.25, "impact": 0.25, "unknown": 0.5})
    assert [(row["disarm"], row["attack"], pytest.approx(row["p"])) for row in found["joint"]] == [
        ("P03", "exfiltration", 0.75 / 2.5),
        ("P03", "impact", 0.75 / 2.5),
        ("unknown", "unknown", 1 / 2.5),
    ]
    assert [(item["text"], item["weight"]) for item in found["rests_on"]][2:] == [
        ("Technique T1498 “Network denial” is of impact, exfiltration.", 1),
        ("Technique T0049 “Flooding” is of P02, P03.", 1),
    ]


def test_the_class_of_an_incident_counts_where_no_technique_of_it_was_tagged():
    found = staged(case(name="ransomware")[0])
    assert found["attack"] == pytest.approx({"impact": 0.9 / 1.9, "unknown": 1 / 1.9})
    assert (found["rests_on"][-1]["text"], found["rests_on"][-1]["weight"]) == (
        "The technique class of “ransomware” is “ransomware”: impact.",
        0.9,
    )
    assert staged(case(name="Harbour outage")[0])["attack"] == {"unknown": 1}


@pytest.mark.parametrize(
    ("lags", "disarm", "probabilities"),
    [
        # A day before and seven days after are the ends of the execution.
        ((-1.5, 7.5), {"P02": 0.9, "P03": 0.6}, {"prepare": 1.9, "execute": 1, "sustain": 1.6}),
        ((-1.0, 7.0), {"P02": 0, "P03": 1.5}, {"prepare": 1, "execute": 2.5, "sustain": 1}),
        ((None, -30.0), {"P02": 0.6, "P03": 0}, {"prepare": 1.6, "execute": 1, "sustain": 1}),
    ],
)
def test_phases_by_lag(lags, disarm, probabilities):
    found = staged(with_lags(case()[0], *lags))
    whole = 1 + sum(disarm.values())
    assert found["disarm"] == pytest.approx({"P01": 0, "P04": 0, "unknown": 1 / whole} | {name: w / whole for name, w in disarm.items()})
    total = sum(probabilities.values())
    assert found["probabilities"] == pytest.approx({name: weight / total for name, weight in probabilities.items()})


def test_the_hypothesis_that_evidence_speaks_against_is_not_the_least_inconsistent():
    found, techniques = case(note="one feed")
    groups = found[3].to_pylist()
    groups[0]["explanations"][0]["fits"] = False
    found[3] = table(groups, GROUPS)
    [row] = campaigns_of(found, techniques).to_pylist()
    told = json.loads(row["profile"])["hypotheses"]
    against = {entry["name"]: (entry["inconsistent"], entry["inconsistency"]) for entry in told["hypotheses"]}
    # a coordinated group that no explanation fits speaks against the organic reading alone, with weight 1 - q
    assert against == {"unknown": (0, 0), "criminal": (0, 0), "organic": (1, pytest.approx(0.99)), "“Group 9”": (0, 0)}
    texts = [item["text"] for item in told["reading"]]
    assert texts[0].startswith("Least inconsistent with 4 pieces of evidence, weighted by credibility: unknown, criminal, “Group 9”;")
    assert texts[-1] == "This order is no finding on who acted."
