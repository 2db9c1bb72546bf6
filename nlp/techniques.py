"""DISARM and ATT&CK techniques of narratives, groups and incidents, each with the measurement that triggered it.

A technique is named only where something was counted that the framework's own description rests on; where nothing was, there is no
tag. A tag says what was observed, never who meant what by it: techniques whose definition needs intent or a false identity (most of
DISARM) are not tagged at all. Thresholds are judgement, kept here with their triggers.

`TABLE` holds the few techniques that are used, with ids and names as published:

- DISARM Framework, CC BY-SA 4.0, DISARM Foundation, data of February 2025 (github.com/DISARMFoundation/DISARMframeworks).
- MITRE ATT&CK, Enterprise. (c) The MITRE Corporation. This work is reproduced and distributed with the permission of The MITRE
  Corporation (ATT&CK terms of use, attack.mitre.org/resources/legal-and-branding/terms-of-use).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from greyzone.records import DOCUMENTS, GROUPS, INCIDENTS, MEMBERS, NARRATIVES, check
from greyzone.text import normal_form

DISARM = "DISARM"
ATTACK = "ATT&CK"

TABLE: dict[tuple[str, str], str] = {
    (DISARM, "T0084.001"): "Use Copypasta",
    (DISARM, "T0049.002"): "Flood Existing Hashtag",
    (DISARM, "T0101"): "Create Localised Content",
    (DISARM, "T0119.002"): "Post across Platform",
    (ATTACK, "T1485"): "Data Destruction",
    (ATTACK, "T1486"): "Data Encrypted for Impact",
    (ATTACK, "T1491"): "Defacement",
    (ATTACK, "T1498"): "Network Denial of Service",
    (ATTACK, "T1586.001"): "Social Media Accounts",
}
"""Names by framework and id."""

STAGES: dict[tuple[str, str], tuple[str, ...]] = {
    (DISARM, "T0084.001"): ("P02",),
    (DISARM, "T0049.002"): ("P03",),
    (DISARM, "T0101"): ("P02",),
    (DISARM, "T0119.002"): ("P03",),
    (ATTACK, "T1485"): ("impact",),
    (ATTACK, "T1486"): ("impact",),
    (ATTACK, "T1491"): ("impact",),
    (ATTACK, "T1498"): ("impact",),
    (ATTACK, "T1586.001"): ("resource-development",),
}
"""Phase (DISARM, of the technique's tactic) or tactics (ATT&CK) that the framework lists for each."""

VERSIONS = {DISARM: "2025-02", ATTACK: "Enterprise, mitre/cti 421deac"}

COPY_ACCOUNTS = 5
COPY_LENGTH = 40
"""One text of at least this many characters from at least so many accounts, reposts not counted, is copypasta."""

SHARED_TEXTS = 2
"""Platforms on which the same text must stand before it counts as posted across them, and languages of a localised narrative."""

LANGUAGE_SHARE = 0.1
HASHTAG_POSTS = 20
DOCUMENTS_SHOWN = 5
QUOTE_WORDS = 6
"""Words quoted on either side of a phrase."""

_CLASSES: dict[str, str] = {"ransomware": "T1486", "defacement": "T1491"}
_WORDS: dict[str, tuple[str, ...]] = {
    "T1498": ("ddos", "denial of service", "denial-of-service", "distributed denial"),
    "T1485": ("wiper", "wiped", "destroyed data", "data destruction"),
    "T1586.001": (
        "twitter account",
        "facebook account",
        "social media account",
        "youtube account",
        "instagram account",
        "telegram account",
    ),
}
_PATTERNS = {name: re.compile(r"\b(?:" + "|".join(map(re.escape, phrases)) + ")", re.IGNORECASE) for name, phrases in _WORDS.items()}
_DENIED = re.compile(r"\b(?:no|not|without|neither|denied|denies|rather than)(?: \w+){0,2} $", re.IGNORECASE)
"""What stands before a phrase that a text says did not happen."""
_WORD_CLASSES: dict[str, frozenset[str]] = {
    "T1498": frozenset({"disruption", "unknown"}),
    "T1485": frozenset({"disruption", "hijacking", "ransomware", "unknown"}),
    "T1586.001": frozenset({"hijacking", "influence", "defacement", "unknown"}),
}


@dataclass(frozen=True, slots=True, order=True)
class Technique:
    """A technique seen in a narrative, a group or an incident.

    Attributes
    ----------
    framework, id, name
        "DISARM" or "ATT&CK", the framework's id, and its name there.
    subject
        The narrative_id, group_id or incident_id that it was seen in.
    trigger
        What was measured, with its value.
    documents
        doc_ids, or report ids for incidents, that show it; at most five.
    version
        Version of the framework's data.
    stages
        Phase or tactics of the technique in its framework (`STAGES`).
    quote
        Span of the incident's own text that triggered it; "" where a measurement did.
    """

    framework: str
    id: str
    name: str
    subject: str
    trigger: str
    documents: tuple[str, ...]
    version: str
    stages: tuple[str, ...] = ()
    quote: str = ""


def tag_techniques(
    narratives: pa.Table, groups: pa.Table, incidents: pa.Table, members: pa.Table | None = None, documents: pa.Table | None = None
) -> list[Technique]:
    """Name the techniques that the tables show.

    Parameters
    ----------
    narratives, groups, incidents
        Tables of `records`.
    members, documents
        Tables of `records`; without them nothing that needs texts is tagged.

    Returns
    -------
    list of Technique
        Sorted; the same whatever the order of the rows.
    """
    check(narratives, NARRATIVES, "narratives")
    found = list(_incident_techniques(check(incidents, INCIDENTS, "incidents")))
    found += _group_techniques(check(groups, GROUPS, "groups"))
    if members is not None and documents is not None:
        posts = _posts(check(members, MEMBERS, "members"), check(documents, DOCUMENTS, "documents"))
        wanted = set(narratives["narrative_id"].to_pylist())
        for narrative in sorted(wanted.intersection(posts)):
            found += _narrative_techniques(narrative, posts[narrative])
    return sorted(found)


def _tag(framework: str, technique: str, subject: str, trigger: str, documents: Sequence[str]) -> Technique:
    name = TABLE[framework, technique]
    shown = tuple(documents[:DOCUMENTS_SHOWN])
    return Technique(framework, technique, name, subject, trigger, shown, VERSIONS[framework], STAGES[framework, technique])


def _incident_techniques(incidents: pa.Table) -> Iterator[Technique]:
    for row in incidents.select(["incident_id", "name", "description", "technique_class", "reports"]).to_pylist():
        kind = row["technique_class"] or "unknown"
        reports = sorted(row["reports"] or ())
        if kind in _CLASSES:
            yield _tag(ATTACK, _CLASSES[kind], row["incident_id"], f"technique class of the incident is {kind}", reports)
        text = " ".join(f"{row['name'] or ''} {row['description'] or ''}".split())
        for technique, pattern in _PATTERNS.items():
            if kind in _WORD_CLASSES[technique] and (said := _said(text, pattern)):
                word, quote = said
                trigger = f'the incident is described with "{word}"; technique class {kind}'
                yield replace(_tag(ATTACK, technique, row["incident_id"], trigger, reports), quote=quote)


def _said(text: str, pattern: re.Pattern[str]) -> tuple[str, str] | None:
    """Return the first phrase of a text that is not denied, in lower case, and the words around it as they stand."""
    for match in pattern.finditer(text):
        if not _DENIED.search(text[: match.start()]):
            before = text[: match.start()].split()[-QUOTE_WORDS:]
            after = text[match.end() :]
            # A phrase may be the stem of a word: the word is quoted whole.
            stem = after.split(maxsplit=1)[0] if after and not after[0].isspace() else ""
            rest = after[len(stem) :].split()[:QUOTE_WORDS]
            return match.group().lower(), " ".join([*before, match.group() + stem, *rest])
    return None


def _group_techniques(groups: pa.Table) -> Iterator[Technique]:
    for row in groups.select(["group_id", "accounts", "traces", "q", "items", "documents", "explanations"]).to_pylist():
        if any(explanation["fits"] for explanation in row["explanations"] or ()):
            continue
        documents, accounts = sorted(row["documents"] or ()), len(row["accounts"] or ())
        hashtags = [trace for trace in row["traces"] or () if "hashtag" in trace]
        if hashtags and len(documents) >= HASHTAG_POSTS:
            trigger = f"{accounts} accounts share sequences of hashtags beyond chance (q = {row['q']:.2g}) in {len(documents)} documents"
            yield _tag(DISARM, "T0049.002", row["group_id"], trigger, documents)


def _posts(members: pa.Table, documents: pa.Table) -> dict[str, list[Mapping[str, object]]]:
    told = members.filter(pc.is_valid(members["narrative_id"])).select(["doc_id", "narrative_id"])
    home = dict(zip(told["doc_id"].to_pylist(), told["narrative_id"].to_pylist(), strict=True))
    found: dict[str, list[Mapping[str, object]]] = {}
    columns = ["doc_id", "text", "lang", "account", "platform", "is_repost"]
    for row in documents.filter(pc.is_in(documents["doc_id"], told["doc_id"])).select(columns).sort_by("doc_id").to_pylist():
        found.setdefault(home[row["doc_id"]], []).append(row)
    return found


def _narrative_techniques(narrative: str, posts: Sequence[Mapping[str, object]]) -> Iterator[Technique]:
    original = [post for post in posts if not post["is_repost"]]
    forms: dict[str, list[Mapping[str, object]]] = {}
    for post in original:
        if len(form := normal_form(str(post["text"] or ""))) >= COPY_LENGTH:
            forms.setdefault(form, []).append(post)
    copied = {form: len({post["account"] for post in same if post["account"]}) for form, same in forms.items()}
    if copied and (most := max(copied.values())) >= COPY_ACCOUNTS:
        form = min(form for form, count in copied.items() if count == most)
        yield _tag(DISARM, "T0084.001", narrative, f"{most} accounts posted one text, not as reposts", _ids(forms[form]))
    spread = {form: {post["platform"] for post in same if post["platform"]} for form, same in forms.items()}
    if spread and (widest := max(len(platforms) for platforms in spread.values())) >= SHARED_TEXTS:
        form = min(form for form, platforms in spread.items() if len(platforms) == widest)
        names = ", ".join(sorted(str(platform) for platform in spread[form]))
        yield _tag(DISARM, "T0119.002", narrative, f"one text stands on {widest} platforms ({names})", _ids(forms[form]))
    yield from _localised(narrative, original)


def _localised(narrative: str, posts: Sequence[Mapping[str, object]]) -> Iterator[Technique]:
    """Tag one account that tells the narrative in several languages; many accounts in their own language are no technique."""
    by_account: dict[str, Counter[str]] = {}
    for post in posts:
        if post["account"] and post["lang"] not in (None, "und"):
            by_account.setdefault(str(post["account"]), Counter())[str(post["lang"])] += 1
    spoken = {
        account: sorted(lang for lang, count in langs.items() if count >= max(2, LANGUAGE_SHARE * langs.total()))
        for account, langs in by_account.items()
    }
    several = sorted(account for account, langs in spoken.items() if len(langs) >= SHARED_TEXTS)
    if several:
        langs = sorted({lang for account in several for lang in spoken[account]})
        shown = [post for post in posts if post["account"] in set(several) and post["lang"] in langs]
        trigger = f"{len(several)} account(s) tell it in several languages ({', '.join(langs)})"
        yield _tag(DISARM, "T0101", narrative, trigger, _ids(shown))


def _ids(posts: Sequence[Mapping[str, object]]) -> list[str]:
    return sorted(str(post["doc_id"]) for post in posts)
