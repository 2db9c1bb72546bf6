"""What accounts can be seen sharing: one bipartite account x item incidence per kind of trace.

Kinds (after Pacheco et al., ICWSM 2021, and Giglietto et al. 2020 for the fast ones):

- co-url: an address of the text;
- co-text: the representative of exact and near copies, own posts of at least ``words_minimum`` words;
- co-paraphrase: own texts of other wording that say the same (`greyzone.coordinate.paraphrases`), each text once, for who posted it first;
- co-hashtag: a whole sequence of hashtags in order, own posts; single popular hashtags are organic;
- co-repost: the reposted post, or the representative of its text where the post's id is not given;
- co-reply: the post that is answered, but not by its own author;
- co-mention: a whole sequence of mentioned accounts in order, own posts that answer nobody;
- co-handle: a screen name that an account had; one shared is evidence (``handle_minimum``), since a name belongs to one account at a time;
- fast-10s and so on: a repost, text, address or hashtag sequence within that time of the first share of a window
  (`greyzone.coordinate.fast`);
- rhythm-1m: posting in the same minutes, whatever is posted (`greyzone.coordinate.rhythm`).

An account is the `account` of a document, or its `outlet` where no account is given. Items of one account cannot show coordination, but
they are activity: they stay in the incidence, so that a handful of accounts that share everything among many that share nothing are
not taken for the whole population. Items of more than ``popular_share`` of the accounts or of more than ``popular_accounts`` are left out
before the null is fitted, so that the test stays exact for what remains; the note of the trace counts them. A trace that the data cannot
support stands among the others and says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from greyzone.coordinate import rhythm
from greyzone.coordinate.bicm import Ints
from greyzone.coordinate.fast import MINUTE, widths
from greyzone.coordinate.paraphrases import Paraphrases
from greyzone.coordinate.traces import addressed, content
from greyzone.coordinate.traces.corpus import TIMED, UNDATED, Corpus, Labels, Mask, read_corpus
from greyzone.coordinate.traces.incidence import Coded, Items, Shares, Trace, assemble, family_of
from greyzone.coordinate.traces.timed import fast, posting
from greyzone.doctrine import Doctrine

__all__ = [
    "FIRST",
    "KINDS",
    "TIMED",
    "UNDATED",
    "Corpus",
    "Items",
    "Labels",
    "Mask",
    "Shares",
    "Trace",
    "build_traces",
    "content_shares",
    "family_of",
    "read_corpus",
    "traces_of",
]

KINDS = ("co-url", "co-text", "co-paraphrase", "co-hashtag", "co-repost", "co-reply", "co-mention", "co-handle")
"""Traces of content and of names; the timed ones come after them, one a scale."""

FIRST = ("co-repost", "co-text", "co-url", "co-hashtag")
"""What a document counts for in a timed trace: a repost is what it is, then its text, then what the text holds."""


def build_traces(corpus: Corpus, doctrine: Doctrine, *, paraphrases: Paraphrases | None = None) -> list[Trace]:
    """Return the traces in the order of `KINDS`, then the timed ones by scale.

    Parameters
    ----------
    corpus
        The documents.
    doctrine
        Section ``coordination``.
    paraphrases
        Texts that reword each other; without them the trace of paraphrases is not supported.
    """
    limit = doctrine.section("coordination")
    shares = content_shares(corpus, doctrine) | {
        "co-paraphrase": content.paraphrases(corpus, paraphrases),
        "co-reply": addressed.replies(corpus),
        "co-mention": addressed.mentions(corpus, int(limit["mentions_minimum"])),
        "co-handle": addressed.handles(corpus, int(limit["handle_minimum"])),
    }
    return traces_of(corpus, {kind: shares[kind] for kind in KINDS}, FIRST, doctrine)


def content_shares(corpus: Corpus, doctrine: Doctrine) -> dict[str, Shares]:
    """Return what the documents themselves hold: the shares of `FIRST`, by name."""
    limit = doctrine.section("coordination")
    return {
        "co-repost": content.reposts(corpus),
        "co-text": content.texts(corpus, int(limit["words_minimum"])),
        "co-url": content.urls(corpus),
        "co-hashtag": content.hashtags(corpus, int(limit["hashtags_minimum"])),
    }


def traces_of(
    corpus: Corpus, shares: Mapping[str, Shares | tuple[Ints, pa.Array, str]], first: Sequence[str], doctrine: Doctrine
) -> list[Trace]:
    """Return the traces of `shares` in their order, then the timed ones by scale.

    Parameters
    ----------
    corpus
        The documents.
    shares
        `Shares`, or tuples of their first fields, by name.
    first
        What a document counts for in the timed traces, the first one preferred.
    doctrine
        Section ``coordination``.
    """
    coded = {kind: Coded.of(Shares(*given)) for kind, given in shares.items()}
    found = [assemble(corpus, kind, of_kind, doctrine) for kind, of_kind in coded.items()]
    scales = widths(doctrine)
    for name, timed in fast(corpus, [coded[kind] for kind in first], scales).items():
        found.append(assemble(corpus, name, timed, doctrine, seconds=scales[name]))
    return [*found, assemble(corpus, rhythm.NAME, posting(corpus), doctrine, seconds=MINUTE)]
