"""Embedding with a cache: what was cached must never show in a result."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.embed import document_text, document_texts, embed_texts
from greyzone.errors import EncoderError, InputError, StorageError
from greyzone.models import HashedEncoder, HashedSettings, StaticEncoder, cached

TEXTS = [f"report {i % 7} about event {i % 5}" for i in range(50)] + ["", "電力 网"]


class Counting:
    """An encoder that remembers what it was asked for and can be stopped."""

    def __init__(self, stop_after=None):
        self.inner = HashedEncoder(HashedSettings(dimensions=32, entries=4))
        self.fingerprint = self.inner.fingerprint
        self.dimensions = self.inner.dimensions
        self.asked = []
        self.stop_after = stop_after

    def encode(self, texts):
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked += texts
        return self.inner.encode(texts)


def parts(cache):
    return sorted(cache.rglob("part-*.npz"))


def test_equal_texts_are_encoded_once():
    encoder = Counting()
    rows = embed_texts(TEXTS, encoder)
    assert sorted(encoder.asked) == sorted(set(TEXTS))
    assert rows.shape == (len(TEXTS), 32)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows[0], rows[35])
    assert not rows[50].any()
    np.testing.assert_allclose(rows, encoder.inner.encode(TEXTS), atol=1e-3)


def test_golden_rounding():
    # (3, 4)/5 = (.6, .8): the nearest float16 are 0.60009765625 and 0.7998046875; their norm is sqrt(0.99980480...).
    class Two:
        fingerprint, dimensions = "two", 2

        def encode(self, texts):
            return np.array([[0.6, 0.8]] * len(texts), dtype=np.float32)

    norm = (0.60009765625**2 + 0.7998046875**2) ** 0.5
    np.testing.assert_array_equal(embed_texts(["a"], Two()), np.array([[0.60009765625 / norm, 0.7998046875 / norm]], dtype=np.float32))


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(len(TEXTS))), st.integers(1, 60))
def test_order_and_batch_size_do_not_show(order, batch_size):
    expected = embed_texts(TEXTS, Counting())
    found = embed_texts([TEXTS[i] for i in order], Counting(), batch_size=batch_size)
    assert found.tobytes() == expected[list(order)].tobytes()


def test_cache_gives_the_same_bytes_and_asks_nothing(tmp_path):
    expected = embed_texts(TEXTS, Counting())
    first, second, third = Counting(), Counting(), Counting()
    assert embed_texts(TEXTS[:20], first, cache=tmp_path, batch_size=3).tobytes() == expected[:20].tobytes()
    assert embed_texts(TEXTS, second, cache=tmp_path, batch_size=4).tobytes() == expected.tobytes()
    assert embed_texts(TEXTS, third, cache=tmp_path).tobytes() == expected.tobytes()
    assert not set(first.asked) & set(second.asked)
    assert third.asked == []
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_stopped_run_loses_at_most_one_batch(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        embed_texts(TEXTS, Counting(stop_after=10), cache=tmp_path, batch_size=5)
    resumed = Counting()
    assert embed_texts(TEXTS, resumed, cache=tmp_path, batch_size=5).tobytes() == embed_texts(TEXTS, Counting()).tobytes()
    assert len(resumed.asked) == len(set(TEXTS)) - 10


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "other shape", "pickle", "not finite"])
def test_damaged_parts_are_removed_and_made_again(tmp_path, caplog, monkeypatch, damage):
    monkeypatch.setattr(cached, "PART_TEXTS", 10)
    expected = embed_texts(TEXTS, Counting(), cache=tmp_path, batch_size=10)
    victim = parts(tmp_path)[1]
    raw = bytearray(victim.read_bytes())
    with np.load(victim) as stored:
        lost = len(stored["keys"])
    if damage == "truncate":
        victim.write_bytes(raw[: len(raw) // 2])
    elif damage == "flip":
        raw[len(raw) // 2] ^= 0xFF
        victim.write_bytes(raw)
    elif damage == "empty":
        victim.write_bytes(b"")
    elif damage == "other shape":
        np.savez(victim, keys=np.zeros((2, 16), np.uint8), vectors=np.zeros((2, 5), np.float16))
    elif damage == "pickle":
        np.savez(victim, keys=np.zeros((1, 16), np.uint8), vectors=np.array([object()], dtype=object))
    else:
        np.savez(victim, keys=np.zeros((1, 16), np.uint8), vectors=np.full((1, 32), np.nan, np.float16))
    again = Counting()
    assert embed_texts(TEXTS, again, cache=tmp_path, batch_size=10).tobytes() == expected.tobytes()
    assert len(again.asked) == lost
    assert "damaged" in caplog.text
    last = Counting()
    embed_texts(TEXTS, last, cache=tmp_path)
    assert last.asked == []


def test_encoders_do_not_share_a_cache(tmp_path):
    embed_texts(TEXTS, Counting(), cache=tmp_path)
    other = HashedEncoder(HashedSettings(dimensions=32, entries=2))
    assert embed_texts(TEXTS, other, cache=tmp_path).tobytes() == embed_texts(TEXTS, other).tobytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cached.os, "fsync", full)
    with pytest.raises(StorageError, match="free some space") as caught:
        embed_texts(TEXTS, Counting(), cache=tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.*"))


def test_cache_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        embed_texts(TEXTS, Counting(), cache=tmp_path / "file")


@pytest.mark.parametrize("wrong", [np.zeros((1, 31), np.float32), np.zeros((2, 32), np.float32), np.full((1, 32), np.nan, np.float32)])
def test_wrong_vectors_are_refused(wrong):
    encoder = Counting()
    encoder.encode = lambda texts: wrong
    with pytest.raises(EncoderError):
        embed_texts(["one"], encoder)


def test_progress_and_edges(tmp_path):
    seen = []
    embed_texts(TEXTS, Counting(), cache=tmp_path, batch_size=20, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 37), (20, 37), (37, 37)]
    assert embed_texts([], Counting(), cache=tmp_path).shape == (0, 32)
    assert embed_texts(["\ud800"], Counting(), cache=tmp_path).shape == (1, 32)
    with pytest.raises(InputError):
        embed_texts(TEXTS, Counting(), batch_size=0)


def test_small_parts_are_merged_as_they_gather(tmp_path, monkeypatch):
    monkeypatch.setattr(cached, "PART_TEXTS", 12)
    expected = embed_texts(TEXTS, Counting())
    written = []
    write = cached._write_part
    monkeypatch.setattr(cached, "_write_part", lambda folder, keys, vectors: written.append(len(keys)) or write(folder, keys, vectors))
    assert embed_texts(TEXTS, Counting(), cache=tmp_path, batch_size=5).tobytes() == expected.tobytes()
    # 37 texts in parts of 5: two make 10, a third would go beyond 12.
    assert written == [5, 5, 10, 5, 5, 10, 5, 5, 10, 5, 2, 7]
    assert len(parts(tmp_path)) == 4
    again = Counting()
    assert embed_texts(TEXTS, again, cache=tmp_path).tobytes() == expected.tobytes()
    assert again.asked == []


def test_a_slow_encoder_says_how_much_it_takes(tmp_path):
    class Slow(Counting):
        part_characters = 60

        def __init__(self):
            super().__init__()
            self.sizes = []

        def encode(self, texts):
            self.sizes.append((len(texts), sum(map(len, texts))))
            return super().encode(texts)

    slow = Slow()
    texts = [*TEXTS, "a long text " * 20]
    assert embed_texts(texts, slow, cache=tmp_path).tobytes() == embed_texts(texts, Counting()).tobytes()
    assert slow.sizes[0] == (1, 240)
    assert all(characters <= 60 for _, characters in slow.sizes[1:])
    assert sum(count for count, _ in slow.sizes) == len(set(texts))
    assert len(parts(tmp_path)) == 1


SLOW = """
import sys, time
from pathlib import Path
import numpy as np
from greyzone.embed import embed_texts

class Slow:
    fingerprint, dimensions, part_characters = "slow", 4, 80

    def encode(self, texts):
        time.sleep(0.1)
        print(len(texts), flush=True)
        return np.array([[len(text), text.count("1"), text.count("2"), 1] for text in texts], dtype=np.float32)

texts = [f"text number {i:05d}" for i in range(80)]
np.save(sys.argv[2], embed_texts(texts, Slow(), cache=Path(sys.argv[1])))
"""


def test_kill_9_loses_at_most_one_part(tmp_path):
    def run(cache, out):
        return subprocess.Popen([sys.executable, "-c", SLOW, str(cache), str(out)], stdout=subprocess.PIPE, text=True)

    whole = run(tmp_path / "whole", tmp_path / "whole.npy")
    sizes = [int(line) for line in whole.stdout]
    assert whole.wait() == 0
    assert max(sizes) == 4
    killed = run(tmp_path / "cache", tmp_path / "killed.npy")
    done = sum(int(killed.stdout.readline()) for _ in range(7))
    killed.kill()
    killed.wait()
    done += sum(map(int, killed.stdout.read().split()))
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed.npy").exists()
    resumed = run(tmp_path / "cache", tmp_path / "resumed.npy")
    again = sum(int(line) for line in resumed.stdout)
    assert resumed.wait() == 0
    # What was encoded last may not have been written; all before it is kept.
    assert 80 - done <= again <= 80 - done + max(sizes)
    assert (tmp_path / "resumed.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_a_run_killed_between_merging_and_removing_keeps_everything(tmp_path, monkeypatch):
    def killed(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(cached, "_remove", killed)
        with pytest.raises(KeyboardInterrupt):
            embed_texts(TEXTS, Counting(), cache=tmp_path, batch_size=20)
    assert len(parts(tmp_path)) == 3
    again = Counting()
    assert embed_texts(TEXTS, again, cache=tmp_path).tobytes() == embed_texts(TEXTS, Counting()).tobytes()
    assert again.asked == []


@pytest.mark.parametrize(
    ("title", "text", "expected"),
    [
        ("A title", "The text", "A title\nThe text"),
        ("A  title", "a title\nand more", "a title\nand more"),
        (None, " text ", "text"),
        ("title", None, "title"),
        ("title", "  ", "title"),
        ("", "", ""),
    ],
)
def test_document_text(title, text, expected):
    assert document_text(title, text) == expected
    assert document_texts(pa.chunked_array([[title]], pa.string()), pa.chunked_array([[text]], pa.string())) == [expected]


def test_the_shipped_encoder_gives_the_same_from_several_processes(tmp_path, monkeypatch):
    texts = [f"report {number} about the event of the day" for number in range(60)]
    alone = embed_texts(texts, StaticEncoder.load(), cache=tmp_path / "alone", batch_size=10)
    monkeypatch.setattr(cached, "SPREAD_TEXTS", 60)
    spread = embed_texts(texts, StaticEncoder.load(), cache=tmp_path / "spread", batch_size=10, workers=2)
    np.testing.assert_array_equal(alone, spread)
    assert [part.read_bytes() for part in parts(tmp_path / "alone")] == [part.read_bytes() for part in parts(tmp_path / "spread")]


def test_another_process_reads_the_shipped_encoder_once_and_any_other_as_it_is():
    one, two = (pickle.loads(pickle.dumps(StaticEncoder.load())) for _ in range(2))
    assert one is two
    own = StaticEncoder(["a", "b"], np.array([[1], [2]], np.uint8), np.array([3, 4], np.uint16), {"teacher": "none"})
    again = pickle.loads(pickle.dumps(own))
    assert again is not own
    assert again.fingerprint == own.fingerprint
    assert again.metadata == own.metadata
    assert not again.portable
