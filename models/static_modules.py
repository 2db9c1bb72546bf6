"""The embedded encoder's rows as a sentence-transformers model, where fine-tuning can start from them.

The tokenizer spells `greyzone.text.words` and `greyzone.models.static.word_parts` in the rules of the Hugging Face library: addresses and
handles go, NFKC and lower case, marks and `FOLDED_LETTERS` folded, words are runs of letters and digits, an Arabic article stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from greyzone.models.static import ARABIC_ARTICLE, CONTINUES, FOLDED_LETTERS
from greyzone.records import Floats

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

UNKNOWN = "[UNK]"
"""A piece of its own with a zero row, which a word with an unknown sign falls to."""

LONGEST_WORD = 10_000
"""Signs of a word that the tokenizer still cuts; the library wants a number."""

ADDRESS = r"(?:https?://|www\.)\S+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
HANDLE = r"(?<!\w)[@＠]\w+(?:@[\w.-]+)?"


def sentence_transformer(pieces: Sequence[str], rows: Floats) -> SentenceTransformer:
    """Return a model of StaticEmbedding and Normalize.

    Parameters
    ----------
    pieces
        Word pieces, distinct.
    rows
        (len(pieces), dimensions) float32.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    weights = torch.from_numpy(np.concatenate([np.zeros((1, rows.shape[1]), dtype=np.float32), rows]))
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer(pieces), embedding_weights=weights), Normalize()], device="cpu")


def tokenizer(pieces: Sequence[str]) -> Any:  # noqa: ANN401 - tokenizers has no types
    """Return a tokenizer that gives row numbers one above the places of `pieces`, 0 being `UNKNOWN`."""
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import WordPiece

    vocabulary = {UNKNOWN: 0} | {piece: place for place, piece in enumerate(pieces, start=1)}
    found = Tokenizer(WordPiece(vocabulary, unk_token=UNKNOWN, continuing_subword_prefix=CONTINUES, max_input_chars_per_word=LONGEST_WORD))
    apostrophes = normalizers.Replace(Regex("[\u2019\u02bc\u2018\uff07]"), "'")
    between_cyrillic = normalizers.Replace(Regex("(?<=[\u0400-\u052f])'(?=[\u0400-\u052f])"), "")
    invisible = normalizers.Replace(Regex("[\u00ad\u034f\u0640\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]"), "")
    folded = [normalizers.Replace(letter, plain) for letter, plain in FOLDED_LETTERS.items() if letter != "'"]
    found.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(ADDRESS), " "),
            normalizers.Replace(Regex(HANDLE), " "),
            normalizers.Lowercase(),
            normalizers.NFKC(),
            apostrophes,
            invisible,
            between_cyrillic,
            normalizers.NFKD(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"\p{Mn}"), ""),
            *folded,
        ]
    )
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[\p{L}\p{N}\p{Mc}]+"), behavior="removed", invert=True),
            pre_tokenizers.Split(Regex(f"^{ARABIC_ARTICLE}"), behavior="isolated"),
        ]
    )
    return found
