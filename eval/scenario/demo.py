"""How far a case is from the truth of the synthetic scenario it was made from.

Rules, chosen so that they cannot flatter:
narratives  B-cubed over documents matched by `post_id`; everyday talk is true singletons, noise found singletons.
groups      a planted group is found if its best match has a Jaccard index of at least one half. A group is flagged if no alternative
            explanation fits it; a flagged group belongs to the confounder, or to nobody, that holds most of its accounts.
links       a planted narrative stands for every found narrative that is mostly made of it, and for the one that holds most of it.
            The best p over them counts for every incident alike; the true incident must lie strictly above every other one.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from greyzone.errors import CaseError, InputError
from greyzone.eval.metrics import BCubed, Recovery, bcubed, group_recovery

FOUND = 0.5
"""Least Jaccard index at which a planted group counts as found."""

HOSTILE = frozenset({"exploits", "enabled-by", "prepares"})
NOBODY = "no cast"


@dataclass(frozen=True, slots=True)
class LinkRank:
    """Rank of a planted link among all incidents; None if the pair got no p. `best_other` is the p of the best other incident."""

    narrative: str
    incident: str
    type: str
    rank: int | None
    p: float | None
    best_other: float | None
    found_type: str | None


@dataclass(frozen=True, slots=True)
class DemoFigures:
    """Figures of one case against its truth. `flagged` counts flagged groups by whose accounts they mostly are."""

    documents: int
    missing_documents: int
    found_narratives: int
    true_narratives: int
    noise_share: float
    bcubed_all: BCubed
    bcubed_narratives: BCubed
    bcubed_languages: Mapping[str, BCubed]
    groups: Mapping[str, Recovery]
    flagged: Mapping[str, int]
    explained: Mapping[str, int]
    links: tuple[LinkRank, ...]

    @property
    def groups_found(self) -> int:
        """Planted groups found, by `FOUND`."""
        return sum(match.jaccard >= FOUND for match in self.groups.values())

    @property
    def confounders_flagged(self) -> int:
        """Flagged groups whose accounts are mostly of a confounder."""
        return sum(count for name, count in self.flagged.items() if name not in ("planted", NOBODY))

    @property
    def links_first(self) -> float:
        """Share of planted links of hostile type ranked above all other incidents."""
        return _first(link for link in self.links if link.type in HOSTILE)

    @property
    def all_links_first(self) -> float:
        """Share of all planted links, press reports among them, ranked above all other incidents."""
        return _first(self.links)


def evaluate(case_folder: str | Path, truth_folder: str | Path) -> DemoFigures:
    """Compare the tables of a case with the truth tables of its scenario.

    Raises
    ------
    InputError
        If a table is missing or unreadable, or no document of the case is one of the scenario's.
    """
    case, truth = Path(case_folder), Path(truth_folder)
    truth_documents = _read(truth, "truth_documents")
    documents = _read(case, "documents", ("doc_id", "post_id"))
    members = _read(case, "members", ("doc_id", "narrative_id"))
    narrative_of = dict(zip(members["doc_id"].to_pylist(), members["narrative_id"].to_pylist(), strict=True))
    place = {post: index for index, post in enumerate(truth_documents["post_id"].to_pylist())}
    pairs = [
        (place[post], narrative_of.get(doc))
        for doc, post in zip(documents["doc_id"].to_pylist(), documents["post_id"].to_pylist(), strict=True)
        if post in place
    ]
    if not pairs:
        raise InputError(f"no document of {case} is one of {truth}", "the case made from this scenario")
    rows = [row for row, _ in pairs]
    found = [narrative for _, narrative in pairs]
    expected = truth_documents["narrative"].take(pa.array(rows)).to_pylist()
    languages = truth_documents["language"].take(pa.array(rows)).to_pylist()
    told = np.array([narrative is not None for narrative in expected])
    spoken = np.array(languages)
    flagged, explained, recovery = _groups(case, truth)
    return DemoFigures(
        documents=len(pairs),
        missing_documents=len(truth_documents) - len(set(rows)),
        found_narratives=len(set(found) - {None}),
        true_narratives=len(set(expected) - {None}),
        noise_share=sum(narrative is None for narrative in found) / len(found),
        bcubed_all=bcubed(expected, found),
        bcubed_narratives=bcubed(expected, found, subset=told),
        bcubed_languages={name: bcubed(expected, found, subset=spoken == name) for name in sorted(set(languages))},
        groups=recovery,
        flagged=flagged,
        explained=explained,
        links=tuple(_links(case, truth, expected, found)),
    )


def format_figures(figures: DemoFigures) -> str:
    """Return the figures as lines to read."""
    lines = [
        f"documents   {figures.documents} compared, {figures.missing_documents} missing, {figures.noise_share:.1%} in no narrative",
        f"narratives  {figures.found_narratives} found, {figures.true_narratives} planted",
        f"B-cubed     all documents {_bcubed(figures.bcubed_all)}; of narratives {_bcubed(figures.bcubed_narratives)}",
        "            F1 by language " + ", ".join(f"{name} {value.f1:.3f}" for name, value in figures.bcubed_languages.items()),
        f"groups      {figures.groups_found} of {len(figures.groups)} planted found, {figures.confounders_flagged} of a confounder flagged",
    ]
    for key, match in figures.groups.items():
        lines.append(f"            {key}: Jaccard {match.jaccard:.2f}, recall {match.recall:.2f}, precision {match.precision:.2f}")
    for word, counts in (("flagged", figures.flagged), ("explained", figures.explained)):
        listed = ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
        lines.append(f"            groups {word}, by whose accounts they are: {listed}")
    hostile = [link for link in figures.links if link.type in HOSTILE]
    lines.append(
        f"links       {figures.links_first:.0%} of {len(hostile)} hostile links and {figures.all_links_first:.0%} of all "
        f"{len(figures.links)} ranked above every other incident"
    )
    for link in figures.links:
        rank = "not listed" if link.rank is None else f"rank {link.rank}, p {link.p:.3f}"
        other = "no other" if link.best_other is None else f"best other {link.best_other:.3f}"
        lines.append(f"            {link.narrative} -> {link.incident}: {rank}, {other}, {link.type} found as {link.found_type}")
    return "\n".join(lines)


def to_json(figures: DemoFigures) -> str:
    """Return the figures as one line of JSON."""
    content: dict[str, Any] = asdict(figures)
    for name in ("groups_found", "confounders_flagged", "links_first", "all_links_first"):
        content[name] = getattr(figures, name)
    return json.dumps(content, ensure_ascii=False, sort_keys=True)


def _read(folder: Path, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    path = folder / f"{name}.parquet"
    try:
        return pq.read_table(path, columns=None if columns is None else list(columns))
    except FileNotFoundError:
        raise CaseError(f"no table {path}", "a finished case and its scenario", "run the case to its end first") from None
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        raise CaseError(f"{path} cannot be read ({error})", f"a Parquet table with {', '.join(columns or ['its columns'])}") from error


def _groups(case: Path, truth: Path) -> tuple[dict[str, int], dict[str, int], dict[str, Recovery]]:
    planted: dict[str, set[str]] = defaultdict(set)
    cast: dict[str, str] = {}
    for row in _read(truth, "truth_groups").to_pylist():
        # An account in two casts counts for the planted one, so that no confounder is blamed for it.
        if cast.get(row["account"]) != "planted":
            cast[row["account"]] = row["kind"]
        if row["kind"] == "planted":
            planted[row["group"]].add(row["account"])
    groups = _read(case, "groups", ("group_id", "accounts", "explanations")).to_pylist()
    flagged, explained = Counter[str](), Counter[str]()
    found: dict[str, set[str]] = {}
    for row in groups:
        owners = Counter(cast.get(account, NOBODY) for account in row["accounts"])
        owner = min(owners, key=lambda name: (-owners[name], name)) if owners else NOBODY
        if any(item["fits"] for item in row["explanations"] or ()):
            explained[owner] += 1
        else:
            flagged[owner] += 1
            found[row["group_id"]] = set(row["accounts"])
    return dict(sorted(flagged.items())), dict(sorted(explained.items())), group_recovery(planted, found)


def _links(case: Path, truth: Path, expected: Sequence[str | None], found: Sequence[str | None]) -> Iterator[LinkRank]:
    stands = _standing_for(expected, found)
    names = _incident_names(case)
    best: dict[tuple[str, str], tuple[float, str]] = {}
    by_narrative: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _read(case, "links", ("incident_id", "narrative_id", "type", "p")).to_pylist():
        by_narrative[row["narrative_id"]].append(row)
    pairs = sorted(_read(truth, "truth_links").to_pylist(), key=lambda row: (row["narrative"], row["incident"]))
    for pair in pairs:
        best = {}
        for narrative in stands.get(pair["narrative"], ()):
            for row in by_narrative[narrative]:
                for name in names.get(row["incident_id"], ()):
                    if row["p"] is not None and row["p"] > best.get((pair["narrative"], name), (-1.0, ""))[0]:
                        best[pair["narrative"], name] = (row["p"], row["type"])
        bound = {other["incident"] for other in pairs if other["narrative"] == pair["narrative"]}
        others = [p for (_, name), (p, _) in best.items() if name not in bound]
        mine = best.get((pair["narrative"], pair["incident"]))
        rank = None if mine is None else 1 + sum(p >= mine[0] for p in others)
        yield LinkRank(
            pair["narrative"],
            pair["incident"],
            pair["type"],
            rank,
            None if mine is None else mine[0],
            max(others, default=None),
            None if mine is None else mine[1],
        )


def _standing_for(expected: Sequence[str | None], found: Sequence[str | None]) -> dict[str, list[str]]:
    cells = Counter(
        (true, narrative) for true, narrative in zip(expected, found, strict=True) if true is not None and narrative is not None
    )
    sizes = Counter(narrative for narrative in found if narrative is not None)
    stands: dict[str, list[str]] = defaultdict(list)
    most: dict[str, tuple[int, str]] = {}
    for (true, narrative), count in sorted(cells.items()):
        if 2 * count > sizes[narrative]:
            stands[true].append(narrative)
        if count > most.get(true, (0, ""))[0]:
            most[true] = (count, narrative)
    for true, (_, narrative) in most.items():
        if narrative not in stands[true]:
            stands[true].append(narrative)
    return dict(stands)


def _incident_names(case: Path) -> dict[str, set[str]]:
    """Return the names each canonical incident goes by: its own, and those of the reports merged into it."""
    reports: dict[str, str] = {}
    if (case / "reports.parquet").exists():
        table = _read(case, "reports", ("report_id", "name"))
        reports = dict(zip(table["report_id"].to_pylist(), table["name"].to_pylist(), strict=True))
    incidents = _read(case, "incidents", ("incident_id", "name", "reports")).to_pylist()
    return {
        row["incident_id"]: {row["name"], *(reports[report] for report in row["reports"] or () if report in reports)} for row in incidents
    }


def _first(links: Iterator[LinkRank] | Sequence[LinkRank]) -> float:
    ranks = [link.rank for link in links]
    return sum(rank == 1 for rank in ranks) / len(ranks) if ranks else float("nan")


def _bcubed(value: BCubed) -> str:
    return f"P {value.precision:.3f} R {value.recall:.3f} F1 {value.f1:.3f}"
