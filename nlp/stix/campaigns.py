"""Campaigns: what they are made of, the techniques seen, each hypothesis by itself, what is not known, and the report.

Every hypothesis has a grouping and a note of its own, the unknown, the criminal and the organic one too. An intrusion set is in the
grouping of its hypothesis and is tied to nothing else; only where a person set an attribution does a relationship say attributed-to,
created by that person, who says so in an opinion as well.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from greyzone.records import CAMPAIGNS
from greyzone.stix.cyber import NOBODY
from greyzone.stix.evidence import Cited
from greyzone.stix.objects import CONFIDENCE, WORDS_SCALE, Maker, Object, midnight, object_id, span, tlp_level
from greyzone.stix.rows import encode
from greyzone.words import quoted

Row = Mapping[str, Any]

FRAMEWORKS = {
    "attack": ("mitre-attack", "https://attack.mitre.org/techniques/{path}/"),
    "disarm": (
        "DISARM",
        "https://github.com/DISARMFoundation/DISARMframeworks/blob/main/generated_pages/techniques/{id}.md",
    ),
}
"""Source name and address of a technique by framework."""


class CampaignObjects:
    """Yields the objects of campaigns; those that several share come once.

    Parameters
    ----------
    make
        Makes objects.
    known
        Our ids of incidents, narratives and groups that are in the bundle -> type of their object.
    links
        Our ids of links that are in the bundle.
    actors
        Quoted name of an actor -> id of its intrusion set.
    cited
        Documents that have objects.
    """

    def __init__(self, make: Maker, known: Mapping[str, str], links: Collection[str], actors: Mapping[str, str], cited: Cited) -> None:
        self.make = make
        self.known = known
        self.links = links
        self.actors = dict(actors)
        self.cited = cited
        self.met: set[str] = set()

    def of(self, row: Row) -> Iterator[Object]:
        """Yield the objects of one campaign, the report last."""
        profile = json.loads(row["profile"] or "{}")
        tlp = tlp_level(row["tlp"]) if row["tlp"] else self.make.tlp
        item = self.make(
            "campaign",
            row["campaign_id"],
            tlp=tlp,
            since=row["window_lo"],
            name=row["title"] or row["campaign_id"],
            description=" ".join(statement["text"] or "" for statement in row["statements"] or ()),
            **span(row["window_lo"], row["window_hi"]),
            confidence=CONFIDENCE.get(row["confidence"] or ""),
            record={"table": "campaigns", **encode(row, CAMPAIGNS), "confidence_scale": WORDS_SCALE},
        )
        yield item
        parts = [
            object_id(self.known[part], part)
            for name in ("incidents", "narratives", "groups")
            for part in row[name] or ()
            if part in self.known
        ]
        for part in parts:
            yield self.make.relationship("related-to", item["id"], part, tlp=tlp, since=row["window_lo"])
        told = [item["id"], *parts, *(object_id("relationship", link) for link in row["links"] or () if link in self.links)]
        for found in (
            self._techniques(row, item, profile.get("techniques") or (), tlp),
            self._hypotheses(row, item, profile.get("hypotheses") or {}, tlp),
            self._notes(row, item, profile, tlp),
            self._attribution(row, item, profile.get("attribution"), tlp),
        ):
            for made in found:
                yield made
                told.append(made["id"])
        yield self.make(
            "report",
            row["campaign_id"],
            tlp=tlp,
            since=row["window_lo"],
            name=row["title"] or row["campaign_id"],
            report_types=["campaign"],
            published=self.make.stamp,
            confidence=CONFIDENCE.get(row["confidence"] or ""),
            description=f"{len(row['links'] or ())} links tie {len(row['incidents'] or ())} incidents and {len(row['narratives'] or ())} "
            f"narratives. This profile is {profile.get('decision') or 'a hypothesis'}.",
            object_refs=list(dict.fromkeys(told)),
            record={"confidence_scale": WORDS_SCALE},
        )

    def _techniques(self, row: Row, campaign: Object, techniques: Sequence[Row], tlp: str) -> Iterator[Object]:
        seen: dict[str, list[Row]] = {}
        for technique in techniques:
            pattern = _pattern(self.make, technique)
            if pattern["id"] not in self.met:
                self.met.add(pattern["id"])
                yield pattern
            seen.setdefault(pattern["id"], []).append(technique)
        for pattern_id, tags in sorted(seen.items()):
            triggers = [f"{tag['subject']}: {tag['trigger']}; {tag.get('quote') or 'no words quoted'}" for tag in tags]
            yield self.make.relationship(
                "uses", campaign["id"], pattern_id, tlp=tlp, since=row["window_lo"], description="; ".join(triggers)
            )
            refs = self.cited.refs(doc for tag in tags for doc in tag.get("documents") or ())
            yield self.make(
                "sighting",
                row["campaign_id"],
                pattern_id,
                tlp=tlp,
                since=row["window_lo"],
                count=len(tags),
                sighting_of_ref=pattern_id,
                observed_data_refs=refs,
                description=f"Triggered by {'; '.join(triggers)}. Documents: {', '.join(_documents(tags)) or 'none'}.",
            )

    def _hypotheses(self, row: Row, campaign: Object, told: Row, tlp: str) -> Iterator[Object]:
        matrix = told.get("evidence") or ()
        for hypothesis in told.get("hypotheses") or ():
            name = str(hypothesis["name"])
            refs = [campaign["id"]]
            if name.startswith("“") and name.strip("“”").casefold() not in NOBODY:
                if name not in self.actors:
                    self.actors[name] = object_id("intrusion-set", name.strip("“”"))
                    text = f"Hypothesis: {hypothesis.get('basis') or 'named by a source'}. Nothing is attributed to it here."
                    yield self.make(
                        "intrusion-set", name.strip("“”"), tlp=tlp, name=name.strip("“”"), description=text, labels=["hypothesis"]
                    )
                refs.append(self.actors[name])
            lines = [f"Hypothesis {name}: probability {_by_sources(hypothesis)}; {hypothesis.get('basis') or 'no basis told'}."]
            if hypothesis.get("inconsistent") is not None:
                lines.append(f"Inconsistent with it: {hypothesis['inconsistent']} pieces of weight {hypothesis['inconsistency']:.2f}.")
            lines += [
                f"{evidence['ratings'][name]}: {evidence['text']} (diagnosticity {evidence['diagnosticity']:.2f}; "
                f"{', '.join(evidence['documents']) or 'no document'})"
                for evidence in matrix
                if evidence.get("ratings", {}).get(name, "not applicable") != "not applicable"
            ]
            key = ("hypothesis", row["campaign_id"], name)
            yield (note := self.make.note(*key, abstract=f"Hypothesis: {name}", lines=lines, refs=refs, tlp=tlp))
            yield self.make(
                "grouping",
                *key,
                tlp=tlp,
                since=row["window_lo"],
                name=f"Hypothesis: {name}",
                context="unspecified",
                description="One of several competing hypotheses on who is behind the campaign; not a finding.",
                object_refs=[*refs, note["id"]],
            )

    def _notes(self, row: Row, campaign: Object, profile: Row, tlp: str) -> Iterator[Object]:
        identifier, refs = row["campaign_id"], [campaign["id"]]
        confidence: dict[str, Any] = {"confidence": CONFIDENCE.get(row["confidence"] or ""), "record": {"confidence_scale": WORDS_SCALE}}
        judgements = [_sentence(item) for item in profile.get("key_judgements") or ()]
        if judgements:
            yield self.make.note("judgements", identifier, abstract="Key judgements", lines=judgements, refs=refs, tlp=tlp, **confidence)
        if reading := [_sentence(item) for item in (profile.get("hypotheses") or {}).get("reading") or ()]:
            yield self.make.note("reading", identifier, abstract="How the hypotheses read", lines=reading, refs=refs, tlp=tlp)
        if phases := _stages(profile.get("phase")):
            yield self.make.note("phase", identifier, abstract="Stages by probability", lines=phases, refs=refs, tlp=tlp)
        lines = [f"Confidence: {row['confidence'] or 'not told'}.", *(_sentence(item) for item in row["alternatives"] or ())]
        lines.append(f"This profile is {profile.get('decision') or 'a hypothesis'}.")
        yield self.make.note("caveats", identifier, abstract="Caveats", lines=lines, refs=refs, tlp=tlp, **confidence)
        if row["gaps"]:
            yield self.make.note("gaps", identifier, abstract="Gaps", lines=row["gaps"], refs=refs, tlp=tlp)
        if factors := profile.get("indicators"):
            lines = [
                f"{factor['factor']}, {side}: {_sentence(cell)}"
                for factor in factors
                for side in ("for", "against", "unknown")
                for cell in factor.get(side) or ()
            ]
            lines.append("No total is given: the table lays out evidence for human case-by-case assessment.")
            yield self.make.note("factors", identifier, abstract="Factors, without a total", lines=lines, refs=refs, tlp=tlp)

    def _attribution(self, row: Row, campaign: Object, attribution: object, tlp: str) -> Iterator[Object]:
        """Yield what a person set: the person, an intrusion set, who it is attributed to in whose name, and the opinion."""
        said = attribution_of(attribution)
        if said is None:
            return
        actor, who, day, note = said
        person = self.make.person(who)
        if person["id"] not in self.met:
            self.met.add(person["id"])
            yield person
        target = self.actors.get(quoted(actor)) or object_id("intrusion-set", actor)
        if target not in self.actors.values():
            self.actors[quoted(actor)] = target
            yield self.make("intrusion-set", actor, tlp=tlp, name=actor, labels=["hypothesis"], description=f"Named by {quoted(who)}.")
        own: dict[str, Any] = {"created_by_ref": person["id"]}
        if day:
            own |= dict.fromkeys(("created", "modified"), midnight(date.fromisoformat(day[:10])))
        tie = self.make("relationship", "attributed-to", campaign["id"], target, who, tlp=tlp) | own
        tie |= {"relationship_type": "attributed-to", "source_ref": campaign["id"], "target_ref": target}
        yield tie | {"description": f"Set by {quoted(who)}; greyzone attributes nothing."}
        explanation = f"Attributed to {quoted(actor)} by {quoted(who)}. {note}".strip()
        opinion = self.make("opinion", "attribution", row["campaign_id"], who, tlp=tlp, opinion="agree", explanation=explanation)
        yield opinion | own | {"authors": [who], "object_refs": [tie["id"]]}


def attribution_of(attribution: object) -> tuple[str, str, str, str] | None:
    """Return (actor, who set it, ISO day or "", note) of an attribution that a person set; None where nobody did."""
    if not isinstance(attribution, Mapping):
        return None
    actor, who = (next((str(attribution[key]) for key in keys if attribution.get(key)), "") for keys in _ATTRIBUTION[:2])
    if not who or actor.strip("“”").casefold() in NOBODY:
        return None
    day, note = (next((str(attribution[key]) for key in keys if attribution.get(key)), "") for keys in _ATTRIBUTION[2:])
    return actor.strip("“”"), who.strip("“”"), day, note


_ATTRIBUTION = (("value", "actor"), ("who",), ("day",), ("basis", "note"))


def _stages(phase: object) -> list[str]:
    """Lines of the probabilities of stages, by framework."""
    found = phase if isinstance(phase, Mapping) else {}
    titles = {"disarm": "DISARM phase", "attack": "ATT&CK tactic", "probabilities": "by the lag of narratives alone"}
    return [
        f"{title}: {', '.join(f'{stage} {p:.2f}' for stage, p in found[name].items())}."
        for name, title in titles.items()
        if isinstance(found.get(name), Mapping)
    ]


def _pattern(make: Maker, technique: Row) -> Object:
    framework = str(technique["framework"]).casefold().replace("att&ck", "attack").replace("mitre", "attack")
    identifier = str(technique["id"])
    source, address = FRAMEWORKS.get(framework, (str(technique["framework"]), ""))
    reference = {"source_name": source, "external_id": identifier}
    if address:
        reference["url"] = address.format(id=identifier, path=identifier.replace(".", "/"))
    name = str(technique["name"]).strip("“”")
    return make("attack-pattern", source, identifier, name=name or identifier, external_references=[reference])


def _by_sources(hypothesis: Row) -> str:
    p, low, high = (hypothesis.get(name) for name in ("p", "p_lo", "p_hi"))
    if p is None:
        return "not given"
    return f"{p:.2f}" if low is None or high is None else f"{p:.2f} (over incidents {low:.2f}-{high:.2f})"


def _documents(tags: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(str(doc) for tag in tags for doc in tag.get("documents") or ()))


def _sentence(item: object) -> str:
    """Return a sentence with its documents behind it."""
    if not isinstance(item, Mapping):
        return str(item)
    documents = ", ".join(map(str, item.get("documents") or ()))
    return f"{item.get('text') or ''}{f' [{documents}]' if documents else ''}"
