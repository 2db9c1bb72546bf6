"""Timed traces: what is shared soon after it was first shared, at several scales, and the minutes in which accounts post.

`greyzone.coordinate.fast` has the windows, `greyzone.coordinate.rhythm` what is asked of the minutes. In a window a document counts once,
by the first thing that it shares with another account, or one copied post with an address and hashtags would look like three acts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from greyzone.coordinate import rhythm
from greyzone.coordinate.bicm import Ints
from greyzone.coordinate.fast import MINUTE, SECOND, windows
from greyzone.coordinate.traces.corpus import Corpus, ranks
from greyzone.coordinate.traces.incidence import Coded, Items, is_shared

NO_TIMES = "no document with an account and a time good to a {}"


def fast(corpus: Corpus, kinds: Sequence[Coded], scales: dict[str, float]) -> dict[str, Coded]:
    """Return the shares of every scale by its name.

    Parameters
    ----------
    corpus
        The documents.
    kinds
        Shares that a document may count for, the first one preferred.
    scales
        Seconds by name.
    """
    rows, codes, names = _first_shares(corpus, kinds)
    time = corpus.time[rows]
    order = np.lexsort((rows, time, codes))
    rows, codes, time = rows[order], codes[order], time[order]
    found = {}
    for name, seconds in scales.items():
        good = np.flatnonzero(corpus.to_second[rows]) if seconds < MINUTE else np.arange(len(rows))
        second, number = windows(codes[good], time[good], seconds) // SECOND, codes[good]
        stamps, stamp = np.unique(second, return_inverse=True)
        windowed, item = np.unique(stamp * max(len(names), 1) + number, return_inverse=True)
        items = Items(names, windowed % max(len(names), 1), stamps[windowed // max(len(names), 1)])
        found[name] = Coded(rows[good], item, items, NO_TIMES.format("second" if seconds < MINUTE else "minute"))
    return found


def posting(corpus: Corpus) -> Coded:
    """Return the minute of every document that has an account and a time good to a minute."""
    rows = np.flatnonzero(corpus.timed & (corpus.account >= 0))
    minute, codes = np.unique(corpus.time[rows] // (MINUTE * SECOND), return_inverse=True)
    return Coded(rows, codes, Items(rhythm.minutes(minute * (MINUTE * SECOND))), NO_TIMES.format("minute"))


def _first_shares(corpus: Corpus, kinds: Sequence[Coded]) -> tuple[Ints, Ints, pa.Array]:
    """Return the timed documents, the number of what each counts for, and the names of these, ascending."""
    kind = np.full(len(corpus.time), -1, dtype=np.int64)
    code = np.full(len(corpus.time), -1, dtype=np.int64)
    shared = [is_shared(corpus, shares) for shares in kinds]
    for only_shared in (True, False):
        for number, shares in enumerate(kinds):
            wanted = corpus.timed[shares.rows] & (kind[shares.rows] < 0) & (corpus.account[shares.rows] >= 0)
            if only_shared:
                wanted &= shared[number]
            chosen, first = np.unique(shares.rows[wanted], return_index=True)
            kind[chosen], code[chosen] = number, shares.codes[wanted][first]
    rows = np.flatnonzero(kind >= 0)
    return rows, *_ranked(kind[rows], code[rows], kinds)


def _ranked(kind: Ints, code: Ints, kinds: Sequence[Coded]) -> tuple[Ints, pa.Array]:
    """Return the number of each item in the order of all names, and the names."""
    found = [np.unique(code[kind == number], return_inverse=True) for number in range(len(kinds))]
    names = [shares.items.labels(used) for shares, (used, _) in zip(kinds, found, strict=True)]
    order = sorted((number for number in range(len(kinds)) if len(names[number])), key=lambda number: str(names[number][0]))
    whole = pa.concat_arrays([pa.array([], pa.string()), *(names[number] for number in order)])
    if any(str(names[a][-1]) >= str(names[b][0]) for a, b in pairwise(order)):
        whole, rank = ranks(whole)
    else:
        # Each kind begins its names with its own word, so that one kind comes after the other.
        rank = np.arange(len(whole))
    numbers, start = np.empty(len(kind), dtype=np.int64), 0
    for number in order:
        numbers[kind == number] = rank[start + found[number][1]]
        start += len(names[number])
    return numbers, whole
