"""The measurement of links: null series, invented worlds, real stories on an invented corpus, and the command."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greyzone import records
from greyzone.doctrine import load_doctrine
from greyzone.errors import InputError
from greyzone.eval.coordination.sources import Window, day
from greyzone.eval.links import cases, chance, command, corpora, given, real, synthetic, worlds
from greyzone.eval.links.given import with_given
from greyzone.eval.links.wording import DEEDS, FRAMES, HARM, REGISTER, SORTS, STATES, Naming, Topic, register_text, story_text
from greyzone.eval.scenario.templates import Draws
from greyzone.link.eventstudy import shift_test
from greyzone.models import load_encoder
from greyzone.places import find_states
from greyzone.records import DOCUMENTS, INCIDENTS, LINK_TYPES, LLRS, MEMBERS, NARRATIVES, REPORTS

# ---------------------------------------------------------------- chance


def test_null_series_are_their_seed_and_bursty():
    regime = chance.REGIMES[1]
    first, again = (chance.make_series(regime, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, again)
    assert len(first) == regime.days
    # A Poisson series has a ratio of variance to mean of 1.
    assert np.var(first) / np.mean(first) > 5


def test_incidents_come_in_waves_within_the_series():
    regime = chance.REGIMES[4]
    days = chance.make_incidents(regime, np.random.default_rng(1))
    assert len(days) == regime.incidents
    assert days.min() >= 0
    assert days.max() < regime.days
    gaps = np.diff(np.sort(days))
    assert np.mean(gaps <= 7) > 0.5


def test_all_tests_judge_the_statistic_that_ships():
    rng = np.random.default_rng(2)
    series = rng.poisson(3.0, 120).astype(np.float64)
    days = np.array([10, 40, 41, 90])
    shipped, _ = shift_test(series, days, shifts=50)
    assert chance._statistic(series, days)[0] == pytest.approx(shipped)
    # By hand: documents of the seven days from day 10, and of the seven before it.
    one = chance._statistic(series, np.array([10]))
    assert one[1:] == (series[10:17].sum(), series[3:10].sum())


def test_a_rise_after_every_incident_is_found_by_all():
    series = np.ones(365)
    days = np.array([20, 61, 88, 131, 170, 182, 239, 260, 311, 340])
    for at in days:
        series[at : at + 5] += 40
    _, p = shift_test(series, days, shifts=199)
    assert p <= 0.01
    assert chance._rivals(series, days, np.random.default_rng(0)) == (0.0, pytest.approx(0.005), pytest.approx(0.005))


def test_type1_names_every_test_and_regime():
    runs, pairs = list(chance.measure_type1(10, 0, lambda _: None)), list(chance.measure_pairs(2, 0))
    table = chance.format_type1(runs, pairs)
    assert all(name in table for name in (*chance.TESTS, *(regime.name for regime in chance.REGIMES)))
    assert all(0 < value <= 1 for run in runs for value in run.p[:1])
    assert all(one.pairs > one.false >= 0 for one in pairs)


# ---------------------------------------------------------------- invented worlds


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("default")


@pytest.fixture(scope="module")
def world(encoder):
    return worlds.make_world(worlds.SETTINGS[1], 3, encoder)


def test_wording_covers_every_sector_technique_and_kind():
    assert set(SORTS) == set(HARM)
    assert set(REGISTER) == set(DEEDS)
    assert {name for name, _ in worlds.TYPES} | {"organisation", "elsewhere", "technique"} == set(FRAMES)
    # What a story calls a state must be found as that state.
    assert all(find_states(f"Hackers in {name}.") == [code] for code, name in STATES)


def test_a_story_names_what_it_is_told_to():
    topic = Topic("Brandelka", "hospital", "health", "Poland", "ransomware", "DuskMoth", "Grey Heron", "kel-7.example.net")
    draws = Draws(np.random.default_rng(0))
    every = Naming(1.0, 1.0, 1.0, 1.0, 1.0)
    for kind in ("exploits", "reports"):
        texts = [story_text(kind, topic, every, draws) for _ in range(30)]
        assert all(word in text for text in texts for word in ("DuskMoth", "Grey Heron", "kel-7.example.net"))
        assert sum("Brandelka" in text for text in texts) > 15
        assert not any("Brandelka" in story_text(kind, topic, Naming(), draws) for _ in range(30))
    assert "Brandelka" in register_text(topic, draws)


def test_a_world_is_its_seed_and_fits_the_tables(world, encoder):
    again, other = (worlds.make_world(worlds.SETTINGS[1], seed, encoder) for seed in (3, 4))
    assert world.documents.equals(again.documents)
    assert world.incidents.equals(again.incidents)
    assert world.truth == again.truth
    assert not world.documents.equals(other.documents)
    for table, schema in ((world.documents, DOCUMENTS), (world.incidents, INCIDENTS), (world.narratives, NARRATIVES)):
        records.check(table, schema, "table")
    assert len(world.incident_vectors) == world.incidents.num_rows
    assert len(world.narrative_vectors) == world.narratives.num_rows


def test_truth_names_incidents_and_narratives_that_exist(world):
    incidents = {row["incident_id"]: row for row in world.incidents.to_pylist()}
    narratives = set(world.narratives["narrative_id"].to_pylist())
    assert len(world.truth) > 25
    for (incident, narrative), kind in world.truth.items():
        assert incident in incidents
        assert narrative in narratives
        assert world.kinds[narrative] == kind
        assert kind in LINK_TYPES
    assert set(world.kinds) == narratives == set(world.coordinated)
    assert {"organisation", "elsewhere", "technique", "subject", "saga"} <= set(world.kinds.values())


def test_media_carry_reports_and_little_of_what_coordinated_groups_carry(world):
    for document in world.documents.select(["account", "outlet"]).to_pylist():
        assert (document["account"] is None) != (document["outlet"] is None)
    outlets = dict(zip(world.documents["doc_id"].to_pylist(), world.documents["outlet"].to_pylist(), strict=True))
    shares: dict[str, list[float]] = {}
    homes = zip(world.members["doc_id"].to_pylist(), world.members["narrative_id"].to_pylist(), strict=True)
    linked = {narrative: kind for (_, narrative), kind in world.truth.items()}
    for doc, narrative in homes:
        if narrative in linked:
            shares.setdefault(linked[narrative], []).append(float(outlets[doc] is not None))
    assert np.mean(shares["reports"]) > 0.5
    assert all(np.mean(values) < 0.3 for kind, values in shares.items() if kind != "reports")


def test_events_of_an_exchange_hold_indicators(encoder):
    found = [one.topic.domain != "" for one in _attacks(worlds.SETTINGS[2], 1) if one.topic.malware or one.hard != "month"]
    assert np.mean(found) > 0.9
    assert np.mean([one.topic.domain != "" for one in _attacks(worlds.SETTINGS[0], 1)]) < 0.4


def test_dates_are_as_precise_as_the_setting_says(encoder):
    attacks = [one for seed in range(20) for one in _attacks(worlds.SETTINGS[1], seed)]
    found = Counter(one.precision for one in attacks)
    for name, share in worlds.SETTINGS[1].precisions:
        assert found[name] / len(attacks) == pytest.approx(share, abs=0.03)
    late = [one for one in attacks if one.public > one.onset]
    assert {one.topic.technique for one in late} == set(worlds.COVERT)
    assert not [one for seed in range(5) for one in _attacks(worlds.SETTINGS[0], seed) if one.public > one.onset]


def test_an_interval_holds_the_moment():
    for precision, days in (("day", 1), ("month", 28), ("year", 365)):
        lo, hi = worlds._interval(40.6, precision)
        moment = worlds.START + timedelta(days=40.6)
        assert lo <= moment <= hi
        assert hi - lo + timedelta(microseconds=1) == timedelta(days=days)
    assert worlds._interval(3.0, "unknown") == (None, None)


def test_look_alikes_share_what_they_say(encoder):
    attacks = _attacks(worlds.SETTINGS[0], 1)
    bound = attacks[: worlds.BOUND]
    names = {one.topic.organisation for one in bound}
    assert len(names) == worlds.BOUND
    month = [one for one in attacks if one.hard == "month"]
    week = [one for one in attacks if one.hard == "week"]
    assert month
    assert week
    for one in month:
        assert any(one.topic.organisation == other.topic.organisation and abs(one.onset - other.onset) >= 25 for other in bound)
    for one in week:
        assert one.topic.organisation not in names
        assert any(one.topic.state == other.topic.state and abs(one.onset - other.onset) <= 3 for other in bound)


def test_judging_a_world_reads_the_list(world):
    doctrine = load_doctrine()
    judged = synthetic.judge_world(world, synthetic.EVERYTHING, doctrine, setting="x", seed=3)
    assert judged.linked == len(world.truth) == len(judged.found)
    assert set(judged.without) == {"", *LLRS}
    # A list with the evidence of content beats one by time alone, whatever the numbers of the doctrine.
    assert judged.ap > judged.alone["temporal"]
    assert judged.truth.sum() == sum(p > 0 for p, *_ in judged.found)
    assert judged.cuts["all listed"].pairs == len(judged.p) == sum(judged.types.values())
    assert judged.candidates >= len(judged.p)
    table = synthetic.format_synthetic([judged, judged])
    assert "AP of the list" in table
    assert all(name in table for name in (*LLRS, *LINK_TYPES))


def test_a_change_is_a_mean_over_worlds_with_the_interval_of_their_spread(world):
    judged = synthetic.judge_world(world, synthetic.EVERYTHING, load_doctrine(), setting="x", seed=3)
    runs = [dataclasses.replace(judged, without={"": 0.9, "entity": 0.9 - loss}) for loss in (0.0, 0.1, 0.2, 0.1)]
    assert synthetic._change(runs[1:2] * 4, "entity") == "-0.1000 [-0.1000, -0.1000]"
    # Four draws lose a binomial of 8 in tenths of .25: 1 or less has probability 9 / 256, 0 has 1 / 256.
    assert synthetic._change(runs, "entity") == "-0.1000 [-0.1750, -0.0250]"


def test_the_rule_on_all_candidates_is_that_of_the_stage(world):
    """Ablations are read from the evidence of all candidates: the rule on it must give the log-odds of the list."""
    doctrine = load_doctrine()
    listed, _ = synthetic._listed(world, doctrine, None)
    pairs, features = synthetic._evidence(world, doctrine)
    rule = synthetic.Rule.of_doctrine()
    scored = dict(zip(pairs, rule.log_odds(features).tolist(), strict=True))
    assert len(pairs) >= len(listed) > 0
    for row in listed:
        assert scored[(row["incident_id"], row["narrative_id"])] == pytest.approx(row["log_odds"], abs=1e-6)


def test_seeds_to_measure_and_to_fit_on_do_not_meet():
    with pytest.raises(InputError, match="at most"):
        next(synthetic.measure_synthetic(worlds.SETTINGS[0], 2, synthetic.TRAINING_SEED - 1, lambda _: None))


def _attacks(setting, seed):
    return worlds._Attacks(setting, np.random.default_rng([seed, 11]), Draws(np.random.default_rng([seed, 12]))).all()


# ---------------------------------------------------------------- stories


def _held(rows):
    """Incidents of one report each: (number, name, day of the onset)."""
    reports, incidents = [], []
    for number, name, at in rows:
        span = {"onset_lo": at, "onset_hi": at + timedelta(hours=23) if at else None}
        reports.append({"report_id": f"rep-{number}", "source": "eurepoc", "source_id": number, "name": name, **span})
        incidents.append({"incident_id": f"inc-{number}", "name": name, "reports": [f"rep-{number}"], "onset_precision": "day", **span})
    return corpora.Held(records.table(incidents, INCIDENTS), np.zeros((len(rows), 4), np.float32), records.table(reports, REPORTS))


@pytest.fixture
def corpus():
    texts = ["the glimmer papers are out"] * 6 + ["nothing of note"] * 6 + ["glimmer, years later"] * 2
    days = [datetime(2031, 5, 10, tzinfo=UTC)] * 12 + [datetime(2031, 9, 1, tzinfo=UTC)] * 2
    documents = records.table(
        [{"doc_id": f"d{n:02d}", "text": t, "published_at": d, "hashtags": []} for n, (t, d) in enumerate(zip(texts, days, strict=True))],
        DOCUMENTS,
    )
    home = ["a"] * 6 + ["b"] * 6 + [None, "b"]
    members = records.table([{"doc_id": f"d{n:02d}", "narrative_id": one} for n, one in enumerate(home)], MEMBERS)
    narratives = records.table([{"narrative_id": "a", "size": 6}, {"narrative_id": "b", "size": 7}], NARRATIVES)
    first, last = days[0] - timedelta(days=30), days[-1]
    return corpora.Stories("invented", narratives, members, documents, np.zeros((2, 4), np.float32), first, last)


NONE: real.Given = ([], {})
STORY = real.Story("X1", "glimmer", "2016-06", date(2031, 5, 9), "glimmer", (("eurepoc", "7"),))


def _link(incident, narrative, log_odds, p):
    nats = {f"llr_{name}": 1.0 for name in LLRS}
    row = {"incident_id": incident, "narrative_id": narrative, "log_odds": log_odds, "p": p, "p_lo": p, "p_hi": p, "q": 0.01}
    return row | nats | {"placebo_precision": 0.9, "type": "reports", "shared_entities": []}


def test_a_story_is_told_by_narratives_that_name_it_in_its_days(corpus):
    documents, found = real.tell(STORY, corpus)
    assert documents == 6
    assert found == {"a": (6, 6)}
    later = dataclasses.replace(STORY, public=date(2031, 8, 31))
    assert real.tell(later, corpus) == (2, {})


def test_the_rank_of_an_incident_counts_events_once(corpus):
    held = _held([("7", "true", datetime(2031, 5, 1, tzinfo=UTC)), ("8", "rival", datetime(2031, 5, 2, tzinfo=UTC))])
    rows = [_link("inc-8", "a", 2.0, 0.9), _link("inc-7", "a", 1.0, 0.7), _link("inc-8", "b", 3.0, 0.95)]
    found = real.find(STORY, corpus, rows, held, held, NONE)
    (told,) = found.narratives
    assert (told.rank, told.p, told.best, told.best_p) == (2, 0.7, "rival", 0.9)
    assert found.likely == 1
    assert found.incidents == ("true",)
    assert real.find(STORY, corpus, rows[:1], held, held, NONE).narratives[0].rank is None
    table = real.format_real([(real.Corpus("invented", 14, 2, 2, 3, 3, 3, 0, 0, 0), [found])])
    assert "glimmer (X1)" in table


def test_a_story_given_is_one_narrative_beside_the_others(corpus, monkeypatch):
    part, names = with_given(dataclasses.replace(corpus, vectors=np.zeros((2, 256), np.float32)), [STORY])
    # Of two other narratives the first stays, and it was made of what is given.
    assert part.narratives["narrative_id"].to_pylist() == ["a", names["X1"]]
    assert sorted(part.documents["doc_id"].to_pylist()) == sorted(part.members["doc_id"].to_pylist())
    monkeypatch.setattr(given, "BESIDE", 1)
    enlarged, names = with_given(dataclasses.replace(corpus, vectors=np.zeros((2, 256), np.float32)), [STORY])
    new = names["X1"]
    home = dict(zip(enlarged.members["doc_id"].to_pylist(), enlarged.members["narrative_id"].to_pylist(), strict=True))
    assert len(home) == 14
    # The six of May; what is said of it in September is months off.
    assert [doc for doc, one in sorted(home.items()) if one == new] == [f"d{n:02d}" for n in range(6)]
    assert enlarged.narratives["narrative_id"].to_pylist() == ["a", "b", new]
    assert len(enlarged.vectors) == 3
    assert enlarged.vectors[2].any()
    assert with_given(corpus, [dataclasses.replace(STORY, pattern="nowhere")]) == (corpus, {})
    held = _held([("7", "true", datetime(2031, 5, 1, tzinfo=UTC)), ("8", "rival", datetime(2031, 5, 2, tzinfo=UTC))])
    found = real.find(STORY, corpus, [], held, held, ([_link("inc-7", new, 1.0, 0.7)], names))
    assert (found.given.rank, found.given.p, found.given.documents) == (1, 0.7, 6)


def test_permuted_dates_are_the_dates_of_others():
    held = _held([(str(n), f"name {n}", datetime(2031, 1, 1, tzinfo=UTC) + timedelta(days=n)) for n in range(30)])
    moved = real.permuted(held, seed=0)
    assert moved.incidents["name"].equals(held.incidents["name"])
    assert sorted(moved.incidents["onset_lo"].to_pylist()) == sorted(held.incidents["onset_lo"].to_pylist())
    assert moved.incidents["onset_lo"] != held.incidents["onset_lo"]
    width = [hi - lo for lo, hi in zip(*(moved.incidents[name].to_pylist() for name in ("onset_lo", "onset_hi")), strict=True)]
    assert set(width) == {timedelta(hours=23)}


def test_incidents_far_from_the_corpus_are_left_out(corpus):
    held = _held([("1", "then", datetime(2029, 1, 1, tzinfo=UTC)), ("2", "now", datetime(2031, 1, 1, tzinfo=UTC)), ("3", "?", None)])
    assert real.near_incidents(held, corpus).incidents["name"].to_pylist() == ["now"]


def test_keywords_may_be_hashtags():
    assert real.pattern_of(["spirit cooking", "M.E.Doc"]) == r"spirit ?cooking|M\.E\.Doc"


# ---------------------------------------------------------------- cases


def _case(**changes):
    given = {"case": "X1", "name": "x", "label": "strong", "began": date(2031, 5, 1), "public": date(2031, 5, 9), "pattern": "glimmer"}
    return cases.Case(**{**given, "true": (("eurepoc", "7"),), "elsewhere": ("other:1",), **changes})


@pytest.mark.parametrize(
    ("label", "rows", "verdict"),
    [
        ("strong", [("inc-7", 1.0, 0.7)], "found"),
        ("strong", [("inc-8", 1.0, 0.7)], "not found"),
        ("negative", [("inc-7", 1.0, 0.7)], "a link > .5"),
        ("io_only", [("inc-7", -1.0, 0.2)], "no false link"),
    ],
)
def test_verdicts_on_cases(corpus, label, rows, verdict):
    held = _held([("7", "true", datetime(2031, 5, 1, tzinfo=UTC)), ("8", "rival", datetime(2031, 5, 2, tzinfo=UTC))])
    found = real.find(STORY, corpus, [_link(one, "a", eta, p) for one, eta, p in rows], held, held, NONE)
    outcome = cases.judge_case(_case(label=label), [found], held)
    assert outcome.verdict == verdict
    assert outcome.held[0][0] == "eurepoc 7"
    assert verdict in cases.format_cases([outcome])


def test_a_case_that_cannot_be_tested_says_why(corpus):
    held = _held([("7", "true", datetime(2031, 5, 1, tzinfo=UTC))])
    assert "no row in a table held (list: other:1)" in cases.judge_case(_case(true=()), [], held).why
    assert cases.judge_case(_case(), [], held).why == "no corpus held covers its days"
    assert "words that other stories use" in cases.judge_case(_case(pattern=""), [], held).why
    empty = real.Found(STORY, "invented", 3, (), None, ())
    assert cases.judge_case(_case(), [empty], held).why == "3 documents on it in its days, no narrative"


def test_cases_are_read_with_their_sources(tmp_path):
    row = {"case_id": "X9", "name": "n", "label": "strong", "cyber_start": "2031-01-02", "public_or_amplified": "2031-01-05"}
    row |= {"narrative_keywords": ["NATO", "Glim Mer"], "sources": ["EuRepoC:12", "DCID:9 (information_operation=0)", "ceios:Something"]}
    with gzip.open(tmp_path / cases.CASES, "wt", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    (case,) = cases.read_cases(tmp_path)
    assert case.pattern == "Glim ?Mer"
    assert case.true == (("eurepoc", "12"), ("dcid", "9"))
    assert case.elsewhere == ("ceios:Something",)


# ---------------------------------------------------------------- corpora and command


def test_narratives_are_kept_and_used_again(tmp_path, monkeypatch):
    rows = [
        {"author_id": f"a{n % 7}", "content": f"the mill of Orla is shut, line {n % 3}", "publish_date": datetime(2016, 12, 5, n % 24)}
        for n in range(40)
    ]
    table = pa.table({name: [row[name] for row in rows] for name in rows[0]} | {"language": ["English"] * 40, "post_type": ["x"] * 40})
    data, work = tmp_path / "data", tmp_path / "work"
    data.mkdir()
    pq.write_table(table, data / corpora.TWEETS)
    monkeypatch.setitem(corpora.WINDOWS, "2016-12", Window(day(2016, 12, 1), day(2016, 12, 31)))
    said: list[str] = []
    first = corpora.tweets(data, work, "2016-12", said.append)
    again = corpora.tweets(data, work, "2016-12", said.append)
    assert len(said) == 1
    assert first.narratives.equals(again.narratives)
    assert first.documents.num_rows > 0
    whole = corpora.of_case(work / "tweets-2016-12" / "case", "2016-12")
    assert whole.narratives.num_rows == first.narratives.num_rows
    assert corpora.of_case(work / "tweets-2016-12" / "case", "2015-11").narratives.num_rows == 0


def test_the_command_prints_tables_and_json(capsys):
    assert command.main(["--part", "type1", "--runs", "5"]) == 0
    assert "circular shifts (ships)" in capsys.readouterr().out
    assert command.main(["--part", "type1", "--runs", "5", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["part"] for row in rows} == {"type1"}
    assert len(rows) == 6


def test_the_command_says_what_is_missing(capsys, tmp_path):
    assert command.main(["--part", "real", "--data", str(tmp_path), "--work", str(tmp_path / "w")]) == 2
    assert "eurepoc" in capsys.readouterr().err
