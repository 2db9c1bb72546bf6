"""Weights from a panel: known bases found again, agreement and circularity by hand, panels that say too little refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from greyzone.doctrine import check_doctrine, load_doctrine
from greyzone.elicitation import Judgement, circular_triads, elicit_base, kendall_w, read_judgements
from greyzone.errors import InputError

DOCTRINE = load_doctrine()


def panel(base, levels, raters, seed, repeats=1):
    rng = np.random.default_rng(seed)
    units = {level: base**level - 1 for level in levels}
    found = []
    for rater in range(raters):
        for a, b in itertools.combinations(levels, 2):
            for _ in range(repeats):
                worse = a if rng.random() < units[a] / (units[a] + units[b]) else b
                found.append(Judgement(f"r{rater}", a, b, worse))
    return found


def written(folder, rows, header="rater,a,b,worse"):
    path = folder / "panel.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_known_base_lies_in_the_interval_about_as_often_as_it_says():
    inside = 0
    for seed in range(40):
        found = elicit_base(panel(3.0, (1.0, 2.0, 3.0, 4.0, 5.0), 12, seed), doctrine=DOCTRINE)
        inside += found.base_interval[0] <= 3.0 <= found.base_interval[1]
        assert found.base_interval[0] <= found.base <= found.base_interval[1]
    # 90 % of 40 with a spread of 1.9
    assert 31 <= inside <= 40


def test_two_levels_by_hand():
    """Three of four judgements for level 2 over level 1: odds (b^2 - 1) / (b - 1) = b + 1 = 3, so b = 2."""
    rows = [Judgement(f"r{k % 8}", 2.0, 1.0, 2.0 if k % 4 else 1.0) for k in range(40)]
    found = elicit_base(rows, doctrine=DOCTRINE)
    assert found.base == pytest.approx(2.0, rel=1e-4)
    assert found.weights[0] == pytest.approx(1 / 3, rel=0.01)
    assert found.fit_p is None


def test_the_free_weights_show_where_one_base_does_not_do():
    rng = np.random.default_rng(0)
    units = {1.0: 1.0, 2.0: 1.05, 3.0: 1.1, 5.0: 30.0}
    rows = [
        Judgement(f"r{k % 10}", a, b, a if rng.random() < units[a] / (units[a] + units[b]) else b)
        for k in range(200)
        for a, b in itertools.combinations(units, 2)
    ]
    assert elicit_base(rows, doctrine=DOCTRINE).fit_p < 0.01


def test_kendall_w_by_hand():
    """Three raters of three levels: ranks 123, 123, 132 sum to 3, 7, 8: S = 14, W = 12 * 14 / (9 * 24) = 7/9."""
    orders = [(1.0, 2.0, 3.0), (1.0, 2.0, 3.0), (1.0, 3.0, 2.0)]
    rows = [Judgement(f"r{k}", *pair, pair[1]) for k, order in enumerate(orders) for pair in itertools.combinations(order, 2)]
    assert kendall_w(rows) == pytest.approx(7 / 9)
    assert kendall_w([row for row in rows if row.rater == "r0"]) is None


def test_circular_triads_by_hand():
    straight = [Judgement("r0", 1, 2, 2), Judgement("r0", 2, 3, 3), Judgement("r0", 1, 3, 3)]
    circle = [Judgement("r1", 1, 2, 2), Judgement("r1", 2, 3, 3), Judgement("r1", 3, 1, 1)]
    assert circular_triads(straight) == (0.0, 1)
    assert circular_triads(circle) == (1.0, 1)
    assert circular_triads(straight + circle) == (0.5, 2)
    assert circular_triads(straight[:2]) == (None, 0)
    assert circular_triads([*straight[:2], Judgement("r0", 1, 3, None)]) == (None, 0)


def test_the_file_is_a_doctrine_with_the_panel_behind_each_number(tmp_path):
    rows = [f"{j.rater},{j.a:g},{j.b:g},{j.worse:g}" for j in panel(4.0, (1.0, 2.0, 3.0, 5.0), 10, 1)]
    path = written(tmp_path, [*rows, "r1,1,2,tie"])
    found = elicit_base(read_judgements(path), doctrine=DOCTRINE)
    own = tmp_path / "own.yaml"
    own.write_text(found.doctrine_file(path, extends="default"))
    doctrine, _ = check_doctrine(own)
    assert doctrine["levels.base"] == pytest.approx(found.base, abs=1e-3)
    assert doctrine["ensemble.base_lo"] <= doctrine["levels.base"] <= doctrine["ensemble.base_hi"]
    leaf = doctrine.number("levels.base")
    assert leaf.status == "elicited"
    assert "Panel of 10 raters, 61 judgements" in leaf.source
    assert found.told()["judgements"] == 61


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (panel(3.0, (1.0, 2.0, 3.0, 4.0), 4, 0, 3), "4 raters"),
        (panel(3.0, (1.0, 2.0, 3.0), 6, 0), "18 judgements"),
        (panel(3.0, (1.0, 2.0), 20, 0) + panel(3.0, (4.0, 5.0), 20, 0), "4, 5 are not compared"),
    ],
)
def test_a_panel_that_says_too_little_is_refused(rows, said):
    with pytest.raises(InputError, match=said) as caught:
        elicit_base(rows, doctrine=DOCTRINE)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        (["r1,1,2"], "rater,a,b", "without column worse"),
        (["r1,0,2,2"], "rater,a,b,worse", "row 2: a = '0'"),
        (["r1,1,2,2", "r1,1,nan,1"], "rater,a,b,worse", "row 3: b = 'nan'"),
        (["r1,1,2,3"], "rater,a,b,worse", "row 2"),
        (["r1,2,2,2"], "rater,a,b,worse", "row 2"),
        ([",1,2,2"], "rater,a,b,worse", "row 2"),
    ],
)
def test_a_row_that_is_no_judgement_is_named(tmp_path, rows, header, said):
    with pytest.raises(InputError, match=said) as caught:
        read_judgements(written(tmp_path, rows, header))
    assert "\n" not in str(caught.value)


def test_always_winning_levels_stay_finite_and_are_told():
    rows = [Judgement(f"r{k}", a, b, b) for k in range(6) for a, b in itertools.combinations((1.0, 2.0, 3.0, 4.0), 2)]
    found = elicit_base(rows, doctrine=DOCTRINE)
    assert np.isfinite(found.weights).all()
    assert any("ridge" in remark for remark in found.remarks)
    assert any("end of its range" in remark for remark in found.remarks)
