"""News stories hidden among tweets: narratives of known truth in real background.

The documents of `googlenews` (title and snippet, stories of one day) are put among English tweets of 2012 to 2016. Every tweet counts
as background, a narrative of its own: the tweets have narratives too, which nobody has marked, so a method that finds some of them is
told that it is wrong. What is compared is how well methods bring back the stories, and how much else they take in.

Tweets count without their URLs, white space folded, from `LEAST_CHARACTERS` on, each text once (letters' case aside); those with the
smallest BLAKE2b digests are taken, so that a smaller choice is part of a larger one. All documents then stand in the order of their
digests.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from greyzone.errors import InputError, SchemaError
from greyzone.eval.encoders.sets import Clusters, load_clusters
from greyzone.urls import strip_urls

TWEETS = "ira_tweets_to_2016.parquet"
"""File of the background; docs/data.md says where it is from."""

COLUMNS = ("content", "language")

LANGUAGE = "English"

LEAST_CHARACTERS = 30
"""Shorter tweets are greetings and tags."""

SIZES = (39_000, 189_000)
"""Tweets of the usual measurements: 50 k and 200 k documents in all."""


def load_hidden(folder: Path, tweets: int) -> Clusters:
    """Return the stories of `googlenews` among `tweets` tweets.

    Parameters
    ----------
    folder
        Where both files stand.
    tweets
        How many tweets; 0 gives the stories alone.

    Returns
    -------
    Clusters
        `labels` is the story from 0 on, -1 for a tweet.

    Raises
    ------
    InputError
        If a file is absent or unreadable, `tweets` is negative, or there are not as many.
    SchemaError
        If a column is absent.
    """
    if tweets < 0:
        raise InputError(f"{tweets} tweets", "0 or more")
    news = load_clusters(folder, "googlenews")
    background = background_tweets(folder / TWEETS, tweets) if tweets else []
    texts = [*news.texts, *background]
    labels = np.concatenate([news.labels, np.full(len(background), -1, dtype=np.int64)])
    keys = [_digest(text) for text in texts]
    order = sorted(range(len(texts)), key=lambda place: (keys[place], int(labels[place])))
    return Clusters([texts[place] for place in order], labels[order], [])


def background_tweets(path: Path, count: int) -> list[str]:
    """Return the `count` usable tweets of the smallest digests, in the order of these.

    Raises
    ------
    InputError
        If the file cannot be read, or has fewer usable tweets.
    SchemaError
        If a column is absent.
    """
    best: dict[str, tuple[bytes, str]] = {}
    for content in _english(path):
        text = " ".join(strip_urls(content).split())
        if len(text) >= LEAST_CHARACTERS:
            key, found = text.casefold(), (_digest(text), text)
            if key not in best or found < best[key]:
                best[key] = found
    if len(best) < count:
        raise InputError(f"{len(best)} usable tweets in {path}", f"{count}", "ask for fewer")
    return [text for _, text in sorted(best.values())[:count]]


def _english(path: Path) -> list[str]:
    """Return the contents in the language that is wanted."""
    try:
        with pq.ParquetFile(path) as file:
            missing = [column for column in COLUMNS if column not in file.schema_arrow.names]
            if missing:
                raise SchemaError(f"{path} without {', '.join(missing)}", f"columns {', '.join(COLUMNS)}")
            table: pa.Table = file.read(columns=list(COLUMNS))
    except FileNotFoundError:
        raise InputError(f"no file {path}", "the tweets", "docs/data.md says where it is from") from None
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read ({error})", "the Parquet file that docs/data.md names") from error
    wanted = pc.fill_null(pc.equal(table["language"].cast(pa.string()), LANGUAGE), False)
    contents: list[Any] = table["content"].filter(wanted).drop_null().to_pylist()
    return [str(content) for content in contents]


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
