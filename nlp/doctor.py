"""What this machine has, and what greyzone can do with it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from greyzone._version import __version__
from greyzone.doctrine import bundled, load_doctrine
from greyzone.engine import available_workers
from greyzone.errors import GreyzoneError

_PACKAGES = (
    "numpy",
    "scipy",
    "pyarrow",
    "scikit-learn",
    "hdbscan",
    "torch",
    "transformers",
    "tokenizers",
    "sentence-transformers",
    "datasets",
    "duckdb",
    "plotly",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its `state` is "good", "absent" (greyzone goes on without) or "bad" (it cannot)."""

    check: str
    state: str
    detail: str


def examine() -> list[Finding]:
    """Check Python, packages, processors, memory, disk, accelerator, encoder and doctrines; nothing is downloaded."""
    return [
        Finding("greyzone", "good", f"{__version__} on Python {sys.version.split()[0]}, {platform.system()} {platform.machine()}"),
        Finding("processors", "good", f"{available_workers()} usable"),
        _memory(),
        Finding("disk", "good", f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB free in {Path.cwd()}"),
        *(_package(name) for name in _PACKAGES),
        _accelerator(),
        _encoder(),
        _doctrines(),
    ]


def _memory() -> Finding:
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError) as error:
        return Finding("memory", "absent", f"cannot be read ({error})")
    return Finding("memory", "good" if free > 2**30 else "bad", f"{free / 2**30:.1f} GiB free")


def _package(name: str) -> Finding:
    try:
        return Finding(name, "good", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "bad", "not installed; install greyzone again with its dependencies")


def _accelerator() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("accelerator", "absent", f"torch cannot be imported ({error})")
    if torch.cuda.is_available():
        from greyzone.models.device import resolve_dtype

        return Finding("accelerator", "good", f"CUDA: {torch.cuda.get_device_name()}, models run in {resolve_dtype('auto', 'cuda:0')}")
    return Finding("accelerator", "absent", "no CUDA device: encoders run on the CPU")


def _encoder() -> Finding:
    from greyzone.models import load_encoder

    try:
        encoder = load_encoder("default")
        norm = float((encoder.encode(["a sentence to try the encoder on"]) ** 2).sum())
    except GreyzoneError as error:
        return Finding("default encoder", "bad", str(error))
    return Finding(
        "default encoder", "good" if abs(norm - 1) < 1e-3 else "bad", f"{encoder.dimensions} dimensions, {encoder.fingerprint[:12]}"
    )


def _doctrines() -> Finding:
    try:
        loaded = [load_doctrine(name) for name in bundled()]
    except GreyzoneError as error:
        return Finding("doctrines", "bad", str(error))
    return Finding("doctrines", "good", ", ".join(f"{doctrine.id} {doctrine.hash}" for doctrine in loaded))
