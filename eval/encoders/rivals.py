"""What an encoder is compared with, by name, each as a function from a batch of texts to unit rows.

``tfidf-svd``        TF-IDF and truncated SVD (LSA) fitted on the batch: what anybody has without a model.
``NAME+lexical``     encoder NAME with greyzone's lexical channel fitted on the batch and weighed by its rule, as in a run: languages
                     are detected, no label is seen.
``NAME+lexical-on``  the same at its full weight, whatever the rule says.
``model2vec:MODEL``  a model2vec distillation of MODEL as it comes, made on the spot; needs ``model2vec[distill]``, which pulls in older
                     versions of transformers: keep it in an environment of its own (docs/method/evaluation.md), save the result
                     there and give its folder here.
anything else        what `greyzone.models.load_encoder` makes of it: default, hashed, a folder, a name on the hub.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from greyzone.errors import EncoderError, InputError
from greyzone.eval.encoders.tasks import Embed
from greyzone.language import detect_languages
from greyzone.models import EMBEDDED, load_encoder
from greyzone.models.cached import embed_texts
from greyzone.records import Floats

TFIDF = "tfidf-svd"
LEXICAL: dict[str, Literal["auto", "on"]] = {"+lexical": "auto", "+lexical-on": "on"}
"""What is added to a name, and the mode of `greyzone.lexical.joined_rows` that it stands for."""

MODEL2VEC = "model2vec:"

COMPONENTS = 256
"""Dimensions of the SVD, as many as the embedded encoder has."""


@dataclass(frozen=True, slots=True)
class Rival:
    """A way to embed a batch: its name as given, the function, and a digest that changes with its vectors."""

    name: str
    embed: Embed
    fingerprint: str


def open_rival(name: str, *, device: str = "auto", batch_size: int = 64, dtype: str = "auto", cache: Path | None = None) -> Rival:
    """Return the rival called `name`.

    Parameters
    ----------
    name
        See the head of this file.
    device, batch_size, dtype
        As for `load_encoder`; of no meaning for what comes with greyzone or is fitted on the batch.
    cache
        Folder in which vectors of encoders are kept; None keeps none.

    Raises
    ------
    EncoderError
        If it cannot be found or loaded.
    """
    if name == TFIDF:
        return Rival(name, tfidf_svd, f"{TFIDF}-{COMPONENTS}")
    if name.startswith(MODEL2VEC):
        return _model2vec(name)
    base, ending = _split(name)
    encoder = load_encoder(base, device=device, batch_size=batch_size, dtype="auto" if base in EMBEDDED else dtype)

    def embed(texts: Sequence[str]) -> Floats:
        return embed_texts(texts, encoder, cache=cache)

    if not ending:
        return Rival(name, embed, encoder.fingerprint)

    def with_lexical(texts: Sequence[str]) -> Floats:
        from greyzone.lexical import joined_rows

        return joined_rows(texts, detect_languages(texts), embed(texts), mode=LEXICAL[ending])[0]

    return Rival(name, with_lexical, f"{encoder.fingerprint}{ending}")


def tfidf_svd(texts: Sequence[str]) -> Floats:
    """Return TF-IDF (sublinear, words of two characters on) reduced by truncated SVD; rows of norm 1, zero rows without words.

    Raises
    ------
    InputError
        If the texts have fewer than three different words between them.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        bags = TfidfVectorizer(sublinear_tf=True, dtype=np.float32).fit_transform(texts)
    except ValueError as error:
        raise InputError(f"{len(texts)} texts that TF-IDF cannot use ({error})", "texts with words") from error
    width = min(COMPONENTS, bags.shape[1] - 1, bags.shape[0])
    if width < 2:
        raise InputError(f"{bags.shape[0]} texts with {bags.shape[1]} different words", "three words at least")
    rows = TruncatedSVD(width, random_state=0).fit_transform(bags).astype(np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    known = np.asarray(bags.getnnz(axis=1) > 0)[:, None] & (norms > 1e-12)
    return np.asarray(np.where(known, rows / np.where(known, norms, 1), 0), dtype=np.float32)


def is_batch(name: str) -> bool:
    """Return whether `name` is fitted on the batch that it embeds, so that it has no start of its own."""
    return name == TFIDF or bool(_split(name)[1]) or name.startswith(MODEL2VEC)


def _split(name: str) -> tuple[str, str]:
    """Return the name of the encoder, and the ending that asks for the lexical channel, if any."""
    for ending in LEXICAL:
        if name.endswith(ending):
            return name.removesuffix(ending), ending
    return name, ""


def _model2vec(name: str) -> Rival:
    """Return a model2vec distillation of the named teacher, with the settings model2vec itself proposes."""
    try:
        distill = importlib.import_module("model2vec.distill").distill
    except ImportError as error:
        raise EncoderError(
            f"{name!r} without model2vec ({error})",
            "model2vec[distill]",
            "in an environment of its own: pip install 'model2vec[distill]'; distill, save, and give the folder as --encoder",
        ) from error
    try:
        model = distill(model_name=name.removeprefix(MODEL2VEC))
    except (OSError, ValueError) as error:
        raise EncoderError(f"{name!r} cannot be distilled ({error})", "a model that model2vec can read") from error

    def embed(texts: Sequence[str]) -> Floats:
        rows = np.asarray(model.encode(list(texts)), dtype=np.float32)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(rows / np.where(norms > 0, norms, 1), dtype=np.float32)

    return Rival(name, embed, name)
