"""Documents to unit rows: what of a document is embedded. `greyzone.models.cached` encodes it once and keeps it by content."""

from __future__ import annotations

import pyarrow as pa

from greyzone.models.cached import embed_texts

__all__ = ["document_text", "document_texts", "embed_texts"]


def document_text(title: str | None, text: str | None) -> str:
    """Return what of a document is embedded: its title, unless the text begins with it, and its text."""
    head, body = " ".join((title or "").split()), (text or "").strip()
    if not head or " ".join(body.split()).casefold().startswith(head.casefold()):
        return body
    return f"{head}\n{body}" if body else head


def document_texts(titles: pa.ChunkedArray, texts: pa.ChunkedArray) -> list[str]:
    """Return `document_text` of every row of two columns, row i for row i."""
    return [document_text(title, text) for title, text in zip(titles.to_pylist(), texts.to_pylist(), strict=True)]
