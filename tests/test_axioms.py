"""The axioms of the impact score (A1 to A13 and A15) as properties, and adversaries: 200 random cases each, or what the profile asks for.

``greyzone eval impact --part axioms`` tries 1,000 (``--hypothesis-profile thousand``).

A14 (no text matches the refusal list) is in test_guardrails.py and test_campaigns.py.

A1..A11 are shown on the closed form and, where tables matter (waves, states, ids, time), through the central world that the score is
made of, so that a case takes a millisecond. A12 and A15 go through `impact.score` or the draws behind it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greyzone.doctrine import load_doctrine
from greyzone.impact import score
from greyzone.impact.dose import Coupling, dose, score_of
from greyzone.impact.draws import central_world, dose_at, dose_curve, drawn_world, theta_of
from greyzone.impact.exposure import read_exposure
from greyzone.records import INCIDENTS, LINK_TYPES, LINKS, NARRATIVES, table

DOCTRINE = load_doctrine()
THETA = theta_of(DOCTRINE)
START = datetime(2024, 1, 1, tzinfo=UTC)
CASES = max(200, settings().max_examples)
cases = settings(max_examples=CASES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
unit = st.floats(0, 1, allow_subnormal=False)
amount = st.floats(0, 3, allow_subnormal=False)
exponent = st.sampled_from([1.0, 1.5, 2.0, 8.0, 1000.0])


@st.composite
def closed_forms(draw):
    """Arguments of `dose`: up to five incidents in up to three waves, up to four narratives, every pair linked or not."""
    n, m = draw(st.integers(0, 5)), draw(st.integers(0, 4))
    a = np.array(draw(st.lists(amount, min_size=n, max_size=n)))
    b = np.array(draw(st.lists(amount, min_size=m, max_size=m)))
    waves = np.array(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)), np.int64)
    pairs = [(i, j) for i in range(n) for j in range(m) if draw(st.booleans())]
    weight = np.array(draw(st.lists(unit, min_size=len(pairs), max_size=len(pairs))))
    coupling = Coupling(np.array([i for i, _ in pairs], np.intp), np.array([j for _, j in pairs], np.intp), weight)
    return a, waves, b, coupling, draw(exponent), draw(st.floats(0, 1))


def total(form):
    a, waves, b, coupling, q, gamma = form
    return float(dose(a, waves, b, coupling, q=q, gamma=gamma).total[0])


def incident_row(random, identifier):
    low, high = sorted((random.randrange(300), random.randrange(300)))
    level = sorted(random.choice((0.0, 5.0, random.uniform(0, 5))) for _ in range(3))
    onset = START + timedelta(hours=random.randrange(24))
    return {
        "incident_id": identifier,
        "name": random.choice(["Amber", "Basalt"]),
        "onset_lo": onset + timedelta(days=low),
        "onset_hi": onset + timedelta(days=random.choice((low, high))),
        "onset_precision": "day",
        "end_lo": random.choice((None, onset + timedelta(days=high + 5))),
        "target_state": random.choice(["EE", "LV"]),
        "sectors": random.choice([[], ["energy"], ["energy", "media"]]),
        "critical": random.choice((True, False)),
        "technique_class": random.choice(["ddos", "wiper"]),
        "actors": [{"name": "Group 1", "state": "XX", "probability": 0.5, "said_by": "a source"}],
        "level_lo": level[0],
        "level_mode": level[1],
        "level_hi": level[2],
        "reach": random.choice(["local", "national", None]),
        "credibility": random.choice((0.0, 1.0, random.random())),
        "sources": ["one"],
    }


def narrative_row(random, identifier):
    first, length = random.randrange(300), random.randrange(60)
    weights = np.array([random.random() ** 3 + 1e-3 for _ in range(6)])
    return {
        "narrative_id": identifier,
        "label": "a narrative",
        "onset_lo": START + timedelta(days=first),
        "onset_hi": START + timedelta(days=first + 1),
        "last_seen": START + timedelta(days=first + 1 + length),
        "targets": random.choice([["EE"], ["LV", "EE"], []]),
        "breakout": (weights / weights.sum()).tolist(),
    }


def link_row(incident, narrative, p, kind="exploits"):
    return {
        "link_id": f"lnk-{incident}-{narrative}",
        "incident_id": incident,
        "narrative_id": narrative,
        "type": kind,
        "type_probabilities": [float(kind == name) for name in LINK_TYPES],
        "p": p,
        "p_lo": p / 2,
        "p_hi": min(1.0, p * 1.5),
    }


def case_of(random, least=0):
    """Up to four incidents, three narratives, and links between them; drawn by hand because a thousand of them must take seconds."""
    incidents = [incident_row(random, f"inc-{k}") for k in range(random.randint(least, 4))]
    narratives = [narrative_row(random, f"nar-{k}") for k in range(random.randint(least, 3))]
    links = [
        link_row(i["incident_id"], n["narrative_id"], random.choice((0.0, 1.0, random.random())), random.choice(LINK_TYPES))
        for i in incidents
        for n in narratives
        if random.random() < 0.5
    ]
    return incidents, narratives, links


randoms = st.integers(0, 2**63).map(Random)


def exposure_of(case):
    incidents, narratives, links = case
    return read_exposure(table(incidents, INCIDENTS), table(narratives, NARRATIVES), table(links, LINKS), doctrine=DOCTRINE)


def doses(case, day=400):
    """Central dose of each state, `day` days after the start."""
    moment = START.timestamp() + day * 86_400
    return {state.state: float(dose_at(central_world(state.items, DOCTRINE), THETA, moment).total[0]) for state in exposure_of(case).states}


@cases
@given(closed_forms())
def test_a01_score_is_between_0_and_100_and_nothing_scores_nothing(form):
    found = float(score_of(np.array(total(form)), 1.0))
    assert 0 <= found <= 100
    nothing = Coupling(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))
    assert total((np.zeros(0), np.zeros(0, np.int64), np.zeros(0), nothing, form[4], form[5])) == 0


@cases
@given(randoms)
def test_a02_an_added_incident_narrative_or_link_never_lowers_a_score(random):
    """The bridging adversary: the incident added is of the class, and at a time between, the onsets of two others."""
    incidents, narratives, links = case = case_of(random)
    before = doses(case)
    extra = incident_row(random, "inc-new")
    if len(incidents) >= 2 and random.random() < 0.7:
        first, second = incidents[0], incidents[1]
        extra["technique_class"] = first["technique_class"]
        extra["target_state"] = first["target_state"]
        middle = first["onset_lo"] + (second["onset_lo"] - first["onset_lo"]) / 2
        extra["onset_lo"] = extra["onset_hi"] = middle
        extra["end_lo"] = None
    story = narrative_row(random, "nar-new")
    added = random.choice(["incident", "narrative", "link", "all"])
    incidents = incidents + [extra] * (added in ("incident", "all"))
    narratives = narratives + [story] * (added in ("narrative", "all"))
    known = {(link["incident_id"], link["narrative_id"]) for link in links}
    free = [
        (i["incident_id"], n["narrative_id"]) for i in incidents for n in narratives if (i["incident_id"], n["narrative_id"]) not in known
    ]
    if free and added in ("link", "all"):
        links = [*links, link_row(*random.choice(free), random.random())]
    after = doses((incidents, narratives, links))
    for state, value in before.items():
        assert after[state] >= value - 1e-9


@cases
@given(closed_forms(), st.data())
def test_a03_raising_any_input_never_lowers_the_score(form, data):
    a, waves, b, coupling, q, gamma = form
    up = st.floats(0, 2, allow_subnormal=False)
    a_up = a + np.array([data.draw(up) for _ in a])
    b_up = b + np.array([data.draw(up) for _ in b])
    weight = np.minimum(1.0, coupling.weight + np.array([data.draw(up) for _ in coupling.weight]))
    raised = (a_up, waves, b_up, Coupling(coupling.incident, coupling.narrative, weight), q, gamma)
    assert total(raised) >= total(form) - 1e-9


@cases
@given(randoms)
def test_a03_severity_credibility_and_link_probability_in_the_tables(random):
    incidents, narratives, links = case = case_of(random, least=1)
    before = doses(case)
    row = dict(incidents[0])
    what = random.choice(["level_hi", "level_mode", "credibility", "critical", "reach"])
    if what == "level_hi":
        row["level_hi"] = 5.0
    elif what == "level_mode":
        row["level_mode"] = row["level_hi"]
    elif what == "credibility":
        row["credibility"] = 1.0
    elif what == "critical":
        row["critical"] = True
    else:
        row["reach"] = "national"
    raised = [link | {"p": 1.0, "p_hi": 1.0} for link in links]
    after = doses(([row, *incidents[1:]], narratives, raised))
    for state, value in before.items():
        assert after[state] >= value - 1e-9


@cases
@given(randoms)
def test_a04_copies_order_and_names_do_not_matter(random):
    incidents, narratives, links = case = case_of(random, least=1)
    before = doses(case)
    new = {row["incident_id"]: f"x{random.randrange(10**9):09d}{row['incident_id']}" for row in incidents}
    incidents = [row | {"incident_id": new[row["incident_id"]], "name": "renamed"} for row in incidents]
    links = [link | {"incident_id": new[link["incident_id"]]} for link in links]
    incidents, narratives, links = incidents * 2, narratives * 2, links * 2
    for rows in (incidents, narratives, links):
        random.shuffle(rows)
    after = doses((incidents, narratives, links))
    assert after.keys() == before.keys()
    for state, value in before.items():
        assert abs(after[state] - value) <= 1e-9


@cases
@given(randoms)
def test_a05_data_of_other_states_do_not_matter(random):
    incidents, narratives, links = case = case_of(random, least=1)
    before = doses(case).get("EE")
    others = [incident_row(random, f"oth-{k}") | {"target_state": "LT"} for k in range(2)]
    story = narrative_row(random, "nar-oth") | {"targets": ["LT"]}
    changed = [row | {"level_lo": 5.0, "level_mode": 5.0, "level_hi": 5.0} if row["target_state"] == "LV" else row for row in incidents]
    assert doses((changed + others, [*narratives, story], [*links, link_row("oth-0", "nar-oth", 0.9)])).get("EE") == before


@cases
@given(randoms, st.integers(366, 900), st.integers(0, 900))
def test_a06_without_a_new_event_the_score_never_rises(random, day, later):
    """Everything has begun by day 366: 300 days of onsets and the 60 a narrative lasts at most."""
    case = case_of(random, least=1)
    sooner, after = doses(case, day), doses(case, day + later)
    for state, value in sooner.items():
        assert after[state] <= value + 1e-12


@cases
@given(closed_forms())
def test_a07_both_together_are_at_least_the_sum_of_each_alone(form):
    a, waves, b, coupling, q, gamma = form
    parts = dose(a, waves, b, coupling, q=q, gamma=gamma)
    nothing = Coupling(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))
    cyber = total((a, waves, np.zeros(0), nothing, q, gamma))
    information = total((np.zeros(0), np.zeros(0, np.int64), b, nothing, q, gamma))
    assert parts.synergy[0] >= 0
    assert parts.total[0] >= cyber + information - 1e-9


@cases
@given(closed_forms())
def test_a08_between_the_largest_item_and_the_sum_with_synergy(form):
    a, waves, b, coupling, q, gamma = form
    parts = dose(a, waves, b, coupling, q=q, gamma=gamma)
    largest = max([*a, *b], default=0.0)
    assert largest - 1e-9 <= parts.total[0] <= a.sum() + b.sum() + parts.synergy[0] + 1e-9


@cases
@given(closed_forms(), st.floats(0.05, 10))
def test_a09_shares_are_never_negative_and_sum_to_the_score(form, d0):
    a, waves, b, coupling, q, gamma = form
    parts = dose(a, waves, b, coupling, q=q, gamma=gamma)
    incidents, narratives = parts.shares(d0)
    assert (incidents >= 0).all()
    assert (narratives >= 0).all()
    assert abs(incidents.sum() + narratives.sum() - float(score_of(parts.total, d0)[0])) <= 1e-8


@cases
@given(closed_forms())
def test_a10_without_links_or_weight_of_narratives_only_cyber_is_left(form):
    a, waves, b, coupling, q, gamma = form
    unlinked = dose(a, waves, b, Coupling(coupling.incident, coupling.narrative, coupling.weight * 0), q=q, gamma=gamma)
    assert unlinked.synergy[0] == 0
    weightless = dose(a, waves, b * 0, coupling, q=q, gamma=gamma)
    assert weightless.total[0] == weightless.cyber[0] == unlinked.cyber[0]


@cases
@given(closed_forms(), st.floats(0.01, 100))
def test_a11_the_dose_is_homogeneous_of_degree_one(form, factor):
    a, waves, b, coupling, q, gamma = form
    scaled = total((a * factor, waves, b * factor, coupling, q, gamma))
    assert abs(scaled - factor * total(form)) <= 1e-9 * (1 + scaled)


@cases
@given(st.lists(st.floats(1.5, 3.5), min_size=1, max_size=3), st.floats(0.05, 0.6), st.floats(1.1, 2.4))
def test_a12_wider_levels_never_narrow_the_interval_of_the_dose(modes, half, factor):
    """Levels that are certain to be real, at a known time, with intervals widened around the same middles."""

    def width(spread):
        rows = [
            {
                "incident_id": f"inc-{k}",
                "onset_lo": START,
                "onset_hi": START,
                "target_state": "EE",
                "technique_class": "ddos",
                "level_lo": mode - spread,
                "level_mode": mode,
                "level_hi": mode + spread,
                "credibility": 1.0,
            }
            for k, mode in enumerate(modes)
        ]
        [state] = exposure_of((rows, [], [])).states
        world = drawn_world(state.items, DOCTRINE, chunk=0, draws=250)
        low, high = np.percentile(dose_curve(world, THETA, np.array([START.timestamp() + 86_400])), [5, 95])
        return high - low

    assert width(half * factor) >= width(half) - 1e-9


@cases
@given(st.lists(st.floats(0.3, 0.7), min_size=1, max_size=3), st.floats(0.02, 0.12), st.floats(1.1, 2.4))
def test_a12_wider_links_never_narrow_the_interval_of_the_dose(middles, half, factor):
    """Certain incidents of one wave and one certain narrative, the links' intervals widened around the same middles."""
    incidents = [
        {"incident_id": f"inc-{k}", "onset_lo": START, "onset_hi": START, "target_state": "EE", "technique_class": "ddos"}
        | dict.fromkeys(("level_lo", "level_mode", "level_hi"), 3.0)
        | {"credibility": 1.0}
        for k in range(len(middles))
    ]
    story = {"narrative_id": "nar-0", "onset_lo": START, "onset_hi": START, "targets": ["EE"], "breakout": [0, 0, 0, 1.0, 0, 0]}

    def width(spread):
        links = [
            link_row(f"inc-{k}", "nar-0", middle) | {"p_lo": middle - spread, "p_hi": middle + spread} for k, middle in enumerate(middles)
        ]
        [state] = exposure_of((incidents, [story], links)).states
        world = drawn_world(state.items, DOCTRINE, chunk=0, draws=60)
        low, high = np.percentile(dose_curve(world, THETA, np.array([START.timestamp() + 86_400])), [5, 95])
        return high - low

    assert width(half * factor) >= width(half) - 1e-9


@cases
@given(randoms, st.permutations(["Group 1", "Group 2", "unknown"]))
def test_a13_actor_labels_do_not_matter(random, names):
    incidents, narratives, links = case = case_of(random, least=1)
    before = doses(case)
    relabelled = [
        row | {"actors": [{"name": name, "state": "YY", "probability": 1.0, "said_by": "b"} for name in names]} for row in incidents
    ]
    assert doses((relabelled, narratives, links)) == before


@cases
@given(randoms, st.integers(0, 2**32))
def test_a15_the_same_inputs_seed_and_doctrine_give_the_same_bytes(random, seed):
    case = case_of(random)
    first = score(*tables(case), doctrine=DOCTRINE, as_of=date(2024, 12, 31), days=0, draws=8, seed=seed)
    for rows in case:
        random.shuffle(rows)
    second = score(*tables(case), doctrine=DOCTRINE, as_of=date(2024, 12, 31), days=0, draws=8, seed=seed)
    assert second.impact.equals(first.impact)
    assert second.shares.equals(first.shares)


@pytest.mark.slow
@cases
@given(randoms)
def test_adversary_duplicate_floods_change_nothing(random):
    """Any number of copies of rows of the same id, linked or not, in any order."""
    case = case_of(random, least=1)
    before = doses(case)
    flooded = [rows + [random.choice(rows) for _ in range(random.randrange(15))] if rows else rows for rows in case]
    for rows in flooded:
        random.shuffle(rows)
    after = doses(flooded)
    assert after.keys() == before.keys()
    assert all(abs(after[state] - value) <= 1e-9 for state, value in before.items())


@pytest.mark.slow
@cases
@given(randoms)
def test_adversary_alias_floods_raise_credibility_and_nothing_else(random):
    """What canonicalising makes of one event under many names: one row with more names, reports and sources, and P(real) up to .99."""
    incidents, narratives, links = case = case_of(random, least=1)
    before = doses(case)
    row = incidents[0]
    names = {
        "name": "; ".join(f"Alias {k}" for k in range(30)),
        "sources": [f"s{k}" for k in range(30)],
        "reports": [f"r{k}" for k in range(30)],
    }
    told = doses(([row | names, *incidents[1:]], narratives, links))
    assert all(abs(told[state] - value) <= 1e-12 for state, value in before.items())
    believed = doses(([row | names | {"credibility": max(row["credibility"], 0.99)}, *incidents[1:]], narratives, links))
    certain = doses(([row | {"credibility": 1.0}, *incidents[1:]], narratives, links))
    for state, value in before.items():
        assert value - 1e-9 <= believed[state] <= certain[state] + 1e-9


@pytest.mark.slow
@cases
@given(randoms, st.integers(2, 12))
def test_adversary_an_incident_split_into_many_gains_at_most_the_root_of_their_number(random, parts):
    """Copies under new ids, of the same class, state and moment: what canonicalising did not see through. q = 2, so sqrt(k) and not k."""
    row = incident_row(random, "inc-0") | {"target_state": "EE"}
    one = doses(([row], [], []))["EE"]
    many = doses(([row | {"incident_id": f"inc-{k}"} for k in range(parts)], [], []))["EE"]
    assert one - 1e-9 <= many <= parts**0.5 * one + 1e-9


@pytest.mark.slow
@cases
@given(randoms)
def test_adversary_a_split_incident_never_lowers_the_score_of_a_case(random):
    incidents, narratives, links = case = case_of(random, least=1)
    before = doses(case)
    row = random.choice(incidents)
    extra = [row | {"incident_id": f"x{random.randrange(10**9):09d}-{k}"} for k in range(random.randint(1, 6))]
    copied = [link | {"incident_id": new["incident_id"]} for link in links for new in extra if link["incident_id"] == row["incident_id"]]
    after = doses((incidents + extra, narratives, links + copied))
    assert all(after[state] >= value - 1e-9 for state, value in before.items())


@pytest.mark.slow
@cases
@given(randoms)
def test_adversary_bridges_of_every_weight_never_lower_the_score(random):
    """Chains of weak incidents between two others of one class: single linkage would join their waves, floor(onset / 72 h) does not."""
    rows = [incident_row(random, f"inc-{k}") | {"target_state": "EE", "technique_class": "ddos", "end_lo": None} for k in range(2)]
    before = doses((rows, [], []))["EE"]
    first, last = sorted(row["onset_lo"] for row in rows)
    steps = random.randint(1, 8)
    bridge = []
    for k in range(steps):
        moment = first + (last - first) * (k + 1) / (steps + 1)
        level = random.choice((0.0, 0.1, 5.0, random.uniform(0, 5)))
        weak = incident_row(random, f"brg-{k}") | {"target_state": "EE", "technique_class": "ddos", "end_lo": None}
        weak |= {"onset_lo": moment, "onset_hi": moment, "level_lo": level, "level_mode": level, "level_hi": level}
        bridge.append(weak)
        now = doses((rows + bridge, [], []))["EE"]
        assert now >= before - 1e-9
        before = now


def tables(case):
    incidents, narratives, links = case
    return table(incidents, INCIDENTS), table(narratives, NARRATIVES), table(links, LINKS)
