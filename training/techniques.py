"""A classifier of persuasion techniques, or of any other set of labels, trained on texts that carry them.

Two heads do the same work: ``static`` (hashed n-grams and an encoder's vector, one logistic regression a label: CPU, a minute or two)
and ``transformer`` (a fine-tuned encoder). Around both stands the same order of steps:

1. Texts are grouped (paragraphs of an article, copies and near-copies), and groups are split evenly in all labels.
2. A label with fewer than `fewest` training texts, or with all of them in one group, is refused and listed: it is never told.
3. Scores of texts that were not trained on (static: cross-fitting over `folds`; transformer: a held-back share) fit the calibration and
   choose the thresholds (`greyzone.training.thresholds`).
4. The static head is then fitted on all training texts.
5. Test texts, which chose nothing, are measured with intervals; refused labels count as misses there.

Run: ``python -m greyzone.training.techniques --data posts.jsonl --out head``.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError, StorageError
from greyzone.eval.multilabel import Bin, MultilabelScores, multilabel_scores, reliability
from greyzone.models import load_encoder
from greyzone.models.heads import NO_ENCODER, OBJECTIVES, Calibration, Head, Scorer, save_head
from greyzone.models.ngrams import NgramSettings
from greyzone.training.options import named, run_command
from greyzone.training.running import RunSettings, begin, check_settings
from greyzone.training.stratify import merged_groups, stratified_parts
from greyzone.training.technique_card import technique_card
from greyzone.training.technique_sets import LabelledTexts, SetSource, read_labelled
from greyzone.training.technique_static import Counted, Regression, count, fit_scorer, held_out_scores, scores_of
from greyzone.training.technique_transformer import LOSSES, load_classifier, train_classifier
from greyzone.training.thresholds import fit_calibration

logger = logging.getLogger(__name__)

HEADS = ("static", "transformer")

Flags = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TechniquesSettings(RunSettings):
    """Settings of `techniques`; `epochs` to `max_tokens` and `evaluation_share` are for the transformer head.

    Attributes
    ----------
    data
        Files of labelled texts: .jsonl, .csv or .tsv, also .gz or .xz.
    test
        Files to measure on; without them, rows of `test_splits`, or else a share held out.
    columns
        Names of columns where they are others than text, labels, lang, group, split: labels=subnarratives.
    train_splits
        Values of the split column that are trained on; rows without a split always are.
    test_splits
        Values of the split column that are measured on.
    test_share
        Share of the texts that is held out to measure on where the data name no test rows; 0 measures nothing.
    cross_validate
        Parts for measuring by cross-validation in place of a held-out share (static head); 0 for none.
    head
        static or transformer.
    base
        Encoder of the static head (default, hashed, a folder, a hub name, or none), or the transformer to fine-tune.
    share
        Weight of the encoder's vector beside the n-grams (static head).
    strength
        C of the logistic regressions: greater fits closer (static head).
    balance
        Exponent of (negatives / positives), the weight of positive texts: 0 leaves imbalance to the thresholds, 1 balances.
    loss
        bce or asymmetric (transformer head).
    objective
        Which F1 the thresholds serve unless told otherwise: macro or micro.
    folds
        Parts of the cross-fitting that thresholds and calibration come from (static head).
    fewest
        Training texts that a label needs not to be refused.
    """

    data: tuple[Path, ...]
    test: tuple[Path, ...] = ()
    columns: tuple[str, ...] = ()
    train_splits: tuple[str, ...] = ("train",)
    test_splits: tuple[str, ...] = ("dev",)
    test_share: float = 0.2
    cross_validate: int = 0
    head: str = "static"
    base: str = "default"
    share: float = 0.6
    strength: float = 4.0
    balance: float = 0.0
    loss: str = "bce"
    objective: str = "macro"
    folds: int = 3
    fewest: int = 10


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures on texts that chose nothing, by objective of the thresholds.

    `languages` has the texts, micro-, macro- and samples-F1 of each language under the objective that was chosen.
    """

    how: str
    macro: MultilabelScores
    micro: MultilabelScores
    languages: Mapping[str, tuple[int, float, float, float]]
    reliability: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class TechniquesResult:
    """What was trained: folder, labels, refused labels with their training texts, figures, wall time."""

    folder: Path
    labels: tuple[str, ...]
    refused: Mapping[str, int]
    measured: Measured | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Task:
    """Rows to train on and to measure on; `truth` has a column for each of `labels`, which are the kept ones."""

    texts: LabelledTexts
    groups: Rows
    train: Rows
    test: Rows
    labels: tuple[str, ...]
    refused: Mapping[str, int]
    truth: Flags
    rows: Mapping[str, int]


def techniques(settings: TechniquesSettings) -> TechniquesResult:
    """Train a head on `settings.data` and write it to `settings.out`, where `greyzone.models.heads.load_head` reads it.

    A run that was killed goes on when it is started again with the same settings, and ends with the same files.

    Raises
    ------
    InputError
        If a setting is out of range, the data cannot be read, or every label is refused.
    EncoderError
        If the encoder or transformer cannot be found or loaded.
    StorageError
        If a file cannot be written.
    """
    started = time.monotonic()
    _check(settings)
    task = make_task(settings)
    if settings.head == "static":
        head, measured, folder = _static(settings, task)
    else:
        head, measured, folder = _transformer(settings, task)
    record = _record(settings, task, measured)
    _finish(settings, folder, head, record)
    return TechniquesResult(settings.out, head.labels, task.refused, measured, round(time.monotonic() - started, 1))


def main(arguments: Sequence[str] | None = None) -> int:
    """Train from the command line: one JSON line on stdout, exit code 2 for input that cannot be used."""
    return run_command(
        TechniquesSettings,
        techniques,
        arguments,
        prog="greyzone train techniques",
        description="Train a classifier of persuasion techniques or narrative labels, with calibrated thresholds.",
    )


def make_task(settings: TechniquesSettings) -> Task:
    """Read the data and say which rows are trained on, which measured on, and which labels are refused.

    Raises
    ------
    InputError
        If nothing is left to train on, or no label has examples enough.
    """
    given = read_labelled(settings.data, named(settings.columns))
    first = len(given.texts)
    if settings.test:
        given = _joined(given, read_labelled(settings.test, named(settings.columns)))
    splits, wanted = np.array(given.splits), (*settings.train_splits, "")
    from_test = np.arange(len(splits)) >= first
    train = np.isin(splits, wanted) & ~from_test
    test = (
        np.isin(splits, settings.test_splits) & ~from_test
        if not settings.test
        else np.isin(splits, (*settings.test_splits, "")) & from_test
    )
    other = int((~train & ~test).sum())
    texts = given.take(train | test)
    test = test[train | test]
    if not (~test).any():
        raise InputError(
            f"no row of split {' or '.join(settings.train_splits)}", f"one of {sorted(set(given.splits))}", "set --train-splits"
        )
    groups = merged_groups(texts.groups, texts.texts)
    names = texts.names()
    whole = texts.truth(names)
    if not test.any() and settings.test_share and not settings.cross_validate:
        test = stratified_parts(whole, groups, (1 - settings.test_share, settings.test_share), seed=settings.seed) == 1
    rows = {"training": int((~test).sum()), "test": int(test.sum()), "of other splits": other}
    alike = merged_groups(range(len(texts.texts)), texts.texts)
    rows["test texts that are copies of training texts"] = int(np.isin(alike[test], alike[~test]).sum())
    support = whole[~test].sum(axis=0)
    spread = np.array([len(np.unique(groups[~test & whole[:, j]])) for j in range(len(names))])
    kept = (support >= settings.fewest) & (spread >= 2)
    refused = {name: int(n) for name, n, keep in zip(names, support, kept, strict=True) if not keep}
    if not kept.any():
        raise InputError(
            f"no label with {settings.fewest} training texts in 2 groups (the most is {max(support, default=0)})", "one", "lower --fewest"
        )
    labels = tuple(name for name, keep in zip(names, kept, strict=True) if keep)
    return Task(texts, groups, np.flatnonzero(~test), np.flatnonzero(test), labels, refused, whole[:, kept], rows)


def _static(settings: TechniquesSettings, task: Task) -> tuple[Head, Measured | None, Path]:
    encoder = None if settings.base == NO_ENCODER else load_encoder(settings.base, device=settings.device)
    folder = begin(settings, _facts(task, encoder.fingerprint if encoder else ""))
    counted = count(task.texts.texts, NgramSettings(), encoder, settings.share)
    how = Regression(settings.strength, settings.balance, settings.seed)
    cache = folder / "labels"
    scorer_calibration = _fitted(settings, task, counted, task.train, how, cache, "all")
    measured = None
    if settings.cross_validate:
        parts = _folds(task, task.train, settings.cross_validate, settings.seed + 1)
        probabilities, told = np.zeros(task.truth.shape), {name: np.zeros(task.truth.shape, dtype=np.bool_) for name in OBJECTIVES}
        for part in range(settings.cross_validate):
            inside, outside = task.train[parts != part], task.train[parts == part]
            scorer, calibration = _fitted(settings, task, counted, inside, how, cache, f"part{part}")
            probabilities[outside] = calibration.probabilities(scores_of(counted, scorer, outside))
            for name in OBJECTIVES:
                told[name][outside] = calibration.decide(probabilities[outside], name)
        measured = _measured(settings, task, task.train, probabilities, told, f"{settings.cross_validate}-fold cross-validation")
    elif len(task.test):
        scorer, calibration = scorer_calibration
        measured = _measured_test(settings, task, scores_of(counted, scorer, task.test), calibration)
    scorer, calibration = scorer_calibration
    return Head(task.labels, task.refused, settings.objective, calibration, scorer), measured, folder


def _fitted(
    settings: TechniquesSettings, task: Task, counted: Counted, rows: Rows, how: Regression, cache: Path, stage: str
) -> tuple[Any, Calibration]:
    """Return the scorer fitted on `rows`, and the calibration from cross-fitting on them."""
    folds = _folds(task, rows, settings.folds, settings.seed)
    held = held_out_scores(counted, task.truth, rows, folds, how, cache=cache, stage=stage)
    return fit_scorer(counted, task.truth, rows, how, cache=cache, stage=stage), fit_calibration(held, task.truth[rows])


def _folds(task: Task, rows: Rows, n: int, seed: int) -> Rows:
    groups = np.unique(task.groups[rows], return_inverse=True)[1].astype(np.int64)
    return stratified_parts(task.truth[rows], groups, (1 / n,) * n, seed=seed)


def _transformer(settings: TechniquesSettings, task: Task) -> tuple[Head, Measured | None, Path]:
    classifier = load_classifier(settings.base, task.labels, settings)
    folder = begin(settings, _facts(task, settings.base))
    groups = np.unique(task.groups[task.train], return_inverse=True)[1].astype(np.int64)
    shares = (1 - settings.evaluation_share, settings.evaluation_share)
    held = stratified_parts(task.truth[task.train], groups, shares, seed=settings.seed) == 1
    parts = task.train[~held], task.train[held]
    texts = task.texts.texts
    trained = train_classifier(classifier, texts, task.truth, parts, settings, loss=settings.loss, balance=settings.balance, folder=folder)
    logger.info("kept step %d of %d", trained.best_step, trained.steps)
    calibration = fit_calibration(classifier.scores([texts[i] for i in parts[1]]), task.truth[parts[1]])
    measured = None
    if len(task.test):
        measured = _measured_test(settings, task, classifier.scores([texts[i] for i in task.test]), calibration)
    scorer: Scorer = classifier
    return Head(task.labels, task.refused, settings.objective, calibration, scorer), measured, folder


def _measured_test(settings: TechniquesSettings, task: Task, scores: Doubles, calibration: Calibration) -> Measured:
    probabilities, told = np.zeros(task.truth.shape), {name: np.zeros(task.truth.shape, dtype=np.bool_) for name in OBJECTIVES}
    probabilities[task.test] = calibration.probabilities(scores)
    for name in OBJECTIVES:
        told[name][task.test] = calibration.decide(probabilities[task.test], name)
    return _measured(settings, task, task.test, probabilities, told, "test texts")


def _measured(
    settings: TechniquesSettings, task: Task, rows: Rows, probabilities: Doubles, told: Mapping[str, Flags], how: str
) -> Measured:
    """Return the figures on `rows` over all labels, those that were refused included."""
    names = task.texts.names()
    truth = task.texts.truth(names)[rows]
    kept = [names.index(label) for label in task.labels]
    spread = np.full(truth.shape, np.nan)
    spread[:, kept] = probabilities[rows]
    groups = task.groups[rows].tolist()
    decided, found = {}, {}
    for name in OBJECTIVES:
        decided[name] = np.zeros(truth.shape, dtype=np.bool_)
        decided[name][:, kept] = told[name][rows]
        found[name] = multilabel_scores(truth, decided[name], spread, names, groups=groups, seed=settings.seed)
    chosen = decided[settings.objective]
    languages = {}
    spoken = np.array(task.texts.languages)[rows]
    for lang in sorted(set(spoken.tolist()) - {""}):
        here = spoken == lang
        one = multilabel_scores(truth[here], chosen[here], None, names, draws=0)
        languages[lang] = (one.texts, one.micro_f1, one.macro_f1, one.samples_f1)
    return Measured(how, found["macro"], found["micro"], languages, reliability(truth, spread))


def _check(settings: TechniquesSettings) -> None:
    check_settings(settings)
    for name, value, allowed in (
        ("head", settings.head, HEADS),
        ("objective", settings.objective, OBJECTIVES),
        ("loss", settings.loss, LOSSES),
    ):
        if value not in allowed:
            raise InputError(f"{name} {value!r}", " or ".join(allowed))
    for name, number, low, high in (
        ("share", settings.share, 0.0, 10.0),
        ("strength", settings.strength, 1e-4, 1e4),
        ("balance", settings.balance, 0.0, 1.0),
        ("folds", settings.folds, 2, 20),
        ("fewest", settings.fewest, 2, 10**6),
    ):
        if not low <= number <= high:
            raise InputError(f"{name} {number:g}", f"{low:g} to {high:g}")
    if not 0 <= settings.test_share < 1:
        raise InputError(f"test_share {settings.test_share:g}", "0 or more, below 1")
    if settings.cross_validate and (settings.cross_validate < 2 or settings.head != "static"):
        raise InputError(f"cross_validate {settings.cross_validate} with the {settings.head} head", "0, or 2 or more with the static head")
    if settings.cross_validate and settings.test:
        raise InputError("cross_validate together with test files", "one of the two")
    if settings.head == "transformer" and (settings.base in {"default", "hashed", NO_ENCODER} or not settings.evaluation_share):
        raise InputError(
            f"a transformer head on base {settings.base!r} with evaluation_share {settings.evaluation_share:g}",
            "a transformer (a folder or a hub name) and a share above 0",
        )


def _joined(one: LabelledTexts, other: LabelledTexts) -> LabelledTexts:
    return LabelledTexts(
        one.texts + other.texts,
        one.labels + other.labels,
        one.languages + other.languages,
        one.groups + other.groups,
        one.splits + other.splits,
        one.sources + other.sources,
    )


def _facts(task: Task, base: str) -> dict[str, object]:
    return {"base": base, "data": [source.sha256 for source in task.texts.sources]}


def _record(settings: TechniquesSettings, task: Task, measured: Measured | None) -> dict[str, Any]:
    """Return what ``training.json`` holds: nothing in it depends on when or where the run was, or on a kill."""
    chosen = {name: value for name, value in asdict(settings).items() if name not in {"out", "device", "data", "test"}}
    counts = dict(zip(task.labels, task.truth[task.train].sum(axis=0).tolist(), strict=True))
    return {
        "data": [_source(source) for source in task.texts.sources],
        "rows": dict(task.rows),
        "labels": counts,
        "refused": dict(task.refused),
        "settings": json.loads(json.dumps(chosen, default=str)),
        "measured": asdict(measured) if measured else None,
    }


def _source(source: SetSource) -> dict[str, Any]:
    return {"name": source.name, "sha256": source.sha256, "rows": source.rows, "used": source.used, "left_out": dict(source.left_out)}


def _finish(settings: TechniquesSettings, folder: Path, head: Head, record: Mapping[str, Any]) -> None:
    """Write the head with card and record, give it its name, and remove the work folder."""
    ready = folder / "model"
    try:
        shutil.rmtree(ready, ignore_errors=True)
        ready.mkdir(parents=True)
        if settings.head == "transformer":
            head.scorer.save(ready)  # type: ignore[attr-defined]
        save_head(ready, head, encoder=settings.base, record={"rows": record["rows"], "data": record["data"]})
        (ready / "README.md").write_text(technique_card(settings, record), "utf-8")
        (ready / "training.json").write_text(json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
        ready.replace(settings.out)
        shutil.rmtree(folder)
    except OSError as error:
        raise StorageError(f"cannot write {settings.out} ({error.strerror or error})", "", "free some space and run again") from error


if __name__ == "__main__":
    raise SystemExit(main())
