"""Words, folding, sentences and normal forms, and the build of the word frequencies behind the stop words."""

from __future__ import annotations

import json
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyzone.errors import InputError
from greyzone.text import STOP_LANGUAGES, fold, normal_form, sentences, stopwords, words
from greyzone.training import frequencies


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, WORLD!", ["hello", "world"]),
        ("see https://ex.org/a?b=c and t.co/Ab1 or www.ex.org now", ["see", "and", "or", "now"]),
        ("mail jo.doe@ex.org or @jo_doe", ["mail", "or"]),
        ("#NoWar #no_war CVE-2024-1234", ["nowar", "no", "war", "cve", "2024", "1234"]),
        ("Київ п’ять пʼять", ["київ", "п'ять", "п'ять"]),
        ("l'homme don't", ["l", "homme", "don", "t"]),
        ("مُحَمَّد ـرسالةـ", ["مُحَمَّد", "رسالة"]),
        ("中国人 見 abc", ["中国", "国人", "見", "abc"]),
        ("हिन्दी 한국어", ["हिन्दी", "한국어"]),
        ("zero\u200bwidth soft\u00adhyphen", ["zerowidth", "softhyphen"]),
        ("ＦＵＬＬ ﬁne", ["full", "fine"]),
        ("链接https://t.co/x结束", ["链接", "结束"]),
        ("and/or 3.5", ["and", "or", "3", "5"]),
        ("", []),
        ("😀 — !", []),
    ],
)
def test_words_of_many_scripts(text, expected):
    assert words(text) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("Čapek", "capek"),
        ("Łódź", "lodz"),
        ("Straße", "strasse"),
        ("Киев", "kiev"),
        ("п'ять", "pyat"),
        ("Щука", "shchuka"),
        ("Αθήνα", "athina"),
        ("İzmir", "izmir"),
        ("مُحَمَّد", "محمد"),
        ("한국", "한국"),
    ],
)
def test_fold(word, expected):
    assert fold(word) == expected


def test_names_nearly_meet_across_scripts():
    assert fold("Навальный") == "navalnyy"
    assert fold("Путин") == fold("Putin") == "putin"


@pytest.mark.parametrize("lang", STOP_LANGUAGES)
def test_stop_words_are_spelt_as_words_spells_them(lang):
    listed = stopwords(lang)
    assert len(listed) >= 50
    assert all(words(word) == [word] for word in listed)
    assert listed <= stopwords("und")


def test_stop_words_hold_function_words_and_no_subjects():
    assert {"the", "and", "he", "my", "which"} <= stopwords("en")
    assert {"der", "nicht", "ich"} <= stopwords("de")
    assert {"je", "pas", "dans"} <= stopwords("fr")
    assert {"и", "не", "он"} <= stopwords("ru")
    assert {"і", "не", "що"} <= stopwords("uk")
    assert {"się", "nie", "jest"} <= stopwords("pl")
    assert not {"tom", "mary", "covid", "virus", "said", "children", "том", "кажуть", "vírus"} & stopwords("und")
    assert "war" not in stopwords("en")
    assert stopwords("xx") == frozenset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Mr. Smith met Gen. Lee. He left.", ["Mr. Smith met Gen. Lee.", "He left."]),
        ("J. Doe paid 3.5 million. Then what", ["J. Doe paid 3.5 million.", "Then what"]),
        ("Сказано: т.е. так. Да!", ["Сказано: т.е. так.", "Да!"]),
        ("今日は。明日！はい", ["今日は。", "明日！", "はい"]),
        ("Title\nBody of it", ["Title", "Body of it"]),
        ("He said ... nothing more. End", ["He said ... nothing more.", "End"]),
        ("", []),
    ],
)
def test_sentences(text, expected):
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("RT @someone: RT @other Look!", "look"),
        ("Look  HERE — now https://t.co/a", "look here, now: https://t.co/b"),
        ("ＳＴＲＡＳＳＥ", "straße"),
        ("so\u200bft", "soft"),
    ],
)
def test_normal_form_meets(one, other):
    assert normal_form(one) == normal_form(other)


def test_normal_form_keeps_what_differs():
    assert normal_form("costs $5") != normal_form("costs €5")
    assert normal_form("😀") != normal_form("😢")
    assert normal_form("https://t.co/a") == ""


@given(st.text())
def test_normal_form_is_stable_and_sentences_lose_nothing(text):
    once = normal_form(text)
    assert once == once.strip()
    assert "  " not in once
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


@given(st.text())
def test_words_are_lower_case_and_have_a_letter_or_digit(text):
    for word in words(text):
        assert word == word.lower()
        assert any(char.isalnum() for char in word)
        assert fold(fold(word)) == fold(word)


# Quadratic work on any of these takes minutes: the time-out is the test.
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "blob", ["a" * 100_000, "a." * 50_000, "a@" * 50_000, "RT @a " * 20_000, "." * 100_000, "www." * 30_000, "(" * 100_000]
)
def test_hostile_text_does_not_hang(blob):
    assert len("".join(words(blob))) <= len(blob)
    assert len(normal_form(blob)) <= len(blob)
    assert sum(map(len, sentences(blob))) <= len(blob)


ROWS = [
    ("xx-other", "never counted zzz", "nie gezählt"),
    *[("tatoeba-test", f"Tom is here {n}", f"Tom ist hier {n}") for n in range(15)],
    *[("tatoeba-test", f"the dog is old {n}", f"der Hund ist alt {n}") for n in range(15)],
    *[("tatoeba-test", f"the house is old {n}", f"das Haus ist alt {n}") for n in range(15)],
    *[("tico19", f"the virus is new {n}", f"das Virus ist neu {n}") for n in range(200)],
]


def _write_pairs(path, rows=ROWS, header="lang\tcorpus\ten\txx"):
    path.write_bytes(lzma.compress("\n".join([header, *("\t".join(("de", *row)) for row in rows), ""]).encode()))
    return path


def test_frequencies_golden(tmp_path):
    # German Tatoeba: 15 x 4 + 15 x 5 + 15 x 5 = 210 tokens; TICO-19: 200 x 5 = 1000.
    # "ist": 45 and 200 times -> min(50/215, 205/1005); "virus": 0 and 200 -> 5/215.
    # "tom" in English: 15/210 in Tatoeba, 5/1005 in the smaller register: 14 times as frequent, so a subject.
    counts = frequencies.count_words(_write_pairs(tmp_path / "pairs.tsv.xz"))
    table = frequencies.frequencies(counts.registers["de"])
    assert table["ist"] == pytest.approx(205 / 1005)
    assert table["virus"] == pytest.approx(5 / 215)
    assert "gezählt" not in table
    tables, stops = frequencies.build(counts)
    assert "ist" in stops["de"]
    assert "tom" not in stops["de"] + stops["en"]
    assert "tom" not in tables["de"]
    assert "hund" not in stops["de"]


def test_frequencies_rebuild_to_the_same_bytes(tmp_path):
    pairs = _write_pairs(tmp_path / "pairs.tsv.xz")
    for name in ("a", "b"):
        frequencies.main(["--parallel", str(pairs), "--out", str(tmp_path / name)])
    for name in ("word_frequencies.json.xz", "stop_words.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    stored = json.loads(lzma.decompress((tmp_path / "a" / "word_frequencies.json.xz").read_bytes()))
    assert set(stored["languages"]) == {"de", "en"}
    assert len(stored["languages"]["de"]["words"].split()) == len(stored["languages"]["de"]["level_steps"])


@pytest.mark.parametrize(
    ("rows", "header"), [(ROWS, "a\tb"), (ROWS[:1], "lang\tcorpus\ten\txx"), ([("tatoeba", "one field short")], "lang\tcorpus\ten\txx")]
)
def test_frequencies_refuse_other_files(tmp_path, rows, header):
    with pytest.raises(InputError):
        frequencies.build(frequencies.count_words(_write_pairs(tmp_path / "pairs.tsv.xz", rows, header)))
