"""What every reader of incidents shares: drafts of reports, cleaned text, onset intervals, technique classes, entities.

Onset. Sources write a day where they know a month: in EuRepoC 1.1, 57 % of 1,627 dated incidents start on day 1 of a month and 25 %
on 1 January. `onset_interval` therefore reads day 1 of a month as the month and 1 January as the year (never later than the end that
the source gives), and reads a start after the end as the whole span between the two, because either may be the wrong one.
"""

from __future__ import annotations

import html
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from greyzone.dates import Moment, parse_date
from greyzone.entities.artefacts import ARTEFACTS, artefacts_of, may_hold_artefacts
from greyzone.places import find_states, state_code
from greyzone.records import content_id
from greyzone.text import fold

TECHNIQUE_CLASSES = ("disruption", "data theft", "doxing", "hijacking", "ransomware", "defacement", "espionage", "influence", "unknown")
"""Vocabulary of `technique_class`; a report that fits several takes the first that `technique_of` meets."""

GENERIC = frozenset(
    {"", "-", "n/a", "na", "none", "null", "nan", "not available", "unknown", "unknown - not attributed", "not attributed", "other"}
    | {"undetermined", "unidentified", "unattributed"}
    | {"others", "unspecified", "various", "multiple", "tbd", "undisclosed", "not applicable"}
)
"""Folded values that say nothing; they never become entities, actors or states."""

_TECHNIQUE_WORDS = (
    ("ransomware", ("ransom",)),
    ("doxing", ("dox", "hack and leak", "hack-and-leak")),
    ("defacement", ("deface", "vandalism")),
    ("influence", ("influence", "disinformation", "message manipulation", "information operation", "propaganda")),
    ("disruption", ("disrupt", "denial of service", "ddos", "destruct", "sabotage", "wiper", "degrad")),
    ("espionage", ("espionage", "spying", "surveillance")),
    ("data theft", ("theft", "exfiltration", "data breach", "leak")),
    ("hijacking", ("hijack", "intrusion", "infiltration", "compromise")),
)
_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
)
_TAG = re.compile(r"<(?:script|style)\b.{0,20000}?</(?:script|style)>|</?[a-zA-Z][^<>]{0,2000}>", re.IGNORECASE | re.DOTALL)
_MALWARE = re.compile(r"\b([A-Z][\w-]{3,30}) (?:malware|ransomware|wiper|trojan|backdoor|worm|spyware|rootkit)\b")
_NOT_MALWARE_WORDS = """
this that these their such some with using another several custom windows linux android mobile destructive malicious remote access
banking cyber wiper ransomware encryption state sponsored advanced unknown modular powerful mbr data information previously
"""
_NOT_MALWARE = frozenset(_NOT_MALWARE_WORDS.split())
_COMPOUNDS = ("-related", "-based", "-sponsored", "-capable", "-linked", "-style", "-backed", "-like")
_TOP_LEVEL_WORDS = """
com org net info biz gov mil edu int eu ru su ua by pl de fr es it uk us cn tw hk jp kr ir il sa ae tr in pk bd lk vn th my sg ph id au
nz ca mx br ar cl ve co za ng ke et eg at ch be nl lu dk se no fi ee lv lt cz sk hu ro bg rs hr si ba mk me al gr cy md ge am az kz io
me tv cc ws to news online site top xyz club press media live today world
"""
_TOP_LEVEL = frozenset(_TOP_LEVEL_WORDS.split())
LONGEST_TEXT = 200_000
"""Characters of a text that are read: searching tags takes longer than the text is long where a stranger means it to."""

CUT = f"[cut at {LONGEST_TEXT:,} characters]"
"""What ends a text that was longer."""

_ADDRESS, _BETWEEN_ADDRESSES = re.compile(r"https?://\S+"), re.compile(r"[;,]+(?=https?://)")
_VIA = " via "
_T = TypeVar("_T")


@dataclass(slots=True)
class Draft:
    """A report while a reader fills it in; `finish` makes the row of `REPORTS`."""

    source: str
    source_id: str
    name: str
    description: str = ""
    onset: Moment | None = None
    end: Moment | None = None
    disclosed: Moment | None = None
    published_at: datetime | None = None
    target_states: list[str] = field(default_factory=list)
    sectors: list[str] = field(default_factory=list)
    technique_class: str = "unknown"
    actors: list[dict[str, object]] = field(default_factory=list)
    entities: list[tuple[str, str]] = field(default_factory=list)
    scale: str | None = None
    scale_code: str | None = None
    reach: str | None = None
    admiralty: int = 6
    information_operation: bool | None = None
    urls: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)


def finish(draft: Draft, path: str, offset: int) -> dict[str, object]:
    """Return the row of `REPORTS` that a draft says; the id hashes source, source id, name and onset."""
    onset, end, disclosed = draft.onset, draft.end, draft.disclosed
    report_id = content_id(
        "rep", draft.source, draft.source_id, draft.name, onset.lo.isoformat() if onset else None, onset.hi.isoformat() if onset else None
    )
    entities = unique([*draft.entities, *entities_in(f"{draft.name}. {draft.description}")])
    return {
        "report_id": report_id,
        "source": draft.source,
        "source_id": draft.source_id,
        "name": draft.name,
        "description": draft.description,
        "onset_lo": onset.lo if onset else None,
        "onset_hi": onset.hi if onset else None,
        "onset_precision": onset.precision if onset else "unknown",
        "end_lo": end.lo if end else None,
        "end_hi": end.hi if end else None,
        "disclosed_lo": disclosed.lo if disclosed else None,
        "disclosed_hi": disclosed.hi if disclosed else None,
        "published_at": draft.published_at,
        "target_states": unique(draft.target_states),
        "sectors": unique(draft.sectors),
        "technique_class": draft.technique_class,
        "actors": draft.actors,
        "entities": [{"kind": kind, "value": value} for kind, value in entities],
        "scale": draft.scale if draft.scale_code else None,
        "scale_code": draft.scale_code,
        "reach": draft.reach,
        "admiralty": draft.admiralty,
        "information_operation": draft.information_operation,
        "urls": unique(draft.urls),
        "flags": unique(draft.flags),
        "extra": json.dumps(draft.extra, sort_keys=True, ensure_ascii=False) if draft.extra else None,
        "path": path,
        "offset": offset,
    }


def reject(reason: str, detail: object, path: str, offset: int, *, action: str = "rejected") -> dict[str, object]:
    """Return a row of `REJECTS` of kind "incident"; `detail` is cut at 200 characters."""
    return {"kind": "incident", "action": action, "reason": reason, "detail": str(detail)[:200], "path": path, "offset": offset}


def unique(values: Iterable[_T]) -> list[_T]:
    """Return the values without repeats, in order of first occurrence."""
    return list(dict.fromkeys(values))


def via(origin: str, listed: str) -> str:
    """Return the source of a row that a merged list took from another source: "CSIS via merged", or the list itself if it does not say."""
    return f"{origin}{_VIA}{listed}" if origin and not is_generic(origin) else listed


def origin_of(source: str) -> str:
    """Return the folded name of who said what a source tells: "csis" of "CSIS via merged"."""
    return fold(source.partition(_VIA)[0])


def list_of(source: str) -> str:
    """Return the list in which a report stands: "merged" of "CSIS via merged"."""
    return source.rpartition(_VIA)[2]


def content_key(*parts: str) -> str:
    """Return an id for a row of a table without ids: the same content has the same one wherever it stands."""
    return content_id("row", *parts)


def clean_text(value: object) -> str:
    """Return a value as text without HTML tags, entities, control and direction marks, white space collapsed, in NFC.

    What stands beyond `LONGEST_TEXT` characters is left out and said by `CUT` at the end, which the reader makes a flag and counts.
    """
    if value is None:
        return ""
    whole = str(value)
    if len(whole) > LONGEST_TEXT:
        return f"{clean_text(whole[:LONGEST_TEXT])} {CUT}"
    text = html.unescape(_TAG.sub(" ", whole))
    return unicodedata.normalize("NFC", " ".join(_INVISIBLE.sub("", _TAG.sub(" ", text)).split()))


def number_code(text: str) -> str | None:
    """Return a code of a numeric scale in its shortest form ("3.0" is "3"); None for what is no finite number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return f"{value:g}" if math.isfinite(value) else None


def sound(value: object) -> object:
    """Return parsed JSON with lone surrogates, which no table can hold, replaced by question marks."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [sound(item) for item in value]
    if isinstance(value, dict):
        return {str(sound(key)): sound(item) for key, item in value.items()}
    return value


def addresses_in(texts: Iterable[str]) -> list[str]:
    """Return the addresses in cells, of which one may hold several, with spaces, commas or semicolons between them.

    Examples
    --------
    >>> addresses_in(["https://a.test/1;https://b.test/2;", "n/a"])
    ['https://a.test/1', 'https://b.test/2']
    """
    parts = [part for text in texts for part in _BETWEEN_ADDRESSES.split(html.unescape(text))]
    return [address.rstrip(";,") for part in parts for address in _ADDRESS.findall(part)]


def is_generic(value: str) -> bool:
    """Tell whether a value stands for "not known"."""
    return value.strip().casefold() in GENERIC


def states_of(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Split names into alpha-2 codes and the names that are no state's; a name may be a sentence that names states."""
    codes: list[str] = []
    strange: list[str] = []
    for name in names:
        if is_generic(name):
            continue
        code = state_code(name)
        found = [code] if code else find_states(name)
        codes += found
        if not found:
            strange.append(name)
    return unique(codes), unique(strange)


def technique_of(text: str) -> str:
    """Return the class of `TECHNIQUE_CLASSES` whose words a free text holds; the more specific class goes first."""
    folded = text.casefold()
    for name, words in _TECHNIQUE_WORDS:
        if any(word in folded for word in words):
            return name
    return "unknown"


def entities_in(text: str) -> list[tuple[str, str]]:
    """Return the artefacts of a text (`greyzone.entities.artefacts`) and the malware that it names, kind by kind.

    Domains count with a top-level domain of a short list, as written in small letters, because "e.g" and missing spaces after full stops
    look like domains.
    """
    found = artefacts_of(text) if may_hold_artefacts(text) else []
    plain = [item for item in found if item.kind != "domain" or _is_domain(item.value, text[item.start : item.end])]
    named = sorted(plain, key=lambda item: (ARTEFACTS.index(item.kind), item.start, item.end))
    pairs = [(item.kind, item.value) for item in named]
    names = [match[1] for match in _MALWARE.finditer(text)]
    pairs += [
        ("malware", name)
        for name in names
        if name.casefold() not in _NOT_MALWARE and not name.endswith(_COMPOUNDS) and state_code(name) is None
    ]
    return unique(pairs)


def _is_domain(domain: str, written: str) -> bool:
    last = domain.rsplit(".", 1)[1]
    return last in _TOP_LEVEL and (last in written or not written.isascii())


def moment_of(value: object, *, day_first: bool | None = None) -> Moment | None:
    """Parse a date cell; empty, generic and all-zero values are no dates."""
    if value is None or (isinstance(value, str) and (is_generic(value) or not re.search(r"[1-9]", value))):
        return None
    return parse_date(value, day_first=day_first)


def coarse(moment: Moment) -> Moment:
    """Widen day 1 of a month to the month and 1 January to the year; other moments stay."""
    if moment.precision != "day" or moment.lo.day != 1:
        return moment
    wider = parse_date(f"{moment.lo.year:04d}" if moment.lo.month == 1 else f"{moment.lo.year:04d}-{moment.lo.month:02d}")
    return wider or moment


def onset_interval(start: Moment | None, end: Moment | None, *, widen: bool) -> tuple[Moment | None, Moment | None, list[str]]:
    """Return onset, end and flags from the start and end that a source gives.

    Parameters
    ----------
    start, end
        As parsed.
    widen
        Whether day 1 stands for the month or year, as `coarse` reads it.
    """
    if start is None or end is None:
        return (coarse(start) if start and widen else start), end, []
    if start.lo > end.hi:
        whole = Moment(end.lo, start.hi, span_precision(end.lo, start.hi))
        return whole, whole, ["dates reversed"]
    onset = coarse(start) if widen else start
    if onset.hi > end.hi and end.lo > start.lo:
        onset = Moment(onset.lo, max(start.hi, end.hi), onset.precision)
    return onset, (coarse(end) if widen else end), []


def disclosure(onset: Moment | None, lo: Moment | None, hi: Moment | None) -> tuple[Moment | None, list[str]]:
    """Return the interval in which an event became public, from a first and a last possible moment, and flags.

    Nothing is public before it begins, so the interval starts with the onset where that is later; one that ends before is flagged and kept.
    """
    if hi is None:
        return None, []
    if onset is not None and hi.hi < onset.lo:
        return hi, ["disclosed before the onset"]
    first = max(moment.lo for moment in (lo or hi, onset or lo or hi))
    return (hi if first == hi.lo else Moment(first, hi.hi, span_precision(first, hi.hi))), []


def span_precision(lo: datetime, hi: datetime) -> str:
    """Name the precision of an interval by its length: up to a day, a month (31 days), a year (366 days), or "unknown"."""
    days = (hi - lo).total_seconds() / 86_400
    return next((name for limit, name in ((1.0, "day"), (31.0, "month"), (366.0, "year")) if days <= limit), "unknown")


def unused(row: Mapping[str, object], used: Iterable[str]) -> dict[str, str]:
    """Return the non-empty cells of a row that no field took, as text."""
    taken = set(used)
    return {key: str(value) for key, value in sorted(row.items()) if key not in taken and value not in (None, "", "[]")}
