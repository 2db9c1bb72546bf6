"""Which column of a table is which field of a document, and how its values become that field.

Field names differ from one export to the next; `ALIASES` lists, in order of preference, the names that the common ones use. A name
that is spelt exactly so wins over one that differs in case, blanks or underscores; ``--map field=column`` wins over both. A column
that holds something else under a familiar name is kept out: `source` beside tweet columns is the posting client, not an outlet. Where a
table has both the lasting id of an account and its screen name, the id is the `account` and the name its `handle`: names change hands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.errors import InputError

STRING_FIELDS = ("text", "title", "lang", "account", "handle", "outlet", "platform", "app", "post_id", "url", "repost_of", "reply_to")
LIST_FIELDS = ("urls", "hashtags", "mentions")

ALIASES: dict[str, tuple[str, ...]] = {
    field: tuple(names.split())
    for field, names in {
        "text": "extended_tweet.full_text full_text "
        "text content body message tweet tweet_text post post_text article maintext article_text description caption",
        "title": "title headline",
        "lang": "lang language tweet_language lang_code",
        "published_at": "published_at publish_date published pub_date created_at tweet_time date_publish datetime date timestamp time "
        "created_utc posted_at",
        "account": "account screen_name user_screen_name username user_name user.screen_name user.username author.username "
        "author_id user_id userid account_id author user channel user.id_str user.id author.id author.name user.name",
        "handle": "handle",
        "outlet": "outlet publisher source host domain newspaper source.name source_domain",
        "platform": "platform network service",
        "app": "app client tweet_client_name source",
        "post_id": "post_id tweet_id status_id tweetid id_str message_id id",
        "url": "url link permalink post_url article_url tweet_url",
        "urls": "expanded_urls urls_expanded_url urls links extended_tweet.entities.urls entities.urls",
        "hashtags": "hashtags tags entities.hashtags",
        "mentions": "mentions user_mentions entities.user_mentions entities.mentions",
        "is_repost": "is_repost is_retweet post_type",
        "repost_of": "repost_of rt_of rt_user retweet_userid retweeted_status.user.screen_name rt_id retweeted_status_id "
        "retweet_tweetid retweeted_status.id_str retweeted_status.id referenced_tweets.retweeted.id forwarded_from",
        "reply_to": "reply_to in_reply_to_status_id_str in_reply_to_status_id in_reply_to_tweetid in_reply_to "
        "referenced_tweets.replied_to.id parent_id",
    }.items()
}
"""Column names that each field goes by, the preferred first."""

FIELDS = tuple(ALIASES)

OPTIONS = ("encoding", "day_first")
"""Keys of a mapping that set how a file is read instead of naming a column."""

_MARKS = (
    "tweet_id tweetid status_id screen_name user_screen_name user.screen_name retweet_count retweets rt_id in_reply_to_status_id "
    "edit_history_tweet_ids public_metrics.retweet_count"
)
TWEET_MARKS = frozenset(_MARKS.split())
"""Columns beside which `source` means the client that a post was sent from."""

SCREEN_NAMES = ("screen_name", "user_screen_name", "username", "user_name", "user.screen_name", "user.username", "author.username")
ACCOUNT_IDS = ("user_id", "userid", "user.id_str", "user.id", "author_id", "author.id", "account_id")
"""Columns that name an account for the time being, and those that name it for good."""

_REPOSTS = frozenset({"true", "t", "yes", "y", "1", "1.0", "retweet", "retweeted", "rt", "repost", "reposted", "share", "shared"})
_REPOSTS |= frozenset({"reblog", "boost", "forward", "forwarded"})
_NOTHING = frozenset({"", "none", "null", "nan", "na", "n/a", "<na>"})
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_SEPARATORS = {"urls": re.compile(r"[\s;|]+|,(?=\s|https?:)"), "": re.compile(r"[\s,;|]+")}
_LIST_KEYS = ("unwound_url", "expanded_url", "url", "href", "text", "tag", "screen_name", "username", "name")
_SURROGATES = re.compile("[\ud800-\udfff]")


def resolve(names: Sequence[str], mapping: Mapping[str, str], source: str) -> dict[str, str]:
    """Find the column of every field.

    Parameters
    ----------
    names
        Columns of the table.
    mapping
        Field to column, as the user wrote it; keys in `OPTIONS` are passed over.
    source
        The file, for the message.

    Returns
    -------
    dict
        Field to column, in the order of `FIELDS`, for the fields that were found.

    Raises
    ------
    InputError
        If no column holds the text, or the mapping names a column that is not there.
    """
    found = find(names, mapping)
    known = set(names)
    for field, column in mapping.items():
        if field not in OPTIONS and column not in known:
            raise InputError(f"{source} has no column {column!r} for {field}", f"one of {_listed(names)}", f"change --map {field}=COLUMN")
    for column in dict.fromkeys(found.values()):
        if names.count(column) > 1:
            raise InputError(f"{source} has two columns {column!r}", "names that tell them apart", "rename one of them")
    if "text" not in found:
        raise InputError(f"{source} has no text column; its columns are {_listed(names)}", "", "name it with --map text=COLUMN")
    return found


def find(names: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Return field to column for what is there, without complaint about what is not."""
    known = set(names)
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(_fold(name), name)
    tweets = any(_fold(mark) in folded for mark in TWEET_MARKS)
    found = {}
    for field, aliases in ALIASES.items():
        if field in mapping:
            if mapping[field] in known:
                found[field] = mapping[field]
            continue
        usable = [alias for alias in aliases if alias != "source" or tweets == (field == "app")]
        column = _first(usable, known, folded)
        if column is not None and column not in mapping.values():
            found[field] = column
    if not {"account", "handle"} & mapping.keys() and "handle" not in found:
        lasting = _first(ACCOUNT_IDS, known, folded)
        if lasting is not None and found.get("account") == _first(SCREEN_NAMES, known, folded) and lasting not in mapping.values():
            found["account"], found["handle"] = lasting, found["account"]
    return {field: found[field] for field in FIELDS if field in found}


def _first(aliases: Sequence[str], known: set[str], folded: Mapping[str, str]) -> str | None:
    """Return the column of the first alias that is spelt so, else of the first that differs in case, blanks or underscores."""
    column = next((alias for alias in aliases if alias in known), None)
    return column or next((folded[_fold(alias)] for alias in aliases if _fold(alias) in folded), None)


def check_mapping(mapping: Mapping[str, str]) -> None:
    """Refuse a mapping with a key that is neither a field nor an option, or with a bad option.

    Raises
    ------
    InputError
        Naming the key and what there is.
    """
    for key, value in mapping.items():
        if key not in ALIASES and key not in OPTIONS:
            raise InputError(f"--map {key}={value}: no field {key!r}", f"one of {', '.join(FIELDS + OPTIONS)}")
    if mapping.get("day_first", "true") not in ("true", "false"):
        raise InputError(f"--map day_first={mapping['day_first']}", "true or false")


def strings(values: pa.Array | pa.ChunkedArray | Sequence[object]) -> pa.Array:
    """Return values as a string array; the empty string is null, a whole float loses its ".0"."""
    if not isinstance(values, (pa.Array, pa.ChunkedArray)):
        values = string_array([_text(value) for value in values])
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_floating(values.type):
        whole = pc.all(pc.equal(pc.floor(values), values)).as_py() is not False
        values = values.cast(pa.int64()) if whole and _fits(values) else values
    if pa.types.is_nested(values.type) or pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        values = string_array([_text(value) for value in values.to_pylist()])
    values = values.cast(pa.string())
    return pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)


def nested(values: pa.Array | pa.ChunkedArray | Sequence[object]) -> list[int]:
    """Return the rows whose value is a list or an object, which `strings` keeps as JSON."""
    if not isinstance(values, (pa.Array, pa.ChunkedArray)):
        return [row for row, value in enumerate(values) if isinstance(value, (list, dict))]
    return list(range(len(values))) if pa.types.is_nested(values.type) else []


def string_array(values: Sequence[str | None]) -> pa.Array:
    """Return a string array; lone surrogates, which UTF-8 cannot hold, become U+FFFD."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([None if value is None else _SURROGATES.sub("\ufffd", value) for value in values], pa.string())


def lists(values: pa.Array | pa.ChunkedArray | Sequence[object], field: str) -> pa.Array:
    """Return values as lists of strings: real lists, JSON or Python-like lists in a string, or strings with separators."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or pa.types.is_dictionary(values.type):
            return _unpacked(values, lambda text: _split(text, field), pa.list_(pa.string()))
        values = values.to_pylist()
    rows = [_split(value, field) if isinstance(value, str) else _items(value) for value in values]
    try:
        return pa.array(rows, pa.list_(pa.string()))
    except UnicodeEncodeError:
        return pa.array([row and [_SURROGATES.sub("\ufffd", item) for item in row] for row in rows], pa.list_(pa.string()))


def reposts(values: pa.Array | pa.ChunkedArray | Sequence[object]) -> pa.Array:
    """Return booleans from flags ("true", 1) or kinds of post ("retweet" is one, "quote" and "original" are none)."""
    if isinstance(values, (pa.Array, pa.ChunkedArray)) and pa.types.is_boolean(values.type):
        return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return _unpacked(strings(values), _is_repost, pa.bool_())


def _unpacked(values: pa.Array, read: object, kind: pa.DataType) -> pa.Array:
    """Apply `read` to each distinct value once."""
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    read_values = [None if value is None else read(value) for value in encoded.dictionary.to_pylist()]  # type: ignore[operator]
    return pa.array(read_values, kind).take(encoded.indices)


def _is_repost(text: str) -> bool | None:
    word = text.strip().casefold()
    return None if word in _NOTHING else word in _REPOSTS


def _split(text: str, field: str) -> list[str] | None:
    text = text.strip()
    if text.casefold() in _NOTHING:
        return None
    if text.startswith("["):
        try:
            return _items(json.loads(text))
        except (ValueError, RecursionError):
            pass
    if text.startswith(("[", "c(", "(", "{")):
        if quoted := _QUOTED.findall(text):
            return [one or other for one, other in quoted if one or other]
        text = text.removeprefix("c").strip("[](){}")
    return [item for item in _SEPARATORS.get(field, _SEPARATORS[""]).split(text) if item] or None


def _items(value: object) -> list[str] | None:
    if value is None or isinstance(value, float):
        return None
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list):
        text = _text(value)
        return [text] if text else None
    found: list[str] = []
    for item in value:
        if isinstance(item, dict):
            # The premium interface nests what a short link finally led to.
            unwound = item.get("unwound")
            item = {**item, **({"unwound_url": unwound.get("url")} if isinstance(unwound, dict) else {})}
            item = next((item[key] for key in _LIST_KEYS if isinstance(item.get(key), str)), None)
        text = _text(item)
        if text:
            found.append(text)
    return found or None


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if value != value:
            return None
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else str(value)
    if isinstance(value, (list, dict)):
        inside = value.values() if isinstance(value, dict) else value
        return None if all(item is None for item in inside) else json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _fits(values: pa.Array) -> bool:
    largest = pc.max(pc.abs(values)).as_py()
    return largest is None or largest < 2**53


def _fold(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", name).casefold()


def _listed(names: Sequence[str]) -> str:
    text = ", ".join(str(name) for name in names)
    return text if len(text) <= 400 else f"{text[:400]}… ({len(names)} in all)"
