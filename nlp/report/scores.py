"""What the page tells of the score of each state: its course, its vector, its shares, and the terms to take it apart with.

The terms are those of the closed form (`greyzone.impact.ledger`), so that the page can say what the score would be without any set of
items, under each doctrine. A state goes into the page whole or not at all: without one item the sums would be others. Where the page
has no more room, it says how many items of which state are in the table ``doses`` only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from greyzone.errors import SchemaError
from greyzone.places import state_name
from greyzone.report.parts import NAME, Row, day, rounded, shorten

ITEMS, LINKS = 20_000, 60_000
"""Items and links whose terms the page carries: about 4 MB."""
DIGITS = 14
"""Significant digits of a term: the page and the tables then agree to 1e-9 of a score."""
POINTS = ("p05", "p50", "p95")


def tell_scores(known: Mapping[str, pa.Table]) -> list[Row]:
    """Return one entry a state by name, never by score: its curve, the vector of the last day, the shares."""
    rows = known["impact"].sort_by([("target_state", "ascending"), ("date", "ascending")]).to_pylist()
    shares: dict[tuple[object, object], list[Row]] = {}
    for share in known["shares"].to_pylist():
        shares.setdefault((share["target_state"], share["date"]), []).append(share)
    states: dict[str, list[Row]] = {}
    for row in rows:
        states.setdefault(row["target_state"], []).append(row)
    seen, owed = _by_state(known["views"]), _by_state(known["sensitivity"])
    found = [
        _state(state, series, shares.get((state, series[-1]["date"]), []))
        | {"views": [_view(row) for row in seen.get(state, [])], "owed": [_owed(row) for row in owed.get(state, [])]}
        for state, series in states.items()
    ]
    return sorted(found, key=lambda entry: (str(entry["name"]), str(entry["state"])))


def tell_terms(known: Mapping[str, pa.Table], states: Iterable[str]) -> tuple[dict[str, Row], dict[str, int]]:
    """Return the terms of each state, and how many items of each state there was no room for.

    Parameters
    ----------
    known
        Tables of the case by name.
    states
        Codes in the order in which they get room.
    """
    ledger, doses, couplings = (_by_state(known[name]) for name in ("ledger", "doses", "couplings"))
    found: dict[str, Row] = {}
    left: dict[str, int] = {}
    items = links = 0
    for state in states:
        heads = sorted(ledger.get(state, []), key=lambda row: (not row["own"], row["doctrine"]))
        if not heads or state not in doses:
            continue
        count = len({row["item_id"] for row in doses[state]})
        linked = len(couplings.get(state, [])) // len(heads)
        if items + count > ITEMS or links + linked > LINKS:
            left[state] = count
            continue
        items, links = items + count, links + linked
        found[state] = _terms(heads, doses[state], couplings.get(state, []))
    return found, left


def names_of(known: Mapping[str, pa.Table]) -> dict[str, str]:
    """Return the names of everything that a share of a score may point to."""
    wanted = pa.array(
        sorted(set(known["shares"]["item_id"].to_pylist()) | set(known["impact"]["peak_item"].drop_null().to_pylist())), pa.string()
    )
    found: dict[str, str] = {}
    for table, key, name in (("incidents", "incident_id", "name"), ("narratives", "narrative_id", "label")):
        rows = known[table].filter(pc.is_in(known[table][key], value_set=wanted))
        found |= {
            identity: shorten(str(text or identity), NAME)
            for identity, text in zip(rows[key].to_pylist(), rows[name].to_pylist(), strict=True)
        }
    return found


def _by_state(found: pa.Table) -> dict[str, list[Row]]:
    states: dict[str, list[Row]] = {}
    for row in found.to_pylist():
        states.setdefault(row["target_state"], []).append(row)
    return states


def _view(row: Row) -> list[object]:
    """Kind of view, key, its probability, items that could count, the three points of the score, status."""
    points = [rounded(row[f"score_{point}"], 1) for point in POINTS]
    return [row["view"], row["key"], rounded(row["p"], 2), row["items"], points, row["status"]]


def _owed(row: Row) -> list[object]:
    """Parameter, its two values, the two scores, total Sobol index; the largest swing comes first in the table."""
    values = [rounded(row[name], 4) for name in ("low", "high")]
    return [row["parameter"], values, [rounded(row[name], 1) for name in ("score_low", "score_high")], rounded(row["st"], 2)]


def _terms(heads: Sequence[Row], doses: Sequence[Row], couplings: Sequence[Row]) -> Row:
    """Items once, and by doctrine what differs; doctrines with the same doses and links share them."""
    ids = sorted({row["item_id"] for row in doses})
    place = {identity: number for number, identity in enumerate(ids)}
    kinds = {row["item_id"]: row["kind"] for row in doses}
    terms: list[Row] = []
    told = []
    for head in heads:
        rows = sorted((row for row in doses if row["doctrine"] == head["doctrine"]), key=lambda row: place[row["item_id"]])
        if [row["item_id"] for row in rows] != ids:
            raise SchemaError(
                f"{len(rows)} doses under {head['doctrine']!r} for {len(ids)} items", "a dose of every item, once", "score again"
            )
        pairs = [row for row in couplings if row["doctrine"] == head["doctrine"]]
        own = {
            "dose": [_exact(row["dose"]) for row in rows],
            "wave": _waves(rows),
            "links": [[place[row["incident_id"]], place[row["narrative_id"]], _exact(row["weight"])] for row in pairs],
        }
        if own not in terms:
            terms.append(own)
        told.append(
            {
                "name": head["doctrine"],
                "hash": head["doctrine_hash"],
                "own": head["own"],
                "q": head["q"],
                "gamma": head["gamma"],
                "d0": head["d0"],
                "status": head["status"],
                "score": [rounded(head[f"score_{point}"], 2) for point in POINTS],
                "terms": terms.index(own),
                "without": [[rounded(row[f"without_{point}"], 2) for point in POINTS] for row in rows],
                "drop": [[rounded(row[f"drop_{point}"], 2) for point in POINTS] for row in rows],
            }
        )
    return {"items": ids, "narrative": [int(kinds[identity] == "narrative") for identity in ids], "terms": terms, "doctrines": told}


def _waves(rows: Sequence[Row]) -> list[int]:
    """Waves counted from 0 in order of their keys; -1 for narratives."""
    number = {wave: count for count, wave in enumerate(sorted({row["wave"] for row in rows if row["wave"] is not None}))}
    return [-1 if row["wave"] is None else number[row["wave"]] for row in rows]


def _exact(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _state(state: str, series: list[Row], shares: list[Row]) -> Row:
    last = series[-1]
    ordered = sorted(shares, key=lambda share: (-float(share["share"]), str(share["item_id"])))
    keys = ("score_p05", "score_p50", "score_p95", "doctrine_p05", "doctrine_p95")
    return {
        "state": state,
        "name": state_name(state) if state else "state not named",
        "curve": [[day(row["date"]), *(rounded(row[key], 2) for key in keys)] for row in series],
        "last": {
            "date": day(last["date"]),
            "score": [rounded(last[key], 1) for key in keys[:3]],
            "doctrine": [rounded(last[key], 1) for key in keys[3:]],
            "named": [last["doctrine"], last["doctrine_hash"]],
            "status": last["status"],
            "peak": rounded(last["peak"], 1),
            "peak_item": last["peak_item"],
            "peak_words": last["peak_words"],
            "excess": rounded(last["excess"], 1),
            "tempo": rounded(last["tempo"], 2),
            "tempo_p": rounded(last["tempo_p"], 3),
            "breadth": rounded(last["breadth"], 2),
            "hybridity": rounded(last["hybridity"], 3),
            "coverage": last["coverage"],
        },
        "shares": [[s["item_id"], s["kind"], *(rounded(s[key], 3) for key in ("share", "share_p05", "share_p95"))] for s in ordered],
    }
