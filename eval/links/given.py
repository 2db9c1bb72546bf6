"""Stories as a person would give them: all documents that hold a keyword of a story, as one narrative beside those that were clustered.

Whether a story is found at all depends on the clusters first: of the posts on the release of the DNC's mail in its days most lie in no
narrative, or in those of thousands on the candidates. With its documents given, what is measured is linking alone. The documents are taken
out of the narratives that they were in. Of the other narratives and documents every fifth stays beside them, which is enough to tell
what names and meanings are common, and takes a fifth of the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.doctrine import load_doctrine
from greyzone.embed import document_texts, embed_texts
from greyzone.eval.links.corpora import Stories
from greyzone.models import load_encoder
from greyzone.narratives import describe_narratives
from greyzone.records import COPIES, TIME, empty

if TYPE_CHECKING:
    from greyzone.eval.links.real import Story

BEFORE, AFTER = timedelta(days=45), timedelta(days=21)
"""Days around what became public from which documents are taken: enough before it to see a rise."""
LEAST = 5
BESIDE = 5
"""One in so many of the other narratives, with their documents, and of the other documents stays."""


def about(story: Story, documents: pa.Table) -> npt.NDArray[np.bool_]:
    """Return which documents hold a keyword of a story in title, text or tags."""
    tags = pc.fill_null(documents["hashtags"].combine_chunks(), [])
    joined = pc.binary_join(tags.cast(pa.list_(pa.string())), " ")
    texts = pc.binary_join_element_wise(pc.fill_null(documents["title"], ""), pc.fill_null(documents["text"], ""), joined, " ")
    found: npt.NDArray[np.bool_] = pc.fill_null(pc.match_substring_regex(texts, story.pattern, ignore_case=True), False).to_numpy(
        zero_copy_only=False
    )
    return found


def within(story: Story, documents: pa.Table, before: timedelta, after: timedelta) -> npt.NDArray[np.bool_]:
    """Return which documents are of the days around what became public."""
    times = documents["published_at"]
    day = datetime.combine(story.public, datetime.min.time())
    first, last = (pa.scalar(moment, pa.timestamp("us")).cast(TIME) for moment in (day - before, day + after + timedelta(days=1)))
    inside = pc.and_(pc.greater_equal(times, first), pc.less(times, last))
    found: npt.NDArray[np.bool_] = pc.fill_null(inside, False).to_numpy(zero_copy_only=False)
    return found


def with_given(corpus: Stories, stories: Sequence[Story]) -> tuple[Stories, Mapping[str, str]]:
    """Return a part of the corpus with a narrative for each story that has documents enough, and its id by case."""
    documents = corpus.documents
    label = np.full(documents.num_rows, -1, dtype=np.int64)
    for number, story in enumerate(stories):
        rows = about(story, documents) & within(story, documents, BEFORE, AFTER) & (label < 0)
        if rows.sum() >= LEAST:
            label[rows] = number
    taken = np.flatnonzero(label >= 0)
    if not len(taken):
        return corpus, {}
    chosen = documents.take(pa.array(taken))
    numbers, labels = np.unique(label[taken], return_inverse=True)
    vectors = embed_texts(document_texts(chosen["title"], chosen["text"]), load_encoder("default"))
    sure = np.ones(len(labels), dtype=np.float32)
    told = describe_narratives(chosen, empty(COPIES), vectors, labels.astype(np.int64), sure, doctrine=load_doctrine())
    home = dict(zip(told.members["doc_id"].to_pylist(), told.members["narrative_id"].to_pylist(), strict=True))
    ids = chosen["doc_id"].to_pylist()
    names = {stories[int(numbers[labels[row]])].case: home[ids[row]] for row in range(len(ids))}
    narratives = corpus.narratives.take(pa.array(np.arange(0, corpus.narratives.num_rows, BESIDE)))
    members = corpus.members
    kept = pc.fill_null(pc.is_in(members["narrative_id"], value_set=narratives["narrative_id"].combine_chunks()), False)
    thinned = pa.chunked_array([pa.array(np.arange(members.num_rows) % BESIDE == 0)])
    stays = pc.or_(kept, pc.and_(pc.is_null(members["narrative_id"]), thinned))
    rest = members.filter(pc.and_(stays, pc.invert(pc.is_in(members["doc_id"], value_set=chosen["doc_id"].combine_chunks()))))
    beside = documents.filter(pc.is_in(documents["doc_id"], value_set=rest["doc_id"].combine_chunks()))
    return (
        Stories(
            f"{corpus.name}, given",
            pa.concat_tables([narratives, told.narratives]),
            pa.concat_tables([rest, told.members]),
            pa.concat_tables([beside, chosen]),
            np.concatenate([corpus.vectors[::BESIDE], told.vectors]).astype(np.float32),
            corpus.first,
            corpus.last,
        ),
        names,
    )
