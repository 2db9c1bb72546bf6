"""A bundle read object by object against the same bundle read whole, and what is wrong with a bundle."""

from __future__ import annotations

import io
import json
import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.errors import InputError
from greyzone.incidents import read_reports, stream
from greyzone.incidents.stream import Unread, bundle_objects

PATH = pathlib.Path("b.json")

letters = st.characters(exclude_categories=["Cs"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(letters, max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(letters, max_size=4), inner, max_size=3),
    max_leaves=8,
)


def read(content: bytes):
    found = bundle_objects(io.BytesIO(content), PATH, 1 << 20)
    return None if found is None else list(found)


@settings(deadline=None, max_examples=150)
@given(objects=st.lists(values, max_size=6), chunk=st.integers(1, 40), indent=st.sampled_from([None, 2]), ascii_only=st.booleans())
def test_oracle_any_chunks_give_what_the_whole_gives(objects, chunk, indent, ascii_only):
    content = json.dumps({"type": "bundle", "id": "x", "objects": objects, "more": 1}, indent=indent, ensure_ascii=ascii_only).encode()
    whole = stream.CHUNK
    try:
        stream.CHUNK = chunk
        assert read(content) == list(enumerate(objects, start=1))
    finally:
        stream.CHUNK = whole


@pytest.mark.parametrize(
    "content",
    [b"[1]", b"{}", b'{"type": "incident", "objects": []}', b'{"objects": 5}', b'{"a": 1', b"", b"PAR1", b'{"Event": {}}', b'{"a": [[}'],
)
def test_what_is_no_bundle_is_left_to_others(content):
    assert read(content) is None


def test_objects_that_cannot_be_read_are_passed_over_and_said(monkeypatch):
    monkeypatch.setattr(stream, "LARGEST_OBJECT", 300)
    monkeypatch.setattr(stream, "CHUNK", 50)
    big = json.dumps({"text": 'a "quoted" } brace ' * 40})
    deep = "[" * 100_000 + "]" * 100_000
    found = read(f'{{"objects": [{{"a": 1}}, {big}, {{"b": }}, {deep}, {{"c": 2}}]}}'.encode())
    assert [place for place, _ in found] == [1, 2, 3, 4, 5]
    assert (found[0][1], found[4][1]) == ({"a": 1}, {"c": 2})
    assert all(isinstance(item, Unread) for _, item in found[1:4])


@pytest.mark.parametrize("depth", [300, 700, 950, 3000])
def test_any_depth_is_an_object_or_said(depth):
    ((_, item),) = read(f'{{"objects": [{"[" * depth}{"]" * depth}]}}'.encode())
    assert isinstance(item, list | Unread)


@pytest.mark.parametrize("cut", [40, 60, 75])
def test_a_bundle_that_ends_early_is_one_line(tmp_path, cut):
    path = tmp_path / "b.json"
    whole = json.dumps({"type": "bundle", "objects": [{"type": "incident", "id": "incident--1", "name": "x"}] * 2})
    path.write_text(whole[:cut])
    with pytest.raises(InputError) as caught:
        read_reports(path)
    assert "damaged" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bundle_larger_than_the_bound_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "b.json"
    path.write_text(json.dumps({"objects": [{"type": "incident", "id": f"incident--{at}", "name": "x" * 50} for at in range(50)]}))
    monkeypatch.setattr("greyzone.incidents.reading.LARGEST", 1000)
    with pytest.raises(InputError, match="holds more than"):
        read_reports(path)


def test_bad_bundles_lose_nothing(tmp_path):
    incident = {"type": "incident", "id": "incident--1", "modified": "2020", "name": "One\u202e", "first_seen": "0000-00-00"}
    circle = {"type": "relationship", "id": "relationship--1", "source_ref": "incident--1", "target_ref": "incident--1"}
    objects = [
        incident,
        incident | {"modified": "2021", "description": "<p>A &amp; <b>B</b></p><script>x()</script>", "first_seen": "not a date"},
        {"type": "incident", "name": "no id"},
        {"type": "report", "id": "report--1", "name": "write-up", "object_refs": ["report--1", "incident--1", "gone--1"]},
        circle,
        7,
    ]
    path = tmp_path / "b.json"
    path.write_text(json.dumps({"type": "bundle", "objects": objects}))
    batch = read_reports(path)
    (row,) = batch.reports.to_pylist()
    assert (row["name"], row["description"], row["onset_lo"]) == ("One", "A & B", None)
    reasons = sorted((item["action"], item["reason"]) for item in batch.rejects.to_pylist())
    assert reasons == [
        ("rejected", "object without type and id"),
        ("rejected", "object without type and id"),
        ("rejected", "older version of an object"),
        ("repaired", "no usable date"),
        ("repaired", "reference to an object that is not in the bundle"),
    ]
