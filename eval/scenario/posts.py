"""From the schedule to the posts: what each account writes on each day of a synthetic scenario, with the truth beside it.

Planted and harmless casts act through events (one item, many accounts, a spread of time); everyone else posts on his own, at the
hours of the day at which people write, from a few busy accounts and many quiet ones, mostly in the community of the subject.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from typing import Any

from greyzone.eval.scenario.plan import DAYS, FIRST_DAY, LANGUAGES, Cast, Event, Narrative, Plan, handle
from greyzone.eval.scenario.templates import Draws, grammar, load

REPOSTS = 0.12
TAGGED = 0.12
"""Share of everyday posts with hashtags, one to four of them."""
OWN_POSTS = {"planted": 0.4, "single feed": 0.5}
"""Everyday posts for each post of the cast, by kind of cast; a party's people have `Plan.party_talk`."""

_WEIGHTS = (1, 1, 1, 1, 1, 2, 4, 7, 9, 9, 8, 8, 9, 8, 8, 8, 9, 10, 11, 12, 11, 9, 6, 3)
_HOURS = tuple(str(hour) for hour, weight in enumerate(_WEIGHTS) for _ in range(weight))
_PLATFORMS = ("microblog", "microblog", "microblog", "microblog", "channel", "forum")
_NOOKS = ("pixelpantry", "slow-garden", "oddshelf", "tinkerloft", "quietharbour", "marblepath", "windowbench", "sundial-notes")
PAPERS = (
    "northbay-courier.example",
    "tagesbote-online.example",
    "le-relais-quotidien.example",
    "the-weir-gazette.example",
    "harzer-anzeiger.example",
    "kurier-mlyn.example",
    "valley-register.example",
    "plaine-info.example",
    "obere-post.example",
    "the-lamplighter.example",
    "gazeta-rzeczna.example",
    "kanton-blatt.example",
    "depeche-du-port.example",
    "mooring-times.example",
    "abendspiegel-nord.example",
    "hillfoot-herald.example",
)
"""The first papers print the wire, one an account of its cast; all of them report incidents."""


@dataclass(frozen=True, slots=True)
class Post:
    """One document with its truth. `published_at` is ISO 8601 in UTC."""

    post_id: str
    published_at: str
    text: str
    title: str | None
    lang: str | None
    account: str
    outlet: str | None
    platform: str
    url: str | None
    urls: tuple[str, ...]
    hashtags: tuple[str, ...]
    repost_of: str | None
    narrative: str | None
    language: str
    kind: str
    group: str | None
    confounder: str | None


@dataclass(frozen=True, slots=True)
class _Draft:
    """What a post says and where; the writer adds number, time and account."""

    text: str
    language: str
    kind: str
    narrative: str | None = None
    title: str | None = None
    outlet: str | None = None
    url: str | None = None
    urls: tuple[str, ...] = ()
    hashtags: tuple[str, ...] = ()
    repost_of: str | None = None
    group: str | None = None
    confounder: str | None = None


class Writer:
    """Turns counts and events of one day after another into posts.

    Parameters
    ----------
    plan
        The schedule.
    draws
        Every choice of words, accounts and minutes comes from here, in order.
    """

    def __init__(self, plan: Plan, draws: Draws) -> None:
        chatter: Any = load("chatter")
        self._plan = plan
        self._draws = draws
        self._written = 0
        self._chatter = {language: grammar(chatter["frames"][language], chatter["slots"][language], language) for language in LANGUAGES}
        # A post with an invented name in it is like no other one, however many are written.
        named = {
            language: [frame for frame in chatter["frames"][language] if "{name}" in frame or "{town}" in frame] for language in LANGUAGES
        }
        self._named = {language: grammar(named[language], chatter["slots"][language], language) for language in LANGUAGES}
        self._openers: dict[str, list[str]] = chatter["openers"]
        self._tongues = tuple(accumulate(chatter["languages"][language] for language in LANGUAGES))
        self._recent: dict[str, deque[tuple[int, str, str, str, str]]] = {key: deque(maxlen=40) for key in plan.narratives}
        self._links: dict[str, deque[str]] = {key: deque(maxlen=12) for key in plan.narratives}
        self._community = {key: number for number, key in enumerate(plan.narratives)}
        self._first = sum(len(cast.accounts) for cast in plan.casts.values())
        self._dates = [(FIRST_DAY + timedelta(days=day)).isoformat() for day in range(DAYS + 2)]
        posted: dict[str, int] = {}
        for event in plan.events:
            posted[event.cast] = posted.get(event.cast, 0) + event.size
        own = OWN_POSTS | {"party discipline": plan.party_talk}
        busy = [(cast.accounts, own[cast.kind] * posted.get(key, 0)) for key, cast in plan.casts.items() if cast.kind in own]
        total = max(1.0, float(plan.background.sum()))
        self._busy = tuple(accounts for accounts, _ in busy)
        self._busy_share = tuple(accumulate(count / total for _, count in busy))

    def day(self, day: int, events: Sequence[Event]) -> list[Post]:
        """Return the posts of a day in order of time."""
        posts = [self._background(day) for _ in range(int(self._plan.background[day]))]
        for key, volume in self._plan.volume.items():
            posts.extend([self._organic(self._plan.narratives[key], day) for _ in range(int(volume[day]))])
        for event in events:
            posts.extend(self._event(event))
        posts.sort(key=lambda pair: (pair[0], pair[1].post_id))
        return [post for _, post in posts]

    def _background(self, day: int) -> tuple[int, Post]:
        draws = self._draws
        language = LANGUAGES[_which(self._tongues, draws.unit())]
        text = self._named[language].text(draws, 1)
        if more := draws.below(3):
            text = f"{text} {self._chatter[language].text(draws, more)}"
        tags: tuple[str, ...] = ()
        if draws.unit() < TAGGED:
            nouns = self._chatter[language].slots["noun"]
            tags = tuple({draws.pick(nouns).capitalize(): None for _ in range(1 + draws.below(4))})
        urls: tuple[str, ...] = ()
        if draws.unit() < 0.08:
            urls = (f"https://{draws.pick(_NOOKS)}.example/{draws.below(10**9):09d}",)
        text = _decorated(text, tags, urls)
        chance = draws.unit()
        if chance < self._busy_share[-1]:
            account = draws.pick(self._busy[_which(self._busy_share, chance)])
        else:
            account = self._account(language, None)
        return self._post(self._moment(day), account, _Draft(text, language, "original", urls=urls, hashtags=tags))

    def _organic(self, item: Narrative, day: int) -> tuple[int, Post]:
        draws = self._draws
        confounder = {"echo": "press echo", "fandom": "fandom"}.get(item.kind)
        moment = self._moment(day)
        recent = self._recent[item.key]
        if recent and draws.unit() < REPOSTS:
            when, post_id, account, text, language = recent[draws.below(len(recent))]
            draft = _Draft(f"RT @{account}: {text}", language, "repost", item.key, repost_of=post_id, confounder=confounder)
            return self._post(max(moment, when + 30 + draws.below(7200)), self._account(language, item), draft)
        language = self._language(item)
        if item.kind == "echo" and draws.unit() < 0.4:
            return self._article(item, language, moment, confounder)
        text = draws.pick(self._openers[language]) + item.grammars[language].text(draws, 1 + (draws.unit() < 0.5))
        tags = self._tags(item, fandom=item.kind == "fandom")
        urls: tuple[str, ...] = ()
        if item.kind != "fandom" and self._links[item.key] and draws.unit() < 0.15:
            urls = (self._links[item.key][draws.below(len(self._links[item.key]))],)
        text = _decorated(text, tags, urls)
        kind = "original" if language == item.main else "translation"
        draft = _Draft(text, language, kind, item.key, urls=urls, hashtags=tags, confounder=confounder)
        time, post = self._post(moment, self._account(language, item), draft)
        recent.append((time, post.post_id, post.account, text, language))
        return time, post

    def _article(self, item: Narrative, language: str, moment: int, confounder: str | None) -> tuple[int, Post]:
        draws = self._draws
        text = item.grammars[language].text(draws, 3)
        which = draws.below(len(PAPERS))
        url = f"https://{PAPERS[which]}/{self._dates[moment // 86_400]}/{draws.below(10**6)}"
        self._links[item.key].append(url)
        kind = "original" if language == item.main else "translation"
        draft = _Draft(text, language, kind, item.key, text.split(". ")[0], PAPERS[which], url, confounder=confounder)
        return self._post(moment, self._plan.casts["echo"].accounts[which], draft)

    def _event(self, event: Event) -> list[tuple[int, Post]]:
        draws = self._draws
        cast, item = self._plan.casts[event.cast], self._plan.narratives[event.narrative]
        language = self._language(item)
        frames = item.grammars[language]
        copied = cast.wording == "copy" or (cast.wording == "mixed" and draws.unit() < 0.5)
        text = frames.text(draws, 4 if cast.key == "wire" else 1 + draws.below(2))
        link = f"https://{draws.pick(item.sites)}/{draws.below(10**8):08d}" if "url" in cast.traces else None
        tags: tuple[str, ...] = ()
        if "hashtags" in cast.traces:
            tags = tuple(item.hashtags[index] for index in draws.sample(3 + draws.below(2), len(item.hashtags)))
        if link is not None:
            self._links[item.key].append(link)
        start = event.day * 86_400 + event.second
        posts = []
        for order, member in enumerate(self._members(cast, event.size)):
            words = text if copied or order == 0 else frames.text(draws, 1 + draws.below(2))
            kind = "original" if order == 0 else ("copy" if copied else "paraphrase")
            draft = self._item(
                cast, item, member, (words, language, kind if language == item.main or kind == "copy" else "translation", tags, link)
            )
            moment = start if order == 0 else start + draws.below(cast.spread_seconds)
            published = cast.key == "feed" and order == 0 and self._plan.feed_publisher
            account = item.sites[0].removesuffix(".example") if published else cast.accounts[member]
            posts.append(self._post(moment, account, draft))
        if cast.kind == "planted":
            self._recent[item.key].extend((time, post.post_id, post.account, post.text, language) for time, post in posts[:2])
        return posts

    def _members(self, cast: Cast, size: int) -> list[int]:
        """Draw who joins in: the last accounts of a cast do so about a quarter as readily as the first."""
        number = len(cast.accounts)
        # Keys u^(1/w), largest first: a weighted sample without replacement (Efraimidis and Spirakis 2006).
        keys = [(self._draws.unit() ** (1 / (1.0 - 0.75 * place / number)), place) for place in range(number)]
        return [place for _, place in sorted(keys, reverse=True)[:size]]

    def _item(self, cast: Cast, item: Narrative, member: int, said: tuple[str, str, str, tuple[str, ...], str | None]) -> _Draft:
        words, language, kind, tags, link = said
        group, confounder = (cast.key, None) if cast.kind == "planted" else (None, cast.kind)
        if cast.key == "wire":
            paper = PAPERS[member]
            url = f"https://{paper}/wire/{self._draws.below(10**8)}"
            return _Draft(words, language, kind, item.key, words.split(". ")[0], paper, url, confounder=confounder)
        urls = (link,) if link is not None else ()
        if cast.key == "party" and self._draws.unit() < 0.4:
            tags = item.hashtags[:1]
        return _Draft(_decorated(words, tags, urls), language, kind, item.key, urls=urls, hashtags=tags, group=group, confounder=confounder)

    def _post(self, moment: int, account: str, draft: _Draft) -> tuple[int, Post]:
        number = self._written
        self._written += 1
        # An odd factor modulo a power of two is a bijection: ids differ, and their order tells nothing.
        post_id = f"p{(number * 2654435761 + 97) % (1 << 32):010d}"
        day, second = divmod(moment, 86_400)
        stamp = f"{self._dates[day]}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"
        platform = "news" if draft.outlet is not None else platform_of(account)
        lang = draft.language if platform in ("news", "microblog") else None
        return moment, Post(
            post_id,
            stamp,
            draft.text,
            draft.title,
            lang,
            account,
            draft.outlet,
            platform,
            draft.url,
            draft.urls,
            draft.hashtags,
            draft.repost_of,
            draft.narrative,
            draft.language,
            draft.kind,
            draft.group,
            draft.confounder,
        )

    def _moment(self, day: int) -> int:
        return day * 86_400 + int(self._draws.pick(_HOURS)) * 3600 + self._draws.below(3600)

    def _language(self, item: Narrative) -> str:
        return item.languages[_which(tuple(accumulate(item.mix)), self._draws.unit())]

    def _tags(self, item: Narrative, *, fandom: bool) -> tuple[str, ...]:
        draws = self._draws
        if fandom:
            return tuple(item.hashtags[index] for index in draws.sample(2 + draws.below(2), len(item.hashtags)))
        if item.hashtags and draws.unit() < 0.35:
            several = draws.unit() < 0.3
            return tuple(item.hashtags[index] for index in draws.sample(2 + draws.below(3) if several else 1, len(item.hashtags)))
        return ()

    def _account(self, language: str, item: Narrative | None) -> str:
        """Draw an account: of one language, few of them busy, and half the time from the community of the narrative."""
        draws = self._draws
        if item is not None and item.kind in ("echo", "fandom") and draws.unit() < 0.8:
            return draws.pick(self._plan.casts[item.kind].accounts)
        pool = max(1, self._plan.organic_accounts // len(LANGUAGES))
        place = int(pool * draws.unit() ** 1.7)
        if item is not None and draws.unit() < 0.5:
            size = max(20, pool // 12)
            place = (self._community[item.key] * size + draws.below(size)) % pool
        return handle(self._first + place * len(LANGUAGES) + LANGUAGES.index(language))


def platform_of(account: str) -> str:
    """Return the platform of an account, always the same for the same name."""
    return _PLATFORMS[sum(account.encode()) % len(_PLATFORMS)]


def _which(cumulative: Sequence[float], point: float) -> int:
    for index, bound in enumerate(cumulative):
        if point < bound:
            return index
    return len(cumulative) - 1


def _decorated(text: str, tags: Sequence[str], urls: Sequence[str]) -> str:
    return " ".join([text, *(f"#{tag}" for tag in tags), *urls])
