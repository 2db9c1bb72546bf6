"""Entities that no register lists, as a token-classification model of the Hugging Face hub reads them.

A model is optional and enters as a `Tagger`. For links it reads what registers write of their incidents (`tagged_incidents`), which is
little text: what it finds there is then looked for in all documents by the gazetteer, with the same tests of ambiguity and rarity as any
other name. Texts longer than the model's window are read in overlapping windows, so that nothing is cut off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import pyarrow as pa

from greyzone.models.hub import check_weights, find_transformer, refused
from greyzone.text import fold

LABELS = {
    **dict.fromkeys(("ORG", "ORGANIZATION", "ORGANISATION"), "organisation"),
    **dict.fromkeys(("LOC", "LOCATION", "GPE"), "place"),
    **dict.fromkeys(("MALWARE", "MAL"), "malware"),
    **dict.fromkeys(("ACTOR", "THREAT-ACTOR", "APT", "HACKORG"), "actor"),
}
"""Usual labels of token-classification models (without ``B-``, ``I-``) to kinds; others are passed over, persons among them."""

TAGS = "tags words"
WANTED = "a token-classification model that transformers saved, with weights in the safetensors format"

NAMED = ("organisation", "malware", "actor")
"""Kinds that a model adds to incidents: places are weighed by themselves."""


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
    """A token-classification model of transformers.

    Parameters
    ----------
    model
        A folder that transformers saved, or an "organisation/model" of the hub; weights in the safetensors format.
    labels
        The model's labels without ``B-`` and ``I-`` to kinds; None stands for `LABELS`.

    Raises
    ------
    EncoderError
        If there is no such model, it tags no words, or it has none of the labels.
    """

    def __init__(self, model: str | Path, *, labels: Mapping[str, str] | None = None) -> None:
        from transformers import AutoModelForTokenClassification, pipeline

        self.labels = LABELS if labels is None else labels
        with refused(model, TAGS, WANTED):
            folder, tokenizer = _described(model, self.labels)
            tags = AutoModelForTokenClassification.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
        longest = min(int(tokenizer.model_max_length), int(getattr(tags.config, "max_position_embeddings", 512)))
        # Some tokenizers name no length; the pipeline cuts windows by what the tokenizer says.
        tokenizer.model_max_length = longest
        self._read = pipeline(
            "token-classification", model=tags, tokenizer=tokenizer, aggregation_strategy="simple", stride=longest // 4, device=-1
        )

    def tag(self, texts: Sequence[str]) -> list[Tagged]:
        """Return the entities of the texts by row and start; equal texts get equal entities."""
        found: list[Tagged] = []
        for row, text in enumerate(texts):
            for item in self._read(text) if text.strip() else ():
                kind = self.labels.get(str(item["entity_group"]).upper())
                start, end = int(item["start"]), int(item["end"])
                if kind is not None and start < end:
                    found.append(Tagged(row, start, end, kind, text[start:end], round(float(item["score"]), 6)))
        return sorted(set(found))


def check_tagger(model: str | Path, *, labels: Mapping[str, str] | None = None) -> None:
    """Refuse what `HubTagger` would refuse, by the heads of its files: the weights are not loaded.

    Raises
    ------
    EncoderError
        As for `HubTagger`.
    """
    with refused(model, TAGS, WANTED):
        folder, _ = _described(model, LABELS if labels is None else labels)
        check_weights(folder)


def _described(model: str | Path, labels: Mapping[str, str]) -> tuple[str, Any]:
    """Return the folder of a model, and its tokenizer."""
    from transformers import MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING, AutoConfig, AutoTokenizer

    folder = str(find_transformer(model, WANTED))
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if type(config) not in MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING:
        raise ValueError(f"a {config.model_type} model tags none")
    given = {str(label).upper().removeprefix("B-").removeprefix("I-") for label in config.id2label.values()}
    # An encoder without a head would be given one that was never trained, with labels of this sort.
    if not given & set(labels):
        raise ValueError(f"its labels are {', '.join(sorted(given))}; one of {', '.join(sorted(labels))} is read")
    return folder, AutoTokenizer.from_pretrained(folder, local_files_only=True)


def tagged_incidents(incidents: pa.Table, tagger: Tagger, *, least: float) -> tuple[pa.Table, int]:
    """Add what a model reads in the names and descriptions of incidents to their entities.

    Parameters
    ----------
    incidents
        Table of `records.INCIDENTS`.
    tagger
        Reads the texts.
    least
        Score from which an entity counts.

    Returns
    -------
    incidents, added
        The table with the kinds of `NAMED` that a row did not list, after those that it did; and how many they are.
    """
    rows = incidents.select(["name", "description", "entities"]).to_pylist()
    read: dict[int, list[Tagged]] = {}
    for item in tagger.tag(["\n".join(filter(None, (row["name"], row["description"]))) for row in rows]):
        if item.kind in NAMED and item.score >= least:
            read.setdefault(item.row, []).append(item)
    added = 0
    for at, items in read.items():
        listed = list(rows[at]["entities"] or ())
        known = {fold(str(entity["value"])) for entity in listed}
        # The likelier kind of a name that was read as two.
        for item in sorted(items, key=lambda item: (-item.score, item.start, item.kind)):
            if (folded := fold(item.value)) not in known:
                known.add(folded)
                listed.append({"kind": item.kind, "value": item.value})
                added += 1
        rows[at]["entities"] = listed
    column = incidents.schema.get_field_index("entities")
    field = incidents.schema.field(column)
    return incidents.set_column(column, field, pa.array([row["entities"] for row in rows], field.type)), added
