"""Encoders: what turns texts into vectors, and on which device.

`load_encoder` is the way in. Names load on first use, so that ``import greyzone.models`` loads no torch.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from greyzone.errors import InputError
from greyzone.records import Encoder

if TYPE_CHECKING:
    from greyzone.models.device import resolve_device
    from greyzone.models.hashed import HashedEncoder, HashedSettings
    from greyzone.models.sentence import SentenceTransformerEncoder

__all__ = ["HashedEncoder", "HashedSettings", "SentenceTransformerEncoder", "load_encoder", "resolve_device"]

DEFAULT_NAMES = ("default", "hashed")
"""Names of the embedded encoder."""

_HOMES = {
    "HashedEncoder": "greyzone.models.hashed",
    "HashedSettings": "greyzone.models.hashed",
    "SentenceTransformerEncoder": "greyzone.models.sentence",
    "resolve_device": "greyzone.models.device",
}


def load_encoder(name: str | Path = "default", *, device: str = "auto", batch_size: int = 64) -> Encoder:
    """Return the encoder called `name`; there is no falling back to another one.

    Parameters
    ----------
    name
        "default" for the embedded encoder, a folder with a sentence-transformers model, or a model's name on the hub.
    device
        "auto", "cpu", "cuda" or "cuda:<n>"; the embedded encoder runs on the CPU whatever it says.
    batch_size
        Texts per forward pass of a sentence-transformers model.

    Raises
    ------
    EncoderError
        If the model or the device cannot be found or used.
    InputError
        If an argument is out of range.
    """
    from greyzone.models.device import check_device

    check_device(device)
    if batch_size < 1:
        raise InputError(f"batch_size {batch_size}", "1 or more")
    if str(name) in DEFAULT_NAMES:
        from greyzone.models.hashed import HashedEncoder

        return HashedEncoder()
    from greyzone.models.sentence import SentenceTransformerEncoder

    return SentenceTransformerEncoder(name, device=device, batch_size=batch_size)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
