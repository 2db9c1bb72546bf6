"""Profile sheets and scores taken apart on the page: what is shown, counted and computed, in Python and in a browser."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from greyzone.doctrine import load_doctrine
from greyzone.errors import SchemaError
from greyzone.impact import score, take_apart
from greyzone.impact.dose import Coupling
from greyzone.impact.draws import theta_of
from greyzone.impact.ledger import score_without
from greyzone.records import CAMPAIGN_LINEAGE, CAMPAIGNS, DOCUMENTS, INCIDENTS, LINKS, NARRATIVES, SENSITIVITY, TABLES, VIEWS, empty, table
from greyzone.report import render, scores, sheets
from greyzone.report.lanes import LANES, draw_lanes
from greyzone.report.scores import tell_scores, tell_terms
from greyzone.report.sheets import tell_campaigns

DOCTRINE = load_doctrine()
START = datetime(2024, 1, 1, tzinfo=UTC)
HOSTILE = '\u202e</script><script>window.stolen=1</script><img src=x onerror="window.stolen=1">\u2066'
OLD_KEYS = {
    "phase": {"probabilities": {"prepare": 0.2, "execute": 0.5, "sustain": 0.3}, "basis": "lag of the narratives"},
    "timeline": [
        {"time": "2024-01-01T00:00:00+00:00", "precision": "day", "kind": "incident", "text": "It begins", "documents": ["doc-0"]}
    ],
    "techniques": [{"framework": "DISARM", "id": "T0119", "name": "“x”", "subject": "nar-0", "trigger": "“y”", "documents": ["doc-1"]}],
    "hypotheses": {
        "hypotheses": [{"name": "unknown", "p": 1.0, "basis": "rest"}, {"name": "organic", "p": None, "basis": "always considered"}],
        "evidence": [
            {"text": "Dull.", "documents": ["doc-0"], "ratings": {"unknown": "consistent", "organic": "consistent"}, "diagnosticity": 0.0},
            {
                "text": "Telling.",
                "documents": ["doc-2"],
                "ratings": {"unknown": "consistent", "organic": "inconsistent"},
                "diagnosticity": 1.0,
            },
        ],
    },
    "indicators": [{"factor": "severity", "for": [{"text": "Graded.", "documents": ["doc-0"]}], "against": [], "unknown": []}],
    "decision": "for human case-by-case assessment",
}
NEW_KEYS = {
    "key_judgements": [{"text": "A link is likely.", "confidence": "Confidence is low.", "documents": ["doc-3"]}],
    "members": [{"kind": "incident", "id": "inc-0", "probability": 0.9}, {"kind": "narrative", "id": "nar-0", "probability": 0.4}],
}


def at(days):
    return START + timedelta(days=days)


def incident(number, day=0.0, width=0.0, **more):
    row = {"incident_id": f"inc-{number}", "name": f"incident {number}", "onset_lo": at(day), "onset_hi": at(day + width), "end_hi": None}
    row |= {"onset_precision": "day", "target_state": "EE", "technique_class": ["ddos", "wiper"][number % 2], "sources": ["one"]}
    return row | {"level_lo": 2.0, "level_mode": 3.0, "level_hi": 4.0, "reach": "local", "credibility": 0.9} | more


def narrative(number, day=0.0, **more):
    row = {
        "narrative_id": f"nar-{number}",
        "label": f"narrative {number}",
        "headline": "says",
        "keywords": ["word"],
        "exemplars": ["doc-1"],
    }
    row |= {
        "onset_lo": at(day),
        "onset_hi": at(day),
        "last_seen": at(day + 9),
        "targets": ["EE"],
        "size": 5,
        "distinct_texts": 5,
        "accounts": 3,
    }
    row |= {"volume": [{"day": at(day + 2 * step).date(), "documents": step + 1} for step in range(4)], "breakout": [1 / 6] * 6}
    return row | more


def link(i, n, p=0.7):
    return {
        "link_id": f"lnk-{i}-{n}",
        "incident_id": f"inc-{i}",
        "narrative_id": f"nar-{n}",
        "type": "exploits",
        "p": p,
        "p_lo": 0.4,
        "p_hi": 0.9,
    }


def campaign(profile, **more):
    row = {
        "campaign_id": "cmp-0",
        "title": "a campaign",
        "target_states": ["EE"],
        "window_lo": at(0),
        "window_hi": at(9),
        "tlp": "TLP:AMBER",
    }
    row |= {"incidents": ["inc-0", "inc-1"], "narratives": ["nar-0"], "groups": [], "links": ["lnk-0-0"], "confidence": "low"}
    row |= {"statements": [{"text": "A sentence.", "documents": [f"doc-{n}" for n in range(9)]}], "gaps": ["A gap."]}
    row |= {"alternatives": [{"text": "Something else.", "documents": ["doc-4"]}], "profile": json.dumps(profile)}
    return row | more


def case(campaigns, incidents=6, narratives=2, own=DOCTRINE, **more):
    """Tables of a case with one state scored on 120 draws and one with too little."""
    documents = [
        {"doc_id": f"doc-{n}", "text": f"text {n}", "account": "a", "published_at": at(n), "urls": [], "lang": "en"} for n in range(12)
    ]
    cyber = [incident(n, n % 5, n % 3) for n in range(incidents)] + [incident(9999, 1, target_state="LV")]
    stories = [narrative(n, n) for n in range(narratives)]
    pairs = [link(i, n) for i in range(min(incidents, 6)) for n in range(narratives)]
    found = {"documents": table(documents, DOCUMENTS), "incidents": table(cyber, INCIDENTS), "narratives": table(stories, NARRATIVES)}
    found |= {"links": table(pairs, LINKS), "campaigns": table(campaigns, CAMPAIGNS)} | more
    parts = (found["incidents"], found["narratives"], found["links"])
    result = score(*parts, doctrine=own, as_of=date(2024, 1, 20), days=21, draws=120)
    other = {"target_state": "EE", "date": date(2024, 1, 20), "doctrine": "default 1"}
    views = [{"view": "same-originator", "key": "A", "p": 0.4, "items": 2, "status": "insufficient evidence"}]
    views.append({"view": "without source", "key": "one", "items": 4, "score_p05": 1.0, "score_p50": 2.0, "score_p95": 7.0, "status": "ok"})
    owed = [{"parameter": "dose.v", "low": 0.25, "high": 1.0, "score_low": 3.0, "score_high": 9.0, "swing": 6.0, "st": 0.25}]
    found |= {"views": table([other | row for row in views], VIEWS), "sensitivity": table([other | row for row in owed], SENSITIVITY)}
    account = take_apart(*parts, result.impact, doctrine=own, draws=120)
    return found | {
        "impact": result.impact,
        "shares": result.shares,
        "ledger": account.ledger,
        "doses": account.doses,
        "couplings": account.couplings,
    }


def known(tables):
    return {name: tables.get(name, empty(schema)) for name, schema in TABLES.items()}


@pytest.fixture(scope="module")
def told():
    return case([campaign(OLD_KEYS | NEW_KEYS)])


@pytest.fixture(scope="module")
def page(told, tmp_path_factory):
    path = tmp_path_factory.mktemp("sheet") / "report.html"
    path.write_text(render(told, {"greyzone": "0"}, doctrine=DOCTRINE))
    return path


# --- lanes ---


def test_golden_lanes():
    """Ten days with a day of room: 12 days are 1000 wide, so a day is 83.3; the onset of days 0-2 is a bar from 83.3 to 250."""
    found = draw_lanes([incident(0, 0, 2, end_hi=at(6))], [narrative(0, 1, last_seen=at(10))], [link(0, 0)])
    onset, goes_on, first = found["bars"]
    assert (onset["x"], onset["width"], onset["kind"]) == (83.3, 166.7, "onset")
    assert (goes_on["x"], goes_on["width"]) == (250.0, 333.3)
    assert (first["x"], first["width"]) == (166.7 - 2 + 2, 4.0)
    assert found["height"] == 60
    assert found["threads"] == [{"x1": 166.7, "y1": 15.0, "x2": 166.7, "y2": 45.0, "width": 2.3, "says": "exploits, p 0.70 (0.40–0.90)"}]
    assert [lane["kind"] for lane in found["lanes"]] == ["incident", "narrative"]
    assert "2024-01-01 to 2024-01-03" in found["lanes"][0]["says"]


def test_lanes_that_do_not_fit_and_rows_without_date_are_counted():
    crowd = draw_lanes([incident(n, n) for n in range(40)], [narrative(n, n) for n in range(5)], [])
    assert len(crowd["lanes"]) == LANES
    assert crowd["left_out"] == {"incidents": 40 - (LANES - 5), "narratives": 0}
    undated = draw_lanes([incident(0, onset_lo=None, onset_hi=None)], [], [])
    assert (undated["lanes"], undated["left_out"]) == ([], {"incidents": 1, "narratives": 0})


@pytest.mark.parametrize("days", [0, 3, 40, 400, 9000])
def test_an_axis_has_few_marks_in_order(days):
    ticks = draw_lanes([incident(0, 0), incident(1, days)], [], [])["ticks"]
    assert 1 <= len(ticks) <= 9
    places = [tick["x"] for tick in ticks]
    assert places == sorted(set(places))
    assert places[0] >= 0
    assert places[-1] <= 1000


# --- sheets ---


def test_a_sheet_shows_what_the_profile_has_and_what_it_may_have_later(told):
    tables = known(told)
    (sheet,), rest = tell_campaigns(tables, {entry["state"]: entry for entry in tell_scores(tables)})
    assert not rest
    assert [row["text"] for row in sheet["evidence"]["shown"]] == ["Telling.", "Dull."]
    assert sheet["against"] == {"unknown": 0, "organic": 1}
    assert [(member["id"], member["p"]) for member in sheet["members"]["shown"]] == [("inc-0", 0.9), ("nar-0", 0.4), ("inc-1", None)]
    assert sheet["scores"][0]["state"] == "EE"
    assert sheet["sources"][0] == "doc-3"
    assert len(sheet["sources"]) == len(set(sheet["sources"]))
    # a sentence cites six of its nine documents
    assert {"doc-5", "doc-6"} & set(sheet["sources"]) == {"doc-5"}
    (older,), _ = tell_campaigns(known({**told, "campaigns": table([campaign(OLD_KEYS)], CAMPAIGNS)}), {})
    assert (older["judgements"], {member["p"] for member in older["members"]["shown"]}) == ([], {None})


def test_later_keys_of_a_profile_are_shown(told):
    later = {
        "attribution": {"value": "somebody", "who": "an analyst", "day": "2024-02-01", "basis": "a report"},
        "bridges": [{"incident_id": "inc-4", "narrative_id": "nar-1", "p": 0.31, "p_lo": 0.1, "p_hi": 0.6}],
        "words": {"scale": "PHIA"},
        "phase": {
            "disarm": {"P03": 0.7, "unknown": 0.3},
            "joint": [{"disarm": "P03", "attack": "impact", "p": 0.6}, {"disarm": "unknown", "attack": "unknown", "p": 0.4}],
            "rests_on": [{"text": "It comes with it: P03.", "documents": ["doc-7"], "weight": 0.58}],
        },
    }
    born = {"update": 2, "event": "split", "campaign_id": "cmp-0", "other_id": "cmp-9"}
    more = {"campaigns": table([campaign(OLD_KEYS | later)], CAMPAIGNS), "campaign_lineage": table([born], CAMPAIGN_LINEAGE)}
    (sheet,), _ = tell_campaigns(known(told | more), {})
    assert sheet["joint"] == {"across": ["impact", "unknown"], "rows": [["P03 execute", [0.6, 0.0]], ["unknown", [0.0, 0.4]]]}
    assert sheet["bridges"]["shown"] == [{"incident": "incident 4", "narrative": "narrative 1", "p": [0.1, 0.31, 0.6]}]
    assert "doc-7" in sheet["sources"]
    text = render(told | more, {}, doctrine=DOCTRINE)
    for words in (
        '<b dir="auto">somebody</b>, set not by greyzone but by an analyst on 2024-02-01: a report',
        "follow PHIA",
        "split in run 2",
        "Weight 0.58",
    ):
        assert words in text, words


def test_every_citation_of_a_sheet_has_its_number_and_its_row(told, page):
    text = page.read_text()
    numbers = re.findall(r'<a class="cite" href="#([^"]+)" data-source="[^"]+" aria-label="source (\d+)">(\d+)</a>', text)
    assert numbers
    ids = [row[0] for row in sorted({(identity, int(number)) for identity, number, _ in numbers}, key=lambda row: row[1])]
    assert all(number == shown for _, number, shown in numbers)
    (sheet,), _ = tell_campaigns(known(told), {})
    assert [identity for identity in sheet["sources"] if identity in ids] == ids
    assert all(f'<tr id="{identity}">' in text for identity in ids)
    assert "and 3 more" in text


def test_the_number_of_a_named_actor_is_said_to_be_no_probability_that_it_acted(told):
    profile = json.loads(told["campaigns"]["profile"][0].as_py())
    profile["hypotheses"]["hypotheses"].append({"name": "“A”", "p": 0.25, "basis": "named by “one”"})
    shown = words(render(told | {"campaigns": table([campaign(profile)], CAMPAIGNS)}, {}, doctrine=DOCTRINE))
    assert "“A” 0.25 of namings" in shown
    assert "unknown 1.00 unassigned" in shown
    assert "organic named by no source" in shown


def test_smaller_campaigns_are_counted_and_named(told, monkeypatch):
    monkeypatch.setattr(sheets, "SHEETS", 1)
    small = campaign(OLD_KEYS, campaign_id="cmp-1", title="a small one", incidents=["inc-1"])
    text = render({**told, "campaigns": table([campaign(OLD_KEYS), small], CAMPAIGNS)}, {}, doctrine=DOCTRINE)
    assert "1 smaller campaigns have no sheet here" in text
    assert "a small one" in text


def test_long_lists_say_what_they_leave_out(told):
    many = [{"text": f"Sentence {n}.", "documents": ["doc-0"]} for n in range(75)]
    text = render({**told, "campaigns": table([campaign(OLD_KEYS, statements=many)], CAMPAIGNS)}, {}, doctrine=DOCTRINE)
    assert "(60 of 75)" in text
    assert "15 more are in the table" in text


# --- scores ---


def test_terms_carry_a_state_whole_or_say_how_much_there_is_no_room_for(told, monkeypatch):
    found, left = tell_terms(known(told), ["EE", "LV"])
    assert (set(found), left) == ({"EE"}, {})
    assert len(found["EE"]["items"]) == 8
    assert [doctrine["own"] for doctrine in found["EE"]["doctrines"]] == [True, False, False]
    assert len(found["EE"]["terms"]) == 1, "doctrines that differ in q and gamma alone share doses, waves and links"
    monkeypatch.setattr(scores, "ITEMS", 7)
    assert tell_terms(known(told), ["EE"]) == ({}, {"EE": 8})


def test_a_ledger_with_a_dose_missing_is_refused(told):
    doses = told["doses"].slice(1)
    with pytest.raises(SchemaError, match="doses under 'additive' for 8 items"):
        tell_terms(known(told | {"doses": doses}), ["EE"])


def test_five_thousand_items_keep_the_page_bounded():
    tables = case([], incidents=5000)
    text = render(tables, {}, doctrine=DOCTRINE)
    bare = render({}, {}, doctrine=DOCTRINE)
    assert len(text) - len(bare) < 3_000_000
    assert tell_terms(known(tables), ["EE"])[0]["EE"]["items"].__len__() == 5002


# --- in a browser ---


def opened(browser, path):
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(path.as_uri())
    WebDriverWait(browser, 20).until(lambda driver: driver.execute_script("return document.body.dataset.ready") == "yes")
    return browser


def errors(browser):
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def text_of(browser, selector):
    return browser.execute_script("return document.querySelector(arguments[0]).innerText", selector)


def take_out(browser, *items):
    for item in items:
        browser.execute_script(
            "[...document.querySelectorAll('#share-plot input')].find(e => e.dataset.item === arguments[0]).click()", item
        )


def choose_state(browser, name):
    browser.execute_script(
        "const s = document.getElementById('impact-state');"
        "s.value = [...s.options].find(o => o.textContent.startsWith(arguments[0])).value; s.dispatchEvent(new Event('input'))",
        name,
    )


COMPUTED = """
const book = JSON.parse(document.getElementById('case-data').textContent).terms.EE;
const doctrine = book.doctrines.find((d) => d.name === arguments[0]);
const removed = new Set(arguments[1].map((id) => book.items.indexOf(id)));
const found = greyzoneDose(book.terms[doctrine.terms], doctrine, removed);
const score = greyzoneScore(found.total, doctrine);
return [score, (score / found.total) * [...found.parts].reduce((a, b) => a + b, 0)];
"""


@pytest.mark.browser
@pytest.mark.parametrize("name", ["default", "additive", "worst-event"])
def test_the_formula_of_the_page_is_the_one_of_greyzone(browser, page, told, name):
    """Oracle: sets of removed items, in the browser against Python, within 1e-9; the shares sum to the score."""
    opened(browser, page)
    doctrine = load_doctrine(name)
    rows = [row for row in told["doses"].to_pylist() if row["doctrine"] == name]
    cyber, stories = ([row for row in rows if row["kind"] == kind] for kind in ("incident", "narrative"))
    where = {row["item_id"]: place for side in (cyber, stories) for place, row in enumerate(side)}
    pairs = [row for row in told["couplings"].to_pylist() if row["doctrine"] == name]
    coupling = Coupling(
        np.array([where[row["incident_id"]] for row in pairs]),
        np.array([where[row["narrative_id"]] for row in pairs]),
        np.array([row["weight"] for row in pairs]),
    )
    arrays = [np.array([row[key] for row in side]) for key, side in (("dose", cyber), ("wave", cyber), ("dose", stories))]
    ids = [row["item_id"] for row in (*cyber, *stories)]
    for removed in ([], ids[:1], ["inc-2", "inc-5", "nar-0"], ids[:-1]):
        flags = np.array([float(identity in removed) for identity in ids])
        expected = score_without(*arrays, coupling, flags, theta=theta_of(doctrine), d0=doctrine["dose.d0"])
        found, summed = browser.execute_script(COMPUTED, name, removed)
        assert found == pytest.approx(expected, abs=1e-9)
        assert summed == pytest.approx(expected, abs=1e-9)


@pytest.mark.browser
def test_what_if_one_item_is_told_with_its_interval_and_several_with_bounds(browser, page, told):
    opened(browser, page)
    choose_state(browser, "Estonia")
    row = next(row for row in told["doses"].to_pylist() if row["doctrine"] == "default" and row["item_id"] == "inc-0")
    take_out(browser, "inc-0")
    panel = text_of(browser, "#whatif")
    assert f"{row['without_p05']:.1f}–{row['without_p95']:.1f}" in panel
    assert f"−{row['drop_p95']:.1f} to" in panel
    assert browser.execute_script("return document.getElementById('impact-plot').data.length") == 6
    take_out(browser, "inc-1", "nar-0")
    panel = text_of(browser, "#whatif")
    assert "none computed for a combination" in panel
    assert "at most" in panel
    assert "Without 3 items" in panel
    rows = [row for row in told["doses"].to_pylist() if row["doctrine"] == "default" and row["item_id"] in {"inc-0", "inc-1", "nar-0"}]
    assert f"at most {min(row['without_p05'] for row in rows):.1f}–{min(row['without_p95'] for row in rows):.1f}" in panel
    browser.execute_script("document.getElementById('whatif-back').click()")
    assert "Tick one item" in text_of(browser, "#whatif")
    assert errors(browser) == []


@pytest.mark.browser
def test_another_doctrine_recomputes_score_shares_and_order(browser, page, told):
    opened(browser, page)
    choose_state(browser, "Estonia")

    def listed():
        return browser.execute_script(
            "return [...document.querySelectorAll('#share-plot tbody tr')].filter(r => r.querySelector('input'))"
            ".map(r => [r.querySelector('input').dataset.item, r.cells[3].textContent])"
        )

    before, under = listed(), text_of(browser, "#impact-vector")
    browser.execute_script(
        "[...document.querySelectorAll('#doctrine-table input')].find(e => e.parentNode.textContent.includes('additive')).click()"
    )
    after, head = listed(), next(row for row in told["ledger"].to_pylist() if row["doctrine"] == "additive" and row["target_state"] == "EE")
    assert after != before
    assert "Under additive" not in under
    shown = text_of(browser, "#doctrine-table")
    assert head["doctrine_hash"] in shown
    assert f"{head['score']:.1f}" in shown
    assert f"{head['score_p50']:.0f} (90 % interval {head['score_p05']:.0f}–{head['score_p95']:.0f})" in text_of(browser, "#impact-vector")
    assert browser.execute_script("return document.querySelector('#share-plot tr.sum').cells[3].textContent") == f"{head['score']:.1f}"


@pytest.mark.browser
def test_too_little_evidence_shows_no_number(browser, page):
    opened(browser, page)
    choose_state(browser, "Latvia")
    shown = text_of(browser, "#impact")
    assert "No number is given for Latvia" in shown
    assert "insufficient evidence" in text_of(browser, "#impact-status")
    assert not browser.execute_script("return document.getElementById('impact-told').offsetParent !== null")


@pytest.mark.browser
def test_views_and_sensitivity_are_told_with_interval_or_without_number(browser, page):
    opened(browser, page)
    choose_state(browser, "Estonia")
    told = text_of(browser, "#impact-views")
    assert re.search(r"one originator, as sources name it\s+A\s+0.40\s+2\s+insufficient evidence", told)
    assert "2 (1–7)" in told
    assert "dose.v (0.25)" in told
    assert "3.0–9.0" in told


@pytest.mark.browser
def test_a_score_that_is_not_robust_says_so_beside_every_number(browser, told, tmp_path):
    stamped = {name: told[name] for name in told}
    for name in ("impact", "ledger"):
        rows = [row | {"status": "not robust"} if row["target_state"] == "EE" else row for row in told[name].to_pylist()]
        stamped[name] = table(rows, TABLES[name])
    path = tmp_path / "report.html"
    path.write_text(render(stamped, {}, doctrine=DOCTRINE))
    opened(browser, path)
    choose_state(browser, "Estonia")
    take_out(browser, "inc-0")
    for place in ("#impact-status", "#whatif", "#doctrine-table", ".sheet"):
        assert "not robust" in text_of(browser, place), place


def words(text):
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_links_beyond_chance_timing_are_not_said_to_be_as_right_as_that_test(told):
    """Twelve links of p .7 (.4 to .9): 3.6 of them are wrong by their own word, 1.2 to 7.2 over the intervals, whatever q says."""
    rows = [row | {"q": 0.01} for row in told["links"].to_pylist()]
    shown = words(render(told | {"links": table(rows, LINKS)}, {}, doctrine=DOCTRINE))
    assert "12 of 12 candidate links stand out from chance timing: incidents moved to other times" in shown
    assert "would give at most about 10 % of such a list. That is no share of errors" in shown
    assert "by their own probabilities about 4 of the 12 are wrong (1 to 7 over their intervals)" in shown
    one = words(render(told | {"links": table([rows[0] | {"p": 0.06, "p_lo": 0.01, "p_hi": 0.2}], LINKS)}, {}, doctrine=DOCTRINE))
    assert "1 of 1 candidate link stands out from chance timing" in one
    assert "about 0.9 of the 1 are wrong (0.8 to 1.0 over their intervals)" in one
    assert "the corpus is too short to move incidents in time" in words(render(told, {}, doctrine=DOCTRINE))


def test_states_come_by_name_and_a_level_that_hangs_on_the_doctrine_says_so_beside_every_number(told):
    rows = told["impact"].to_pylist()
    wide = [row | {"status": "ok", "doctrine_p05": 1.0, "doctrine_p95": 60.0} if row["target_state"] == "EE" else row for row in rows]
    high = [
        row | {"target_state": "US", "score_p50": 99.0, "doctrine_p05": 1.0, "doctrine_p95": 9.0}
        for row in rows
        if row["target_state"] == "EE"
    ]
    tables = told | {"impact": table(wide + high, TABLES["impact"])}
    assert [entry["name"] for entry in tell_scores(known(tables))] == ["Estonia", "Latvia", "United States"]
    shown = render(tables, {}, doctrine=DOCTRINE)
    body = shown[: shown.index('<section id="impact"')]
    assert body.count("the level depends on the doctrine") == 2


@pytest.mark.browser
def test_a_finding_leads_to_the_score_of_its_own_state(browser, told, tmp_path):
    rows = told["impact"].to_pylist()
    rows += [row | {"target_state": "AT"} for row in rows if row["target_state"] == "EE"]
    path = tmp_path / "report.html"
    path.write_text(render(told | {"impact": table(rows, TABLES["impact"])}, {}, doctrine=DOCTRINE))
    opened(browser, path)
    chosen = "const s = document.getElementById('impact-state'); return s.options[s.selectedIndex].textContent"
    assert browser.execute_script(chosen).startswith("Estonia")
    for state in ("Austria", "Estonia"):
        browser.execute_script(
            "[...document.querySelectorAll('#found li')].find(e => e.textContent.startsWith(arguments[0])).querySelector('a').click()",
            state,
        )
        assert browser.execute_script(chosen).startswith(state)
    assert errors(browser) == []


@pytest.mark.browser
def test_a_case_without_ledger_still_shows_its_shares(browser, told, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(
        render({name: rows for name, rows in told.items() if name not in ("ledger", "doses", "couplings")}, {}, doctrine=DOCTRINE)
    )
    opened(browser, path)
    choose_state(browser, "Estonia")
    assert browser.execute_script("return document.querySelectorAll('#share-plot tbody input:disabled').length") == 8
    assert "holds no ledger" in text_of(browser, "#share-note")
    assert errors(browser) == []


@pytest.mark.browser
def test_a_citation_opens_its_source_by_keyboard_and_closes(browser, page):
    from selenium.webdriver.common.keys import Keys

    opened(browser, page)
    anchor = browser.find_element("css selector", ".sheet a.cite")
    browser.execute_script("arguments[0].focus()", anchor)
    anchor.send_keys(Keys.ENTER)
    assert "doc-3" in text_of(browser, "#source")
    assert "text 3" in text_of(browser, "#source")
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not browser.execute_script("return document.getElementById('source').open")
    assert browser.execute_script("return document.activeElement === arguments[0]", anchor)


@pytest.mark.browser
def test_items_are_taken_out_by_keyboard(browser, page):
    from selenium.webdriver.common.keys import Keys

    opened(browser, page)
    choose_state(browser, "Estonia")
    browser.execute_script("document.querySelector('#share-plot input').focus()")
    browser.switch_to.active_element.send_keys(Keys.SPACE)
    assert "Without this item" in text_of(browser, "#whatif")
    browser.switch_to.active_element.send_keys(Keys.SPACE)
    assert "Tick one item" in text_of(browser, "#whatif")


@pytest.mark.browser
def test_a_profile_prints_alone_on_a_few_pages(browser, page):
    opened(browser, page)
    browser.execute_script("window.print = () => {}; document.querySelector('.print-sheet').click()")
    printed = base64.b64decode(browser.print_page())
    assert 1 <= len(re.findall(rb"/Type\s*/Page[^s]", printed)) <= 4
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script("return document.body.className") == ""


@pytest.mark.browser
def test_hostile_names_are_inert_on_sheets_and_in_scores(browser, tmp_path):
    tables = case(
        [campaign(OLD_KEYS | {"key_judgements": [{"text": HOSTILE, "documents": ["doc-0"]}]}, title=HOSTILE, gaps=[HOSTILE], tlp=HOSTILE)],
        incidents=3,
    )
    named = [row | {"name": HOSTILE} for row in tables["incidents"].to_pylist()]
    path = tmp_path / "report.html"
    path.write_text(render({**tables, "incidents": table(named, INCIDENTS)}, {}, doctrine=DOCTRINE))
    assert "<script>window.stolen" not in path.read_text()
    assert "<img src=x" not in path.read_text()
    opened(browser, path)
    choose_state(browser, "Estonia")
    take_out(browser, "inc-0", "inc-1")
    assert browser.execute_script("return window.stolen") is None
    directions = "return [...arguments[0]].every(s => [...document.querySelectorAll(s)].every(e => e.dir === 'auto'))"
    assert browser.execute_script(
        directions, ["#share-plot .item > span:first-child", ".lane-names li", ".judgements li", ".chips button[aria-label^=put]"]
    )
    assert errors(browser) == []


@pytest.mark.browser
def test_many_links_are_laid_out_by_and_by_and_counted(browser, told, tmp_path):
    path = tmp_path / "report.html"
    many = {
        "links": table([link(n % 60, n // 60) for n in range(840)], LINKS),
        "incidents": table([incident(n, n % 9) for n in range(60)], INCIDENTS),
        "narratives": table([narrative(n, n % 9) for n in range(14)], NARRATIVES),
    }
    path.write_text(render(told | many, {}, doctrine=DOCTRINE))
    opened(browser, path)
    counted = "const t = document.getElementById('link-table'), c = document.getElementById('link-count');"
    counted += "return [t.querySelectorAll('tbody tr:not(.rest)').length, c.textContent]"
    assert browser.execute_script(counted) == [300, "840 of 840 links listed, the first 300 of them laid out"]
    for _ in range(2):
        browser.execute_script("document.querySelector('#link-table tr.rest button').click()")
    assert browser.execute_script(counted) == [840, "840 of 840 links listed"]
    assert "The 500 most probable of 840 links" in text_of(browser, "#timeline-note")
    assert errors(browser) == []


@pytest.mark.browser
def test_a_narrow_screen_needs_no_sideways_scrolling(browser, page):
    browser.set_window_size(500, 900)
    try:
        opened(browser, page)
        wide = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1]
    finally:
        browser.set_window_size(1500, 1000)
