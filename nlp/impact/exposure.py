"""Which incidents, narratives and links count for which target state, as arrays ready for the dose.

Rules:

- an incident counts for its own `target_state`; without a state or an onset it is in no score, and the coverage note says so;
- a narrative counts for the state it names most, and for every other state it names that has an incident of its own;
- a link counts where both its ends do, whatever its probability: no threshold, no normalisation over rivals, because either
  would let an added item lower a score;
- an incident whose end no source gives is over at its onset; a narrative is at work until it was last seen;
- a row that is incomplete (no level, no sector) counts, with a wide level and the weight of other sectors, and is counted in the coverage
  note; one that contradicts itself (a reversed interval, a level off the scale, an unknown reach) is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from greyzone.doctrine import Doctrine
from greyzone.errors import InputError
from greyzone.impact.dose import LEVEL_MAX, Reals
from greyzone.impact.draws import Items
from greyzone.records import INCIDENTS, LINK_TYPES, LINKS, NARRATIVES, check

Row = Mapping[str, Any]

COARSE = frozenset({"month", "year", "unknown"})
CATEGORIES = 6


@dataclass(frozen=True, slots=True)
class StateExposure:
    """What counts for one state: `items`, and what the coverage note needs: `sources`, and (n,) flags of incidents.

    Flags: `coarse` dates, `ungraded` (no level), `sectorless`.
    """

    state: str
    items: Items
    sources: tuple[str, ...]
    coarse: Reals
    ungraded: Reals
    sectorless: Reals


@dataclass(frozen=True, slots=True)
class Exposure:
    """Every state with something to count, in order of its code, and how many rows are in no score."""

    states: tuple[StateExposure, ...]
    incidents_without_state: int
    incidents_without_date: int
    narratives_without_state: int


@dataclass(frozen=True, slots=True)
class Counted:
    """Rows of the three tables by what they count for, before any number of a doctrine is applied."""

    incidents: Mapping[str, Sequence[Row]]
    narratives: Mapping[str, Sequence[Row]]
    links: Mapping[str, Sequence[Row]]
    incidents_without_state: int
    incidents_without_date: int
    narratives_without_state: int


def read_exposure(incidents: pa.Table, narratives: pa.Table, links: pa.Table, *, doctrine: Doctrine) -> Exposure:
    """Sort incidents, narratives and links by the state they count for, and weigh them.

    Parameters
    ----------
    incidents, narratives, links
        Tables of the schemas `INCIDENTS`, `NARRATIVES` and `LINKS`; rows of an id seen before are the same thing told again.
    doctrine
        Gives reach, sector and type weights, and the level of what nobody graded.

    Raises
    ------
    InputError
        If a level, probability or breakout distribution is outside its range.
    """
    return weigh(count_rows(incidents, narratives, links), doctrine)


def count_rows(incidents: pa.Table, narratives: pa.Table, links: pa.Table) -> Counted:
    """Sort the rows of the tables by the state (links: by the incident) that they count for."""
    cyber = _distinct(check(incidents, INCIDENTS, "incidents"), "incident_id")
    told = _distinct(check(narratives, NARRATIVES, "narratives"), "narrative_id")
    pairs = _distinct(check(links, LINKS, "links"), "incident_id", "narrative_id")
    placed = [row for row in cyber if row["target_state"]]
    dated = [row for row in placed if row["onset_lo"] and row["onset_hi"]]
    by_state: dict[str, list[Row]] = {}
    for row in dated:
        by_state.setdefault(row["target_state"], []).append(row)
    narratives_of: dict[str, list[Row]] = {}
    homeless = 0
    for row in told:
        targets = row["targets"] or []
        if not (targets and row["onset_lo"] and row["onset_hi"]):
            homeless += 1
            continue
        for state in dict.fromkeys([targets[0], *(target for target in targets if target in by_state)]):
            narratives_of.setdefault(state, []).append(row)
    links_of: dict[str, list[Row]] = {}
    for row in pairs:
        links_of.setdefault(row["incident_id"], []).append(row)
    return Counted(by_state, narratives_of, links_of, len(cyber) - len(placed), len(placed) - len(dated), homeless)


def weigh(counted: Counted, doctrine: Doctrine) -> Exposure:
    """Turn the rows into arrays by the numbers of `doctrine`; raises as `read_exposure`."""
    states = tuple(
        _state(state, counted.incidents.get(state, ()), counted.narratives.get(state, ()), counted.links, doctrine)
        for state in sorted(counted.incidents.keys() | counted.narratives.keys())
    )
    return Exposure(states, counted.incidents_without_state, counted.incidents_without_date, counted.narratives_without_state)


def seconds(moment: datetime) -> float:
    """Return seconds since 1970 (UTC) of a time with or without zone (then UTC)."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _state(
    state: str, cyber: Sequence[Row], told: Sequence[Row], links_of: Mapping[str, Sequence[Row]], doctrine: Doctrine
) -> StateExposure:
    reach, unknown = doctrine.section("reach"), doctrine.section("unknown_level")
    weights = doctrine.section("sector_weights")
    classes = {name: code for code, name in enumerate(sorted({row["technique_class"] or "" for row in cyber}))}
    onset = _array([_onset(row, f"incident {row['incident_id']}") for row in cyber], 2)
    level = _array([[value + _reach(row, reach) for value in _levels(row, unknown)] for row in cyber], 3)
    credibility = [doctrine["credibility.6"] if row["credibility"] is None else row["credibility"] for row in cyber]
    where = {row["narrative_id"]: column for column, row in enumerate(told)}
    pairs = [
        (row_index, where[link["narrative_id"]], link)
        for row_index, row in enumerate(cyber)
        for link in links_of.get(row["incident_id"], ())
        if link["narrative_id"] in where
    ]
    type_weight = np.array([doctrine[f"type_weight.{name}"] for name in LINK_TYPES])
    items = Items(
        incident_ids=tuple(row["incident_id"] for row in cyber),
        narrative_ids=tuple(row["narrative_id"] for row in told),
        onset=onset,
        end=_array([_end(row) for row in cyber], 2),
        level=np.clip(level, 0.0, LEVEL_MAX),
        credibility=_within(np.array(credibility, np.float64), 0, 1, "incidents.credibility"),
        sector_weight=np.array([weights["critical" if row["critical"] else "other"] for row in cyber], np.float64),
        technique=np.array([classes[row["technique_class"] or ""] for row in cyber], np.int64),
        sectors=tuple(tuple(sorted(set(row["sectors"] or ()))) or ("unknown",) for row in cyber),
        narrative_onset=_array([_onset(row, f"narrative {row['narrative_id']}") for row in told], 2),
        narrative_end=np.array([seconds(row["last_seen"] or row["onset_hi"]) for row in told], np.float64),
        breakout=np.array([_breakout(row) for row in told], np.float64).reshape(-1, CATEGORIES),
        link_incident=np.array([pair[0] for pair in pairs], np.intp),
        link_narrative=np.array([pair[1] for pair in pairs], np.intp),
        link_p=_array([_probabilities(pair[2]) for pair in pairs], 3),
        link_weight=np.array([_type_weight(pair[2], type_weight) for pair in pairs], np.float64),
    )
    named = tuple(sorted({source for row in cyber for source in row["sources"] or ()}))
    coarse = np.array([float((row["onset_precision"] or "unknown") in COARSE) for row in cyber])
    # canonical incidents hold the doctrine's unknown level already
    wide = [unknown["lo"], unknown["mode"], unknown["hi"]]
    ungraded = np.array([float(None in _graded(row) or _graded(row) == wide) for row in cyber])
    sectorless = np.array([float(not row["sectors"]) for row in cyber])
    return StateExposure(state, items, named, coarse, ungraded, sectorless)


def _distinct(found: pa.Table, *keys: str) -> list[Row]:
    """Rows in the order of their keys; of equal keys the one that comes first by content."""
    rows = sorted(found.to_pylist(), key=lambda row: tuple(row[key] or "" for key in keys))
    kept: dict[tuple[str, ...], Row] = {}
    for row in rows:
        key = tuple(row[name] or "" for name in keys)
        if key not in kept or repr(row) < repr(kept[key]):
            kept[key] = row
    return list(kept.values())


def _array(rows: Sequence[Sequence[float]], width: int) -> Reals:
    return np.array(rows, np.float64).reshape(-1, width).T.copy()


def _onset(row: Row, what: str) -> tuple[float, float]:
    low, high = seconds(row["onset_lo"]), seconds(row["onset_hi"])
    if low > high:
        raise InputError(
            f"{what} with onset from {row['onset_lo']:%Y-%m-%d} to {row['onset_hi']:%Y-%m-%d}", "an interval that rises", "swap its ends"
        )
    return low, high


def _end(row: Row) -> tuple[float, float]:
    """Return the interval of the end; a side that no source gives is that of the onset, or the other side where that is later."""
    low = seconds(row["end_lo"] or row["onset_lo"])
    high = seconds(row["end_hi"]) if row["end_hi"] else max(low, seconds(row["onset_hi"]))
    if low > high:
        if row["end_lo"]:
            raise InputError(
                f"incident {row['incident_id']} with end from {row['end_lo']:%Y-%m-%d} to {row['end_hi']:%Y-%m-%d}",
                "an interval that rises",
                "swap its ends",
            )
        low = high
    return low, high


def _graded(row: Row) -> list[float | None]:
    return [row["level_lo"], row["level_mode"], row["level_hi"]]


def _levels(row: Row, unknown: Mapping[str, float]) -> tuple[float, float, float]:
    low, mode, high = _graded(row)
    if low is None or mode is None or high is None:
        return unknown["lo"], unknown["mode"], unknown["hi"]
    for value in (low, mode, high):
        if not 0 <= value <= LEVEL_MAX:
            raise InputError(f"incident {row['incident_id']} with level {value:g}", "a level on 0..5", "mend the crosswalk of its source")
    if not low <= mode <= high:
        raise InputError(f"incident {row['incident_id']} with levels {low:g}, {mode:g}, {high:g}", "lowest, likeliest and highest, rising")
    return low, mode, high


def _reach(row: Row, reach: Mapping[str, float]) -> float:
    name = row["reach"] or "local"
    if name not in reach:
        raise InputError(f"incident {row['incident_id']} with reach {name!r}", f"one of {', '.join(sorted(reach))}")
    return reach[name]


def _breakout(row: Row) -> list[float]:
    found = row["breakout"]
    if not found:
        return [1 / CATEGORIES] * CATEGORIES
    total = float(np.sum(found))
    if len(found) != CATEGORIES or not (np.isfinite(total) and total > 0 and min(found) >= 0):
        raise InputError(f"narrative {row['narrative_id']} with breakout {found}", "six probabilities that sum to 1")
    return [value / total for value in found]


def _probabilities(link: Row) -> tuple[float, float, float]:
    p = link["p"]
    if p is None or not 0 <= p <= 1:
        raise InputError(f"link {link['link_id']} with p = {p}", "a probability", "mend the link stage")
    low, high = link["p_lo"], link["p_hi"]
    return min(p, p if low is None else max(low, 0.0)), p, max(p, p if high is None else min(high, 1.0))


def _type_weight(link: Row, weights: Reals) -> float:
    found = link["type_probabilities"]
    if not found:
        if link["type"] not in LINK_TYPES:
            raise InputError(f"link {link['link_id']} of type {link['type']!r}", f"one of {', '.join(LINK_TYPES)}")
        return float(weights[LINK_TYPES.index(link["type"])])
    if len(found) != len(LINK_TYPES):
        raise InputError(f"link {link['link_id']} with {len(found)} type probabilities", f"{len(LINK_TYPES)}")
    return float(_within(np.array(found, np.float64), 0, 1, "links.type_probabilities") @ weights)


def _within(values: Reals, low: float, high: float, name: str) -> Reals:
    if values.size and not (np.isfinite(values).all() and values.min() >= low and values.max() <= high):
        raise InputError(f"{name} from {values.min():g} to {values.max():g}", f"values from {low:g} to {high:g}")
    return values
