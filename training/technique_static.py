"""The static head: hashed n-grams, style and an encoder's vector into one logistic regression a label.

Each regression minimises ``|w|^2 / 2 + C sum_i c_i log(1 + exp(-y_i w x_i))`` in the dual (Yu, Huang and Lin 2011; liblinear), which
passes over the rows a few times instead of over all weights. c_i of a positive is ``(negatives / positives) ** balance``: 0 leaves the
probabilities right and the imbalance to the thresholds, 1 is scikit-learn's "balanced". Labels do not know of each other, so that each
fit is a stage of its own that is kept on disk: a run that is killed loses at most the label it was at.
"""

from __future__ import annotations

import logging
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse

from greyzone.errors import GreyzoneError, StorageError
from greyzone.models.heads import Features, StaticScorer, style, weighted
from greyzone.models.ngrams import NgramSettings, count_characters, count_words
from greyzone.records import Encoder, Floats

logger = logging.getLogger(__name__)

FEWEST_TEXTS_WORD, FEWEST_TEXTS_CHARACTERS = 2, 4
"""Training texts that a column must occur in."""

TOLERANCE, PASSES = 0.1, 1000
"""Where the dual ascent stops: the largest violation of optimality (a fifth of it took twice as long on UNLP 2025 and moved no F1 by
more than .001), or so many passes, which is an error then, not a worse model."""

BIAS = 3.0
"""Value of the constant feature. liblinear punishes its weight as any other; so large a value makes that negligible."""

Flags = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts and vectors of all texts, made once: (n, 2 ** bits) words and characters, (n, k) dense columns."""

    settings: NgramSettings
    words: sparse.csr_array
    characters: sparse.csr_array
    dense: Floats
    share: float
    encoder: Encoder | None


@dataclass(frozen=True, slots=True)
class Regression:
    """How a label is fitted: strength C, exponent of the class weights, seed of the order of rows."""

    strength: float
    balance: float
    seed: int


def count(texts: Sequence[str], settings: NgramSettings, encoder: Encoder | None, share: float) -> Counted:
    """Return the counts and vectors of `texts`."""
    dense = [style(texts)]
    if encoder is not None:
        dense.append(encoder.encode(list(texts)) * np.float32(share))
    return Counted(settings, count_words(texts, settings), count_characters(texts, settings), np.hstack(dense), share, encoder)


def choose_features(counted: Counted, rows: Rows) -> Features:
    """Return the features whose columns and idf, ``ln((1 + n) / (1 + df)) + 1``, are those of the training `rows`."""

    def chosen(counts: sparse.csr_array, fewest: int) -> tuple[npt.NDArray[np.int32], Floats]:
        frequency = np.bincount(counts[rows].indices, minlength=counts.shape[1])
        columns = np.flatnonzero(frequency >= fewest).astype(np.int32)
        return columns, (np.log((1 + len(rows)) / (1 + frequency[columns])) + 1).astype(np.float32)

    words = chosen(counted.words, FEWEST_TEXTS_WORD)
    characters = chosen(counted.characters, FEWEST_TEXTS_CHARACTERS)
    return Features(counted.settings, *words, *characters, counted.share, counted.encoder)


def rows_of(counted: Counted, features: Features, rows: Rows) -> sparse.csr_array:
    """Return what ``features.rows`` gives for the texts of `rows`, from their counts."""
    words = weighted(sparse.csr_array(counted.words[rows]), features.word_columns, features.word_idf)
    characters = weighted(sparse.csr_array(counted.characters[rows]), features.character_columns, features.character_idf)
    joined = sparse.hstack([words, characters, sparse.csr_array(counted.dense[rows])], format="csr")
    return sparse.csr_array(joined).astype(np.float32)


def fit_scorer(counted: Counted, truth: Flags, rows: Rows, how: Regression, *, cache: Path, stage: str) -> StaticScorer:
    """Return the scorer fitted on `rows`; labels already fitted are read from `cache`.

    Parameters
    ----------
    counted
        All texts.
    truth
        (n, labels) of all texts.
    rows
        Which of them are trained on.
    how
        The regressions.
    cache
        Folder of the fitted labels of this run.
    stage
        Name of this fit there.
    """
    features = choose_features(counted, rows)
    made: list[sparse.csr_array] = []

    def matrix() -> sparse.csr_array:
        if not made:
            made.append(rows_of(counted, features, rows))
        return made[0]

    fitted = [
        _kept(cache / f"{stage}-{label}.npz", lambda label=label: _fit(matrix(), truth[rows, label], how))  # type: ignore[misc]
        for label in range(truth.shape[1])
    ]
    weights = np.stack([pair[0] for pair in fitted], axis=1).astype(np.float16)
    return StaticScorer(features, weights, np.array([pair[1] for pair in fitted], dtype=np.float32))


def scores_of(counted: Counted, scorer: StaticScorer, rows: Rows) -> Doubles:
    """Return (len(rows), labels) raw scores of texts already counted."""
    product = rows_of(counted, scorer.features, rows) @ scorer.weights.astype(np.float32)
    found: Doubles = np.asarray(product, dtype=np.float64) + scorer.bias
    return found


def held_out_scores(counted: Counted, truth: Flags, rows: Rows, folds: Rows, how: Regression, *, cache: Path, stage: str) -> Doubles:
    """Return (len(rows), labels) scores, each by a scorer that was fitted on the other folds; `folds` is (len(rows),)."""
    found = np.zeros((len(rows), truth.shape[1]))
    for fold in range(int(folds.max()) + 1):
        logger.info("%s: fold %d of %d", stage, fold + 1, int(folds.max()) + 1)
        scorer = fit_scorer(counted, truth, rows[folds != fold], how, cache=cache, stage=f"{stage}-fold{fold}")
        found[folds == fold] = scores_of(counted, scorer, rows[folds == fold])
    return found


def _fit(matrix: sparse.csr_array, positive: Flags, how: Regression) -> tuple[Floats, float]:
    """Return weights and bias of one label."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    width = matrix.shape[1]
    if positive.all() or not positive.any():
        # A fold can lack a rare label; log-odds of (positives + 1) / (n + 2) then, the rule of succession.
        share = (positive.sum() + 1) / (len(positive) + 2)
        return np.zeros(width, dtype=np.float32), float(np.log(share / (1 - share)))
    weight = float((~positive).sum() / positive.sum()) ** how.balance
    model = LogisticRegression(
        C=how.strength,
        class_weight={True: weight, False: 1.0},
        solver="liblinear",
        dual=True,
        tol=TOLERANCE,
        max_iter=PASSES,
        intercept_scaling=BIAS,
        random_state=how.seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            model.fit(_narrow(matrix), positive)
        except ConvergenceWarning as error:
            raise GreyzoneError(
                f"a label did not converge in {PASSES} passes at strength {how.strength:g}", "", "lower --strength"
            ) from error
    return model.coef_[0].astype(np.float32), float(model.intercept_[0])


def _narrow(matrix: sparse.csr_array) -> sparse.csr_matrix:
    """Return `matrix` with the 32-bit places that liblinear reads."""
    if matrix.nnz >= 1 << 31:
        raise GreyzoneError(f"{matrix.nnz} features in the training texts", f"fewer than {1 << 31}", "train on fewer texts")
    return sparse.csr_matrix((matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)), shape=matrix.shape)


def _kept(path: Path, make: Callable[[], tuple[Floats, float]]) -> tuple[Floats, float]:
    """Return what `path` holds, or make it and keep it there; a file that a kill left unfinished does not bear the name."""
    try:
        if path.is_file():
            with np.load(path) as stored:
                return stored["weights"], float(stored["bias"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        logger.warning("%s is damaged; fitted again", path)
    weights, bias = make()
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.savez(file, weights=weights, bias=np.float64(bias))
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write {path} ({error.strerror or error})", "", "free some space and run again") from error
    return weights, bias
