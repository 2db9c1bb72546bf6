"""Weights of merging, fitted to the labelled pairs, and what merging finds of pairs that its weights were not fitted to.

::

    python -m greyzone.eval.incidents.fitting --data DATA

Fits the weights of section ``canonical`` to the samples `FITTED` (`greyzone.eval.incidents.merging`), prints them beside those of the
doctrine, and cross-validates: the pairs are split into `FOLDS` parts, pairs that share a report together, and each part is judged by what
merges with the weights that the other parts give.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from greyzone.doctrine import Doctrine, load_doctrine
from greyzone.eval.incidents.merging import fit_merging
from greyzone.eval.incidents.pairs import Labelled, agreement, format_agreements, labelled_pairs, within
from greyzone.eval.incidents.tables import group_of, key_of, published_reports
from greyzone.eval.joined import joined
from greyzone.incidents import canonicalise

FOLDS = 5
FITTED = ("development", "reported", "banded", "late")
"""Samples that the weights are fitted to."""


def fit(reports: pa.Table, pairs: Sequence[Labelled], doctrine: Doctrine) -> dict[str, float]:
    """Fit the weights to labelled pairs, by their keys; "related" ones are not the same event."""
    ids = _ids(reports)
    return fit_merging(reports, {(ids[pair.a], ids[pair.b]): pair.label == "same" for pair in pairs}, doctrine)


def cross_validate(reports: pa.Table, pairs: Sequence[Labelled], doctrine: Doctrine, folds: int = FOLDS) -> list[bool]:
    """Return, for each pair, whether it merges with weights that no pair of its part was used for."""
    ids = _ids(reports)
    part = parts_of(pairs, folds)
    found = [False] * len(pairs)
    for fold in range(folds):
        weights = fit(reports, [pair for pair, at in zip(pairs, part, strict=True) if at != fold], doctrine)
        canonical = canonicalise(reports, doctrine=doctrine.replace(**{f"canonical__{name}": value for name, value in weights.items()}))
        group = group_of(ids.values(), canonical)
        for at, pair in enumerate(pairs):
            if part[at] == fold:
                found[at] = group[ids[pair.a]] == group[ids[pair.b]]
    return found


def parts_of(pairs: Sequence[Labelled], folds: int) -> list[int]:
    """Split pairs into parts of about one size, those that share a report, by whatever chain, into one."""
    keys = sorted({key for pair in pairs for key in (pair.a, pair.b)})
    place = {key: at for at, key in enumerate(keys)}
    lead = joined(len(keys), [(place[pair.a], place[pair.b]) for pair in pairs])
    whole = [int(lead[place[pair.a]]) for pair in pairs]
    sizes = Counter(whole)
    filled = [0] * folds
    part: dict[int, int] = {}
    for group in sorted(sizes, key=lambda group: (-sizes[group], group)):
        part[group] = filled.index(min(filled))
        filled[part[group]] += sizes[group]
    return [part[group] for group in whole]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the fitted weights beside those of the doctrine, and the cross-validated precision and recall."""
    parser = argparse.ArgumentParser(description="Fit the weights of merging to the labelled pairs.")
    parser.add_argument("--data", required=True, type=Path, help="folder of the published tables")
    given = parser.parse_args(argv)
    reports, doctrine = published_reports(given.data), load_doctrine()
    pairs = [pair for pair in labelled_pairs() if pair.sample in FITTED]
    weights = fit(reports, pairs, doctrine)
    lines = ["| weight | fitted | doctrine |", "|---|---|---|"]
    lines += [f"| {name} | {value:.2f} | {doctrine[f'canonical.{name}']:g} |" for name, value in weights.items()]
    found = cross_validate(reports, pairs, doctrine)
    agreements = [agreement(f"{name}, cross-validated", pairs, found, partial(within, name)) for name in FITTED]
    sys.stdout.write("\n".join([*lines, "", *format_agreements(agreements), ""]))
    return 0


def _ids(reports: pa.Table) -> dict[str, str]:
    return {key_of(row): str(row["report_id"]) for row in reports.select(["source", "offset", "report_id"]).to_pylist()}


if __name__ == "__main__":
    raise SystemExit(main())
