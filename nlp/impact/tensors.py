"""The plain formula of the dose on PyTorch, day by day: the way for a GPU, and a second opinion on `greyzone.impact.curve`.

Doses before decay, waves and couplings are those of the NumPy world; decay, norms and sums are done here, in float64, since float32
would leave 1e-6 of a score behind in sums over thousands of items. On a CPU it is slower than the NumPy path, which goes through the
changes alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError
from greyzone.impact.curve import column
from greyzone.impact.dose import Indices, Reals
from greyzone.impact.draws import Theta, World

if TYPE_CHECKING:
    import torch

Tensor = Any
"""A torch.Tensor; torch is imported when a device is asked for, and only then."""


def dose_curve_on(world: World, theta: Theta, moments: Reals, *, device: str) -> Reals:
    """Return what `greyzone.impact.draws.dose_curve` returns, (B, T), computed on a device of PyTorch.

    Raises
    ------
    InputError
        If PyTorch does not have the device.
    """
    import torch

    place = _place(device)
    a, b = world.incident_doses(theta.base), world.narrative_doses(theta.base, theta.v)
    i, n = world.items.link_incident, world.items.link_narrative
    size = max(len(a), len(b), *(np.size(value) for value in (theta.base, theta.half_life_cyber, theta.q, theta.gamma, theta.v)))

    def sent(values: Reals) -> Tensor:
        return torch.from_numpy(np.array(np.broadcast_to(values, (size, values.shape[1])), np.float64)).to(place)

    codes = np.broadcast_to(world.wave_codes(), (size, a.shape[1]))
    cyber = _Clock(sent(world.onset), sent(world.end), sent(column(theta.half_life_cyber)))
    told = _Clock(sent(world.narrative_onset), sent(world.narrative_end), sent(column(theta.half_life_information)))
    groups = _Groups(codes, place)
    pairs = _Groups(np.broadcast_to(n, (size, len(n))), place)
    doses, stories, weight = sent(a), sent(b), sent(world.coupling)
    first, second = (torch.from_numpy(np.asarray(index, np.int64)).to(place) for index in (i, n))
    q, gamma = (sent(column(value)) for value in (theta.q, theta.gamma))
    out = np.empty((size, len(moments)))
    for number, moment in enumerate(moments.tolist()):
        now, heard = doses * cyber.factor(moment), stories * told.factor(moment)
        total = groups.norms(now, q) + heard.sum(dim=1)
        if len(i):
            total = total + gamma[:, 0] * pairs.norms(weight * (now[:, first] * heard[:, second]).sqrt(), q)
        out[:, number] = total.cpu().numpy()
    return out


class _Clock:
    """K of `greyzone.impact.dose.decay` for (B, n) tensors."""

    def __init__(self, begin: Tensor, end: Tensor, half_life: Tensor) -> None:
        self.begin, self.end, self.half_life = begin, end, half_life

    def factor(self, moment: float) -> Tensor:
        return (self.begin <= moment) * (-(moment - self.end).clamp(min=0.0) / self.half_life).exp2()


class _Groups:
    """Sums of q-norms over the groups of each row, every term over the largest of its group, so that any q can be taken."""

    def __init__(self, codes: npt.NDArray[np.int64] | Indices, place: torch.device) -> None:
        import torch

        names, inverse = np.unique(codes, return_inverse=True)
        self.codes = torch.from_numpy(inverse.reshape(codes.shape).astype(np.int64)).to(place)
        self.count = max(1, len(names))

    def norms(self, values: Tensor, q: Tensor) -> Tensor:
        empty = values.new_zeros((len(values), self.count))
        largest = empty.scatter_reduce(1, self.codes, values, "amax")
        ratio = values / largest.where(largest > 0, largest.new_ones(())).gather(1, self.codes)
        return (largest * empty.scatter_add(1, self.codes, ratio**q) ** (1 / q)).sum(dim=1)


def _place(device: str) -> torch.device:
    import torch

    try:
        place = torch.device(device)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r} ({str(error).splitlines()[0]})", "cpu or a CUDA device that is there") from None
    return place
