"""A sentence encoder that is learnt from, with what is known of it: its word pieces in order and the digest of its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from greyzone.errors import InputError
from greyzone.records import Encoder


@dataclass(frozen=True, slots=True)
class Teacher:
    """A sentence encoder that is learnt from.

    Attributes
    ----------
    encoder
        Gives the vectors.
    vocabulary
        Its word pieces by falling frequency, as word-piece vocabularies stand in their file.
    sha256
        Digest of its weights.
    name
        What the card calls it.
    """

    encoder: Encoder
    vocabulary: tuple[str, ...]
    sha256: str
    name: str


def load_teacher(folder: Path, *, device: str = "auto", batch_size: int = 64) -> Teacher:
    """Return the teacher in a sentence-transformers folder with a word-piece vocabulary.

    Raises
    ------
    EncoderError
        If the folder cannot be loaded.
    InputError
        If it has no vocab.txt or no safetensors weights.
    """
    from greyzone.models import load_encoder

    listed, weights = sorted(folder.rglob("vocab.txt")), sorted(folder.rglob("*.safetensors"))
    if not listed or not weights:
        raise InputError(f"no vocab.txt or no *.safetensors in {folder}", "a sentence-transformers folder with a word-piece vocabulary")
    vocabulary = tuple(line.rstrip("\n") for line in listed[0].read_text("utf-8").split("\n") if line.strip())
    with weights[0].open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    encoder = load_encoder(folder, device=device, batch_size=batch_size)
    return Teacher(encoder, vocabulary, digest, folder.resolve().parent.name if folder.name == "model" else folder.name)


def whole_words(vocabulary: Sequence[str]) -> list[str]:
    """Return the pieces that begin a word, in order: ASCII letters and digits, two or more."""
    return [piece for piece in vocabulary if piece.isascii() and piece.isalnum() and len(piece) > 1]


def word_endings(vocabulary: Sequence[str]) -> list[str]:
    """Return the pieces that continue a word, in order and without their mark: ASCII letters and digits, two or more."""
    return whole_words([piece[2:] for piece in vocabulary if piece.startswith("##")])
