"""Building the embedded encoder: sources and their licences, pieces, least squares, 4-bit rows, and a whole build with a tiny teacher."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from greyzone.errors import InputError
from greyzone.models.static import StaticEncoder, unpack_rows
from greyzone.training import sources
from greyzone.training.curriculum import Amounts, content_words, lessons
from greyzone.training.leastsquares import Fit, fit_directions, ridge, unit_bags
from greyzone.training.packing import quantise, write_static
from greyzone.training.vocabulary import base_pieces, choose_pieces, english_worth, stem, word_worths

PAIRS = [
    ("de", "tatoeba-test-v2021-08-07", "The harbour is closed.", "Der Hafen ist geschlossen."),
    ("de", "tatoeba-test-v2021-08-07", "The mayor is angry.", "Der Bürgermeister ist wütend."),
    ("de", "newstest2019", "Research only.", "Nur für Forschung."),
    ("ru", "tico19-test", "The mayor closed the harbour.", "Мэр закрыл гавань."),
    ("ru", "tatoeba-laser-v1", "The harbour is empty.", "Гавань пуста."),
    ("ja", "tatoeba-laser-v1", "The harbour is empty.", "港は空だ。"),
]
WORDS = [
    ("de", "harbour", "Hafen"),
    ("de", "mayor", "Bürgermeister"),
    ("ru", "harbour", "гавань"),
    ("ru", "letter", "б"),
    ("ru", "mayor", "мэр"),
]


@pytest.fixture
def material(tmp_path):
    """Invented files of the forms that the real sources have."""
    with lzma.open(tmp_path / "parallel.tsv.xz", "wt", encoding="utf-8") as out:
        out.write("lang\tcorpus\ten\txx\n" + "".join("\t".join(row) + "\n" for row in PAIRS))
    with gzip.open(tmp_path / "words.tsv.gz", "wt", encoding="utf-8") as out:
        out.write("lang\ten\txx\n" + "".join("\t".join(row) + "\n" for row in WORDS))
    for locale, name, sign in (("en", "Ruritania", "harbour"), ("de", "Ruritanien", "Hafen"), ("sr", "Руританија", "лука")):
        for folder, content in (
            (f"names/main/{locale}/territories.json", {"main": {locale: {"localeDisplayNames": {"territories": {"RR": name}}}}}),
            (
                f"notes/annotations/{locale}/annotations.json",
                {"annotations": {"annotations": {"⚓": {"tts": [sign], "default": [sign, "ship"]}}}},
            ),
        ):
            path = tmp_path / "cldr" / folder
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "wordnet").mkdir()
    (tmp_path / "wordnet" / "data.noun").write_text(
        "  1 licence line | no definition\n"
        '001 06 n 01 sea_port 0 000 | a place where ships load; "the harbour was full of ships"\n'
        "002 18 n 01 mayor 0 000 | the head of a city government\n",
        encoding="utf-8",
    )
    return tmp_path


def test_research_only_corpora_are_passed_over_and_counted(material):
    reading = sources.Reading()
    found = list(sources.sentence_pairs(material / "parallel.tsv.xz", frozenset({"de", "ru"}), reading))
    assert [pair.foreign for pair in found] == [row[3] for row in PAIRS if row[0] in {"de", "ru"} and not row[1].startswith("news")]
    assert reading.passed == {"newstest2019": 1}
    assert reading.kept.total() == 5


def test_dictionaries_names_and_definitions(material):
    reading = sources.Reading()
    entries = list(sources.word_pairs(material / "words.tsv.gz", frozenset({"de", "ru"}), reading))
    assert ("ru", "letter", "б") not in {(entry.lang, entry.english, entry.foreign) for entry in entries}
    assert (reading.kept["wiktionary"], reading.passed["wiktionary"]) == (4, 1)
    names = {(pair.lang, pair.english, pair.foreign) for pair in sources.cldr_pairs(material / "cldr", frozenset({"de", "sr"}))}
    assert names >= {("de", "Ruritania", "Ruritanien"), ("sr", "harbour ship", "лука ship"), ("sr", "harbour", "лука")}
    assert list(sources.definitions(material / "wordnet")) == [
        "sea port: a place where ships load",
        "the harbour was full of ships",
        "mayor: the head of a city government",
    ]


@pytest.mark.parametrize("reader", [sources.parallel_rows, lambda path: sources.word_pairs(path, frozenset({"de"}))])
def test_wrong_headers(tmp_path, reader):
    (tmp_path / "x.tsv").write_text("a\tb\n")
    with gzip.open(tmp_path / "x.gz", "wt") as out:
        out.write("a\tb\n")
    path = tmp_path / ("x.tsv" if reader is sources.parallel_rows else "x.gz")
    with pytest.raises(InputError, match="header"):
        list(reader(path))
    with pytest.raises(InputError, match="no CLDR data"):
        list(sources.cldr_pairs(tmp_path, frozenset({"de"})))


def test_lessons_are_distinct_and_do_not_depend_on_order():
    given_ = {
        "vocabulary": ["harbour", "mayor", "zebra", "of"],
        "tatoeba": ["One two.", "Three four."],
        "tico": ["The virus closed the old harbour."],
        "definitions": ["a place where ships load and unload", "the head of a city government", "one two three four five six"],
        "descriptions": ["The actor wrote to many newspapers. It asked the mayor for money and ships."],
        "amounts": Amounts(tatoeba=1, definitions=2, keywords=2, mixtures=5),
        "seed": 3,
    }
    first = lessons(**given_)
    turned = lessons(**(given_ | {name: given_[name][::-1] for name in ("tatoeba", "definitions")}))
    assert first == turned
    assert len(set(first.texts)) == len(first.texts) == len(first.registers)
    assert first.registers.count("tatoeba") == 1
    assert lessons(**(given_ | {"seed": 4})).texts != first.texts
    assert content_words("The harbour of the mayor") == ["harbour", "mayor"]


def test_english_worth_golden():
    # 24 / (1 + 1500/1500) = 12 for a word of rank 1500, shared by two words 6; an unknown word has twice the length of the list as rank.
    ranks = {"harbour": 1500, "the": 0, **{f"w{i}": i for i in range(1, 1498)}}
    assert english_worth(["harbour"], ranks) == 12.0
    assert english_worth(["the", "harbour"], ranks) == 6.0
    assert english_worth(["xyz"], ranks) == pytest.approx(24 / (1 + 2 * len(ranks) / 1500))
    assert english_worth([], ranks) == 0.0


def test_pieces_prefer_stems_and_do_not_depend_on_the_hash_seed():
    worths = {f"министерств{end}": 3.0 for end in ("о", "а", "ом", "ами")} | {"порт": 30.0, "порту": 4.0}
    pieces = choose_pieces(worths, {"порт": 100}, ["harbour", "##s"], size=60)
    assert {"harbour", "##s", "министерств", "порт"} <= set(pieces)
    assert pieces == sorted(pieces)
    assert stem("министерство") == "министерств"
    script = (
        "from greyzone.training.vocabulary import choose_pieces\n"
        f"print(choose_pieces({worths!r}, {{'порт': 100}}, ['harbour', '##s'], size=60))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert said == {f"{pieces}\n"}
    with pytest.raises(InputError, match="size"):
        choose_pieces(worths, {}, ["harbour"], size=3)


def test_worths_and_base_pieces():
    from collections import Counter

    assert word_worths({"de": Counter({"hafen": 4})}, {"de": {"hafen": 1.5, "kai": 2.0}}) == {"hafen": 3.5, "kai": 2.0}
    assert base_pieces(["[PAD]", "harbour", "##s", "café", "電", "##電", "harbour"]) == ["harbour", "##s", "cafe"]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_ridge_oracle(seed):
    random = np.random.default_rng(seed)
    dense = (random.random((12, 6)) < 0.4) * random.integers(1, 3, (12, 6))
    targets, start = random.normal(size=(12, 3)).astype(np.float32), random.normal(size=(6, 3)).astype(np.float32)
    penalty = random.uniform(0.2, 2, 6).astype(np.float32)
    exact = start + np.linalg.solve(dense.T @ dense + np.diag(penalty), dense.T @ (targets - dense @ start))
    bags = sparse.csr_matrix(dense.astype(np.float32))
    np.testing.assert_allclose(ridge(bags, targets, start, penalty, 40), exact, atol=2e-3)
    np.testing.assert_allclose(ridge(bags, targets, start, penalty, 40, begin=np.zeros_like(start)), exact, atol=2e-3)


def test_ridge_refuses_what_does_not_fit():
    bags = sparse.csr_matrix(np.eye(3, dtype=np.float32))
    with pytest.raises(InputError, match="start"):
        ridge(bags, np.zeros((2, 2), np.float32), np.zeros((3, 2), np.float32), 1.0, 1)
    with pytest.raises(InputError, match="penalty"):
        ridge(bags, np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32), 0.0, 1)


def test_rescaling_brings_directions_nearer():
    random = np.random.default_rng(0)
    bags = unit_bags(sparse.random(400, 60, density=0.08, random_state=1, format="csr", dtype=np.float32))
    bags = bags[np.asarray(bags.sum(axis=1)).ravel() > 0]
    # The true sums have very different norms, so no single scale fits them all.
    rows = random.normal(size=(60, 8)).astype(np.float32) * random.lognormal(0, 1, (60, 1)).astype(np.float32)
    targets = np.asarray(bags @ rows)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    weights = np.ones(len(targets), np.float32)
    found = [
        fit_directions(bags, targets, np.zeros((60, 8), np.float32), 0.05, weights=weights, fit=Fit(rescalings=turns)) for turns in (0, 3)
    ]
    reached = [bags @ each for each in found]
    cosines = [float(((each * targets).sum(axis=1) / np.linalg.norm(each, axis=1)).mean()) for each in reached]
    assert cosines[1] > cosines[0] + 0.005


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([2, 8, 64]))
def test_four_bits_lose_little(seed, dimensions):
    rows = np.random.default_rng(seed).normal(size=(20, dimensions)).astype(np.float32)
    codes, scales = quantise(rows)
    back = unpack_rows(codes, scales)
    back *= np.abs(rows).max() / 15 / 65535
    assert np.linalg.norm(back - rows) < 0.14 * np.linalg.norm(rows)
    np.testing.assert_array_equal(quantise(rows)[0], codes)


def test_quantise_golden_and_edges():
    codes, scales = quantise(np.array([[15.0, -15.0, 1.0, -1.0]], np.float32))
    assert (codes.tolist(), scales.tolist()) == ([[15, 8 | 7 << 4]], [65535])
    assert quantise(np.zeros((2, 4), np.float32))[1].tolist() == [1, 1]
    for wrong in (np.zeros((1, 3), np.float32), np.full((1, 2), np.nan, np.float32)):
        with pytest.raises(InputError):
            quantise(wrong)


def test_write_refuses_pieces_that_would_not_come_back(tmp_path):
    rows = np.ones((2, 4), np.float32)
    for wrong in (["a", "a"], ["a", "b\nc"], ["a"], ["a", ""]):
        with pytest.raises(InputError):
            write_static(tmp_path / "x", wrong, rows, {})


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A sentence-transformers model of one layer with fixed weights over the words of the invented material."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("teacher") / "invented"
    said = "the harbour mayor is closed angry empty ship ships load place where head of a city government full was ruritania sea port"
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *said.split(),
        "##s",
        "##ed",
        *"abcdefghijklmnopqrstuvwxyz",
        *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
    ]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(vocabulary)) + "\n", encoding="utf-8")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(dict.fromkeys(vocabulary)),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=40,
    )
    BertModel(config).save_pretrained(folder / "base")
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=40).save_pretrained(folder / "base")
    model = SentenceTransformer(modules=[Transformer(str(folder / "base"), max_seq_length=40), Pooling(16)], device="cpu")
    model.save(str(folder / "model"))
    (folder / "model" / "vocab.txt").write_bytes((folder / "vocab.txt").read_bytes())
    return folder / "model"


def command(material, teacher, out, *more):
    return [
        *("--teacher", str(teacher), "--parallel", str(material / "parallel.tsv.xz"), "--dictionary", str(material / "words.tsv.gz")),
        *("--cldr", str(material / "cldr"), "--wordnet", str(material / "wordnet"), "--cache", str(material / "cache"), "--out", str(out)),
        *("--dimensions", "8", "--pieces", "260", "--mixtures", "40", "--definitions", "10", *more),
    ]


def test_a_whole_build_knows_translations_and_comes_out_the_same_again(material, teacher, capsys):
    from greyzone.training.distill import main

    assert main(command(material, teacher, material / "first.safetensors")) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["bytes"] == (material / "first.safetensors").stat().st_size
    encoder = StaticEncoder.load(material / "first.safetensors")
    assert encoder.dimensions == 8
    assert encoder.metadata["rows_passed_over"] == {"lessons that the teacher does not know": 0, "newstest2019": 1, "wiktionary": 1}
    assert set(encoder.metadata["sources"]) == {"tatoeba", "tico19", "wiktionary", "cldr", "wordnet"}
    english, german, russian, other = encoder.encode(["harbour", "Hafen", "гавань", "mayor"])
    assert min(english @ german, english @ russian) > english @ other
    again = [sys.executable, "-m", "greyzone.training.distill", *command(material, teacher, material / "second.safetensors")]
    subprocess.run(again, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": "11"})
    assert (material / "first.safetensors").read_bytes() == (material / "second.safetensors").read_bytes()


def test_sentence_pairs_alone_are_enough(material, teacher):
    from greyzone.training.distill import Distillation, distill

    made = distill(Distillation(teacher, material / "parallel.tsv.xz", material / "bare.safetensors", pieces=200, dimensions=8, mixtures=5))
    assert set(made.metadata["sources"]) == {"tatoeba", "tico19"}
    german, english, other = StaticEncoder.load(made.path).encode(["Hafen", "harbour", "mayor"])
    assert german @ english > german @ other


def test_a_wrong_teacher_is_one_line(material, tmp_path, capsys):
    from greyzone.training.distill import main

    assert main(command(material, tmp_path, material / "x")) == 2
    assert "vocab.txt" in capsys.readouterr().err
    assert not (material / "x").exists()
