"""Slot grammars: how a handful of sentence frames becomes many differently worded texts, in several languages.

A frame is one sentence with slots, ``"{op} {knew} that {rot}."``; a slot holds synonyms. A text joins one to three different frames
of one narrative and language, so that two texts of a narrative share what it claims and rarely how it is worded. The tables of
``scenario/*.yaml`` hold frames and slots; every organisation, person, place of work and domain in them is invented.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
import yaml

BLOCK = 1 << 14
"""Uniform draws fetched from NumPy at a time: one at a time would cost more than the text."""

_SLOT = re.compile(r"\{(\w+)\}")
_ONSETS = ("b", "br", "d", "dr", "f", "fl", "g", "gl", "h", "k", "kr", "l", "m", "n", "p", "pl", "r", "s", "sk", "st", "t", "tr", "v", "z")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "io")
_CODAS = ("", "l", "n", "r", "s", "m", "nd", "rk", "lt")
_CYRILLIC = str.maketrans(
    dict(
        zip(
            "abdefghijklmnoprstuvz",
            ("а", "б", "д", "е", "ф", "г", "х", "и", "й", "к", "л", "м", "н", "о", "п", "р", "с", "т", "у", "в", "з"),
            strict=True,
        )
    )
)

Frame = tuple[tuple[str, str], ...]
"""(literal before, name of the slot after) pairs; the last slot is ""."""


class Draws:
    """Reproducible draws in the order they are asked for, fetched in blocks from one NumPy generator.

    Parameters
    ----------
    generator
        Source of the uniform numbers.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._block: list[float] = []

    def unit(self) -> float:
        """Return a uniform number in [0, 1)."""
        if not self._block:
            self._block = self._generator.random(BLOCK).tolist()
        return self._block.pop()

    def below(self, bound: int) -> int:
        """Return a uniform integer in [0, bound)."""
        return int(self.unit() * bound)

    def pick(self, options: Sequence[str]) -> str:
        """Return one of `options`."""
        return options[int(self.unit() * len(options))]

    def sample(self, size: int, bound: int) -> list[int]:
        """Return `size` different integers below `bound`, in random order (all of them if `size` is larger)."""
        pool = list(range(bound))
        size = min(size, bound)
        for position in range(size):
            other = position + self.below(bound - position)
            pool[position], pool[other] = pool[other], pool[position]
        return pool[:size]


@dataclass(frozen=True, slots=True)
class Grammar:
    """Frames and slots of one language."""

    frames: tuple[Frame, ...]
    slots: dict[str, tuple[str, ...]]
    cyrillic: bool

    def sentence(self, draws: Draws, which: int) -> str:
        """Fill frame number `which` with drawn synonyms and give it a capital letter."""
        parts = []
        for literal, slot in self.frames[which]:
            parts.append(literal)
            if slot:
                parts.append(self._fill(slot, draws))
        text = "".join(parts)
        return text[0].upper() + text[1:]

    def text(self, draws: Draws, sentences: int) -> str:
        """Join `sentences` different frames."""
        chosen = draws.sample(sentences, len(self.frames)) if sentences > 1 else (draws.below(len(self.frames)),)
        return " ".join([self.sentence(draws, which) for which in chosen])

    def _fill(self, slot: str, draws: Draws) -> str:
        if slot == "n":
            return str(2 + draws.below(94))
        if slot in ("town", "name"):
            return invented_word(draws, cyrillic=self.cyrillic)
        return draws.pick(self.slots[slot])


def grammar(frames: Sequence[str], slots: dict[str, list[str]], language: str) -> Grammar:
    """Compile frames and check that every slot they name exists; ``{Thing}`` reads the slot ``thing``."""
    table = {name: tuple(values) for name, values in slots.items()}
    table.update({name.capitalize(): values for name, values in table.items()})
    compiled = []
    for frame in frames:
        parts = _SLOT.split(frame)
        compiled.append(tuple(zip(parts[0::2], [*parts[1::2], ""], strict=True)))
        for slot in parts[1::2]:
            if slot not in table and slot not in ("n", "town", "name"):
                raise KeyError(f"frame {frame!r} names the unknown slot {slot!r}")
    return Grammar(tuple(compiled), table, language in ("ru", "uk"))


def invented_word(draws: Draws, *, cyrillic: bool = False) -> str:
    """Return a capitalised word of two or three invented syllables."""
    word = "".join([draws.pick(_ONSETS) + draws.pick(_VOWELS) + draws.pick(_CODAS) for _ in range(2 + draws.below(2))])
    return (word.translate(_CYRILLIC) if cyrillic else word).capitalize()


@lru_cache(maxsize=8)
def load(name: str) -> object:
    """Read ``scenario/<name>.yaml``."""
    text = resources.files("greyzone.eval.scenario").joinpath(f"{name}.yaml").read_text("utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(text, Loader=loader)  # noqa: S506 (both loaders are the safe ones)
