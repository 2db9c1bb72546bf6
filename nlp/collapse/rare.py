"""How many grams texts share with many others that have most of their grams from one form, without looking at every pair.

Form letters with several blanks are all a little too far from one another: their sketches allow a pair, and only its gram sets refuse it.
What decides is what stands in the blanks. Grams that few texts have are counted exactly, by one sparse product for many pairs; of those
that many have, two texts share at most as many as the one with fewer of them has. The sum bounds what they share from above, so that
no similar pair is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from greyzone.collapse.grams import Hashes, Ints, Ragged

RARE = 1 / 32
"""Share of the texts up to which a gram counts as rare; it moves time alone."""


@dataclass(frozen=True, slots=True)
class RareGrams:
    """The grams of some texts: the sorted `grams` (g,) they have, which are `rare` (g,), which text `has` (g, texts) each of these.

    `often` (texts,) counts the other grams of each.
    """

    grams: Hashes
    rare: npt.NDArray[np.bool_]
    has: sparse.csr_matrix[np.int32]
    often: Ints

    @classmethod
    def of(cls, sets: Ragged) -> RareGrams:
        """Look at the gram sets of some texts."""
        grams, column, count = np.unique(sets.grams, return_inverse=True, return_counts=True)
        texts = len(sets.starts) - 1
        rare = count <= max(1, int(RARE * texts))
        has, often = _split(column, sets.starts, rare)
        return cls(grams, rare, has.T.tocsr(), often)

    def shared(self, sets: Ragged) -> Ints:
        """Return the most grams (others, texts) that other texts can share with these."""
        place = np.minimum(np.searchsorted(self.grams, sets.grams), max(0, len(self.grams) - 1))
        met = self.grams[place] == sets.grams
        starts = np.concatenate([[0], np.cumsum(met)])[sets.starts]
        has, often = _split(place[met], starts, self.rare)
        return np.asarray((has @ self.has).toarray(), dtype=np.int64) + np.minimum(often[:, None], self.often)


def _split(column: Ints, starts: Ints, rare: npt.NDArray[np.bool_]) -> tuple[sparse.csr_matrix[np.int32], Ints]:
    """Return which rare grams each text has, and how many of the others."""
    chosen = rare[column]
    passed = np.concatenate([[0], np.cumsum(chosen)])[starts]
    ones = np.ones(int(chosen.sum()), dtype=np.int32)
    has = sparse.csr_matrix((ones, column[chosen], passed), shape=(len(starts) - 1, len(rare)))
    return has, np.diff(starts) - np.diff(passed)
