"""Gives a static encoder words that it lacks, and an ear for words as such, before it is fine-tuned.

A static encoder knows its word pieces and nothing else: a text in a script that it has no pieces for is a zero row, and no training on
such texts can change that. So pieces are learnt from the training texts (byte-pair merges, with the encoder's own normalising and
splitting), and those that it lacks are added. A new piece starts as the sum of the rows of what it was cut into before, which leaves
vectors nearly as they were.

Rows fitted to a sentence encoder put words of like meaning on top of each other. To find the very claim that a post repeats, it also
counts that the two share a rare name, which is all that TF-IDF looks at. Each row therefore gets a direction of its own, drawn at
random and so nearly orthogonal to all others (Johnson and Lindenstrauss 1984; "random indexing", Kanerva et al. 2000), of the length
``surface * idf * mean norm of the rows``, idf = log((1 + n) / (1 + texts with the piece)) / log(1 + n) over the n training texts. A
row of which nothing was known gets at least 1 for `surface`, since it has no other direction.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError

LEAST_COUNT = 2
"""A piece must stand this often in the training texts: one that stands once can be learnt from no second text."""


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
    added = [piece for piece in learn_pieces(_words(old.tokenizer, texts), learn, mark) if piece not in vocabulary] if learn else []
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


def learn_pieces(words: Mapping[str, int], size: int, mark: str = "##") -> list[str]:
    """Return word pieces by merging the most frequent neighbours again and again (Sennrich, Haddow and Birch, ACL 2016).

    The trainers of the `tokenizers` library break ties by the order of a hash table, so that two runs differ, and a run that is resumed
    must not. Here the pair that sorts first wins.

    Parameters
    ----------
    words
        How often each word stands in the texts.
    size
        Pieces at most; fewer if no pair is left that stands `LEAST_COUNT` times. Single signs come first and are all kept.
    mark
        Beginning of a piece that continues a word.

    Examples
    --------
    >>> learn_pieces({"abc": 5, "bc": 4}, 9)
    ['##b', '##c', 'a', 'b', '##bc', 'abc', 'bc']
    """
    cut = [[word[0], *(mark + sign for sign in word[1:])] for word in sorted(words)]
    counts = [words[word] for word in sorted(words)]
    pieces = dict.fromkeys(sorted({piece for word in cut for piece in word}))
    weight: Counter[tuple[str, str]] = Counter()
    places: dict[tuple[str, str], set[int]] = {}
    for place, word in enumerate(cut):
        for pair in pairwise(word):
            weight[pair] += counts[place]
            places.setdefault(pair, set()).add(place)
    heap = [(-count, pair) for pair, count in weight.items()]
    heapify(heap)
    while heap and len(pieces) < size:
        count, pair = heappop(heap)
        if -count != weight[pair]:
            continue
        if -count < LEAST_COUNT:
            break
        merged = pair[0] + pair[1].removeprefix(mark)
        pieces[merged] = None
        changed: set[tuple[str, str]] = set()
        for place in sorted(places.pop(pair)):
            old, new = cut[place], _merge(cut[place], pair, merged)
            for one, sign in ((old, -1), (new, 1)):
                for met in pairwise(one):
                    weight[met] += sign * counts[place]
                    changed.add(met)
            for met in pairwise(new):
                places.setdefault(met, set()).add(place)
            cut[place] = new
        for met in changed:
            if weight[met] > 0:
                heappush(heap, (-weight[met], met))
    return list(pieces)


def _merge(word: list[str], pair: tuple[str, str], merged: str) -> list[str]:
    found: list[str] = []
    place = 0
    while place < len(word):
        if tuple(word[place : place + 2]) == pair:
            found.append(merged)
            place += 2
        else:
            found.append(word[place])
            place += 1
    return found


def _words(tokenizer: Any, texts: Sequence[str]) -> Counter[str]:  # noqa: ANN401
    """Return how often each word stands in `texts`, normalised and split as the tokenizer does."""
    found: Counter[str] = Counter()
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
        found.update([word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal)] if tokenizer.pre_tokenizer else [normal])
    found.pop("", None)
    return found


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
