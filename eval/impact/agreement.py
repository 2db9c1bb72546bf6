"""Agreement in order with the severity that the coders of DCID gave, ties counted (Kendall's tau-b), with a bootstrap interval.

Two things are compared, and they are not the same:

held out    events that EuRepoC and DCID both have (matched by greyzone's own merging): the score of EuRepoC's report alone, DCID's
            severity never seen, against that severity. This is agreement between two groups of coders through the doctrine.
own codes   every DCID row: its score by the doctrine's crosswalk of that very severity, with reach, sector and credibility, against the
            severity. It is high by construction, and shows only how much reach, sector and credibility change the order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy import stats

from greyzone.doctrine import Doctrine, load_doctrine
from greyzone.eval.impact.cases import DCID, EUREPOC, Row, event, reports_of
from greyzone.eval.impact.findings import Finding
from greyzone.incidents import canonicalise

ASKED = 0.6
RESAMPLES = 1000
FEWEST = 10
"""Events from which a tau is printed."""


def measure_agreement(folder: Path) -> Iterator[Finding]:
    """Yield tau of both comparisons."""
    doctrine = load_doctrine()
    coded = {row["report_id"]: _number(row["scale_code"]) for row in reports_of(folder, DCID).to_pylist()}
    severity = {report: code for report, code in coded.items() if code is not None}
    pairs = held_out(folder, doctrine, severity)
    yield _finding("held out: score of EuRepoC's report alone against DCID's severity of the same event", pairs)
    levels = [(level, code) for _, level, code in pairs]
    if len(levels) > 2:
        tau = float(stats.kendalltau(*zip(*levels, strict=True)).statistic)
        yield Finding("the same with EuRepoC's bare level in place of the score", "", f"tau-b {tau:.2f}")
    own = []
    for row in canonicalise(reports_of(folder, DCID), doctrine=doctrine).incidents.to_pylist():
        code = max((severity[report] for report in row["reports"] if report in severity), default=None)
        if code is not None and row["target_state"] and row["onset_lo"]:
            own.append((event("row", [row], doctrine).central, 0.0, code))
    yield _finding("own codes: score of every odd DCID row against its own severity (circular)", own)


def held_out(folder: Path, doctrine: Doctrine, severity: dict[str, float]) -> list[tuple[float, float, float]]:
    """Return score and level without DCID, and DCID's severity, of each event that both tables have."""
    both = pa.concat_tables([reports_of(folder, EUREPOC), reports_of(folder, DCID)])
    merged = canonicalise(both, doctrine=doctrine).incidents.to_pylist()
    alone: dict[tuple[str, str], Row] = {}
    for row in canonicalise(reports_of(folder, EUREPOC), doctrine=doctrine).incidents.to_pylist():
        for report in row["reports"]:
            alone[report, row["target_state"] or ""] = row
    found = []
    for row in merged:
        codes = [severity[report] for report in row["reports"] if report in severity]
        others = [alone[report, row["target_state"] or ""] for report in row["reports"] if (report, row["target_state"] or "") in alone]
        if codes and others and others[0]["level_mode"] is not None and others[0]["onset_lo"]:
            found.append(
                (
                    event("row", [others[0]], doctrine).central,
                    float(others[0]["level_mode"]),
                    max(codes),
                )
            )
    return found


def tau_interval(pairs: Sequence[tuple[float, float]], seed: int = 0) -> tuple[float, float, float]:
    """Return tau-b and the 5 and 95 % points of its bootstrap over pairs."""
    values = np.array(pairs, np.float64)
    random = np.random.default_rng(seed)
    drawn = [stats.kendalltau(*values[random.integers(0, len(values), len(values))].T).statistic for _ in range(RESAMPLES)]
    low, high = np.nanpercentile(drawn, [5, 95])
    return float(stats.kendalltau(*values.T).statistic), float(low), float(high)


def _finding(what: str, found: Sequence[tuple[float, float, float]]) -> Finding:
    if len(found) < FEWEST:
        return Finding(what, f"tau {ASKED}", f"{len(found)} events: too few", False)
    tau, low, high = tau_interval([(score, code) for score, _, code in found])
    return Finding(what, f"tau {ASKED}", f"tau-b {tau:.2f} ({low:.2f} to {high:.2f}), {len(found)} events", tau >= ASKED)


def _number(code: str | None) -> float | None:
    try:
        return float(code) if code else None
    except ValueError:
        return None
