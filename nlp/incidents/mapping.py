"""Any table of incidents by a mapping file, YAML or JSON.

    source: cfr                          # the list; every row's source unless a column says it (columns: source)
    scale: ciss                          # only if a column is mapped to scale_code
    columns: {name: Title, onset: Date, target_states: Victims, urls: [Sources_1, Sources_2]}
    separators: {target_states: ";"}     # only for cells that hold several values
    day_first: false                     # only if numeric dates leave it open
    coarse_dates: false                  # true: day 1 of a month stands for the month, 1 January for the year

A field takes one column, or a list of columns whose cells are put together. Target states may be names, codes or sentences.
A column of ``source`` says from which source a merged list took a row (`greyzone.incidents.reports.via`).
``disclosed`` is the day an event became public; without it ``published_at`` stands for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from greyzone.errors import InputError
from greyzone.incidents.reports import (
    TECHNIQUE_CLASSES,
    Draft,
    addresses_in,
    clean_text,
    disclosure,
    is_generic,
    moment_of,
    number_code,
    onset_interval,
    reject,
    sound,
    states_of,
    technique_of,
    unused,
    via,
)
from greyzone.records import ENTITY_KINDS, REACHES

FIELDS: tuple[str, ...] = (
    "source",
    "name",
    "description",
    "source_id",
    "onset",
    "end",
    "disclosed",
    "published_at",
    "target_states",
    "sectors",
    "technique_class",
    "actors",
)
FIELDS += ("actor_states", "scale_code", "reach", "admiralty", "information_operation", "urls", *ENTITY_KINDS)
"""Fields that columns can be mapped to; the last ones are kinds of entities."""

STATED = 0.5
"""Probability that the actors of a mapped column share: a mapping says nothing of how they were found. Judgement."""

_LONGEST_NAME = 5
_KEYS = ("columns", "source", "separators", "scale", "day_first", "coarse_dates")
_TRUE, _FALSE = frozenset({"1", "true", "yes", "y", "1.0"}), frozenset({"0", "false", "no", "n", "0.0"})


@dataclass(frozen=True, slots=True)
class Mapped:
    """A checked mapping: field -> columns, and how to read their cells."""

    columns: Mapping[str, tuple[str, ...]]
    source: str | None = None
    separators: Mapping[str, str] = field(default_factory=dict)
    scale: str | None = None
    day_first: bool | None = None
    coarse_dates: bool = False


def load_mapping(mapping: str | Path | Mapping[str, object]) -> Mapped:
    """Read and check a mapping.

    Raises
    ------
    InputError
        If the file is not there, is no mapping, or names fields or keys that do not exist.
    """
    where = str(mapping) if isinstance(mapping, str | Path) else "the mapping"
    content: object = mapping
    if isinstance(mapping, str | Path):
        try:
            content = yaml.safe_load(Path(mapping).read_text("utf-8"))
        except FileNotFoundError:
            raise InputError(f"no mapping file {where!r}", "a YAML or JSON file") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{where} is neither YAML nor JSON ({str(error).splitlines()[0]})", "a mapping file") from None
    if not isinstance(content, Mapping) or not isinstance(content.get("columns"), Mapping):
        raise InputError(f"{where} without columns", "{columns: {name: Title, onset: Date, target_states: Victims}, source: cfr}")
    if unknown := sorted(str(key) for key in content if key not in _KEYS):
        raise InputError(f"{where} has the key {unknown[0]!r}", f"one of {', '.join(_KEYS)}")
    columns: dict[str, tuple[str, ...]] = {}
    for name, column in content["columns"].items():
        if name not in FIELDS:
            raise InputError(f"{where} maps the field {name!r}", f"one of {', '.join(FIELDS)}")
        columns[name] = tuple(map(str, column)) if isinstance(column, list | tuple) else (str(column),)
    if "name" not in columns:
        raise InputError(f"{where} maps no column to name", "at least columns: {name: ...}")
    separators = content.get("separators") or {}
    if not isinstance(separators, Mapping):
        raise InputError(f"{where}: separators is {separators!r}", 'a mapping such as {target_states: ";"}')
    day_first = content.get("day_first")
    source, scale = content.get("source"), content.get("scale")
    return Mapped(
        columns,
        str(source) if source else None,
        {str(key): str(value) for key, value in separators.items()},
        str(scale) if scale else None,
        None if day_first is None else bool(day_first),
        bool(content.get("coarse_dates", False)),
    )


def read_row(
    row: Mapping[str, object], mapped: Mapped, source: str, path: str, offset: int
) -> tuple[Draft | None, list[dict[str, object]]]:
    """Read one row by a mapping; no draft if the row has neither name nor description."""

    def cells(name: str) -> list[str]:
        found: list[str] = []
        for column in mapped.columns.get(name, ()):
            value = row.get(column)
            values = value if isinstance(value, list | tuple) else [value]
            separator = mapped.separators.get(name)
            texts = [str(item) for item in values if item is not None]
            found += [part for text in texts for part in (text.split(separator) if separator else [text])]
        return [text for text in map(clean_text, found) if text]

    def one(name: str) -> str:
        return " ".join(cells(name))

    name, description = one("name"), one("description")
    if not name and not description:
        return None, [reject("row without name and description", "", path, offset)]
    firsts = [next(iter(mapped.columns.get(column, ())), None) for column in ("onset", "end", "disclosed")]
    start, stop, public = (moment_of(row.get(column) if column else None, day_first=mapped.day_first) for column in firsts)
    onset, end, flags = onset_interval(start, stop, widen=mapped.coarse_dates)
    states, strange = states_of(cells("target_states"))
    mended = [reject("target is no known state", value, path, offset, action="repaired") for value in strange]
    published = moment_of(one("published_at"), day_first=mapped.day_first)
    disclosed, untimely = disclosure(onset, public or published, public or published)
    technique = one("technique_class")
    entities = [(kind, value) for kind in ENTITY_KINDS for value in cells(kind) if not is_generic(value)]
    draft = Draft(
        source=via(one("source"), source),
        source_id=one("source_id"),
        name=name or description[:120],
        description=description,
        onset=onset,
        end=end,
        disclosed=disclosed,
        published_at=published.lo if published else None,
        target_states=states,
        sectors=[value.lower() for value in cells("sectors") if not is_generic(value)],
        technique_class=technique if technique in TECHNIQUE_CLASSES else technique_of(technique or f"{name} {description}"),
        actors=_actors(cells("actors"), cells("actor_states")),
        entities=entities
        + [("actor", value) for value in cells("actors") if not is_generic(value) and len(value.split()) <= _LONGEST_NAME],
        scale=mapped.scale,
        scale_code=number_code(one("scale_code")) or one("scale_code").casefold() or None,
        reach=one("reach") if one("reach") in REACHES else None,
        admiralty=int(one("admiralty")) if re.fullmatch(r"[1-6]", one("admiralty")) else 6,
        information_operation=_truth(one("information_operation")),
        urls=addresses_in(cells("urls")),
        flags=flags + untimely,
        extra=unused(row, [column for columns in mapped.columns.values() for column in columns]),
    )
    return draft, mended


def _truth(text: str) -> bool | None:
    folded = text.casefold()
    return True if folded in _TRUE else False if folded in _FALSE else None


def _actors(names: list[str], states: list[str]) -> list[dict[str, object]]:
    known = [name for name in names if not is_generic(name)]
    codes = states_of(states)[0]
    pairs: list[tuple[str, str | None]]
    if len(known) == len(codes):
        pairs = list(zip(known, codes, strict=True))
    else:
        pairs = [(name, codes[0] if len(codes) == 1 else None) for name in known] or [("unnamed", code) for code in codes]
    share = STATED / len(pairs) if pairs else 0.0
    return [{"name": name, "state": state, "probability": share, "said_by": "the table"} for name, state in dict.fromkeys(pairs)]


def parse_json_lines(text: str) -> list[tuple[int, object]]:
    """Return (line, value) of JSON lines; a line that is no JSON object has the value None."""
    rows: list[tuple[int, object]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                value = sound(json.loads(line))
            except (ValueError, RecursionError):
                value = None
            rows.append((number, value if isinstance(value, dict) else None))
    return rows
