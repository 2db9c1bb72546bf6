"""The one place that decides where a model runs."""

from __future__ import annotations

import re

from greyzone.errors import EncoderError

_FORM = re.compile(r"auto|cpu|cuda(?::\d{1,3})?")


def check_device(device: str) -> None:
    """Raise `EncoderError` unless `device` is "auto", "cpu", "cuda" or "cuda:<n>"; loads no torch."""
    if not _FORM.fullmatch(device):
        raise EncoderError(f"device {device!r}", "auto, cpu, cuda or cuda:<n>")


def resolve_device(device: str = "auto") -> str:
    """Return the device that `device` stands for on this machine.

    Parameters
    ----------
    device
        "auto" takes the first CUDA device if there is one; "cpu" loads no torch.

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
    if device == "cpu":
        return device
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda:0" if count else "cpu"
    index = int(device.partition(":")[2] or 0)
    if index >= count:
        raise EncoderError(f"device {device!r} on a machine with {count} CUDA devices", "a device that exists", "use cpu or auto")
    return f"cuda:{index}"
