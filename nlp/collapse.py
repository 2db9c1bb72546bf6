"""Copies: which documents repeat an earlier one, word for word or nearly.

Exact copies have one normal form (`greyzone.text.normal_form`); a text of which nothing is left there (addresses, emoji) is compared
as it stands. The representative is the earliest, undated ones last, then the smallest doc_id.

Near copies are found among the representatives in that same order: character 5-grams of the normal form, MinHash signatures
(Broder 1997; 100 hashes x -> (a x + b) mod 2^64 with odd a, their upper 32 bits) in 20 bands of 5 (Leskovec, Rajaraman and Ullman,
Mining of Massive Datasets, ch. 3), and for each candidate pair the true Jaccard similarity. A document at `similarity` or more of an
earlier representative is its near copy, and is then no representative itself: there are no chains. A pair at Jaccard 0.8 shares a
band with probability 1 - (1 - 0.8^5)^20 = 0.9996; no pair is reported that was not verified.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.errors import InputError
from greyzone.records import COPIES
from greyzone.text import normal_form

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

GRAM = 5
"""Characters of a shingle."""

BANDS, ROWS = 20, 5
"""Bands of the signature and hashes in a band."""

LEAST_SIMILARITY = 0.5
"""Below this the bands would miss pairs: 1 - (1 - 0.5^5)^20 is 0.47."""

DOUBT = 0.25
"""A candidate whose signature agrees this much less than `similarity` is not verified: five standard deviations of 100 hashes."""

BATCH_CHARACTERS = 2**21
"""Characters hashed at once."""

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio, odd: base of the rolling polynomial and of the mixing of bands."""


def collapse(documents: pa.Table, *, similarity: float = 0.8, seed: int = 0) -> pa.Table:
    """Find the documents that repeat an earlier one.

    Parameters
    ----------
    documents
        `DOCUMENTS`, in any order. A document without text is compared by its title; one without either is nobody's copy.
    similarity
        Least Jaccard similarity of the character 5-grams of a near copy and its representative, 0.5 to 1.
    seed
        Seed of the hash functions.

    Returns
    -------
    pa.Table
        `COPIES` in the order (published_at, doc_id), undated last. A copy of a near copy is itself a near copy of the representative.

    Raises
    ------
    InputError
        If `similarity` is out of its range.
    """
    if not LEAST_SIMILARITY <= similarity <= 1:
        raise InputError(f"similarity {similarity:g}", f"a number from {LEAST_SIMILARITY:g} to 1")
    order = pc.sort_indices(documents, sort_keys=[("published_at", "ascending"), ("doc_id", "ascending")])
    arranged = documents.select(["doc_id", "text", "title"]).take(order)
    keys = _keys(arranged)
    first: dict[str, int] = {}
    leader = np.fromiter((first.setdefault(key, place) for place, key in enumerate(keys)), dtype=np.int64, count=len(keys))
    distinct = np.fromiter(first.values(), dtype=np.int64, count=len(first))
    followed, jaccard = _near([keys[place] for place in distinct], similarity, seed)
    rank = np.searchsorted(distinct, leader)
    representative = distinct[followed[rank]]
    copies = np.flatnonzero(representative != np.arange(len(keys)))
    near = followed[rank[copies]] != rank[copies]
    ids = arranged["doc_id"]
    return pa.table(
        {
            "doc_id": ids.take(pa.array(copies)),
            "representative": ids.take(pa.array(representative[copies])),
            "kind": pa.array(np.where(near, "near", "exact").tolist(), pa.string()),
            "similarity": pa.array(np.where(near, jaccard[rank[copies]], 1.0).astype(np.float32)),
        },
        schema=COPIES,
    )


def representatives(documents: pa.Table, copies: pa.Table) -> pa.Table:
    """Return the documents that are no copies, in the order of `documents`."""
    return documents.filter(pc.invert(pc.is_in(documents["doc_id"], value_set=copies["doc_id"].combine_chunks())))


def weights(documents: pa.Table, copies: pa.Table) -> Ints:
    """Return how many documents each row of `representatives` stands for, itself counted: (rows,) int64."""
    kept = representatives(documents, copies)["doc_id"]
    counts = pc.value_counts(copies["representative"].combine_chunks())
    place = pc.index_in(kept, value_set=counts.field("values"))
    found = pc.fill_null(counts.field("counts").take(place.combine_chunks()), 0)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64) + 1


def _keys(documents: pa.Table) -> list[str]:
    """Return what each document is compared by. Prefixes keep the kinds of key apart."""
    keys = []
    for doc_id, text, title in zip(*(documents[name].to_pylist() for name in ("doc_id", "text", "title")), strict=True):
        content = text if text and text.strip() else title or ""
        form = normal_form(content)
        if form:
            keys.append("n" + form)
        else:
            keys.append("t" + content.strip() if content.strip() else "i" + doc_id)
    return keys


@dataclass(frozen=True, slots=True)
class _Signatures:
    """MinHash `values` (n, hashes) uint32, `bands` (n, bands) uint64 and the number of distinct `grams` of each text."""

    values: npt.NDArray[np.uint32]
    bands: Hashes
    grams: Ints


def _near(keys: list[str], similarity: float, seed: int) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Return for each distinct key the place of its leader (itself if none) and the Jaccard similarity with it."""
    leader = np.arange(len(keys), dtype=np.int64)
    jaccard = np.ones(len(keys))
    comparable = np.fromiter((place for place, key in enumerate(keys) if key[0] == "n"), dtype=np.int64)
    if len(comparable) < 2 or similarity == 1:
        return leader, jaccard
    texts = [keys[place][1:] for place in comparable]
    signatures = _sign(texts, seed)
    # Only band values that two texts share can make a pair.
    _, inverse, counts = np.unique(signatures.bands.ravel(), return_inverse=True, return_counts=True)
    shared = (counts > 1)[inverse].reshape(signatures.bands.shape)
    buckets: dict[int, list[int]] = {}
    numbers = inverse.reshape(signatures.bands.shape)
    for place in np.flatnonzero(shared.any(axis=1)).tolist():
        own = numbers[place][shared[place]].tolist()
        candidates = np.unique(np.array([other for number in own for other in buckets.get(number, ())], dtype=np.int64))
        best, score = _best(place, candidates, texts, signatures, similarity)
        if best < 0:
            for number in own:
                buckets.setdefault(number, []).append(place)
        else:
            leader[comparable[place]] = comparable[best]
            jaccard[comparable[place]] = score
    return leader, jaccard


def _best(place: int, candidates: Ints, texts: list[str], signatures: _Signatures, similarity: float) -> tuple[int, float]:
    """Return the candidate most similar to text `place` and its Jaccard similarity, or -1 if none reaches `similarity`."""
    if len(candidates):
        grams, other = signatures.grams[place], signatures.grams[candidates]
        possible = np.minimum(grams, other) >= similarity * np.maximum(grams, other)
        candidates = candidates[possible]
        agreement = (signatures.values[candidates] == signatures.values[place]).mean(axis=1)
        candidates = candidates[agreement >= similarity - DOUBT]
    best, score = -1, 0.0
    if len(candidates):
        own = np.unique(_grams(texts[place]))
        for candidate in candidates.tolist():
            other = np.unique(_grams(texts[candidate]))
            common = len(np.intersect1d(own, other, assume_unique=True))
            found = common / (len(own) + len(other) - common)
            if found >= similarity and found > score:
                best, score = candidate, found
    return best, score


def _points(text: str) -> Hashes:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)


def _grams(text: str) -> Hashes:
    """Return the 64-bit hash of each character 5-gram; a shorter text is one gram."""
    points = _points(text)
    if len(points) < GRAM:
        points = np.concatenate([points, np.zeros(GRAM - len(points), dtype=np.uint64)])
    return _mixed(_rolling(points))


def _rolling(points: Hashes) -> Hashes:
    found = np.zeros(len(points) - GRAM + 1, dtype=np.uint64)
    for step in range(GRAM):
        found = found * MULTIPLIER + points[step : len(points) - GRAM + 1 + step]
    return found


def _mixed(values: Hashes) -> Hashes:
    """Finalise as splitmix64 does (Steele, Lea and Flood 2014): every bit of a value changes half of the result's."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _sign(texts: list[str], seed: int) -> _Signatures:
    generator = np.random.default_rng(seed)
    multipliers = generator.integers(0, 2**63, size=BANDS * ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    offsets = generator.integers(0, 2**63, size=BANDS * ROWS, dtype=np.uint64)
    values = np.empty((len(texts), BANDS * ROWS), dtype=np.uint32)
    counts = np.empty(len(texts), dtype=np.int64)
    start = 0
    while start < len(texts):
        grams: list[Hashes] = []
        held, stop = 0, start
        while stop < len(texts) and (stop == start or held + len(texts[stop]) <= BATCH_CHARACTERS):
            grams.append(np.unique(_grams(texts[stop])))
            held += len(grams[-1])
            stop += 1
        counts[start:stop] = [len(own) for own in grams]
        begins = np.concatenate([[0], np.cumsum(counts[start : stop - 1])])
        batch = np.concatenate(grams)
        for column, (multiplier, offset) in enumerate(zip(multipliers, offsets, strict=True)):
            hashed = (batch * multiplier + offset) >> np.uint64(32)
            values[start:stop, column] = np.minimum.reduceat(hashed, begins)
        start = stop
    bands = np.broadcast_to(np.arange(BANDS, dtype=np.uint64), (len(texts), BANDS)).copy()
    for row in range(ROWS):
        bands = _mixed(bands * MULTIPLIER + values[:, row::ROWS])
    return _Signatures(values, bands, counts)
