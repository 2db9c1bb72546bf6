"""Which set of a new run is which of the last one: groups of accounts, campaigns.

Such sets have no names of their own, so one takes the name of the set that it was, by members (Greene, Doyle and Cunningham 2010,
Spiliopoulou et al. 2006). overlap(A, B) = |A and B| / |A or B|, where of B only members count that were in some set before, so that growth
takes no name away. Pairs of the largest overlap come first (then the most shared, then the smaller old and new names); B goes on as A if
neither is taken and their overlap is `share` or more. Any other new set split from the old one that gave it most members, if these are
`share` of its own; any other old one merged into the new one that got most of its members, if these are `share` of them. Sets may
overlap: a member of several counts in each. Narratives, which do not overlap and have a million documents, are compared by
`greyzone.lineage` in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from greyzone.records import content_id

Sets = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Pair:
    """An old and a new set that share members."""

    old: str
    new: str
    shared: int
    overlap: float


@dataclass(frozen=True, slots=True)
class Kin:
    """What became of sets.

    Attributes
    ----------
    heirs
        By old name, the pair in which it goes on.
    merged
        By old name, the pair in which one that goes on nowhere gave most of its members.
    split
        By new name, the pair in which one that goes on nothing got most of its members.
    ids
        By new name, the lasting one: all different, and none of a set that lived before but was not continued.
    """

    heirs: Mapping[str, Pair]
    merged: Mapping[str, Pair]
    split: Mapping[str, Pair]
    ids: Mapping[str, str]


def compare(before: Sets, after: Sets, *, share: float, prefix: str) -> Kin:
    """Say which sets go on, which merged and which split.

    Parameters
    ----------
    before, after
        Members by name: under the names that sets have, and under those proposed now.
    share
        Least share that makes kin, in (0, 1].
    prefix
        Of an id that is made where the proposed one is that of a set that lived before.
    """
    pairs = _pairs(before, after)
    heirs: dict[str, Pair] = {}
    ids: dict[str, str] = {}
    for pair in pairs:
        if pair.overlap >= share and pair.old not in heirs and pair.new not in ids:
            heirs[pair.old], ids[pair.new] = pair, pair.old
    split = {name: pair for name, pair in _largest(pairs, "new").items() if name not in ids and pair.shared >= share * len(after[name])}
    merged = {name: pair for name, pair in _largest(pairs, "old").items() if name not in heirs and pair.shared >= share * len(before[name])}
    taken = set(before)
    for name in sorted(set(after) - set(ids)):
        numbered = (content_id(prefix, name, number) if number else name for number in count())
        ids[name] = next(other for other in numbered if other not in taken)
        taken.add(ids[name])
    return Kin(heirs, merged, split, ids)


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one set.

    Attributes
    ----------
    event
        "continued" with other members, "merged", "ended", "split" or "born".
    name, other
        The lasting name, and that of the set that it merged into or split from.
    before, after
        Members of the old and of the new set, 0 where there is none.
    shared, overlap
        Of the two, 0 where there is but one.
    """

    event: str
    name: str
    other: str | None
    before: int
    after: int
    shared: int = 0
    overlap: float = 0.0


def fates(kin: Kin, before: Sets, after: Sets) -> Iterator[Fate]:
    """Yield what became of every set, but of those that go on with the same members."""

    def told(event: str, name: str, pair: Pair, other: str | None = None) -> Fate:
        return Fate(event, name, other, len(before[pair.old]), len(after[pair.new]), pair.shared, pair.overlap)

    for name, members in before.items():
        if name in kin.heirs:
            if members != after[kin.heirs[name].new]:
                yield told("continued", name, kin.heirs[name])
        elif name in kin.merged:
            yield told("merged", name, kin.merged[name], kin.ids[kin.merged[name].new])
        else:
            yield Fate("ended", name, None, len(members), 0)
    for name, members in after.items():
        if name in kin.split:
            yield told("split", kin.ids[name], kin.split[name], kin.split[name].old)
        elif kin.ids[name] not in kin.heirs:
            yield Fate("born", kin.ids[name], None, 0, len(members))


def _pairs(before: Sets, after: Sets) -> list[Pair]:
    """Return the pairs that share members, the nearest first."""
    homes: dict[str, list[str]] = {}
    for name, members in before.items():
        for member in members:
            homes.setdefault(member, []).append(name)
    found = []
    for new, members in after.items():
        shared: dict[str, int] = {}
        for member in members:
            for old in homes.get(member, ()):
                shared[old] = shared.get(old, 0) + 1
        known = sum(member in homes for member in members)
        found += [Pair(old, new, both, both / (len(before[old]) + known - both)) for old, both in shared.items()]
    return sorted(found, key=lambda pair: (-pair.overlap, -pair.shared, pair.old, pair.new))


def _largest(pairs: Sequence[Pair], side: str) -> dict[str, Pair]:
    """Return for each set of one side its pair of most shared members, of equals the nearest kin."""
    found: dict[str, Pair] = {}
    for pair in pairs:
        name = str(getattr(pair, side))
        if name not in found or pair.shared > found[name].shared:
            found[name] = pair
    return found
