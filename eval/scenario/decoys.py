"""The list of incidents of a scenario: those that narratives exploit, and decoys that look like them.

For every bound incident there are near decoys that share most of what a linker looks at: same state and sector weeks away, same
week and sector in another state, same state and week in another sector, same state, sector and month with the day unknown.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from greyzone.eval.scenario.plan import DAYS, day_of
from greyzone.eval.scenario.templates import Draws, invented_word, load

COLUMNS = (
    "id",
    "name",
    "description",
    "start",
    "end",
    "target",
    "sector",
    "technique",
    "actor",
    "malware",
    "severity",
    "outlet",
    "source_url",
)

_BEASTS = ("Newt", "Gecko", "Finch", "Stoat", "Perch", "Cricket", "Weasel", "Plover")

MAPPING = {
    "source": "scenario",
    "scale": "eurepoc",
    "columns": {
        "name": "name",
        "description": "description",
        "source_id": "id",
        "onset": "start",
        "end": "end",
        "target_states": "target",
        "sectors": "sector",
        "technique_class": "technique",
        "actors": "actor",
        "malware": "malware",
        "scale_code": "severity",
        "urls": "source_url",
    },
}
"""How the columns of incidents.csv become fields of an incident."""


def incident_rows(onsets: Mapping[str, int], *, seed: int = 0) -> list[dict[str, str]]:
    """Return the rows of incidents.csv, bound incidents and decoys mixed.

    Parameters
    ----------
    onsets
        Day number of each bound incident.
    seed
        Seed of the decoys and of the order.
    """
    table: Any = load("cast")
    draws = Draws(np.random.default_rng([seed, 4]))
    rows = [_bound(entry, onsets[key]) for key, entry in table["incidents"].items()]
    for key, entry in table["incidents"].items():
        rows.extend(_near(entry, onsets[key], table["decoys"], draws))
    rows.extend([_random(table["decoys"], draws) for _ in range(int(table["decoys"]["random"]))])
    order = draws.sample(len(rows), len(rows))
    return [{"id": f"inc-{number:03d}", **rows[index]} for number, index in enumerate(order, start=1)]


def write_incidents(rows: Sequence[Mapping[str, str]], table: Path, mapping: Path) -> None:
    """Write the rows as CSV, and the mapping that reads them."""
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    mapping.write_text(yaml.safe_dump(MAPPING, sort_keys=False), encoding="utf-8")


def _bound(entry: Mapping[str, Any], onset: int) -> dict[str, str]:
    return {
        "name": entry["name"],
        "description": entry["description"],
        "start": day_of(onset).isoformat(),
        "end": day_of(onset + int(entry["days"])).isoformat(),
        "target": entry["state"],
        "sector": entry["sector"],
        "technique": entry["technique"],
        "actor": entry["actor"],
        "malware": entry["malware"],
        "severity": str(entry["severity"]),
        "outlet": "incident-desk.example",
        "source_url": f"https://incident-desk.example/{day_of(onset).isoformat()}/{entry['state'].lower()}",
    }


def _near(entry: Mapping[str, Any], onset: int, decoys: Mapping[str, Any], draws: Draws) -> list[dict[str, str]]:
    others = [state for state in decoys["states"] if state != entry["state"]]
    sectors = [sector for sector in decoys["sectors"] if sector != entry["sector"]]
    away = 40 + draws.below(15)
    away = onset + away if onset + away < DAYS else onset - away
    state, sector, technique = entry["state"], entry["sector"], entry["technique"]
    return [
        _row(decoys, draws, (state, sector, technique), away),
        _row(decoys, draws, (draws.pick(others), sector, technique), onset + draws.below(5) - 2),
        _row(decoys, draws, (state, draws.pick(sectors), technique), onset + draws.below(5) - 2),
        _row(decoys, draws, (state, sector, draws.pick(list(decoys["techniques"]))), onset, month_only=True),
    ]


def _random(decoys: Mapping[str, Any], draws: Draws) -> dict[str, str]:
    kind = (draws.pick(decoys["states"]), draws.pick(list(decoys["sectors"])), draws.pick(list(decoys["techniques"])))
    return _row(decoys, draws, kind, draws.below(DAYS), month_only=draws.unit() < 0.2)


def _row(decoys: Mapping[str, Any], draws: Draws, kind: tuple[str, str, str], onset: int, *, month_only: bool = False) -> dict[str, str]:
    state, sector, technique = kind
    name, organisation = invented_word(draws), draws.pick(decoys["sectors"][sector])
    malware = f"{invented_word(draws)}{draws.pick(_BEASTS)}" if technique in ("ransomware", "wiper") else ""
    count = 2 + draws.below(60)
    description = decoys["techniques"][technique].format(
        malware=f" {malware}" if malware else "", org=organisation, name=name, state=state, n=count
    )
    start = day_of(onset)
    return {
        "name": f"{name} {organisation} {technique}",
        "description": description,
        "start": start.strftime("%Y-%m") if month_only else start.isoformat(),
        "end": "" if month_only else day_of(onset + 1 + draws.below(5)).isoformat(),
        "target": state,
        "sector": sector,
        "technique": technique,
        "actor": draws.pick(decoys["actors"]),
        "malware": malware,
        "severity": str(1 + draws.below(6)),
        "outlet": "incident-desk.example",
        "source_url": f"https://incident-desk.example/{start.isoformat()}/{name.lower()}",
    }
