"""Campaigns of MITRE ATT&CK: lines of JSON, one a campaign, and the months that ATT&CK writes as midnights of its own time zones.

ATT&CK knows the month of a campaign and stores its first instant, in a zone of the United States or of Europe: 2017-08-01T05:00Z, or
2020-08-31T23:00Z for September. `month_of` takes an instant within twelve hours of the first of a month, on a whole hour, as that
month; `greyzone.incidents.stix` reads the campaigns of ATT&CK's own bundle by the same rule. An onset in a year that the description
does not name, though it names others, is flagged: first-seen dates of ATT&CK have been wrong by twenty years.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from greyzone.dates import Moment, parse_date
from greyzone.incidents.reports import Draft, clean_text, moment_of, onset_interval, reject, technique_of, unique, unused

COLUMNS = frozenset({"stix_id", "first_seen", "last_seen", "attributed_to", "techniques"})
"""Keys by which a campaign is known."""

ATTRIBUTED = 0.6
"""Probability that the groups share to which ATT&CK attributes a campaign, as EuRepoC's IT security companies. Judgement."""

_USED = frozenset({"id", "stix_id", "name", "aliases", "description", "first_seen", "last_seen", "attributed_to", "refs"})
_LINK = re.compile(r"\[([^\]]{1,200})\]\((https?://[^)\s]{1,500})\)")
_CITATION = re.compile(r"\(Citation: [^)]{1,200}\)")
_YEAR = re.compile(r"\b(?:19|20)[0-9]{2}\b")


def read_campaign(row: Mapping[str, object], path: str, offset: int) -> tuple[Draft | None, list[dict[str, object]]]:
    """Read one campaign into a draft, or none if it has no name, and the rows of `REJECTS`."""
    name = clean_text(row.get("name"))
    if not name:
        return None, [reject("campaign without name", row.get("stix_id"), path, offset)]
    description = plain_text(row.get("description"))
    onset, end, flags = onset_interval(month_of(moment_of(row.get("first_seen"))), month_of(moment_of(row.get("last_seen"))), widen=False)
    flags += year_flags(onset, description)
    groups = [item for item in row["attributed_to"] if isinstance(item, Mapping)] if isinstance(row["attributed_to"], list) else []
    names = unique(clean_text(item.get("name")) for item in groups if item.get("name"))
    aliases = row.get("aliases")
    refs = row.get("refs")
    known = [str(item) for item in aliases if str(item) != name] if isinstance(aliases, list) else []
    draft = Draft(
        source="attack",
        source_id=str(row.get("id") or row.get("stix_id") or ""),
        name=name,
        description=description,
        onset=onset,
        end=end,
        technique_class=technique_of(f"{name} {description}"),
        actors=[{"name": actor, "state": None, "probability": ATTRIBUTED / len(names), "said_by": "MITRE ATT&CK"} for actor in names],
        entities=[("actor", actor) for actor in names],
        admiralty=2,
        urls=[str(url) for url in refs if str(url).startswith("http")] if isinstance(refs, list) else [],
        flags=flags,
        extra=unused(row, _USED) | {"date_basis": "months"} | ({"aliases": ", ".join(known)} if known else {}),
    )
    return draft, []


def month_of(moment: Moment | None) -> Moment | None:
    """Return the month whose first instant a moment is in some time zone; any other moment stays."""
    if moment is None or moment.precision in ("month", "year", "unknown") or moment.lo.minute or moment.lo.second:
        return moment
    near = moment.lo + timedelta(hours=12)
    return (parse_date(f"{near.year:04d}-{near.month:02d}") or moment) if near.day == 1 else moment


def plain_text(value: object) -> str:
    """Return a description of ATT&CK without its links and citations."""
    return clean_text(_CITATION.sub("", _LINK.sub(r"\1", str(value or ""))))


def year_flags(onset: Moment | None, description: str) -> list[str]:
    """Say that a description names years, but none from the onset's interval."""
    years = {int(year) for year in _YEAR.findall(description)}
    if onset is None or not years or years & set(range(onset.lo.year, onset.hi.year + 1)):
        return []
    return ["onset in a year that the description does not name"]
