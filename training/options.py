"""Settings dataclasses as command-line options, so that a setting is named, typed and explained in one place only.

Every field of the dataclass becomes an option; its help is the field's text under "Attributes" in the docstring of the class (or of a
class that it is derived from), its default the field's default. A tuple takes several values, an optional value none or one.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import logging
import sys
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from greyzone.errors import GreyzoneError

T = TypeVar("T")


def parser_of(settings: type[Any], *, prog: str, description: str) -> argparse.ArgumentParser:
    """Return a parser with one option for each field of the dataclass `settings`."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    hints = typing.get_type_hints(settings)
    texts = _attributes(settings)
    for item in dataclasses.fields(settings):
        option = "--" + item.name.replace("_", "-")
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        kind = hints[item.name]
        several = typing.get_origin(kind) is tuple
        if several or typing.get_origin(kind) in {types.UnionType, typing.Union}:
            kind = next(part for part in typing.get_args(kind) if part is not type(None))
        given: dict[str, Any] = {"help": texts[item.name].replace("%", "%%"), "dest": item.name}
        if required:
            given["required"] = True
        else:
            given["default"] = item.default
        if kind is bool:
            given["action"] = argparse.BooleanOptionalAction
        else:
            given |= {"type": kind, "metavar": item.name.upper()} | ({"nargs": "+"} if several else {})
        parser.add_argument(option, **given)
    return parser


def settings_of(settings: type[T], given: argparse.Namespace) -> T:
    """Return the dataclass that the parsed options stand for."""
    return settings(**{name: tuple(value) if isinstance(value, list) else value for name, value in vars(given).items()})


def run_command(settings: type[T], act: Callable[[T], Any], arguments: Sequence[str] | None, *, prog: str, description: str) -> int:
    """Parse `arguments`, call `act`, print what it returns as one JSON line, and return the exit code; an error is one line on stderr."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    given = parser_of(settings, prog=prog, description=description).parse_args(arguments)
    try:
        found = act(settings_of(settings, given))
    except GreyzoneError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps(dataclasses.asdict(found), default=_plain, ensure_ascii=False) + "\n")
    return 0


def named(pairs: Sequence[str]) -> dict[str, str]:
    """Return the names of columns given as ``role=column``; a value without "=" is left to the reader to refuse."""
    return {role: column for role, _, column in (pair.partition("=") for pair in pairs)}


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else str(value)


def _attributes(settings: type[Any]) -> dict[str, str]:
    """Return the text of each field under "Attributes" in the docstrings of a class and of those it is derived from."""
    found: dict[str, str] = {}
    for level in reversed(settings.__mro__[:-1]):
        _, _, section = inspect.cleandoc(level.__doc__ or "").partition("Attributes\n----------\n")
        names: list[str] = []
        for line in section.splitlines():
            if line and not line[0].isspace():
                names = [name.strip() for name in line.split(",")]
            else:
                for name in names:
                    found[name] = (
                        f"{found[name]} {line.strip()}".strip() if name in found and line.strip() else found.get(name, line.strip())
                    )
    return found
