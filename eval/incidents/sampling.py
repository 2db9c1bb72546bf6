"""How the pairs of the labelled sample were drawn: wide candidates, strata of a score of their own, known weights.

The score has nothing of the stage's: tf-idf cosine of all words of two reports (name and description), plus `STATE` for a shared target
state, `ACTOR` for a shared actor's name and `DATE` exp(-gap / 30 days) for the nearest dates of any kind. Candidates are, for each report
and each other source, the `NEAREST` reports of highest score whose dates (onset and disclosure together, a year and a half before a lone
disclosure) lie at most `APART` days apart or are unknown, so that the drawing meets pairs that the stage's blocking loses.

Pairs fall into strata by source pair, by whether each is the other's nearest ("m") or not ("n"), and by the bounds `BOUNDS` of the score;
up to `DRAWN` pairs of each are drawn, and a pair weighs (pairs of its stratum) / (pairs drawn of it). In these strata some pairs stand
for hundreds. The third sample ("banded") was drawn from all candidates that the first two had left, once the stage was fixed, by what the
stage says of them (`band_of`): merged, listed for a person, possible (posterior `POSSIBLE`), and of the rest each other's nearest or
not; `BANDED` pairs of each. The fourth ("late") was drawn in the same way, `LATE` pairs of each band, when the stage had been changed
and fixed again, from all that no other holds; and so was the fifth ("fresh"), `FRESH` pairs, when the weights had been fitted to the other
four. Such weights are as unbiased and far more even, since pairs of one event are rare where the
stage sees none. ::

    python -m greyzone.eval.incidents.sampling --data DATA > pairs.tsv     # what is to be judged, with names and dates
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer

from greyzone.doctrine import load_doctrine
from greyzone.eval.incidents.pairs import labelled_pairs
from greyzone.eval.incidents.tables import group_of, key_of, published_reports, table_of
from greyzone.incidents import canonicalise
from greyzone.records import Canonical
from greyzone.text import fold

NEAREST, APART = 3, 120
STATE, ACTOR, DATE = 0.15, 0.2, 0.2
BOUNDS = (0.25, 0.35, 0.45, 0.55, 0.7)
DRAWN = {
    "development": {"m": (2, 4, 5, 6, 5, 4), "n": (1, 1, 3, 2, 2, 2)},
    "reported": {"m": (0, 1, 2, 3, 4, 4), "n": (0, 0, 1, 1, 1, 1)},
}
"""Pairs drawn of a source pair by sample and stratum, lowest score first."""

BANDED = {"merged": 70, "listed": 60, "possible": 80, "nearest": 70, "rest": 130}
LATE = {"merged": 60, "listed": 30, "possible": 30, "nearest": 12, "rest": 8}
FRESH = {"merged": 80, "listed": 60, "possible": 100, "nearest": 30, "rest": 20}
"""Pairs drawn of each band of the third, fourth and fifth sample."""

POSSIBLE = 0.05
"""Posterior from which a pair that is not listed is possible."""

_BEFORE = timedelta(days=548)
Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pair of reports of two sources, by their keys, with its score and stratum ("cfr-eurepoc/m3") and its weight if drawn."""

    a: str
    b: str
    score: float
    stratum: str
    weight: float = 0.0


def candidates(rows: Sequence[Row]) -> list[Candidate]:
    """Return all candidates of the sample, ordered by keys."""
    ordered = sorted(rows, key=key_of)
    keys = [key_of(row) for row in ordered]
    texts = [f"{row['name']} {row['description']}" for row in ordered]
    words = TfidfVectorizer(sublinear_tf=True, stop_words="english").fit_transform(texts)
    spans = [_span(row) for row in ordered]
    lows, highs = (np.array([span[side] for span in spans]) for side in (0, 1))
    states = _holdings([frozenset(map(str, row["target_states"] or [])) for row in ordered])  # type: ignore[call-overload]
    actors = _holdings([_actors(row) for row in ordered])
    sources = np.array([table_of(row) for row in ordered])
    found: dict[tuple[int, int], float] = {}
    nearest: set[tuple[int, int]] = set()
    for source in sorted(set(sources)):
        mine = np.flatnonzero(sources == source)
        for other in sorted(set(sources) - {source}):
            theirs = np.flatnonzero(sources == other)
            for start in range(0, len(mine), 256):
                block = mine[start : start + 256]
                score = (words[block] @ words[theirs].T).toarray()
                gap = np.maximum(lows[block][:, None] - highs[theirs][None, :], lows[theirs][None, :] - highs[block][:, None])
                score += STATE * ((states[block] @ states[theirs].T) > 0) + ACTOR * ((actors[block] @ actors[theirs].T) > 0)
                score += DATE * np.where(np.isnan(gap), 0.0, np.exp(-np.maximum(np.nan_to_num(gap), 0.0) / 30))
                score[np.nan_to_num(gap) > APART] = -1.0
                for at, row in zip(block, score, strict=True):
                    for rank, place in enumerate(np.argsort(-row, kind="stable")[:NEAREST]):
                        if row[place] > 0:
                            pair = (int(at), int(theirs[place]))
                            found[min(pair), max(pair)] = float(row[place])
                            nearest |= {pair} if rank == 0 else set()
    return [
        Candidate(
            keys[a],
            keys[b],
            score,
            f"{sources[a]}-{sources[b]}/{'m' if {(a, b), (b, a)} <= nearest else 'n'}{sum(score >= bound for bound in BOUNDS)}",
        )
        for (a, b), score in sorted(found.items())
    ]


def draw(pairs: Sequence[Candidate]) -> dict[str, list[Candidate]]:
    """Return the drawn pairs of both samples with their weights: the second one from what the first one left."""
    first = _drawn(pairs, "development", 0)
    taken = {(pair.a, pair.b) for pair in first}
    return {"development": first, "reported": _drawn([pair for pair in pairs if (pair.a, pair.b) not in taken], "reported", 1)}


def draw_banded(
    pairs: Sequence[Candidate], rows: Sequence[Row], canonical: Canonical, *, number: Mapping[str, int] = BANDED, seed: int = 2
) -> list[Candidate]:
    """Return a sample of `number` pairs of each band, by what `canonical`, logged from `POSSIBLE` on, says of them."""
    by_key = {key_of(row): str(row["report_id"]) for row in rows}
    group = group_of(list(by_key.values()), canonical)
    posterior = {(str(row["report_a"]), str(row["report_b"])): float(row["posterior"]) for row in canonical.merges.to_pylist()}
    listed_from = load_doctrine()["canonical.review"]

    def band_of(pair: Candidate) -> str:
        one, other = sorted((by_key[pair.a], by_key[pair.b]))
        if group[one] == group[other]:
            return "merged"
        reached = posterior.get((one, other), 0.0)
        if reached >= POSSIBLE:
            return "listed" if reached >= listed_from else "possible"
        return "nearest" if pair.stratum.rsplit("/", 1)[1][0] == "m" else "rest"

    bands: dict[str, list[Candidate]] = defaultdict(list)
    for pair in pairs:
        bands[band_of(pair)].append(pair)
    drawn: list[Candidate] = []
    for band, listed in sorted(bands.items()):
        listed.sort(key=lambda pair: hashlib.sha256(f"{seed} {pair.a} {pair.b}".encode()).digest())
        taken = listed[: number[band]]
        drawn += [Candidate(pair.a, pair.b, pair.score, f"any/{band}", len(listed) / len(taken)) for pair in taken]
    return drawn


def _drawn(pairs: Sequence[Candidate], sample: str, seed: int) -> list[Candidate]:
    """Draw within each stratum the pairs of least hash of seed and keys, so that no order matters."""
    strata: dict[str, list[Candidate]] = defaultdict(list)
    for pair in pairs:
        strata[pair.stratum].append(pair)
    drawn: list[Candidate] = []
    for stratum, listed in sorted(strata.items()):
        listed.sort(key=lambda pair: hashlib.sha256(f"{seed} {pair.a} {pair.b}".encode()).digest())
        kind = stratum.rsplit("/", 1)[1]
        taken = listed[: DRAWN[sample][kind[0]][int(kind[1])]]
        drawn += [Candidate(pair.a, pair.b, pair.score, stratum, len(listed) / len(taken)) for pair in taken]
    return drawn


def _span(row: Row) -> tuple[float, float]:
    """Return the first and last day on which the event may have begun or become public; NaN where nothing dates it."""
    dates = [row[key] for key in ("onset_lo", "onset_hi", "disclosed_lo", "disclosed_hi")]
    known = [value for value in dates if isinstance(value, datetime)]
    if not known:
        return float("nan"), float("nan")
    first = min(known) - (_BEFORE if row["onset_lo"] is None else timedelta())
    return first.timestamp() / 86_400, max(known).timestamp() / 86_400


def _actors(row: Row) -> frozenset[str]:
    listed: list[dict[str, str]] = list(row["entities"] or [])  # type: ignore[call-overload]
    return frozenset(fold(item["value"]) for item in listed if item["kind"] == "actor")


def _holdings(sets: Sequence[frozenset[str]]) -> npt.NDArray[np.float32]:
    place = {value: at for at, value in enumerate(sorted({value for held in sets for value in held}))}
    table = np.zeros((len(sets), max(len(place), 1)), dtype=np.float32)
    for at, held in enumerate(sets):
        table[at, [place[value] for value in held]] = 1.0
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Print new pairs, by bands, as a table of tab-separated values: keys, stratum, score, weight, and what they are judged by."""
    parser = argparse.ArgumentParser(description="Draw the pairs of the labelled sample of incidents.")
    parser.add_argument("--data", required=True, type=Path, help="folder of the published tables")
    parser.add_argument("--seed", type=int, default=5, help="seed of the drawing (5)")
    given = parser.parse_args(argv)
    reports = published_reports(given.data)
    rows = reports.to_pylist()
    by_key = {key_of(row): row for row in rows}
    pairs = candidates(rows)
    taken = {(pair.a, pair.b) for pair in labelled_pairs()}
    canonical = canonicalise(reports, doctrine=load_doctrine().replace(canonical__review=POSSIBLE))
    left = [pair for pair in pairs if (pair.a, pair.b) not in taken]
    for pair in draw_banded(left, rows, canonical, number=FRESH, seed=given.seed):
        told = [_told(by_key[key]) for key in (pair.a, pair.b)]
        sys.stdout.write("\t".join([pair.a, pair.b, pair.stratum, f"{pair.score:.3f}", f"{pair.weight:.4f}", *told]) + "\n")
    return 0


def _told(row: Row) -> str:
    dates = [str(row[key])[:10] for key in ("onset_lo", "onset_hi", "disclosed_lo", "disclosed_hi")]
    states: list[str] = list(row["target_states"] or [])  # type: ignore[call-overload]
    return (
        f"[{dates[0]}..{dates[1]} public {dates[2]}..{dates[3]}] {','.join(states[:6])} | {row['name']} | {str(row['description'])[:200]}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
