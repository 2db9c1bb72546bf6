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
from greyzone.eval.narratives.lexical import WEIGHTS, Row, leave_one_out
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
    assert weigh(0.02, 0.0, 1.0) == 0
    assert weigh(0.045, 0.0, 1.0) == 0.25
    assert weigh(0.045, 0.2, 1.0) == 0.125
    assert weigh(0.045, 0.2, 0.56) == 0.05
    assert weigh(1.0, 0.1, 0.65) == 0.5
    assert weigh(1.0, 0.3, 1.0) == 0
    assert weigh(1.0, 0.0, 0.5) == 0


def plane(*degrees):
    turned = np.radians(degrees)
    return np.stack([np.cos(turned), np.sin(turned)], axis=1).astype(np.float32)


def agreement(embeddings, words, anchors):
    mate, _ = rule._nearest(embeddings, anchors)
    likeness = np.round((words[anchors].astype(float) * words[mate].astype(float)).sum(axis=1), rule.DECIMALS)
    return rule._agreement(words[anchors], likeness, anchors, mate)


def test_figures_by_hand():
    embeddings, every = plane(5, 10, 85, 80), np.arange(4)
    # By encoder 0 and 1 are nearest to each other, and 2 and 3. By words 0 has 2 and 3 before 1, as 1 has before 0; 2 has 0 before 3,
    # and 3 has 1 before 2.
    words = plane(0, 30, 10, 21)
    assert agreement(embeddings, words, every) == pytest.approx((1 / 3 + 1 / 3 + 1 / 2 + 1 / 2) / 4)
    assert agreement(embeddings, embeddings, every) == 1
    # With 0 and 2 as anchors, their nearest are outside, and only the other anchor may come before these: it does.
    assert agreement(embeddings, words, np.array([0, 2])) == pytest.approx(1 / 2)
    # Ties are ranked last.
    assert agreement(embeddings, plane(0, 0, 0, 0), every) == pytest.approx(1 / 3)
    # Each text finds its translation and is found by it; two languages of equal share differ with probability one half.
    assert rule._crossing(embeddings, np.array([0, 1, 0, 1])) == 0.5
    assert rule._crossing(embeddings, np.zeros(4, dtype=np.int64)) == 0


def test_closeness_by_hand(monkeypatch):
    # Base .2 by encoder and .1 in joined rows, which are twice as wide. Nearest at .6 and .8 are .5 and .75 of the way above it; with
    # likeness .2 and .4 by words they come to .4 and .6 in joined rows, 1/3 and 5/9 of the way.
    monkeypatch.setattr(rule, "base_similarity", lambda rows: 0.2 if rows.shape[1] == 2 else 0.1)
    two, near = plane(5, 10), np.array([0.6, 0.8])
    assert rule._closeness(two, two, near, np.array([0.2, 0.4])) == pytest.approx((1 / 3 + 5 / 9) / (0.5 + 0.75))
    # Nothing is parted that stands no higher than a subject, and nothing borne out.
    assert rule._closeness(two, two, np.array([0.1, 0.2]), near) == 0.0
    assert rule._closeness(two, two, near, np.array([-1.0, -1.0])) == 0.0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(1, 9))
def test_blocks_give_what_all_pairs_at_once_give(seed, texts, block):
    generator = np.random.default_rng(seed)
    # Whole numbers, so that there are ties.
    one, other = (unit(generator.integers(1, 4, size=(texts, 3))).astype(np.float32) for _ in range(2))
    cosine, lexical = (np.round(rows.astype(float) @ rows.astype(float).T, rule.DECIMALS) for rows in (one, other))
    np.fill_diagonal(lexical, -np.inf)
    np.fill_diagonal(cosine, -np.inf)
    mate = cosine.argmax(axis=1)
    ranks = (lexical >= lexical[np.arange(texts), mate][:, None]).sum(axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rule, "BLOCK_ROWS", block)
        assert agreement(one, other, np.arange(texts)) == pytest.approx(float((1 / ranks).mean()))
        few = np.sort(generator.choice(texts, 2, replace=False))
        found, near = rule._nearest(one, few)
    assert found.tolist() == mate[few].tolist()
    assert near.tolist() == cosine[few].max(axis=1).tolist()


def test_samples_are_not_those_of_who_chose_the_corpus():
    def digest(text):
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    # A corpus of which one half was chosen by the smallest plain digests.
    chosen = set(sorted((f"talk {number}" for number in range(20000)), key=digest)[:500])
    texts = sorted(chosen | {f"news {number}" for number in range(500)})
    sampled = [texts[place] for place in latent.smallest(texts, 200)]
    assert 70 < sum(text in chosen for text in sampled) < 130


def test_what_is_nearest_is_sought_outside_the_sample_too(monkeypatch):
    monkeypatch.setattr(rule, "SAMPLE", 100)
    # Sixty stories of twenty texts each, among two thousand texts that have nothing to do with any other.
    generator = np.random.default_rng(1)
    talk = [" ".join(f"t{number}" for number in generator.integers(400, size=8)) for _ in range(2000)]
    texts, centres = [], generator.normal(size=(60, 32))
    for story in range(60):
        for _ in range(20):
            own = [f"s{story}w{number}" for number in generator.choice(5, 4, replace=False)]
            texts.append(" ".join([*own, *generator.choice(talk).split()[:2]]))
    # An encoder that knows which texts are of one story, and finds nothing in the others.
    told = np.repeat(centres, 20, axis=0) + 0.1 * generator.normal(size=(1200, 32))
    embeddings = unit(np.concatenate([told, generator.normal(size=(2000, 32))])).astype(np.float32)
    texts += talk
    _, choice = joined_rows(texts, ["en"] * len(texts), embeddings)
    assert choice.weight > 0
    assert choice.agreement > 0.33
    # The same texts are anchors where they are all there is, and few of them have a text of their story beside them.
    ordered = sorted(set(texts))
    sample = [texts.index(ordered[place]) for place in latent.smallest(ordered, 100)]
    lexical = LexicalChannel().fit_transform(texts)
    assert agreement(embeddings[sample], lexical[sample], np.arange(100)) < 0.25


def test_words_stay_out_where_they_would_part_what_is_near():
    # Each text has two words of its story and sixty that few others have: near by encoder, far by words, although they agree.
    generator = np.random.default_rng(0)
    texts, centres = [], generator.normal(size=(20, 16))
    for story in range(20):
        texts += [" ".join([f"s{story}a", f"s{story}b", *(f"t{n}" for n in generator.integers(20000, size=60))]) for _ in range(12)]
    embeddings = unit(np.repeat(centres, 12, axis=0) + 0.1 * generator.normal(size=(240, 16))).astype(np.float32)
    same, choice = joined_rows(texts, ["en"] * len(texts), embeddings)
    assert choice.captured * choice.agreement > rule.SUPPORT[1]
    assert choice.weight == 0
    assert "would part" in choice.reason
    assert same is embeddings


def test_words_count_where_they_bear_out_the_encoder_and_not_where_they_do_not():
    texts, _ = stories(25)
    told, choice = joined_rows(texts, ["en"] * len(texts), HashedEncoder().encode(texts))
    assert choice.weight == 0.5
    assert told.shape[1] > 512
    noise = unit(np.random.default_rng(0).normal(size=(len(texts), 32))).astype(np.float32)
    same, other = joined_rows(texts, ["en"] * len(texts), noise)
    assert other.weight == 0
    assert same is noise
    assert "would part" in other.reason


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
        choice = LexicalChoice(0.0, "auto", "", captured=support, agreement=1.0, crossing=0.0, closeness=1.0)
        return Row(family, family, "e", curve, curve[0], 0.0, choice, None)

    assert len(WEIGHTS) == 6
    gains, loses = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0), (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
    found = leave_one_out([row("a", 0.5, gains), row("b", 0.5, gains), row("c", 0.02, loses), row("d", 0.02, loses)])
    assert found == pytest.approx([1.0] * 4)
    # Where the others say that words help at any support, the odd one out is hurt: that is what is measured.
    assert leave_one_out([row("a", 0.5, gains), row("b", 0.5, gains), row("c", 0.5, loses)])[2] == pytest.approx(0.5)


def test_words_are_left_out_of_a_corpus_too_large_for_them(monkeypatch):
    from greyzone.lexical import space

    texts, langs = [f"flood in Nordvarra, day {number}" for number in range(80)], ["en"] * 80
    vectors = np.eye(80, dtype=np.float32)
    monkeypatch.setattr(space, "MOST_TEXTS", 79)
    learnt, rows = space.learn_space(texts, langs, vectors)
    assert rows is vectors
    assert learnt.choice.weight == 0
    assert learnt.choice.reason == "80 distinct texts, more than 79"
    assert space.learn_space(texts, langs, vectors, mode="on")[0].choice.weight > 0
