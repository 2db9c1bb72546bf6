"""Which actors a report names: those that its source lists, and known names that stand in its words.

Sources name one actor differently: one lists "UAC-0114", the other "Winter Vivern" and says "aka UAC-0114" in its text; one writes "SVR
(COZYBEAR)", the other "Cozy Bear". A name that any report lists is therefore looked for in the words of all reports, without spaces and
marks, and names that some report gives to one actor together stand for each other.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from greyzone.incidents.record import GENERIC, Record
from greyzone.text import fold

MOST_ALIASES = 40
"""Names that a report may give to one actor; one that gives more lists actors."""

_SHORTEST, _MOST_WORDS = 4, 5
_PREFIX = "actor:"
_WORD = re.compile(r"\w+")


def with_mentions(records: Sequence[Record]) -> list[Record]:
    """Return the records with the actors that their words name, whoever lists them."""
    listed = {name.removeprefix(_PREFIX) for record in records for name in record.actors}
    known = {name for name in listed if len(name) >= _SHORTEST and name not in GENERIC and not name.isdigit()}
    return [replace(record, mentioned=record.actors | _mentions(record, known)) for record in records] if known else list(records)


def known_as(records: Sequence[Record]) -> list[frozenset[str]]:
    """Return, for each record, its listed actors by all names that some report gives to one actor together.

    A report that suspects actors of several states, or lists more than `MOST_ALIASES` names, says nothing.
    """
    together: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if len(record.actor_states) <= 1 and 1 < len(record.actors) <= MOST_ALIASES:
            for name in record.actors:
                together[name] |= record.actors
    return [record.actors.union(*(together.get(name, ()) for name in record.actors)) for record in records]


def _mentions(record: Record, known: set[str]) -> frozenset[str]:
    words = [fold(word) for word in _WORD.findall(f"{record.exact} {record.told} {record.credited}")]
    found: set[str] = set()
    for start in range(len(words)):
        joined = ""
        for word in words[start : start + _MOST_WORDS]:
            joined += word
            if joined in known:
                found.add(_PREFIX + joined)
    return frozenset(found)
