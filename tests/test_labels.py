"""Terms, labels and headlines: counts that add up in any division, weights by hand, every script spelt as its readers do."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone import labels, terms


def batch(rows, background):
    """Return texts of (group, language, text)."""
    texts = pa.table({"title": pa.nulls(len(rows), pa.string()), "text": [row[2] for row in rows], "lang": [row[1] for row in rows]})
    return terms.TextBatch(texts, np.array([row[0] for row in rows], dtype=np.int64), background)


def counted(*groups, lang="en"):
    """Count texts of groups, the last one the background."""
    return terms.count(batch([(group, lang, text) for group, texts in enumerate(groups) for text in texts], len(groups) - 1))


def told(text, lang):
    """Return the words of a text that can name a story."""
    return set(counted([text], [], lang=lang).terms["term"].to_pylist())


def named(*groups, lang="en"):
    """Return the words of groups, the last one the background, each with the next one as its rival."""
    return labels.name_narratives(counted(*groups, lang=lang), np.array([*range(1, len(groups) - 1), -1]))


WORDS = ["grain", "Poland", "harbour", "выборы", "Зелёный", "зеленый", "и", "选举结果", "選挙の結果", "ค่าแรง", "والميناء", "الميناء", "US"]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(["en", "ru", "zh", "ja", "th", "ar", "und"]),
            st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join),
        ),
        max_size=30,
    ),
    st.randoms(use_true_random=False),
)
def test_one_two_and_seven_shards_give_the_same_bytes(rows, random):
    whole = terms.merge([terms.count(batch(rows, 3))])
    shuffled = random.sample(rows, len(rows))
    for shards in (1, 2, 7):
        parts = [terms.count(batch(shuffled[shard::shards], 3)) for shard in range(shards)]
        other = terms.merge(random.sample(parts, shards))
        for name in ("terms", "joins", "states"):
            assert written(getattr(other, name)) == written(getattr(whole, name))
        assert vars_of(other) == vars_of(whole)


def written(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def vars_of(counts):
    found = labels.name_narratives(counts, np.array([1, 2, 0]))
    return found.keywords, found.rival, found.by_language, [found.weighed.weights(group) for group in range(3)]


def test_counts_are_added_up_on_the_way(monkeypatch):
    parts = [counted([f"grain number{place}"], ["news"]) for place in range(20)]
    whole = terms.merge(parts)
    monkeypatch.setattr(terms, "COMPACT", 3)
    assert written(terms.merge(parts).terms) == written(whole.terms)
    assert whole.terms.filter(pc.equal(whole.terms["term"], "grain"))["number"].to_pylist() == [20]


def test_counts_by_hand():
    found = counted(["grain Grain ship", "grain in Poland"], ["the ship of Poland"])
    assert found.terms.to_pylist() == [
        {"group": 0, "lang": "en", "term": "grain", "number": 3, "texts": 2},
        {"group": 0, "lang": "en", "term": "poland", "number": 1, "texts": 1},
        {"group": 0, "lang": "en", "term": "ship", "number": 1, "texts": 1},
        {"group": 1, "lang": "en", "term": "poland", "number": 1, "texts": 1},
        {"group": 1, "lang": "en", "term": "ship", "number": 1, "texts": 1},
    ]
    # States are asked of narratives only.
    assert found.states.to_pylist() == [{"group": 0, "state": "PL", "texts": 1}]


def test_each_language_has_its_own_terms():
    rows = [(0, "en", "grain terminal closed"), (0, "en", "grain ship"), (0, "de", "Getreide Hafen"), (0, "de", "Getreide Schiff")]
    rows += [(1, "en", "ballot outage"), (1, "en", "ballot server"), (2, "en", "closed ship ballot")]
    found = labels.name_narratives(terms.count(batch(rows, 2)), np.array([1, 0]))
    assert found.by_language == [{"de": ["getreide"], "en": ["grain"]}, {"en": ["ballot"]}]
    assert found.keywords[0] == ["getreide", "grain"]


def test_weights_of_a_language_by_hand():
    # German: narrative 0 has getreide 2 of 4 and hafen 2 of 4, the background hafen 2 of 2; A = 6 / 2 = 3.
    rows = [(0, "de", "Getreide Hafen")] * 2 + [(1, "en", "harbour")] + [(2, "de", "Hafen")] * 2
    counts = terms.count(batch(rows, 2))
    own = labels.weigh(counts.terms.filter(pc.equal(counts.terms["lang"], "de")), 2, 2)
    assert own.weights(0) == {"getreide": pytest.approx(0.5 * np.log(1 + 3 / 2)), "hafen": pytest.approx(0.5 * np.log(1 + 3 / 4))}


def test_what_tells_two_narratives_apart_is_not_what_they_share():
    found = named(["harbour strike grain", "harbour strike grain"], ["harbour strike coal", "harbour strike coal"], ["garden"])
    assert "harbour" in found.keywords[0]
    assert found.rival == [["grain"], []]


def test_surplus_by_hand():
    weighed = labels.weigh(counted(["a1b grain", "a1b grain"], ["grain coal", "coal coal"], ["garden"]).terms, 2, 3)
    found = dict(
        zip(zip(weighed.group.tolist(), weighed.code.tolist(), strict=True), labels.surplus(weighed, np.array([1, -1])), strict=True)
    )
    vocabulary = weighed.vocabulary.to_pylist()
    # 2 of 2 terms here (a1b has too few letters), 1 of 4 there, 3 overall; A = 7 / 3.
    assert found[0, vocabulary.index("grain")] == pytest.approx(0.75 * np.log(1 + 7 / 9))
    assert found[1, vocabulary.index("coal")] == -np.inf


CHINESE = [
    "中国人民银行宣布下调存款准备金率",
    "人民银行下调准备金率引发市场关注",
    "专家认为准备金率下调有利于经济",
    "市场对人民银行的决定反应积极",
]
JAPANESE = [
    "福島第一原発の処理水放出に中国が反発した",
    "処理水の海洋放出をめぐり漁業者が不安を訴えた",
    "福島の漁業者はボランティアに反対",
    "ボランティアが放出を訴えた",
]
THAI = ["รัฐบาลประกาศขึ้นค่าแรงขั้นต่ำทั่วประเทศ", "ค่าแรงขั้นต่ำใหม่เริ่มใช้เดือนหน้า", "นายจ้างกังวลเรื่องค่าแรงขั้นต่ำ"]


def test_scripts_without_spaces_are_put_together_again():
    assert {"人民银行", "准备金率"} <= set(named(CHINESE, [], lang="zh").keywords[0])
    found = named(JAPANESE, [], lang="ja").keywords[0]
    assert {"ボランティア", "漁業者", "放出"} <= set(found)
    # Hiragana are the grammar: none stands in a label.
    assert not [word for word in found if any("\u3040" <= char <= "\u309f" for char in word)]
    assert named(THAI, [], lang="th").keywords[0] == ["ค่าแรงขั้นต่ำ"]


def test_glue_by_hand():
    # abc stands 4 times, ab 4, bc 6: 4 / (4 + 6 - 4) = .67. bcd stands 2 times, cd 2: 2 / (6 + 2 - 2) = .33.
    pieces = labels.Pieces({"甲乙": 4, "乙丙": 6, "丙丁": 2}, {}, {})
    for pair, other, joined, count in (("甲乙", "乙丙", "甲乙丙", 4), ("乙丙", "丙丁", "乙丙丁", 2)):
        pieces.after.setdefault(pair, []).append((other, joined, count))
        pieces.before.setdefault(other, []).append((pair, joined, count))
    assert labels.glued("甲乙", pieces) == labels.glued("乙丙", pieces) == "甲乙丙"
    assert labels.glued("丙丁", pieces) == "丙丁"


@pytest.mark.parametrize(
    ("text", "lang", "expected"),
    [
        ("選挙の結果について", "ja", {"選挙", "結果"}),
        ("我们的选举", "zh", {"选举"}),
        ("オリの木と 木", "ja", {"オリ", "木"}),
        ("Выборы в Минске и г. Бресте", "ru", {"выборы", "минске", "бресте"}),
        ("п’ять бригад", "uk", {"п'ять", "бригад"}),
    ],
)
def test_terms_of_many_scripts(text, lang, expected):
    assert told(text, lang) == expected


def test_spellings_of_arabic_and_russian():
    arabic = ["إغلاق المِيناءِ", "والميناء مغلق", "بالميناء سفن", "الميناء", "وزير الى الميناء", "وزير", "إلى", "الله"]
    # وزير stays whole: زير is no word here. الله keeps its beginning: too few letters would be left.
    assert terms.spellings(counted(arabic, [], lang="ar").terms) == {"ar": dict.fromkeys(["المِيناءِ", "بالميناء", "والميناء"], "الميناء")}
    assert terms.spellings(counted(["зелёный зелёный зеленый"], [], lang="ru").terms) == {"ru": {"зеленый": "зелёный"}}
    # In Belarusian ё is a letter of its own, and Persian has no article.
    assert terms.spellings(counted(["зялёны зялены"], [], lang="be").terms) == {}
    assert terms.spellings(counted(["الميناء والميناء"], [], lang="fa").terms) == {}


def test_a_string_of_hashtags_is_no_headline():
    weights = {"harbour": 1.0, "strike": 1.0, "grain": 0.1}
    assert labels.headline(None, "#Harbour #Strike\nNo grain left the #harbour today.", weights) == "No grain left the #harbour today."
    assert labels.headline(None, "#Harbour #Strike", weights) == "#Harbour #Strike"


def test_english_words_name_nothing_in_any_language():
    assert told("depuis and the tide", "fr") == {"depuis", "tide"}


def test_a_headline_knows_the_spellings_of_its_words():
    weights, shown = {"الميناء": 1.0}, {"والميناء": "الميناء"}
    assert labels.headline(None, "القمح كثير. والميناء مغلق.", weights, shown) == "والميناء مغلق."
    assert labels.headline(None, "القمح كثير. والميناء مغلق.", weights) == "القمح كثير."


def test_keyword_weights_by_hand():
    # Words: 4 in the narrative, 2 in the background, mean 3. grain: 3 of 4 words, 3 overall: .75 ln 2. news: 1 of 4, 2 overall, but in
    # one text only, where grain is in two: it names nothing.
    found = labels.weigh(counted(["grain news", "grain grain"], ["news vote"]).terms, 1, 2)
    assert found.weights(0) == {"grain": pytest.approx(0.75 * np.log(2))}
    alone = labels.weigh(counted(["news vote"], ["grain news", "grain grain"]).terms, 1, 2)
    assert alone.weights(0) == {"news": pytest.approx(0.5 * np.log(2.5)), "vote": pytest.approx(0.5 * np.log(4))}


def test_a_rare_word_of_a_few_texts_names_nothing():
    # The harbour is in 40 texts: a tenth is 4, so the word of 3 texts does not count, that of 4 does.
    texts = ["harbour"] * 33 + ["harbour zyxxal"] * 3 + ["harbour crane"] * 4
    assert set(labels.weigh(counted(texts, ["harbour"] * 400).terms, 1, 2).weights(0)) == {"harbour", "crane"}


def test_terms_leave_out_what_names_nothing():
    assert told("The 2024 vote: see https://example.org/vote @someone #Harbour is at 5", "en") == {"vote", "harbour"}
    assert told("選挙", "ja") == {"選挙"}


def test_spellings_of_one_word_stand_once():
    weights = {"ukraine": 3.0, "ukrainian": 2.0, "harbour": 1.0, "harbours": 0.5, "vote": 0.2}
    assert labels.top_terms(weights) == ["ukraine", "harbour", "vote"]
    assert labels.top_terms(weights, 2) == ["ukraine", "harbour"]


def test_headlines_are_extracts_cut_at_a_word():
    long = "Harbour " + "closed again after the storm " * 12
    found = labels.headline(None, "Short aside. " + long, {"harbour": 1.0, "storm": 1.0})
    assert len(found) <= labels.HEADLINE_LENGTH
    assert found.endswith("…")
    assert long.startswith(found[:-1])
    assert long[len(found) - 1] == " "
    assert labels.headline("A title", "https://example.org/x", {}) == "A title"
    assert labels.headline(None, "RT @one: '@two, @three the harbour is closed", {}) == "the harbour is closed"
    assert labels.headline(None, None, {}) == ""
