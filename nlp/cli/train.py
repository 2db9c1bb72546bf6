"""``greyzone train``: every training is a module with settings of its own, so its arguments go to it as they are."""

from __future__ import annotations

import typer

from greyzone.cli.forward import Forwarded, forward

TRAININGS = (
    Forwarded(
        "distill",
        "greyzone.training.distill",
        "Fit the embedded static encoder to a teacher in closed form.",
        "greyzone train distill --teacher all-MiniLM-L6-v2 --parallel parallel.tsv.xz --out static.safetensors",
    ),
    Forwarded(
        "finetune",
        "greyzone.training.finetune",
        "Fine-tune an encoder on pairs, triplets or labels. Hard negatives are mined.",
        "greyzone train finetune --data pairs.tsv --out my-model",
    ),
    Forwarded(
        "multilingual",
        "greyzone.training.multilingual",
        "Teach an encoder further languages from parallel text.",
        "greyzone train multilingual --data parallel.tsv --teacher ./my-model --out wider-model",
    ),
    Forwarded(
        "techniques",
        "greyzone.training.techniques",
        "Train a classifier of persuasion techniques or narratives. Its thresholds are calibrated.",
        "greyzone train techniques --data paragraphs.jsonl --out my-head",
    ),
    Forwarded(
        "links",
        "greyzone.training.links",
        "Train a calibrated model of links from decisions in cases.",
        "greyzone train links CASE OTHER_CASE --out link-model",
    ),
)
"""Every training: its name, its module with a ``main(argv)``, what it does, an example."""

train_app = typer.Typer(help="Train encoders, classifiers and the calibrated model of links.", no_args_is_help=True, rich_markup_mode=None)
for training in TRAININGS:
    forward(train_app, training)
