"""Any sentence-transformers model as an encoder, from a local folder, the local cache, or the hub.

Offline, the libraries below would retry for more than a minute. So the cache is looked at first, then the hub is asked once with a
limit of `PROBE_SECONDS`, and then there is a plain error; another encoder is never put in its place.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from greyzone.errors import EncoderError, InputError
from greyzone.models.device import resolve_device
from greyzone.records import Floats

logger = logging.getLogger(__name__)

PROBE_SECONDS = 2.0
"""Longest wait for the hub's first answer."""

DTYPES = ("float32", "bfloat16", "float16")

_WEIGHTS = (".safetensors", ".bin")
_DEFINING = (*_WEIGHTS, ".json", ".txt", ".model")
_OTHER_RUNTIMES = ["*.onnx", "*.h5", "*.msgpack", "*.ot", "*.tflite", "*.gguf", "onnx/*", "openvino/*"]


class SentenceTransformerEncoder:
    """Encoder of a sentence-transformers model.

    Padding makes the last bits of float32 depend on the neighbours in a batch. `greyzone.embed` rounds to
    float16, which hides that but for values on the edge of two steps.

    Parameters
    ----------
    name
        A local folder, or a model's name on the hub.
    device
        "auto", "cpu", "cuda" or "cuda:<n>".
    batch_size
        Texts per forward pass; halved when a CUDA device runs out of memory.
    dtype
        "float32", or "bfloat16" or "float16" on CUDA.

    Raises
    ------
    EncoderError
        If the model or the device cannot be found or loaded.
    InputError
        If an argument is out of range.
    """

    def __init__(self, name: str | Path, *, device: str = "auto", batch_size: int = 64, dtype: str = "float32") -> None:
        if batch_size < 1:
            raise InputError(f"batch_size {batch_size}", "1 or more")
        if dtype not in DTYPES:
            raise InputError(f"dtype {dtype!r}", " or ".join(DTYPES))
        folder = find_model(name)
        self.name = str(name)
        self.device = resolve_device(device)
        if dtype != "float32" and self.device == "cpu":
            raise InputError(f"dtype {dtype!r} on the CPU", "float32 there")
        self.batch_size = batch_size
        self._model = _load(folder, self.name, self.device, dtype)
        self._fingerprint = _fingerprint(folder, [dtype, self.device.partition(":")[0], self._model.max_seq_length])

    @property
    def fingerprint(self) -> str:
        """Hex digest over weights, configuration, precision, kind of device and longest input."""
        return self._fingerprint

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        sized = getattr(self._model, "get_embedding_dimension", None) or self._model.get_sentence_embedding_dimension
        return int(sized())

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return the vectors of `texts`.

        Parameters
        ----------
        texts
            Any texts. What exceeds the model's longest input is cut off by the model; a warning counts such texts.

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
        lengths = self._lengths(texts)
        longest = self._model.max_seq_length
        if longest and (cut := int((lengths > longest - 2).sum())):
            logger.warning("%s reads %d tokens of a text: %d of %d texts were cut", self.name, longest, cut, len(texts))
        order = np.lexsort((np.arange(len(texts)), -lengths))
        order = order[lengths[order] > 0]
        start = 0
        while start < len(order):
            batch = order[start : start + self.batch_size]
            vectors = self._forward([texts[i] for i in batch])
            if vectors is not None:
                out[batch] = vectors
                start += len(batch)
        return out

    def _lengths(self, texts: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return the number of tokens per text, 0 where the model knows none of them."""
        tokenizer = self._model.tokenizer
        lengths = np.array([len(text.split()) for text in texts], dtype=np.int64)
        if callable(tokenizer) and hasattr(tokenizer, "unk_token_id") and len(texts):
            ids = tokenizer(list(texts), add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
            unknown = tokenizer.unk_token_id
            lengths = np.array([len(found) if any(token != unknown for token in found) else 0 for found in ids], dtype=np.int64)
        return lengths

    def _forward(self, texts: list[str]) -> Floats | None:
        """Return the normalised vectors of one batch, or None after the batch size was halved for want of memory."""
        import torch

        try:
            found = self._model.encode(texts, batch_size=len(texts), convert_to_tensor=True, show_progress_bar=False)
            vectors = found.float().cpu().numpy().astype(np.float64)
        except torch.OutOfMemoryError as error:
            if len(texts) == 1:
                raise EncoderError(f"{self.device} has too little memory for one text", "", "use device cpu or a smaller model") from error
            self.batch_size = max(1, len(texts) // 2)
            torch.cuda.empty_cache()
            logger.warning("%s ran out of memory: batch size is now %d", self.device, self.batch_size)
            return None
        if not np.isfinite(vectors).all():
            raise EncoderError(f"{self.name} gave vectors that are not finite", "finite numbers", "use dtype float32")
        norms = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
        rows: Floats = (vectors / np.where(norms > 0, norms, 1.0)).astype(np.float32)
        return rows


def find_model(name: str | Path) -> Path:
    """Return the folder that holds the model called `name`, downloaded if need be.

    Raises
    ------
    EncoderError
        If there is no such folder, or the model is not in the local cache and the hub does not answer or does not know it.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    if isinstance(name, Path) or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise EncoderError(f"no folder {name}", "a folder with a sentence-transformers model")
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository = name if "/" in name else f"sentence-transformers/{name}"
    try:
        cached = Path(snapshot_download(repository, local_files_only=True))
        if _has_weights(cached):
            return cached
    except LocalEntryNotFoundError:
        logger.debug("%s is not in the local cache", repository)
    except HFValidationError as error:
        raise EncoderError(f"model name {name!r}", "a name such as organisation/model, or a folder") from error
    if constants.HF_HUB_OFFLINE:
        raise EncoderError(f"{repository} is not in the local cache and HF_HUB_OFFLINE is set", "", "download it first or give a folder")
    _probe(f"{constants.ENDPOINT}/api/models/{repository}", repository)
    try:
        return Path(snapshot_download(repository, ignore_patterns=_OTHER_RUNTIMES, etag_timeout=PROBE_SECONDS))
    except (HfHubHTTPError, OSError) as error:
        raise EncoderError(f"downloading {repository} failed ({error})", "", "try again or give a local folder") from error


def _probe(url: str, repository: str) -> None:
    """Ask the hub once whether it has the model; name resolution has no time limit of its own, hence the thread."""
    answer: list[str] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=PROBE_SECONDS) as response:  # noqa: S310 - the endpoint is the user's own setting
                answer.append("" if response.status == 200 else f"answered {response.status}")
        except urllib.error.HTTPError as error:
            answer.append(f"answered {error.code}")
        except (OSError, ValueError) as error:
            answer.append(f"cannot be reached ({error})")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    trouble = answer[0] if answer else f"did not answer within {PROBE_SECONDS:g} s"
    if trouble:
        raise EncoderError(
            f"{repository} is not in the local cache and the hub {trouble}", "a cached model, a folder or a connection", "or use 'default'"
        )


def _has_weights(folder: Path) -> bool:
    return any(path.suffix in _WEIGHTS for path in folder.rglob("*"))


def _load(folder: Path, name: str, device: str, dtype: str) -> Any:  # noqa: ANN401 - sentence-transformers has no types
    """Return the model of `folder`; nothing is fetched and no code of the model's is run."""
    if not _has_weights(folder):
        raise EncoderError(f"no weights in {folder}", "a folder with a sentence-transformers model")
    try:
        import torch
        from sentence_transformers import SentenceTransformer

        settings = {"dtype": getattr(torch, dtype)} if dtype != "float32" else {}
        model = SentenceTransformer(str(folder), device=device, local_files_only=True, trust_remote_code=False, model_kwargs=settings)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, AttributeError) as error:
        raise EncoderError(f"{name} cannot be loaded ({type(error).__name__}: {error})", "a sentence-transformers model") from error
    return model.eval()


def _fingerprint(folder: Path, settings: list[object]) -> str:
    """Return the digest over every file that defines the model, by relative path, and the settings."""
    digest = hashlib.sha256(json.dumps(["sentence-transformers", *settings]).encode())
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.suffix in _DEFINING and path.is_file():
            digest.update(json.dumps([path.relative_to(folder).as_posix(), path.stat().st_size]).encode())
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:32]
