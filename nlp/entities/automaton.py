"""All names in a run of words at once (Aho and Corasick, "Efficient string matching", CACM 18(6), 1975), with words for letters.

A trie of the names, a failure link from every state to the longest suffix of its words that begins a name, and at every state the names
that end there. Each word of a text moves one state forward or falls along failure links, which it can do no oftener than it moved: the
time is linear in the text plus the names found, however many names there are. Words for letters make word boundaries exact in all scripts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Automaton:
    """The states of the machine.

    Attributes
    ----------
    ways
        State to word to next state; state 0 is the start.
    back
        State to the state of its longest proper suffix.
    ends
        State to the lengths in words of the names that end in it, the longest first.
    """

    ways: tuple[dict[str, int], ...]
    back: tuple[int, ...]
    ends: tuple[tuple[int, ...], ...]

    def find(self, words: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Yield [first, last) of every name in `words`, by its end, the longest first."""
        ways, back, ends = self.ways, self.back, self.ends
        start = ways[0]
        state = 0
        for at, word in enumerate(words):
            if not state and word not in start:
                continue
            while state and word not in ways[state]:
                state = back[state]
            state = ways[state].get(word, 0)
            for length in ends[state]:
                yield at + 1 - length, at + 1


def build_automaton(names: Iterable[Sequence[str]]) -> Automaton:
    """Build the machine for names given as their words; empty ones are passed over."""
    ways: list[dict[str, int]] = [{}]
    own: list[int] = [0]
    for name in sorted(tuple(name) for name in names):
        state = 0
        for word in name:
            if word not in ways[state]:
                ways[state][word] = len(ways)
                ways.append({})
                own.append(0)
            state = ways[state][word]
        own[state] = len(name)
    back = [0] * len(ways)
    ends: list[tuple[int, ...]] = [()] * len(ways)
    ready = deque(ways[0].values())
    for state in ready:
        ends[state] = (own[state],) if own[state] else ()
    while ready:
        state = ready.popleft()
        for word, following in ways[state].items():
            fall = back[state]
            while fall and word not in ways[fall]:
                fall = back[fall]
            back[following] = ways[fall].get(word, 0)
            ends[following] = ((own[following],) if own[following] else ()) + ends[back[following]]
            ready.append(following)
    return Automaton(tuple(ways), tuple(back), tuple(ends))


def outermost(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans that lie in no other one ("Bear" in "Fancy Bear" is no name of its own), ascending."""
    kept: list[tuple[int, int]] = []
    for first, last in sorted(set(spans), key=lambda span: (span[0], -span[1])):
        if not kept or last > kept[-1][1]:
            kept.append((first, last))
    return kept
