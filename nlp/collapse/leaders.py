"""Which texts lead and which follow: each follows the most similar earlier text that follows none, if it is similar enough.

Texts come in their order, a chunk at a time. A text is looked up among the leaders so far, never among all texts, so that one story
in 500,000 versions costs one comparison each. Within a chunk all pairs are looked up at once if they are few; else the first half is
settled first and the second half is looked up among its leaders. Both ways give the same, and so does any size of chunk.

A text of a kind that many leaders are a little too far from (a form letter with several blanks) shares parts with all of them. Where
its candidates would cost more than one look at the sketch of every leader, it takes that look: this bounds the time for one text. Where
many pairs are left by then, they are asked for the grams that few leaders have (`greyzone.collapse.rare`) before any is verified.

The leaders' parts are held in sorted runs, each at least twice as long as the next (O'Neil, Cheng, Gawlick and O'Neil, Acta
Informatica 1996): adding leaders costs a merge that is rare in the measure that it is long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from greyzone.collapse.grams import Hashes, Ints, Keys, Ragged, Sizes, differing, gram_sets, jaccard, sketches
from greyzone.collapse.rare import RareGrams
from greyzone.ranges import ranges

Scores = npt.NDArray[np.float64]
Texts = Callable[[Ints], Sequence[str]]
"""Return the normal forms at these places."""

PAIRS_AT_ONCE = 2**20
"""Candidates held at once."""

FEW_PAIRS = 2**22
"""Candidates up to which a stretch of a chunk is looked up in itself; half of a longer one goes first."""

SMALL = 64
"""A stretch this short is always looked up in itself."""

SCANNED = 0.25
"""A text with more candidates than so many of the leaders of a run is compared with the sketches of them all."""

SCANNED_AT_ONCE = 2**24
"""Pairs that are scanned at once."""

VERIFIED_AT_ONCE = 2**15
"""Pairs whose gram sets are held at once; more than these are asked for their rare grams first."""

LEADERS_AT_ONCE, ROWS_AT_ONCE = 2**15, 2**7
"""Leaders and rows whose rare grams are compared at once."""

VERIFYING = 32
"""Candidates that cost as much as the verification of a pair."""

_TILE_ROWS, _TILE_NAMES = 16, 4096
"""What is scanned at once: the tile stays in the processor's cache."""

_LOW = np.uint64(2**32 - 1)
_HALF = np.uint64(32)


@dataclass(frozen=True, slots=True)
class Lookup:
    """What some texts of a chunk look up in one class: `rows` (m,), `keys` (m, parts), of which `needed` (m,) must be looked up."""

    number: int
    rows: Ints
    keys: Keys
    needed: Ints


@dataclass(frozen=True, slots=True)
class Signatures:
    """Sizes (n,) and sketches (n, 4) of a chunk's gram sets, and their lookups by class."""

    sizes: Ints
    sketches: Hashes
    lookups: tuple[Lookup, ...]


def sign(texts: Sequence[str], similarity: float) -> Signatures:
    """Return the signatures of normal forms; they hang on each text alone, so that chunks can be signed anywhere.

    An empty text is like no other and is never looked up.
    """
    sizes = np.zeros(len(texts), dtype=np.int64)
    drawn = np.zeros((len(texts), 4), dtype=np.uint64)
    found: dict[int, list[Lookup]] = {}
    classes = Sizes.at(similarity)
    written = np.flatnonzero(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)))
    for group, sets in gram_sets([texts[place] for place in written.tolist()]):
        places = written[group]
        own = np.diff(sets.starts)
        sizes[places], drawn[places] = own, sketches(sets)
        for number in range(len(classes.parts)):
            fits, needed = classes.within(own, number)
            if fits.any():
                chosen = np.flatnonzero(fits)
                keys = classes.keys(_chosen(sets, chosen), number)
                found.setdefault(number, []).append(Lookup(number, places[chosen], keys, needed[chosen]))
    return Signatures(sizes, drawn, tuple(_joined(found[number]) for number in sorted(found)))


def _chosen(sets: Ragged, rows: Ints) -> Ragged:
    if len(rows) == len(sets.starts) - 1:
        return sets
    counts = np.diff(sets.starts)
    kept = np.zeros(len(counts), dtype=bool)
    kept[rows] = True
    return Ragged(sets.grams[np.repeat(kept, counts)], np.concatenate([[0], np.cumsum(counts[rows])]))


def _joined(lookups: list[Lookup]) -> Lookup:
    return Lookup(
        lookups[0].number,
        np.concatenate([lookup.rows for lookup in lookups]),
        np.concatenate([lookup.keys for lookup in lookups]),
        np.concatenate([lookup.needed for lookup in lookups]),
    )


@dataclass(frozen=True, slots=True)
class Run:
    """Parts of the leaders `names` (m,): sorted `entries` (key in the high half, name in the low); 2^`bits` ranges of keys `begins`."""

    entries: Hashes
    names: Ints
    bits: int
    begins: npt.NDArray[np.int64]

    @classmethod
    def of(cls, entries: Hashes, names: Ints) -> Run:
        """Return the run of entries that are sorted."""
        bits = max(1, len(entries).bit_length())
        counts = np.bincount((entries >> np.uint64(64 - bits)).astype(np.int64), minlength=2**bits)
        return cls(entries, names, bits, np.concatenate([[0], np.cumsum(counts)]))

    def ranges(self, keys: Keys) -> tuple[Ints, Ints]:
        """Return where the entries of each key's range begin and how many there are."""
        cells = (keys >> np.uint32(32 - self.bits)).astype(np.int64)
        begins = self.begins[cells]
        return begins, self.begins[cells + 1] - begins


@dataclass(slots=True)
class Leaders:
    """The texts that follow none, numbered in the order in which they came: sizes (n,), sketches (n, 4) and runs of their parts."""

    similarity: float
    sizes: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    sketches: Hashes = field(default_factory=lambda: np.empty((0, 4), dtype=np.uint64))
    runs: list[Run] = field(default_factory=list)

    def copy(self) -> Leaders:
        """Return leaders that can grow without these."""
        return Leaders(self.similarity, self.sizes, self.sketches, list(self.runs))

    def add(self, signatures: Signatures, rows: Ints) -> None:
        """Append rows of a chunk as leaders."""
        names = np.arange(len(self.sizes), len(self.sizes) + len(rows))
        entries = _entries(signatures, rows, names, self.similarity)
        self.sizes = np.concatenate([self.sizes, signatures.sizes[rows]])
        self.sketches = np.concatenate([self.sketches, signatures.sketches[rows]])
        while self.runs and len(entries) and len(self.runs[-1].entries) <= 2 * len(entries):
            last = self.runs.pop()
            entries, names = np.concatenate([last.entries, entries]), np.concatenate([last.names, names])
            entries.sort(kind="stable")
        if len(entries):
            self.runs.append(Run.of(entries, names))


def _entries(signatures: Signatures, rows: Ints, names: Ints, similarity: float) -> Hashes:
    """Return the sorted entries of the chosen rows under their names, each in its own class."""
    name = np.full(len(signatures.sizes), -1, dtype=np.int64)
    name[rows] = names
    own = Sizes.at(similarity).of(signatures.sizes)
    parts = [np.empty(0, dtype=np.uint64)]
    for lookup in signatures.lookups:
        kept = (own[lookup.rows] == lookup.number) & (name[lookup.rows] >= 0)
        named = name[lookup.rows[kept]].astype(np.uint64)
        parts.append(((lookup.keys[kept].astype(np.uint64) << _HALF) | named[:, None]).ravel())
    entries = np.concatenate(parts)
    entries.sort()
    return entries


def follow(signatures: Signatures, forms: Sequence[str], leaders: Leaders, led: Texts) -> tuple[Ints, Scores, npt.NDArray[np.bool_]]:
    """Settle a chunk and add its leaders.

    Parameters
    ----------
    signatures, forms
        The chunk's texts, in order; later than all leaders.
    leaders
        The leaders so far; those of the chunk are appended.
    led
        Tells the normal forms of leaders by their numbers.

    Returns
    -------
    leader, similarity, leads
        (n,) int64 number of each text's leader, its own for a leader; (n,) float64 Jaccard similarity with it; (n,) whether it leads.
    """
    search = _Search(signatures, forms, leaders, led)
    everything = np.arange(len(forms))
    for run in leaders.runs:
        found = search.similar(everything, run, leaders.sizes, leaders.sketches, within=False)
        search.take(*found)
    search.settle(0, len(forms))
    fresh = np.flatnonzero(search.best < 0)
    number = np.full(len(forms), -1, dtype=np.int64)
    number[fresh] = len(leaders.sizes) + np.arange(len(fresh))
    leaders.add(signatures, fresh)
    leader = np.where(search.best < 0, number, search.best)
    inside = search.best >= search.count
    leader[inside] = number[search.best[inside] - search.count]
    return leader, np.where(search.best < 0, 1.0, search.score), search.best < 0


class _Search:
    """The state of one chunk: `best` leader of each row (-1: none; `count` + row for one of the chunk) and its `score`."""

    def __init__(self, signatures: Signatures, forms: Sequence[str], leaders: Leaders, led: Texts) -> None:
        self.signatures, self.forms, self.leaders, self.led = signatures, forms, leaders, led
        self.count = len(leaders.sizes)
        self.best = np.full(len(forms), -1, dtype=np.int64)
        self.score = np.zeros(len(forms))

    def settle(self, begin: int, end: int) -> None:
        """Settle the rows from `begin` to `end` among themselves."""
        rows = np.arange(begin, end)
        open_rows = rows[self.best[begin:end] < 0]
        if len(open_rows) == 0 or end - begin < 2:
            return
        run = self._run(open_rows)
        if end - begin > SMALL and self._candidates(rows, run) > FEW_PAIRS:
            middle = (begin + end) // 2
            self.settle(begin, middle)
            ahead = np.arange(begin, middle)
            first = self._run(ahead[self.best[begin:middle] < 0])
            row, leader, score = self._inside(np.arange(middle, end), first)
            self.take(row, leader + self.count, score)
            self.settle(middle, end)
            return
        row, leader, score = self._inside(rows, run)
        order = np.lexsort((leader, row))
        for place, other, found in zip(row[order].tolist(), leader[order].tolist(), score[order].tolist(), strict=True):
            if self.best[other] < 0 and found > self.score[place]:
                self.best[place], self.score[place] = other + self.count, found

    def take(self, row: Ints, leader: Ints, score: Scores) -> None:
        """Give rows a better leader; among equals the first keeps its followers."""
        order = np.lexsort((leader, -score, row))
        row, leader, score = row[order], leader[order], score[order]
        first = np.flatnonzero(np.diff(row, prepend=-1))
        row, leader, score = row[first], leader[first], score[first]
        better = (score > self.score[row]) | ((score == self.score[row]) & (leader < self.best[row]))
        self.best[row[better]], self.score[row[better]] = leader[better], score[better]

    def _run(self, rows: Ints) -> Run:
        return Run.of(_entries(self.signatures, rows, rows, self.leaders.similarity), rows)

    def _inside(self, rows: Ints, run: Run) -> tuple[Ints, Ints, Scores]:
        return self.similar(rows, run, self.signatures.sizes, self.signatures.sketches, within=True)

    def _candidates(self, rows: Ints, run: Run) -> int:
        """Return about how many candidates there are; whatever is scanned may have to be verified, which costs as much as many."""
        lookups, scanned = self._looked_up(rows, run)
        return sum(int(counts.sum()) for _, _, _, counts in lookups) + VERIFYING * len(scanned) * len(run.names)

    def _looked_up(self, rows: Ints, run: Run) -> tuple[list[tuple[Ints, Keys, Ints, Ints]], Ints]:
        """Return (row, key, where its range begins, entries in it) of the least that must be looked up, and the rows to be scanned."""
        wanted = np.zeros(len(self.forms), dtype=bool)
        wanted[rows] = True
        found = []
        totals = np.zeros(len(self.forms), dtype=np.int64)
        for lookup in self.signatures.lookups:
            kept = np.flatnonzero(wanted[lookup.rows])
            if len(kept) == 0:
                continue
            begins, counts = run.ranges(lookup.keys[kept])
            # The fullest ranges come last and are left out: see `greyzone.collapse.grams`.
            order = np.sort((counts << 24) | np.arange(counts.shape[1]), axis=1)
            chosen = (np.arange(counts.shape[1]) < lookup.needed[kept][:, None]) & (order >> 24 > 0)
            totals[lookup.rows[kept]] += np.where(chosen, order >> 24, 0).sum(axis=1)
            line, place = np.nonzero(chosen)
            column = order[line, place] & (2**24 - 1)
            found.append((lookup.rows[kept][line], lookup.keys[kept[line], column], begins[line, column], counts[line, column]))
        heavy = totals > max(SMALL, SCANNED * len(run.names))
        if heavy.any():
            light = [~heavy[row] for row, _, _, _ in found]
            found = [(row[mask], key[mask], begin[mask], count[mask]) for (row, key, begin, count), mask in zip(found, light, strict=True)]
        return found, np.flatnonzero(heavy)

    def similar(self, rows: Ints, run: Run, sizes: Ints, drawn: Hashes, *, within: bool) -> tuple[Ints, Ints, Scores]:
        """Return (row, leader, similarity) of all pairs that are similar enough; `within`: the run's names are rows of the chunk."""
        lookups, heavy = self._looked_up(rows, run)
        found = [self._decided(*self._promising(lookups, run, sizes, drawn, within=within), sizes, within=within)]
        step = max(_TILE_ROWS, SCANNED_AT_ONCE // max(1, len(run.names)))
        for begin in range(0, len(heavy), step):
            scanned = self._scanned(heavy[begin : begin + step], run, sizes, drawn)
            pairs = [self._possible(row, leader, sizes, drawn, within=within) for row, leader in scanned]
            found.append(self._decided(*_unpacked(pairs), sizes, within=within))
        row, leader, score = (np.concatenate(part) for part in zip(*found, strict=True))
        return row, leader, score

    def _decided(self, row: Ints, leader: Ints, sizes: Ints, *, within: bool) -> tuple[Ints, Ints, Scores]:
        """Return those of the pairs, which stand in order, that are similar enough, and how similar they are."""
        if len(row) > VERIFIED_AT_ONCE:
            kept = self._sharing(row, leader, sizes, within=within)
            row, leader = row[kept], leader[kept]
        score = np.empty(len(row))
        for begin in range(0, len(row), VERIFIED_AT_ONCE):
            part = slice(begin, begin + VERIFIED_AT_ONCE)
            score[part] = self._verified(row[part], leader[part], within=within)
        kept = score >= self.leaders.similarity
        return row[kept], leader[kept], score[kept]

    def _sharing(self, row: Ints, leader: Ints, sizes: Ints, *, within: bool) -> npt.NDArray[np.bool_]:
        """Tell which of the pairs, which stand in order, may share as many grams as they must."""
        kept = np.zeros(len(row), dtype=bool)
        names = np.flatnonzero(np.bincount(leader))
        for first in range(0, len(names), LEADERS_AT_ONCE):
            some = names[first : first + LEADERS_AT_ONCE]
            index = RareGrams.of(_all_sets(self._forms_of(some, within=within)))
            chosen = np.flatnonzero((leader >= some[0]) & (leader <= some[-1]))
            texts = row[chosen][np.diff(row[chosen], prepend=-1) != 0]
            for begin in range(0, len(texts), ROWS_AT_ONCE):
                group = texts[begin : begin + ROWS_AT_ONCE]
                part = chosen[slice(*np.searchsorted(row[chosen], [group[0], group[-1] + 1]))]
                shared = index.shared(_all_sets([self.forms[place] for place in group.tolist()]))
                common = shared[np.searchsorted(group, row[part]), np.searchsorted(some, leader[part])]
                own, other = self.signatures.sizes[row[part]], sizes[leader[part]]
                kept[part] = own + other - 2 * common <= differing(own, other, self.leaders.similarity)
        return kept

    def _forms_of(self, leader: Ints, *, within: bool) -> Sequence[str]:
        return [self.forms[place] for place in leader.tolist()] if within else self.led(leader)

    def _promising(
        self, lookups: list[tuple[Ints, Keys, Ints, Ints]], run: Run, sizes: Ints, drawn: Hashes, *, within: bool
    ) -> tuple[Ints, Ints]:
        """Return the pairs that share a part and whose sizes and sketches allow them to be similar, in order, each once."""
        pairs = []
        for row, key, begins, counts in lookups:
            ends = np.cumsum(counts)
            begin = 0
            while begin < len(counts):
                done = ends[begin - 1] if begin else 0
                end = max(begin + 1, int(np.searchsorted(ends, done + PAIRS_AT_ONCE, side="right")))
                count = counts[begin:end]
                entries = run.entries[ranges(begins[begin:end], count)]
                same = (entries >> _HALF) == np.repeat(key[begin:end], count)
                leader = (entries[same] & _LOW).astype(np.int64)
                pairs.append(self._possible(np.repeat(row[begin:end], count)[same], leader, sizes, drawn, within=within))
                begin = end
        return _unpacked(pairs)

    def _scanned(self, rows: Ints, run: Run, sizes: Ints, drawn: Hashes) -> Iterator[tuple[Ints, Ints]]:
        """Yield the pairs of rows and leaders of a run whose sketches are no further apart than those of any similar pair."""
        words = np.ascontiguousarray(drawn[run.names].T)
        own = self.signatures.sizes[rows]
        most = differing(own, np.minimum(np.floor(own / self.leaders.similarity + 1e-9), sizes.max(initial=1)), self.leaders.similarity)
        for begin in range(0, len(rows), _TILE_ROWS):
            tile = rows[begin : begin + _TILE_ROWS]
            for first in range(0, len(run.names), _TILE_NAMES):
                apart = np.zeros((len(tile), words[0, first : first + _TILE_NAMES].size), dtype=np.uint16)
                for word in range(len(words)):
                    apart += np.bitwise_count(self.signatures.sketches[tile, word][:, None] ^ words[word, first : first + _TILE_NAMES])
                line, place = np.nonzero(apart <= most[begin : begin + _TILE_ROWS, None])
                yield tile[line], run.names[first + place]

    def _possible(self, row: Ints, leader: Ints, sizes: Ints, drawn: Hashes, *, within: bool) -> Hashes:
        """Return the pairs, packed, whose sizes and sketches allow them to be similar; `within`: whose leader comes first."""
        if within:
            row, leader = row[leader < row], leader[leader < row]
        own, other = self.signatures.sizes[row], sizes[leader]
        most = differing(own, other, self.leaders.similarity)
        kept = np.abs(own - other) <= most
        row, leader, most = row[kept], leader[kept], most[kept]
        apart = np.bitwise_count(self.signatures.sketches[row] ^ drawn[leader]).sum(axis=1)
        kept = apart <= most
        packed: Hashes = (row[kept].astype(np.uint64) << _HALF) | leader[kept].astype(np.uint64)
        return packed

    def _verified(self, row: Ints, leader: Ints, *, within: bool) -> Scores:
        own, left = np.unique(row, return_inverse=True)
        other, right = np.unique(leader, return_inverse=True)
        ours = [self.forms[place] for place in own.tolist()]
        return jaccard(_all_sets(ours), _all_sets(self._forms_of(other, within=within)), (left, right))


def _unpacked(pairs: list[Hashes]) -> tuple[Ints, Ints]:
    """Return packed pairs in order, each once."""
    packed = np.concatenate([np.empty(0, dtype=np.uint64), *pairs])
    # By hand: np.unique hashes whole numbers before it sorts them, which takes several times as long.
    packed.sort()
    packed = packed[np.diff(packed, prepend=~packed[:1]) != 0]
    return (packed >> _HALF).astype(np.int64), (packed & _LOW).astype(np.int64)


def _all_sets(texts: Sequence[str]) -> Ragged:
    """Return the gram sets of a few texts in their order."""
    groups = list(gram_sets(texts))
    place = np.concatenate([places for places, _ in groups])
    counts = np.empty(len(texts), dtype=np.int64)
    for places, sets in groups:
        counts[places] = np.diff(sets.starts)
    starts = np.concatenate([[0], np.cumsum(counts)])
    grams = np.concatenate([sets.grams for _, sets in groups])
    taken = ranges(starts[place], counts[place])
    arranged = np.empty_like(grams)
    arranged[taken] = grams
    return Ragged(arranged, starts)
