"""Which groups carry which narratives: documents of a narrative by accounts of a group."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.coordinate.explanations import flagged
from greyzone.records import CARRIERS, table


def find_carriers(groups: pa.Table, documents: pa.Table, members: pa.Table) -> pa.Table:
    """Count the documents of each narrative that come from each group, and from all flagged groups together.

    Parameters
    ----------
    groups, documents, members
        Tables of the schemas `GROUPS`, `DOCUMENTS` and `MEMBERS`.

    Returns
    -------
    pyarrow.Table
        `CARRIERS`, by narrative and group. Rows with a null group count a document once that several flagged groups could claim.
    """
    if not groups.num_rows:
        return table([], CARRIERS)
    # An outlet without accounts can be a member of a group in its own name.
    speakers = pa.table({"doc_id": documents["doc_id"], "speaker": pc.coalesce(documents["account"], documents["outlet"])})
    placed = members.select(["doc_id", "narrative_id"]).filter(pc.is_valid(members["narrative_id"]))
    joined = placed.join(speakers, "doc_id").sort_by("doc_id")
    sizes = _counts(joined["narrative_id"])
    rows: list[dict[str, object]] = []
    together = np.zeros(joined.num_rows, dtype=bool)
    for group, chosen in zip(groups.select(["group_id", "accounts"]).to_pylist(), flagged(groups).to_pylist(), strict=True):
        theirs = pc.is_in(joined["speaker"], value_set=pa.array(group["accounts"], pa.string()))
        rows += _rows(group["group_id"], _counts(joined["narrative_id"].filter(theirs)), sizes)
        if chosen:
            together |= theirs.to_numpy()
    rows += _rows(None, _counts(joined["narrative_id"].filter(pa.array(together))), sizes)
    return table(sorted(rows, key=lambda row: (str(row["narrative_id"]), str(row["group_id"] or ""))), CARRIERS)


def _counts(narratives: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(narratives).to_pylist()}


def _rows(group: str | None, counts: dict[str, int], sizes: dict[str, int]) -> list[dict[str, object]]:
    return [
        {"narrative_id": narrative, "group_id": group, "documents": count, "share": count / sizes[narrative]}
        for narrative, count in counts.items()
    ]
