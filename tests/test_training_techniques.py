"""Training of heads: splits, thresholds and calibration by hand, readers, whole runs on invented texts, kills, both heads."""

from __future__ import annotations

import gzip
import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from greyzone.errors import GreyzoneError, InputError
from greyzone.models.heads import load_head, sigmoid
from greyzone.training import technique_static
from greyzone.training.stratify import merged_groups, stratified_parts
from greyzone.training.technique_sets import read_labelled
from greyzone.training.techniques import TechniquesSettings, main, make_task, techniques
from greyzone.training.thresholds import best_threshold, fit_calibration

SIGNS = {"doubt": ("questionable", "allegedly"), "fear": ("doom", "threat"), "flag": ("glory", "nation")}
FILLER = ["the", "a", "of", "market", "weather", "road", "river", "people", "talk", "city", "day", "book", "and", "in", "on", "with"]


def invented(n, seed=0, *, rare=0):
    """Rows whose labels show in one word of each; every three share a group."""
    draw = random.Random(seed)
    rows = []
    for i in range(n):
        labels = [label for label in SIGNS if draw.random() < 0.3]
        words = [draw.choice(FILLER) for _ in range(10)] + [draw.choice(SIGNS[label]) for label in labels if draw.random() < 0.9]
        draw.shuffle(words)
        found = [*labels, "rare"] if i < rare else labels
        rows.append({"text": " ".join(words), "labels": found, "group": f"g{i // 3}", "lang": "en" if i % 2 else "de"})
    return rows


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def chosen(data, out, **given_):
    return TechniquesSettings(data=(data,), out=out, base=given_.pop("base", "hashed"), device="cpu", **given_)


# Splits


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(bool, st.tuples(st.integers(12, 40), st.integers(1, 4))), st.integers(0, 5))
def test_no_group_is_on_both_sides(truth, seed):
    groups = np.arange(len(truth)) // 3
    part = stratified_parts(truth, groups, (0.5, 0.25, 0.25), seed=seed)
    assert set(part.tolist()) <= {0, 1, 2}
    for group in np.unique(groups):
        assert len(set(part[groups == group].tolist())) == 1
    np.testing.assert_array_equal(part, stratified_parts(truth, groups, (0.5, 0.25, 0.25), seed=seed))


def test_golden_stratification():
    """Eight texts, four with the label: halves get two each, and two of the others each."""
    truth = np.array([[1], [1], [1], [1], [0], [0], [0], [0]], dtype=bool)
    part = stratified_parts(truth, np.arange(8), (0.5, 0.5))
    assert truth[part == 0].sum() == truth[part == 1].sum() == 2
    assert (part == 0).sum() == 4


def test_rare_labels_are_spread():
    rng = np.random.default_rng(1)
    truth = rng.random((900, 3)) < np.array([0.4, 0.02, 0.01])
    part = stratified_parts(truth, np.arange(900) // 2, (0.2,) * 5)
    counts = np.stack([truth[part == k].sum(axis=0) for k in range(5)])
    ideal = truth.sum(axis=0) / 5
    assert (np.abs(counts - ideal) <= np.maximum(1.5, 0.06 * ideal)).all()


def test_copies_and_near_copies_are_one_group():
    long = "one two three four five six seven eight nine ten eleven twelve"
    texts = ["Same text!", "same TEXT", f"{long} and more", f"{long} but other", "alone"]
    groups = merged_groups(["a", "b", "c", "d", "a"], texts)
    assert groups[0] == groups[1] == groups[4]
    assert groups[2] == groups[3] != groups[0]


@pytest.mark.parametrize("shares", [(0.5, 0.4), (1.5, -0.5), (0.2,) * 5])
def test_split_errors(shares):
    with pytest.raises(InputError):
        stratified_parts(np.ones((4, 1), dtype=bool), np.arange(4), shares)


# Thresholds and calibration


def test_golden_threshold():
    """Told above .35: tp 2, fp 1, fn 0, F1 .8; above .55: tp 1, fp 1, fn 1, F1 .5; above .85: tp 1, fn 1, F1 2/3."""
    p, truth = np.array([0.9, 0.6, 0.5, 0.2]), np.array([True, False, True, False])
    assert best_threshold(p, truth) == pytest.approx(0.35)
    assert best_threshold(p, np.zeros(4, dtype=bool)) == 0.5


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=30))
def test_oracle_threshold(pairs):
    p, truth = np.array([value / 20 for value, _ in pairs]), np.array([mark for _, mark in pairs])

    def f1(threshold):
        told = p >= threshold
        return 2 * (told & truth).sum() / max(1, told.sum() + truth.sum())

    best = max(f1(value) for value in [*p, 1.1])
    assert f1(best_threshold(p, truth)) == pytest.approx(best) or not truth.any()


def test_calibration_recovers_a_known_line():
    """Outcomes drawn from sigmoid(.5 z - 1): the fit finds the pair, and the error of the probabilities is small."""
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 4, (6000, 2))
    p = sigmoid(0.5 * scores - 1)
    found = fit_calibration(scores, rng.random(p.shape) < p)
    np.testing.assert_allclose(found.slopes, 0.5, atol=0.04)
    np.testing.assert_allclose(found.offsets, -1, atol=0.12)
    assert np.abs(found.probabilities(scores) - p).mean() < 0.02


def test_a_rare_label_stays_near_the_pooled_line_and_threshold():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 3, (4000, 2))
    truth = rng.random(scores.shape) < sigmoid(scores)
    truth[:, 1] = False
    truth[np.argsort(scores[:, 1])[:2], 1] = True
    found = fit_calibration(scores, truth)
    assert found.slopes[1] > 0
    own = best_threshold(found.probabilities(scores)[:, 1], truth[:, 1])
    distance = [abs(np.log(t / (1 - t)) - np.log(found.common / (1 - found.common))) for t in (found.own[1], own)]
    assert distance[0] < 0.2 * distance[1]


@settings(deadline=None, max_examples=30)
@given(hnp.arrays(np.float64, (9, 3), elements=st.floats(-50, 50)), hnp.arrays(bool, (9, 3)), st.permutations(range(3)))
def test_calibrated_probabilities_and_label_order(scores, truth, order):
    one = fit_calibration(scores, truth)
    p = one.probabilities(scores)
    assert ((p >= 0) & (p <= 1)).all()
    assert ((one.own > 0) & (one.own < 1)).all()
    other = fit_calibration(scores[:, order], truth[:, order])
    np.testing.assert_allclose(other.probabilities(scores[:, order]), p[:, order], atol=1e-6)


@pytest.mark.parametrize("scores", [np.zeros((0, 2)), np.zeros((3, 1)), np.full((3, 2), np.nan)])
def test_calibration_errors(scores):
    with pytest.raises(InputError):
        fit_calibration(scores, np.zeros((len(scores), 2), dtype=bool))


# Readers


def test_reads_public_shapes_and_counts_what_is_left_out(tmp_path):
    paragraphs = [
        {"id": "en-1-1", "article": "1", "lang": "en", "split": "train", "text": "a\u2028b", "techniques": ["Doubt", "Doubt"]},
        {"id": "en-1-2", "article": "1", "lang": "en", "split": "dev", "text": "c", "techniques": []},
        {"id": "en-2-1", "article": "2", "lang": "en", "split": "test_unlabelled", "text": "d", "techniques": None},
        {"id": "en-2-2", "article": "2", "lang": "en", "split": "train", "text": " ", "techniques": []},
    ]
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in paragraphs).encode()))
    found = read_labelled([path])
    assert found.labels == (("Doubt",), ())
    assert found.groups == ("en:1", "en:1")
    assert found.splits == ("train", "dev")
    assert found.sources[0].left_out == {"unlabelled": 1, "without text": 1}
    assert (found.sources[0].rows, found.sources[0].used) == (4, 2)


def test_reads_csv_and_named_columns(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text('body,tags\n"one, two",fear;doubt\nthree,\n', "utf-8")
    found = read_labelled([path], {"text": "body", "labels": "tags"})
    assert found.texts == ("one, two", "three")
    assert found.labels == (("doubt", "fear"), ())
    assert len(set(found.groups)) == 2


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("a.jsonl", "{", {}),
        ("a.jsonl", "[1]\n", {}),
        ("a.jsonl", '{"text": "a"}\n', {}),
        ("a.jsonl", '{"text": "a", "labels": 3}\n', {}),
        ("a.jsonl", '{"text": "a", "labels": null}\n', {}),
        ("a.jsonl", "", {}),
        ("a.jsonl", '{"text": "a", "labels": []}\n', {"labels": "tags"}),
        ("a.jsonl", '{"text": "a", "labels": []}\n', {"colour": "tags"}),
        ("a.txt", "text", {}),
        ("a.jsonl.gz", "not gzip", {}),
    ],
)
def test_reader_errors_are_one_line(tmp_path, name, content, columns):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError) as error:
        read_labelled([path], columns)
    assert "\n" not in str(error.value)


# Whole runs


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "posts.jsonl", invented(300, rare=4))


@pytest.fixture(scope="module")
def static(data, tmp_path_factory):
    return techniques(chosen(data, tmp_path_factory.mktemp("run") / "head", licence=("CC0 1.0",), note="Invented."))


def test_static_head_learns_and_says_what_it_refused(static, data):
    assert static.labels == ("doubt", "fear", "flag")
    assert list(static.refused) == ["rare"]
    assert static.refused["rare"] <= 4
    assert static.measured.macro.micro_f1 > 0.85
    task = make_task(chosen(data, static.folder))
    held = [row for i, row in enumerate(invented(300, rare=4)) if i in set(task.test.tolist())]
    by_label = {row.label: row.f1 for row in static.measured.macro.labels}
    assert by_label["rare"] == 0.0
    assert static.measured.macro.macro_f1 == pytest.approx(np.mean(list(by_label.values())))
    assert {lang: found[0] for lang, found in static.measured.languages.items()} == {
        lang: sum(row["lang"] == lang for row in held) for lang in ("de", "en")
    }
    said = load_head(static.folder).predict(["the road of doom and threat", "glory of the nation", "the river"])
    assert said.sets() == [("fear",), ("flag",), ()]


def test_card_and_record(static, data):
    card = (static.folder / "README.md").read_text("utf-8")
    record = json.loads((static.folder / "training.json").read_text("utf-8"))
    assert record["data"][0]["sha256"] in card
    assert f"rare ({static.refused['rare']})" in card
    assert "CC0 1.0" in card
    assert "Invented." in card
    assert record["labels"]["fear"] == sum("fear" in row["labels"] for row in invented(300, rare=4)) - sum(
        row["support"] for row in record["measured"]["macro"]["labels"] if row["label"] == "fear"
    )
    for row in invented(300):
        assert row["text"] not in card + json.dumps(record)


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != "README.md"}


def test_same_seed_same_bytes(static, data, tmp_path):
    again = techniques(chosen(data, tmp_path / "head", licence=("CC0 1.0",), note="Invented."))
    assert bytes_of(again.folder) == bytes_of(static.folder)
    assert not (tmp_path / "head.run").exists()


def test_order_of_a_texts_labels_is_irrelevant(static, tmp_path):
    rows = [row | {"labels": row["labels"][::-1]} for row in invented(300, rare=4)]
    again = techniques(chosen(write(tmp_path / "posts.jsonl", rows), tmp_path / "head"))
    assert (again.folder / "head.safetensors").read_bytes() == (static.folder / "head.safetensors").read_bytes()


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(static, data, tmp_path, monkeypatch):
    fitted, fit = [], technique_static._fit

    def dying(*given_):
        if len(fitted) == 5:
            raise KeyboardInterrupt
        fitted.append(1)
        return fit(*given_)

    monkeypatch.setattr(technique_static, "_fit", dying)
    with pytest.raises(KeyboardInterrupt):
        techniques(chosen(data, tmp_path / "head"))
    assert not (tmp_path / "head").exists()
    kept = sorted((tmp_path / "head.run" / "labels").glob("*.npz"))
    assert len(kept) == 5
    kept[0].write_bytes(kept[0].read_bytes()[:50])
    refitted = []
    monkeypatch.setattr(technique_static, "_fit", lambda *given_: refitted.append(1) or fit(*given_))
    again = techniques(chosen(data, tmp_path / "head"))
    assert len(refitted) == 3 * 4 - 5 + 1
    assert (again.folder / "head.safetensors").read_bytes() == (static.folder / "head.safetensors").read_bytes()
    assert (again.folder / "head.json").read_bytes() == (static.folder / "head.json").read_bytes()


def test_a_run_begun_with_other_settings_is_an_error(data, tmp_path, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(technique_static, "_fit", die)
    with pytest.raises(KeyboardInterrupt):
        techniques(chosen(data, tmp_path / "head"))
    with pytest.raises(InputError, match=r"settings\.strength"):
        techniques(chosen(data, tmp_path / "head", strength=3.0))


def test_given_splits_are_kept_and_copies_counted(tmp_path):
    rows = [row | {"split": "dev" if i >= 240 else "train"} for i, row in enumerate(invented(300))]
    rows += [rows[0] | {"split": "dev", "group": "copy"}, rows[1] | {"split": "odd"}]
    task = make_task(chosen(write(tmp_path / "posts.jsonl", rows), tmp_path / "head"))
    assert (len(task.train), len(task.test)) == (240, 61)
    assert task.rows["of other splits"] == 1
    assert task.rows["test texts that are copies of training texts"] == 1


def test_test_files_and_cross_validation(tmp_path):
    train = write(tmp_path / "train.jsonl", invented(200))
    test = write(tmp_path / "test.jsonl", invented(60, seed=9))
    found = techniques(chosen(train, tmp_path / "a", test=(test,), base="none"))
    assert found.measured.macro.texts == 60
    crossed = techniques(chosen(train, tmp_path / "b", cross_validate=2, base="none"))
    assert crossed.measured.macro.texts == 200
    assert crossed.measured.macro.micro_f1 > 0.8
    assert techniques(chosen(train, tmp_path / "c", test_share=0.0, base="none")).measured is None


@pytest.mark.parametrize(
    "given_",
    [
        {"head": "forest"},
        {"objective": "best"},
        {"loss": "hinge"},
        {"folds": 1},
        {"fewest": 1},
        {"balance": 2.0},
        {"strength": 0.0},
        {"share": -1.0},
        {"test_share": 1.0},
        {"cross_validate": 1},
        {"fewest": 250},
        {"train_splits": ("other",), "columns": ("split=lang",)},
        {"columns": ("text",)},
        {"head": "transformer", "base": "default"},
        {"head": "transformer", "base": "nothing/like/this"},
    ],
)
def test_errors_are_one_line(data, tmp_path, given_):
    with pytest.raises(GreyzoneError) as error:
        techniques(chosen(data, tmp_path / "head", **given_))
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2
    assert not (tmp_path / "head").exists()


def test_command(data, tmp_path, capsys):
    arguments = ["--data", str(data), "--out", str(tmp_path / "head"), "--base", "none", "--device", "cpu"]
    assert main(arguments) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["labels"] == ["doubt", "fear", "flag"]
    assert main(arguments) == 2
    assert capsys.readouterr().err.strip().endswith("remove it or choose another --out")


# The transformer head


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A BERT of one layer over the invented words, with fixed weights."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *FILLER, *(word for words in SIGNS.values() for word in words)]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=24,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.2,
    )
    BertModel(config).save_pretrained(folder / "base")
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=24).save_pretrained(folder / "base")
    return str(folder / "base")


def transformer(data, out, tiny, **given_):
    defaults = {"epochs": 8, "learning_rate": 1e-2, "batch_size": 16, "evaluation_share": 0.25}
    return chosen(data, out, head="transformer", base=tiny, **(defaults | given_))


@pytest.mark.parametrize("loss", ["bce", "asymmetric"])
def test_transformer_head_learns_and_is_saved(data, tmp_path, tiny, loss):
    found = techniques(transformer(data, tmp_path / "head", tiny, loss=loss))
    assert found.measured.macro.micro_f1 > 0.8
    rows = invented(60, seed=5)
    said = load_head(found.folder, device="cpu").predict([row["text"] for row in rows])
    right = [set(labels) == set(row["labels"]) for labels, row in zip(said.sets(), rows, strict=True)]
    assert np.mean(right) > 0.6
    record = json.loads((found.folder / "training.json").read_text("utf-8"))
    assert list(record["refused"]) == ["rare"]


def test_killed_transformer_run_goes_on_from_its_checkpoint(data, tmp_path, tiny, monkeypatch):
    import transformers

    whole = techniques(transformer(data, tmp_path / "whole", tiny))
    steps, step = [], transformers.Trainer.training_step

    def dying(self, *given_, **named):
        steps.append(1)
        if len(steps) == 30:
            raise KeyboardInterrupt
        return step(self, *given_, **named)

    monkeypatch.setattr(transformers.Trainer, "training_step", dying)
    with pytest.raises(KeyboardInterrupt):
        techniques(transformer(data, tmp_path / "head", tiny))
    checkpoints = tmp_path / "head.run" / "checkpoints"
    assert list(checkpoints.glob("checkpoint-*"))
    (checkpoints / "checkpoint-999").mkdir()
    again = []
    monkeypatch.setattr(transformers.Trainer, "training_step", lambda self, *a, **k: again.append(1) or step(self, *a, **k))
    found = techniques(transformer(data, tmp_path / "head", tiny))
    assert 0 < len(again) < 8 * 12 - 15
    assert bytes_of(found.folder) == bytes_of(whole.folder)


def test_early_stopping(data, tmp_path, tiny, caplog):
    caplog.set_level("INFO")
    techniques(transformer(data, tmp_path / "head", tiny, epochs=40, patience=2, learning_rate=1e-6, test_share=0.0))
    measured = [record for record in caplog.records if "average precision" in record.message]
    assert 3 <= len(measured) < 40


def test_golden_losses():
    """bce of logit 0, once there and once not, weights 3: (3 + 1) ln 2 for a text. Asymmetric: a negative at p .05 costs nothing."""
    import torch

    from greyzone.training.technique_transformer import loss_function

    truth = np.array([[1, 0]] * 1 + [[0, 1]] * 3, dtype=bool)
    bce = loss_function("bce", truth, 1.0)
    assert float(bce(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))) == pytest.approx(4 * np.log(2), rel=1e-5)
    asymmetric = loss_function("asymmetric", truth, 0.0)
    easy = float(np.log(0.04 / 0.96))
    assert float(asymmetric(torch.tensor([[easy]]), torch.tensor([[0.0]]))) == 0.0
    assert float(asymmetric(torch.tensor([[0.0]]), torch.tensor([[1.0]]))) == pytest.approx(np.log(2), rel=1e-5)
    hard = float(np.log(0.85 / 0.15))
    assert float(asymmetric(torch.tensor([[hard]]), torch.tensor([[0.0]]))) == pytest.approx(0.8**4 * -np.log(0.2), rel=1e-4)
