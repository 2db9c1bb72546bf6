"""``greyzone eval narratives``: the clusterer and its rivals on labelled and planted narratives, in quality, speed and memory.

    greyzone eval narratives --data DATA
    greyzone eval narratives --data DATA --set googlenews --rival umap-hdbscan --rival evoc --repeats 3
    greyzone eval narratives --set planted --sizes 50000 200000 1000000 --json
    greyzone eval narratives --data DATA --set uci-news --stability

Every method gets the same rows, each runs in a process of its own, one after the other, on the same number of threads. Figures are
medians over the repeats; where a method has seeds, repeat i has seed i if there is more than one repeat, and none if there is one.
Whatever was not run is named with its reason; the exit code is 1 if a run failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from greyzone.errors import InputError
from greyzone.eval.commands import DATA_VARIABLE, Skipped, aligned, data_folder, run_command
from greyzone.eval.encoders.rivals import Rival, open_rival
from greyzone.eval.narratives.grouping import Figures, score
from greyzone.eval.narratives.rivals import LEVELS, METHODS, OURS, method, versions
from greyzone.eval.narratives.run import Done, Job, run_job
from greyzone.eval.narratives.sets import GIANT, HIDDEN, LABELLED, NAMES, PLANTED, SIZED, SYNTH, NarrativeSet, load_set, missing_files
from greyzone.eval.narratives.stability import Stability, measure_stability
from greyzone.records import Floats

DEFAULT_SETS = (*LABELLED, SYNTH, PLANTED)
DEFAULT_SIZES = {PLANTED: (10_000,), HIDDEN: (50_000,), GIANT: (50_000,)}
"""Documents of the sets that come in any size, where none is asked for."""

DEFAULT_RIVALS = ("hdbscan", "kmeans", "average-link", "average-link-fixed")
"""Rivals for which nothing else must be installed."""

LEXICAL = "+lexical"
VECTORS = "-"
"""Stands for the encoder where a set is vectors."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, and how; `sizes` is empty for those of `DEFAULT_SIZES`, `threads` None for what libraries take."""

    sets: tuple[str, ...] = DEFAULT_SETS
    sizes: tuple[int, ...] = ()
    methods: tuple[str, ...] = (OURS, *DEFAULT_RIVALS)
    encoders: tuple[str, ...] = ("default",)
    lexical: bool = False
    levels: tuple[str, ...] = ("narrative",)
    repeats: int = 1
    threads: int | None = None
    seed: int = 0
    stability: bool = False
    shuffles: int = 3
    subsamples: int = 5


@dataclass(frozen=True, slots=True)
class Result:
    """One method at one level on one set; figures, seconds and MiB are medians over `repeats`, `digest` is of the labels of the first."""

    set: str
    encoder: str
    fingerprint: str
    method: str
    level: str
    documents: int
    narratives: int
    figures: Figures
    digest: str
    seconds: float
    cpu_seconds: float
    peak_mib: float
    repeats: int
    threads: int | None
    seed: int
    stability: tuple[Stability, ...]
    versions: dict[str, str]
    sha256: dict[str, str]


@dataclass(frozen=True, slots=True)
class Failed:
    """A run that ended without labels, and why."""

    set: str
    method: str
    reason: str


Outcome = Result | Skipped | Failed


def measure_narratives(
    folder: Path | None, plan: Plan, *, cache: Path | None = None, report: Callable[[str], None] | None = None
) -> Iterator[Outcome]:
    """Measure every method on every set, and yield what came out as soon as it is there: sets, then encoders, methods, levels.

    Parameters
    ----------
    folder
        Where the files of the sets stand; not needed for sets that are made.
    plan
        What is measured.
    cache
        Folder in which vectors of texts are kept.
    report
        Called with a line after each step.

    Raises
    ------
    InputError
        If a set, method, level or number is of no use, a package is absent, or none of the sets is there.
    """
    _check(plan)
    absent = {name: files for name in plan.sets if (files := missing_files(folder, name))}
    if set(absent) == set(plan.sets):
        raise InputError(f"none of {', '.join(plan.sets)} in {folder}", "the files that docs/data.md names")
    for name, files in absent.items():
        yield Skipped(name, f"no {' or '.join(files)} in {folder}")
    present = [name for name in dict.fromkeys(plan.sets) if name not in absent]
    rivals = [open_rival(name, cache=cache) for name in _encoders(plan)]
    say = report or _silent
    with tempfile.TemporaryDirectory() as temporary:
        job = Job(OURS, Path(temporary) / "rows.npy", Path(temporary) / "truth.npy", threads=plan.threads)
        for name, size in [(one, size) for one in present for size in _sizes(plan, one)]:
            data = load_set(name, folder, size=size, seed=plan.seed)
            np.save(job.truth, data.truth)
            for encoder, fingerprint, rows in _rows_of(data, rivals):
                np.save(job.rows, rows)
                say(f"{data.name}, {encoder}: {len(rows)} rows of {rows.shape[1]}")
                for wanted in _methods(plan, encoder):
                    yield from _outcomes(data, (encoder, fingerprint), replace(job, method=wanted), plan, say)


def format_table(outcomes: Iterable[Outcome], plan: Plan) -> str:
    """Return the results as a Markdown table, their stability as another, and below them what they were measured with."""
    outcomes = list(outcomes)
    results = [outcome for outcome in outcomes if isinstance(outcome, Result)]
    head = ["set", "method", "rows", "B3", "P", "R", "ARI", "AMI", "noise", "taken in", "found", "true", "s", "cpu s", "MiB"]
    lines = aligned([head, *(_cells(result) for result in results)]) if results else []
    steady = [result for result in results if result.stability]
    if steady:
        kinds = list(dict.fromkeys(one.what for result in steady for one in result.stability))
        lines += ["", *aligned([["set", "method", "rows", *kinds, "labels"], *(_steady(result, kinds) for result in steady)])]
    lines += ["", *_growth(results)]
    files = {file: digest for result in results for file, digest in result.sha256.items()}
    lines += [f"{file} sha256 {digest[:16]}" for file, digest in sorted(files.items())]
    made_of = {package: version for result in results for package, version in result.versions.items()}
    lines.append(
        ", ".join([f"Python {platform.python_version()}", *(f"{package} {version}" for package, version in sorted(made_of.items()))])
    )
    lines.append(f"threads {plan.threads or 'as libraries take them'}, repeats {plan.repeats}, seed of made sets {plan.seed}")
    lines += [f"skipped {outcome.set}: {outcome.reason}" for outcome in outcomes if isinstance(outcome, Skipped)]
    lines += [f"failed {outcome.set} {outcome.method}: {outcome.reason}" for outcome in outcomes if isinstance(outcome, Failed)]
    return "\n".join(lines).strip("\n")


def to_json_line(outcome: Outcome) -> str:
    """Return a line of JSON."""
    if isinstance(outcome, Skipped):
        return json.dumps({"set": outcome.set, "skipped": outcome.reason}, sort_keys=True)
    if isinstance(outcome, Failed):
        return json.dumps({"set": outcome.set, "method": outcome.method, "failed": outcome.reason}, sort_keys=True)
    return json.dumps(asdict(outcome), ensure_ascii=False, sort_keys=True)


def growth(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Return the exponent b of seconds = a size^b, by least squares of the logarithms.

    Raises
    ------
    InputError
        If there are fewer than two different sizes.
    """
    if len(set(sizes)) < 2:
        raise InputError(f"{len(set(sizes))} sizes", "two different ones at least")
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, 1 if a run failed, or 2 for arguments or files that cannot be used."""
    given = _parser().parse_args(argv)

    def command() -> int:
        plan = Plan(
            sets=tuple(given.set or DEFAULT_SETS),
            sizes=tuple(given.sizes or ()),
            methods=_chosen(given.rival, ours=not given.no_ours, rivals=not given.no_rivals),
            encoders=tuple(given.encoder or ("default",)),
            lexical=given.lexical,
            levels=tuple(given.level or ("narrative",)),
            repeats=given.repeats,
            threads=given.threads,
            seed=given.seed,
            stability=given.stability,
            shuffles=given.shuffles,
            subsamples=given.subsamples,
        )
        needs = any(missing_files(None, name) for name in plan.sets)
        folder = data_folder(given.data) if needs or given.data else None
        cache = Path(given.cache) if given.cache else None
        outcomes: list[Outcome] = []
        for outcome in measure_narratives(folder, plan, cache=cache, report=_on_stderr):
            outcomes.append(outcome)
            if given.json:
                # At once, so that what was measured outlives an interruption.
                sys.stdout.write(to_json_line(outcome) + "\n")
                sys.stdout.flush()
        if not given.json:
            sys.stdout.write(format_table(outcomes, plan) + "\n")
        return int(any(isinstance(outcome, Failed) for outcome in outcomes))

    return run_command(command)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="greyzone eval narratives", description="Measure the clusterer and its rivals on labelled and planted narratives."
    )
    parser.add_argument("--data", metavar="FOLDER", help=f"folder that holds the sets (or {DATA_VARIABLE}); not needed for made ones")
    parser.add_argument(
        "--set", action="append", metavar="SET", help=f"one of {', '.join(NAMES)}; several times ({', '.join(DEFAULT_SETS)})"
    )
    parser.add_argument(
        "--rival",
        action="append",
        metavar="NAME",
        help=f"one of {', '.join(name for name in METHODS if name != OURS)}; several times ({', '.join(DEFAULT_RIVALS)})",
    )
    parser.add_argument("--no-rivals", action="store_true", help="our clusterer alone")
    parser.add_argument("--no-ours", action="store_true", help="the rivals alone")
    parser.add_argument("--sizes", type=int, nargs="+", metavar="N", help=f"documents of {', '.join(SIZED)}")
    parser.add_argument("--level", action="append", choices=LEVELS, help="of our hierarchy; several times (narrative)")
    parser.add_argument("--encoder", "-e", action="append", metavar="NAME", help="as for greyzone eval encoders; several times (default)")
    parser.add_argument("--lexical", action="store_true", help="measure our clusterer also on rows with the lexical channel, as in a run")
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help="runs of each method, of which medians are given (1)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of every method (what its libraries take)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the sets that are made (0)")
    parser.add_argument("--stability", action="store_true", help="also shuffle rows, change seeds and threads, and take sub-samples")
    parser.add_argument("--shuffles", type=int, default=3, metavar="N", help="orders that --stability tries (3)")
    parser.add_argument("--subsamples", type=int, default=5, metavar="N", help="sub-samples that --stability tries (5)")
    parser.add_argument("--cache", metavar="FOLDER", help="keep vectors of texts here, so that a second run encodes nothing again")
    parser.add_argument("--json", action="store_true", help="one line of JSON a result, as soon as it is measured")
    return parser


def _chosen(named: Sequence[str] | None, *, ours: bool, rivals: bool) -> tuple[str, ...]:
    """Return the methods that were asked for, ours first."""
    found = dict.fromkeys([*((OURS,) if ours else ()), *((DEFAULT_RIVALS if named is None else named) if rivals else ())])
    if not found:
        raise InputError("neither our clusterer nor a rival", "a method to measure")
    return tuple(found)


def _silent(_line: str) -> None:
    """Say nothing."""


def _on_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _check(plan: Plan) -> None:
    for name in plan.sets:
        if name not in NAMES:
            raise InputError(f"set {name!r}", f"one of {', '.join(NAMES)}")
    for name in plan.methods:
        method(name)
    for level in plan.levels:
        if level not in LEVELS:
            raise InputError(f"level {level!r}", f"one of {', '.join(LEVELS)}")
    for what, number, least in (
        ("repeats", plan.repeats, 1),
        ("threads", plan.threads or 1, 1),
        ("shuffles", plan.shuffles, 0),
        ("subsamples", plan.subsamples, 0),
    ):
        if number < least:
            raise InputError(f"{number} {what}", f"at least {least}")


def _sizes(plan: Plan, name: str) -> tuple[int | None, ...]:
    return (plan.sizes or DEFAULT_SIZES[name]) if name in SIZED else (None,)


def _encoders(plan: Plan) -> list[str]:
    names = [*plan.encoders, *(f"{name}{LEXICAL}" for name in plan.encoders if plan.lexical)]
    return list(dict.fromkeys(names))


def _methods(plan: Plan, encoder: str) -> tuple[str, ...]:
    """Return the methods that are run on rows of `encoder`: ours alone where the lexical channel was added for it."""
    if plan.lexical and encoder not in (*plan.encoders, VECTORS):
        return tuple(name for name in plan.methods if name == OURS)
    return plan.methods


def _rows_of(data: NarrativeSet, rivals: Sequence[Rival]) -> Iterator[tuple[str, str, Floats]]:
    """Yield name and fingerprint of each encoder with the rows that every method gets."""
    if data.rows is not None:
        yield VECTORS, VECTORS, data.rows
        return
    for rival in rivals:
        yield rival.name, rival.fingerprint, rival.embed(data.texts)


def _outcomes(data: NarrativeSet, encoder: tuple[str, str], job: Job, plan: Plan, say: Callable[[str], None]) -> Iterator[Outcome]:
    """Run one method as often as planned and yield a result a level."""
    chosen, n = METHODS[job.method], len(data.truth)
    if chosen.limit is not None and n > chosen.limit:
        yield Skipped(f"{data.name}, {job.method}", f"{n} documents, and it is run on at most {chosen.limit}")
        return
    seeds = range(plan.repeats) if chosen.seeded and plan.repeats > 1 else [None] * plan.repeats
    try:
        runs = [run_job(replace(job, seed=seed)) for seed in seeds]
        steady = measure_stability(job, seeded=chosen.seeded, shuffles=plan.shuffles, subsamples=plan.subsamples) if plan.stability else []
        for level, column in _columns(runs[0], plan):
            labels = runs[0].labels if column is None else runs[0].labels[:, column]
            scores = [score(data.truth, run.labels if column is None else run.labels[:, column]) for run in runs]
            result = Result(
                data.name,
                *(*encoder, job.method, level, n, _true(data)),
                figures=_medians(scores),
                digest=hashlib.sha256(np.ascontiguousarray(labels).tobytes()).hexdigest(),
                seconds=median(run.seconds for run in runs),
                cpu_seconds=median(run.cpu_seconds for run in runs),
                peak_mib=median(run.peak_mib for run in runs),
                repeats=plan.repeats,
                threads=plan.threads,
                seed=plan.seed,
                stability=tuple(steady[column or 0]) if steady else (),
                versions=versions(job.method),
                sha256=data.sha256,
            )
            say(f"{data.name}, {' '.join([job.method, level]).strip()}: B3 {result.figures.b3:.3f} in {result.seconds:.1f} s")
            yield result
    except InputError as error:
        say(str(error))
        yield Failed(data.name, job.method, str(error))


def _columns(run: Done, plan: Plan) -> list[tuple[str, int | None]]:
    """Return the levels to measure with their column of the labels; a method without levels has one of no name."""
    if run.labels.ndim == 1:
        return [("", None)]
    return [(level, LEVELS.index(level)) for level in dict.fromkeys(plan.levels)]


def _true(data: NarrativeSet) -> int:
    return data.truth.shape[1] if data.truth.ndim == 2 else len(np.unique(data.truth[data.truth >= 0]))


def _medians(scores: Sequence[Figures]) -> Figures:
    """Return the median of each figure."""
    every = [found.as_dict() for found in scores]
    middle = {name: None if value is None else median(float(found[name] or 0.0) for found in every) for name, value in every[0].items()}
    return Figures(**{**middle, "clusters": int(middle["clusters"] or 0)})  # type: ignore[arg-type]


def _cells(result: Result) -> list[str]:
    found = result.figures
    rates = [found.b3, found.precision, found.recall, found.ari, found.ami, found.noise, found.taken_in]
    named = f"{result.method} {result.level}".strip()
    encoder = "" if result.encoder in (VECTORS, "default") else f" ({result.encoder})"
    return [
        result.set,
        named + encoder,
        f"{result.documents:,}",
        *("" if rate is None else f"{rate:.3f}" for rate in rates),
        f"{found.clusters:,}",
        f"{result.narratives:,}",
        f"{result.seconds:.1f}",
        f"{result.cpu_seconds:.1f}",
        f"{result.peak_mib:,.0f}",
    ]


def _steady(result: Result, kinds: Sequence[str]) -> list[str]:
    found = {one.what: "same bytes" if one.same else f"{one.agreement:.3f}" for one in result.stability}
    return [
        result.set,
        f"{result.method} {result.level}".strip(),
        f"{result.documents:,}",
        *(found.get(kind, "") for kind in kinds),
        result.digest[:16],
    ]


def _growth(results: Sequence[Result]) -> list[str]:
    """Return how the seconds of each method grow over the sizes of a set."""
    lines = []
    groups: dict[tuple[str, str], dict[int, float]] = {}
    for result in results:
        stem = result.set.rsplit("-", 1)[0]
        if stem in SIZED:
            groups.setdefault((stem, result.method), {})[result.documents] = result.seconds
    for (stem, named), seconds in groups.items():
        if len(seconds) > 1:
            power = growth(list(seconds), list(seconds.values()))
            lines.append(f"{stem}: seconds of {named} grow as n^{power:.2f} from {min(seconds):,} to {max(seconds):,}")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
