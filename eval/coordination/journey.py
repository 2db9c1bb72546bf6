"""The way of a case from documents to groups: copies, embeddings of the texts that stand for them, paraphrases, groups."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa

from greyzone import records
from greyzone.collapse import representatives
from greyzone.coordinate import find_groups, find_paraphrases
from greyzone.doctrine import Doctrine
from greyzone.models import load_encoder
from greyzone.records import Encoder, Floats

ROWS = 100_000
"""Texts embedded at a time."""


def embed_texts(documents: pa.Table, copies: pa.Table) -> tuple[list[str], Floats]:
    """Return the documents that stand for their copies and their embeddings by the default encoder."""
    chosen = representatives(documents, copies)
    ids, texts = chosen["doc_id"].to_pylist(), chosen["text"]
    encoder = _encoder()
    rows = np.empty((len(ids), encoder.dimensions), dtype=np.float32)
    for start in range(0, len(ids), ROWS):
        rows[start : start + ROWS] = encoder.encode([text or "" for text in texts[start : start + ROWS].to_pylist()])
    return ids, rows


def groups_of(documents: pa.Table, copies: pa.Table, *, doctrine: Doctrine, seed: int = 0) -> records.Coordination:
    """Find groups as a case does, the paraphrase trace included."""
    ids, rows = embed_texts(documents, copies)
    paraphrases = find_paraphrases(documents, copies, ids, rows, doctrine=doctrine)
    return find_groups(documents, copies, doctrine=doctrine, paraphrases=paraphrases, seed=seed)


@lru_cache(maxsize=1)
def _encoder() -> Encoder:
    return load_encoder("default")
