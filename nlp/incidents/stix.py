"""STIX 2.1 bundles: incidents, campaigns and reports become incident reports, the objects around them their fields.

Reached from an event in at most three steps of relationships and object references: intrusion sets and threat actors (hypotheses of
actors), identities and locations (target states and sectors), malware, tools, vulnerabilities, indicators and observables (entities). A
report that refers to an incident or campaign lends it its links and publication date, and is no event of its own.

Campaigns of ATT&CK's own bundle (objects with ``x_mitre_`` properties) are dated by month, as `greyzone.incidents.attack` says.

Admiralty comes from ``confidence`` by the STIX scale (80 and more: 1, then every 20 points a step). Every object is an event, part of
one, or a row of `REJECTS`; references to objects that are not there are counted, circles are walked once.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from greyzone.dates import Moment
from greyzone.errors import InputError
from greyzone.incidents.attack import month_of, plain_text, year_flags
from greyzone.incidents.exported import drafts_of, reports_held
from greyzone.incidents.reports import (
    Draft,
    clean_text,
    disclosure,
    is_generic,
    moment_of,
    onset_interval,
    reject,
    states_of,
    technique_of,
    unique,
)
from greyzone.incidents.stream import Unread

EVENTS = ("incident", "campaign", "report")
"""Types that become incident reports."""

CONTEXT: tuple[str, ...] = (
    "intrusion-set",
    "threat-actor",
    "identity",
    "location",
    "malware",
    "tool",
    "vulnerability",
    "indicator",
    "attack-pattern",
)
CONTEXT += ("domain-name", "url", "file", "relationship", "marking-definition")
"""Types that give events their fields."""

_HOPS = 3
_TIES = ("type", "modified", "source_ref", "target_ref", "relationship_type", "object_refs")
_ACTORS = ("intrusion-set", "threat-actor")
_TARGETING = frozenset({"targets", "located-at", "impacts", "compromises"})
_PATTERN = re.compile(r"(domain-name|url):value\s*=\s*'([^']{1,500})'|hashes\.[^=]{1,40}=\s*'([0-9a-fA-F]{32,64})'")
_STARTS = ("first_seen", "start_time", "onset", "incident_start", "first_observed")
_ENDS = ("last_seen", "end_time", "incident_end", "stop_time")

Objects = Mapping[str, Mapping[str, object]]


def read_bundle(bundle: Mapping[str, object], path: str) -> tuple[list[tuple[Draft, int]], list[dict[str, object]]]:
    """Read a bundle that is in memory; as `read_objects`."""
    listed = bundle.get("objects")
    whole = listed if isinstance(listed, list) else []
    return read_objects(lambda: enumerate(whole, start=1), path)


def read_objects(again: Callable[[], Iterable[tuple[int, object]]], path: str) -> tuple[list[tuple[Draft, int]], list[dict[str, object]]]:
    """Read the objects of a bundle, twice: who is tied to whom first, then what the events and what they reach say.

    Parameters
    ----------
    again
        Yields (1-based place, object) from the beginning at each call; an object may be a text that says why it could not be read.

    Returns
    -------
    tuple
        (drafts with the 1-based place of their object, rows of `REJECTS`).
    """
    objects, places, rejects = _index(again(), path)
    relations, missing = _relations(objects)
    rejects += [reject("reference to an object that is not in the bundle", ref, path, places[at], action="repaired") for at, ref in missing]
    events = [at for at, item in objects.items() if item["type"] in EVENTS]
    written_up = _write_ups(objects, events)
    reached = {at: _reach(at, objects, relations) for at in events if at not in written_up}
    used = {*written_up, *reached, *(other for found in reached.values() for other in found)}
    wanted = {places[at] for at in used}
    told: dict[str, Mapping[str, object]] = {str(item["id"]): item for place, item in again() if place in wanted and isinstance(item, dict)}
    held = reports_held(told[at] for at in events)
    drafts: list[tuple[Draft, int]] = []
    for at, found in reached.items():
        try:
            own = drafts_of(told[at], held)
        except InputError as error:
            rejects.append(reject("record of greyzone that cannot be read", error, path, places[at], action="repaired"))
            own = None
        if own is not None:
            drafts += [(draft, places[at]) for draft in own]
            if objects[at]["type"] != "incident":
                rejects.append(reject("finding of greyzone, no incident", objects[at]["type"], path, places[at]))
            continue
        reports = [told[report] for report in sorted(written_up) if at in written_up[report]]
        drafts.append((_draft(told[at], [(told[other], how) for other, how in found.items()], reports), places[at]))
    for at, item in objects.items():
        if item["type"] == "relationship" and {str(item.get("source_ref")), str(item.get("target_ref"))} <= used:
            used.add(at)
    for at, item in objects.items():
        if at not in used and item["type"] != "marking-definition":
            known = item["type"] in CONTEXT
            reason = "object attached to no incident" if known else "object type not used"
            rejects.append(reject(reason, item["type"], path, places[at]))
    rejects.sort(key=lambda row: (row["offset"], row["reason"], row["detail"]))
    return drafts, rejects


def _index(
    listed: Iterable[tuple[int, object]], path: str
) -> tuple[dict[str, Mapping[str, object]], dict[str, int], list[dict[str, object]]]:
    """Return what ties objects, by id, the place of each, and the objects that are none: of versions of an object the last one counts."""
    objects: dict[str, Mapping[str, object]] = {}
    places: dict[str, int] = {}
    rejects: list[dict[str, object]] = []
    for place, item in listed:
        if isinstance(item, Unread):
            rejects.append(reject("object that could not be read", item, path, place))
        elif not isinstance(item, dict) or not isinstance(item.get("id"), str) or not isinstance(item.get("type"), str):
            rejects.append(reject("object without type and id", str(item)[:80], path, place))
        elif item.get("revoked") is True:
            rejects.append(reject("object revoked", item["id"], path, place))
        elif (known := objects.get(item["id"])) is not None:
            older = str(item.get("modified", "")) <= str(known.get("modified", ""))
            rejects.append(reject("older version of an object", item["id"], path, place if older else places[item["id"]]))
            if not older:
                objects[item["id"]], places[item["id"]] = _skeleton(item), place
        else:
            objects[item["id"]], places[item["id"]] = _skeleton(item), place
    return objects, places, rejects


def _skeleton(item: Mapping[str, object]) -> dict[str, object]:
    """Return what ties an object to others: a few short texts of what may be a long one."""
    kept = {key: item[key] for key in _TIES if key in item}
    kept["type"] = sys.intern(str(item["type"]))
    return kept


def _relations(objects: Objects) -> tuple[dict[str, list[tuple[str, str]]], list[tuple[str, str]]]:
    """Return neighbours as id -> [(other id, how)], and the references that lead nowhere as (id, reference)."""
    relations: dict[str, list[tuple[str, str]]] = defaultdict(list)
    missing: list[tuple[str, str]] = []
    for at, item in objects.items():
        if item["type"] == "relationship":
            source, target = str(item.get("source_ref")), str(item.get("target_ref"))
            absent = [ref for ref in (source, target) if ref not in objects]
            missing += [(at, ref) for ref in absent]
            if not absent:
                how = str(item.get("relationship_type", "related-to"))
                relations[source].append((target, how))
                if how in ("located-at", "originates-from"):
                    continue
                relations[target].append((source, f"is-{how}"))
        elif item["type"] in EVENTS:
            for ref in _refs(item):
                if ref in objects:
                    relations[at].append((ref, "refers-to"))
                else:
                    missing.append((at, ref))
    return relations, missing


def _refs(item: Mapping[str, object]) -> list[str]:
    refs = item.get("object_refs")
    return [ref for ref in refs if isinstance(ref, str)] if isinstance(refs, list) else []


def _write_ups(objects: Objects, events: Sequence[str]) -> dict[str, list[str]]:
    """Return report id -> the incidents and campaigns that it refers to, for the reports that do."""
    stronger = {at for at in events if objects[at]["type"] != "report"}
    found = {at: [ref for ref in _refs(objects[at]) if ref in stronger] for at in events if objects[at]["type"] == "report"}
    return {at: refs for at, refs in found.items() if refs}


def _reach(start: str, objects: Objects, relations: Mapping[str, list[tuple[str, str]]]) -> dict[str, str]:
    """Return the objects reached from an event with the first way to each; other events and what lies behind them are not entered."""
    found: dict[str, str] = {}
    queue = deque([(start, 0, "")])
    while queue:
        at, hops, side = queue.popleft()
        for other, how in sorted(relations.get(at, ())):
            if other == start or other in found or objects[other]["type"] in EVENTS or hops == _HOPS:
                continue
            # What an actor is tied to elsewhere is the actor's: only its own place and the things of the event count.
            if hops and objects[at]["type"] != "relationship" and how not in ("located-at", "originates-from", "uses", "indicates"):
                continue
            kind = str(objects[other]["type"])
            way = "actor" if kind in _ACTORS or side == "actor" else "target" if how in _TARGETING or side == "target" else how
            found[other] = way
            queue.append((other, hops + 1, way if way in ("actor", "target") else ""))
    return found


def _draft(event: Mapping[str, object], around: list[tuple[Mapping[str, object], str]], reports: list[Mapping[str, object]]) -> Draft:
    start, stop = (_moment(event, names) for names in (_STARTS, _ENDS))
    name = clean_text(event.get("name")) or str(event["id"])
    description = clean_text(event.get("description"))
    if mitre := any(key.startswith("x_mitre_") for key in event):
        start, stop, description = month_of(start), month_of(stop), plain_text(event.get("description"))
    onset, end, flags = onset_interval(start, stop, widen=False)
    flags += year_flags(onset, description) if mitre else []
    states: list[str] = []
    sectors: list[str] = []
    entities: list[tuple[str, str]] = []
    for item, way in around:
        kind = str(item["type"])
        if way == "actor":
            if kind in _ACTORS:
                entities += [("actor", value) for value in _names(item)]
            continue
        if kind == "location":
            states += states_of([str(item.get("country") or item.get("name") or "")])[0]
        elif kind == "identity":
            labels = item.get("sectors")
            sectors += [str(value) for value in labels] if isinstance(labels, list) else []
            states += states_of(_names(item)[:1])[0] if way == "target" else []
            entities += [("organisation", value) for value in _names(item)[:1] if way == "target"]
        else:
            entities += _entities(item, kind)
    published = moment_of(event.get("published") or next((item.get("published") for item in reports), None))
    disclosed, untimely = disclosure(onset, published, published)
    words = event.get("incident_types") or event.get("labels") or event.get("report_types")
    stated = " ".join(map(str, words)) if isinstance(words, list) else ""
    technique = technique_of(stated)
    return Draft(
        source=f"stix:{_producer(event)}",
        source_id=str(event["id"]),
        name=name,
        description=description,
        onset=onset,
        end=end,
        disclosed=disclosed,
        published_at=published.lo if published else None,
        target_states=unique(states),
        sectors=unique(value.lower() for value in sectors),
        technique_class=technique if technique != "unknown" else technique_of(f"{name} {description} {event.get('objective', '')}"),
        actors=_hypotheses(around, event),
        entities=entities,
        admiralty=_admiralty(event.get("confidence")),
        urls=unique(url for item in [event, *reports] for url in _urls(item)),
        flags=flags + untimely,
        extra={key: str(event[key]) for key in ("type", "labels", "objective", "aliases") if event.get(key)},
    )


def _producer(event: Mapping[str, object]) -> str:
    """Return a short name for who made an object, so that two producers count as two sources."""
    return str(event.get("created_by_ref") or "unknown").removeprefix("identity--")[:12]


def _moment(event: Mapping[str, object], names: Sequence[str]) -> Moment | None:
    extensions = event.get("extensions")
    inner = [value for _, value in sorted(extensions.items()) if isinstance(value, dict)] if isinstance(extensions, dict) else []
    return next((moment for layer in [event, *inner] for key in names if (moment := moment_of(layer.get(key)))), None)


def _names(item: Mapping[str, object]) -> list[str]:
    aliases = item.get("aliases")
    found = [item.get("name"), *(aliases if isinstance(aliases, list) else [])]
    return unique(text for text in map(clean_text, found) if text and not is_generic(text))


def _entities(item: Mapping[str, object], kind: str) -> list[tuple[str, str]]:
    if kind in ("malware", "tool"):
        return [("malware", value) for value in _names(item)]
    if kind == "vulnerability":
        return [("cve", value.upper()) for value in _names(item) if value.upper().startswith("CVE-")]
    if kind in ("domain-name", "url"):
        return [("domain" if kind == "domain-name" else "url", clean_text(item.get("value")))]
    if kind == "file":
        hashes = item.get("hashes")
        return [("hash", str(value).lower()) for _, value in sorted(hashes.items())] if isinstance(hashes, dict) else []
    if kind == "indicator":
        matches = _PATTERN.finditer(str(item.get("pattern", "")))
        return [
            ("hash", match[3].lower()) if match[3] else ("domain" if match[1] == "domain-name" else "url", match[2]) for match in matches
        ]
    return []


def _hypotheses(around: list[tuple[Mapping[str, object], str]], event: Mapping[str, object]) -> list[dict[str, object]]:
    """Return the actors that the bundle ties to an event; they share the confidence of the event (0.5 where it has none)."""
    actors = [item for item, way in around if way == "actor" and item["type"] in _ACTORS]
    places = [item for item, way in around if way == "actor" and item["type"] == "location"]
    codes = states_of([str(item.get("country") or item.get("name") or "") for item in places])[0]
    confidence = event.get("confidence")
    mass = min(max(float(confidence), 0.0), 95.0) / 100 if isinstance(confidence, int | float) else 0.5
    state = codes[0] if len(codes) == 1 and len(actors) == 1 else None
    return [
        {"name": clean_text(item.get("name")) or "unnamed", "state": state, "probability": mass / len(actors), "said_by": _producer(event)}
        for item in actors
    ]


def _admiralty(confidence: object) -> int:
    if not isinstance(confidence, int | float) or confidence <= 0:
        return 6
    return 5 - min(int(confidence) // 20, 4)


def _urls(item: Mapping[str, object]) -> list[str]:
    references = item.get("external_references")
    listed = references if isinstance(references, list) else []
    return [str(ref["url"]) for ref in listed if isinstance(ref, dict) and str(ref.get("url", "")).startswith("http")]
