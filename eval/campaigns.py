"""How well campaigns are told apart: overlapping communities of links against what a simpler rule makes of the same links.

Invented graphs have campaigns of some incidents and some narratives; an end may belong to the campaign before too. Links inside a
campaign are found with the probability `found` (each end keeps one at least) and have p from U(.5, 1); false links between neighbouring
campaigns, a Poisson number for each campaign, have p from U(.5, .75), since what is weaker joins nothing. Only the shape is judged here:
p is taken as given. No setting of the method was chosen on these graphs: its cut has a meaning (`greyzone.campaigns.communities`).

Rules that are compared: `communities` (ours), `components` (what a chain of links holds is one campaign), `link clustering` (Ahn, Bagrow
and Lehmann 2010: Jaccard similarity of the other ends, single linkage, cut where the density of the parts is largest).

Figures: B-cubed for overlapping clusters (Amigo et al. 2009), and the omega index (Collins and Dent 1988): agreement over pairs of ends on
how many campaigns they share, corrected for chance. An end in no campaign shares none with anything.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from greyzone.campaigns import profile_campaigns
from greyzone.campaigns.communities import Ties, find_communities
from greyzone.doctrine import Doctrine, load_doctrine
from greyzone.errors import InputError
from greyzone.eval.commands import run_command
from greyzone.eval.joined import joined
from greyzone.records import DOCUMENTS, GROUPS, IMPACT, INCIDENTS, LINKS, MEMBERS, NARRATIVES, SHARES, ImpactResult, empty, table

Pair = tuple[str, str]
Doubles = npt.NDArray[np.float64]
Thing = TypeVar("Thing", str, Pair)
Sets = Sequence[AbstractSet[str]]
SEEDS = 8
CAMPAIGNS = 20
HOSTILE = frozenset({"exploits", "enabled-by", "prepares"})


@dataclass(frozen=True, slots=True)
class Shape:
    """An invented graph: sizes of both sides, share of links found, false links a campaign, and how often an end is shared."""

    name: str
    incidents: tuple[int, int] = (1, 5)
    narratives: tuple[int, int] = (1, 5)
    found: float = 0.7
    false: float = 0.5
    shared: float = 0.15


SHAPES = (
    Shape("one incident each", incidents=(1, 1)),
    Shape("mixed"),
    Shape("mixed, no false links", false=0.0),
    Shape("mixed, many false links", false=1.5),
    Shape("mixed, many shared ends", shared=0.5),
    Shape("large", incidents=(3, 6), narratives=(3, 6)),
    Shape("large, links missed", incidents=(3, 6), narratives=(3, 6), found=0.4),
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far found campaigns are from the true ones."""

    precision: float
    recall: float
    f1: float
    omega: float


def invent(shape: Shape, seed: int) -> tuple[list[set[str]], dict[Pair, float]]:
    """Return true campaigns and links with their p."""
    rng = np.random.default_rng([seed, 7])
    sides: list[tuple[list[str], list[str]]] = []
    links: dict[Pair, float] = {}
    for number in range(CAMPAIGNS):
        incidents = [f"i{number}.{at}" for at in range(rng.integers(shape.incidents[0], shape.incidents[1] + 1))]
        narratives = [f"n{number}.{at}" for at in range(rng.integers(shape.narratives[0], shape.narratives[1] + 1))]
        if sides and rng.random() < shape.shared:
            incidents.append(str(rng.choice(sides[-1][0])))
        if sides and rng.random() < shape.shared:
            narratives.append(str(rng.choice(sides[-1][1])))
        sides.append((incidents, narratives))
        kept = {pair for pair in itertools.product(incidents, narratives) if rng.random() < shape.found}
        kept |= {(one, str(rng.choice(narratives))) for one in incidents if all(pair[0] != one for pair in kept)}
        kept |= {(str(rng.choice(incidents)), other) for other in narratives if all(pair[1] != other for pair in kept)}
        links |= {pair: float(rng.uniform(0.5, 1)) for pair in sorted(kept)}
    for number, (incidents, _) in enumerate(sides):
        for _ in range(rng.poisson(shape.false)):
            other = sides[(number + int(rng.integers(1, 4))) % CAMPAIGNS][1]
            links.setdefault((str(rng.choice(incidents)), str(rng.choice(other))), float(rng.uniform(0.5, 0.75)))
    return [{*one, *two} for one, two in sides], links


def communities(links: Mapping[Pair, float], doctrine: Doctrine) -> list[set[str]]:
    """Return what greyzone finds; the links have no dates."""
    pairs = sorted(links)
    none = np.full(len(pairs), np.nan)
    ties = Ties([one for one, _ in pairs], [two for _, two in pairs], np.array([links[pair] for pair in pairs]), none, none)
    found, _ = find_communities(ties, kin=doctrine["campaign.kin"], gap_days=doctrine["campaign.gap_days"])
    return [{*part.incidents, *part.narratives} for part in found]


def components(links: Iterable[Pair]) -> list[set[str]]:
    """Return the connected components."""
    found: dict[str, set[str]] = defaultdict(set)
    for end, root in _roots(links).items():
        found[root].add(end)
    return list(found.values())


def link_clustering(links: Iterable[Pair]) -> list[set[str]]:
    """Return the ends of link communities cut at the largest partition density of a bipartite graph."""
    pairs = sorted(links)
    near: dict[str, set[str]] = defaultdict(set)
    for one, two in pairs:
        near[one].add(two)
        near[two].add(one)
    alike = [
        (len(near[a[k]] & near[b[k]]) / len(near[a[k]] | near[b[k]]), a, b)
        for a, b in itertools.combinations(pairs, 2)
        for k in (0, 1)
        if a[1 - k] == b[1 - k]
    ]
    best, density = [set(pair) for pair in pairs], -1.0
    for cut in sorted({value for value, _, _ in alike}):
        groups: dict[Pair, list[Pair]] = defaultdict(list)
        root = _roots([*((pair, pair) for pair in pairs), *((a, b) for value, a, b in alike if value >= cut)])
        for pair in pairs:
            groups[root[pair]].append(pair)
        held = sum(len(group) * _density(group) for group in groups.values()) / len(pairs)
        if held > density + 1e-12:
            best, density = [{end for pair in group for end in pair} for group in groups.values()], held
    return best


def agreement(truth: Sets, found: Sets) -> Agreement:
    """Compare campaigns as sets of ends."""
    ends = sorted({end for part in (*truth, *found) for end in part})
    true, ours = (_homes(ends, parts) for parts in (truth, found))
    both, told = true @ true.T, ours @ ours.T
    least = np.minimum(both, told)
    precision = _mean(least, told)
    recall = _mean(least, both)
    pairs = np.triu_indices(len(ends), 1)
    a, b = both[pairs].astype(np.int64), told[pairs].astype(np.int64)
    observed = float((a == b).mean())
    most = int(max(a.max(initial=0), b.max(initial=0))) + 1
    expected = float((np.bincount(a, minlength=most) / len(a)) @ (np.bincount(b, minlength=most) / len(b)))
    omega = 1.0 if expected == 1 else (observed - expected) / (1 - expected)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Agreement(precision, recall, f1, omega)


def judge(case: Path, scenario: Path) -> dict[str, Agreement]:
    """Compare the campaigns of a case with the truth of the scenario that it was made of, and what the components of its links give.

    A true campaign is an incident with every found narrative that mostly tells a planted one of a hostile link to it. Ends that are in
    no true campaign count only where a rule puts them into one.
    """
    documents = pq.read_table(case / "documents.parquet", columns=["doc_id", "post_id"])
    truth = pq.read_table(scenario / "truth_documents.parquet", columns=["post_id", "narrative"])
    planted = dict(zip(*(truth[name].to_pylist() for name in ("post_id", "narrative")), strict=True))
    post = dict(zip(*(documents[name].to_pylist() for name in ("doc_id", "post_id")), strict=True))
    held: dict[str, Counter[str | None]] = defaultdict(Counter)
    members = pq.read_table(case / "members.parquet", columns=["doc_id", "narrative_id"])
    for doc, narrative in zip(*(members[name].to_pylist() for name in ("doc_id", "narrative_id")), strict=True):
        if narrative is not None:
            held[narrative][planted.get(post[doc])] += 1
    told = {narrative: name for narrative, counts in held.items() for name, count in counts.items() if 2 * count > counts.total()}
    incidents = pq.read_table(case / "incidents.parquet", columns=["incident_id", "name"]).to_pylist()
    hostile: dict[str, set[str]] = defaultdict(set)
    for row in pq.read_table(scenario / "truth_links.parquet").to_pylist():
        if row["type"] in HOSTILE:
            hostile[row["incident"]].add(row["narrative"])
    true: list[set[str]] = []
    for row in incidents:
        stories = {narrative for narrative, name in told.items() if name in hostile[row["name"]]}
        true += [{row["incident_id"], *stories}] if stories else []
    columns = ["incident_id", "narrative_id", "p", "type"]
    least = load_doctrine()["campaign.link"]
    joined = [
        (row["incident_id"], row["narrative_id"])
        for row in pq.read_table(case / "links.parquet", columns=columns).to_pylist()
        if row["p"] >= least and row["type"] != "reports"
    ]
    found = pq.read_table(case / "campaigns.parquet", columns=["incidents", "narratives"]).to_pylist()
    parts = [{*row["incidents"], *row["narratives"]} for row in found]
    return {"communities": agreement(true, parts), "components": agreement(true, components(joined))}


@dataclass(frozen=True, slots=True)
class Cost:
    """What profiling took: links, campaigns, the links of the largest one, and processor seconds."""

    links: int
    campaigns: int
    largest: int
    seconds: float


def profile_cost(links: int, *, one: bool) -> Cost:
    """Profile many small campaigns of an invented table of links, or `one` in which every incident is tied to every narrative."""
    side = math.isqrt(links - 1) + 1 if one else max(1, links // 2)
    rng = np.random.default_rng(0)
    pairs = [(at // side, at % side) for at in range(links)] if one else [(at // 2, (at // 2 + at % 2) % side) for at in range(links)]
    start = datetime(2024, 1, 1, tzinfo=UTC)
    days = [start + timedelta(days=30 * at / side) for at in range(side)]
    incidents = [
        {"incident_id": f"inc-{at}", "name": f"incident {at}", "onset_lo": day, "onset_hi": day, "target_state": "EE", "credibility": 0.8}
        for at, day in enumerate(days)
    ]
    narratives = [
        {"narrative_id": f"nar-{at}", "label": f"story {at}", "exemplars": [f"doc-{at}"], "onset_lo": day, "last_seen": day}
        for at, day in enumerate(days)
    ]
    rows = [
        {
            "link_id": f"lnk-{a}-{b}",
            "incident_id": f"inc-{a}",
            "narrative_id": f"nar-{b}",
            "type": "exploits",
            "p": p,
            "p_lo": 0.4,
            "p_hi": 1.0,
        }
        for (a, b), p in zip(pairs, rng.uniform(0.5, 1, links).tolist(), strict=True)
    ]
    tables = {
        "incidents": table(incidents, INCIDENTS),
        "narratives": table(narratives, NARRATIVES),
        "members": empty(MEMBERS),
        "groups": empty(GROUPS),
        "links": table([{**row, "lag_days": 1.0, "calibrated": False} for row in rows], LINKS),
        "documents": table([{"doc_id": f"doc-{at}"} for at in range(side)], DOCUMENTS),
    }
    begun = time.process_time()
    found = profile_campaigns(tables, ImpactResult(empty(IMPACT), empty(SHARES)), [], doctrine=load_doctrine()).campaigns
    return Cost(links, found.num_rows, max(map(len, found["links"].to_pylist()), default=0), time.process_time() - begun)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 for arguments that cannot be used."""
    parser = argparse.ArgumentParser(prog="greyzone eval campaigns", description="Measure campaigns on invented graphs, or on a case.")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"graphs of each shape ({SEEDS})")
    parser.add_argument("--case", type=Path, help="a case made of a scenario, instead of invented graphs")
    parser.add_argument("--truth", type=Path, help="CASE: folder of that scenario (greyzone synth)")
    parser.add_argument("--links", type=int, metavar="N", help="profile N invented links instead, and tell the processor seconds")
    given = parser.parse_args(argv)

    def command() -> int:
        if (given.case is None) != (given.truth is None):
            raise InputError("--case without --truth, or the other way round", "both or none")
        if given.links:
            for one in (False, True):
                cost = profile_cost(given.links, one=one)
                told = f"{cost.links} links, {cost.campaigns} campaigns, the largest of {cost.largest} links"
                sys.stdout.write(f"{told}: {cost.seconds:.1f} processor seconds\n")
            return 0
        rows = [("case", judge(given.case, given.truth))] if given.case else list(measure(given.seeds))
        sys.stdout.write(f"{format_rows(rows)}\n")
        return 0

    return run_command(command)


def measure(seeds: int) -> Iterable[tuple[str, dict[str, Agreement]]]:
    """Yield the mean agreement of every rule on each shape."""
    doctrine = load_doctrine()
    rules: dict[str, Callable[[Mapping[Pair, float]], list[set[str]]]] = {
        "communities": lambda links: communities(links, doctrine),
        "components": components,
        "link clustering": link_clustering,
    }
    for shape in SHAPES:
        told = [(truth, links) for truth, links in (invent(shape, seed) for seed in range(seeds))]
        yield shape.name, {name: _average([agreement(truth, rule(links)) for truth, links in told]) for name, rule in rules.items()}


def format_rows(rows: Iterable[tuple[str, Mapping[str, Agreement]]]) -> str:
    """Return a Markdown table."""
    lines = ["| graphs | rule | precision | recall | F1 | omega |", "|---|---|---|---|---|---|"]
    for name, found in rows:
        lines += [
            f"| {name} | {rule} | {value.precision:.2f} | {value.recall:.2f} | {value.f1:.2f} | {value.omega:.2f} |"
            for rule, value in found.items()
        ]
    return "\n".join(lines)


def _average(found: Sequence[Agreement]) -> Agreement:
    return Agreement(*(float(np.mean([getattr(item, name) for item in found])) for name in ("precision", "recall", "f1", "omega")))


def _homes(ends: Sequence[str], parts: Sets) -> Doubles:
    place = {end: row for row, end in enumerate(ends)}
    found = np.zeros((len(ends), max(1, len(parts))))
    for column, part in enumerate(parts):
        found[[place[end] for end in part], column] = 1.0
    return found


def _mean(least: Doubles, whole: Doubles) -> float:
    """Return the mean over ends of the mean over the ends that share a part with it, itself included, of least / whole."""
    shares = np.divide(least, whole, out=np.zeros_like(least), where=whole > 0)
    met = (whole > 0).sum(axis=1)
    rows = met > 0
    return float((shares.sum(axis=1)[rows] / met[rows]).mean()) if rows.any() else 0.0


def _density(group: Sequence[Pair]) -> float:
    a, b = len({one for one, _ in group}), len({two for _, two in group})
    return (len(group) - (a + b - 1)) / (a * b - (a + b - 1)) if a * b > a + b - 1 else 0.0


def _roots(pairs: Iterable[tuple[Thing, Thing]]) -> dict[Thing, Thing]:
    """Return the least thing of the component of each thing."""
    chosen = list(pairs)
    things = sorted({thing for pair in chosen for thing in pair})
    place = {thing: number for number, thing in enumerate(things)}
    roots = joined(len(things), [(place[one], place[other]) for one, other in chosen])
    return {thing: things[root] for thing, root in zip(things, roots.tolist(), strict=True)}
