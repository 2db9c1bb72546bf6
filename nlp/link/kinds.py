"""What a link is: soft scores over `records.LINK_TYPES` that sum to 1.

The five types partition a link's probability by questions that the tables can answer. Let c = 1 - exp(-(positive nats of names, nearness
and artefacts) / scale) say whether content and not time alone ties the pair, b the probability that the narrative prepares rather than
answers (below), k = share / (share + half) how far its documents come from accounts flagged as coordinated, m the same of documents that
media published, and l = leak words in the documents x how readily the incident's technique class yields material to leak:

    prepares   = c b k                        told before the onset, by a coordinated group, of the same things
    reports    = c (1 - b) (1 - k) m          coverage after the onset, media's, that no coordinated group carries
    enabled-by = c (1 - b) k l
    exploits   = c (1 - b) k (1 - l)
    co-occurs  = the rest: time alone, or uncoordinated talk that no media carry

A document is media's where an outlet is known, and not where an account posted it without one; where neither is known `media_unknown`
stands. Stance is not read, so "exploits" says who carries the story and when, never what is meant by it.

Prepares or answers. For an onset u and a lead of L days let B be the documents on the L days before the day of u, A those on the L days
from it on, each without what the narrative's own rate earlier in the window makes of it, so that a story told for months leads to
nothing. Of a story that answers, a stray share s of documents stands before the onset (wrong days, wrong clusters); of one that
prepares, any share may, as it goes on afterwards. With x = B / (A + B), x ~ Beta(1, 1 / s - 1) or x ~ U(0, 1), and the lag density's a,

    b(u) = (1 - a) / [(1 - a) + a (1 / s - 1) (1 - x)^(1 / s - 2)],      0 where B = 0.

Over an onset interval b is the mean weighed by LR(u) (`lag`): where the date is coarse, that the narrative follows is the likelier
reading, and preparation is not claimed from ignorance.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from greyzone.doctrine import Doctrine
from greyzone.link.bursts import Bursts
from greyzone.link.lag import Kernel, Onsets

Vector = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

DATES = 16
"""Dates of an onset interval at which it is asked whether a narrative prepares."""

_LEAK = re.compile(
    r"leak|\bdox|hacked (?:e-?mail|mail|doc|file|message|account)|stolen (?:e-?mail|data|doc|file)|(?:e-?mail|data|document)s? dump"
    r"|\bdumped\b"
    r"|\bfiltrado|\bfiltraci|\btrapelat|\bfuite|geleakt|durchgestochen|wyciek|ujawnion|únik|unikl"
    r"|слив|слил|утечк|взломан\w* почт|злив|витік|витоку|зламан\w* пошт",
    re.IGNORECASE,
)


_ASCII_HINTS = (
    *("leak", "dox", "hacked", "stolen", "dump", "filtrado", "filtraci", "trapelat", "fuite", "durchgestochen", "wyciek", "ujawnion"),
    "unikl",
)
_OTHER_HINTS = ("únik", "слив", "слил", "утечк", "взломан", "злив", "витік", "витоку", "зламан")
"""What every match of the pattern holds: looking for these is many times as fast, and most texts hold none."""


def speaks_of_leaks(text: str) -> bool:
    """Return whether a text names leaked, dumped or hacked material (en de fr es it pl cs sk ru uk)."""
    lowered = text.lower()
    hinted = any(hint in lowered for hint in _ASCII_HINTS)
    if not hinted and not lowered.isascii():
        hinted = any(hint in lowered for hint in _OTHER_HINTS)
    return hinted and _LEAK.search(text) is not None


def type_scores(
    before: Vector, content: Vector, coordinated: Vector, media: Vector, leaks: Vector, *, scale: float
) -> npt.NDArray[np.float64]:
    """Return (n, 5) probabilities in the order of `records.LINK_TYPES`; rows sum to 1.

    Parameters
    ----------
    before
        Probability that the narrative prepares, 0..1.
    content
        Sum of the positive log-likelihood ratios of names, nearness in meaning and artefacts, nats.
    coordinated
        0..1, after saturation.
    media
        0..1, after saturation.
    leaks
        0..1, leak words times what the technique class yields.
    scale
        Nats of content at which 1 - 1/e of the pair is tied by it.
    """
    # A share summed from parts can pass 1 by a rounding, and a probability must not be -1e-16.
    before, coordinated, media, leaks = (np.clip(share, 0.0, 1.0) for share in (before, coordinated, media, leaks))
    tied = -np.expm1(-np.maximum(content, 0.0) / scale)
    follows, hostile = tied * (1.0 - before), tied * (1.0 - before) * coordinated
    reports, prepares = follows * (1.0 - coordinated) * media, tied * before * coordinated
    return np.column_stack(
        [
            reports,
            hostile * (1.0 - leaks),
            hostile * leaks,
            prepares,
            (1.0 - tied) + tied * before * (1.0 - coordinated) + follows * (1.0 - coordinated) * (1.0 - media),
        ]
    )


def yields_of(technique_classes: Sequence[str | None], doctrine: Doctrine) -> Vector:
    """Return how readily incidents yield material to publish; classes that the doctrine does not name yield none."""
    told = doctrine.section("link.yields")
    return np.array([told.get((name or "unknown").replace(" ", "_"), 0.0) for name in technique_classes], dtype=np.float64)


def prepared(
    onsets: Onsets,
    bursts: Bursts,
    kernel: Kernel,
    volumes: Sequence[tuple[int, Vector]],
    pairs: tuple[Rows, Rows],
    *,
    stray: float,
) -> Vector:
    """Return the probability that each pair's narrative prepares; 0 where the onset is not known.

    Parameters
    ----------
    onsets, bursts, kernel
        As in `lag.timing`; the lead is four mean leads of the kernel, at most half the window.
    volumes
        (first day, daily counts) by narrative, as `bursts.daily` gives them.
    pairs
        (n,) int64 rows of incident and narrative.
    stray
        Share of documents before the onset of a story that answers.
    """
    incident, narrative = pairs
    lo, hi = onsets.lo[incident], onsets.hi[incident]
    known = np.isfinite(lo) & np.isfinite(hi)
    first = np.array([start for start, _ in volumes], dtype=np.int64)
    lengths = np.array([len(counts) for _, counts in volumes], dtype=np.int64)
    # Sums of every narrative's days, one zero before each.
    sums = np.concatenate([np.concatenate([[0.0], np.cumsum(counts)]) for _, counts in volumes] or [np.zeros(1)])
    base = np.concatenate([[0], np.cumsum(lengths + 1)])[:-1]

    def until(day: Rows) -> Vector:
        found: Vector = sums[base[narrative] + np.clip(day - first[narrative], 0, lengths[narrative])]
        return found

    starts, stops = (np.searchsorted(bursts.narrative, narrative, side=side) for side in ("left", "right"))
    window = max(2, int(np.ceil(kernel.window)))
    lead = max(1, min(round(4.0 * kernel.before_mean), window // 2))
    weight, total, plain = (np.zeros(len(incident)) for _ in range(3))
    for step in range(DATES):
        date = np.where(known, lo + (hi - lo) * (step + 0.5) / DATES, 0.0)
        day = np.floor(date).astype(np.int64)
        here = until(day)
        rate = (until(day - lead) - until(day - window)) / (window - lead)
        before = np.maximum(here - until(day - lead) - lead * rate, 0.0)
        after = np.maximum(until(day + lead) - here - lead * rate, 0.0)
        share = np.divide(before, before + after, out=np.zeros(len(day)), where=before > 0)
        answers = kernel.after_share * (1.0 / stray - 1.0) * (1.0 - share) ** (1.0 / stray - 2.0)
        likely = np.where(before > 0, (1.0 - kernel.after_share) / np.maximum(1.0 - kernel.after_share + answers, 1e-300), 0.0)
        ratio = _ratio(date, bursts, kernel, starts, stops)
        weight, total, plain = weight + ratio, total + ratio * likely, plain + likely / DATES
    return np.where(known, np.divide(total, weight, out=plain, where=weight > 0), 0.0)


def _ratio(date: Vector, bursts: Bursts, kernel: Kernel, starts: Rows, stops: Rows) -> Vector:
    """Return LR(u) of `lag` for one date a pair."""
    ratio, near = np.zeros(len(date)), np.zeros(len(date), dtype=bool)
    for place in range(int((stops - starts).max(initial=0))):
        has = np.flatnonzero(starts + place < stops)
        burst = starts[has] + place
        lag = bursts.day[burst] + 0.5 - date[has]
        inside = np.abs(lag) <= kernel.window
        near[has] |= inside
        ratio[has] += np.where(inside, bursts.mass[burst] * (kernel.spread * kernel.density(lag) - 1.0), 0.0)
    return np.where(near, 1.0 + ratio, 0.0)
