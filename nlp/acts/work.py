"""What a stage is handed, and what several acts do alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from greyzone import lexical
from greyzone.case import Case
from greyzone.doctrine import Doctrine, load_doctrine
from greyzone.errors import InputError
from greyzone.models import load_encoder
from greyzone.records import TABLES, Encoder, Labeller, empty

LEXICAL: tuple[lexical.Mode, ...] = ("auto", "on", "off")
"""Whether the words of the corpus are joined to the embedding."""

COPY_INDEX = "copy_index"
"""What is kept of the copies from one update to the next (`greyzone.collapse.CopyIndex`)."""

STATE = "cluster_state.npz"
"""What is kept of the clusters from one update to the next (`greyzone.growth`)."""

ENCODER_OPTIONS = ("dtype", "prompt", "dimensions", "long_texts")
"""Settings that belong to one encoder: another one begins with their defaults."""

Progress = Callable[[str, int, int | None], None]
"""Called with a stage's name, what is done and what there is to do (None: not known)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a case is run with; every field is recorded in its manifest.

    Parameters
    ----------
    documents, incidents
        Input files or folders.
    mapping
        Columns of the documents by field, where the aliases do not find them.
    incident_mapping
        A mapping file for incident tables that greyzone does not know.
    encoder, device, dtype, prompt, dimensions, long_texts
        As for `greyzone.models.load_encoder`.
    lexical
        Whether narratives are found with the words of the corpus joined to the embedding: "on", "off", or "auto" by a measured rule.
    doctrine
        A bundled doctrine's name or a file.
    as_of
        Day (ISO) of the impact score; None takes the last day with a document.
    today
        Day (ISO) after which a date counts as in the future.
    min_cluster_size
        Fewest documents of a narrative.
    labeller
        Folder, or hub name, of a language model that writes ``generated_label`` of narratives; None or "" writes none.
    link_model
        File or folder of a calibrated model of links; None or "" links by the doctrine's prior and shrink, uncalibrated.
    names
        Tables of names with aliases (ATT&CK groups, STIX bundles, MISP galaxy clusters) by which documents may name what incidents name.
    tagger
        Folder, or hub name, of a token-classification model that reads names in the texts of incidents; None or "" reads none.
    seed
        Seed of every random draw.
    """

    documents: tuple[str, ...] = ()
    incidents: tuple[str, ...] = ()
    mapping: dict[str, str] = field(default_factory=dict)
    incident_mapping: str | None = None
    encoder: str = "default"
    device: str = "auto"
    dtype: str = "auto"
    prompt: str = "auto"
    dimensions: int | None = None
    long_texts: str = "windows"
    lexical: lexical.Mode = "auto"
    doctrine: str = "default"
    as_of: str | None = None
    today: str | None = None
    min_cluster_size: int = 5
    labeller: str | None = None
    link_model: str | None = None
    names: tuple[str, ...] = ()
    tagger: str | None = None
    seed: int = 0


@dataclass(slots=True)
class Work:
    """What a stage is handed: the case, the settings, and the things that several stages share.

    `inputs` are the digest and the day of reading of each document file, `held` those files whose rows the case has already.
    """

    case: Case
    settings: Settings
    progress: Progress
    workers: int | None
    inputs: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    _encoder: Encoder | None = None
    _doctrine: Doctrine | None = None

    @property
    def doctrine(self) -> Doctrine:
        """Return the doctrine of the settings, loaded once."""
        if self._doctrine is None:
            self._doctrine = load_doctrine(self.settings.doctrine)
        return self._doctrine

    @property
    def encoder(self) -> Encoder:
        """Return the encoder of the settings, loaded once."""
        if self._encoder is None:
            settings = self.settings
            self._encoder = load_encoder(
                settings.encoder,
                device=settings.device,
                dtype=settings.dtype,
                prompt=settings.prompt,
                dimensions=settings.dimensions,
                long_texts=settings.long_texts,
            )
        return self._encoder

    def labeller(self) -> Labeller | None:
        """Load the language model of the settings, if there is one; who asks holds it."""
        if not self.settings.labeller:
            return None
        from greyzone.models.labeller import HubLabeller

        return HubLabeller(self.settings.labeller, device=self.settings.device)

    @property
    def cache(self) -> Path:
        """Return the folder of embeddings by content."""
        return self.case.path / "cache" / "embeddings"


def counts(rows: pa.Table, column: str) -> dict[str, int]:
    """Return how often each value of a column stands there, the most frequent first; null is not counted."""
    counted = pc.value_counts(rows[column].combine_chunks()).to_pylist()
    pairs = sorted(
        ((str(item["values"]), int(item["counts"])) for item in counted if item["values"] is not None), key=lambda pair: (-pair[1], pair[0])
    )
    return dict(pairs)


def past_of(case: Case, stage: str, name: str, columns: tuple[str, ...], events: str) -> tuple[pa.Table, pa.Table, int]:
    """Return what the case has of a table and of its lineage from the last run of the stage, and the number of the run at hand."""
    if not case.whole(stage, f"{name}.parquet"):
        return empty(TABLES[name]), empty(TABLES[events]), 0
    past = case.table(events) if case.whole(stage, f"{events}.parquet") else empty(TABLES[events])
    noted = case.notes()[stage]
    # These columns alone: another version of greyzone may have written others beside them.
    return case.table(name, columns), past, 1 + int(noted.get("update", 0) if isinstance(noted, dict) else 0)


def parse_day(text: str) -> date:
    """Read an ISO day of the settings."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"day {text!r}", "a date such as 2016-10-07") from None
