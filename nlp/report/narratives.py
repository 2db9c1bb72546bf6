"""What the page tells of each narrative: what it says, when it rose and fell, who carried it, and what it is not.

Accounts are pseudonyms; of long lists the page shows the first entries and how many there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa

from greyzone.report.parts import NAME, Row, day, rounded, shorten
from greyzone.words import pseudonym

SHOWN = 5
"""Languages, and outlets, of a narrative on the page; the case holds them all."""


def tell_narratives(narratives: pa.Table, coordinated: Mapping[str, float]) -> list[Row]:
    """Return one entry a narrative.

    Parameters
    ----------
    narratives
        Table of the schema `greyzone.records.NARRATIVES`.
    coordinated
        By narrative, the share of its documents from accounts of flagged groups.
    """
    rows = narratives.to_pylist()
    themes = Counter(row["theme_id"] for row in rows)
    return [_narrative(row, coordinated) | _more(row, themes) for row in rows]


def _narrative(row: Row, coordinated: Mapping[str, float]) -> Row:
    return {
        "id": row["narrative_id"],
        "label": row["label"],
        "headline": row["headline"],
        "keywords": row["keywords"] or [],
        "size": row["size"],
        "texts": row["distinct_texts"],
        "accounts": row["accounts"],
        "languages": row["languages"] or [],
        "targets": row["targets"] or [],
        "onset": [day(row["onset_lo"]), day(row["onset_hi"])],
        "peak": day(row["peak_day"]),
        "exemplars": row["exemplars"] or [],
        "breakout": [round(value, 3) for value in (row["breakout"] or [])],
        "volume": [[day(point["day"]), point["documents"]] for point in (row["volume"] or [])],
        "coordinated": rounded(coordinated.get(str(row["narrative_id"]), 0.0)),
    }


def _more(row: Row, themes: Mapping[str, int]) -> Row:
    """Return what stands behind a narrative: its course, its carriers, its terms, and its nearest rival."""
    carriers, terms = row["spread"] or [], row["terms"] or []
    return {
        "generated": row["generated_label"],
        "terms": [[found["lang"], found["terms"]] for found in terms[:SHOWN]],
        "more_terms": len(terms[SHOWN:]),
        "bursts": [[day(burst["first"]), day(burst["last"]), burst["documents"]] for burst in (row["bursts"] or [])],
        "half_life": row["half_life"],
        "movers": [[_carrier(mover), *(day(mover[end]) for end in ("at_lo", "at_hi"))] for mover in (row["first_movers"] or [])],
        "spread": {kind: _over_time([entry for entry in carriers if entry["kind"] == kind]) for kind in ("language", "outlet")},
        "rival": [row["rival_id"], rounded(row["rival_distance"], 2), row["rival_terms"] or []] if row["rival_id"] else None,
        "stories": row["stories"],
        "kin": themes[row["theme_id"]] - 1 if row["theme_id"] else None,
    }


def _carrier(mover: Row) -> str:
    return pseudonym(mover["name"]) if mover["kind"] == "account" else shorten(str(mover["name"]), NAME)


def _over_time(entries: list[Row]) -> Row:
    shown = [
        [shorten(str(entry["name"]), NAME), entry["documents"], day(entry["first_seen"]), day(entry["last_seen"])]
        for entry in entries[:SHOWN]
    ]
    return {"shown": shown, "of": len(entries)}
