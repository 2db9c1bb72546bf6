"""Traces: who shares what by every kind, hand-made cases of what is organic, odd corpora, and rewordings calibrated without labels."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from greyzone import neighbours, records
from greyzone.cluster.graph import EXACT_ROWS
from greyzone.coordinate import find_groups, find_paraphrases, paraphrases
from greyzone.coordinate.paraphrases import TABLE, Paraphrases, calibrate
from greyzone.coordinate.traces import KINDS, Corpus, Items, Trace, build_traces, read_corpus
from greyzone.coordinate.wording import has_words
from greyzone.doctrine import load_doctrine
from greyzone.errors import InputError
from greyzone.models.search import Search
from greyzone.neighbours import unit_rows
from greyzone.text import words

START = datetime(2024, 3, 1, tzinfo=UTC)
DOCTRINE = load_doctrine().replace(coordination__resamples=60)
OPEN = DOCTRINE.replace(coordination__popular_share=1, coordination__popular_accounts=1_000_000)
"""Leaves nothing out as too popular."""
NO_COPIES = records.empty(records.COPIES)
TEXT = "one two three four five {}"


def _row(number: int, account: str | None, **fields: object) -> dict[str, object]:
    row: dict[str, object] = {
        "doc_id": f"doc-{number:06d}",
        "text": TEXT.format(number),
        "published_at": START + timedelta(minutes=number),
        "published_precision": "second",
        "account": account,
        "is_repost": False,
    }
    return {**row, **fields}


def _corpus(rows: list[dict[str, object]], copies: pa.Table = NO_COPIES):
    return read_corpus(records.table(rows, records.DOCUMENTS), copies)


def _traces(rows: list[dict[str, object]], copies: pa.Table = NO_COPIES, *, doctrine=OPEN, paraphrases: Paraphrases | None = None):
    return {trace.name: trace for trace in build_traces(_corpus(rows, copies), doctrine, paraphrases=paraphrases)}


def _shared(rows: list[dict[str, object]], name: str, copies: pa.Table = NO_COPIES, paraphrases: Paraphrases | None = None):
    """Return (account, item) of a trace."""
    return _told(_corpus(rows, copies), _traces(rows, copies, paraphrases=paraphrases)[name])


def _told(corpus: Corpus, trace: Trace) -> set[tuple[str, str]]:
    """Return (account, item) of a trace, and see to it that its parts agree."""
    a, item = trace.incidence.nonzero()
    found = set(zip(corpus.names[trace.accounts[a]].tolist(), trace.items[item].tolist(), strict=True))
    named = corpus.names[trace.accounts[trace.share_account]].tolist()
    assert set(zip(named, trace.items[trace.share_item].tolist(), strict=True)) == found
    assert corpus.names[corpus.account[trace.share_document]].tolist() == named
    assert np.all(trace.incidence.data == 1)
    assert trace.items.tolist() == sorted(trace.items.tolist())
    key = list(zip(trace.share_item.tolist(), corpus.time[trace.share_document].tolist(), trace.share_document.tolist(), strict=True))
    assert key == sorted(key)
    return found


# ---------------------------------------------------------------- what is shared


NAMES = st.sampled_from(["a", "b", "c"])
ROWS = st.fixed_dictionaries(
    {
        "account": st.sampled_from(["ann", "ben", "cat", None]),
        "urls": st.lists(NAMES, max_size=2),
        "hashtags": st.lists(NAMES, max_size=3, unique=True),
        "mentions": st.lists(NAMES, max_size=3, unique=True),
        "reply_to": st.sampled_from([None, "", "p0", "p1", "p2"]),
        "repost_of": st.sampled_from([None, "", "@a", "p9"]),
        "handle": st.sampled_from([None, "", "ann", "x", "y"]),
        "platform": st.sampled_from([None, "here"]),
        "text": st.sampled_from(["@a see one two three four five", "see @a and one two three four five", "short"]),
    }
)


def _naive(rows: list[dict[str, object]]) -> dict[str, set[tuple[str, str]]]:
    """Say in plain Python what each document shares by the rules at the head of `greyzone.coordinate.traces`."""
    found: dict[str, set[tuple[str, str]]] = {kind: set() for kind in KINDS if kind not in ("co-text", "co-paraphrase")}
    of = {(row["platform"], row["post_id"]): row["account"] for row in reversed(rows)}

    def here(row: dict[str, object], value: object) -> str:
        return f"{row['platform']}/{value}" if row["platform"] else str(value)

    for row in rows:
        name, repost = row["account"], bool(row["repost_of"])
        if name is None:
            continue
        found["co-url"] |= {(name, f"url:{url}") for url in row["urls"]}
        if repost:
            found["co-repost"].add((name, f"repost:{row['repost_of']}"))
        if not repost and len(row["hashtags"]) >= 2:
            found["co-hashtag"].add((name, "hashtags:" + " ".join(f"#{tag}" for tag in row["hashtags"])))
        if not repost and not row["reply_to"] and len(row["mentions"]) >= 2 and not row["text"].startswith("@"):
            found["co-mention"].add((name, "mention:" + " ".join(f"@{tag}" for tag in row["mentions"])))
        if row["reply_to"] and of.get((row["platform"], row["reply_to"])) != name:
            found["co-reply"].add((name, f"reply:{here(row, row['reply_to'])}"))
        if row["handle"] and row["handle"] != name:
            found["co-handle"].add((name, f"handle:{here(row, row['handle'])}"))
    return found


@given(st.lists(ROWS, max_size=12), st.randoms())
@settings(max_examples=60, deadline=None)
def test_shares_are_what_the_rules_say_in_any_order(drawn, random):
    rows = [_row(number, None, post_id=f"p{number}") | row for number, row in enumerate(drawn)]
    corpus = _corpus(random.sample(rows, len(rows)))
    traces = {trace.name: _told(corpus, trace) for trace in build_traces(corpus, OPEN)}
    expected = _naive(rows)
    assert {kind: traces[kind] for kind in expected} == expected


def test_texts_of_a_few_words_are_nobodys_wording_where_they_are_shared():
    rows = [_row(0, "ann", text="good morning"), _row(1, "ben", text="good morning"), _row(2, "cat", text="hello")]
    rows += [_row(3, "ann"), _row(4, "ben")]
    copies = records.table(
        [{"doc_id": "doc-000001", "representative": "doc-000000"}, {"doc_id": "doc-000004", "representative": "doc-000003"}],
        records.COPIES,
    )
    # "hello" is shared by nobody: it stays in as activity.
    shared = {("ann", "text:doc-000003"), ("ben", "text:doc-000003"), ("cat", "text:doc-000002")}
    assert _shared(rows, "co-text", copies=copies) == shared


TOKENS = ["слово", "word", "@x", "＠y", "a.b", "www.при", "http://x", "e/f", "#tag", "'q", "don't", "汉字", "_", "x@y.z", "(d"]
TOKENS += ["\u00ad", "\u2028", "\u0301", "。"]


@given(
    st.lists(st.sampled_from(TOKENS), max_size=8),
    st.lists(st.sampled_from([" ", "", "\n", "\u00a0"]), min_size=8, max_size=8),
    st.integers(1, 6),
)
@settings(max_examples=300, deadline=None)
def test_words_are_counted_as_everywhere(parts, gaps, minimum):
    text = "".join(part + gap for part, gap in zip(parts, gaps, strict=False))
    assert has_words(pa.array([text, None, text]), minimum).tolist() == [len(words(text)) >= minimum, False, len(words(text)) >= minimum]


def test_what_is_said_to_one_account_is_no_list():
    rows = [
        _row(0, "ann", text=".@x and @y look", mentions=["x", "y"]),
        _row(1, "ben", text="“@x @y look", mentions=["x", "y"]),
        _row(2, "cat", text="look @y @x", mentions=["y", "x"]),
        _row(3, "dan", text="look @x", mentions=["x"]),
        _row(4, "eve", text="look @x @y", mentions=["x", "y"], reply_to="p"),
        _row(5, "fay", text="look @x @y", mentions=["x", "y"], is_repost=True),
    ]
    assert _shared(rows, "co-mention") == {("ann", "mention:@x @y"), ("cat", "mention:@y @x")}


def test_a_thread_of_ones_own_is_no_reply_to_another():
    rows = [
        _row(0, "ann", post_id="1", platform="here"),
        _row(1, "ann", post_id="2", platform="here", reply_to="1"),
        _row(2, "ben", post_id="3", platform="here", reply_to="1"),
        _row(3, "ann", post_id="4", platform="there", reply_to="1"),
        _row(4, None, post_id="5", platform="here", reply_to="1"),
    ]
    assert _shared(rows, "co-reply") == {("ben", "reply:here/1"), ("ann", "reply:there/1")}
    assert _traces(rows)["co-reply"].note.endswith("1 answers to one's own posts left out; 1 shares without account or outlet left out")


def test_one_handle_that_several_accounts_had_is_evidence():
    rows = [_row(number, str(number % 6), handle="name") for number in range(12)]
    rows += [_row(20 + number, f"other{number}", handle=f"h{number}") for number in range(200)]
    # Known by its handle alone in one row: that is no second account that had the name.
    rows.append(_row(300, "name", handle="name"))
    corpus = _corpus(rows)
    trace = next(trace for trace in build_traces(corpus, DOCTRINE) if trace.name == "co-handle")
    assert (trace.supported, trace.minimum, trace.family) == (True, 1, "co-handle")
    mine = trace.items.tolist().index("handle:name")
    assert corpus.names[trace.accounts[trace.share_account[trace.share_item == mine]]].tolist() == [str(number) for number in range(6)]
    found = find_groups(records.table(rows, records.DOCUMENTS), NO_COPIES, doctrine=DOCTRINE)
    edges = found.edges.to_pylist()
    assert {edge["trace"] for edge in edges} == {"co-handle"}
    assert {(edge["account_a"], edge["account_b"]) for edge in edges} == {(str(a), str(b)) for b in range(6) for a in range(b)}
    assert {edge["shared"] for edge in edges} == {1}


def test_in_a_window_a_document_counts_once_by_what_it_shares():
    moments = [START + timedelta(seconds=second) for second in (1, 4, 25, 3, 5)]
    shares: list[dict[str, object]] = [
        {"account": "ann", "urls": ["u"], "hashtags": ["a", "b"]},
        {"account": "ben", "urls": ["u"], "hashtags": ["c", "d"]},
        {"account": "cat", "urls": ["u"]},
        # Its text is its own, as is all else that it has: it is activity by its text.
        {"account": "dan", "urls": ["v"]},
        {"account": None, "urls": ["u"]},
    ]
    rows = [_row(number, published_at=when, **fields) for number, (when, fields) in enumerate(zip(moments, shares, strict=True))]
    second = int(START.timestamp())
    window = f"fast:{second + 1:014d}:url:u"
    expected = {("ann", window), ("ben", window), ("dan", f"fast:{second + 3:014d}:text:doc-000003")}
    assert _shared(rows, "fast-10s") == expected | {("cat", f"fast:{second + 25:014d}:url:u")}
    assert _shared(rows, "fast-1m") == expected | {("cat", window)}


# ---------------------------------------------------------------- what cannot be tested


def test_every_trace_that_the_data_cannot_support_says_why():
    (undated,) = [{**row, "published_at": None, "published_precision": "unknown"} for row in [_row(0, "ann", text="hello")]]
    notes = {name: (trace.supported, trace.note) for name, trace in _traces([undated]).items()}
    assert list(notes)[: len(KINDS)] == list(KINDS)
    assert {name: note for name, (_, note) in notes.items() if name in KINDS} == {
        "co-url": "no addresses in the documents",
        "co-text": "no item is shared by two accounts",
        "co-paraphrase": "no embeddings of the texts were given",
        "co-hashtag": "no own post with 2 hashtags or more",
        "co-repost": "no reposts in the documents",
        "co-reply": "no document says which post it answers",
        "co-mention": "no own post that answers nobody mentions 2 accounts or more",
        "co-handle": "no document names the handle that its account had",
    }
    timed = {name: note for name, note in notes.items() if name not in KINDS}
    assert timed
    assert all(note.startswith("no document with an account and a time good to a") for _, note in timed.values())
    assert not any(supported for supported, _ in notes.values())


def test_reasons_of_what_is_there_but_tells_nothing():
    rows = [_row(0, "ann", handle="ann", post_id="1"), _row(1, "ann", handle="Ann".lower(), reply_to="1"), _row(2, None, urls=["u"])]
    notes = {name: trace.note for name, trace in _traces(rows).items()}
    assert notes["co-handle"] == "the handles are the accounts themselves"
    assert notes["co-reply"].startswith("all answers are to one's own posts")
    assert notes["co-url"].startswith("no document of this kind names an account or an outlet")


def test_no_documents_at_all():
    assert not any(trace.supported for trace in build_traces(read_corpus(records.empty(records.DOCUMENTS), NO_COPIES), DOCTRINE))


@pytest.mark.parametrize("case", ["one account", "no times", "one moment", "one item for all", "one busy account"])
def test_odd_corpora_give_a_result_or_a_reason(case):
    rng = np.random.default_rng(0)
    posts, accounts = (100_000, 50) if case == "one busy account" else (3000, 1 if case == "one account" else 300)
    who = np.where(np.arange(posts) < posts - 20 * accounts, 0, np.arange(posts) % accounts) if case == "one busy account" else None
    who = rng.integers(0, accounts, posts) if who is None else who
    when = np.full(posts, 1_700_000_000_000_000) if case == "one moment" else 1_700_000_000_000_000 + rng.integers(0, 10**12, posts)
    item = np.zeros(posts, dtype=int) if case == "one item for all" else rng.integers(0, 1000, posts)
    columns = {
        "doc_id": pa.array([f"doc-{number:06d}" for number in range(posts)]),
        "text": pa.array([TEXT.format(number) for number in range(posts)]),
        "account": pa.array([f"a{number}" for number in who]),
        "published_at": pa.array(when, pa.int64(), mask=np.full(posts, case == "no times")).cast(records.TIME),
        "published_precision": pa.array(["unknown" if case == "no times" else "second"] * posts),
        "urls": pa.array([[f"https://a.org/{number}"] for number in item]),
        "is_repost": pa.array(np.zeros(posts, dtype=bool)),
    }
    rows = pa.table([columns.get(field.name, pa.nulls(posts, field.type)) for field in records.DOCUMENTS], schema=records.DOCUMENTS)
    found = find_groups(rows, NO_COPIES, doctrine=DOCTRINE)
    notes = dict(zip(found.traces["trace"].to_pylist(), found.traces["note"].to_pylist(), strict=True))
    supported = dict(zip(found.traces["trace"].to_pylist(), found.traces["supported"].to_pylist(), strict=True))
    assert found.groups.num_rows == 0
    assert all(notes[name] for name, tested in supported.items() if not tested)
    assert supported["co-url"] == (case not in ("one account", "one item for all"))
    if case == "one item for all":
        assert notes["co-url"].startswith("no item is shared by two accounts but the most popular ones")
    if case == "no times":
        assert not any(tested for name, tested in supported.items() if name not in KINDS)


# ---------------------------------------------------------------- names of items


def test_items_have_names_when_they_are_asked_for():
    items = Items(pa.array(["url:a", "url:b"]), np.array([0, 0, 1]), np.array([5, 70, -1]))
    assert len(items) == 3
    assert items[1] == "fast:00000000000070:url:a"
    assert items[np.int64(2)].endswith(":url:b")
    assert items[np.array([0, 1])].tolist() == ["fast:00000000000005:url:a", "fast:00000000000070:url:a"]
    assert items[np.array([True, False, False])].tolist() == items[:1].tolist() == [items[0]]
    assert list(items.chosen(np.array([1]))) == [items[1]]
    assert Items(pa.array(["x", "y"])).tolist() == ["x", "y"]


# ---------------------------------------------------------------- rewordings


def test_threshold_by_hand():
    # Of 100 numbers the lower sixth ends at the 16th, the middle at the 50th: artanh .3 and artanh .5, whatever the upper half holds.
    near = np.concatenate([np.full(16, 0.3), np.full(40, 0.5), np.full(44, 0.999)])
    expected = math.tanh(math.atanh(0.5) + stats.norm.isf(0.001) * (math.atanh(0.5) - math.atanh(0.3)))
    assert calibrate(near, 0.001) == pytest.approx(expected)
    assert calibrate(near, 0.0001) > calibrate(near, 0.001)
    assert calibrate(np.full(100, 1.0), 0.001) == pytest.approx(1.0)


def _speech(texts: int, dimensions: int = 48, *, subjects: int = 40, reworded: int = 30, tightness: float = 0.8, seed: int = 0):
    """Return unit vectors of texts about subjects, the last ones rewordings of the first `reworded` texts by other accounts."""
    rng = np.random.default_rng(seed)
    subject = rng.normal(size=(subjects, dimensions))
    vectors = tightness * subject[rng.integers(0, subjects, texts)] + rng.normal(size=(texts, dimensions))
    vectors[texts - reworded :] = vectors[:reworded] + 0.1 * rng.normal(size=(reworded, dimensions))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _written(texts: int, accounts: int = 60) -> pa.Table:
    return records.table([_row(number, f"a{number % accounts:03d}") for number in range(texts)], records.DOCUMENTS)


@pytest.mark.parametrize("texts", [600, EXACT_ROWS + 400])
def test_rewordings_are_told_from_a_shared_subject(texts):
    documents, vectors = _written(texts), _speech(texts)
    ids = documents["doc_id"].to_pylist()
    found = find_paraphrases(documents, NO_COPIES, ids, vectors, doctrine=DOCTRINE, device="cpu")
    pairs = dict(zip(found.items["doc_id"].to_pylist(), found.items["item"].to_pylist(), strict=True))
    hits = sum(pairs.get(ids[texts - 30 + place]) == ids[place] for place in range(30))
    # Beyond EXACT_ROWS a pair may lie in two lists.
    assert hits == 30 if texts <= EXACT_ROWS else hits >= 25
    assert len(pairs) - 2 * hits <= 0.005 * texts
    assert 0.7 < found.similarity < 0.97
    assert re.search(rf"of {texts} own texts reword another at a similarity of 0\.\d+ and more", found.note)
    turn = np.random.default_rng(1).permutation(texts)
    again = find_paraphrases(
        documents.take(pa.array(turn[::-1])), NO_COPIES, [ids[row] for row in turn], vectors[turn], doctrine=DOCTRINE, device="cpu"
    )
    assert again.items.equals(found.items)
    assert again.similarity == found.similarity


def test_reposts_greetings_unknown_words_and_copies_are_no_rewordings():
    texts = 400
    vectors, documents = _speech(texts, reworded=5), _written(texts).to_pylist()
    documents[395]["is_repost"] = True
    documents[396]["text"] = "too few words"
    documents[397]["account"] = None
    vectors[398] = 0
    copies = records.table([{"doc_id": "doc-000399", "representative": "doc-000004"}], records.COPIES)
    ids = [row["doc_id"] for row in documents[:399]]
    rows = records.table(documents, records.DOCUMENTS)
    found = find_paraphrases(rows, copies, ids, vectors[:399], doctrine=DOCTRINE, device="cpu")
    assert found.items.num_rows == 0
    assert found.note.startswith("0 of 395 own texts reword another")
    shares = _shared(documents, "co-paraphrase", copies=copies, paraphrases=found)
    assert shares == set()
    assert _traces(documents, copies, paraphrases=found)["co-paraphrase"].note == found.note


def test_what_cannot_be_calibrated_is_told():
    documents = _written(120)
    ids = documents["doc_id"].to_pylist()
    few = find_paraphrases(documents, NO_COPIES, ids[:90], _speech(120)[:90], doctrine=DOCTRINE, device="cpu")
    assert few.note == "90 own texts of 5 words and more have an embedding; the calibration needs 100"
    assert math.isnan(few.similarity)
    # Subjects so narrow that two texts on one are as alike as copies are.
    narrow = _speech(120, subjects=6, reworded=0, tightness=30)
    dull = find_paraphrases(documents, NO_COPIES, ids, narrow, doctrine=DOCTRINE, device="cpu")
    assert re.fullmatch(r"rewordings would need a similarity of \d\.\d+, above the 0\.97 of near copies", dull.note)
    assert not dull.items.num_rows
    assert not _traces(documents.to_pylist(), paraphrases=dull)["co-paraphrase"].supported
    with pytest.raises(InputError, match="120 ids and 119 vectors"):
        find_paraphrases(documents, NO_COPIES, ids, _speech(120)[:119], doctrine=DOCTRINE)
    with pytest.raises(InputError, match="1 vectors of unknown documents"):
        find_paraphrases(documents, NO_COPIES, ["doc-x", *ids[1:]], _speech(120), doctrine=DOCTRINE)


def test_a_text_counts_once_for_who_posted_it_first():
    rows = [_row(0, "ann"), _row(1, "ben"), _row(2, "cat"), _row(3, "dan")]
    copies = records.table([{"doc_id": "doc-000001", "representative": "doc-000000"}], records.COPIES)
    items = pa.table({"doc_id": ["doc-000000", "doc-000002"], "item": ["doc-000000", "doc-000000"]}, schema=TABLE)
    given = Paraphrases(items, 0.9, "told")
    shared = {("ann", "paraphrase:doc-000000"), ("cat", "paraphrase:doc-000000"), ("dan", "paraphrase:doc-000003")}
    assert _shared(rows, "co-paraphrase", copies=copies, paraphrases=given) == shared
    assert "told" in _traces(rows, copies, paraphrases=given)["co-paraphrase"].note


def test_a_group_that_only_rewords_is_found_in_that_trace_alone():
    texts, members, said = 1500, 12, 8
    rng = np.random.default_rng(5)
    vectors = _speech(texts, 64, reworded=0, seed=5)
    rows = [_row(number, f"a{number % 150:03d}", published_at=START + timedelta(minutes=7 * number)) for number in range(texts)]
    for line in range(said):
        for member in range(members):
            place = line * 150 + 40 + member
            vectors[place] = vectors[line * 150 + 40] + 0.02 * rng.normal(size=64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [str(row["doc_id"]) for row in rows]
    documents = records.table(rows, records.DOCUMENTS)
    given = find_paraphrases(documents, NO_COPIES, ids, vectors, doctrine=DOCTRINE, device="cpu")
    found = find_groups(documents, NO_COPIES, doctrine=DOCTRINE, paraphrases=given)
    (group,) = found.groups.to_pylist()
    assert group["accounts"] == [f"a{40 + member:03d}" for member in range(members)]
    assert group["traces"] == ["co-paraphrase"]
    assert len(group["items"]) == said
    assert all(item.startswith("paraphrase:") for item in group["items"])


def test_rewordings_of_a_claim_are_one_group_though_many_are_no_nearer_than_the_threshold():
    rng = np.random.default_rng(3)
    claims = np.linalg.qr(rng.normal(size=(64, 3)))[0].T
    # Two claims on one subject (cosine .5), twelve wordings of each at about .87 of each other, and forty texts of their own.
    about = np.stack([claims[0] + claims[1], claims[0] + claims[2]]) / np.sqrt(2)
    noise = rng.normal(size=(24, 64)) * rng.uniform(0.03, 0.065, (24, 1))
    rows = unit_rows(np.concatenate([np.repeat(about, 12, axis=0) + noise, rng.normal(size=(40, 64))])).astype(np.float32)
    cosines = rows[:12] @ rows[:12].T
    assert (cosines < 0.87).mean() > 0.2
    leaders = neighbours.leaders(rows, 0.87)
    assert len(np.unique(leaders[:12])) > 1
    group = paraphrases._Space.of(rows, np.arange(64), Search("cpu")).groups(0.87)
    assert len(np.unique(group[:12])) == len(np.unique(group[12:24])) == 1
    assert len(np.unique(group)) == 42
