"""The journey on real data, where it stands beside the repository: minutes, so only with ``-m slow``."""

from __future__ import annotations

import pytest

import greyzone
from greyzone.pipeline import Settings


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.timeout(600)
def test_the_documented_case_shows_what_is_known_to_be_there(shared_data, tmp_path):
    case = greyzone.run(
        shared_data / "ira_sample_20k_2016H2_whole_accounts.csv.gz",
        incidents=shared_data / "eurepoc_global_1.1.csv.gz",
        out=tmp_path / "case",
        settings=Settings(today="2026-01-01"),
    )
    rejected = case.table("rejects").num_rows
    assert case.table("sources").num_rows + rejected == 20_164
    told = [" ".join([row["label"], row["headline"], *row["keywords"]]).casefold() for row in case.table("narratives").to_pylist()]
    for subject in ("wikileaks", "podesta", "debate"):
        assert any(subject in text for text in told), subject
    assert case.table("links").num_rows > 0
    assert case.notes()["incidents"]["repaired"]["dates reversed"] > 0


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.timeout(600)
def test_members_of_congress_are_listed_with_an_explanation_and_not_flagged(shared_data, tmp_path):
    case = greyzone.run(
        shared_data / "control_us_congress_2016-05.parquet",
        out=tmp_path / "case",
        settings=Settings(today="2026-01-01"),
        until="coordinate",
    )
    groups = case.table("groups").to_pylist()
    assert all(any(test["fits"] for test in group["explanations"]) for group in groups)
