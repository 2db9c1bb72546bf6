"""Traces of names: which post is answered, who is mentioned beside whom, and which screen names an account has had."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.coordinate.traces.content import prefixed, sequences
from greyzone.coordinate.traces.corpus import Corpus, filled, ranks
from greyzone.coordinate.traces.incidence import Shares

ANSWER = r"^[\s\"'“«]*[@＠]\w"
"""Beginning of a post that is addressed to an account; ".@name" is said to all."""


def replies(corpus: Corpus) -> Shares:
    """Return the post that is answered; who answers a post of his own goes on with a thread."""
    rows = np.flatnonzero(pc.is_valid(filled(corpus.table["reply_to"])).to_numpy())
    label = _on_platform(corpus, "reply_to").take(pa.array(rows))
    place = pc.index_in(label, value_set=_on_platform(corpus, "post_id"))
    author = corpus.account[pc.fill_null(place, -1).to_numpy(zero_copy_only=False)]
    own = pc.is_valid(place).to_numpy(zero_copy_only=False) & (author >= 0) & (author == corpus.account[rows])
    note = f"{int(own.sum())} answers to one's own posts left out" if own.any() else ""
    reason = "all answers are to one's own posts" if own.any() else "no document says which post it answers"
    return Shares(rows[~own], prefixed("reply:", label.filter(pa.array(~own))), reason, note)


def mentions(corpus: Corpus, minimum: int) -> Shares:
    """Return the sequences of accounts that posts mention which are no reposts and no replies.

    To mention one account is a conversation or an interest, and a reply carries the names of all who took part: so write friends, fans and
    constituents. The same accounts in the same order, in posts that answer nobody, are a list that went round.
    """
    answers = pc.fill_null(pc.match_substring_regex(corpus.table["text"], ANSWER), False).to_numpy()
    answers = answers | pc.is_valid(filled(corpus.table["reply_to"])).to_numpy()
    rows, label = sequences(corpus.table["mentions"], ~corpus.is_repost & ~answers, minimum, "@")
    return Shares(rows, prefixed("mention:", label), f"no own post that answers nobody mentions {minimum} accounts or more")


def handles(corpus: Corpus, minimum: int) -> Shares:
    """Return the screen names of an account, once each, at its first document under that name.

    A name belongs to one account of a platform at a time, so that two that had the same one have it from each other or from one hand. Where
    the account is known by its handle alone, both are one.
    """
    handle = filled(corpus.table["handle"]).combine_chunks()
    given = pc.is_valid(handle).to_numpy(zero_copy_only=False) & (corpus.account >= 0)
    account = pc.utf8_lower(pa.array(corpus.names, pa.string()).take(pa.array(np.maximum(corpus.account, 0)))) if given.any() else handle
    differs = given & pc.fill_null(pc.not_equal(account, handle), False).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(differs)
    label = _on_platform(corpus, "handle").take(pa.array(rows))
    _, first = np.unique(ranks(label)[1] * max(len(corpus.names), 1) + corpus.account[rows], return_index=True)
    first = np.sort(first)
    reason = "the handles are the accounts themselves" if given.any() else "no document names the handle that its account had"
    return Shares(rows[first], prefixed("handle:", label.take(pa.array(first))), reason, minimum=minimum)


def _on_platform(corpus: Corpus, name: str) -> pa.Array:
    """Return a column with the platform before each value, where it is known: names are unique within one."""
    platform, value = (filled(corpus.table[column]).combine_chunks() for column in ("platform", name))
    return pc.coalesce(pc.binary_join_element_wise(platform, value, "/"), value)
