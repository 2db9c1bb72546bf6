"""Sentence-transformers models built here, transformer and static: vectors, windows, prompts, precision, errors."""

from __future__ import annotations

import math
import shutil
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.errors import EncoderError, InputError
from greyzone.models import load_encoder
from greyzone.models import sentence as module
from greyzone.models.device import resolve_dtype
from greyzone.models.prompts import E5_INSTRUCTION, E5_PROMPT, choose_prompt
from greyzone.models.windows import PieceTokenizer, Window, backend_of, cut, spans
from greyzone.records import Encoder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A sentence-transformers model of two layers over an invented vocabulary, with fixed weights."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "zorb", "quix", "blan", "##ka", "mirr", "##ol", "tev"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=24,
    )
    base = folder / "base"
    BertModel(config).save_pretrained(base)
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=24).save_pretrained(base)
    transformer = Transformer(str(base), max_seq_length=16)
    model = SentenceTransformer(modules=[transformer, Pooling(16)], device="cpu")
    model.save(str(folder / "model"))
    return folder / "model"


TINY_TEXTS = ["zorb quix", "blanka mirrol tev zorb quix zorb", "", "tev", "unheard-of", "zorb quix", "mirrol " * 40]


def test_sentence_transformer_from_a_folder(tiny_model, caplog):
    encoder = load_encoder(tiny_model, device="cpu", batch_size=2)
    rows = encoder.encode(TINY_TEXTS)
    assert isinstance(encoder, Encoder)
    assert rows.shape == (len(TINY_TEXTS), 16)
    assert rows.dtype == np.float32
    norms = np.linalg.norm(rows, axis=1)
    np.testing.assert_allclose(norms, [1, 1, 0, 1, 0, 1, 1], atol=1e-5)
    assert "cut" not in caplog.text
    np.testing.assert_allclose(rows[0], rows[5], atol=1e-6)
    assert abs(float(rows[0] @ rows[3])) < 0.9999


LONG_WORDS = ["mirrol", "zorb", "quix", "blanka", "tev"] * 9


def naive_vectors(folder, texts, *, prompt="", dimensions=16):
    """One text, one window, one forward pass at a time, by the library's own encode; windows cut by words."""
    from sentence_transformers import SentenceTransformer

    plain = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    tokenizer = plain.tokenizer
    room = 16 - 2 - len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    rows = []
    for text in texts:
        words = text.split()
        sizes = [len(tokenizer(word, add_special_tokens=False)["input_ids"]) for word in words]
        start, total = 0, np.zeros(dimensions)
        while True:
            end = start
            while end < len(words) and sum(sizes[start : end + 1]) <= room:
                end += 1
            vector = plain.encode(" ".join(words[start:end]), prompt=prompt)[:dimensions].astype(np.float64)
            total += sum(sizes[start:end]) * vector / np.linalg.norm(vector)
            if end == len(words):
                break
            # One eighth of a window is one token here: the next window begins with the last word.
            start = end - 1
        rows.append(total / np.linalg.norm(total))
    return np.stack(rows)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize(("prompt", "dimensions"), [("", 16), ("tev zorb ", 16), ("", 5)])
def test_oracle_one_by_one(tiny_model, batch_size, prompt, dimensions):
    texts = [text for text in TINY_TEXTS if text not in ("", "unheard-of")] + [" ".join(LONG_WORDS), " ".join(LONG_WORDS[::-1])]
    expected = naive_vectors(tiny_model, texts, prompt=prompt, dimensions=dimensions)
    encoder = load_encoder(str(tiny_model), device="cpu", batch_size=batch_size, prompt=prompt, dimensions=dimensions)
    assert encoder.dimensions == dimensions
    np.testing.assert_allclose(encoder.encode(texts), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(texts[::-1])[::-1], expected, atol=1e-5)
    assert encoder.encode([]).shape == (0, dimensions)


def test_chunks_do_not_show(tiny_model, monkeypatch):
    encoder = load_encoder(tiny_model, device="cpu", batch_size=4)
    expected = encoder.encode(TINY_TEXTS * 3)
    monkeypatch.setattr(module, "TEXTS_AT_ONCE", 2)
    np.testing.assert_allclose(encoder.encode(TINY_TEXTS * 3), expected, atol=1e-6)


def test_every_part_of_a_long_text_counts_unless_it_is_truncated(tiny_model, caplog):
    start = "mirrol " * 8
    windows = load_encoder(tiny_model, device="cpu")
    one, other = windows.encode([start + "zorb " * 9, start + "tev " * 9])
    assert float(one @ other) < 0.99
    truncating = load_encoder(tiny_model, device="cpu", long_texts="truncate")
    one, other, short = truncating.encode([start + "zorb " * 9, start + "tev " * 9, "tev"])
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert short.any()
    assert "reads 16 tokens of a text: 2 of 3 texts were cut" in caplog.text


def test_settings_say_what_was_chosen_and_the_fingerprint_follows(tiny_model):
    plain = load_encoder(tiny_model, device="cpu")
    assert plain.settings == module.EncoderSettings("cpu", "float32", "", "the model has none", 16, "windows", 16)
    others = [{"prompt": "tev "}, {"dimensions": 8}, {"long_texts": "truncate"}, {"dtype": "bfloat16"}]
    prints = {load_encoder(tiny_model, device="cpu", **other).fingerprint for other in others}
    assert len(prints | {plain.fingerprint}) == 5
    # Whether nothing is asked for by "" or by the lack of a prompt, and all dimensions by number or not, the vectors are the same.
    assert load_encoder(tiny_model, device="cpu", prompt="", dimensions=16, batch_size=3).fingerprint == plain.fingerprint


def test_bfloat16_is_close(tiny_model):
    exact = load_encoder(tiny_model, device="cpu").encode(["zorb quix", "tev"])
    rough = load_encoder(tiny_model, device="cpu", dtype="bfloat16").encode(["zorb quix", "tev"])
    assert ((exact * rough).sum(axis=1) > 0.999).all()
    assert not np.array_equal(exact, rough)


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"dimensions": 17}, "dimensions 17 of .*which has 16"),
        ({"dimensions": 0}, "dimensions 0"),
        ({"long_texts": "drop"}, "windows or truncate"),
        ({"dtype": "int8"}, "dtype 'int8'"),
        ({"dtype": "float16"}, "on the CPU"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"prompt": "tev " * 14}, "a prompt of 14 tokens .*fewer than 14"),
    ],
)
def test_arguments_out_of_range(tiny_model, given_, said):
    with pytest.raises(InputError, match=said):
        load_encoder(tiny_model, device="cpu", **given_)


def test_sentence_transformer_halves_the_batch_when_memory_runs_out(tiny_model, monkeypatch, caplog):
    import torch

    encoder = load_encoder(tiny_model, device="cpu", batch_size=4)
    expected = encoder.encode(TINY_TEXTS)
    plain = encoder._model.encode

    def narrow(texts, **given):
        if len(texts) > 1:
            raise torch.OutOfMemoryError("invented")
        return plain(texts, **given)

    def narrow_as_of_old(texts, **given):
        if len(texts) > 1:
            raise RuntimeError("CUDA error: out of memory")
        return plain(texts, **given)

    monkeypatch.setattr(encoder._model, "encode", narrow_as_of_old)
    np.testing.assert_allclose(encoder.encode(TINY_TEXTS), expected, atol=1e-5)
    assert encoder.batch_size == 1
    encoder.batch_size = 4
    monkeypatch.setattr(encoder._model, "encode", narrow)
    np.testing.assert_allclose(encoder.encode(TINY_TEXTS), expected, atol=1e-5)
    assert encoder.batch_size == 1
    assert "batch size is now 2" in caplog.text
    monkeypatch.setattr(encoder._model, "encode", lambda texts, **given: (_ for _ in ()).throw(torch.OutOfMemoryError("invented")))
    with pytest.raises(EncoderError, match="too little memory"):
        encoder.encode(["zorb"])
    monkeypatch.setattr(encoder._model, "encode", lambda texts, **given: (_ for _ in ()).throw(RuntimeError("another defect")))
    with pytest.raises(RuntimeError, match="another defect"):
        encoder.encode(["zorb"])


def test_the_batch_grows_no_more_after_memory_ran_out(tiny_model, monkeypatch):
    import torch

    encoder = load_encoder(tiny_model, device="cpu", batch_size=8)
    plain, sizes = encoder._model.encode, []

    def narrow(texts, **given):
        sizes.append(len(texts))
        if len(texts) > 3:
            raise torch.OutOfMemoryError("invented")
        return plain(texts, **given)

    monkeypatch.setattr(encoder._model, "encode", narrow)
    encoder.encode(["zorb quix"] * 8)
    encoder.encode(["zorb quix"] * 8)
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    assert encoder.batch_size == 2


def test_sentence_transformer_fingerprint_follows_the_files(tiny_model, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    before = load_encoder(tiny_model, device="cpu").fingerprint
    assert load_encoder(copy, device="cpu").fingerprint == before
    weights = next(copy.rglob("*.safetensors"))
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    assert load_encoder(copy, device="cpu").fingerprint != before


def test_models_that_cannot_be_loaded(tmp_path):
    with pytest.raises(EncoderError, match="no folder"):
        load_encoder(tmp_path / "none")
    with pytest.raises(EncoderError, match="no folder"):
        load_encoder("./none")
    with pytest.raises(EncoderError, match="no weights"):
        load_encoder(tmp_path, device="cpu")
    (tmp_path / "model.safetensors").write_bytes(b"not a model")
    with pytest.raises(EncoderError, match="cannot be loaded") as caught:
        load_encoder(tmp_path, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.timeout(60)
def test_unknown_hub_name_fails_in_one_line_and_does_not_hang(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # An address that nobody answers on this machine stands for a network that is down.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(EncoderError, match="not in the local cache") as caught:
        load_encoder("nobody/no-such-model", device="cpu")
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(EncoderError, match="HF_HUB_OFFLINE"):
        load_encoder("nobody/no-such-model", device="cpu")
    with pytest.raises(EncoderError, match="model name"):
        load_encoder("no body/??", device="cpu")


@pytest.fixture(scope="session")
def static_model(tmp_path_factory):
    """A table of token vectors behind a tokenizer of the `tokenizers` library."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[UNK]", "zorb", "quix", "blan", "##ka", "tev"]
    tokenizer = Tokenizer(models.WordPiece({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    weights = np.random.default_rng(0).normal(size=(len(words), 8)).astype(np.float32)
    folder = tmp_path_factory.mktemp("static") / "model"
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights), Normalize()], device="cpu").save(str(folder))
    return folder, dict(zip(words, weights, strict=True))


def test_static_model_oracle(static_model):
    folder, rows = static_model
    encoder = load_encoder(folder, device="cpu", batch_size=2)
    assert isinstance(encoder, Encoder)
    assert encoder.settings.longest_input is None
    assert encoder.settings.dtype == "float32"
    found = encoder.encode(["", "zorb quix", "strange", "blanka tev strange", "tev " * 600])
    mean = rows["blan"] + rows["##ka"] + rows["tev"] + rows["[UNK]"]
    for row, expected in zip(found, [None, rows["zorb"] + rows["quix"], None, mean, rows["tev"]], strict=True):
        np.testing.assert_allclose(row, 0 if expected is None else expected / np.linalg.norm(expected), atol=1e-5)
    half = load_encoder(folder, device="cpu", dimensions=3).encode(["zorb quix"])[0]
    np.testing.assert_allclose(half, found[1][:3] / np.linalg.norm(found[1][:3]), atol=1e-5)


def test_looking_tokens_up_is_what_the_model_does_itself(static_model):
    from sentence_transformers import SentenceTransformer

    plain = SentenceTransformer(str(static_model[0]), device="cpu", local_files_only=True)
    texts = ["zorb quix", "blanka tev strange", "tev", "quix " * 30]
    for prompt in ("", "zorb "):
        encoder = load_encoder(static_model[0], device="cpu", prompt=prompt, batch_size=3)
        np.testing.assert_allclose(encoder.encode(texts), plain.encode(texts, prompt=prompt), atol=1e-6)


def test_a_limit_within_a_static_tokenizer_is_met_by_windows(static_model, tmp_path):
    from tokenizers import Tokenizer

    folder, rows = static_model
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    file = next(copy.rglob("tokenizer.json"))
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.enable_truncation(4)
    tokenizer.save(str(file))
    encoder = load_encoder(copy, device="cpu")
    assert encoder.settings.longest_input == 4
    found = encoder.encode(["zorb zorb zorb zorb tev tev"])[0]
    first, second = rows["zorb"] / np.linalg.norm(rows["zorb"]), rows["tev"] / np.linalg.norm(rows["tev"])
    expected = 4 * first + 2 * second
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)


def test_positions_of_roberta_begin_after_the_padding_index(tmp_path):
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertTokenizerFast, XLMRobertaConfig, XLMRobertaModel

    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", "zorb", "tev", "<mask>"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    XLMRobertaModel(XLMRobertaConfig(vocab_size=7, max_position_embeddings=12, pad_token_id=1, **sizes)).save_pretrained(tmp_path / "base")
    named = {"unk_token": "<unk>", "sep_token": "</s>", "cls_token": "<s>", "pad_token": "<pad>", "mask_token": "<mask>"}
    BertTokenizerFast(vocab=str(tmp_path / "vocab.txt"), **named).save_pretrained(tmp_path / "base")
    SentenceTransformer(modules=[Transformer(str(tmp_path / "base")), Pooling(8)], device="cpu").save(str(tmp_path / "model"))
    encoder = load_encoder(tmp_path / "model", device="cpu")
    assert encoder.settings.longest_input == 10
    assert encoder.encode(["zorb tev " * 30]).any()


def test_golden_windows():
    # Forty words of two tokens and room for 14: seven words a window, the last of which begins the next one.
    breaks = np.tile([True, False], 40)
    assert spans(breaks, 14, 1) == [(0, 14), (12, 26), (24, 38), (36, 50), (48, 62), (60, 74), (72, 80)]
    # Without any start of a word the window is cut where it is full, and begins again exactly `overlap` earlier.
    assert spans(np.zeros(10, dtype=bool), 4, 1) == [(0, 4), (3, 7), (6, 10)]
    assert spans(np.ones(3, dtype=bool), 4, 1) == [(0, 3)]
    assert cut("ab cd ef", [(0, 2), (3, 5), (6, 8)], 2) == ["ab cd ", "ef"]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.booleans(), min_size=1, max_size=200), st.integers(1, 40), st.data())
def test_spans_cover_everything_and_are_short_enough(breaks, limit, data):
    overlap = data.draw(st.integers(0, max(0, (limit - 1) // 4)))
    found = spans(np.array(breaks), limit, overlap)
    assert found[0][0] == 0
    assert found[-1][1] == len(breaks)
    assert all(0 < end - start <= limit for start, end in found)
    for (start, end), (later, last) in pairwise(found):
        assert start < later <= end < last
        assert overlap <= end - later <= 2 * overlap


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet="zorbquixblantev \n你好", min_size=1, max_size=120), st.integers(2, 9))
def test_windows_hold_the_whole_text(static_model, text, limit):
    from tokenizers import Tokenizer

    pieces = PieceTokenizer(Tokenizer.from_file(str(next(static_model[0].rglob("tokenizer.json")))))
    found = pieces.windows(text, limit)
    place = 0
    for window in found:
        # Each window begins at or before the end of what is covered, and goes beyond it.
        begin = max(start for start in range(place + 1) if text.startswith(window.text, start) and start + len(window.text) > place - 1)
        place = begin + len(window.text)
        assert window.tokens <= limit
    assert place == len(text)
    assert found[0].text == text[: len(found[0].text)]


def test_windows_that_grow_when_cut_out_are_cut_again():
    from tokenizers import Tokenizer, models

    # One word of four letters is one token, its halves are spelt letter by letter.
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "abab": 1, "a": 2, "##b": 3, "##a": 4, "##abab": 5}, unk_token="[UNK]"))
    pieces = PieceTokenizer(tokenizer)
    assert pieces.counts(["abab", "ba", ""]).tolist() == [[1, 0], [1, 1], [0, 0]]
    assert pieces.windows("abab" * 2, 5) == [Window("abababab", 2)]
    assert all(window.tokens <= 2 for window in pieces.windows("abab" * 5, 2))
    assert backend_of(object()) is None


PROMPTS = {"query": "search: ", "document": "title: none | text: ", "Clustering": "task: clustering | query: "}


@pytest.mark.parametrize(
    ("given_", "prompts", "default", "name", "expected"),
    [
        ("auto", {}, None, "some/model", ""),
        ("auto", {"query": "search: ", "document": ""}, None, "some/model", ""),
        ("auto", PROMPTS, "query", "some/model", "search: "),
        ("auto", PROMPTS, None, "some/model", "task: clustering | query: "),
        ("auto", {"query": "q ", "passage": "p "}, None, "some/model", "p "),
        ("auto", {}, None, "intfloat/multilingual-e5-base", E5_PROMPT),
        ("auto", {"query": "query: ", "passage": "passage: "}, None, "intfloat/e5-small-v2", E5_PROMPT),
        ("auto", {}, None, "/models/e5-large/", E5_PROMPT),
        ("auto", {}, None, "intfloat/multilingual-e5-large-instruct", E5_INSTRUCTION),
        ("auto", {}, None, "some/de5-base", ""),
        ("", PROMPTS, "query", "intfloat/e5-base", ""),
        ("mine: ", PROMPTS, "query", "intfloat/e5-base", "mine: "),
    ],
)
def test_prompts(given_, prompts, default, name, expected):
    chosen, origin = choose_prompt(given_, prompts=prompts, default_name=default, names=("folder", name))
    assert chosen == expected
    assert origin


def test_a_model_brings_its_own_prompt(tiny_model, tmp_path):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny_model), device="cpu", local_files_only=True)
    model.prompts, model.default_prompt_name = {"topic": "tev zorb "}, "topic"
    model.save(str(tmp_path / "prompted"))
    encoder = load_encoder(tmp_path / "prompted", device="cpu")
    assert (encoder.settings.prompt, encoder.settings.prompt_origin) == ("tev zorb ", "the model's default prompt 'topic'")
    np.testing.assert_allclose(
        encoder.encode(["quix"]), load_encoder(tiny_model, device="cpu", prompt="tev zorb ").encode(["quix"]), atol=1e-5
    )
    assert not np.allclose(
        encoder.encode(["quix"]), load_encoder(tmp_path / "prompted", device="cpu", prompt="").encode(["quix"]), atol=1e-3
    )


def test_precision_follows_the_card(monkeypatch):
    import contextlib

    import torch

    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    for known, expected in ((True, "bfloat16"), (False, "float16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, known=known: known and not including_emulation)
        assert resolve_dtype("auto", "cuda:0") == expected
    assert resolve_dtype("auto", "cpu") == "float32"
    assert resolve_dtype("float16", "cuda:0") == "float16"


def test_parts_of_the_cache_take_seconds_whatever_the_model(tiny_model, static_model):
    transformer, table = load_encoder(tiny_model, device="cpu"), load_encoder(static_model[0], device="cpu")
    inner = sum(weight.numel() for name, weight in transformer._model.named_parameters() if "_embeddings." not in name)
    assert transformer.part_characters == int(4.0 * 5e10 / (2 * inner) * 4)
    assert table.part_characters == 1 << 40 or table.part_characters > 1e11
    assert math.isfinite(table.part_characters)
