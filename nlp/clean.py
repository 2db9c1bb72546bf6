"""Makes rows comparable: one spelling of text, address, tag, handle and language, and one document where rows repeat each other.

The text stays what its author wrote: HTML entities are undone once, control and invisible characters go, Unicode is NFC, white space
is single and line breaks are kept. A prefix "RT @name:" stays in the text (`greyzone.text.normal_form` leaves it out when copies are
sought) and says that the document is a repost of @name. "via @name" does not: it is what share buttons write into original posts.

Zero-width joiners are letters' neighbours in Persian, Indic scripts and emoji, and a way to make equal texts differ in Latin, Greek
and Cyrillic: there alone they are removed.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.language import detect_languages, language_code
from greyzone.ranges import ranges
from greyzone.records import DOCUMENTS, PRECISIONS, RAW_DOCUMENTS, REJECTS, SOURCES, CleanBatch, check, content_id, empty, table
from greyzone.urls import canonical_url, find_urls, strip_urls

REUSED = "post id used for different texts"

_INVISIBLE = (
    r"[\x{00}-\x{08}\x{0E}-\x{1F}\x{7F}-\x{84}\x{86}-\x{9F}\x{AD}\x{34F}\x{61C}\x{180E}\x{200B}\x{200E}\x{200F}\x{202A}-\x{202E}"
    r"\x{2060}-\x{2064}\x{2066}-\x{206F}\x{FEFF}\x{FFF9}-\x{FFFB}\x{E0000}-\x{E0FFF}]+"
)
_JOINERS = r"(^|[\p{Latin}\p{Greek}\p{Cyrillic}\p{N}\p{P}\p{Z}\s])[\x{200C}\x{200D}]+"
_BREAKS = r"[\t\p{Zs}]*(?:\r\n?|[\n\x{0B}\x{0C}\x{85}\x{2028}\x{2029}])[\t\p{Zs}\r\n\x{0B}\x{0C}\x{85}\x{2028}\x{2029}]*"
_BLANKS = r"[\t\p{Zs}]+"

_TAG = re.compile(r"(?<![\w&/#＃])[#＃](\w+)(…)?")
_MENTION = re.compile(r"(?<![\w@/])[@＠](\w{1,64}(?:@[\w-]+(?:\.[\w-]+)+)?)(…)?")
_REPOST = re.compile(r"[\"'“«\s]*RT\s+[@＠](\w{1,64})", re.IGNORECASE)
_HANDLE = re.compile(r"@?([A-Za-z0-9_]{1,30})$")
_SCALARS = ("title", "lang", "account", "handle", "outlet", "platform", "app", "post_id", "url", "repost_of", "reply_to")


def clean_documents(raw: pa.Table) -> CleanBatch:
    """Clean a batch of collected rows; every row becomes a document or a counted reject.

    Parameters
    ----------
    raw
        `RAW_DOCUMENTS`, any order.

    Returns
    -------
    CleanBatch
        One document and one source a row kept, in the order of the rows (repeated rows have one doc_id: see `merge_documents`), and
        a reject "empty text" for each of the others. Rejects of the reader are not among them.
    """
    raw = check(raw, RAW_DOCUMENTS, "raw documents")
    texts = clean_text(raw["text"])
    kept = pc.fill_null(pc.not_equal(texts, ""), False)
    rejects = _rejects(raw.filter(pc.invert(kept)))
    raw, texts = raw.filter(kept), texts.filter(kept)
    written = texts.to_pylist()
    bodies = [strip_urls(text) if "ttp" in text.lower() or "www." in text.lower() else text for text in written]
    found = {name: _trimmed(raw[name]) for name in ("outlet", "platform", "post_id", "reply_to")}
    found["text"], found["title"] = texts, _nullable(clean_text(raw["title"]))
    found["account"] = _nullable(pc.utf8_ltrim(_trimmed(raw["account"]), characters="@"))
    found["handle"] = _nullable(pc.utf8_lower(pc.utf8_ltrim(_trimmed(raw["handle"]), characters="@")))
    # Twitter wraps the name of the client into a link.
    found["app"] = _trimmed(pc.replace_substring_regex(raw["app"], "<[^>]*>", ""))
    found["published_at"], found["published_precision"] = _flat(raw["published_at"]), _flat(raw["published_precision"])
    found["url"] = pa.array([_url(value) for value in raw["url"].to_pylist()], pa.string())
    found["urls"] = _urls(raw, written)
    found["hashtags"] = _marks(raw["hashtags"], bodies, "#", _tags)
    found["mentions"] = _marks(raw["mentions"], bodies, "@", _mentions)
    found["is_repost"], found["repost_of"] = _reposts(raw, written)
    found["lang"] = _languages(raw["lang"], bodies)
    found["doc_id"] = _doc_ids(found)
    documents = pa.table([found[name].cast(DOCUMENTS.field(name).type) for name in DOCUMENTS.names], schema=DOCUMENTS)
    sources = pa.table(
        [found["doc_id"], _flat(raw["collector"]), _flat(raw["path"]), _flat(raw["offset"])],
        schema=SOURCES,
    )
    return CleanBatch(documents, sources, rejects)


def merge_documents(batches: Iterable[CleanBatch]) -> CleanBatch:
    """Join batches into one table of distinct documents; the same whatever the order of batches and rows.

    Repeated rows are one document with all their sources. Where their fields differ the finest precision, a known language, the
    longest list and else the first value in the order of strings is kept. A post id that one platform (or, where no platform is
    known, one file) uses for different texts is left as it is and told in a reject with action "repaired".

    Parameters
    ----------
    batches
        Results of `clean_documents`, with or without the rejects of the readers.

    Returns
    -------
    CleanBatch
        Documents by (published_at, doc_id), undated ones last; sources and rejects by (path, offset) and then by all else.
    """
    held = list(batches)
    documents = pa.concat_tables([batch.documents for batch in held]) if held else empty(DOCUMENTS)
    sources = pa.concat_tables([batch.sources for batch in held]) if held else empty(SOURCES)
    rejects = pa.concat_tables([batch.rejects for batch in held]) if held else empty(REJECTS)
    del held
    documents = documents.take(_order(documents, ["published_at", "doc_id"]))
    documents = _distinct(documents)
    sources = sources.take(_order(sources, ["path", "offset", "doc_id", "collector"]))
    rejects = pa.concat_tables([rejects, _reused(documents, sources)])
    rejects = rejects.take(_order(rejects, ["path", "offset", "action", "reason", "detail", "kind"]))
    return CleanBatch(documents.combine_chunks(), sources.combine_chunks(), rejects.combine_chunks())


def clean_text(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return strings with entities undone once, invisible characters removed, NFC, and single white space; nulls stay null."""
    values = _flat(texts)
    marked = pc.fill_null(pc.match_substring(values, "&"), False)
    if pc.any(marked).as_py():
        undone = [html.unescape(text).encode("utf-8", "replace").decode() for text in values.filter(marked).to_pylist()]
        values = pc.replace_with_mask(values, marked, pa.array(undone, pa.string()))
    values = pc.replace_substring_regex(values, _INVISIBLE, "")
    values = pc.replace_substring_regex(values, _JOINERS, r"\1")
    values = pc.utf8_normalize(values, "NFC")
    values = pc.replace_substring_regex(values, _BREAKS, "\n")
    values = pc.replace_substring_regex(values, _BLANKS, " ")
    return pc.utf8_trim(values, characters=" \n")


def _flat(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def _nullable(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)


def _trimmed(values: pa.ChunkedArray) -> pa.Array:
    plain = pc.replace_substring_regex(_flat(values), _INVISIBLE, "")
    return _nullable(pc.utf8_trim_whitespace(pc.utf8_normalize(plain, "NFC")))


def _rejects(rows: pa.Table) -> pa.Table:
    return table(
        [
            {"kind": "document", "action": "rejected", "reason": "empty text", "detail": "", "path": path, "offset": offset}
            for path, offset in zip(rows["path"].to_pylist(), rows["offset"].to_pylist(), strict=True)
        ],
        REJECTS,
    )


def _url(value: str | None) -> str | None:
    return None if value is None else canonical_url(value)


def _urls(raw: pa.Table, texts: Sequence[str]) -> pa.Array:
    rows = []
    for given, text in zip(raw["urls"].to_pylist(), texts, strict=True):
        lower = text.lower() if not given else ""
        # A list of its own is complete and has its links expanded; those in the text would be the same ones, shortened.
        written = given or (find_urls(text) if "http" in lower or "www." in lower else ())
        rows.append(list(dict.fromkeys(url for url in map(canonical_url, written) if url)))
    return pa.array(rows, pa.list_(pa.string()))


def _marks(given: pa.ChunkedArray, texts: Sequence[str], mark: str, find: Callable[[str], list[str]]) -> pa.Array:
    """Return what the text is marked with in its order, then what only the row's own list has."""
    wide = {"#": "＃", "@": "＠"}[mark]
    rows = []
    for own, text in zip(given.to_pylist(), texts, strict=True):
        found = find(text) if mark in text or wide in text else []
        if own:
            found += [item.lstrip("#＃@＠").lower() for item in own]
        rows.append(list(dict.fromkeys(item for item in found if item)))
    return pa.array(rows, pa.list_(pa.string()))


def _tags(text: str) -> list[str]:
    # A tag that an ellipsis cuts off is another tag; one of digits alone is a number.
    return [tag.lower() for tag, cut in _TAG.findall(text) if not cut and not tag.isdigit()]


def _mentions(text: str) -> list[str]:
    return [name.lower() for name, cut in _MENTION.findall(text) if not cut]


def _reposts(raw: pa.Table, texts: Sequence[str]) -> tuple[pa.Array, pa.Array]:
    flags, origins = [], []
    rows = zip(texts, raw["is_repost"].to_pylist(), raw["repost_of"].to_pylist(), raw["collector"].to_pylist(), strict=True)
    for text, flag, given, collector in rows:
        match = _REPOST.match(text) if "rt" in text[:16].lower() else None
        origin = given.strip() if given else None
        # Telegram names the origin by its title, which only looks like a handle.
        if origin and collector != "telegram" and (handle := _HANDLE.match(origin)) and not handle[1].isdigit():
            origin = f"@{handle[1].lower()}"
        if not origin and match:
            origin = f"@{match[1].lower()}"
        flags.append(bool(flag) or match is not None)
        origins.append(origin or None)
    return pa.array(flags, pa.bool_()), pa.array(origins, pa.string())


def _languages(given: pa.ChunkedArray, bodies: Sequence[str]) -> pa.Array:
    stated = [language_code(value) for value in given.to_pylist()]
    unstated = [row for row, code in enumerate(stated) if code is None]
    for row, code in zip(unstated, detect_languages([bodies[row] for row in unstated]), strict=True):
        stated[row] = code
    return pa.array(stated, pa.string())


def _doc_ids(found: dict[str, pa.Array]) -> pa.Array:
    times = _iso(found["published_at"])
    columns = [found[name].to_pylist() for name in ("platform", "account", "post_id", "text", "url")]
    rows = zip(*columns, times, strict=True)
    return pa.array(
        [content_id("doc", platform, account, time, post, text, url) for platform, account, post, text, url, time in rows], pa.string()
    )


def _iso(times: pa.Array) -> list[str | None]:
    """Return what `datetime.isoformat` says of each time; Arrow spells whole seconds several times as fast."""
    whole = pc.fill_null(pc.equal(pc.floor_temporal(times, unit="second"), times), True)
    spelt: list[str | None] = pc.strftime(times.cast(pa.timestamp("s", "UTC"), safe=False), "%Y-%m-%dT%H:%M:%S+00:00").to_pylist()
    for row in pc.indices_nonzero(pc.invert(whole)).to_pylist():
        spelt[row] = times[row].as_py().isoformat()
    return spelt


def _order(rows: pa.Table, keys: Sequence[str]) -> pa.Array:
    """Return the rows in ascending order of `keys`, nulls last."""
    return pc.sort_indices(rows, sort_keys=[(key, "ascending") for key in keys])


def _distinct(documents: pa.Table) -> pa.Table:
    """Keep one row a doc_id of a table where equal ids stand together."""
    if documents.num_rows < 2:
        return documents
    ids = documents["doc_id"].combine_chunks()
    first = np.concatenate([[True], pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)])
    if first.all():
        return documents
    starts = np.flatnonzero(first)
    lengths = np.diff(np.append(starts, len(ids)))
    repeated = np.flatnonzero(lengths > 1)
    rows = ranges(starts[repeated], lengths[repeated])
    groups = np.split(np.arange(len(rows)), np.cumsum(lengths[repeated])[:-1])
    columns = {name: documents[name].take(pa.array(rows)).to_pylist() for name in DOCUMENTS.names}
    settled = [_settled({name: [values[row] for row in group] for name, values in columns.items()}) for group in groups]
    singles = documents.take(pa.array(starts[lengths == 1]))
    merged = pa.concat_tables([singles, pa.Table.from_pylist(settled, schema=DOCUMENTS)])
    return merged.take(_order(merged, ["published_at", "doc_id"]))


def _settled(group: dict[str, list[object]]) -> dict[str, object]:
    """Choose one value a field from the rows of one document."""
    chosen = {name: values[0] for name, values in group.items()}
    for name in _SCALARS:
        known = [str(value) for value in group[name] if value is not None]
        certain = [value for value in known if value != "und"]
        chosen[name] = min(certain or known, default=None)
    for name in ("urls", "hashtags", "mentions"):
        chosen[name] = min(group[name], key=lambda value: (-len(value), value))  # type: ignore[arg-type]
    chosen["published_precision"] = min(group["published_precision"], key=PRECISIONS.index)
    chosen["is_repost"] = any(group["is_repost"])
    return chosen


def _reused(documents: pa.Table, sources: pa.Table) -> pa.Table:
    """Return a reject for every document after the first under one post id of one platform."""
    posts = documents.select(["doc_id", "platform", "post_id", "text"]).filter(pc.is_valid(documents["post_id"]))
    if not posts.num_rows:
        return empty(REJECTS)
    # Sources are sorted, so that the first of a document is the same whatever the order of the input.
    firsts = sources.group_by("doc_id", use_threads=False).aggregate([("path", "first"), ("offset", "first")])
    posts = posts.join(firsts, "doc_id")
    scope = pc.coalesce(pc.binary_join_element_wise("platform", posts["platform"], "\x00"), posts["path_first"])
    posts = posts.append_column("scope", scope)
    counted = posts.group_by(["scope", "post_id"]).aggregate([("text", "count_distinct")])
    counted = counted.filter(pc.greater(counted["text_count_distinct"], 1)).select(["scope", "post_id"])
    if not counted.num_rows:
        return empty(REJECTS)
    clashing = posts.join(counted, ["scope", "post_id"], join_type="left semi")
    clashing = clashing.take(_order(clashing, ["scope", "post_id", "path_first", "offset_first", "doc_id"])).to_pylist()
    return table(
        [
            {
                "kind": "document",
                "action": "repaired",
                "reason": REUSED,
                "detail": str(row["post_id"])[:200],
                "path": row["path_first"],
                "offset": row["offset_first"],
            }
            for last, row in itertools.pairwise(clashing)
            if (row["scope"], row["post_id"]) == (last["scope"], last["post_id"])
        ],
        REJECTS,
    )
