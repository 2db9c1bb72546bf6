"""Dyadic Cyber Incident Dataset (DCID 2.0): one row an incident between two states.

The initiator is a Correlates-of-War number; the target is the state of the dyad that is not the initiator. The meanings of the codes
below are those of the DCID codebook as far as they are publicly described; sectors follow the alphabetical order of the sixteen
critical-infrastructure sectors of the United States (17: other).

Admiralty: 1 if a court, CERT or police document is cited, 2 for two or more hosts of sources, 3 for one, 6 for none.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from greyzone.incidents.reports import Draft, addresses_in, clean_text, moment_of, number_code, onset_interval, reject, technique_of, unused
from greyzone.places import state_code

COLUMNS = frozenset({"Cyberincidentnum", "Name", "StateA", "StateB", "interactionstartdate"})
"""Columns by which a DCID table is known."""

STATES = {2: "US", 20: "CA", 200: "GB", 220: "FR", 255: "DE", 290: "PL", 316: "CZ", 365: "RU", 366: "EE", 367: "LV", 368: "LT"}
STATES |= {369: "UA", 370: "BY", 371: "AM", 372: "GE", 373: "AZ", 375: "FI", 380: "SE", 385: "NO", 390: "DK", 630: "IR", 640: "TR"}
STATES |= {645: "IQ", 651: "EG", 652: "SY", 660: "LB", 663: "JO", 666: "IL", 670: "SA", 690: "KW", 692: "BH", 694: "QA", 696: "AE"}
STATES |= {700: "AF", 710: "CN", 713: "TW", 731: "KP", 732: "KR", 740: "JP", 750: "IN", 770: "PK", 771: "BD", 775: "MM", 816: "VN"}
STATES |= {840: "PH", 850: "ID", 900: "AU", 920: "NZ"}
"""Correlates-of-War country numbers, as far as dyads of the dataset use them."""

TARGETS = {"1": "private sector", "2": "government", "3": "military"}
_SECTOR_NAMES: list[str] = """
chemical, commercial facilities, telecommunications, critical manufacturing, water: dams, defence industry, emergency services, energy,
finance, food, government, health, information technology, energy: nuclear, transport, water, other
""".replace("\n", " ").split(",")
SECTORS = {number: name.strip() for number, name in enumerate(_SECTOR_NAMES, start=1)}
CODED = 0.7
"""Probability of the initiator that the coders name: a coder's judgement, not a finding. Judgement, to be argued with."""

_USED_WORDS = """
Cyberincidentnum StateA StateB Name interactionstartdate interactionenddate method targettype initiator information_operation severity
Ransomware Justice Cert FBI
"""
_USED = frozenset(_USED_WORDS.split())


def read_row(row: Mapping[str, str], path: str, offset: int) -> tuple[Draft, list[dict[str, object]]]:
    """Read one row of a DCID table into a draft and the rows of `REJECTS` for what had to be mended."""
    mended: list[dict[str, object]] = []
    objective = next((column for column in row if column.strip().casefold() == "political objective"), "")
    name, description = clean_text(row["Name"]), clean_text(row.get(objective))
    onset, end, flags = onset_interval(moment_of(row["interactionstartdate"]), moment_of(row.get("interactionenddate")), widen=True)
    dyad = [state_code(row[column]) for column in ("StateA", "StateB")]
    initiator = STATES.get(_integer(row.get("initiator")) or -1)
    targets = [state for state in dyad if state is not None and state != initiator]
    if None in dyad:
        mended.append(reject("target is no known state", f"{row['StateA']} / {row['StateB']}", path, offset, action="repaired"))
    if initiator is None or initiator not in dyad:
        mended.append(reject("initiator is no state of the dyad", row.get("initiator", ""), path, offset, action="repaired"))
        targets, initiator = [], None
    sources = [url for column in row if column.startswith("Sources") for url in _urls(row[column])]
    official = [url for column in ("Justice", "Cert", "FBI") for url in _urls(row.get(column))]
    infrastructure = SECTORS.get(_integer(row.get("Crit Inf")) or -1)
    draft = Draft(
        source="dcid",
        source_id=row["Cyberincidentnum"].strip(),
        name=name,
        description=description,
        onset=onset,
        end=end,
        target_states=targets,
        sectors=[value for value in (TARGETS.get(row.get("targettype", "").strip()), infrastructure) if value],
        technique_class=_technique(row, f"{name} {description}"),
        actors=[{"name": "unnamed", "state": initiator, "probability": CODED, "said_by": "coders of the dataset"}] if initiator else [],
        scale="dcid",
        scale_code=number_code(row.get("severity") or ""),
        reach="sector" if row.get("targettype", "").strip() in ("2", "3") else "local",
        admiralty=1 if official else {0: 6, 1: 3}.get(len({urlsplit(url).hostname for url in sources}), 2),
        information_operation={"0": False, "1": True}.get(row.get("information_operation", "").strip()),
        urls=[*sources, *official],
        flags=flags,
        extra={key: value for key, value in unused(row, _USED).items() if key != objective and not key.startswith("Sources")},
    )
    return draft, mended


def _integer(text: str | None) -> int | None:
    try:
        return int(float(text or ""))
    except (ValueError, OverflowError):
        return None


def _urls(text: str | None) -> list[str]:
    return addresses_in([text or ""])


def _technique(row: Mapping[str, str], text: str) -> str:
    """Return the class: ransomware flag, method 1 defacement, 2 denial of service, objective 2 and 3 espionage, 1 and 4 disruption."""
    if row.get("Ransomware", "").strip() == "1":
        return "ransomware"
    method = _integer(row.get("method"))
    if method in (1, 2):
        return "defacement" if method == 1 else "disruption"
    objective = _integer(row.get("cyber_objective"))
    if objective in (2, 3):
        return "espionage"
    return "disruption" if objective in (1, 4) else technique_of(text)
