"""The embedded default encoder: exact sums, the rules by which words are cut, the file, and the same encoder for sentence-transformers."""

from __future__ import annotations

import hashlib
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.errors import EncoderError
from greyzone.models import load_encoder
from greyzone.models.static import StaticEncoder, cut_word, unpack_rows, word_key, word_parts
from greyzone.records import Encoder
from greyzone.text import words
from greyzone.training.packing import quantise, write_static

SHIPPED = pathlib.Path(__file__).resolve().parents[1] / "models" / "data" / "static.safetensors"
CARD = SHIPPED.with_name("README.md")

PIECES = ["harbour", "mayor", "un", "##load", "##ed", "burgomistrz", "порт", "##у", "ال", "ميناء"]

MANY = [
    "The harbour was closed by the mayor.",
    "Burmistrz zamknął port w środę",
    "Мер закрив порт у середу, п'ять суден чекають",
    "Der Bürgermeister schließt den Hafen",
    "رئيس البلدية يغلق الميناء",
    "@somebody see https://example.org/a?b=c and mail me@example.org #harbour",
    "İstanbul limanı kapatıldı",
    "L’été, c’est l'hiver",
]


def tiny() -> StaticEncoder:
    codes, scales = quantise(np.random.default_rng(7).normal(size=(len(PIECES), 8)).astype(np.float32))
    return StaticEncoder(PIECES, codes, scales, {"scripts": ["Latn"]})


@pytest.fixture(scope="module")
def shipped():
    return load_encoder("default")


def test_golden_sum():
    # Codes 15 and 0 stand for +15 and -15, 8 and 7 for +1 and -1. "mayor mayor harbour" sums
    # 2 * 3 * (15, -15) + 1 * (1, -1) = (91, -91), of which the direction is (1, -1) / sqrt(2).
    encoder = StaticEncoder(["mayor", "harbour"], np.array([[15], [8 | 7 << 4]], np.uint8), np.array([3, 1], np.uint16), {})
    np.testing.assert_array_equal(unpack_rows(np.array([[15], [8 | 7 << 4]], np.uint8), np.array([3, 1], np.uint16)), [[45, -45], [1, -1]])
    np.testing.assert_allclose(encoder.encode(["mayor, Mayor: harbour"]), [[0.5**0.5, -(0.5**0.5)]], rtol=1e-7)
    assert not encoder.encode(["", "unheard-of", "電力"]).any()


def test_oracle_naive_sum():
    encoder = tiny()
    texts = ["harbour mayor unloaded", "unload the harbour", "порту", "الميناء", "harbour " * 50, ""]
    rows = unpack_rows(*(np.asarray(part) for part in (encoder._codes, encoder._scales)))
    for text, found in zip(texts, encoder.encode(texts), strict=True):
        total = np.zeros(8)
        for word in words(text):
            for part in word_parts(word):
                for place in cut_word(part, {piece: i for i, piece in enumerate(PIECES)}, 12):
                    total += rows[place]
        norm = np.linalg.norm(total)
        np.testing.assert_allclose(found, total / norm if norm else total, atol=1e-6)


def test_words_are_cut_by_the_longest_piece_and_dropped_whole_if_a_sign_is_unknown():
    places = {piece: i for i, piece in enumerate(["un", "unload", "##ed", "##e", "##d"])}
    assert cut_word("unloaded", places, 6) == (1, 2)
    assert cut_word("unloadedx", places, 6) == ()
    assert tiny().word_pieces("unloaded") == (2, 3, 4)
    assert tiny().word_pieces("الميناء") == (8, 9)


@pytest.mark.parametrize(
    ("word", "key"),
    [("Čapek", "capek"), ("ŁÓDŹ", "lodz"), ("п'ять", "пять"), ("מ", "מ"), ("straße", "strasse"), ("ı", "i"), ("أحمد", "احمد")],
)
def test_word_key(word, key):
    assert word_key(word) == key


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from([*MANY, "", "zzz"]), min_size=1, max_size=12), st.integers(1, 5))
def test_batches_and_order_do_not_show(shipped, texts, size):
    whole = shipped.encode(texts)
    parts = np.concatenate([shipped.encode(texts[i : i + size]) for i in range(0, len(texts), size)])
    assert whole.tobytes() == parts.tobytes()
    assert shipped.encode(texts[::-1])[::-1].tobytes() == whole.tobytes()


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=60))
def test_any_text_gives_a_unit_or_a_zero_row(shipped, text):
    (row,) = shipped.encode([text])
    norm = float(np.linalg.norm(row))
    assert abs(norm - 1) < 1e-5 or norm == 0


def test_chunks_do_not_show(shipped, monkeypatch):
    from greyzone.models import static

    expected = shipped.encode(MANY)
    monkeypatch.setattr(static, "CHUNK_CHARACTERS", 20)
    monkeypatch.setattr(static, "REMEMBERED_WORDS", 3)
    fresh = StaticEncoder.load()
    assert fresh.encode(MANY).tobytes() == expected.tobytes()


def test_shipped_weights_are_what_the_card_says(shipped):
    raw = SHIPPED.read_bytes()
    assert len(raw) <= 12_000_000
    assert hashlib.sha256(raw).hexdigest() in CARD.read_text("utf-8")
    assert isinstance(shipped, Encoder)
    assert shipped.dimensions == 256
    assert len(shipped.pieces) == shipped.metadata["pieces"]
    assert {"Latn", "Cyrl", "Arab"} <= set(shipped.metadata["scripts"])
    asked = "ru uk be pl cs sk de fr es it pt nl ro bg sr hr tr lt lv et ar en".split()  # noqa: SIM905
    assert set(asked) <= set(shipped.metadata["languages"])
    licences = {source["licence"] for source in shipped.metadata["sources"].values()}
    share_alike_at_most = {"CC BY 2.0 FR", "CC0 1.0", "CC0 1.0 or BSD-2-Clause", "CC BY-SA 3.0", "CC BY-SA 4.0", "Unicode License v3"}
    assert licences <= share_alike_at_most | {"WordNet 3.0 License"}
    assert not any(corpus.startswith("news") for corpus in shipped.metadata["rows_kept"])
    assert any(corpus.startswith("newstest") for corpus in shipped.metadata["rows_passed_over"])


TRANSLATED = {
    "en": [
        "Hackers stole the emails of the ministry",
        "The hospital has no medicine left",
        "Thousands protest against the war",
        "The team won the final",
    ],
    "de": [
        "Hacker stahlen die E-Mails des Ministeriums",
        "Das Krankenhaus hat keine Medikamente mehr",
        "Tausende protestieren gegen den Krieg",
        "Die Mannschaft gewann das Finale",
    ],
    "fr": [
        "Des pirates ont volé les courriels du ministère",
        "L'hôpital n'a plus de médicaments",
        "Des milliers protestent contre la guerre",
        "L'équipe a gagné la finale",
    ],
    "ru": [
        "Хакеры украли электронные письма министерства",
        "В больнице не осталось лекарств",
        "Тысячи протестуют против войны",
        "Команда выиграла финал",
    ],
    "pl": [
        "Hakerzy ukradli e-maile ministerstwa",
        "W szpitalu nie ma już leków",
        "Tysiące protestują przeciwko wojnie",
        "Drużyna wygrała finał",
    ],
    "uk": [
        "Хакери викрали електронні листи міністерства",
        "У лікарні не залишилося ліків",
        "Тисячі протестують проти війни",
        "Команда виграла фінал",
    ],
}


@pytest.mark.parametrize("lang", sorted(set(TRANSLATED) - {"en"}))
def test_meaning_survives_translation(shipped, lang):
    alike = shipped.encode(TRANSLATED[lang]) @ shipped.encode(TRANSLATED["en"]).T
    assert alike.argmax(axis=1).tolist() == alike.argmax(axis=0).tolist() == [0, 1, 2, 3]


def test_same_bytes_in_any_process_and_without_torch():
    script = (
        "import sys, hashlib, json; from greyzone.models import load_encoder\n"
        f"rows = load_encoder().encode({json.dumps(MANY)})\n"
        "print(hashlib.sha256(rows.tobytes()).hexdigest(), sorted({'torch', 'tokenizers', 'transformers'} & set(sys.modules)))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert said.pop().endswith(" []\n")


def test_as_sentence_transformer_agrees(shipped, tmp_path):
    model = shipped.as_sentence_transformer()
    expected = shipped.encode(MANY)
    np.testing.assert_allclose(model.encode(MANY), expected, atol=1e-5)
    assert not np.asarray(model.encode(["電力"])).any()
    model.save(str(tmp_path / "model"))
    np.testing.assert_allclose(load_encoder(tmp_path / "model", device="cpu").encode(MANY), expected, atol=1e-5)


@pytest.mark.shared
def test_as_sentence_transformer_agrees_on_every_language(shipped, shared_data):
    import gzip

    with gzip.open(shared_data / "flores101_wide.tsv.gz", "rt", encoding="utf-8") as lines:
        header = next(lines).rstrip("\n").split("\t")
        rows = [line.rstrip("\n").split("\t") for line in lines][:60]
    columns = [place for place, name in enumerate(header) if name in shipped.metadata["languages"]]
    texts = [row[place] for row in rows for place in columns]
    cosines = (np.asarray(shipped.as_sentence_transformer().encode(texts)) * shipped.encode(texts)).sum(axis=1)
    assert cosines.min() > 1 - 1e-5


def test_fingerprint_follows_the_rows(tmp_path):
    rows = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    for name, scale in (("a", 1.0), ("b", 2.0), ("c", 1.0)):
        write_static(tmp_path / name, ["x", "y", "##z"], rows * np.array([[1.0], [scale], [1.0]], np.float32), {"scripts": []})
    prints = {name: StaticEncoder.load(tmp_path / name).fingerprint for name in "abc"}
    assert prints["a"] == prints["c"] != prints["b"]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()


@pytest.mark.parametrize("damage", ["absent", "cut", "other", "format"])
def test_files_that_are_none_of_ours(tmp_path, damage):
    path = tmp_path / "w.safetensors"
    if damage == "cut":
        path.write_bytes(SHIPPED.read_bytes()[:5000])
    elif damage == "other":
        path.write_bytes(b"x" * 100)
    elif damage == "format":
        from safetensors.numpy import save

        path.write_bytes(save({"pieces": np.zeros(3, np.uint8)}, {"greyzone": json.dumps({"format": "other"})}))
    with pytest.raises(EncoderError) as caught:
        StaticEncoder.load(path)
    assert "\n" not in str(caught.value)


def test_arrays_that_do_not_fit():
    with pytest.raises(EncoderError):
        StaticEncoder(["a"], np.zeros((2, 4), np.uint8), np.ones(2, np.uint16), {})
    with pytest.raises(EncoderError):
        StaticEncoder(["a"], np.zeros((1, 4), np.int8), np.ones(1, np.uint16), {})
