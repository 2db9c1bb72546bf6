"""Accounts hidden in what leaves a case, and addresses that are safe to write.

An export shows accounts under hashed names unless handles are asked for: columns that hold accounts, @names in texts, and the name in
addresses of profiles and posts. The same name is the same everywhere, whatever its case, so what hangs together still does.
Hashing keeps a reader from seeing names, no more (`greyzone.words.pseudonym`), and a text can name people in ways that no pattern knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from greyzone.words import pseudonym

Value = Any
"""A cell of a table, or what JSON makes of it."""

Row = dict[str, Value]

NAMES = ("handle", "mention")
"""Kinds of shared items that are names of accounts, one or several."""

_NAMED = re.compile(
    r"(https?://(?:[\w\-]+\.)*(?:"
    r"(?:twitter|x)\.com/[\w/]*\?(?:[^\s#]{0,200}&)?screen_name=|facebook\.com/profile\.php\?(?:[^\s#]{0,200}&)?id="
    r"|(?:bsky\.app|ok\.ru)/profile/|reddit\.com/u(?:ser)?/|linkedin\.com/in/|youtube\.com/(?:user|c|channel)/"
    r"|(?:twitter\.com|x\.com|facebook\.com|instagram\.com|tiktok\.com|vk\.com|vk\.ru|t\.me|telegram\.me)"
    r"/(?:#!/|s/|stories/|people/)?(?!(?:hashtag|search)\b)@?"
    r"|\w+(?::\d+)?/@))([\w\-][\w.\-]*[\w\-])"
    r"|(?<![\w@＠])([@＠])(\w+)",
    re.IGNORECASE,
)
"""A name in the address of a profile or a post, or after an at sign, each behind what stands before it."""
_URL = re.compile(r"https?://[A-Za-z0-9.\-]+(?::\d+)?(?:[/?#][A-Za-z0-9\-._~:/?#@!$&'()*+,;=%]*)?")


def hide(text: str) -> str:
    """Return a text without handles: @names and the names in addresses of profiles are hashed."""
    if "@" in text or "://" in text or "＠" in text:
        text = _NAMED.sub(_hashed, text)
    return text


def _hashed(match: re.Match[str]) -> str:
    return (match[1] or match[3]) + pseudonym(match[2] or match[4])


def hide_item(label: str) -> str:
    """Return the label of an item that accounts share (kind and item) without names.

    Parameters
    ----------
    label
        Such as ``url:https://…``, ``mention:@one @other`` or ``handle:platform/name``.
    """
    kind, colon, item = label.partition(":")
    if kind not in NAMES:
        return hide(label)
    platform, slash, names = item.rpartition("/")
    hidden = ["@" * name.startswith("@") + pseudonym(name.removeprefix("@")) for name in names.split()]
    return kind + colon + platform + slash + " ".join(hidden)


def hide_in(value: Value) -> Value:
    """Return lists, mappings and texts with `hide` done in every text; other values as they are."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, list):
        return [hide_in(item) for item in value]
    return {hide(key): hide_in(item) for key, item in value.items()} if isinstance(value, dict) else value


def hide_in_json(text: str) -> str:
    """Return JSON with `hide` done in every text; escapes of JSON would keep the pattern from seeing where a name ends."""
    if "@" not in text and "＠" not in text and "://" not in text:
        return text
    return json.dumps(hide_in(json.loads(text)), ensure_ascii=False, sort_keys=True, allow_nan=False)


def hider(schema: pa.Schema) -> Callable[[Row], Row]:
    """Return a function that hides accounts in rows of `schema`: in every text, in ``accounts``, ``items`` and ``first_movers``."""
    changed = {field.name: convert for field in schema if (convert := _hiding(field.type))}
    if "accounts" in schema.names and pa.types.is_list(schema.field("accounts").type):
        changed["accounts"] = lambda accounts: [pseudonym(account) for account in accounts]
    if {"accounts", "items"} <= set(schema.names):
        changed["items"] = lambda items: [hide_item(item) for item in items]
    if "first_movers" in changed:
        plain = changed["first_movers"]
        changed["first_movers"] = lambda movers: plain(
            [mover | {"name": pseudonym(mover["name"])} if mover["kind"] == "account" and mover["name"] else mover for mover in movers]
        )
    if "profile" in changed:
        changed["profile"] = hide_in_json

    def hidden(row: Row) -> Row:
        return row | {name: convert(row[name]) for name, convert in changed.items() if row[name] is not None}

    return hidden


def safe_url(text: str | None) -> str | None:
    """Return an http(s) address that is one by RFC 3986 as it stands, else None."""
    return text if text and _URL.fullmatch(text) else None


def shown_url(url: str | None, account: str | None, *, handles: bool) -> str | None:
    """Return the address of a document if it may be shown: with hidden handles only that of one without an account."""
    safe = safe_url(url)
    if safe is None or handles:
        return safe
    return None if account or hide(safe) != safe else safe


def _hiding(kind: pa.DataType) -> Callable[[Value], Value] | None:
    if pa.types.is_string(kind):
        return hide
    if pa.types.is_list(kind) and (inner := _hiding(kind.value_type)):
        return lambda values: [None if value is None else inner(value) for value in values]
    if pa.types.is_struct(kind):
        parts = {field.name: convert for field in kind if (convert := _hiding(field.type))}
        return lambda row: row | {name: convert(row[name]) for name, convert in parts.items() if row[name] is not None}
    return None
