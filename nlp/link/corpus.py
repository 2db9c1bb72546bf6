"""The documents as linking needs them: what each says, when, in which narrative, and what its text holds.

A text is read once, however many documents repeat it: texts are told apart in Arrow's memory, never as Python strings of the whole
corpus, and read in batches on several processors. What is read: uses of names and artefacts (`greyzone.entities`), words of leaks
(`kinds`) and of sectors and attacks (`sectors`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.doctrine import Doctrine
from greyzone.engine import map_batches
from greyzone.entities import Gazetteer, Matches, Mentions
from greyzone.entities.matching import NameRules, judge_uses, mentions_of
from greyzone.entities.uses import BATCH, UseReader, Uses
from greyzone.link.kinds import speaks_of_leaks
from greyzone.link.sectors import LANGUAGES, TOPICS, topics_of
from greyzone.text import normal_form

Vector = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

MICROSECONDS = 86_400e6
COLUMNS = ["doc_id", "title", "text", "urls", "hashtags", "published_at", "outlet", "account", "lang"]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents in the order of the table.

    Attributes
    ----------
    ids
        doc_ids.
    rank
        (n,) int64 place of the doc_id in ascending order.
    days
        (n,) float64 days since 1970-01-01, nan where unknown.
    owner
        (n,) int64 row of the narrative, -1 for none.
    media
        (n,) float64: 1 if an outlet published it, 0 if an account posted it, nan if neither is known.
    legible
        (n,) whether the words of topics are those of the document's language (`sectors.LANGUAGES`, or not told).
    text
        (n,) int64 row in `texts`.
    texts
        Distinct texts with their titles, addresses and hashtags.
    """

    ids: pa.Array
    rank: Rows
    days: Vector
    owner: Rows
    media: Vector
    legible: npt.NDArray[np.bool_]
    text: Rows
    texts: pa.Array

    @property
    def copies(self) -> Rows:
        """How many documents have each text."""
        return np.bincount(self.text, minlength=len(self.texts)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Contents:
    """What the distinct texts hold: mentions, those speaking of leaks, (text, topic) pairs, and a digest of the normal form.

    `matches` says what was left out.
    """

    mentions: Mentions
    matches: Matches
    leaks: npt.NDArray[np.bool_]
    topics: Rows
    forms: Rows


def read_corpus(documents: pa.Table, members: pa.Table, narratives: pa.Table) -> Corpus:
    """Lay out the documents; texts are joined and told apart without leaving Arrow's memory."""
    documents = documents.select(COLUMNS)
    parts = [pc.fill_null(documents[name], "") for name in ("title", "text")]
    tags = pc.fill_null(pc.binary_join(documents["hashtags"], " #"), "")
    signs = pc.if_else(pc.equal(tags, ""), "", "#")
    tags = pc.replace_substring(pc.binary_join_element_wise(signs, tags, ""), "##", "#")
    urls = pc.fill_null(pc.binary_join(documents["urls"], " "), "")
    joined = pc.binary_join_element_wise(*parts, urls, tags, "\n")
    coded = pc.dictionary_encode(joined.cast(pa.large_string()).combine_chunks())
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    ids = documents["doc_id"].combine_chunks()
    order = pc.sort_indices(ids).to_numpy(zero_copy_only=False).astype(np.int64)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    place = pc.index_in(documents["doc_id"], value_set=members["doc_id"].combine_chunks())
    home = members["narrative_id"].combine_chunks().take(place.combine_chunks())
    owner = pc.fill_null(pc.index_in(home, value_set=narratives["narrative_id"].combine_chunks(), skip_nulls=True), -1)
    media = np.full(documents.num_rows, np.nan)
    media[np.asarray(pc.is_valid(documents["account"]))] = 0.0
    media[np.asarray(pc.is_valid(documents["outlet"]))] = 1.0
    return Corpus(
        ids,
        rank,
        days_of(documents["published_at"]),
        np.asarray(owner, dtype=np.int64),
        media,
        np.asarray(pc.is_in(pc.fill_null(documents["lang"], "und"), value_set=pa.array([*LANGUAGES, "und"])), dtype=bool),
        np.asarray(coded.indices, dtype=np.int64),
        coded.dictionary,
    )


def read_contents(corpus: Corpus, gazetteer: Gazetteer, doctrine: Doctrine, *, workers: int | None) -> Contents:
    """Read every distinct text once.

    Parameters
    ----------
    corpus, gazetteer, doctrine
        Where and what to look for; ambiguity by ``link.names``, copies counted as often as they stand there.
    workers
        Processes; the result is the same for any number.
    """
    rules = NameRules.of(doctrine)
    parts: list[Read] = []
    done = 0
    for part in map_batches(partial(_read, gazetteer, rules.near), _batches(corpus.texts), workers=workers):
        for rows in (part.uses.names, part.uses.artefacts, part.topics):
            rows[:, 0] += done
        done += len(part.leaks)
        parts.append(part)
    parts = parts or [_read(gazetteer, rules.near, [])]
    columns = (np.concatenate([getattr(part.uses, name) for part in parts]) for name in ("names", "artefacts", "words"))
    matches = judge_uses(Uses(*columns), gazetteer, rules, corpus.copies)
    leaks, topics, forms = (np.concatenate([getattr(part, name) for part in parts]) for name in ("leaks", "topics", "forms"))
    return Contents(mentions_of(matches), matches, leaks, topics, forms)


def days_of(times: pa.ChunkedArray) -> Vector:
    """Return days since 1970-01-01, nan for null."""
    stamps = times.cast(pa.int64()).cast(pa.float64(), safe=False)
    days: Vector = np.asarray(pc.fill_null(stamps, float("nan")).to_numpy(), dtype=np.float64) / MICROSECONDS
    return days


def _batches(texts: pa.Array) -> Iterator[list[str]]:
    for start in range(0, len(texts), BATCH):
        yield texts.slice(start, BATCH).to_pylist()


@dataclass(frozen=True, slots=True)
class Read:
    """What reading a batch of texts gives; rows count from the batch's first text."""

    uses: Uses
    leaks: npt.NDArray[np.bool_]
    topics: Rows
    forms: Rows


def _read(gazetteer: Gazetteer, near: int, texts: list[str]) -> Read:
    reader = UseReader(gazetteer, near)
    named: list[tuple[int, int]] = []
    for row, text in enumerate(texts):
        named += [(row, TOPICS.index(topic)) for topic in sorted(topics_of(reader.read(row, text)))]
    return Read(
        reader.uses(),
        np.array([speaks_of_leaks(text) for text in texts], dtype=bool),
        np.array(named, dtype=np.int64).reshape(-1, 2),
        np.array([_digest(normal_form(text)) for text in texts], dtype=np.int64),
    )


def _digest(form: str) -> int:
    return int.from_bytes(blake2b(form.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True)
