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
    from greyzone.models.scripts import unknown_scripts
    from greyzone.models.sentence import EncoderSettings, SentenceTransformerEncoder
    from greyzone.models.static import StaticEncoder

__all__ = [
    "EncoderSettings",
    "HashedEncoder",
    "HashedSettings",
    "SentenceTransformerEncoder",
    "StaticEncoder",
    "load_encoder",
    "resolve_device",
    "unknown_scripts",
]

EMBEDDED = ("default", "hashed")
"""Names of encoders that come with the package: "default", and "hashed", which knows any script but only spelling."""

LONG_TEXTS = ("windows", "truncate")
"""What can be done with a text that is longer than a model reads: read all of it in parts, or cut it."""

_HOMES = {
    "EncoderSettings": "greyzone.models.sentence",
    "HashedEncoder": "greyzone.models.hashed",
    "HashedSettings": "greyzone.models.hashed",
    "SentenceTransformerEncoder": "greyzone.models.sentence",
    "StaticEncoder": "greyzone.models.static",
    "resolve_device": "greyzone.models.device",
    "unknown_scripts": "greyzone.models.scripts",
}


def load_encoder(
    name: str | Path = "default",
    *,
    device: str = "auto",
    batch_size: int = 64,
    dtype: str = "auto",
    prompt: str = "auto",
    dimensions: int | None = None,
    long_texts: str = "windows",
) -> Encoder:
    """Return the encoder called `name`; there is no falling back to another one.

    Parameters
    ----------
    name
        "default" or "hashed" for an embedded encoder, a folder with a sentence-transformers model, or a model's name on the hub.
    device
        "auto", "cpu", "cuda" or "cuda:<n>"; the embedded encoders run on the CPU whatever it says.
    batch_size
        Texts per forward pass of a sentence-transformers model; of no influence on a vector.
    dtype, prompt, dimensions, long_texts
        As for `greyzone.models.SentenceTransformerEncoder`. The embedded encoders have one precision, no prompt, one length and no
        longest text, so only the defaults are right for them.

    Raises
    ------
    EncoderError
        If the model or the device cannot be found or used.
    InputError
        If an argument is out of range or has no meaning for this encoder.
    """
    check_arguments(name, device=device, batch_size=batch_size, dtype=dtype, prompt=prompt, dimensions=dimensions, long_texts=long_texts)
    if str(name) in EMBEDDED:
        if str(name) == "hashed":
            from greyzone.models.hashed import HashedEncoder

            return HashedEncoder()
        from greyzone.models.static import StaticEncoder

        return StaticEncoder.load()
    from greyzone.models.sentence import SentenceTransformerEncoder

    return SentenceTransformerEncoder(
        name, device=device, batch_size=batch_size, dtype=dtype, prompt=prompt, dimensions=dimensions, long_texts=long_texts
    )


def check_arguments(
    name: str | Path,
    *,
    device: str = "auto",
    batch_size: int = 64,
    dtype: str = "auto",
    prompt: str = "auto",
    dimensions: int | None = None,
    long_texts: str = "windows",
) -> None:
    """Raise what `load_encoder` would raise of its arguments alone, without loading anything."""
    from greyzone.models.device import check_device, check_dtype

    check_device(device)
    check_dtype(dtype)
    if batch_size < 1:
        raise InputError(f"batch_size {batch_size}", "1 or more")
    if dimensions is not None and dimensions < 1:
        raise InputError(f"dimensions {dimensions}", "1 or more")
    if long_texts not in LONG_TEXTS:
        raise InputError(f"long_texts {long_texts!r}", " or ".join(LONG_TEXTS))
    if str(name) in EMBEDDED:
        given = (
            ("dtype", dtype, "auto"),
            ("prompt", prompt, "auto"),
            ("dimensions", dimensions, None),
            ("long_texts", long_texts, "windows"),
        )
        if wrong := [f"{key} {value!r}" for key, value, usual in given if value != usual]:
            raise InputError(f"{', '.join(wrong)} for the embedded encoder {str(name)!r}", "a sentence-transformers model", "leave it out")


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
