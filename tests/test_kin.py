"""Sets in time, by hand: names that go on, and the shares that make a split or a merge."""

from __future__ import annotations

import pytest

from greyzone.kin import Pair, compare


def kin(before, after, share=0.3):
    return compare(*({name: frozenset(members) for name, members in sets.items()} for sets in (before, after)), share=share, prefix="set")


def test_the_nearest_goes_on_and_growth_takes_no_name_away():
    # XYZUVW were in no set before: of the new one only a, b and c count, so its overlap with A is 3/4 and with B 1/4.
    found = kin({"A": "abcd", "B": "c"}, {"1": "abcXYZUVW"})
    assert found.heirs == {"A": Pair("A", "1", 3, 0.75)}
    assert found.ids == {"1": "A"}
    # All of B is in it.
    assert found.merged == {"B": Pair("B", "1", 1, 1 / 3)}


def test_equal_overlaps_are_settled_by_what_is_shared_and_then_by_name():
    assert kin({"A": "ab", "B": "cdef"}, {"1": "a", "2": "cd"}).ids == {"1": "A", "2": "B"}
    assert kin({"A": "ab", "B": "cdef"}, {"1": "acd"}, share=0.1).ids == {"1": "B"}
    assert kin({"B": "b", "A": "a"}, {"1": "ab"}).ids == {"1": "A"}
    assert kin({"A": "ab"}, {"2": "a", "1": "b"}).ids == {"1": "A", "2": "2"}


@pytest.mark.parametrize(("others", "told"), [("xyzuvwr", True), ("xyzuvwrs", False)])
def test_a_new_set_is_a_split_where_the_share_of_its_own_members_came_from_one(others, told):
    # Three of ten members are the least share; of eleven they are less.
    found = kin({"A": "abcdefghijklm"}, {"1": "abcdefghij", "2": "klm" + others})
    assert found.heirs["A"].new == "1"
    assert ("2" in found.split) == told
    assert found.ids["2"] == "2"


@pytest.mark.parametrize(("gone", "told"), [("xyzuvwr", True), ("xyzuvwrs", False)])
def test_an_old_set_is_merged_where_the_share_of_its_members_went_to_one(gone, told):
    found = kin({"A": "abcdefghij", "B": "klm" + gone}, {"1": "abcdefghijklm"})
    assert found.heirs["A"].new == "1"
    assert ("B" in found.merged) == told


def test_a_split_is_from_the_one_that_gave_most_members():
    # A and B both go on elsewhere; of the new one two are A's and three are B's, though A, the smaller, is the nearer kin.
    found = kin({"A": "abcd", "B": "klmnopqrstuv"}, {"1": "abcd", "2": "klmnopqrstuv", "3": "abklm"})
    assert found.split == {"3": Pair("B", "3", 3, 3 / 14)}
    found = kin({"1": "abcd", "2": "klmnopqrstuv", "3": "abklm"}, {"A": "abcd", "B": "klmnopqrstuv"})
    assert found.merged == {"3": Pair("3", "B", 3, 3 / 14)}


def test_sets_may_overlap_and_each_counts_its_members():
    found = kin({"A": "abc", "B": "abd"}, {"1": "abc", "2": "abd"})
    assert found.ids == {"1": "A", "2": "B"}
    assert not found.merged
    assert not found.split


def test_a_name_that_lived_before_is_not_given_anew():
    found = kin({"x": "abcdef", "y": "gh"}, {"x": "gh", "y": "uvw"})
    assert found.ids["x"] == "y"
    assert found.ids["y"].startswith("set-")
    assert kin({}, {"a": "x"}).ids == {"a": "a"}
