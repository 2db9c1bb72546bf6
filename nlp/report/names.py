"""What a group shares, without names of accounts: some items are names, and the page shows none."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from greyzone.handles import NAMES, hide_item
from greyzone.words import pseudonym


def known_names(documents: pa.Table) -> frozenset[str]:
    """Return the accounts and handles of the documents without regard to case."""
    return frozenset(name.casefold() for column in ("account", "handle") for name in documents[column].unique().to_pylist() if name)


def without_names(label: str, known: Collection[str]) -> str:
    """Return the label of an item with pseudonyms for accounts.

    Parameters
    ----------
    label
        Kind and item, such as ``url:https://…``, ``mention:@one @other`` or ``handle:platform/name``.
    known
        Names of accounts (`known_names`): an item of any kind that is one of them gets its pseudonym.
    """
    kind, colon, item = label.partition(":")
    if kind in NAMES:
        return hide_item(label)
    name = item.removeprefix("@")
    return kind + colon + item.removesuffix(name) + pseudonym(name) if name.casefold() in known else label
