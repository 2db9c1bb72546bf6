"""The impact score: hand-computed doses, the fast curve against the plain formula, the score vector and its stamps."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.doctrine import load_doctrine
from greyzone.errors import InputError, SchemaError
from greyzone.impact import score
from greyzone.impact.dose import Coupling, decay, dose, score_of, triangular, unit_dose
from greyzone.impact.draws import central_world, dose_at, dose_curve, drawn_world, ensemble_draws, ensemble_grid, theta_of
from greyzone.impact.exposure import read_exposure
from greyzone.impact.tensors import dose_curve_on
from greyzone.impact.vector import level_word, moment_of
from greyzone.records import IMPACT, INCIDENTS, LINKS, NARRATIVES, SHARES, check, empty, table

DOCTRINE = load_doctrine()
THETA = theta_of(DOCTRINE)
START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def incident(identifier, day=0.0, level=3.0, **more):
    moment = START + day * DAY
    row = {
        "incident_id": identifier,
        "onset_lo": moment,
        "onset_hi": moment,
        "onset_precision": "day",
        "target_state": "EE",
        "technique_class": "ddos",
        "level_lo": level,
        "level_mode": level,
        "level_hi": level,
        "reach": "local",
        "credibility": 1.0,
        "sources": ["one"],
    }
    return row | more


def narrative(identifier, day=0.0, **more):
    moment = START + day * DAY
    row = {
        "narrative_id": identifier,
        "onset_lo": moment,
        "onset_hi": moment,
        "last_seen": moment,
        "targets": ["EE"],
        "breakout": [0, 0, 0, 0, 0, 1.0],
    }
    return row | more


def link(i, n, p=1.0, **more):
    return {"link_id": f"{i}-{n}", "incident_id": i, "narrative_id": n, "type": "exploits", "p": p, "p_lo": p, "p_hi": p} | more


def run(incidents, narratives=(), links=(), as_of=date(2024, 1, 10), days=0, draws=40, doctrine=DOCTRINE, seed=0):
    return score(
        table(list(incidents), INCIDENTS),
        table(list(narratives), NARRATIVES),
        table(list(links), LINKS),
        doctrine=doctrine,
        as_of=as_of,
        days=days,
        draws=draws,
        seed=seed,
    )


def last(result, state="EE"):
    return [row for row in result.impact.to_pylist() if row["target_state"] == state][-1]


def test_golden_dose_by_hand():
    """Waves {3, 4} and {1} with q = 2: 5 + 1; b = 4; terms .5 sqrt(3*4) and 1 sqrt(1*4): sqrt(3 + 4) = 2.6458; gamma .5."""
    coupling = Coupling(np.array([0, 2]), np.array([0, 0]), np.array([0.5, 1.0]))
    parts = dose(np.array([3.0, 4.0, 1.0]), np.array([7, 7, 8]), np.array([4.0]), coupling, q=2, gamma=0.5)
    assert parts.cyber[0] == pytest.approx(6)
    assert parts.information[0] == pytest.approx(4)
    assert parts.synergy[0] == pytest.approx(0.5 * math.sqrt(7))
    # own part of the first: 9/5, and half of its synergy .5 * 3 / sqrt(7)
    assert parts.incidents[0, 0] == pytest.approx(9 / 5 + 0.25 * 3 / math.sqrt(7))
    assert parts.narratives[0, 0] == pytest.approx(4 + 0.25 * math.sqrt(7))


def test_golden_words_units_and_decay():
    assert unit_dose(np.array([0.0, 1.0, 5.0]), 3.0) == pytest.approx([0, 2 / 242, 1])
    assert decay(np.array([-5.0, 0.0, 180.0, 360.0]), 180.0) == pytest.approx([1, 1, 0.5, 0.25])
    assert [level_word(level) for level in (0, 0.5, 1.4, 2.5, 4.4, 5)] == ["baseline", "low", "low", "high", "severe", "emergency"]
    assert score_of(np.array(1.0), 1.0) == pytest.approx(63.2120558)


def test_contributions_are_the_gradient():
    """Oracle: central differences of the dose."""
    rng = np.random.default_rng(3)
    a, b, waves = rng.uniform(0.1, 1, 5), rng.uniform(0.1, 1, 3), np.array([0, 0, 1, 1, 2])
    coupling = Coupling(np.repeat(np.arange(5), 3), np.tile(np.arange(3), 5), rng.uniform(size=15))
    for q in (1.0, 2.0, 8.0):
        parts = dose(a, waves, b, coupling, q=q, gamma=0.7)
        for j in range(5):
            step = np.eye(5)[j] * 1e-6
            up, down = (dose(a + sign * step, waves, b, coupling, q=q, gamma=0.7).total[0] for sign in (1, -1))
            assert parts.incidents[0, j] == pytest.approx(a[j] * (up - down) / 2e-6, rel=1e-5)


def test_a_batch_is_its_rows_and_a_large_q_takes_the_worst():
    rng = np.random.default_rng(1)
    a, b = rng.uniform(size=(4, 6)), rng.uniform(size=(4, 2))
    waves = rng.integers(0, 3, size=(4, 6))
    coupling = Coupling(np.array([0, 3]), np.array([1, 1]), rng.uniform(size=(4, 2)))
    q, gamma = np.array([1.0, 2.0, 8.0, 1000.0]), np.array([0.0, 0.5, 1.0, 1.0])
    together = dose(a, waves, b, coupling, q=q, gamma=gamma).total
    for row in range(4):
        single = Coupling(coupling.incident, coupling.narrative, coupling.weight[row])
        assert dose(a[row], waves[row], b[row], single, q=q[row], gamma=gamma[row]).total[0] == pytest.approx(together[row])
    worst = dose(a[3], waves[3], b[3] * 0, coupling, q=1000, gamma=0)
    assert worst.cyber[0] == pytest.approx(sum(a[3][waves[3] == wave].max() for wave in set(waves[3].tolist())), rel=2e-3)


@pytest.mark.parametrize(("a", "q", "gamma"), [([-1.0], 2, 0.5), ([np.nan], 2, 0.5), ([1.0], 0.5, 0.5), ([1.0], 2, -1)])
def test_bad_doses_are_refused(a, q, gamma):
    with pytest.raises(InputError):
        dose(
            np.array(a),
            np.zeros(1, np.int64),
            np.zeros(0),
            Coupling(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0)),
            q=q,
            gamma=gamma,
        )


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.floats(0, 1, exclude_max=True), st.tuples(st.floats(0, 5), st.floats(0, 5), st.floats(0, 5)).map(sorted))
def test_triangular_quantiles_invert_the_distribution(uniform, corners):
    lo, mode, hi = map(float, corners)
    found = float(triangular(np.array(uniform), np.array(lo), np.array(mode), np.array(hi)))
    assert lo - 1e-9 <= found <= hi + 1e-9
    if hi - lo > 0.1 and mode - lo > 0.01 and hi - mode > 0.01:
        below = (found - lo) ** 2 / ((hi - lo) * (mode - lo)) if found < mode else 1 - (hi - found) ** 2 / ((hi - lo) * (hi - mode))
        assert below == pytest.approx(uniform, abs=1e-6)


def busy():
    rng = np.random.default_rng(5)
    incidents = [
        incident(
            f"inc-{k:02d}",
            float(rng.uniform(-200, 60)),
            float(rng.uniform(1, 4)),
            onset_hi=START + (60 + k) * DAY,
            level_hi=4.5,
            level_lo=0.5,
        )
        if k % 3 == 0
        else incident(f"inc-{k:02d}", float(rng.uniform(-200, 60)), float(rng.uniform(1, 4)), technique_class=f"c{k % 2}", credibility=0.6)
        for k in range(24)
    ]
    narratives = [narrative(f"nar-{k}", float(rng.uniform(-100, 60)), last_seen=START + 50 * DAY if k % 2 else None) for k in range(5)]
    links = [link(f"inc-{k:02d}", f"nar-{k % 5}", float(rng.uniform(0.1, 0.9)), p_lo=0.0, p_hi=1.0) for k in range(24)]
    return incidents, narratives, links


def test_the_fast_curve_is_the_plain_formula():
    """Oracle: `dose_at` at each moment, for the centre, draws and an ensemble."""
    rows = busy()
    tables = [table(part, schema) for part, schema in zip(rows, (INCIDENTS, NARRATIVES, LINKS), strict=True)]
    [state] = read_exposure(*tables, doctrine=DOCTRINE).states
    moments = START.timestamp() + 86_400 * np.array([0.0, 3.5, 20, 61, 100, 400])
    cases = [
        (central_world(state.items, DOCTRINE), THETA),
        (central_world(state.items, DOCTRINE), ensemble_grid(DOCTRINE)),
        (drawn_world(state.items, DOCTRINE, chunk=0, draws=30), THETA),
        (drawn_world(state.items, DOCTRINE, chunk=0, draws=30), ensemble_draws(DOCTRINE, 30)),
    ]
    for world, theta in cases:
        plain = np.stack([dose_at(world, theta, moment).total for moment in moments], axis=1)
        np.testing.assert_allclose(dose_curve(world, theta, moments), plain, rtol=1e-10, atol=1e-14)


def test_many_moments_at_once_are_each_moment_by_itself(monkeypatch):
    incidents, narratives, links = busy()
    whole = run(incidents, narratives, links, days=60).impact
    monkeypatch.setattr("greyzone.impact.vector.BLOCK_CELLS", 1)
    alone = run(incidents, narratives, links, days=60).impact
    assert whole.num_rows > 9
    assert whole["peak_item"].null_count == 0
    for name in ("peak_item", "peak_words"):
        assert whole[name].equals(alone[name])
    for name in ("dose", "peak", "excess", "breadth", "hybridity"):
        np.testing.assert_allclose(whole[name].to_numpy(), alone[name].to_numpy(), rtol=1e-12, atol=1e-15)


def test_golden_score_of_three_incidents():
    """Level 5 in an ordinary sector, just begun: dose 1, score 63.2. Three of them 10 days apart are three waves; all fade by 180 d."""
    rows = [incident(f"inc-{k}", 10.0 * k, 5.0) for k in range(3)]
    result = run(rows, as_of=date(2024, 1, 25))
    ages = [25.0 - 10 * k for k in range(3)]
    expected = sum(2 ** (-age / 180) for age in ages)
    row = last(result)
    assert row["dose"] == pytest.approx(expected)
    assert row["peak_item"] == "inc-2"
    assert row["peak"] == pytest.approx(100 * (1 - math.exp(-(2 ** (-5 / 180)))))
    assert row["peak_words"] == "emergency"
    # nothing is uncertain: the interval is the score
    assert row["score_p05"] == pytest.approx(row["score_p95"]) == pytest.approx(100 * (1 - math.exp(-expected)))
    assert row["excess"] == pytest.approx(row["score_p50"] - row["peak"])
    assert row["doctrine_p05"] < row["score_p50"] < row["doctrine_p95"]


def test_one_wave_counts_less_than_three_and_synergy_shows_as_hybridity():
    close = last(run([incident(f"inc-{k}", 3.0 + 0.1 * k) for k in range(3)]))
    apart = last(run([incident(f"inc-{k}", 3.0 + 0.1 * k, technique_class=f"c{k}") for k in range(3)]))
    assert apart["dose"] == pytest.approx(close["dose"] * math.sqrt(3), rel=1e-2)
    told = [narrative("nar-1", 4.0)]
    plain = last(run([incident("inc-1"), incident("inc-2")], told))
    linked = last(run([incident("inc-1"), incident("inc-2")], told, [link("inc-1", "nar-1")]))
    reporting = last(run([incident("inc-1"), incident("inc-2")], told, [link("inc-1", "nar-1", type="reports")]))
    assert plain["hybridity"] == reporting["hybridity"] == 0
    assert linked["hybridity"] > 0
    assert linked["dose"] > plain["dose"] == reporting["dose"]


def test_nothing_counts_before_its_onset_nor_with_its_day_left_out():
    rows = [incident(f"inc-{k}", 5.5) for k in range(3)]
    assert last(run(rows, as_of=date(2024, 1, 5)))["status"] == "insufficient evidence"
    assert last(run(rows, as_of=date(2024, 1, 6)))["dose"] > 0


def test_insufficient_evidence_has_no_numbers_and_no_shares():
    result = run([incident("inc-1"), incident("inc-2")])
    row = last(result)
    assert row["status"] == "insufficient evidence"
    assert {
        row[name] for name in ("score_p05", "score_p50", "score_p95", "doctrine_p05", "doctrine_p95", "dose", "peak", "excess", "tempo")
    } == {None}
    assert result.shares.num_rows == 0
    assert "2 incidents" in row["coverage"]
    assert row["doctrine_hash"] == DOCTRINE.hash


def test_a_wide_interval_is_stamped():
    unsure = [incident(f"inc-{k}", level=4.0, level_lo=0.0, level_hi=5.0, credibility=0.5, technique_class=f"c{k}") for k in range(3)]
    row = last(run(unsure, draws=500))
    assert row["score_p95"] - row["score_p05"] > DOCTRINE["impact.wide"]
    assert row["status"] == "not robust"


def test_three_hundred_nuisances_peak_low():
    row = last(run([incident(f"inc-{k}", 8 * (k % 40) / 40, 1.0, technique_class=f"c{k % 7}") for k in range(300)], draws=20))
    assert row["peak_words"] == "low"
    assert row["excess"] > 5 * row["peak"]


def test_shares_sum_to_the_central_score_and_lie_around_their_draws():
    result = run(*busy(), as_of=date(2024, 4, 1), draws=300)
    shares = check(result.shares, SHARES, "shares").to_pylist()
    assert sum(row["share"] for row in shares) == pytest.approx(100 * (1 - math.exp(-last(result)["dose"])), abs=1e-8)
    assert {row["kind"] for row in shares} == {"incident", "narrative"}
    assert all(row["share_p05"] <= row["share_p95"] for row in shares)
    assert [row["share"] for row in shares] == sorted((row["share"] for row in shares), reverse=True)


def test_hybridity_is_not_known_where_no_narrative_has_begun():
    rows = [incident(f"inc-{k}") for k in range(3)]
    assert last(run(rows))["hybridity"] is None
    assert last(run(rows, [narrative("nar-1", 2.0)]))["hybridity"] == 0


def test_incomplete_rows_are_counted_and_contradictory_ones_refused():
    unknown = [DOCTRINE[f"unknown_level.{name}"] for name in ("lo", "mode", "hi")]
    filled = dict(zip(("level_lo", "level_mode", "level_hi"), unknown, strict=True))
    rows = [incident("inc-1", level_lo=None), incident("inc-2", **filled), incident("inc-3", sectors=["energy"])]
    note = last(run(rows))["coverage"]
    assert "2 without a level" in note
    assert "2 without a sector" in note
    later = START + 9 * DAY
    for more, said in (
        ({"onset_lo": later}, "incident inc-9 with onset from 2024-01-10 to 2024-01-01"),
        ({"end_lo": later, "end_hi": START}, "incident inc-9 with end from"),
        ({"level_lo": 4.0}, "incident inc-9 with levels 4, 3, 3"),
        ({"reach": "galactic"}, "incident inc-9 with reach 'galactic'"),
    ):
        with pytest.raises(InputError) as caught:
            run([incident("inc-9", **more)])
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_end_known_from_below_alone_is_no_reversed_interval():
    open_end = incident("inc-1", end_lo=START + 50 * DAY, onset_hi=START + 5 * DAY)
    [state] = read_exposure(table([open_end], INCIDENTS), empty(NARRATIVES), empty(LINKS), doctrine=DOCTRINE).states
    assert state.items.end[0, 0] == state.items.end[1, 0] == (START + 50 * DAY).timestamp()


def test_breadth_is_the_effective_number_of_sectors():
    rows = [incident(f"inc-{k}", technique_class=f"c{k}", sectors=[f"s{k}"]) for k in range(4)]
    assert last(run(rows))["breadth"] == pytest.approx(4)
    assert last(run([row | {"sectors": ["one"]} for row in rows]))["breadth"] == pytest.approx(1)


def test_tempo_counts_recent_dose_against_the_year_and_all_shifts():
    """All of the dose in the last 30 of 365 days: tempo 365/30; 15 Jan to 9 Feb lies in shifts that hold the three days."""
    rows = [incident(f"inc-{k}", 20.5 + k, technique_class=f"c{k}") for k in range(3)]
    row = last(run(rows, as_of=date(2024, 1, 30)))
    assert row["tempo"] == pytest.approx(365 / 30)
    # of 365 windows of 30 days, 28 hold all three neighbouring days
    assert row["tempo_p"] == pytest.approx(28 / 365)


def test_dates_are_weekly_and_event_days_and_what_came_later_does_not_show():
    result = run([incident(f"inc-{k}", 3.0 * k) for k in range(5)], as_of=date(2024, 1, 15), days=14)
    days = [row["date"] for row in result.impact.to_pylist()]
    assert days == sorted({date(2024, 1, 1) + k * 3 * DAY for k in range(5)} | {date(2024, 1, 1), date(2024, 1, 8), date(2024, 1, 15)})
    early = next(row for row in result.impact.to_pylist() if row["date"] == date(2024, 1, 8))
    alone = last(run([incident(f"inc-{k}", 3.0 * k) for k in range(3)], as_of=date(2024, 1, 8)))
    assert early["dose"] == pytest.approx(alone["dose"])
    assert early["score_p50"] == pytest.approx(alone["score_p50"])


def test_rows_without_state_or_date_are_counted_in_the_coverage_note():
    rows = [incident(f"inc-{k}") for k in range(3)] + [incident("inc-x", target_state=None), incident("inc-y", onset_lo=None)]
    rows += [incident("inc-z", onset_hi=None)]
    note = last(run(rows, [narrative("nar-x", targets=[])]))["coverage"]
    assert "1 incident without a state" in note
    assert "2 incidents without a date" in note
    assert "1 narrative without a state or date" in note


def test_the_interval_of_a_link_holds_its_probability():
    given_ = [(0.2, 0.9), (None, None), (-0.1, 1.2), (0.7, 0.3)]
    rows = [link(f"inc-{k}", "nar-1", 0.5, p_lo=low, p_hi=high) for k, (low, high) in enumerate(given_)]
    tables = table([incident(f"inc-{k}") for k in range(4)], INCIDENTS), table([narrative("nar-1")], NARRATIVES), table(rows, LINKS)
    [state] = read_exposure(*tables, doctrine=DOCTRINE).states
    assert state.items.link_p.T.tolist() == [[0.2, 0.5, 0.9], [0.5, 0.5, 0.5], [0.0, 0.5, 1.0], [0.5, 0.5, 0.5]]


def test_narratives_count_for_their_first_state_and_others_with_incidents():
    result = run([incident("inc-1")], [narrative(f"nar-{k}", targets=["LV", "EE", "LT"]) for k in range(3)])
    assert sorted(set(result.impact["target_state"].to_pylist())) == ["EE", "LV"]
    assert last(result)["coverage"].startswith("1 incident and 3 narratives")


def test_more_draws_are_the_same_draws_and_seeds_differ():
    rows = busy()
    same = run(*rows, draws=20, seed=1).impact
    assert same.equals(run(*rows, draws=20, seed=1).impact)
    assert not same.equals(run(*rows, draws=20, seed=2).impact)


def test_empty_tables_and_bad_arguments():
    result = run([])
    assert check(result.impact, IMPACT, "impact").num_rows == 0
    with pytest.raises(InputError, match="1 draws"):
        run([], draws=1)
    with pytest.raises(InputError):
        run([], days=-1)
    with pytest.raises(SchemaError):
        score(empty(LINKS), empty(NARRATIVES), empty(LINKS), doctrine=DOCTRINE, as_of=date(2024, 1, 1))


@pytest.mark.parametrize(
    ("rows", "links"),
    [
        ([incident("inc-1", level_hi=9.0)], []),
        ([incident("inc-1", credibility=1.5)], []),
        ([incident("inc-1")], [link("inc-1", "nar-1", p=2.0)]),
        ([incident("inc-1")], [link("inc-1", "nar-1", type="odd")]),
        ([incident("inc-1")], [link("inc-1", "nar-1", type_probabilities=[0.5, 0.5])]),
        ([incident("inc-1")], [link("inc-1", "nar-1", type_probabilities=[0.2, 0.2, 0.2, 0.2, 1.2])]),
    ],
)
def test_values_outside_their_range_are_refused(rows, links):
    with pytest.raises(InputError):
        run(rows, [narrative("nar-1")], links)


@pytest.mark.parametrize("breakout", [[0.5, 0.5], [0] * 6, [-0.5, 1.5, 0, 0, 0, 0], [np.nan, 0, 0, 0, 0, 1]])
def test_what_is_no_distribution_of_breakout_is_refused(breakout):
    with pytest.raises(InputError, match="narrative nar-1 with breakout"):
        run([], [narrative("nar-1", breakout=breakout)])


def test_a_date_means_its_end():
    assert moment_of(date(1970, 1, 1)) == 86_400


@pytest.mark.parametrize("q", [1.0, 2.0, 8.0, 1000.0])
def test_the_fast_curve_follows_long_and_short_events_on_many_days(q):
    """Oracle: `dose_at` on each of 60 days; waves of members that end at other times, narratives that go on, links of both."""
    rng = np.random.default_rng(7)
    incidents = [
        incident(
            f"inc-{k:02d}",
            float(rng.uniform(-20, 50)),
            float(rng.uniform(1, 4)),
            end_lo=START + float(rng.uniform(50, 90)) * DAY if k % 2 else None,
            onset_hi=START + 55 * DAY if k % 5 == 0 else START + 50 * DAY,
            technique_class=f"c{k % 3}",
        )
        for k in range(30)
    ]
    narratives = [narrative(f"nar-{k}", 8.0 * k, last_seen=START + (8 * k + 10) * DAY) for k in range(4)]
    links = [link(f"inc-{k:02d}", f"nar-{k % 4}", 0.5) for k in range(30)]
    doctrine = DOCTRINE.replace(dose__q=q)
    tables = [table(rows, schema) for rows, schema in ((incidents, INCIDENTS), (narratives, NARRATIVES), (links, LINKS))]
    [state] = read_exposure(*tables, doctrine=doctrine).states
    moments = START.timestamp() + 86_400 * np.arange(-30.0, 100.0, 2.0)
    world = drawn_world(state.items, doctrine, chunk=0, draws=12)
    plain = np.stack([dose_at(world, theta_of(doctrine), moment).total for moment in moments], axis=1)
    np.testing.assert_allclose(dose_curve(world, theta_of(doctrine), moments), plain, rtol=1e-10, atol=1e-14)


def test_torch_gives_the_same_doses():
    pytest.importorskip("torch")
    tables = [table(part, schema) for part, schema in zip(busy(), (INCIDENTS, NARRATIVES, LINKS), strict=True)]
    [state] = read_exposure(*tables, doctrine=DOCTRINE).states
    moments = START.timestamp() + 86_400 * np.array([0.0, 3.5, 20, 61, 100, 400])
    world = drawn_world(state.items, DOCTRINE, chunk=0, draws=20)
    for theta in (THETA, ensemble_draws(DOCTRINE, 20), theta_of(DOCTRINE.replace(dose__q=1000))):
        found = dose_curve_on(world, theta, moments, device="cpu")
        np.testing.assert_allclose(found, dose_curve(world, theta, moments), rtol=1e-9, atol=1e-12)
    rows = score(*tables, doctrine=DOCTRINE, as_of=date(2024, 4, 1), days=30, draws=20, device="cpu").impact.to_pylist()
    for row, same in zip(rows, run(*busy(), as_of=date(2024, 4, 1), days=30, draws=20).impact.to_pylist(), strict=True):
        assert row["score_p95"] == pytest.approx(same["score_p95"], abs=1e-6)
    with pytest.raises(InputError, match="device"):
        dose_curve_on(world, THETA, moments, device="cuda:99")
