"""The Trainers of transformers and sentence-transformers as greyzone runs them.

A checkpoint counts only when its marker is written, which is the last thing done, so a kill in the middle of saving costs one interval.
Batches of an epoch follow from seed and epoch alone, and optimizer, schedule and random states are restored, so that on the CPU a resumed
run ends with the same weights, bit by bit. The best checkpoint by validation is the one that is kept; training stops after `patience`
checkpoints without a better one, counted from the log that checkpoints carry, so that a resumed run stops where an uninterrupted one
would.

Left out of the Trainer of sentence-transformers: the model card that it writes at each checkpoint, which quotes training texts and asks
the hub about the base model; printing to stdout; and passing over a best checkpoint that cannot be read.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greyzone.errors import GreyzoneError
from greyzone.training.running import RunSettings, Start

logger = logging.getLogger(__name__)

MARKER = "complete"
"""File that is written into a checkpoint when all else of it is there."""

FIGURE = "figure"
"""Name of the validation figure in the Trainer's log, where it becomes ``eval_figure``."""

CHECKPOINTS = "checkpoints"
"""Folder of the checkpoints in a work folder."""

KEPT_CHECKPOINTS = 3
"""The best, the newest, and the one before it in case the newest is not whole."""

STATIC_RATE, TRANSFORMER_RATE = 1e-3, 2e-5
"""Learning rates of Adam: a row of a static model is touched by few texts and moves alone, so it takes steps 50 times as large; 1e-2
already forgets more than it learns (docs/training.md has the figures). 2e-5 is what sentence-transformers are usually fine-tuned at."""

STATIC_BATCH, TRANSFORMER_BATCH = 128, 32
"""Rows of a batch."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run did: steps and epochs, the step that was kept, each measured figure, and where it was resumed."""

    steps: int
    epochs: float
    best_step: int
    history: tuple[tuple[int, float], ...]
    resumed_from: int | None

    def checkpoint(self, folder: Path) -> Path:
        """Return the folder of the step that was kept, in the work folder of the run."""
        return folder / CHECKPOINTS / f"checkpoint-{self.best_step}"


def train(
    start: Start,
    columns: Mapping[str, list[Any]],
    loss: Any,  # noqa: ANN401 - a torch module
    settings: RunSettings,
    folder: Path,
    *,
    figure: Callable[[], float] | None = None,
) -> Trained:
    """Train `start.model` in place; afterwards it has the weights of the best checkpoint, or the last ones without `figure`.

    Parameters
    ----------
    start
        The model.
    columns
        Text columns in the order in which the loss takes them, then "label" if it takes labels; all of one length.
    loss
        A sentence-transformers loss around the model.
    settings
        How long, how fast.
    folder
        Work folder; what it has of checkpoints is gone on from.
    figure
        Measures the model at each checkpoint, higher is better; None keeps the last weights.
    """
    import datasets
    from sentence_transformers import SentenceTransformerTrainingArguments

    if start.static:
        _keep_zero_rows(start.model)
    rows = len(next(iter(columns.values())))
    arguments = trainer_arguments(
        SentenceTransformerTrainingArguments, settings, rows, folder, static=start.static, device=start.device, measured=figure is not None
    )
    trainer = make_trainer(
        figure=figure,
        patience=settings.patience,
        model=start.model,
        args=arguments,
        train_dataset=datasets.Dataset.from_dict(dict(columns)),
        loss=loss,
    )
    trained = run_trainer(trainer, settings, folder)
    _load_weights(start.model, trained.checkpoint(folder))
    return trained


def trainer_arguments(
    kind: Any,  # noqa: ANN401 - a class of transformers
    settings: RunSettings,
    rows: int,
    folder: Path,
    *,
    static: bool,
    device: str,
    measured: bool = True,
    **more: object,
) -> Any:  # noqa: ANN401
    """Return what a Trainer is told: how long, how fast, when it measures and saves, and where it runs.

    Parameters
    ----------
    kind
        The class of the arguments, which takes `more` too.
    settings
        How long, how fast.
    rows
        Rows of the data.
    folder
        Work folder.
    static
        Whether the model is static, which decides what settings leave open.
    device
        "cpu" or "cuda".
    measured
        Whether there is a validation figure that chooses the checkpoint.
    """
    batch = min(settings.batch_size or (STATIC_BATCH if static else TRANSFORMER_BATCH), rows)
    steps_per_epoch = math.ceil(rows / batch)
    every = settings.checkpoint_steps or steps_per_epoch
    cuda = device.startswith("cuda")
    arguments = kind(
        output_dir=str(folder / CHECKPOINTS),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=batch,
        learning_rate=settings.learning_rate or (STATIC_RATE if static else TRANSFORMER_RATE),
        warmup_steps=math.ceil(settings.warmup * settings.epochs * steps_per_epoch),
        seed=settings.seed,
        eval_strategy="steps" if measured else "no",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=KEPT_CHECKPOINTS,
        metric_for_best_model=f"eval_{FIGURE}" if measured else None,
        greater_is_better=True if measured else None,
        logging_steps=every,
        report_to=[],
        disable_tqdm=True,
        use_cpu=not cuda,
        dataloader_pin_memory=cuda,
        bf16=cuda and not static,
        **more,
    )
    if arguments.n_gpu > 1:
        # Several cards would each be given a batch, which changes the loss: one is used, the first that is visible.
        arguments._n_gpu = 1
    return arguments


def run_trainer(trainer: Any, settings: RunSettings, folder: Path) -> Trained:  # noqa: ANN401
    """Run a Trainer from the last whole checkpoint in `folder` to its end, which may have been reached already.

    Returns
    -------
    Trained
        What it did; the best checkpoint is the first with the highest figure, or the last one where nothing was measured.
    """
    from transformers import TrainerState

    resumed = last_whole(folder / CHECKPOINTS)
    state = trainer.state
    if resumed is not None:
        logger.info("going on from step %d", resumed[0])
        state = TrainerState.load_from_json(str(resumed[1] / "trainer_state.json"))
    if resumed is None or not (state.global_step >= state.max_steps or tired(state.log_history, settings.patience)):
        trainer.train(resume_from_checkpoint=str(resumed[1]) if resumed else None)
        state = trainer.state
    history = tuple((int(entry["step"]), float(entry[f"eval_{FIGURE}"])) for entry in state.log_history if f"eval_{FIGURE}" in entry)
    best = max(history, key=lambda item: (item[1], -item[0]))[0] if history else int(state.global_step)
    return Trained(int(state.global_step), float(state.epoch or 0.0), best, history, resumed[0] if resumed else None)


def last_whole(checkpoints: Path) -> tuple[int, Path] | None:
    """Return the step and folder of the newest checkpoint that is whole; others are removed."""
    found: list[tuple[int, Path]] = []
    for path in sorted(checkpoints.glob("checkpoint-*")):
        if (path / MARKER).is_file():
            found.append((int(path.name.rpartition("-")[2]), path))
        else:
            logger.warning("removed %s: a kill left it unfinished", path)
            shutil.rmtree(path)
    return max(found, default=None)


def make_trainer(*, figure: Callable[[], float] | None, patience: int, **given: Any) -> Any:  # noqa: ANN401 - classes of untyped libraries
    """Return a Trainer with `given` as its arguments.

    Parameters
    ----------
    figure
        Measures the model at each checkpoint, higher is better.
    patience
        Checkpoints without a better figure after which training stops.
    """
    import torch
    from sentence_transformers import SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer.evaluation import BaseEvaluator
    from transformers.trainer_callback import PrinterCallback

    class Trainer(SentenceTransformerTrainer):  # type: ignore[misc, unused-ignore]
        def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
            """No card of the library's."""

        def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:  # noqa: ARG002 - the library's signature
            folder = Path(output_dir or self.args.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            self.model.save_pretrained(str(folder), create_model_card=False)
            torch.save(self.args, folder / "training_args.bin")

    class Evaluator(BaseEvaluator):  # type: ignore[misc, unused-ignore]
        def __init__(self, measure: Callable[[], float]) -> None:
            super().__init__()
            self.primary_metric = FIGURE
            self.measure = measure

        def __call__(self, model: object, output_path: str | None = None, epoch: float = -1, steps: int = -1) -> dict[str, float]:  # noqa: ARG002
            found = self.measure()
            logger.info("step %d, epoch %.2f: %.4f", steps, epoch, found)
            return {FIGURE: found}

    trainer = Trainer(evaluator=Evaluator(figure) if figure else None, callbacks=[checkpoints(patience)], **given)
    trainer.remove_callback(PrinterCallback)
    return trainer


def checkpoints(patience: int) -> Any:  # noqa: ANN401
    """Return a callback that marks each checkpoint once it is whole, and stops training after `patience` without a better figure."""
    from transformers import TrainerCallback

    class Run(TrainerCallback):  # type: ignore[misc, unused-ignore]
        def on_evaluate(self, args: object, state: Any, control: Any, **_: object) -> None:  # noqa: ANN401, ARG002
            if tired(state.log_history, patience):
                control.should_training_stop = True

        def on_save(self, args: Any, state: Any, control: object, **_: object) -> None:  # noqa: ANN401, ARG002
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / MARKER).touch()

    return Run()


def tired(log: list[dict[str, Any]], patience: int) -> bool:
    """Return whether the last `patience` figures of a Trainer's log all fail to beat the best before them."""
    figures = [float(entry[f"eval_{FIGURE}"]) for entry in log if f"eval_{FIGURE}" in entry]
    return len(figures) > patience and max(figures[-patience:]) <= max(figures[:-patience])


def _keep_zero_rows(model: Any) -> None:  # noqa: ANN401
    """Keep rows of a static model that are zero as they are: a text that it knows nothing of shall stay a zero vector."""
    weight = model[0].embedding.weight
    zero = (weight.detach() == 0).all(dim=1)
    if zero.any():
        weight.register_hook(lambda gradient: gradient.masked_fill(zero[:, None], 0.0))


def _load_weights(model: Any, folder: Path) -> None:  # noqa: ANN401
    """Put the weights of a checkpoint into `model`."""
    from sentence_transformers import SentenceTransformer

    try:
        stored = SentenceTransformer(str(folder), device="cpu", local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise GreyzoneError(f"the best checkpoint {folder} cannot be read ({error})", "", "remove the work folder to begin anew") from error
    model.load_state_dict(stored.state_dict())
