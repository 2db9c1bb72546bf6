"""What the lexical channel is worth, set by set, and how its rule fares on sets that it was not chosen on.

A set's texts are thinned to `MOST` by their digests, those that share a label with another first, and joined rows are compared with
the encoder alone by the average precision of same-label pairs of `MEASURED` texts. `regret` is what the weight that the rule gives
leaves to the best of `WEIGHTS`. `leave_one_out` chooses the rule's bounds anew without a family of sets and applies them to it.

    python -m greyzone.eval.narratives.lexical --data FOLDER --encoder default --encoder hashed
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError
from greyzone.eval.commands import data_folder, run_command
from greyzone.eval.encoders import sets
from greyzone.eval.metrics import average_precision
from greyzone.eval.scenario.synth import generate
from greyzone.language import detect_languages
from greyzone.lexical import LexicalChoice, join, joined_rows, weigh
from greyzone.models import load_encoder
from greyzone.models.cached import embed_texts
from greyzone.records import Floats

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)

MOST = 4000
"""Texts of a set that are embedded and that the channel is fitted on."""

MEASURED = 1000
"""Texts of those whose pairs are ranked."""

LOSS = 4.0
"""How much dearer than leaving a gain it is to fall below the encoder alone, when bounds are chosen."""

KEYWORD_TEXTS = (2, 100)
"""A keyword of a case title is a label if so many titles have it: rarer ones pair nothing, commoner ones are subjects."""

EUVSDISINFO = "euvsdisinfo_cases_2015_2021.jsonl.gz"

Label = str | int

_BOUNDS = [
    (most, (low, high), (start, end))
    for most, low, high, start, end in product((0.2, 0.3, 0.4, 0.5), (0.02, 0.06, 0.1, 0.14), (0.07, 0.14, 0.17, 0.2, 0.25, 0.3),
                                               (0.0, 0.05, 0.1, 0.15), (0.2, 0.25, 0.3, 0.35, 0.5))
    if low < high and start < end
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """Texts with language and labels; two texts say the same if they share a label. `family` groups cases of one source."""

    family: str
    name: str
    texts: list[str]
    langs: list[str]
    labels: list[frozenset[Label]]


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one case and encoder.

    `curve` is the average precision at each of `WEIGHTS`, `ami` the adjusted mutual information of average linkage, cut to the true
    number of clusters, for the encoder alone and for the chosen rows (None where a text has several labels or none).
    """

    family: str
    name: str
    encoder: str
    curve: tuple[float, ...]
    chosen: float
    lexical_only: float
    choice: LexicalChoice
    ami: tuple[float, float] | None

    @property
    def alone(self) -> float:
        """Average precision of the encoder alone."""
        return self.curve[0]

    @property
    def best(self) -> float:
        """Highest average precision of `WEIGHTS`."""
        return max(self.curve)


def load_cases(folder: Path) -> Iterator[Case]:
    """Yield the cases whose files are in `folder`, and the synthetic scenario, which needs none."""
    for name in ("googlenews", "uci-news", "searchsnippets", "crisislex"):
        if sets.is_there(folder, name):
            found = sets.load_clusters(folder, name)
            langs = detect_languages(found.texts) if name == "crisislex" else ["en"] * len(found.texts)
            yield _thinned(name, name, found.texts, langs, [frozenset([int(label)]) for label in found.labels])
    if sets.is_there(folder, "googlenews"):
        for field in ("title", "snippet"):
            rows = _lines(folder / "googlenews_ts.jsonl.gz")
            yield _thinned(
                *("googlenews", f"googlenews {field}", [row[field] for row in rows], ["en"] * len(rows)),
                [frozenset([row["label"]]) for row in rows],
            )
    yield from _claims(folder)
    if sets.is_there(folder, "semeval2025"):
        told = sets.load_narratives(folder)
        yield _thinned("semeval2025", "semeval2025", told.documents, told.languages, list(told.labels))
    if (folder / EUVSDISINFO).is_file():
        rows = _lines(folder / EUVSDISINFO)
        counts = Counter(word for row in rows for word in set(row["keywords"]))
        low, high = KEYWORD_TEXTS
        labels: list[frozenset[Label]] = [frozenset(word for word in row["keywords"] if low <= counts[word] <= high) for row in rows]
        yield _thinned("euvsdisinfo", "euvsdisinfo", [row["title"] for row in rows], ["en"] * len(rows), labels)
    if sets.is_there(folder, "flores"):
        spoken = sets.load_flores(folder)
        parts = [(lang, place, text) for lang in sets.SEVEN_LANGUAGES for place, text in enumerate(spoken[lang][:500])]
        yield _thinned(
            *("flores", "flores", [text for _, _, text in parts], [lang for lang, _, _ in parts]),
            [frozenset([place]) for _, place, _ in parts],
        )
    posts = list(generate(6000, seed=3))
    stories: list[frozenset[Label]] = [frozenset([post.narrative]) if post.narrative else frozenset() for post in posts]
    yield _thinned("scenario", "scenario", [post.text for post in posts], [post.language for post in posts], stories)


def measure(case: Case, encoder: str, embeddings: Floats) -> Row:
    """Return the figures of `case` with the `embeddings` of its texts."""
    chosen, choice = joined_rows(case.texts, case.langs, embeddings)
    # A second fit only where the first left nothing to read the lexical rows from.
    full = chosen if choice.weight else joined_rows(case.texts, case.langs, embeddings, mode="on")[0]
    lexical = full[:, embeddings.shape[1] :] if full.shape[1] > embeddings.shape[1] else np.zeros((len(embeddings), 1), dtype=np.float32)
    lexical = join(np.zeros((len(lexical), 1), dtype=np.float32), lexical, 1.0)[:, 1:]
    part = slice(0, MEASURED)
    same = _same(case.labels[part])
    curve = tuple(_precision(join(embeddings[part], lexical[part], weight), same) for weight in WEIGHTS)
    alone = np.array([next(iter(found)) if len(found) == 1 else "" for found in case.labels[part]], dtype=object)
    ami = None
    if all(len(found) == 1 for found in case.labels[part]):
        truth = np.unique(alone.astype(str), return_inverse=True)[1].astype(np.int64)
        ami = (_agreement(embeddings[part], truth), _agreement(chosen[part], truth))
    return Row(case.family, case.name, encoder, curve, _precision(chosen[part], same), _precision(lexical[part], same), choice, ami)


def leave_one_out(rows: Sequence[Row]) -> list[float]:
    """Return for each row the average precision under bounds that were chosen on the other families (interpolated in `curve`)."""
    values = np.array([[_at(row, *bounds) for row in rows] for bounds in _BOUNDS])
    best, alone = np.array([row.best for row in rows]), np.array([row.alone for row in rows])
    cost = ((best - values) + LOSS * np.maximum(alone - values, 0.0)) / best
    families = [row.family for row in rows]
    share = np.array([1.0 / families.count(family) for family in families])
    found = np.empty(len(rows))
    for family in sorted(set(families)):
        held = np.array([name == family for name in families])
        kept = int((cost[:, ~held] * share[~held]).sum(axis=1).argmin()) if not held.all() else 0
        found[held] = values[kept, held]
    return found.tolist()


def format_table(rows: Sequence[Row]) -> str:
    """Return the figures as a table to read, and the regrets beneath it."""
    held = leave_one_out(rows)
    head = f"{'set':22s}{'encoder':12s}{'alone':>7s}{'words':>7s}{'equal':>7s}{'best':>7s}{'rule':>7s}{'held':>7s}{'weight':>8s}"
    lines = [head + f"{'captured':>10s}{'agree':>7s}{'cross':>7s}{'close':>7s}   AMI alone, rule"]
    for row, left in zip(rows, held, strict=True):
        choice, marks = row.choice, ""
        if row.ami is not None:
            marks = f"   {row.ami[0]:.3f} {row.ami[1]:.3f}"
        figures = "".join(f"{value:7.3f}" for value in (row.alone, row.lexical_only, row.curve[-1], row.best, row.chosen, left))
        seen = f"{choice.captured or 0:10.3f}{choice.agreement or 0:7.3f}{choice.crossing or 0:7.3f}{choice.closeness or 0:7.3f}"
        lines.append(f"{row.name:22s}{row.encoder[-11:]:12s}{figures}{choice.weight:8.3f}{seen}{marks}")
    for name, values in (
        ("alone", [row.alone for row in rows]),
        ("equal", [row.curve[-1] for row in rows]),
        ("rule", [row.chosen for row in rows]),
        ("held", held),
    ):
        regret = float(np.mean([1.0 - value / row.best for value, row in zip(values, rows, strict=True)]))
        loss = max(row.alone - value for value, row in zip(values, rows, strict=True))
        lines.append(f"{name:6s} mean relative regret {regret:.3f}, largest loss against the encoder alone {loss:.3f}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 for arguments or files that cannot be used."""
    parser = argparse.ArgumentParser(prog="greyzone eval lexical", description="Measure the lexical channel and its rule.")
    parser.add_argument("--data", metavar="FOLDER", help="folder that holds the sets")
    parser.add_argument("--encoder", "-e", action="append", metavar="NAME", help="as for load_encoder; several times (default)")
    parser.add_argument("--set", action="append", metavar="SET", help="measure these alone; several times")
    parser.add_argument("--cache", metavar="FOLDER", help="keep vectors here, so that a second run encodes nothing again")
    given = parser.parse_args(argv)

    def command() -> int:
        cases = [case for case in load_cases(data_folder(given.data)) if not given.set or case.name in given.set]
        if not cases:
            raise InputError(f"no set {', '.join(given.set)}", "sets of the table")
        encoders = [(name, load_encoder(name)) for name in given.encoder or ("default",)]
        rows = []
        for case in cases:
            for name, encoder in encoders:
                rows.append(measure(case, name, embed_texts(case.texts, encoder, cache=Path(given.cache) if given.cache else None)))
                sys.stderr.write(f"{case.name} {name}: {rows[-1].alone:.3f} alone, {rows[-1].chosen:.3f} by the rule\n")
        sys.stdout.write(format_table(rows) + "\n")
        return 0

    return run_command(command)


def _claims(folder: Path) -> Iterator[Case]:
    if sets.is_there(folder, "checkthat"):
        posts = sets.load_claims(folder)
        uses = Counter(place for gold in posts.gold for place in gold)
        several = [row for row, gold in enumerate(posts.gold) if any(uses[place] > 1 for place in gold)]
        for name in ("checkthat", "checkthat en", "checkthat es"):
            rows = several if name == "checkthat" else [row for row, lang in enumerate(posts.languages) if lang == name[-2:]]
            labels: list[frozenset[Label]] = [frozenset(posts.gold[row]) for row in rows]
            yield _thinned("checkthat", name, [posts.queries[row] for row in rows], [posts.languages[row] for row in rows], labels)
    if sets.is_there(folder, "snopes"):
        tweets = sets.load_snopes(folder)
        texts = [*tweets.queries, *tweets.candidates]
        owned: list[frozenset[Label]] = [*map(frozenset, tweets.gold), *(frozenset([place]) for place in range(len(tweets.candidates)))]
        yield _thinned("snopes", "snopes", texts, ["en"] * len(texts), owned)


def _thinned(
    family: str, name: str, texts: Sequence[str], langs: Sequence[str], labels: Sequence[frozenset[int] | frozenset[str] | frozenset[Label]]
) -> Case:
    """Return at most `MOST` distinct texts: those of labels that several have first, each in the order of their digests."""
    rows: dict[str, int] = {}
    for row, text in enumerate(texts):
        if text.strip():
            rows.setdefault(text, row)
    counts = Counter(label for row in rows.values() for label in labels[row])

    def rank(row: int) -> tuple[bool, bytes]:
        digest = hashlib.blake2b(texts[row].encode("utf-8", "surrogatepass"), digest_size=16).digest()
        return not any(counts[label] > 1 for label in labels[row]), digest

    kept = sorted(rows.values(), key=rank)
    if family == "scenario" or all(counts[label] > 1 for row in kept for label in labels[row]):
        kept.sort(key=lambda row: rank(row)[1])
    kept = kept[:MOST]
    return Case(family, name, [texts[row] for row in kept], [langs[row] for row in kept], [frozenset(labels[row]) for row in kept])


def _same(labels: Sequence[frozenset[Label]]) -> npt.NDArray[np.bool_]:
    """Return for each pair of texts, in the order of the upper triangle, whether they share a label."""
    codes = {label: code for code, label in enumerate(sorted({label for found in labels for label in found}, key=str))}
    marks = np.zeros((len(labels), len(codes)), dtype=np.float32)
    for row, found in enumerate(labels):
        marks[row, [codes[label] for label in found]] = 1.0
    return np.asarray((marks @ marks.T)[np.triu_indices(len(labels), 1)] > 0)


def _precision(rows: Floats, same: npt.NDArray[np.bool_]) -> float:
    return average_precision(same, (rows @ rows.T)[np.triu_indices(len(rows), 1)].astype(np.float64))


def _agreement(rows: Floats, truth: npt.NDArray[np.int64]) -> float:
    from scipy.cluster.hierarchy import fcluster, linkage
    from sklearn.metrics import adjusted_mutual_info_score

    distances = np.maximum(1.0 - (rows @ rows.T)[np.triu_indices(len(rows), 1)].astype(np.float64), 0.0)
    found = fcluster(linkage(distances, "average"), len(np.unique(truth)), "maxclust")
    return float(adjusted_mutual_info_score(truth, found))


def _at(row: Row, most: float, supports: tuple[float, float], crossings: tuple[float, float]) -> float:
    """Return the average precision of `row` at the weight of these bounds."""
    choice = row.choice
    if choice.captured is None or choice.agreement is None or choice.crossing is None or choice.closeness is None:
        return row.alone
    weight = weigh(choice.captured * choice.agreement, choice.crossing, choice.closeness, most=most, supports=supports, crossings=crossings)
    return float(np.interp(weight, WEIGHTS, row.curve))


def _lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


if __name__ == "__main__":
    raise SystemExit(main())
