"""The lexical channel: hand-computed weights, an exact SVD as oracle, the promises on order and copies, and the rule of its weight."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.errors import InputError
from greyzone.eval.lexical import WEIGHTS, Row, leave_one_out
from greyzone.lexical import JoinedSpace, LexicalChannel, LexicalChoice, choose_weight, join, joined_rows, learn_space, weigh
from greyzone.lexical import channel as latent
from greyzone.lexical import choice as rule
from greyzone.lexical.space import Means
from greyzone.models.hashed import HashedEncoder

SUBJECTS = ("harbour", "ballot", "pipeline", "vaccine", "railway", "satellite", "orchard", "museum")
FILLERS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "islet", "jetty", "knoll", "ledge", "maple", "north")


def stories(per_story: int = 15, seed: int = 0) -> tuple[list[str], list[int]]:
    """Return texts of eight stories: three words of the story each, and five of any."""
    generator = np.random.default_rng(seed)
    texts, truth = [], []
    for label, subject in enumerate(SUBJECTS):
        for number in range(per_story):
            own = [f"{subject}{generator.integers(4)}" for _ in range(3)] + [subject]
            texts.append(" ".join([*own, *generator.choice(FILLERS, 5), f"only{label}x{number}"]))
            truth.append(label)
    return texts, truth


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_weights_by_hand():
    # Two words stand in two texts: tank in both of "tank tank plane" and "tank"; plane in the first and in "plane sea".
    channel = LexicalChannel().fit(["Tank tank plane", "tank", "plane sea"])
    assert channel.words_ == ("plane", "tank")
    assert channel.words_rare_ == 1
    idf = 1 + math.log(4 / 3)
    np.testing.assert_allclose(channel.idf_, [idf, idf])
    weights = channel._weighted(latent._bags(["tank tank plane"])).toarray()[0]
    np.testing.assert_allclose(weights, np.array([1, 1 + math.log(2)]) / math.hypot(1, 1 + math.log(2)), rtol=1e-6)
    # Two words span the plane, so nothing is lost and cosines are those of the weights.
    assert channel.captured_ == pytest.approx(1, abs=1e-6)
    rows = channel.transform(["tank tank plane", "tank", "sea"])
    assert rows[0] @ rows[1] == pytest.approx(weights[1], abs=1e-6)
    assert not rows[2].any()


def test_basis_holds_nearly_what_an_exact_svd_does():
    texts, _ = stories(30)
    channel = LexicalChannel(components=10).fit(texts)
    bags = channel._weighted(latent._bags(sorted(texts))).toarray().astype(np.float64)
    exact = np.square(np.linalg.svd(bags, compute_uv=False)[:10]).sum() / len(texts)
    assert 0.97 * exact < channel.captured_ <= exact + 1e-6
    np.testing.assert_allclose(channel.basis_.T @ channel.basis_, np.eye(10), atol=1e-5)


def test_folded_spellings_meet():
    rows = LexicalChannel().fit_transform(["Čapek spoke", "capek wrote", "Київ київ", "kiiv"])
    assert rows[0] @ rows[1] == pytest.approx(1, abs=1e-6)
    assert rows[0] @ rows[2] == pytest.approx(0, abs=1e-6)


def test_transform_is_fit_transform_and_a_copy_changes_nothing():
    texts, _ = stories()
    rows = LexicalChannel().fit_transform(texts)
    channel = LexicalChannel().fit([*texts, *texts[:40], texts[0]])
    assert channel.transform(texts).tobytes() == rows.tobytes()
    assert channel.texts_ == len(set(texts))


def test_caps_are_counted():
    texts, _ = stories()
    channel = LexicalChannel(most_words=9, fit_texts=20, components=64).fit(texts)
    every = LexicalChannel().fit(texts)
    assert len(channel.words_) == 9
    assert channel.words_beyond_ == len(every.words_) - 9
    assert (channel.texts_fitted_, channel.texts_) == (20, len(texts))
    assert channel.basis_.shape == (9, 9)


@pytest.mark.parametrize("setting", ["components", "least_texts", "most_words", "fit_texts"])
def test_settings_below_one_are_errors(setting):
    with pytest.raises(InputError, match=f"{setting} 0; expected 1 or more"):
        LexicalChannel(**{setting: 0}).fit(["a"])


@settings(max_examples=8, deadline=None)
@given(st.permutations(range(60)), st.integers(1, 100))
def test_order_leaves_no_trace(order, fit_texts):
    texts = stories(8, seed=5)[0][:60]
    channel = LexicalChannel(fit_texts=fit_texts)
    rows = channel.fit_transform(texts)
    shuffled = channel.fit_transform([texts[place] for place in order])
    assert shuffled.tobytes() == rows[list(order)].tobytes()


@pytest.mark.parametrize(("mode", "languages"), [("auto", ("en",)), ("on", ("en", "de", None))])
def test_order_leaves_no_trace_in_joined_rows(mode, languages):
    texts, truth = stories()
    langs = [languages[label % len(languages)] for label in truth]
    embeddings = HashedEncoder().encode(texts)
    rows, choice = joined_rows(texts, langs, embeddings, mode=mode)
    assert choice.weight > 0
    order = np.random.default_rng(1).permutation(len(texts))
    shuffled, again = joined_rows([texts[i] for i in order], [langs[i] for i in order], embeddings[order], mode=mode)
    assert again == choice
    assert shuffled.tobytes() == rows[order].tobytes()


def test_threads_leave_no_trace():
    script = (
        "import hashlib, numpy as np\n"
        "from greyzone.lexical import LexicalChannel\n"
        "words = np.random.default_rng(0).zipf(1.3, size=(1000, 12)) % 1000\n"
        "rows = LexicalChannel().fit_transform([' '.join(f'w{n}' for n in row) for row in words])\n"
        "print(hashlib.sha256(rows.tobytes()).hexdigest())"
    )
    found = set()
    for threads in ("1", "2"):
        environment = {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "PYTHONHASHSEED": threads, "PATH": ""}
        found.add(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment).stdout)
    assert len(found) == 1
    assert len(found.pop().strip()) == hashlib.sha256().digest_size * 2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_join_is_the_weighted_mean_of_cosines(seed, weight):
    generator = np.random.default_rng(seed)
    one, other = (unit(generator.normal(size=(6, width))).astype(np.float32) for width in (5, 3))
    rows = join(one, other, weight)
    np.testing.assert_allclose(rows @ rows.T, (1 - weight) * one @ one.T + weight * other @ other.T, atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 1.0])
def test_join_keeps_the_side_that_is_there(weight):
    one, other = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)
    one[0] = other[1] = one[2] = other[2] = 0
    rows = join(one, other, weight)
    np.testing.assert_array_equal(rows, [[0, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0], [0] * 6])


def test_join_refuses_what_does_not_fit():
    rows = np.eye(2, dtype=np.float32)
    with pytest.raises(InputError, match="2 embeddings and 1 lexical rows"):
        join(rows, rows[:1])
    with pytest.raises(InputError, match=r"weight 1\.5; expected 0 to 1"):
        join(rows, rows, 1.5)


def test_weight_by_hand():
    assert weigh(0.06, 0.0) == 0
    assert weigh(0.115, 0.0) == 0.25
    assert weigh(0.115, 0.2) == 0.125
    assert weigh(1.0, 0.1) == 0.5
    assert weigh(1.0, 0.3) == 0


def test_agreement_and_crossing_by_hand():
    cosine = rule._cosines(unit(np.array([[1, 0.1], [1, 0.2], [0.1, 1], [0.2, 1]])).astype(np.float32))
    # By words 0 is nearest to 2, then 3, then 1; so is every text to those of the other pair.
    words = np.array([[-np.inf, 0.1, 0.9, 0.8], [0.1, -np.inf, 0.8, 0.9], [0.9, 0.8, -np.inf, 0.1], [0.8, 0.9, 0.1, -np.inf]])
    assert rule._agreement(cosine, words) == pytest.approx(1 / 3)
    assert rule._agreement(cosine, cosine) == 1
    # Each text finds its translation and is found by it; two languages of equal share differ with probability one half.
    assert rule._crossing(cosine, np.array([0, 1, 0, 1])) == 0.5
    assert rule._crossing(cosine, np.zeros(4, dtype=np.int64)) == 0


def test_words_count_where_they_bear_out_the_encoder_and_not_where_they_do_not():
    texts, _ = stories(25)
    told, choice = joined_rows(texts, ["en"] * len(texts), HashedEncoder().encode(texts))
    assert choice.weight == 0.5
    assert told.shape[1] > 512
    noise = unit(np.random.default_rng(0).normal(size=(len(texts), 32))).astype(np.float32)
    same, other = joined_rows(texts, ["en"] * len(texts), noise)
    assert other.weight == 0
    assert same is noise
    assert "bear out too few" in other.reason


def test_words_stay_out_where_the_encoder_ties_languages_together():
    texts, _ = stories(25)
    foreign = [" ".join("f" + word for word in text.split()) for text in texts]
    rows = unit(HashedEncoder().encode(texts) + np.random.default_rng(0).normal(scale=1e-3, size=(len(texts), 512))).astype(np.float32)
    langs = ["en"] * len(texts) + ["xx"] * len(texts)
    _, tied = joined_rows([*texts, *foreign], langs, np.concatenate([rows, rows]))
    assert tied.weight == 0
    assert tied.crossing == pytest.approx(0.5, abs=0.02)
    _, alone = joined_rows(texts, ["en"] * len(texts), rows)
    assert alone.weight > 0.2


def about_means(rows, langs):
    return Means.of(rows, langs).centred(rows, langs)


def test_languages_do_not_stand_apart_by_their_common_words():
    generator = np.random.default_rng(0)
    rows = unit(np.concatenate([generator.normal(size=(200, 8)) * 0.1 + np.eye(8)[axis] for axis in (0, 1)])).astype(np.float32)
    centred = about_means(rows, ["a"] * 200 + ["b"] * 200)
    assert rows[:200].mean(axis=0) @ rows[200:].mean(axis=0) < 0.2
    assert np.abs(centred[:200].mean(axis=0)).max() < 0.25
    # Few texts lean to the mean of all, and a lone text of its language is not centred to nothing.
    assert about_means(rows[:201], ["a"] * 200 + ["b"])[200].any()


def test_equal_texts_stay_equal_whatever_their_language_says():
    texts, _ = stories(25)
    embeddings = HashedEncoder().encode(texts)
    again = [*texts, *texts]
    rows, choice = joined_rows(again, ["en"] * len(texts) + ["de"] * len(texts), np.concatenate([embeddings] * 2))
    assert choice.weight > 0
    assert rows[: len(texts)].tobytes() == rows[len(texts) :].tobytes()


def test_a_space_gives_the_same_rows_whenever_a_text_comes():
    texts, _ = stories(25)
    langs = ["en" if number % 3 else "de" for number in range(len(texts))]
    embeddings = HashedEncoder().encode(texts)
    space, rows = learn_space(texts, langs, embeddings)
    assert space.choice.weight > 0
    kept = JoinedSpace.from_arrays(space.to_arrays())
    assert kept.choice == space.choice
    assert all(found.dtype != object for found in space.to_arrays().values())
    new = ["harbour amber and a word never met", "nothing known", texts[0]]
    met = HashedEncoder().encode(new)
    found = kept.rows([*texts[7:], *new], [*langs[7:], "en", "fr", langs[0]], np.concatenate([embeddings[7:], met]))
    assert found[: len(texts) - 7].tobytes() == rows[7:].tobytes()
    assert found[-1].tobytes() == rows[0].tobytes()
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    # A language that was not met has the mean of all.
    assert kept.rows(new[:1], ["xx"], met[:1]).tobytes() != found[-3:-2].tobytes()


def test_a_space_without_words_is_the_encoder_alone():
    space, rows = learn_space(["a", "b"], ["en", None], np.eye(2, dtype=np.float32), mode="off")
    kept = JoinedSpace.from_arrays(space.to_arrays())
    assert kept.choice == space.choice
    assert kept.rows(["c"], ["en"], rows[:1]).tobytes() == rows[:1].tobytes()
    with pytest.raises(InputError, match="1 texts, 2 languages"):
        kept.rows(["c"], ["en", "en"], rows[:1])


@pytest.mark.parametrize(
    "texts",
    [[], ["one"], ["one", "one two"], ["", " "], ["!!!", "https://x.example/a", "@someone"], ["same words here"] * 100],
    ids=["none", "one", "two", "empty", "no words", "identical"],
)
@pytest.mark.parametrize("mode", ["auto", "on", "off"])
def test_odd_corpora(texts, mode):
    embeddings = np.zeros((len(texts), 4), dtype=np.float32)
    embeddings[:, :1] = 1
    rows, choice = joined_rows(texts, [None] * len(texts), embeddings, mode=mode)
    assert len(rows) == len(texts)
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), np.ones(len(texts)), atol=1e-6)
    assert mode == "on" or choice.weight == 0
    assert choice.as_dict()["mode"] == mode


def test_every_text_of_a_language_of_its_own():
    texts, _ = stories(8)
    rows, choice = joined_rows(texts, [f"x{number}" for number in range(len(texts))], HashedEncoder().encode(texts), mode="on")
    assert np.isfinite(rows).all()
    assert choice.weight == 0.5


def test_joined_rows_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="1 texts, 2 languages and 1 embeddings"):
        joined_rows(["a"], ["en", "en"], np.ones((1, 2), dtype=np.float32))
    with pytest.raises(InputError, match="mode 'maybe'; expected auto, on or off"):
        joined_rows(["a"], ["en"], np.ones((1, 2), dtype=np.float32), mode="maybe")


def test_few_texts_are_not_judged():
    texts, _ = stories(5)
    rows = HashedEncoder().encode(texts)
    choice = choose_weight(texts, rows, LexicalChannel().fit_transform(texts), ["en"] * len(texts), 1.0)
    assert choice == LexicalChoice(0.0, "auto", "40 distinct texts share words with others, fewer than 50")


def test_bounds_are_chosen_without_the_set_they_are_applied_to():
    def row(family: str, support: float, curve: tuple[float, ...]) -> Row:
        choice = LexicalChoice(0.0, "auto", "", captured=support, agreement=1.0, crossing=0.0)
        return Row(family, family, "e", curve, curve[0], 0.0, choice, None)

    assert len(WEIGHTS) == 6
    gains, loses = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0), (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
    found = leave_one_out([row("a", 0.5, gains), row("b", 0.5, gains), row("c", 0.02, loses), row("d", 0.02, loses)])
    assert found == pytest.approx([1.0] * 4)
    # Where the others say that words help at any support, the odd one out is hurt: that is what is measured.
    assert leave_one_out([row("a", 0.5, gains), row("b", 0.5, gains), row("c", 0.5, loses)])[2] == pytest.approx(0.5)
