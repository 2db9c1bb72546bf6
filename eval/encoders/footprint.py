"""Speed on one core, cold start and memory of an encoder, each in a fresh process that does nothing else.

The process is tied to one core (where the system can) and to one thread of every library, so that a figure means the same on a
laptop and a server. Rates count the processor time of that process, not the clock, so that what else the machine does cannot lower
them much; cold start is by the clock, disk included. Memory is the peak of the process' own address space (``VmHWM``): the
``ru_maxrss`` of a process that was just started can be that of its parent, so it serves only where there is no ``/proc``.

Texts are real ones from the sets that are there. A "short" text has 12 to 33 words and marks, which is 14 to 40 pieces of a BERT
vocabulary for 99.8 % of them (21 on average); an "article" is 198 words, which is 257 such pieces on average.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greyzone.errors import EncoderError, InputError
from greyzone.eval.encoders import sets

SHORTEST, LONGEST = 12, 33
ARTICLE_WORDS = 198

SHORT_LIMIT = 16_000
"""Short texts that are encoded in a pass at most: about as many distinct ones as the sets have."""

PASS_SECONDS = 1.5
"""Seconds of processor time that a pass is to take, about; a slow encoder gets fewer texts."""

PASSES = 3
STARTS = 5

_PIECES = re.compile(r"\w+|[^\w\s]")

_START = """
import time
begun = time.perf_counter()
import sys
from greyzone.models import load_encoder
load_encoder(sys.argv[1], device="cpu").encode(["Power cut by hackers, the ministry said on Tuesday."])
seconds = time.perf_counter() - begun
import json
from greyzone.eval.memory import peak_bytes
print(json.dumps({"seconds": seconds, "bytes": peak_bytes(), "torch": "torch" in sys.modules}))
"""
"""Cold start: nothing is imported before the clock starts, and nothing of ours but the encoder before it stops."""

_RUN = """
import json, sys, time
given = json.load(sys.stdin)
from greyzone.eval.memory import peak_bytes
from greyzone.eval.encoders.footprint import rate
if given["batch"]:
    from greyzone.eval.encoders.rivals import open_rival
    encode = open_rival(given["encoder"], device="cpu").embed
else:
    from greyzone.models import load_encoder
    encode = load_encoder(given["encoder"], device="cpu").encode
found = {kind: rate(encode, texts) for kind, texts in given["texts"].items()}
print(json.dumps({"rates": found, "bytes": peak_bytes()}))
"""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What an encoder costs on one core.

    `cold_start` is seconds from the first import to the first vector, the best of `STARTS` processes; it, `start_mib` and
    `loads_torch` are None for what must be fitted on a batch. Rates are texts a second of processor time, the best of `PASSES`.
    """

    short_rate: float
    article_rate: float
    run_mib: float
    cold_start: float | None
    start_mib: float | None
    loads_torch: bool | None


@dataclass(frozen=True, slots=True)
class SpeedTexts:
    """Distinct real texts to time an encoder with."""

    short: list[str]
    articles: list[str]


def speed_texts(folder: Path) -> SpeedTexts:
    """Return the English texts of the sets in `folder` that have the right length.

    Raises
    ------
    InputError
        If none of sts, flores and uci-news, or not semeval2025, is there.
    """
    pool: list[str] = []
    if sets.is_there(folder, "sts"):
        pool += [text for pairs in sets.load_sts(folder).values() for text in (*pairs.first, *pairs.second)]
    if sets.is_there(folder, "flores"):
        pool += sets.load_flores(folder)["en"]
    if sets.is_there(folder, "uci-news"):
        pool += sets.load_clusters(folder, "uci-news").texts
    short = [text for text in dict.fromkeys(pool) if SHORTEST <= len(_PIECES.findall(text)) <= LONGEST]
    articles: list[str] = []
    if sets.is_there(folder, "semeval2025"):
        narratives = sets.load_narratives(folder)
        for text, lang in zip(narratives.documents, narratives.languages, strict=True):
            words = text.split() if lang == "en" else []
            articles += [" ".join(words[at : at + ARTICLE_WORDS]) for at in range(0, len(words) - ARTICLE_WORDS + 1, ARTICLE_WORDS)]
    if not short or not articles:
        raise InputError(f"{len(short)} short texts and {len(articles)} articles in {folder}", "sts, flores or uci-news, and semeval2025")
    return SpeedTexts(short[:SHORT_LIMIT], articles)


def footprint(encoder: str, texts: SpeedTexts, *, batch: bool = False) -> Footprint:
    """Measure `encoder` in fresh processes.

    Parameters
    ----------
    encoder
        A name for `load_encoder`, or for `greyzone.eval.encoders.rivals.open_rival` if `batch`.
    texts
        What it is timed with.
    batch
        It must be fitted on the batch: no cold start is measured, and a rate includes the fit.

    Raises
    ------
    EncoderError
        If it cannot be loaded or fails.
    """
    given = {"encoder": encoder, "batch": batch, "texts": {"short": texts.short, "article": texts.articles}}
    run = _child(_RUN, encoder, json.dumps(given))
    starts = [] if batch else [_child(_START, encoder, "") for _ in range(STARTS)]
    return Footprint(
        short_rate=float(run["rates"]["short"]),
        article_rate=float(run["rates"]["article"]),
        run_mib=run["bytes"] / 2**20,
        cold_start=min((float(start["seconds"]) for start in starts), default=None),
        start_mib=max((start["bytes"] / 2**20 for start in starts), default=None),
        loads_torch=any(start["torch"] for start in starts) if starts else None,
    )


def rate(encode: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    """Return texts a second of processor time: the best of `PASSES`, each over texts that none before it had.

    A pass takes as many texts as `PASS_SECONDS` allow. Encoders may keep the words that they have met, as they would within a corpus.
    """
    parts = [texts[start::PASSES] for start in range(min(PASSES, len(texts)))]
    trial = parts[0][:64]
    encode(trial)
    count = max(len(trial), int(PASS_SECONDS * len(trial) / _seconds(encode, trial)))
    return max(len(part[:count]) / _seconds(encode, part[:count]) for part in parts)


def _seconds(encode: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    begun = time.process_time()
    encode(texts)
    return max(time.process_time() - begun, 1e-9)


def _child(code: str, encoder: str, stdin: str) -> dict[str, Any]:
    """Run `code` in a fresh process on one core and return the JSON of its last line."""
    one = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "RAYON_NUM_THREADS")
    env = {**os.environ, **dict.fromkeys(one, "1"), "TOKENIZERS_PARALLELISM": "false"}
    prefix = ""
    if hasattr(os, "sched_setaffinity"):
        prefix = f"import os; os.sched_setaffinity(0, {{{max(os.sched_getaffinity(0))}}})\n"
    command = [sys.executable, "-c", prefix + code, encoder]
    done = subprocess.run(command, input=stdin, env=env, capture_output=True, text=True, check=False)  # noqa: S603 - our own code
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EncoderError(f"{encoder!r} failed in a process of its own ({last})", "an encoder that can be loaded")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
