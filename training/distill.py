"""Builds the embedded encoder from a teacher and openly licensed texts, in closed form: no gradient descent, one seed, one result.

1. **English.** The teacher's vectors of English texts (`greyzone.training.curriculum`), reduced to `dimensions` by their principal axes,
   are the targets; the rows start from the teacher's vectors of the pieces alone and are solved by `greyzone.training.leastsquares`.
2. **Other languages.** The target of a foreign sentence is what step 1 makes of its English side, so that translations meet whatever the
   student gets wrong; dictionary and name pairs count as further, lighter rows whose targets keep the norm that their English words have
   (a unit norm would undo the weights that the rows carry in it). English and foreign rows are solved together, since scripts share pieces.
3. **Registers are centred.** Every register's mean is taken from its targets. Else the words that all texts share (articles, particles,
   endings) learn the mean of everyday speech, and any two foreign texts resemble each other.

Run: ``greyzone train distill --teacher FOLDER --parallel parallel_en_xx.tsv.xz --dictionary wiktionary_en_xx.tsv.gz --cldr FOLDER
--wordnet FOLDER --disarm FILE --misp FILE --cache FOLDER --out static.safetensors``.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from greyzone.errors import InputError
from greyzone.models.cached import embed_texts
from greyzone.models.static import StaticEncoder, word_parts
from greyzone.records import Floats
from greyzone.text import words
from greyzone.training import sources
from greyzone.training.curriculum import Amounts, Lessons, by_hash, lessons
from greyzone.training.leastsquares import Bags, Fit, fit_directions, unit_bags
from greyzone.training.options import run_command
from greyzone.training.packing import write_static
from greyzone.training.sources import Pair, Reading
from greyzone.training.teacher import Teacher, load_teacher, whole_words, word_endings
from greyzone.training.vocabulary import base_pieces, choose_pieces, english_worth, word_worths

logger = logging.getLogger(__name__)

START_NORM = (0.121, 0.251)
"""Norm of a start row with frequency p: ``-a ln p - b``, fitted on rows that had been solved; rare words carry more of a text."""

WORD_START, ENDING_START, FOREIGN_START = 0.8, 0.5, 1.0
"""What start rows of words, of continuing pieces and of dictionary words are multiplied with."""

LEAST_NORM = 0.05
WORD_WEIGHT = 0.4
"""Weight of a single word among the teacher's texts."""

FOREIGN_POWER = 0.5
"""How far the scales of foreign sentences follow what is reached: taken as found they give up on words that are rare in training."""

SCRIPTS = ("Arab", "Cyrl", "Latn")
"""ISO 15924 codes of the scripts that the sources above are written in."""


@dataclass(frozen=True, slots=True)
class Distillation:
    """Settings of `distill`.

    Attributes
    ----------
    teacher
        Sentence-transformers folder with a word-piece vocabulary.
    parallel, dictionary, cldr, wordnet, disarm, misp
        Files and folders of `greyzone.training.sources`; only the first is needed.
    out
        File to write.
    cache
        Folder for the teacher's vectors.
    pieces, dimensions
        Size of the weights: a row takes ``dimensions / 2 + 2`` bytes.
    most_manythings
        Sentence pairs of a language taken from the large selection; Tatoeba's own and TICO-19 are taken whole.
    penalty, english_penalty
        Pull of the rows to their start, in step 1 and for foreign rows, and for English rows in step 2.
    english_weight, dictionary_weight
        Weight of a teacher text and of a dictionary row beside a sentence pair.
    tatoeba, definitions, keywords, mixtures
        How many texts of a kind the teacher is asked at most (`greyzone.training.curriculum.Amounts`).
    seed
        Seed of the mixtures.
    """

    teacher: Path
    parallel: Path
    out: Path
    dictionary: Path | None = None
    cldr: Path | None = None
    wordnet: Path | None = None
    disarm: Path | None = None
    misp: Path | None = None
    cache: Path | None = None
    pieces: int = 88_000
    dimensions: int = 256
    most_manythings: int = 30_000
    penalty: float = 0.15
    english_penalty: float = 3.0
    english_weight: float = 2.0
    dictionary_weight: float = 0.6
    tatoeba: int = Amounts().tatoeba
    definitions: int = Amounts().definitions
    keywords: int = Amounts().keywords
    mixtures: int = Amounts().mixtures
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Distilled:
    """What `distill` wrote."""

    path: Path
    sha256: str
    bytes: int
    metadata: dict[str, object]


@dataclass(frozen=True, slots=True)
class _Material:
    """Everything that is learnt from."""

    sentences: list[Pair]
    entries: list[Pair]
    english: Lessons
    reading: Reading


@dataclass(frozen=True, slots=True)
class _Said:
    """The teacher's vectors of the lessons, of its whole words and of its continuing pieces."""

    lessons: Floats
    words: Floats
    endings: Floats


class _Cutter:
    """Bags of pieces with the rules of the encoder itself."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self._encoder = StaticEncoder(pieces, np.zeros((len(pieces), 1), np.uint8), np.ones(len(pieces), np.uint16), {})
        self.pieces = list(pieces)

    def bags(self, texts: Iterable[str]) -> Bags:
        return self._encoder.bags(list(texts)).astype(np.float32)

    def place(self, word: str) -> int | None:
        """Return the row of a word that is one piece."""
        found = self._encoder.word_pieces(word)
        return found[0] if len(found) == 1 else None

    def place_of_piece(self, piece: str) -> int | None:
        return self._encoder.place(piece)


def distill(settings: Distillation) -> Distilled:
    """Build the encoder and write it.

    Linear algebra runs on one thread, so that a rebuild on the same machine from the same inputs gives the same bytes; on another
    processor the last bits of the teacher's vectors differ unless its cache is carried along.

    Raises
    ------
    InputError
        If a source is missing or has another form, or a size is out of range.
    """
    if settings.dimensions % 2 or settings.dimensions < 2:
        raise InputError(f"dimensions {settings.dimensions}", "an even number")
    teacher = load_teacher(settings.teacher)
    material = _gather(settings, teacher)
    material, said = _ask(settings, teacher, material)
    with threadpool_limits(limits=1):
        pieces = _pieces(settings, teacher, material)
        rows = _rows(settings, teacher, material, said, _Cutter(pieces))
    metadata = _metadata(settings, teacher, material, rows)
    write_static(settings.out, pieces, rows, metadata)
    written = settings.out.read_bytes()
    return Distilled(settings.out, hashlib.sha256(written).hexdigest(), len(written), metadata)


def _gather(settings: Distillation, teacher: Teacher) -> _Material:
    reading = Reading()
    taken = frozenset(sources.LANGUAGES) | frozenset(sources.LANGUAGE_OF)
    pairs = list(sources.sentence_pairs(settings.parallel, taken, reading))
    entries = list(sources.word_pairs(settings.dictionary, taken, reading)) if settings.dictionary else []
    if settings.cldr:
        entries += sources.cldr_pairs(settings.cldr, frozenset(sources.LANGUAGES), reading)
    english = lessons(
        vocabulary=whole_words(teacher.vocabulary),
        tatoeba=(pair.english for pair in pairs if pair.source != "tico19"),
        tico=(pair.english for pair in pairs if pair.source == "tico19"),
        definitions=sources.definitions(settings.wordnet) if settings.wordnet else (),
        descriptions=(text for _, text in sources.descriptions(settings.disarm, settings.misp)),
        amounts=Amounts(settings.tatoeba, settings.definitions, settings.keywords, settings.mixtures),
        seed=settings.seed,
    )
    logger.info("%d sentence pairs, %d entries, %d texts for the teacher", len(pairs), len(entries), len(english.texts))
    return _Material(pairs, entries, english, reading)


def _ask(settings: Distillation, teacher: Teacher, material: _Material) -> tuple[_Material, _Said]:
    """Return what the teacher says, and the material without the texts that it knows no word of; they are counted as passed over."""
    asked = [material.english.texts, whole_words(teacher.vocabulary), word_endings(teacher.vocabulary)]
    said = [embed_texts(texts, teacher.encoder, cache=settings.cache, progress=_progress) for texts in asked]
    known: npt.NDArray[np.bool_] = np.asarray(said[0].any(axis=1))
    for name, rows in (("whole words", said[1]), ("endings", said[2])):
        if not rows.any(axis=1).all():
            raise InputError(f"{name} of {teacher.name} without a vector", "a vocabulary that belongs to the model")
    material.reading.passed["lessons that the teacher does not know"] = int((~known).sum())
    english = Lessons(
        *(
            [item for item, kept in zip(listed, known, strict=True) if kept]
            for listed in (material.english.texts, material.english.registers)
        )
    )
    return replace(material, english=english), _Said(said[0][known], said[1], said[2])


def _parts(text: str) -> list[str]:
    return [part for word in words(text) for part in word_parts(word)]


def _pieces(settings: Distillation, teacher: Teacher, material: _Material) -> list[str]:
    """Choose the pieces by what they are worth."""
    ranks: dict[str, int] = {}
    for rank, piece in enumerate(teacher.vocabulary):
        ranks.setdefault(piece, rank)
    counts: dict[str, Counter[str]] = {}
    translated: dict[str, dict[str, float]] = {}
    # A relative's sentences help the fit, but its own words need no pieces.
    chosen = frozenset(sources.LANGUAGES) | {"sh"}
    for pair in material.sentences:
        if pair.lang in chosen:
            counts.setdefault(pair.lang, Counter()).update(_parts(pair.foreign))
    for pair in material.entries:
        if pair.lang in chosen:
            own, parts = translated.setdefault(pair.lang, {}), _parts(pair.foreign)
            worth = english_worth(_parts(pair.english), ranks) / max(1, len(parts)) ** 0.5
            for part in parts:
                own[part] = max(own.get(part, 0.0), worth)
    total: Counter[str] = Counter()
    for lang in sorted(counts):
        total.update(counts[lang])
    return choose_pieces(word_worths(counts, translated), total, base_pieces(teacher.vocabulary), size=settings.pieces)


def _rows(settings: Distillation, teacher: Teacher, material: _Material, said: _Said, cutter: _Cutter) -> Floats:
    """Solve both steps and return the rows."""
    axes = _principal_axes(said.lessons, settings.dimensions)
    registers = np.array(material.english.registers)
    raw = cutter.bags(material.english.texts)
    start, single_bags, single_targets = _start(teacher, said, cutter, raw, axes)
    centred = _centred(said.lessons @ axes, registers)
    bags = sparse.vstack([unit_bags(raw), single_bags]).tocsr()
    targets = _unit(np.concatenate([centred, single_targets]))
    weights = np.concatenate([np.ones(len(centred)), np.full(single_bags.shape[0], WORD_WEIGHT)]).astype(np.float32)
    scale = float(np.sqrt(np.square(centred).sum(axis=1).mean()))
    logger.info("step 1: %d texts", len(targets))
    english = fit_directions(bags, targets, start, settings.penalty, weights=weights, scale=scale, fit=Fit(rescalings=2))
    reached = float(np.sqrt(np.square(np.einsum("ij,ij->i", bags @ english, targets)).mean()))

    foreign_bags, foreign_targets = _foreign(settings, material, cutter, english)
    entry_bags, entry_targets = _entries(material, cutter, english)
    is_english = (np.asarray(bags.sum(axis=0)).ravel() > 0) | start.any(axis=1)
    begin = _with_entries(english, is_english, entry_bags, entry_targets)
    logger.info("step 2: %d sentence pairs, %d entries", len(foreign_targets), len(entry_targets))
    return fit_directions(
        sparse.vstack([bags, foreign_bags]).tocsr(),
        np.concatenate([targets, foreign_targets]),
        begin,
        np.where(is_english, settings.english_penalty, settings.penalty).astype(np.float32),
        weights=np.concatenate([weights * settings.english_weight, np.ones(len(foreign_targets))]).astype(np.float32),
        scale=reached,
        powers=np.concatenate([np.ones(len(targets)), np.full(len(foreign_targets), FOREIGN_POWER)]).astype(np.float32),
        fit=Fit(iterations=25, rescalings=2),
        fixed=((entry_bags * settings.dictionary_weight).astype(np.float32).tocsr(), settings.dictionary_weight * entry_targets),
    )


def _start(teacher: Teacher, said: _Said, cutter: _Cutter, raw: Bags, axes: Floats) -> tuple[Floats, Bags, Floats]:
    """Return the start rows, and the bags and targets of single words that are one piece."""
    listed = said.words @ axes
    mean = listed.mean(axis=0)
    word_targets, ending_targets = _unit(listed - mean), _unit(said.endings @ axes - mean)
    counts = np.asarray(raw.sum(axis=0), dtype=np.float64).ravel()
    norms = np.maximum(-START_NORM[0] * np.log((counts + 0.5) / max(1.0, counts.sum())) - START_NORM[1], LEAST_NORM).astype(np.float32)
    rows = np.zeros((len(cutter.pieces), axes.shape[1]), dtype=np.float32)
    places: list[int] = []
    own: list[int] = []
    for number, word in enumerate(whole_words(teacher.vocabulary)):
        place = cutter.place(word)
        if place is not None:
            rows[place] = word_targets[number] * (norms[place] * WORD_START)
            places.append(place)
            own.append(number)
    for number, ending in enumerate(word_endings(teacher.vocabulary)):
        place = cutter.place_of_piece(f"##{ending}")
        if place is not None:
            rows[place] = ending_targets[number] * (norms[place] * ENDING_START)
    bags = sparse.csr_matrix((np.ones(len(places), np.float32), places, np.arange(len(places) + 1)), shape=(len(places), len(rows)))
    return rows, bags, word_targets[own]


def _foreign(settings: Distillation, material: _Material, cutter: _Cutter, english: Floats) -> tuple[Bags, Floats]:
    """Return the unit bags of foreign sentences and the centred directions of their English sides."""
    large: dict[str, list[Pair]] = {}
    taken: list[Pair] = []
    for pair in material.sentences:
        (large.setdefault(pair.lang, []) if pair.source == "manythings" else taken).append(pair)
    for lang in sorted(large):
        first = set(by_hash(pair.foreign for pair in large[lang])[: settings.most_manythings])
        taken += [pair for pair in large[lang] if pair.foreign in first]
    distinct = {text: place for place, text in enumerate(sorted({pair.english for pair in taken}))}
    said = _unit(cutter.bags(distinct) @ english)[[distinct[pair.english] for pair in taken]]
    registers = np.array(["tico" if pair.source == "tico19" else "tatoeba" for pair in taken])
    return unit_bags(cutter.bags(pair.foreign for pair in taken)), _unit(_centred(said, registers))


def _entries(material: _Material, cutter: _Cutter, english: Floats) -> tuple[Bags, Floats]:
    """Return the unit bags of dictionary words and names, one a foreign text and language, and their targets.

    A target has the mean direction of the English texts' sums and their mean norm: a plain mean would make a word of several meanings weigh
    less.
    """
    distinct = {text: place for place, text in enumerate(sorted({pair.english for pair in material.entries}))}
    bags = unit_bags(cutter.bags(distinct))
    said = bags @ english
    norms = np.sqrt(np.einsum("ij,ij->i", said, said))
    foreign = {key: place for place, key in enumerate(sorted({(pair.lang, pair.foreign) for pair in material.entries}))}
    known = [pair for pair in material.entries if norms[distinct[pair.english]] > 0]
    where = np.array([foreign[pair.lang, pair.foreign] for pair in known], dtype=np.int64)
    own = np.array([distinct[pair.english] for pair in known], dtype=np.int64)
    of = sparse.csr_matrix((np.ones(len(known), np.float32), (where, own)), shape=(len(foreign), len(distinct)))
    counts = np.asarray(of.sum(axis=1)).ravel()
    targets = _unit(of @ said) * ((of @ norms) / np.maximum(counts, 1))[:, None]
    theirs = unit_bags(cutter.bags(text for _, text in foreign))
    kept = (counts > 0) & (np.asarray(theirs.sum(axis=1)).ravel() > 0)
    return theirs[kept], targets[kept].astype(np.float32)


def _with_entries(english: Floats, is_english: npt.NDArray[np.bool_], bags: Bags, targets: Floats) -> Floats:
    """Return the English rows and, for pieces that English lacks, the mean of the entries that they stand in."""
    rows = english.copy()
    total = np.asarray(bags.sum(axis=0)).ravel()
    lacking = ~is_english & (total > 0)
    rows[lacking] = FOREIGN_START * (bags.T.tocsr() @ targets)[lacking] / total[lacking][:, None]
    return rows


def _principal_axes(vectors: Floats, dimensions: int) -> Floats:
    """Return the (width, dimensions) first eigenvectors of the second moment, signs fixed by their largest entry."""
    if dimensions > vectors.shape[1]:
        raise InputError(f"dimensions {dimensions}", f"no more than the teacher's {vectors.shape[1]}")
    _, axes = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))
    first = axes[:, ::-1][:, :dimensions]
    signs = np.sign(first[np.abs(first).argmax(axis=0), np.arange(dimensions)])
    found: Floats = (first * signs).astype(np.float32)
    return found


def _centred(vectors: Floats, registers: npt.NDArray[np.str_]) -> Floats:
    """Return the vectors less the mean of their register."""
    out: Floats = vectors.astype(np.float32, copy=True)
    for register in np.unique(registers):
        own = registers == register
        out[own] -= out[own].mean(axis=0)
    return out


def _unit(rows: Floats) -> Floats:
    found: Floats = rows / np.maximum(np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None], 1e-6)
    return found.astype(np.float32)


def _metadata(settings: Distillation, teacher: Teacher, material: _Material, rows: Floats) -> dict[str, object]:
    used = {pair.source for pair in [*material.sentences, *material.entries]}
    used |= {name for name in ("wordnet", "disarm", "misp") if getattr(settings, name)}
    files = {name: getattr(settings, name) for name in ("parallel", "dictionary", "disarm", "misp")}
    return {
        "teacher": teacher.name,
        "teacher_sha256": teacher.sha256,
        "languages": ["en", *sources.LANGUAGES],
        "scripts": list(SCRIPTS),
        "pieces": len(rows),
        "dimensions": settings.dimensions,
        "sources": {name: asdict(sources.SOURCES[name]) for name in sorted(used)},
        "files_sha256": {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items() if path},
        "rows_kept": dict(sorted(material.reading.kept.items())),
        "rows_passed_over": dict(sorted(material.reading.passed.items())),
        "teacher_texts": dict(sorted(Counter(material.english.registers).items())),
        "settings": {
            name: value
            for name, value in asdict(settings).items()
            if name not in {"teacher", "parallel", "dictionary", "cldr", "wordnet", "disarm", "misp", "cache", "out"}
        },
        "licence": "Apache-2.0 for the weights; see NOTICE for the works that they were learnt from",
    }


def _progress(done: int, total: int) -> None:
    logger.info("teacher: %d of %d texts", done, total)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `distill` from the command line."""
    return run_command(Distillation, distill, argv, prog="greyzone train distill", description="Build a static encoder from a teacher.")


if __name__ == "__main__":
    raise SystemExit(main())
