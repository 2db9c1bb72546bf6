"""The rules of the literature, so that they can be compared with ours on the same shares. None of them controls an error.

- cosine_percentile (Pacheco et al., ICWSM 2021, case study 4 and its published notebook): accounts are TF-IDF vectors of what they share,
  v_ui = (1 + ln n_ui)(1 + ln((1 + N)/(1 + d_i))) over items of ``cosine_item_accounts`` accounts and more; accounts of fewer than
  ``cosine_support`` shares are left out; edges whose cosine lies above a percentile of all positive cosines are kept.
- eigenvector_pruning (Luceri et al., WWW 2024): the same network of cosines; accounts whose eigenvector centrality lies above a
  percentile are kept. With unit vectors S + I = VV', so the centrality is the leading left singular vector of V, and S is never formed.
- coortweet (Righetti and Balluff, CooRTweet 2.1, detect_groups and generate_coordinated_network): two shares of one item by two accounts
  at most ``coortweet_seconds`` apart are an act together; accounts of fewer than ``coortweet_participation`` shares are left out, and
  acts of which neither account has as many shares in acts; the weight of an edge counts acts; edges whose weight lies above a
  percentile of all weights are kept. A row is a share with an id of its own. Where all weights are equal nothing lies above the median.

Every percentile flags something in every corpus in which weights differ: that is what "no error control" means. Percentiles are those of
linear interpolation, and "above" is strict. Memory is bounded: pairs come in blocks, and where they would cost more than ``budget``
multiplications the most popular items are left out and counted in the note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import sparse

from greyzone.coordinate.bicm import Doubles, Ints
from greyzone.coordinate.traces import UNDATED, Mask
from greyzone.doctrine import Doctrine
from greyzone.errors import InputError

NO_ERROR_CONTROL = "no error control"
"""What is known about the errors of a rule that cuts at a percentile."""
BLOCK_WORK = 4_000_000
"""Multiplications, or pairs of shares, of a block: 16 bytes each at the most."""
BINS = 1 << 14
"""Bins of the first look at the weights, from which the percentile is then found exactly."""
DECIMALS = 12
"""Cosines are rounded so that those that are equal on paper are equal here."""
STEPS = 1000
"""Most steps of the power iteration."""
TOLERANCE = 1e-10
"""Largest change of a centrality in a step to stop at, for a vector of unit length."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What a rule flags.

    Parameters
    ----------
    rule
        Its name.
    source
        Where it is from.
    flagged
        (accounts,) bool by account code.
    a, b
        (edges,) int64 account codes, a < b, of the edges among what is kept, ordered by (a, b).
    weight
        (edges,) float64: cosine, or number of acts together.
    threshold
        Weight or centrality at the percentile; nan where there is no network.
    pairs
        Edges of the network before the cut.
    note
        What was left out, or why there is no network.
    error_control
        What is known about the errors of the rule.
    """

    rule: str
    source: str
    flagged: Mask
    a: Ints
    b: Ints
    weight: Doubles
    threshold: float
    pairs: int
    note: str
    error_control: str = NO_ERROR_CONTROL


Block = tuple[Ints, Ints, Doubles]
"""Ends and weights of some edges, a < b."""


def cosine_percentile(accounts: Ints, items: Ints, times: Ints | None = None, *, doctrine: Doctrine) -> RuleResult:
    """Flag the accounts that have an edge above the percentile of all cosines (Pacheco et al. 2021).

    Parameters
    ----------
    accounts, items
        (shares,) int64 codes from 0, one entry a share; shares in any order.
    times
        Not used; here so that all rules are called alike.
    doctrine
        Section ``coordination_rules``.

    Returns
    -------
    RuleResult
        `flagged` has an entry for every code up to the largest one.

    Raises
    ------
    InputError
        If the arrays differ in length or hold negative codes.
    """
    _check(accounts, items, times)
    vectors, notes = _tfidf(accounts, items, doctrine)

    def blocks() -> Iterator[Block]:
        return _cosines(vectors)

    pairs, threshold = _percentile(blocks, doctrine["coordination_rules.cosine_percentile"])
    a, b, weight = _above(blocks(), threshold)
    flagged = np.zeros(vectors.shape[0], dtype=bool)
    flagged[np.concatenate([a, b])] = True
    return RuleResult("cosine_percentile", "Pacheco et al. 2021", flagged, a, b, weight, threshold, pairs, _note(notes, pairs))


def eigenvector_pruning(accounts: Ints, items: Ints, times: Ints | None = None, *, doctrine: Doctrine) -> RuleResult:
    """Flag the accounts whose eigenvector centrality in the network of cosines is above the percentile (Luceri et al. 2024).

    Parameters, result and errors are those of `cosine_percentile`; edges are the cosines among flagged accounts, and `pairs` counts these
    edges too, since the whole network is never formed.
    """
    _check(accounts, items, times)
    vectors, notes = _tfidf(accounts, items, doctrine)
    degree = np.bincount(vectors.indices, minlength=vectors.shape[1])
    shared = (vectors[:, np.flatnonzero(degree > 1)]).sum(axis=1)
    nodes = np.flatnonzero(np.asarray(shared).ravel() > 0)
    flagged = np.zeros(vectors.shape[0], dtype=bool)
    threshold = float("nan")
    if len(nodes):
        centrality, settled = _centrality(vectors)
        if not settled:
            notes.append(f"centrality not settled after {STEPS} steps")
        threshold = float(np.quantile(centrality[nodes], doctrine["coordination_rules.eigenvector_percentile"]))
        flagged[nodes] = centrality[nodes] > threshold
    chosen = np.flatnonzero(flagged)
    a, b, weight = _above(_cosines(sparse.csr_array(vectors[chosen])), -1.0)
    a, b = chosen[a], chosen[b]
    note = _note(notes, len(nodes))
    return RuleResult("eigenvector_pruning", "Luceri et al. 2024", flagged, a, b, weight, threshold, len(a), note)


def coortweet(accounts: Ints, items: Ints, times: Ints | None = None, *, doctrine: Doctrine) -> RuleResult:
    """Flag the accounts that have an edge above the percentile of acts together in the window (CooRTweet).

    Parameters
    ----------
    accounts, items
        (shares,) int64 codes from 0, one entry a share.
    times
        (shares,) int64 microseconds since 1970, `UNDATED` where not known. Without times the rule says nothing.
    doctrine
        Section ``coordination_rules``.

    Returns
    -------
    RuleResult

    Raises
    ------
    InputError
        If the arrays differ in length or hold negative codes.
    """
    _check(accounts, items, times)
    size = int(accounts.max(initial=-1)) + 1
    notes: list[str] = []
    if times is None:
        times = np.full(len(accounts), UNDATED)
    least = doctrine["coordination_rules.coortweet_participation"]
    dated = times != UNDATED
    if not dated.all():
        notes.append(f"{int((~dated).sum())} shares without a time left out")
    chosen = np.flatnonzero(dated)
    chosen = chosen[np.bincount(accounts[chosen], minlength=size)[accounts[chosen]] >= least]
    chosen = chosen[np.lexsort((accounts[chosen], times[chosen], items[chosen]))]
    account, item, time = accounts[chosen], items[chosen], times[chosen]
    width = int(doctrine["coordination_rules.coortweet_seconds"] * 1_000_000)
    kept = _affordable(_acts_of_items(item, time, width), doctrine["coordination_rules.budget"], notes)
    if not kept.all():
        stays = kept[item]
        account, item, time = account[stays], item[stays], time[stays]
    edges, acting = _acts(account, item, time, width)
    # An act stays if one of its two accounts has shares enough in acts: the published code joins by "or".
    often = np.bincount(account[acting], minlength=size) >= least
    edges = edges[often[edges[:, 0]] | often[edges[:, 1]]]
    pairs = len(edges)
    percentile = doctrine["coordination_rules.coortweet_percentile"]
    threshold = float(np.quantile(edges[:, 2], percentile)) if pairs else float("nan")
    edges = edges[edges[:, 2] > threshold] if pairs else edges
    flagged = np.zeros(size, dtype=bool)
    flagged[edges[:, :2].ravel()] = True
    a, b, weight = edges[:, 0].copy(), edges[:, 1].copy(), edges[:, 2].astype(np.float64)
    return RuleResult("coortweet", "Righetti and Balluff, CooRTweet 2.1", flagged, a, b, weight, threshold, pairs, _note(notes, pairs))


RULES: dict[str, Callable[..., RuleResult]] = {
    "cosine_percentile": cosine_percentile,
    "eigenvector_pruning": eigenvector_pruning,
    "coortweet": coortweet,
}
"""The rules by name; all are called with (accounts, items, times, doctrine=...)."""


def _check(accounts: Ints, items: Ints, times: Ints | None) -> None:
    lengths = {len(accounts), len(items), len(accounts if times is None else times)}
    if len(lengths) > 1:
        raise InputError(f"columns of {sorted(lengths)} shares", "accounts, items and times of one length")
    if min(accounts.min(initial=0), items.min(initial=0)) < 0:
        raise InputError("a negative account or item code", "codes from 0", "leave out shares without an account or an item")


def _note(notes: list[str], edges: int) -> str:
    return "; ".join([*notes, *([] if edges else ["no network: no two accounts share what the rule looks at"])])


def _tfidf(accounts: Ints, items: Ints, doctrine: Doctrine) -> tuple[sparse.csr_array, list[str]]:
    """Return unit TF-IDF vectors by account code, (accounts, items) float64, rows of zeros for accounts left out; and what was."""
    size, width = int(accounts.max(initial=-1)) + 1, int(items.max(initial=-1)) + 1
    notes: list[str] = []
    support = doctrine["coordination_rules.cosine_support"]
    shares = np.bincount(accounts, minlength=size)
    enough = shares[accounts] >= support
    if not enough.all():
        notes.append(f"{int(((shares > 0) & (shares < support)).sum())} accounts of fewer than {support:g} shares left out")
    counts = sparse.csr_array((np.ones(int(enough.sum())), (accounts[enough], items[enough])), shape=(size, width))
    counts.sum_duplicates()
    present = int((np.diff(counts.indptr) > 0).sum())
    degree = np.bincount(counts.indices, minlength=width).astype(np.int64)
    kept = degree >= doctrine["coordination_rules.cosine_item_accounts"]
    if not kept.any():
        kept = degree > 0
    kept &= _affordable(np.where(kept, degree**2, 0), doctrine["coordination_rules.budget"], notes)
    columns = np.flatnonzero(kept)
    vectors = sparse.csr_array(counts[:, columns])
    vectors.sort_indices()
    idf = 1.0 + np.log((1.0 + present) / (1.0 + degree[columns]))
    vectors.data = (1.0 + np.log(vectors.data)) * idf[vectors.indices]
    norms = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel())
    vectors.data /= np.repeat(norms, np.diff(vectors.indptr))
    return vectors, notes


def _affordable(work: Ints, budget: float, notes: list[str]) -> Mask:
    """Return which items can be kept when those of most work go first until the sum is within `budget`, (items,) bool."""
    order = np.argsort(work, kind="stable")
    total = np.cumsum(work[order])
    kept = np.ones(len(work), dtype=bool)
    # Items of one size go together: which of them came first must not matter.
    over = int(np.searchsorted(total, budget, side="right"))
    if over < len(work):
        kept = work < work[order[over]]
        notes.append(f"{int((~kept).sum())} most popular items left out: their pairs would exceed the budget of {budget:g}")
    return kept


def _cosines(vectors: sparse.csr_array) -> Iterator[Block]:
    """Yield the positive cosines in blocks of rows of V V', ordered by (a, b)."""
    turned = vectors.T.tocsr()
    turned.sort_indices()
    degrees = np.diff(turned.indptr)
    work = np.bincount(np.repeat(np.arange(vectors.shape[0]), np.diff(vectors.indptr)), degrees[vectors.indices], vectors.shape[0])
    for start, stop in pairwise(_block_edges(work)):
        product = sparse.csr_array(vectors[start:stop] @ turned)
        product.sort_indices()
        a = np.repeat(np.arange(start, stop, dtype=np.int64), np.diff(product.indptr))
        b = product.indices.astype(np.int64)
        upper = a < b
        yield a[upper], b[upper], np.round(product.data[upper], DECIMALS).astype(np.float64)


def _block_edges(work: npt.NDArray[np.generic]) -> list[int]:
    """Return where blocks of about `BLOCK_WORK` begin and end."""
    block = ((np.cumsum(work) - work) // BLOCK_WORK).astype(np.int64)
    return [int(edge) for edge in np.flatnonzero(np.diff(block, prepend=-1, append=block[-1] + 1 if len(block) else 0))]


def _percentile(blocks: Callable[[], Iterator[Block]], share: float) -> tuple[int, float]:
    """Return the number of weights, all in (0, 1], and their percentile: a look at a histogram, then one at the bins that matter."""
    counts = np.zeros(BINS, dtype=np.int64)
    for _, _, weight in blocks():
        counts += np.bincount(_bin(weight), minlength=BINS)
    total = int(counts.sum())
    if not total:
        return 0, float("nan")
    position = share * (total - 1)
    low, high = int(np.floor(position)), int(np.ceil(position))
    ends = np.cumsum(counts)
    first, last = (int(np.searchsorted(ends, rank, side="right")) for rank in (low, high))
    values, repeats = np.empty(0), np.empty(0, dtype=np.int64)
    for _, _, weight in blocks():
        found = weight[np.isin(_bin(weight), [first, last])]
        values, place = np.unique(np.concatenate([values, found]), return_inverse=True)
        repeats = np.bincount(place, np.concatenate([repeats, np.ones(len(found))])).astype(np.int64)
    # Bins between the two are empty, so ranks within the two bins follow from what lies below the first.
    ranks = np.cumsum(repeats) + int(ends[first] - counts[first])
    lower, upper = (float(values[np.searchsorted(ranks, rank, side="right")]) for rank in (low, high))
    return total, lower + (upper - lower) * (position - low)


def _bin(weight: Doubles) -> Ints:
    return np.minimum((weight * BINS).astype(np.int64), BINS - 1)


def _above(blocks: Iterator[Block], threshold: float) -> Block:
    parts = [(a[over], b[over], weight[over]) for a, b, weight in blocks if len(over := np.flatnonzero(weight > threshold))]
    if not parts:
        none = np.empty(0, dtype=np.int64)
        return none, none, np.empty(0)
    a, b, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    return a, b, weight


def _centrality(vectors: sparse.csr_array) -> tuple[Doubles, bool]:
    """Return the leading left singular vector of V by power iteration from equal entries, and whether it settled."""
    turned = vectors.T.tocsr()
    now = (np.diff(vectors.indptr) > 0).astype(np.float64)
    now /= np.sqrt((now * now).sum())
    for _ in range(STEPS):
        # Sums by numpy, not by a BLAS that splits them among threads.
        following = vectors @ (turned @ now)
        following /= np.sqrt((following * following).sum())
        if np.abs(following - now).max() <= TOLERANCE:
            return np.round(following, DECIMALS - 2), True
        now = following
    return np.round(now, DECIMALS - 2), False


def _starts(item: Ints, time: Ints, width: int) -> Ints:
    """Return for every share, in order of (item, time), the first share of its item at most `width` before it."""
    starts = np.empty(len(item), dtype=np.int64)
    bounds = np.flatnonzero(np.diff(item, prepend=-1, append=-1))
    for begin, end in pairwise(bounds.tolist()):
        moments = time[begin:end]
        starts[begin:end] = begin + np.searchsorted(moments, moments - width, side="left")
    return starts


def _acts_of_items(item: Ints, time: Ints, width: int) -> Ints:
    """Return how many pairs of shares within `width` each item has, (items,) int64."""
    pairs = np.arange(len(item)) - _starts(item, time, width)
    return np.bincount(item, pairs, minlength=int(item.max(initial=-1)) + 1).astype(np.int64)


def _acts(account: Ints, item: Ints, time: Ints, width: int) -> tuple[Ints, Mask]:
    """Return (edges, 3) int64 of (a, b, acts) with a < b in order, and which shares are in an act, (shares,) bool."""
    starts = _starts(item, time, width)
    acting = np.zeros(len(account), dtype=bool)
    size = int(account.max(initial=-1)) + 1
    keys, acts = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    reach = np.arange(len(account)) - starts
    for begin, end in pairwise(_block_edges(reach)):
        later = np.repeat(np.arange(begin, end), reach[begin:end])
        first = np.cumsum(reach[begin:end]) - reach[begin:end]
        earlier = np.arange(len(later)) - np.repeat(first - starts[begin:end], reach[begin:end])
        different = account[earlier] != account[later]
        earlier, later = earlier[different], later[different]
        acting[earlier], acting[later] = True, True
        a, b = np.minimum(account[earlier], account[later]), np.maximum(account[earlier], account[later])
        fresh, counts = np.unique(a * size + b, return_counts=True)
        keys, place = np.unique(np.concatenate([keys, fresh]), return_inverse=True)
        acts = np.bincount(place, np.concatenate([acts, counts]), minlength=len(keys)).astype(np.int64)
    a, b = np.divmod(keys, max(size, 1))
    return np.stack([a, b, acts], axis=1), acting
