"""Alternatives about the accounts themselves: speakers of one institution, neighbours in time, or one person with several accounts.

- party or institution discipline: speakers speak for themselves most of the time and share a line now and then, each when he comes to it.
  The statistic is the median share of a member's documents that say nothing that another member says (text, repeated post, address) and do
  not show the group; it fits from ``own_share``, if in the median item that ``driving_members`` share fewer than ``together_share`` of them
  act within ``together_minutes``. All documents of the members are looked at, not those of a trace alone: what a trace of seconds sees is
  fast by construction. A group that shares minutes and nothing else follows no line.
- shared time zone: for groups that rest on timed traces alone. Two posts of one item on one day are within the width w of the traces with
  probability sum_ij h_i h_j P(|i - j + U - V| <= w), h being the members' shares of posts by hour of the day and U, V uniform in an hour.
  The statistic is that over the observed share of such pairs; it fits from ``time_zone_ratio``.
- bridged accounts of one person: accounts of different platforms are one person's if their names are nearly the same, or if
  ``bridge_share`` of what either says the other says too. A person has one account a platform, so a component of such ties has as many
  persons as it has accounts on its largest platform. It fits if there are fewer persons than a core needs accounts.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import combinations

import numpy as np
import pyarrow as pa

from greyzone.coordinate.bicm import Doubles, Ints
from greyzone.coordinate.cores import components
from greyzone.coordinate.explanations.background import Background, ranges
from greyzone.coordinate.explanations.by_items import HOUR, row
from greyzone.coordinate.explanations.evidence import Evidence, Row
from greyzone.coordinate.explanations.items import MINUTE, Items, is_timed, together, within
from greyzone.coordinate.groups import Group
from greyzone.coordinate.traces import UNDATED
from greyzone.doctrine import Doctrine

DAY = 24 * HOUR
SECOND = 1_000_000
"""Microseconds."""
LONG_NAME = 8
"""Letters and digits from which a name is so long that one letter more or less is a slip and not another name."""


def discipline(group: Group, items: Items, background: Background, doctrine: Doctrine) -> Row:
    """Compare what members say of their own with what they share, and how much of a hurry they are in."""
    name, threshold = "party or institution discipline", doctrine["coordination_explanations.own_share"]
    corpus = background.corpus
    posts = background.posts_of(group.accounts)
    start, codes = background.content
    each = np.repeat(posts, start[posts + 1] - start[posts])
    code = np.unique(codes[ranges(start[posts], start[posts + 1])], return_inverse=True)[1].astype(np.int64).ravel()
    account, time = corpus.account[each], corpus.time[each]
    speakers = np.bincount(np.unique(code * len(corpus.names) + account) // len(corpus.names))
    common = np.union1d(each[speakers[code] > 1], items.document[items.content[items.document_item]])
    posted = np.bincount(corpus.account[posts], minlength=len(corpus.names))[group.accounts]
    repeated = np.bincount(corpus.account[common], minlength=len(corpus.names))[group.accounts]
    own = float(np.median(1 - repeated / posted))
    shared = (speakers[code] >= doctrine["coordination.driving_members"]) & (time != UNDATED)
    hurry = _hurry(code[shared], account[shared], time[shared], doctrine)
    told = f"median share of members' documents that are their own {own:.2f}"
    if hurry is None:
        return row(name, own, threshold, False, f"not testable: the shared documents have no times, so that hurry cannot be judged; {told}")
    if not items.content.any():
        return row(name, own, threshold, False, f"nothing but minutes shows the group, which no line explains; {told}")
    fits = own >= threshold and hurry < doctrine["coordination_explanations.together_share"]
    return row(name, own, threshold, fits, f"{told}; of those who share an item {hurry:.2f} act together in the median")


def _hurry(code: Ints, account: Ints, time: Ints, doctrine: Doctrine) -> float | None:
    """Return the median over items of the largest share of the accounts that act within the hour."""
    if not len(code):
        return None
    order = np.lexsort((time, account, code))
    code, account, time = code[order], account[order], time[order]
    fresh = np.r_[True, (np.diff(code) != 0) | (np.diff(account) != 0)]
    code, time = code[fresh], time[fresh]
    order = np.lexsort((time, code))
    width = int(doctrine["coordination_explanations.together_minutes"] * MINUTE)
    return float(np.nanmedian(together(code[order], time[order], int(code.max()) + 1, width)))


def time_zone(group: Group, evidence: list[Evidence], items: Items, background: Background, doctrine: Doctrine) -> Row:
    """Compare how often members meet within the width of the traces with what their hours of the day alone would give on that day."""
    name, threshold = "shared time zone", doctrine["coordination_explanations.time_zone_ratio"]
    traces = [part.network.trace for part in evidence]
    if not all(is_timed(trace) for trace in traces):
        return row(name, None, threshold, False, "the group does not rest on timed traces alone")
    corpus = background.corpus
    posts = background.posts_of(group.accounts)
    posts = posts[corpus.timed[posts]]
    widths = [trace.seconds for trace in traces if trace.seconds]
    if not len(posts) or not widths:
        return row(name, None, threshold, False, "not testable: no width of time to compare hours within")
    width = int(min(widths) * SECOND)
    content = [trace.name for trace in traces if trace.name.startswith("fast")]
    if content:
        item, account, time = items.first_item, items.first_account, items.first_time
    else:
        # A rhythm has no items but the times themselves, so all posts of a day are compared.
        item, account, time = np.zeros(len(posts), dtype=np.int64), corpus.account[posts], corpus.time[posts]
    met, same_day = _meetings(item, account, time, width)
    if not same_day:
        return row(name, None, threshold, False, "not testable: no two members on one day")
    hours = np.bincount((corpus.time[posts] % DAY) // HOUR, minlength=24) / len(posts)
    ratio = min(chance_of_meeting(hours, width / HOUR) / max(met / same_day, 1e-12), 1.0)
    note = (
        f"meetings expected from common hours of the day over those observed, {met} of {same_day} pairs of a day within {width // SECOND} s"
    )
    return row(name, ratio, threshold, ratio >= threshold, note)


def chance_of_meeting(hours: Doubles, width: float) -> float:
    """Return the probability that two moments of a day are within `width` hours of each other.

    Parameters
    ----------
    hours
        (24,) float64 probability of each hour of the day; within an hour moments are uniform.
    width
        Hours.
    """
    apart = np.subtract.outer(np.arange(24), np.arange(24))

    def below(x: Doubles) -> Doubles:
        """Distribution of U - V, uniform moments of an hour each."""
        x = np.clip(x, -1.0, 1.0)
        return np.where(x < 0, (1 + x) ** 2 / 2, 1 - (1 - x) ** 2 / 2)

    return float(hours @ (below(width - apart) - below(-width - apart)) @ hours)


def _meetings(item: Ints, account: Ints, time: Ints, width: int) -> tuple[int, int]:
    """Return how many pairs of posts of one item, of one day and of two members there are within `width`, and at all."""
    day = _numbered(item, time // DAY)
    own = _numbered(day, account)
    (met, all_met), (alone, all_alone) = _pairs_within(day, time, width), _pairs_within(own, time, width)
    return met - alone, all_met - all_alone


def _numbered(one: Ints, other: Ints) -> Ints:
    """Return a number for every pair of values."""
    other = other - other.min(initial=0)
    keys = one * (int(other.max(initial=0)) + 1) + other
    return np.asarray(np.unique(keys, return_inverse=True)[1], dtype=np.int64).ravel()


def _pairs_within(group: Ints, time: Ints, width: int) -> tuple[int, int]:
    order = np.lexsort((time, group))
    counts = np.bincount(group)
    return int((within(group[order], time[order], width) - 1).sum()), int((counts * (counts - 1) // 2).sum())


def bridged(group: Group, evidence: list[Evidence], background: Background, doctrine: Doctrine) -> Row:
    """Count the persons that the accounts may be at the least."""
    name = "bridged accounts of one person"
    needed = min((part.network.core for part in evidence), default=0) + 1
    platform = _platforms(group, background)
    used = np.unique(platform[:, 1])
    if not len(used):
        return row(name, None, needed, False, "not testable: no platform is named")
    if len(used) == 1:
        return row(name, float(len(group.accounts)), needed, False, "all accounts are on one platform, so that each counts as a person")
    largest = int(np.bincount(platform[:, 1]).max())
    if largest >= needed:
        return row(name, float(largest), needed, False, f"{largest} accounts on one platform are as many persons at the least")
    a, b = _ties(group, background, platform, doctrine["coordination_explanations.bridge_share"])
    persons, alone = 0, np.ones(len(group.accounts), dtype=bool)
    for part in components(len(group.accounts), a, b):
        on = platform[np.isin(platform[:, 0], part), 1]
        persons += int(np.bincount(on).max())
        alone[part] = False
    persons += int(alone.sum())
    note = f"{len(group.accounts)} accounts on {len(used)} platforms, {len(a)} pairs of one name or of the same posts; persons at the least"
    return row(name, float(persons), needed, persons < needed, note)


def _platforms(group: Group, background: Background) -> Ints:
    """Return (n, 2) int64: place of a member in the group and a platform that it posts on, each pair once."""
    posts = background.posts_of(group.accounts)
    code = background.platforms[1][posts]
    place = np.searchsorted(group.accounts, background.corpus.account[posts])
    names = len(background.platforms[0])
    return np.stack(np.divmod(np.unique((place * names + code)[code >= 0]), max(names, 1)), axis=1)


def _ties(group: Group, background: Background, platform: Ints, share: float) -> tuple[Ints, Ints]:
    """Return the pairs of members on different platforms that may be one person; groups that get here have few accounts a platform."""
    on: list[set[int]] = [set(platform[platform[:, 0] == place, 1].tolist()) for place in range(len(group.accounts))]
    names = [_names(account, background) for account in group.accounts]
    said = [_said(account, background) for account in group.accounts]
    found = [
        (a, b)
        for a, b in combinations(range(len(group.accounts)), 2)
        if on[a] and on[b] and not on[a] & on[b] and (_same_name(names[a], names[b]) or _mirrored(said[a], said[b], share))
    ]
    ends = np.array(found, dtype=np.int64).reshape(-1, 2)
    return ends[:, 0], ends[:, 1]


def _mirrored(one: frozenset[int], other: frozenset[int], share: float) -> bool:
    """Return whether nearly all that either says the other says too; a single post is no habit."""
    most = max(len(one), len(other))
    return most > 1 and len(one & other) >= share * most


def _said(account: int, background: Background) -> frozenset[int]:
    posts = background.posts_of(np.array([account]))
    start, codes = background.content
    return frozenset(codes[ranges(start[posts], start[posts + 1])].tolist())


def _names(account: int, background: Background) -> frozenset[str]:
    """Return the plain name and handles of an account."""
    corpus = background.corpus
    handles = corpus.table["handle"].take(pa.array(background.posts_of(np.array([account])))).unique().to_pylist()
    return frozenset({plain_name(str(name)) for name in [corpus.names[account], *handles] if name} - {""})


def _same_name(one: frozenset[str], other: frozenset[str]) -> bool:
    return any(nearly_same(a, b) for a in one for b in other)


def nearly_same(one: str, other: str) -> bool:
    """Return whether two plain names are one, or long and one letter apart; another digit makes another account of a series."""
    if one == other or min(len(one), len(other)) < LONG_NAME or re.sub(r"\D", "", one) != re.sub(r"\D", "", other):
        return one == other
    short, long = sorted((one, other), key=len)
    same = next((place for place, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    return len(long) - len(short) <= 1 and short[same + (len(short) == len(long)) :] == long[same + 1 :]


def plain_name(name: str) -> str:
    """Return the letters and digits of a name in lower case, without the server that it is at."""
    local = re.split(r"(?<=.)@", name.strip().removeprefix("@"), maxsplit=1)[0]
    local = re.sub(r"\.bsky\.social$", "", local.casefold())
    return "".join(letter for letter in unicodedata.normalize("NFKC", local).casefold() if letter.isalnum())
