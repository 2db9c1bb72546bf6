"""Hard negatives for contrastive training: near texts of another group, without those that are probably right answers.

For a query with positive p, every candidate is ranked by cosine. A candidate is never taken if it is

- of the query's own group (the same claim, the same label): it is right;
- closer than ``relative * cos(query, p)`` or than ``cos(query, p) - absolute``, whichever is lower: an unlabelled text that is nearly as
  close as the known answer is more often another answer than a negative. The relative rule at .95 is "TopK-PercPos" of NV-Retriever
  (Moreira et al. 2024, arXiv:2407.15831), the best of those compared there; where p itself has a cosine of 0 or less it leaves nothing
  to take, and the query gets no negative.

Of the rest the nearest ones are taken. Neighbours are exact: products block by block, no index.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError
from greyzone.records import Floats

Integers = npt.NDArray[np.int64]

CHUNK_CELLS = 1 << 24
"""Products held at a time: 64 MiB of float32."""


@dataclass(frozen=True, slots=True)
class MiningSettings:
    """What is taken as a hard negative.

    Attributes
    ----------
    per_query
        Negatives of one query at most.
    relative
        A negative's cosine is at most this share of the positive's; 1 allows all below the positive.
    absolute
        A negative's cosine is at least this much below the positive's.
    skip
        Nearest allowed candidates that are passed over first, where even those are often right answers.
    """

    per_query: int = 1
    relative: float = 0.95
    absolute: float = 0.0
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Mined:
    """Mined negatives and what became of every (query, candidate) pair.

    Attributes
    ----------
    negatives
        (n, per_query) int64, places of candidates, the nearest first; -1 where fewer were allowed.
    same_group, too_close, skipped, taken, unused
        Pairs by fate; they add up to queries times candidates.
    without
        Queries that got no negative at all.
    """

    negatives: Integers
    same_group: int
    too_close: int
    skipped: int
    taken: int
    unused: int
    without: int

    @property
    def counts(self) -> dict[str, int]:
        """The counts by name."""
        names = ("same_group", "too_close", "skipped", "taken", "unused", "without")
        return {name: int(getattr(self, name)) for name in names}


def mine_hard_negatives(
    queries: Floats,
    candidates: Floats,
    positives: Integers,
    query_groups: Integers,
    candidate_groups: Integers,
    *,
    settings: MiningSettings | None = None,
) -> Mined:
    """Return the hard negatives of every query.

    Parameters
    ----------
    queries
        (n, d) float32, unit or zero rows.
    candidates
        (m, d) float32, unit or zero rows.
    positives
        (n,) the candidate that answers each query; it must be of the query's group.
    query_groups, candidate_groups
        (n,) and (m,) groups.
    settings
        What is taken.

    Returns
    -------
    Mined
        Equal cosines go to the earlier candidate.

    Raises
    ------
    InputError
        If lengths differ, a setting is out of range, or a positive is of another group than its query.
    """
    chosen = settings or MiningSettings()
    _check(chosen)
    n, m = len(queries), len(candidates)
    if len(positives) != n or len(query_groups) != n or len(candidate_groups) != m:
        found = f"{n} queries with {len(positives)} positives and {len(query_groups)} groups, {m} candidates with {len(candidate_groups)}"
        raise InputError(found, "one of each")
    if n and not np.array_equal(candidate_groups[positives], query_groups):
        raise InputError("a positive of another group than its query", "one group")
    negatives = np.full((n, chosen.per_query), -1, dtype=np.int64)
    same_group = too_close = skipped = 0
    step = max(1, CHUNK_CELLS // max(m, 1))
    for start in range(0, n, step):
        rows = slice(start, start + step)
        cosines = queries[rows] @ candidates.T
        right = cosines[np.arange(len(cosines)), positives[rows]]
        limit = np.minimum(chosen.relative * right, right - np.float32(chosen.absolute))
        own = candidate_groups[None, :] == query_groups[rows, None]
        close = ~own & ((cosines > limit[:, None]) | (right <= 0)[:, None])
        same_group += int(own.sum())
        too_close += int(close.sum())
        cosines[own | close] = -np.inf
        depth = min(m, chosen.skip + chosen.per_query)
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :depth]
        allowed = np.take_along_axis(cosines, order, axis=1) > -np.inf
        skipped += int(allowed[:, : chosen.skip].sum())
        taken = np.where(allowed, order, -1)[:, chosen.skip :]
        negatives[rows, : taken.shape[1]] = taken
    n_taken = int((negatives >= 0).sum())
    return Mined(
        negatives=negatives,
        same_group=same_group,
        too_close=too_close,
        skipped=skipped,
        taken=n_taken,
        unused=n * m - same_group - too_close - skipped - n_taken,
        without=int((negatives < 0).all(axis=1).sum()),
    )


def reciprocal_ranks(vectors: Floats, anchors: Integers, candidates: Integers, groups: Integers) -> npt.NDArray[np.float64]:
    """Return 1 / rank of the best right candidate of every anchor.

    Parameters
    ----------
    vectors
        (m, d) float32, unit or zero rows, one a text.
    anchors
        (n,) texts to search with; a text is no candidate of its own.
    candidates
        (c,) texts to find.
    groups
        (m,) group of each text; candidates of the anchor's group are right.

    Returns
    -------
    ndarray
        (n,) float64. A wrong candidate that scores as high as the best right one ranks above it, so that vectors that are all alike
        get no credit.

    Raises
    ------
    InputError
        If an anchor has no right candidate.
    """
    found = np.zeros(len(anchors))
    step = max(1, CHUNK_CELLS // max(len(candidates), 1))
    for start in range(0, len(anchors), step):
        rows = anchors[start : start + step]
        cosines = vectors[rows] @ vectors[candidates].T
        itself = rows[:, None] == candidates[None, :]
        right = (groups[rows, None] == groups[None, candidates]) & ~itself
        if not right.any(axis=1).all():
            raise InputError(f"{int((~right.any(axis=1)).sum())} anchors without a right candidate", "one at least each")
        best = np.where(right, cosines, -np.inf).max(axis=1)
        found[start : start + step] = 1 / (1 + ((cosines >= best[:, None]) & ~right & ~itself).sum(axis=1))
    return found


def _check(settings: MiningSettings) -> None:
    if settings.per_query < 1 or settings.skip < 0:
        raise InputError(f"{settings.per_query} negatives after {settings.skip} skipped", "1 or more after 0 or more")
    if not 0 < settings.relative <= 1 or not 0 <= settings.absolute <= 2:
        raise InputError(f"margins {settings.relative:g} and {settings.absolute:g}", "relative in (0, 1], absolute in [0, 2]")
