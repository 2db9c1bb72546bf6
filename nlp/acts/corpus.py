"""The acts on the corpus: collect, collapse, embed."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc

from greyzone import clean, collapse, collect, embed
from greyzone.acts.work import COPY_INDEX, Work, counts, parse_day
from greyzone.case import Case, fingerprint
from greyzone.engine import map_batches
from greyzone.errors import InputError
from greyzone.models.scripts import OTHER, unknown_scripts
from greyzone.records import COPIES, CleanBatch, Encoder, RawBatch, empty

logger = logging.getLogger(__name__)


def _clean(batch: RawBatch) -> CleanBatch:
    cleaned = clean.clean_documents(batch.rows)
    return CleanBatch(cleaned.documents, cleaned.sources, pa.concat_tables([batch.rejects, cleaned.rejects]))


def do_collect(work: Work) -> dict[str, object]:
    """Read, clean and merge the documents; rows of files that the case holds are taken from its tables, which gives the same."""
    settings = work.settings
    read = 0

    def batches() -> Iterable[RawBatch]:
        nonlocal read
        for path in settings.documents:
            if path in work.held:
                continue
            until = datetime.combine(parse_day(work.inputs[path][1]), datetime.max.time(), UTC)
            for batch in collect.read_documents(path, mapping=settings.mapping or None, as_of=until):
                read += batch.rows.num_rows
                work.progress("collect", read, None)
                yield batch

    merged = clean.merge_documents(chain(_archive(work), map_batches(_clean, batches(), workers=work.workers)))
    documents = merged.documents
    if documents.num_rows == 0 and settings.documents:
        reasons = ", ".join(f"{count} rows: {reason}" for reason, count in counts(merged.rejects, "reason").items())
        raise InputError(
            f"no usable document in {', '.join(settings.documents)} ({reasons or 'no rows'})",
            "at least one row with text",
            "another column or encoding is given with --map text=COLUMN, --map encoding=NAME",
        )
    for name, rows in (("documents", documents), ("sources", merged.sources), ("rejects", merged.rejects)):
        work.case.write_table(name, rows)
    rejected = merged.rejects.filter(pc.equal(merged.rejects["action"], "rejected"))
    repaired = merged.rejects.filter(pc.equal(merged.rejects["action"], "repaired"))
    dated = documents["published_at"].drop_null()
    return {
        "inputs": {path: list(work.inputs[path]) for path in settings.documents},
        "rows_read": merged.sources.num_rows + pc.sum(pc.not_equal(rejected["reason"], collect.EMPTY_FILE), min_count=0).as_py(),
        "documents": documents.num_rows,
        "repeated_rows": merged.sources.num_rows - documents.num_rows,
        "rejected": counts(rejected, "reason"),
        "repaired": counts(repaired, "reason"),
        "languages": counts(documents, "lang"),
        "platforms": counts(documents, "platform"),
        "accounts": pc.count_distinct(documents["account"]).as_py(),
        "undated": documents.num_rows - len(dated),
        "first": str(pc.min(dated).as_py()) if len(dated) else None,
        "last": str(pc.max(dated).as_py()) if len(dated) else None,
    }


def _archive(work: Work) -> list[CleanBatch]:
    """Return what the case has of the files that it holds, without the rejects that merging makes."""
    if not work.held:
        return []
    rejects = work.case.table("rejects")
    told = rejects.filter(pc.not_equal(rejects["reason"], clean.REUSED))
    return [CleanBatch(work.case.table("documents"), work.case.table("sources"), told)]


def do_collapse(work: Work) -> dict[str, object]:
    """Find exact and near copies."""
    case = work.case
    documents = case.table("documents")
    basis = fingerprint("copies")
    copies, known, index = _known_copies(case, documents, basis)
    found = collapse.collapse_into(documents.slice(known), index, workers=work.workers)
    copies = pa.concat_tables([copies, found.copies])
    case.write_table("copies", copies)
    found.index.write(case.home / COPY_INDEX)
    return {"representatives": documents.num_rows - copies.num_rows, "copies": counts(copies, "kind"), "fingerprint": basis}


def _known_copies(case: Case, documents: pa.Table, basis: str) -> tuple[pa.Table, int, collapse.CopyIndex | None]:
    """Return the copies among the documents that the index of the case knows, how many these are, and the index.

    Later documents then find their copies as they would with all the others, so the index serves if every new document comes after
    those that it knows; else, or if a document left the case, all are looked at again.
    """
    record = case.stage("collapse")
    if record is None or record.notes.get("fingerprint") != basis:
        return empty(COPIES), 0, None
    copies, index = case.table("copies"), collapse.CopyIndex.read(case.path / COPY_INDEX)
    ids = pa.chunked_array([*copies["doc_id"].chunks, *index.representatives["doc_id"].chunks], pa.string())
    known = pc.is_in(documents["doc_id"], value_set=ids.combine_chunks())
    if pc.sum(known).as_py() != len(ids) or not pc.all(known.slice(0, len(ids))).as_py():
        return empty(COPIES), 0, None
    return copies, len(ids), index


def do_embed(work: Work) -> dict[str, object]:
    """Embed one document of each set of copies."""
    documents = collapse.representatives(work.case.table("documents"), work.case.table("copies"))
    texts = embed.document_texts(documents["title"], documents["text"])
    vectors = embed.embed_texts(
        texts,
        work.encoder,
        cache=work.cache,
        progress=lambda done, total: work.progress("embed", done, total),
        workers=work.workers,
    )
    work.case.write_vectors("embeddings", documents["doc_id"].to_pylist(), vectors)
    scripts = unknown_scripts(work.encoder, texts)
    if scripts:
        told = ", ".join(f"{count} in {'rare scripts' if script == OTHER else script}" for script, count in scripts.items())
        logger.warning(
            "encoder %s does not know the script of %d of %d texts (%s)", work.settings.encoder, sum(scripts.values()), len(texts), told
        )
    return {
        "encoder": work.settings.encoder,
        "encoder_settings": _stated(work.encoder),
        "fingerprint": work.encoder.fingerprint,
        "dimensions": int(vectors.shape[1]),
        "without_vector": int((~vectors.any(axis=1)).sum()) if len(vectors) else 0,
        "unknown_scripts": scripts,
    }


def _stated(encoder: Encoder) -> str:
    """Return the settings of an encoder in one line."""
    settings = getattr(encoder, "settings", None)
    if settings is None or not is_dataclass(settings):
        return "none"
    return ", ".join(f"{item.name} {getattr(settings, item.name)!r}" for item in fields(settings))
