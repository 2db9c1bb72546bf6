"""Names and artefacts that tie a text to an incident: gazetteers, matched in one pass over the texts.

`tables` reads names with aliases, `gazetteer` makes what is looked for out of incidents and tables, `tokens` and `automaton` find names in
the words of a text, `artefacts` reads CVEs, hashes and addresses, `matching` judges which uses of a name are mentions, and `tagger` lets
a model of the Hugging Face hub find what no gazetteer knows.
"""

from __future__ import annotations

from greyzone.entities.artefacts import ARTEFACTS, refang
from greyzone.entities.gazetteer import Entity, Gazetteer, build_gazetteer
from greyzone.entities.matching import Match, Matches, Mentions, find_artefacts, find_entities, find_matches
from greyzone.entities.tables import Name, read_names

__all__ = [
    "ARTEFACTS",
    "Entity",
    "Gazetteer",
    "Match",
    "Matches",
    "Mentions",
    "Name",
    "build_gazetteer",
    "find_artefacts",
    "find_entities",
    "find_matches",
    "read_names",
    "refang",
]
