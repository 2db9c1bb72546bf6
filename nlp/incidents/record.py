"""A report as linkage sees it: folded words, named things, and its dates as intervals of days."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from greyzone.places import find_states, state_code
from greyzone.text import fold, normal_form, stopwords, words

_GENERIC_WORDS = """
cyber attack attacks attacked attacking attacker attackers hack hacks hacked hacker hackers hacking operation operations campaign
campaigns targeting targeted targets target incident data website websites government state group groups espionage malware breach network
networks ddos defacement defaced theft denial service compromise compromised intrusion systems system unknown threat actor actors unnamed
against claims conducted claim threat according sponsored suspected
"""
GENERIC = frozenset(_GENERIC_WORDS.split())
"""Words of the trade: they say what sort of event it is, which other evidence tells."""

THINGS = frozenset({"malware", "cve", "organisation", "domain", "url", "hash"})
"""Kinds of entities that two reports of one event share."""

BOUNDED = "onset known only by the disclosure"
"""Flag of a report, and of an incident of such reports alone, whose onset is a number of days before its disclosure."""

OPEN = frozenset({"disruption", "defacement", "doxing", "ransomware", "influence"})
"""Technique classes that are seen when they happen, or that happen by being shown."""

LEAD = 300
"""Characters of a text that say what it is about."""

JOINED = " | "
"""Mark with which lists join the texts of several reports: names and dates are those of the first, the others often tell other events."""

_MOST_NAMED = 3
"""States that a text may name as its targets; one that names more reviews many."""

_SCHEME = re.compile(r"^https?://(?:www\.)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Record:
    """A report; days are floats since 1970, words folded.

    `lo` and `hi` bound the onset, which its source dates if `own`; `public_lo` and `public_hi` bound the disclosure.
    `named` are states that the text names, where the source lists no target.
    `swapped` is the day that a day becomes if its day and month change places.
    `lead` are the words of `text` in the name or the first `LEAD` characters, `credited` the actors' names as written, `mentioned` the
    listed actors and others that the words name (`greyzone.incidents.naming`).
    """

    report_id: str
    source: str
    states: frozenset[str]
    named: frozenset[str]
    lo: float | None
    hi: float | None
    public_lo: float | None
    public_hi: float | None
    name: frozenset[str]
    text: frozenset[str]
    lead: frozenset[str]
    own: bool
    swapped: float | None
    exact: str
    told: str
    technique: str
    things: frozenset[str]
    urls: frozenset[str]
    actors: frozenset[str]
    credited: str
    mentioned: frozenset[str]
    actor_states: frozenset[str]

    @property
    def onset(self) -> tuple[float, float] | None:
        """Days of the onset, if the source dates it."""
        return (self.lo, self.hi) if self.own and self.lo is not None and self.hi is not None else None

    @property
    def public(self) -> tuple[float, float] | None:
        """Days of the disclosure."""
        return (self.public_lo, self.public_hi) if self.public_lo is not None and self.public_hi is not None else None


def record_of(row: Mapping[str, object]) -> Record:
    """Prepare a row of `REPORTS`."""
    entities: list[dict[str, str]] = list(row["entities"] or [])  # type: ignore[call-overload]
    actors: list[dict[str, str | None]] = list(row["actors"] or [])  # type: ignore[call-overload]
    name, description = str(row["name"] or ""), str(row["description"] or "").partition(JOINED)[0]
    listed: list[str] = list(row["target_states"] or [])  # type: ignore[call-overload]
    urls: list[str] = list(row["urls"] or [])  # type: ignore[call-overload]
    named = [item["value"] for item in entities if item["kind"] == "actor" and state_code(item["value"]) is None]
    content = content_words(f"{name} {description}")
    credited = frozenset(f"actor:{squeezed(value)}" for value in named)
    return Record(
        report_id=str(row["report_id"]),
        source=str(row["source"]),
        states=frozenset(listed),
        named=_named(listed, f"{name}. {description}", actors),
        lo=_days(row["onset_lo"]),
        hi=_days(row["onset_hi"]),
        public_lo=_days(row["disclosed_lo"]),
        public_hi=_days(row["disclosed_hi"]),
        name=frozenset(word for word in content_words(name) if not word.isdigit()),
        text=content,
        lead=content if len(description) <= LEAD else content_words(f"{name} {description[:LEAD]}"),
        swapped=_swapped(row["onset_lo"], str(row["onset_precision"])),
        own=BOUNDED not in list(row["flags"] or []),  # type: ignore[call-overload]
        exact=normal_form(name),
        told=normal_form(description),
        technique=str(row["technique_class"] or "unknown"),
        things=frozenset(f"{item['kind']}:{fold(item['value'])}" for item in entities if item["kind"] in THINGS),
        urls=frozenset(f"address:{_SCHEME.sub('', url.partition('#')[0]).rstrip('/').lower()}" for url in urls),
        actors=credited,
        credited=normal_form(". ".join(named)),
        mentioned=credited,
        actor_states=frozenset(str(actor["state"]) for actor in actors if actor["state"]),
    )


def gap(a: Record, b: Record) -> float | None:
    """Return the days between two onset intervals: 0 where they overlap, None where one has no onset."""
    if a.lo is None or a.hi is None or b.lo is None or b.hi is None:
        return None
    return max(0.0, a.lo - b.hi, b.lo - a.hi)


def public_gap(a: Record, b: Record) -> float | None:
    """Return the days between two disclosures: 0 where they overlap, None where one has none."""
    if a.public_lo is None or a.public_hi is None or b.public_lo is None or b.public_hi is None:
        return None
    return max(0.0, a.public_lo - b.public_hi, b.public_lo - a.public_hi)


def squeezed(name: str) -> str:
    """Return a name without spaces and marks: "APT 28" and "APT28" are one."""
    return re.sub(r"[\W_]+", "", fold(name))


def content_words(text: str) -> frozenset[str]:
    """Return the folded words of a text but stop words, words of the trade and names of states."""
    stop = stopwords("en")
    return frozenset(kept for word in words(text) if word not in stop and len(word) > 1 and (kept := _content(word)))


@lru_cache(maxsize=1 << 16)
def _content(word: str) -> str:
    """Return the folded stem of a word, or "" for a word of the trade and the name of a state."""
    folded = fold(word)
    stem = _stem(folded)
    if folded in GENERIC or stem in GENERIC or (len(stem) >= 4 and state_code(stem) is not None):
        return ""
    return stem


def _stem(word: str) -> str:
    """Return a word without the plural's s, so that "banks" meets "bank"."""
    return word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith("ss") else word


def _named(listed: Sequence[str], text: str, actors: Sequence[Mapping[str, str | None]]) -> frozenset[str]:
    """Return the states that the text of a report without target states names, but those that it suspects."""
    if listed:
        return frozenset()
    found = set(find_states(text)) - {str(actor["state"]) for actor in actors}
    return frozenset(found) if len(found) <= _MOST_NAMED else frozenset()


def _swapped(start: object, precision: str) -> float | None:
    if not isinstance(start, datetime) or precision != "day" or start.day > 12 or start.day == start.month:
        return None
    return _days(start.replace(month=start.day, day=start.month))


def _days(value: object) -> float | None:
    return value.timestamp() / 86_400 if isinstance(value, datetime) else None
