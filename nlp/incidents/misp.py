"""MISP events in the export format: ``{"Event": {...}}``, ``{"response": [{"Event": {...}}]}`` and lists or lines of these.

Rules of this reader
- onset: the event's date, a day; ``extra`` says that this is its basis, since MISP's date is what the author of the event entered.
- disclosure: between that day and the last publication of the event, which may have been published before.
- actors: clusters of the actor galaxies and tags of them, hypotheses of the organisation that made the event.
- targets: the cluster's country of target galaxies, and attributes of targets; the countries of actors are no targets.
- level: none; MISP's threat level grades the adversary, not the harm, and is kept in ``extra``.
- admiralty: a tag of the Admiralty scale's credibility, else 6.
- attributes of types that no field takes are counted by type in ``extra``; deleted ones are left out and counted.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from greyzone.incidents.reports import Draft, clean_text, disclosure, is_generic, moment_of, reject, states_of, technique_of, unique

ACTOR_GALAXIES = frozenset(
    {"threat-actor", "mitre-intrusion-set", "mitre-enterprise-attack-intrusion-set", "microsoft-activity-group", "360net-threat-actor"}
)
MALWARE_GALAXIES = frozenset(
    {"malpedia", "tool", "ransomware", "rat", "banker", "botnet", "backdoor", "stealer", "cryptominers", "android", "exploit-kit"}
    | {"mitre-malware", "mitre-tool", "mitre-enterprise-attack-malware", "mitre-enterprise-attack-tool"}
)
TARGET_GALAXIES = frozenset({"target-information", "country"})
"""Types of galaxies and what their clusters are."""

STATED = 0.5
"""Probability that the actors of an event share: an event says nothing of how they were found. Judgement, to be argued with."""

_KINDS = {"domain": "domain", "hostname": "domain", "url": "url", "vulnerability": "cve", "target-org": "organisation"}
_KINDS |= dict.fromkeys(("md5", "sha1", "sha256", "imphash", "sha224", "sha384", "sha512"), "hash")
_KINDS |= {
    "malware-type": "malware",
    "threat-actor": "actor",
    "campaign-name": "",
    "target-location": "",
    "link": "",
    "text": "",
    "comment": "",
}
_GALAXY_TAG = re.compile(r'misp-galaxy:([\w-]+)="([^"]{1,200})"')
_CREDIBILITY = re.compile(r'admiralty-scale:information-credibility="([1-6])"')
_KEPT = ("id", "uuid", "threat_level_id", "analysis", "distribution", "published", "orgc_id")


def read_event(event: Mapping[str, object], path: str, offset: int) -> tuple[Draft | None, list[dict[str, object]]]:
    """Read one event into a draft, or none if it has neither title nor identifier, and the rows of `REJECTS`."""
    name = clean_text(event.get("info")) or clean_text(event.get("uuid"))
    if not name:
        return None, [reject("event without title and identifier", sorted(map(str, event))[:8], path, offset)]
    attributes, deleted = _attributes(event)
    entities, texts, urls, places, unread = _indicators(attributes)
    galaxies, tags = _galaxies(event, attributes)
    names, countries, targets, sectors = [], [], list(places), []
    for kind, value, meta in galaxies:
        if kind in ACTOR_GALAXIES:
            names.append(value)
            synonyms = [str(item) for item in _list(meta.get("synonyms"))]
            entities += [("actor", item) for item in (value, *synonyms) if not is_generic(item)]
            countries += [str(item) for item in _list(meta.get("country"))]
        elif kind in MALWARE_GALAXIES:
            entities.append(("malware", value))
        elif kind in TARGET_GALAXIES:
            targets.append(value)
        elif kind == "sector":
            sectors.append(value.lower())
    states, strange = states_of(targets)
    mended = [reject("target is no known state", value, path, offset, action="repaired") for value in strange]
    organisation = clean_text(_mapping(event.get("Orgc")).get("name")) or "unknown"
    published = moment_of(event.get("publish_timestamp"))
    onset = moment_of(event.get("date"))
    disclosed, flags = disclosure(onset, onset, published)
    credibility = next((int(match[1]) for tag in tags if (match := _CREDIBILITY.search(tag))), 6)
    draft = Draft(
        source=f"misp:{organisation}",
        source_id=str(event.get("uuid") or event.get("id") or ""),
        name=name,
        description=clean_text(". ".join(texts)),
        onset=onset,
        disclosed=disclosed,
        published_at=published.lo if published else None,
        target_states=states,
        sectors=unique(sectors),
        technique_class=technique_of(f"{name} {' '.join(texts)} {' '.join(tags)}"),
        actors=_hypotheses(unique(names), unique(countries), organisation),
        entities=unique(entities),
        admiralty=credibility,
        urls=urls,
        flags=flags,
        extra=_extra(event, tags, unread, deleted),
    )
    return draft, mended


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _attributes(event: Mapping[str, object]) -> tuple[list[Mapping[str, object]], int]:
    """Return the attributes of an event and of its objects that are not deleted, and how many were."""
    listed = [_mapping(item) for item in _list(event.get("Attribute"))]
    for item in map(_mapping, _list(event.get("Object"))):
        inner = [_mapping(part) for part in _list(item.get("Attribute"))]
        listed += [part | {"deleted": True} for part in map(dict, inner)] if item.get("deleted") is True else inner
    kept = [item for item in listed if item and item.get("deleted") not in (True, "1", 1)]
    return kept, sum(bool(item) for item in listed) - len(kept)


def _indicators(
    attributes: list[Mapping[str, object]],
) -> tuple[list[tuple[str, str]], list[str], list[str], list[str], Counter[str]]:
    """Return entities, texts, addresses of reports, places of targets, and the number of values of every type that no field takes."""
    entities: list[tuple[str, str]] = []
    texts: list[str] = []
    urls: list[str] = []
    places: list[str] = []
    unread: Counter[str] = Counter()
    for item in attributes:
        kinds, values = str(item.get("type") or "untyped").split("|"), str(item.get("value") or "").split("|")
        for kind, raw in zip(kinds, values, strict=False):
            value = clean_text(raw)
            known = _KINDS.get(kind)
            if known is None or not value:
                unread[kind] += 1
            elif kind in ("text", "comment"):
                texts.append(value)
            elif kind == "target-location":
                places.append(value)
            elif kind == "campaign-name":
                texts.append(value)
            elif kind == "link" or (kind == "url" and item.get("category") == "External analysis"):
                urls += [value] if value.startswith("http") else []
            else:
                entities.append((known, value.upper() if known == "cve" else value.lower() if known in ("domain", "hash") else value))
    return entities, texts, unique(urls), places, unread


def _galaxies(
    event: Mapping[str, object], attributes: list[Mapping[str, object]]
) -> tuple[list[tuple[str, str, Mapping[str, object]]], list[str]]:
    """Return (galaxy, cluster, its meta) of the event, tags of galaxies included, and the other tags."""
    found: dict[tuple[str, str], Mapping[str, object]] = {}
    tags: list[str] = []
    for holder in (event, *attributes):
        for galaxy in map(_mapping, _list(holder.get("Galaxy"))):
            for cluster in map(_mapping, _list(galaxy.get("GalaxyCluster"))):
                kind = str(cluster.get("type") or galaxy.get("type") or "")
                found[kind, _cluster(cluster.get("value"))] = _mapping(cluster.get("meta"))
        for name in _tag_names(holder):
            match = _GALAXY_TAG.fullmatch(name)
            if match:
                found.setdefault((match[1], _cluster(match[2])), {})
            elif holder is event:
                tags.append(name)
    return [(kind, value, meta) for (kind, value), meta in sorted(found.items(), key=lambda item: item[0]) if value], unique(tags)


def _tag_names(holder: Mapping[str, object]) -> Iterator[str]:
    for tag in map(_mapping, _list(holder.get("Tag"))):
        yield str(tag.get("name") or "")


def _cluster(value: object) -> str:
    """Return the name of a cluster without the identifier that ATT&CK's carry ("Sofacy - G0007")."""
    return re.sub(r" - [GSTC][0-9]{4}$", "", clean_text(value))


def _hypotheses(names: list[str], countries: list[str], organisation: str) -> list[dict[str, object]]:
    codes = states_of(countries)[0]
    state = codes[0] if len(codes) == 1 and len(names) == 1 else None
    return [{"name": name, "state": state, "probability": STATED / len(names), "said_by": organisation} for name in names]


def _extra(event: Mapping[str, object], tags: list[str], unread: Counter[str], deleted: int) -> dict[str, str]:
    extra = {key: str(event[key]) for key in _KEPT if event.get(key) not in (None, "")}
    extra["date_basis"] = "the date of the event"
    if tags:
        extra["tags"] = json.dumps(sorted(tags), ensure_ascii=False)
    if unread:
        extra["attributes_not_used"] = json.dumps(dict(sorted(unread.items())), ensure_ascii=False)
    if deleted:
        extra["attributes_deleted"] = str(deleted)
    return extra
