"""Where a model lies: a local folder, the local cache, or the hub.

Offline, the libraries below would retry for more than a minute. So the cache is looked at first, then the hub is asked once with a
limit of `PROBE_SECONDS`, and then there is a plain error; another model is never put in its place.
"""

from __future__ import annotations

import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from greyzone.errors import EncoderError

logger = logging.getLogger(__name__)

PROBE_SECONDS = 2.0
"""Longest wait for the hub's first answer."""

WEIGHTS = (".safetensors", ".bin")
"""Endings of files that hold weights."""

_OTHER_RUNTIMES = ["*.onnx", "*.h5", "*.msgpack", "*.ot", "*.tflite", "*.gguf", "onnx/*", "openvino/*"]


def has_weights(folder: Path) -> bool:
    """Say whether there is a file of weights anywhere below `folder`."""
    return any(path.suffix in WEIGHTS for path in folder.rglob("*"))


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
        if has_weights(cached):
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


def find_encoder(name: str | Path) -> Path:
    """Return the folder of a sentence-transformers model: as `find_model`, but it must hold weights.

    Raises
    ------
    EncoderError
        As for `find_model`, or if there are no weights in the folder.
    """
    folder = find_model(name)
    if not has_weights(folder):
        raise EncoderError(f"no weights in {folder}", "a folder with a sentence-transformers model")
    return folder


def find_transformer(name: str | Path, wanted: str) -> Path:
    """Return the folder of a model that is no encoder: as `find_model`, but a bare name is always a folder.

    Raises
    ------
    EncoderError
        As for `find_model`, with `wanted` as what was expected.
    """
    if "/" not in str(name) and not Path(name).is_dir():
        raise EncoderError(f"no folder {name}", wanted)
    try:
        return find_model(name)
    except EncoderError as error:
        raise EncoderError(error.found, wanted) from error


@contextmanager
def refused(name: str | Path, does: str, wanted: str) -> Iterator[None]:
    """Turn what transformers and safetensors say of a folder that they cannot use into one error: it holds no model that `does`.

    Raises
    ------
    EncoderError
        In their place; one that is raised in the block passes as it is.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, SafetensorError) as error:
        if isinstance(error, EncoderError):
            raise
        reason = " ".join(str(error).split())
        raise EncoderError(f"{name} holds no model that {does} ({reason})", wanted) from error


def check_weights(folder: str | Path) -> None:
    """Read the heads of a model's files of weights, which themselves take minutes and memory.

    Raises
    ------
    OSError, SafetensorError
        If there is none in the safetensors format, or one is broken.
    """
    from safetensors import safe_open

    files = sorted(Path(folder).glob("*.safetensors"))
    if not files:
        raise OSError("no file of weights that ends in .safetensors")
    for file in files:
        with safe_open(file, framework="np"):
            pass


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
