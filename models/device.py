"""The one place that decides where a model runs, and in which precision."""

from __future__ import annotations

import re
from importlib.metadata import version

from greyzone.errors import EncoderError, InputError

DTYPES = ("float32", "bfloat16", "float16")
"""Precisions that a model can run in, beside "auto"."""

_FORM = re.compile(r"auto|cpu|cuda(?::\d{1,3})?")


def check_device(device: str) -> None:
    """Raise `EncoderError` unless `device` is "auto", "cpu", "cuda" or "cuda:<n>"; loads no torch."""
    if not _FORM.fullmatch(device):
        raise EncoderError(f"device {device!r}", "auto, cpu, cuda or cuda:<n>")


def check_dtype(dtype: str) -> None:
    """Raise `InputError` unless `dtype` is "auto" or one of `DTYPES`; loads no torch."""
    if dtype != "auto" and dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r}", f"auto, {' or '.join(DTYPES)}")


def resolve_device(device: str = "auto") -> str:
    """Return the device that `device` stands for on this machine.

    Parameters
    ----------
    device
        "auto" takes the first CUDA device if there is one; "cpu" loads no torch, and neither does "auto" with a build of torch for
        processors alone (a version with "+cpu").

    Returns
    -------
    str
        "cpu" or "cuda:<n>".

    Raises
    ------
    EncoderError
        If `device` is none of the known forms or the machine has no such device.
    """
    check_device(device)
    if device == "cpu" or (device == "auto" and version("torch").endswith("+cpu")):
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda:0" if count else "cpu"
    index = int(device.partition(":")[2] or 0)
    if index >= count:
        raise EncoderError(f"device {device!r} on a machine with {count} CUDA devices", "a device that exists", "use cpu or auto")
    return f"cuda:{index}"


def resolve_dtype(dtype: str, device: str) -> str:
    """Return the precision that `dtype` stands for on `device`.

    Parameters
    ----------
    dtype
        "auto" takes bfloat16 on CUDA cards that have it, float16 on older ones and float32 on the CPU.
    device
        As `resolve_device` returned it.

    Returns
    -------
    str
        One of `DTYPES`.

    Raises
    ------
    InputError
        If `dtype` is not known, or float16 is asked of the CPU, whose kernels for it are slow or missing.
    """
    check_dtype(dtype)
    if device == "cpu":
        if dtype == "float16":
            raise InputError("dtype 'float16' on the CPU", "float32 or bfloat16 there")
        return "float32" if dtype == "auto" else dtype
    if dtype != "auto":
        return dtype
    import torch

    with torch.cuda.device(device):
        # Cards before Ampere emulate bfloat16, slower than they run float16.
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
