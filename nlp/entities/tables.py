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

WANTED = "a MISP galaxy cluster, a STIX bundle, or JSON lines with id, name and aliases"


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
    except RecursionError:
        raise InputError(f"{file} is nested too deeply", WANTED) from None
    if isinstance(whole, dict) and isinstance(whole.get("values"), list):
        return list(_cluster(whole, file))
    if isinstance(whole, dict) and isinstance(whole.get("objects"), list):
        return list(_bundle(whole["objects"]))
    if isinstance(whole, dict) and "name" in whole:
        return list(_lines(text, file))
    raise InputError(f"{file} has neither values nor objects", WANTED)


def _cluster(cluster: Mapping[str, Any], file: Path) -> Iterator[Name]:
    kind = CLUSTERS.get(str(cluster.get("type")))
    if kind is None:
        raise InputError(f"{file}: cluster of type {cluster.get('type')!r}", f"one of {', '.join(CLUSTERS)}")
    for item in cluster["values"]:
        if isinstance(item, dict) and item.get("value"):
            meta = item.get("meta")
            yield Name(
                kind,
                _text(item["value"]),
                _texts(meta.get("synonyms") if isinstance(meta, dict) else None),
                _text(item.get("description")),
            )


def _bundle(objects: list[Any]) -> Iterator[Name]:
    for item in objects:
        if not isinstance(item, dict) or item.get("type") not in STIX or not item.get("name"):
            continue
        if item.get("revoked") or item.get("x_mitre_deprecated"):
            continue
        aliases = _texts(item.get("aliases")) + _texts(item.get("x_mitre_aliases"))
        yield Name(STIX[item["type"]], _text(item["name"]), aliases, _text(item.get("description")))


def _lines(text: str, file: Path) -> Iterator[Name]:
    # Some signs at which Python parts lines (U+2028) may stand inside of JSON strings.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            told = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
            raise InputError(f"{file}, line {number}: {told}", "JSON, or one JSON object a line") from error
        kind = ATTACK_IDS.get(str(item.get("id"))[:1]) if isinstance(item, dict) else None
        if kind is None or not item.get("name"):
            raise InputError(f"{file}, line {number}: no name with an ATT&CK id", "objects with id (G…, S… or C…), name and aliases")
        yield Name(kind, _text(item["name"]), _texts(item.get("aliases")), _text(item.get("description")))


def _texts(value: object) -> tuple[str, ...]:
    """Return what a table lists; some name a single alias without a list."""
    listed = value if isinstance(value, list) else [value]
    return tuple(_text(item) for item in listed if item)


def _text(value: object) -> str:
    """Return a text of JSON without lone surrogates, which no table can hold."""
    return str(value or "").encode("utf-8", "replace").decode("utf-8")
