"""How deduplication is measured: the sample, the weights, the drawing, invented reports, odd input."""

from __future__ import annotations

import json

import pytest

from greyzone.doctrine import load_doctrine
from greyzone.eval.incidents.odd import format_odd, measure_odd, odd_bundles, write_large
from greyzone.eval.incidents.pairs import LABELS, SAMPLES, Labelled, agreement, clusters, labelled_pairs
from greyzone.eval.incidents.sampling import BANDED, candidates, draw, draw_banded
from greyzone.eval.incidents.scale import invented, measure_scale
from greyzone.eval.incidents.tables import group_of
from greyzone.incidents import canonicalise, read_reports


def test_the_sample_holds_keys_and_labels_only():
    pairs = labelled_pairs()
    reported = [pair for pair in pairs if pair.sample == "reported"]
    assert len(reported) >= 200
    assert {pair.sample for pair in pairs} == set(SAMPLES)
    assert len({(pair.a, pair.b) for pair in pairs}) == len(pairs)
    assert {pair.label for pair in pairs} == set(LABELS)
    assert all(pair.weight >= 1 and pair.a.split(":")[0] != pair.b.split(":")[0] for pair in pairs)
    assert all(key.split(":")[1].isdecimal() for pair in pairs for key in (pair.a, pair.b))


def test_golden_weighted_precision_and_recall():
    labels = [("same", 3.0, True), ("same", 1.0, False), ("related", 1.0, True), ("different", 90.0, False)]
    pairs = [Labelled(f"a:{at}", f"b:{at}", f"a-b/m{at}", weight, label, "reported") for at, (label, weight, _) in enumerate(labels)]
    found = agreement("all", pairs, [merged for _, _, merged in labels], lambda pair: pair.sample == "reported")
    # 3 of 4 merged weight is the same event, 3 of 4 weight of the same event is merged; a stratum of one pair does not vary.
    assert found.precision == found.recall == (0.75, 0.75, 0.75)
    assert (found.pairs, found.same, found.merged, found.right) == (4, 2, 2, 1)
    none = agreement("none", pairs, [False] * 4, lambda pair: pair.sample != "reported")
    assert none.pairs == 0
    assert none.precision[0] != none.precision[0]


def test_drawn_pairs_weigh_what_their_stratum_holds():
    reports, _ = invented(300)
    pairs = candidates(reports.to_pylist())
    assert all(pair.a.split(":")[0] < pair.b.split(":")[0] for pair in pairs)
    drawn = draw(pairs)
    first, second = ({(pair.a, pair.b) for pair in drawn[name]} for name in ("development", "reported"))
    assert not first & second
    held = sum(1 for pair in pairs if pair.stratum in {taken.stratum for taken in drawn["development"]})
    assert sum(pair.weight for pair in drawn["development"]) == pytest.approx(held)
    again = draw(candidates(reports.to_pylist()[::-1]))
    assert again == drawn


def test_the_banded_sample_weighs_all_candidates_by_what_the_stage_says():
    reports, _ = invented(300)
    rows = reports.to_pylist()
    pairs = candidates(rows)
    canonical = canonicalise(reports, doctrine=load_doctrine())
    drawn = draw_banded(pairs, rows, canonical)
    assert sum(pair.weight for pair in drawn) == pytest.approx(len(pairs))
    assert {pair.stratum for pair in drawn} <= {f"any/{band}" for band in BANDED}
    group = group_of([str(row["report_id"]) for row in rows], canonical)
    events = {f"{row['source']}:{row['offset']}": group[str(row["report_id"])] for row in rows}
    for pair in drawn:
        assert (events[pair.a] == events[pair.b]) == (pair.stratum == "any/merged")


def test_invented_reports_are_found_again():
    rows = list(measure_scale(lambda _: None, [600]))
    assert rows[0].precision >= 0.95
    assert rows[0].recall >= 0.85


def test_clusters_count_every_report():
    reports, _ = invented(200)
    canonical = canonicalise(reports, doctrine=load_doctrine())
    counted = clusters(
        reports.select(["source", "report_id"]).to_pylist(), group_of(reports["report_id"].to_pylist(), canonical), canonical
    )
    assert counted["reports"] == reports.num_rows
    assert counted["events"] == sum(counted[name] for name in counted if name.startswith("events of ") and "sources" not in name)


def test_every_odd_bundle_loses_nothing(tmp_path):
    for items in odd_bundles().values():
        path = tmp_path / "b.json"
        path.write_text(json.dumps({"type": "bundle", "objects": items}))
        batch = read_reports(path)
        rejected = [row for row in batch.rejects.to_pylist() if row["action"] == "rejected"]
        tied = sum(isinstance(item, dict) and item.get("type") in ("malware", "relationship") for item in items)
        assert batch.reports.num_rows + len(rejected) + tied >= len(items)


def test_a_bundle_is_read_within_bounds(tmp_path):
    rows = list(measure_odd(lambda _: None, 2))
    large = rows[-1]
    assert large.objects == write_large(tmp_path / "b.json", 2)
    assert large.reports * 5 == large.objects
    assert "error" not in format_odd(rows)
