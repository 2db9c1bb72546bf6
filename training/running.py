"""What the training commands share: settings as options, the start model, and a run that can be killed at any moment.

A run works in ``<out>.run`` beside the folder that it will become. ``run.json`` there says from what it was begun (settings, digests of
the data, fingerprint of the start model, versions of the libraries); a second start with the same facts goes on from the last whole
checkpoint (`greyzone.training.trainer`), one with other facts is an error. When all is done the model is renamed to ``<out>`` and the work
folder removed: what stands under that name is whole.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.errors import EncoderError, GreyzoneError, InputError, StorageError
from greyzone.models import load_encoder, resolve_device
from greyzone.records import Floats

logger = logging.getLogger(__name__)

_NOT_FACTS = ("licence", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """Settings of every training run.

    Attributes
    ----------
    out
        Folder that the model is written to; it must not be there yet.
    epochs
        Passes over the data at most.
    batch_size
        Rows of a batch; by the kind of model if not given (static 128, transformer 32).
    learning_rate
        Highest rate of Adam; by the kind of model if not given (static 1e-3, transformer 2e-5).
    warmup
        Share of the steps in which the rate rises from 0; it falls to 0 in the others.
    seed
        Draws the split, the order of the rows and dropout.
    evaluation_share
        Share of the data that is held back to measure on; 0 trains on all, without early stopping.
    patience
        Checkpoints without a better figure after which training stops.
    checkpoint_steps
        Steps between checkpoints, each of them measured; an epoch if not given.
    max_tokens
        Longest input of a transformer in training and after it; the model's own if not given.
    device
        auto, cpu or cuda.
    licence
        Licence of each data file, for the card.
    note
        A sentence for the card.
    """

    out: Path
    epochs: int = 10
    batch_size: int | None = None
    learning_rate: float | None = None
    warmup: float = 0.1
    seed: int = 0
    evaluation_share: float = 0.1
    patience: int = 3
    checkpoint_steps: int | None = None
    max_tokens: int | None = None
    device: str = "auto"
    licence: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """The model that training begins with: a SentenceTransformer, its fingerprint, and whether it is static."""

    name: str
    model: Any
    fingerprint: str
    static: bool
    device: str

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self.model.get_embedding_dimension())


def check_settings(settings: RunSettings) -> None:
    """Raise `InputError` unless every setting is in range and `settings.out` is free."""
    for name, value, low in (
        ("epochs", settings.epochs, 1),
        ("batch_size", settings.batch_size, 2),
        ("patience", settings.patience, 1),
        ("checkpoint_steps", settings.checkpoint_steps, 1),
        ("max_tokens", settings.max_tokens, 8),
    ):
        if value is not None and value < low:
            raise InputError(f"{name} {value}", f"{low} or more")
    if settings.learning_rate is not None and not 0 < settings.learning_rate <= 1:
        raise InputError(f"learning_rate {settings.learning_rate:g}", "above 0, at most 1")
    if not 0 <= settings.warmup <= 1 or not 0 <= settings.evaluation_share < 1:
        raise InputError(f"warmup {settings.warmup:g}, evaluation_share {settings.evaluation_share:g}", "0 to 1, the share below 1")
    if settings.device not in {"auto", "cpu", "cuda"}:
        raise InputError(f"device {settings.device!r}", "auto, cpu or cuda", "choose among several with CUDA_VISIBLE_DEVICES")
    if settings.out.exists():
        raise InputError(f"{settings.out} is there already", "a new folder", "remove it or choose another --out")
    if importlib.util.find_spec("accelerate") is None:
        raise GreyzoneError("the package accelerate is not installed", "", "pip install accelerate")


def load_start(name: str, settings: RunSettings) -> Start:
    """Return the model called `name` as a SentenceTransformer that can be trained.

    Raises
    ------
    EncoderError
        If there is no such model or it has no weights that can be trained.
    """
    device = resolve_device(settings.device)
    encoder = load_encoder(name, device=device)
    maker = getattr(encoder, "as_sentence_transformer", None)
    if maker is not None:
        model = maker()
    elif name in {"default", "hashed"}:
        raise EncoderError(f"encoder {name!r} has no weights to train", "a static or sentence-transformers model")
    else:
        from sentence_transformers import SentenceTransformer

        from greyzone.models.hub import find_model

        model = SentenceTransformer(str(find_model(name)), device=device, local_files_only=True, trust_remote_code=False)
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    static = isinstance(model[0], StaticEmbedding)
    if settings.max_tokens is not None:
        if static:
            raise InputError("max_tokens with a static model", "a transformer", "a static model reads texts of any length")
        model.max_seq_length = settings.max_tokens
    return Start(str(name), model.to(device), encoder.fingerprint, static, device)


def encode(model: Any, texts: Sequence[str]) -> Floats:  # noqa: ANN401 - sentence-transformers has no types
    """Return (len(texts), d) float32 unit rows; texts of like length share a batch, which saves padding."""
    if not texts:
        return np.zeros((0, int(model.get_embedding_dimension())), dtype=np.float32)
    found = model.encode(list(texts), batch_size=64, convert_to_numpy=True, show_progress_bar=False)
    rows = np.asarray(found, dtype=np.float64)
    norms = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    return (rows / np.where(norms > 0, norms, 1.0)).astype(np.float32)


def readable(model: Any, texts: Sequence[str]) -> npt.NDArray[np.bool_]:  # noqa: ANN401
    """Return (len(texts),) whether `model` gives a text a vector that is not zero."""
    return np.asarray(np.any(encode(model, texts), axis=1), dtype=np.bool_)


def work_folder(out: Path) -> Path:
    """Return the folder that a run towards `out` works in."""
    return out.with_name(out.name + ".run")


def begin(settings: RunSettings, facts: Mapping[str, object]) -> Path:
    """Make the work folder, or check that the one there was begun from the same settings and facts, and return it.

    Raises
    ------
    InputError
        If it was begun from others.
    StorageError
        If it cannot be written.
    """
    folder = work_folder(settings.out)
    chosen = {name: value for name, value in stated_settings(settings).items() if name not in _NOT_FACTS}
    stated = json.loads(json.dumps({"settings": chosen, "facts": dict(facts), "versions": versions()}, default=str, sort_keys=True))
    path = folder / "run.json"
    try:
        if path.is_file():
            before = json.loads(path.read_text("utf-8"))
            other = [
                f"{part}.{name}"
                for part, now in stated.items()
                for name in sorted({*now, *before.get(part, {})})
                if now.get(name) != before.get(part, {}).get(name)
            ]
            if other:
                raise InputError(f"{folder} was begun with another {', '.join(other)}", "the same", "remove it or choose another --out")
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(stated, indent=1, sort_keys=True) + "\n", "utf-8")
        temporary.replace(path)
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is damaged ({error.msg})", "what a run wrote", "remove the folder to begin anew") from error
    except OSError as error:
        raise StorageError(f"cannot write {folder} ({error.strerror or error})", "", "choose another --out") from error
    return folder


def stated_settings(settings: RunSettings) -> dict[str, object]:
    """Return the settings as a card states them: files by name, since their digests say what they were, and no folder of the user's."""
    left = {"out", "device", "cache"}
    return {
        name: [part.name if isinstance(part, Path) else part for part in value] if isinstance(value, tuple | list) else value
        for name, value in asdict(settings).items()
        if name not in left
    }


def versions() -> dict[str, str]:
    """Return the versions of the libraries that decide what training gives."""
    return {name: importlib.metadata.version(name) for name in ("torch", "transformers", "sentence-transformers", "accelerate", "datasets")}


def finish(start: Start, settings: RunSettings, folder: Path, *, card: str, record: Mapping[str, object]) -> None:
    """Write the model with its card (README.md) and `record` (training.json), give it its name, and remove the work folder.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    ready = folder / "model"
    try:
        shutil.rmtree(ready, ignore_errors=True)
        start.model.save_pretrained(str(ready), create_model_card=False)
        (ready / "README.md").write_text(card, "utf-8")
        (ready / "training.json").write_text(json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False, default=str) + "\n", "utf-8")
        ready.replace(settings.out)
        shutil.rmtree(folder)
    except OSError as error:
        raise StorageError(f"cannot write {settings.out} ({error.strerror or error})", "", "free some space and run again") from error
