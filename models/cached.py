"""Texts to unit rows: each distinct text is encoded once, and kept on disk by content.

A cache folder holds ``<encoder fingerprint>/part-<digest>.npz``: the 16-byte BLAKE2b keys of the texts and their vectors as float16.
Rows are always the float16 values normalised again, fresh or cached, so that what was cached cannot change a result.
A part is written whole and then renamed, so a run that is killed loses at most one part. A slow encoder says how many characters
take it a few seconds (``part_characters``), and its parts hold no more. Small parts are merged as they gather, so that a cache of
millions of texts stays a few hundred files; the merged part is there before the small ones go.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from greyzone.engine import map_batches
from greyzone.errors import EncoderError, InputError, StorageError
from greyzone.records import Encoder, Floats

logger = logging.getLogger(__name__)

KEY_BYTES = 16

PART_TEXTS = 4096
"""Most texts of a part, and of what small parts are merged into."""

SPREAD_TEXTS = 2**16
"""Texts to encode from which processes are started for them; fewer take less time than that."""

Halves = npt.NDArray[np.float16]


def embed_texts(
    texts: Sequence[str],
    encoder: Encoder,
    *,
    cache: Path | None = None,
    batch_size: int = PART_TEXTS,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = 1,
) -> Floats:
    """Return one vector per text.

    Parameters
    ----------
    texts
        Any texts; equal ones are encoded once.
    encoder
        What encodes them.
    cache
        Folder of cached vectors; None keeps nothing.
    batch_size
        Most distinct texts per call of the encoder, and per part of the cache; fewer where the encoder has ``part_characters``.
    progress
        Called with (distinct texts done, distinct texts) at the start and after each batch.
    workers
        Processes, as for `greyzone.engine.map_batches`, for many texts and an encoder that says that it is ``portable``: another
        process has it at once and gives the same vectors.

    Returns
    -------
    Floats
        (len(texts), encoder.dimensions) float32, rows of norm 1, zero rows for texts that the encoder knows nothing of.

    Raises
    ------
    EncoderError
        If the encoder returns another shape than it declares, or numbers that are not finite.
    StorageError
        If the cache cannot be written, such as on a full disk.
    """
    if batch_size < 1:
        raise InputError(f"batch_size {batch_size}", "1 or more")
    keys = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest() for text in texts]
    first: dict[bytes, int] = {}
    for position, key in enumerate(keys):
        first.setdefault(key, position)
    # Sorted, so that the batches do not depend on the order of the rows; by length, so that a part is padded little.
    ordered = sorted(first, key=lambda key: (-len(texts[first[key]]), key))
    places = {key: place for place, key in enumerate(ordered)}
    halves = np.zeros((len(ordered), encoder.dimensions), dtype=np.float16)
    known = np.zeros(len(ordered), dtype=bool)
    folder = cache / encoder.fingerprint if cache is not None else None
    if folder is not None:
        _read_cache(folder, places, halves, known)
    missing = np.flatnonzero(~known)
    done = len(ordered) - len(missing)
    if progress:
        progress(done, len(ordered))
    store = _Store(folder) if folder is not None else None
    lengths = np.array([len(texts[first[ordered[place]]]) for place in missing], dtype=np.int64)
    spans = [missing[start:stop] for start, stop in _parts(lengths, batch_size, getattr(encoder, "part_characters", None))]
    spread = len(missing) >= SPREAD_TEXTS and getattr(encoder, "portable", False)
    encoded = map_batches(
        partial(_encode, encoder=encoder),
        ([texts[first[ordered[place]]] for place in batch] for batch in spans),
        workers=workers if spread else 1,
    )
    for batch, vectors in zip(spans, encoded, strict=True):
        halves[batch] = vectors
        if store is not None:
            store.add([ordered[place] for place in batch], vectors)
        done += len(batch)
        if progress:
            progress(done, len(ordered))
    if store is not None:
        store.merge()
    rows = np.fromiter((places[key] for key in keys), dtype=np.int64, count=len(keys))
    return _unit_rows(halves)[rows]


def _parts(lengths: npt.NDArray[np.int64], most: int, characters: int | None) -> Iterator[tuple[int, int]]:
    """Yield spans of at most `most` texts and, unless a single one has more, at most `characters` characters."""
    start = 0
    while start < len(lengths):
        stop = min(start + most, len(lengths))
        if characters is not None:
            fitting = int(np.searchsorted(np.cumsum(lengths[start:stop]), characters, side="right"))
            stop = start + max(1, min(fitting, stop - start))
        yield start, stop
        start = stop


def _encode(texts: list[str], encoder: Encoder) -> Halves:
    """Return the vectors of one batch as float16."""
    vectors = np.asarray(encoder.encode(texts))
    if vectors.shape != (len(texts), encoder.dimensions):
        raise EncoderError(f"vectors of shape {vectors.shape}", f"{(len(texts), encoder.dimensions)}")
    if not np.isfinite(vectors).all():
        raise EncoderError("vectors that are not finite", "finite numbers", "use another encoder or device")
    return vectors.astype(np.float16)


def _unit_rows(halves: Halves) -> Floats:
    """Return the rows normalised in float32; zero rows stay zero."""
    out = np.empty(halves.shape, dtype=np.float32)
    for start in range(0, len(halves), 8192):
        exact = halves[start : start + 8192].astype(np.float64)
        norms = np.sqrt(np.square(exact).sum(axis=1, keepdims=True))
        out[start : start + 8192] = exact / np.where(norms > 0, norms, 1.0)
    return out


def _read_cache(folder: Path, places: dict[bytes, int], halves: Halves, known: npt.NDArray[np.bool_]) -> None:
    """Fill `halves` and `known` with what `folder` holds; a damaged part is removed and its texts are encoded again."""
    for path in sorted(folder.glob("part-*.npz")):
        part = _read_part(path, halves.shape[1])
        if part is None:
            logger.warning("removed %s: it is damaged, its texts are encoded again", path)
            _remove(path)
            continue
        keys, vectors = part
        found = [(row, place) for row, key in enumerate(keys) if (place := places.get(key)) is not None]
        if found:
            rows, targets = np.array(found).T
            halves[targets] = vectors[rows]
            known[targets] = True


def _read_part(path: Path, dimensions: int) -> tuple[list[bytes], Halves] | None:
    """Return the keys and vectors of a part, or None if it is damaged (the archive has a checksum)."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            keys, vectors = stored["keys"], stored["vectors"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        if isinstance(error, PermissionError):
            raise StorageError(f"cannot read {path}", "a readable cache", "mend its permissions") from error
        return None
    if keys.dtype != np.uint8 or keys.ndim != 2 or keys.shape[1] != KEY_BYTES:
        return None
    if vectors.dtype != np.float16 or vectors.shape != (len(keys), dimensions) or not np.isfinite(vectors).all():
        return None
    return [row.tobytes() for row in keys], vectors


class _Store:
    """The parts of one run in a cache folder; those that gather are merged.

    Parameters
    ----------
    folder
        Where the parts of one encoder are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._small: list[tuple[Path, list[bytes], Halves]] = []

    def add(self, keys: list[bytes], vectors: Halves) -> None:
        """Write a part, after merging the earlier ones if they hold `PART_TEXTS` texts together with it."""
        if sum(len(held) for _, held, _ in self._small) + len(keys) > PART_TEXTS:
            self.merge()
        self._small.append((_write_part(self.folder, keys, vectors), keys, vectors))

    def merge(self) -> None:
        """Write the parts that are not merged yet as one, then remove them."""
        small, self._small = self._small, []
        if len(small) < 2:
            return
        merged = _write_part(self.folder, [key for _, keys, _ in small for key in keys], np.concatenate([part for _, _, part in small]))
        for path, _, _ in small:
            if path != merged:
                _remove(path)


def _write_part(folder: Path, keys: list[bytes], vectors: Halves) -> Path:
    """Write one part under a name made of its keys: to a temporary file, flushed, then renamed; return where it is."""
    name = f"part-{hashlib.blake2b(b''.join(keys), digest_size=8).hexdigest()}"
    path, temporary = folder / f"{name}.npz", folder / f"{name}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            np.savez(stream, keys=np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES), vectors=vectors)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        if temporary.exists():
            temporary.unlink()
        remedy = "free some space and run again" if error.errno == errno.ENOSPC else "choose another cache folder"
        raise StorageError(f"cannot write embeddings to {folder} ({error.strerror or error})", "", remedy) from error
    for stale in folder.glob(f"{name}.*.tmp"):
        _remove(stale)
    return path


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot remove {path} ({error.strerror or error})", "", "remove it by hand") from error
