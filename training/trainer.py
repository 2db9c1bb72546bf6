"""The Trainer of sentence-transformers as greyzone runs it.

Left out of the library's own: the model card that it writes at each checkpoint, which quotes training texts and asks the hub about the
base model; printing to stdout; and passing over a best checkpoint that cannot be read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

MARKER = "complete"
"""File that is written into a checkpoint when all else of it is there."""

FIGURE = "figure"
"""Name of the validation figure in the Trainer's log, where it becomes ``eval_figure``."""


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
    from transformers import TrainerCallback
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

    class Run(TrainerCallback):  # type: ignore[misc, unused-ignore]
        def on_evaluate(self, args: object, state: Any, control: Any, **_: object) -> None:  # noqa: ANN401, ARG002
            if tired(state.log_history, patience):
                control.should_training_stop = True

        def on_save(self, args: Any, state: Any, control: object, **_: object) -> None:  # noqa: ANN401, ARG002
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / MARKER).touch()

    trainer = Trainer(evaluator=Evaluator(figure) if figure else None, callbacks=[Run()], **given)
    trainer.remove_callback(PrinterCallback)
    return trainer


def tired(log: list[dict[str, Any]], patience: int) -> bool:
    """Return whether the last `patience` figures of a Trainer's log all fail to beat the best before them."""
    figures = [float(entry[f"eval_{FIGURE}"]) for entry in log if f"eval_{FIGURE}" in entry]
    return len(figures) > patience and max(figures[-patience:]) <= max(figures[:-patience])
