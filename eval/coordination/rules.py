"""The rules of the literature on the same documents (`greyzone.coordinate.baselines`), so that they stand in the same table.

All traces are pooled: an account shares an address, a text that another document repeats, a whole sequence of hashtags, or the post that it
reposts. Rules flag accounts, not groups; what a rule flags counts as one group here.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.coordinate.baselines import NO_ERROR_CONTROL, RULES
from greyzone.doctrine import Doctrine
from greyzone.eval.coordination.judging import Verdict, verdict

COLUMNS = ("doc_id", "account", "urls", "hashtags", "repost_of")


def judge_rules(documents: pa.Table, copies: pa.Table, planted: frozenset[str], accounts: int, doctrine: Doctrine) -> dict[str, Verdict]:
    """Return the verdict of every rule by its name, with what is known about its errors."""
    names, account, item, time = _shares(documents, copies)
    found = {}
    for name, rule in RULES.items():
        flagged = rule(account, item, time, doctrine=doctrine).flagged
        found[f"{name} ({NO_ERROR_CONTROL})"] = verdict([frozenset(names[flagged].tolist())], planted, accounts)
    return found


def _shares(documents: pa.Table, copies: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the names of accounts, and account, item and microsecond of every share."""
    leader = dict(zip(copies["doc_id"].to_pylist(), copies["representative"].to_pylist(), strict=True))
    leaders = set(leader.values())
    rows = documents.select(COLUMNS).to_pylist()
    accounts: list[str] = []
    items: list[str] = []
    place: list[int] = []
    for number, row in enumerate(rows):
        shared = [f"url:{url}" for url in row["urls"] or []]
        if len(row["hashtags"] or []) > 1:
            shared.append("hashtags:" + " ".join(row["hashtags"]))
        if row["repost_of"]:
            shared.append(f"repost:{row['repost_of']}")
        elif row["doc_id"] in leader or row["doc_id"] in leaders:
            shared.append("text:" + leader.get(row["doc_id"], row["doc_id"]))
        accounts += [row["account"]] * len(shared)
        items += shared
        place += [number] * len(shared)
    names, account = np.unique(np.array(accounts, dtype=object), return_inverse=True)
    _, item = np.unique(np.array(items, dtype=object), return_inverse=True)
    time = pc.cast(documents["published_at"], pa.int64()).to_numpy()[place]
    return names, account.astype(np.int64), item.astype(np.int64), time
