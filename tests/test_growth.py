"""What is learnt of a corpus and kept: later texts join it, every document counts once, and a full fit comes when it is due."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyzone.growth import GROWTH, Corpus, State, grow
from greyzone.records import COPIES, table

AXES = 4


class Nearest:
    """A clusterer that can be checked by hand: the cluster of a row is its largest coordinate, noise below 0.6; it counts its calls."""

    fits = 0

    def __init__(self) -> None:
        self.rows, self.weight = np.zeros((0, AXES), dtype=np.float32), np.zeros(0, dtype=np.int64)

    def fit(self, X, y=None, sample_weight=None):  # noqa: N803
        Nearest.fits += 1
        self.rows, self.weight = X, sample_weight
        return self._settled()

    def partial_fit(self, X, y=None, sample_weight=None):  # noqa: N803
        self.rows, self.weight = np.concatenate([self.rows, X]), np.concatenate([self.weight, sample_weight])
        return self._settled()

    def _settled(self):
        self.labels_ = np.where(self.rows.max(axis=1, initial=0) >= 0.6, self.rows.argmax(axis=1), -1).astype(np.int64)
        self.hierarchy_ = np.column_stack([self.labels_] * 3)
        self.probabilities_ = self.rows.max(axis=1, initial=0).astype(np.float32)
        self.leaders_ = np.array([int(np.flatnonzero((self.rows == row).all(axis=1))[0]) for row in self.rows], dtype=np.int64)
        return self

    def to_arrays(self):
        return {"rows": self.rows, "weight": self.weight}

    @classmethod
    def from_arrays(cls, arrays):
        made = cls()
        made.rows, made.weight = arrays["rows"], arrays["weight"]
        return made._settled()


def corpus(axes: dict[str, int], counts: dict[str, int] | None = None, copies: dict[str, str] | None = None) -> Corpus:
    """Return texts by id: each lies on an axis and stands for `counts` documents (1)."""
    ids = list(axes)
    rows = [{"doc_id": one, "representative": other, "kind": "near", "similarity": 0.9} for one, other in (copies or {}).items()]
    return Corpus(
        ids=pa.array(ids, pa.string()),
        texts=[f"text {name}" for name in ids],
        langs=["en"] * len(ids),
        vectors=np.eye(AXES, dtype=np.float32)[[axes[name] for name in ids]],
        weights=np.array([(counts or {}).get(name, 1) for name in ids], dtype=np.int64),
        copies=table(rows, COPIES),
    )


def step(found: Corpus, past: State | None, basis: str = "b"):
    return grow(found, past, make=Nearest, restore=Nearest.from_arrays, mode="off", basis=basis)


def test_later_texts_join_and_new_copies_count_once():
    first = step(corpus({"a": 0, "b": 1, "c": 0, "d": 2}), None)
    assert (first.joined, first.state.fitted, first.labels.tolist()) == (None, 4, [0, 1, 0, 2])
    # e is new; b has two copies more; rows stand in another order.
    later = step(corpus({"e": 3, "d": 2, "b": 1, "c": 0, "a": 0}, {"b": 3}), first.state)
    assert later.joined == 2
    assert later.labels.tolist() == [3, 2, 1, 0, 0]
    assert later.hierarchy[:, 1].tolist() == later.labels.tolist()
    # a came first on its axis, and c repeats it; b follows none, though it has two rows.
    assert later.leaders.tolist() == [0, 1, 2, 4, 4]
    assert later.state.ids.to_pylist() == ["a", "b", "c", "d", "e", "b"]
    assert later.state.counts.tolist() == later.state.clusterer["weight"].tolist() == [1, 1, 1, 1, 1, 2]
    again = step(corpus({"e": 3, "d": 2, "b": 1, "c": 0, "a": 0}, {"b": 3}), later.state)
    assert again.joined == 0
    assert again.labels.tolist() == later.labels.tolist()


def test_an_earlier_text_that_comes_late_takes_its_copies_documents():
    # b stood for 3 documents; now z, which is older, stands for all of them and itself.
    first = step(corpus({"a": 0, "b": 1, "c": 0, "d": 2}, {"b": 3}), None)
    later = step(corpus({"a": 0, "c": 0, "d": 2, "z": 1}, {"z": 4}, {"b": "z"}), first.state)
    assert later.joined == 1
    assert later.state.ids.to_pylist() == ["a", "b", "c", "d", "z"]
    assert later.state.counts.tolist() == [1, 3, 1, 1, 1]
    assert later.labels.tolist() == [0, 0, 2, 1]
    # Its row follows that of b, which now is a copy of it.
    assert later.leaders.tolist() == [0, 0, 2, 3]


@pytest.mark.parametrize(
    ("later", "basis"),
    [
        (corpus(dict.fromkeys("abcdef", 0)), "b"),
        (corpus(dict.fromkeys("abcde", 0)), "other"),
        (corpus(dict.fromkeys("abc", 0)), "b"),
        (corpus(dict.fromkeys("abcd", 0), {"a": 1}), "b"),
    ],
    ids=["half as many more", "another basis", "a text left", "a copy left"],
)
def test_a_full_fit_is_due(later, basis):
    first = step(corpus(dict.fromkeys("abcd", 0), {"a": 2}), None)
    found = step(later, first.state, basis)
    assert found.joined is None
    assert found.state.fitted == len(later.texts)
    assert found.state.counts.tolist() == later.weights.tolist()


def test_full_fits_cost_in_all_three_times_the_last_one():
    Nearest.fits, fitted, state = 0, [], None
    for size in range(10, 1000, 7):
        state = step(corpus({f"{number:04}": number % AXES for number in range(size)}), state).state
        if not fitted or state.fitted != fitted[-1]:
            fitted.append(state.fitted)
    assert Nearest.fits == len(fitted)
    assert sum(fitted) <= fitted[-1] * (1 + 1 / GROWTH)


def test_the_state_is_one_file_of_plain_arrays(tmp_path):
    state = step(corpus({"a": 0, "b": 1, "c": 0}), None).state
    state.write(tmp_path / "one.npz")
    kept = State.read(tmp_path / "one.npz")
    assert (kept.basis, kept.fitted, kept.ids, kept.counts.tolist()) == (state.basis, state.fitted, state.ids, state.counts.tolist())
    kept.write(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert step(corpus({"a": 0, "b": 1, "c": 0, "d": 1}), kept).labels.tolist() == [0, 1, 0, 1]


def test_no_texts():
    empty = step(corpus({}), None)
    assert len(empty.labels) == 0
    assert step(corpus({"a": 1}), empty.state).labels.tolist() == [1]


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=12), min_size=1, max_size=6))
def test_every_document_counts_once_whatever_came_when(days):
    counts: dict[str, int] = {}
    state = None
    for day in days:
        for number in day:
            counts[f"{number:02}"] = counts.get(f"{number:02}", 0) + 1
        found = step(corpus({name: int(name) % AXES for name in counts}, counts), state)
        state = found.state
        assert state.counts.sum() == state.clusterer["weight"].sum() == sum(counts.values())
        assert found.labels.tolist() == [int(name) % AXES for name in counts]


class Once:
    """A clusterer that cannot go on and tells no hierarchy."""

    def fit(self, X, y=None, sample_weight=None):  # noqa: N803
        self.labels_, self.probabilities_ = np.zeros(len(X), dtype=np.int64), np.ones(len(X), dtype=np.float32)
        return self


def test_a_clusterer_that_cannot_go_on_is_fitted_anew():
    first = grow(corpus({"a": 0, "b": 1}), None, make=Once, restore=None, mode="off", basis="b")
    assert (first.joined, first.hierarchy, first.leaders, dict(first.state.clusterer)) == (None, None, None, {})
    assert grow(corpus({"a": 0, "b": 1}), first.state, make=Once, restore=None, mode="off", basis="b").joined is None
    # Nor does one that can go on find anything to go on from.
    assert step(corpus({"a": 0, "b": 1}), first.state).joined is None
