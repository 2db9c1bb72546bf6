"""How much the words of a corpus may count beside the encoder: a rule that is measured on the corpus.

Anchors are a sample. What is nearest to an anchor by encoder is sought among all texts: in a large corpus the texts that say the same
are seldom in the sample with it, and the nearest there would be any text. How many texts words put before that nearest is counted in
the sample, as is what ties languages together, so that these figures are the same at any size of the corpus.

docs/method/lexical.md has the figures from which the rule was chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from greyzone.cluster.hierarchy import base_similarity
from greyzone.lexical.channel import smallest
from greyzone.neighbours import Doubles, Ints
from greyzone.records import Floats

Mode = Literal["auto", "on", "off"]

MOST_WEIGHT = 0.5
"""Weight where nothing speaks against words: both channels count alike."""

SUPPORT = (0.02, 0.07)
"""Below the first bound of captured * agreement words count nothing, from the second on in full; see docs/method/lexical.md."""

CROSSING = (0.1, 0.3)
"""Up to the first bound of crossing words count in full, from the second on nothing."""

CLOSENESS = (0.5, 0.65)
"""Below the first bound of closeness words count nothing, from the second on in full: they would part what is near. A third less likeness
is what better neighbours are worth; with half of it gone most narratives would fall below what is asked of one."""

LEAST_TEXTS = 50
"""Distinct texts with both rows below which nothing can be measured, and the channel stays out."""

SAMPLE = 2000
"""Anchors, and the texts among which the nearest of an anchor is ranked by words."""

POOL = 2**16
"""Texts among which the nearest of an anchor is sought, those with the smallest digests: all of them in most cases."""

BLOCK_ROWS = 2**11
"""Texts that all anchors are compared with at a time, which bounds memory to some 100 MiB."""

DECIMALS = 9
"""Cosines are rounded to this many decimals before they are ranked, so that ties are ties."""


@dataclass(frozen=True, slots=True)
class LexicalChoice:
    """The weight that the lexical channel was given in a corpus, and the figures that it was given for.

    `captured` is the share of the squared norm of the weighted words that the basis keeps, `agreement` the mean reciprocal rank that a
    text's nearest by encoder has by words (`_agreement`), `crossing` how far the encoder ties languages together (`_crossing`), each in
    [0, 1], `closeness` how much nearer than others the nearest texts remain when words count in full (`_closeness`); None where nothing was
    measured. `texts` counts distinct texts, `words` the words kept, `words_left_out` the rare ones, and
    `texts_without_words` the distinct texts that have none of the words kept.
    """

    weight: float
    mode: str
    reason: str
    texts: int = 0
    words: int = 0
    words_left_out: int = 0
    texts_without_words: int = 0
    captured: float | None = None
    agreement: float | None = None
    crossing: float | None = None
    closeness: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, as a manifest keeps them."""
        return asdict(self)


def choose_weight(texts: Sequence[str], embeddings: Floats, lexical: Floats, groups: Sequence[str], captured: float) -> LexicalChoice:
    """Weigh the lexical channel by what the corpus shows.

    With support s = captured * agreement, the weight is ``MOST_WEIGHT * ramp(s; SUPPORT) * ramp(closeness; CLOSENESS) *
    (1 - ramp(crossing; CROSSING))``, where ramp rises from 0 to 1 between two bounds: words count as far as the basis holds them and the
    encoder's neighbours bear them out, less where texts that are near by encoder are far by words, so that joined rows would part
    them, and less where the encoder ties texts of several languages together, since words cannot.

    Parameters
    ----------
    texts
        Distinct texts; `POOL` and `SAMPLE` of those that have both rows are looked at, those with the smallest digests.
    embeddings, lexical
        (n, d) and (n, k) float32, unit or zero rows.
    groups
        Language of each text.
    captured
        Mean share of the squared norm of the weighted words that the basis keeps.
    """
    usable = np.flatnonzero(embeddings.any(axis=1) & lexical.any(axis=1))
    if len(usable) < LEAST_TEXTS:
        return LexicalChoice(0.0, "auto", f"{len(usable)} distinct texts share words with others, fewer than {LEAST_TEXTS}")
    pool = usable[smallest([texts[place] for place in usable.tolist()], POOL)]
    anchors = smallest([texts[place] for place in pool.tolist()], SAMPLE)
    sample = pool[anchors]
    _, code = np.unique([groups[place] for place in sample.tolist()], return_inverse=True)
    with threadpool_limits(limits=1):
        mate, near = _nearest(embeddings[pool], anchors)
        told = lexical[sample]
        likeness = np.round((told.astype(np.float64) * lexical[pool[mate]].astype(np.float64)).sum(axis=1), DECIMALS)
        agreement = _agreement(told, likeness, anchors, mate)
        crossing = _crossing(embeddings[sample], code.astype(np.int64))
        closeness = _closeness(embeddings[sample], told, near, likeness)
    support = captured * agreement
    weight = weigh(support, crossing, closeness)
    if weight > 0:
        reason = f"words bear out the encoder's neighbours, support {support:.3f}, closeness {closeness:.3f}, crossing {crossing:.3f}"
    elif support <= SUPPORT[0]:
        reason = "words bear out too few of the encoder's neighbours"
    elif closeness <= CLOSENESS[0]:
        reason = "words would part the encoder's neighbours"
    else:
        reason = "the encoder ties languages together"
    return LexicalChoice(
        weight,
        "auto",
        reason,
        captured=round(captured, 4),
        agreement=round(agreement, 4),
        crossing=round(crossing, 4),
        closeness=round(closeness, 4),
    )


def weigh(
    support: float,
    crossing: float,
    closeness: float,
    *,
    most: float = MOST_WEIGHT,
    supports: tuple[float, float] = SUPPORT,
    crossings: tuple[float, float] = CROSSING,
) -> float:
    """Return the weight of the lexical channel by the rule of `choose_weight`, to three decimals."""
    return round(most * _ramp(support, supports) * _ramp(closeness, CLOSENESS) * (1.0 - _ramp(crossing, crossings)), 3)


def _cosines(one: Floats, other: Floats) -> Doubles:
    return np.asarray(np.round(one.astype(np.float64) @ other.astype(np.float64).T, DECIMALS))


def _nearest(rows: Floats, anchors: Ints) -> tuple[Ints, Doubles]:
    """Return the place of the row nearest to each anchor, the first of equals and not the anchor itself, and its cosine."""
    best = np.full(len(anchors), -np.inf)
    place = np.zeros(len(anchors), dtype=np.int64)
    every = np.arange(len(anchors))
    for start in range(0, len(rows), BLOCK_ROWS):
        cosine = _cosines(rows[anchors], rows[start : start + BLOCK_ROWS])
        here = np.flatnonzero((anchors >= start) & (anchors < start + BLOCK_ROWS))
        cosine[here, anchors[here] - start] = -np.inf
        first = cosine.argmax(axis=1)
        found = cosine[every, first]
        nearer = found > best
        best[nearer], place[nearer] = found[nearer], start + first[nearer]
    return place, best


def _agreement(told: Floats, likeness: Doubles, anchors: Ints, mate: Ints) -> float:
    """Return the mean reciprocal rank by words, among the anchors, of what is nearest to each by encoder; ties are ranked last.

    `told` are the lexical rows of the anchors, `likeness` the cosine by words of each and its nearest, which is at the place `mate`.
    """
    before = _cosines(told, told) >= likeness[:, None]
    # Neither the anchor nor its nearest is put before that nearest.
    rivals = (anchors[None, :] != anchors[:, None]) & (anchors[None, :] != mate[:, None])
    return float((1.0 / (1 + (before & rivals).sum(axis=1))).mean())


def _closeness(embeddings: Floats, told: Floats, near: Doubles, likeness: Doubles) -> float:
    """Return how far above the base the nearest of each anchor is in rows where words count in full, as a share of how far without them.

    Narratives are cut above the base, the likeness of texts that only share a subject, which depends on the rows. Where the nearest fall
    towards it, as long articles of many words do, joined rows part what the encoder has together.

    Parameters
    ----------
    embeddings, told
        (a, d) and (a, k) unit rows of the anchors, by encoder and by words.
    near, likeness
        (a,) cosine of each and its nearest by encoder, by encoder and by words.
    """
    # Pairs for a base are taken at fixed strides, so the order must say nothing; that of the texts has languages apart.
    order = np.random.default_rng(0).permutation(len(near))
    joined = np.hstack([np.sqrt(1.0 - MOST_WEIGHT) * embeddings, np.sqrt(MOST_WEIGHT) * told]).astype(np.float32)[order]
    before = _above(near, base_similarity(embeddings[order]))
    after = _above((1.0 - MOST_WEIGHT) * near + MOST_WEIGHT * likeness, base_similarity(joined))
    return max(after, 0.0) / before if before > 0 else 0.0


def _above(cosine: Doubles, base: float) -> float:
    return float(((cosine - base) / (1.0 - base)).mean()) if base < 1 else 0.0


def _crossing(embeddings: Floats, code: Ints) -> float:
    """Return how far the encoder ties languages together: 0 in one language, 1 where translations find each other among many.

    It is the probability that two texts are of different languages, times the share of texts that are the best of their language for
    the text that is, of all in other languages, the best for them. Texts outside the sample have no part in it: the more texts of a
    story there are, the less often a text is the best of them.
    """
    share = np.bincount(code) / len(code)
    differ = 1.0 - float((share**2).sum())
    if differ == 0:
        return 0.0
    cosine = _cosines(embeddings, embeddings)
    other = np.where(code[:, None] != code[None, :], cosine, -np.inf).argmax(axis=1)
    back = np.where(code[:, None] == code[None, :], cosine[:, other].T, -np.inf)
    return differ * float((back.argmax(axis=1) == np.arange(len(code))).mean())


def _ramp(value: float, bounds: tuple[float, float]) -> float:
    low, high = bounds
    return min(max((value - low) / (high - low), 0.0), 1.0)
