"""The calibrated model of links: golden likelihood, monotone by construction, better calibrated than the rule, and used by the stage."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import date
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.errors import InputError
from greyzone.eval.metrics import ece
from greyzone.models.links import Beta, Fit, LinkModel, Steps, dump_link_model, load_link_model, sigmoid
from greyzone.records import CAMPAIGNS, DECISIONS, LINKS, LLRS, table
from greyzone.training.link_data import LabelledLinks, read_labelled
from greyzone.training.links import Rule, fit_beta, fit_steps, fit_weights, main, penalised_loss, save, train

RULE = Rule(prior=math.log(0.02 / 0.98), rho=0.7)
TRUE_WEIGHTS = np.array([1.1, 0.3, 0.5, 0.1, 0.9])


def simulate(pairs: int, groups: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Pairs whose evidence is worth other weights than the rule gives it, at another base rate."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0.5, 1.5, (pairs, len(LLRS)))
    x[rng.random(x.shape) < 0.2] = np.nan
    z = -1.5 + np.nan_to_num(x) @ TRUE_WEIGHTS
    return x, rng.random(pairs) < sigmoid(z), [f"g{number:03d}" for number in rng.integers(0, groups, pairs)]


def labelled(x, y, groups) -> LabelledLinks:
    rows = [(group, tuple(row), bool(label)) for group, row, label in zip(groups, x.tolist(), y.tolist(), strict=True)]
    return LabelledLinks.of(rows, {}, ("simulated",))


@pytest.fixture(scope="module")
def sample():
    return simulate(400, 40, 1)


@pytest.fixture(scope="module")
def model(sample):
    return train(labelled(*sample), rule=RULE, replicates=10)


def test_golden_loss_and_gradient_of_two_pairs_with_two_kinds_of_evidence():
    # z = (0 + 1*1 + 1*0, 0 + 1*0 + 1*2) = (1, 2), y = (1, 0): ln(1+e^1) - 1 + ln(1+e^2) = .313262 + 2.126928
    # prior at b0 = 0, rho = 0.5, s = 1: (1-.5)^2/2 twice = .25
    loss, slope = penalised_loss(
        np.array([0.0, 1.0, 1.0]), np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([True, False]), 1.0, Rule(0.0, 0.5)
    )
    assert loss == pytest.approx(0.313262 + 2.126928 + 0.25, abs=1e-6)
    # p - y = (.731059 - 1, .880797); the slope of the prior is .5 for each weight
    assert slope == pytest.approx([-0.268941 + 0.880797, -0.268941 + 0.5, 2 * 0.880797 + 0.5], abs=1e-6)


def test_golden_weight_of_one_kind_is_the_log_odds_ratio():
    # 10 of 40 linked without evidence, 30 of 40 with one nat: b = ln(10/30), w = 2 ln 3; a wide prior hardly moves it
    x = np.array([[0.0]] * 40 + [[1.0]] * 40)
    y = np.array([True] * 10 + [False] * 30 + [True] * 30 + [False] * 10)
    b, (w,) = fit_weights(x, y, 100.0, Rule(0.0, 0.7))
    assert (b, w) == pytest.approx((-math.log(3), 2 * math.log(3)), abs=0.01)
    # evidence that speaks the wrong way gets no weight, not a negative one
    assert fit_weights(x, ~y, 100.0, Rule(0.0, 0.7))[1] == (0.0,)


def test_golden_steps_pool_neighbours_that_fall():
    # labels by rising z: 0 1 0 1 -> shares 0, 1/2, 1/2, 1, kept off the ends by 1/6
    found = fit_steps(np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, True, False, True]))
    assert sigmoid(found.log_odds(np.array([0.0, 1.0, 2.5, 9.0]))) == pytest.approx([1 / 6, 1 / 6, 1 / 2, 5 / 6])


def test_golden_beta_map():
    # a = b = 1 and c = 0 change nothing; a = 2, b = 0, c = 1 at s = 1/2: 1 + 2 ln(1/2)
    z = np.array([-3.0, 0.0, 2.0])
    assert Beta(1.0, 1.0, 0.0).log_odds(z) == pytest.approx(z)
    assert Beta(2.0, 0.0, 1.0).log_odds(np.zeros(1)) == pytest.approx([1 + 2 * math.log(0.5)])
    rng = np.random.default_rng(0)
    raw = rng.normal(0, 2, 4000)
    kept = fit_beta(raw, rng.random(4000) < sigmoid(0.5 * raw - 1))
    assert kept.log_odds(np.array([-2.0, 0.0, 2.0])) == pytest.approx([-2.0, -1.0, 0.0], abs=0.25)


numbers = st.floats(-8, 8)
weights = st.tuples(*[st.floats(0, 3)] * len(LLRS))
maps = st.one_of(
    st.builds(Beta, st.floats(0, 3), st.floats(0, 3), numbers),
    st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6, unique_by=lambda item: item[0]).map(
        lambda points: Steps(tuple(sorted(x for x, _ in points)), tuple(sorted(y for _, y in points)))
    ),
)
fits = st.builds(Fit, weights, numbers, maps)


@settings(deadline=None)
@given(fits, st.lists(fits, max_size=3), st.lists(numbers, min_size=len(LLRS), max_size=len(LLRS)), st.integers(0, 4), st.floats(0, 5))
def test_stronger_evidence_of_any_kind_never_lowers_the_probability(central, replicates, llrs, kind, more):
    model = LinkModel(central, tuple(replicates), {})
    before = np.array([llrs])
    after = before.copy()
    after[0, kind] += more
    for low, high in zip(model.predict(before), model.predict(after), strict=True):
        assert high[0] >= low[0] - 1e-12
    p, low, high = model.predict(before)
    assert low[0] <= p[0] <= high[0]
    assert load_text(dump_link_model(model)) == model


def load_text(text):
    content = json.loads(text)
    from greyzone.models.links import _fit

    return LinkModel(_fit(content["central"]), tuple(_fit(item) for item in content["replicates"]), content["record"])


def test_a_trained_model_is_monotone(model):
    assert min(min(fit.weights) for fit in (model.central, *model.replicates)) >= 0
    grid = np.zeros((50, len(LLRS)))
    for kind in range(len(LLRS)):
        grid[:] = 0.0
        grid[:, kind] = np.linspace(-4, 4, 50)
        for found in model.predict(grid):
            assert np.all(np.diff(found) >= -1e-12)


def test_order_of_the_rows_changes_no_byte(sample, model):
    x, y, groups = sample
    order = np.random.default_rng(9).permutation(len(y))
    again = train(labelled(x[order], y[order], [groups[at] for at in order]), rule=RULE, replicates=10)
    assert dump_link_model(again) == dump_link_model(model)


def test_calibration_error_falls_below_that_of_the_rule_on_new_pairs(model):
    x, y, _ = simulate(4000, 100, 2)
    trained, rule = ece(y, model.predict(x)[0]), ece(y, sigmoid(RULE.log_odds(x)))
    assert trained < 0.06
    assert trained < rule / 2
    told = model.record["figures"]
    assert told["model"]["ece"] < told["unlabelled rule"]["ece"]


@pytest.mark.parametrize(
    ("positives", "negatives", "groups", "said"),
    [(49, 300, 40, "49 positive"), (300, 49, 40, "49 negative"), (60, 60, 4, "in 4 campaigns")],
)
def test_too_little_is_refused_in_one_line(positives, negatives, groups, said):
    y = np.array([True] * positives + [False] * negatives)
    data = labelled(np.zeros((len(y), len(LLRS))), y, [f"g{at % groups}" for at in range(len(y))])
    with pytest.raises(InputError, match=said) as caught:
        train(data, rule=RULE)
    assert "\n" not in str(caught.value)


def test_the_folder_holds_model_card_and_plot(model, tmp_path):
    save(model, tmp_path / "m", note="A test.")
    assert load_link_model(tmp_path / "m") == load_link_model(tmp_path / "m" / "model.json")
    assert load_link_model(tmp_path / "m").fingerprint == model.fingerprint
    card = (tmp_path / "m" / "README.md").read_text()
    assert f"{model.record['positives']} of them linked" in card
    assert "| temporal |" in card
    points = ElementTree.fromstring((tmp_path / "m" / "reliability.svg").read_text()).findall(".//{http://www.w3.org/2000/svg}circle")
    assert len(points) == len(model.record["reliability"])
    assert sum(row["count"] for row in model.record["reliability"]) == model.record["pairs"]


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"kinds": ["temporal"]},
        {"central": {}},
        {"central": {"weights": [-1, 0, 0, 0, 0], "intercept": 0, "calibration": {"kind": "beta", "a": 1, "b": 1, "c": 0}}},
        {"central": {"weights": [1, 0, 0, 0, 0], "intercept": float("nan"), "calibration": {"kind": "beta", "a": 1, "b": 1, "c": 0}}},
        {"central": {"weights": [1, 0, 0, 0, 0], "intercept": 0, "calibration": {"kind": "steps", "x": [0, 1], "y": [1, 0]}}},
    ],
)
def test_a_damaged_model_is_refused(model, tmp_path, change):
    file = tmp_path / "model.json"
    file.write_text(json.dumps(json.loads(dump_link_model(model)) | change))
    with pytest.raises(InputError, match="link model"):
        load_link_model(file)
    file.write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        load_link_model(file)


def decision(link, who, word, revision=0):
    return {
        "decision_id": f"{link}{who}{revision}",
        "link_id": link,
        "who": who,
        "decision": word,
        "day": date(2024, 6, 1),
        "revision": revision,
    }


def test_decisions_of_a_case_become_labels_and_the_rest_is_counted(tmp_path):
    links = [{"link_id": f"lnk-{k}", "incident_id": f"inc-{k}", "narrative_id": f"nar-{k % 2}", "llr_entity": float(k)} for k in range(5)]
    decisions = [
        decision("lnk-0", "A", "no"),
        decision("lnk-0", "A", "yes", 1),
        decision("lnk-1", "A", "no"),
        decision("lnk-1", "B", "unsure"),
        decision("lnk-2", "A", "yes"),
        decision("lnk-2", "B", "no"),
        decision("lnk-3", "A", "unsure"),
        decision("lnk-9", "A", "yes"),
    ]
    pq.write_table(table(links, LINKS), tmp_path / "links.parquet")
    pq.write_table(table(decisions, DECISIONS), tmp_path / "decisions.parquet")
    pq.write_table(table([{"campaign_id": "cmp-1", "narratives": ["nar-1"]}], CAMPAIGNS), tmp_path / "campaigns.parquet")
    found = read_labelled([tmp_path])
    assert found.labels.tolist() == [False, True]
    assert found.features[:, LLRS.index("entity")].tolist() == [1.0, 0.0]
    assert found.groups.tolist() == [0, 1]
    assert found.left_out == {"disputed": 1, "unsure": 1, "no longer listed": 1}
    with pytest.raises(InputError, match="has no table decisions"):
        read_labelled([tmp_path / "other"])


def test_the_command_trains_from_a_table(sample, tmp_path, capsys):
    x, y, groups = sample
    rows = [
        {
            "label": "yes" if label else "no",
            "group": group,
            **{f"llr_{name}": None if math.isnan(v) else v for name, v in zip(LLRS, row, strict=True)},
        }
        for row, label, group in zip(x.tolist(), y.tolist(), groups, strict=True)
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"label": "unsure", "group": "g"}]))
    assert main(["--table", str(file), "--out", str(tmp_path / "m"), "--replicates", "2", "--calibration", "beta"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["pairs"], told["left_out"]) == (400, {"unsure": 1})
    assert len(load_link_model(tmp_path / "m").replicates) == 2
    for text, said in (
        ("label,group,llr_entity\nyes,g,much\n", "row 1: llr_entity 'much'"),
        ("label,group\nperhaps,g\n", "label 'perhaps'"),
        ("a\n1\n", "no label"),
    ):
        bad = tmp_path / "bad.csv"
        bad.write_text(text)
        with pytest.raises(InputError, match=said):
            main(["--table", str(bad), "--out", str(tmp_path / "n")])
    with pytest.raises(InputError, match="nothing to train on"):
        main(["--out", str(tmp_path / "n")])


def test_the_case_links_by_a_model_when_given_one(scenario_case, model, tmp_path):
    from shutil import copytree

    from greyzone.case import Case
    from greyzone.pipeline import advance

    folder = tmp_path / "case"
    copytree(scenario_case.path, folder)
    plain = Case(folder).table("links")
    save(model, tmp_path / "m")
    case = advance(folder, {"link_model": str(tmp_path / "m")}, until="link")
    links = case.table("links")
    assert all(links["calibrated"].to_pylist())
    assert case.notes()["link"]["context"]["model"]["fingerprint"] == model.fingerprint
    features = np.array([[math.nan if row[f"llr_{name}"] is None else row[f"llr_{name}"] for name in LLRS] for row in links.to_pylist()])
    p, low, high = model.predict(features)
    assert links["p"].to_numpy() == pytest.approx(p, abs=1e-9)
    # the dates of a pair can only widen the interval
    assert np.all(links["p_lo"].to_numpy() <= low + 1e-9)
    assert np.all(links["p_hi"].to_numpy() >= high - 1e-9)
    other = dataclasses.replace(model, central=dataclasses.replace(model.central, intercept=model.central.intercept + 1))
    save(other, tmp_path / "m")
    assert advance(folder, {}, until="link").table("links")["p"].to_pylist() != links["p"].to_pylist()
    assert advance(folder, {"link_model": ""}, until="link").table("links").equals(plain)
