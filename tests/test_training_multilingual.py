"""Teacher and student on an invented language: targets, held-back sentences, the cache, a run that is killed."""

from __future__ import annotations

import hashlib
import json
import lzma
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from greyzone.errors import EncoderError, InputError
from greyzone.models import load_encoder
from greyzone.training.multilingual import (
    MultilingualSettings,
    Parallel,
    bridge,
    hold_back,
    main,
    multilingual,
    read_parallel,
    teacher_vectors,
    translation_accuracy,
)

WORDS = [f"{head}{tail}" for head in ("ba", "ke", "mi", "to", "ru") for tail in ("n", "s", "l", "r")]


def sentences(count=60):
    rng = np.random.default_rng(5)
    return [" ".join(WORDS[place] for place in rng.choice(len(WORDS), 4, replace=False)) for _ in range(count)]


def foreign(text):
    return " ".join(f"{word}o" for word in reversed(text.split()))


def static_model(folder, dimensions, words, seed):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece({word: place for place, word in enumerate(["[UNK]", *words])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    weights = np.random.default_rng(seed).normal(size=(len(words) + 1, dimensions)).astype(np.float32)
    weights[0] = 0
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights), Normalize()], device="cpu")
    model.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return static_model(tmp_path_factory.mktemp("teacher") / "teacher", 24, WORDS, 1)


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    return static_model(tmp_path_factory.mktemp("student") / "student", 16, [*WORDS, *(f"{word}o" for word in WORDS)], 2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rows = ["lang\tcorpus\ten\txx"]
    rows += [f"xx\topen-1\t{text}\t{foreign(text)}" for text in sentences()]
    rows += [f"xx\tclosed\t{sentences()[0]}\tnever this", f"yy\topen-1\t{sentences()[1]}\tother", rows[1], "xx\topen-1\t\tempty"]
    path = tmp_path_factory.mktemp("data") / "parallel.tsv.xz"
    path.write_bytes(lzma.compress("\n".join(rows).encode()))
    return path


def chosen(tmp_path, data, teacher, student, **given):
    given = {"epochs": 4, "batch_size": 8, "learning_rate": 0.1, "evaluation_share": 0.25, "device": "cpu"} | given
    return MultilingualSettings(
        data=(data,), teacher=str(teacher), base=str(student), corpora=("open",), languages=("xx",), out=tmp_path / "out", **given
    )


def test_student_learns_a_language(tmp_path, data, teacher, student):
    found = multilingual(chosen(tmp_path, data, teacher, student, epochs=12, licence=("CC0 (invented)",)))
    before, after = found.accuracy["mean"]
    assert before < 0.4
    assert after > before + 0.3
    assert found.accuracy["xx"] == [before, after]
    assert 0.5 < found.energy < 1
    encoder = load_encoder(str(tmp_path / "out"), device="cpu")
    rows = encoder.encode([sentences()[3], foreign(sentences()[3])])
    assert rows.shape == (2, 16)
    assert float(rows[0] @ rows[1]) > 0.5
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    for part in (
        "CC0 (invented)",
        hashlib.sha256(data.read_bytes()).hexdigest(),
        "1 corpus not named",
        "translation retrieval",
        f"{after:.4f}",
    ):
        assert part in card
    record = json.loads((tmp_path / "out" / "training.json").read_text("utf-8"))
    assert record["teacher"]["fingerprint"] == load_encoder(str(teacher)).fingerprint
    assert not any(text in card for text in sentences())


def test_a_language_without_pieces_needs_them_learnt(tmp_path, data, teacher):
    """The foreign words end in a letter that the student has no piece for."""
    with pytest.raises(InputError, match="knows nothing of"):
        multilingual(chosen(tmp_path / "a", data, teacher, teacher))
    found = multilingual(chosen(tmp_path, data, teacher, teacher, epochs=12, learn_pieces=80))
    assert found.unreadable == 0
    assert found.accuracy["mean"][0] < 0.1
    assert found.accuracy["mean"][1] > 0.5
    record = json.loads((tmp_path / "out" / "training.json").read_text("utf-8"))
    assert record["growth"]["unknown_before"] == 1.0
    assert record["growth"]["unknown_after"] == 0.0
    with pytest.raises(InputError, match="learn_pieces -1"):
        multilingual(chosen(tmp_path / "b", data, teacher, teacher, learn_pieces=-1))


def test_rows_left_out_are_counted(tmp_path, data, teacher, student):
    parallel = read_parallel(chosen(tmp_path, data, teacher, student))
    source = parallel.sources[0]
    assert (source.rows, source.used) == (64, 60)
    assert source.left_out == {"corpus not named": 1, "empty side or language": 1, "language not named": 1, "repeated pair": 1}


def test_quotation_marks_of_tables_are_text(tmp_path, teacher, student):
    path = tmp_path / "a.tsv"
    path.write_text('lang\tcorpus\ten\txx\nxx\topen\t"a\tb\nxx\topen\tc"\td\n', "utf-8")
    assert read_parallel(chosen(tmp_path, path, teacher, student)).english == ['"a', 'c"']


def test_golden_bridge():
    """Teacher vectors in a plane of three dimensions; the student has them turned by 90 degrees, the weak direction given up."""
    taught = np.array([[0.8, 0.6, 0.0], [0.6, -0.8, 0.0], [1.0, 0.0, 0.0]], dtype=np.float32)
    student = np.stack([-taught[:, 1], taught[:, 0]], axis=1)
    targets, energy = bridge(taught, student)
    np.testing.assert_allclose(targets, student, atol=1e-6)
    assert energy == 1.0
    wider, energy = bridge(taught, np.pad(student, ((0, 0), (0, 3))))
    np.testing.assert_allclose(wider @ wider.T, taught @ taught.T, atol=1e-6)
    assert wider.shape == (3, 5)


@limits(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(4, 30), st.integers(2, 6), st.integers(2, 6))
def test_bridge_turns_and_never_bends(seed, count, width, depth):
    rng = np.random.default_rng(seed)
    taught = rng.normal(size=(count, width)).astype(np.float32)
    taught /= np.linalg.norm(taught, axis=1, keepdims=True)
    student = rng.normal(size=(count, depth)).astype(np.float32)
    targets, energy = bridge(taught, student)
    assert targets.shape == (count, depth)
    np.testing.assert_allclose(np.linalg.norm(targets, axis=1), 1, atol=1e-4)
    assert 0 < energy <= 1
    if depth >= width:
        np.testing.assert_allclose(targets @ targets.T, taught @ taught.T, atol=1e-4)
        # No rotation brings them nearer: the cross product is symmetric and positive semidefinite.
        cross = targets.T.astype(np.float64) @ student
        np.testing.assert_allclose(cross, cross.T, atol=1e-3)
        assert np.linalg.eigvalsh((cross + cross.T) / 2).min() > -1e-3


def test_golden_accuracy():
    one = np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    other = np.array([[1, 0], [0.6, 0.8], [0.6, 0.8]], dtype=np.float32)
    # One to other: row 0 hits, rows 1 and 2 tie. Back: row 0 hits, row 1 is nearer to 2, row 2 hits.
    assert translation_accuracy(one, other) == pytest.approx((1 / 3 + 2 / 3) / 2)


@limits(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("pqrstuvwx"), st.integers(0, 3)), min_size=1, max_size=40), st.integers(0, 9)
)
def test_held_back_sentences_are_in_no_training_row(rows, seed):
    rows = sorted(set(rows))
    parallel = Parallel([lang for lang, _, _ in rows], [text for _, text, _ in rows], [str(number) for _, _, number in rows], ())
    try:
        training, held, unmeasured = hold_back(parallel, 0.4, 2, seed=seed)
    except InputError:
        return
    assert not {parallel.english[row] for row in training} & {parallel.english[row] for rows in held.values() for row in rows}
    assert len(training) + sum(map(len, held.values())) + unmeasured == len(rows)
    for lang, found in held.items():
        assert len(found) == len({parallel.english[row] for row in found}) == 2
        assert {parallel.languages[row] for row in found} == {lang}


class Counting:
    """An encoder that counts the texts it is given."""

    dimensions = 3
    fingerprint = "counting"
    seen = 0

    def encode(self, texts):
        self.seen += len(texts)
        rows = np.array([[len(text), text.count("a") + 1, 1.0] for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_teacher_vectors_are_kept_and_mended(tmp_path, monkeypatch):
    monkeypatch.setattr("greyzone.training.multilingual.TEACHER_BATCH", 4)
    texts = [f"text {'a' * number}" for number in range(10)]
    first = Counting()
    rows = teacher_vectors(first, texts, tmp_path)
    assert (first.seen, len(list(tmp_path.iterdir()))) == (10, 3)
    again = Counting()
    assert teacher_vectors(again, texts[::-1], tmp_path)[::-1].tobytes() == rows.tobytes()
    assert again.seen == 0
    sorted(tmp_path.iterdir())[0].write_bytes(b"PK damaged")
    mended = Counting()
    assert teacher_vectors(mended, [*texts, "another"], tmp_path)[:10].tobytes() == rows.tobytes()
    assert mended.seen in {3, 5}
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_a_teacher_that_gives_nonsense_is_an_error(tmp_path):
    class Wrong(Counting):
        def encode(self, texts):
            return np.full((len(texts), 3), np.nan)

    with pytest.raises(EncoderError, match="all finite"):
        teacher_vectors(Wrong(), ["a"], tmp_path)


def test_killed_run_ends_with_the_same_bytes(tmp_path, data, teacher, student):
    settings = chosen(tmp_path, data, teacher, student, checkpoint_steps=3, patience=99)
    code = f"""
import os, pathlib, signal
from pathlib import PosixPath
from greyzone.training.multilingual import MultilingualSettings, multilingual
touch = pathlib.Path.touch
def deadly(self, *given, **named):
    if self.parent.name == "checkpoint-9":
        os.kill(os.getpid(), signal.SIGKILL)
    touch(self, *given, **named)
pathlib.Path.touch = deadly
multilingual({settings!r})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    resumed = multilingual(settings)
    assert resumed.trained.resumed_from == 6
    (tmp_path / "whole").mkdir()
    whole = multilingual(chosen(tmp_path / "whole", data, teacher, student, checkpoint_steps=3, patience=99))
    assert whole.accuracy == resumed.accuracy
    for name in ("training.json", "model.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / "out" / name).read_bytes()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": "hinge"}, "loss 'hinge'"),
        ({"evaluation_pairs": 1}, "evaluation_pairs 1"),
        ({"columns": ("english=en",)}, "column 'english'"),
        ({"columns": ("en=nothing",)}, "no column 'nothing'"),
        ({"evaluation_share": 0.999999}, "held back"),
    ],
)
def test_unusable_settings(tmp_path, data, teacher, student, given, message):
    with pytest.raises(InputError, match=message):
        multilingual(chosen(tmp_path, data, teacher, student, **given))


def test_command_errors_are_one_line(tmp_path, capsys, data):
    assert main(["--data", str(data), "--teacher", str(tmp_path / "no"), "--corpora", "none", "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].startswith("error: no usable row in parallel.tsv.xz")
