"""Whether one story told in several languages is one narrative, with the encoder's rows and with the language taken off.

FLORES-101 says the same in every language, so truth and dose are known. A document is two sentences of an article in one language; the
article is the story. Five kinds of corpora, from what the rows should be freed of to what they must not lose:

- shared: every story in all languages; paired: each in two of them; apart: each in one, so that nothing crosses;
- minority: as shared, but the last language has one story only, in many documents, so that its mean is that story;
- biased: as paired, with a fixed vector of each language added to its documents, as an encoder would that knows languages first.

Besides: `sentences`, one text a sentence and language, says how well a translation is found at all, and what average linkage and the
clusterer make of six versions of a sentence; the same articles in English alone are the ceiling.

    greyzone eval crosslingual --data ../shared/data -e default
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from greyzone.cluster import NarrativeClusterer
from greyzone.crosslingual import neutral_rows
from greyzone.errors import InputError
from greyzone.eval.commands import data_folder, run_command
from greyzone.eval.encoders import sets
from greyzone.eval.encoders.clustering import linkage_agreement
from greyzone.eval.metrics import bcubed
from greyzone.models import load_encoder
from greyzone.models.cached import embed_texts
from greyzone.neighbours import unit_rows
from greyzone.records import Floats

Integers = npt.NDArray[np.int64]

GROUPS = {"near": ("en", "de", "fr", "es", "ru", "uk"), "far": ("en", "pl", "tr", "lt", "et", "be")}
"""Six languages that the default encoder knows well, and six that it knows less; other encoders take the same."""

KINDS = ("shared", "paired", "apart", "minority", "biased")

FEWEST_SENTENCES = 4
"""Articles of fewer sentences give too few different documents."""

DOCUMENTS = 6
"""Documents of a story in a language."""

MINORITY_DOCUMENTS = 40

BIAS = 0.7
"""Length of the vector added to each language of a biased corpus; documents have length 1."""

NEIGHBOURS = 5
LINKED_SENTENCES = 300
MIN_CLUSTER_SIZE = 5


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts with their language and story; `bias` is the length of the vector that is added to the rows of each language."""

    name: str
    texts: list[str]
    langs: list[str]
    stories: Integers
    bias: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one corpus with one treatment of the rows ("encoder" or "neutral").

    `own` is the share of the nearest neighbours that are of the text's own language, over what chance gives; `languages` the mean share
    of the languages of a story that have at least half of their documents in the narrative that holds most of the story, `whole` the
    share of stories where that is all of them; `share` what `greyzone.crosslingual` took off, 0 where it left the rows as they are.
    """

    corpus: str
    rows: str
    texts: int
    own: float
    precision: float
    recall: float
    f1: float
    ami: float
    noise: float
    languages: float
    whole: float
    share: float


@dataclass(frozen=True, slots=True)
class Translations:
    """Of one group of languages: accuracy@1 of the right translation over all ordered pairs, and AMI of linkage over six versions."""

    group: str
    rows: str
    retrieval: float
    linkage: float


def told_corpora(sentences: dict[str, list[str]], starts: Sequence[int], languages: Sequence[str], *, seed: int = 0) -> Iterator[Corpus]:
    """Yield the corpora of `KINDS`, and the one in the first language alone ("ceiling") last.

    Parameters
    ----------
    sentences
        By language; sentence i says the same in each.
    starts
        Place of the first sentence of each article.
    languages
        Two or more; the last is the minority.
    seed
        Draws sentences and languages.
    """
    article = sets.article_of(starts, len(sentences[languages[0]]))
    told = [np.flatnonzero(article == story) for story in range(int(article.max()) + 1)]
    told = [places for places in told if len(places) >= FEWEST_SENTENCES]
    if len(languages) < 2 or not told:
        raise InputError(
            f"{len(languages)} languages and {len(told)} articles of {FEWEST_SENTENCES} sentences", "two languages and one article"
        )
    every = list(range(len(languages)))
    for kind in (*KINDS, "ceiling"):
        random = np.random.default_rng(seed)
        texts, langs, stories = [], [], []
        for story, places in enumerate(told):
            used = {
                "shared": every,
                "paired": sorted(random.choice(len(languages), 2, replace=False).tolist()),
                "biased": sorted(random.choice(len(languages), 2, replace=False).tolist()),
                "apart": [story % len(languages)],
                "minority": every if story == 0 else every[:-1],
                "ceiling": every[:1],
            }[kind]
            for spoken in used:
                lone = kind == "minority" and spoken == every[-1]
                for _ in range(MINORITY_DOCUMENTS if lone else DOCUMENTS):
                    one, two = random.choice(places, 2, replace=False)
                    texts.append(f"{sentences[languages[spoken]][one]} {sentences[languages[spoken]][two]}")
                    langs.append(languages[spoken])
                    stories.append(story)
        yield Corpus(kind, texts, langs, np.array(stories, dtype=np.int64), BIAS if kind == "biased" else 0.0)


def measure(corpus: Corpus, vectors: Floats) -> list[Row]:
    """Return the figures of a corpus with the encoder's rows and with neutral ones.

    Raises
    ------
    InputError
        If there is not one vector a text.
    """
    if len(vectors) != len(corpus.texts):
        raise InputError(f"{len(vectors)} vectors and {len(corpus.texts)} texts", "one of each a document")
    rows = biased(vectors, corpus.langs, corpus.bias)
    freed, choice = neutral_rows(corpus.texts, corpus.langs, rows)
    names = np.unique(corpus.langs, return_inverse=True)[1].astype(np.int64)
    return [
        _figures(corpus, name, found, names, share)
        for name, found, share in (("encoder", rows, 0.0), ("neutral", freed, choice.share if choice.applied else 0.0))
    ]


def biased(vectors: Floats, langs: Sequence[str], length: float) -> Floats:
    """Return unit rows with a vector of `length` added that is the same for all texts of a language; `vectors` itself for 0."""
    if length == 0:
        return vectors
    names, code = np.unique(langs, return_inverse=True)
    added = unit_rows(np.random.default_rng(1).standard_normal((len(names), vectors.shape[1])))
    return unit_rows(vectors + length * added[code])


def translations(
    group: str, sentences: dict[str, list[str]], languages: Sequence[str], embed: Callable[[list[str]], Floats]
) -> list[Translations]:
    """Return how well the right translation is found, with the encoder's rows and with neutral ones."""
    texts = [text for lang in languages for text in sentences[lang]]
    langs = [lang for lang in languages for _ in sentences[lang]]
    vectors = embed(texts)
    size = len(sentences[languages[0]])
    part = np.concatenate([place * size + np.arange(min(size, LINKED_SENTENCES)) for place in range(len(languages))])
    found = []
    for name, rows in (("encoder", vectors), ("neutral", neutral_rows(texts, langs, vectors)[0])):
        by_language = rows.reshape(len(languages), size, -1)
        hits = [
            float(((one @ two.T).argmax(axis=1) == np.arange(size)).mean()) for one in by_language for two in by_language if one is not two
        ]
        linked = linkage_agreement(rows[part], (part % size).astype(np.int64))
        found.append(Translations(group, name, float(np.mean(hits)), linked.ami))
    return found


def format_table(rows: Sequence[Row], found: Sequence[Translations]) -> str:
    """Return the figures as tables to read."""
    lines = [
        f"{'corpus':16s}{'rows':9s}{'texts':>7s}{'own':>7s}{'P':>7s}{'R':>7s}{'B3':>7s}{'AMI':>7s}{'noise':>7s}{'langs':>7s}{'whole':>7s}{'share':>8s}"
    ]
    for row in rows:
        figures = "".join(
            f"{value:7.3f}" for value in (row.own, row.precision, row.recall, row.f1, row.ami, row.noise, row.languages, row.whole)
        )
        lines.append(f"{row.corpus:16s}{row.rows:9s}{row.texts:7d}{figures}{row.share:8.4f}")
    lines.append(f"{'translations':16s}{'rows':9s}{'accuracy@1':>12s}{'linkage AMI':>13s}")
    lines += [f"{line.group:16s}{line.rows:9s}{line.retrieval:12.3f}{line.linkage:13.3f}" for line in found]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 for arguments or files that cannot be used."""
    parser = argparse.ArgumentParser(
        prog="greyzone eval crosslingual", description="Measure whether a story in six languages is one narrative."
    )
    parser.add_argument("--data", metavar="FOLDER", help="folder that holds the sets")
    parser.add_argument("--encoder", "-e", metavar="NAME", default="default", help="as for load_encoder (default)")
    parser.add_argument("--group", action="append", choices=sorted(GROUPS), help="languages to take; several times (all)")
    parser.add_argument("--cache", metavar="FOLDER", help="keep vectors here, so that a second run encodes nothing again")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(argv)

    def command() -> int:
        folder = data_folder(given.data)
        sentences = sets.load_flores(folder)
        encoder = load_encoder(given.encoder)

        def embed(texts: list[str]) -> Floats:
            return embed_texts(texts, encoder, cache=Path(given.cache) if given.cache else None)

        rows: list[Row] = []
        found: list[Translations] = []
        for group in given.group or GROUPS:
            for corpus in told_corpora(sentences, sets.flores_starts(), GROUPS[group]):
                named = replace(corpus, name=f"{group} {corpus.name}")
                rows += measure(named, embed(corpus.texts))
            found += translations(group, sentences, GROUPS[group], embed)
        if given.json:
            told = {"encoder": given.encoder, "rows": [asdict(row) for row in rows], "translations": [asdict(line) for line in found]}
            sys.stdout.write(json.dumps(told, indent=1) + "\n")
        else:
            sys.stdout.write(format_table(rows, found) + "\n")
        return 0

    return run_command(command)


def _figures(corpus: Corpus, name: str, rows: Floats, code: Integers, share: float) -> Row:
    from sklearn.metrics import adjusted_mutual_info_score

    labels = NarrativeClusterer(min_cluster_size=MIN_CLUSTER_SIZE).fit(rows).labels_
    score = bcubed(corpus.stories, labels)
    reached = reunited(corpus.stories, code, labels)
    return Row(
        *(corpus.name, name, len(rows), own_language(rows, code), score.precision, score.recall, score.f1),
        *(float(adjusted_mutual_info_score(corpus.stories, labels)), float((labels < 0).mean())),
        *(float(np.mean(reached)), float(np.mean(np.asarray(reached) == 1.0)), share),
    )


def own_language(rows: Floats, code: Integers) -> float:
    """Return the share of the nearest `NEIGHBOURS` that are of the row's own language, over what a random row gives."""
    if len(np.unique(code)) < 2:
        return 1.0
    same = 0
    for place in range(len(rows)):
        cosine = rows @ rows[place]
        cosine[place] = -np.inf
        near = np.argpartition(-cosine, NEIGHBOURS)[:NEIGHBOURS]
        same += int((code[near] == code[place]).sum())
    counts = np.bincount(code)
    chance = float((counts * (counts - 1)).sum()) / (len(code) * (len(code) - 1))
    return same / (NEIGHBOURS * len(rows)) / chance


def reunited(stories: Integers, code: Integers, labels: Integers) -> list[float]:
    """Return for each story the share of its languages with at least half of their documents in the narrative that holds most of it."""
    found = []
    for story in np.unique(stories):
        inside = stories == story
        held = labels[inside & (labels >= 0)]
        best = int(np.bincount(held).argmax()) if len(held) else -2
        found.append(float(np.mean([(labels[inside & (code == lang)] == best).mean() >= 0.5 for lang in np.unique(code[inside])])))
    return found


if __name__ == "__main__":
    raise SystemExit(main())
