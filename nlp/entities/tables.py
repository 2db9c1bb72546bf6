"""Names with aliases from the tables that analysts share: ATT&CK groups, software and campaigns, MISP galaxy clusters.

Nothing of these tables is shipped: users pass the files. Three shapes are read, gzipped or not:

- MISP galaxy clusters (an object with ``values``; the cluster's ``type`` gives the kind, ``meta.synonyms`` the aliases),
- STIX 2.1 bundles (an object with ``objects``: intrusion sets, threat actors, malware, tools; ``aliases`` and ``x_mitre_aliases``),
- JSON lines with ``id``, ``name`` and ``aliases`` (ATT&CK ids: G is a group, S software, C a campaign).

Revoked and deprecated objects are passed over. Descriptions are kept, because they show which words of the field surround names, and which
names are written in lower case when they are meant as words.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greyzone.errors import InputError

CLUSTERS = {
    "threat-actor": "actor",
    "microsoft-activity-group": "actor",
    "mitre-intrusion-set": "actor",
    "360net-threat-actor": "actor",
    "malpedia": "malware",
    "mitre-malware": "malware",
    "mitre-tool": "malware",
    "ransomware": "malware",
    "rat": "malware",
    "tool": "malware",
    "banker": "malware",
    "botnet": "malware",
    "stealer": "malware",
    "backdoor": "malware",
    "android": "malware",
    "cryptominers": "malware",
    "exploit-kit": "malware",
    "sector": "sector",
}
"""Types of MISP galaxy clusters to kinds of entities."""

STIX = {"intrusion-set": "actor", "threat-actor": "actor", "malware": "malware", "tool": "malware"}
ATTACK_IDS = {"G": "actor", "S": "malware", "C": "name"}


@dataclass(frozen=True, slots=True)
class Name:
    """An entity of a table: its kind, its name there, its other names, and what the table says of it."""

    kind: str
    value: str
    aliases: tuple[str, ...] = ()
    description: str = ""


def read_names(path: str | Path) -> list[Name]:
    """Read the names of a file of one of the three shapes.

    Parameters
    ----------
    path
        A JSON or JSON-lines file, or one of these gzipped (``.gz``).

    Returns
    -------
    list of Name
        In the order of the file; objects of other types are passed over.

    Raises
    ------
    InputError
        If the file is none of these, or its kind of cluster is not known.
    """
    file = Path(path)
    try:
        raw = file.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: {error}", "a readable JSON file in UTF-8") from error
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        return list(_lines(text, file))
    if isinstance(whole, dict) and isinstance(whole.get("values"), list):
        return list(_cluster(whole, file))
    if isinstance(whole, dict) and isinstance(whole.get("objects"), list):
        return list(_bundle(whole["objects"]))
    if isinstance(whole, dict) and "name" in whole:
        return list(_lines(text, file))
    raise InputError(
        f"{file} has neither values nor objects", "a MISP galaxy cluster, a STIX bundle, or JSON lines with id, name and aliases"
    )


def _cluster(cluster: Mapping[str, Any], file: Path) -> Iterator[Name]:
    kind = CLUSTERS.get(str(cluster.get("type")))
    if kind is None:
        raise InputError(f"{file}: cluster of type {cluster.get('type')!r}", f"one of {', '.join(CLUSTERS)}")
    for item in cluster["values"]:
        if isinstance(item, dict) and item.get("value"):
            meta = item.get("meta")
            yield Name(
                kind,
                str(item["value"]),
                _texts(meta.get("synonyms") if isinstance(meta, dict) else None),
                str(item.get("description") or ""),
            )


def _bundle(objects: list[Any]) -> Iterator[Name]:
    for item in objects:
        if not isinstance(item, dict) or item.get("type") not in STIX or not item.get("name"):
            continue
        if item.get("revoked") or item.get("x_mitre_deprecated"):
            continue
        aliases = _texts(item.get("aliases")) + _texts(item.get("x_mitre_aliases"))
        yield Name(STIX[item["type"]], str(item["name"]), aliases, str(item.get("description") or ""))


def _lines(text: str, file: Path) -> Iterator[Name]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{file}, line {number}: {error.msg}", "JSON, or one JSON object a line") from error
        kind = ATTACK_IDS.get(str(item.get("id"))[:1]) if isinstance(item, dict) else None
        if kind is None or not item.get("name"):
            raise InputError(f"{file}, line {number}: no name with an ATT&CK id", "objects with id (G…, S… or C…), name and aliases")
        yield Name(kind, str(item["name"]), _texts(item.get("aliases")), str(item.get("description") or ""))


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value if item) if isinstance(value, list) else ()
