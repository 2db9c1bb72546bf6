"""Hybrid-campaign profiles: incidents, narratives and groups that links join, with what speaks for and against each reading.

`communities` groups the links, `tracking` keeps ids from run to run, `profiles` joins and keeps the refusal list. The parts of a profile
are `judgements` (its opening), `sentences`, `phases`, `ach` and `factors`, all made of `evidence`; `attribution` is what people set.
"""

from greyzone.campaigns.attribution import set_by_hand
from greyzone.campaigns.profiles import Past, Profiles, profile_campaigns

__all__ = ["Past", "Profiles", "profile_campaigns", "set_by_hand"]
