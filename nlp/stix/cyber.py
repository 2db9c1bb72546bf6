"""Incidents, where they struck, and what sources say of who was behind them.

An actor that a source names is an intrusion set that nothing is attributed to: the incidents stand beside it in a grouping for the
hypothesis, and a note for every source says whose hypothesis it is and how probable that source makes it. Who names nobody ("unknown")
adds none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from greyzone.handles import safe_url
from greyzone.records import INCIDENTS, REPORTS
from greyzone.stix.objects import SHARE_SCALE, Maker, Object, object_id, timestamp
from greyzone.stix.rows import encode
from greyzone.words import quoted

Row = Mapping[str, Any]

NOBODY = frozenset({"", "unknown", "not available", "unknown - not attributed"})
"""Folded names that name nobody."""

Named = dict[str, list[tuple[str, float, str]]]
"""Actor name -> [(incident id, probability, who says so)]."""


def incident_objects(make: Maker, row: Row, reports: Sequence[Row]) -> Iterator[Object]:
    """Yield an incident and the relationship to its target state; `reports` are rows behind it that no other incident holds."""
    dated = f"Onset between {timestamp(row['onset_lo'])} and {timestamp(row['onset_hi'])} ({row['onset_precision'] or 'unknown'})."
    if row["onset_lo"] is None:
        dated = "Onset not known."
    credibility = row["credibility"]
    real = "" if credibility is None else f" Probability of being real {credibility:.2f}."
    level = row["level_mode"]
    graded = (
        ""
        if level is None
        else f" Level {level:.1f} of 5, between {row['level_lo'] or 0:.1f} and {row['level_hi'] or 5:.1f}, before reach."
    )
    item = make(
        "incident",
        row["incident_id"],
        since=row["onset_lo"],
        name=row["name"] or row["incident_id"],
        description=f"{dated}{real}{graded} {row['description'] or ''}".strip(),
        labels=[row["technique_class"]] if row["technique_class"] else [],
        confidence=None if credibility is None else round(100 * min(max(credibility, 0.0), 1.0)),
        external_references=_references(row, reports),
        record={
            "table": "incidents",
            **encode(row, INCIDENTS),
            "confidence_scale": SHARE_SCALE,
            **({"reports": [encode(report, REPORTS) for report in reports]} if reports else {}),
        },
    )
    yield item
    if row["target_state"]:
        yield make.relationship("related-to", item["id"], object_id("location", row["target_state"]), description="target state")


def note_actors(row: Row, named: Named) -> None:
    """Enter who is named for an incident into `named`."""
    for actor in row["actors"] or ():
        name = actor["name"]
        if name and name.casefold().strip() not in NOBODY:
            named.setdefault(name, []).append((row["incident_id"], actor["probability"] or 0.0, actor["said_by"] or "an unnamed source"))


def hypothesis_objects(make: Maker, named: Named) -> Iterator[Object]:
    """Yield an intrusion set for every named actor, a note for every source that names it, and their grouping with the incidents."""
    for name, said in sorted(named.items()):
        sources = sorted({by for _, _, by in said})
        told = ", ".join(map(quoted, sources))
        actor = make(
            "intrusion-set",
            name,
            name=name,
            description=f"Hypothesis of {told}: a name that sources give. Nothing is attributed to it here.",
            labels=["hypothesis"],
            record={"said_by": "; ".join(sources)},
        )
        yield actor
        notes = []
        for source in sources:
            mine = sorted({(incident, p) for incident, p, by in said if by == source})
            lines = [
                f"Hypothesis of {quoted(source)}: {quoted(name)} is named for {incident} with probability {p:.2f}." for incident, p in mine
            ]
            refs = [actor["id"], *dict.fromkeys(object_id("incident", incident) for incident, _ in mine)]
            yield (note := make.note("hypothesis", name, source, abstract=f"Hypothesis of {quoted(source)}", lines=lines, refs=refs))
            notes.append(note["id"])
        incidents = [object_id("incident", incident) for incident in sorted({incident for incident, _, _ in said})]
        yield make(
            "grouping",
            "hypothesis",
            name,
            name=f"Hypothesis: {quoted(name)}",
            context="unspecified",
            description=f"Incidents for which {told} name {quoted(name)}: a hypothesis of theirs, not a finding.",
            object_refs=[actor["id"], *incidents, *notes],
        )


def _references(row: Row, reports: Sequence[Row]) -> list[Object]:
    found: list[Object] = []
    for report in reports:
        own = {"source_name": report["source"] or "unnamed source", "external_id": report["source_id"] or report["report_id"]}
        found.append(own)
        found += [{"source_name": own["source_name"], "url": url} for text in report["urls"] or () if (url := safe_url(text))]
    told = {item["source_name"] for item in found}
    found += [{"source_name": source, "external_id": row["incident_id"]} for source in sorted(set(row["sources"] or ()) - told) if source]
    return found
