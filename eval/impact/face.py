"""Whether known cases stand in the order in which anybody would put them: Stuxnet and Ukraine 2015, Estonia 2007, a defacement."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np

from greyzone import impact
from greyzone.cli.scores import line
from greyzone.doctrine import Doctrine, load_doctrine
from greyzone.eval.impact.cases import DCID, EUREPOC, Event, Row, canonical, event, pick
from greyzone.eval.impact.findings import Finding
from greyzone.eval.impact.invented import START, incident, made

NUISANCES = 300


def measure_face(folder: Path) -> Iterator[Finding]:
    """Yield the face checks on EuRepoC and DCID as the readers give them."""
    doctrine = load_doctrine()
    rows = canonical(folder, (EUREPOC, DCID), doctrine)
    stuxnet = event("Stuxnet", pick(rows, lambda row: row["target_state"] == "IR" and "Stuxnet" in row["name"], "Stuxnet"), doctrine)
    outage = event(
        "Ukraine 2015", pick(rows, lambda row: row["target_state"] == "UA" and "Power Outage 2015" in row["name"], "Ukraine 2015"), doctrine
    )
    told = pick(rows, _estonia, "Estonia 2007")
    estonia = event("Estonia 2007 as coded", told, doctrine)
    national = event("Estonia 2007 with reach coded national", [row | {"reach": "national"} for row in told], doctrine)
    defacements = [
        event("defacement", [row], doctrine)
        for row in pick(rows, lambda row: row["technique_class"] == "defacement", "a defacement")
        if row["target_state"]
    ]
    middle = sorted(defacements, key=lambda found: (found.central, str(found.score)))[len(defacements) // 2]
    for known in (stuxnet, outage, estonia, national, middle):
        yield Finding(f"{known.name} by itself", "", str(known.score))
    for case in (estonia, national):
        for larger in (stuxnet, outage):
            yield _above(larger, case)
        yield _above(case, middle)
    below = float(np.mean([found.central < estonia.central for found in defacements]))
    yield Finding("defacements that score below Estonia 2007 as coded", "", f"{100 * below:.0f} % of {len(defacements)}")
    yield from _equivalent(estonia, told, doctrine, asked=False)
    yield from _equivalent(national, told, doctrine, asked=True)
    yield _nuisances(doctrine)


def _estonia(row: Row) -> bool:
    begun = row["onset_lo"].date()
    return bool(row["target_state"] == "EE" and date(2007, 4, 1) <= begun <= date(2007, 6, 30))


def _above(larger: Event, smaller: Event) -> Finding:
    share = float(np.mean(larger.draws[:, None] > smaller.draws[None, :]))
    measured = f"{larger.score} against {smaller.score}; above in {100 * share:.0f} % of pairs of draws"
    return Finding(f"{larger.name} above {smaller.name}", "above", measured, larger.central > smaller.central)


def _equivalent(case: Event, told: list[Row], doctrine: Doctrine, *, asked: bool) -> Iterator[Finding]:
    """Compare a case with one event of CISS level 3 that is as credible and hits as critical a sector, reach local."""
    credible = max(float(row["credibility"]) for row in told)
    reference = incident(0, 0.0, 3.0, level_lo=3.0, level_hi=3.0, credibility=credible, critical=any(row["critical"] for row in told))
    three = event("a CISS-3 event", [reference], doctrine)
    measured = f"{case.score} against {three.score}; central scores compared"
    yield Finding(
        f"{case.name} at least a CISS-3 event of P(real) {credible:g}",
        "at least" if asked else "",
        measured,
        case.central >= three.central if asked else None,
    )


def _nuisances(doctrine: Doctrine) -> Finding:
    """300 nuisance floods in four months, which must not print as anything but low."""
    rows = [incident(number, 0.4 * number, 1.0, technique_class="ddos") for number in range(NUISANCES)]
    found = impact.score(*made(rows), doctrine=doctrine, as_of=date(START.year, 5, 1), days=0).impact.to_pylist()[-1]
    text = line(found)
    return Finding(f"{NUISANCES} nuisance DDoS", "print 'peak: low'", text.split("; tempo")[0], "peak: low" in text)
