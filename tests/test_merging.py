"""How weights of merging are fitted to labelled pairs, and what they then do, on invented reports."""

from __future__ import annotations

import math
import re
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyzone.doctrine import load_doctrine
from greyzone.errors import InputError
from greyzone.eval.incidents.fitting import parts_of
from greyzone.eval.incidents.merging import Choice, fit_merging
from greyzone.eval.incidents.pairs import Labelled
from greyzone.eval.incidents.scale import invented
from greyzone.incidents import canonicalise
from greyzone.incidents.canonical import _merge, prepare
from greyzone.incidents.evidence import WEIGHTS, judge_of
from greyzone.incidents.linkage import Linkage, Pair, rivals_of

DOCTRINE = load_doctrine()


def test_the_evidence_told_sums_to_the_posterior():
    reports, _ = invented(300)
    listed = [row for row in canonicalise(reports, doctrine=DOCTRINE).merges.to_pylist() if "base" in row["evidence"]]
    assert len(listed) > 20
    for row in listed:
        told = row["evidence"].split("; not merged")[0]
        nats = math.fsum(float(value) for value in re.findall(r" ([+-]\d+\.\d\d)(?=;|$)", told))
        posterior = 1 / (1 + math.exp(-nats))
        # Parts are printed to two digits; rivals below a twentieth are not told.
        assert posterior == pytest.approx(row["posterior"], abs=0.05)


def test_the_quick_bound_is_never_below_the_evidence():
    reports, _ = invented(200)
    _, records = prepare(reports, DOCTRINE)
    judge = judge_of(records, DOCTRINE.section("canonical"))
    for a, b in combinations(range(0, len(records), 3), 2):
        assert judge.numbers["base"] + judge.weighed(judge.parts(a, b)) <= judge.most(a, b, judge.rarity.mass(a, b)) + 1e-9


def labelled(n: int = 400):
    reports, truth = invented(n)
    rows = reports.to_pylist()
    event = {row["report_id"]: truth[row["report_id"]] for row in rows}
    pairs = {}
    for one, other in combinations(sorted(rows, key=lambda row: row["report_id"]), 2):
        near = one["onset_lo"] and other["onset_lo"] and abs((one["onset_lo"] - other["onset_lo"]).days) < 20
        same = event[one["report_id"]] == event[other["report_id"]]
        if one["source"] != other["source"] and (same or near):
            pairs[one["report_id"], other["report_id"]] = same
    return reports, pairs


def test_fitted_weights_find_the_events_again():
    reports, pairs = labelled()
    weights = fit_merging(reports, pairs, DOCTRINE)
    assert list(weights) == ["base", *(f"weight_{kind}" for kind in WEIGHTS)]
    assert all(value >= 0 for name, value in weights.items() if name != "base")
    assert weights["weight_words"] > 0.05
    doctrine = DOCTRINE.replace(**{f"canonical__{name}": value for name, value in weights.items()})
    merged = {
        (row["report_a"], row["report_b"])
        for row in canonicalise(reports, doctrine=doctrine).merges.to_pylist()
        if row["decision"] == "merged"
    }
    right = sum(pairs.get(pair, False) for pair in merged)
    assert right >= 0.95 * len(merged)
    assert right >= 0.8 * sum(pairs.values())


def test_labels_that_cannot_be_used_are_told():
    reports, pairs = labelled(200)
    ids = {source: [row["report_id"] for row in reports.to_pylist() if row["source"] == source] for source in reports["source"].to_pylist()}
    first = next(iter(ids.values()))
    with pytest.raises(InputError, match="of one source"):
        fit_merging(reports, {(first[0], first[1]): True}, DOCTRINE)
    with pytest.raises(InputError, match="ids of the reports"):
        fit_merging(reports, {(first[0], "rep-nowhere"): True}, DOCTRINE)
    with pytest.raises(InputError, match="at least 50 of each"):
        fit_merging(reports, dict(list(pairs.items())[:3]), DOCTRINE)


@given(st.integers(0, 2**32 - 1))
def test_the_gradient_of_the_choice_is_that_of_its_loss(seed):
    generator = np.random.default_rng(seed)
    choice = Choice(
        generator.normal(size=(12, 3)),
        np.arange(5),
        generator.random(5) < 0.5,
        generator.integers(0, 5, 9),
        generator.integers(5, 12, 9),
    )
    at = generator.normal(size=4)
    _, gradient = choice.loss(at)
    for place in range(4):
        step = np.zeros(4)
        step[place] = 1e-6
        slope = (choice.loss(at + step)[0] - choice.loss(at - step)[0]) / 2e-6
        assert gradient[place] == pytest.approx(slope, abs=1e-4)


def test_golden_loss_of_a_choice():
    # One pair of odds 3 beside a rival of odds 1: 3 of 5 if it is the same event, 2 of 5 if not.
    design = np.array([[math.log(3)], [0.0]])
    for same, share in ((True, 3 / 5), (False, 2 / 5)):
        choice = Choice(design, np.array([0]), np.array([same]), np.array([0]), np.array([1]))
        assert choice.loss(np.array([1.0, 0.0]))[0] == pytest.approx(-math.log(share) + 0.5)


def test_rivals_are_other_reports_of_the_others_source_that_tell_other_events():
    reports, _ = invented(40)
    _, records = prepare(reports, DOCTRINE)
    by_source: dict[str, list[int]] = {}
    for at, record in enumerate(records):
        by_source.setdefault(record.source, []).append(at)
    (a, again, *_), (b, c, *_) = list(by_source.values())[:2]
    pairs = [(min(pair), max(pair)) for pair in ((a, b), (a, c), (again, b), (again, c))]
    apart = rivals_of(records, pairs, lambda *_: False)
    assert set(apart[pairs[0]]) == {pairs[1], pairs[2]}
    twins = rivals_of(records, pairs, lambda one, other: {one, other} == {b, c}, of=[pairs[0]])
    assert twins == {pairs[0]: [pairs[2]]}


def test_no_pair_joins_groups_whose_other_reports_do_not_fit():
    reports, _ = invented(200)
    _, records = prepare(reports, DOCTRINE)
    first: dict[str, int] = {}
    for at, record in enumerate(records):
        first.setdefault(record.source, at)
    a, b, c, d = sorted(first.values())[:4]
    likely = {(a, b): 0.9, (c, d): 0.9, (b, c): 0.8}

    def merged(posterior: dict[tuple[int, int], float]) -> list[list[int]]:
        pairs = [Pair(*pair, value, "") for pair, value in sorted(posterior.items(), key=lambda item: -item[1])]
        linked = Linkage(pairs, lambda one, other: posterior.get((min(one, other), max(one, other)), 0.0), lambda *_: False)
        far = DOCTRINE.replace(canonical__window_days=3650)
        return [group for group in _merge(records, linked, far)[0] if len(group) > 1]

    # Of the four pairs between both groups one fits: .8 / 4 is below canonical.chain. With a second one it is not.
    assert merged(likely) == [[a, b], [c, d]]
    assert merged(likely | {(a, c): 0.5}) == [[a, b, c, d]]


def test_pairs_that_share_a_report_are_held_out_together():
    keys = [("a:1", "b:1"), ("a:1", "b:2"), ("b:2", "c:1"), ("a:2", "b:3"), ("a:3", "b:4")]
    part = parts_of([Labelled(a, b, "any/rest", 1.0, "same", "late") for a, b in keys], 2)
    assert len({part[0], part[1], part[2]}) == 1
    assert part[3] == part[4] != part[0]
