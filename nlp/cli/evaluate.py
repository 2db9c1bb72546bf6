"""``greyzone eval``: the demo scenario against its truth, encoders against data sets, the gate, throughput."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from greyzone.cli.forward import Forwarded, forward
from greyzone.cli.journey import demo_case
from greyzone.cli.options import JsonOption
from greyzone.cli.printing import say

MEASURES = (
    Forwarded(
        "encoders",
        "greyzone.eval.encoders.command",
        "Measure encoders. Similarity, clustering, retrieval within and across languages, speed and memory.",
        "greyzone eval encoders --data ../shared/data -e default -e ./my-model",
    ),
    Forwarded(
        "gate",
        "greyzone.eval.encoders.gate",
        "Fail if a measured figure is below its floor. Floors: eval/encoders/floors.json; only data sets that are there are measured.",
        "greyzone eval gate --data ../shared/data",
    ),
    Forwarded(
        "narratives",
        "greyzone.eval.narratives.command",
        "Measure the clusterer and its rivals. B-cubed, ARI, AMI, noise, stability, time and memory.",
        "greyzone eval narratives --data ../shared/data --set googlenews --rival hdbscan",
    ),
    Forwarded(
        "crosslingual",
        "greyzone.eval.narratives.crosslingual",
        "Measure whether a story in six languages is one narrative. With and without the language taken off.",
        "greyzone eval crosslingual --data ../shared/data -e default",
    ),
    Forwarded(
        "update",
        "greyzone.eval.narratives.growth",
        "Measure a case that grows by days against one go. Agreement, time, ids that last.",
        "greyzone eval update --documents 20000 --days 5",
    ),
    Forwarded(
        "coordination",
        "greyzone.eval.coordination.command",
        "Measure groups of accounts. False ones on organic corpora, planted ones, a known operation against Congress, scale, odd input.",
        "greyzone eval coordination --part null --part planted",
    ),
    Forwarded(
        "campaigns",
        "greyzone.eval.campaigns",
        "Measure how well campaigns are told apart. On invented graphs or on a case of a scenario.",
        "greyzone eval campaigns",
    ),
    Forwarded(
        "exports",
        "greyzone.eval.exports",
        "Measure the STIX export. Time and memory of a bundle of many objects, validity, and whether it comes back equal.",
        "greyzone eval exports --objects 50000",
    ),
    Forwarded(
        "links",
        "greyzone.eval.links.command",
        "Measure links. Tests of time on bursty nulls, invented worlds with a known truth, known operations and hoaxes, scale.",
        "greyzone eval links --part type1 --part synthetic",
    ),
    Forwarded(
        "impact",
        "greyzone.eval.impact.command",
        "Measure the impact score. Axioms, known cases, gradings, doctrines, interval coverage, speed, adversaries and bad input.",
        "greyzone eval impact --part face --part dcid --data ../shared/data",
    ),
    Forwarded(
        "incidents",
        "greyzone.eval.incidents.command",
        "Measure how reports of one event become one incident. On a sample judged by hand and at scale, and bad input.",
        "greyzone eval incidents --data ../shared/data",
    ),
    Forwarded(
        "throughput",
        "greyzone.eval.encoders.throughput",
        "Measure documents a second of transformer models. On this machine's processors or GPU.",
        "greyzone eval throughput --quick",
    ),
    Forwarded(
        "lexical",
        "greyzone.eval.narratives.lexical",
        "Measure what the words of a corpus add to an encoder. And the rule that weighs them.",
        "greyzone eval lexical --data ../shared/data -e default",
    ),
)
"""Measurements that parse their own arguments."""

eval_app = typer.Typer(help="Measure greyzone against known truth.", no_args_is_help=True, rich_markup_mode=None)
for measure in MEASURES:
    forward(eval_app, measure)


@eval_app.command("demo")
def eval_demo(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to keep the scenario and its case; a temporary folder if not given.")
    ] = None,
    documents: Annotated[int, typer.Option("--documents", min=100)] = 5000,
    seeds: Annotated[list[int] | None, typer.Option("--seed", min=0, help="Seed of the scenario; several may be given (0 if not).")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the demo scenario and measure it against its truth.

    Narratives, groups and links.

    Example: greyzone eval demo --seed 0 --seed 1
    """
    import tempfile

    from greyzone.eval.scenario.demo import evaluate, format_figures, to_json

    with tempfile.TemporaryDirectory() as temporary:
        for seed in seeds or [0]:
            folder = (out or Path(temporary)) / (f"seed-{seed}" if len(seeds or [0]) > 1 else "")
            scenario = demo_case(folder, documents, seed, None)
            figures = evaluate(folder / "case", scenario)
            say(to_json(figures) if as_json else f"scenario of {documents} documents, seed {seed}\n{format_figures(figures)}")
