"""Cyber Operations Tracker of the Council on Foreign Relations: one row an operation that became public, or a threat actor.

Rules of this reader
- date: the tracker lists operations when they are made public, so the day is the disclosure's and no onset is known.
- entries of threat actors ("This threat actor ...", under a name instead of "Targeting of ...") are rejected: they are no event.
- copies of the table have rows whose cells slipped to the left, since a quotation mark swallowed their neighbours, or to the right:
  the column where a type of operation stands tells by how much, and what cannot be told is left empty and kept in ``extra``.
- target: the states that the victims name, else those that a title such as "Targeting of ..." names (target_basis in ``extra``).
- technique: by the type of operation; financial theft has no class of its own and is read from the words.
- actors: the sponsor is a hypothesis, of authorities where the response is a denouncement, charges or sanctions.
- admiralty: 1 if a victim or government confirmed it and two hosts are cited, 2 for two hosts, 3 for one, 6 for none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from greyzone.incidents.reports import (
    Draft,
    addresses_in,
    clean_text,
    content_key,
    is_generic,
    moment_of,
    reject,
    states_of,
    technique_of,
    unique,
    unused,
)

COLUMNS = frozenset({"Title", "Date", "Affiliations", "Sponsor", "Victims", "Type", "Category"})
"""Columns by which the tracker is known."""

TYPES = {
    "Espionage": "espionage",
    "Sabotage": "disruption",
    "Denial of service": "disruption",
    "Data destruction": "disruption",
    "Financial Theft": "",
    "Defacement": "defacement",
    "Doxing": "doxing",
}
"""Types of operations and their classes; "" where the words of the row decide."""

AUTHORITIES, EDITORS = 0.7, 0.5
"""Probability that the named sponsors share: where a government said so, and where only the tracker does. Judgement."""

_OFFICIAL = ("Denouncement", "Criminal charges", "Sanctions")
_RESPONSES = (*_OFFICIAL, "Confirmation", "Denial", "Hack Back", "Unknown")
_ORDER = ("Response", "Victims", "Sponsor", "Type", "Category", "Sources_1", "Sources_2", "Sources_3")
_USED = frozenset({"Title", "Date", "date", "Affiliations", "Description", *_ORDER}) - {"Response"}
_EVENT_TITLE = re.compile(r"\b(?:of|on|against|in|from|by|at)\b")
_TARGETING = re.compile(r"(?:Targeting|Compromises?|Attacks?|Attempted \w+|Denial of service|Defacement) (?:of|on|against)\b")
_BELIEVED = re.compile(
    r"^(?:believed|suspected|thought|reported) to (?:be|have been) (?:the work|responsible|linked|conducted)\b.*? (?:of|by)\b"
)
_NO_NAME = re.compile(
    r"\b(?:government|believed|work|also known|responsible|similar|linked|intelligence|ministry|military)\b", re.IGNORECASE
)
_LONGEST_NAME = 4


def read_row(row: Mapping[str, str], path: str, offset: int) -> tuple[Draft | None, list[dict[str, object]]]:
    """Read one row of the tracker into a draft, or into none for the entry of a threat actor, and the rows of `REJECTS`."""
    name, description = clean_text(row["Title"]), clean_text(row.get("Description"))
    if description.startswith("This threat actor") and _EVENT_TITLE.search(name) is None:
        return None, [reject("entry of a threat actor, no incident", name, path, offset)]
    mended: list[dict[str, object]] = []
    cells, slipped = _realigned(row)
    flags = ["columns slipped, set right"] if slipped else []
    kind = cells["Type"].strip()
    if kind and kind not in TYPES:
        mended.append(reject("unknown type of operation", kind, path, offset, action="repaired"))
    when = moment_of(row["Date"], day_first=False) or moment_of(row.get("date"))
    states, strange = states_of([clean_text(cells["Victims"])])
    basis = "victims"
    if not states and (match := _TARGETING.match(name)):
        states, basis = states_of([name[match.end() :]])[0], "title"
    mended += [reject("target is no known state", value, path, offset, action="repaired") for value in strange if not states]
    urls = unique(addresses_in(cells[column] for column in (*_ORDER[-3:], "Response")))
    response = next((word for word in _RESPONSES if cells["Response"].strip().startswith(word)), "")
    actors, names, unread = _actors(clean_text(row.get("Affiliations")), clean_text(cells["Sponsor"]), response)
    mended += [reject("sponsor is no known state", value, path, offset, action="repaired") for value in unread]
    categories = [part.strip().lower() for part in cells["Category"].split(",") if not is_generic(part) and "://" not in part]
    hosts = len({urlsplit(url).hostname for url in urls})
    draft = Draft(
        source="cfr",
        source_id=content_key("cfr", name, row["Date"], description),
        name=name,
        description=description,
        disclosed=when,
        published_at=when.lo if when else None,
        target_states=states,
        sectors=categories,
        technique_class=TYPES.get(kind) or technique_of(f"{name} {description}"),
        actors=actors,
        entities=[("actor", value) for value in names],
        reach="sector" if {"government", "military"} & set(categories) else "local",
        admiralty=1 if hosts >= 2 and response in (*_OFFICIAL, "Confirmation") else {0: 6, 1: 3}.get(hosts, 2),
        information_operation=True if kind == "Doxing" else None,
        urls=urls,
        flags=flags,
        extra=unused(row, _USED)
        | {"date_basis": "the day it was made public", "victims": clean_text(cells["Victims"]), "target_basis": basis},
    )
    return draft, mended


def _realigned(row: Mapping[str, str]) -> tuple[dict[str, str], bool]:
    """Return the cells from the response on under their columns, and whether they had slipped."""
    cells = [row.get(column) or "" for column in _ORDER]
    if cells[3].strip() in TYPES:
        return dict(zip(_ORDER, cells, strict=True)), False
    found = next((at for at, cell in enumerate(cells) if at != 3 and cell.strip() in TYPES), None)
    if found is None:
        return dict(zip(_ORDER, cells, strict=True)), False
    if found > 3:
        # A list of victims was cut at its commas: what stands before the type is the rest of it, and no sponsor can be told.
        rest = [cell.strip(' "') for cell in cells[:found]]
        return _named(["", ", ".join(part for part in rest if part), "", *cells[found:]]), True
    sponsor = re.split(r'["?]\s*,', cells[found - 1])[-1].strip(' "') if found else ""
    before = [cell for cell in cells[: max(found - 1, 0)] if cell.strip()]
    response = next((cell for cell in before if cell.strip().startswith(_RESPONSES)), "")
    victims = next((cell for cell in before if cell is not response), "")
    if not victims and found and sponsor != cells[found - 1].strip(' "'):
        victims = cells[found - 1][: -len(sponsor) - 1]
    return _named([response, victims, sponsor, *cells[found:]]), True


def _named(cells: list[str]) -> dict[str, str]:
    filled = [*cells, *[""] * len(_ORDER)]
    return dict(zip(_ORDER, filled, strict=False))


def _actors(affiliations: str, sponsor: str, response: str) -> tuple[list[dict[str, object]], list[str], list[str]]:
    """Return the hypotheses, the names of actors, and a sponsor that is no state."""
    stripped = _BELIEVED.sub("", affiliations[:1].lower() + affiliations[1:]) if affiliations.lower().startswith(_STARTS) else affiliations
    plain = re.sub(r"also known as", ",", stripped, flags=re.IGNORECASE)
    parts = [part.strip(" .?,").removeprefix("the ") for part in re.split(r",|;|\band\b", plain)]
    names = [
        part
        for part in parts
        if len(part) > 1 and not is_generic(part) and len(part.split()) <= _LONGEST_NAME and not _NO_NAME.search(part)
    ]
    names = unique(name for name in names if not states_of([name])[0])
    codes, strange = states_of([sponsor])
    said_by, mass = ("authorities", AUTHORITIES) if response in _OFFICIAL else ("editors of the tracker", EDITORS)
    pairs: list[tuple[str, str | None]] = [("unnamed", code) for code in codes]
    if names and len(codes) <= 1:
        pairs = [(names[0], codes[0] if codes else None)]
    actors: list[dict[str, object]] = [
        {"name": name, "state": state, "probability": mass / len(pairs), "said_by": said_by} for name, state in pairs
    ]
    return actors, names, strange


_STARTS = ("believed", "suspected", "thought", "reported")
