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
    assert HashedEncoder().fingerprint == HashedEncoder(HashedSettings()).fingerprint == load_encoder("hashed").fingerprint
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


def test_auto_loads_no_torch_that_knows_no_cuda(monkeypatch):
    monkeypatch.setattr("greyzone.models.device.version", lambda _: "2.4.0+cpu")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(ImportError):
        resolve_device("cuda")


@pytest.mark.parametrize("name", ["default", "hashed"])
@pytest.mark.parametrize(
    "given", [{"dtype": "bfloat16"}, {"prompt": "query: "}, {"prompt": ""}, {"dimensions": 64}, {"long_texts": "truncate"}]
)
def test_embedded_encoders_refuse_what_has_no_meaning_for_them(name, given):
    with pytest.raises(InputError, match=f"{next(iter(given))}.*embedded encoder '{name}'"):
        load_encoder(name, **given)


def test_hashed_is_a_name_of_its_own():
    assert load_encoder("hashed").fingerprint == HashedEncoder().fingerprint
