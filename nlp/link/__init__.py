"""Links between narratives and incidents: evidence by kind, a probability with its interval, and what chance alone would give.

`link` is the stage. What it is made of: `corpus` reads the documents, `bursts` finds when a narrative rises, `lag` weighs that time
against dates known only as intervals and `circle` does so for all pairs and shifts at once, `content` weighs names, places, sectors and
artefacts, `meaning` nearness in meaning, `weighing` puts it together, `placebo` counts what survives when incidents are moved in time,
`kinds` types a link, `shown` picks its documents and rivals, `population` and `eventstudy` test states as a whole.
"""

from __future__ import annotations

from greyzone.link.population import state_tests
from greyzone.link.stage import Linker, link

__all__ = ["Linker", "link", "state_tests"]
