"""Part `real`: narratives of real corpora against real incidents, on stories of which it is known what is behind them, or that nothing is.

Asked: of the tweets of an operation up to 2016, the release of the DNC's mail (22 July 2016), Podesta's (7 October) and the files of WADA
(13 September) get their incident among the first three; invented alarms and the disclosure of Yahoo's breach get none above p = .5; with
the dates of the incidents permuted, next to nothing is left.

A narrative tells a story if `SHARE` of its documents hold a keyword of the story, at least `LEAST` of them from three days before the day
on which the story became public to two weeks after. Rivals of the true incident are all others in the list of the narrative; an event
against several states counts once. Incidents are those whose dates touch the year before or after the corpus, or its own days. Nothing of
the stage was set by looking at these stories.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.doctrine import load_doctrine
from greyzone.eval.commands import aligned
from greyzone.eval.links.corpora import CSIS, INCIDENT_FILES, WHOLE, Held, Stories, of_case, read_incidents, tweets
from greyzone.eval.links.given import about, with_given, within
from greyzone.link import link
from greyzone.records import LLRS, TIME

SHARE, LEAST = 0.3, 5
BEFORE, AFTER = timedelta(days=3), timedelta(days=14)
FIRST = 3
LIKELY = 0.5
AROUND = timedelta(days=365)
TIMES = ("onset_lo", "onset_hi", "end_lo", "end_hi", "disclosed_lo", "disclosed_hi", "again_lo", "again_hi")
DATES = ("onset_precision", *TIMES)
COLUMNS = ["incident_id", "narrative_id", "type", "log_odds", "p", "p_lo", "p_hi", "q", "placebo_precision", "shared_entities"]
COLUMNS += [f"llr_{name}" for name in LLRS]
"""What is kept of a link: the whole list of a corpus is held."""


@dataclass(frozen=True, slots=True)
class Story:
    """What is known of a story.

    `window` is the part of the tweets that covers it; `pattern` finds its documents (RE2, letters of either case); `true` tells by
    (source, number, or words of the name) which reports its incident is in, none for a story that must not be linked.
    """

    case: str
    name: str
    window: str
    public: date
    pattern: str
    true: tuple[tuple[str, str], ...] = ()


DNC = (
    ("eurepoc", "721"),
    ("eurepoc", "862"),
    ("cfr", "Compromise of the Democratic National Committee"),
    ("csis", "Democratic National Committee: release"),
    ("csis", "Democratic National Committee: Hacking and using WikiLeaks"),
)
STORIES = (
    Story("H09", "DNC release", "2016-06", date(2016, 7, 22), r"dnc ?leak|wasserman|guccifer|dcleaks|dnc e?-?mail|dnc hack", DNC),
    Story("H10", "Podesta's mail", "2016-06", date(2016, 10, 7), r"podesta|подест|spirit ?cooking", DNC),
    Story(
        "WADA",
        "WADA, Fancy Bears",
        "2016-06",
        date(2016, 9, 13),
        r"\bwada\b|\bвада\b|fancy ?bear",
        (("eurepoc", "897"), ("dcid", "25"), ("cfr", "Compromise of the World Anti-Doping Agency")),
    ),
    Story("N02", "Yahoo's disclosure", "2016-06", date(2016, 9, 22), r"yahoo"),
    Story("F01", "Columbian Chemicals", "2014-15", date(2014, 9, 11), r"columbian ?chem"),
    Story("F02", "Ebola in Atlanta", "2014-15", date(2014, 12, 13), r"ebola ?in ?atlanta"),
    Story("F03", "Fukushima2015", "2014-15", date(2015, 1, 3), r"fukushima"),
    Story("F04", "phosphorus", "2014-15", date(2015, 3, 10), r"phosph?or"),
    Story("F05", "Koch Farms", "2015-11", date(2015, 11, 26), r"koch ?farm"),
)
"""The reports of Podesta's phishing are those of the campaign that it was part of; no table held has a row of its own. Two hoaxes are not
in the list of cases: their days are those on which the tweets speak of them (F01: from general knowledge)."""


@dataclass(frozen=True, slots=True)
class Told:
    """A narrative of a story: documents (of them on the story in its days), the best incident and the true one as listed."""

    narrative: str
    documents: int
    on_it: int
    best: str
    best_p: float
    best_kind: str
    rank: int | None
    p: float | None
    p_lo: float | None
    p_hi: float | None
    q: float | None
    placebo: float | None
    kind: str
    llrs: tuple[float | None, ...]
    shared: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a story: its narratives, those with the most documents on it first; documents of the corpus on it in its days.

    `given` is the narrative of all of its documents (`greyzone.eval.links.given`), None where they are too few; `wider` is the same with
    incidents of one register more.
    """

    story: Story
    corpus: str
    documents: int
    narratives: tuple[Told, ...]
    given: Told | None
    incidents: tuple[str, ...]
    wider: Told | None = None

    @property
    def likely(self) -> int:
        """Narratives of the story with any incident above `LIKELY`."""
        return sum(one.best_p > LIKELY for one in self.narratives)


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus linked twice: counts of the list as it is and with the dates of the incidents permuted."""

    name: str
    documents: int
    narratives: int
    incidents: int
    listed: int
    likely: int
    shown: int
    permuted_listed: int | None
    permuted_likely: int | None
    permuted_shown: int | None


Links = dict[str, list[dict[str, Any]]]
Given = tuple[list[dict[str, Any]], Mapping[str, str]]


def measure_real(
    data: Path,
    work: Path,
    say: Callable[[str], None],
    *,
    fresh: bool = False,
    whole: bool = False,
    case: Path | None = None,
    stories: Sequence[Story] = STORIES,
    links: Links | None = None,
    permute: bool = True,
) -> Iterator[tuple[Corpus, list[Found]]]:
    """Yield by window what came of its stories.

    Parameters
    ----------
    data, work
        Where the sets are, and where narratives are kept.
    say
        Told what goes on.
    fresh
        Make the narratives anew.
    whole
        All tweets as one corpus.
    case
        A finished case of all tweets, of which the narratives of each window are taken.
    stories
        What to look for.
    links
        Links by the name of a corpus, used where they are there and kept: part `cases` needs the same.
    permute
        Link with permuted dates, too.
    """
    held, wider = read_incidents(data), read_incidents(data, (*INCIDENT_FILES, CSIS))
    for window in [WHOLE] if whole else list(dict.fromkeys(story.window for story in stories)):
        corpus = of_case(case, window) if case else tweets(data, work, window, say, fresh=fresh)
        chosen = [story for story in stories if whole or story.window == window]
        yield judge(corpus, held, wider, chosen, say, {} if links is None else links, permute=permute)


def judge(
    corpus: Stories,
    held: Held,
    wider: Held,
    stories: Sequence[Story],
    say: Callable[[str], None],
    links: Links,
    *,
    permute: bool,
) -> tuple[Corpus, list[Found]]:
    """Link a corpus, and the stories given with the incidents of more registers (`wider`), and look for stories in the lists."""
    near = near_incidents(held, corpus)
    sizes = corpus.documents.num_rows, corpus.narratives.num_rows, near.incidents.num_rows
    say(f"{corpus.name}: {sizes[0]:,} documents, {sizes[1]:,} narratives, {sizes[2]:,} incidents")
    rows = links[corpus.name] = links.get(corpus.name) or link_all(corpus, near)
    given = link_given(corpus, near, stories, links)
    found = [find(story, corpus, rows, near, held, given) for story in stories]
    if any(story.true for story in stories):
        more = near_incidents(wider, corpus)
        of_more = link_given(corpus, more, stories, {})
        found = [replace(one, wider=find(one.story, corpus, [], more, wider, of_more).given) for one in found]
    chance = link_all(corpus, permuted(near, seed=0)) if permute else None
    fdr = load_doctrine()["link.fdr"]

    def counted(listed: list[dict[str, Any]]) -> tuple[int, int, int]:
        return len(listed), sum(row["p"] > LIKELY for row in listed), sum(row["q"] is not None and row["q"] <= fdr for row in listed)

    return Corpus(corpus.name, *sizes, *counted(rows), *(counted(chance) if chance is not None else (None, None, None))), found


def near_incidents(held: Held, corpus: Stories) -> Held:
    """Return the incidents with a date in the days of the corpus, or at most `AROUND` from them."""
    first, last = corpus.first - AROUND, corpus.last + AROUND
    marks = np.zeros(held.incidents.num_rows, dtype=bool)
    for name in ("onset", "end", "disclosed"):
        lo, hi = held.incidents[f"{name}_lo"], held.incidents[f"{name}_hi"]
        inside = pc.and_(pc.less_equal(lo, pa.scalar(last, TIME)), pc.greater_equal(hi, pa.scalar(first, TIME)))
        marks |= pc.fill_null(inside, False).to_numpy(zero_copy_only=False)
    return Held(held.incidents.filter(pa.array(marks)), held.vectors[marks], held.reports)


def permuted(held: Held, *, seed: int) -> Held:
    """Return the incidents with the dates of others."""
    order = pa.array(np.random.default_rng(seed).permutation(held.incidents.num_rows))
    table = held.incidents
    for name in DATES:
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), table[name].take(order))
    return Held(table, held.vectors, held.reports)


def link_all(corpus: Stories, held: Held) -> list[dict[str, Any]]:
    """Return the list of links; whether accounts are coordinated is not looked at."""
    result = link(
        held.incidents,
        corpus.narratives,
        corpus.members,
        corpus.documents,
        incident_vectors=held.vectors,
        narrative_vectors=corpus.vectors,
        coordinated=None,
        doctrine=load_doctrine(),
    )
    rows: list[dict[str, Any]] = result.links.select(COLUMNS).to_pylist()
    return rows


def link_given(corpus: Stories, near: Held, stories: Sequence[Story], links: Links) -> Given:
    """Link the corpus once more with the documents of the stories given, and return the list and the narratives of the stories."""
    enlarged, names = with_given(corpus, stories)
    if not names:
        return [], names
    key = f"{enlarged.name}: {' '.join(sorted(names))}"
    rows = links.get(key) or link_all(enlarged, near)
    links[key] = [row for row in rows if row["narrative_id"] in set(names.values())]
    return links[key], names


def find(story: Story, corpus: Stories, rows: Sequence[dict[str, Any]], near: Held, held: Held, given: Given) -> Found:
    """Look a story up in a list of links, and in that with its documents given."""
    inside, of_narrative = tell(story, corpus)
    event = {row["incident_id"]: event_of(row) for row in near.incidents.to_pylist()}
    true = true_events(story.true, held)
    named = {event_of(row): str(row["name"]) for row in held.incidents.to_pylist()}
    listed: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        listed.setdefault(row["narrative_id"], []).append(row)
    found = [_told(one, on_it, total, listed.get(one, []), event, true, named) for one, (on_it, total) in of_narrative.items()]
    found.sort(key=lambda one: (-one.on_it, one.narrative))
    rows, names = given
    one = names.get(story.case)
    alone = _told(one, inside, inside, [row for row in rows if row["narrative_id"] == one], event, true, named) if one else None
    return Found(story, corpus.name, inside, tuple(found), alone, tuple(named[one] for one in sorted(true)))


def tell(story: Story, corpus: Stories) -> tuple[int, dict[str, tuple[int, int]]]:
    """Return how many documents are on a story in its days, and by narrative that tells it (those documents, all of its documents)."""
    documents = corpus.documents
    on_story = about(story, documents)
    inside = on_story & within(story, documents, BEFORE, AFTER)
    home = dict(zip(corpus.members["doc_id"].to_pylist(), corpus.members["narrative_id"].to_pylist(), strict=True))
    owner = [home.get(doc) for doc in documents["doc_id"].to_pylist()]
    counts: dict[str, list[int]] = {}
    for at in np.flatnonzero(on_story).tolist():
        if owner[at] is not None:
            one = counts.setdefault(str(owner[at]), [0, 0])
            one[0] += 1
            one[1] += int(inside[at])
    sizes = dict(zip(corpus.narratives["narrative_id"].to_pylist(), corpus.narratives["size"].to_pylist(), strict=True))
    chosen = {
        name: (on_it, sizes[name])
        for name, (everywhere, on_it) in sorted(counts.items())
        if on_it >= LEAST and everywhere >= SHARE * sizes[name]
    }
    return int(inside.sum()), chosen


def event_of(row: dict[str, Any]) -> str:
    """Return what rows of one event against several states share."""
    return "+".join(row["reports"])


def is_report(row: dict[str, Any], source: str, key: str) -> bool:
    """Return whether a report is that of a source with a number there, or with these words in its name."""
    named = not key.isdigit() and key.casefold() in str(row["name"]).casefold()
    return bool(row["source"] == source and (row["source_id"] == key or named))


def true_events(true: Sequence[tuple[str, str]], held: Held) -> set[str]:
    """Return the events that hold one of the reports, named by source and number there or by words of their name."""
    wanted = set()
    for row in held.reports.select(["report_id", "source", "source_id", "name"]).to_pylist():
        for source, key in true:
            if is_report(row, source, key):
                wanted.add(row["report_id"])
    return {event_of(row) for row in held.incidents.select(["reports"]).to_pylist() if wanted & set(row["reports"])}


def format_real(found: Sequence[tuple[Corpus, list[Found]]]) -> str:
    """Return the tables: stories, and corpora with true and permuted dates."""
    head = ["story", "asked", "documents", "narratives", "main narrative: rank", "p", "first of its list", "any p > .5"]
    lines = [[*head, "documents given: rank", "p", "first of its list", "given, with CSIS: rank", "p", "first of its list"]]
    lines += [_line(one) for _, stories in found for one in stories]
    chance = [
        ["corpus", "documents", "narratives", "incidents", "listed", "p > .5", "q <= .10", "permuted dates: listed", "p > .5", "q <= .10"]
    ]
    for corpus, _ in found:
        numbers = (corpus.documents, corpus.narratives, corpus.incidents, corpus.listed, corpus.likely, corpus.shown)
        last = (corpus.permuted_listed, corpus.permuted_likely, corpus.permuted_shown)
        chance.append([corpus.name, *("-" if number is None else f"{number:,}" for number in (*numbers, *last))])
    return "\n".join([*aligned(lines), "", *aligned(chance)])


def _line(one: Found) -> list[str]:
    asked = f"in the first {FIRST}" if one.story.true else "none > .5"
    main = one.narratives[0] if one.narratives else None
    cells = [f"{one.story.name} ({one.story.case})", asked, str(one.documents), str(len(one.narratives))]
    return [
        *cells,
        *shown(main, true=bool(one.story.true)),
        str(one.likely),
        *shown(one.given, true=bool(one.story.true)),
        *shown(one.wider, true=bool(one.story.true)),
    ]


def shown(told: Told | None, *, true: bool) -> list[str]:
    """Return the rank and p of the true incident, and the first of the list."""
    if told is None:
        return ["no narrative", "-", "-"]
    rank = ("not listed" if told.rank is None else str(told.rank)) if true else "-"
    p = "-" if told.p is None else f"{told.p:.3f} [{told.p_lo:.3f}, {told.p_hi:.3f}]"
    return [rank, p, f"{told.best[:50]} ({told.best_p:.3f}, {told.best_kind})" if told.best else "none"]


def _told(
    name: str,
    on_it: int,
    total: int,
    links: Sequence[dict[str, Any]],
    event: dict[str, str],
    true: set[str],
    named: dict[str, str],
) -> Told:
    ordered = sorted(links, key=lambda row: (-row["log_odds"], row["incident_id"]))
    seen = list(dict.fromkeys(event[row["incident_id"]] for row in ordered))
    hit = next((row for row in ordered if event[row["incident_id"]] in true), None)
    best = ordered[0] if ordered else None
    rank = 1 + min((seen.index(one) for one in true if one in seen), default=-1) if hit else None
    shown = hit or best
    return Told(
        name,
        total,
        on_it,
        named[event[best["incident_id"]]] if best else "",
        best["p"] if best else 0.0,
        best["type"] if best else "",
        rank,
        p=hit["p"] if hit else None,
        p_lo=hit["p_lo"] if hit else None,
        p_hi=hit["p_hi"] if hit else None,
        q=hit["q"] if hit else None,
        placebo=hit["placebo_precision"] if hit else None,
        kind=hit["type"] if hit else "",
        llrs=tuple(shown[f"llr_{name}"] for name in LLRS) if shown else (),
        shared=tuple(shown["shared_entities"]) if shown else (),
    )


def pattern_of(words: Sequence[str]) -> str:
    """Return a pattern of any of some words, blanks optional as in a hashtag."""
    return "|".join(re.escape(word).replace(r"\ ", " ?") for word in words)
