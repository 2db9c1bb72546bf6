"""Gives a static encoder words that it lacks, and an ear for words as such, before it is fine-tuned.

A static encoder knows its word pieces and nothing else: a text in a script that it has no pieces for is a zero row, and no training on
such texts can change that. So pieces are learnt from the training texts (WordPiece, with the encoder's own normalising and splitting),
and those that it lacks are added. A new piece starts as the sum of the rows of what it was cut into before, which leaves vectors nearly
as they were.

Rows fitted to a sentence encoder put words of like meaning on top of each other. To find the very claim that a post repeats, it also
counts that the two share a rare name, which is all that TF-IDF looks at. Each row therefore gets a direction of its own, drawn at
random and so nearly orthogonal to all others (Johnson and Lindenstrauss 1984; "random indexing", Kanerva et al. 2000), of the length
``surface * idf * mean norm of the rows``, idf = log((1 + n) / (1 + texts with the piece)) / log(1 + n) over the n training texts. A
row of which nothing was known gets at least 1 for `surface`, since it has no other direction.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError

LEAST_COUNT = 2
"""A piece must stand this often in the training texts: one that stands once can be learnt from no second text."""

_UNKNOWN = "[UNK]"


@dataclass(frozen=True, slots=True)
class Growth:
    """What `grow` did: pieces added, and the share of the training texts' pieces that were unknown before and are now."""

    pieces: int
    unknown_before: float
    unknown_after: float


def grow(model: Any, texts: Sequence[str], *, learn: int, surface: float, seed: int) -> Growth:  # noqa: ANN401 - untyped library
    """Replace the first module of `model` by one with more pieces and turned rows.

    Parameters
    ----------
    model
        A SentenceTransformer whose first module is a StaticEmbedding with a WordPiece tokenizer.
    texts
        Distinct training texts.
    learn
        Size of the vocabulary learnt from `texts`; what the model has of it already is not added again. 0 adds none.
    surface
        Weight of each piece's own direction.
    seed
        Draws the directions.

    Raises
    ------
    InputError
        If the tokenizer is of another kind.
    """
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    old = model[0]
    stated = json.loads(old.tokenizer.to_str())
    if stated["model"]["type"] != "WordPiece":
        raise InputError(f"a static model with a {stated['model']['type']} tokenizer", "WordPiece to learn pieces or a surface for")
    vocabulary: dict[str, int] = stated["model"]["vocab"]
    unknown, mark = stated["model"]["unk_token"], stated["model"]["continuing_subword_prefix"]
    before = _encode(old.tokenizer, texts)
    rows = old.embedding.weight.detach().cpu().numpy().astype(np.float64)
    added = sorted(_learn(old.tokenizer, texts, learn, mark) - set(vocabulary)) if learn else []
    # A piece is cut alone as a word would be, without the mark that says that it continues one.
    bare = Tokenizer.from_str(json.dumps({**stated, "normalizer": None, "pre_tokenizer": None}))
    cuts = [_known(bare.encode(piece.removeprefix(mark), add_special_tokens=False).ids, vocabulary.get(unknown)) for piece in added]
    rows = np.concatenate([rows, np.array([rows[cut].sum(axis=0) for cut in cuts]).reshape(len(added), rows.shape[1])])
    vocabulary.update({piece: place for place, piece in enumerate(added, start=len(vocabulary))})
    tokenizer = Tokenizer.from_str(json.dumps(stated))
    found = _encode(tokenizer, texts)
    weights = _with_surface(rows, _idf(found, len(rows)), surface, seed)
    weights[vocabulary[unknown]] = 0
    model[0] = StaticEmbedding(tokenizer, embedding_weights=weights.astype(np.float32)).to(old.embedding.weight.device)
    return Growth(len(added), _share(before, vocabulary[unknown]), _share(found, vocabulary[unknown]))


def _learn(tokenizer: Any, texts: Sequence[str], size: int, mark: str) -> set[str]:  # noqa: ANN401
    """Return the pieces of a vocabulary of `size` learnt from `texts`."""
    from tokenizers import Tokenizer, models, trainers

    fresh = Tokenizer(models.WordPiece(unk_token=_UNKNOWN, continuing_subword_prefix=mark))
    fresh.normalizer, fresh.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=LEAST_COUNT, special_tokens=[_UNKNOWN], continuing_subword_prefix=mark, show_progress=False
    )
    fresh.train_from_iterator(texts, trainer)
    return set(fresh.get_vocab()) - {_UNKNOWN}


def _with_surface(rows: npt.NDArray[np.float64], idf: npt.NDArray[np.float64], surface: float, seed: int) -> npt.NDArray[np.float64]:
    """Return the rows, each with a direction of its own."""
    norms = np.linalg.norm(rows, axis=1)
    mean = float(norms[norms > 0].mean()) if norms.any() else 1.0
    own = np.random.default_rng(seed).standard_normal(rows.shape)
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    share = np.where(norms > 0, surface, max(surface, 1.0))
    turned: npt.NDArray[np.float64] = rows + (share * idf * mean)[:, None] * own
    return turned


def _idf(found: Sequence[Sequence[int]], size: int) -> npt.NDArray[np.float64]:
    counts = np.zeros(size)
    for ids in found:
        counts[np.unique(np.asarray(ids, dtype=np.int64))] += 1
    weights: npt.NDArray[np.float64] = np.log((1 + len(found)) / (1 + counts)) / np.log(1 + len(found))
    return weights


def _encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:  # noqa: ANN401
    return [found.ids for found in tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def _known(ids: Sequence[int], unknown: int | None) -> list[int]:
    return [place for place in ids if place != unknown]


def _share(found: Sequence[Sequence[int]], unknown: int) -> float:
    total = sum(map(len, found))
    return round(sum(ids.count(unknown) for ids in map(list, found)) / total, 6) if total else 0.0
