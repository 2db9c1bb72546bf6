"""Documents that are cited, the accounts behind them, and groups of accounts.

A cited document is observed data that refers to observables: the account that posted it, under a hashed name unless handles are asked for,
and its address, where that names no account. Addresses of posts name their author, so with hidden handles only addresses of documents
without an account are written. Documents without a date (STIX wants one) or without both have no object; they are counted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from greyzone.handles import shown_url
from greyzone.records import GROUPS
from greyzone.stix.objects import TLP_MARKINGS, Maker, Object, object_id, observable_id, timestamp
from greyzone.stix.rows import encode, rows_of
from greyzone.words import pseudonym

logger = logging.getLogger(__name__)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cited:
    """The cited documents of a case that have an object in the bundle.

    Attributes
    ----------
    documents
        Rows of `DOCUMENTS`, in any order: those cited, dated, and with an account or an address that can be shown.
    ids
        Their ids.
    """

    documents: pa.Table
    ids: frozenset[str]

    def refs(self, documents: Iterable[str] | None) -> list[str]:
        """Return the ids of the objects of those `documents` that have one, each once."""
        return [object_id("observed-data", doc) for doc in dict.fromkeys(documents or ()) if doc in self.ids]


def cited_documents(documents: pa.Table, cited: Iterable[str], *, handles: bool) -> Cited:
    """Choose the documents that get an object."""
    wanted = pa.array(sorted(set(cited)), pa.string())
    columns = ["doc_id", "published_at", "account", "url"]
    met = documents.select(columns).filter(pc.is_in(documents["doc_id"], value_set=wanted))
    shown = [
        row["doc_id"]
        for row in rows_of(met, "doc_id", handles=True)
        if row["published_at"] is not None and (row["account"] or shown_url(row["url"], row["account"], handles=handles))
    ]
    kept = met.filter(pc.is_in(met["doc_id"], value_set=pa.array(shown, pa.string())))
    logger.info("%d of %d cited ids are documents with an object of their own", len(shown), len(wanted))
    return Cited(kept, frozenset(shown))


def account_id(account: str, handles: bool) -> str:
    """Return the id of the observable of an account."""
    return observable_id("user-account", {"user_id": account if handles else pseudonym(account)})


def evidence_objects(make: Maker, cited: Cited, groups: pa.Table, *, handles: bool) -> Iterator[Object]:
    """Yield the observables of cited documents and of groups, each once, then the observed data."""
    own = pc.list_flatten(groups["accounts"])
    accounts = pa.chunked_array([*cited.documents["account"].chunks, *own.chunks], pa.string()).unique().drop_null()
    for name in sorted({account if handles else pseudonym(account) for account in accounts.to_pylist()}):
        item = {"type": "user-account", "spec_version": "2.1", "id": observable_id("user-account", {"user_id": name})}
        yield item | {"user_id": name, "object_marking_refs": [TLP_MARKINGS[make.tlp]]}
    rows = cited.documents.select(["doc_id", "url", "account"])
    urls = {url for row in rows_of(rows, "doc_id", handles=True) if (url := shown_url(row["url"], row["account"], handles=handles))}
    for url in sorted(urls):
        item = {"type": "url", "spec_version": "2.1", "id": observable_id("url", {"value": url}), "value": url}
        yield item | {"object_marking_refs": [TLP_MARKINGS[make.tlp]]}
    for row in rows_of(cited.documents, "doc_id", handles=True):
        refs = [account_id(row["account"], handles)] if row["account"] else []
        if url := shown_url(row["url"], row["account"], handles=handles):
            refs.append(observable_id("url", {"value": url}))
        when = timestamp(row["published_at"])
        yield make(
            "observed-data",
            row["doc_id"],
            since=row["published_at"],
            first_observed=when,
            last_observed=when,
            number_observed=1,
            object_refs=refs,
            external_references=[{"source_name": "greyzone", "external_id": row["doc_id"]}],
        )


def group_object(make: Maker, row: Row, accounts: Sequence[str], cited: Cited) -> Object | None:
    """Return the grouping of a group of accounts with the documents that show it; None where it has neither.

    Parameters
    ----------
    make, row, cited
        What makes objects, the row as it may be shown, the documents that have objects.
    accounts
        Ids of the observables of its accounts.
    """
    refs = [*dict.fromkeys(accounts), *cited.refs(row["documents"])]
    if not refs:
        return None
    return make(
        "grouping",
        row["group_id"],
        since=row["window_lo"],
        name=f"Accounts that share content beyond chance ({len(set(accounts))})",
        context="suspicious-activity",
        description="Shared behaviour that chance does not explain; it says nothing about who the accounts are or what they intend.",
        object_refs=refs,
        record={"table": "groups", **encode(row, GROUPS)},
    )
