"""Part `cases`: all cases of the list of hybrid operations, what of them is held, and what was found or not, with the reason.

For each case: the reports that hold its incident (by the numbers and names that the list gives), their dates, the corpora that cover the
days around what became public, the narratives that tell it (rule of `greyzone.eval.links.real`), and the rank and p of the incident in the
list of the narrative that has the most documents on it. A positive case is *found* if the incident is among the first three there, *found
if given* if only where all documents on it are made one narrative. A case without coded influence, or without an incident, must have no
narrative with a link above p = .5.

The list gives keywords; those that other stories use as well are left out, since with them any story of elections would be a find.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from greyzone.eval.commands import aligned
from greyzone.eval.coordination.sources import need
from greyzone.eval.links.corpora import WINDOWS, Held, Stories, disinformation, of_case, read_incidents, tweets
from greyzone.eval.links.real import (
    FIRST,
    LEAST,
    LIKELY,
    STORIES,
    Found,
    Links,
    Story,
    Told,
    find,
    is_report,
    link_all,
    link_given,
    near_incidents,
    pattern_of,
    shown,
    tell,
)
from greyzone.records import LLRS

CASES = "hybrid_cases.jsonl.gz"
GENERIC = frozenset(
    {"rigged", "nato", "corruption", "olympic", "doping", "voter", "tallinn", "surrender", "salaries", "pensions", "billboards", "robert"}
    | {
        "war criminals",
        "election commission",
        "cec",
        "emir speech",
        "trump campaign",
        "be afraid",
        "zelensky",
        "jerusalem post",
        "deepfake",
    }
)
"""Keywords of the list that stories without the case use too (judgement, from the words alone)."""
CYRILLIC = {
    "cyberberkut": "киберберкут",
    "yarosh": "ярош",
    "bundestag": "бундестаг",
    "saakashvili": "саакашвили",
    "state treasury": "госказначейств",
    "petya": "petya|петя",
}
"""Forms of keywords in Russian posts."""
MARGIN = timedelta(days=14)
"""A corpus covers a case that became public at least so long before its end."""
ALSO = {
    "H12": (("eurepoc", "941"),),
    "H15": (("cfr", "Compromise of Qatari website"),),
    "N03": (("cfr", "WannaCry"), ("dcid", "173")),
}
"""Rows of the tables held that are these cases by name and date, and that the list does not name."""
SOURCES = {"EuRepoC": "eurepoc", "DCID": "dcid", "CFR": "cfr"}
EUVSDISINFO = "EUvsDisinfo"


@dataclass(frozen=True, slots=True)
class Case:
    """A case of the list; `pattern` is "" where all of its keywords are generic."""

    case: str
    name: str
    label: str
    began: date
    public: date
    pattern: str
    true: tuple[tuple[str, str], ...]
    elsewhere: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case.

    `held` are the incidents (source, name, dates as told), `corpora` what covers it with documents and narratives on it, `found` the best
    of them; `verdict` is one of "found", "found if given", "not found", "no false link", "a link > .5", "not testable".
    """

    case: Case
    held: tuple[tuple[str, str, str], ...]
    corpora: tuple[tuple[str, int, int], ...]
    found: Found | None
    verdict: str
    why: str


def read_cases(folder: Path) -> list[Case]:
    """Read the list."""
    need(folder, CASES)
    known = {story.case: story for story in STORIES}
    found = []
    with gzip.open(folder / CASES, "rt", encoding="utf-8") as stream:
        for line in stream:
            row: dict[str, Any] = json.loads(line)
            story = known.get(row["case_id"])
            words = [word for word in row["narrative_keywords"] if word.casefold() not in GENERIC]
            forms = [CYRILLIC[word.casefold()] for word in words if word.casefold() in CYRILLIC]
            pattern = story.pattern if story else "|".join([pattern for pattern in (pattern_of(words), *forms) if pattern])
            true, elsewhere = _sources(row["sources"])
            true += ALSO.get(row["case_id"], ())
            days = (date.fromisoformat(row["cyber_start"]), date.fromisoformat(row["public_or_amplified"]))
            found.append(Case(row["case_id"], row["name"], row["label"], *days, pattern, tuple(true), tuple(elsewhere)))
    return found


def measure_cases(
    data: Path,
    work: Path,
    say: Callable[[str], None],
    *,
    fresh: bool = False,
    case: Path | None = None,
    links: Links | None = None,
) -> list[Outcome]:
    """Look every case up in every corpus that covers it; arguments as of `greyzone.eval.links.real.measure_real`."""
    links = {} if links is None else links
    held, cases = read_incidents(data), read_cases(data)
    found: dict[str, list[Found]] = {one.case: [] for one in cases}
    disinfo = disinformation(data, work, say, fresh=fresh)
    _look(disinfo, held, cases, found, say, links)
    for name in WINDOWS:
        if any(_covers(name, one) for one in cases):
            corpus = of_case(case, name) if case else tweets(data, work, name, say, fresh=fresh)
            _look(corpus, held, [one for one in cases if _covers(name, one)], found, say, links)
    return [judge_case(one, found[one.case], held) for one in cases]


def judge_case(case: Case, found: Sequence[Found], held: Held) -> Outcome:
    """Say what came of a case, and why."""
    rows = _held(case, held)
    corpora = tuple((one.corpus, one.documents, len(one.narratives)) for one in found)
    told = [one for one in found if one.narratives or one.given]
    if case.label in ("negative", "io_only"):
        likely = sum(one.likely + (one.given is not None and one.given.best_p > LIKELY) for one in told)
        if not told:
            return Outcome(case, rows, corpora, None, "not testable", _untold(case, found))
        worst = max((one for one in told), key=lambda one: max(each.best_p for each in _all(one)))
        first = max(_all(worst), key=lambda each: each.best_p)
        why = f"most likely: {first.best[:50] or 'none'} (p {first.best_p:.2f}, {first.best_kind or '-'})"
        return Outcome(case, rows, corpora, worst, "a link > .5" if likely else "no false link", why)
    if not rows:
        return Outcome(case, rows, corpora, None, "not testable", f"no row in a table held (list: {', '.join(case.elsewhere) or 'none'})")
    if not told:
        return Outcome(case, rows, corpora, None, "not testable", _untold(case, found))
    best = min(told, key=lambda one: (_rank(one.narratives[0] if one.narratives else None), _rank(one.given)))
    for verdict, main in (("found", best.narratives[0] if best.narratives else None), ("found if given", best.given)):
        if main is not None and _rank(main) <= FIRST:
            evidence = ", ".join(f"{name} {value:+.1f}" for name, value in zip(LLRS, main.llrs, strict=True) if value)
            return Outcome(case, rows, corpora, best, verdict, f"nats: {evidence}")
    return Outcome(case, rows, corpora, best, "not found", _missed(case, best))


def format_cases(outcomes: Sequence[Outcome]) -> str:
    """Return the table of the cases, positives, negatives and hoaxes apart, and how many of each were found."""
    parts = []
    for title, labels in (
        ("positives", ("strong", "moderate", "disputed", "uncertain")),
        ("negatives (an incident, no coded influence)", ("negative",)),
        ("influence without an incident", ("io_only",)),
    ):
        chosen = [one for one in outcomes if one.case.label in labels]
        head = ["case", "what", "incident held", "public", "corpora: documents, narratives", "verdict", "main narrative: rank", "p"]
        lines = [[*head, "given: rank", "p", "why"]]
        lines += [_line(one) for one in chosen]
        counts = {name: sum(one.verdict == name for one in chosen) for name in dict.fromkeys(one.verdict for one in chosen)}
        parts += [f"{title}: {', '.join(f'{count} {name}' for name, count in counts.items())}", *aligned(lines), ""]
    return "\n".join(parts[:-1])


def _line(one: Outcome) -> list[str]:
    held = "; ".join(f"{source} {dates}" for source, _, dates in one.held) or "none"
    corpora = "; ".join(f"{name}: {documents}, {narratives}" for name, documents, narratives in one.corpora) or "none"
    main = one.found.narratives[0] if one.found and one.found.narratives else None
    given = one.found.given if one.found else None
    cells = [cell for told in (main, given) for cell in shown(told, true=bool(one.case.true))[:2]]
    return [one.case.case, one.case.name, held, one.case.public.isoformat(), corpora, one.verdict, *cells, one.why]


def _all(found: Found) -> list[Told]:
    return [*found.narratives, *([found.given] if found.given else [])]


def _look(
    corpus: Stories, held: Held, cases: Sequence[Case], found: dict[str, list[Found]], say: Callable[[str], None], links: Links
) -> None:
    chosen = [one for one in cases if one.pattern and corpus.first.date() <= one.public <= (corpus.last - MARGIN).date()]
    if not chosen:
        return
    stories = [Story(one.case, one.name, corpus.name, one.public, one.pattern, one.true) for one in chosen]
    near = near_incidents(held, corpus)
    said = [tell(story, corpus)[0] for story in stories]
    if max(said) < LEAST:
        # Nobody speaks of any of them: there is nothing to link.
        for story, documents in zip(stories, said, strict=True):
            found[story.case].append(Found(story, corpus.name, documents, (), None, ()))
        return
    say(f"{corpus.name}: {len(chosen)} cases, {corpus.narratives.num_rows:,} narratives, {near.incidents.num_rows:,} incidents")
    rows = links[corpus.name] = links.get(corpus.name) or link_all(corpus, near)
    given = link_given(corpus, near, stories, links)
    for story in stories:
        found[story.case].append(find(story, corpus, rows, near, held, given))


def _covers(window: str, case: Case) -> bool:
    days = WINDOWS[window]
    return bool(case.pattern) and days.first.date() <= case.public <= (days.last - MARGIN).date()


def _sources(names: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Return (source, number or name) of the reports in tables that are read, and what else the list names."""
    true, elsewhere = [], []
    for name in names:
        source, _, key = name.partition(":")
        if source in SOURCES:
            true.append((SOURCES[source], key.split(" (")[0]))
        else:
            elsewhere.append(name.split(" (")[0])
    return true, elsewhere


def _held(case: Case, held: Held) -> tuple[tuple[str, str, str], ...]:
    found = []
    for row in held.reports.to_pylist():
        for source, key in case.true:
            if is_report(row, source, key):
                found.append((f"{source} {row['source_id']}" if row["source_id"] == key else source, str(row["name"]), _dates(row)))
    return tuple(sorted(set(found)))


def _dates(row: dict[str, Any]) -> str:
    def span(name: str) -> str:
        lo, hi = row[f"{name}_lo"], row[f"{name}_hi"]
        if lo is None:
            return "?"
        return f"{lo:%Y-%m-%d}" if hi is None or hi - lo < timedelta(days=1) else f"{lo:%Y-%m-%d}..{hi:%Y-%m-%d}"

    return f"onset {span('onset')}, end {span('end')}, disclosed {span('disclosed')}"


def _rank(told: Told | None) -> float:
    return float("inf") if told is None or told.rank is None else float(told.rank)


def _untold(case: Case, found: Sequence[Found]) -> str:
    if not case.pattern:
        return "its keywords are words that other stories use too"
    if not found:
        return "no corpus held covers its days"
    documents = sum(one.documents for one in found)
    return f"{documents} documents on it in its days, no narrative" if documents else "no document on it in its days"


def _missed(case: Case, best: Found) -> str:
    main = min(_all(best), key=_rank)
    if main.rank is not None:
        return f"rank {main.rank}; first is {main.best[:50]} (p {main.best_p:.2f})"
    return (
        f"below the prior, or no date of it within the window of {case.public}; first is {main.best[:50] or 'none'} (p {main.best_p:.2f})"
    )
