"""Cumulative impact: how incidents and narratives build up against a state, with intervals, shares and the doctrine's hash.

`greyzone.impact.dose` holds the closed form, `exposure` what counts for which state, `draws` the uncertain inputs, `vector` the score
vector, `ledger` the last scores item by item.
"""

from greyzone.impact.ledger import Ledger, take_apart
from greyzone.impact.vector import score

__all__ = ["Ledger", "score", "take_apart"]
