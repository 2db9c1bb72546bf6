"""Any sentence-transformers model as an encoder: transformers and static embeddings alike.

Texts are sorted by length, so that a batch is padded little. What is longer than the model reads is cut into windows
(`greyzone.models.windows`). The vector of a text is the mean of its windows' unit vectors, weighted by their tokens, normalised; with
`dimensions`, the first so many coordinates of each, normalised again (Matryoshka; Kusupati et al., NeurIPS 2022).

Padding makes the last bits of float32 depend on the neighbours in a batch. `greyzone.models.cached` rounds to float16, which hides that but
for values on the edge of two steps.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from greyzone.errors import EncoderError, InputError
from greyzone.models import check_arguments
from greyzone.models.device import resolve_device, resolve_dtype
from greyzone.models.hub import WEIGHTS, find_encoder
from greyzone.models.prompts import choose_prompt
from greyzone.models.windows import OVERLAP, UNLIMITED, PieceTokenizer, Window, backend_of
from greyzone.records import Floats

logger = logging.getLogger(__name__)

TEXTS_AT_ONCE = 4096
"""Texts that are tokenised and sorted together, which bounds memory."""

PART_SECONDS = 4.0
"""About how long a part of the embedding cache may take: what a kill loses."""

OPERATIONS = {"cpu": 5e10, "cuda": 1e13}
"""Operations a second to reckon with, low on purpose: MiniLM in float32 reaches 6e10 on one core."""

CHARACTERS_A_TOKEN = 4

_DEFINING = (*WEIGHTS, ".json", ".txt", ".model")


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """Everything besides the weights that the vectors depend on, with "auto" resolved.

    Parameters
    ----------
    device
        Kind of device, "cpu" or "cuda".
    dtype
        Precision of the weights and of the forward pass.
    prompt
        What is put before every text.
    prompt_origin
        Why this prompt; of no influence.
    dimensions
        Length of a vector.
    long_texts
        "windows" or "truncate".
    longest_input
        Tokens that the model reads at once, special ones included; None for no limit.
    overlap
        Share of a window that the next one repeats.
    """

    device: str
    dtype: str
    prompt: str
    prompt_origin: str
    dimensions: int
    long_texts: str
    longest_input: int | None
    overlap: float = OVERLAP


class SentenceTransformerEncoder:
    """Encoder of a sentence-transformers model.

    Parameters
    ----------
    name
        A local folder, or a model's name on the hub.
    device
        "auto", "cpu", "cuda" or "cuda:<n>".
    batch_size
        Texts (or windows) per forward pass; halved for good when the device runs out of memory.
    dtype
        "auto" (`greyzone.models.device.resolve_dtype`; static embeddings stay float32), "float32", "bfloat16" or "float16".
    prompt
        "auto" (`greyzone.models.prompts`), "" for none, or what to put before every text.
    dimensions
        Coordinates to keep of a model trained for it; None keeps all.
    long_texts
        "windows", or "truncate", which cuts and counts what the model does not read.

    Attributes
    ----------
    settings
        What was chosen.

    Raises
    ------
    EncoderError
        If the model or the device cannot be found or loaded.
    InputError
        If an argument is out of range.
    """

    def __init__(
        self,
        name: str | Path,
        *,
        device: str = "auto",
        batch_size: int = 64,
        dtype: str = "auto",
        prompt: str = "auto",
        dimensions: int | None = None,
        long_texts: str = "windows",
    ) -> None:
        check_arguments(
            name, device=device, batch_size=batch_size, dtype=dtype, prompt=prompt, dimensions=dimensions, long_texts=long_texts
        )
        folder = find_encoder(name)
        self.name = str(name)
        self.device = resolve_device(device)
        self.batch_size = batch_size
        chosen_dtype = resolve_dtype(dtype, self.device)
        self._model = _load(folder, self.name, self.device, chosen_dtype, static_stays=dtype == "auto")
        self._static = _is_static(self._model)
        if self._static and dtype == "auto":
            chosen_dtype = "float32"
        self._pieces = _tokenizer(self._model, self.name)
        words, origin = choose_prompt(
            prompt,
            prompts=getattr(self._model, "prompts", None) or {},
            default_name=getattr(self._model, "default_prompt_name", None),
            names=(self.name, _configured_name(self._model)),
        )
        self.settings = EncoderSettings(
            device=self.device.partition(":")[0],
            dtype=chosen_dtype,
            prompt=words,
            prompt_origin=origin,
            dimensions=_kept_dimensions(self._model, dimensions, self.name),
            long_texts=long_texts,
            longest_input=_longest_input(self._model),
        )
        self._room = self._measure_room()
        self._by_ids = self._static and self._room is None and not words
        self._fingerprint = _fingerprint(folder, self.settings)

    @property
    def fingerprint(self) -> str:
        """Hex digest over weights, configuration and settings."""
        return self._fingerprint

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self.settings.dimensions

    @property
    def part_characters(self) -> int:
        """Characters that take about `PART_SECONDS` here, by the size of the model; `greyzone.models.cached` stores so much at a time."""
        import torch

        tables = {id(module.weight) for module in self._model.modules() if isinstance(module, torch.nn.Embedding | torch.nn.EmbeddingBag)}
        weights = sum(weight.numel() for weight in self._model.parameters() if id(weight) not in tables)
        tokens = PART_SECONDS * OPERATIONS[self.settings.device] / (2 * max(weights, 1))
        return max(1, min(int(tokens * CHARACTERS_A_TOKEN), 1 << 40))

    def token_counts(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return (len(texts), 2) int64: the tokens of each text, and how many of them are the unknown token."""
        return self._pieces.counts(texts)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return the vectors of `texts`.

        Parameters
        ----------
        texts
            Any texts, however long. With `long_texts` "truncate", what is too long is cut off and a warning counts such texts.

        Returns
        -------
        Floats
            (len(texts), dimensions) float32, rows of norm 1; a text that is empty or has no token the model knows gives a zero row.

        Raises
        ------
        EncoderError
            If the device runs out of memory even with one text, or a vector is not finite.
        """
        out = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        cut = 0
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            stop = start + TEXTS_AT_ONCE
            rows, lost = self._encode_some(texts[start:stop])
            out[start:stop] = rows
            cut += lost
        if cut:
            logger.warning("%s reads %s tokens of a text: %d of %d texts were cut", self.name, self.settings.longest_input, cut, len(texts))
        return out

    def _encode_some(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.float64], int]:
        """Return the vectors of texts that are tokenised together, and how many of the texts were cut off."""
        owners: list[int] = []
        windows: list[Window] = []
        ids: list[list[int]] = []
        for place, encoding in enumerate(self._pieces.encode(texts)):
            if encoding.ids.count(self._pieces.unknown) == len(encoding.ids):
                continue
            parts = [Window(texts[place], len(encoding.ids))]
            if self._room is not None and parts[0].tokens > self._room and self.settings.long_texts == "windows":
                parts = self._pieces.windows(texts[place], self._room)
            owners += [place] * len(parts)
            windows += parts
            ids.append(encoding.ids)
        lengths = np.array([window.tokens for window in windows], dtype=np.int64)
        cut = len({owners[i] for i in np.flatnonzero(lengths > self._room)}) if self._room is not None else 0
        sums = np.zeros((len(texts), self.dimensions))
        order = np.lexsort((np.arange(len(windows)), -lengths))
        start = 0
        while start < len(order):
            batch = order[start : start + self.batch_size]
            vectors = self._forward([windows[i].text for i in batch], [ids[i] for i in batch] if self._by_ids else None)
            if vectors is not None:
                np.add.at(sums, [owners[i] for i in batch], vectors * lengths[batch, None])
                start += len(batch)
        return _unit(sums), cut

    def _forward(self, texts: list[str], ids: list[list[int]] | None) -> npt.NDArray[np.float64] | None:
        """Return the unit vectors of one batch, or None after the batch size was halved for want of memory."""
        import torch

        try:
            found = self._looked_up(ids) if ids is not None else self._run(texts)
            vectors = found[:, : self.dimensions].float().cpu().numpy().astype(np.float64)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            if len(texts) == 1:
                raise EncoderError(f"{self.device} has too little memory for one text", "", "use device cpu or a smaller model") from error
            vectors = None
        if vectors is None:
            # Outside the handler: the traceback would keep the tensors of the failed pass alive.
            self.batch_size = max(1, len(texts) // 2)
            torch.cuda.empty_cache()
            logger.warning("%s ran out of memory: batch size is now %d", self.device, self.batch_size)
            return None
        if not np.isfinite(vectors).all():
            raise EncoderError(f"{self.name} gave vectors that are not finite", "finite numbers", "use dtype float32")
        return _unit(vectors)

    def _run(self, texts: list[str]) -> Any:  # noqa: ANN401 - a tensor
        """Return what the model makes of the texts, tokenising them itself."""
        return self._model.encode(
            texts, prompt=self.settings.prompt, batch_size=len(texts), convert_to_tensor=True, show_progress_bar=False
        )

    def _looked_up(self, ids: list[list[int]]) -> Any:  # noqa: ANN401 - a tensor
        """Return what a table of token vectors makes of tokens, so that texts are not tokenised twice."""
        import torch

        starts = np.cumsum([0, *(len(tokens) for tokens in ids[:-1])])
        features = {
            "input_ids": torch.tensor([token for tokens in ids for token in tokens], dtype=torch.long, device=self.device),
            "offsets": torch.from_numpy(starts).to(self.device),
        }
        with torch.inference_mode():
            return self._model(features)["sentence_embedding"]

    def _measure_room(self) -> int | None:
        """Return how many tokens of a text the model reads beside the prompt and the special tokens; None for all."""
        if self.settings.longest_input is None:
            return None
        prompt = int(self._pieces.counts([self.settings.prompt])[0, 0])
        room = self.settings.longest_input - self._pieces.special - prompt
        if room < 1:
            raise InputError(
                f"a prompt of {prompt} tokens for {self.name}", f"fewer than {self.settings.longest_input - self._pieces.special}"
            )
        return room


def _unit(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the rows normalised; zero rows stay zero."""
    norms = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    found: npt.NDArray[np.float64] = rows / np.where(norms > 0, norms, 1.0)
    return found


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Say whether `error` is a lack of memory; older paths of torch and cuBLAS raise a plain RuntimeError for it."""
    import torch

    told = str(error)
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in told or "CUBLAS_STATUS_ALLOC_FAILED" in told


def _load(folder: Path, name: str, device: str, dtype: str, *, static_stays: bool) -> Any:  # noqa: ANN401 - the library has no types
    """Return the model of `folder`; nothing is fetched and no code of the model's is run."""
    try:
        import torch
        from sentence_transformers import SentenceTransformer

        precision = getattr(torch, dtype)
        settings = {"dtype": precision} if dtype != "float32" else {}
        with _no_bars():
            model = SentenceTransformer(str(folder), device=device, local_files_only=True, trust_remote_code=False, model_kwargs=settings)
        if dtype != "float32" and not (static_stays and _is_static(model)):
            # Modules after the transformer, such as Dense, are loaded in float32.
            model.to(precision)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, AttributeError) as error:
        raise EncoderError(f"{name} cannot be loaded ({type(error).__name__}: {error})", "a sentence-transformers model") from error
    return model.eval()


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keep transformers from drawing a bar for every file of weights."""
    from transformers.utils import logging as bars

    drawn = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            bars.enable_progress_bar()


def _is_static(model: Any) -> bool:  # noqa: ANN401 - the library has no types
    """Say whether the model is a table of token vectors, which gains nothing from half precision."""
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    return isinstance(model[0], StaticEmbedding)


def _tokenizer(model: Any, name: str) -> PieceTokenizer:  # noqa: ANN401 - the library has no types
    backend = backend_of(getattr(model, "tokenizer", None))
    if backend is None:
        raise EncoderError(f"{name} has a tokenizer that does not tell offsets", "a model with a tokenizer of the `tokenizers` library")
    return PieceTokenizer(backend)


def _configured_name(model: Any) -> str | None:  # noqa: ANN401 - the library has no types
    config = getattr(getattr(model, "transformers_model", None), "config", None)
    found = getattr(config, "_name_or_path", None)
    return found if isinstance(found, str) else None


def _longest_input(model: Any) -> int | None:  # noqa: ANN401 - the library has no types
    """Return the most tokens that the model reads at once, None for any number; lowers the model's own limit to what it can hold."""
    import torch

    limits = [model.max_seq_length]
    for module in model.modules():
        table = getattr(module, "position_embeddings", None)
        if isinstance(table, torch.nn.Embedding):
            # RoBERTa's positions begin after the padding index: 514 rows are 512 positions.
            limits.append(table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1))
    if _is_static(model) and (truncation := model.tokenizer.truncation):
        limits.append(int(truncation["max_length"]))
    longest = min((limit for limit in limits if limit is not None and limit < UNLIMITED), default=None)
    if longest is not None and not _is_static(model):
        model.max_seq_length = int(longest)
    return None if longest is None else int(longest)


def _kept_dimensions(model: Any, wanted: int | None, name: str) -> int:  # noqa: ANN401 - the library has no types
    sized = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
    whole = int(sized())
    if wanted is not None and wanted > whole:
        raise InputError(f"dimensions {wanted} of {name}, which has {whole}", f"1..{whole}")
    return wanted or whole


def _fingerprint(folder: Path, settings: EncoderSettings) -> str:
    """Return the digest over every file that defines the model, by relative path, and the settings that move a vector."""
    stated = [
        settings.device,
        settings.dtype,
        settings.prompt,
        settings.dimensions,
        settings.long_texts,
        settings.longest_input,
        settings.overlap,
    ]
    digest = hashlib.sha256(json.dumps(["sentence-transformers", 2, *stated]).encode())
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.suffix in _DEFINING and path.is_file():
            digest.update(json.dumps([path.relative_to(folder).as_posix(), path.stat().st_size]).encode())
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:32]
