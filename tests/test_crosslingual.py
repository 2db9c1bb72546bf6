"""Rows without their language: what is taken off, what must stay as it is, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.cluster import NarrativeClusterer
from greyzone.crosslingual import LanguageNeutral, _even, _offsets, _pairs, neutral_rows
from greyzone.errors import InputError
from greyzone.eval.narratives.crosslingual import biased, measure, own_language, reunited, told_corpora, translations
from greyzone.neighbours import unit_rows

LANGS = ("de", "en", "fr", "pl", "ru", "uk")


def told(stories=12, each=6, langs=LANGS, bias=0.8, seed=0, d=48):
    """Texts, languages, rows and stories: each story in every language, with a vector of the language added to each row."""
    random = np.random.default_rng(seed)
    story, tongue = unit_rows(random.standard_normal((stories, d))), unit_rows(random.standard_normal((len(langs), d)))
    texts, spoken, rows, truth = [], [], [], []
    for number in range(stories):
        for code, lang in enumerate(langs):
            for copy in range(each):
                texts.append(f"{lang} {number} {copy}")
                spoken.append(lang)
                rows.append(story[number] + bias * tongue[code] + 0.05 * random.standard_normal(d))
                truth.append(number)
    return texts, spoken, unit_rows(np.array(rows)), np.array(truth)


def labels(rows):
    return NarrativeClusterer(min_cluster_size=5).fit(rows).labels_


def test_a_story_in_six_languages_becomes_one_narrative():
    texts, langs, rows, truth = told(stories=30, each=5, bias=1.2)
    code = np.unique(langs, return_inverse=True)[1]
    before, (freed, choice) = labels(rows), neutral_rows(texts, langs, rows)
    after = labels(freed)
    assert np.mean(reunited(truth, code, before)) < 0.5
    assert np.mean(reunited(truth, code, after)) > 0.95
    assert len(set(after[after >= 0])) == 30
    assert choice.applied
    assert choice.share > 0.1


def test_offsets_by_hand():
    # en (0, 0), (0, 2); de (1, 0), (1, 4): differences de - en are (1, 0) and (1, 2), so d_de - d_en = (1, 1). With 3 texts of en to
    # 1 of de, 3 d_en + d_de = 0: d_en = (-1/4, -1/4), d_de = (3/4, 3/4). The rest is (0, -1) and (0, 1): spread 2 / (2 - 2 + 1) = 2.
    # The variance of d_de - d_en is spread / pairs = 1; of d_en (1/4)^2, of d_de (3/4)^2 of it.
    rows = np.array([[0.0, 0.0], [0.0, 2.0], [1.0, 0.0], [1.0, 4.0]])
    offsets, variance = _offsets(rows, np.array([0, 0, 1, 1]), np.array([[0, 2], [1, 3]]), np.array([3, 1, 5]))
    np.testing.assert_allclose(offsets, [[-0.25, -0.25], [0.75, 0.75], [0.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(variance, [1 / 16, 9 / 16, 0.0], atol=1e-12)


def test_offsets_are_those_of_a_naive_solver():
    random = np.random.default_rng(3)
    rows, code, texts = random.standard_normal((40, 5)), np.repeat(np.arange(4), 10), np.array([10, 20, 5, 7])
    pairs = np.array([(a, b) for a, b in random.integers(0, 40, (60, 2)) if code[a] < code[b]])
    design = np.zeros((len(pairs), 4))
    design[np.arange(len(pairs)), code[pairs[:, 0]]], design[np.arange(len(pairs)), code[pairs[:, 1]]] = 1.0, -1.0
    bound = np.vstack([design, texts])
    wanted = np.linalg.lstsq(bound, np.vstack([rows[pairs[:, 0]] - rows[pairs[:, 1]], np.zeros(5)]), rcond=None)[0]
    np.testing.assert_allclose(_offsets(rows, code, pairs, texts)[0], wanted, atol=1e-9)


def test_pairs_are_mutual_and_say_nearly_the_same():
    random = np.random.default_rng(0)
    base = unit_rows(random.standard_normal((30, 40))).astype(np.float64)
    rows, code = np.vstack([base, base[:20], random.standard_normal((10, 40)) / 6]), np.repeat([0, 1], 30)
    pairs, unlike = _pairs(unit_rows(rows).astype(np.float64), code, 0.6)
    assert {(place, place + 30) for place in range(20)} <= set(map(tuple, pairs.tolist()))
    strict, more = _pairs(unit_rows(rows).astype(np.float64), code, 1e9)
    assert len(strict) == 0
    assert more == len(pairs) + unlike


@pytest.mark.parametrize("langs", [("en",), ("en", None), ("en", "und"), (None,)])
def test_one_known_language_is_left_byte_identical(langs):
    texts, _, rows, _ = told(langs=("en",), each=12)
    spoken = [langs[place % len(langs)] for place in range(len(texts))]
    kept, choice = neutral_rows(texts, spoken, rows)
    assert kept is rows
    assert not choice.applied


def test_no_bias_no_change():
    texts, langs, rows, _ = told(bias=0.0)
    kept, choice = neutral_rows(texts, langs, rows)
    assert kept is rows
    assert choice.pairs > 100
    assert choice.share < 0.012


def test_languages_that_share_no_story_keep_theirs():
    texts, langs, rows, truth = told(stories=18, each=8, bias=0.0)
    apart = np.array([LANGS[story % 6] == lang for story, lang in zip(truth, langs, strict=True)])
    few = [text for text, kept in zip(texts, apart, strict=True) if kept]
    kept, choice = neutral_rows(few, [lang for lang, kept in zip(langs, apart, strict=True) if kept], rows[apart])
    assert not choice.applied
    np.testing.assert_array_equal(kept, rows[apart])


def test_a_language_that_tells_one_story_only_keeps_it():
    texts, langs, rows, truth = told(each=8)
    inside = np.array([lang != "uk" or story == 0 for story, lang in zip(truth, langs, strict=True)])
    chosen = [text for text, kept in zip(texts, inside, strict=True) if kept]
    spoken = [lang for lang, kept in zip(langs, inside, strict=True) if kept]
    freed, choice = neutral_rows(chosen, spoken, rows[inside])
    assert choice.applied
    lone = np.array([lang == "uk" for lang in spoken])
    same, other = (truth[inside] == 0) & ~lone, truth[inside] != 0
    # Its own mean would have taken the story off: the cosine would be about 0.
    assert (freed[lone] @ freed[same].T).mean() > 0.6
    assert (freed[lone] @ freed[other].T).mean() < 0.3


def test_unknown_languages_stay():
    texts, langs, rows, _ = told()
    spoken = [None if text.endswith(" 0") else lang for text, lang in zip(texts, langs, strict=True)]
    freed, choice = neutral_rows(texts, spoken, rows)
    unknown = np.array([lang is None for lang in spoken])
    assert choice.applied
    np.testing.assert_array_equal(freed[unknown], rows[unknown])
    assert not np.array_equal(freed[~unknown], rows[~unknown])


def test_zero_rows_stay_zero_and_rows_have_norm_one():
    texts, langs, rows, _ = told()
    rows = rows.copy()
    rows[5] = 0
    freed, _ = neutral_rows(texts, langs, rows)
    assert not freed[5].any()
    np.testing.assert_allclose(np.linalg.norm(np.delete(freed, 5, axis=0), axis=1), 1.0, atol=1e-6)
    assert freed.dtype == np.float32


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_order_leaves_no_trace_and_equal_texts_stay_equal(seed):
    texts, langs, rows, _ = told(stories=6, each=3)
    # Copies of one text, said to be in several languages.
    again = [*range(len(texts)), 0, 0, 7]
    texts, rows = [texts[place] for place in again], rows[again]
    langs = [*[langs[place] for place in again[:-3]], "uk", "und", "ru"]
    order = np.random.default_rng(seed).permutation(len(texts))
    freed, choice = neutral_rows(texts, langs, rows)
    shuffled, other = neutral_rows([texts[place] for place in order], [langs[place] for place in order], rows[order])
    assert choice == other
    assert shuffled.tobytes() == freed[order].tobytes()
    assert choice.applied
    for twin, place in ((len(texts) - 3, 0), (len(texts) - 2, 0), (len(texts) - 1, 7)):
        assert freed[twin].tobytes() == freed[place].tobytes()


def test_copies_count_once():
    texts, langs, rows, _ = told()
    freed, choice = neutral_rows(texts, langs, rows)
    many, again = neutral_rows(texts + texts[:9] * 50, langs + langs[:9] * 50, np.vstack([rows, *[rows[:9]] * 50]))
    assert again == choice
    np.testing.assert_array_equal(many[: len(rows)], freed)


def test_the_sample_is_even_and_bounded():
    code = np.repeat([0, 1, 2], [1000, 30, 3])
    texts = [f"text {place}" for place in range(1033)]
    chosen = _even(code, texts, 100)
    assert np.bincount(code[chosen]).tolist() == [67, 30, 3]
    assert len(_even(code, texts, 2000)) == 1033
    assert len(_even(code, texts, 2)) == 3


def test_a_sample_is_enough():
    texts, langs, rows, _ = told(each=10)
    full, some = (LanguageNeutral(sample=size).fit(rows, langs, texts) for size in (4096, 360))
    assert some.choice_.applied
    cosine = (full.offsets_ * some.offsets_).sum() / np.linalg.norm(full.offsets_) / np.linalg.norm(some.offsets_)
    assert cosine > 0.95


@pytest.mark.parametrize("bias", [0.0, 0.8])
def test_what_was_learnt_gives_later_texts_the_same_rows(bias):
    texts, langs, rows, _ = told(bias=bias)
    fitted = LanguageNeutral().fit(rows, langs, texts)
    again = LanguageNeutral.from_arrays(fitted.to_arrays())
    assert again.choice_ == fitted.choice_
    assert again.choice_.applied == (bias > 0)
    freed = neutral_rows(texts, langs, rows)[0]
    np.testing.assert_array_equal(again.rows(texts[40:60], langs[40:60], rows[40:60]), freed[40:60])
    # A language that was not there when the offsets were learnt.
    np.testing.assert_array_equal(again.rows(["nie"], ["af"], rows[:1]), rows[:1])
    with pytest.raises(InputError):
        again.rows(texts, langs, rows[1:])


def test_settings_and_errors():
    texts, langs, rows, _ = told(stories=2)
    kept, choice = neutral_rows(texts, langs, rows, mode="off")
    assert kept is rows
    assert choice.as_dict()["reason"] == "it was switched off"
    for call in (
        lambda: neutral_rows(texts, langs, rows, mode="on"),
        lambda: neutral_rows(texts, langs[1:], rows),
        lambda: neutral_rows(texts[1:], langs, rows),
        lambda: LanguageNeutral(sample=0).fit(rows, langs, texts),
        lambda: LanguageNeutral().fit(rows, langs, texts).transform(rows, langs[1:]),
    ):
        with pytest.raises(InputError):
            call()
    empty, nothing = neutral_rows([], [], np.zeros((0, 4), dtype=np.float32))
    assert empty.shape == (0, 4)
    assert not nothing.applied
    _, few = neutral_rows(["a", "b"], ["en", "de"], np.eye(2, 4, dtype=np.float32))
    assert "fewer than 20" in few.reason


# What measures it


SENTENCES = {lang: [f"{lang}{place} word{place} story{place // 4}" for place in range(16)] for lang in ("en", "de", "fr")}


def vectors(texts):
    """Sums of vectors of the words that are the same in every language."""
    space: dict[str, np.ndarray] = {}
    random = np.random.default_rng(0)
    rows = []
    for text in texts:
        words = [word for word in text.split() if word.startswith(("word", "story"))]
        rows.append(sum(space.setdefault(word, random.standard_normal(32)) for word in words))
    return unit_rows(np.array(rows))


def test_corpora_are_what_they_say():
    found = {corpus.name: corpus for corpus in told_corpora(SENTENCES, [0, 4, 8, 12], ("en", "de", "fr"))}
    assert list(found) == ["shared", "paired", "apart", "minority", "biased", "ceiling"]
    spoken = {
        name: {(story, lang) for story, lang in zip(corpus.stories.tolist(), corpus.langs, strict=True)} for name, corpus in found.items()
    }
    assert len(spoken["shared"]) == 12
    assert len(spoken["paired"]) == 8
    assert sorted(spoken["apart"]) == [(0, "en"), (1, "de"), (2, "fr"), (3, "en")]
    assert {pair for pair in spoken["minority"] if pair[1] == "fr"} == {(0, "fr")}
    assert found["minority"].langs.count("fr") == 40
    assert set(found["ceiling"].langs) == {"en"}
    assert len(found["shared"].texts) == 72


def test_measures_by_hand():
    stories, code = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 0, 1])
    assert reunited(stories, code, np.array([3, 3, 3, -1, -1, -1])) == [1.0, 0.0]
    assert reunited(stories, code, np.array([3, 3, 4, -1, 2, 2])) == [0.5, 1.0]
    two = np.repeat(np.eye(2, 8, dtype=np.float32), 7, axis=0)
    # All neighbours are of the own language; chance gives 6 of 13.
    assert own_language(two, np.repeat([0, 1], 7)) == pytest.approx(13 / 6)
    assert biased(two, ["en"] * 14, 0.0) is two


def test_a_biased_corpus_is_mended_and_a_fair_one_hardly_changed():
    many = {lang: [f"{lang}{place} word{place} story{place // 4}" for place in range(80)] for lang in SENTENCES}
    rows = {found.name: measure(found, vectors(found.texts)) for found in told_corpora(many, range(0, 80, 4), ("en", "de", "fr"))}
    before, after = rows["biased"]
    assert after.share > 0.05
    assert after.own < before.own
    assert rows["ceiling"][0].f1 == rows["ceiling"][1].f1
    with pytest.raises(InputError):
        measure(next(told_corpora(SENTENCES, [0, 4, 8, 12], ("en", "de"))), np.zeros((1, 2), dtype=np.float32))


def test_translations_of_a_perfect_encoder():
    found = list(translations("three", SENTENCES, ("en", "de", "fr"), vectors))
    assert found
    assert {pair.retrieval for pair in found} == {1.0}
    assert [pair.linkage for pair in found] == pytest.approx([1.0] * len(found))
