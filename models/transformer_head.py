"""A transformer with a multi-label output as a head: raw scores from a folder that transformers saved.

Texts are tokenised, cut at the model's longest input (a warning counts them), and run longest first, so that a batch has little padding
and memory runs out at the start if at all.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.errors import EncoderError, InputError
from greyzone.models.device import resolve_device

logger = logging.getLogger(__name__)

LONGEST_INPUT = 512
"""Longest input of a model whose tokenizer states none."""

Doubles = npt.NDArray[np.float64]


class TransformerScorer:
    """Raw scores of a sequence classifier.

    Parameters
    ----------
    folder
        What ``save_pretrained`` of model and tokenizer wrote.
    device
        "auto", "cpu", "cuda" or "cuda:<n>".
    batch_size
        Texts per forward pass.

    Raises
    ------
    EncoderError
        If the folder holds no sequence classifier.
    InputError
        If an argument is out of range.
    """

    def __init__(self, folder: Path, *, device: str = "auto", batch_size: int = 64) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        if batch_size < 1:
            raise InputError(f"batch_size {batch_size}", "1 or more")
        self.device = resolve_device(device)
        self.batch_size = batch_size
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            self.model = AutoModelForSequenceClassification.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError) as error:
            raise EncoderError(f"{folder} holds no sequence classifier ({error})", "what greyzone train techniques wrote") from error
        self.model.to(self.device).eval()

    def scores(self, texts: Sequence[str]) -> Doubles:
        """Return (len(texts), labels) log-odds before calibration."""
        return forward(self.model, tokenise(self.tokenizer, texts), self.tokenizer, self.batch_size)


def tokenise(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:  # noqa: ANN401 - transformers has no types
    """Return token ids of `texts`, each cut at the longest input; a warning counts those that were cut."""
    longest = longest_input(tokenizer)
    if not len(texts):
        return []
    whole = tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
    if cut := sum(len(ids) > longest for ids in whole):
        logger.warning("the model reads %d tokens of a text: %d of %d texts were cut", longest, cut, len(texts))
        found: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=longest)["input_ids"]
        return found
    return list(whole)


def longest_input(tokenizer: Any) -> int:  # noqa: ANN401
    """Return the longest input in tokens; tokenizers without one state an absurdly large number."""
    stated = int(tokenizer.model_max_length)
    return stated if stated <= 1 << 20 else LONGEST_INPUT


def forward(model: Any, ids: Sequence[Sequence[int]], tokenizer: Any, batch_size: int) -> Doubles:  # noqa: ANN401
    """Return (len(ids), labels) logits of `model` in evaluation mode, which is left in the mode in which it came."""
    import torch

    found = np.zeros((len(ids), int(model.config.num_labels)))
    order = sorted(range(len(ids)), key=lambda place: (-len(ids[place]), place))
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            padded = tokenizer.pad({"input_ids": [list(ids[place]) for place in batch]}, return_tensors="pt").to(device)
            found[batch] = model(input_ids=padded["input_ids"], attention_mask=padded["attention_mask"]).logits.float().cpu().numpy()
    model.train(training)
    return found
