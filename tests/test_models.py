"""The embedded encoder against a naive one, and a tiny sentence-transformers model built here."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.errors import EncoderError, InputError
from greyzone.models import HashedEncoder, HashedSettings, load_encoder, resolve_device
from greyzone.models import hashed as module
from greyzone.records import Encoder
from greyzone.text import fold, words

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
BASE = 0x100000001B3
TEXTS = [
    "The ministry denied that the grid was attacked",
    "Der Krieg war schon vorbei, war er?",
    "the war the war the war",
    "Президент Навальный против",
    "a",
    "",
    "https://t.co/x @someone",
    "电网 攻击 no power 中",
    "\ud800 lone surrogate",
]


def mix(value):
    value = (value + GOLDEN) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def naive_vector(text, chosen):
    """The formula of the docstring, word by word, in Python integers."""
    n_languages, known = module._frequency_levels()
    tokens = [folded for folded in map(fold, words(text)) if folded]
    if not tokens:
        return np.zeros(chosen.dimensions, dtype=np.float32)

    def level(word, language):
        return min(dict(known.get(word, ())).get(language, 600), 600)

    language = min(range(n_languages), key=lambda index: (sum(level(word, index) for word in tokens), index))
    weight = {word: round(1024 * chosen.sif / (chosen.sif + 10 ** (-level(word, language) / 100))) for word in tokens}
    bounds = [int(chosen.dimensions * entry / chosen.entries) for entry in range(chosen.entries + 1)]
    total = [0] * chosen.dimensions

    def add(feature, amount):
        for entry in range(chosen.entries):
            drawn = mix((feature + entry * GOLDEN) & MASK)
            total[bounds[entry] + (drawn >> 1) % (bounds[entry + 1] - bounds[entry])] += amount if drawn & 1 else -amount

    def word_hash(word):
        return mix(sum(mix((ord(char) * BASE + mix(place)) & MASK) for place, char in enumerate(f"\x02{word}\x03")) & MASK)

    def tf(count):
        return round(64 * (1 + math.log(count))) / 64

    for word in sorted(set(tokens)):
        scaled = round(weight[word] * tf(tokens.count(word)))
        add(word_hash(word), 256 * scaled)
        bounded = f"\x02{word[:64]}\x03"
        grams = [bounded[i : i + n] for n in range(chosen.shortest, chosen.longest + 1) for i in range(len(bounded) - n + 1)]
        for gram in grams:
            feature = len(gram)
            for char in gram:
                feature = mix((feature * BASE + ord(char)) & MASK)
            add(feature, round(chosen.ngram_share * 256 / math.sqrt(len(grams))) * scaled)
    pairs = list(pairwise(tokens))
    for one, other in sorted(set(pairs)):
        scaled = round(round(math.sqrt(weight[one] * weight[other])) * tf(pairs.count((one, other))))
        add(mix((word_hash(one) * BASE + mix(word_hash(other))) & MASK), round(chosen.pair_share * 256) * scaled)
    norm = math.sqrt(sum(value * value for value in total))
    return np.array([value / norm if norm else 0.0 for value in total], dtype=np.float32)


@pytest.mark.parametrize(
    "chosen",
    [HashedSettings(), HashedSettings(dimensions=50, entries=3, pair_share=1.0, shortest=2, longest=4), HashedSettings(ngram_share=0.0)],
)
def test_oracle_naive_projection(chosen):
    found = HashedEncoder(chosen).encode(TEXTS)
    expected = np.stack([naive_vector(text, chosen) for text in TEXTS])
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(max_size=60), max_size=8), st.randoms(use_true_random=False))
def test_rows_depend_on_their_own_text_alone(texts, random):
    encoder = HashedEncoder()
    together = encoder.encode(texts)
    order = list(range(len(texts)))
    random.shuffle(order)
    assert encoder.encode([texts[i] for i in order]).tobytes() == together[order].tobytes()
    for text, row in zip(texts, together, strict=True):
        assert encoder.encode([text])[0].tobytes() == row.tobytes()
        norm = float(np.linalg.norm(row))
        assert norm == pytest.approx(1, abs=1e-5) or (norm == 0 and not [word for word in words(text) if fold(word)])


def test_chunks_and_slices_do_not_show(monkeypatch):
    texts = [f"{text} number{i}" for i in range(40) for text in TEXTS]
    whole = HashedEncoder().encode(texts)
    monkeypatch.setattr(module, "CHUNK_CHARACTERS", 100)
    monkeypatch.setattr(module, "VOCABULARY_SLICE", 3)
    assert HashedEncoder().encode(texts).tobytes() == whole.tobytes()


def test_empty_and_unknown_texts_give_zero_rows():
    rows = HashedEncoder().encode(["", " \n", "https://t.co/a", "@someone", "😀"])
    assert not rows.any()
    assert HashedEncoder().encode([]).shape == (0, HashedEncoder().dimensions)


def test_same_bytes_in_other_processes():
    code = (
        "import hashlib, greyzone.models as m;"
        "print(hashlib.sha256(m.load_encoder().encode(['power grid down', 'мережа']).tobytes()).hexdigest())"
    )
    found = set()
    for seed, threads in (("0", "1"), ("77", "2")):
        env = {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PATH": ""}
        found.add(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1


def test_default_encoder_imports_no_torch():
    code = (
        "import sys, greyzone.models as m; e = m.load_encoder('default', device='auto'); assert e.encode(['hello there']).any();"
        "print(sorted({'torch', 'transformers', 'sentence_transformers', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"


def test_related_texts_are_closer_than_others():
    # Ordered by hand: a repeated story, the same name in another script, an inflection, and function words that must not count.
    encoder = HashedEncoder()

    def cosine(one, other):
        left, right = encoder.encode([one, other])
        return float(left @ right)

    story = "Hackers cut the power of a Ukrainian substation"
    assert (
        cosine(story, "Power of Ukrainian substations cut by hackers") > cosine(story, "Farmers sell the milk of an Estonian village") + 0.3
    )
    assert cosine("Навальный", "Navalny") > 0.3
    assert cosine("sabotage of cables", "sabotaged cable") > 0.3
    assert cosine("he was in the ministry", "she is of a glacier") < 0.3


def test_word_weight_follows_the_language_of_the_text():
    # "war" is a German function word and an English subject: only in German may it lose its weight.
    encoder = HashedEncoder()
    english, german, war = encoder.encode(["they say that the war is near", "es war nicht so, wie ich dachte", "war"])
    assert english @ war > 0.4
    assert german @ war < 0.3


def test_fingerprint_follows_the_settings():
    assert HashedEncoder().fingerprint == HashedEncoder(HashedSettings()).fingerprint == load_encoder().fingerprint
    assert HashedEncoder(HashedSettings(sif=1e-2)).fingerprint != HashedEncoder().fingerprint
    assert isinstance(HashedEncoder(), Encoder)


@pytest.mark.parametrize(
    "wrong", [{"dimensions": 4}, {"entries": 0}, {"sif": 0.0}, {"shortest": 6}, {"pair_share": -1.0}, {"dimensions": 8, "entries": 9}]
)
def test_settings_out_of_range(wrong):
    with pytest.raises(InputError):
        HashedEncoder(HashedSettings(**wrong))


def test_devices():
    assert resolve_device("cpu") == "cpu"
    for wrong in ("gpu", "cuda:", "cuda:x", "CPU", "cuda:9999"):
        with pytest.raises(EncoderError):
            resolve_device(wrong)
    with pytest.raises(EncoderError, match="cuda:999"):
        resolve_device("cuda:999")
    with pytest.raises(EncoderError):
        load_encoder("default", device="tpu")
    with pytest.raises(InputError):
        load_encoder("default", batch_size=0)


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
    assert "1 of 7 texts were cut" in caplog.text
    np.testing.assert_allclose(rows[0], rows[5], atol=1e-6)
    assert abs(float(rows[0] @ rows[3])) < 0.9999


def test_sentence_transformer_oracle_one_by_one(tiny_model):
    from sentence_transformers import SentenceTransformer

    texts = [text for text in TINY_TEXTS if text not in ("", "unheard-of")]
    plain = SentenceTransformer(str(tiny_model), device="cpu", local_files_only=True)
    expected = np.stack([plain.encode(text, normalize_embeddings=True) for text in texts])
    encoder = load_encoder(str(tiny_model), device="cpu", batch_size=3)
    np.testing.assert_allclose(encoder.encode(texts), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(texts[::-1])[::-1], expected, atol=1e-5)
    assert encoder.encode([]).shape == (0, 16)


def test_sentence_transformer_halves_the_batch_when_memory_runs_out(tiny_model, monkeypatch, caplog):
    import torch

    encoder = load_encoder(tiny_model, device="cpu", batch_size=4)
    expected = encoder.encode(TINY_TEXTS)
    plain = encoder._model.encode

    def narrow(texts, **given):
        if len(texts) > 1:
            raise torch.OutOfMemoryError("invented")
        return plain(texts, **given)

    monkeypatch.setattr(encoder._model, "encode", narrow)
    np.testing.assert_allclose(encoder.encode(TINY_TEXTS), expected, atol=1e-5)
    assert encoder.batch_size == 1
    assert "batch size is now 2" in caplog.text
    monkeypatch.setattr(encoder._model, "encode", lambda texts, **given: (_ for _ in ()).throw(torch.OutOfMemoryError("invented")))
    with pytest.raises(EncoderError, match="too little memory"):
        encoder.encode(["zorb"])


def test_sentence_transformer_fingerprint_follows_the_files(tiny_model, tmp_path):
    import shutil

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
