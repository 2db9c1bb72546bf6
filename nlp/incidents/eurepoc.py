"""EuRepoC global dataset (codebook 1.1): one row an incident, list-like cells such as ``[['ASIA', 'CENTAS']]``.

Rules of this reader
- technique: ransomware, then doxing ("Data theft & Doxing"), disruption (defacement where the text says so), data theft, hijacking.
- admiralty: 1 if two kinds of sources disclosed it, or the victim or its authorities did and someone else attributed it; 2 if one of
  victim, authorities, third party or IT-security company did; 3 if the attacker or the media alone did; 6 if nobody is named.
- reach: several_sectors for two or more kinds of critical infrastructure, or state institutions with two more categories; sector for
  state institutions or critical infrastructure; local otherwise. "national" is never inferred: it takes a coder.
- actors: the strongest basis of attribution says how much mass (doctrine-like constants `BASES`) the named initiators share equally;
  the rest is "unknown".
- information_operation: true for doxing, else not coded (null).
- disclosure: the first dated attribution, since attributions are published; where only governments or courts attributed, they may have
  come long after, and the disclosure lies between the onset and that date.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from greyzone.dates import Moment
from greyzone.incidents.reports import (
    Draft,
    addresses_in,
    clean_text,
    coarse,
    disclosure,
    is_generic,
    moment_of,
    number_code,
    onset_interval,
    reject,
    states_of,
    unique,
    unused,
)

COLUMNS = frozenset({"ID", "name", "start_date", "incident_type", "receiver_country"})
"""Columns by which an EuRepoC table is known."""

BASES = (
    ("receiver government", "authorities of the target", 0.7),
    ("attacker confirms", "attacker", 0.7),
    ("it-security", "IT security company", 0.6),
    ("receiver attributes", "target", 0.6),
    ("third-party", "third party", 0.5),
    ("media", "media", 0.4),
)
"""(words in attribution_basis, said_by, probability that the named initiators share). Judgement, to be argued with."""

_UNSTATED = ("unspecified", 0.3)
_OFFICIAL = ("political statement", "legal action", "indictment")
_LONGEST_CELL = 50_000
_USED_WORDS = """
ID name description start_date end_date incident_type receiver_name receiver_country receiver_category receiver_category_subcode
initiator_name initiator_country source_incident_detection_disclosure attribution_basis weighted_cyber_intensity sources_url
"""
_USED = frozenset(_USED_WORDS.split())


def read_row(row: Mapping[str, str], path: str, offset: int) -> tuple[Draft, list[dict[str, object]]]:
    """Read one row of an EuRepoC table into a draft and the rows of `REJECTS` for what had to be mended."""
    mended: list[dict[str, object]] = []

    def cell(column: str) -> list[str]:
        values, whole = parse_list(row.get(column, ""))
        if not whole:
            mended.append(reject("list cell not parsed, read as text", f"{column}: {row.get(column)}", path, offset, action="repaired"))
        return [clean_text(value) for value in values]

    name, description = clean_text(row["name"]), clean_text(row.get("description"))
    onset, end, flags = onset_interval(moment_of(row["start_date"]), moment_of(row.get("end_date")), widen=True)
    disclosed, untimely = _disclosed(row, onset)
    states, strange = states_of(cell("receiver_country"))
    mended += [reject("target is no known state", value, path, offset, action="repaired") for value in strange]
    categories = [value.split(" (")[0] for value in cell("receiver_category") if not is_generic(value)]
    subcodes = [value.split(" (")[0] for value in cell("receiver_category_subcode") if not is_generic(value)]
    kinds = row["incident_type"].casefold()
    actors, actor_entities = _actors(cell("initiator_name"), cell("initiator_country"), row.get("attribution_basis", ""))
    organisations = [("organisation", value) for value in map(_organisation, cell("receiver_name")) if not is_generic(value)]
    draft = Draft(
        source="eurepoc",
        source_id=row["ID"].strip(),
        name=name,
        description=description,
        onset=onset,
        end=end,
        disclosed=disclosed,
        target_states=states,
        sectors=unique(value.lower() for value in [*categories, *subcodes]),
        technique_class=_technique(kinds, f"{name} {description}".casefold()),
        actors=actors,
        entities=[*organisations, *actor_entities],
        scale="eurepoc",
        scale_code=number_code(row.get("weighted_cyber_intensity", "")),
        reach=_reach(categories, subcodes),
        admiralty=_admiralty(row.get("source_incident_detection_disclosure", ""), row.get("attribution_basis", "")),
        information_operation=True if "doxing" in kinds else None,
        urls=addresses_in(cell("sources_url")),
        flags=flags + untimely,
        extra=unused(row, _USED),
    )
    return draft, mended


def parse_list(text: str | None) -> tuple[list[str], bool]:
    """Flatten a cell such as ``"[['a', 'b'], ['c']]"``.

    Returns
    -------
    tuple of (list of str, bool)
        The strings, and whether the cell could be read as a list (a cell without brackets is a text: split at ";").
    """
    stripped = (text or "").strip()
    if not stripped.startswith("["):
        return [part.strip() for part in stripped.split(";") if part.strip()], True
    if len(stripped) <= _LONGEST_CELL and stripped.count("[[[") == 0:
        try:
            return _flatten(ast.literal_eval(stripped)), True
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            pass
    return [part for part in (piece.strip(" []'\"") for piece in re.split(r"['\"]\s*,|;", stripped)) if part], False


def _disclosed(row: Mapping[str, str], onset: Moment | None) -> tuple[Moment | None, list[str]]:
    dated = [coarse(moment) for part in row.get("attribution_date", "").split(";") if (moment := moment_of(part.strip()[:10]))]
    if not dated:
        return None, []
    first = min(dated, key=lambda moment: (moment.hi, moment.lo))
    late = [kind for kind in (row.get("attribution_type") or "").casefold().split(";") if kind.strip()]
    only_officials = bool(late) and all(any(word in kind for word in _OFFICIAL) for kind in late)
    return disclosure(onset, onset if only_officials else first, first)


def _flatten(value: object) -> list[str]:
    if isinstance(value, list | tuple):
        return [text for part in value for text in _flatten(part)]
    return [value.strip()] if isinstance(value, str) and value.strip() else []


def _technique(kinds: str, text: str) -> str:
    if "ransomware" in kinds:
        return "ransomware"
    if "doxing" in kinds:
        return "doxing"
    if "disruption" in kinds:
        return "defacement" if "deface" in text and "ddos" not in text else "disruption"
    if "data theft" in kinds:
        return "data theft"
    return "hijacking" if "hijacking" in kinds else "unknown"


def _organisation(name: str) -> str:
    return name.split(" (")[0].strip()


def _reach(categories: list[str], subcodes: list[str]) -> str:
    kinds = set(categories)
    state = any(value.startswith("State institutions") for value in kinds)
    critical = any(value.startswith("Critical infrastructure") for value in kinds)
    infrastructures = {value for value in subcodes if value in _INFRASTRUCTURES}
    if (critical and len(infrastructures) >= 2) or (state and len(kinds) >= 3):
        return "several_sectors"
    return "sector" if state or critical else "local"


_INFRASTRUCTURES = frozenset(
    {"Energy", "Transportation", "Water", "Health", "Chemicals", "Telecommunications", "Food", "Finance", "Defence industry", "Space"}
    | {"Waste Water Management", "Critical Manufacturing", "Digital Provider", "Research", "Other"}
)


def _admiralty(disclosure: str, basis: str) -> int:
    kinds = {part.strip().casefold() for part in disclosure.split(";")} - {"", "not available"}
    official = any("victim" in kind for kind in kinds)
    others = any(word in basis.casefold() for word in ("it-security", "third-party", "government"))
    if len(kinds) >= 2 or (official and others):
        return 1
    if official or any("it-security" in kind or "third-party" in kind for kind in kinds):
        return 2
    return 3 if kinds else 6


def _actors(names: list[str], countries: list[str], basis: str) -> tuple[list[dict[str, object]], list[tuple[str, str]]]:
    folded = basis.casefold()
    said_by, mass = next(((said, share) for words, said, share in BASES if words in folded), _UNSTATED)
    codes = [states_of([country])[0] for country in countries]
    hypotheses: list[tuple[str, str | None]] = []
    entities: list[tuple[str, str]] = []
    for at in range(max(len(names), len(codes))):
        name = names[at] if at < len(names) and not is_generic(names[at]) else ""
        state = codes[at][0] if at < len(codes) and codes[at] else None
        if not name and state is None:
            continue
        aliases = [alias.strip(" \xa0") for alias in re.split(r"[/<]", re.sub(r"\(.*?\)", "", name))]
        aliases = [alias for alias in aliases if len(alias) > 1 and not is_generic(alias)]
        entities += [("actor", alias) for alias in aliases]
        hypotheses.append((aliases[0] if aliases else "", state))
    distinct = unique(hypotheses)
    share = mass / len(distinct) if distinct else 0.0
    actors: list[dict[str, object]] = [
        {"name": name or "unnamed", "state": state, "probability": share, "said_by": said_by} for name, state in distinct
    ]
    return actors, unique(entities)
