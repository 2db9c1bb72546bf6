"""The measurement of coordination: generator, plants, verdicts and the odd cases, on small corpora."""

from __future__ import annotations

import collections
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from greyzone import records
from greyzone.errors import InputError
from greyzone.eval.coordination import command, corpora, judging, margins, odd, planted, plants, scale, sources
from greyzone.eval.coordination.wording import ACTORS, ACTS, OUTCOMES, Wording
from greyzone.eval.scenario.templates import Draws


def _setting(make="apart", **changes):
    given = {"make": make, "accounts": 120, "posts": 8.0, "tastes": 3, "strength": 0.8, "bursts": 4}
    return corpora.Setting(**{**given, **changes})


# ---------------------------------------------------------------- the generator


@pytest.mark.parametrize("make", corpora.MAKES)
def test_a_corpus_is_its_seed(make):
    setting = _setting(make)
    first, again, other = (corpora.make_corpus(setting, seed).documents for seed in (3, 3, 4))
    assert records.check(first, records.DOCUMENTS, "documents").equals(again)
    assert not first.equals(other)
    assert len(set(first["doc_id"].to_pylist())) == first.num_rows
    assert len(set(first["post_id"].to_pylist())) == first.num_rows


def test_settings_vary_and_take_turns():
    drawn = [corpora.draw_setting(seed) for seed in range(50)]
    assert [one.make for one in drawn[:5]] == list(corpora.MAKES)
    assert len({one.tastes for one in drawn}) > 5
    assert min(one.strength for one in drawn) < 0.6 < 0.85 < max(one.strength for one in drawn)


def test_a_corpus_is_heavy_tailed_bursty_and_sleeps():
    documents = corpora.make_corpus(_setting(accounts=400, posts=12.0, bursts=6), 1).documents
    posts = np.sort(list(collections.Counter(documents["account"].to_pylist()).values()))[::-1]
    assert posts[:40].sum() > 0.3 * posts.sum()
    urls = collections.Counter(url for row in documents["urls"].to_pylist() for url in row)
    assert urls.most_common(1)[0][1] > 20
    # Within ten minutes of each other at least ten accounts cite one article.
    rows = documents.select(["urls", "published_at"]).to_pylist()
    times = collections.defaultdict(list)
    for row in rows:
        for url in row["urls"]:
            times[url].append(row["published_at"].timestamp())
    assert max(sum(abs(one - at) < 600 for one in found) for found in times.values() for at in found) >= 10
    # Everybody has eight hours of rest: of a busy account's posts few fall into its quietest eight.
    account, hour = (np.array(part) for part in (documents["account"].to_pylist(), pc.hour(documents["published_at"]).to_pylist()))
    quiet = []
    for name, count in collections.Counter(account.tolist()).items():
        if count >= 60:
            day = np.bincount(hour[account == name], minlength=24)
            quiet.append(min(np.roll(day, shift)[:8].sum() for shift in range(24)) / count)
    assert len(quiet) > 5
    assert max(quiet) < 0.15


def test_every_trace_is_there():
    documents = corpora.make_corpus(_setting(), 2).documents
    assert pc.sum(documents["is_repost"]).as_py() > 50
    assert documents["reply_to"].null_count < documents.num_rows - 20
    assert sum(len(row) > 1 for row in documents["hashtags"].to_pylist()) > 50
    assert sum(bool(row) for row in documents["urls"].to_pylist()) > 100
    texts = collections.Counter(documents.filter(pc.invert(documents["is_repost"]))["text"].to_pylist())
    assert texts.most_common(1)[0][1] > 3
    known = set(documents["post_id"].to_pylist())
    assert {one for one in documents["repost_of"].to_pylist() if one} & known


def test_a_claim_is_told_in_many_words():
    wording = Wording(Draws(np.random.default_rng(0)))
    claim = wording.claim()
    told = {wording.told(claim) for _ in range(40)}
    assert len(told) > 25
    for text in told:
        assert claim.town in text
        assert any(one.lower() in text.lower() for one in ACTORS[claim.actor])
        assert any(one.lower() in text.lower() for one in ACTS[claim.act])
        assert any(one.lower() in text.lower() for one in OUTCOMES[claim.outcome])


# ---------------------------------------------------------------- plants


@pytest.mark.parametrize("kind", plants.KINDS)
def test_plants_add_posts_of_their_kind_and_leave_the_rest(kind):
    setting = _setting()
    before = corpora.make_corpus(setting, 5)
    after = corpora.make_corpus(setting, 5, plants.planter(0.1, kind))
    assert before.planted == frozenset()
    assert len(after.planted) == 12
    columns = ["account", "published_at", "text"]
    old, new = (collections.Counter(tuple(row.values()) for row in one.documents.select(columns).to_pylist()) for one in (before, after))
    added = new - old
    assert old <= new
    # Seven in ten of twelve take part in 8 to 24 items; some fall after the last day.
    assert 40 < added.total() < 220
    assert {account for account, _, _ in added} <= after.planted
    texts = [text for _, _, text in added]
    rows = {row["text"]: row for row in after.documents.to_pylist()}
    if kind in ("text", "paraphrase", "no-url", "fast", "hashtags"):
        assert not any(rows[text]["urls"] for text in texts)
    if kind == "paraphrase":
        assert len(set(texts)) == len(texts)
    if kind == "fast":
        assert all(rows[text]["is_repost"] for text in texts)
    if kind == "hashtags":
        assert all(len(rows[text]["hashtags"]) == 3 for text in texts)


def test_fewest_members_and_what_cannot_be_planted():
    assert len(corpora.make_corpus(_setting(), 1, plants.planter(0.01, "url")).planted) == plants.FEWEST
    with pytest.raises(InputError, match="kind 'x'"):
        plants.planter(0.1, "x")
    with pytest.raises(InputError, match="share of 1"):
        plants.planter(1.0, "url")


# ---------------------------------------------------------------- verdicts


def test_verdict_by_hand():
    # Six planted a-f. Two groups: {a,b,c,x} is right, {x,y,z,a} is false; {b,y} is half and half, which is not most.
    truth = frozenset("abcdef")
    groups = [frozenset("abcx"), frozenset("xyza"), frozenset("by")]
    found = judging.verdict(groups, truth, 100)
    assert found == judging.Verdict(accounts=100, planted=6, found=6, right=3, groups=3, false=1)
    nothing = judging.verdict([], truth, 100)
    assert nothing == judging.Verdict(accounts=100, planted=6, found=0, right=0, groups=0, false=0)
    told = judging.summarise([found, nothing])
    assert (told.precision, told.recall) == (0.5, 0.25)
    assert told.fdr == pytest.approx(1 / 6)
    assert told.fdr_error == pytest.approx(1 / 6)
    assert (told.accounts_mean, told.accounts_max, told.with_groups) == (0.03, 0.06, 0.5)
    empty = judging.summarise([judging.verdict([], frozenset(), 10)])
    assert (empty.precision, empty.recall, empty.fdr) == (None, None, 0.0)


def test_judge_tells_listed_from_flagged():
    fitting = [{"name": "press echo", "statistic": 1.0, "threshold": 0.5, "fits": True, "note": ""}]
    rows = [
        {"group_id": "g1", "accounts": ["a", "b", "x"], "traces": ["co-url", "fast-1m"], "explanations": []},
        {"group_id": "g2", "accounts": ["x", "y", "z"], "traces": ["co-text"], "explanations": fitting},
    ]
    found = records.Coordination(records.table(rows, records.GROUPS), *(pa.table({}) for _ in range(3)))
    judged = judging.judge(found, frozenset("abc"), 10)
    assert judged.listed == judging.Verdict(10, 3, 5, 2, 2, 1)
    assert judged.flagged == judging.Verdict(10, 3, 3, 2, 1, 0)
    assert judged.blamed == ("co-text",)


def test_auc_wilson_and_base_rate_by_hand():
    # Pairs: .9 beats both, .5 beats 0 and ties .5: (1 + 1 + 1 + .5) / 4.
    assert judging.auc([0.9, 0.5], [0.5, 0.0]) == pytest.approx(0.875)
    assert judging.auc([0.0], [0.0, 0.0]) == 0.5
    # Wilson for 0 of 10: upper end z^2 / (n + z^2).
    low, high = judging.wilson(0, 10)
    assert low == 0.0
    assert high == pytest.approx(1.96**2 / (10 + 1.96**2), abs=1e-4)
    # .8 of one in a hundred against .01 of the others: .008 / (.008 + .0099).
    assert judging.at_base_rate(0.8, 0.01, 0.01) == pytest.approx(0.008 / 0.0179)
    assert judging.at_base_rate(0.0, 0.0, 0.01) is None


# ---------------------------------------------------------------- parts


def test_planted_and_null_tables(monkeypatch):
    monkeypatch.setattr(planted, "ACCOUNTS", (110, 120))
    told = []
    null = list(planted.measure_null(1, 0, told.append))
    found = list(planted.measure_planted(1, 0, told.append, shares=(0.2,)))
    assert told == ["null: 1 of 1 corpora", "planted 20%: 1 of 1 corpora"]
    assert null[0].judged.listed.planted == 0
    assert (found[0].kind, found[0].share) == ("mixed", 0.2)
    assert 22 <= found[0].judged.listed.planted <= 24
    assert null[0].auc is None
    assert null[0].small <= planted.SMALL
    assert 0.5 < found[0].auc <= 1
    table = planted.format_null(null)
    assert "accounts whose own p is at most 0.05: 0.00%" in table
    assert "all (1)" in table
    assert table.count("no error control") == 3
    assert "| 20%" in planted.format_planted(found)


def test_parts_are_chosen_and_printed(monkeypatch, capsys):
    monkeypatch.setitem(command.PARTS, "null", lambda given: (f"table of {given.runs}", [{"runs": given.runs}]))
    assert command.main(["--part", "null", "--runs", "3"]) == 0
    assert capsys.readouterr().out == "## null\n\ntable of 3\n\n"
    assert command.main(["--part", "null", "--json"]) == 0
    assert capsys.readouterr().out == '{"part": "null", "runs": 200}\n'
    assert command.main(["--part", "hoaxes", "--data", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_whole_accounts_are_sampled():
    rows = pa.table({"author_id": ["a"] * 5 + ["b"] * 3 + ["c"] * 4, "n": list(range(12))})
    chosen = scale.sample_accounts(rows, "author_id", 6)
    counts = collections.Counter(chosen["author_id"].to_pylist())
    assert 6 <= counts.total() < 12
    assert all(count == {"a": 5, "b": 3, "c": 4}[name] for name, count in counts.items())
    assert chosen.equals(scale.sample_accounts(rows.take(list(range(11, -1, -1))), "author_id", 6).sort_by("n"))
    assert scale.sample_accounts(rows, "author_id", 99).num_rows == 12


def test_rows_of_a_window_keep_whole_accounts(tmp_path):
    import datetime as dt

    import pyarrow.parquet as pq

    moments = [dt.datetime(2016, 1, 31, 23, 59), dt.datetime(2016, 2, 1), dt.datetime(2016, 3, 1), dt.datetime(2016, 6, 1)]
    rows = pa.table(
        {
            "author_id": ["a"] * 4 + ["b"] * 4,
            "content": [f"text {number} of nobody" for number in range(8)],
            "language": ["English"] * 8,
            "publish_date": pa.array(moments * 2, pa.timestamp("ms")),
            "post_type": ["original"] * 4 + ["original", "retweet", "original", "original"],
        }
    )
    file = tmp_path / sources.IRA
    pq.write_table(rows, file)
    window = sources.Window(sources.day(2016, 2, 1), sources.day(2016, 6, 1))
    assert sources.names_of(sources.read_rows(file, window, reposts=True, least=2), sources.IRA) == {"a", "b"}
    kept = sources.read_rows(file, window, reposts=False, least=2)
    assert kept["content"].to_pylist() == ["text 1 of nobody", "text 2 of nobody"]
    documents, copies = sources.as_documents({sources.IRA: kept})
    assert documents["account"].to_pylist() == ["a", "a"]
    assert documents["published_precision"].to_pylist() != ["unknown"] * 2
    assert set(copies.schema.names) == set(records.COPIES.names)
    with pytest.raises(InputError, match=r"control_us_congress"):
        sources.need(tmp_path, sources.IRA, sources.CONGRESS)


def test_odd_cases_end_in_a_result():
    told = []
    found = list(odd.measure_odd(told.append, sizes=(1200,)))
    assert [one.name for one in found] == [name for name, _ in odd.odd_cases(10)]
    assert all(one.result.startswith("error") or "groups" in one.result for one in found)
    assert all(math.isfinite(one.seconds) for one in found)
    assert "no documents" in odd.format_odd(found)


def test_the_exponent_of_time_by_hand():
    small = scale.Size(100, 100, 10, 1, 1, 50, 5, 2.0, 0.5, 1.0, 1 << 30, {"co-url": "50 pairs"})
    large = scale.Size(400, 400, 40, 2, 1, 90, 9, 9.0, 0.5, 8.0, 2 << 30, {"co-url": "90 pairs"})
    # Eight times the seconds for four times the documents: log 8 / log 4.
    assert "| 1.50" in " ".join(scale.format_scale([small, large]).split())
    assert "- co-url: 90 pairs" in scale.format_scale([small, large])


def test_invented_degrees_have_one_sum_and_fit_the_model():
    for accounts, items, each in ((50, 400, 8), (3, 100, 30), (400, 5, 3)):
        of_accounts, of_items = margins.degrees(accounts, items, each, np.random.default_rng(1))
        assert of_accounts.sum() == of_items.sum()
        assert (of_accounts.min(), of_accounts.max() <= items, of_items.max() <= accounts) == (max(of_accounts.min(), 1), True, True)


def test_the_null_model_is_measured_in_a_process_of_its_own(capsys):
    assert command.main(["--part", "bicm", "--accounts", "60", "--items", "300", "--each", "5"]) == 0
    told = capsys.readouterr().out
    assert all(step in told for step in ("solve", "moments", "draw", "60 ", "300 "))
    with pytest.raises(InputError, match="0 accounts"):
        margins.measure_bicm(0, 10, 1)
