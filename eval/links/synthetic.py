"""Part `synthetic`: links of invented worlds against their truth, by the rule without labels and by a model fitted on other worlds.

Asked: average precision (AP) of .90 over all pairs of incident and narrative (a pair that is not listed counts as p = 0), less without any
one kind of evidence (in the mean over worlds: where no pair shares an artefact, artefacts decide nothing); expected calibration error of
at most .05 over the pairs that are listed; realised false discovery rate of the list at q <= .10 of at most .12; the placebo precision no
larger than the true one in 95 % of the worlds.

What the listed pairs do not show, the evidence of all candidates, is read from a second run with a model that lists every pair. The
calibrated model is fitted by `greyzone.training.links` to the listed pairs of other worlds, as reviewers would have been shown them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.doctrine import Doctrine, load_doctrine
from greyzone.errors import InputError
from greyzone.eval.commands import aligned
from greyzone.eval.links.worlds import Setting, World, make_world
from greyzone.eval.metrics import average_precision, ece
from greyzone.link import link
from greyzone.models import load_encoder
from greyzone.models.links import Beta, Fit, LinkModel, raw_log_odds, sigmoid
from greyzone.records import LINK_TYPES, LLRS
from greyzone.training.link_data import LabelledLinks
from greyzone.training.links import Rule, train

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

ASKED_AP, ASKED_ECE, ASKED_FDR, ASKED_BELOW = 0.90, 0.05, 1.2, 0.95
LIKELY = 0.5
BINS = 10
RESAMPLES = 10_000
"""Bootstraps behind the interval of a mean over worlds."""
TRAINING_SEED = 100_000
"""Worlds to fit on have seeds from here on, those to measure on below."""

EVERYTHING = LinkModel(Fit((1.0,) * len(LLRS), 1e3, Beta(1.0, 1.0, 0.0)), (), {})
"""Lists every candidate."""

Pair = tuple[str, str]
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cut:
    """A list cut somewhere: pairs, true ones, and the placebo's estimate of their share (None where there is none)."""

    pairs: int
    true: int
    estimate: float | None


@dataclass(frozen=True, slots=True)
class Judged:
    """One world.

    `ap` is the AP of the list, `without` and `alone` those of all candidates without each kind of evidence and by it alone ("" for all of
    them); `p`, `calibrated` and `truth` are of the listed pairs; `cuts` by name; `types` counts "true type, or none/listed type";
    `found` the p of every linked pair (0 if not listed) with what is special of it; `false` the likely false pairs by kind of story;
    `artefacts` counts the linked pairs that share one.
    """

    setting: str
    seed: int
    incidents: int
    narratives: int
    candidates: int
    linked: int
    ap: float
    ap_calibrated: float
    without: dict[str, float]
    alone: dict[str, float]
    p: Doubles
    calibrated: Doubles
    truth: Flags
    cuts: dict[str, Cut]
    types: dict[str, int]
    found: list[tuple[float, str, str, str]]
    false: dict[str, int]
    artefacts: int


def measure_synthetic(setting: Setting, runs: int, seed: int, say: Callable[[str], None], *, training: int = 12) -> Iterator[Judged]:
    """Yield `runs` worlds of a setting, judged; `training` other worlds serve to fit the model."""
    if seed + runs > TRAINING_SEED:
        raise InputError(f"seeds up to {seed + runs}", f"at most {TRAINING_SEED}", "worlds beyond are those that the model is fitted on")
    doctrine, encoder = load_doctrine(), load_encoder("default")
    model = _fitted([make_world(setting, TRAINING_SEED + number, encoder) for number in range(training)], doctrine)
    say(f"{setting.name}: model fitted on {training} worlds, weights {', '.join(f'{w:.2f}' for w in model.central.weights)}")
    for number in range(seed, seed + runs):
        yield judge_world(make_world(setting, number, encoder), model, doctrine, setting=setting.name, seed=number)
        if (number - seed + 1) % 10 == 0:
            say(f"{setting.name}: {number - seed + 1} of {runs} worlds")


def judge_world(world: World, model: LinkModel, doctrine: Doctrine, *, setting: str, seed: int) -> Judged:
    """Link a world and judge the list."""
    listed, context = _listed(world, doctrine, None)
    pairs, features = _evidence(world, doctrine)
    every = [(i, n) for i in world.incidents["incident_id"].to_pylist() for n in world.narratives["narrative_id"].to_pylist()]
    relevant = np.array([pair in world.truth for pair in every], dtype=bool)

    def ap(scores: Mapping[Pair, float]) -> float:
        # Pairs that are no candidates rank below all others, together.
        return average_precision(relevant, [scores.get(pair, -1e9) for pair in every])

    rule = Rule.of_doctrine()
    weight = np.full(len(LLRS), rule.rho)
    scored = {
        name: dict(zip(pairs, raw_log_odds(features, (weight * kept).tolist(), rule.prior).tolist(), strict=True))
        for name, kept in _masks()
    }
    truth = np.array([(row["incident_id"], row["narrative_id"]) in world.truth for row in listed], dtype=bool)
    p = np.array([row["p"] for row in listed], dtype=np.float64)
    at = {pair: place for place, pair in enumerate(pairs)}
    rows = [at[(row["incident_id"], row["narrative_id"])] for row in listed]
    found = {(row["incident_id"], row["narrative_id"]): row["p"] for row in listed}
    by_model = sigmoid(model.central.log_odds(features))
    return Judged(
        setting,
        seed,
        world.incidents.num_rows,
        world.narratives.num_rows,
        int(context["pairs_candidate"]),
        len(world.truth),
        ap(found),
        ap(dict(zip(pairs, by_model.tolist(), strict=True))),
        {name: ap(scored[f"-{name}"]) for name in LLRS} | {"": ap(scored[""])},
        {name: ap(scored[f"+{name}"]) for name in LLRS},
        p,
        by_model[rows],
        truth,
        _cuts(listed, truth, doctrine),
        dict(Counter(_types_of(world, row) for row in listed)),
        [(found.get(pair, 0.0), kind, *world.strata[pair]) for pair, kind in sorted(world.truth.items())],
        dict(Counter(world.kinds[row["narrative_id"]] for row, true in zip(listed, truth, strict=True) if row["p"] >= LIKELY and not true)),
        sum(pair in world.truth and nats > 0 for pair, nats in zip(pairs, features[:, LLRS.index("artefact")].tolist(), strict=True)),
    )


def _types_of(world: World, row: Row) -> str:
    true = world.truth.get((str(row["incident_id"]), str(row["narrative_id"])), "none")
    return f"{true}/{row['type']}"


def _masks() -> list[tuple[str, Doubles]]:
    one = np.eye(len(LLRS))
    named = [(f"+{name}", one[at]) for at, name in enumerate(LLRS)]
    return [("", np.ones(len(LLRS))), *named, *((f"-{name}", 1.0 - one[at]) for at, name in enumerate(LLRS))]


def _listed(world: World, doctrine: Doctrine, model: LinkModel | None) -> tuple[list[Row], Row]:
    result = link(
        world.incidents,
        world.narratives,
        world.members,
        world.documents,
        incident_vectors=world.incident_vectors,
        narrative_vectors=world.narrative_vectors,
        coordinated=world.coordinated,
        doctrine=doctrine,
        model=model,
    )
    return result.links.to_pylist(), result.context


def _evidence(world: World, doctrine: Doctrine) -> tuple[list[Pair], Doubles]:
    """Return all candidate pairs and their (n, kinds) log-likelihood ratios, nan where there is no data."""
    rows, _ = _listed(world, doctrine, EVERYTHING)
    features = [[row[f"llr_{name}"] for name in LLRS] for row in rows]
    return [(row["incident_id"], row["narrative_id"]) for row in rows], np.array(features, dtype=np.float64).reshape(len(rows), len(LLRS))


def _fitted(worlds: Sequence[World], doctrine: Doctrine) -> LinkModel:
    rows: list[tuple[str, tuple[float, ...], bool]] = []
    for number, world in enumerate(worlds):
        for row in _listed(world, doctrine, None)[0]:
            values = tuple(float("nan") if row[f"llr_{name}"] is None else float(row[f"llr_{name}"]) for name in LLRS)
            rows.append((f"{number}-{row['narrative_id']}", values, (row["incident_id"], row["narrative_id"]) in world.truth))
    return train(LabelledLinks.of(rows, {}, ("invented worlds",)), replicates=0)


def _cuts(listed: Sequence[Row], truth: Flags, doctrine: Doctrine) -> dict[str, Cut]:
    level = doctrine["link.fdr"]
    chosen = {
        f"q <= {level:.2f}": [row["q"] is not None and row["q"] <= level for row in listed],
        f"p >= {LIKELY}": [row["p"] >= LIKELY for row in listed],
        "all listed": [True] * len(listed),
    }
    found = {}
    for name, marks in chosen.items():
        rows = np.flatnonzero(np.array(marks, dtype=bool))
        # The list is sorted by log-odds: the estimate of the last row is that of the list down to it.
        estimate = listed[int(rows[-1])]["placebo_precision"] if len(rows) else None
        found[name] = Cut(len(rows), int(truth[rows].sum()), None if estimate is None else float(estimate))
    return found


def format_synthetic(runs: Sequence[Judged]) -> str:
    """Return the tables of one setting."""
    first = runs[0]
    sizes = [
        f"{np.median([getattr(run, name) for run in runs]):,.0f} {name}" for name in ("incidents", "narratives", "candidates", "linked")
    ]
    lines = [["figure", "median", "range", "asked"], *_figures(runs)]
    ablated = [["evidence", "AP without it", "mean change (95 %)", "worlds where lower", "AP by it alone"]]
    for name in LLRS:
        told = _lowered(runs, name)
        if name == "artefact":
            held = [run for run in runs if run.artefacts]
            told += f"; {_lowered(held, name)} where a linked pair shares one ({sum(run.artefacts for run in held)} pairs)"
        alone, without = (_middle([found[name] for found in side]) for side in ([run.alone for run in runs], [run.without for run in runs]))
        ablated.append([name, without, _change(runs, name), told, alone])
    ablated.append(["all", _middle([run.without[""] for run in runs]), "", "", ""])
    parts = [f"{first.setting}: {len(runs)} worlds of {', '.join(sizes)} (medians)", *aligned(lines), "", *aligned(ablated)]
    return "\n".join([*parts, "", *aligned(_bins(runs)), "", *aligned(_strata(runs)), "", *aligned(_types(runs)), "", _blamed(runs)])


def _change(runs: Sequence[Judged], name: str) -> str:
    """Return the mean change of the AP without a kind of evidence, with the 95 % interval of a bootstrap over worlds, each with itself."""
    change = np.array([run.without[name] - run.without[""] for run in runs])
    drawn = np.random.default_rng(0).integers(len(change), size=(RESAMPLES, len(change)))
    low, high = np.quantile(change[drawn].mean(axis=1), (0.025, 0.975))
    return f"{change.mean():+.4f} [{low:+.4f}, {high:+.4f}]"


def _lowered(runs: Sequence[Judged], name: str) -> str:
    """Return in how many worlds the AP is lower without a kind of evidence, and in how many the same."""
    change = [run.without[name] - run.without[""] for run in runs]
    return f"{sum(gain < 0 for gain in change)} of {len(runs)}, {sum(gain == 0 for gain in change)} equal"


def _figures(runs: Sequence[Judged]) -> list[list[str]]:
    truth = np.concatenate([run.truth for run in runs])
    rows = [
        ["AP of the list, rule without labels", _middle([run.ap for run in runs]), _range([run.ap for run in runs]), f">= {ASKED_AP}"],
        [
            "AP of all candidates, fitted model",
            _middle([run.ap_calibrated for run in runs]),
            _range([run.ap_calibrated for run in runs]),
            "",
        ],
    ]
    for name, values in (("rule", [run.p for run in runs]), ("fitted model", [run.calibrated for run in runs])):
        each = [ece(run.truth, value) for run, value in zip(runs, values, strict=True)]
        pooled = ece(truth, np.concatenate(values))
        rows.append([f"ECE of listed pairs, {name} (all worlds together {pooled:.3f})", _middle(each), _range(each), f"<= {ASKED_ECE}"])
    for name in runs[0].cuts:
        cuts = [run.cuts[name] for run in runs]
        rates = [1.0 - cut.true / cut.pairs if cut.pairs else 0.0 for cut in cuts]
        level = load_doctrine()["link.fdr"]
        asked = f"mean <= {ASKED_FDR * level:.2f}" if name.startswith("q") else ""
        error = np.std(rates) / np.sqrt(len(rates))
        told = f"{np.median([cut.pairs for cut in cuts]):.0f} pairs, mean of the rates {np.mean(rates):.3f} ± {error:.3f}"
        rows.append([f"false share at {name} ({told})", _middle(rates), _range(rates), asked])
        known = [cut for cut in cuts if cut.pairs and cut.estimate is not None]
        below = sum(float(cut.estimate or 0.0) <= cut.true / cut.pairs + 1e-12 for cut in known)
        shares = [float(cut.estimate or 0.0) for cut in known]
        rows.append(
            [
                f"placebo precision at {name} (no larger than the truth in {below} of {len(known)})",
                _middle(shares),
                _range(shares),
                f">= {ASKED_BELOW:.0%} of worlds",
            ]
        )
    return rows


def _bins(runs: Sequence[Judged]) -> list[list[str]]:
    truth = np.concatenate([run.truth for run in runs])
    head = ["p of listed pairs", "pairs", "mean p", "linked"]
    lines = [[*head, *(f"{name}, model" for name in head[1:])]]
    sides = [np.concatenate([run.p for run in runs]), np.concatenate([run.calibrated for run in runs])]
    for low in range(BINS):
        cells = []
        for values in sides:
            inside = np.minimum((values * BINS).astype(np.int64), BINS - 1) == low
            cells += [str(int(inside.sum())), *((f"{part[inside].mean():.3f}" if inside.any() else "-") for part in (values, truth))]
        lines.append([f"{low / BINS:.1f} to {(low + 1) / BINS:.1f}", *cells])
    return lines


def _strata(runs: Sequence[Judged]) -> list[list[str]]:
    """Return what became of the linked pairs by the precision of the incident's date, its disclosure and the kind of story."""
    lines = [["linked pairs of", "pairs", "listed", f"p >= {LIKELY}", "median p"]]
    pairs = [pair for run in runs for pair in run.found]
    for column in (2, 3, 1):
        for name in sorted({pair[column] for pair in pairs}):
            p = [float(pair[0]) for pair in pairs if pair[column] == name]
            lines.append(
                [
                    str(name),
                    str(len(p)),
                    f"{np.mean([x > 0 for x in p]):.2f}",
                    f"{np.mean([x >= LIKELY for x in p]):.2f}",
                    f"{np.median(p):.2f}",
                ]
            )
    return lines


def _types(runs: Sequence[Judged]) -> list[list[str]]:
    total = sum((Counter(run.types) for run in runs), Counter[str]())
    lines = [["true type of listed pairs", *LINK_TYPES]]
    return [*lines, *([name, *(str(total[f"{name}/{found}"]) for found in LINK_TYPES)] for name in (*LINK_TYPES[:4], "none"))]


def _blamed(runs: Sequence[Judged]) -> str:
    total = sum((Counter(run.false) for run in runs), Counter[str]())
    told = ", ".join(f"{name} {count}" for name, count in sorted(total.items(), key=lambda item: (-item[1], item[0]))) or "none"
    return f"stories of false pairs with p >= {LIKELY}: {told}"


def _middle(values: Sequence[float]) -> str:
    return f"{np.median(values):.3f}"


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.3f} to {max(values):.3f}"
