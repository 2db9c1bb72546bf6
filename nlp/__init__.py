"""greyzone: coordinated narratives, cyber incidents, and the cumulative impact of the campaigns that the two make up.

The journey in one call is `run`; `update` adds documents; `Case` opens what they wrote. Names load on first use, so that
``import greyzone`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from greyzone._version import __version__

if TYPE_CHECKING:
    from greyzone.case import Case
    from greyzone.doctrine import load_doctrine
    from greyzone.models import load_encoder
    from greyzone.pipeline import run, update

__all__ = ["Case", "__version__", "load_doctrine", "load_encoder", "run", "update"]

_HOMES = {
    "Case": "greyzone.case",
    "load_doctrine": "greyzone.doctrine",
    "load_encoder": "greyzone.models",
    "run": "greyzone.pipeline",
    "update": "greyzone.pipeline",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'greyzone' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
