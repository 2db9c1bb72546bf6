"""``greyzone eval gate``: the embedded encoder may not fall below what it has been shown to reach.

    greyzone eval gate --data DATA
    greyzone eval gate --data DATA --update

`floors.json` holds, by set, the SHA-256 of its files and a floor for each gated figure of each gated encoder. A set that is absent or
has other files is not compared, and that is said; if nothing could be compared, the gate fails as bad input does.

``--update`` raises a floor to the measured value less its margin. It lowers none, and takes no other files for a pinned set, unless
``--allow-lower`` says so. The margin is for what the same vectors may differ by elsewhere: other sums of products in other libraries,
and for k-means another way down from the same start.

The gate measures with the code of ``greyzone eval encoders``, so that the two cannot drift apart.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from greyzone.errors import InputError, StorageError
from greyzone.eval.commands import DATA_VARIABLE, Skipped, data_folder, run_command
from greyzone.eval.encoders import sets
from greyzone.eval.encoders.rivals import Rival, open_rival
from greyzone.eval.encoders.tasks import measure

DEFAULT = "default"
LEXICAL = "default+lexical"

GATED: dict[str, dict[str, tuple[str, ...]]] = {
    "stsb": {DEFAULT: ("Spearman en", "Spearman, mean of 10 others", "Spearman en-xx, mean of 10")},
    "sts": {DEFAULT: ("Spearman, mean of STS12-16", "Spearman sick", "AP of paraphrases msrp")},
    "googlenews": {DEFAULT: ("pair AP",), LEXICAL: ("pair AP",)},
    "uci-news": {DEFAULT: ("pair AP",)},
    "searchsnippets": {DEFAULT: ("pair AP",)},
    "flores": {
        DEFAULT: (
            f"accuracy@1, mean of the {len(sets.BUILT_FOR)} built for",
            *(f"accuracy@1 en~{lang}" for lang in sets.BUILT_FOR),
            *("accuracy@1 ru~uk", "accuracy@1 de~pl", "accuracy@1 ru~de"),
        )
    },
    "mixed": {DEFAULT: ("AMI of 7 languages", "pair AP of 7 languages")},
    "checkthat": {DEFAULT: ("MRR", "recall@10", "held-out half: MRR")},
    "snopes": {DEFAULT: ("MRR", "recall@10")},
    "semeval2025": {DEFAULT: ("MRR", "nearest in its language shares a narrative", "nearest in another language shares a narrative")},
}
"""Set -> encoder -> figures under the gate: those that a user would feel, and that take seconds."""

MARGIN = 0.005
"""Floors stand this much below the measured value."""

KMEANS_MARGIN = 0.02
"""The same for figures of k-means, whose steps amplify rounding."""

Floors = dict[str, dict[str, dict[str, float]]]
"""Set -> encoder -> figure -> floor."""


@dataclass(frozen=True, slots=True)
class FloorFile:
    """What `floors.json` holds: floors, and the SHA-256 of the files that they were measured on, by set."""

    floors: Floors
    sha256: dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Check:
    """A figure and its floor; `floor` is None where none is kept yet, `measured` None where the figure no longer exists."""

    set: str
    encoder: str
    figure: str
    floor: float | None
    measured: float | None

    @property
    def passed(self) -> bool:
        """Whether the figure is there and not below its floor."""
        return self.measured is not None and (self.floor is None or self.measured >= self.floor)


@dataclass(frozen=True, slots=True)
class GateResult:
    """Every comparison that could be made, the sets that were not compared, and the files met."""

    checks: tuple[Check, ...]
    skipped: tuple[Skipped, ...]
    sha256: Mapping[str, Mapping[str, str]]

    @property
    def failures(self) -> tuple[Check, ...]:
        """Figures under their floor."""
        return tuple(check for check in self.checks if not check.passed)


def read_floors(path: Path | None = None) -> FloorFile:
    """Return the packaged floors, or those of `path`.

    Raises
    ------
    InputError
        If the file is absent or is not a file of floors.
    """
    try:
        source = resources.files("greyzone.eval.encoders").joinpath("floors.json") if path is None else path
        stored: dict[str, Any] = json.loads(source.read_text("utf-8"))
        floors = {
            name: {encoder: {figure: float(floor) for figure, floor in kept.items()} for encoder, kept in entry["floors"].items()}
            for name, entry in stored.items()
        }
        return FloorFile(floors, {name: dict(entry["sha256"]) for name, entry in stored.items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path or 'floors.json'} cannot be used ({error!r})", "floors and sha256 by set") from error


def run_gate(
    folder: Path, kept: FloorFile, *, gated: Mapping[str, Mapping[str, Sequence[str]]], accept_other_files: bool = False
) -> GateResult:
    """Measure what is gated on the sets that are in `folder`.

    Parameters
    ----------
    folder
        Where the files of the sets stand.
    kept
        Floors and files to compare with.
    gated
        Set -> encoder -> figures; figures that only `kept` names are compared too.
    accept_other_files
        Also measure sets whose files are not the pinned ones (their floors are compared all the same).

    Raises
    ------
    InputError
        If no set could be compared.
    """
    checks: list[Check] = []
    skipped: list[Skipped] = []
    met: dict[str, dict[str, str]] = {}
    rivals: dict[str, Rival] = {}
    for name in dict.fromkeys([*gated, *kept.floors]):
        if not sets.is_there(folder, name):
            skipped.append(Skipped(name, f"absent from {folder}"))
            continue
        digests = sets.digests(folder, name)
        pinned = kept.sha256.get(name)
        if pinned and pinned != digests and not accept_other_files:
            other = ", ".join(f"{file} is {digests[file][:16]}" for file in digests if pinned.get(file) != digests[file])
            skipped.append(Skipped(name, f"other files than its floors were measured on ({other})"))
            continue
        met[name] = digests
        floors = kept.floors.get(name, {})
        for encoder in dict.fromkeys([*gated.get(name, {}), *floors]):
            if encoder not in rivals:
                rivals[encoder] = open_rival(encoder, device="cpu")
            measured = {figure.name: figure.value for figure in measure(name, folder, rivals[encoder].embed, clustering=False)}
            known = floors.get(encoder, {})
            figures = dict.fromkeys([*gated.get(name, {}).get(encoder, ()), *known])
            checks += [Check(name, encoder, figure, known.get(figure), measured.get(figure)) for figure in figures]
    if not checks:
        raise InputError(f"no set to compare in {folder}", "at least one", "; ".join(f"{item.set}: {item.reason}" for item in skipped))
    return GateResult(tuple(checks), tuple(skipped), met)


def raised(kept: FloorFile, result: GateResult, *, allow_lower: bool = False) -> FloorFile:
    """Return the floors after `result`: higher where it is better, the same where it is not, lower only if allowed.

    Raises
    ------
    InputError
        If a figure is under its floor, no longer exists, or its files are others, and `allow_lower` is not given.
    """
    if not allow_lower:
        refused = [f"{check.figure} of {check.encoder} on {check.set}" for check in result.failures]
        refused += [f"the files of {name}" for name, met in result.sha256.items() if kept.sha256.get(name, met) != met]
        if refused:
            raise InputError(f"{', '.join(refused)}: a floor would be lowered", "none", "give --allow-lower if that is meant")
    floors: Floors = {name: {encoder: dict(found) for encoder, found in entry.items()} for name, entry in kept.floors.items()}
    for check in result.checks:
        entry = floors.setdefault(check.set, {}).setdefault(check.encoder, {})
        if check.measured is None:
            entry.pop(check.figure, None)
            continue
        proposed = proposed_floor(check.figure, check.measured)
        if check.floor is None or proposed > check.floor or not check.passed:
            entry[check.figure] = proposed
    return FloorFile(floors, {**kept.sha256, **{name: dict(met) for name, met in result.sha256.items()}})


def proposed_floor(figure: str, measured: float) -> float:
    """Return the measured value less its margin, rounded down to a thousandth."""
    margin = KMEANS_MARGIN if "AMI" in figure or "ARI" in figure else MARGIN
    return max(0.0, math.floor(round((measured - margin) * 1000, 6)) / 1000)


def write_floors(path: Path, kept: FloorFile) -> None:
    """Write floors to `path`, sets and figures in order.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    content = {name: {"sha256": kept.sha256.get(name, {}), "floors": floors} for name, floors in kept.floors.items()}
    try:
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {path} ({error.strerror or error})", "", "choose another file with --floors") from error


def format_result(result: GateResult) -> str:
    """Return a line a comparison, the failures last, and what was not compared."""
    lines = [_line("ok   " if check.floor is not None else "new  ", check) for check in result.checks if check.passed]
    lines += [_line("UNDER", check) for check in result.failures]
    lines += [f"not compared: {item.set}, {item.reason}" for item in result.skipped]
    lines.append(f"{len(result.checks)} figures on {len(result.sha256)} sets, {len(result.failures)} under their floor")
    return "\n".join(lines)


def to_json(result: GateResult) -> str:
    """Return the result as one line of JSON."""
    content = {
        "checks": [
            {
                "set": check.set,
                "encoder": check.encoder,
                "figure": check.figure,
                "floor": check.floor,
                "measured": check.measured,
                "passed": check.passed,
            }
            for check in result.checks
        ],
        "not_compared": {item.set: item.reason for item in result.skipped},
        "sha256": {name: dict(met) for name, met in result.sha256.items()},
        "passed": not result.failures,
    }
    return json.dumps(content, ensure_ascii=False, sort_keys=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the gate; returns 0 if every figure holds, 1 if one is under its floor, 2 if nothing could be compared."""
    parser = argparse.ArgumentParser(prog="greyzone eval gate", description="Compare the embedded encoder with its floors.")
    parser.add_argument("--data", metavar="FOLDER", help=f"folder that holds the sets (or {DATA_VARIABLE})")
    parser.add_argument("--floors", metavar="FILE", help="file of floors (the packaged one)")
    parser.add_argument("--update", action="store_true", help="raise floors to the measured values less a margin, and pin the files")
    parser.add_argument("--allow-lower", action="store_true", help="with --update: lower floors too, and take other files")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    given = parser.parse_args(argv)
    if given.allow_lower and not given.update:
        parser.error("--allow-lower goes with --update")

    def command() -> int:
        path = Path(given.floors) if given.floors else None
        kept = read_floors(path)
        result = run_gate(data_folder(given.data), kept, gated=GATED, accept_other_files=given.allow_lower)
        sys.stdout.write((to_json(result) if given.json else format_result(result)) + "\n")
        if given.update:
            write_floors(path or _packaged(), raised(kept, result, allow_lower=given.allow_lower))
            return 0
        return 1 if result.failures else 0

    return run_command(command)


def _packaged() -> Path:
    found = resources.files("greyzone.eval.encoders").joinpath("floors.json")
    if not isinstance(found, Path):
        raise InputError(f"the packaged floors in {found}", "an installation in a folder", "name a file with --floors")
    return found


def _line(word: str, check: Check) -> str:
    measured = "absent" if check.measured is None else f"{check.measured:.4f}"
    floor = "none" if check.floor is None else f"{check.floor:.3f}"
    return f"{word} {check.set}: {check.figure}, {check.encoder} {measured}, floor {floor}"


if __name__ == "__main__":
    raise SystemExit(main())
