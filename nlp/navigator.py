"""Navigator layers: the techniques of a case or a campaign on the matrices of ATT&CK and of DISARM.

The layer format is that of MITRE's ATT&CK Navigator (layers/spec in mitre-attack/attack-navigator): 4.5, the current one, for ATT&CK.
DISARM Foundation's navigator is a fork of Navigator 4.8.2 that knows one domain, "DISARM" of version "1" (its
nav-app/src/assets/config.json), and reads layers of format 4.4; so that is what it gets.

A technique's score is the number of documents (or reports) that show it. Its comment lists every trigger with those documents. A layer says
what was measured and where; it holds no judgement of who did it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greyzone.errors import InputError

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Framework:
    """What a layer for one framework declares.

    Attributes
    ----------
    name
        As technique rows call it.
    domain, versions
        As its navigator knows them.
    data
        Version of the framework's data that the technique ids are of.
    address
        Page of a technique.
    """

    name: str
    domain: str
    versions: Mapping[str, str]
    data: str
    address: str


FRAMEWORKS = {
    "attack": Framework(
        "ATT&CK",
        "enterprise-attack",
        {"attack": "18", "navigator": "5.2.0", "layer": "4.5"},
        "ATT&CK v18, Enterprise (mitre/cti 421deac)",
        "https://attack.mitre.org/techniques/{path}/",
    ),
    "disarm": Framework(
        "DISARM",
        "DISARM",
        {"attack": "1", "navigator": "4.8.2", "layer": "4.4"},
        "DISARM Framework of February 2025 (DISARMFoundation/DISARMframeworks 49df5f6)",
        "https://github.com/DISARMFoundation/DISARMframeworks/blob/main/generated_pages/techniques/{id}.md",
    ),
}
"""Frameworks by the word on the command line."""

COLOURS = ("#ffffffff", "#3182bdff")
"""Ends of the gradient: no document, the most documents of the layer."""


def layer(
    techniques: Sequence[Row], framework: str, *, name: str, description: str = "", metadata: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """Return the layer of the techniques of one framework; those of others are left out.

    Parameters
    ----------
    techniques
        Rows with ``framework``, ``id``, ``name``, ``subject``, ``trigger`` and ``documents``, in any order; the same one twice counts once.
    framework
        "attack" or "disarm".
    name, description
        Of the layer.
    metadata
        Pairs of name and value shown with the layer.

    Raises
    ------
    InputError
        If there is no such framework.
    """
    if framework not in FRAMEWORKS:
        raise InputError(f"framework {framework!r}", f"one of {', '.join(FRAMEWORKS)}")
    chosen = FRAMEWORKS[framework]
    tags: dict[str, set[tuple[str, str, tuple[str, ...]]]] = {}
    for row in techniques:
        if row["framework"] == chosen.name:
            seen = (str(row["subject"]), str(row["trigger"]), tuple(map(str, row["documents"] or ())))
            tags.setdefault(str(row["id"]), set()).add(seen)
    found = [_technique(identifier, sorted(seen), chosen) for identifier, seen in sorted(tags.items())]
    return {
        "name": name,
        "versions": dict(chosen.versions),
        "domain": chosen.domain,
        "description": description,
        "sorting": 3,
        "layout": {"layout": "side", "showID": True, "showName": True},
        "hideDisabled": False,
        "techniques": found,
        "gradient": {"colors": list(COLOURS), "minValue": 0, "maxValue": max((item["score"] for item in found), default=1)},
        "legendItems": [
            {"label": "documents that show the technique: 0", "color": COLOURS[0][:7]},
            {"label": "the most", "color": COLOURS[1][:7]},
        ],
        "selectTechniquesAcrossTactics": True,
        "selectSubtechniquesWithParent": False,
        "metadata": [{"name": key, "value": value} for key, value in (("framework data", chosen.data), *metadata)],
        "links": [],
    }


def _technique(identifier: str, seen: Sequence[tuple[str, str, tuple[str, ...]]], framework: Framework) -> dict[str, Any]:
    documents = sorted({doc for _, _, docs in seen for doc in docs})
    lines = [f"{subject}: {trigger} [{', '.join(docs) or 'no document'}]" for subject, trigger, docs in seen]
    return {
        "techniqueID": identifier,
        # A tag without documents still is one: its subject shows it.
        "score": max(1, len(documents)),
        "comment": "\n".join(lines),
        "enabled": True,
        "metadata": [
            {"name": "subjects", "value": ", ".join(sorted({subject for subject, _, _ in seen}))},
            {"name": "documents", "value": ", ".join(documents) or "none"},
        ],
        "links": [{"label": "definition", "url": framework.address.format(id=identifier, path=identifier.replace(".", "/"))}],
        "showSubtechniques": True,
    }
