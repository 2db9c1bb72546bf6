"""Saved heads: bytes, loading without torch, decisions, and hashed n-grams against a naive count."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.errors import EncoderError, InputError
from greyzone.models import HashedEncoder, HashedSettings
from greyzone.models.heads import (
    Calibration,
    Features,
    Head,
    StaticScorer,
    load_head,
    save_head,
    sigmoid,
    style,
)
from greyzone.models.ngrams import NgramSettings, count_characters, count_words, tokens

TEXTS = ["They LIE to us!", "the harvest was good", "", "so-called \u201cexperts\u201d https://t.co/a @someone", "мережа 电网 \ud800"]
SMALL = NgramSettings(bits=10, shortest=2, longest=3)


def make_head(encoder="hashed"):
    rng = np.random.default_rng(3)
    columns = np.sort(rng.choice(1 << SMALL.bits, 200, replace=False)).astype(np.int32)
    idf = rng.uniform(1, 5, 200).astype(np.float32)
    model = HashedEncoder() if encoder == "hashed" else None
    features = Features(SMALL, columns, idf, columns, idf, 0.5, model)
    width = features.rows(["x"]).shape[1]
    weights = rng.normal(size=(width, 2)).astype(np.float16)
    calibration = Calibration(np.array([1.0, 0.5]), np.array([0.0, -1.0]), 0.4, np.array([0.3, 0.6]))
    return Head(("doubt", "fear"), {"rare": 3}, "macro", calibration, StaticScorer(features, weights, np.zeros(2, np.float32)))


def test_golden_tokens():
    assert tokens("So-called https://t.co/a?b=1 @some_one: НІ!! 3_4") == ["So", "-", "called", "/", "@", ":", "НІ", "!", "!", "3", "_", "4"]


@pytest.mark.parametrize("text", TEXTS)
def test_oracle_ngrams(text):
    """As many distinct n-grams with the same counts as a naive reading has, up to collisions (here: none, 2^24 columns)."""
    wide = NgramSettings(bits=24, shortest=2, longest=3)
    naive = Counter()
    for token in tokens(text):
        bounded = f"\x02{token}\x03"
        naive.update(bounded[i : i + n] for n in (2, 3) for i in range(len(bounded) - n + 1))
    found = count_characters([text, "other words"], wide)[[0]]
    assert sorted(found.data) == sorted(naive.values())
    low = [token.lower() for token in tokens(text)]
    words = Counter(low) + Counter(pairwise(low))
    assert sorted(count_words([text, "other words"], wide)[[0]].data) == sorted(words.values())


@settings(deadline=None, max_examples=25)
@given(st.lists(st.text(max_size=40), max_size=6), st.randoms(use_true_random=False))
def test_rows_depend_on_their_own_text_alone(texts, random):
    order = list(range(len(texts)))
    random.shuffle(order)
    for count in (count_words, count_characters):
        together = count(texts, SMALL).toarray()
        np.testing.assert_array_equal(count([texts[i] for i in order], SMALL).toarray(), together[order])
    assert ((style(texts) >= 0) & (style(texts) <= 1)).all()


def test_case_counts_for_characters_only():
    assert (count_words(["LIE"], SMALL) != count_words(["lie"], SMALL)).nnz == 0
    assert (count_characters(["LIE"], SMALL) != count_characters(["lie"], SMALL)).nnz > 0


def test_handles_are_no_features():
    one, other = count_words(["see @alpha https://a.org/x", "see @beta https://b.org/y"], SMALL).toarray()
    np.testing.assert_array_equal(one, other)


def test_golden_decisions():
    """Scores (0, 2): p = sigmoid(0) = .5 and sigmoid(.5 * 2 - 1) = .5; own thresholds (.3, .6) tell doubt, the common .4 tells both."""
    calibration = make_head().calibration
    p = calibration.probabilities(np.array([[0.0, 2.0]]))
    assert p.tolist() == [[0.5, 0.5]]
    assert calibration.decide(p, "macro").tolist() == [[True, False]]
    assert calibration.decide(p, "micro").tolist() == [[True, True]]
    with pytest.raises(InputError, match="objective 'best'"):
        calibration.decide(p, "best")


def test_sigmoid_does_not_overflow():
    assert sigmoid(np.array([-1e9, 0.0, 1e9])).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("encoder", ["hashed", "none"])
def test_round_trip(tmp_path, encoder):
    head = make_head(encoder)
    save_head(tmp_path / "a", head, encoder=encoder, record={})
    loaded = load_head(tmp_path / "a")
    save_head(tmp_path / "b", loaded, encoder=encoder, record={})
    for name in ("head.json", "head.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    before, after = head.predict(TEXTS), loaded.predict(TEXTS)
    np.testing.assert_array_equal(before.probabilities, after.probabilities)
    assert before.sets() == after.sets()
    assert ((after.probabilities >= 0) & (after.probabilities <= 1)).all()
    assert loaded.refused == {"rare": 3}
    assert loaded.predict([]).probabilities.shape == (0, 2)


def test_loads_and_predicts_without_torch_and_scikit_learn(tmp_path):
    save_head(tmp_path, make_head(), encoder="hashed", record={})
    code = (
        "import sys; from greyzone.models.heads import load_head; p = load_head(sys.argv[1]).predict(['They LIE to us!']);"
        "print(p.probabilities.tolist(), sorted(set(sys.modules) & {'torch', 'transformers', 'sklearn', 'pickle5'}))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{make_head().predict(['They LIE to us!']).probabilities.tolist()} []"


def test_another_encoder_is_refused(tmp_path):
    save_head(tmp_path, make_head(), encoder="hashed", record={})
    with pytest.raises(EncoderError, match="the one that the head was trained with"):
        load_head(tmp_path, encoder=HashedEncoder(HashedSettings(dimensions=64)))
    assert load_head(tmp_path, encoder=HashedEncoder()).labels == ("doubt", "fear")


@pytest.mark.parametrize("damage", ["missing", "json", "list", "kind", "format", "field", "lengths", "weights", "truncated", "none"])
def test_errors_are_one_line(tmp_path, damage):
    save_head(tmp_path, make_head(), encoder="hashed", record={})
    path, weights = tmp_path / "head.json", tmp_path / "head.safetensors"
    stated = json.loads(path.read_text())
    if damage == "missing":
        path.unlink()
    elif damage == "json":
        path.write_text("{")
    elif damage == "list":
        path.write_text("[]")
    elif damage == "kind":
        path.write_text(json.dumps(stated | {"kind": "forest"}))
    elif damage == "format":
        path.write_text(json.dumps(stated | {"format": 99}))
    elif damage == "field":
        path.write_text(json.dumps({key: value for key, value in stated.items() if key != "slopes"}))
    elif damage == "lengths":
        path.write_text(json.dumps(stated | {"labels": ["doubt"]}))
    elif damage == "weights":
        path.write_text(json.dumps(stated | {"sha256": "0" * 64}))
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:100])
    else:
        weights.unlink()
    with pytest.raises(InputError) as error:
        load_head(tmp_path)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("given_", [{"bits": 2}, {"bits": 30}, {"shortest": 4, "longest": 3}, {"longest": 9}])
def test_ngram_settings_out_of_range(given_):
    with pytest.raises(InputError):
        NgramSettings(**given_)


def test_no_head_in_a_folder_that_is_not_there(tmp_path):
    shutil.rmtree(tmp_path / "nothing", ignore_errors=True)
    with pytest.raises(InputError, match="holds no head"):
        load_head(tmp_path / "nothing")
