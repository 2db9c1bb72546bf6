"""Who posts how much about what, and when: the schedule of a synthetic scenario, drawn before any text is made.

The schedule is small whatever the number of documents: a count per narrative and day, and a list of events. An event is one item
(a link, a text, a sequence of hashtags) that several accounts of one cast share within a spread. Shares of the documents stand in
`SHARES`; what a cast of fixed size can post is capped, and what the caps leave over goes to the organic part, so that in a large
corpus the planted groups are a small part of it, as they are in life.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.eval.scenario.templates import Draws, Grammar, grammar, load

FIRST_DAY = date(2024, 1, 1)
DAYS = 121
"""The scenario covers 2024-01-01 to 2024-04-30."""

SHARES = {"background": 0.38, "groups": 0.14, "wire": 0.04, "feed": 0.03, "party": 0.03, "fandom": 0.05}
"""Shares of all documents; the rest is organic talk about the narratives."""

CAPS = {"groups": 300, "wire": 240, "feed": 360, "party": 220, "fandom": 20}
"""Most documents per account of a cast."""

PARTY_TALK = (0.5, 1.0, 2.0, 3.0, 4.0)
"""Everyday posts for each of the party's own that its people may write."""

CAST_SIZES = {"wire": 14, "echo": 70, "fandom": 260, "party": 20, "feed": 16}
ORGANIC_WEIGHTS = {"pushed": 0.8, "organic": 1.2, "echo": 1.2}
ACCOUNT_POSTS = 5.0
"""Mean documents per organic account."""

LANGUAGES = ("en", "de", "fr", "ru", "uk", "pl")
_ADJECTIVES: tuple[str, ...] = ("amber", "brisk", "calm", "dusty", "early", "faint", "gentle", "hollow", "ivory", "jolly")
_ADJECTIVES += ("keen", "lucky", "mellow", "noble", "opal", "plain", "quiet", "rusty", "silver", "tidy")
_NOUNS: tuple[str, ...] = ("anchor", "badger", "cedar", "dune", "ember", "falcon", "garden", "harbor", "island", "jay")
_NOUNS += ("kettle", "lantern", "meadow", "needle", "otter", "pebble", "quartz", "river", "sparrow", "teapot")

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Narrative:
    """One narrative of the scenario: what is said, in which languages, and what it is bound to."""

    key: str
    kind: str
    main: str
    languages: tuple[str, ...]
    mix: tuple[float, ...]
    grammars: Mapping[str, Grammar]
    hashtags: tuple[str, ...]
    sites: tuple[str, ...]
    state: str
    incident: str | None
    type: str | None
    lag_days: float


@dataclass(frozen=True, slots=True)
class Cast:
    """Accounts with a shared behaviour. `kind` is "planted" or the name of the confounder."""

    key: str
    kind: str
    accounts: tuple[str, ...]
    wording: str
    traces: tuple[str, ...]
    spread_seconds: int
    narratives: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """One item shared by `size` accounts of a cast from `second` of `day` on."""

    day: int
    second: int
    cast: str
    narrative: str
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The schedule: organic `volume` per narrative and day, `events`, casts, and the pool of organic accounts.

    `party_talk` is how many everyday posts the party's people write for each of the party's, `feed_publisher` whether the feed's
    publisher is in the corpus: both are drawn by seed, since either decides how easily the confounder is told from a planted group.
    """

    documents: int
    narratives: Mapping[str, Narrative]
    casts: Mapping[str, Cast]
    onsets: Mapping[str, int]
    background: Counts
    volume: Mapping[str, Counts]
    events: tuple[Event, ...]
    organic_accounts: int
    party_talk: float
    feed_publisher: bool


def make_plan(documents: int, *, seed: int = 0) -> Plan:
    """Draw the schedule of `documents` documents; every count adds up exactly."""
    generator = np.random.default_rng([seed, 1])
    draws = Draws(np.random.default_rng([seed, 2]))
    narratives = {item.key: item for item in read_narratives()}
    onsets = incident_onsets(generator)
    profiles = {item.key: _profile(item, onsets, generator) for item in narratives.values()}
    casts = _casts(narratives)
    events: list[Event] = []
    for cast in casts.values():
        events.extend(_events(cast, _budget(cast, casts, documents), profiles, draws))
    habits = np.random.default_rng([seed, 3])
    talk, publisher = float(habits.choice(PARTY_TALK)), bool(habits.integers(2))
    used = sum(event.size for event in events)
    fandom = min(round(SHARES["fandom"] * documents), CAPS["fandom"] * CAST_SIZES["fandom"])
    background = round(SHARES["background"] * documents)
    rest = documents - used - fandom - background
    shared = [item for item in narratives.values() if item.kind in ORGANIC_WEIGHTS]
    weights = np.array([ORGANIC_WEIGHTS[item.kind] for item in shared]) * generator.uniform(0.8, 1.2, len(shared))
    counts = dict(zip([item.key for item in shared], apportion(rest, weights), strict=True))
    counts.update({item.key: fandom for item in narratives.values() if item.kind == "fandom"})
    volume = {key: generator.multinomial(count, profiles[key]).astype(np.int64) for key, count in counts.items()}
    daily = generator.multinomial(background, _weekly()).astype(np.int64)
    events.sort(key=lambda event: (event.day, event.second, event.cast, event.narrative, event.size))
    return Plan(
        documents, narratives, casts, onsets, daily, volume, tuple(events), max(200, round(documents / ACCOUNT_POSTS)), talk, publisher
    )


def apportion(total: int, weights: npt.NDArray[np.float64]) -> list[int]:
    """Split `total` in proportion to `weights` by largest remainders; the parts add up exactly."""
    exact = total * weights / weights.sum()
    parts = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - parts), kind="stable")
    parts[order[: total - int(parts.sum())]] += 1
    return [int(part) for part in parts]


def read_narratives() -> list[Narrative]:
    """Return the narratives of ``scenario/hostile.yaml`` and ``scenario/organic.yaml``."""
    entries: list[dict[str, Any]] = [*_list("hostile"), *_list("organic")]
    found = []
    for number, entry in enumerate(entries):
        grammars = {language: grammar(frames, entry["slots"].get(language, {}), language) for language, frames in entry["frames"].items()}
        mix = entry["mix"]
        found.append(
            Narrative(
                entry["key"],
                entry["kind"],
                entry["main"],
                tuple(mix),
                tuple(float(share) for share in mix.values()),
                grammars,
                tuple(entry.get("hashtags") or ()),
                _sites(entry, number),
                entry["state"],
                entry.get("incident"),
                entry.get("type"),
                float(entry.get("lag_days", 0.15)),
            )
        )
    return found


def _sites(entry: Mapping[str, Any], number: int) -> tuple[str, ...]:
    """Return the sites that links about a narrative point to: several where it is pushed, one where a party or a feed owns it."""
    own = str(entry.get("site") or f"{entry['key']}.example")
    if entry["kind"] != "pushed":
        return (own,)
    pool: list[str] = _cast_table()["sites"]
    return (own, *(pool[(3 * number + offset) % len(pool)] for offset in range(3)))


def incident_onsets(generator: np.random.Generator) -> dict[str, int]:
    """Return the day number of each bound incident: its date in the table, moved by up to four days."""
    incidents = _cast_table()["incidents"]
    shift = generator.integers(-4, 5, len(incidents))
    return {key: (entry["onset"] - FIRST_DAY).days + int(move) for (key, entry), move in zip(incidents.items(), shift, strict=True)}


def day_of(number: int) -> date:
    """Return the date of a day number."""
    return FIRST_DAY + timedelta(days=number)


def handle(number: int) -> str:
    """Return the account name of a number: different for different numbers, and telling nothing of them."""
    mixed = (number * 2654435761 + 40503) % (1 << 32)
    rest, adjective = divmod(mixed, len(_ADJECTIVES))
    rest, noun = divmod(rest, len(_NOUNS))
    return f"{_ADJECTIVES[adjective]}{_NOUNS[noun]}{rest}"


def _weekly() -> npt.NDArray[np.float64]:
    weekday = np.array([(FIRST_DAY + timedelta(days=day)).weekday() for day in range(DAYS)])
    weight = np.where(weekday >= 5, 0.78, 1.0)
    return np.asarray(weight / weight.sum())


def _profile(item: Narrative, onsets: Mapping[str, int], generator: np.random.Generator) -> npt.NDArray[np.float64]:
    days = np.arange(DAYS, dtype=np.float64)
    noise = generator.lognormal(0.0, 0.35, DAYS)
    if item.kind == "fandom":
        return np.asarray((days == 60 + int(generator.integers(-8, 9))).astype(np.float64))
    if item.kind in ("wire", "party", "feed"):
        weight = _weekly() * noise
        return np.asarray(weight / weight.sum())
    if item.incident is not None:
        start = onsets[item.incident] + item.lag_days
        decay = 3.0 if item.kind == "echo" else 7.0
        later = 0.0 if item.kind == "echo" else 0.35
    else:
        start, decay, later = float(generator.uniform(8, DAYS - 40)), 9.0, 0.3
    first = int(np.ceil(start))
    weight = _burst(days, first, decay)
    weight += later * _burst(days, first + int(generator.integers(12, 25)), decay / 2)
    weight += np.where(days >= first, 0.02, 0.0)
    weight *= noise * _weekly()
    return np.asarray(weight / weight.sum())


def _burst(days: npt.NDArray[np.float64], start: int, decay: float) -> npt.NDArray[np.float64]:
    after = days - start
    return np.where(after >= 0, np.exp(-np.maximum(after, 0) / decay), 0.0)


def _casts(narratives: Mapping[str, Narrative]) -> dict[str, Cast]:
    table = _cast_table()
    names: dict[str, str] = table["confounders"]
    by_kind = {kind: tuple(key for key, item in narratives.items() if item.kind == kind) for kind in names}
    casts, number = {}, 0
    for key, group in table["groups"].items():
        accounts = tuple(handle(number + offset) for offset in range(group["accounts"]))
        number += group["accounts"]
        casts[key] = Cast(
            key, "planted", accounts, group["wording"], tuple(group["traces"]), 60 * group["spread_minutes"], tuple(group["narratives"])
        )
    habits = {"wire": ("copy", (), 5 * 3600), "party": ("paraphrase", ("url",), 6 * 3600), "feed": ("copy", ("url",), 240)}
    for kind, name in names.items():
        size = CAST_SIZES[kind]
        accounts = tuple(handle(number + offset) for offset in range(size))
        number += size
        wording, traces, spread = habits.get(kind, ("own", (), 0))
        casts[kind] = Cast(kind, name, accounts, wording, traces, spread, by_kind[kind])
    return casts


def _budget(cast: Cast, casts: Mapping[str, Cast], documents: int) -> int:
    if cast.kind == "planted":
        everyone = sum(len(other.accounts) for other in casts.values() if other.kind == "planted")
        total = min(SHARES["groups"] * documents, CAPS["groups"] * everyone)
        return int(total * len(cast.accounts) / everyone)
    if cast.wording == "own":
        return 0
    return int(min(SHARES[cast.key] * documents, CAPS[cast.key] * len(cast.accounts)))


def _events(cast: Cast, budget: int, profiles: Mapping[str, npt.NDArray[np.float64]], draws: Draws) -> list[Event]:
    cumulative = {key: np.cumsum(profiles[key]) for key in cast.narratives}
    low, high = (0.55, 0.85) if cast.kind != "syndication" else (0.85, 1.0)
    found: list[Event] = []
    while budget > 0:
        narrative = cast.narratives[len(found) % len(cast.narratives)]
        size = min(budget, max(2, round(len(cast.accounts) * (low + (high - low) * draws.unit()))))
        day = min(DAYS - 1, int(np.searchsorted(cumulative[narrative], draws.unit(), side="right")))
        second = 6 * 3600 + draws.below(86_400 - 6 * 3600 - cast.spread_seconds)
        found.append(Event(day, second, cast.key, narrative, size))
        budget -= size
    return found


def _cast_table() -> dict[str, Any]:
    table = load("cast")
    assert isinstance(table, dict)  # noqa: S101 (bundled data)
    return table


def _list(name: str) -> Sequence[dict[str, Any]]:
    table = load(name)
    assert isinstance(table, list)  # noqa: S101 (bundled data)
    return table
