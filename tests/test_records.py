"""Ids of content, and tables that keep to their declared columns."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyzone.errors import CaseError, GreyzoneError, InputError, SchemaError, StorageError
from greyzone.records import COPIES, DOCUMENTS, TABLES, check, content_id, empty, table

PARTS = st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=4)


@given(PARTS, PARTS)
def test_ids_differ_exactly_where_the_parts_do(one, other):
    assert (content_id("doc", *one) == content_id("doc", *other)) == (one == other)


def test_an_id_is_the_same_on_every_machine():
    # BLAKE2b-96 over (length, mark, bytes) of each part, computed with coreutils' b2sum -l 96 for the single part "a".
    assert content_id("doc", "a") == "doc-bc0e0a43f783d9cc3536317b"
    assert content_id("doc", None) != content_id("doc", "") != content_id("nar", "")


def test_a_surrogate_does_not_break_an_id():
    assert content_id("doc", "\ud800").startswith("doc-")


def test_tables_take_known_columns_only():
    assert table([{"doc_id": "a"}], COPIES)["kind"].null_count == 1
    with pytest.raises(SchemaError, match="'nonsense'"):
        table([{"nonsense": 1}], COPIES)
    with pytest.raises(SchemaError, match="does not fit"):
        table([{"similarity": "much"}], COPIES)


def test_check_orders_columns_and_names_what_is_wrong():
    turned = empty(COPIES).select(list(reversed(COPIES.names)))
    assert check(turned, COPIES, "copies").schema.names == COPIES.names
    with pytest.raises(SchemaError, match="similarity of type double"):
        check(empty(COPIES).set_column(3, "similarity", pa.array([], pa.float64())), COPIES, "copies")


def test_documents_of_an_earlier_version_have_no_handles():
    older = table([{"doc_id": "doc-a"}], DOCUMENTS).drop_columns(["handle", "app"])
    assert check(older, DOCUMENTS, "documents").equals(table([{"doc_id": "doc-a"}], DOCUMENTS))
    with pytest.raises(SchemaError, match=r"lacks \['text'\]"):
        check(older.drop_columns(["text"]), DOCUMENTS, "documents")


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_can_be_empty(name):
    assert check(empty(TABLES[name]), TABLES[name], name).num_rows == 0


def test_errors_are_one_line_and_tell_bad_input_from_failure():
    error = InputError("a\nb", "c", "do d")
    assert str(error) == "a b; expected c; do d"
    assert (InputError("x").exit_code, CaseError("x").exit_code, StorageError("x").exit_code, GreyzoneError("x").exit_code) == (2, 2, 1, 1)
    assert isinstance(error, ValueError)
    assert isinstance(StorageError("x"), OSError)
