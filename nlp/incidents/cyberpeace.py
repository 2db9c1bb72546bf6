"""CyberPeace Institute's events of the war in Ukraine: one row an attack on an organisation, mostly claimed by who did it.

Rules of this reader
- admiralty: the Institute's own words are those of the Admiralty code: confirmed 1, probable 2, possible 3.
- actors: an attack that its own text calls claimed is a claim of the attacker; what is not is the Institute's. The state is the one
  that the table gives as the actor's origin; on whose side it stands is kept in ``extra`` (allegiance) and is no origin.
- dates: days, written as midnights; a claim of the attacker makes its event public on that day.
- information_operation: true for hack-and-leak and for operations that the table calls cyber-enabled information operations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from greyzone.incidents.reports import Draft, clean_text, is_generic, moment_of, reject, states_of, technique_of, unused
from greyzone.places import state_code

COLUMNS = frozenset({"eventName", "eventType", "eventDateFrom", "eventConfidence", "countryAbbreviation"})
"""Columns by which the table is known."""

CONFIDENCE = {"confirmed": 1, "probable": 2, "possible": 3}
"""Words of the table and their Admiralty credibility."""

TYPES = {
    "ddos": "disruption",
    "hack and leak": "doxing",
    "defacement": "defacement",
    "malware": "hijacking",
    "cyber-enabled information operation": "influence",
    "phishing": "hijacking",
    "cyberespionage": "espionage",
    "wiper": "disruption",
    "ransomware": "ransomware",
    "cyberespionage / malware": "espionage",
    "coordinated inauthentic behavior": "influence",
    "unknown": "",
    "other": "",
    "financial fraud": "",
    "spam": "",
}
"""Types of events, folded, and their classes; "" where the words of the row decide."""

CLAIMED, ASSESSED = 0.7, 0.5
"""Probability of an actor that claims the attack itself, and of one that the Institute names. Judgement, to be argued with."""

_INFORMATION = frozenset({"hack and leak", "cyber-enabled information operation", "coordinated inauthentic behavior"})
_USED = frozenset({"_key", "description", "eventConfidence", "eventDateFrom", "eventName", "eventType"}) | {
    "country",
    "countryAbbreviation",
    "actor",
    "origin",
}
_SECTOR = re.compile(r"\(([A-Za-z][A-Za-z /&-]{1,40})\)\s*$")
_CLAIM = re.compile(r"\bclaim(?:s|ed|ing)?\b|\btook responsibility\b|\btakes responsibility\b", re.IGNORECASE)


def read_row(row: Mapping[str, str], path: str, offset: int) -> tuple[Draft, list[dict[str, object]]]:
    """Read one row of the table into a draft and the rows of `REJECTS` for what had to be mended."""
    mended: list[dict[str, object]] = []
    name, description = clean_text(row["eventName"]), clean_text(row.get("description"))
    when = re.sub(r"T00:00:00(?:\.0+)?Z?$", "", row["eventDateFrom"].strip())
    kind, confidence = row["eventType"].strip().casefold(), row["eventConfidence"].strip().casefold()
    if kind not in TYPES:
        mended.append(reject("unknown type of event", row["eventType"], path, offset, action="repaired"))
    if confidence not in CONFIDENCE:
        mended.append(reject("unknown confidence", row["eventConfidence"], path, offset, action="repaired"))
    states, strange = states_of([row["countryAbbreviation"].strip() or row.get("country", "")])
    mended += [reject("target is no known state", value, path, offset, action="repaired") for value in strange]
    actor, origin = clean_text(row.get("actor")), clean_text(row.get("origin"))
    state = None if is_generic(origin) else state_code(origin)
    if state is None and not is_generic(origin):
        mended.append(reject("unknown origin", origin, path, offset, action="repaired"))
    onset = moment_of(when)
    said_by, mass = ("attacker", CLAIMED) if _CLAIM.search(description) else ("CyberPeace Institute", ASSESSED)
    named = not is_generic(actor)
    sector = _SECTOR.search(name)
    draft = Draft(
        source="cyberpeace",
        source_id=row.get("_key", "").strip(),
        name=name,
        description=description,
        onset=onset,
        disclosed=onset if said_by == "attacker" else None,
        target_states=states,
        sectors=[sector[1].lower()] if sector and name.startswith("Campaign") else [],
        technique_class=TYPES.get(kind) or technique_of(f"{name} {description}"),
        actors=[{"name": actor if named else "unnamed", "state": state, "probability": mass, "said_by": said_by}] if named or state else [],
        entities=[("actor", actor)] if named else [],
        admiralty=CONFIDENCE.get(confidence, 6),
        information_operation=True if kind in _INFORMATION else None,
        extra=unused(row, _USED) | {"date_basis": "the day of the event"},
    )
    return draft, mended
