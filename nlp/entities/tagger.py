"""Entities that no gazetteer knows, as a token-classification model of the Hugging Face hub reads them.

A model is optional and enters as a `Tagger`; what it finds is a hypothesis with the model's score, never merged into the matches of a
gazetteer in silence. Texts longer than the model's window are read in overlapping windows, so that nothing is cut off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from greyzone.errors import EncoderError

LABELS = {"ORG": "organisation", "LOC": "place", "GPE": "place", "MALWARE": "malware", "MAL": "malware", "ACTOR": "actor", "APT": "actor"}
"""Usual labels of token-classification models (without ``B-``, ``I-``) to kinds; others are passed over, persons among them."""


class Tagged(NamedTuple):
    """An entity that a model read: row of the text, span as [start, end), kind, the words as written, the model's score in 0..1."""

    row: int
    start: int
    end: int
    kind: str
    value: str
    score: float


@runtime_checkable
class Tagger(Protocol):
    """What a model offers that reads entities."""

    def tag(self, texts: Sequence[str]) -> list[Tagged]:
        """Return the entities of the texts by row and start."""
        ...


class HubTagger:
    """A token-classification model in a local folder or of the hub.

    Parameters
    ----------
    model
        Folder, or name on the hub (then the network may be used).
    labels
        The model's labels without ``B-`` and ``I-`` to kinds; None stands for `LABELS`.
    """

    def __init__(self, model: str | Path, *, labels: Mapping[str, str] | None = None) -> None:
        self.model = model
        self.labels = labels

    def tag(self, texts: Sequence[str]) -> list[Tagged]:
        """Return the entities of the texts by row and start; equal texts get equal entities.

        Raises
        ------
        EncoderError
            If transformers is missing or the model cannot be loaded.
        """
        read = self._pipeline()
        labels = LABELS if self.labels is None else self.labels
        found: list[Tagged] = []
        for row, text in enumerate(texts):
            for item in read(text) if text.strip() else ():
                kind = labels.get(str(item["entity_group"]).upper())
                start, end = int(item["start"]), int(item["end"])
                if kind is not None and start < end:
                    found.append(Tagged(row, start, end, kind, text[start:end], round(float(item["score"]), 6)))
        return sorted(set(found))

    def _pipeline(self) -> Any:  # noqa: ANN401
        try:
            from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline
        except ImportError as error:
            raise EncoderError("transformers is not installed", remedy="pip install transformers torch") from error
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(self.model))
            model = AutoModelForTokenClassification.from_pretrained(str(self.model)).eval()
        except (OSError, ValueError) as error:
            raise EncoderError(f"{self.model} cannot be loaded ({type(error).__name__})", "a token-classification model") from error
        longest = min(int(tokenizer.model_max_length), int(getattr(model.config, "max_position_embeddings", 512)))
        # Some tokenizers name no length; the pipeline cuts windows by what the tokenizer says.
        tokenizer.model_max_length = longest
        return pipeline(
            "token-classification",
            model=model,
            tokenizer=tokenizer,
            aggregation_strategy="simple",
            stride=longest // 4,
            device=-1,
        )
