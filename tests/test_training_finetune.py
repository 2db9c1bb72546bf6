"""Fine-tuning of tiny models on invented data: readers, splits, the loss by hand, a run that is killed, the card."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
import signal
import subprocess
import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from greyzone.errors import EncoderError, InputError
from greyzone.models import load_encoder
from greyzone.training.finetune import FinetuneSettings, finetune, main
from greyzone.training.growth import grow, learn_pieces
from greyzone.training.options import parser_of, settings_of
from greyzone.training.pairs import read_examples, split
from greyzone.training.trainer import MARKER, tired

SUBJECTS = ["dam", "bridge", "vaccine", "border", "election", "bank", "grain", "cable"]
WORDS = [*SUBJECTS, "the", "is", "they", "say", "closed", "open", "not", "now", "hidden", "secret", "again", "photo", "shows", "new"]


def pairs(count=48):
    """Posts and claims about numbered things; every claim has two posts."""
    rows = []
    for number in range(count // 2):
        subject, other = SUBJECTS[number % 8], SUBJECTS[number // 8 % 8]
        claim = f"the {subject} w{number} is closed"
        rows += [
            {"anchor": f"they say {subject} w{number} {other} not open now", "positive": claim},
            {"anchor": f"secret photo shows {other} w{number} again", "positive": claim},
        ]
    return rows


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def static_model(tmp_path_factory):
    """A static model of 16 dimensions with random rows."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[UNK]", *WORDS, *(f"w{number}" for number in range(64))]
    tokenizer = Tokenizer(models.WordPiece({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    weights = np.random.default_rng(0).normal(size=(len(words), 16)).astype(np.float32)
    folder = tmp_path_factory.mktemp("models") / "static"
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights), Normalize()], device="cpu").save_pretrained(
        str(folder)
    )
    return folder


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory):
    """A transformer of one layer, with dropout."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("models")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *(f"w{number}" for number in range(64))]
    (folder / "vocab.txt").write_text("\n".join(words), "utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(str(folder / "bert"))
    import torch

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(str(folder / "bert"))
    transformer = Transformer(str(folder / "bert"))
    SentenceTransformer(modules=[transformer, Pooling(16)], device="cpu").save_pretrained(str(folder / "model"))
    return folder / "model"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_lines(tmp_path_factory.mktemp("data") / "pairs.jsonl", pairs())


def chosen(tmp_path, data, base, **given):
    given = {"epochs": 2, "batch_size": 8, "learning_rate": 0.05, "evaluation_share": 0.25, "device": "cpu"} | given
    return FinetuneSettings(data=(data,), base=str(base), out=tmp_path / "out", **given)


def weights(folder):
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.rglob("*.safetensors")))).hexdigest()


def test_readers_agree(tmp_path):
    rows = pairs(8)
    write_lines(tmp_path / "a.jsonl", rows)
    for name, mark in (("a.csv", ","), ("a.tsv", "\t")):
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as stream:
            out = csv.DictWriter(stream, ["anchor", "positive"], delimiter=mark)
            out.writeheader()
            out.writerows(rows)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    import datasets

    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    found = {name: read_examples([tmp_path / name]) for name in ("a.jsonl", "a.csv", "a.tsv", "b.jsonl.gz", "a.parquet", "saved")}
    for name, examples in found.items():
        assert examples.kind == "pairs", name
        assert [(examples.texts[a], examples.texts[p]) for a, p in zip(examples.anchors, examples.positives, strict=True)] == [
            (row["anchor"], row["positive"]) for row in rows
        ], name
        assert examples.sources[0].rows == examples.sources[0].used == 8
    assert found["a.jsonl"].sources[0].sha256 == hashlib.sha256((tmp_path / "a.jsonl").read_bytes()).hexdigest()


def test_rows_left_out_are_counted(tmp_path):
    rows = [
        {"anchor": "a", "positive": "b"},
        {"anchor": "a", "positive": "b"},
        {"anchor": "c", "positive": None},
        {"anchor": "d", "positive": "d"},
    ]
    source = read_examples([write_lines(tmp_path / "a.jsonl", rows)]).sources[0]
    assert (source.rows, source.used) == (4, 1)
    assert source.left_out == {"anchor is its positive": 1, "no positive": 1, "repeated row": 1}
    rows = [{"text": "a", "label": 1}, {"text": "b", "label": 1}, {"text": "b", "label": 1}, {"text": "c", "label": 2}]
    rows += [{"text": "d", "label": 1}, {"text": "d", "label": 2}]
    found = read_examples([write_lines(tmp_path / "b.jsonl", rows)])
    assert found.sources[0].left_out == {"label with one text": 1, "repeated text": 1, "text with several labels": 2}
    assert (found.kind, found.sources[0].used, sorted(found.texts)) == ("labelled", 2, ["a", "b"])
    rows = [{"anchor": "a", "positive": "b", "negative": "c"}, {"anchor": "e", "positive": "c", "negative": "b"}]
    rows += [{"anchor": "c", "positive": "d", "negative": "e"}]
    found = read_examples([write_lines(tmp_path / "c.jsonl", rows)])
    assert found.sources[0].left_out == {"negative of the same group": 1}
    assert len(found) == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"anchor": "a"}\n', "columns anchor"),
        ("a.jsonl", "{no\n", "line 1 of a.jsonl is no JSON"),
        ("a.jsonl", "[1]\n", "is a list"),
        ("a.jsonl", '{"text": "a", "label": ["x"]}\n', "one label a row"),
        ("a.jsonl", '{"s1": "a", "s2": "b", "score": "high"}\n', "score 'high'"),
        ("a.jsonl", '{"anchor": 3, "positive": "b"}\n', "anchor in row 1"),
        ("a.jsonl", '{"anchor": "a", "positive": "b"}\n{"anchor": "a"}\n', "row 2 of a.jsonl has no column 'positive'"),
        ("a.jsonl", "", "no usable row"),
        ("a.csv", "anchor,positive\na\n", "row 1 of a.csv has 1 fields"),
        ("a.txt", "x", "a.txt"),
        ("a.parquet", "x", "a Parquet file"),
        ("a.jsonl.gz", "x", "cannot read"),
    ],
)
def test_unusable_files(tmp_path, name, text, message):
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(InputError, match=message) as caught:
        read_examples([tmp_path / name])
    assert "\n" not in str(caught.value)


def test_named_columns(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"post": "a", "claim": "b", "label": "x", "text": "t"}])
    assert read_examples([path], columns={"anchor": "post", "positive": "claim"}).kind == "pairs"
    with pytest.raises(InputError, match="column 'body'"):
        read_examples([path], columns={"body": "post"})


texts = st.text("abcdef", min_size=1, max_size=2)


@limits(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(texts, texts), min_size=1, max_size=30), st.floats(0.1, 0.9), st.integers(0, 99), st.randoms(use_true_random=False)
)
def test_split_keeps_groups_together_whatever_the_order(tmp_path_factory, rows, share, seed, random):
    folder = tmp_path_factory.mktemp("split")
    rows = [{"anchor": a, "positive": b} for a, b in rows]
    sides = []
    for turn in range(2):
        try:
            parts = split(read_examples([write_lines(folder / f"{turn}.jsonl", rows)]), share, seed=seed)
        except InputError:
            sides.append(None)
        else:
            sides.append([sorted(part.texts) for part in parts])
            assert not set(parts[0].texts) & set(parts[1].texts)
            assert sum(map(len, parts)) == len({(row["anchor"], row["positive"]) for row in rows if row["anchor"] != row["positive"]})
        random.shuffle(rows)
    assert sides[0] == sides[1]


def test_labels_make_one_circle_each(tmp_path):
    rows = [{"text": f"{label}{number}", "label": label} for label in "xyz" for number in range(5)]
    found = read_examples([write_lines(tmp_path / "a.jsonl", rows)], seed=3)
    assert Counter(found.anchors.tolist()) == Counter(found.positives.tolist()) == Counter(range(15))
    assert all(found.texts[a][0] == found.texts[p][0] and a != p for a, p in zip(found.anchors, found.positives, strict=True))
    assert (found.groups[found.anchors] == found.groups[found.positives]).all()


def test_golden_loss():
    """Two texts of one group and one of another: the group's other text is in no softmax."""
    import torch

    from greyzone.training.losses import NO_TEXT, ranking_loss

    def given(*angles):
        return {"sentence_embedding": torch.tensor([[math.cos(angle), math.sin(angle)] for angle in angles])}

    loss = ranking_loss(torch.nn.Identity(), scale=2.0)
    anchors, positives, negatives = (0.0, 0.3, 1.5), (0.1, 0.5, 1.9), (0.7, 0.9, 1.1)
    labels = torch.tensor([[1, 2], [1, 1], [2, NO_TEXT]])

    def part(row, own, others):
        terms = [math.exp(2 * math.cos(row - other)) for other in others]
        return -math.log(math.exp(2 * math.cos(row - own)) / sum(terms))

    # Groups of the candidates: positives 1 1 2, negatives 2 1 none. An anchor of group 1 keeps its positive and texts of group 2.
    forward = part(0.0, 0.1, [0.1, 1.9, 0.7]) + part(0.3, 0.5, [0.5, 1.9, 0.7]) + part(1.5, 1.9, [0.1, 0.5, 1.9, 0.9])
    backward = part(0.1, 0.0, [0.0, 1.5]) + part(0.5, 0.3, [0.3, 1.5]) + part(1.9, 1.5, [0.0, 0.3, 1.5])
    found = loss([given(*anchors), given(*positives), given(*negatives)], labels)
    assert float(found) == pytest.approx((forward + backward) / 6, rel=1e-5)


def test_patience_counts_from_the_best():
    log = [{"eval_figure": value} for value in (0.1, 0.3, 0.2, 0.3)]
    assert [tired(log[:n], 2) for n in range(5)] == [False, False, False, False, True]
    assert not tired([*log[:3], {"loss": 1.0}, {"eval_figure": 0.31}], 2)


def test_static_model_learns_and_loads(tmp_path, data, static_model):
    test = write_lines(
        tmp_path / "test.jsonl", [{"anchor": "they say dam w60", "positive": "w60 closed"}, {"anchor": "new w61", "positive": "w61"}]
    )
    settings = chosen(
        tmp_path,
        data,
        static_model,
        epochs=6,
        hard_negatives=1,
        matryoshka=(16, 8),
        test=(test,),
        licence=("CC0 (invented)",),
        note="For a test.",
    )
    found = finetune(settings)
    assert found.validation["mrr"][1] > found.validation["mrr"][0] + 0.05
    assert len(found.test["mrr_among_training_too"]) == 2
    assert found.mined["taken"] > 0
    assert not (tmp_path / "out.run").exists()
    encoder = load_encoder(str(tmp_path / "out"), device="cpu")
    rows = encoder.encode(["they say dam w0", "the dam w0 is closed"])
    assert rows.shape == (2, 16)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    record = json.loads((tmp_path / "out" / "training.json").read_text("utf-8"))
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    assert record["data"][0]["sha256"] == digest
    assert record["figures"]["validation"]["mrr"] == found.validation["mrr"]
    for part in (
        digest,
        load_encoder(str(static_model)).fingerprint,
        "CC0 (invented)",
        "For a test.",
        "not for",
        f"{found.validation['mrr'][1]:.4f}",
    ):
        assert part in card
    assert "| training | pairs.jsonl |" in card
    assert "w0" not in card
    assert str(data.parent) not in card
    assert "w0" not in json.dumps(record)
    with pytest.raises(InputError, match="is there already"):
        finetune(settings)


def test_hard_negatives_are_of_other_groups(tmp_path, data, static_model):
    from greyzone.training.finetune import _columns, with_hard_negatives

    examples = read_examples([data])
    vectors = load_encoder(str(static_model), device="cpu").encode(examples.texts)
    rows, counts = with_hard_negatives(examples, vectors, chosen(tmp_path, data, static_model, hard_negatives=2))
    columns = _columns(rows)
    claim_of = {row["anchor"]: row["positive"] for row in pairs()}
    met = 0
    for number in (1, 2):
        for anchor, negative, label in zip(columns["anchor"], columns[f"negative_{number}"], columns["label"], strict=True):
            assert (negative == "") == (label[number] == -1)
            assert negative != claim_of[anchor]
            met += bool(negative)
    assert met == counts["taken"] > 0


def test_unknown_texts_stop_nothing_and_stay_unknown(tmp_path, static_model):
    from safetensors.numpy import load_file
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(static_model), device="cpu")
    model[0].embedding.weight.data[0] = 0
    model.save_pretrained(str(tmp_path / "base"))
    rows = [
        row | ({"anchor": f"где {place}"} if place % 6 == 0 else {"anchor": f"где {row['anchor']}"}) for place, row in enumerate(pairs())
    ]
    found = finetune(chosen(tmp_path, write_lines(tmp_path / "a.jsonl", rows), tmp_path / "base", evaluation_share=0.0))
    assert (found.unreadable, found.rows) == (8, 40)
    before, after = (next(iter(load_file(folder / "model.safetensors").values())) for folder in (tmp_path / "base", tmp_path / "out"))
    assert np.abs(after - before).max() > 0.05
    assert not after[0].any()
    assert not load_encoder(str(tmp_path / "out"), device="cpu").encode(["где"]).any()
    (tmp_path / "out").rename(tmp_path / "first")
    unknown = write_lines(tmp_path / "b.jsonl", [{"anchor": f"где {place}", "positive": f"кто {place}"} for place in range(9)])
    with pytest.raises(InputError, match="9 rows of texts"):
        finetune(chosen(tmp_path, unknown, tmp_path / "base", evaluation_share=0.0))


def test_keep_mixes_the_start_weights_in(tmp_path, data, static_model):
    from safetensors.numpy import load_file

    def rows(folder):
        return next(iter(load_file(next(folder.rglob("*.safetensors"))).values()))

    for name, keep in (("none", 0.0), ("some", 0.25)):
        (tmp_path / name).mkdir()
        finetune(chosen(tmp_path / name, data, static_model, evaluation_share=0.0, keep=keep))
    trained, mixed = rows(tmp_path / "none" / "out"), rows(tmp_path / "some" / "out")
    np.testing.assert_allclose(mixed, 0.75 * trained + 0.25 * rows(static_model), atol=1e-6)
    assert np.abs(trained - rows(static_model)).max() > 0.05


def test_scored_pairs(tmp_path, static_model):
    rows = [
        {"s1": f"they say {one} w{number}", "s2": f"{other} w{number + (one != other)} is open", "score": float(one == other)}
        for number in range(24)
        for one, other in ((SUBJECTS[number % 8], SUBJECTS[number % 8]), (SUBJECTS[number % 8], SUBJECTS[(number + 3) % 8]))
    ]
    data = write_lines(
        tmp_path / "scored.jsonl", [row | {"s1": f"{row['s1']} w{place}", "s2": f"{row['s2']} new"} for place, row in enumerate(rows)]
    )
    found = finetune(chosen(tmp_path, data, static_model, evaluation_share=0.0, test=(data,), epochs=4))
    assert found.kind == "scored"
    assert found.test["spearman"][1] > found.test["spearman"][0]


def test_labelled_texts_and_a_transformer(tmp_path, tiny_bert):
    rows = [{"text": f"{SUBJECTS[label]} w{number} {WORDS[number % 9 + 8]}", "label": label} for label in range(6) for number in range(5)]
    data = write_lines(tmp_path / "labelled.jsonl", rows)
    found = finetune(chosen(tmp_path, data, tiny_bert, epochs=1, learning_rate=1e-3, max_tokens=16))
    assert found.kind == "labelled"
    assert found.groups < 6
    assert load_encoder(str(tmp_path / "out"), device="cpu").encode(["dam w1"]).shape == (1, 16)


def static(pieces, rows):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece({piece: place for place, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    weights = np.array(rows, dtype=np.float32)
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights), Normalize()], device="cpu")


def test_golden_growth():
    """The word "aab" was cut into a ##a ##b; as one piece it has the sum of their rows and so the same vector. "где" was unknown."""
    model = static(["[UNK]", "a", "##a", "##b", "c"], [[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3], [5, 5, 0]])
    texts = ["aab c", "AAB aab", "где c", "где"]
    before = model.encode(["aab", "c", "где"])
    found = grow(model, texts, learn=40, surface=0.0, seed=0)
    vocabulary = model[0].tokenizer.get_vocab()
    assert {"aab", "где"} <= set(vocabulary)
    assert len(vocabulary) == 5 + found.pieces
    rows = model[0].embedding.weight.detach().numpy()
    assert rows[vocabulary["aab"]].tolist() == [1, 2, 3]
    after = model.encode(["aab", "c", "где"])
    np.testing.assert_allclose(after[:2], before[:2], atol=1e-6)
    assert not before[2].any()
    assert np.linalg.norm(after[2]) == pytest.approx(1, abs=1e-5)
    assert (found.unknown_before, found.unknown_after) == (pytest.approx(2 / 13, abs=1e-5), 0)


def naive_pieces(words, size):
    """Merges one by one over the whole list of words."""
    cut = {word: [word[0], *(f"##{sign}" for sign in word[1:])] for word in words}
    pieces = dict.fromkeys(sorted({piece for parts in cut.values() for piece in parts}))
    while len(pieces) < size:
        weight = Counter()
        for word, parts in cut.items():
            for place in range(len(parts) - 1):
                weight[parts[place], parts[place + 1]] += words[word]
        best = min(weight, key=lambda pair: (-weight[pair], pair), default=None)
        if best is None or weight[best] < 2:
            break
        merged = best[0] + best[1].removeprefix("##")
        pieces[merged] = None
        for word, parts in cut.items():
            place, new = 0, []
            while place < len(parts):
                hit = tuple(parts[place : place + 2]) == best
                new.append(merged if hit else parts[place])
                place += 2 if hit else 1
            cut[word] = new
    return list(pieces)


@limits(deadline=None, max_examples=100)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=8), st.integers(1, 5), min_size=1, max_size=12), st.integers(1, 40))
def test_oracle_pieces(words, size):
    assert learn_pieces(words, size) == naive_pieces(words, size)
    assert learn_pieces(dict(reversed(words.items())), size) == learn_pieces(words, size)


def test_surface_brings_texts_that_share_a_rare_word_together():
    rows = np.random.default_rng(0).normal(size=(12, 512)) * 0.01 + np.ones(512)
    pieces = ["[UNK]", *"abcdefghijk"]
    rows[0] = 0
    texts = ["a b", "a c", "a d", "a e", "a f"]
    model = static(pieces, rows)
    plain = model.encode(["a b g", "h i b", "h i j"])
    grow(model, texts, learn=0, surface=2.0, seed=1)
    turned = model.encode(["a b g", "h i b", "h i j"])
    assert abs(plain[0] @ plain[1] - plain[0] @ plain[2]) < 0.01
    assert turned[0] @ turned[1] > turned[0] @ turned[2] + 0.05
    again = static(pieces, rows)
    grow(again, texts, learn=0, surface=2.0, seed=1)
    assert again.encode(["a b g"]).tobytes() == turned[:1].tobytes()


def test_only_word_pieces_can_be_grown(tmp_path, data, tiny_bert):
    from tokenizers import Tokenizer, models

    model = static(["[UNK]"], [[0.0]])
    model[0].tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    with pytest.raises(InputError, match="WordLevel"):
        grow(model, ["a"], learn=10, surface=0.0, seed=0)
    with pytest.raises(InputError, match="a static model"):
        finetune(chosen(tmp_path, data, tiny_bert, learn_pieces=10))


@pytest.mark.parametrize(
    "given",
    [
        {"epochs": 0},
        {"batch_size": 1},
        {"learning_rate": 0.0},
        {"warmup": 2.0},
        {"evaluation_share": 1.0},
        {"patience": 0},
        {"device": "tpu"},
        {"keep": 1.0},
        {"scale": 0.0},
        {"hard_negatives": -1},
        {"learn_pieces": -1},
        {"surface": -0.5},
        {"matryoshka": (32,)},
        {"max_tokens": 64},
        {"kind": "poems"},
    ],
)
def test_settings_out_of_range(tmp_path, data, static_model, given):
    with pytest.raises(InputError):
        finetune(chosen(tmp_path, data, static_model, **given))


def test_an_encoder_without_weights_cannot_be_trained(tmp_path, data):
    with pytest.raises(EncoderError, match="no weights to train"):
        finetune(chosen(tmp_path, data, "hashed"))


def test_options_are_the_settings(data):
    given = parser_of(FinetuneSettings, prog="x", description="y").parse_args(
        ["--data", str(data), "b.csv", "--out", "model", "--matryoshka", "8", "4", "--columns", "anchor=post", "--learning-rate", "0.5"]
    )
    found = settings_of(FinetuneSettings, given)
    assert (found.matryoshka, found.columns, found.learning_rate, found.batch_size, len(found.data)) == (
        (8, 4),
        ("anchor=post",),
        0.5,
        None,
        2,
    )
    help_text = parser_of(FinetuneSettings, prog="x", description="y").format_help()
    assert "Checkpoints without a better figure" in " ".join(help_text.split())


def test_command_errors_are_one_line(tmp_path, capsys):
    path = write_lines(tmp_path / "a.jsonl", [{"post": "a"}])
    assert main(["--data", str(path), "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].startswith("error: columns post in a.jsonl; expected anchor+positive+negative")


def run_until_killed(settings_code, step, where):
    """Run `finetune` in another process that kills itself while it saves the checkpoint of `step`."""
    code = f"""
import os, pathlib, signal
from pathlib import Path, PosixPath
from greyzone.training.finetune import FinetuneSettings, finetune
touch = pathlib.Path.touch
def deadly(self, *given, **named):
    if self.parent.name == "checkpoint-{step}":
        if {where!r} == "after":
            touch(self, *given, **named)
        os.kill(os.getpid(), signal.SIGKILL)
    touch(self, *given, **named)
pathlib.Path.touch = deadly
finetune({settings_code})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(("base", "where", "from_step"), [("static", "after", 6), ("bert", "before", 4)])
def test_killed_run_ends_with_the_same_bytes(tmp_path, data, static_model, tiny_bert, base, where, from_step):
    """A kill behind the checkpoint of step 6, in the middle of an epoch, or before that checkpoint is whole."""
    model, more = (
        (static_model, {"hard_negatives": 1, "learn_pieces": 60, "surface": 0.5}) if base == "static" else (tiny_bert, {"keep": 0.1})
    )
    settings = chosen(tmp_path, data, model, epochs=3, checkpoint_steps=2, patience=9, learning_rate=0.01, **more)
    run_until_killed(repr(settings), 6, where)
    work = tmp_path / "out.run"
    assert not (tmp_path / "out").exists()
    assert (work / "checkpoints" / "checkpoint-6" / MARKER).exists() == (where == "after")
    with pytest.raises(InputError, match=r"begun with another settings\.scale"):
        finetune(chosen(tmp_path, data, model, epochs=3, checkpoint_steps=2, patience=9, learning_rate=0.01, **more, scale=5.0))
    resumed = finetune(settings)
    assert resumed.trained.resumed_from == from_step
    (tmp_path / "whole").mkdir()
    whole = finetune(chosen(tmp_path / "whole", data, model, epochs=3, checkpoint_steps=2, patience=9, learning_rate=0.01, **more))
    assert whole.trained.resumed_from is None
    assert whole.trained.history == resumed.trained.history
    assert weights(tmp_path / "out") == weights(tmp_path / "whole" / "out")
    assert (tmp_path / "out" / "training.json").read_bytes() == (tmp_path / "whole" / "out" / "training.json").read_bytes()
