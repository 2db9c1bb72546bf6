"""The page: self-contained, safe against what documents hold, and working in a browser."""

from __future__ import annotations

import datetime as dt
import html.parser
import json
import re

import pytest

from greyzone.doctrine import load_doctrine
from greyzone.records import COPIES, DOCUMENTS, EDGES, GROUPS, NARRATIVES, TABLES, empty, table
from greyzone.report import render, script_json
from greyzone.report.narratives import tell_narratives
from greyzone.report.network import layout_network
from greyzone.report.parts import shorten
from greyzone.report.provenance import coverage
from greyzone.report.view import build_view
from greyzone.words import pseudonym

HOSTILE = '</script><script>window.stolen=1</script><img src=x onerror="window.stolen=1">"\u2028'


@pytest.fixture(scope="module")
def page(scenario_case):
    return scenario_case.path / "report.html"


class References(html.parser.HTMLParser):
    """Collects everything a browser would fetch, and the text of scripts."""

    def __init__(self):
        super().__init__()
        self.fetched, self.anchors, self.ids = [], [], set()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if "id" in values:
            self.ids.add(values["id"])
        if tag == "a":
            self.anchors.append(values.get("href"))
        else:
            self.fetched += [value for name, value in attrs if name in {"src", "href", "srcset", "data", "action", "poster"}]


def test_nothing_is_fetched_and_every_anchor_leads_somewhere(page):
    found = References()
    found.feed(page.read_text())
    assert found.fetched == ["data:,"]
    assert all(anchor.startswith("#") for anchor in found.anchors)
    assert {anchor[1:] for anchor in found.anchors} <= found.ids


def test_the_page_is_the_same_every_time(scenario_case):
    tables = {name: scenario_case.table(name) for name in TABLES}
    once = render(tables, scenario_case.manifest, doctrine=load_doctrine())
    assert once == render(tables, scenario_case.manifest, doctrine=load_doctrine())
    assert once == (scenario_case.path / "report.html").read_text()


def test_no_account_name_and_no_refused_phrase_on_the_page(page, scenario_case):
    text = page.read_text()
    told = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    documents = " ".join(scenario_case.table("documents")["text"].to_pylist())
    for account in set(scenario_case.table("documents")["account"].to_pylist()):
        assert account in documents or not re.search(rf"\b{re.escape(account)}\b", told), account
    body = told[: told.index('id="provenance"')].lower()
    for phrase in load_doctrine().phrases("refusal_phrases"):
        assert phrase not in body


def test_what_scrolls_can_be_reached_by_keyboard_and_no_picture_holds_controls(page):
    text = page.read_text()
    boxes = re.findall(r'<div class="scroll"([^>]*)>', text)
    assert len(boxes) >= 3
    assert all('tabindex="0"' in box and 'role="region"' in box and "aria-label=" in box for box in boxes)
    assert len(re.findall(r'-plot" class="plot" role="group"', text)) == 3
    assert not re.search(r"<th[^>]*></th>", text)


def test_an_empty_case_still_renders():
    text = render({}, {"greyzone": "0"}, doctrine=load_doctrine())
    assert "No group of accounts passed" in text
    assert "No state has enough evidence" in text


def hostile_tables():
    when = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)
    documents = table([{"doc_id": "doc-1", "text": HOSTILE, "account": "a", "published_at": when, "urls": [], "lang": "en"}], DOCUMENTS)
    stories = table(
        [
            {
                "narrative_id": "nar-1",
                "label": HOSTILE,
                "headline": HOSTILE,
                "keywords": [HOSTILE],
                "exemplars": ["doc-1"],
                "size": 1,
                "distinct_texts": 1,
                "accounts": 1,
                "volume": [{"day": when.date(), "documents": 1}],
                "peak_day": when.date(),
                "onset_lo": when,
                "onset_hi": when,
            }
        ],
        NARRATIVES,
    )
    return {"documents": documents, "narratives": stories, "copies": empty(COPIES)}


def test_hostile_text_stays_text():
    text = render(hostile_tables(), {}, doctrine=load_doctrine())
    assert "<script>window.stolen" not in text
    assert "<img src=x" not in text


@pytest.mark.parametrize("content", [HOSTILE, "<!--", "]]>", "&amp;", "\u2029"])
def test_script_json_round_trips_and_cannot_end_its_element(content):
    text = script_json({"text": content})
    assert json.loads(text) == {"text": content}
    assert not set("<>&\u2028\u2029") & set(text)


def test_script_json_refuses_what_browsers_cannot_read():
    with pytest.raises(ValueError, match="Out of range"):
        script_json({"value": float("nan")})


def test_pseudonyms_are_stable_and_distinct():
    assert pseudonym("anna") == pseudonym("anna") != pseudonym("ben")
    assert "anna" not in pseudonym("anna")


def test_network_layout_separates_groups_and_counts_what_it_leaves_out():
    groups = table([{"group_id": f"grp-{n}", "accounts": [f"a{n}{i}" for i in range(4 + n)]} for n in range(5)], GROUPS)
    edges = table(
        [
            {"trace": "co-url", "account_a": "a00", "account_b": "a01", "shared": 3, "p": 1e-9, "group_id": "grp-0"},
            {"trace": "co-url", "account_a": "x", "account_b": "y", "shared": 2, "p": 1e-3, "group_id": None},
        ],
        EDGES,
    )
    found = layout_network(groups, edges, {f"grp-{n}": n % 2 == 0 for n in range(5)}, str.upper)
    assert len(found["nodes"]) == 4 + 5 + 6 + 7 + 8
    assert found["outside"] == 1
    assert [found["nodes"][end][2] for end in found["edges"][0][:2]] == ["A00", "A01"]
    circles = [(x, y, radius) for _, _, x, y, radius in found["groups"]]
    for i, (x, y, radius) in enumerate(circles):
        for a, b, other in circles[:i]:
            assert ((x - a) ** 2 + (y - b) ** 2) ** 0.5 >= radius + other


def test_view_says_what_it_does_not_list(scenario_case):
    tables = {name: scenario_case.table(name) for name in TABLES}
    view = build_view(tables, scenario_case.manifest, doctrine=load_doctrine())
    assert len(view["data"]["links"]) + view["unlisted_links"] == tables["links"].num_rows
    assert len(view["data"]["narratives"]) == tables["narratives"].num_rows
    cited = {identity for story in view["data"]["narratives"] for identity in story["exemplars"]}
    assert cited <= {document["id"] for document in view["documents"]}


def test_what_stands_behind_a_narrative():
    when = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)
    carriers = [{"kind": "language", "name": f"l{n}", "documents": 9 - n, "first_seen": when, "last_seen": when} for n in range(7)]
    movers = [{"kind": kind, "name": f"some {kind}", "doc_id": "doc-1", "at_lo": when, "at_hi": when} for kind in ("account", "outlet")]
    terms = [{"lang": f"l{n}", "terms": [f"word{n}"]} for n in range(7)]
    rows = [
        {"narrative_id": "nar-1", "theme_id": "thm-1", "spread": carriers, "first_movers": movers, "rival_id": "nar-2", "terms": terms},
        {"narrative_id": "nar-2", "theme_id": "thm-1", "half_life": 3.0, "stories": 2},
    ]
    first, second = tell_narratives(table(rows, NARRATIVES), {"nar-1": 0.25})
    assert first["spread"]["language"]["of"] == 7
    assert [entry[:2] for entry in first["spread"]["language"]["shown"]] == [["l0", 9], ["l1", 8], ["l2", 7], ["l3", 6], ["l4", 5]]
    assert (first["terms"][0], len(first["terms"]), first["more_terms"], second["more_terms"]) == (["l0", ["word0"]], 5, 2, 0)
    assert first["movers"] == [[pseudonym("some account"), "2024-02-01", "2024-02-01"], ["some outlet", "2024-02-01", "2024-02-01"]]
    assert (first["rival"], first["kin"], first["coordinated"]) == (["nar-2", None, []], 1, 0.25)
    assert (second["rival"], second["half_life"], second["stories"], second["movers"]) == (None, 3.0, 2, [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("short", "short"),
        ("word " * 100, "word " * 78 + "word…"),
        ("标题 " + "文" * 500, "标题 " + "文" * 396 + "…"),
        ("RT https://example.org/" + "a" * 500, "RT https://example.org/" + "a" * 376 + "…"),
    ],
)
def test_a_text_is_cut_at_a_word_where_it_has_words(text, told):
    assert shorten(text, 400) == told
    assert len(told) <= 400


def test_endless_names_do_not_fill_the_page():
    when = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)
    carriers = [{"kind": "outlet", "name": "o" * 10_000, "documents": 9, "first_seen": when, "last_seen": when}]
    movers = [{"kind": "outlet", "name": "m" * 10_000, "doc_id": "doc-1", "at_lo": when, "at_hi": when}]
    (told,) = tell_narratives(table([{"narrative_id": "nar-1", "spread": carriers, "first_movers": movers}], NARRATIVES), {})
    assert len(json.dumps(told)) < 2000


def test_counts_are_told_in_words():
    notes = {
        "collect": {"rows_read": 12_345, "languages": {"en": 2_000, "de": 3_000}, "inputs": {}, "rejected": {}},
        "embed": {"unknown_scripts": {"Zzzz": 1}, "without_vector": 0},
        "narratives": {
            "lexical": {"reason": "words bear out the rest", "weight": 0.1014, "texts": 7},
            "languages": {"reason": "one language"},
        },
    }
    rare = "rare scripts: 1: documents mainly in scripts that the encoder does not know; their narratives and links are not to be relied on"
    assert coverage(notes) == [
        ("collect", [("languages", "de: 3,000, en: 2,000"), ("rejected", "none"), ("rows read", "12,345")]),
        ("embed", [("unknown scripts", rare), ("texts without a vector", "0")]),
        ("narratives", [("languages in the vectors", "one language"), ("the corpus's own words", "words bear out the rest; weight 0.1")]),
    ]


def test_no_account_is_named_anywhere_in_what_the_page_tells_of_narratives(scenario_case):
    told = json.dumps(tell_narratives(scenario_case.table("narratives"), {}), ensure_ascii=False)
    movers = [mover for found in scenario_case.table("narratives")["first_movers"].to_pylist() for mover in found or []]
    accounts = {mover["name"] for mover in movers if mover["kind"] == "account"}
    assert accounts
    assert not [account for account in accounts if f'"{account}"' in told]


# --- in a browser ---


def opened(browser, page):
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(page.as_uri())
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script("return document.body.dataset.ready") == "yes")
    return browser


def severe(browser):
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def act(browser, identity, value, event="input"):
    browser.execute_script(
        "const e=document.getElementById(arguments[0]); if (e.type==='checkbox') e.checked=arguments[1]; else e.value=arguments[1];"
        "e.dispatchEvent(new Event(arguments[2], {bubbles: true}))",
        identity,
        value,
        event,
    )


def rows(browser, identity):
    return browser.execute_script("return document.querySelectorAll(`#${arguments[0]} tbody tr`).length", identity)


@pytest.mark.browser
def test_page_opens_without_errors_or_requests_and_draws(browser, page):
    opened(browser, page)
    assert severe(browser) == []
    assert (
        browser.execute_script("return performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).map(r => r.name)")
        == []
    )
    for plot in ("timeline-plot", "impact-plot"):
        drawn = browser.execute_script("return document.querySelectorAll(`#${arguments[0]} .main-svg path`).length", plot)
        assert drawn > 2, plot
    assert rows(browser, "share-plot") > 2


@pytest.mark.browser
def test_filters_narrow_the_tables(browser, page, scenario_case):
    opened(browser, page)
    everything = rows(browser, "narrative-table")
    assert everything == scenario_case.table("narratives").num_rows
    word = scenario_case.table("narratives")["keywords"][0].as_py()[0]
    act(browser, "narrative-find", word)
    assert 0 < rows(browser, "narrative-table") < everything
    act(browser, "narrative-find", "")
    act(browser, "narrative-linked", True)
    assert rows(browser, "narrative-table") <= everything
    all_links = rows(browser, "link-table")
    act(browser, "link-find", "no such incident anywhere")
    assert rows(browser, "link-table") == 0 < all_links
    assert severe(browser) == []


@pytest.mark.browser
def test_other_incidents_of_a_link_are_listed_with_their_p_and_not_called_less_likely(browser, page, scenario_case):
    opened(browser, page)
    cell = "const found = document.querySelectorAll('#link-table td:first-child details');"
    inside = "[[...one.querySelectorAll('summary')], [...one.querySelectorAll('small')]].map(part => part.map(e => e.textContent))"
    told = browser.execute_script(f"{cell} return [...found].map(one => {inside})")
    assert told
    for summaries, lines in told:
        assert summaries == [f"{len(lines)} other incident{'s' * (len(lines) > 1)} it could be"]
        assert all(re.search(r", p \d\.\d\d$", line) for line in lines)
    # Some are likelier than the link beside which they stand.
    assert any(rival["p"] > row["p"] for row in scenario_case.table("links").to_pylist() for rival in row["rivals"])


@pytest.mark.browser
def test_a_narrative_tells_its_course_when_asked(browser, page):
    from selenium.webdriver.support.ui import WebDriverWait

    opened(browser, page)
    first = "document.querySelector('#narrative-table tbody details')"
    told = f"return [...{first}.querySelectorAll('dt')].map(e => e.textContent)"
    assert browser.execute_script(told) == []
    browser.execute_script(f"{first}.open = true")
    found = WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(told))
    assert {"First movers", "Languages", "Nearest rival"} <= set(found)
    assert severe(browser) == []


@pytest.mark.browser
def test_sorting_and_the_timeline_slider(browser, page):
    opened(browser, page)
    browser.execute_script("document.querySelector('#narrative-table th[data-key=accounts]').click()")
    counts = browser.execute_script(
        "return [...document.querySelectorAll('#narrative-table tbody tr')].map(r => Number(r.cells[3].textContent))"
    )
    assert counts == sorted(counts, reverse=True)

    def drawn():
        return browser.execute_script(
            "return document.getElementById('timeline-plot').data.filter(t => t.mode === 'lines' && t.x.length === 2).length"
        )

    act(browser, "timeline-p", "0")
    most = drawn()
    act(browser, "timeline-p", "100")
    assert drawn() < most
    assert severe(browser) == []


@pytest.mark.browser
def test_impact_follows_the_chosen_state(browser, page):
    opened(browser, page)
    scored = browser.execute_script(
        "return [...document.querySelectorAll('#impact-state option:not(:checked)')]"
        ".filter(e => !e.textContent.includes('insufficient')).map(e => e.value)"
    )
    before = browser.execute_script("return JSON.stringify(document.getElementById('impact-plot').data.map(t => t.y))")
    act(browser, "impact-state", scored[0])
    assert browser.execute_script("return JSON.stringify(document.getElementById('impact-plot').data.map(t => t.y))") != before
    assert "90 % interval" in browser.execute_script("return document.getElementById('impact-vector').textContent")


@pytest.mark.browser
def test_hostile_text_does_not_run(browser, tmp_path):
    page = tmp_path / "report.html"
    page.write_text(render(hostile_tables(), {}, doctrine=load_doctrine()))
    opened(browser, page)
    act(browser, "narrative-find", "")
    assert browser.execute_script("return window.stolen") is None
    assert rows(browser, "narrative-table") == 1


@pytest.mark.browser
def test_an_endless_word_leaves_the_other_columns_in_sight(browser, tmp_path):
    tables = hostile_tables()
    story = tables["narratives"].to_pylist()[0] | {"label": "HA" * 60, "headline": "ha" * 200}
    page = tmp_path / "report.html"
    page.write_text(render(tables | {"narratives": table([story], NARRATIVES)}, {}, doctrine=load_doctrine()))
    opened(browser, page)
    wide, seen = browser.execute_script(
        "const box = document.getElementById('narrative-table').parentElement; return [box.scrollWidth, box.clientWidth]"
    )
    assert wide <= seen


@pytest.mark.browser
def test_one_slipped_date_does_not_flatten_the_timeline(browser, tmp_path):
    """199 documents in 2024 and one of 1600: the picture is of 2024, and says that one is left out of it."""
    tables = hostile_tables()
    day = dt.date(2024, 2, 1)
    volume = [{"day": dt.date(1600, 1, 1), "documents": 1}, {"day": day, "documents": 150}, {"day": day.replace(day=9), "documents": 49}]
    story = tables["narratives"].to_pylist()[0] | {"volume": volume, "size": 200}
    page = tmp_path / "report.html"
    page.write_text(render(tables | {"narratives": table([story], NARRATIVES)}, {}, doctrine=load_doctrine()))
    opened(browser, page)
    ends = browser.execute_script("return document.getElementById('timeline-plot')._fullLayout.xaxis.range")
    assert [str(end)[:7] for end in ends] == ["2024-01", "2024-02"]
    assert "1 document more than a year from all others is counted but not in the picture" in browser.execute_script(
        "return document.getElementById('timeline-note').textContent"
    )
    assert browser.execute_script("return document.querySelectorAll('#narrative-table svg.bars rect').length") == 2


@pytest.mark.browser
def test_the_page_follows_the_reader_s_scheme_and_is_light_on_paper(browser, page):
    """What is drawn is no part of the style sheet: it has to be drawn again."""
    from selenium.webdriver.support.ui import WebDriverWait

    seen = (
        "const drawn = (id) => document.getElementById(id)._fullLayout, style = getComputedStyle(document.documentElement);"
        "return [drawn('impact-plot').paper_bgcolor, style.getPropertyValue('--card').trim(), drawn('timeline-plot').font.color, "
        "drawn('impact-plot').width]"
    )
    opened(browser, page)
    light = browser.execute_script(seen)
    assert light[0] == light[1] == "#ffffff"
    assert light[3] > 900
    try:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})
        # The page hears of the scheme after the command has answered.
        WebDriverWait(browser, 20).until(lambda driver: not set(driver.execute_script(seen)[:3]) & set(light[:3]))
        dark = browser.execute_script(seen)
        assert dark[0] == dark[1]
        browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
        assert browser.execute_script(seen) == [*light[:3], 690]
        browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
        assert browser.execute_script(seen) == dark
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert severe(browser) == []
