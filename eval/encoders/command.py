"""``greyzone eval encoders``: encoders side by side on public sets, in quality, speed and memory.

    greyzone eval encoders --data DATA --encoder default --encoder hashed --encoder tfidf-svd
    greyzone eval encoders --data DATA --encoder default+lexical --set googlenews --json

A set that is not in the folder is skipped, and that is said. The SHA-256 of every file stands in the JSON, and by the table in short.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from greyzone.errors import InputError
from greyzone.eval.commands import DATA_VARIABLE, Skipped, aligned, data_folder, run_command
from greyzone.eval.encoders import sets
from greyzone.eval.encoders.footprint import Footprint, footprint, speed_texts
from greyzone.eval.encoders.rivals import TFIDF, is_batch, open_rival
from greyzone.eval.encoders.tasks import Figure, measure

SPEED = "speed"
"""Name of the measurement of speed, cold start and memory among the sets."""

DEFAULT_ENCODERS = ("default", "hashed", TFIDF)


@dataclass(frozen=True, slots=True)
class SetResult:
    """Figures of one encoder on one set; `sha256` by file name, `quick` whether the set was thinned."""

    encoder: str
    fingerprint: str
    set: str
    sha256: Mapping[str, str]
    quick: bool
    figures: tuple[Figure, ...]


def measure_encoders(
    folder: Path,
    encoders: Sequence[str],
    *,
    chosen: Sequence[str] = (),
    quick: bool = False,
    clustering: bool = True,
    device: str = "auto",
    batch_size: int = 64,
    dtype: str = "auto",
    cache: Path | None = None,
    report: Callable[[SetResult, float], None] | None = None,
) -> tuple[list[SetResult], list[Skipped]]:
    """Measure every encoder on every chosen set that is in `folder`.

    Parameters
    ----------
    folder
        Where the files of the sets stand.
    encoders
        Names for `greyzone.eval.encoders.rivals.open_rival`.
    chosen
        Names of sets, `SPEED` among them; all if empty.
    quick
        Thin the sets; see `greyzone.eval.encoders.tasks`.
    clustering
        Also cluster the clustering sets, which takes most of the time there.
    device, batch_size, dtype, cache
        As for `open_rival`. Speed is always taken on one core, without the cache.
    report
        Called with each result, and the seconds that it took, as soon as it is there.

    Returns
    -------
    tuple[list[SetResult], list[Skipped]]
        Results in the order of sets within encoders, and the sets that are not there.

    Raises
    ------
    InputError
        If a set or encoder is unknown, or none of the chosen sets is there.
    """
    names = list(dict.fromkeys(chosen)) or [*sets.SOURCES, SPEED]
    for name in names:
        if name != SPEED:
            sets.source(name)
    if not folder.is_dir():
        raise InputError(f"no folder {folder}", "the folder that holds the sets", f"name it with --data or {DATA_VARIABLE}")
    present, skipped = _present(folder, names)
    rivals = [open_rival(name, device=device, batch_size=batch_size, dtype=dtype, cache=cache) for name in dict.fromkeys(encoders)]
    results = []
    for rival in rivals:
        for name in present:
            begun = time.monotonic()
            if name == SPEED:
                figures = speed_figures(footprint(rival.name, speed_texts(folder), batch=is_batch(rival.name)))
                digests: dict[str, str] = {}
            else:
                figures = measure(name, folder, rival.embed, quick=quick, clustering=clustering)
                digests = sets.digests(folder, name)
            results.append(SetResult(rival.name, rival.fingerprint, name, digests, quick, tuple(figures)))
            if report:
                report(results[-1], time.monotonic() - begun)
    return results, skipped


def speed_figures(found: Footprint) -> list[Figure]:
    """Return a footprint as figures; what was not measured is left out."""
    figures = [
        Figure("short texts/s", found.short_rate),
        Figure("articles/s", found.article_rate),
        Figure("peak MiB while encoding", found.run_mib),
    ]
    if found.cold_start is not None:
        figures.append(Figure("cold start s", found.cold_start))
    if found.start_mib is not None:
        figures.append(Figure("peak MiB after one text", found.start_mib))
    if found.loads_torch is not None:
        figures.append(Figure("loads torch", float(found.loads_torch)))
    return figures


def format_table(results: Iterable[SetResult], skipped: Iterable[Skipped] = (), *, details: bool = False) -> str:
    """Return the results as a Markdown table with one column an encoder, and below it the files and what was skipped."""
    results, skipped = list(results), list(skipped)
    encoders = list(dict.fromkeys(result.encoder for result in results))
    cells: dict[tuple[str, str], dict[str, float]] = {}
    hidden = 0
    for result in results:
        for figure in result.figures:
            if figure.detail and not details:
                hidden += 1
                continue
            cells.setdefault((result.set, figure.name), {})[result.encoder] = figure.value
    rows = [["set", "figure", *(_short(name) for name in encoders)]]
    order = list(dict.fromkeys(result.set for result in results))
    for (name, what), values in sorted(cells.items(), key=lambda item: order.index(item[0][0])):
        rows.append([name, what, *(_number(values.get(encoder)) for encoder in encoders)])
    lines = aligned(rows)
    if any(result.quick for result in results):
        lines.append("Thinned sets (--quick): not to be compared with full ones.")
    if hidden:
        lines.append(f"{hidden} more figures with --details or --json.")
    files = {file: digest for result in results for file, digest in result.sha256.items()}
    lines += [f"{file} sha256 {digest[:16]}" for file, digest in sorted(files.items())]
    lines += [f"skipped {item.set}: {item.reason}" for item in skipped]
    return "\n".join(lines)


def to_json_lines(results: Iterable[SetResult], skipped: Iterable[Skipped] = ()) -> str:
    """Return one line of JSON a result, and one a skipped set."""
    lines = [
        {
            "encoder": result.encoder,
            "fingerprint": result.fingerprint,
            "set": result.set,
            "quick": result.quick,
            "sha256": dict(result.sha256),
            "figures": {figure.name: figure.value for figure in result.figures},
        }
        for result in results
    ]
    lines += [{"set": item.set, "skipped": item.reason} for item in skipped]
    return "\n".join(json.dumps(line, ensure_ascii=False, sort_keys=True) for line in lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 for arguments or files that cannot be used."""
    parser = argparse.ArgumentParser(prog="greyzone eval encoders", description="Measure encoders on the public sets in a folder.")
    parser.add_argument("--data", metavar="FOLDER", help=f"folder that holds the sets (or {DATA_VARIABLE})")
    parser.add_argument(
        *("--encoder", "-e"),
        action="append",
        metavar="NAME",
        help="default, hashed, tfidf-svd, NAME+lexical, NAME+lexical-on, model2vec:MODEL, a folder, or a name on the hub; several times "
        f"(if not given: {', '.join(DEFAULT_ENCODERS)})",
    )
    parser.add_argument("--set", action="append", metavar="SET", help=f"one of {', '.join(sets.SOURCES)}, {SPEED}; several times (all)")
    parser.add_argument("--quick", action="store_true", help="thin the sets: a look in a minute, not for comparison")
    parser.add_argument("--no-clustering", action="store_true", help="no k-means and no linkage, which take most of the time of four sets")
    parser.add_argument("--details", action="store_true", help="show every figure, such as each language")
    parser.add_argument(
        "--json", action="store_true", help="one line of JSON an encoder and set, with every figure, as soon as it is measured"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16, for models that are not embedded")
    parser.add_argument("--cache", metavar="FOLDER", help="keep vectors here, so that a second run encodes nothing again")
    given = parser.parse_args(argv)

    def report(result: SetResult, seconds: float) -> None:
        sys.stderr.write(f"{result.encoder} on {result.set}: {seconds:.1f} s\n")
        if given.json:
            # At once, so that what was measured outlives an interruption.
            sys.stdout.write(to_json_lines([result]) + "\n")
            sys.stdout.flush()

    def command() -> int:
        results, skipped = measure_encoders(
            data_folder(given.data),
            given.encoder or DEFAULT_ENCODERS,
            chosen=given.set or (),
            quick=given.quick,
            clustering=not given.no_clustering,
            device=given.device,
            batch_size=given.batch_size,
            dtype=given.dtype,
            cache=Path(given.cache) if given.cache else None,
            report=report,
        )
        if not given.json:
            sys.stdout.write(format_table(results, skipped, details=given.details) + "\n")
        elif skipped:
            sys.stdout.write(to_json_lines((), skipped) + "\n")
        return 0

    return run_command(command)


def _present(folder: Path, names: Sequence[str]) -> tuple[list[str], list[Skipped]]:
    """Return the names whose files are there, and the others with the reason."""
    present, skipped = [], []
    for name in names:
        if name == SPEED:
            try:
                speed_texts(folder)
            except InputError as error:
                skipped.append(Skipped(name, str(error)))
                continue
        elif not sets.is_there(folder, name):
            missing = [file for file in sets.source(name).files if not (folder / file).is_file()]
            skipped.append(Skipped(name, f"no {' or '.join(missing)} in {folder}"))
            continue
        present.append(name)
    if not present:
        raise InputError(f"none of {', '.join(names)} in {folder}", "the files that docs/data.md names")
    return present, skipped


def _short(name: str) -> str:
    """Return the last part of a path that is no name on the hub, for the head of a column."""
    return "/".join(Path(name).parts[-2:]) if name.count("/") > 1 else name


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"


if __name__ == "__main__":
    raise SystemExit(main())
