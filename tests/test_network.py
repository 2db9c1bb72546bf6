"""The coordination network: as GraphML for other tools, and as a picture on the page that can be pointed at, tabbed through, filtered."""

from __future__ import annotations

import datetime as dt
import io
import xml.etree.ElementTree as ET

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from greyzone.cli import app
from greyzone.doctrine import load_doctrine
from greyzone.errors import InputError
from greyzone.graphml import NAMESPACE, renamed_edges, write_graphml
from greyzone.records import DOCUMENTS, EDGES, GROUP_MEMBERS, GROUP_REUSE, GROUP_WINDOWS, GROUPS, TRACES, table
from greyzone.report import render
from greyzone.report.activity import group_activity, group_reuse
from greyzone.report.names import known_names, without_names
from greyzone.report.network import layout_network
from greyzone.words import pseudonym

NS = {"g": NAMESPACE}
HOSTILE = 'a<b>&"\x00\x0b]]>\ufffe'


def network(groups=3, *, members=5, traces=("co-url", "fast-10s"), names="acc {}-{}"):
    """Return tables of groups in which everybody is tied with everybody; every second one is explained."""
    rows, belongs, edges = [], [], []
    for number in range(groups):
        accounts = [names.format(number, member) for member in range(members + number)]
        identity = f"grp-{number:02d}"
        rows.append(
            {
                "group_id": identity,
                "accounts": accounts,
                "traces": list(traces),
                "statistic": 4.0,
                "p": 1e-5 * (number + 1),
                "q": 2e-5 * (number + 1),
                "items": ["url:x"],
                "documents": [],
                "explanations": [
                    {"name": "press echo", "statistic": 0.9, "threshold": 0.5, "fits": number % 2 == 1, "note": "a note"},
                    {"name": "single feed", "statistic": 0.1, "threshold": 0.5, "fits": False, "note": "a note"},
                ],
            }
        )
        belongs += [
            {"group_id": identity, "account": account, "strength": 1.0, "probability": 0.9 + 0.01 * place, "documents": 4}
            for place, account in enumerate(accounts)
        ]
        edges += [
            {"trace": trace, "account_a": a, "account_b": b, "shared": 3, "statistic": 12.5, "p": 1e-7, "group_id": identity}
            for trace in traces
            for place, a in enumerate(accounts)
            for b in accounts[place + 1 :]
        ]
    edges.append({"trace": traces[0], "account_a": "loner", "account_b": "other", "shared": 2, "statistic": 1.0, "p": 1e-3})
    return {
        "groups": table(rows, GROUPS),
        "group_members": table(belongs, GROUP_MEMBERS),
        "edges": table(edges, EDGES),
        "traces": table([{"trace": trace, "supported": True} for trace in traces], TRACES),
    }


def written(tables, **more):
    stream = io.StringIO()
    counts = write_graphml(tables, stream, **more)
    return stream.getvalue(), counts


def parsed(text):
    """Return nodes and edges as dictionaries of typed attributes, as a reader of GraphML sees them."""
    root = ET.fromstring(text)
    assert root.tag == f"{{{NAMESPACE}}}graphml"
    read = {"string": str, "long": int, "double": float, "boolean": bool}
    keys = {key.get("id"): (key.get("for"), key.get("attr.name"), read[key.get("attr.type")]) for key in root.findall("g:key", NS)}
    (graph,) = root.findall("g:graph", NS)
    assert graph.get("edgedefault") == "undirected"

    def told(element, kind):
        found = {}
        for part in element.findall("g:data", NS):
            owner, name, convert = keys[part.get("key")]
            assert owner == kind
            found[name] = convert(part.text or "")
        return found

    nodes = {node.get("id"): told(node, "node") for node in graph.findall("g:node", NS)}
    edges = [(edge.get("source"), edge.get("target"), told(edge, "edge")) for edge in graph.findall("g:edge", NS)]
    identities = [element.get("id") for element in graph]
    assert len(set(identities)) == len(identities)
    return nodes, edges


def test_graphml_holds_every_number_of_every_table():
    tables = network()
    text, counts = written(tables, handles=True)
    nodes, edges = parsed(text)
    assert counts == (len(nodes), len(edges)) == (5 + 6 + 7 + 2, tables["edges"].num_rows)
    got = sorted(({**told, "account_a": nodes[a]["account"], "account_b": nodes[b]["account"]} for a, b, told in edges), key=str)
    kept = sorted(({name: value for name, value in row.items() if value is not None} for row in tables["edges"].to_pylist()), key=str)
    assert sorted(map(sorted, map(dict.items, got))) == sorted(map(sorted, map(dict.items, kept)))
    by_name = {node["account"]: node for node in nodes.values()}
    for row in tables["group_members"].to_pylist():
        node = by_name[row["account"]]
        assert (node["group"], node["groups"]) == (row["group_id"], row["group_id"])
        assert [node[name] for name in ("probability", "strength", "documents")] == [row["probability"], row["strength"], row["documents"]]
    assert by_name["acc 1-0"]["explained_by"] == "press echo"
    assert "explained_by" not in by_name["acc 0-0"]
    assert by_name["loner"] == {"account": "loner"}


def test_names_are_hashed_unless_asked_for():
    tables = network()
    text, _ = written(tables)
    assert "acc " not in text
    assert "loner" not in text
    assert {node["account"] for node in parsed(text)[0].values()} == {
        pseudonym(account) for name in ("account_a", "account_b") for account in tables["edges"][name].to_pylist()
    }
    edges = renamed_edges(tables["edges"])
    assert edges.drop(["account_a", "account_b"]).equals(tables["edges"].drop(["account_a", "account_b"]))
    assert edges["account_a"].to_pylist() == [pseudonym(account) for account in tables["edges"]["account_a"].to_pylist()]
    assert renamed_edges(tables["edges"], handles=True).equals(tables["edges"])


def test_hostile_names_stay_text():
    text, _ = written(network(1, names=HOSTILE + "{}-{}"), handles=True)
    accounts = {node["account"] for node in parsed(text)[0].values()}
    assert 'a<b>&"��]]>�0-0' in accounts


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=2, unique=True))
def test_any_name_gives_well_formed_xml(pair):
    pair = [name.encode("utf-8", "replace").decode() for name in pair]
    edges = table([{"trace": "t", "account_a": pair[0], "account_b": pair[1], "shared": 2, "statistic": 1.0, "p": 0.01}], EDGES)
    text, counts = written({"groups": GROUPS.empty_table(), "group_members": GROUP_MEMBERS.empty_table(), "edges": edges}, handles=True)
    assert len(parsed(text)[0]) == counts[0] == len(set(pair))


def test_rows_in_any_order_give_the_same_file():
    tables = network()
    order = np.random.default_rng(0)
    shuffled = tables | {name: tables[name].take(order.permutation(tables[name].num_rows)) for name in ("edges", "group_members")}
    assert written(tables) == written(shuffled)


def test_an_account_of_two_groups_names_the_first_and_both():
    tables = network(2)
    both = {"group_id": "grp-01", "account": "acc 0-0", "strength": 0.5, "probability": 0.6, "documents": 2}
    members = table([*tables["group_members"].to_pylist(), both], GROUP_MEMBERS)
    nodes, _ = parsed(written(tables | {"group_members": members}, handles=True)[0])
    node = next(node for node in nodes.values() if node["account"] == "acc 0-0")
    assert (node["group"], node["groups"], node["probability"]) == ("grp-00", "grp-00 grp-01", 0.9)


def test_a_table_that_is_missing_is_named():
    with pytest.raises(InputError, match="no table group_members"):
        written({"groups": GROUPS.empty_table(), "edges": EDGES.empty_table()})


def test_exports_of_a_case(scenario_case, tmp_path):
    graph, edges = tmp_path / "n.graphml", tmp_path / "e.parquet"
    for arguments in (["graphml", str(scenario_case.path), "-o", str(graph)], ["edges", str(scenario_case.path), "-o", str(edges)]):
        done = CliRunner().invoke(app, ["export", *arguments])
        assert done.exit_code == 0, done.output
        assert done.stdout.strip() == arguments[-1]
    assert len(parsed(graph.read_text())[1]) == pq.read_table(edges).num_rows == scenario_case.table("edges").num_rows > 0
    named = CliRunner().invoke(app, ["export", "graphml", str(scenario_case.path), "-o", "-", "--handles"])
    assert {node["account"] for node in parsed(named.stdout)[0].values()} >= set(
        scenario_case.table("group_members")["account"].to_pylist()
    )


# --- the picture ---


def test_layout_tells_number_chance_and_membership():
    tables = network()
    found = layout_network(
        tables["groups"], tables["edges"], {"grp-00": True, "grp-01": False, "grp-02": True}, pseudonym, tables["group_members"]
    )
    assert [group[0] for group in found["groups"]] == ["grp-02", "grp-01", "grp-00"]
    assert found["about"] == [[3, 7, 3e-5, 6e-5, []], [2, 6, 2e-5, 4e-5, ["press echo"]], [1, 5, 1e-5, 2e-5, []]]
    assert found["traces"] == [["co-url", 21 + 15 + 10], ["fast-10s", 21 + 15 + 10]]
    assert found["outside"] == 1
    assert [node[2:] for node in found["nodes"][:2]] == [[pseudonym("acc 2-0"), 0, 0.9], [pseudonym("acc 2-1"), 0, 0.91]]


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("url:https://a.org/anna", "url:https://a.org/anna"),
        ("handle:twitter/anna", f"handle:twitter/{pseudonym('anna')}"),
        ("handle:anna", f"handle:{pseudonym('anna')}"),
        ("mention:@anna @ben", f"mention:@{pseudonym('anna')} @{pseudonym('ben')}"),
        ("repost:carl", f"repost:{pseudonym('carl')}"),
        ("repost:Carl", f"repost:{pseudonym('carl')}"),
        ("repost:@carl", f"repost:@{pseudonym('carl')}"),
        ("repost:dora", f"repost:{pseudonym('Dora')}"),
        ("repost:123", "repost:123"),
        ("hashtags:#anna", "hashtags:#anna"),
    ],
)
def test_items_that_are_names_of_accounts_are_not_shown(label, shown):
    documents = table([{"doc_id": "d", "account": "Dora", "handle": "carl"}], DOCUMENTS)
    assert without_names(label, known_names(documents)) == shown


def test_no_name_stands_among_the_items_of_the_page():
    tables = network(1)
    rows = tables["groups"].to_pylist()
    rows[0]["items"] = ["handle:x/secretive", "mention:@secretive @other", "repost:acc 0-0"]
    documents = table([{"doc_id": "d", "text": "t", "account": "acc 0-0", "urls": [], "lang": "en"}], DOCUMENTS)
    text = render(tables | {"groups": table(rows, GROUPS), "documents": documents}, {}, doctrine=load_doctrine())
    assert "secretive" not in text
    assert "acc 0-0" not in text
    assert pseudonym("secretive") in text


def at(day):
    return dt.datetime(2024, 3, day, tzinfo=dt.UTC)


def test_windows_of_one_state_are_one_line_and_the_rest_is_counted():
    states = ["active", "active", "dormant"] + ["active", "present"] * 6
    rows = [
        {"group_id": "g", "window_start": at(1 + n), "window_end": at(2 + n), "acting": n, "evidence": 2, "state": state}
        for n, state in enumerate(states)
    ]
    found = group_activity(table(rows[::-1], GROUP_WINDOWS))["g"]
    assert found["shown"][:2] == [["active", "2024-03-01", "2024-03-03", 2, 1, 4], ["dormant", "2024-03-03", "2024-03-04", 1, 2, 2]]
    assert (len(found["shown"]), found["of"]) == (12, 14)


def test_reuse_is_told_by_narrative():
    rows = [
        {
            "group_id": "g",
            "account": account,
            "narrative_id": narrative,
            "first": at(first),
            "last": at(9),
            "documents": 2,
            "silent_days": silent,
        }
        for account, narrative, first, silent in [("a", "n1", 3, None), ("b", "n1", 2, 4.0), ("c", "n1", 5, 7.0), ("a", "n2", 1, None)]
    ]
    found = group_reuse(table(rows, GROUP_REUSE), {"n1": "The harbour"})["g"]
    assert found == {
        "shown": [["The harbour", 3, 6, "2024-03-02", "2024-03-09", 5.5], ["n2", 1, 2, "2024-03-01", "2024-03-09", None]],
        "of": 2,
    }


def test_the_row_of_a_group_tells_its_course():
    tables = network(1) | {
        "group_windows": table(
            [{"group_id": "grp-00", "window_start": at(1), "window_end": at(2), "acting": 5, "evidence": 9, "state": "active"}],
            GROUP_WINDOWS,
        ),
        "group_reuse": table(
            [{"group_id": "grp-00", "account": "acc 0-0", "narrative_id": "<b>", "first": at(3), "last": at(4), "documents": 2}],
            GROUP_REUSE,
        ),
    }
    text = render(tables, {}, doctrine=load_doctrine())
    assert "<td>active</td><td>2024-03-01</td><td>2024-03-02</td>" in text
    assert '<td dir="auto">&lt;b&gt;</td><td class="number">1</td>' in text
    assert "acc 0-0" not in text


def opened(browser, folder, tables):
    from selenium.webdriver.support.ui import WebDriverWait

    page = folder / "report.html"
    page.write_text(render(tables, {}, doctrine=load_doctrine()))
    browser.get(page.as_uri())
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script("return document.body.dataset.ready") == "yes")
    # A page that still glides to an element lets a click miss it.
    browser.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
    return page


def ask(browser, script, *arguments):
    return browser.execute_script("return " + script, *arguments)


def severe(browser):
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


PATHS = "[...document.querySelectorAll('#network-plot path.edges:not(.near)')].filter(p => p.checkVisibility()).map(p => p.dataset.trace)"
TOLD = "document.getElementById('network-told').textContent"


@pytest.mark.browser
def test_traces_and_explained_groups_can_be_hidden(browser, tmp_path):
    opened(browser, tmp_path, network())
    assert sorted(ask(browser, PATHS)) == ["co-url"] * 3 + ["fast-10s"] * 3
    boxes = browser.find_elements("css selector", "#network-traces input")
    assert [box.get_attribute("value") for box in boxes] == ["co-url", "fast-10s"]
    boxes[0].click()
    assert ask(browser, PATHS) == ["fast-10s"] * 3
    browser.find_element("id", "network-flagged").click()
    assert ask(browser, PATHS) == ["fast-10s"] * 2
    counted = ask(browser, "document.getElementById('network-count').textContent")
    assert counted == "31 of 92 pairs in 2 of 3 groups; 1 kept pairs belong to no group"
    browser.find_element("id", "network-none").click()
    assert ask(browser, PATHS) == []
    browser.find_element("id", "network-all").click()
    assert sorted(ask(browser, PATHS)) == ["co-url"] * 2 + ["fast-10s"] * 2
    assert severe(browser) == []


@pytest.mark.browser
def test_explained_groups_differ_by_shape_and_ring(browser, tmp_path):
    opened(browser, tmp_path, network())
    shapes = ask(
        browser,
        "[...document.querySelectorAll('#network-plot a')].map(a => [a.getAttribute('href'), a.querySelectorAll('circle.account').length,"
        " a.querySelectorAll('rect.account').length, getComputedStyle(a.querySelector('.ring')).strokeDasharray !== 'none'])",
    )
    assert sorted(shapes) == [["#grp-00", 5, 0, False], ["#grp-01", 0, 6, True], ["#grp-02", 7, 0, False]]


@pytest.mark.browser
def test_keyboard_goes_through_groups_and_accounts_and_opens_the_row(browser, tmp_path):
    from selenium.webdriver.common.keys import Keys

    opened(browser, tmp_path, network())
    ask(browser, "document.getElementById('network-flagged').focus()")
    here = browser.switch_to.active_element
    here.send_keys(Keys.TAB)
    group = browser.switch_to.active_element
    assert group.get_attribute("aria-label") == ask(browser, TOLD)
    assert ask(browser, TOLD) == "Group 3: 7 accounts, p = 3.0e-5, q = 6.0e-5, no tested alternative fits"
    group.send_keys(Keys.ARROW_RIGHT)
    told = ask(browser, TOLD)
    assert told.startswith(pseudonym("acc 2-0") + ", belongs to its group with probability 0.90. Group 3: ")
    assert told.endswith("Its pairs drawn: co-url 6, fast-10s 6")
    group.send_keys(Keys.ARROW_LEFT)
    assert ask(browser, TOLD).startswith(pseudonym("acc 2-6"))
    group.send_keys(Keys.TAB)
    second = browser.switch_to.active_element
    assert ask(browser, TOLD) == "Group 2: 6 accounts, p = 2.0e-5, q = 4.0e-5, explained by press echo"
    assert not ask(browser, "document.getElementById('grp-01').open")
    second.send_keys(Keys.ENTER)
    assert ask(browser, "document.getElementById('grp-01').open")
    assert ask(browser, "location.hash") == "#grp-01"
    assert "press echo" in browser.find_element("id", "grp-01").text
    assert severe(browser) == []


@pytest.mark.browser
def test_pointing_tells_the_account(browser, tmp_path):
    from selenium.webdriver import ActionChains

    opened(browser, tmp_path, network())
    browser.execute_script("document.getElementById('network-plot').scrollIntoView({block: 'center', behavior: 'instant'})")
    mark = browser.find_elements("css selector", "#network-plot .account")[0]
    ActionChains(browser).move_to_element(mark).perform()
    assert ask(browser, TOLD).startswith(pseudonym("acc 2-0"))
    assert ask(browser, "document.querySelectorAll('#network-plot .chosen').length") == 1
    assert "M" in ask(browser, "document.querySelector('#network-plot .near').getAttribute('d')")


@pytest.mark.browser
def test_fifty_groups_and_thousands_of_pairs_are_drawn_within_the_picture(browser, tmp_path):
    tables = network(50, members=4, traces=tuple(f"trace-{n:02d}" for n in range(15)))
    tables = tables | {"edges": tables["edges"].take(np.random.default_rng(0).permutation(tables["edges"].num_rows)[:6000])}
    opened(browser, tmp_path, tables)
    assert ask(browser, "document.querySelectorAll('#network-plot a').length") == 50
    assert len(browser.find_elements("css selector", "#network-traces input")) == 15
    outside = ask(
        browser,
        "(() => { const box = document.querySelector('#network-plot svg').getBoundingClientRect();"
        " return [...document.querySelectorAll('#network-plot .account')].map(e => e.getBoundingClientRect())"
        ".filter(r => r.left < box.left || r.right > box.right || r.top < box.top || r.bottom > box.bottom || r.width < 3).length; })()",
    )
    assert outside == 0
    assert severe(browser) == []


@pytest.mark.browser
def test_a_page_without_groups_has_no_picture(browser, tmp_path):
    opened(browser, tmp_path, {})
    assert ask(browser, "document.querySelector('#network-plot').checkVisibility()") is False
    assert severe(browser) == []
