"""Invented worlds with a known truth: a year of incidents and stories, as the tables that the stage of links reads.

*Incidents.* Some are what stories tell of; to most of these belong look-alikes (`HARD`): another organisation of the same state in the same
week, the same organisation in another month, the same actor and malware in another state in the same fortnight. Dates are days and months,
or as precise as those of EuRepoC 1.1 (docs/method/incidents.md: day 40.5 %, month 30.1 %, year 26.8 %, none 2.6 %). There thefts and leaks
are often noticed late: stories then answer the disclosure, which only part of the registers know.

*Stories* about incidents begin at a lag that is log-normal (median 1.5 days after, or 4 before where they prepare), which is not the
density that the stage supposes. Each names some of what its incident names, or nothing of it. Media carry most of a report and
little of the rest (`MEDIA`); accounts the others. The other stories are about the
same organisations in another month, about incidents that no list has, about hackers at large, and about everyday subjects in the same
states, a third of them within days of an incident of some organisation. Besides there is talk of no story.

Texts go through the real code: the default encoder, the gazetteer of entities, the description of narratives with its volumes and targets.
What is skipped is clustering: who belongs to a story is given, so that what is measured is linking. The numbers here were
set by reasoning before any result was seen, and are not fitted to one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from greyzone import records
from greyzone.doctrine import load_doctrine
from greyzone.embed import document_texts, embed_texts
from greyzone.eval.links.wording import DEEDS, SORTS, STATES, SUBJECTS, Naming, Topic, register_text, story_text, subject_text
from greyzone.eval.scenario.templates import Draws, invented_word
from greyzone.narratives import describe_narratives
from greyzone.records import COPIES, DOCUMENTS, INCIDENTS, Encoder, Floats, empty

START = datetime(2031, 1, 1, tzinfo=UTC)
DAYS = 365
BOUND = 30
"""Incidents that stories tell of."""
OTHERS = 40
"""Incidents without a story and likeness to any."""
HARD = {"week": 0.7, "month": 0.4, "actor": 0.3}
"""Share of the bound incidents with a look-alike of a kind."""
COVERT = ("data theft", "doxing")
"""Techniques that may be noticed late; registers know the disclosure in `TOLD` of these cases."""
TOLD = 0.7
UNLINKED = {"organisation": 20, "elsewhere": 20, "technique": 12, "subject": 60, "saga": 8}
"""Stories that no incident of the list is behind."""
COINCIDENT = 0.33
"""Share of them that begin within days of an incident of the same state."""
APART = 25.0
"""Days between a story about an organisation and any incident of it that it is not about."""
CHATTER = 1500
"""Documents of no story."""
OUTLETS = 12
MEDIA = {"reports": (6.0, 2.0), "": (1.0, 6.0)}
"""Beta distribution of the share of outlets among the documents of a story that no coordinated group carries: a report is made of
them, anything else ("") is repeated by some. A story about no incident is one or the other as often."""
CHATTER_MEDIA = 0.1
TYPES = (("reports", 0.45), ("exploits", 0.30), ("enabled-by", 0.15), ("prepares", 0.10))


@dataclass(frozen=True, slots=True)
class Setting:
    """How precise dates are (shares of day, month, year, none), how many covert incidents are noticed late, how many hold a domain."""

    name: str
    precisions: tuple[tuple[str, float], ...]
    late: float
    indicators: float = 0.2


SETTINGS = (
    Setting("days and months", (("day", 0.574), ("month", 0.426)), 0.0),
    Setting("as EuRepoC, late disclosures", (("day", 0.405), ("month", 0.301), ("year", 0.268), ("unknown", 0.026)), 0.6),
    Setting("exchanged events with indicators", (("day", 1.0),), 0.0, 1.0),
)
"""The first is what is asked about; the second has the dates of a real register; the third is what MISP or STIX events hold: a day and
indicators. In registers artefacts are rare: of EuRepoC, CFR and DCID 1.3 % of the incidents name one, and of 7,428 public indicators
of influence and intrusion two are common to both (METHOD finding 11); with .2 of the incidents and a quarter of their stories one
linked story in twenty names one, as `link.artefact_m` supposes."""


@dataclass(frozen=True, slots=True)
class Attack:
    """An incident as it was: `onset` and `public` are days from `START`; `precision` is how the register dates it."""

    topic: Topic
    onset: float
    public: float
    precision: str
    told: bool
    hard: str


@dataclass(frozen=True, slots=True)
class World:
    """The tables of the stage with the truth.

    `truth` gives the type of the link by (incident_id, narrative_id); `strata` what is special of a linked pair's incident (precision of
    its date, "late" where it was disclosed late, "late, unknown" where the register does not say so); `kinds` the kind of each narrative.
    """

    incidents: pa.Table
    narratives: pa.Table
    members: pa.Table
    documents: pa.Table
    incident_vectors: Floats
    narrative_vectors: Floats
    coordinated: dict[str, float]
    truth: dict[tuple[str, str], str]
    strata: dict[tuple[str, str], tuple[str, str]]
    kinds: dict[str, str]


@dataclass(slots=True)
class _Draft:
    """Stories while a world is made: (day, text) of each document, and of each story its kind and incident."""

    rng: np.random.Generator
    draws: Draws
    posts: list[tuple[float, str, int]] = field(default_factory=list)
    stories: list[tuple[str, int]] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def tell(self, kind: str, attack: int, begins: float, share: float, text: list[str]) -> None:
        """Add a story: its documents fall off from the day it begins, and a quarter of the stories come back weeks later."""
        rng = self.rng
        days = begins + rng.exponential(rng.uniform(1.5, 8.0), len(text))
        if rng.random() < 0.25:
            again = rng.random(len(text)) < 0.3
            days[again] += rng.uniform(15.0, 60.0)
        self.posts += [(float(day), words, len(self.stories)) for day, words in zip(days, text, strict=True)]
        self.stories.append((kind, attack))
        self.shares.append(share)


def make_world(setting: Setting, seed: int, encoder: Encoder) -> World:
    """Make the world of a setting and seed."""
    rng, draws = np.random.default_rng([seed, 11]), Draws(np.random.default_rng([seed, 12]))
    attacks = _Attacks(setting, rng, draws).all()
    draft = _Draft(rng, draws)
    _linked(draft, attacks)
    _unlinked(draft, attacks)
    return _tables(draft, attacks, encoder, np.random.default_rng([seed, 14]))


class _Attacks:
    """Draws incidents; every organisation has a name of its own."""

    def __init__(self, setting: Setting, rng: np.random.Generator, draws: Draws) -> None:
        self.setting, self.rng, self.draws = setting, rng, draws
        self.taken: set[str] = set()
        self.actors = [f"{self.name()} {animal}" for animal in ("Lynx", "Heron", "Marten", "Shrike", "Wagtail", "Stoat")]
        self.tools = {actor: [f"{self.name()}{beast}" for beast in ("Moth", "Otter")] for actor in self.actors}

    def name(self) -> str:
        """Return an invented word that was not drawn before."""
        while (word := invented_word(self.draws)) in self.taken or len(word) < 5:
            pass
        self.taken.add(word)
        return word

    def all(self) -> list[Attack]:
        """Return the bound incidents, then their look-alikes and the others."""
        rng = self.rng
        bound = [self.attack(self.topic(), rng.uniform(20, DAYS - 30)) for _ in range(BOUND)]
        found = list(bound)
        for one in bound:
            if rng.random() < HARD["week"]:
                found.append(self.attack(self.topic(state=one.topic.state), one.onset + rng.uniform(-3, 3), hard="week"))
            if rng.random() < HARD["month"]:
                again = replace(one.topic, technique=self.draws.pick(sorted(DEEDS)), malware="", actor="", domain="")
                found.append(self.attack(again, one.onset + rng.choice([-1, 1]) * rng.uniform(25, 110), hard="month"))
            if rng.random() < HARD["actor"]:
                found.append(self.attack(self.topic(like=one.topic), one.onset + rng.uniform(-7, 7), hard="actor"))
        return found + [self.attack(self.topic(), rng.uniform(0, DAYS), hard="other") for _ in range(OTHERS)]

    def topic(self, *, state: str | None = None, like: Topic | None = None) -> Topic:
        """Return a topic, in a state or of the actor, malware and technique of another in any other state."""
        draws = self.draws
        sector = draws.pick(sorted(SORTS))
        technique = like.technique if like else draws.pick(sorted(DEEDS))
        states = [name for _, name in STATES if like is None or name != like.state]
        actor = like.actor if like else (draws.pick(self.actors) if draws.unit() < 0.6 else "")
        malware = like.malware if like else ""
        if not like and technique in ("ransomware", "wiper", "disruption"):
            malware = draws.pick(self.tools[actor]) if actor else f"{self.name()}Finch"
        domain = f"{self.name().lower()}-{draws.below(90)}.example.net" if draws.unit() < self.setting.indicators else ""
        return Topic(self.name(), draws.pick(SORTS[sector]), sector, state or draws.pick(states), technique, malware, actor, domain)

    def attack(self, topic: Topic, onset: float, hard: str = "") -> Attack:
        """Return an incident with what a register says of its dates."""
        rng, shares = self.rng, self.setting.precisions
        precision = str(rng.choice([name for name, _ in shares], p=[share for _, share in shares]))
        late = topic.technique in COVERT and rng.random() < self.setting.late
        public = onset + (float(rng.lognormal(np.log(45.0), 0.8)) if late else 0.0)
        return Attack(topic, onset, public, precision, bool(rng.random() < TOLD), hard)


def _linked(draft: _Draft, attacks: list[Attack]) -> None:
    rng = draft.rng
    for at, attack in enumerate(attacks[:BOUND]):
        for _ in range(1 + int(rng.random() < 0.3)):
            kind = str(rng.choice([name for name, _ in TYPES], p=[share for _, share in TYPES]))
            if kind == "enabled-by" and attack.topic.technique not in COVERT:
                kind = "exploits"
            if kind == "prepares":
                begins = attack.onset - float(rng.lognormal(np.log(4.0), 0.7))
            else:
                begins = attack.public + float(rng.lognormal(np.log(1.5), 1.0))
            naming = _naming(rng, organisation=0.8, malware=0.5, actor=0.4, state=0.9, domain=0.25)
            share = float(rng.beta(1, 15) if kind == "reports" else rng.beta(6, 3))
            draft.tell(kind, at, begins, share, [story_text(kind, attack.topic, naming, draft.draws) for _ in range(_size(rng))])


def _unlinked(draft: _Draft, attacks: list[Attack]) -> None:
    rng, draws = draft.rng, draft.draws
    names = [name for _, name in STATES]
    for kind, count in UNLINKED.items():
        for _ in range(count):
            near = attacks[int(rng.integers(len(attacks)))]
            about = near
            begins = near.public + float(rng.uniform(-3, 10)) if rng.random() < COINCIDENT else float(rng.uniform(0, DAYS))
            if kind == "organisation":
                # Talk of an organisation within days of what befell it may well be about that: truth would be a matter of opinion.
                while abs(begins - about.onset) < APART or abs(begins - about.public) < APART:
                    about = attacks[int(rng.integers(len(attacks)))]
            share = float(rng.beta(1, 15) if rng.random() < 0.8 else rng.beta(6, 3))
            size = _size(rng)
            if kind in ("subject", "saga"):
                subject, named = int(rng.integers(len(SUBJECTS))), float(rng.uniform(0.0, 0.9))
                state = near.topic.state if rng.random() < 0.5 else draws.pick(names)
                text = [subject_text(subject, state, named, draws) for _ in range(size * (4 if kind == "saga" else 1))]
            else:
                text = _other(kind, about.topic, draft, size)
            if kind == "saga":
                draft.posts += [
                    (float(day), words, len(draft.stories)) for day, words in zip(rng.uniform(0, DAYS, len(text)), text, strict=True)
                ]
                draft.stories.append((kind, -1))
                draft.shares.append(share)
            else:
                draft.tell(kind, -1, begins, share, text)
    for _ in range(CHATTER):
        near = attacks[int(rng.integers(len(attacks)))]
        words = subject_text(int(rng.integers(len(SUBJECTS))), draws.pick(names), 0.2, draws)
        if rng.random() < 0.05:
            words = story_text("organisation", near.topic, Naming(organisation=1.0), draws)
        draft.posts.append((float(rng.uniform(0, DAYS)), words, -1))


def _other(kind: str, topic: Topic, draft: _Draft, size: int) -> list[str]:
    """Return documents about an organisation, an attack that no list has, or the subject at large."""
    rng, draws = draft.rng, draft.draws
    if kind == "elsewhere":
        sector = draws.pick(sorted(SORTS))
        topic = Topic(f"{invented_word(draws)}ia", draws.pick(SORTS[sector]), sector, topic.state, draws.pick(sorted(DEEDS)))
    naming = _naming(rng, organisation=0.8, state=0.9) if kind != "technique" else Naming()
    return [story_text(kind, topic, naming, draws) for _ in range(size)]


def _naming(rng: np.random.Generator, **chances: float) -> Naming:
    return Naming(**{name: float(rng.uniform(0.3, 0.9)) if rng.random() < chance else 0.0 for name, chance in chances.items()})


def _size(rng: np.random.Generator) -> int:
    return 6 + int(rng.negative_binomial(1.0, 1.0 / 25.0))


def _outlets(draft: _Draft, rng: np.random.Generator, stories: list[int]) -> list[str | None]:
    """Return the outlet of each document by its story (-1 for none), None for those of accounts."""
    shares = []
    for (kind, at), coordinated in zip(draft.stories, draft.shares, strict=True):
        told = kind if at >= 0 else "reports" if rng.random() < 0.5 else ""
        shares.append((1.0 - coordinated) * float(rng.beta(*MEDIA.get(told, MEDIA[""]))))
    shares.append(CHATTER_MEDIA)
    return [f"outlet {int(rng.integers(OUTLETS)):02d}" if rng.random() < shares[story] else None for story in stories]


def _tables(draft: _Draft, attacks: list[Attack], encoder: Encoder, rng: np.random.Generator) -> World:
    posts = sorted((post for post in draft.posts if 0 <= post[0] < DAYS), key=lambda post: (post[0], post[1]))
    outlets = _outlets(draft, rng, [story for _, _, story in posts])
    rows: list[dict[str, object]] = [
        {
            "doc_id": f"doc-{number:07d}",
            "text": text,
            "lang": "en",
            "published_at": START + timedelta(days=day),
            "published_precision": "second",
            "account": None if outlets[number] else f"acct{number % 997:05d}",
            "outlet": outlets[number],
            "platform": "microblog",
            "urls": [],
            "hashtags": [],
        }
        for number, (day, text, _) in enumerate(posts)
    ]
    documents = records.table(rows, DOCUMENTS)
    labels = _labels([story for _, _, story in posts], len(draft.stories))
    vectors = embed_texts(document_texts(documents["title"], documents["text"]), encoder)
    told = describe_narratives(documents, empty(COPIES), vectors, labels, np.ones(len(labels), dtype=np.float32), doctrine=load_doctrine())
    incidents = records.table([_row(number, attack) for number, attack in enumerate(attacks)], INCIDENTS)
    of_story: dict[int, str] = {}
    home = dict(zip(told.members["doc_id"].to_pylist(), told.members["narrative_id"].to_pylist(), strict=True))
    for number, (_, _, story) in enumerate(posts):
        if labels[number] >= 0:
            of_story[story] = home[f"doc-{number:07d}"]
    truth, strata = {}, {}
    for story, (kind, at) in enumerate(draft.stories):
        if at >= 0 and story in of_story:
            pair = (_incident_id(at), of_story[story])
            truth[pair] = kind
            late = attacks[at].public > attacks[at].onset
            strata[pair] = (attacks[at].precision, ("late" if attacks[at].told else "late, unknown") if late else "at once")
    return World(
        incidents,
        told.narratives,
        told.members,
        documents,
        embed_texts(document_texts(incidents["name"], incidents["description"]), encoder),
        told.vectors,
        {name: draft.shares[story] for story, name in of_story.items()},
        truth,
        strata,
        {name: draft.stories[story][0] for story, name in of_story.items()},
    )


def _labels(stories: list[int], count: int) -> npt.NDArray[np.int64]:
    """Return the label of each document; stories of fewer than five documents within the year are none, as in a case."""
    found = np.array(stories, dtype=np.int64)
    sizes = np.bincount(found[found >= 0], minlength=count)
    kept = np.flatnonzero(sizes >= 5)
    number = np.full(count + 1, -1, dtype=np.int64)
    number[kept] = np.arange(len(kept))
    return number[found]


def _incident_id(number: int) -> str:
    return f"inc-{number:04d}"


def _row(number: int, attack: Attack) -> dict[str, object]:
    topic = attack.topic
    entities = [("organisation", topic.organisation), ("malware", topic.malware), ("domain", topic.domain)]
    code = {name: code for code, name in STATES}[topic.state]
    onset = _interval(attack.onset, attack.precision)
    row: dict[str, object] = {
        "incident_id": _incident_id(number),
        "name": f"{topic.organisation} {topic.sort} {topic.technique}",
        "description": register_text(topic, Draws(np.random.default_rng([number, 13]))),
        "onset_precision": attack.precision,
        "onset_lo": onset[0],
        "onset_hi": onset[1],
        "target_state": code,
        "sectors": [topic.sector],
        "technique_class": topic.technique,
        "actors": [{"name": topic.actor, "state": None, "probability": 0.7, "said_by": "register"}] if topic.actor else [],
        "entities": [{"kind": kind, "value": value} for kind, value in entities if value],
        "level_lo": 1.0,
        "level_mode": 2.0,
        "level_hi": 3.0,
        "reach": "local",
        "credibility": 0.8,
        "sources": ["register"],
    }
    if attack.public > attack.onset and attack.told:
        row["disclosed_lo"], row["disclosed_hi"] = _interval(attack.public, "day")
    return row


def _interval(at: float, precision: str) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last microsecond of the day, month or year of a moment."""
    if precision == "unknown":
        return None, None
    moment = START + timedelta(days=at)
    begin = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if precision == "day":
        return begin, begin + timedelta(days=1, microseconds=-1)
    begin = begin.replace(day=1)
    if precision == "month":
        return begin, (begin + timedelta(days=32)).replace(day=1) - timedelta(microseconds=1)
    begin = begin.replace(month=1)
    return begin, begin.replace(year=begin.year + 1) - timedelta(microseconds=1)
