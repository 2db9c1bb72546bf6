"""Significant Cyber Incidents of the Center for Strategic and International Studies, as a table that a language model parsed.

The list has one paragraph an incident under the month in which it stands; the table keeps who, what, how and that month, no names and
no addresses. So the name is made from the target and the technique, and credibility cannot be judged (6). The month is the one under
which the list publishes an incident: it dates the disclosure, and no onset is known. A span ("February to July 2021", "first half of
2019", "between August and November 2022") is read as a whole and dates the event. Besides the common words of techniques the list's
own are read ("spearfishing", "stole", "used malware").
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from greyzone.dates import Moment, parse_date
from greyzone.incidents.reports import (
    Draft,
    clean_text,
    content_key,
    is_generic,
    moment_of,
    reject,
    span_precision,
    states_of,
    technique_of,
    unused,
)

COLUMNS = frozenset({"adversary", "target", "technique", "publish date"})
"""Columns by which the table is known."""

NAMED = 0.4
"""Probability of the adversary that the list names: press reports, as EuRepoC's media. Judgement, to be argued with."""

_USED = frozenset({"adversary", "target", "technique", "publish date", "motive", "interesting_insight"})
_SPAN = re.compile(r"\b(?:to|and|or|until|through)\b|\s[-–—]\s", re.IGNORECASE)
_MONTH = re.compile(r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b", re.IGNORECASE)
_YEAR = re.compile(r"\b(?:19|20)[0-9]{2}\b")
_HALF = re.compile(r"\b(first|second) half of ((?:19|20)[0-9]{2})\b", re.IGNORECASE)
_COMMON_WORDS = """
hacker hackers hacking group groups government governments state sponsored state-sponsored backed linked based suspected actor actors
threat a an the unknown foreign intruders intelligence service services military agency agencies unnamed unidentified attackers cyber
criminals cybercriminals spies officials nation-state nation pro of by and or several two three individuals individual researchers
authorities associated affiliated espionage with in from likely possibly campaign army teams team
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_LONGEST_NAME = 5
_WORDS = (
    ("espionage", ("spyware", "spied", "spying")),
    ("data theft", ("stole", "steal")),
    ("hijacking", ("hack", "phish", "spearfish", "malware", "breach", "access", "exploit", "trojan", "backdoor")),
)


def read_row(row: Mapping[str, str], path: str, offset: int) -> tuple[Draft, list[dict[str, object]]]:
    """Read one row of the table into a draft and the rows of `REJECTS` for what had to be mended."""
    cells = {column: clean_text(row.get(column)) for column in sorted(_USED)}
    said = {column: "" if _says_nothing(value) else value for column, value in cells.items()}
    target, technique, adversary = said["target"], said["technique"], said["adversary"]
    name = f"{target or 'unnamed target'}: {technique}" if technique else f"{target or 'unnamed target'}: {adversary or 'unnamed actor'}"
    about = [f"{adversary or 'Unknown actors'} against {target or 'an unnamed target'}", technique, said["motive"]]
    description = ". ".join(part for part in [*about, said["interesting_insight"]] if part)
    when = months_of(cells["publish date"])
    spans = bool(_SPAN.search(cells["publish date"]) or _HALF.search(cells["publish date"]))
    states, strange = states_of([target])
    mended = [reject("target is no known state", value, path, offset, action="repaired") for value in strange]
    codes = states_of([adversary])[0]
    actor = "unnamed" if not adversary or _is_common(adversary) else adversary
    pairs: list[tuple[str, str | None]] = [(actor, code) for code in codes] or ([(actor, None)] if actor != "unnamed" else [])
    draft = Draft(
        source="csis",
        source_id=content_key("csis", *(cells[column] for column in sorted(_USED))),
        name=name,
        description=description,
        onset=when if spans else None,
        disclosed=None if spans else when,
        target_states=states,
        technique_class=_technique(technique, f"{said['motive']} {said['interesting_insight']}"),
        actors=[
            {"name": name, "state": code, "probability": NAMED / len(pairs), "said_by": "press, as listed by CSIS"} for name, code in pairs
        ],
        entities=[("actor", actor)] if actor != "unnamed" else [],
        extra=unused(row, _USED) | {"date_basis": "the month of the list", "parsed_by": "a language model"},
    )
    return draft, mended


def months_of(text: str) -> Moment | None:
    """Return the span that a month, a range of months or a part of a year covers; None where no year is named.

    Examples
    --------
    >>> str(months_of("February to July 2021").hi)[:10]
    '2021-07-31'
    """
    if (whole := moment_of(text)) is not None:
        return whole
    if match := _HALF.search(text):
        year, second = match[2], match[1].lower() == "second"
        first, last = parse_date(f"{year}-{'07' if second else '01'}"), parse_date(f"{year}-{'12' if second else '06'}")
        return Moment(first.lo, last.hi, span_precision(first.lo, last.hi)) if first and last else None
    found: list[Moment] = []
    year = ""
    # "August and November 2022": the first month has the year of the next one, so the parts are read from the end.
    for part in reversed(_SPAN.split(text)):
        years, month = _YEAR.findall(part), _MONTH.search(part)
        year = years[-1] if years else year
        moment = parse_date(f"{month[0]} {year}" if month else year) if year and (month or years) else None
        found += [moment] if moment else []
    if not found:
        return None
    lo, hi = min(moment.lo for moment in found), max(moment.hi for moment in found)
    return Moment(lo, hi, found[0].precision if len(found) == 1 else span_precision(lo, hi))


def _says_nothing(value: str) -> bool:
    return is_generic(value) or value.casefold() in {"not specified", "not explicitly mentioned", "not mentioned", "none mentioned"}


def _is_common(adversary: str) -> bool:
    """Tell whether a cell describes an adversary without naming one: only common words and names of states."""
    words = [word for word in re.findall(r"[\w.'’-]+", adversary) if word.casefold().strip(".'’") not in _COMMON]
    named = [word for word in words if not states_of([re.split(r"[-’']", word)[0]])[0] and word[:1].isupper()]
    named = [word for word in named if word.casefold() not in {"north", "south", "korea", "korean", "pro-russian", "korea-linked"}]
    return not named or len(adversary.split()) > _LONGEST_NAME


def _technique(technique: str, context: str) -> str:
    for text in (technique, context):
        folded = text.casefold()
        found = technique_of(text)
        found = found if found != "unknown" else next((name for name, words in _WORDS if any(word in folded for word in words)), "unknown")
        if found != "unknown":
            return found
    return "unknown"
