"""The dose of every draw on every day, without going through all items on all days.

An item's factor is 1 while it goes on and 2^(-age / h) afterwards. Between two changes of a group (a member begins or ends) all its
members that go on stay constant and all that are over fade by one factor, so that with the power sums C and E of the two kinds

    norm(t) = (C + E 2^(-q (t - t0) / h))^(1/q)

and where only one kind is left the norm itself is constant or fades by 2^(-(t - t0) / h): such stretches enter a pool at their first day
and leave it at their last, and a pool goes from day to day by one factor for each draw. Only stretches of both kinds are evaluated day by
day. Links have two clocks (incident and narrative), hence four kinds. The cost is that of sorting the items once and of the changes, not
items times days; `greyzone.impact.draws.dose_at` is the plain formula that the tests compare it with.

A large exponent q overflows power sums: above `POWER_MAX` the groups are evaluated day by day with each term over the largest.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greyzone.impact.dose import Batch, Indices, Reals, all_in_group, decay, norm_contributions, norm_sums, partition
from greyzone.ranges import ranges

POWER_MAX = 16.0
"""Exponents up to this are taken of the values as they are: a dose of 1e-19 then still has a power above 1e-308."""
FEW = 4
"""So few moments are evaluated one by one: there is nothing to save."""
BLOCK = 1 << 20
"""Elements worked on at once; no result depends on it, since every draw is summed by itself."""


@dataclass(frozen=True, slots=True)
class Clock:
    """When events begin and end, (1 or B, n) seconds, and how fast they fade after: seconds, one number or (B,)."""

    begin: Reals
    end: Reals
    half_life: Batch

    def take(self, columns: Indices) -> Clock:
        """Return the clock of the events at `columns`."""
        return Clock(self.begin[:, columns], self.end[:, columns], self.half_life)

    def rows(self, start: int, stop: int) -> Clock:
        """Return the clock of the draws `start` to `stop`."""
        return Clock(_cut(self.begin, start, stop), _cut(self.end, start, stop), _cut_batch(self.half_life, start, stop))

    def ordered(self, columns: Indices, order: Indices) -> Clock:
        """Return the clock of the events at `columns`, each draw in its own `order`."""
        begin, end = (np.broadcast_to(side[:, columns], order.shape) for side in (self.begin, self.end))
        return Clock(np.take_along_axis(begin, order, axis=1), np.take_along_axis(end, order, axis=1), self.half_life)

    def factor(self, moment: float) -> Reals:
        """Return K at `moment`: 0 before the beginning, 1 until the end, then fading."""
        return at_work(self.begin, self.end, self.half_life, moment)


def at_work(begin: Reals, end: Reals, half_life: Batch, moment: Batch) -> Reals:
    """Return K of events at `moment`; it and `half_life` are a number or (B,)."""
    return (begin <= column(moment)) * decay(column(moment) - end, column(half_life))


def column(value: Batch) -> Reals:
    """Return a number or a (B,) array as one column."""
    return np.asarray(value, np.float64).reshape(-1, 1)


def norms_over_time(
    values: Reals, keys: npt.NDArray[np.int64] | Indices, clocks: tuple[Clock, ...], power: float, q: Batch, moments: Reals
) -> Reals:
    """Sum the q-norms of groups of `values` times the clocks' factors to `power`, at each moment.

    Parameters
    ----------
    values, keys
        (1 or B, n) doses, none negative, and the group of each.
    clocks
        One clock, or two whose factors are multiplied.
    power
        1, or 1/2 for links, which go with the roots of both doses.
    q
        Exponent, one number or (B,).
    moments
        (T,) rising seconds.

    Returns
    -------
    (B, T) float64
    """
    size = max(len(values), len(keys), *(len(clock.begin) for clock in clocks), *(np.size(clock.half_life) for clock in clocks), np.size(q))
    width = values.shape[1]
    out = np.zeros((size, len(moments)))
    if not width:
        return out
    values, keys = np.broadcast_to(values, (size, width)), np.broadcast_to(keys, (size, width))
    if float(np.max(q)) > POWER_MAX or len(moments) <= FEW:
        return _day_by_day(values, keys, clocks, power, q, moments)
    step = max(1, BLOCK // width)
    for start in range(0, size, step):
        stop = min(start + step, size)
        part = tuple(clock.rows(start, stop) for clock in clocks)
        exponent = np.broadcast_to(np.asarray(q, np.float64), (size,))[start:stop]
        out[start:stop] = _fold(_stays(values[start:stop], part, power, moments), keys[start:stop], exponent, moments)
    return out


@dataclass(frozen=True, slots=True)
class _Stays:
    """Stretches of moments in which one element fades at one rate.

    `row`, `element` and `phase` of each stay, its first moment `enter` and the one after its last, `leave`; `level` is the factor times
    the dose at `enter`. Phase bit c says that clock c has run out; `rates` (B, P) are halvings a second by draw and phase.
    """

    row: Indices
    element: Indices
    phase: Indices
    enter: Indices
    leave: Indices
    level: Reals
    rates: Reals

    def at(self, chosen: npt.NDArray[np.bool_]) -> _Stays:
        """Return the stays that are chosen."""
        index = (self.row, self.element, self.phase, self.enter, self.leave)
        row, element, phase, enter, leave = (part[chosen] for part in index)
        return _Stays(row, element, phase, enter, leave, self.level[chosen], self.rates)


def _stays(values: Reals, clocks: tuple[Clock, ...], power: float, moments: Reals) -> _Stays:
    """Follow every element through its phases; (R, n) values of one block of draws."""
    shape = values.shape
    begin = np.broadcast_to(np.maximum.reduce([clock.begin for clock in clocks]), shape)
    row, element = np.nonzero((values > 0) & (begin <= moments[-1]))
    first = np.searchsorted(moments, begin[row, element])
    ends = [np.broadcast_to(clock.end, shape)[row, element] for clock in clocks]
    lasts = [np.maximum(np.searchsorted(moments, end), first) for end in ends]
    halvings = [power / np.broadcast_to(np.asarray(clock.half_life, np.float64), (shape[0],)) for clock in clocks]
    rates = np.zeros((2 ** len(clocks), shape[0]))
    for phase_number in range(len(rates)):
        rates[phase_number] = sum((halvings[c] for c in range(len(clocks)) if phase_number >> c & 1), np.zeros(shape[0]))
    turns = [first, *np.sort(np.stack(lasts), axis=0)]
    places: list[tuple[Indices, ...]] = []
    levels: list[Reals] = []
    for number, enter in enumerate(turns):
        leave = turns[number + 1] if number + 1 < len(turns) else np.full(len(first), len(moments))
        here = np.flatnonzero(leave > enter)
        phase = np.zeros(len(here), np.intp)
        spent = np.zeros(len(here))
        for bit, (end, last, rate) in enumerate(zip(ends, lasts, halvings, strict=True)):
            over = last[here] <= enter[here]
            phase += over.astype(np.intp) << bit
            spent += np.where(over, (moments[enter[here]] - end[here]) * rate[row[here]], 0.0)
        levels.append(values[row[here], element[here]] * np.exp2(-spent))
        places.append((row[here], element[here], phase, enter[here], np.minimum(leave[here], len(moments))))
    rows, elements, phases, enters, leaves = (np.concatenate(parts) for parts in zip(*places, strict=True))
    return _Stays(rows, elements, phases, enters, leaves, np.concatenate(levels), rates.T.copy())


def _fold(stays: _Stays, keys: npt.NDArray[np.int64] | Indices, q: Reals, moments: Reals) -> Reals:
    """(R, T) sums of the norms of the stays' groups; `keys` (R, n), `q` (R,)."""
    shape = (len(q), len(moments))
    out = np.zeros(shape)
    pools = _Pools(np.zeros((stays.rates.shape[1], *shape)), stays.rates, moments)
    # with q = 1 there are no groups: every stay fades by itself
    summed = stays.at(q[stays.row] == 1)
    pools.add(summed.row, summed.phase, summed.enter, summed.leave, summed.level)
    kept = stays.at(q[stays.row] != 1)
    if len(kept.row):
        cells = _cells(kept, keys, q, moments)
        pure = (cells.sums > 0).sum(axis=1) == 1
        which = np.argmax(cells.sums[pure], axis=1)
        norm = _root(cells.sums[pure, which], q[cells.row[pure]])
        pools.add(cells.row[pure], which, cells.enter[pure], cells.leave[pure], norm)
        _add_mixed(out, cells, np.flatnonzero(~pure), q, stays.rates, moments)
    return np.asarray(np.maximum(out + pools.run(), 0.0))


@dataclass(frozen=True, slots=True)
class _Cells:
    """Stretches between two changes of a group: draw, first moment, the one after the last, and (cells, P) power sums at the first."""

    row: Indices
    enter: Indices
    leave: Indices
    sums: Reals


def _cells(stays: _Stays, keys: npt.NDArray[np.int64] | Indices, q: Reals, moments: Reals) -> _Cells:
    total, phases = len(moments), stays.rates.shape[1]
    codes = keys
    if keys.min() < 0 or int(keys.max()) * keys.shape[0] * total >= 2**62:
        codes = np.unique(keys, return_inverse=True)[1].reshape(keys.shape)
    group = stays.row * (int(codes.max()) + 1) + codes[stays.row, stays.element]
    stamp = group * total + stays.enter
    order = np.argsort(stamp, kind="stable")
    ordered = stamp[order]
    new = np.ones(len(order), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    # every stay but the first of an element begins where another ends, so the beginnings are all the changes
    heads = np.flatnonzero(new)
    cell_of = np.empty(len(order), np.intp)
    cell_of[order] = np.cumsum(new) - 1
    cell_group, enter = ordered[heads] // total, ordered[heads] % total
    row = stays.row[order[heads]]
    follows = np.zeros(len(heads), bool)
    follows[1:] = cell_group[1:] == cell_group[:-1]
    leave = np.full(len(heads), total)
    leave[:-1][follows[1:]] = enter[1:][follows[1:]]
    powered = _power(stays.level, q[stays.row])
    final = stays.phase == phases - 1
    sums = np.zeros((len(heads), phases))
    sums[:, -1] = np.bincount(cell_of[final], weights=powered[final], minlength=len(heads))
    _carry(sums[:, -1], follows, -q[row] * stays.rates[row, -1], moments[enter])
    if not final.all():
        stop = np.searchsorted(ordered[heads], group[~final] * total + stays.leave[~final])
        _spread(sums, cell_of[~final], stop, powered[~final], stays.phase[~final], (-q[row, None] * stays.rates[row], moments[enter]))
    return _Cells(row, enter, leave, sums)


def _carry(sums: Reals, follows: npt.NDArray[np.bool_], exponent: Reals, at: Reals) -> None:
    """Add to each cell what the cell before it in the group had, faded; in place."""
    starts = np.flatnonzero(~follows)
    lengths = np.diff(starts, append=len(follows))
    rank = 1
    going = starts[lengths > 1]
    left = lengths[lengths > 1]
    while len(going):
        here = going + rank
        sums[here] += sums[here - 1] * np.exp2(exponent[here] * (at[here] - at[here - 1]))
        rank += 1
        going, left = going[left > rank], left[left > rank]


def _spread(sums: Reals, first: Indices, stop: Indices, powered: Reals, phase: Indices, fading: tuple[Reals, Reals]) -> None:
    """Add stays that end to all cells of their group that they last for, without any difference of sums; in place."""
    exponent, at = fading
    lengths = stop - first
    for part in _portions(lengths):
        counts = lengths[part]
        origin = np.repeat(first[part], counts)
        cells, kinds = ranges(first[part], counts), np.repeat(phase[part], counts)
        faded = np.repeat(powered[part], counts) * np.exp2(exponent[cells, kinds] * (at[cells] - at[origin]))
        flat = np.bincount(cells * sums.shape[1] + kinds, weights=faded, minlength=sums.size)
        sums += flat.reshape(sums.shape)


def _add_mixed(out: Reals, cells: _Cells, chosen: Indices, q: Reals, rates: Reals, moments: Reals) -> None:
    """Evaluate cells with several rates day by day; in place."""
    lengths = cells.leave[chosen] - cells.enter[chosen]
    for part in _portions(lengths):
        cell, counts = chosen[part], lengths[part]
        day, row = ranges(cells.enter[cell], counts), np.repeat(cells.row[cell], counts)
        age = moments[day] - np.repeat(moments[cells.enter[cell]], counts)
        power = np.repeat(cells.sums[cell, 0], counts)
        for phase in range(1, rates.shape[1]):
            fade = np.repeat(-q[cells.row[cell]] * rates[cells.row[cell], phase], counts)
            power += np.repeat(cells.sums[cell, phase], counts) * np.exp2(fade * age)
        flat = np.bincount(row * out.shape[1] + day, weights=_root(power, q[row]), minlength=out.size)
        out += flat.reshape(out.shape)


def _power(values: Reals, q: Reals) -> Reals:
    return np.square(values) if len(q) and (q == 2).all() else np.power(values, q)


def _root(values: Reals, q: Reals) -> Reals:
    return np.sqrt(values) if len(q) and (q == 2).all() else np.power(values, 1 / q)


def _portions(lengths: Indices) -> list[slice]:
    """Cut a list of stretches where their lengths add up to a block."""
    bounds = np.searchsorted(np.cumsum(lengths), np.arange(BLOCK, int(lengths.sum()) + BLOCK, BLOCK), side="right")
    edges = np.unique(np.concatenate([[0], bounds, np.arange(0, len(lengths), BLOCK), [len(lengths)]])).tolist()
    return [slice(low, high) for low, high in itertools.pairwise(edges)]


@dataclass(frozen=True, slots=True)
class _Pools:
    """What fades at one rate, by phase: (P, R, T) amounts that enter, less those that leave, at each moment."""

    steps: Reals
    rates: Reals
    moments: Reals

    def add(self, row: Indices, phase: Indices, enter: Indices, leave: Indices, level: Reals) -> None:
        """Let `level` enter at one moment and leave, faded, at another; in place."""
        _, rows, total = self.steps.shape
        base = (phase * rows + row) * total
        np.add(self.steps, np.bincount(base + enter, weights=level, minlength=self.steps.size).reshape(self.steps.shape), out=self.steps)
        ends = np.flatnonzero(leave < total)
        if len(ends):
            age = self.moments[leave[ends]] - self.moments[enter[ends]]
            left = level[ends] * np.exp2(-self.rates[row[ends], phase[ends]] * age)
            gone = np.bincount(base[ends] + leave[ends], weights=left, minlength=self.steps.size)
            np.subtract(self.steps, gone.reshape(self.steps.shape), out=self.steps)

    def run(self) -> Reals:
        """Return (R, T) sums over the phases."""
        held = self.steps[:, :, 0].copy()
        out = np.empty_like(self.steps[0])
        out[:, 0] = held.sum(axis=0)
        for day in range(1, out.shape[1]):
            fade = np.exp2(-self.rates.T * (self.moments[day] - self.moments[day - 1]))
            held = held * fade + self.steps[:, :, day]
            out[:, day] = held.sum(axis=0)
        return np.asarray(out)


def _day_by_day(
    values: Reals, keys: npt.NDArray[np.int64] | Indices, clocks: tuple[Clock, ...], power: float, q: Batch, moments: Reals
) -> Reals:
    """Do the same for any q; groups whose members are all over before the first moment only fade, by one factor."""
    size = len(values)
    over = np.logical_and.reduce([np.broadcast_to(clock.end <= moments[0], values.shape) for clock in clocks])
    groups = partition(keys)
    over = all_in_group(over, groups)
    faded = norm_contributions(values * _product(clocks, moments[0], power), groups, q)
    carry = np.where(over, faded, 0.0).sum(axis=1)
    half_lives = [column(clock.half_life)[:, 0] for clock in clocks]
    live = np.flatnonzero(~over.all(axis=0))
    groups = partition(keys[:, live])
    # what is summed at every moment is put in the order of its groups once
    rest = np.take_along_axis(np.where(over, 0.0, values)[:, live], groups.order, axis=1)
    clocks = tuple(clock.ordered(live, groups.order) for clock in clocks)
    out = np.empty((size, len(moments)))
    for number, moment in enumerate(moments):
        fade = np.prod([decay(np.asarray(moment - moments[0]), half_life) ** power for half_life in half_lives], axis=0)
        out[:, number] = carry * fade + norm_sums(rest * _product(clocks, moment, power), groups, q)
    return out


def _product(clocks: tuple[Clock, ...], moment: float, power: float) -> Reals:
    found = clocks[0].factor(moment)
    for clock in clocks[1:]:
        found = found * clock.factor(moment)
    return found if power == 1 else np.power(found, power)


def _cut(values: Reals, start: int, stop: int) -> Reals:
    return values if len(values) == 1 else values[start:stop]


def _cut_batch(value: Batch, start: int, stop: int) -> Batch:
    return value[start:stop] if isinstance(value, np.ndarray) and value.ndim and len(value) > 1 else value
