"""What is measured on each set: texts go in, named figures come out.

A measurement calls `embed` once with all its texts. So a representation that is fitted on the batch (TF-IDF with SVD, the lexical
channel) is fitted on exactly what is measured, as it would be on a user's corpus, and sees no labels.

`quick` thins a set evenly, and a search keeps only the right candidates of the queries left: such figures are for a look, and are
higher than the full ones wherever something is searched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np

from greyzone.errors import InputError
from greyzone.eval.encoders import sets
from greyzone.eval.encoders.clustering import kmeans_agreement, linkage_agreement
from greyzone.eval.encoders.retrieval import (
    Doubles,
    Integers,
    label_agreement,
    mean_reciprocal_rank,
    own_language_share,
    pair_cosines,
    pair_precision,
    ranks,
    recall_at,
    spearman,
)
from greyzone.eval.metrics import average_precision
from greyzone.records import Floats

Rows = TypeVar("Rows", list[str], Integers, Doubles)

Embed = Callable[[Sequence[str]], Floats]
"""Texts to (n, d) float32 unit rows, zero rows for texts it knows nothing of."""

DEPTHS = (1, 5, 10)

MIXED_PAIRS = (("ru", "uk"), ("de", "pl"), ("ru", "de"))
"""Language pairs without English that are searched in both directions."""

QUICK_LANGUAGES = ("en", "de", "fr", "es", "it", "ru", "pl", "uk", "ar")

QUICK_ROWS = 1000
"""Documents, pairs or queries that are left of a set by `quick`."""

LINKAGE_LIMIT = 12_500
"""Documents up to which average linkage is measured: beyond, its distances take more than 0.6 GB."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of an encoder on a set; a `detail` stands in the JSON and, where asked for, in the table."""

    name: str
    value: float
    detail: bool = False


def measure(name: str, folder: Path, embed: Embed, *, quick: bool = False, clustering: bool = True) -> list[Figure]:
    """Return the figures of `embed` on set `name`.

    Parameters
    ----------
    name
        One of `greyzone.eval.encoders.sets.SOURCES`.
    folder
        Where its files stand.
    embed
        Called once, with all texts.
    quick
        Thin the set to about `QUICK_ROWS`.
    clustering
        Also run the slow part of clustering sets: k-means and average linkage.

    Raises
    ------
    InputError
        If the set is unknown or absent, or its files are not what is expected.
    """
    sets.source(name)
    if name == "stsb":
        figures = _stsb(folder, embed, quick)
    elif name == "sts":
        figures = _sts(folder, embed, quick)
    elif name == "flores":
        figures = _flores(folder, embed, quick)
    elif name == "mixed":
        figures = _mixed(folder, embed)
    elif name == "checkthat":
        figures = _checkthat(folder, embed, quick)
    elif name == "snopes":
        figures = _search("", sets.load_snopes(folder), embed, quick)
    elif name == "semeval2025":
        figures = _narratives(folder, embed, quick)
    else:
        figures = _clusters(sets.load_clusters(folder, name), embed, quick, clustering)
    return list(figures)


def _stsb(folder: Path, embed: Embed, quick: bool) -> Iterator[Figure]:
    found = sets.load_stsb(folder)
    values = _similarity(found, embed, quick)
    scores = {name: spearman(values[name], _thin(pairs.scores, quick)) for name, pairs in found.items()}
    others = [lang for lang in sets.STSB_LANGUAGES if lang != "en"]
    yield Figure("Spearman en", scores["en"])
    yield Figure("Spearman, mean of 10 others", float(np.mean([scores[lang] for lang in others])))
    yield Figure("Spearman en-xx, mean of 10", float(np.mean([scores[f"en-{lang}"] for lang in others])))
    for name, value in scores.items():
        if name != "en":
            yield Figure(f"Spearman {name}", value, detail=True)


def _sts(folder: Path, embed: Embed, quick: bool) -> Iterator[Figure]:
    found = sets.load_sts(folder)
    values = _similarity(found, embed, quick)
    scores = {name: spearman(values[name], _thin(pairs.scores, quick)) for name, pairs in found.items() if name != "msrp"}
    yearly = [value for name, value in scores.items() if name.startswith("sts")]
    if yearly:
        yield Figure("Spearman, mean of STS12-16", float(np.mean(yearly)))
    for name, value in scores.items():
        yield Figure(f"Spearman {name}", value, detail=name != "sick")
    if "msrp" in found:
        yield Figure("AP of paraphrases msrp", average_precision(_thin(found["msrp"].scores, quick) > 0.5, values["msrp"]))


def _similarity(found: dict[str, sets.Pairs], embed: Embed, quick: bool) -> dict[str, Doubles]:
    """Return the cosines of the pairs of each part."""
    sides = [_thin(side, quick) for pairs in found.values() for side in (pairs.first, pairs.second)]
    vectors = _embed_each(embed, *sides)
    return {name: pair_cosines(first, second) for name, first, second in zip(found, vectors[::2], vectors[1::2], strict=True)}


def _clusters(clusters: sets.Clusters, embed: Embed, quick: bool, clustering: bool) -> Iterator[Figure]:
    texts, labels = _thin(clusters.texts, quick), _thin(clusters.labels, quick)
    vectors = embed(texts)
    pairs = pair_precision(vectors, labels)
    yield Figure("pair AP", pairs.value)
    yield Figure("pair AP, least by rounding", pairs.lowest, detail=True)
    yield Figure("pair AP, most by rounding", pairs.highest, detail=True)
    yield Figure("texts that are zero rows", float(np.mean(~vectors.any(axis=1))), detail=True)
    if not clustering:
        return
    kmeans = kmeans_agreement(vectors, labels)
    yield Figure("AMI k-means", kmeans.ami)
    yield Figure("ARI k-means", kmeans.ari)
    if len(texts) <= LINKAGE_LIMIT:
        tree = linkage_agreement(vectors, labels)
        yield Figure("AMI linkage, best cut", tree.ami)
        yield Figure("ARI linkage, same cut", tree.ari, detail=True)


def _flores(folder: Path, embed: Embed, quick: bool) -> Iterator[Figure]:
    sentences = sets.load_flores(folder)
    if quick:
        sentences = {lang: sentences[lang] for lang in QUICK_LANGUAGES if lang in sentences}
    vectors = dict(zip(sentences, _embed_each(embed, *sentences.values()), strict=True))
    gold = [(place,) for place in range(len(sentences["en"]))]

    def both(one: str, other: str) -> tuple[float, float]:
        there = recall_at(ranks(vectors[one], vectors[other], gold), 1)
        return there, recall_at(ranks(vectors[other], vectors[one], gold), 1)

    found = {lang: both("en", lang) for lang in sentences if lang != "en"}
    built = [lang for lang in sets.BUILT_FOR if lang in found]
    yield Figure("accuracy@1, mean of all languages", float(np.mean(list(found.values()))))
    if built:
        yield Figure(f"accuracy@1, mean of the {len(built)} built for", float(np.mean([found[lang] for lang in built])))
    for lang in [*built, *(lang for lang in found if lang not in built)]:
        yield Figure(f"accuracy@1 en~{lang}", float(np.mean(found[lang])), detail=lang not in built)
    for lang, (there, back) in found.items():
        yield Figure(f"accuracy@1 en->{lang}", there, detail=True)
        yield Figure(f"accuracy@1 {lang}->en", back, detail=True)
    for one, other in MIXED_PAIRS:
        if one in vectors and other in vectors:
            yield Figure(f"accuracy@1 {one}~{other}", float(np.mean(both(one, other))))


def _mixed(folder: Path, embed: Embed) -> Iterator[Figure]:
    sentences = sets.load_flores(folder)
    articles = sets.article_of(sets.flores_starts(), len(sentences["en"]))
    mixed = sets.mixed_languages(sentences, articles)
    vectors, english = _embed_each(embed, mixed.texts, sentences["en"])
    found, reference = kmeans_agreement(vectors, articles).ami, kmeans_agreement(english, articles).ami
    yield Figure("AMI of 7 languages", found)
    yield Figure("AMI of English", reference)
    yield Figure("AMI, 7 languages / English", found / reference if reference > 0 else 0.0)
    yield Figure("pair AP of 7 languages", pair_precision(vectors, articles).value)
    yield Figure("pair AP of English", pair_precision(english, articles).value, detail=True)
    own = own_language_share(vectors, mixed.languages)
    yield Figure("own language among 10 nearest", own.share)
    yield Figure("own language among 10 nearest, by chance", own.chance)


def _checkthat(folder: Path, embed: Embed, quick: bool) -> Iterator[Figure]:
    whole = _thin_search(sets.load_claims(folder), quick)
    held_out = sets.checkthat_halves(whole)[1]
    queries, candidates = _embed_each(embed, whole.queries, whole.candidates)
    yield from _ranked("", ranks(queries, candidates, whole.gold), whole.languages)
    rows = {text: row for row, text in enumerate(whole.queries)}
    places = {text: place for place, text in enumerate(whole.candidates)}
    part = queries[[rows[text] for text in held_out.queries]], candidates[[places[text] for text in held_out.candidates]]
    yield from _ranked("held-out half: ", ranks(*part, held_out.gold), [])


def _search(prefix: str, search: sets.Search, embed: Embed, quick: bool) -> Iterator[Figure]:
    search = _thin_search(search, quick)
    queries, candidates = _embed_each(embed, search.queries, search.candidates)
    yield from _ranked(prefix, ranks(queries, candidates, search.gold), [])


def _ranked(prefix: str, found: Integers, languages: Sequence[str]) -> Iterator[Figure]:
    """Yield MRR and recall over all queries, and MRR by language where languages are given."""
    yield Figure(f"{prefix}MRR", mean_reciprocal_rank(found))
    for depth in DEPTHS:
        yield Figure(f"{prefix}recall@{depth}", recall_at(found, depth))
    spoken = np.array(languages)
    for lang in sorted(set(languages)):
        yield Figure(f"{prefix}MRR {lang}", mean_reciprocal_rank(found[spoken == lang]), detail=True)


def _narratives(folder: Path, embed: Embed, quick: bool) -> Iterator[Figure]:
    narratives = sets.load_narratives(folder)
    rows = range(len(narratives.documents))[:: 4 if quick else 1]
    documents, prototypes = _embed_each(embed, [narratives.documents[row] for row in rows], narratives.prototypes)
    languages, labels = [narratives.languages[row] for row in rows], [narratives.labels[row] for row in rows]
    gold = [tuple(place for place, owner in enumerate(narratives.owners) if owner in own) for own in labels]
    yield from _ranked("", _narrative_ranks(documents, prototypes, gold, narratives.owners), languages)
    spoken = np.array(languages)
    same = spoken[:, None] == spoken[None, :]
    for where, allowed in (("in its language", same), ("in another language", ~same)):
        if not (allowed & ~np.eye(len(spoken), dtype=np.bool_)).any():
            continue
        found = label_agreement(documents, labels, allowed)
        yield Figure(f"nearest {where} shares a narrative", found.share)
        yield Figure(f"nearest {where} shares a narrative, by chance", found.chance)


def _narrative_ranks(documents: Floats, prototypes: Floats, gold: Sequence[Sequence[int]], owners: Sequence[str]) -> Integers:
    """Return the rank of the first right narrative; a narrative scores as its most similar prototype, and ties do not help."""
    codes = np.unique(list(owners), return_inverse=True)[1]
    cosines = documents @ prototypes.T
    scores = np.stack([cosines[:, codes == code].max(axis=1) for code in range(codes.max() + 1)], axis=1)
    found = np.empty(len(documents), dtype=np.int64)
    for row, places in enumerate(gold):
        right = np.zeros(scores.shape[1], dtype=np.bool_)
        right[codes[list(places)]] = True
        found[row] = 1 + np.sum(scores[row, ~right] >= scores[row, right].max())
    return found


def _embed_each(embed: Embed, *parts: Sequence[str]) -> list[Floats]:
    """Return the vectors of each list of texts, by one call of `embed`."""
    vectors = embed([text for part in parts for text in part])
    bounds = [0, *accumulate(len(part) for part in parts)]
    if len(vectors) != bounds[-1]:
        raise InputError(f"{len(vectors)} vectors of {bounds[-1]} texts", "one a text")
    return [vectors[start:end] for start, end in pairwise(bounds)]


def _thin(rows: Rows, quick: bool) -> Rows:
    """Return at most `QUICK_ROWS` rows, evenly spaced, if `quick`."""
    return rows[:: -(-len(rows) // QUICK_ROWS) or 1] if quick else rows


def _thin_search(search: sets.Search, quick: bool) -> sets.Search:
    """Return evenly spaced queries with their right candidates only, if `quick`."""
    if not quick:
        return search
    step = -(-len(search.queries) // QUICK_ROWS) or 1
    gold = search.gold[::step]
    places = {old: new for new, old in enumerate(dict.fromkeys(place for right in gold for place in right))}
    return sets.Search(
        search.queries[::step],
        [search.candidates[place] for place in places],
        [tuple(places[place] for place in right) for right in gold],
        search.languages[::step],
    )
