"""Contrastive fine-tuning of an encoder on texts that are known to belong together.

Pairs, triplets and labelled texts train with InfoNCE in both directions, in which no text of an anchor's own group is ever a negative
(`greyzone.training.losses`), with hard negatives mined among the neighbours if wanted (`greyzone.training.mining`); scored pairs train
with CoSENT (Su 2022), which asks only that pairs are ordered as their scores are. Either is taken over several prefixes of the vector
if `matryoshka` names their lengths (Kusupati et al., NeurIPS 2022), so that a vector cut there still serves.

What is measured is retrieval: the mean reciprocal rank of the nearest right text among all texts that stand as a positive, or Spearman's
correlation for scored pairs. It is taken before and after, on groups held back from training, which choose the checkpoint, and on
`test` data, which choose nothing.

`keep` mixes the start weights into the result, w = keep w_start + (1 - keep) w_trained (WiSE-FT, Wortsman et al., CVPR 2022): what is
lost elsewhere by fine-tuning comes back faster than what was gained goes.

Run: ``python -m greyzone.training.finetune --data pairs.jsonl --out model``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from greyzone.errors import InputError
from greyzone.eval.encoders.retrieval import spearman
from greyzone.records import Floats
from greyzone.training.card import card, record_of
from greyzone.training.growth import Growth, grow
from greyzone.training.losses import NO_TEXT, ranking_loss
from greyzone.training.mining import MiningSettings, mine_hard_negatives, reciprocal_ranks
from greyzone.training.options import named, run_command
from greyzone.training.pairs import Examples, read_examples, split
from greyzone.training.running import (
    RunSettings,
    Start,
    begin,
    check_settings,
    encode,
    finish,
    load_start,
    readable,
)
from greyzone.training.trainer import Trained, train

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneSettings(RunSettings):
    """Settings of `finetune`.

    Attributes
    ----------
    data
        Files to train on: .jsonl, .csv, .tsv (also .gz or .xz), .parquet, or folders of datasets' save_to_disk.
    test
        Files of the same kind that the model is measured on before and after; nothing is chosen by them.
    base
        Model to start from: default, a folder, or a name on the hub.
    kind
        triplets, pairs, scored, labelled, or auto for the first whose columns are there.
    columns
        Names of columns where they differ from anchor, positive, negative, s1, s2, score, text, label: anchor=post positive=claim.
    scale
        Inverse temperature of the softmax.
    hard_negatives
        Hard negatives mined for each row.
    relative, absolute
        A hard negative's cosine is at most this share of the positive's, and at least this much below it.
    matryoshka
        Lengths that a vector may be cut to, the model's own among them; none trains the whole length only.
    keep
        Share of the start weights in the result, 0 to 1.
    learn_pieces
        Size of the vocabulary learnt from the training texts; what a static model lacks of it is added. 0 adds nothing.
    surface
        Weight of a direction of its own for each piece of a static model, so that texts that share rare words meet; 0 gives none.
    """

    data: tuple[Path, ...]
    test: tuple[Path, ...] = ()
    base: str = "default"
    kind: str = "auto"
    columns: tuple[str, ...] = ()
    scale: float = 20.0
    hard_negatives: int = 0
    relative: float = 0.95
    absolute: float = 0.0
    matryoshka: tuple[int, ...] = ()
    keep: float = 0.0
    learn_pieces: int = 0
    surface: float = 0.0


@dataclass(frozen=True, slots=True)
class FinetuneResult:
    """What fine-tuning did.

    Attributes
    ----------
    folder
        The model.
    kind, rows, groups
        What was trained on: kind of data, rows, and groups (claims, labels).
    unreadable
        Rows left out of training because the model knows nothing of one of their texts (`learn_pieces` can mend that).
    validation, test
        ``{figure: [before, after]}`` on held-back groups and on the test files; empty where there are none.
    growth
        Pieces added and the share of unknown ones before and after, where a static model was grown.
    mined
        What became of the (query, candidate) pairs in mining.
    trained
        Steps, epochs, checkpoint kept, history.
    seconds
        Wall time of the whole.
    """

    folder: Path
    kind: str
    rows: int
    groups: int
    unreadable: int
    validation: dict[str, list[float]]
    test: dict[str, list[float]]
    growth: Growth | None
    mined: dict[str, int]
    trained: Trained
    seconds: float


def finetune(settings: FinetuneSettings) -> FinetuneResult:
    """Fine-tune `settings.base` on `settings.data` and write the model to `settings.out`.

    A run that was killed goes on from its last checkpoint when it is started again with the same settings.

    Raises
    ------
    InputError
        If a setting is out of range, the data cannot be used, or a run with other settings was begun towards the same folder.
    EncoderError
        If the model cannot be found or trained.
    """
    started = time.monotonic()
    check_settings(settings)
    _check(settings)
    examples = read_examples(settings.data, kind=settings.kind, columns=named(settings.columns), seed=settings.seed)
    rows, held = split(examples, settings.evaluation_share, seed=settings.seed)
    tested = read_examples(settings.test, kind=examples.kind, columns=named(settings.columns)) if settings.test else None
    start = load_start(settings.base, settings)
    _check_lengths(settings, start, rows)
    facts = {"base": start.fingerprint, "data": [source.sha256 for source in examples.sources]}
    folder = begin(settings, facts)
    before = _figures(start.model, held, tested, rows)
    growth = _grow(start, rows, settings)
    rows, unreadable = _readable(start, rows)
    mined: dict[str, int] = {}
    if settings.hard_negatives and rows.kind != "scored":
        rows, mined = with_hard_negatives(rows, encode(start.model, rows.texts), settings)
    initial = {name: weight.detach().cpu().clone() for name, weight in start.model.state_dict().items()} if settings.keep else {}
    trained = train(
        start,
        _columns(rows),
        _loss(start.model, rows.kind, settings),
        settings,
        folder,
        figure=(lambda: _figure(start.model, held)) if len(held) else None,
    )
    _mix(start.model, initial, settings.keep)
    after = _figures(start.model, held, tested, rows)
    joined = {part: {name: [before[part][name], value] for name, value in found.items()} for part, found in after.items()}
    n_groups = len(np.unique(rows.groups[rows.anchors]))
    record = record_of(start, settings, growth, trained) | {
        "data": [asdict(source) for source in examples.sources],
        "test_data": [asdict(source) for source in tested.sources] if tested else [],
        "rows": {"training": len(rows), "validation": len(held), "groups": n_groups, "unreadable": unreadable},
        "figures": joined,
        "mined": mined,
    }
    finish(start, settings, folder, card=card("fine-tuned", settings, record), record=record)
    return FinetuneResult(
        folder=settings.out,
        kind=rows.kind,
        rows=len(rows),
        groups=n_groups,
        unreadable=unreadable,
        validation=joined.get("validation", {}),
        test=joined.get("test", {}),
        growth=growth,
        mined=mined,
        trained=trained,
        seconds=round(time.monotonic() - started, 1),
    )


def with_hard_negatives(rows: Examples, vectors: Floats, settings: FinetuneSettings) -> tuple[Examples, dict[str, int]]:
    """Return the rows with mined negatives behind those that they have, and the counts of `Mined`.

    Parameters
    ----------
    rows
        Pairs, triplets or labelled texts.
    vectors
        (len(rows.texts), d) float32 unit rows.
    settings
        How many, and how far from the positive.
    """
    pool = rows.candidates
    found = mine_hard_negatives(
        vectors[rows.anchors],
        vectors[pool],
        np.searchsorted(pool, rows.positives),
        rows.groups[rows.anchors],
        rows.groups[pool],
        settings=MiningSettings(settings.hard_negatives, settings.relative, settings.absolute),
    )
    mined = np.where(found.negatives >= 0, pool[found.negatives], -1)
    return replace(rows, negatives=np.concatenate([rows.negatives, mined], axis=1)), found.counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Fine-tune from the command line: one JSON line on stdout, exit code 2 for input that cannot be used."""
    return run_command(
        FinetuneSettings,
        finetune,
        arguments,
        prog="greyzone train finetune",
        description="Fine-tune an encoder on texts that belong together.",
    )


def _check(settings: FinetuneSettings) -> None:
    if not 0 < settings.scale <= 1000:
        raise InputError(f"scale {settings.scale:g}", "above 0, at most 1000")
    if settings.hard_negatives < 0:
        raise InputError(f"hard_negatives {settings.hard_negatives}", "0 or more")
    if not 0 <= settings.keep < 1:
        raise InputError(f"keep {settings.keep:g}", "0 up to but not 1")
    if settings.learn_pieces < 0 or not 0 <= settings.surface <= 100:
        raise InputError(f"learn_pieces {settings.learn_pieces}, surface {settings.surface:g}", "0 or more, surface at most 100")


def _check_lengths(settings: FinetuneSettings, start: Start, rows: Examples) -> None:
    dimensions = start.dimensions
    if (settings.learn_pieces or settings.surface) and not start.static:
        raise InputError(f"learn_pieces or surface for {start.name}", "a static model", "a transformer has its own vocabulary")
    if any(not 1 <= length <= dimensions for length in settings.matryoshka):
        raise InputError(f"matryoshka {' '.join(map(str, settings.matryoshka))}", f"lengths up to the model's {dimensions}")
    if settings.matryoshka and 1 + rows.negatives.shape[1] + settings.hard_negatives == dimensions:
        # MatryoshkaLoss would take labels of this width for target vectors and cut them.
        raise InputError(f"{dimensions - 1} negatives a row for vectors of {dimensions}", "another number of negatives")


def _grow(start: Start, rows: Examples, settings: FinetuneSettings) -> Growth | None:
    """Grow a static model by the training texts, if that is wanted."""
    if not settings.learn_pieces and not settings.surface:
        return None
    used = np.unique(np.concatenate([rows.anchors, rows.positives]))
    texts = [rows.texts[place] for place in used]
    return grow(start.model, texts, learn=settings.learn_pieces, surface=settings.surface, seed=settings.seed)


def _readable(start: Start, rows: Examples) -> tuple[Examples, int]:
    """Return the rows that a static model can read, and the number of the others.

    A zero vector has no direction to be turned in: its gradient would be the largest of the batch and, clipped, stop all others.
    """
    if not start.static:
        return rows, 0
    known = readable(start.model, rows.texts)
    kept = known[rows.anchors] & known[rows.positives]
    if not kept.any():
        raise InputError(
            f"{len(rows)} rows of texts that {start.name} knows nothing of", "its languages", "--learn-pieces adds what it lacks"
        )
    if not kept.all():
        logger.warning("%d of %d rows left out: %s knows nothing of a text of theirs", (~kept).sum(), len(rows), start.name)
    negatives = np.where((rows.negatives >= 0) & known[rows.negatives], rows.negatives, -1)[kept]
    found = replace(rows, anchors=rows.anchors[kept], positives=rows.positives[kept], negatives=negatives, scores=rows.scores[kept])
    return found, int((~kept).sum())


def _columns(rows: Examples) -> dict[str, list[Any]]:
    """Return the columns that the Trainer reads; a row with fewer negatives than others is filled up with an empty text."""
    columns: dict[str, list[Any]] = {
        "anchor": [rows.texts[place] for place in rows.anchors],
        "positive": [rows.texts[place] for place in rows.positives],
    }
    if rows.kind == "scored":
        return columns | {"label": rows.scores.tolist()}
    for number, places in enumerate(rows.negatives.T, 1):
        columns[f"negative_{number}"] = [rows.texts[place] if place >= 0 else "" for place in places]
    labels = np.where(rows.negatives >= 0, rows.groups[rows.negatives], NO_TEXT)
    return columns | {"label": np.concatenate([rows.groups[rows.anchors][:, None], labels], axis=1).tolist()}


def _loss(model: Any, kind: str, settings: FinetuneSettings) -> Any:  # noqa: ANN401 - sentence-transformers has no types
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss, MatryoshkaLoss

    loss = CoSENTLoss(model, scale=settings.scale) if kind == "scored" else ranking_loss(model, scale=settings.scale)
    return MatryoshkaLoss(model, loss, sorted(set(settings.matryoshka), reverse=True)) if settings.matryoshka else loss


def _figures(model: Any, held: Examples, tested: Examples | None, rows: Examples) -> dict[str, dict[str, float]]:  # noqa: ANN401
    """Return the figures on the held-back groups and on the test data, there also among the positives of training."""
    found: dict[str, dict[str, float]] = {}
    name = "spearman" if held.kind == "scored" else "mrr"
    if len(held):
        found["validation"] = {name: _figure(model, held)}
    if tested is not None:
        found["test"] = {name: _figure(model, tested)}
        if tested.kind != "scored":
            others = sorted({rows.texts[place] for place in rows.positives} - set(tested.texts))
            found["test"]["mrr_among_training_too"] = _figure(model, tested, others)
    return {part: {key: round(value, 6) for key, value in figures.items()} for part, figures in found.items()}


def _figure(model: Any, examples: Examples, others: Sequence[str] = ()) -> float:  # noqa: ANN401
    """Return the mean reciprocal rank, or Spearman's correlation for scored pairs; `others` are further candidates."""
    vectors = encode(model, [*examples.texts, *others])
    if examples.kind == "scored":
        return spearman(np.einsum("ij,ij->i", vectors[examples.anchors], vectors[examples.positives]), examples.scores)
    further = np.arange(len(examples.texts), len(vectors))
    groups = np.concatenate([examples.groups, -1 - further])
    queries = np.unique(examples.anchors)
    return float(reciprocal_ranks(vectors, queries, np.concatenate([examples.candidates, further]), groups).mean())


def _mix(model: Any, initial: dict[str, Any], keep: float) -> None:  # noqa: ANN401
    """Move the floating-point weights of `model` towards `initial` by the share `keep`."""
    if keep:
        weights = model.state_dict()
        model.load_state_dict(
            {
                name: weight.lerp(initial[name].to(weight), keep) if weight.is_floating_point() else weight
                for name, weight in weights.items()
            }
        )


if __name__ == "__main__":
    raise SystemExit(main())
