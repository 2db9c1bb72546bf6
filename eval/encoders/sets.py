"""The public sets that encoders are measured on: where each stands, which columns it must have, and what is taken from it.

None of them comes with greyzone; a folder that holds some of them is enough (docs/data.md says where they are from and under which
terms). A file is named by its SHA-256 in every result, so that a figure can be tied to the rows it was measured on.

`checkthat_halves` splits the claims for fine-tuning: claims joined by an equal post go to the same half, so that no post and no
claim of the held-out half can be seen in training.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from greyzone.errors import InputError, SchemaError
from greyzone.eval.joined import joined

Integers = npt.NDArray[np.int64]

SEVEN_LANGUAGES = ("en", "de", "fr", "es", "ru", "pl", "uk")
"""Languages of the mixed-language documents."""

STSB_LANGUAGES = ("en", "de", "es", "fr", "it", "ja", "nl", "pl", "pt", "ru", "zh")

BUILT_FOR = (
    *("ru", "uk", "be", "pl", "cs", "sk", "de", "fr", "es", "it", "pt", "nl", "ro", "bg", "sr", "hr", "tr", "lt", "lv", "et", "ar"),
)
"""Languages that the embedded encoder is made for, beside English; Serbian and Croatian count as one language in "sixteen and more"."""


@dataclass(frozen=True, slots=True)
class Source:
    """Files of a set, each with the columns that must be there."""

    files: dict[str, tuple[str, ...]]
    what: str


SOURCES: dict[str, Source] = {
    "stsb": Source(
        {"stsb_multi_mt.jsonl.gz": ("split", "score", *(f"s{i}_{lang}" for lang in STSB_LANGUAGES for i in (1, 2)))},
        "STS benchmark test pairs in eleven languages, and English against each",
    ),
    "sts": Source({"sts_sick_msrp_en.tsv.gz": ("set", "sub", "split", "score", "s1", "s2")}, "STS12-16, SICK-R, MSRP, English"),
    "googlenews": Source({"googlenews_ts.jsonl.gz": ("title", "snippet", "label")}, "stories of one day, title and snippet"),
    "uci-news": Source({"uci_news_aggregator_6k.jsonl.gz": ("title", "label")}, "headlines of stories"),
    "searchsnippets": Source({"stc_searchsnippets.jsonl.gz": ("text", "label")}, "search snippets of eight subjects"),
    "crisislex": Source({"crisislex_t26.jsonl.gz": ("text", "related", "label")}, "tweets about 26 crises, several languages"),
    "flores": Source({"flores101_wide.tsv.gz": ("split", *SEVEN_LANGUAGES)}, "1,012 sentences in 36 languages"),
    "mixed": Source({"flores101_wide.tsv.gz": ("split", *SEVEN_LANGUAGES)}, "articles whose sentences stand in seven languages"),
    "checkthat": Source({"checkthat2025_t2_claims.jsonl.gz": ("lang", "text", "claim")}, "posts to normalised claims, 12 languages"),
    "snopes": Source({"known_lie_snopes.jsonl.gz": ("kind", "text")}, "tweets to verified claims"),
    "semeval2025": Source(
        {
            "semeval2025_t10_narratives_en_ru_hi.jsonl.gz": ("id", "lang", "text", "narratives"),
            "semeval2025_t10_taxonomy.jsonl.gz": ("domain", "narrative", "description"),
        },
        "news articles to narratives of a taxonomy",
    ),
}
"""Every set by name, in the order in which they are measured."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Text pairs and how alike people found them: `scores` is (n,) float64."""

    first: list[str]
    second: list[str]
    scores: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Clusters:
    """Texts and their true cluster: `labels` is (n,) int64 from 0 on; `languages` is empty where the set does not tell them."""

    texts: list[str]
    labels: Integers
    languages: list[str]


@dataclass(frozen=True, slots=True)
class Search:
    """Queries, distinct candidates, and per query the places of the right candidates (one at least) and its language."""

    queries: list[str]
    candidates: list[str]
    gold: list[tuple[int, ...]]
    languages: list[str]


@dataclass(frozen=True, slots=True)
class Narratives:
    """Documents with the narratives they push, and prototype texts of each narrative: `owners` names the narrative of a prototype."""

    documents: list[str]
    languages: list[str]
    labels: list[frozenset[str]]
    prototypes: list[str]
    owners: list[str]
    without_label: int


def is_there(folder: Path, name: str) -> bool:
    """Return whether every file of set `name` stands in `folder`."""
    return all((folder / file).is_file() for file in source(name).files)


def digests(folder: Path, name: str) -> dict[str, str]:
    """Return the SHA-256 of every file of set `name`, by file name."""
    return {file: file_sha256(folder / file) for file in source(name).files}


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def source(name: str) -> Source:
    """Return where set `name` stands; `InputError` if there is no such set."""
    if name not in SOURCES:
        raise InputError(f"set {name!r}", f"one of {', '.join(SOURCES)}")
    return SOURCES[name]


def load_stsb(folder: Path, *, split: str = "test") -> dict[str, Pairs]:
    """Return the STS benchmark by language, and ``en-xx`` with the first sentence in English and the second in xx."""
    rows = [row for row in _rows(folder, "stsb") if row["split"] == split]
    scores = np.array([float(row["score"]) for row in rows])
    sides = {lang: ([row[f"s1_{lang}"] for row in rows], [row[f"s2_{lang}"] for row in rows]) for lang in STSB_LANGUAGES}
    found = {lang: Pairs(first, second, scores) for lang, (first, second) in sides.items()}
    found |= {f"en-{lang}": Pairs(sides["en"][0], sides[lang][1], scores) for lang in STSB_LANGUAGES if lang != "en"}
    return found


def load_sts(folder: Path) -> dict[str, Pairs]:
    """Return sts2012 to sts2016 (test parts, all sources of a year together), sick (all splits, as MTEB takes it) and msrp (test)."""
    chosen: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in _rows(folder, "sts"):
        if row["set"] == "sick" or row["split"] == "test":
            chosen[row["set"]].append(row)
    return {
        name: Pairs([row["s1"] for row in rows], [row["s2"] for row in rows], np.array([float(row["score"]) for row in rows]))
        for name, rows in sorted(chosen.items())
    }


def load_clusters(folder: Path, name: str) -> Clusters:
    """Return googlenews, uci-news, searchsnippets or crisislex; of the last only the tweets that are related to their event."""
    texts, labels = [], []
    for row in _rows(folder, name):
        if name == "crisislex" and not row["related"].startswith("Related"):
            continue
        texts.append(f"{row['title']} {row['snippet']}".strip() if name == "googlenews" else row["title" if name == "uci-news" else "text"])
        labels.append(str(row["label"]))
    return Clusters(texts, np.unique(labels, return_inverse=True)[1].astype(np.int64), [])


def load_flores(folder: Path) -> dict[str, list[str]]:
    """Return the sentences by language, English first; sentence i means the same in every language."""
    rows = list(_rows(folder, "flores"))
    return {lang: [row[lang] for row in rows] for lang in rows[0] if lang != "split"}


@cache
def flores_starts() -> tuple[int, ...]:
    """Return the place of the first sentence of each article of the FLORES devtest, from 0; marked by reading (packaged file)."""
    stored = json.loads(resources.files("greyzone.eval.encoders").joinpath("flores_articles.json").read_text("utf-8"))
    return tuple(stored["starts"])


def article_of(starts: Sequence[int], sentences: int) -> Integers:
    """Return the article of each sentence, (sentences,) int64, from the places where articles start."""
    places = np.asarray(starts, dtype=np.int64)
    if len(places) == 0 or places[0] != 0 or bool(np.any(np.diff(places) <= 0)) or places[-1] >= sentences:
        raise InputError(f"{len(places)} article starts for {sentences} sentences", "rising places that begin with 0 and are all below it")
    return np.asarray(np.searchsorted(places, np.arange(sentences), side="right") - 1, dtype=np.int64)


def mixed_languages(
    sentences: dict[str, list[str]], articles: Integers, *, languages: Sequence[str] = SEVEN_LANGUAGES, seed: int = 0
) -> Clusters:
    """Return one text a sentence, each in one language only; the truth is the article.

    Languages are dealt out evenly and shuffled by `seed`, so that an article meets several.
    """
    count = len(articles)
    drawn = np.random.default_rng(seed).permutation(np.arange(count) % len(languages))
    spoken = [languages[index] for index in drawn]
    return Clusters([sentences[lang][place] for place, lang in enumerate(spoken)], articles, spoken)


def load_claims(folder: Path) -> Search:
    """Return posts and the distinct normalised claims of CheckThat 2025 task 2; rows without a claim are left out.

    Claims that differ in case, width or blanks are one. A post that stands with several claims has several right answers.
    """
    rows = [row for row in _rows(folder, "checkthat") if (row["claim"] or "").strip() and (row["text"] or "").strip()]
    places: dict[str, int] = {}
    candidates: list[str] = []
    gold: dict[str, dict[int, None]] = {}
    languages: dict[str, str] = {}
    for row in rows:
        key = _normal(row["claim"])
        if key not in places:
            places[key] = len(candidates)
            candidates.append(row["claim"])
        gold.setdefault(row["text"], {})[places[key]] = None
        languages.setdefault(row["text"], row["lang"])
    return Search(list(gold), candidates, [tuple(found) for found in gold.values()], list(languages.values()))


def checkthat_halves(search: Search) -> tuple[Search, Search]:
    """Return the half to train on and the half to measure on, each with the claims and posts of its own only.

    A claim's half is the parity of the SHA-256 of the least (as a string) of the claims that it is joined to by equal posts.
    """
    keys = [_normal(claim) for claim in search.candidates]
    joined = joined_claims(search)
    held_out = [hashlib.sha256(keys[joined[place]].encode()).digest()[0] % 2 == 1 for place in range(len(keys))]
    return _part(search, [not held for held in held_out]), _part(search, held_out)


def joined_claims(search: Search) -> list[int]:
    """Return for each claim the one that stands for it and all that equal posts join it to: the least as a string."""
    keys = [_normal(claim) for claim in search.candidates]
    part = joined(len(keys), [(right[0], other) for right in search.gold for other in right[1:]]).tolist()
    least: dict[int, int] = {}
    for place in sorted(range(len(keys)), key=lambda place: keys[place]):
        least.setdefault(part[place], place)
    return [least[number] for number in part]


def load_snopes(folder: Path) -> Search:
    """Return tweets and the distinct verified claims of "That is a Known Lie"; a tweet whose claim is not among them is an error."""
    places: dict[str, int] = {}
    pairs: list[tuple[str, str]] = []
    for row in _rows(folder, "snopes"):
        if row["kind"] == "verified_claim":
            places.setdefault(row["text"], len(places))
        else:
            pairs.append((row["text"], row["verified_claim"]))
    unknown = [claim for _, claim in pairs if claim not in places]
    if unknown:
        raise SchemaError(f"{len(unknown)} tweets whose claim is not among the verified claims", "none")
    return Search([text for text, _ in pairs], list(places), [(places[claim],) for _, claim in pairs], ["en"] * len(pairs))


def load_narratives(folder: Path) -> Narratives:
    """Return the labelled SemEval 2025 articles and the taxonomy; a narrative is named ``domain: narrative``.

    Documents whose only label is "Other", or a narrative that the taxonomy lacks, are left out and counted in `without_label`.
    """
    prototypes: dict[tuple[str, str], None] = {}
    for row in _rows(folder, "semeval2025", "semeval2025_t10_taxonomy.jsonl.gz"):
        owner = f"{row['domain']}: {row['narrative']}"
        parts = [row["narrative"], row.get("subnarrative") or "", row["description"]]
        prototypes[owner, ". ".join(part.strip(" .") for part in parts if part)] = None
    known = {owner for owner, _ in prototypes}
    documents, languages, labels = [], [], []
    without = 0
    for row in _rows(folder, "semeval2025", "semeval2025_t10_narratives_en_ru_hi.jsonl.gz"):
        if not row["narratives"]:
            continue
        told = frozenset(row["narratives"]) & known
        if not told:
            without += 1
            continue
        documents.append(row["text"])
        languages.append(row["lang"])
        labels.append(told)
    return Narratives(documents, languages, labels, [text for _, text in prototypes], [owner for owner, _ in prototypes], without)


def _part(search: Search, chosen: Sequence[bool]) -> Search:
    """Return the part of `search` whose candidates are `chosen`; all right answers of a query are in the same part."""
    places = {old: new for new, old in enumerate(place for place, kept in enumerate(chosen) if kept)}
    kept = [row for row, right in enumerate(search.gold) if chosen[right[0]]]
    return Search(
        [search.queries[row] for row in kept],
        [search.candidates[place] for place in places],
        [tuple(places[place] for place in search.gold[row]) for row in kept],
        [search.languages[row] for row in kept],
    )


def _normal(claim: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", claim).split()).casefold()


def _rows(folder: Path, name: str, file: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file of set `name`; every row must have the declared columns."""
    files = source(name).files
    file = file or next(iter(files))
    path = folder / file
    reader = _tab_rows if ".tsv" in file else _json_rows
    try:
        empty = True
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as stream:
            for number, row in enumerate(reader(stream), 1):
                missing = [column for column in files[file] if column not in row]
                if missing:
                    raise SchemaError(f"row {number} of {path} without {', '.join(missing)}", f"columns {', '.join(files[file])}")
                empty = False
                yield row
        if empty:
            raise SchemaError(f"no rows in {path}", f"columns {', '.join(files[file])}")
    except FileNotFoundError:
        raise InputError(f"no file {path}", f"the set {name}", "docs/data.md says where it is from") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error})", "the gzipped file that docs/data.md names") from error


def _json_rows(stream: TextIO) -> Iterator[dict[str, Any]]:
    for line in stream:
        yield json.loads(line)


def _tab_rows(stream: TextIO) -> Iterator[dict[str, Any]]:
    """Yield rows of a table separated by tabs, with a header; quotation marks are text, unless a whole field is quoted and doubles them."""
    header: list[str] = []
    for number, line in enumerate(stream, 1):
        fields = [_unquoted(field) for field in line.rstrip("\r\n").split("\t")]
        header = header or fields
        if len(fields) != len(header):
            raise SchemaError(f"line {number} with {len(fields)} fields", f"{len(header)} as in the header")
        if number > 1:
            yield dict(zip(header, fields, strict=True))


def _unquoted(field: str) -> str:
    """Return a field that was quoted because it holds quotation marks (``"a ""b"" c"``) as it was meant."""
    inner = field[1:-1]
    if len(field) > 1 and field[0] == field[-1] == '"' and '""' in inner and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return field
