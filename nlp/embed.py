"""Documents to unit rows: each distinct text is encoded once, and kept on disk by content.

A cache folder holds ``<encoder fingerprint>/part-<digest>.npz``: the 16-byte BLAKE2b keys of the texts and their vectors as float16.
Rows are always the float16 values normalised again, fresh or cached, so that what was cached cannot change a result.
A part is written whole and then renamed, so a run that is killed loses at most one batch.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from greyzone.errors import EncoderError, InputError, StorageError
from greyzone.records import Encoder, Floats

logger = logging.getLogger(__name__)

KEY_BYTES = 16

Halves = npt.NDArray[np.float16]


def document_text(title: str | None, text: str | None) -> str:
    """Return what of a document is embedded: its title, unless the text begins with it, and its text."""
    head, body = " ".join((title or "").split()), (text or "").strip()
    if not head or " ".join(body.split()).casefold().startswith(head.casefold()):
        return body
    return f"{head}\n{body}" if body else head


def document_texts(titles: pa.ChunkedArray, texts: pa.ChunkedArray) -> list[str]:
    """Return `document_text` of every row of two columns, row i for row i."""
    return [document_text(title, text) for title, text in zip(titles.to_pylist(), texts.to_pylist(), strict=True)]


def embed_texts(
    texts: Sequence[str],
    encoder: Encoder,
    *,
    cache: Path | None = None,
    batch_size: int = 4096,
    progress: Callable[[int, int], None] | None = None,
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
        Distinct texts per call of the encoder, and per part of the cache.
    progress
        Called with (distinct texts done, distinct texts) at the start and after each batch.

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
    # Sorted by key, so that the batches do not depend on the order of the rows.
    ordered = sorted(first)
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
    for start in range(0, len(missing), batch_size):
        batch = missing[start : start + batch_size]
        batch_keys = [ordered[place] for place in batch]
        halves[batch] = _encode([texts[first[key]] for key in batch_keys], encoder)
        if folder is not None:
            _write_part(folder, batch_keys, halves[batch])
        done += len(batch)
        if progress:
            progress(done, len(ordered))
    rows = np.fromiter((places[key] for key in keys), dtype=np.int64, count=len(keys))
    return _unit_rows(halves)[rows]


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


def _write_part(folder: Path, keys: list[bytes], vectors: Halves) -> None:
    """Write one part under a name made of its keys: to a temporary file, flushed, then renamed."""
    name = f"part-{hashlib.blake2b(b''.join(keys), digest_size=8).hexdigest()}"
    temporary = folder / f"{name}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            np.savez(stream, keys=np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES), vectors=vectors)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(folder / f"{name}.npz")
    except OSError as error:
        if temporary.exists():
            temporary.unlink()
        remedy = "free some space and run again" if error.errno == errno.ENOSPC else "choose another cache folder"
        raise StorageError(f"cannot write embeddings to {folder} ({error.strerror or error})", "", remedy) from error
    for stale in folder.glob(f"{name}.*.tmp"):
        _remove(stale)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot remove {path} ({error.strerror or error})", "", "remove it by hand") from error
