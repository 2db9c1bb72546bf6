"""The transformer head: any encoder of Hugging Face with one output a label, fine-tuned by transformers' Trainer.

Two losses, both summed over labels as the mean over texts:

- ``bce``: binary cross-entropy; a positive weighs ``(negatives / positives) ** balance``, at most `HEAVIEST`.
- ``asymmetric`` (Ridnik et al., ICCV 2021): L+ = -log p, L- = -(p_m ** 4) log(1 - p_m) with p_m = max(p - 0.05, 0), so that the many
  easy negatives stop counting.

Checkpoints are measured by the average precision of all (text, label) pairs of the validation groups, which needs no threshold; the best
is kept. A checkpoint counts only with its marker, so that a kill costs one interval at most (`greyzone.training.trainer`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.errors import EncoderError, InputError
from greyzone.eval.metrics import average_precision
from greyzone.models.device import resolve_device
from greyzone.models.hub import find_model
from greyzone.models.transformer_head import forward, longest_input, tokenise
from greyzone.training.running import RunSettings
from greyzone.training.trainer import FIGURE, Trained, checkpoints, run_trainer, trainer_arguments

logger = logging.getLogger(__name__)

LOSSES = ("bce", "asymmetric")

HEAVIEST = 20.0
"""Greatest weight of a positive; beyond it a rare label's few examples drive the whole network."""

FOCUS, MARGIN = 4.0, 0.05
"""Exponent and shift of negatives in the asymmetric loss, as its authors set them."""

Flags = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(slots=True)
class Classifier:
    """A model and its tokenizer, on `device`."""

    model: Any
    tokenizer: Any
    device: str

    def scores(self, texts: Sequence[str]) -> Doubles:
        """Return (len(texts), labels) log-odds before calibration."""
        return forward(self.model, tokenise(self.tokenizer, texts), self.tokenizer, 64)

    def save(self, folder: Path) -> None:
        """Write model and tokenizer."""
        self.model.save_pretrained(str(folder))
        self.tokenizer.save_pretrained(str(folder))


def load_classifier(base: str, labels: Sequence[str], settings: RunSettings) -> Classifier:
    """Return the encoder `base` with a new output layer drawn by `settings.seed`.

    Raises
    ------
    EncoderError
        If there is no such model or it is no transformer.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed
    from transformers.utils import logging as library

    device = resolve_device(settings.device)
    folder = _transformer_part(find_model(base))
    set_seed(settings.seed)
    library.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        model = AutoModelForSequenceClassification.from_pretrained(
            str(folder),
            local_files_only=True,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: place for place, label in enumerate(labels)},
            problem_type="multi_label_classification",
        )
    except (OSError, ValueError) as error:
        raise EncoderError(f"{base} cannot be loaded as a transformer ({error})", "an encoder of Hugging Face") from error
    room = int(getattr(model.config, "max_position_embeddings", 0) or longest_input(tokenizer))
    tokenizer.model_max_length = min(longest_input(tokenizer), room, settings.max_tokens or room)
    return Classifier(model.to(device), tokenizer, device)


def train_classifier(
    classifier: Classifier,
    texts: Sequence[str],
    truth: Flags,
    parts: tuple[Rows, Rows],
    settings: RunSettings,
    *,
    loss: str,
    balance: float,
    folder: Path,
) -> Trained:
    """Train in place; afterwards the model has the weights of its best checkpoint.

    Parameters
    ----------
    classifier
        What `load_classifier` gave.
    texts, truth
        All texts, and (n, labels) which labels they have.
    parts
        Rows to train on and rows to measure checkpoints on.
    settings
        How long, how fast.
    loss, balance
        One of `LOSSES`; exponent of the weights of positives, for bce.
    folder
        Work folder; what it has of checkpoints is gone on from.
    """
    import torch
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    rows, held = parts
    ids = tokenise(classifier.tokenizer, texts)
    targets = truth.astype(np.float32)
    data = [{"input_ids": ids[i], "labels": targets[i].tolist()} for i in rows]
    criterion = loss_function(loss, truth[rows], balance)
    arguments = trainer_arguments(
        TrainingArguments, settings, len(data), folder, static=False, device=classifier.device, remove_unused_columns=False
    )

    class Multilabel(Trainer):  # type: ignore[misc, unused-ignore]
        control: Any

        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: object) -> Any:  # noqa: ANN401
            wanted = inputs.pop("labels")
            outputs = model(**inputs)
            found = criterion(outputs.logits.float(), wanted.float())
            return (found, outputs) if return_outputs else found

        def evaluate(self, *_: object, **__: object) -> dict[str, float]:
            scores = forward(self.model, [ids[i] for i in held], classifier.tokenizer, 64)
            found = {f"eval_{FIGURE}": average_precision(truth[held].ravel(), scores.ravel())}
            logger.info("step %d: average precision %.4f", self.state.global_step, found[f"eval_{FIGURE}"])
            self.log(found)
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
            return found

    trainer = Multilabel(
        model=classifier.model,
        args=arguments,
        train_dataset=data,
        eval_dataset=data[:1],
        data_collator=DataCollatorWithPadding(classifier.tokenizer),
        callbacks=[checkpoints(settings.patience)],
    )
    trainer.remove_callback(PrinterCallback)
    trained = run_trainer(trainer, settings, folder)
    stored = type(classifier.model).from_pretrained(str(trained.checkpoint(folder)), local_files_only=True)
    with torch.no_grad():
        classifier.model.load_state_dict(stored.state_dict())
    return trained


def loss_function(kind: str, truth: Flags, balance: float) -> Callable[[Any, Any], Any]:
    """Return the loss of (n, labels) logits and targets as a torch scalar; `truth` are the training rows.

    Raises
    ------
    InputError
        If `kind` is none of `LOSSES`.
    """
    import torch
    from torch.nn import functional

    if kind not in LOSSES:
        raise InputError(f"loss {kind!r}", " or ".join(LOSSES))
    positives = np.maximum(truth.sum(axis=0), 1)
    weights = torch.tensor(np.clip(((len(truth) - positives) / positives) ** balance, 1.0, HEAVIEST), dtype=torch.float32)

    def bce(logits: Any, wanted: Any) -> Any:  # noqa: ANN401 - tensors
        found = functional.binary_cross_entropy_with_logits(logits, wanted, pos_weight=weights.to(logits.device), reduction="none")
        return found.sum(dim=1).mean()

    def asymmetric(logits: Any, wanted: Any) -> Any:  # noqa: ANN401
        shifted = (torch.sigmoid(logits) - MARGIN).clamp(min=0)
        negative = -(shifted**FOCUS) * torch.log1p(-shifted.clamp(max=1 - 1e-6))
        found = torch.where(wanted > 0.5, functional.softplus(-logits), negative)
        return found.sum(dim=1).mean()

    return bce if kind == "bce" else asymmetric


def _transformer_part(folder: Path) -> Path:
    """Return where the transformer of a model lies: in sentence-transformers' older layout it has a folder of its own."""
    inner = folder / "0_Transformer"
    return inner if (inner / "config.json").is_file() and not (folder / "config.json").is_file() else folder
