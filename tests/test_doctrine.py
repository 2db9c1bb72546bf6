"""Doctrines: every number sourced and in its range, files checked, one's own beside the bundled ones."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from greyzone.cli.doctrine import doctrine_app
from greyzone.doctrine import bundled, check_doctrine, differences, load_doctrine
from greyzone.errors import DoctrineError

NUMBER = "{value: 1, range: [0, 2], status: judgement, source: 'because we say so'}"


def written(folder, text):
    path = folder / "own.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_number_has_value_range_source_and_status(name):
    doctrine = load_doctrine(name)
    assert doctrine.id == name
    assert len(doctrine.leaves) > 100
    for leaf in doctrine.leaves.values():
        assert leaf.range[0] <= leaf.value <= leaf.range[1]
        assert leaf.source.strip()
        assert leaf.status in {"cited", "judgement", "elicited", "fitted", "unverified"}


def test_the_three_bundled_doctrines_differ_where_they_say_so():
    default, additive, worst = (load_doctrine(name) for name in ("default", "additive", "worst-event"))
    differing = {name for name in default.leaves if default[name] != additive[name]}
    assert differing == {"dose.q", "dose.gamma"}
    assert worst["dose.q"] > default["dose.q"] > additive["dose.q"] == 1
    assert len({default.hash, additive.hash, worst.hash}) == 3


def test_ones_own_file_extends_a_bundled_one(tmp_path):
    own = load_doctrine(written(tmp_path, f"id: own\nversion: 2\ntitle: ours\nextends: default\nnumbers:\n  dose:\n    d0: {NUMBER}\n"))
    assert own["dose.d0"] == 1
    assert own["dose.gamma"] == load_doctrine()["dose.gamma"]
    assert own.phrase("decision") == load_doctrine().phrase("decision")


def test_the_hash_is_of_the_content(tmp_path):
    one = load_doctrine(written(tmp_path, f"id: own\nversion: 1\ntitle: a\nnumbers: {{a: {{b: {NUMBER}}}}}\n"))
    same = load_doctrine(written(tmp_path, f"# a comment\nid: other\nversion: 9\ntitle: b\nnumbers:\n  a:\n    b: {NUMBER}\n"))
    assert one.hash == same.hash != one.replace(a__b=2).hash


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id: [", "not YAML"),
        ("- a\n- b\n", "holds a list"),
        ("version: 1\ntitle: t\nnumbers: {}\n", "'id'"),
        ("id: x\nversion: 1\ntitle: t\nnumbers: {a: 3}\n", "a is a bare 3"),
        (
            "id: x\nversion: 1\ntitle: t\nnumbers: {a: {value: 3, range: [0, 2], status: judgement, source: 'long enough'}}\n",
            "outside its range",
        ),
        ("id: x\nversion: 1\ntitle: t\nnumbers: {a: {value: 1, range: [0, 2], status: judgement}}\n", "source"),
        ("id: x\nversion: 1\ntitle: t\nnumbers: {a: {value: 1, range: [0, 2], status: hearsay, source: 'long enough'}}\n", "status"),
        ("id: x\nversion: 1\ntitle: t\nnumbers: {a: {value: 1, range: [0, 2], status: cited, source: 'long enough', note: 1}}\n", "note"),
        ("id: x\nversion: 1\ntitle: t\nextends: nowhere\n", "nowhere"),
    ],
)
def test_a_faulty_file_is_one_clear_line(tmp_path, text, said):
    with pytest.raises(DoctrineError, match=r".+") as caught:
        load_doctrine(written(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_file_that_extends_itself_is_refused(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(f"id: own\nversion: 1\ntitle: t\nextends: {path}\n")
    with pytest.raises(DoctrineError, match="extends itself"):
        load_doctrine(path)


def test_unknown_names_are_refused():
    doctrine = load_doctrine()
    for ask in (
        lambda: doctrine["dose.nonsense"],
        lambda: doctrine.section("nonsense"),
        lambda: doctrine.phrase("nonsense"),
        lambda: doctrine.phrases("decision"),
        lambda: doctrine.replace(dose__nonsense=1),
    ):
        with pytest.raises(DoctrineError):
            ask()
    with pytest.raises(DoctrineError, match="no doctrine 'nonsense'"):
        load_doctrine("nonsense")


def own_number(name, value, span="[-10, 10]"):
    section, leaf = name.split(".")
    number = f"{{value: {value}, range: {span}, status: judgement, source: 'because we say so'}}"
    return f"id: own\nversion: 1\ntitle: t\nextends: default\nnumbers: {{{section}: {{{leaf}: {number}}}}}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (own_number("dose.gama", 1), "unknown name dose.gama; expected dose.gamma?"),
        (own_number("sector_weights.critical", -1), "sector_weights.critical = -1; expected 1 to 5"),
        (own_number("dose.q", 0.5), "dose.q = 0.5"),
        (own_number("dose.gamma", ".nan"), "dose.gamma"),
        (own_number("dose.gamma", ".inf", "[0, .inf]"), "dose.gamma = inf"),
        (own_number("dose.gamma", 1) + "number: 3\n", "'number'"),
        (own_number("dose.gamma", 1).replace("version: 1", "version: one"), "'version'"),
        (own_number("dose.gamma", 1) + "words: {dezision: yes we can}\n", "unknown name words.dezision; expected words.decision?"),
        (own_number("dose.gamma", 1) + "words: {decision: {a: b}}\n", "words.decision"),
    ],
)
def test_ones_own_faults_are_one_clear_line(tmp_path, text, said):
    with pytest.raises(DoctrineError) as caught:
        load_doctrine(written(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_severity_scale_of_ones_own_may_be_added(tmp_path):
    number = "{value: 2, range: [0, 5], status: judgement, source: 'because we say so'}"
    path = written(tmp_path, f"id: own\nversion: 1\ntitle: t\nextends: default\nnumbers: {{crosswalk: {{ours: {{high: {number}}}}}}}\n")
    doctrine, remarks = check_doctrine(path)
    assert doctrine["crosswalk.ours.high"] == 2
    assert "1 numbers or words differ" in remarks[-1]
    assert [name for name, _, _ in differences(load_doctrine(), doctrine)] == ["crosswalk.ours.high"]


def test_check_wants_all_of_the_default(tmp_path):
    with pytest.raises(DoctrineError, match=r"lacks .* extends: default"):
        check_doctrine(written(tmp_path, f"id: own\nversion: 1\ntitle: t\nnumbers: {{a: {{b: {NUMBER}}}}}\n"))
    for name in bundled():
        assert check_doctrine(name)[0].id == name


def test_differences_name_both_sides():
    found = {name: (one, other) for name, one, other in differences(load_doctrine(), load_doctrine("additive"))}
    assert set(found) == {"dose.q", "dose.gamma"}
    assert [side.value for side in found["dose.gamma"]] == [0.5, 0]
    assert differences(load_doctrine(), load_doctrine()) == []


def test_commands_show_compare_and_check(tmp_path):
    own = written(tmp_path, own_number("dose.gamma", 0.25))
    bad = tmp_path / "bad.yaml"
    bad.write_text(own_number("dose.gama", 1))
    run = CliRunner().invoke
    shown = run(doctrine_app, ["show", "additive", "--under", "dose.", "--json"])
    assert {json.loads(line)["number"] for line in shown.stdout.splitlines()} >= {"dose.q", "dose.gamma"}
    compared = run(doctrine_app, ["diff", "default", str(own), "--json"])
    assert [json.loads(line)["number"] for line in compared.stdout.splitlines()] == ["dose.gamma"]
    checked = run(doctrine_app, ["check", str(own)])
    assert checked.exit_code == 0
    assert load_doctrine(own).hash in checked.stdout
    assert isinstance(run(doctrine_app, ["check", str(bad)]).exception, DoctrineError)
    panel = tmp_path / "panel.csv"
    rows = [f"r{r},{a},{b},{b}" for r in range(6) for a, b in ((1, 2), (2, 3), (1, 3), (3, 5), (2, 5))]
    panel.write_text("\n".join(["rater,a,b,worse", *rows]))
    elicited = run(doctrine_app, ["elicit", str(panel), "--out", str(tmp_path / "e.yaml")])
    assert elicited.exit_code == 0, elicited.output
    assert load_doctrine(tmp_path / "e.yaml").number("levels.base").status == "elicited"
