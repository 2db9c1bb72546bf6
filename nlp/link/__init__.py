"""Links between narratives and incidents: evidence by kind, a probability with its interval, and what chance alone would give.

`link` is the stage. What it is made of: `bursts` finds when a narrative rises, `lag` weighs that time against an onset known only
as an interval, `content` weighs names, meaning, places and artefacts, `kinds` types a link and picks its documents, `placebo` shifts
the incidents in time and counts what survives, `eventstudy` tests states as a whole.
"""

from __future__ import annotations

from greyzone.link.stage import link

__all__ = ["link"]
