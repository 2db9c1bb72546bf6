"""Teaches an encoder other languages by a teacher's vectors of English sentences (Reimers and Gurevych, EMNLP 2020).

The student learns, for both sides of a sentence pair, the teacher's vector of the English side. Where the student has fewer dimensions
than the teacher, targets are the teacher's vectors in the basis of their d largest principal directions (of T'T, not centred, since
cosines are what is used); where it has more, zeros are put behind. Either way the targets are then turned by the rotation that brings
them nearest to what the student gives for the English sides at the start (orthogonal Procrustes; Schönemann 1966): that changes no
cosine between targets, but a student that knows English already need not learn it again in another basis.

What is measured is translation retrieval on English sentences held back from training: per language, how often the nearest of all
held-back sentences on the other side is the translation, the mean of both directions; a tie is a miss.

Corpora are taken by name (`corpora`), so that those for research only can be left out; what is left out is counted.

Run: ``python -m greyzone.training.multilingual --data parallel.tsv.xz --teacher folder --corpora tatoeba tico --out model``.
"""

from __future__ import annotations

import hashlib
import logging
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from greyzone.errors import EncoderError, InputError, StorageError
from greyzone.models import load_encoder
from greyzone.records import Encoder, Floats
from greyzone.training.card import card, record_of
from greyzone.training.growth import Growth, grow
from greyzone.training.losses import target_loss
from greyzone.training.options import named, run_command
from greyzone.training.pairs import Source, file_digest, hash_fraction, open_text, read_rows
from greyzone.training.running import (
    RunSettings,
    Start,
    begin,
    check_settings,
    encode,
    finish,
    load_start,
    readable,
)
from greyzone.training.trainer import Trained, train

logger = logging.getLogger(__name__)

COLUMNS = ("lang", "corpus", "en", "xx")
"""Columns of parallel text; without a column for `corpus` every row is of the corpus ""."""

TEACHER_BATCH = 2048
"""Texts that the teacher encodes between two writes to its cache: what a kill costs at most."""

_KEY_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class MultilingualSettings(RunSettings):
    """Settings of `multilingual`.

    Attributes
    ----------
    data
        Parallel text: tables with the columns lang, corpus, en, xx. In .tsv (also .gz or .xz) quotation marks are text.
    teacher
        Encoder whose vectors are learnt: a folder or a name on the hub.
    base
        Student to start from: default, a folder, or a name on the hub.
    corpora
        Beginnings of the names of the corpora to take; all if not given.
    languages
        Languages to take; all if not given.
    columns
        Names of columns where they differ: en=source xx=target.
    loss
        mse (between vectors as they come) or cosine.
    evaluation_pairs
        Held-back pairs of a language that are measured at most; further ones are counted.
    learn_pieces
        Size of the vocabulary learnt from the foreign sides; what a static student lacks of it is added. 0 adds nothing.
    cache
        Folder for the teacher's vectors, which several runs may share; the work folder if not given.
    """

    data: tuple[Path, ...]
    teacher: str
    base: str = "default"
    corpora: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    loss: str = "mse"
    evaluation_pairs: int = 1000
    learn_pieces: int = 0
    cache: Path | None = None


@dataclass(frozen=True, slots=True)
class Parallel:
    """Distinct sentence pairs, and where they come from."""

    languages: list[str]
    english: list[str]
    foreign: list[str]
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class MultilingualResult:
    """What training did.

    Attributes
    ----------
    folder
        The model.
    pairs
        Sentence pairs by language that were trained on.
    unreadable
        Pairs left out because a static student knows nothing of one side.
    accuracy
        ``{language: [before, after]}`` of translation retrieval on held-back sentences, "mean" over languages first.
    energy
        Share of the teacher's second moment that its targets keep.
    trained
        Steps, epochs, checkpoint kept, history.
    seconds
        Wall time of the whole.
    """

    folder: Path
    pairs: dict[str, int]
    unreadable: int
    accuracy: dict[str, list[float]]
    energy: float
    trained: Trained
    seconds: float


def multilingual(settings: MultilingualSettings) -> MultilingualResult:
    """Teach `settings.base` the languages of `settings.data` and write the model to `settings.out`.

    A run that was killed goes on from its last checkpoint, and from the teacher's vectors that it has, when it is started again.

    Raises
    ------
    InputError
        If a setting is out of range, the data cannot be used, or a run with other settings was begun towards the same folder.
    EncoderError
        If a model cannot be found or trained.
    """
    started = time.monotonic()
    check_settings(settings)
    if settings.loss not in {"mse", "cosine"} or settings.evaluation_pairs < 2:
        raise InputError(f"loss {settings.loss!r}, evaluation_pairs {settings.evaluation_pairs}", "mse or cosine, 2 or more")
    if settings.learn_pieces < 0:
        raise InputError(f"learn_pieces {settings.learn_pieces}", "0 or more")
    parallel = read_parallel(settings)
    training, held, unmeasured = hold_back(parallel, settings.evaluation_share, settings.evaluation_pairs, seed=settings.seed)
    start = load_start(settings.base, settings)
    teacher = load_encoder(settings.teacher, device=settings.device)
    facts = {"base": start.fingerprint, "teacher": teacher.fingerprint, "data": [source.sha256 for source in parallel.sources]}
    folder = begin(settings, facts)
    english = sorted({parallel.english[row] for row in training})
    taught = teacher_vectors(teacher, english, (settings.cache or folder / "teacher") / teacher.fingerprint)
    targets, energy = bridge(taught, encode(start.model, english))
    before = accuracies(start.model, parallel, held)
    growth = _grow(start, parallel, training, settings)
    training, unreadable = _readable(start, parallel, training)
    places = {text: place for place, text in enumerate(english)}
    columns: dict[str, list[Any]] = {
        "english": [parallel.english[row] for row in training],
        "foreign": [parallel.foreign[row] for row in training],
        "label": [places[parallel.english[row]] for row in training],
    }
    trained = train(
        start,
        columns,
        target_loss(start.model, targets, cosine=settings.loss == "cosine"),
        settings,
        folder,
        figure=(lambda: accuracies(start.model, parallel, held)["mean"]) if held else None,
    )
    after = accuracies(start.model, parallel, held)
    joined = {lang: [round(before[lang], 6), round(value, 6)] for lang, value in after.items()}
    pairs = dict(sorted(Counter(parallel.languages[row] for row in training).items()))
    record = record_of(start, settings, growth, trained) | {
        "teacher": {"name": settings.teacher, "fingerprint": teacher.fingerprint, "dimensions": teacher.dimensions, "energy": energy},
        "data": [asdict(source) for source in parallel.sources],
        "rows": {
            "training": len(training),
            "validation": sum(map(len, held.values())),
            "held back, not measured": unmeasured,
            "unreadable": unreadable,
        }
        | pairs,
        "figures": {"translation retrieval": joined} if joined else {},
    }
    finish(start, settings, folder, card=card("made multilingual", settings, record), record=record)
    return MultilingualResult(settings.out, pairs, unreadable, joined, energy, trained, round(time.monotonic() - started, 1))


def read_parallel(settings: MultilingualSettings) -> Parallel:
    """Return the distinct sentence pairs of the corpora and languages that `settings` names.

    Raises
    ------
    InputError
        If a file cannot be read, lacks a column, or nothing is left.
    """
    names = {role: role for role in COLUMNS} | named(settings.columns)
    if unknown := sorted(set(names) - set(COLUMNS)):
        raise InputError(f"column {unknown[0]!r}", f"one of {', '.join(COLUMNS)}")
    rows: dict[tuple[str, str, str], None] = {}
    sources = []
    for path in settings.data:
        left: Counter[str] = Counter()
        read, before = 0, len(rows)
        for number, row in _pairs(path):
            read += 1
            absent = [names[role] for role in ("lang", "en", "xx") if names[role] not in row]
            if absent:
                raise InputError(
                    f"row {number} of {path.name} has no column {absent[0]!r} but {', '.join(row)}", "", "name it: --columns en=NAME"
                )
            lang, english, foreign = (str(row[names[role]] or "").strip() for role in ("lang", "en", "xx"))
            corpus = str(row.get(names["corpus"]) or "")
            reason = _reason(settings, lang, corpus, english, foreign)
            if not reason and (lang, english, foreign) in rows:
                reason = "repeated pair"
            if reason:
                left[reason] += 1
            else:
                rows[lang, english, foreign] = None
        sources.append(Source(path.name, file_digest(path), read, len(rows) - before, dict(sorted(left.items()))))
    if not rows:
        raise InputError(f"no usable row in {', '.join(source.name for source in sources)}", "pairs of the corpora and languages named")
    langs, english_sides, foreign_sides = (list(side) for side in zip(*rows, strict=True))
    return Parallel(langs, english_sides, foreign_sides, tuple(sources))


def hold_back(parallel: Parallel, share: float, most: int, *, seed: int) -> tuple[list[int], dict[str, list[int]], int]:
    """Return the rows to train on, the rows to measure by language (distinct English sides), and how many were held back in vain.

    An English sentence is held back in all languages or in none.

    Raises
    ------
    InputError
        If nothing is left to train on.
    """
    fractions = {text: hash_fraction(f"{seed}\t{text}") for text in set(parallel.english)}
    training = [row for row, text in enumerate(parallel.english) if fractions[text] >= share]
    kept: dict[str, list[int]] = {}
    seen: set[tuple[str, str]] = set()
    away = sorted((fractions[text], row) for row, text in enumerate(parallel.english) if fractions[text] < share)
    for _, row in away:
        lang, text = parallel.languages[row], parallel.english[row]
        if (lang, text) not in seen and len(kept.get(lang, ())) < most:
            seen.add((lang, text))
            kept.setdefault(lang, []).append(row)
    held = {lang: rows for lang, rows in sorted(kept.items()) if len(rows) > 1}
    if not training:
        raise InputError(f"{len(away)} of {len(parallel.english)} pairs held back", "some to train on", "give more data or a smaller share")
    return training, held, len(away) - sum(map(len, held.values()))


def bridge(taught: Floats, student: Floats) -> tuple[Floats, float]:
    """Return the targets in the student's dimensions and basis, and the share of the teacher's second moment that they keep.

    Parameters
    ----------
    taught
        (n, t) float32 unit rows of the teacher.
    student
        (n, d) float32 unit or zero rows of the student for the same texts, at the start.

    Returns
    -------
    tuple
        (n, d) float32 unit rows, and the share in (0, 1].
    """
    width, depth = taught.shape[1], student.shape[1]
    if width > depth:
        values, vectors = np.linalg.eigh(taught.T.astype(np.float64) @ taught.astype(np.float64))
        flat = taught @ vectors[:, ::-1][:, :depth]
        energy = float(values[::-1][:depth].sum() / values.sum())
    else:
        flat, energy = np.pad(taught.astype(np.float64), ((0, 0), (0, depth - width))), 1.0
    flat = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    left, _, right = np.linalg.svd(flat.T @ student.astype(np.float64))
    return (flat @ left @ right).astype(np.float32), round(energy, 6)


def teacher_vectors(teacher: Encoder, texts: Sequence[str], folder: Path) -> Floats:
    """Return (len(texts), d) float32 unit rows, cached in `folder` part by part; a damaged part is made again.

    Raises
    ------
    StorageError
        If the cache cannot be written.
    EncoderError
        If the teacher returns another shape than it declares, or numbers that are not finite.
    """
    keys = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest() for text in texts]
    places = {key: place for place, key in enumerate(keys)}
    halves = np.zeros((len(texts), teacher.dimensions), dtype=np.float16)
    missing = set(keys)
    for path in sorted(folder.glob("part-*.npz")):
        try:
            with np.load(path, allow_pickle=False) as stored:
                found, vectors = [row.tobytes() for row in stored["keys"]], stored["vectors"]
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
            logger.warning("removed %s: it is damaged", path)
            path.unlink()
            continue
        chosen = [row for row, key in enumerate(found) if key in missing]
        halves[[places[found[row]] for row in chosen]] = vectors[chosen]
        missing.difference_update(found)
    todo = [place for place, key in enumerate(keys) if key in missing]
    for first in range(0, len(todo), TEACHER_BATCH):
        batch = todo[first : first + TEACHER_BATCH]
        vectors = np.asarray(teacher.encode([texts[place] for place in batch]))
        if vectors.shape != (len(batch), teacher.dimensions) or not np.isfinite(vectors).all():
            raise EncoderError(f"teacher's vectors of shape {vectors.shape}", f"{(len(batch), teacher.dimensions)}, all finite")
        halves[batch] = vectors.astype(np.float16)
        _write_part(folder, [keys[place] for place in batch], halves[batch])
        logger.info("teacher: %d of %d texts", len(texts) - len(todo) + first + len(batch), len(texts))
    # Always from the float16 values, so that what was cached cannot change a target.
    rows = halves.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(norms > 0, norms, 1.0)).astype(np.float32)


def accuracies(model: Any, parallel: Parallel, held: Mapping[str, Sequence[int]]) -> dict[str, float]:  # noqa: ANN401
    """Return the translation accuracy by language, "mean" first; empty if nothing is held back."""
    found = {
        lang: translation_accuracy(
            encode(model, [parallel.english[row] for row in rows]), encode(model, [parallel.foreign[row] for row in rows])
        )
        for lang, rows in held.items()
    }
    return {"mean": float(np.mean(list(found.values())))} | found if found else {}


def translation_accuracy(one: Floats, other: Floats) -> float:
    """Return how often row i of one (n, d) side is the nearest to row i of the other, mean of both directions; a tie is a miss."""
    cosines = one @ other.T
    own = np.diagonal(cosines).copy()
    np.fill_diagonal(cosines, -np.inf)
    return float(((own > cosines.max(axis=1)).mean() + (own > cosines.max(axis=0)).mean()) / 2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train from the command line: one JSON line on stdout, exit code 2 for input that cannot be used."""
    return run_command(
        MultilingualSettings,
        multilingual,
        arguments,
        prog="greyzone train multilingual",
        description="Teach an encoder other languages by a teacher's vectors of parallel text.",
    )


def _grow(start: Start, parallel: Parallel, rows: Sequence[int], settings: MultilingualSettings) -> Growth | None:
    """Grow a static student by the foreign sides, if that is wanted."""
    if not settings.learn_pieces:
        return None
    if not start.static:
        raise InputError(f"learn_pieces for {start.name}", "a static model", "a transformer has its own vocabulary")
    return grow(start.model, sorted({parallel.foreign[row] for row in rows}), learn=settings.learn_pieces, surface=0.0, seed=settings.seed)


def _readable(start: Start, parallel: Parallel, rows: list[int]) -> tuple[list[int], int]:
    """Return the rows of which a static student knows something on both sides, and the number of the others."""
    if not start.static:
        return rows, 0
    english, foreign = (readable(start.model, [side[row] for row in rows]) for side in (parallel.english, parallel.foreign))
    kept = [row for row, known in zip(rows, english & foreign, strict=True) if known]
    if not kept:
        raise InputError(f"{len(rows)} pairs that {start.name} knows nothing of", "its languages", "--learn-pieces adds what it lacks")
    return kept, len(rows) - len(kept)


def _reason(settings: MultilingualSettings, lang: str, corpus: str, english: str, foreign: str) -> str:
    """Return why a row is left out, or ""."""
    if settings.corpora and not corpus.startswith(settings.corpora):
        return "corpus not named"
    if settings.languages and lang not in settings.languages:
        return "language not named"
    return "" if lang and english and foreign else "empty side or language"


def _pairs(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the rows of a file; sentences in .tsv are not quoted, so that a quotation mark swallows no line."""
    if path.is_dir() or not {".tsv"} & set(path.suffixes):
        yield from read_rows(path)
        return
    with open_text(path) as stream:
        header = stream.readline().rstrip("\r\n").split("\t")
        for number, line in enumerate(stream, 1):
            parts = line.rstrip("\r\n").split("\t")
            if len(parts) != len(header):
                raise InputError(f"row {number} of {path.name} has {len(parts)} fields", f"{len(header)}, as in the header")
            yield number, dict(zip(header, parts, strict=True))


def _write_part(folder: Path, keys: list[bytes], vectors: np.ndarray[Any, np.dtype[np.float16]]) -> None:
    name = hashlib.blake2b(b"".join(keys), digest_size=8).hexdigest()
    temporary = folder / f"{name}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            np.savez(stream, keys=np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, _KEY_BYTES), vectors=vectors)
        temporary.replace(folder / f"part-{name}.npz")
    except OSError as error:
        raise StorageError(f"cannot write {folder} ({error.strerror or error})", "", "free some space and run again") from error


if __name__ == "__main__":
    raise SystemExit(main())
