"""What passes between stages besides tables: batches, results, and what models offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float32]
"""float32 array; rows of embeddings are L2-normalised unless said otherwise."""


@runtime_checkable
class Encoder(Protocol):
    """What every embedding model offers to the journey (`greyzone.models.load_encoder` makes one)."""

    @property
    def fingerprint(self) -> str:
        """Hex digest that changes whenever the same text could get another vector."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        ...

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return (len(texts), dimensions) float32 rows of norm 1; an empty or unknown text gives a zero row."""
        ...


@runtime_checkable
class Labeller(Protocol):
    """What a model offers that puts narratives into words (`greyzone.models.labeller.HubLabeller` is one)."""

    def label(self, exemplars: Sequence[str], keywords: Sequence[str]) -> str:
        """Return one line, or nothing, for a narrative with these texts (the most central first) and keywords (the heaviest first)."""
        ...


@dataclass(frozen=True, slots=True)
class RawBatch:
    """A batch as a collector yields it: `rows` of `RAW_DOCUMENTS` and the `rejects` met on the way."""

    rows: pa.Table
    rejects: pa.Table


@dataclass(frozen=True, slots=True)
class CleanBatch:
    """Cleaned documents with their `sources` and `rejects`."""

    documents: pa.Table
    sources: pa.Table
    rejects: pa.Table


@dataclass(frozen=True, slots=True)
class ReportBatch:
    """Incident reports of one source file and the `rejects` met on the way."""

    reports: pa.Table
    rejects: pa.Table


@dataclass(frozen=True, slots=True)
class Canonical:
    """Canonical `incidents` and the log of `merges`."""

    incidents: pa.Table
    merges: pa.Table


@dataclass(frozen=True, slots=True)
class NarrativeResult:
    """`narratives`, `members`, and `vectors`: (len(narratives), d) float32 unit centroids, row i for narrative i."""

    narratives: pa.Table
    members: pa.Table
    vectors: Floats


@dataclass(frozen=True, slots=True)
class Coordination:
    """`groups` with their members, the kept `edges`, and what each trace had to work with."""

    groups: pa.Table
    group_members: pa.Table
    edges: pa.Table
    traces: pa.Table


@dataclass(frozen=True, slots=True)
class LinkResult:
    """Candidate `links`, and `context`: JSON-able population tests and counts."""

    links: pa.Table
    context: dict[str, object]


@dataclass(frozen=True, slots=True)
class ImpactResult:
    """`impact` vectors and `shares`."""

    impact: pa.Table
    shares: pa.Table
