"""Cumulative impact: how incidents and narratives build up against a state, with intervals, shares and the doctrine's hash.

`greyzone.impact.dose` holds the closed form, `exposure` what counts for which state, `draws` the uncertain inputs, `curve` the dose over
many days, `vector` the score vector, `views` the last scores by originator and without each source, `sensitivity` what they owe to each
number, `history` the state against its own past, `ledger` the last scores item by item.
"""

from greyzone.impact.history import against_own_past
from greyzone.impact.ledger import Ledger, take_apart
from greyzone.impact.sensitivity import sensitivity
from greyzone.impact.vector import score
from greyzone.impact.views import views

__all__ = ["Ledger", "against_own_past", "score", "sensitivity", "take_apart", "views"]
