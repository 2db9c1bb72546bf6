"""What each stage of the journey does with a case: read its tables, call the stage, write the tables, note the counts.

No act knows what comes before or after it; `greyzone.pipeline` does.
"""

from __future__ import annotations

from greyzone.acts.campaigns import do_campaigns, do_impact, do_incidents, do_link, do_report
from greyzone.acts.corpus import do_collapse, do_collect, do_embed
from greyzone.acts.stories import do_coordinate, do_narratives
from greyzone.acts.work import COPY_INDEX, ENCODER_OPTIONS, LEXICAL, STATE, Progress, Settings, Work, parse_day

__all__ = [
    "COPY_INDEX",
    "ENCODER_OPTIONS",
    "LEXICAL",
    "STATE",
    "Progress",
    "Settings",
    "Work",
    "do_campaigns",
    "do_collapse",
    "do_collect",
    "do_coordinate",
    "do_embed",
    "do_impact",
    "do_incidents",
    "do_link",
    "do_narratives",
    "do_report",
    "parse_day",
]
