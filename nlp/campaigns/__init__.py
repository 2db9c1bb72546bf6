"""Hybrid-campaign profiles: incidents, narratives and groups that links join, with what speaks for and against each reading.

`greyzone.campaigns.profiles` joins them and keeps the refusal list, `assessment` writes the sentences and the tables of a profile.
"""

from greyzone.campaigns.profiles import build_campaigns

__all__ = ["build_campaigns"]
