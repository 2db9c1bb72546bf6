"""Tables of the corpus: documents, where they were read, what was rejected, who copied whom."""

from __future__ import annotations

import pyarrow as pa

from greyzone.records.kinds import STRINGS, TIME, schema_of

RAW_DOCUMENTS = schema_of(
    text=pa.string(),
    title=pa.string(),
    lang=pa.string(),
    published_at=TIME,
    published_precision=pa.string(),
    account=pa.string(),
    handle=pa.string(),
    outlet=pa.string(),
    platform=pa.string(),
    app=pa.string(),
    post_id=pa.string(),
    url=pa.string(),
    urls=STRINGS,
    hashtags=STRINGS,
    mentions=STRINGS,
    is_repost=pa.bool_(),
    repost_of=pa.string(),
    reply_to=pa.string(),
    collector=pa.string(),
    path=pa.string(),
    offset=pa.int64(),
)
"""What a collector yields: text untouched. `offset` is the 1-based line or row of `path`."""

DOCUMENTS = schema_of(
    doc_id=pa.string(),
    text=pa.string(),
    title=pa.string(),
    lang=pa.string(),
    published_at=TIME,
    published_precision=pa.string(),
    account=pa.string(),
    handle=pa.string(),
    outlet=pa.string(),
    platform=pa.string(),
    app=pa.string(),
    post_id=pa.string(),
    url=pa.string(),
    urls=STRINGS,
    hashtags=STRINGS,
    mentions=STRINGS,
    is_repost=pa.bool_(),
    repost_of=pa.string(),
    reply_to=pa.string(),
)
"""One row a distinct document, ordered by (published_at, doc_id), undated ones last. `lang` is ISO 639-1 or "und"; `handle` is the
screen name that the account had at the time (lower case, without @), `app` the client or service that posted."""

SOURCES = schema_of(doc_id=pa.string(), collector=pa.string(), path=pa.string(), offset=pa.int64())
"""One row an input row that became (part of) a document: rows read = sources + rejected rows."""

REJECTS = schema_of(kind=pa.string(), action=pa.string(), reason=pa.string(), detail=pa.string(), path=pa.string(), offset=pa.int64())
"""Rows left out ("rejected") or kept with a field mended ("repaired"), and files that could not be read (`offset` 0). `kind` is
"document" or "incident"; `reason` is a fixed phrase that can be counted, `detail` the value met (at most 200 characters)."""

COPIES = schema_of(
    doc_id=pa.string(),
    representative=pa.string(),
    kind=pa.string(),
    similarity=pa.float32(),
    differs=pa.string(),
    previous=pa.string(),
    lag_seconds=pa.float64(),
)
"""Documents that repeat an earlier one: `kind` is "exact" (same normal form) or "near", `differs` says in what ("same", "prefix",
"case", "punctuation", "urls", "words": the last that it takes). `previous` is the document just before it in the set of copies by
(published_at, doc_id), whom it may have copied; `lag_seconds` runs from the representative. Both are null for an undated document.
Representatives have no row."""
