"""Rows of a static encoder as 4-bit codes in one safetensors file, as `greyzone.models.static` reads them.

A row is ``scale * (2 code - 15)``. Of five scales, the one with the least squared error is kept: a scale below the largest value clips
a few coordinates and is finer for all others. Scales are integers of one unit for the whole file, so that sums stay exact.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError
from greyzone.models.static import CODE_ZERO, FORMAT
from greyzone.records import Floats

CLIPS = (1.0, 0.9, 0.8, 0.7, 0.6)
"""Shares of a row's largest value that the largest code may stand for."""

SCALE_MAX = (1 << 16) - 1
SLICE = 1 << 13


def quantise(rows: Floats) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    """Return the codes (n, dimensions / 2) uint8 and scales (n,) uint16 of `rows`.

    Parameters
    ----------
    rows
        (n, dimensions) float32, an even number of dimensions.

    Raises
    ------
    InputError
        If the number of dimensions is odd, or a value is not finite.
    """
    if rows.ndim != 2 or rows.shape[1] % 2 or not np.isfinite(rows).all():
        raise InputError(f"rows {rows.shape}", "an even number of dimensions, all values finite")
    largest = np.abs(rows).max(axis=1, initial=0.0).astype(np.float64)
    unit = max(float(largest.max(initial=0.0)), 1e-12) / CODE_ZERO / SCALE_MAX
    codes = np.empty((len(rows), rows.shape[1] // 2), dtype=np.uint8)
    scales = np.empty(len(rows), dtype=np.uint16)
    for start in range(0, len(rows), SLICE):
        part = slice(start, start + SLICE)
        codes[part], scales[part] = _best(rows[part].astype(np.float64), largest[part], unit)
    return codes, scales


def write_static(path: Path, pieces: Sequence[str], rows: Floats, metadata: Mapping[str, Any]) -> None:
    """Write the file: same pieces, rows and metadata, same bytes.

    Raises
    ------
    InputError
        If pieces repeat or hold a line break, or there is not one row a piece.
    """
    from safetensors.numpy import save

    if len(set(pieces)) != len(pieces) or len(pieces) != len(rows) or any("\n" in piece or not piece for piece in pieces):
        raise InputError(f"{len(pieces)} pieces for {len(rows)} rows", "distinct pieces without line breaks, one a row")
    codes, scales = quantise(rows)
    packed = lzma.compress("\n".join(pieces).encode(), format=lzma.FORMAT_XZ, preset=9 | lzma.PRESET_EXTREME)
    tensors: dict[str, npt.NDArray[Any]] = {"codes": codes, "pieces": np.frombuffer(packed, dtype=np.uint8), "scales": scales}
    stated = json.dumps({"format": FORMAT, **metadata}, sort_keys=True, ensure_ascii=False)
    path.write_bytes(save(tensors, {"greyzone": stated}))


def _best(
    rows: npt.NDArray[np.float64], largest: npt.NDArray[np.float64], unit: float
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    """Return the codes and scales of a slice by the clip that loses least."""
    least = np.full(len(rows), np.inf)
    codes = np.zeros((len(rows), rows.shape[1] // 2), dtype=np.uint8)
    scales = np.zeros(len(rows), dtype=np.uint16)
    for clip in CLIPS:
        scale = np.clip(np.rint(largest * clip / CODE_ZERO / unit), 1, SCALE_MAX)
        code = np.clip(np.rint((rows / (scale * unit)[:, None] + CODE_ZERO) / 2), 0, CODE_ZERO)
        loss = np.square((2 * code - CODE_ZERO) * (scale * unit)[:, None] - rows).sum(axis=1)
        better = loss < least
        least[better] = loss[better]
        low, high = code[better, 0::2].astype(np.uint8), code[better, 1::2].astype(np.uint8)
        codes[better], scales[better] = low | (high << 4), scale[better].astype(np.uint16)
    return codes, scales
