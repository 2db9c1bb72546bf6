"""What a pass over documents has learnt of their copies, so that later documents need not look at the earlier ones again.

The index holds every distinct text as a 128-bit digest with the representative that it follows, and of every representative its text
and the signature of `greyzone.collapse.leaders`. It is kept in a folder of Arrow files that are mapped, not read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from greyzone.collapse.grams import Hashes, Ints
from greyzone.collapse.leaders import Leaders, Run
from greyzone.errors import InputError
from greyzone.records import TIME

REPRESENTATIVES = pa.schema(
    [
        pa.field("doc_id", pa.string()),
        pa.field("published_at", TIME),
        pa.field("text", pa.large_string()),
        pa.field("last_id", pa.string()),
        pa.field("last_at", TIME),
    ]
)
"""One row a representative, in the order in which they came: what it is compared by, and the latest dated document of its set."""


@dataclass(frozen=True, slots=True)
class Known:
    """Distinct texts: sorted `digests` (n, 2), the number of the representative that each follows, how near, and whether `near`."""

    digests: Hashes
    leader: Ints
    similarity: npt.NDArray[np.float64]
    near: npt.NDArray[np.bool_]

    @classmethod
    def none(cls) -> Known:
        """Return no texts."""
        return cls(np.empty((0, 2), np.uint64), np.empty(0, np.int64), np.empty(0), np.empty(0, dtype=bool))

    def with_more(self, more: Known) -> Known:
        """Return both together."""
        digests = np.concatenate([self.digests, more.digests])
        order = np.lexsort((digests[:, 1], digests[:, 0]))
        leader, similarity = np.concatenate([self.leader, more.leader]), np.concatenate([self.similarity, more.similarity])
        return Known(digests[order], leader[order], similarity[order], np.concatenate([self.near, more.near])[order])

    def find(self, digests: Hashes) -> Ints:
        """Return (n,) places of (n, 2) digests, -1 for those that are not known."""
        place = np.searchsorted(self.digests[:, 0], digests[:, 0])
        found = np.full(len(digests), -1, dtype=np.int64)
        looking = np.arange(len(digests))
        while len(looking):
            looking = looking[place[looking] < len(self.digests)]
            looking = looking[self.digests[place[looking], 0] == digests[looking, 0]]
            same = self.digests[place[looking], 1] == digests[looking, 1]
            found[looking[same]] = place[looking[same]]
            looking = looking[~same]
            place[looking] += 1
        return found


def digest(keys: Sequence[str]) -> Hashes:
    """Return (n, 2) uint64 of the BLAKE2b digests of strings."""
    joined = b"".join(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest() for key in keys)
    return np.frombuffer(joined, dtype="<u8").astype(np.uint64).reshape(-1, 2)


@dataclass(frozen=True, slots=True)
class CopyIndex:
    """What is known of the copies among some documents.

    Parameters
    ----------
    known
        Their distinct texts.
    representatives
        `REPRESENTATIVES`.
    leaders
        Signatures of the representatives, in that order.
    """

    known: Known
    representatives: pa.Table
    leaders: Leaders

    @classmethod
    def empty(cls, similarity: float) -> CopyIndex:
        """Return the index of no documents."""
        return cls(Known.none(), REPRESENTATIVES.empty_table(), Leaders(similarity))

    def write(self, folder: Path) -> None:
        """Write the index into a folder, which is made; an index that is there is replaced."""
        folder.mkdir(parents=True, exist_ok=True)
        signed = {"size": self.leaders.sizes, **{f"sketch_{word}": self.leaders.sketches[:, word] for word in range(4)}}
        known: dict[str, Any] = {"high": self.known.digests[:, 0], "low": self.known.digests[:, 1], "leader": self.known.leader}
        known |= {"similarity": self.known.similarity, "near": self.known.near}
        tables = {"known": pa.table(known), "leaders": pa.table(signed), "representatives": self.representatives}
        for place, run in enumerate(self.leaders.runs):
            tables |= {f"run-{place}": pa.table({"entry": run.entries}), f"names-{place}": pa.table({"name": run.names})}
        # Files of one index tell so by the texts that it knows.
        texts = hashlib.blake2b(self.known.digests.tobytes(), digest_size=16).hexdigest()
        stated = {"similarity": repr(self.leaders.similarity), "runs": str(len(self.leaders.runs)), "texts": texts}
        for name, table in tables.items():
            with pa.OSFile(str(folder / f"{name}.new"), "wb") as sink, pa.ipc.new_file(sink, table.schema.with_metadata(stated)) as writer:
                writer.write_table(table.combine_chunks().replace_schema_metadata(stated))
        for name in tables:
            # Over the old file, which may be mapped.
            (folder / f"{name}.new").replace(folder / f"{name}.arrow")
        for old in folder.glob("*.arrow"):
            if old.stem not in tables:
                old.unlink()

    @classmethod
    def read(cls, folder: Path) -> CopyIndex:
        """Map an index that was written.

        Raises
        ------
        InputError
            If the folder holds none, or files of several.
        """
        known = _mapped(folder, "known")
        stated = _stated(known)
        signed = _mapped(folder, "leaders", stated)
        runs = []
        for place in range(int(stated["runs"])):
            entries, names = _mapped(folder, f"run-{place}", stated), _mapped(folder, f"names-{place}", stated)
            runs.append(Run.of(_numbers(entries, "entry"), _numbers(names, "name")))
        sketches = np.stack([_numbers(signed, f"sketch_{word}") for word in range(4)], axis=1)
        leaders = Leaders(float(stated["similarity"]), _numbers(signed, "size"), sketches, runs)
        digests = np.stack([_numbers(known, "high"), _numbers(known, "low")], axis=1)
        texts = Known(digests, _numbers(known, "leader"), _numbers(known, "similarity"), _numbers(known, "near"))
        return cls(texts, _mapped(folder, "representatives", stated).replace_schema_metadata(None), leaders)


def _mapped(folder: Path, name: str, stated: dict[str, str] | None = None) -> pa.Table:
    try:
        table = pa.ipc.open_file(pa.memory_map(str(folder / f"{name}.arrow"))).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{folder} holds no index of copies ({error})", "a folder that CopyIndex.write made", "make it again") from None
    if "texts" not in _stated(table) or (stated is not None and _stated(table) != stated):
        raise InputError(f"{folder}/{name}.arrow is of another index than the files beside it", "files of one write", "make it again")
    return table


def _stated(table: pa.Table) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}


def _numbers(table: pa.Table, name: str) -> Any:  # noqa: ANN401 of the type that was written
    return table[name].combine_chunks().to_numpy(zero_copy_only=False)
