"""Who carried a narrative, when, and how far it got.

First movers. The accounts (outlets, where a document has no account) that certainly were there first, each with its earliest document:
ordered by the end of the interval of its date, then by its beginning, then by name. Documents not known to the day do not count, for
a month says nothing of who was first.

Breakout. The scale of Nimmo (2020), from what a corpus can show: 1 is one platform and one community, 2 several of one of them,
3 several of both. Several languages count as several communities, one account as one; otherwise communities are unknown and the mass
is halved. 4 needs mainstream outlets, 5 a prominent voice, 6 a political reaction or violence: none can be seen here, so the
doctrine (``breakout``) leaves them mass instead of none, more for 4 the more outlets carry the story.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from greyzone.narratives.frame import Frame, Ints
from greyzone.records import FIRST_MOVERS, SPREAD, STRINGS, TIME

FIRST = 5
"""First movers told of a narrative."""

_KINDS = {"language": "lang", "outlet": "outlet", "platform": "platform"}


def spread(frame: Frame, scale: Mapping[str, float]) -> dict[str, pa.Array]:
    """Return the columns that tell who carried each narrative.

    Parameters
    ----------
    frame
        The documents.
    scale
        Numbers of the doctrine's section ``breakout``.

    Returns
    -------
    dict
        accounts, outlets, platforms, languages, first_movers, spread, breakout.
    """
    counted = {name: _counted(frame, name) for name in ("account", "outlet", "platform", "lang")}
    accounts, outlets = (np.bincount(counted[name][0], minlength=frame.clusters) for name in ("account", "outlet"))
    named = {name: _counters(frame, name, counted[name]) for name in ("platform", "lang")}
    masses = [
        breakout(platforms, languages, own, papers, scale=scale)
        for platforms, languages, own, papers in zip(named["platform"], named["lang"], accounts.tolist(), outlets.tolist(), strict=True)
    ]
    return {
        "accounts": pa.array(accounts),
        "outlets": pa.array(outlets),
        "platforms": pa.array([list(found) for found in named["platform"]], STRINGS),
        "languages": pa.array([list(found) for found in named["lang"]], STRINGS),
        "first_movers": _first_movers(frame),
        "spread": _over_time(frame, counted),
        "breakout": pa.array(masses, pa.list_(pa.float64())),
    }


def _counted(frame: Frame, name: str) -> tuple[Ints, Ints, Ints]:
    """Return (narrative, code, documents) of a coded column: by narrative, then most documents, then name."""
    coded = frame.coded[name]
    rows = frame.inside[coded.code[frame.inside] >= 0]
    keys, counts = np.unique(frame.label[rows] * max(1, len(coded.names)) + coded.code[rows], return_counts=True)
    cluster, code = np.divmod(keys, max(1, len(coded.names)))
    order = np.lexsort((code, -counts, cluster))
    return cluster[order], code[order], counts[order].astype(np.int64)


def _counters(frame: Frame, name: str, counted: tuple[Ints, Ints, Ints]) -> list[Counter[str]]:
    found: list[Counter[str]] = [Counter() for _ in range(frame.clusters)]
    names = frame.coded[name].names
    for cluster, code, count in zip(*(column.tolist() for column in counted), strict=True):
        found[cluster][names[code]] = count
    return found


def _first_movers(frame: Frame) -> pa.Array:
    account, outlet = frame.coded["account"], frame.coded["outlet"]
    # Accounts come before outlets; within a kind codes are in the order of the names.
    code = np.where(account.code >= 0, account.code, np.where(outlet.code >= 0, outlet.code + len(account.names), -1))
    rows = frame.inside[frame.exact[frame.inside] & (code[frame.inside] >= 0)]
    order = rows[np.lexsort((rows, frame.begins[rows], frame.ends[rows], code[rows], frame.label[rows]))]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = (frame.label[order[1:]] != frame.label[order[:-1]]) | (code[order[1:]] != code[order[:-1]])
    firsts = order[starts]
    firsts = firsts[np.lexsort((code[firsts], frame.begins[firsts], frame.ends[firsts], frame.label[firsts]))]
    bounds = np.searchsorted(frame.label[firsts], np.arange(frame.clusters + 1))
    firsts = firsts[np.arange(len(firsts)) - bounds[frame.label[firsts]] < FIRST]
    bounds = np.searchsorted(frame.label[firsts], np.arange(frame.clusters + 1))
    kinds = ["account"] * len(account.names) + ["outlet"] * len(outlet.names)
    found = code[firsts].tolist()
    names = [*account.names, *outlet.names]
    columns = [
        pa.array([kinds[number] for number in found], pa.string()),
        pa.array([names[number] for number in found], pa.string()),
        frame.doc_id.take(pa.array(firsts)),
        pa.array(frame.begins[firsts]).cast(TIME),
        pa.array(frame.ends[firsts]).cast(TIME),
    ]
    # Nothing can be said of a narrative without such a document.
    mask = pa.array(bounds[1:] == bounds[:-1])
    entries = pa.StructArray.from_arrays(columns, fields=list(FIRST_MOVERS.value_type))
    return pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), entries, mask=mask)


def _over_time(frame: Frame, counted: Mapping[str, tuple[Ints, Ints, Ints]]) -> pa.Array:
    """Return for each narrative its languages, outlets and platforms with their documents, first and last date."""
    parts = []
    for kind, name in _KINDS.items():
        cluster, code, documents = counted[name]
        lo, hi = _dates(frame, name, cluster, code)
        names = pa.array(frame.coded[name].names, pa.string()).take(pa.array(code))
        parts.append((cluster, pa.array([kind] * len(code), pa.string()), names, documents, lo, hi))
    cluster = np.concatenate([part[0] for part in parts])
    order = np.argsort(cluster, kind="stable")
    columns = [
        pa.concat_arrays([part[1] for part in parts]).take(pa.array(order)),
        pa.concat_arrays([part[2] for part in parts]).take(pa.array(order)),
        pa.array(np.concatenate([part[3] for part in parts])[order]),
        pa.array(np.concatenate([part[4] for part in parts])[order]).cast(TIME),
        pa.array(np.concatenate([part[5] for part in parts])[order]).cast(TIME),
    ]
    bounds = np.searchsorted(cluster[order], np.arange(frame.clusters + 1))
    return pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), pa.StructArray.from_arrays(columns, fields=list(SPREAD.value_type)))


def _dates(frame: Frame, name: str, cluster: Ints, code: Ints) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and last beginning of a date among the documents of each (narrative, code), NaT where none is dated."""
    lo, hi = (np.full(len(code), np.datetime64("NaT"), dtype="datetime64[us]") for _ in range(2))
    wide = max(1, len(frame.coded[name].names))
    rows = frame.inside[(frame.coded[name].code[frame.inside] >= 0) & ~np.isnat(frame.begins[frame.inside])]
    if not len(rows):
        return lo, hi
    keys = frame.label[rows] * wide + frame.coded[name].code[rows]
    order = np.argsort(keys, kind="stable")
    found, starts = np.unique(keys[order], return_index=True)
    begins = frame.begins[rows[order]]
    asked = cluster * wide + code
    place = np.minimum(np.searchsorted(found, asked), len(found) - 1)
    met = found[place] == asked
    lo[met] = np.minimum.reduceat(begins, starts)[place[met]]
    hi[met] = np.maximum.reduceat(begins, starts)[place[met]]
    return lo, hi


def breakout(platforms: Counter[str], languages: Counter[str], accounts: int, outlets: int, *, scale: Mapping[str, float]) -> list[float]:
    """Return P(category 1..6) of the breakout scale by the rule of this module's docstring.

    Parameters
    ----------
    platforms, languages
        Documents by platform and by language ("und" is no language).
    accounts, outlets
        Distinct accounts and outlets.
    scale
        Numbers of the doctrine's section ``breakout``.

    Returns
    -------
    list of float
        Six masses that sum to 1.
    """
    spoken = Counter({name: number for name, number in languages.items() if name != "und"})
    lesser = scale["lesser_share"]
    platform = _several(platforms, lesser) if platforms else 0.5
    one_voice = 0.0 if accounts == 1 else 0.5
    community = _several(spoken, lesser) or one_voice
    several = platform + community - platform * community
    both = platform * community
    fourth = max(scale["unseen_4"], min(scale["outlet_ceiling"], scale["per_outlet"] * outlets))
    fifth, sixth = scale["unseen_5"], scale["unseen_6"]
    rest = 1.0 - fourth - fifth - sixth
    return [rest * (1.0 - several), rest * (several - both), rest * both, fourth, fifth, sixth]


def _several(counts: Counter[str], lesser: float) -> float:
    """Return 1 if more than one has a share of `lesser` of the documents, else 0."""
    total = counts.total()
    return float(sum(number >= lesser * total for number in counts.values()) > 1)
