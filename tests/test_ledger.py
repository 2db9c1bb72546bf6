"""The ledger: leaving one item out by changing one norm equals scoring again without it, under every doctrine."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.doctrine import bundled, load_doctrine
from greyzone.impact import score, take_apart
from greyzone.impact.dose import Coupling, dose, score_of
from greyzone.impact.draws import central_world, dose_at, drawn_world, theta_of
from greyzone.impact.exposure import read_exposure
from greyzone.impact.ledger import doctrines_of, losses, score_without
from greyzone.impact.vector import moment_of
from greyzone.records import IMPACT, INCIDENTS, LINKS, NARRATIVES, table

DOCTRINE = load_doctrine()
START = datetime(2024, 1, 1, tzinfo=UTC)
LAST = date(2024, 2, 10)
DRAWS = 300
"""More than one chunk of draws."""


def invented(incidents=9, narratives=4, seed=5):
    """Tables of one state: waves of several incidents, uncertain everything, one state with too little, one undated row."""
    rng = np.random.default_rng(seed)

    def event(day, width):
        low = START + timedelta(days=float(day))
        return {"onset_lo": low, "onset_hi": low + timedelta(days=float(width))}

    cyber = [
        event(rng.integers(0, 12), rng.integers(0, 3))
        | {
            "incident_id": f"inc-{number}",
            "onset_precision": "day",
            "target_state": "EE",
            "technique_class": ["ddos", "wiper"][number % 2],
            "level_lo": 1.0,
            "level_mode": float(rng.uniform(1.5, 3)),
            "level_hi": 4.0,
            "reach": "sector",
            "credibility": float(rng.choice([0.5, 0.9, 1.0])),
            "critical": bool(number % 3),
            "sources": ["one"],
        }
        for number in range(incidents)
    ]
    cyber.append({"incident_id": "inc-later", "target_state": "EE", "credibility": 1.0, **event(70, 0)})
    cyber.append({"incident_id": "inc-other", "target_state": "LV", "credibility": 1.0, **event(1, 0)})
    told = [
        event(rng.integers(0, 12), 1) | {"narrative_id": f"nar-{number}", "targets": ["EE"], "breakout": rng.dirichlet(np.ones(6)).tolist()}
        for number in range(narratives)
    ]
    pairs = [
        {
            "link_id": f"{i}-{n}",
            "incident_id": f"inc-{i}",
            "narrative_id": f"nar-{n}",
            "type": "exploits",
            "p": 0.6,
            "p_lo": 0.2,
            "p_hi": 0.9,
        }
        for i in range(incidents)
        for n in range(narratives)
        if (i + n) % 3 == 0
    ]
    return table(cyber, INCIDENTS), table(told, NARRATIVES), table(pairs, LINKS)


@pytest.fixture(scope="module")
def scored():
    tables = invented()
    result = score(*tables, doctrine=DOCTRINE, as_of=LAST, days=0, draws=DRAWS)
    return tables, result, take_apart(*tables, result.impact, doctrine=DOCTRINE, draws=DRAWS)


def rows_of(found, **equal):
    return [row for row in found.to_pylist() if all(row[key] == value for key, value in equal.items())]


def left_out(found, key, ids):
    return found.filter([identity not in ids for identity in found[key].to_pylist()])


def rebuilt(account, doctrine, removed=()):
    """The score without `removed`, from the rows of the ledger alone and in plain loops: what the page computes."""
    head = rows_of(account.ledger, target_state="EE", doctrine=doctrine)[0]
    items = {row["item_id"]: row for row in rows_of(account.doses, target_state="EE", doctrine=doctrine)}
    doses = {key: 0.0 if key in removed else row["dose"] for key, row in items.items()}
    q, waves, linked = head["q"], {}, {}

    def norm(values):
        top = max(values, default=0.0)
        return top * sum((value / top) ** q for value in values) ** (1 / q) if top > 0 else 0.0

    for key, row in items.items():
        if row["kind"] == "incident":
            waves.setdefault(row["wave"], []).append(doses[key])
    for row in rows_of(account.couplings, target_state="EE", doctrine=doctrine):
        linked.setdefault(row["narrative_id"], []).append(row["weight"] * (doses[row["incident_id"]] * doses[row["narrative_id"]]) ** 0.5)
    total = sum(map(norm, waves.values())) + head["gamma"] * sum(map(norm, linked.values()))
    total += sum(doses[key] for key, row in items.items() if row["kind"] == "narrative")
    return 100 * (1 - np.exp(-total / head["d0"]))


def test_golden_losses_by_hand():
    """Wave {3, 4}: 5, without 3 it is 4; b = 4; one term 1 sqrt(3*4): without either it goes; gamma .5."""
    coupling = Coupling(np.array([0]), np.array([0]), np.array([[1.0]]))
    total, cyber, told = losses(np.array([[3.0, 4.0]]), np.array([[7, 7]]), np.array([[4.0]]), coupling, q=2, gamma=0.5)
    assert total[0] == pytest.approx(5 + 4 + 0.5 * np.sqrt(12))
    assert cyber[0] == pytest.approx([1 + 0.5 * np.sqrt(12), 2])
    assert told[0] == pytest.approx([4 + 0.5 * np.sqrt(12)])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1.0, 2.0, 3.5, 1000.0]), st.sampled_from([0.0, 0.5]), st.booleans())
def test_losses_equal_the_dose_made_again(seed, q, gamma, ties):
    """Oracle: the plain dose with the item at zero; values from 1e-9 to 1, zeros, equal largest ones, a narrative without links."""
    rng = np.random.default_rng(seed)
    a, b = 10 ** rng.uniform(-9, 0, (3, 7)), 10 ** rng.uniform(-9, 0, (3, 4))
    a[:, rng.integers(7)] = 0
    if ties:
        a[:, :3] = a[:, :1]
    waves = rng.integers(0, 3, (3, 7))
    pairs = np.array([(i, n) for i in range(7) for n in range(3) if rng.random() < 0.5], np.intp).reshape(-1, 2)
    coupling = Coupling(pairs[:, 0], pairs[:, 1], rng.uniform(0, 1, (3, len(pairs))))
    total, cyber, told = losses(a, waves, b, coupling, q=q, gamma=gamma)
    whole = dose(a, waves, b, coupling, q=q, gamma=gamma).total
    assert total == pytest.approx(whole, rel=1e-12)
    for side, found in ((a, cyber), (b, told)):
        for column in range(side.shape[1]):
            kept = side[:, column].copy()
            side[:, column] = 0
            again = dose(a, waves, b, coupling, q=q, gamma=gamma).total
            side[:, column] = kept
            assert whole - found[:, column] == pytest.approx(again, rel=1e-9, abs=1e-13)
    assert min(cyber.min(), told.min()) >= 0


def test_the_central_score_and_its_interval_are_those_of_the_impact_table(scored):
    _, result, account = scored
    row = rows_of(result.impact, target_state="EE")[-1]
    own = rows_of(account.ledger, target_state="EE", own=True)
    assert [found["doctrine"] for found in own] == ["default"]
    assert own[0]["doctrine_hash"] == row["doctrine_hash"] == DOCTRINE.hash
    assert own[0]["score"] == pytest.approx(float(score_of(np.array(row["dose"]), DOCTRINE["dose.d0"])), abs=1e-9)
    assert own[0]["score"] == pytest.approx(sum(share["share"] for share in rows_of(result.shares, target_state="EE")), abs=1e-8)
    for point in ("p05", "p50", "p95"):
        assert own[0][f"score_{point}"] == pytest.approx(row[f"score_{point}"], abs=1e-9)
    listed = {found["item_id"] for found in rows_of(account.doses, target_state="EE", doctrine="default")}
    assert listed == {share["item_id"] for share in rows_of(result.shares, target_state="EE")}
    assert "inc-later" not in listed


@pytest.mark.parametrize("doctrine", ["default", "additive", "worst-event"])
def test_without_is_a_full_score_without_the_item(scored, doctrine):
    """Oracle: every item is left out of the inputs and all draws are made and scored again."""
    tables, _, account = scored
    number = load_doctrine(doctrine)
    items = read_exposure(*tables, doctrine=number).states[0].items
    moment, d0 = moment_of(LAST), number["dose.d0"]
    for row in rows_of(account.doses, target_state="EE", doctrine=doctrine):
        left = replace(items, credibility=items.credibility.copy(), breakout=items.breakout.copy())
        scores = []
        whole = []
        for chunk, draws in ((0, 250), (1, 50)):
            world = drawn_world(items, number, chunk=chunk, draws=draws)
            whole.append(score_of(dose_at(world, theta_of(number), moment).total, d0))
            if row["kind"] == "incident":
                world.mass[:, left.incident_ids.index(row["item_id"])] = 0
            else:
                world.narrative_onset[:, left.narrative_ids.index(row["item_id"])] = np.inf
            scores.append(score_of(dose_at(world, theta_of(number), moment).total, d0))
        without, drop = np.concatenate(scores), np.concatenate(whole) - np.concatenate(scores)
        for point, name in ((5, "p05"), (50, "p50"), (95, "p95")):
            assert row[f"without_{name}"] == pytest.approx(np.percentile(without, point), abs=2e-5)
            assert row[f"drop_{name}"] == pytest.approx(np.percentile(drop, point), abs=2e-5)


def test_a_row_taken_out_of_the_tables_gives_the_same_as_its_removal(scored):
    tables, _, account = scored
    incidents = left_out(tables[0], "incident_id", {"inc-2"})
    again = score(incidents, tables[1], tables[2], doctrine=DOCTRINE, as_of=LAST, days=0, draws=DRAWS)
    row = rows_of(again.impact, target_state="EE")[-1]
    removed = rows_of(account.doses, target_state="EE", doctrine="default", item_id="inc-2")[0]
    for point in ("p05", "p50", "p95"):
        assert removed[f"without_{point}"] == pytest.approx(row[f"score_{point}"], abs=2e-5)
    assert rebuilt(account, "default", {"inc-2"}) == pytest.approx(float(score_of(np.array(row["dose"]), DOCTRINE["dose.d0"])), abs=1e-9)


@pytest.mark.parametrize("doctrine", ["default", "additive", "worst-event"])
def test_the_rows_alone_give_every_score_without_a_set(scored, doctrine):
    tables, _, account = scored
    number = load_doctrine(doctrine)
    head = rows_of(account.ledger, target_state="EE", doctrine=doctrine)[0]
    assert rebuilt(account, doctrine) == pytest.approx(head["score"], abs=1e-9)
    names = [row["item_id"] for row in rows_of(account.doses, target_state="EE", doctrine=doctrine)]
    rng = np.random.default_rng(1)
    for size in (1, 2, 5, len(names)):
        chosen = set(rng.choice(names, size, replace=False).tolist())
        kept = [left_out(tables[0], "incident_id", chosen), left_out(tables[1], "narrative_id", chosen)]
        again = [state for state in read_exposure(*kept, tables[2], doctrine=number).states if state.state == "EE"]
        doses = [dose_at(central_world(state.items, number), theta_of(number), moment_of(LAST)).total for state in again]
        assert rebuilt(account, doctrine, chosen) == pytest.approx(float(score_of(np.sum(doses), head["d0"])), abs=1e-9)
    assert rebuilt(account, doctrine, set(names)) == 0


def test_removal_never_raises_a_score(scored):
    _, _, account = scored
    heads = {row["doctrine"]: row for row in rows_of(account.ledger, target_state="EE")}
    for row in rows_of(account.doses, target_state="EE"):
        for point in ("p05", "p50", "p95"):
            assert 0 <= row[f"without_{point}"] <= heads[row["doctrine"]][f"score_{point}"] + 1e-5
        assert row["drop_p05"] >= 0


def test_too_little_evidence_gets_no_number(scored):
    _, _, account = scored
    rows = rows_of(account.ledger, target_state="LV")
    assert {row["status"] for row in rows} == {"insufficient evidence"}
    assert {row[name] for row in rows for name in ("score", "score_p05", "score_p50", "score_p95")} == {None}
    assert not rows_of(account.doses, target_state="LV")


def test_own_doctrine_is_added_and_worlds_are_drawn_anew_for_it(scored):
    tables, _, account = scored
    own = replace(DOCTRINE.replace(levels__base=2.0, dose__gamma=1.0))
    assert sorted(doctrines_of(DOCTRINE)) == bundled()
    assert sorted(doctrines_of(own)) == sorted([*bundled(), f"default {own.hash}"])
    result = score(*tables, doctrine=own, as_of=LAST, days=0, draws=DRAWS)
    found = take_apart(*tables, result.impact, doctrine=own, draws=DRAWS)
    row = rows_of(found.ledger, own=True, target_state="EE")[0]
    assert row["score_p95"] == pytest.approx(rows_of(result.impact, target_state="EE")[-1]["score_p95"], abs=1e-9)
    assert rebuilt(found, row["doctrine"]) == pytest.approx(row["score"], abs=1e-9)
    assert rows_of(found.doses, doctrine="additive") == rows_of(account.doses, doctrine="additive")


def test_order_of_rows_is_irrelevant_and_bytes_repeat(scored):
    tables, result, account = scored
    turned = [found.take(list(range(found.num_rows))[::-1]) for found in tables]
    again = take_apart(*turned, result.impact, doctrine=DOCTRINE, draws=DRAWS)
    assert (again.ledger, again.doses, again.couplings) == (account.ledger, account.doses, account.couplings)


def test_nothing_scored_is_nothing_taken_apart():
    found = take_apart(*invented(0, 0), table([], IMPACT), doctrine=DOCTRINE, draws=DRAWS)
    assert (found.ledger.num_rows, found.doses.num_rows, found.couplings.num_rows) == (0, 0, 0)


def test_the_score_without_everything_is_nothing():
    a, b = np.array([1.0, 2.0]), np.array([0.5])
    coupling = Coupling(np.array([0]), np.array([0]), np.array([0.5]))
    theta = theta_of(DOCTRINE)
    assert score_without(a, np.array([0, 0]), b, coupling, np.ones(3), theta=theta, d0=1.0) == 0
    whole = float(score_of(dose(a, np.array([0, 0]), b, coupling, q=theta.q, gamma=theta.gamma).total, 1.0)[0])
    assert score_without(a, np.array([0, 0]), b, coupling, np.zeros(3), theta=theta, d0=1.0) == whole
