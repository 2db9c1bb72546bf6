"""Canonical incidents: reports of one event become one row an (event, target state), with what their agreement is worth.

- reports merge at posterior >= canonical.merge, best pair first, unless a merge would chain onsets farther apart than the window, two
  reports that one source tells apart, or groups whose other pairs do not fit (mean posterior below canonical.chain); what is not merged
  from canonical.review on is logged for a person
- level: triangular around the crosswalk of each graded report; several sources give the widest envelope with the mean mode
- reach: the widest; credibility: 1 - prod(1 - pi) over origins, capped at credibility.ceiling: a source counts once, and sources that
  cite one address or print one text are one origin
- disclosure: the earliest over the reports, as an interval [min lo, min hi] of those that hold no narrower one; no onset reaches past it;
  the latest, if wholly after it, is kept too, since what was taken is often published months later
- a report that dates its disclosure alone began at most canonical.open_days or hidden_days before, by whether its technique is seen at once
- onset: what all reports allow, else the whole span; a day that contradicts the rest, but with day and month changed fits another source,
  is read so and flagged; where no other source shows it, it is kept and flagged as possibly swapped
- critical: a sector holds a phrase of words.critical_sectors (a final s aside)
- a report that does not name a state speaks for it only if it names no state at all

The order of the reports, and repeats of one report, change nothing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

import pyarrow as pa

from greyzone.doctrine import Doctrine
from greyzone.incidents.linkage import Linkage, compare
from greyzone.incidents.record import BOUNDED, OPEN, Record, gap, public_gap, record_of
from greyzone.incidents.reports import origin_of, span_precision, unique
from greyzone.records import INCIDENTS, MERGES, PRECISIONS, REACHES, REPORTS, Canonical, check, content_id, table
from greyzone.text import fold

Row = dict[str, object]
_TEXT = 24


def canonicalise(reports: pa.Table, *, doctrine: Doctrine) -> Canonical:
    """Merge reports of one event and return one row an (event, target state).

    Parameters
    ----------
    reports
        A table of `REPORTS`; rows of one report_id count once.
    doctrine
        Gives the numbers of ``canonical``, ``crosswalk``, ``levels``, ``unknown_level``, ``credibility`` and the critical sectors.

    Returns
    -------
    Canonical
        Incidents ordered by incident_id, and the log of merged and reviewed pairs ordered by the ids of their reports.
    """
    distinct, records = prepare(reports, doctrine)
    groups, log = _merge(records, compare(records, doctrine), doctrine)
    incidents = [incident for group in groups for incident in _incidents([distinct[at] for at in group], doctrine)]
    incidents.sort(key=lambda row: str(row["incident_id"]))
    log.sort(key=lambda row: (str(row["report_a"]), str(row["report_b"])))
    return Canonical(table(incidents, INCIDENTS), table(log, MERGES))


def prepare(reports: pa.Table, doctrine: Doctrine) -> tuple[list[Row], list[Record]]:
    """Return the distinct reports ordered by report_id, each with an onset if its dates leave one, as rows and as linkage sees them."""
    rows: list[Row] = check(reports, REPORTS, "reports").to_pylist()
    rows.sort(key=lambda row: (str(row["report_id"]), str(row["path"]), cast("int", row["offset"] or 0)), reverse=True)
    distinct = [_with_onset(row, doctrine) for row in {str(row["report_id"]): row for row in rows}.values()][::-1]
    return distinct, [record_of(row) for row in distinct]


def _with_onset(row: Row, doctrine: Doctrine) -> Row:
    """Give a report that only its disclosure dates an onset: some day of the days before it, or the day itself."""
    lo, hi = row["disclosed_lo"], row["disclosed_hi"]
    if row["onset_lo"] is not None or not isinstance(lo, datetime) or not isinstance(hi, datetime):
        return row
    days = doctrine["canonical.open_days" if row["technique_class"] in OPEN else "canonical.hidden_days"]
    first = lo - timedelta(days=days)
    bounded = {"onset_lo": first, "onset_hi": hi, "onset_precision": span_precision(first, hi)}
    return row | bounded | {"flags": [*_strings(row, "flags"), BOUNDED]}


def _merge(records: Sequence[Record], linked: Linkage, doctrine: Doctrine) -> tuple[list[list[int]], list[Row]]:
    merge, window, chain = (doctrine[f"canonical.{name}"] for name in ("merge", "window_days", "chain"))
    group_of = list(range(len(records)))
    members = {at: [at] for at in range(len(records))}

    def clash(left: list[int], right: list[int]) -> str:
        """Say why two groups cannot be one event, or return ""."""
        for a in left:
            for b in right:
                one, other = records[a], records[b]
                apart = [days for days in (gap(one, other), public_gap(one, other)) if days is not None]
                if one.own and other.own and apart and min(apart) > window:
                    return f"it would chain dates {min(apart):.0f} days apart"
                if one.source == other.source and not linked.retold(a, b):
                    return "it would join two reports that one source tells apart"
        fits = [linked.posterior(a, b) for a in left for b in right if records[a].source != records[b].source]
        if math.fsum(fits) < chain * len(fits):
            return "most other reports of both do not fit"
        return ""

    log: list[Row] = []
    for pair in linked.pairs:
        left, right = group_of[pair.a], group_of[pair.b]
        decision, evidence = "review", pair.evidence
        if pair.posterior >= merge:
            why = "" if left == right else clash(members[left], members[right])
            decision, evidence = ("review", f"{evidence}; not merged: {why}") if why else ("merged", evidence)
            if not why and left != right:
                into, gone = min(left, right), max(left, right)
                members[into] = sorted(members[into] + members[gone])
                for at in members.pop(gone):
                    group_of[at] = into
        log.append(
            {
                "report_a": records[pair.a].report_id,
                "report_b": records[pair.b].report_id,
                "posterior": pair.posterior,
                "decision": decision,
                "evidence": evidence,
            }
        )
    return [members[at] for at in sorted(members)], log


def _incidents(group: list[Row], doctrine: Doctrine) -> list[Row]:
    states = sorted({state for row in group for state in _strings(row, "target_states")})
    found: list[Row] = []
    targets: list[str | None] = [*states] or [None]
    for state in targets:
        told = [row for row in group if state is None or not _strings(row, "target_states") or state in _strings(row, "target_states")]
        found.append(_incident(told, state, doctrine))
    return found


def _incident(told: list[Row], state: str | None, doctrine: Doctrine) -> Row:
    onset, precision, onset_flags = _onset(told)
    disclosed = _disclosed(told)
    again = _again(told, disclosed[1])
    lo, mode, hi = _level(told, doctrine)
    sectors = sorted({sector for row in told for sector in _strings(row, "sectors")})
    named = min(told, key=lambda row: (_width(row), str(row["report_id"])))
    longest = min(told, key=lambda row: (-len(str(row["description"] or "")), str(row["report_id"])))
    ends = [(row["end_lo"], row["end_hi"]) for row in told if row["end_lo"] is not None]
    classes = sorted({str(row["technique_class"]) for row in told} - {"unknown", "None"})
    return {
        "incident_id": content_id("inc", min(str(row["report_id"]) for row in told), state),
        "name": named["name"],
        "names": sorted({str(row["name"]) for row in told if row["name"]}),
        "description": longest["description"],
        "onset_lo": onset[0],
        "onset_hi": onset[1],
        "onset_precision": precision,
        "end_lo": min((cast("datetime", low) for low, _ in ends), default=None),
        "end_hi": max((cast("datetime", high) for _, high in ends), default=None),
        "disclosed_lo": disclosed[0],
        "disclosed_hi": disclosed[1],
        "again_lo": again[0],
        "again_hi": again[1],
        "target_state": state,
        "sectors": sectors,
        "critical": _critical(sectors, doctrine.phrases("critical_sectors")),
        "technique_class": str(named["technique_class"]) if named["technique_class"] in classes else (classes or ["unknown"])[0],
        "actors": _actors(told),
        "entities": _entities(told),
        "level_lo": lo,
        "level_mode": mode,
        "level_hi": hi,
        "reach": max((str(row["reach"]) for row in told if row["reach"]), key=REACHES.index, default="local"),
        "credibility": _credibility(told, doctrine),
        "reports": sorted(str(row["report_id"]) for row in told),
        "sources": sorted({str(row["source"]) for row in told}),
        "flags": unique([*sorted({flag for row in told for flag in _strings(row, "flags")} - {BOUNDED}), *onset_flags]),
    }


def _strings(row: Row, column: str) -> list[str]:
    return list(cast("list[str] | None", row[column]) or [])


def _width(row: Row) -> float:
    lo, hi = row["onset_lo"], row["onset_hi"]
    return (hi - lo).total_seconds() if isinstance(lo, datetime) and isinstance(hi, datetime) else math.inf


def _onset(told: list[Row]) -> tuple[tuple[datetime | None, datetime | None], str, list[str]]:
    """Return the onset that the reports leave, its precision and flags; reports that give one go before those bounded by a disclosure."""
    known = [row for row in told if isinstance(row["onset_lo"], datetime)]
    if not known:
        return (None, None), "unknown", []
    own = [row for row in known if BOUNDED not in _strings(row, "flags")]
    dated = own or known
    flags = [] if own else [BOUNDED]
    if own:
        dated, flags = _unswapped(own, told)
    lows = [cast("datetime", row["onset_lo"]) for row in dated]
    highs = [cast("datetime", row["onset_hi"]) for row in dated]
    agree = max(lows) <= min(highs)
    lo, hi = (max(lows), min(highs)) if agree else (min(lows), max(highs))
    flags += [] if agree else ["onsets of the reports do not overlap"]
    public = _disclosed(told)[1]
    if public is not None and public < hi:
        # One source's day may be wrong: an onset wholly after the disclosure is kept as told, and said.
        hi, flags = (public, flags) if public >= lo else (hi, [*flags, "disclosed before the onset"])
    told_so = [str(row["onset_precision"]) for row in dated if (row["onset_lo"], row["onset_hi"]) == (lo, hi)]
    return (lo, hi), min(told_so, key=PRECISIONS.index, default=span_precision(lo, hi)), flags


def _unswapped(own: list[Row], told: list[Row]) -> tuple[list[Row], list[str]]:
    """Return the reports with days read with day and month changed, where another source shows it, and flags."""
    found: list[Row] = []
    flags: list[str] = []
    for row in own:
        changed = _changed(row)
        if changed is None or not _contradicted(row, told):
            found.append(row)
            continue
        others = [other for other in told if other["source"] != row["source"]]
        shown = _contradicted(row, [row, *others]) and not _contradicted(row | changed, [row | changed, *others])
        if others and shown and any(_dates(row | changed, other) for other in others):
            found.append(row | changed)
            flags.append("day and month swapped, as another source shows")
        else:
            found.append(row)
            flags += [] if _contradicted(row | changed, [row | changed]) else ["day and month possibly swapped"]
    return found, unique(flags)


def _changed(row: Row) -> Row | None:
    """Return the onset of a report that gives a day with day and month changed, None where that is no other day."""
    lo, hi = row["onset_lo"], row["onset_hi"]
    if not isinstance(lo, datetime) or not isinstance(hi, datetime) or row["onset_precision"] != "day" or lo.day > 12 or lo.day == lo.month:
        return None
    first = lo.replace(month=lo.day, day=lo.month)
    return {"onset_lo": first, "onset_hi": first + (hi - lo)}


def _contradicted(row: Row, told: list[Row]) -> bool:
    """Tell whether a day lies after its own end or disclosure, or by more than a month after another's disclosure or off its onset."""
    lo, hi = cast("datetime", row["onset_lo"]), cast("datetime", row["onset_hi"])
    apart = timedelta(days=31)
    if any(isinstance(end, datetime) and end < lo for end in (row["end_hi"], row["disclosed_hi"])):
        return True
    if any(isinstance(other["disclosed_hi"], datetime) and other["disclosed_hi"] + apart < lo for other in told):
        return True
    rest = [other for other in told if other["report_id"] != row["report_id"] and BOUNDED not in _strings(other, "flags")]
    spans = [(other["onset_lo"], other["onset_hi"]) for other in rest]
    return any(
        isinstance(first, datetime) and isinstance(last, datetime) and (first - hi > apart or lo - last > apart) for first, last in spans
    )


def _dates(row: Row, other: Row) -> bool:
    """Tell whether another report dates the same days, by its onset or its disclosure, as precisely as a month."""
    lo, hi = cast("datetime", row["onset_lo"]), cast("datetime", row["onset_hi"])
    spans = [(other["disclosed_lo"], other["disclosed_hi"])]
    spans += [] if BOUNDED in _strings(other, "flags") else [(other["onset_lo"], other["onset_hi"])]
    month, day = timedelta(days=31), timedelta(days=1)
    return any(
        isinstance(first, datetime) and isinstance(last, datetime) and last - first <= month and first <= hi + day and lo - day <= last
        for first, last in spans
    )


def _disclosed(told: list[Row]) -> tuple[datetime | None, datetime | None]:
    """Return the interval of the earliest disclosure: that of the least of several times, each known as an interval."""
    known = {(row["disclosed_lo"], row["disclosed_hi"]) for row in told if isinstance(row["disclosed_lo"], datetime)}
    spans = cast("set[tuple[datetime, datetime]]", known)
    # A year says nothing beside a day of that year.
    told_best = [span for span in spans if not any(other != span and span[0] <= other[0] and other[1] <= span[1] for other in spans)]
    return min((lo for lo, _ in told_best), default=None), min((hi for _, hi in told_best), default=None)


def _again(told: list[Row], known: datetime | None) -> tuple[datetime | None, datetime | None]:
    """Return the interval of the latest disclosure, where it lies wholly after the first."""
    dated = [(row["disclosed_lo"], row["disclosed_hi"]) for row in told if isinstance(row["disclosed_lo"], datetime)]
    lo, hi = max(cast("list[tuple[datetime, datetime]]", dated), default=(None, None))
    return (lo, hi) if lo is not None and known is not None and lo > known else (None, None)


def _level(told: list[Row], doctrine: Doctrine) -> tuple[float, float, float]:
    """Return (lo, mode, hi) on 0..5; a source counts once, by the mean of its reports."""
    half = doctrine["levels.half_width"]
    by_source: dict[str, list[float]] = defaultdict(list)
    for row in told:
        level = _crosswalk(row["scale"], row["scale_code"], doctrine)
        if level is not None:
            by_source[str(row["source"])].append(level)
    if not by_source:
        unknown = doctrine.section("unknown_level")
        return unknown["lo"], unknown["mode"], unknown["hi"]
    levels = sorted(level for found in by_source.values() for level in found)
    mode = math.fsum(sorted(math.fsum(sorted(found)) / len(found) for found in by_source.values())) / len(by_source)
    return max(0.0, levels[0] - half), mode, min(5.0, levels[-1] + half)


def _crosswalk(scale: object, code: object, doctrine: Doctrine) -> float | None:
    """Return the level of a code; a number between two keys takes the nearest lower one, an unknown scale or code None."""
    prefix = f"crosswalk.{scale}."
    leaves = {name[len(prefix) :]: leaf.value for name, leaf in doctrine.leaves.items() if name.startswith(prefix)}
    if code is None or not leaves:
        return None
    if str(code) in leaves:
        return leaves[str(code)]
    try:
        value = float(str(code))
        lower = [key for key in leaves if float(key) <= value]
    except ValueError:
        return None
    return leaves[max(lower, key=float)] if lower else None


def _credibility(told: list[Row], doctrine: Doctrine) -> float:
    by_origin: dict[str, float] = {}
    for row, origin in zip(told, _origins(told), strict=True):
        by_origin[origin] = max(doctrine[f"credibility.{row['admiralty'] or 6}"], by_origin.get(origin, 0.0))
    wrong = math.prod(1 - pi for _, pi in sorted(by_origin.items()))
    return min(1 - wrong, doctrine["credibility.ceiling"])


def _origins(told: list[Row]) -> list[str]:
    """Return the origin of each report: the least of the sources that are tied by a source, an address or a text."""
    parent = {str(row["source"]): str(row["source"]) for row in told}

    def root(source: str) -> str:
        while parent[source] != source:
            source = parent[source]
        return source

    first: dict[str, str] = {}
    for row in sorted(told, key=lambda row: str(row["report_id"])):
        record = record_of(row)
        # A few words may be alike by chance; a text is a text from two dozen characters on.
        text = [f"text:{record.told}"] if len(record.told) >= _TEXT else []
        for sign in (f"origin:{origin_of(record.source)}", *sorted(record.urls), *text):
            one, other = sorted((root(str(row["source"])), root(first.setdefault(sign, str(row["source"])))))
            parent[other] = one
    return [root(str(row["source"])) for row in told]


def _critical(sectors: Sequence[str], phrases: Sequence[str]) -> bool:
    stems = [fold(phrase).removesuffix("s") for phrase in phrases]
    return any(stem in fold(sector) for sector in sectors for stem in stems)


def _actors(told: list[Row]) -> list[Row]:
    """Return the hypotheses with the mean of their probabilities over sources, so that with "unknown" they add up to one."""
    sources = sorted({str(row["source"]) for row in told})
    mass: dict[tuple[str, str], list[float]] = defaultdict(list)
    said: dict[tuple[str, str], set[str]] = defaultdict(set)
    for source in sources:
        mine = [row for row in told if row["source"] == source]
        for row in mine:
            for actor in cast("list[Mapping[str, object]] | None", row["actors"]) or []:
                key = (str(actor["name"]), str(actor["state"] or ""))
                mass[key].append(cast("float", actor["probability"]) / (len(mine) * len(sources)))
                said[key].add(str(actor["said_by"]))
    return [
        {
            "name": name,
            "state": state or None,
            "probability": math.fsum(sorted(mass[name, state])),
            "said_by": ", ".join(sorted(said[name, state])),
        }
        for name, state in sorted(mass)
    ]


def _entities(told: list[Row]) -> list[Row]:
    pairs = {
        (str(item["kind"]), str(item["value"])) for row in told for item in cast("list[Mapping[str, object]] | None", row["entities"]) or []
    }
    return [{"kind": kind, "value": value} for kind, value in sorted(pairs)]
