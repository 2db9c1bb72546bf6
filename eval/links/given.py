"""Stories as a person would give them: all documents that hold a keyword of a story, as one narrative beside those that were clustered.

Whether a story is found at all depends on the clusters first: of the posts on the release of the DNC's mail in its days most lie in no
narrative, or in those of thousands on the candidates. With its documents given, what is measured is linking alone. The documents are taken
out of the narratives that they were in; everything else is as it was.
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
    """Return the corpus with a narrative for each story that has documents enough, and its id by case."""
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
    rest = corpus.members.filter(pc.invert(pc.is_in(corpus.members["doc_id"], value_set=chosen["doc_id"].combine_chunks())))
    return (
        Stories(
            f"{corpus.name}, given",
            pa.concat_tables([corpus.narratives, told.narratives]),
            pa.concat_tables([rest, told.members]),
            documents,
            np.concatenate([corpus.vectors, told.vectors]).astype(np.float32),
            corpus.first,
            corpus.last,
        ),
        names,
    )
