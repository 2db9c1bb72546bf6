"""Measuring campaigns: agreement by hand, the rules that are compared, and the command."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greyzone.doctrine import load_doctrine
from greyzone.eval.campaigns import SHAPES, agreement, communities, components, invent, judge, link_clustering, main


def test_the_same_campaigns_agree_and_overlap_counts():
    parts = [{"a", "b", "c"}, {"c", "d"}]
    assert agreement(parts, parts) == agreement(parts, parts[::-1])
    assert (agreement(parts, parts).f1, agreement(parts, parts).omega) == (1, 1)


def test_agreement_by_hand():
    # truth {a, b}, {c, d}; found {a, b, c}: a meets itself, b (shared) and c (not): 2/3; so b; c meets a, b (not) and itself: 1/3
    found = agreement([{"a", "b"}, {"c", "d"}], [{"a", "b", "c"}])
    assert found.precision == pytest.approx((2 / 3 + 2 / 3 + 1 / 3) / 3)
    # a and b are whole; c keeps itself of two; d is in nothing, not even with itself
    assert found.recall == pytest.approx((1 + 1 + 1 / 2 + 0) / 4)
    # pairs ab cd | ab ac bc: equal on ab, ad, bd; by chance (4 x 3 + 2 x 3) / 36
    assert found.omega == pytest.approx((3 / 6 - 1 / 2) / (1 - 1 / 2))


def test_components_and_link_clustering():
    block = [(f"i{a}", f"n{b}") for a in range(3) for b in range(3)]
    other = [(f"j{a}", f"m{b}") for a in range(3) for b in range(3)]
    bridged = [*block, *other, ("i0", "m0")]
    assert len(components(bridged)) == 1
    assert sorted(len(part) for part in link_clustering(bridged)) == [2, 6, 6]
    assert sorted(len(part) for part in communities(dict.fromkeys(bridged, 0.9), load_doctrine())) == [6, 6]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_end_of_an_invented_graph_has_a_link(shape):
    truth, links = invent(shape, 1)
    assert {end for part in truth for end in part} == {end for pair in links for end in pair}
    assert invent(shape, 1) == (truth, links)
    assert all(0.5 <= p <= 1 for p in links.values())


def test_communities_tell_bridged_campaigns_apart_better_than_components():
    mixed = next(shape for shape in SHAPES if shape.name == "mixed")
    for seed in range(3):
        truth, links = invent(mixed, seed)
        assert agreement(truth, communities(links, load_doctrine())).f1 > 0.2 + agreement(truth, components(links)).f1


def test_a_case_is_judged_against_its_scenario(tmp_path):
    tables = {
        "case/documents": {"doc_id": ["d1", "d2", "d3"], "post_id": ["p1", "p2", "p3"]},
        "case/members": {"doc_id": ["d1", "d2", "d3"], "narrative_id": ["nar-1", "nar-2", None]},
        "case/incidents": {"incident_id": ["inc-1", "inc-2"], "name": ["one", "two"]},
        "case/links": {"incident_id": ["inc-1"], "narrative_id": ["nar-1"], "p": [0.9], "type": ["exploits"]},
        "case/campaigns": {"incidents": [["inc-1"]], "narratives": [["nar-1"]]},
        "truth/truth_documents": {"post_id": ["p1", "p2", "p3"], "narrative": ["a", "b", None]},
        "truth/truth_links": {"narrative": ["a", "b"], "incident": ["one", "two"], "type": ["exploits", "reports"]},
    }
    for name, columns in tables.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    found = judge(tmp_path / "case", tmp_path / "truth")
    assert found["communities"].f1 == found["components"].f1 == 1


def test_the_command_prints_a_table_and_refuses_half_a_case(capsys, tmp_path):
    assert main(["--seeds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 3 * len(SHAPES)
    assert main(["--links", "30"]) == 0
    many, one = capsys.readouterr().out.splitlines()
    assert many.startswith("30 links, ")
    assert one.startswith("30 links, 1 campaigns, the largest of 30 links: ")
    assert main(["--case", str(tmp_path)]) == 2
    assert "--truth" in capsys.readouterr().err
