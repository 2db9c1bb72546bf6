"""The last score by originator, without each source, number by number, and against its own past."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from greyzone import impact
from greyzone.doctrine import load_doctrine
from greyzone.impact.draws import Theta, dose_at, drawn_world, theta_of
from greyzone.impact.exposure import read_exposure
from greyzone.impact.sensitivity import FACTORS, grid_scores, sobol_indices
from greyzone.impact.vector import moment_of, score_of
from greyzone.impact.views import originators
from greyzone.records import INCIDENTS, LINKS, NARRATIVES, SENSITIVITY, VIEWS, check, table

DOCTRINE = load_doctrine()
START = datetime(2024, 1, 1, tzinfo=UTC)
LAST = date(2024, 3, 1)


def actor(state, probability, said_by="a", name="unnamed"):
    return {"name": name, "state": state, "probability": probability, "said_by": said_by}


def incident(number, level=3.0, **more):
    moment = START + timedelta(days=6 * number)
    row = {"incident_id": f"inc-{number}", "onset_lo": moment, "onset_hi": moment, "onset_precision": "day", "target_state": "EE"}
    row |= {"technique_class": "ddos", "level_lo": level - 0.5, "level_mode": level, "level_hi": level + 0.5, "reach": "national"}
    return row | {"credibility": 0.9, "critical": number % 2 == 0, "sources": ["one"], "actors": []} | more


def case():
    incidents = [incident(k, actors=[actor("XX", 0.7)], sources=["one", "two"] if k % 2 else ["one"]) for k in range(4)]
    incidents += [incident(k, actors=[actor("YY", 0.4)], sources=["two"]) for k in range(4, 8)]
    narratives = [
        {"narrative_id": f"nar-{k}", "onset_lo": START, "onset_hi": START, "last_seen": START + timedelta(days=40), "targets": ["EE"]}
        | {"breakout": [0, 0, 1.0, 0, 0, 0]}
        for k in range(2)
    ]
    links = [
        {"link_id": f"lnk-{k}", "incident_id": f"inc-{k}", "narrative_id": "nar-0", "type": "exploits", "p": 0.8, "p_lo": 0.5, "p_hi": 0.9}
        for k in range(3)
    ]
    return table(incidents, INCIDENTS), table(narratives, NARRATIVES), table(links, LINKS)


@pytest.fixture(scope="module")
def scored():
    tables = case()
    result = impact.score(*tables, doctrine=DOCTRINE, as_of=LAST, days=0, draws=300)
    return tables, result.impact


def test_originators_of_one_incident_by_hand():
    assert originators(None) == {"unknown": 1.0}
    assert originators([actor("XX", 0.7)]) == pytest.approx({"XX": 0.7, "unknown": 0.3})
    # several names of one state by one source are one suspicion; sources count alike
    found = originators([actor("XX", 0.6, name="A"), actor("XX", 0.5, name="B"), actor("YY", 1.0, "b")])
    assert found == pytest.approx({"XX": 0.3, "YY": 0.5, "unknown": 0.2})
    # more than 1 is scaled, a name without a state is itself, "unknown" is what is left
    assert originators([actor(None, 1.0, name="Group"), actor("XX", 1.0)]) == pytest.approx({"Group": 0.5, "XX": 0.5, "unknown": 0.0})
    assert originators([actor(None, 0.8, name="Undetermined")]) == {"unknown": 1.0}
    assert originators([actor("unknown", 0.6), actor("XX", 0.4)]) == pytest.approx({"XX": 0.4, "unknown": 0.6})


def test_probabilities_of_the_originators_sum_to_one_and_no_view_exceeds_the_score(scored):
    tables, vectors = scored
    found = check(impact.views(*tables, vectors, doctrine=DOCTRINE, draws=300), VIEWS, "views").to_pylist()
    by = {row["key"]: row for row in found if row["view"] == "same-originator"}
    assert set(by) == {"XX", "YY", "unknown"}
    assert sum(row["p"] for row in by.values()) == pytest.approx(1)
    assert by["XX"]["p"] == pytest.approx(0.35)
    assert by["YY"]["p"] == pytest.approx(0.2)
    without = {row["key"]: row for row in found if row["view"] == "without source"}
    assert set(without) == {"one", "two", "documents"}
    assert {row["p"] for row in without.values()} == {None}
    whole = vectors.to_pylist()[-1]
    for row in found:
        assert row["doctrine_hash"] == DOCTRINE.hash
        for point in ("score_p05", "score_p50", "score_p95"):
            assert row[point] <= whole[point] + 1e-9
    # half of the incidents are told by one source alone, the others by the other too
    assert without["one"]["items"] == 2 + 6
    assert without["two"]["items"] == 2 + 4


def test_a_view_of_too_few_items_is_insufficient_evidence(scored):
    tables, _ = scored
    few = tables[0].slice(0, 5)
    vectors = impact.score(few, *tables[1:], doctrine=DOCTRINE, as_of=LAST, days=0, draws=20).impact
    found = {row["key"]: row for row in impact.views(few, *tables[1:], vectors, doctrine=DOCTRINE, draws=20).to_pylist()}
    assert found["YY"]["status"] == "insufficient evidence"
    assert found["YY"]["score_p50"] is None
    assert found["XX"]["status"] != "insufficient evidence"


def test_a_source_among_several_takes_part_of_the_credibility():
    """Two sources with P(real) .99 together: without one, 1 - .01^(1/2) = .9."""
    rows = [incident(k, credibility=0.99, sources=["one", "two"]) for k in range(200)]
    tables = (table(rows, INCIDENTS), *case()[1:])
    only = table([], NARRATIVES), table([], LINKS)
    vectors = impact.score(tables[0], *only, doctrine=DOCTRINE, as_of=LAST, days=0, draws=20).impact
    found = {row["key"]: row for row in impact.views(tables[0], *only, vectors, doctrine=DOCTRINE, draws=200).to_pylist()}
    lowered = table([row | {"credibility": 0.9, "sources": ["two"]} for row in rows], INCIDENTS)
    same = impact.score(lowered, *only, doctrine=DOCTRINE, as_of=LAST, days=0, draws=200).impact.to_pylist()[-1]
    assert found["one"]["score_p50"] == pytest.approx(same["score_p50"], abs=1e-9)


def test_views_and_sensitivity_do_not_depend_on_the_order_of_rows(scored):
    tables, vectors = scored
    turned = [rows.take(list(range(rows.num_rows))[::-1]) for rows in tables]
    for make in (lambda *t: impact.views(*t, doctrine=DOCTRINE, draws=20), lambda *t: impact.sensitivity(*t, doctrine=DOCTRINE)):
        assert make(*tables, vectors).equals(make(*turned, vectors))


def test_the_grid_is_the_plain_formula(scored):
    """Oracle: three corners of the grid with the dose of exactly these numbers."""
    tables, _ = scored
    items = read_exposure(*tables, doctrine=DOCTRINE).states[0].items
    grid = grid_scores(items, DOCTRINE, LAST)
    assert grid.shape == (3, 3, 3, 3, 3, 64)
    world = drawn_world(items, DOCTRINE, chunk=0, draws=64)
    middle = theta_of(DOCTRINE)
    for at, (base, factor, q, gamma, v) in {
        (0, 0, 0, 0, 0): (2, 0.5, 1, 0, 0.25),
        (2, 2, 2, 2, 2): (5, 2, 8, 1, 1),
        (1, 0, 2, 1, 2): (3, 0.5, 8, 0.5, 1),
    }.items():
        theta = Theta(base, middle.half_life_cyber * factor, middle.half_life_information * factor, q, gamma, v)
        plain = score_of(dose_at(world, theta, moment_of(LAST)).total, DOCTRINE["dose.d0"])
        np.testing.assert_allclose(grid[at], plain, rtol=1e-10)


def test_indices_of_a_known_function():
    """x + y z over signs: Var 2; x alone half of it, y and z only together."""
    signs = np.array([-1.0, 1.0])
    first, total = sobol_indices(signs[:, None, None] + signs[None, :, None] * signs[None, None, :])
    assert first == pytest.approx([0.5, 0, 0])
    assert total == pytest.approx([0.5, 0.5, 0.5])
    assert sobol_indices(np.ones((2, 2))) == ([None, None], [None, None])


def test_sensitivity_holds_every_number_and_the_data(scored):
    tables, vectors = scored
    rows = {row["parameter"]: row for row in check(impact.sensitivity(*tables, vectors, doctrine=DOCTRINE), SENSITIVITY, "s").to_pylist()}
    assert set(FACTORS) < set(rows)
    assert rows["dose.gamma"]["score_low"] < rows["dose.gamma"]["score_high"]
    assert rows["levels.base"]["score_low"] > rows["levels.base"]["score_high"]
    assert rows["dose.d0"]["score_low"] > rows["dose.d0"]["score_high"]
    assert rows["reach.national"]["score_low"] < rows["reach.national"]["score_high"]
    assert rows["sector_weights.critical"]["score_low"] < rows["sector_weights.critical"]["score_high"]
    assert rows["dose.d0"]["s1"] is None
    named = [rows[name] for name in FACTORS]
    assert all(0 <= row["s1"] <= row["st"] + 1e-12 <= 1 + 1e-12 for row in named)
    assert sum(row["s1"] for row in named) <= 1 + 1e-12
    swings = [row["swing"] for row in impact.sensitivity(*tables, vectors, doctrine=DOCTRINE).to_pylist()]
    assert swings == sorted(swings, reverse=True)


def test_z_against_its_own_past_rises_with_a_burst_and_warns():
    quiet = [incident(k, level=2.0, technique_class=f"c{k}") | {"incident_id": f"q-{k:03d}"} for k in range(-180, 0, 2)]
    burst = [incident(9, level=4.5, technique_class=f"b{k}") | {"incident_id": f"b-{k}"} for k in range(6)]
    only = table([], NARRATIVES), table([], LINKS)
    found = []
    for rows in (quiet, quiet + burst):
        rows = table(rows, INCIDENTS)
        vectors = impact.score(rows, *only, doctrine=DOCTRINE, as_of=LAST, days=0, draws=20).impact
        found.append(impact.against_own_past(rows, *only, vectors, doctrine=DOCTRINE)["EE"])
    assert found[1].interval[0] > found[0].interval[2]
    assert "90 % interval" in str(found[1])
    assert "no ranking of states" in str(found[1])
    few = table([incident(k) for k in range(3)], INCIDENTS)
    vectors = impact.score(few, *only, doctrine=DOCTRINE, as_of=LAST, days=0, draws=20).impact
    assert "too few" in str(impact.against_own_past(few, *only, vectors, doctrine=DOCTRINE)["EE"])
