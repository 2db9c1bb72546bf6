"""Counts of the terms of groups of texts, by language: a map over batches of texts and a merge that adds.

A term is a word that can name a story: no stop word of the text's language or of English, no number, no short word. Three things
differ by script:

- Scripts without spaces (Han, kana, Thai, Lao, Khmer, Burmese) give pairs of neighbouring characters (`greyzone.text.words`). Pairs
  across two scripts, pairs of hiragana (the grammar of Japanese) and pairs with one of the commonest characters of Chinese grammar
  name nothing. How often two pairs stand on one another is counted too (`joins`), so that labels can show whole words again.
- Arabic: vowel signs are left out and the forms of alif, ya and ta marbuta are one letter each; "and" (waw) and the article, with
  what is written before it, are cut off by the rule of the light stemmers (Larkey, Ballesteros and Connell 2007), but only where the
  corpus has the bare word too (for waw: as often), so that words which merely begin so stay whole. Other languages in Arabic script
  keep their beginnings.
- Russian: ё counts as е.

Words are counted as they are spelt; `spellings` then says which are one term, and under which spelling, the commonest, it is shown.
Counts are whole numbers and merges add them: any division of the texts into batches gives the same tables, byte for byte.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from greyzone.places import find_states
from greyzone.text import stopwords, words

Ints = npt.NDArray[np.int64]

LEAD_WORDS = 200
"""Words of a text that count: the lead names its story, and one long text must not outweigh a hundred posts."""

LEAST_LETTERS = 3
"""Letters of a term, but for scripts written without spaces."""

ARABIC_LEFT = 3
"""Letters that must be left when a clitic is cut off."""

COMPACT = 2**21
"""Rows of counts that are gathered before they are added up."""

TERMS = pa.schema([("group", pa.int64()), ("lang", pa.string()), ("term", pa.string()), ("number", pa.int64()), ("texts", pa.int64())])
JOINS = pa.schema([("group", pa.int64()), ("term", pa.string()), ("number", pa.int64())])
STATES = pa.schema([("group", pa.int64()), ("state", pa.string()), ("texts", pa.int64())])

_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_SCRIPTS = {"han": f"[{_HAN}]", "hiragana": "[\u3040-\u309f]", "katakana": "[\u30a0-\u30ff\u31f0-\u31ff]"}
UNSPACED_START = f"^[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff{_HAN}]"
"""A word of a script that is written without spaces."""
_UNSPACED = re.compile(UNSPACED_START)
_CHINESE_GRAMMAR = frozenset("的了是在和與与及也都就這这那我你他她它们們吗嗎呢吧被把")
_ARABIC = re.compile("[\u0600-\u06ff\u0750-\u077f]")
_ARABIC_MARKS = re.compile("[\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed]")
_ARABIC_LETTERS = str.maketrans("أإآٱىة", "اااايه")
_ARTICLES = ("وال", "بال", "كال", "فال", "لل", "ال")


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Distinct texts: columns `title`, `text`, `lang`, and the int64 `group` of each; `background` is the group of no narrative."""

    texts: pa.Table
    group: Ints
    background: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Tables of the schemas `TERMS`, `JOINS` and `STATES`, ordered by their names."""

    terms: pa.Table
    joins: pa.Table
    states: pa.Table


def count(batch: TextBatch) -> Counts:
    """Count the terms of a batch, and the states that texts of narratives name."""
    titles, texts, langs = (batch.texts[name].to_pylist() for name in ("title", "text", "lang"))
    rows: dict[str, list[int]] = {}
    for row, lang in enumerate(langs):
        rows.setdefault(lang or "und", []).append(row)
    terms, joins = [TERMS.empty_table()], [JOINS.empty_table()]
    for lang, chosen in rows.items():
        found = [words(f"{titles[row] or ''} {texts[row] or ''}")[:LEAD_WORDS] for row in chosen]
        counted, joined = _count_language(found, batch.group[chosen], lang)
        terms.append(counted)
        joins.append(joined)
    states: Counter[tuple[int, str]] = Counter()
    for row in np.flatnonzero(batch.group != batch.background).tolist():
        states.update((int(batch.group[row]), state) for state in set(find_states(f"{titles[row] or ''}\n{texts[row] or ''}")))
    named = pa.table([[key[0] for key in states], [key[1] for key in states], list(states.values())], schema=STATES)
    return Counts(_added(terms, TERMS), _added(joins, JOINS), _added([named], STATES))


def merge(parts: Iterable[Counts]) -> Counts:
    """Add up the counts of several batches; their order and number leave no trace."""
    held: tuple[list[pa.Table], ...] = ([TERMS.empty_table()], [JOINS.empty_table()], [STATES.empty_table()])
    schemas = (TERMS, JOINS, STATES)
    for part in parts:
        for tables, table, schema in zip(held, (part.terms, part.joins, part.states), schemas, strict=True):
            tables.append(table)
            if sum(item.num_rows for item in tables[1:]) > COMPACT + tables[0].num_rows:
                tables[:] = [_added(tables, schema)]
    terms, joins, states = (_added(tables, schema) for tables, schema in zip(held, schemas, strict=True))
    return Counts(terms, joins, states)


def telling(word: str, lang: str) -> bool:
    """Tell whether a word that is no stop word can name a story."""
    if _UNSPACED.match(word):
        scripts = {next((name for name, body in _SCRIPTS.items() if re.match(body, char)), "other") for char in _bases(word)}
        grammar = lang.startswith("zh") and not _CHINESE_GRAMMAR.isdisjoint(word)
        return len(scripts) == 1 and scripts != {"hiragana"} and not grammar
    return sum(map(str.isalpha, word)) >= LEAST_LETTERS


def unspaced(word: str) -> bool:
    """Tell whether a word is of a script written without spaces."""
    return _UNSPACED.match(word) is not None


def spellings(terms: pa.Table) -> dict[str, dict[str, str]]:
    """Say under which spelling a term is shown.

    Parameters
    ----------
    terms
        Table of the schema `TERMS`.

    Returns
    -------
    dict
        By language, the spelling of words that are shown under another one: the commonest of those that are one term in that
        language, the alphabetically first on ties.
    """
    chosen = terms.filter(pc.or_(pc.match_substring_regex(terms["term"], "[\u0600-\u06ff]"), pc.equal(terms["lang"], "ru")))
    totals = chosen.group_by(["lang", "term"]).aggregate([("number", "sum")]).sort_by([("lang", "ascending"), ("term", "ascending")])
    frequency: dict[str, Counter[str]] = {}
    for lang, term, number in zip(*(totals[name].to_pylist() for name in ("lang", "term", "number_sum")), strict=True):
        frequency.setdefault(lang, Counter())[term] = number
    shown: dict[str, dict[str, str]] = {}
    for lang, counted in frequency.items():
        plain: Counter[str] = Counter()
        for word, number in counted.items():
            plain[_plain(word, lang)] += number
        families: dict[str, list[str]] = {}
        for word in counted:
            families.setdefault(_bare(_plain(word, lang), lang, plain), []).append(word)
        for family in families.values():
            best = min(family, key=lambda word: (-counted[word], word))
            for word in family:
                if word != best:
                    shown.setdefault(lang, {})[word] = best
    return shown


def _plain(word: str, lang: str) -> str:
    """Return a word without what spelling leaves free."""
    if _ARABIC.search(word):
        return _ARABIC_MARKS.sub("", word).translate(_ARABIC_LETTERS)
    return word.replace("ё", "е") if lang == "ru" else word


def _bare(word: str, lang: str, known: Mapping[str, int]) -> str:
    """Return an Arabic word without its clitics, as far as the corpus has the bare word."""
    if lang != "ar":
        return word
    if word.startswith("و") and len(word) > ARABIC_LEFT and known.get(word[1:], 0) >= known[word]:
        word = word[1:]
    for article in _ARTICLES:
        if word.startswith(article) and len(word) >= len(article) + ARABIC_LEFT:
            rest = word[len(article) :]
            return rest if rest in known else "ال" + rest if "ال" + rest in known else word
    return word


def _count_language(found: list[list[str]], group: Ints, lang: str) -> tuple[pa.Table, pa.Table]:
    """Count the words of texts of one language."""
    encoded = pa.array(chain.from_iterable(found), pa.string()).dictionary_encode()
    vocabulary = encoded.dictionary.to_pylist()
    code = encoded.indices.to_numpy().astype(np.int64)
    text = np.repeat(np.arange(len(found)), [len(item) for item in found])
    stops = _stops(lang)
    kept = np.array([word not in stops and telling(word, lang) for word in vocabulary], dtype=bool)
    joins = _count_joins(vocabulary, kept, code, text, group)
    chosen = kept[code] if len(code) else np.zeros(0, dtype=bool)
    code, text = code[chosen], text[chosen]
    wide = max(1, len(vocabulary))
    # One row a (text, word), then one a (group, word).
    pairs, numbers = np.unique(text * wide + code, return_counts=True)
    keys, place = np.unique(group[pairs // wide] * wide + pairs % wide, return_inverse=True)
    columns = [
        pa.array(keys // wide),
        pa.array([lang] * len(keys), pa.string()),
        encoded.dictionary.take(pa.array(keys % wide)),
        pa.array(np.bincount(place, weights=numbers, minlength=len(keys)).astype(np.int64)),
        pa.array(np.bincount(place, minlength=len(keys))),
    ]
    return pa.table(columns, schema=TERMS), joins


def _count_joins(vocabulary: Sequence[str], kept: npt.NDArray[np.bool_], code: Ints, text: Ints, group: Ints) -> pa.Table:
    """Count how often a pair of characters stands on the next one: 中国 and 国人 give 中国人."""
    halves = [_halves(word) if good else ("", "") for word, good in zip(vocabulary, kept.tolist(), strict=True)]
    if not any(head for head, _ in halves):
        return JOINS.empty_table()
    open_ = np.array([bool(tail) for _, tail in halves])
    places = np.flatnonzero(open_[code[:-1]] & open_[code[1:]] & (text[:-1] == text[1:]))
    joined: Counter[tuple[int, str]] = Counter()
    for row, left, right in zip(group[text[places]].tolist(), code[places].tolist(), code[places + 1].tolist(), strict=True):
        if halves[left][1] == halves[right][0]:
            joined[row, vocabulary[left] + halves[right][1]] += 1
    return pa.table([[key[0] for key in joined], [key[1] for key in joined], list(joined.values())], schema=JOINS)


def _halves(word: str) -> tuple[str, str]:
    """Return the two characters (with their marks) of a pair of an unspaced script; nothing for other words."""
    if not _UNSPACED.match(word):
        return "", ""
    parts = clusters(word)
    return (parts[0], parts[1]) if len(parts) == 2 else ("", "")


def clusters(word: str) -> list[str]:
    """Return the characters of a word, each with the marks that follow it."""
    parts: list[str] = []
    for char in word:
        if parts and unicodedata.category(char).startswith("M"):
            parts[-1] += char
        else:
            parts.append(char)
    return parts


def _bases(word: str) -> Iterator[str]:
    return (part[0] for part in clusters(word))


@cache
def _stops(lang: str) -> frozenset[str]:
    """Return the stop words of a language and of English, which stands in texts of every language; without a list, all there are."""
    own = stopwords(lang)
    return own | stopwords("en") if own else stopwords("und")


def _added(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    """Add up tables of counts, ordered by their names."""
    numbers = [name for name in ("number", "texts") if name in schema.names]
    names = [name for name in schema.names if name not in numbers]
    joined = pa.concat_tables(tables).group_by(names).aggregate([(name, "sum") for name in numbers])
    joined = joined.rename_columns([name.removesuffix("_sum") for name in joined.schema.names])
    return joined.select(schema.names).sort_by([(name, "ascending") for name in names]).combine_chunks()
