"""Copies: exact and near, against a naive search, whatever the order of the rows."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import greyzone.collapse
from greyzone import records
from greyzone.collapse import CopyIndex, collapse, collapse_into, leaders, rare, representatives, weights
from greyzone.collapse import grams as signatures
from greyzone.errors import InputError
from greyzone.text import normal_form

START = datetime(2024, 3, 1, tzinfo=UTC)
BASE = "The harbour authority of the northern port said on Friday that the grain terminal would open again after repairs to the quay"


def documents(texts, *, days=None, titles=None):
    days = days if days is not None else range(len(texts))
    rows = [
        {"doc_id": f"d{place:05d}", "text": text, "published_at": None if day is None else START + timedelta(days=day)}
        for place, (text, day) in enumerate(zip(texts, days, strict=True))
    ]
    for row, title in zip(rows, titles or [], strict=False):
        row["title"] = title
    return records.table(rows, records.DOCUMENTS)


def pairs(copies):
    return {row["doc_id"]: (row["representative"], row["kind"]) for row in copies.to_pylist()}


def grams(text):
    form = normal_form(text)
    return {form[place : place + 5] for place in range(max(1, len(form) - 4))}


def jaccard(a, b):
    return len(grams(a) & grams(b)) / len(grams(a) | grams(b))


def test_exact_copies_follow_the_earliest():
    table = documents(
        [BASE, "RT @someone: " + BASE.upper(), BASE + " https://example.org/x", "Something else entirely"], days=[5, 2, None, 1]
    )
    assert pairs(collapse(table)) == {"d00000": ("d00001", "exact"), "d00002": ("d00001", "exact")}


def test_undated_and_tied_documents_yield_to_the_smallest_id():
    assert pairs(collapse(documents([BASE] * 3, days=[None, None, None]))) == {"d00001": ("d00000", "exact"), "d00002": ("d00000", "exact")}
    assert pairs(collapse(documents([BASE] * 3, days=[None, 4, 4]))) == {"d00000": ("d00001", "exact"), "d00002": ("d00001", "exact")}


def test_near_copies_are_verified_and_carry_their_similarity():
    near = BASE.replace("Friday", "Monday")
    found = collapse(documents([BASE, near])).to_pylist()
    assert [(row["doc_id"], row["representative"], row["kind"]) for row in found] == [("d00001", "d00000", "near")]
    assert found[0]["similarity"] == pytest.approx(jaccard(BASE, near), abs=1e-6)
    assert 0.8 <= found[0]["similarity"] < 1


def test_similarity_by_hand():
    # 5-grams of abcdefghij: 6; of abcdefghik: 6; shared abcde bcdef cdefg defgh efghi: 5 of 7.
    table = documents(["abcdefghij", "abcdefghik"])
    assert collapse(table, similarity=0.72).num_rows == 0
    assert collapse(table, similarity=0.71)["similarity"].to_pylist() == [pytest.approx(5 / 7)]


def test_an_exact_copy_of_a_near_copy_is_near():
    near = BASE.replace("Friday", "Monday")
    assert pairs(collapse(documents([BASE, near, near.upper()]))) == {"d00001": ("d00000", "near"), "d00002": ("d00000", "near")}


def test_no_chains():
    # Each version changes one more word: neighbours are near, the ends are not.
    words = BASE.split()
    versions = [
        " ".join(["brandnew" + "xyzuvw"[place % 6] * 4 if place < 2 * step else word for place, word in enumerate(words)])
        for step in range(6)
    ]
    copies = pairs(collapse(documents(versions)))
    assert copies
    assert not {leader for leader, _ in copies.values()} & set(copies)
    for copy, (leader, _) in copies.items():
        assert jaccard(versions[int(copy[1:])], versions[int(leader[1:])]) >= 0.8


def test_texts_without_letters_are_compared_as_they_stand():
    table = documents(["https://example.org/a", "https://example.org/b", "https://example.org/a", "", ""])
    assert pairs(collapse(table)) == {"d00002": ("d00000", "exact")}


def test_titles_stand_in_for_missing_texts():
    table = documents(["", None, BASE], titles=["Port opens again", "Port opens again!", "Port opens again"])
    found = pairs(collapse(table))
    assert "d00002" not in found
    assert found["d00001"][0] == "d00000"


def test_equal_texts_with_other_titles_are_copies():
    assert pairs(collapse(documents([BASE, BASE], titles=["One", "Two"]))) == {"d00001": ("d00000", "exact")}


VOCABULARY = ["harbour", "grain", "minister", "cable", "night", "drone", "bank", "portal", "strike", "election", "border", "water"]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000))
def test_order_leaves_no_trace_and_the_contract_holds(seed):
    generator = np.random.default_rng(seed)
    bases = [" ".join(generator.choice(VOCABULARY, 14)) for _ in range(4)]
    texts = []
    for _ in range(30):
        words = bases[generator.integers(4)].split()
        for _ in range(generator.integers(0, 3)):
            words[generator.integers(len(words))] = str(generator.choice(VOCABULARY))
        texts.append(" ".join(words))
    days = [None if generator.random() < 0.2 else int(generator.integers(0, 5)) for _ in texts]
    table = documents(texts, days=days)
    copies = collapse(table)
    records.check(copies, records.COPIES, "copies")
    assert copies.equals(collapse(table.take(generator.permutation(len(texts)))))
    # The naive greedy search over (date, id) finds the same.
    order = sorted(range(len(texts)), key=lambda place: (days[place] is None, days[place] or 0, place))
    chosen: list[int] = []
    wanted: dict[str, str] = {}
    seen: dict[str, int] = {}
    for place in order:
        first = seen.setdefault(texts[place], place)
        if first != place:
            # An exact copy goes where its first went, even if a nearer representative has come up since.
            wanted[f"d{place:05d}"] = wanted.get(f"d{first:05d}", f"d{first:05d}")
            continue
        scores = [(jaccard(texts[place], texts[leader]), -rank, leader) for rank, leader in enumerate(chosen)]
        best = max(scores, default=(0.0, 0, -1))
        if best[0] >= 0.8:
            wanted[f"d{place:05d}"] = f"d{best[2]:05d}"
        else:
            chosen.append(place)
    found = {copy: leader for copy, (leader, _) in pairs(copies).items()}
    assert found == wanted
    kept = representatives(table, copies)
    assert kept["doc_id"].to_pylist() == [name for name in table["doc_id"].to_pylist() if name not in found]
    assert weights(table, copies).sum() == len(texts)


def test_weights_follow_the_order_of_the_documents():
    table = documents([BASE, "Another story altogether about fish", BASE, BASE])
    assert weights(table, collapse(table)).tolist() == [3, 1]


def test_no_documents():
    empty = records.empty(records.DOCUMENTS)
    copies = collapse(empty)
    assert copies.equals(records.empty(records.COPIES))
    assert representatives(empty, copies).num_rows == 0
    assert weights(empty, copies).tolist() == []


@pytest.mark.timeout(120)
def test_ten_thousand_near_copies_are_one_group():
    table = documents([f"{BASE} number {place}" for place in range(10_000)])
    copies = collapse(table)
    assert copies.num_rows == 9_999
    assert copies["representative"].unique().to_pylist() == ["d00000"]


def test_similarity_out_of_range_is_refused():
    with pytest.raises(InputError, match=r"similarity 0\.2"):
        collapse(documents([BASE]), similarity=0.2)


def split(table, sizes):
    edges = np.cumsum([0, *sizes])
    return [table.slice(begin, end - begin) for begin, end in itertools.pairwise(edges.tolist())]


def versions(count, seed, *, dated=True):
    generator = np.random.default_rng(seed)
    bases = [" ".join(generator.choice(VOCABULARY, 14)) for _ in range(6)]
    texts = []
    for _ in range(count):
        words = bases[generator.integers(6)].split()
        for _ in range(generator.integers(0, 3)):
            words[generator.integers(len(words))] = str(generator.choice(VOCABULARY))
        texts.append("RT @someone: " * int(generator.random() < 0.2) + " ".join(words) + "!" * int(generator.random() < 0.2))
    days = sorted(generator.integers(0, 20, count).tolist())
    return documents(texts, days=[day if dated or generator.random() < 0.9 else None for day in days])


@pytest.mark.parametrize("workers", [1, 2])
def test_one_two_and_seven_shards_give_the_same_bytes(workers):
    table = versions(210, 3, dated=False)
    whole = collapse(table, shard_rows=210, workers=1)
    assert whole.num_rows > 50
    for size in (105, 30):
        assert collapse(table, shard_rows=size, workers=workers).equals(whole)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 100_000))
def test_later_documents_find_the_copies_that_one_pass_finds(seed):
    table = versions(80, seed)
    ordered = table.take(pc.sort_indices(table, [("published_at", "ascending"), ("doc_id", "ascending")]))
    index, found = None, []
    for part in split(ordered, [50, 0, 20, 1, 9]):
        done = collapse_into(part.take(np.random.default_rng(seed).permutation(part.num_rows)), index, workers=1)
        index = done.index
        found.append(done.copies)
    assert pa.concat_tables(found).equals(collapse(table, workers=1))


def test_an_index_outlives_the_process(tmp_path):
    table = versions(90, 5)
    older, newer = split(table, [60, 30])
    first = collapse_into(older)
    first.index.write(tmp_path / "copies")
    second = collapse_into(newer, CopyIndex.read(tmp_path / "copies"))
    second.index.write(tmp_path / "copies")
    assert pa.concat_tables([first.copies, second.copies]).equals(collapse(table))
    assert collapse_into(newer.slice(0, 0), CopyIndex.read(tmp_path / "copies")).copies.num_rows == 0
    with pytest.raises(InputError, match="no index of copies"):
        CopyIndex.read(tmp_path / "nothing")
    first.index.write(tmp_path / "older")
    (tmp_path / "older" / "leaders.arrow").replace(tmp_path / "copies" / "leaders.arrow")
    with pytest.raises(InputError, match="another index"):
        CopyIndex.read(tmp_path / "copies")


def test_long_texts_make_shorter_shards():
    generator = np.random.default_rng(2)
    texts = [" ".join(generator.choice(VOCABULARY, 60)) for _ in range(20)]
    texts += [text + " once more" for text in texts]
    wanted = collapse(documents(texts), workers=1)
    assert wanted.num_rows == 20
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(greyzone.collapse, "SHARD_CHARACTERS", 700)
        assert collapse(documents(texts), workers=1).equals(wanted)


def test_an_older_document_leaves_the_representative_in_its_place():
    index = collapse_into(documents([BASE], days=[5])).index
    late = documents(["unused", BASE, BASE], days=[0, 2, 9]).slice(1)
    found = collapse_into(late, index).copies.to_pylist()
    assert [(row["representative"], row["previous"], row["lag_seconds"]) for row in found] == [
        ("d00000", None, -3 * 86_400.0),
        ("d00000", "d00000", 4 * 86_400.0),
    ]


def test_how_a_copy_differs_whom_it_follows_and_when():
    texts = [
        "Port opens on Friday",
        "Port opens on Friday",
        "RT @someone: Port opens on Friday",
        "PORT opens on friday",
        "rt @Someone Port opens... on Friday!",
        "RT @someone: PORT opens on Friday https://example.org/x",
        BASE,
        BASE.replace("Friday", "Monday"),
        "Port opens on Friday",
    ]
    found = collapse(documents(texts, days=[0, 1, 3, 3, 4, 5, 6, 8, None]))
    assert [(row["doc_id"], row["differs"], row["previous"], row["lag_seconds"]) for row in found.to_pylist()] == [
        ("d00001", "same", "d00000", 86_400.0),
        ("d00002", "prefix", "d00001", 3 * 86_400.0),
        ("d00003", "case", "d00002", 3 * 86_400.0),
        ("d00004", "punctuation", "d00003", 4 * 86_400.0),
        ("d00005", "urls", "d00004", 5 * 86_400.0),
        ("d00007", "words", "d00006", 2 * 86_400.0),
        ("d00008", "same", None, None),
    ]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 100_000))
def test_however_candidates_are_sought_they_are_the_same(seed):
    table = versions(150, seed)
    wanted = collapse(table, workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaders, "SMALL", 2)
        patch.setattr(leaders, "FEW_PAIRS", 4)
        assert collapse(table, shard_rows=40, workers=1).equals(wanted)
        patch.setattr(leaders, "SCANNED", 0.0)
        patch.setattr(leaders, "PAIRS_AT_ONCE", 3)
        patch.setattr(leaders, "VERIFIED_AT_ONCE", 5)
        patch.setattr(leaders, "SCANNED_AT_ONCE", 900)
        patch.setattr(leaders, "LEADERS_AT_ONCE", 4)
        patch.setattr(leaders, "ROWS_AT_ONCE", 3)
        patch.setattr(leaders, "_TILE_NAMES", 7)
        assert collapse(table, shard_rows=40, workers=1).equals(wanted)


@pytest.mark.parametrize("similarity", [0.7, 0.8, 0.95])
def test_no_similar_pair_is_missed(similarity):
    generator = np.random.default_rng(int(similarity * 100))
    letters = list("abcdefghijklmnop")
    texts = ["".join(generator.choice(letters, generator.integers(1, 320))) for _ in range(60)]
    for text in texts[:]:
        for edits in range(1, 5):
            changed = list(text)
            for _ in range(edits):
                changed[generator.integers(len(changed))] = str(generator.choice(letters))
            texts.append("".join(changed))
    texts = [texts[place] for place in generator.permutation(len(texts))]
    chosen: list[str] = []
    wanted = []
    held = {text: grams(text) for text in texts}
    for text in dict.fromkeys(texts):
        scores = [len(held[text] & held[leader]) / len(held[text] | held[leader]) for leader in chosen]
        if max(scores, default=0.0) >= similarity:
            wanted.append((text, chosen[int(np.argmax(scores))], np.float32(max(scores))))
        else:
            chosen.append(text)
    distinct = list(dict.fromkeys(texts))
    found = collapse(documents(distinct), similarity=similarity, workers=1).to_pylist()
    text_of = {f"d{place:05d}": text for place, text in enumerate(distinct)}
    assert len(wanted) > 10
    assert [(text_of[row["doc_id"]], text_of[row["representative"]], np.float32(row["similarity"])) for row in found] == wanted


@pytest.mark.parametrize("filled", [2, 4, 7])
def test_form_letters_with_blanks_are_told_apart_as_by_a_naive_search(filled, monkeypatch):
    """Letters at and just below the border: what stands in the blanks decides, and few pairs are left to verify."""
    generator = np.random.default_rng(filled)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    blanks = ["".join(generator.choice(letters, 9)) for _ in range(40)]
    form = [" ".join("".join(generator.choice(letters, 6)) for _ in range(9)) for _ in range(4)]
    texts = []
    for _ in range(120):
        own = [" ".join(generator.choice(blanks, filled // 2 + 1)) for _ in range(3)]
        texts.append(f"{form[0]} {own[0]} {form[1]} {own[1]} {form[2]} {own[2]} {form[3]}")
    chosen: list[str] = []
    wanted = []
    for text in texts:
        scores = [jaccard(text, leader) for leader in chosen]
        if max(scores, default=0.0) >= 0.8:
            wanted.append(chosen[int(np.argmax(scores))])
        else:
            chosen.append(text)
    verified = []
    true = leaders._Search._verified
    monkeypatch.setattr(
        leaders._Search, "_verified", lambda self, row, *rest, **way: verified.append(len(row)) or true(self, row, *rest, **way)
    )
    monkeypatch.setattr(leaders, "VERIFIED_AT_ONCE", 5)
    found = collapse(documents(texts), workers=1)
    assert [texts[int(row["representative"][1:])] for row in found.to_pylist()] == wanted
    assert sum(verified) < 0.25 * len(texts) ** 2 / 2


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text("abc", min_size=1, max_size=30), min_size=1, max_size=12),
    st.lists(st.text("abc", min_size=1, max_size=30), min_size=1, max_size=5),
)
def test_rare_grams_bound_what_two_texts_share(held, asked):
    ours, theirs = (leaders._all_sets(texts) for texts in (asked, held))

    def sets(ragged):
        return [set(ragged.grams[start:stop].tolist()) for start, stop in itertools.pairwise(ragged.starts)]

    true = np.array([[len(one & other) for other in sets(theirs)] for one in sets(ours)])
    with pytest.MonkeyPatch.context() as patch:
        for share, exact in ((1.0, True), (0.2, False)):
            patch.setattr(rare, "RARE", share)
            bound = rare.RareGrams.of(theirs).shared(ours)
            assert (bound >= true).all()
            assert not exact or (bound == true).all()


def test_classes_never_ask_for_more_parts_than_there_are():
    for similarity in (0.7, 0.8, 0.9, 1.0):
        sizes = np.arange(1, 400)
        classes = signatures.Sizes.at(similarity)
        for number in range(len(classes.parts)):
            fits, needed = classes.within(sizes, number)
            assert (needed[fits] <= classes.parts[number]).all()
            low, high = classes.firsts[number], [*classes.firsts, 600][number + 1] - 1
            reachable = [any(min(n, m) >= similarity * max(n, m) for m in range(low, high + 1)) for n in sizes.tolist()]
            assert (fits >= np.array(reachable)).all()


def test_a_sketch_differs_in_no_more_bits_than_the_sets_in_grams():
    texts = ["abcdefghijklmnop", "abcdefghijklmnoq", "zyxwvutsrqponm"]
    (_, sets), *rest = signatures.gram_sets(sorted(texts, key=len))
    drawn = np.concatenate([signatures.sketches(sets), *(signatures.sketches(more) for _, more in rest)])
    assert int(np.bitwise_count(drawn[1] ^ drawn[2]).sum()) <= 2
    assert int(np.bitwise_count(drawn[0] ^ drawn[1]).sum()) > 10
