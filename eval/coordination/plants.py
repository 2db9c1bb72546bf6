"""Accounts that do coordinate, planted into a corpus of `corpora`: ordinary accounts that now and then act on one plan.

Members are drawn from all accounts and go on posting as they did. The plan is a few campaigns of a few items each; seven members in ten
take part in an item, minutes to hours after it begins. What an item is depends on the kind (`KINDS`): an address, one text with small
edits, one claim that everybody puts in words of his own, a repost of somebody's post within three minutes, a sequence of hashtags.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from greyzone.errors import InputError
from greyzone.eval.coordination.corpora import DAY, DAYS, HOUR, MINUTE, Post, World

ITEMS = ("url", "text", "paraphrase", "fast", "hashtags")
KINDS: dict[str, tuple[str, ...]] = {
    "mixed": ITEMS,
    "no-url": ("text", "paraphrase", "fast", "hashtags"),
    "url": ("url",),
    "text": ("text",),
    "paraphrase": ("paraphrase",),
    "fast": ("fast",),
    "hashtags": ("hashtags",),
}
"""Items of a plan by its kind; each item of a plan with several is drawn from them."""

FEWEST = 5
"""Members of a plan at least, whatever the share: fewer can be no 4-core."""
PARTICIPATION = 0.7
FAST_SECONDS = 60.0
"""Mean time after the post that is reposted; 180 s at most."""


def planter(share: float, kind: str) -> Callable[[World], frozenset[int]]:
    """Return what plants a plan of a kind on this share of the accounts, for `corpora.make_corpus`.

    Raises
    ------
    InputError
        If the kind is unknown or the share is not above 0 and below 1.
    """
    if kind not in KINDS:
        raise InputError(f"kind {kind!r}", f"one of {', '.join(KINDS)}")
    if not 0 < share < 1:
        raise InputError(f"a share of {share:g}", "more than 0 and less than 1")
    return lambda world: _plant(world, share, KINDS[kind])


def _plant(world: World, share: float, items: tuple[str, ...]) -> frozenset[int]:
    rng, n = world.rng, world.setting.accounts
    members = rng.choice(n, max(FEWEST, round(share * n)), replace=False)
    # Minutes in some plans, hours in others.
    pace = float(np.exp(rng.uniform(np.log(3 * MINUTE), np.log(3 * HOUR))))
    originals = [post for post in world.posts if post.post_id]
    for _ in range(int(rng.integers(4, 7))):
        begins = float(rng.uniform(0, (DAYS - 1) * DAY))
        for _ in range(int(rng.integers(2, 5))):
            begins += float(rng.exponential(2 * HOUR))
            acting = members[rng.random(len(members)) < PARTICIPATION]
            item = str(rng.choice(items))
            if item == "fast":
                _repost(world, acting, originals[int(rng.integers(len(originals)))])
            else:
                _push(world, acting, item, begins + pace * rng.lognormal(0, 0.8, len(acting)))
    return frozenset(int(member) for member in members)


def _repost(world: World, acting: np.ndarray, original: Post) -> None:
    handle = world.name(original.account)
    for member in acting.tolist():
        seconds = original.seconds + min(1 + float(world.rng.exponential(FAST_SECONDS)), 180.0)
        post = Post(member, seconds, f"RT @{handle}: {original.text}", mentions=(handle,), repost_of=original.post_id)
        if member != original.account:
            world.add(post)


def _push(world: World, acting: np.ndarray, item: str, times: np.ndarray) -> None:
    wording = world.wording
    claim, tags = wording.claim(), tuple(wording.tag() for _ in range(3))
    base = wording.told(claim)
    said: set[str] = set()
    address = f"https://{tags[0].lower()}.example/{tags[1].lower()}"
    for member, seconds in zip(acting.tolist(), times.tolist(), strict=True):
        if item == "url":
            world.add(Post(member, seconds, wording.remark(), urls=(address,)))
        elif item == "text":
            world.add(Post(member, seconds, wording.edited(base)))
        elif item == "paraphrase":
            while (text := wording.told(claim)) in said:
                continue
            said.add(text)
            world.add(Post(member, seconds, text))
        else:
            world.add(Post(member, seconds, f"{wording.remark()} {' '.join(f'#{tag}' for tag in tags)}", hashtags=tags))
