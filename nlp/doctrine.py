"""Doctrines: every number of the method, with its range, its source and how sure that is.

A doctrine is a YAML file. A number is a leaf ``{value, range, source, status}`` under ``numbers``; its name is the dotted path to
it, such as ``dose.gamma``. ``extends`` names a doctrine whose leaves are taken where the file has none. The hash is over the
resolved leaves, so that two files that say the same have the same hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from greyzone.errors import DoctrineError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe loader, in C where PyYAML was built with it: ten times as fast."""

Status = Literal["cited", "judgement", "elicited", "unverified"]


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


@dataclass(frozen=True, slots=True)
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
        """Return the values under `prefix`, by the last part of their names."""
        start = prefix + "."
        found = {name[len(start) :]: leaf.value for name, leaf in self.leaves.items() if name.startswith(start)}
        if not found:
            raise DoctrineError(f"no section {prefix!r} in doctrine {self.id!r}", "a dotted path of its file")
        return found

    def phrase(self, name: str) -> str:
        """Return the text called `name` under ``words``."""
        found = self.words.get(name)
        if not isinstance(found, str):
            raise DoctrineError(f"words.{name} of doctrine {self.id!r} is {found!r}", "a text")
        return found

    def phrases(self, name: str) -> list[str]:
        """Return the list of texts called `name` under ``words``."""
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

    @property
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
        If the file is not there, is not YAML, or has a number without value, range, source or status, or out of its range.
    """
    return _resolve(str(name), seen=())


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
    leaves.update(_leaves(content.get("numbers") or {}, name))
    words.update(content.get("words") or {})
    try:
        return Doctrine(str(content["id"]), int(content["version"]), str(content["title"]), leaves, words)
    except KeyError as error:
        raise DoctrineError(f"doctrine {name!r} without {error}", "id, version and title at the top of the file") from None


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
