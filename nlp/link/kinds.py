"""What a link is: soft scores over `records.LINK_TYPES` that sum to 1, and the documents that show it.

The five types partition a link's probability in three questions. Let a be the posterior share of the lag density after the onset,
c = 1 - exp(-(positive nats of content) / 2) whether content and not time alone ties the pair, k = share / (share + half) how far the
narrative's documents come from accounts flagged as coordinated, and l = leak words in the documents x how much the incident's
technique class yields material to leak:

    co-occurs  = (1 - c) + c (1 - a) (1 - k)      time alone, or talk before the incident by uncoordinated accounts
    prepares   = c (1 - a) k
    reports    = c a (1 - k)                      coverage after the onset that no coordinated group carries
    enabled-by = c a k l
    exploits   = c a k (1 - l)

Stance is not read, so "exploits" says who carries the story and when, never what is meant by it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

CONTENT_SCALE = 2.0
YIELDS = {"doxing": 1.0, "data theft": 0.7, "espionage": 0.4, "hijacking": 0.3, "ransomware": 0.3, "unknown": 0.2}
"""How readily an incident of a technique class yields material to publish (judgement); classes not named yield none."""

EVIDENCE = 5

_LEAK = re.compile(
    r"leak|\bdox|hacked (?:e-?mail|mail|doc|file|message|account)|stolen (?:e-?mail|data|doc|file)|(?:e-?mail|data|document)s? dump"
    r"|\bdumped\b"
    r"|\bfiltrado|\bfiltraci|\btrapelat|\bfuite|geleakt|durchgestochen|wyciek|ujawnion|únik|unikl"
    r"|слив|слил|утечк|взломан\w* почт|злив|витік|витоку|зламан\w* пошт",
    re.IGNORECASE,
)


def speaks_of_leaks(text: str) -> bool:
    """Return whether a text names leaked, dumped or hacked material (en de fr es it pl cs sk ru uk)."""
    return _LEAK.search(text) is not None


def type_scores(after: Vector, content: Vector, coordinated: Vector, leaks: Vector) -> npt.NDArray[np.float64]:
    """Return (n, 5) probabilities in the order of `records.LINK_TYPES`; rows sum to 1.

    Parameters
    ----------
    after
        Share of the lag density after the onset, 0..1.
    content
        Sum of the positive log-likelihood ratios of names, meaning and artefacts, nats.
    coordinated
        0..1, after saturation.
    leaks
        0..1, leak words times what the technique class yields.
    """
    # A share summed from densities can pass 1 by a rounding, and a probability must not be -1e-16.
    after, coordinated, leaks = (np.clip(share, 0.0, 1.0) for share in (after, coordinated, leaks))
    tied = -np.expm1(-np.maximum(content, 0.0) / CONTENT_SCALE)
    hostile = tied * after * coordinated
    return np.column_stack(
        [
            tied * after * (1.0 - coordinated),
            hostile * (1.0 - leaks),
            hostile * leaks,
            tied * (1.0 - after) * coordinated,
            (1.0 - tied) + tied * (1.0 - after) * (1.0 - coordinated),
        ]
    )


def choose_evidence(documents: Rows, shared: Rows, days: Vector, onset: float, form: Callable[[int], str]) -> list[int]:
    """Return at most five rows of documents: most shared entities, then nearest in time after the onset, then nearest before; copies once.

    Parameters
    ----------
    documents
        int64 rows of the narrative's documents, in the order of their ids.
    shared
        How many entities of the incident each of them names.
    days
        Their times in days since 1970-01-01, nan where unknown.
    onset
        Start of the onset interval, days.
    form
        Gives the normal form of a document's text by its row.
    """
    lag = np.where(np.isfinite(days), days - onset, np.inf)
    chosen: list[int] = []
    seen: set[str] = set()
    for row in documents[np.lexsort((documents, np.abs(lag), lag < 0, -shared))].tolist():
        if form(row) not in seen:
            seen.add(form(row))
            chosen.append(row)
        if len(chosen) == EVIDENCE:
            break
    return chosen
