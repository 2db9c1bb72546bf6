"""Splits that keep groups whole and labels even.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML 2011) over groups in place of single texts: again and again take the
label with the fewest texts still to place, and give each group that has it, the richest first, to the part that lacks most of that
label; ties go to the part that lacks most texts, then to the one drawn first. Groups without any label come last, by size. A group is
what must not stand on both sides: the paragraphs of one article, copies and near-copies of one post.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError
from greyzone.eval.joined import joined
from greyzone.text import normal_form

OPENING_WORDS = 12
"""Texts of at least so many words that begin with the same ones are copies of each other, whatever follows (a signature, a link)."""

Integers = npt.NDArray[np.int64]


def merged_groups(groups: Sequence[Hashable], texts: Sequence[str]) -> Integers:
    """Return (n,) numbers of the groups, joined wherever texts of two are equal in normal form or open with the same words."""
    numbers: dict[Hashable, int] = {}
    pairs: list[tuple[int, int]] = []
    for group, text in zip(groups, texts, strict=True):
        words = normal_form(text).split()
        keys: list[Hashable] = [("text", " ".join(words))] if words else []
        if len(words) >= OPENING_WORDS:
            keys.append(("opening", " ".join(words[:OPENING_WORDS])))
        own = numbers.setdefault(("group", group), len(numbers))
        pairs += [(own, numbers.setdefault(key, len(numbers))) for key in keys]
    whole = joined(len(numbers), pairs)
    found = whole[np.array([numbers["group", group] for group in groups], dtype=np.int64)]
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def stratified_parts(truth: npt.NDArray[np.bool_], groups: Integers, shares: Sequence[float], *, seed: int = 0) -> Integers:
    """Return (n,) the part of every text, 0 to ``len(shares) - 1``.

    Parameters
    ----------
    truth
        (n, labels) which labels a text has; the columns in an order that does not depend on the rows (sorted names).
    groups
        (n,) numbers of the groups, from 0 on.
    shares
        Shares of the parts, summing to 1.
    seed
        Draws the order among groups that are equal in all counts, and among parts that lack the same.

    Raises
    ------
    InputError
        If there are fewer groups than parts or the shares do not sum to 1.
    """
    n_groups = int(groups.max()) + 1 if len(groups) else 0
    if n_groups < len(shares):
        raise InputError(f"{n_groups} groups of texts for {len(shares)} parts", "at least one group a part")
    if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise InputError(f"shares {list(shares)}", "positive, summing to 1")
    rng = np.random.default_rng(seed)
    counts = np.zeros((n_groups, truth.shape[1]))
    np.add.at(counts, groups, truth.astype(np.float64))
    sizes = np.bincount(groups, minlength=n_groups).astype(np.float64)
    lacking = np.outer(shares, counts.sum(axis=0))
    room = np.asarray(shares) * sizes.sum()
    part_rank, group_rank = rng.permutation(len(shares)), rng.permutation(n_groups)
    part = np.full(n_groups, -1, dtype=np.int64)

    def give(group: int, wish: npt.NDArray[np.float64]) -> None:
        chosen = max(range(len(shares)), key=lambda one: (wish[one], room[one], part_rank[one]))
        part[group] = chosen
        lacking[chosen] -= counts[group]
        room[chosen] -= sizes[group]

    while True:
        left = counts[part < 0].sum(axis=0)
        if not left.any():
            break
        label = int(np.where(left > 0, left, np.inf).argmin())
        holders = np.flatnonzero((part < 0) & (counts[:, label] > 0))
        for group in holders[np.lexsort((group_rank[holders], -counts[holders, label]))]:
            give(int(group), lacking[:, label])
    rest = np.flatnonzero(part < 0)
    for group in rest[np.lexsort((group_rank[rest], -sizes[rest]))]:
        give(int(group), room)
    return part[groups]
