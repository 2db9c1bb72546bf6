"""Narratives of a corpus that grows: later texts join what was learnt, and from time to time all of it is learnt anew.

The offsets of languages (`greyzone.crosslingual`), the space of the corpus (`greyzone.lexical.JoinedSpace`) and the clusterer are kept
between updates. A later text gets its row from the
space as it was learnt, and its place from ``partial_fit``; a text that got more copies joins once more, for as many documents as are
new. What is learnt grows stale as the corpus grows, so all is fitted anew once there are `GROWTH` times as many distinct texts more
than at the last full fit. Full fits then happen at sizes n, 1.5 n, 1.5^2 n, ..., whose sum is three times the last one: over the life
of a case they cost as much as a fixed number of fits a document, and a day between two of them what the day brings.

A full fit is also due where something else changed: the encoder, a setting, greyzone itself; or where documents left the case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.crosslingual import LanguageNeutral
from greyzone.lexical import JoinedSpace, Mode, learn_space
from greyzone.records import Floats

Ints = npt.NDArray[np.int64]
Arrays = Mapping[str, npt.NDArray[Any]]

GROWTH = 0.5
"""Growth since the last full fit, as a share of the distinct texts then, from which the next one is due."""


class Clusterer(Protocol):
    """What `grow` needs of a clusterer. `hierarchy_` and `leaders_` are used where it has them."""

    labels_: Ints
    probabilities_: Floats

    def fit(self, X: Floats, y: object = None, sample_weight: Ints | None = None) -> Self:  # noqa: N803
        """Cluster rows."""
        ...


@runtime_checkable
class Growing(Clusterer, Protocol):
    """A clusterer that can go on: rows that join come after those that were there."""

    def partial_fit(self, X: Floats, y: object = None, sample_weight: Ints | None = None) -> Self:  # noqa: N803
        """Let rows join those that were clustered."""
        ...

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return all that is needed to go on, as arrays without objects."""
        ...


@dataclass(frozen=True, slots=True)
class Corpus:
    """The distinct texts of a case, row for row: their documents' `ids`, `texts`, `langs`, encoder's `vectors` (n, d) and `weights`.

    `weights` (n,) count the documents that each stands for; `copies` is the table `COPIES` of the others.
    """

    ids: pa.Array
    texts: Sequence[str]
    langs: Sequence[str | None]
    vectors: Floats
    weights: Ints
    copies: pa.Table


@dataclass(frozen=True, slots=True)
class State:
    """What is kept between updates.

    Parameters
    ----------
    basis
        Digest of all that a full fit depends on beside the texts.
    fitted
        Distinct texts at the last full fit.
    ids
        Document of each row of the clusterer.
    counts
        Documents that each row stands for.
    neutral, space, clusterer
        Arrays of the offsets of languages, of the space and of the clusterer.
    """

    basis: str
    fitted: int
    ids: pa.Array
    counts: Ints
    neutral: Arrays
    space: Arrays
    clusterer: Arrays

    def write(self, path: Path) -> None:
        """Write the state as one npz file without objects."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "basis": np.frombuffer(self.basis.encode(), dtype=np.uint8),
            "fitted": np.array(self.fitted),
            "ids": np.frombuffer("\n".join(self.ids.to_pylist()).encode(), dtype=np.uint8),
            "counts": self.counts,
        }
        for part, held in (("neutral", self.neutral), ("space", self.space), ("clusterer", self.clusterer)):
            arrays |= {f"{part}/{name}": array for name, array in held.items()}
        with path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def read(cls, path: Path) -> State:
        """Read what `write` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            held = {name: stored[name] for name in stored.files}
        text = held["ids"].tobytes().decode()
        return cls(
            basis=held["basis"].tobytes().decode(),
            fitted=int(held["fitted"]),
            ids=pa.array(text.split("\n") if text else [], pa.string()),
            counts=held["counts"],
            neutral=_part(held, "neutral"),
            space=_part(held, "space"),
            clusterer=_part(held, "clusterer"),
        )


@dataclass(frozen=True, slots=True)
class Grown:
    """What was found of each text of a corpus, and what is kept for the next time.

    `labels` (n,), `hierarchy` (n, 3) and `probabilities` (n,) are as in `greyzone.cluster`; `leaders` (n,) is the text that each nearly
    repeats, its own if none (both None if the clusterer does not tell). `joined` counts the rows that joined; None after a full fit.
    """

    labels: Ints
    hierarchy: Ints | None
    probabilities: Floats
    leaders: Ints | None
    state: State
    neutral: LanguageNeutral
    space: JoinedSpace
    joined: int | None


def grow(
    corpus: Corpus,
    past: State | None,
    *,
    make: Callable[[], Clusterer],
    restore: Callable[[Arrays], Growing] | None,
    mode: Mode,
    basis: str,
) -> Grown:
    """Cluster a corpus, going on from what was learnt of it where that is still good.

    Parameters
    ----------
    corpus
        All distinct texts there are.
    past
        What was kept the last time, if anything.
    make, restore
        Make a clusterer that was not fitted, and one from its arrays; None if it cannot go on: then all is fitted anew each time.
    mode
        Whether words count (`greyzone.lexical`).
    basis
        Digest of all that a full fit depends on beside the texts.
    """
    more = _more(corpus, past, basis)
    if restore is None or past is None or more is None:
        return _anew(corpus, make(), mode, basis, keep=restore is not None)
    neutral, space = LanguageNeutral.from_arrays(past.neutral), JoinedSpace.from_arrays(past.space)
    added = np.flatnonzero(more)
    clusterer = restore(past.clusterer)
    if len(added):
        texts, langs = [corpus.texts[row] for row in added.tolist()], [corpus.langs[row] for row in added.tolist()]
        rows = space.rows(texts, langs, neutral.rows(texts, langs, corpus.vectors[added]))
        clusterer.partial_fit(rows, sample_weight=more[added])
    ids = pa.concat_arrays([past.ids, corpus.ids.take(pa.array(added))])
    counts = np.concatenate([past.counts, more[added]])
    state = State(basis, past.fitted, ids, counts, past.neutral, past.space, clusterer.to_arrays())
    return _found(corpus, clusterer, state, neutral, space, len(added))


def _anew(corpus: Corpus, clusterer: Clusterer, mode: Mode, basis: str, *, keep: bool) -> Grown:
    neutral = LanguageNeutral().fit(corpus.vectors, corpus.langs, corpus.texts)
    told = neutral.rows(corpus.texts, corpus.langs, corpus.vectors)
    space, rows = learn_space(corpus.texts, corpus.langs, told, mode=mode)
    clusterer.fit(rows, sample_weight=corpus.weights)
    held: tuple[Arrays, Arrays, Arrays] = ({}, {}, {})
    if keep and isinstance(clusterer, Growing):
        held = (neutral.to_arrays(), space.to_arrays(), clusterer.to_arrays())
    return _found(corpus, clusterer, State(basis, len(corpus.texts), corpus.ids, corpus.weights, *held), neutral, space, None)


def _found(corpus: Corpus, clusterer: Clusterer, state: State, neutral: LanguageNeutral, space: JoinedSpace, joined: int | None) -> Grown:
    # A text that joined again has several equal rows, which are never apart: any of them will do.
    row = _numbers(pc.index_in(corpus.ids, value_set=state.ids))
    text = _numbers(_texts_of(corpus, state.ids))
    hierarchy, leaders = getattr(clusterer, "hierarchy_", None), getattr(clusterer, "leaders_", None)
    return Grown(
        labels=clusterer.labels_[row],
        hierarchy=None if hierarchy is None else hierarchy[row],
        probabilities=clusterer.probabilities_[row],
        leaders=None if leaders is None else text[leaders[row]],
        state=state,
        neutral=neutral,
        space=space,
        joined=joined,
    )


def _more(corpus: Corpus, past: State | None, basis: str) -> Ints | None:
    """Return for each text the documents that the clusterer does not know of yet, or None where all must be fitted anew."""
    if past is None or not past.clusterer or past.basis != basis or len(corpus.texts) >= (1 + GROWTH) * past.fitted:
        return None
    text = _texts_of(corpus, past.ids)
    if text.null_count:
        return None
    counted = np.bincount(_numbers(text), weights=past.counts, minlength=len(corpus.texts)).astype(np.int64)
    more = corpus.weights - counted
    return None if (more < 0).any() else more


def _texts_of(corpus: Corpus, ids: pa.Array) -> pa.Array:
    """Return the text of each document: its own, or, where an earlier one came to light since, the one that it now is a copy of."""
    place = pc.index_in(ids, value_set=corpus.copies["doc_id"].combine_chunks())
    led = corpus.copies["representative"].combine_chunks().take(place)
    return pc.index_in(pc.coalesce(led, ids), value_set=corpus.ids)


def _part(held: Arrays, part: str) -> Arrays:
    return {name.removeprefix(f"{part}/"): array for name, array in held.items() if name.startswith(f"{part}/")}


def _numbers(column: pa.Array) -> Ints:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.int64)
