"""Figures of groupings by hand, planted vectors and hidden news as they are described, and the command from end to end."""

from __future__ import annotations

import gzip
import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone.errors import InputError, SchemaError
from greyzone.eval.narratives import command as narratives
from greyzone.eval.narratives import hidden, planted
from greyzone.eval.narratives import rivals as cluster_rivals
from greyzone.eval.narratives import sets as narrative_sets
from greyzone.eval.narratives.adding import format_adding, measure_adding
from greyzone.eval.narratives.command import Plan, Result, growth, main, measure_narratives
from greyzone.eval.narratives.grouping import agreement, extended_bcubed, score, separate_noise
from greyzone.eval.narratives.rivals import Method, Task, method
from greyzone.eval.narratives.run import Done, Job, run_job
from greyzone.eval.narratives.stability import measure_stability


def ints(*values):
    return np.array(values, dtype=np.int64)


# Figures


def test_golden_figures_with_background_and_noise():
    # Narrative 0 = rows 0-3, 1 = rows 4-5, background = rows 6-7. Found: {0, 1, 6}, {2, 3}, noise 4, 5, 7.
    found = score(ints(0, 0, 0, 0, 1, 1, -1, -1), ints(7, 7, 3, 3, -1, -1, 7, -1))
    # Precision: rows 0 and 1 have 2/3, row 6 has 1/3, the five others 1.
    assert found.precision == pytest.approx((2 * 2 / 3 + 1 / 3 + 5) / 8)
    # Recall: rows 0-3 have 2/4, rows 4-5 1/2, background 1.
    assert found.recall == pytest.approx((4 / 2 + 2 / 2 + 2) / 8)
    assert found.b3 == pytest.approx(2 * found.precision * found.recall / (found.precision + found.recall))
    assert (found.noise, found.taken_in, found.clusters) == (3 / 8, 1 / 2, 2)
    # ARI over rows 0-5, found {0, 1}, {2, 3}, {4}, {5}: pairs together 7 true, 2 found, 2 in both, 15 in all.
    assert found.ari == pytest.approx((2 - 7 * 2 / 15) / ((7 + 2) / 2 - 7 * 2 / 15))


def test_ami_takes_noise_as_one_cluster():
    # As one cluster the noise is exactly narrative 1.
    assert score(ints(0, 0, 0, 1, 1, 1), ints(5, 5, 5, -1, -1, -1)).ami == pytest.approx(1.0)


def test_without_background_nothing_is_taken_in():
    found = score(ints(0, 0, 1), ints(0, 0, 1))
    assert (found.b3, found.taken_in, found.noise) == (1.0, None, 0.0)


def test_only_background():
    found = score(ints(-1, -1), ints(0, 0))
    assert (found.ari, found.ami, found.taken_in, found.recall, found.precision) == (None, None, 1.0, 1.0, 0.5)


def test_golden_extended_bcubed():
    # Row 0 has narratives a and b, row 1 has b, row 2 has none. Found: {0, 1, 2}.
    truth = np.array([[True, True], [False, True], [False, False]])
    found = extended_bcubed(truth, ints(0, 0, 0))
    # Precision: each pair shares one cluster; row 0 shares narratives with 0, 1; row 1 with 0, 1; row 2 with itself.
    assert found.precision == pytest.approx((2 / 3 + 2 / 3 + 1 / 3) / 3)
    # Recall: (0, 0) has 1 of 2, (0, 1) 1 of 1; (1, 0) and (1, 1) 1; (2, 2) 1.
    assert found.recall == pytest.approx(((1 / 2 + 1) / 2 + 1 + 1) / 3)


labels = st.integers(1, 12).flatmap(
    lambda n: st.tuples(st.lists(st.integers(-1, 3), min_size=n, max_size=n), st.lists(st.integers(-1, 3), min_size=n, max_size=n))
)


@given(labels)
@settings(max_examples=60, deadline=None)
def test_oracle_extended_is_plain_with_one_narrative_each(pair):
    truth, found = (ints(*side) for side in pair)
    flags = truth[:, None] == np.arange(4)
    plain, extended = score(truth, found), extended_bcubed(flags, found)
    assert (extended.precision, extended.recall) == pytest.approx((plain.precision, plain.recall))


def test_oracle_extended_bcubed_by_pairs():
    rng = np.random.default_rng(3)
    truth, found = rng.random((25, 5)) < 0.3, rng.integers(-1, 4, 25)

    def mean(defined, value):
        rows = [np.mean([value(a, b) for b in range(25) if defined(a, b)]) for a in range(25)]
        return np.mean(rows)

    def told(a, b):
        return int((truth[a] & truth[b]).sum()) if truth[a].any() else int(a == b)

    def put(a, b):
        return int(a == b or (found[a] == found[b] and found[a] >= 0))

    def both(a, b):
        return min(told(a, b), put(a, b))

    got = extended_bcubed(truth, found)
    assert got.precision == pytest.approx(mean(put, lambda a, b: both(a, b) / put(a, b)))
    assert got.recall == pytest.approx(mean(told, lambda a, b: both(a, b) / told(a, b)))


def test_agreement_takes_noise_apart():
    assert agreement(ints(-1, -1, 0, 0), ints(-1, -1, 5, 5)) == 1.0
    assert agreement(ints(0, 0, 1, 1), ints(-1, -1, 1, 1)) < 1.0
    assert sorted(separate_noise(ints(-1, 4, -1, 4)).tolist()) == [0, 0, 1, 2]


@pytest.mark.parametrize("sizes", [(0, 0), (2, 3)])
def test_figures_need_one_label_each(sizes):
    with pytest.raises(InputError, match=r"found labels|no documents"):
        score(np.zeros(sizes[0], dtype=np.int64), np.zeros(sizes[1], dtype=np.int64))


def test_ari_and_ami_of_many_are_over_a_fixed_sample(monkeypatch):
    rng = np.random.default_rng(0)
    truth, found = rng.integers(0, 5, 3000), rng.integers(-1, 5, 3000)
    monkeypatch.setattr("greyzone.eval.narratives.grouping.SAMPLE", 1000)
    assert score(truth, found) == score(truth, found)
    assert score(truth, truth).ari == 1.0


# Planted vectors


def test_planted_shares_are_as_stated():
    made = planted.planted(5000, seed=3)
    copies = made.copied != np.arange(5000)
    assert np.mean(made.labels < 0) == planted.BACKGROUND
    assert np.mean(copies) == planted.COPIES
    sizes = np.bincount(made.labels[made.labels >= 0])
    assert sizes.min() >= planted.SMALLEST
    assert sizes.max() <= planted.LARGEST * 5000 + planted.SMALLEST
    assert (np.diff(sizes) <= 0).all()
    # Copies stay within their narrative, copy no copies, and leave originals.
    assert (made.labels[copies] == made.labels[made.copied[copies]]).all()
    assert (made.copied[made.copied] == made.copied).all()
    assert np.bincount(made.labels[(made.labels >= 0) & ~copies]).min() >= planted.ORIGINALS


def test_planted_copies_are_near_and_rows_are_units():
    made = planted.planted(2000, seed=1)
    copies = np.flatnonzero(made.copied != np.arange(2000))
    cosine = (made.rows[copies] * made.rows[made.copied[copies]]).sum(axis=1)
    exact = (made.rows[copies] == made.rows[made.copied[copies]]).all(axis=1)
    assert cosine.min() > 0.984
    assert cosine[~exact].max() < 0.9995
    assert 0.15 < exact.mean() < 0.35
    np.testing.assert_allclose(np.linalg.norm(made.rows, axis=1), 1, atol=1e-5)
    assert made.rows.dtype == np.float32


def test_planted_same_seed_same_bytes_and_others_differ():
    one, same, other = planted.planted(700, seed=5), planted.planted(700, seed=5), planted.planted(700, seed=6)
    assert one.rows.tobytes() == same.rows.tobytes()
    assert one.labels.tobytes() == same.labels.tobytes()
    assert one.rows.tobytes() != other.rows.tobytes()


def test_planted_members_are_nearer_to_their_own():
    made = planted.planted(3000, seed=0)
    largest = made.rows[made.labels == 0]
    elsewhere = made.rows[made.labels != 0]
    centre = largest.mean(axis=0)
    assert (largest @ centre).mean() > (elsewhere @ centre).mean() + 0.2


@given(st.integers(planted.MINIMUM, 400), st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_planted_of_any_size(documents, seed):
    made = planted.planted(documents, seed=seed)
    assert len(made.rows) == len(made.labels) == len(made.copied) == documents
    assert np.isfinite(made.rows).all()
    assert (made.labels < 0).sum() == round(planted.BACKGROUND * documents)
    assert set(made.labels[made.labels >= 0]) == set(range(made.labels.max() + 1))


def test_turning_axes_keeps_lengths():
    drawn = planted._deviations(np.random.default_rng(0), 4000, planted._signs(0))
    assert np.mean((drawn**2).sum(axis=1)) == pytest.approx(1, abs=0.05)
    spectrum = np.sort(np.linalg.eigvalsh(np.cov(drawn.T)))[::-1]
    assert spectrum[0] > 5 * spectrum[100]


def test_giant_is_one_narrative_of_copies():
    made = planted.planted_giant(3000, others=500, seed=2)
    giant = made.labels == 0
    assert giant.sum() == 3001
    assert len(set(made.copied[giant])) == 1
    source = made.rows[made.copied[giant][0]]
    assert (made.rows[giant] @ source).min() > 0.984
    assert made.rows.tobytes() == planted.planted_giant(3000, others=500, seed=2).rows.tobytes()
    assert (made.labels < 0).sum() == 200


@pytest.mark.parametrize("call", [lambda: planted.planted(99), lambda: planted.planted(500, seed=-1), lambda: planted.planted_giant(0)])
def test_planted_refuses_what_it_cannot_make(call):
    with pytest.raises(InputError):
        call()


# News among tweets


def write_hidden(folder, tweets):
    rows = [{"title": f"Dam breaks {n}", "snippet": f"water rises in valley {n % 2}", "label": str(n % 2)} for n in range(6)]
    with gzip.open(folder / "googlenews_ts.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    content, language = zip(*tweets, strict=True)
    pq.write_table(pa.table({"content": list(content), "language": list(language)}), folder / hidden.TWEETS)


TWEETS = [
    ("A lamp that nobody lit shines in the harbour https://t.co/abcdefghij", "English"),
    ("a lamp that nobody lit   shines in the harbour https://t.co/zzzzzzzzzz", "English"),
    ("Seven geese have crossed the frozen market square", "English"),
    ("Lampe, die niemand angezündet hat, leuchtet im Hafen", "German"),
    ("too short https://t.co/abcdefghijabcdefghijabcdefghij", "English"),
    (None, "English"),
    ("The baker has lost his hat in the wind once more today", "English"),
]


def test_hidden_takes_english_tweets_once_without_urls(tmp_path):
    write_hidden(tmp_path, TWEETS)
    found = hidden.background_tweets(tmp_path / hidden.TWEETS, 3)
    assert sorted(text.casefold() for text in found) == [
        "a lamp that nobody lit shines in the harbour",
        "seven geese have crossed the frozen market square",
        "the baker has lost his hat in the wind once more today",
    ]
    assert hidden.background_tweets(tmp_path / hidden.TWEETS, 2) == found[:2]
    with pytest.raises(InputError, match="3 usable tweets"):
        hidden.background_tweets(tmp_path / hidden.TWEETS, 4)


def test_hidden_does_not_hang_on_the_order_of_tweets(tmp_path):
    write_hidden(tmp_path, TWEETS)
    one = hidden.load_hidden(tmp_path, 2)
    write_hidden(tmp_path, TWEETS[::-1])
    assert one.texts == hidden.load_hidden(tmp_path, 2).texts
    assert sorted(one.labels.tolist()) == [-1, -1, 0, 0, 0, 1, 1, 1]
    keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in one.texts]
    assert keys == sorted(keys)


def test_hidden_says_what_is_wrong_with_the_file(tmp_path):
    with pytest.raises(InputError, match="no file"):
        hidden.background_tweets(tmp_path / hidden.TWEETS, 1)
    pq.write_table(pa.table({"content": ["x"]}), tmp_path / hidden.TWEETS)
    with pytest.raises(SchemaError, match="without language"):
        hidden.background_tweets(tmp_path / hidden.TWEETS, 1)
    (tmp_path / hidden.TWEETS).write_bytes(b"PAR2")
    with pytest.raises(InputError, match="cannot be read"):
        hidden.background_tweets(tmp_path / hidden.TWEETS, 1)
    with pytest.raises(InputError, match="-1 tweets"):
        hidden.load_hidden(tmp_path, -1)


# Sets


def test_claims_of_one_post_are_background(tmp_path):
    rows = [
        ("en", "a", "The dam broke"),
        ("en", "b", "the dam broke"),
        ("de", "c", "Geese cross"),
        ("en", "d", "Hats"),
        ("en", "d", "Caps"),
        ("en", "e", "Caps"),
    ]
    with gzip.open(tmp_path / "checkthat2025_t2_claims.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps({"lang": lang, "text": text, "claim": claim}) + "\n" for lang, text, claim in rows)
    found = narrative_sets.load_set("checkthat", tmp_path)
    assert dict(zip(found.texts, found.truth.tolist(), strict=True)) == {"a": 0, "b": 0, "c": -1, "d": 1, "e": 1}
    assert list(found.sha256) == ["checkthat2025_t2_claims.jsonl.gz"]


def test_synth_has_narratives_and_everyday_talk(monkeypatch):
    monkeypatch.setattr(narrative_sets, "SYNTH_DOCUMENTS", 400)
    found = narrative_sets.load_set("synth", None)
    assert len(found.texts) == len(found.truth) == 400
    assert (found.truth < 0).any()
    assert found.truth.max() > 1


def test_hidden_set_counts_news_and_tweets(tmp_path, monkeypatch):
    monkeypatch.setattr(narrative_sets, "NEWS", 98)
    write_hidden(tmp_path, TWEETS)
    found = narrative_sets.load_set("hidden", tmp_path, size=100)
    assert (found.name, len(found.texts)) == ("hidden-100", 8)
    assert sorted(found.sha256) == ["googlenews_ts.jsonl.gz", hidden.TWEETS]


def test_sets_say_what_they_miss(tmp_path):
    with pytest.raises(InputError, match="set 'nosuch'"):
        narrative_sets.load_set("nosuch", tmp_path)
    with pytest.raises(InputError, match=r"no googlenews_ts\.jsonl\.gz or ira"):
        narrative_sets.load_set("hidden", tmp_path, size=100)
    with pytest.raises(InputError, match="size None of planted"):
        narrative_sets.load_set("planted", None)
    assert narrative_sets.missing_files(None, "uci-news")


# Rivals


def blobs(n=60, narratives=3):
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(narratives), n // narratives)
    rows = np.eye(8)[truth] + 0.1 * rng.standard_normal((n, 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), truth


@pytest.mark.parametrize("name", ["greyzone", "hdbscan", "kmeans", "average-link", "average-link-fixed"])
def test_methods_find_what_is_plain(name):
    rows, truth = blobs()
    found = method(name).run(Task(rows, truth))
    assert score(truth, found if found.ndim == 1 else found[:, 1]).b3 > 0.95


def test_oracle_height_is_the_best_for_its_truth():
    made = planted.planted(300, seed=1)
    tree = cluster_rivals._linkage(made.rows)
    heights = [score(made.labels, cluster_rivals._cut(tree, height)).b3 for height in cluster_rivals.HEIGHTS]
    found = cluster_rivals.average_link(Task(made.rows, made.labels))
    assert score(made.labels, found).b3 == max(heights) > min(heights)


def test_cut_leaves_lone_documents_out():
    rows = np.eye(3, dtype=np.float32)[[0, 0, 1]]
    found = cluster_rivals._cut(cluster_rivals._linkage(rows), 0.5)
    assert found[0] == found[1] >= 0
    assert found[2] == -1


def test_absent_rival_is_one_line_with_what_to_install(monkeypatch):
    monkeypatch.setitem(cluster_rivals.METHODS, "evoc", Method(cluster_rivals.evoc, ("no-such-package-here",)))
    monkeypatch.setitem(cluster_rivals._MODULES, "no-such-package-here", "no_such_package_here")
    with pytest.raises(InputError, match=r"pip install no-such-package-here") as caught:
        method("evoc")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="method 'nosuch'"):
        method("nosuch")


# Runs


def job_of(folder, name, rows, truth, **more):
    np.save(folder / "rows.npy", rows)
    np.save(folder / "truth.npy", truth)
    return Job(name, folder / "rows.npy", folder / "truth.npy", **more)


def test_child_gives_labels_time_and_memory(tmp_path):
    rows, truth = blobs()
    order = np.arange(60)[::-1].copy()
    np.save(tmp_path / "order.npy", order)
    one = run_job(job_of(tmp_path, "average-link-fixed", rows, truth, threads=1))
    other = run_job(job_of(tmp_path, "average-link-fixed", rows, truth, chosen=tmp_path / "order.npy"))
    assert agreement(one.labels[order], other.labels) == 1.0
    assert one.seconds > 0
    assert one.peak_mib > 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["order.npy", "rows.npy", "truth.npy"]


def test_child_that_fails_is_one_line(tmp_path):
    rows, truth = blobs()
    with pytest.raises(InputError, match="kmeans failed in a process of its own") as caught:
        run_job(job_of(tmp_path, "kmeans", np.full_like(rows, np.nan), truth))
    assert "\n" not in str(caught.value)


def test_stability_of_what_is_stable_and_what_is_not(tmp_path, monkeypatch):
    rows, truth = blobs()
    job = job_of(tmp_path, "kmeans", rows, truth)
    runs = []

    def pretend(varied):
        n = 60 if varied.chosen is None else len(np.load(varied.chosen))
        whole = np.repeat(np.arange(3), 20)
        labels = whole if varied.chosen is None else whole[np.load(varied.chosen)]
        runs.append((varied.seed, varied.threads, n))
        labels = np.zeros(n, dtype=np.int64) if varied.seed == 2 else labels
        return type("Done", (), {"labels": labels})

    monkeypatch.setattr("greyzone.eval.narratives.stability.run_job", pretend)
    (levels,) = measure_stability(job, seeded=True, shuffles=2)
    found = {one.what: one for one in levels}
    assert (found["order"].agreement, found["order"].same, found["order"].runs) == (1.0, True, 2)
    assert (found["threads"].same, found["threads"].runs) == (True, 3)
    assert (found["seed"].same, found["seed"].agreement) == (False, pytest.approx(2 / 3))
    assert found["subsample"].runs == 5
    assert [n for _, _, n in runs].count(48) == 5
    assert not any(path.name == "chosen.npy" for path in tmp_path.iterdir())
    assert [one.what for one in measure_stability(job, seeded=False, shuffles=0)[0]] == ["threads", "subsample"]
    assert [one.what for one in measure_stability(job, seeded=False, subsamples=0)[0]] == ["order", "threads"]


def test_stability_of_each_level(tmp_path, monkeypatch):
    rows, truth = blobs()
    job = job_of(tmp_path, "greyzone", rows, truth)

    def pretend(varied):
        chosen = np.arange(60) if varied.chosen is None else np.load(varied.chosen)
        fine = np.arange(60) if varied.threads == 2 else np.repeat(np.arange(6), 10)
        return type("Done", (), {"labels": np.column_stack([fine, np.repeat(np.arange(3), 20)])[chosen]})

    monkeypatch.setattr("greyzone.eval.narratives.stability.run_job", pretend)
    story, narrative = ({one.what: one.same for one in level} for level in measure_stability(job, seeded=False))
    assert story == {"order": True, "threads": False, "subsample": True}
    assert narrative == {"order": True, "threads": True, "subsample": True}


# The command


@pytest.fixture
def in_process(monkeypatch):
    """Methods run here instead of in processes of their own, which take seconds to start."""

    def run(job):
        task = Task(np.load(job.rows), np.load(job.truth), job.seed)
        return Done(method(job.method).run(task), float(len(task.rows)), 1.0, 2.0)

    monkeypatch.setattr("greyzone.eval.narratives.command.run_job", run)


def test_end_to_end_in_processes_of_their_own(capsys):
    assert main(["--set", "planted", "--sizes", "200", "--rival", "kmeans", "--threads", "1"]) == 0
    out = capsys.readouterr()
    rows = [line for line in out.out.splitlines() if line.startswith("| planted-200")]
    assert [line.split("|")[2].split()[0] for line in rows] == ["greyzone", "kmeans"]
    assert "threads 1, repeats 1, seed of made sets 0" in out.out


@pytest.mark.usefixtures("in_process")
def test_sizes_and_growth(capsys):
    assert main(["--set", "planted", "--sizes", "200", "300", "--rival", "kmeans"]) == 0
    out = capsys.readouterr()
    rows = [line for line in out.out.splitlines() if line.startswith("| planted-")]
    assert [line.split("|")[1].strip() for line in rows] == ["planted-200", "planted-200", "planted-300", "planted-300"]
    assert "planted: seconds of kmeans grow as n^1.00 from 200 to 300" in out.out
    assert "scikit-learn " in out.out
    assert "planted-300, kmeans: B3" in out.err


@pytest.mark.usefixtures("in_process")
def test_json_lines_hold_figures_settings_and_files(tmp_path, capsys):
    with gzip.open(tmp_path / "uci_news_aggregator_6k.jsonl.gz", "wt", encoding="utf-8") as stream:
        for story, words in enumerate(("flood river dam water", "goose market frost bread", "lamp harbour night ship")):
            stream.writelines(json.dumps({"title": f"{words} {n % 4}", "label": str(story)}) + "\n" for n in range(12))
    argv = [
        "--data",
        str(tmp_path),
        "--set",
        "uci-news",
        "--set",
        "googlenews",
        "--rival",
        "kmeans",
        "-e",
        "hashed",
        "--repeats",
        "2",
        "--json",
    ]
    assert main(argv) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {"set": "googlenews", "skipped": f"no googlenews_ts.jsonl.gz in {tmp_path}"}
    by_method = {line["method"]: line for line in lines[1:]}
    assert set(by_method) == {"greyzone", "kmeans"}
    rival = by_method["kmeans"]
    assert rival["figures"]["b3"] == 1.0
    assert (rival["documents"], rival["narratives"], rival["repeats"], rival["encoder"]) == (36, 3, 2, "hashed")
    assert list(rival["sha256"]) == ["uci_news_aggregator_6k.jsonl.gz"]
    assert rival["versions"]["scikit-learn"]


def test_failed_and_too_large_runs_are_named(monkeypatch, capsys):
    def broken(_job):
        raise InputError("kmeans failed in a process of its own (no memory)", "labels")

    monkeypatch.setattr("greyzone.eval.narratives.command.run_job", broken)
    monkeypatch.setitem(cluster_rivals.METHODS, "hdbscan", Method(cluster_rivals.hdbscan, ("hdbscan",), limit=150))
    assert main(["--set", "planted", "--sizes", "200", "--rival", "hdbscan"]) == 1
    out = capsys.readouterr().out
    assert "skipped planted-200, hdbscan: 200 documents, and it is run on at most 150" in out
    assert "failed planted-200 greyzone: kmeans failed" in out


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--set", "nosuch"], "set 'nosuch'"),
        (["--set", "planted", "--rival", "nosuch"], "method 'nosuch'"),
        (["--set", "planted", "--sizes", "10"], "size 10 of planted"),
        (["--set", "planted", "--repeats", "0"], "0 repeats"),
        (["--set", "uci-news", "--data", "nowhere"], "none of uci-news in nowhere"),
    ],
)
def test_errors_are_one_line(argv, told, capsys):
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert told in err
    assert err.count("\n") == 1


@pytest.mark.usefixtures("in_process")
def test_lexical_rows_are_for_our_method_alone(tmp_path):
    with gzip.open(tmp_path / "uci_news_aggregator_6k.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps({"title": f"dam {n % 3} river {n}", "label": str(n % 3)}) + "\n" for n in range(30))
    plan = Plan(sets=("uci-news",), methods=("greyzone", "kmeans"), encoders=("hashed",), lexical=True)
    found = [(result.encoder, result.method) for result in measure_narratives(tmp_path, plan) if isinstance(result, Result)]
    assert found == [("hashed", "greyzone"), ("hashed", "kmeans"), ("hashed+lexical", "greyzone")]


def test_medians_keep_what_has_no_value():
    one = score(ints(0, 0, 1), ints(0, 0, 1))
    two = score(ints(0, 0, 1), ints(0, 1, 2))
    middle = narratives._medians([one, two, two])
    assert (middle.b3, middle.taken_in, middle.clusters) == (two.b3, None, 3)


def test_growth_is_the_slope_of_logarithms():
    assert growth([10, 100, 1000], [1, 10, 100]) == pytest.approx(1.0)
    assert growth([10, 100], [1, 100]) == pytest.approx(2.0)
    with pytest.raises(InputError, match="1 sizes"):
        growth([10, 10], [1, 2])


@pytest.mark.usefixtures("in_process")
def test_ours_or_rivals_may_be_left_out(capsys):
    for more, left in (["--no-rivals"], "greyzone"), (["--no-ours", "--rival", "kmeans"], "kmeans"):
        assert main(["--set", "planted", "--sizes", "200", "--json", *more]) == 0
        assert [json.loads(line)["method"] for line in capsys.readouterr().out.splitlines()] == [left]
    assert main(["--set", "planted", "--no-ours", "--no-rivals"]) == 2
    assert "neither our clusterer nor a rival" in capsys.readouterr().err


def test_adding_tells_the_cost_of_a_hundredth():
    found = measure_adding(2000)
    assert (found.fitted, found.added) == (1980, 20)
    assert found.b3 > 0.8
    assert all(seconds > 0 for part in (found.fit, found.add) for seconds in part)
    assert format_adding(found).startswith("1980 rows fitted in ")
    with pytest.raises(InputError, match="100 and more"):
        measure_adding(40)
