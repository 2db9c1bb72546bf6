"""Scripts: the table against Unicode's names, texts by their letters, and what a tokenizer or metadata says of them."""

from __future__ import annotations

import itertools
import sys
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.models import HashedEncoder, unknown_scripts
from greyzone.models.scripts import OTHER, RANGES, main_scripts

NAMES = {
    "LATIN": "Latn",
    "CYRILLIC": "Cyrl",
    "GREEK": "Grek",
    "ARABIC": "Arab",
    "HEBREW": "Hebr",
    "ARMENIAN": "Armn",
    "GEORGIAN": "Geor",
    "DEVANAGARI": "Deva",
    "BENGALI": "Beng",
    "TAMIL": "Taml",
    "TELUGU": "Telu",
    "THAI": "Thai",
    "KHMER": "Khmr",
    "MYANMAR": "Mymr",
    "ETHIOPIC": "Ethi",
    "HANGUL": "Hang",
    "HIRAGANA": "Hira",
    "KATAKANA": "Kana",
    "CJK": "Hani",
    "MONGOLIAN": "Mong",
}


def naive_script(character):
    """The script of a letter or mark by the table, one range at a time."""
    return next((name for first, last, name in RANGES if first <= ord(character) <= last), None)


def naive_main(text):
    counts = Counter()
    for character in text:
        script = naive_script(character)
        if script is None and ord(character) > 0x7A and unicodedata.category(character).startswith("L"):
            script = OTHER
        if script:
            counts[script] += 1
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None


def test_the_table_agrees_with_the_names_of_the_letters():
    listed, missed = 0, Counter()
    for point in range(sys.maxunicode + 1):
        character = chr(point)
        if not unicodedata.category(character).startswith("L"):
            continue
        expected = NAMES.get(unicodedata.name(character, "").partition(" ")[0])
        if expected is None:
            continue
        found = naive_script(character)
        if found is None:
            missed[expected] += 1
            continue
        assert found == expected, (hex(point), found, expected)
        listed += 1
    assert listed > 100_000
    # Rare letters, such as the phonetic extensions of Latin, are outside; they must stay few.
    assert sum(missed.values()) < 0.01 * listed, missed


def test_ranges_are_sorted_and_apart():
    assert all(first <= last for first, last, _ in RANGES)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(RANGES))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(st.one_of(st.characters(), st.sampled_from("aбγш字かㄱअ ᏣⴰȺ!1")), max_size=30), max_size=6))
def test_oracle_main_scripts(texts):
    assert main_scripts(texts) == [naive_main(text) for text in texts]


def test_golden_main_scripts():
    texts = ["Привет, world", "hello мир!", "123 😀", "", "ᏣᎳᎩ", "東京は", "\ud800", "Київ e"]
    assert main_scripts(texts) == ["Cyrl", "Latn", None, None, OTHER, "Hani", None, "Cyrl"]


class Letters:
    """An encoder with a tokenizer that knows Latin words, spells Cyrillic, and has no Georgian."""

    fingerprint, dimensions = "letters", 2

    def encode(self, texts):
        raise AssertionError("no vector is needed to judge a script")

    def token_counts(self, texts):
        rows = []
        for text in texts:
            latin = [word for word in text.split() if word.isascii()]
            cyrillic = [letter for letter in text if naive_script(letter) == "Cyrl"]
            georgian = [word for word in text.split() if naive_script(word[0]) == "Geor"]
            han = [letter for letter in text if naive_script(letter) == "Hani"]
            other = sum(len(word) for word in text.split()) - sum(map(len, latin)) - len(cyrillic) - sum(map(len, georgian)) - len(han)
            rows.append((len(latin) + len(cyrillic) + len(georgian) + len(han) + other, len(georgian)))
        return np.array(rows).reshape(-1, 2)


def test_scripts_are_judged_by_the_tokenizer():
    texts = ["plain words here", "Привет всем", "Ещё один текст 2024", "გამარჯობა მსოფლიო", "電力網", "12345", ""]
    assert unknown_scripts(Letters(), texts) == {"Cyrl": 2, "Geor": 1}
    assert unknown_scripts(Letters(), texts[:1]) == unknown_scripts(Letters(), []) == {}


def test_emoji_and_numbers_are_not_judged():
    # Every one of them would be a token of its own, and the Latin text would seem to fall apart.
    assert unknown_scripts(Letters(), ["fine words 😀😀😀😀😀😀😀😀 1 2 3 4 5 6 7 8 9"]) == {}


def test_all_texts_are_counted_though_a_sample_is_judged():
    assert unknown_scripts(Letters(), ["Привет"] * 1000 + ["hello there"] * 5) == {"Cyrl": 1000}


@pytest.mark.parametrize("listed", [["Latn", "Cyrl"], ("Cyrl", "Latn"), "Latn, Cyrl", "Latn Cyrl"])
def test_metadata_says_what_is_known(listed):
    class Says:
        fingerprint, dimensions = "says", 2
        metadata = {"scripts": listed}  # noqa: RUF012 - an invented encoder

        def encode(self, texts):
            raise AssertionError

    assert unknown_scripts(Says(), ["Привет", "hello", "γειά", "שלום", "שלום לך"]) == {"Hebr": 2, "Grek": 1}


def test_the_hashed_encoder_knows_all():
    assert unknown_scripts(HashedEncoder(), ["Привет", "γειά", "電力網"]) == {}


@pytest.fixture(scope="module")
def english_pieces():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    letters = "abcdefghijklmnopqrstuvwxyzабвгдеёжзийклмнопрстуфхцчшщъыьэюя"
    words = ["[UNK]", *letters, *(f"##{letter}" for letter in letters), "the", "power", "grid", "failed", "again", "##ing"]
    tokenizer = Tokenizer(models.WordPiece({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def test_a_real_tokenizer_of_english(english_pieces, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    from greyzone.models import load_encoder

    table = np.random.default_rng(0).normal(size=(english_pieces.get_vocab_size(), 4)).astype(np.float32)
    SentenceTransformer(modules=[StaticEmbedding(english_pieces, embedding_weights=table)], device="cpu").save(str(tmp_path / "model"))
    encoder = load_encoder(tmp_path / "model", device="cpu")
    texts = ["The power grid failed again", "Электросеть снова отказала", "電力網が停止した", "რა მოხდა"]
    assert unknown_scripts(encoder, texts) == {"Cyrl": 1, "Geor": 1, "Hani": 1}
