"""A corpus in which nobody coordinates and everything looks a little as if: taste, bursts, busy accounts, hours of the day.

Accounts post a heavy-tailed number of times over thirty days, in the waking hours of their time zone. What they link, repost, tag and
answer is drawn from what their tastes like, most of it little known and some of it known to all (Zipf). Tastes are of five makes
(`MAKES`): large communities apart, many small ones, tastes that overlap, tastes that vary smoothly, and few tastes with many bursts.
Bursts are news that everybody awake cites within minutes, in several articles, under the same hashtags and in words of his own, and hashtag
days. Some accounts react to nearly every burst, most to hardly any. All of it is independent given taste, time and temper, so every
group that is found here is a false one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from greyzone import records
from greyzone.eval.coordination.wording import Wording
from greyzone.eval.scenario.templates import Draws, invented_word

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

MAKES = ("apart", "small", "overlapping", "smooth", "bursty")
"""How tastes are made."""

START = datetime(2031, 3, 3, tzinfo=UTC)
DAYS = 30
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

ZONES = (-5.0, 1.0, 8.0)
"""Hours from UTC."""
ZONE_WEIGHTS = (0.5, 0.35, 0.15)

KINDS = ("link", "repost", "tags", "answer", "greeting", "remark")
KIND_WEIGHTS = (0.32, 0.26, 0.1, 0.12, 0.05, 0.15)
"""What an everyday post is."""

HEADLINE = 0.2
"""Share of links that are posted with the headline of the page, as a share button writes it."""

APPS = ("phone", "browser", "tablet", "planner")
APP_WEIGHTS = (0.55, 0.3, 0.1, 0.05)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a corpus is like.

    Parameters
    ----------
    make
        One of `MAKES`.
    accounts
        Number of accounts.
    posts
        Everyday posts an account, on average.
    tastes
        Number of tastes (communities); of no meaning where they vary smoothly.
    strength
        Share of the posts that follow the taste of the account.
    bursts
        Number of pieces of news that everybody cites; as many hashtag days by half.
    """

    make: str
    accounts: int
    posts: float
    tastes: int
    strength: float
    bursts: int


@dataclass(slots=True)
class Post:
    """A document before it has an id; `seconds` from `START`."""

    account: int
    seconds: float
    text: str
    urls: tuple[str, ...] = ()
    hashtags: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    repost_of: str | None = None
    reply_to: str | None = None
    post_id: str | None = None


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents with the truth beside.

    Parameters
    ----------
    documents
        `records.DOCUMENTS`.
    planted
        Names of the accounts that coordinate.
    setting
        What it is like.
    """

    documents: pa.Table
    planted: frozenset[str]
    setting: Setting

    @property
    def accounts(self) -> int:
        """Accounts with a document."""
        return len(set(self.documents["account"].to_pylist()))


@dataclass(slots=True)
class World:
    """Accounts and posts while a corpus is being made."""

    setting: Setting
    rng: np.random.Generator
    wording: Wording
    activity: Ints
    temper: Doubles
    zone: Doubles
    taste: Callable[[int], int]
    posts: list[Post] = field(default_factory=list)

    def name(self, account: int) -> str:
        """Return the name of an account."""
        return f"acct{account:05d}"

    def awake(self, account: int, seconds: float) -> float:
        """Return `seconds`, or some time after the account next wakes where it sleeps then."""
        hour = (seconds / HOUR + float(self.zone[account])) % 24
        if 7 <= hour < 23 or self.rng.random() < 0.05:
            return seconds
        return seconds + (7 - hour) % 24 * HOUR + float(self.rng.exponential(1.5 * HOUR))

    def add(self, post: Post) -> None:
        """Add a post that falls into the thirty days."""
        if 0 <= post.seconds < DAYS * DAY:
            self.posts.append(post)


@dataclass(frozen=True, slots=True)
class _Shelf:
    """Items of a kind: when each came out, those of every taste, and their popularity there, added up."""

    born: Doubles
    of_taste: list[Ints]
    odds: list[Doubles]

    def pick(self, taste: int, rng: np.random.Generator) -> int:
        """Draw an item of a taste."""
        return int(self.of_taste[taste][np.searchsorted(self.odds[taste], rng.random())])


def draw_setting(seed: int, make: str | None = None, *, accounts: tuple[int, int] = (300, 600)) -> Setting:
    """Draw what the corpus of a seed is like: makes take turns, number, size and strength of the communities vary."""
    rng = np.random.default_rng([seed, 1])
    make = make or MAKES[seed % len(MAKES)]
    n = int(rng.integers(accounts[0], accounts[1] + 1))
    tastes = {"apart": int(rng.integers(2, 9)), "small": n // int(rng.integers(10, 30)), "bursty": int(rng.integers(2, 5))}
    strength = float(rng.uniform(0.5, 0.95))
    return Setting(
        make=make,
        accounts=n,
        posts=float(rng.uniform(8, 16)),
        tastes=tastes.get(make, int(rng.integers(3, 9))),
        strength=strength,
        bursts=int(rng.integers(12, 25) if make == "bursty" else rng.integers(3, 11)),
    )


def make_corpus(setting: Setting, seed: int, plant: Callable[[World], frozenset[int]] | None = None) -> Corpus:
    """Make the corpus of a setting and seed.

    Parameters
    ----------
    setting
        What it is like.
    seed
        Of every draw: the same setting and seed give the same corpus.
    plant
        Adds posts of accounts that coordinate and returns these accounts; None for a corpus in which nobody does.
    """
    rng = np.random.default_rng([seed, 2])
    world = _world(setting, rng, Wording(Draws(np.random.default_rng([seed, 3]))))
    _everyday(world)
    _bursts(world)
    planted = plant(world) if plant else frozenset[int]()
    return Corpus(documents_of(world), frozenset(world.name(account) for account in planted), setting)


def documents_of(world: World) -> pa.Table:
    """Return the posts as `records.DOCUMENTS`, in order of time."""
    posts = sorted(world.posts, key=lambda post: (post.seconds, post.account, post.text))
    app = world.rng.choice(APPS, len(world.activity), p=APP_WEIGHTS)
    columns = set(records.DOCUMENTS.names)
    rows = []
    for number, post in enumerate(posts):
        when = START + timedelta(seconds=int(post.seconds))
        name = world.name(post.account)
        row: dict[str, object] = {
            "doc_id": f"doc-{number:07d}",
            "text": post.text,
            "lang": "en",
            "published_at": when,
            "published_precision": "second",
            "account": name,
            "platform": "microblog",
            "post_id": post.post_id or f"p{number:07d}",
            "urls": list(post.urls),
            "hashtags": list(post.hashtags),
            "mentions": list(post.mentions),
            "is_repost": post.repost_of is not None,
            "repost_of": post.repost_of,
            "reply_to": post.reply_to,
            "handle": name,
            "app": str(app[post.account]),
        }
        rows.append({key: value for key, value in row.items() if key in columns})
    return records.table(rows, records.DOCUMENTS)


def _world(setting: Setting, rng: np.random.Generator, wording: Wording) -> World:
    n = setting.accounts
    activity = np.clip(setting.posts * rng.lognormal(-0.6, 1.1, n), 1, 40 * setting.posts).astype(np.int64)
    zone = rng.choice(ZONES, n, p=ZONE_WEIGHTS) + rng.normal(0, 1, n)
    world = World(setting, rng, wording, activity, rng.beta(0.6, 3.0, n), zone, lambda account: account % setting.tastes)
    world.taste = _tastes(setting, rng)
    return world


def _tastes(setting: Setting, rng: np.random.Generator) -> Callable[[int], int]:
    """Return what draws the taste that a post of an account follows."""
    n, k, strength = setting.accounts, setting.tastes, setting.strength
    if setting.make == "smooth":
        place = rng.random(n)
        width = (1.0 - strength) / 3 + 0.02
        cells = _cells(setting)
        return lambda account: int((place[account] + rng.normal(0, width)) % 1.0 * cells)
    if setting.make == "overlapping":
        odds = np.cumsum(rng.dirichlet(np.full(k, 0.4), n), axis=1)
        return lambda account: (
            int(rng.integers(k)) if rng.random() > strength else min(int(np.searchsorted(odds[account], rng.random())), k - 1)
        )
    sizes = rng.dirichlet(np.full(k, 4.0))
    home = rng.choice(k, n, p=sizes)
    return lambda account: int(home[account]) if rng.random() < strength else int(rng.integers(k))


def _cells(setting: Setting) -> int:
    """Return into how many tastes the items fall; smooth tastes have many narrow ones."""
    return 60 if setting.make == "smooth" else setting.tastes


def _shelf(setting: Setting, rng: np.random.Generator, items: int) -> _Shelf:
    cells = _cells(setting)
    of = rng.permutation(np.arange(items) % cells)
    weight = (1.0 + rng.permutation(items).astype(np.float64)) ** -float(rng.uniform(0.7, 1.1))
    of_taste = [np.flatnonzero(of == cell) for cell in range(cells)]
    odds = [np.cumsum(weight[members]) / weight[members].sum() for members in of_taste]
    return _Shelf(rng.uniform(-2 * DAY, (DAYS - 1) * DAY, items), of_taste, odds)


def _everyday(world: World) -> None:
    """Write what accounts post of their own accord."""
    rng, setting = world.rng, world.setting
    size = max(int(setting.accounts * setting.posts * 0.15), 10 * _cells(setting))
    pages, originals, tags = (_shelf(setting, rng, count) for count in (size, size, max(size // 10, 2 * _cells(setting))))
    claims = [world.wording.claim() for _ in range(size)]
    remarks = [world.wording.remark() for _ in range(size)]
    authors = rng.choice(setting.accounts, size, p=world.activity / world.activity.sum())
    sequences = [tuple(world.wording.tag() for _ in range(2 + int(rng.integers(2)))) for _ in tags.born]
    sites = [f"https://{invented_word(Draws(rng)).lower()}.example" for _ in range(40)]
    for place, author in enumerate(authors.tolist()):
        world.add(Post(author, world.awake(author, float(originals.born[place])), remarks[place], post_id=f"o{place:06d}"))
    for account, count in enumerate(world.activity.tolist()):
        for kind in rng.choice(KINDS, count, p=KIND_WEIGHTS).tolist():
            taste = world.taste(account)
            if kind == "link":
                item = pages.pick(taste, rng)
                text = world.wording.told(claims[item]) if rng.random() < 0.4 else world.wording.remark()
                text = claims[item].headline if rng.random() < HEADLINE else text
                seconds = pages.born[item] + rng.lognormal(np.log(6 * HOUR), 1.6)
                post = Post(account, seconds, text, urls=(f"{sites[item % len(sites)]}/{item}",))
            elif kind == "repost":
                item = originals.pick(taste, rng)
                seconds = originals.born[item] + rng.lognormal(np.log(HOUR), 1.9)
                handle = world.name(int(authors[item]))
                post = Post(account, seconds, f"RT @{handle}: {remarks[item]}", mentions=(handle,), repost_of=f"o{item:06d}")
            elif kind == "answer":
                item = originals.pick(taste, rng)
                seconds = originals.born[item] + rng.lognormal(np.log(2 * HOUR), 1.7)
                handle = world.name(int(authors[item]))
                post = Post(account, seconds, f"@{handle} {world.wording.remark()}", mentions=(handle,), reply_to=f"o{item:06d}")
            else:
                post = _alone(world, account, kind, sequences[tags.pick(taste, rng)])
            post.seconds = world.awake(account, float(post.seconds))
            world.add(post)


def _alone(world: World, account: int, kind: str, sequence: tuple[str, ...]) -> Post:
    """Return a post that reacts to nothing."""
    seconds = float(world.rng.uniform(0, DAYS * DAY))
    if kind == "greeting":
        return Post(account, seconds, world.wording.greeting())
    if kind == "tags":
        return Post(account, seconds, f"{world.wording.remark()} {_tagged(sequence)}", hashtags=sequence)
    return Post(account, seconds, world.wording.remark())


def _bursts(world: World) -> None:
    for _ in range(world.setting.bursts):
        _news(world)
    for _ in range(world.setting.bursts // 2):
        _hashtag_day(world)


def _news(world: World) -> None:
    """Let something happen that those who are awake cite within minutes, in one of a few articles, a tag or words of their own."""
    rng, wording = world.rng, world.wording
    born = float(rng.uniform(0, (DAYS - 1) * DAY))
    claim = wording.claim()
    articles = [f"https://{invented_word(Draws(rng)).lower()}.example/{int(born)}" for _ in range(int(rng.integers(1, 4)))]
    tags = (wording.tag(), wording.tag())
    reach, minutes = float(rng.uniform(0.3, 1.2)), float(rng.uniform(4, 25))
    for account in _reacting(world, reach):
        for _ in range(1 + int(rng.random() < 0.3)):
            seconds = world.awake(account, born + float(rng.exponential(minutes * MINUTE)))
            text = claim.headline if rng.random() < HEADLINE else wording.told(claim)
            choice = rng.random()
            if choice < 0.6:
                world.add(Post(account, seconds, text, urls=(articles[int(len(articles) * rng.random() ** 2)],)))
            elif choice < 0.8:
                world.add(Post(account, seconds, f"{text} {_tagged(tags)}", hashtags=tags))
            else:
                world.add(Post(account, seconds, text))


def _hashtag_day(world: World) -> None:
    """Let accounts join a tag for one day, some of them many times."""
    rng = world.rng
    born = float(rng.integers(DAYS) * DAY)
    tags = [(world.wording.tag(), world.wording.tag()) for _ in range(2)]
    for account in _reacting(world, float(rng.uniform(0.2, 0.8))):
        for _ in range(1 + int(rng.poisson(1.0))):
            sequence = tags[int(rng.random() < 0.25)]
            seconds = world.awake(account, born + float(rng.uniform(0, DAY)))
            world.add(Post(account, seconds, f"{world.wording.remark()} {_tagged(sequence)}", hashtags=sequence))


def _reacting(world: World, reach: float) -> Sequence[int]:
    """Return who reacts to a burst: by temper, and busy accounts sooner than quiet ones."""
    busy = np.sqrt(world.activity / world.activity.mean())
    return [int(account) for account in np.flatnonzero(world.rng.random(len(busy)) < np.minimum(reach * world.temper * busy, 0.95))]


def _tagged(sequence: Sequence[str]) -> str:
    return " ".join(f"#{tag}" for tag in sequence)
