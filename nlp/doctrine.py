"""Doctrines: every number of the method, with its range, its source and how sure that is.

A doctrine is a YAML file. A number is a leaf ``{value, range, source, status}`` under ``numbers``; its name is the dotted path to
it, such as ``dose.gamma``. ``extends`` names a doctrine whose leaves are taken where the file has none. The hash is over the
resolved leaves, so that two files that say the same have the same hash.

A file that extends another may change numbers and add steps of a severity scale (``crosswalk.SCALE.STEP``), no other names: a
misspelt number would otherwise change nothing and nobody would know. Its values stay within the ranges of the default doctrine,
whatever range the file states, since these are what the method can bear (no weight is negative, no probability above 1).
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from greyzone.errors import DoctrineError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe loader, in C where PyYAML was built with it: ten times as fast."""

Status = Literal["cited", "judgement", "elicited", "fitted", "unverified"]

OPEN_SECTION = "crosswalk."
"""Names under it may be added: a severity scale of one's own."""


class _File(BaseModel):
    """The top of a doctrine file; numbers are checked one by one, so that the message names the number."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1)
    version: int = Field(ge=0)
    title: str = Field(min_length=1)
    extends: str | None = None
    numbers: dict[str, Any] | None = None
    words: dict[str, str | list[str]] | None = None


class Number(BaseModel):
    """One number of the method: its value, the range it may take, where it comes from and how sure that is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    range: tuple[float, float]
    source: str = Field(min_length=8)
    status: Status

    @model_validator(mode="after")
    def _within_range(self) -> Number:
        low, high = self.range
        if not low <= self.value <= high:
            raise ValueError(f"value {self.value:g} outside its range {low:g}..{high:g}")
        return self


@dataclass(frozen=True)
class Doctrine:
    """A resolved doctrine; make one with `load_doctrine`."""

    id: str
    version: int
    title: str
    leaves: Mapping[str, Number]
    words: Mapping[str, str | list[str]]

    def __getitem__(self, name: str) -> float:
        """Return the value of the number called `name`, such as ``"dose.gamma"``."""
        return self.number(name).value

    def number(self, name: str) -> Number:
        """Return the number called `name` with its range, source and status.

        Raises
        ------
        DoctrineError
            If the doctrine has no such number.
        """
        try:
            return self.leaves[name]
        except KeyError:
            raise DoctrineError(
                f"no number {name!r} in doctrine {self.id!r}", "a dotted path of its file", "add it with value, range, source and status"
            ) from None

    def section(self, prefix: str) -> dict[str, float]:
        """Return the values under `prefix`, by the last part of their names.

        Raises
        ------
        DoctrineError
            If there is none.
        """
        start = prefix + "."
        found = {name[len(start) :]: leaf.value for name, leaf in self.leaves.items() if name.startswith(start)}
        if not found:
            raise DoctrineError(f"no section {prefix!r} in doctrine {self.id!r}", "a dotted path of its file")
        return found

    def phrase(self, name: str) -> str:
        """Return the text called `name` under ``words``.

        Raises
        ------
        DoctrineError
            If there is none, or it is no text.
        """
        found = self.words.get(name)
        if not isinstance(found, str):
            raise DoctrineError(f"words.{name} of doctrine {self.id!r} is {found!r}", "a text")
        return found

    def phrases(self, name: str) -> list[str]:
        """Return the list of texts called `name` under ``words``.

        Raises
        ------
        DoctrineError
            If there is none, or it is no list.
        """
        found = self.words.get(name)
        if not isinstance(found, list):
            raise DoctrineError(f"words.{name} of doctrine {self.id!r} is {found!r}", "a list of texts")
        return list(found)

    def replace(self, **values: float) -> Doctrine:
        """Return a copy with other values; names have ``__`` for the dots, as in ``dose__gamma=0``."""
        leaves = dict(self.leaves)
        for keyword, value in values.items():
            name = keyword.replace("__", ".")
            leaves[name] = self.number(name).model_copy(update={"value": float(value)})
        return Doctrine(self.id, self.version, self.title, leaves, self.words)

    @cached_property
    def hash(self) -> str:
        """Hex digest over every resolved number and word."""
        content = {"numbers": {name: leaf.model_dump(mode="json") for name, leaf in self.leaves.items()}, "words": dict(self.words)}
        return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def bundled() -> list[str]:
    """Return the names of the doctrines that come with greyzone."""
    return sorted(
        file.name.removesuffix(".yaml")
        for file in resources.files("greyzone").joinpath("doctrines").iterdir()
        if file.name.endswith(".yaml")
    )


def load_doctrine(name: str | Path = "default") -> Doctrine:
    """Load a bundled doctrine by name, or one's own by the path of its file.

    Raises
    ------
    DoctrineError
        If the file is not there, is not YAML, has an unknown key, or a number without value, range, source or status, or out of its
        range or of that of the default doctrine.
    """
    found = _resolve(str(name), seen=())
    if name not in bundled():
        _within_default(found, str(name))
    return found


def check_doctrine(name: str | Path) -> tuple[Doctrine, list[str]]:
    """Load a doctrine that must be complete, and list what a reader should know of it.

    Returns
    -------
    tuple
        The doctrine, and remarks: numbers marked unverified, and how many differ from the default doctrine.

    Raises
    ------
    DoctrineError
        As `load_doctrine`, and if a number or word of the default doctrine is missing or a name is unknown, with or without ``extends``.
    """
    found, default = load_doctrine(name), load_doctrine()
    lacking = [*(set(default.leaves) - set(found.leaves)), *(f"words.{word}" for word in set(default.words) - set(found.words))]
    if lacking:
        raise DoctrineError(
            f"doctrine {name!s} lacks {len(lacking)} numbers or words, the first {min(lacking)}",
            "all of the default",
            "add: extends: default",
        )
    unknown = [key for key in found.leaves if key not in default.leaves and not key.startswith(OPEN_SECTION)]
    unknown += [f"words.{word}" for word in found.words if word not in default.words]
    if unknown:
        raise _unknown(str(name), min(unknown), default)
    unsure = [key for key, leaf in found.leaves.items() if leaf.status == "unverified"]
    remarks = [f"{len(unsure)} numbers are marked unverified ({', '.join(sorted(unsure)[:3])}, ...)"] if unsure else []
    changed = [key for key, _, _ in differences(default, found)]
    return found, [*remarks, f"{len(changed)} numbers or words differ from the default doctrine"]


def differences(one: Doctrine, other: Doctrine) -> list[tuple[str, object, object]]:
    """Return name and both sides of every number and word that differs, in order of name; None where a side lacks it.

    A number differs if its value, range, source or status does.
    """
    sides = [dict(found.leaves) | {f"words.{word}": text for word, text in found.words.items()} for found in (one, other)]
    names = sorted(sides[0].keys() | sides[1].keys())
    return [(name, sides[0].get(name), sides[1].get(name)) for name in names if sides[0].get(name) != sides[1].get(name)]


def _within_default(found: Doctrine, name: str) -> None:
    default = load_doctrine()
    for key, leaf in found.leaves.items():
        known = default.leaves.get(key)
        if known is not None and not known.range[0] <= leaf.value <= known.range[1]:
            low, high = known.range
            raise DoctrineError(f"{name}: {key} = {leaf.value:g}", f"{low:g} to {high:g}, the range of the default doctrine")


def _unknown(name: str, key: str, default: Doctrine) -> DoctrineError:
    known = [*default.leaves, *(f"words.{word}" for word in default.words)]
    near = difflib.get_close_matches(key, known, n=1)
    return DoctrineError(
        f"{name}: unknown name {key}", f"{near[0]}?" if near else "a name of the default doctrine", "greyzone doctrine show"
    )


def _resolve(name: str, seen: tuple[str, ...]) -> Doctrine:
    if name in seen:
        raise DoctrineError(f"doctrine {name!r} extends itself through {' -> '.join(seen)}", "a chain that ends")
    content = _parse(name)
    leaves: dict[str, Number] = {}
    words: dict[str, str | list[str]] = {}
    if parent := content.get("extends"):
        base = _resolve(str(parent), (*seen, name))
        leaves.update(base.leaves)
        words.update(base.words)
    try:
        file = _File.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DoctrineError(f"doctrine {name!r}: {where!r} {first['msg']}", "id, version, title, extends, numbers, words") from None
    own = dict(_leaves(file.numbers or {}, name))
    if file.extends:
        for key in [*own, *(f"words.{word}" for word in file.words or {})]:
            known = key.removeprefix("words.") in words if key.startswith("words.") else key in leaves or key.startswith(OPEN_SECTION)
            if not known:
                raise _unknown(name, key, load_doctrine())
    return Doctrine(file.id, file.version, file.title, leaves | own, words | (file.words or {}))


def _parse(name: str) -> dict[str, Any]:
    try:
        if name in bundled():
            text = resources.files("greyzone").joinpath("doctrines", f"{name}.yaml").read_text("utf-8")
        else:
            text = Path(name).read_text("utf-8")
    except FileNotFoundError:
        raise DoctrineError(f"no doctrine {name!r}", f"one of {', '.join(bundled())} or a YAML file") from None
    try:
        content = yaml.load(text, Loader=_LOADER)  # noqa: S506
    except yaml.YAMLError as error:
        raise DoctrineError(f"doctrine {name!r} is not YAML ({str(error).splitlines()[0]})", "a YAML file") from None
    if not isinstance(content, dict):
        raise DoctrineError(f"doctrine {name!r} holds a {type(content).__name__}", "a mapping with id, version, title, numbers, words")
    return content


def _leaves(tree: object, doctrine: str, path: str = "") -> Iterator[tuple[str, Number]]:
    if not isinstance(tree, dict):
        raise DoctrineError(f"{doctrine}: {path} is a bare {tree!r}", "a number with value, range, source and status")
    for key, branch in tree.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(branch, dict) and "value" in branch:
            try:
                yield name, Number.model_validate(branch)
            except ValidationError as error:
                first = error.errors()[0]
                raise DoctrineError(
                    f"{doctrine}: {name}: {'.'.join(map(str, first['loc']))} {first['msg']}", "value, range, source and status"
                ) from None
        else:
            yield from _leaves(branch, doctrine, name)
