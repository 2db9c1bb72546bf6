"""Doctrines: every number sourced and in its range, files checked, one's own beside the bundled ones."""

from __future__ import annotations

import pytest

from greyzone.doctrine import bundled, load_doctrine
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
        assert leaf.status in {"cited", "judgement", "elicited", "unverified"}


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
