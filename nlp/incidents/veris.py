"""Incidents in the VERIS schema, as the VERIS Community Database has them: one JSON object an incident.

Rules of this reader
- what is no attack is rejected with its reason: false positives and near misses, and incidents whose only actions are errors, the
  environment or the loss and theft of things; malware, hacking, social engineering and misuse stay.
- technique: by the varieties of the actions and of what was lost, the first of the rules in `_technique`.
- level: none; VERIS rates the harm to the victim's own business, which no crosswalk of the doctrine knows (kept in ``extra``).
- dates: year, month and day as far as they are given; the disclosure is the notification that VCDB keeps in ``plus``.
- sectors: the first two digits of the industry (NAICS), unknown ones are counted.
- admiralty: by the hosts of the references (2 for two, 3 for one, 6 for none), never better than 3 for what is only suspected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from greyzone.dates import Moment
from greyzone.incidents.reports import Draft, clean_text, disclosure, is_generic, moment_of, reject, states_of, technique_of, unique

KEYS = frozenset({"action", "actor", "victim", "timeline"})
"""Keys by which an incident is known."""

ACTIONS = frozenset({"malware", "hacking", "social", "misuse", "physical", "error", "environmental", "unknown"})
"""Kinds of actions of VERIS; others are counted as unknown codes."""

CODED = 0.5
"""Probability that the named actors share: coders of press reports. Judgement, to be argued with."""

INDUSTRIES = {"11": "agriculture", "21": "mining", "22": "energy", "23": "construction", "31": "manufacturing", "32": "manufacturing"}
INDUSTRIES |= {"33": "manufacturing", "42": "trade", "44": "retail", "45": "retail", "48": "transport", "49": "transport"}
INDUSTRIES |= {"51": "information", "52": "finance", "53": "real estate", "54": "professional services", "55": "management"}
INDUSTRIES |= {"56": "administrative services", "61": "education", "62": "health", "71": "entertainment", "72": "accommodation"}
INDUSTRIES |= {"81": "other services", "92": "government", "00": ""}
"""Sectors of the North American Industry Classification System by their first two digits."""

_ATTACKS = frozenset({"malware", "hacking", "social", "misuse", "unknown"})
_NO_INCIDENT = frozenset({"false positive", "near miss"})
_KEPT = ("schema_version", "security_incident", "confidence", "campaign_id", "source_id", "discovery_method")


def read_incident(item: Mapping[str, object], path: str, offset: int) -> tuple[Draft | None, list[dict[str, object]]]:
    """Read one incident into a draft, or none if it is no attack, and the rows of `REJECTS`."""
    actions, victim, actor = (_mapping(item.get(key)) for key in ("action", "victim", "actor"))
    called = clean_text(item.get("incident_id")) or clean_text(victim.get("victim_id"))
    status = str(item.get("security_incident") or "").strip().casefold()
    if status in _NO_INCIDENT:
        return None, [reject(f"no incident: {status}", called, path, offset)]
    kinds = sorted(str(kind) for kind in actions)
    if kinds and not _ATTACKS & set(kinds) and set(kinds) <= ACTIONS:
        return None, [reject(f"no attack: {', '.join(kinds)}", called, path, offset)]
    mended = [reject("unknown action", kind, path, offset, action="repaired") for kind in kinds if kind not in ACTIONS]
    victims = [name for name in map(clean_text, _strings(victim.get("victim_id"))) if not is_generic(name)]
    countries = [text for text in _strings(victim.get("country")) if not is_generic(text)]
    states, strange = states_of(countries)
    mended += [reject("target is no known state", value, path, offset, action="repaired") for value in strange]
    sectors, unknown = _sectors(victim)
    mended += [reject("unknown industry", value, path, offset, action="repaired") for value in unknown]
    summary = clean_text(item.get("summary"))
    onset = _moment(_mapping(_mapping(item.get("timeline")).get("incident")))
    notified = _moment(_mapping(_mapping(_mapping(item.get("plus")).get("timeline")).get("notification")))
    disclosed, flags = disclosure(onset, notified, notified)
    technique = _technique(item, actions, actor, summary)
    name = f"{victims[0] if victims else 'unnamed victim'}: {', '.join(kinds) or 'unknown action'}"
    urls = unique(url.rstrip(",;") for url in re.findall(r"https?://[^\s;]+", str(item.get("reference") or "")))
    hosts = {0: 6, 1: 3}.get(len({urlsplit(url).hostname for url in urls}), 2)
    actors, names = _actors(actor)
    draft = Draft(
        source="veris",
        source_id=clean_text(item.get("incident_id")),
        name=name,
        description=summary,
        onset=onset,
        disclosed=disclosed,
        target_states=states,
        sectors=sectors,
        technique_class=technique,
        actors=actors,
        entities=[("organisation", value) for value in victims] + [("actor", value) for value in names] + _malware(actions),
        admiralty=max(hosts, 3) if status == "suspected" and hosts < 6 else hosts,
        urls=urls,
        flags=flags,
        extra=_extra(item, actor),
    )
    return draft, mended


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _strings(value: object) -> list[str]:
    return [str(part) for part in value if part is not None] if isinstance(value, list) else [] if value is None else [str(value)]


def _words(holder: Mapping[str, object], *keys: str) -> str:
    return " ".join(text for key in keys for text in _strings(holder.get(key))).casefold()


def _moment(when: Mapping[str, object]) -> Moment | None:
    parts: list[str] = []
    for key, width in (("year", 4), ("month", 2), ("day", 2)):
        text = str(when.get(key) or "").removesuffix(".0")
        if not text.isdecimal() or not int(text):
            break
        parts.append(text.zfill(width))
    # A day that its month does not have leaves the month, rather than nothing.
    return next((moment for end in range(len(parts), 0, -1) if (moment := moment_of("-".join(parts[:end])))), None)


def _sectors(victim: Mapping[str, object]) -> tuple[list[str], list[str]]:
    codes = [text.strip() for text in _strings(victim.get("industry")) if not is_generic(text)]
    known = [INDUSTRIES.get(code[:2]) for code in codes]
    return unique(name for name in known if name), [code for code, name in zip(codes, known, strict=True) if name is None]


def _technique(item: Mapping[str, object], actions: Mapping[str, object], actor: Mapping[str, object], summary: str) -> str:
    malware, hacking = (_words(_mapping(actions.get(kind)), "variety") for kind in ("malware", "hacking"))
    lost = _mapping(item.get("attribute"))
    integrity = _words(_mapping(lost.get("integrity")), "variety")
    disclosed = _words(_mapping(lost.get("confidentiality")), "data_disclosure")
    motives = " ".join(_words(_mapping(party), "motive") for party in actor.values())
    rules = (
        ("ransomware", "ransomware" in malware),
        ("defacement", "defacement" in integrity or "defacement" in hacking),
        ("disruption", "dos" in hacking.split() or "dos" in malware.split() or "destroy" in malware or "wipe" in malware),
        ("espionage", "espionage" in motives),
        ("data theft", disclosed.startswith("yes")),
    )
    found = next((name for name, holds in rules if holds), None) or technique_of(summary)
    return "hijacking" if found == "unknown" and (hacking or malware) else found


def _malware(actions: Mapping[str, object]) -> list[tuple[str, str]]:
    holder = _mapping(actions.get("malware"))
    names = [clean_text(part) for text in _strings(holder.get("name")) for part in text.split(",")]
    cves = [clean_text(text).upper() for kind in ("malware", "hacking") for text in _strings(_mapping(actions.get(kind)).get("cve"))]
    found = [("malware", name) for name in names if not is_generic(name)]
    return found + [("cve", value) for text in cves for value in re.findall(r"CVE-\d{4}-\d{4,7}", text)]


def _actors(actor: Mapping[str, object]) -> tuple[list[dict[str, object]], list[str]]:
    external = _mapping(actor.get("external"))
    names = unique(name for name in map(clean_text, _strings(external.get("name"))) if not is_generic(name))
    codes = states_of(text for text in _strings(external.get("country")) if not is_generic(text))[0]
    pairs: list[tuple[str, str | None]] = [(name, codes[0] if len(codes) == 1 else None) for name in names]
    pairs = pairs or [("unnamed", code) for code in codes]
    return [{"name": name, "state": state, "probability": CODED / len(pairs), "said_by": "coders of VERIS"} for name, state in pairs], names


def _extra(item: Mapping[str, object], actor: Mapping[str, object]) -> dict[str, str]:
    extra = {key: str(item[key]) for key in _KEPT if item.get(key) not in (None, "")}
    extra["date_basis"] = "the incident's timeline"
    if actor:
        extra["actor_kinds"] = ", ".join(sorted(map(str, actor)))
    if varieties := _words(_mapping(actor.get("external")), "variety"):
        extra["actor_variety"] = varieties
    if rating := _mapping(item.get("impact")).get("overall_rating"):
        extra["impact_overall_rating"] = str(rating)
    known = {*KEYS, *_KEPT, "incident_id", "summary", "reference", "attribute", "impact", "security_incident"}
    if others := sorted(str(key) for key in item if key not in known):
        extra["fields_not_used"] = ", ".join(others)
    return extra
