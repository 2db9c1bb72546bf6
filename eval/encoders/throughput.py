"""``greyzone eval throughput``: documents a second of transformer encoders on this machine, and how near that is to its limit.

    greyzone eval throughput --quick
    greyzone eval throughput --device cuda --json

Speed does not depend on what the weights are, so the models are built here, with random weights and an invented vocabulary, in the sizes
of all-MiniLM-L6 and of e5-base; nothing is downloaded. Two rates are measured: ``encode`` is `load_encoder(...).encode`, tokenising and
copying included, which is what a user gets; ``forward`` is the model alone on token numbers that are on the device already.

A forward pass of a document of T tokens takes about 2 P T + 4 L T^2 d operations: two for each of the P parameters of the L layers and
each token (embedding tables are looked up, not multiplied), and 2 T^2 d each for the scores and the sums of attention, at width d
(Kaplan et al. 2020, appendix; softmax and norms are left out, as usual). The ceiling is what `torch.matmul` of two large square matrices
reaches on the same device in the same precision. Every document has the full length, so no operation is spent on padding.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError
from greyzone.eval.commands import run_command
from greyzone.models import load_encoder, resolve_device

if TYPE_CHECKING:
    import torch
    from transformers import BertModel

Numbers = npt.NDArray[np.int64]

logger = logging.getLogger(__name__)

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

LENGTHS = (32, 128, 256)
"""Tokens of a document, the two special ones included: a headline, a post, an article's first window."""

QUICK_LENGTHS = (32, 128)


@dataclass(frozen=True, slots=True)
class Size:
    """Shape of a BERT."""

    layers: int
    width: int
    heads: int
    inner: int
    vocabulary: int = 30_522


SIZES: dict[str, Size] = {"minilm-l6": Size(6, 384, 12, 1536), "e5-base": Size(12, 768, 12, 3072)}
"""The models that are measured, by name."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is computed: tokens of a batch, batches of a pass, passes of which the best counts, side of the matrices of the ceiling."""

    batch_tokens: int
    batches: int
    passes: int
    side: int


EFFORTS = {"cuda": Effort(65_536, 16, 3, 8192), "cpu": Effort(2048, 2, 3, 1024), "quick": Effort(256, 1, 1, 512)}
"""By kind of device; "quick" is for a look, and for tests."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Rates of one model at one length in one precision, in documents and operations a second, each of the best pass."""

    model: str
    parameters: int
    dtype: str
    tokens: int
    batch_size: int
    encode_documents: float
    forward_documents: float
    operations_a_document: float
    forward_operations: float
    share_of_ceiling: float


@dataclass(frozen=True, slots=True)
class Throughput:
    """Everything measured on a device, with what it was measured on; `ceilings` are operations a second by precision."""

    device: str
    threads: int
    versions: Mapping[str, str]
    float32_matmul_precision: str
    ceilings: Mapping[str, float]
    speeds: tuple[Speed, ...]


def measure_throughput(
    *,
    device: str = "auto",
    sizes: Mapping[str, Size] = SIZES,
    lengths: Sequence[int] = LENGTHS,
    effort: Effort | None = None,
) -> Throughput:
    """Measure every size at every length, in float32 and, on CUDA, in bfloat16.

    Parameters
    ----------
    device
        As for `greyzone.models.resolve_device`.
    sizes
        Models by name.
    lengths
        Tokens of a document, 3 to 512.
    effort
        How much is computed; by kind of device if not given.

    Raises
    ------
    EncoderError
        If there is no such device.
    InputError
        If a length is out of range.
    """
    if not lengths or not all(3 <= length <= 512 for length in lengths):
        raise InputError(f"lengths {list(lengths)}", "3..512 tokens")
    place = resolve_device(device)
    kind = place.partition(":")[0]
    effort = effort or EFFORTS[kind]
    import sentence_transformers
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    dtypes = ("float32", "bfloat16") if kind == "cuda" else ("float32",)
    ceilings = {dtype: matmul_ceiling(place, dtype, effort.side) for dtype in dtypes}
    measured: list[tuple[str, _Rates]] = []
    for name, size in sizes.items():
        with tempfile.TemporaryDirectory() as folder:
            model = build_model(size, Path(folder))
            for dtype in dtypes:
                for length in lengths:
                    measured.append((name, _rates(size, model, Path(folder), place, dtype, length, effort)))
                    logger.info("%s, %s, %d tokens: done", name, dtype, length)
    # Measured again, since a machine that was busy at the start would give a ceiling below what its models reach.
    ceilings = {dtype: max(first, matmul_ceiling(place, dtype, effort.side)) for dtype, first in ceilings.items()}
    return Throughput(
        device=torch.cuda.get_device_name(place) if kind == "cuda" else platform.processor() or platform.machine(),
        threads=torch.get_num_threads(),
        versions={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda or "",
            "transformers": transformers.__version__,
            "sentence-transformers": sentence_transformers.__version__,
        },
        float32_matmul_precision=torch.get_float32_matmul_precision(),
        ceilings=ceilings,
        speeds=tuple(_speed(name, sizes[name], rates, ceilings[rates.dtype]) for name, rates in measured),
    )


def operations_a_document(size: Size, parameters: int, tokens: int) -> float:
    """Return the operations of a forward pass: 2 P T + 4 L T^2 d."""
    return 2.0 * parameters * tokens + 4.0 * size.layers * tokens**2 * size.width


def matmul_ceiling(device: str, dtype: str, side: int) -> float:
    """Return the operations a second of `torch.matmul` of two (side, side) matrices, the best of ten."""
    import torch

    precision: torch.dtype = getattr(torch, dtype)
    left, right = (torch.randn(side, side, device=device, dtype=precision) for _ in range(2))
    torch.matmul(left, right)
    best = min(_seconds(lambda: torch.matmul(left, right), device) for _ in range(10))
    return 2.0 * side**3 / best


def build_model(size: Size, folder: Path) -> BertModel:
    """Write a sentence-transformers model with random weights to `folder`, and return its BERT (float32, on the CPU)."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = [*SPECIAL, *(_word(index) for index in range(size.vocabulary - len(SPECIAL)))]
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(words) + "\n", encoding="utf-8")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=size.inner,
        max_position_embeddings=512,
    )
    model = BertModel(config).eval()
    base = folder / "base"
    model.save_pretrained(base)
    BertTokenizerFast(vocab=str(vocabulary), model_max_length=512).save_pretrained(base)
    SentenceTransformer(modules=[Transformer(str(base), max_seq_length=512), Pooling(size.width)], device="cpu").save(str(folder / "model"))
    return model


def format_table(found: Throughput) -> str:
    """Return the measurements as a Markdown table, with what they were measured on."""
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items() if version)
    lines = [
        f"{found.device}, {found.threads} threads; {versions}; float32 matmul precision {found.float32_matmul_precision}",
        *(f"matmul ceiling {dtype}: {ceiling / 1e12:.3f} TFLOP/s" for dtype, ceiling in found.ceilings.items()),
        "| model | dtype | tokens | batch | encode docs/s | forward docs/s | TFLOP/s | of ceiling |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {speed.model} | {speed.dtype} | {speed.tokens} | {speed.batch_size} | {speed.encode_documents:,.1f} | "
        f"{speed.forward_documents:,.1f} | {speed.forward_operations / 1e12:.3f} | {speed.share_of_ceiling:.1%} |"
        for speed in found.speeds
    ]
    return "\n".join(lines)


def to_json(found: Throughput) -> str:
    """Return the measurements as one line of JSON."""
    return json.dumps(asdict(found), sort_keys=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 for arguments that cannot be used."""
    parser = argparse.ArgumentParser(prog="greyzone eval throughput", description="Measure documents a second of transformer encoders.")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--model", action="append", choices=sorted(SIZES), help="size to measure; several times (all)")
    parser.add_argument("--tokens", action="append", type=int, metavar="N", help="tokens of a document; several times (32, 128, 256)")
    parser.add_argument("--quick", action="store_true", help="a few documents each: a look in less than a minute on a CPU")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    given = parser.parse_args(argv)

    def command() -> int:
        found = measure_throughput(
            device=given.device,
            sizes={name: SIZES[name] for name in given.model or SIZES},
            lengths=given.tokens or (QUICK_LENGTHS if given.quick else LENGTHS),
            effort=EFFORTS["quick"] if given.quick else None,
        )
        sys.stdout.write((to_json(found) if given.json else format_table(found)) + "\n")
        return 0

    return run_command(command)


@dataclass(frozen=True, slots=True)
class _Rates:
    parameters: int
    dtype: str
    tokens: int
    batch_size: int
    encode_documents: float
    forward_documents: float


def _rates(size: Size, model: BertModel, folder: Path, device: str, dtype: str, tokens: int, effort: Effort) -> _Rates:
    """Measure one model, in one precision and at one length."""
    batch_size = max(1, effort.batch_tokens // tokens)
    documents = batch_size * effort.batches
    drawn = np.random.default_rng(0).integers(len(SPECIAL), size.vocabulary, size=(documents, tokens - 2))
    return _Rates(
        parameters=sum(weight.numel() for weight in model.encoder.parameters()),
        dtype=dtype,
        tokens=tokens,
        batch_size=batch_size,
        encode_documents=documents / _encode_seconds(folder, drawn, device, dtype, batch_size, effort.passes),
        forward_documents=documents / _forward_seconds(model, drawn, device, dtype, batch_size, effort.passes),
    )


def _encode_seconds(folder: Path, drawn: Numbers, device: str, dtype: str, batch_size: int, passes: int) -> float:
    encoder = load_encoder(folder / "model", device=device, dtype=dtype, batch_size=batch_size)
    texts = [" ".join(_word(int(index) - len(SPECIAL)) for index in row) for row in drawn]
    return _best(lambda: encoder.encode(texts), device, passes)


def _forward_seconds(model: BertModel, drawn: Numbers, device: str, dtype: str, batch_size: int, passes: int) -> float:
    """Time the model alone; it is back on the CPU in float32 afterwards."""
    import torch

    model = model.to(device=device, dtype=getattr(torch, dtype))
    numbers = torch.as_tensor(np.pad(drawn, ((0, 0), (1, 1)), constant_values=2), device=device)

    def forward() -> None:
        with torch.inference_mode():
            for start in range(0, len(numbers), batch_size):
                model(input_ids=numbers[start : start + batch_size])

    seconds = _best(forward, device, passes)
    model.to(device="cpu", dtype=torch.float32)
    return seconds


def _speed(name: str, size: Size, rates: _Rates, ceiling: float) -> Speed:
    operations = operations_a_document(size, rates.parameters, rates.tokens)
    return Speed(
        model=name,
        parameters=rates.parameters,
        dtype=rates.dtype,
        tokens=rates.tokens,
        batch_size=rates.batch_size,
        encode_documents=rates.encode_documents,
        forward_documents=rates.forward_documents,
        operations_a_document=operations,
        forward_operations=rates.forward_documents * operations,
        share_of_ceiling=rates.forward_documents * operations / ceiling,
    )


def _best(work: Callable[[], object], device: str, passes: int) -> float:
    """Return the least seconds of `passes` runs of `work`, after one that does not count."""
    work()
    return min(_seconds(work, device) for _ in range(passes))


def _seconds(work: Callable[[], object], device: str) -> float:
    import torch

    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.synchronize(device)
    begun = time.perf_counter()
    work()
    if cuda:
        torch.cuda.synchronize(device)
    return max(time.perf_counter() - begun, 1e-9)


def _word(index: int) -> str:
    """Return a word of letters only, so that the tokenizer keeps it whole."""
    letters = "abcdefghijklmnopqrst"
    return "z" + "".join(letters[index // 20**place % 20] for place in range(4))


if __name__ == "__main__":
    raise SystemExit(main())
