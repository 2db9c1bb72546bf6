"""Saved classifiers of persuasion techniques or narrative labels: texts in, a calibrated probability and a decision per label out.

A folder holds ``head.json`` (labels, calibration, thresholds, what was refused, how it is made) and either ``head.safetensors``, a linear
map from the vector of an encoder joined with hashed n-grams (`greyzone.models.ngrams`) and a few marks of style, which is read with numpy
and scipy alone, or a transformer with a multi-label output as transformers saves it. Nothing is ever unpickled.

p = sigmoid(a_label z + b_label), z the raw score; a label is told where p is at least its threshold. Labels with too few examples were
refused in training: they have no column, stand in `Head.refused`, and are never told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from greyzone.errors import EncoderError, InputError, StorageError
from greyzone.models import load_encoder
from greyzone.models.ngrams import NgramSettings, count_characters, count_words
from greyzone.records import Encoder, Floats

FORMAT = 1
"""Version of ``head.json``."""

OBJECTIVES = ("macro", "micro")
"""Which F1 the thresholds serve: each label's own, or one for all."""

NO_ENCODER = "none"
"""Name that stands for n-grams and style alone."""

_WEIGHTS = ("bias", "character_columns", "character_idf", "weights", "word_columns", "word_idf")

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Per label slope, offset and `own` threshold, each (labels,); `common` is the one threshold for all."""

    slopes: Doubles
    offsets: Doubles
    common: float
    own: Doubles

    def probabilities(self, scores: Doubles) -> Doubles:
        """Return (n, labels) probabilities of raw `scores`."""
        return sigmoid(np.asarray(scores, dtype=np.float64) * self.slopes + self.offsets)

    def decide(self, probabilities: Doubles, objective: str) -> Flags:
        """Return (n, labels) whether each label is told, by thresholds for the "micro" or the "macro" F1.

        Raises
        ------
        InputError
            If `objective` is another.
        """
        if objective not in OBJECTIVES:
            raise InputError(f"objective {objective!r}", " or ".join(OBJECTIVES))
        thresholds = self.own if objective == "macro" else np.full(len(self.own), self.common)
        told: Flags = probabilities >= thresholds
        return told


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a head says of n texts: (n, labels) float64 `probabilities` and bool `told`, columns in the order of `labels`."""

    labels: tuple[str, ...]
    probabilities: Doubles
    told: Flags

    def sets(self) -> list[tuple[str, ...]]:
        """Return the labels told of each text, the most probable first."""
        found = []
        for p, told in zip(self.probabilities, self.told, strict=True):
            places = sorted(np.flatnonzero(told), key=lambda j: (-p[j], self.labels[j]))
            found.append(tuple(self.labels[j] for j in places))
        return found


class Scorer(Protocol):
    """What gives raw scores."""

    def scores(self, texts: Sequence[str]) -> Doubles:
        """Return (len(texts), labels) log-odds before calibration."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """A classifier: labels, what was refused with its number of examples, calibration, and what scores."""

    labels: tuple[str, ...]
    refused: Mapping[str, int]
    objective: str
    calibration: Calibration
    scorer: Scorer

    def predict(self, texts: Sequence[str], *, objective: str | None = None) -> Predictions:
        """Return probabilities and decisions.

        Parameters
        ----------
        texts
            Any texts.
        objective
            "macro" for each label's own threshold, "micro" for the common one; as trained if not given.
        """
        probabilities = self.calibration.probabilities(self.scorer.scores(texts))
        return Predictions(self.labels, probabilities, self.calibration.decide(probabilities, objective or self.objective))


@dataclass(frozen=True, slots=True)
class Features:
    """From texts to rows: which hashed columns are kept (ascending), their idf, and the weight of the encoder's vector.

    The blocks are words, characters (each ``(1 + ln tf) idf``, then of norm 1), style and, unless `encoder` is None, the vector times
    `share`.
    """

    settings: NgramSettings
    word_columns: npt.NDArray[np.int32]
    word_idf: Floats
    character_columns: npt.NDArray[np.int32]
    character_idf: Floats
    share: float
    encoder: Encoder | None

    def rows(self, texts: Sequence[str]) -> sparse.csr_array:
        """Return (len(texts), features) float32."""
        words = weighted(count_words(texts, self.settings), self.word_columns, self.word_idf)
        characters = weighted(count_characters(texts, self.settings), self.character_columns, self.character_idf)
        dense = [style(texts)]
        if self.encoder is not None:
            dense.append(self.encoder.encode(list(texts)) * np.float32(self.share))
        joined = sparse.hstack([words, characters, sparse.csr_array(np.hstack(dense))], format="csr")
        return sparse.csr_array(joined).astype(np.float32)


@dataclass(frozen=True, slots=True)
class StaticScorer:
    """Linear scores: (features, labels) float16 `weights` and (labels,) float32 `bias`."""

    features: Features
    weights: npt.NDArray[np.float16]
    bias: Floats

    def scores(self, texts: Sequence[str]) -> Doubles:
        """Return (len(texts), labels) log-odds before calibration."""
        if not len(texts):
            return np.zeros((0, len(self.bias)))
        found: Doubles = np.asarray(self.features.rows(texts) @ self.weights.astype(np.float32), dtype=np.float64) + self.bias
        return found


def weighted(counts: sparse.csr_array, columns: npt.NDArray[np.int32], idf: Floats) -> sparse.csr_array:
    """Return the chosen columns of `counts` as ``(1 + ln tf) idf``, rows of norm 1 or 0."""
    kept = sparse.csr_array(counts[:, columns])
    kept.sort_indices()
    values = (1 + np.log(kept.data)) * idf[kept.indices]
    owners = np.repeat(np.arange(kept.shape[0]), np.diff(kept.indptr))
    norms = np.sqrt(np.bincount(owners, np.square(values, dtype=np.float64), minlength=kept.shape[0]))
    kept.data = (values / norms[owners]).astype(np.float32) if len(values) else values.astype(np.float32)
    return kept


def style(texts: Sequence[str]) -> Floats:
    """Return (len(texts), 7) marks of style in [0, 1]: length, capitals, words in capitals, digits, quotes, "!" and "?"."""
    found = np.zeros((len(texts), 7), dtype=np.float32)
    for row, text in enumerate(texts):
        size, words = max(len(text), 1), text.split()
        found[row] = (
            np.log1p(len(text)) / 12,
            5 * sum(char.isupper() for char in text) / size,
            3 * sum(word.isupper() and len(word) > 2 for word in words) / max(len(words), 1),
            5 * sum(char.isdigit() for char in text) / size,
            sum(map(text.count, '"“”„«»')) / 4,
            text.count("!") / 3,
            text.count("?") / 3,
        )
    return np.minimum(found, 1.0)


def sigmoid(values: Doubles) -> Doubles:
    """Return 1 / (1 + exp(-values)) without overflow."""
    found: Doubles = 0.5 * (1 + np.tanh(0.5 * np.asarray(values, dtype=np.float64)))
    return found


def save_head(folder: Path, head: Head, *, encoder: str, record: Mapping[str, Any]) -> None:
    """Write ``head.json`` and, for a static head, ``head.safetensors`` into `folder`.

    Parameters
    ----------
    folder
        Where; made if it is not there.
    head
        What is saved.
    encoder
        Name that `load_encoder` takes, `NO_ENCODER`, or of a transformer head its base.
    record
        Further facts that ``head.json`` keeps under "record".

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    stated: dict[str, Any] = {
        "format": FORMAT,
        "kind": "transformer",
        "labels": list(head.labels),
        "refused": dict(head.refused),
        "objective": head.objective,
        "slopes": head.calibration.slopes.tolist(),
        "offsets": head.calibration.offsets.tolist(),
        "thresholds": {"common": head.calibration.common, "own": head.calibration.own.tolist()},
        "encoder": {"name": encoder},
        "record": dict(record),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(head.scorer, StaticScorer):
            stated |= _static_parts(folder, head.scorer)
        (folder / "head.json").write_text(json.dumps(stated, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {folder} ({error.strerror or error})", "", "free some space or choose another folder") from error


def load_head(folder: str | Path, *, encoder: Encoder | str | Path | None = None, device: str = "auto", batch_size: int = 64) -> Head:
    """Return the classifier saved in `folder`.

    Parameters
    ----------
    folder
        What ``greyzone train techniques`` wrote.
    encoder
        Encoder of a static head, or where it is now, if it is not found under the name with which it was trained.
    device, batch_size
        Of a transformer, or of the encoder.

    Raises
    ------
    InputError
        If the folder holds no head or a damaged one.
    EncoderError
        If the encoder is not the one that the head was trained with.
    """
    path = Path(folder)
    stated = _read(path)
    kind = stated.get("kind")
    if kind not in {"static", "transformer"} or stated.get("format") != FORMAT:
        raise InputError(
            f"{path / 'head.json'} of kind {kind!r}, format {stated.get('format')!r}", f"static or transformer, format {FORMAT}"
        )
    try:
        calibration = Calibration(
            slopes=np.array(stated["slopes"], dtype=np.float64),
            offsets=np.array(stated["offsets"], dtype=np.float64),
            common=float(stated["thresholds"]["common"]),
            own=np.array(stated["thresholds"]["own"], dtype=np.float64),
        )
        labels, refused = tuple(stated["labels"]), dict(stated["refused"])
        objective = str(stated["objective"])
        scorer: Scorer
        if kind == "static":
            scorer = _static_scorer(path, stated, encoder, device, batch_size)
        else:
            from greyzone.models.transformer_head import TransformerScorer

            scorer = TransformerScorer(path, device=device, batch_size=batch_size)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path / 'head.json'} lacks {error}", "what greyzone train techniques wrote") from error
    if not len(labels) == len(calibration.slopes) == len(calibration.offsets) == len(calibration.own):
        raise InputError(f"{path / 'head.json'} with {len(labels)} labels and other numbers of thresholds", "one of each a label")
    return Head(labels, refused, objective, calibration, scorer)


def _static_parts(folder: Path, scorer: StaticScorer) -> dict[str, Any]:
    """Write the weights and return what ``head.json`` says of them."""
    from safetensors.numpy import save

    features = scorer.features
    content = save(
        {
            "bias": np.ascontiguousarray(scorer.bias, dtype=np.float32),
            "character_columns": features.character_columns,
            "character_idf": features.character_idf,
            "weights": np.ascontiguousarray(scorer.weights, dtype=np.float16),
            "word_columns": features.word_columns,
            "word_idf": features.word_idf,
        }
    )
    (folder / "head.safetensors").write_bytes(content)
    settings = features.settings
    return {
        "kind": "static",
        "sha256": hashlib.sha256(content).hexdigest(),
        "share": features.share,
        "fingerprint": features.encoder.fingerprint if features.encoder is not None else "",
        "ngrams": {"bits": settings.bits, "shortest": settings.shortest, "longest": settings.longest, "pairs": settings.pairs},
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads((path / "head.json").read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path} holds no head ({error.strerror or error})", "a folder that greyzone train techniques wrote") from error
    except ValueError as error:
        raise InputError(f"{path / 'head.json'} is damaged ({error})", "JSON") from error
    if not isinstance(found, dict):
        raise InputError(f"{path / 'head.json'} holds a {type(found).__name__}", "an object")
    return found


def _static_scorer(
    path: Path, stated: Mapping[str, Any], encoder: Encoder | str | Path | None, device: str, batch_size: int
) -> StaticScorer:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        content = (path / "head.safetensors").read_bytes()
        arrays = load(content)
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"{path / 'head.safetensors'} cannot be read ({error})", "the weights of a static head") from error
    if hashlib.sha256(content).hexdigest() != stated["sha256"] or set(arrays) != set(_WEIGHTS):
        raise InputError(f"{path / 'head.safetensors'} is not the one that head.json names", "SHA-256 " + str(stated["sha256"]))
    features = Features(
        settings=NgramSettings(**stated["ngrams"]),
        word_columns=arrays["word_columns"],
        word_idf=arrays["word_idf"],
        character_columns=arrays["character_columns"],
        character_idf=arrays["character_idf"],
        share=float(stated["share"]),
        encoder=_encoder(stated, encoder, device, batch_size),
    )
    return StaticScorer(features, arrays["weights"], arrays["bias"])


def _encoder(stated: Mapping[str, Any], given: Encoder | str | Path | None, device: str, batch_size: int) -> Encoder | None:
    name = str(stated["encoder"]["name"])
    if name == NO_ENCODER:
        return None
    chosen = name if given is None else given
    encoder = load_encoder(chosen, device=device, batch_size=batch_size) if isinstance(chosen, str | Path) else chosen
    if encoder.fingerprint != stated["fingerprint"]:
        raise EncoderError(
            f"encoder {chosen if isinstance(chosen, str | Path) else type(chosen).__name__} with fingerprint {encoder.fingerprint}",
            f"the one that the head was trained with, {stated['fingerprint']} ({name})",
            "train the head anew or give that encoder",
        )
    return encoder
