"""How much the words of a corpus may count beside the encoder: a rule that is measured on a sample of the corpus.

docs/method/lexical.md has the figures from which the rule was chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from greyzone.lexical.channel import smallest
from greyzone.neighbours import Doubles, Ints
from greyzone.records import Floats

Mode = Literal["auto", "on", "off"]

MOST_WEIGHT = 0.5
"""Weight where nothing speaks against words: both channels count alike."""

SUPPORT = (0.06, 0.17)
"""Below the first bound of captured * agreement words count nothing, from the second on in full; see docs/method/lexical.md."""

CROSSING = (0.1, 0.3)
"""Up to the first bound of crossing words count in full, from the second on nothing."""

LEAST_TEXTS = 50
"""Distinct texts with both rows below which nothing can be measured, and the channel stays out."""

SAMPLE = 2000
"""Texts that the rule looks at: all pairs of them are compared."""

DECIMALS = 9
"""Cosines are rounded to this many decimals before they are ranked, so that ties are ties."""


@dataclass(frozen=True, slots=True)
class LexicalChoice:
    """The weight that the lexical channel was given in a corpus, and the figures that it was given for.

    `captured` is the share of the squared norm of the weighted words that the basis keeps, `agreement` the mean reciprocal rank that a
    text's nearest by encoder has by words, `crossing` how far the encoder ties languages together (`_crossing`), each in [0, 1];
    None where nothing was measured. `texts` counts distinct texts, `words` the words kept, `words_left_out` the rare ones, and
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

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, as a manifest keeps them."""
        return asdict(self)


def choose_weight(texts: Sequence[str], embeddings: Floats, lexical: Floats, groups: Sequence[str], captured: float) -> LexicalChoice:
    """Weigh the lexical channel by what a sample of the corpus shows.

    With support s = captured * agreement, the weight is ``MOST_WEIGHT * ramp(s; SUPPORT) * (1 - ramp(crossing; CROSSING))``, where ramp
    rises from 0 to 1 between two bounds: words count as far as the basis holds them and the encoder's neighbours bear them out, and
    less where the encoder ties texts of several languages together, since words cannot.

    Parameters
    ----------
    texts
        Distinct texts; the sample is of those with the smallest digests that have both rows.
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
    sample = usable[smallest([texts[place] for place in usable.tolist()], SAMPLE)]
    _, code = np.unique([groups[place] for place in sample.tolist()], return_inverse=True)
    with threadpool_limits(limits=1):
        cosine = _cosines(embeddings[sample])
        agreement = _agreement(cosine, _cosines(lexical[sample]))
        crossing = _crossing(cosine, code)
    weight = weigh(captured * agreement, crossing)
    if weight == 0:
        borne = captured * agreement > SUPPORT[0]
        reason = "the encoder ties languages together" if borne else "words bear out too few of the encoder's neighbours"
    else:
        reason = f"words bear out the encoder's neighbours, support {captured * agreement:.3f}, crossing {crossing:.3f}"
    return LexicalChoice(weight, "auto", reason, captured=round(captured, 4), agreement=round(agreement, 4), crossing=round(crossing, 4))


def weigh(
    support: float,
    crossing: float,
    *,
    most: float = MOST_WEIGHT,
    supports: tuple[float, float] = SUPPORT,
    crossings: tuple[float, float] = CROSSING,
) -> float:
    """Return the weight of the lexical channel by the rule of `choose_weight`, to three decimals."""
    return round(most * _ramp(support, supports) * (1.0 - _ramp(crossing, crossings)), 3)


def _cosines(rows: Floats) -> Doubles:
    exact = rows.astype(np.float64)
    found = np.round(exact @ exact.T, DECIMALS)
    np.fill_diagonal(found, -np.inf)
    return np.asarray(found)


def _agreement(cosine: Doubles, lexical: Doubles) -> float:
    """Return the mean reciprocal rank by words of each text's nearest by encoder, ties ranked last."""
    every = np.arange(len(cosine))
    mine = lexical[every, cosine.argmax(axis=1)]
    return float((1.0 / (lexical >= mine[:, None]).sum(axis=1)).mean())


def _crossing(cosine: Doubles, code: Ints) -> float:
    """Return how far the encoder ties languages together: 0 in one language, 1 where translations find each other among many.

    It is the probability that two texts are of different languages, times the share of texts that are the best of their language for
    the text that is, of all in other languages, the best for them.
    """
    share = np.bincount(code) / len(code)
    differ = 1.0 - float((share**2).sum())
    if differ == 0:
        return 0.0
    other = np.where(code[:, None] != code[None, :], cosine, -np.inf).argmax(axis=1)
    back = np.where(code[:, None] == code[None, :], cosine[:, other].T, -np.inf)
    # A text may meet itself here: cosine has no diagonal only against itself.
    return differ * float((back.argmax(axis=1) == np.arange(len(code))).mean())


def _ramp(value: float, bounds: tuple[float, float]) -> float:
    low, high = bounds
    return min(max((value - low) / (high - low), 0.0), 1.0)
