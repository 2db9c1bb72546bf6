from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from greyzone import records
from greyzone.errors import InputError
from greyzone.eval.scenario.demo import evaluate, format_figures, to_json
from greyzone.eval.scenario.plan import CAST_SIZES, DAYS, LANGUAGES, apportion, handle, make_plan, read_narratives
from greyzone.eval.scenario.synth import generate, write_scenario
from greyzone.eval.scenario.templates import Draws, grammar, invented_word


@pytest.fixture(scope="module")
def posts():
    return list(generate(5000, seed=0))


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    return write_scenario(tmp_path_factory.mktemp("scenario"), documents=2000, seed=3)


@settings(max_examples=12, deadline=None)
@given(st.integers(100, 3000), st.integers(0, 10**6))
def test_counts_add_up_exactly(documents, seed):
    found = list(generate(documents, seed=seed))
    assert len(found) == documents
    assert len({post.post_id for post in found}) == documents


@given(st.integers(0, 10**6), st.lists(st.floats(0.01, 100), min_size=1, max_size=40))
def test_apportion_adds_up(total, weights):
    parts = apportion(total, np.array(weights))
    assert sum(parts) == total
    assert min(parts) >= 0


def test_handles_are_distinct():
    assert len({handle(number) for number in range(200_000)}) == 200_000


def test_same_seed_same_bytes_other_seed_others(tmp_path):
    def digests(folder, seed):
        paths = write_scenario(tmp_path / folder, documents=600, seed=seed)
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(paths.folder.iterdir())}

    first, again, other = digests("a", 1), digests("b", 1), digests("c", 2)
    assert first == again
    assert all(first[name] != other[name] for name in ("documents.jsonl", "incidents.csv", "truth_documents.parquet"))


def test_truth_covers_every_row_in_its_order(scenario):
    rows = [json.loads(line) for line in scenario.documents.read_text("utf-8").splitlines()]
    truth = pq.read_table(scenario.truth_documents).to_pylist()
    assert [row["post_id"] for row in rows] == [row["post_id"] for row in truth]
    assert all(row["text"].strip() and row["account"] for row in rows)
    assert {row["kind"] for row in truth} == {"original", "copy", "paraphrase", "translation", "repost"}


def test_links_name_incidents_of_the_table(scenario):
    import csv

    with scenario.incidents.open(encoding="utf-8", newline="") as file:
        incidents = list(csv.DictReader(file))
    mapping = yaml.safe_load(scenario.mapping.read_text("utf-8"))
    assert set(mapping["columns"].values()) <= set(incidents[0])
    names = Counter(row["name"] for row in incidents)
    links = pq.read_table(scenario.truth_links).to_pylist()
    assert all(names[link["incident"]] == 1 for link in links)
    assert len(incidents) - len({link["incident"] for link in links}) >= 40
    assert {link["type"] for link in links} == {"exploits", "prepares", "reports"}
    keys = {item.key for item in read_narratives()}
    assert {link["narrative"] for link in links} <= keys


def test_composition(posts):
    background = [post for post in posts if post.narrative is None]
    assert len(background) == pytest.approx(0.38 * len(posts), abs=1)
    assert len({post.text for post in background}) == len(background)
    assert Counter(post.language for post in posts).keys() == set(LANGUAGES)
    sizes = Counter(post.narrative for post in posts if post.narrative is not None)
    assert len(sizes) == len(read_narratives())
    assert min(sizes.values()) >= 30
    pushed = [post for post in posts if post.group is not None]
    assert 0.11 * len(posts) < len(pushed) < 0.15 * len(posts)
    assert all(post.narrative is not None and post.confounder is None for post in pushed)


def test_no_text_stands_in_two_narratives(posts):
    where = defaultdict(set)
    for post in posts:
        where[post.text].add(post.narrative)
    assert all(len(narratives) == 1 for narratives in where.values())


def test_paraphrases_differ_in_wording(posts):
    # Two own-worded posts of a narrative rarely are the same text; a copy always is one that was there before.
    own = [post.text for post in posts if post.kind in ("paraphrase", "original") and post.group is not None]
    assert len(set(own)) > 0.85 * len(own)
    events = defaultdict(list)
    for post in posts:
        if post.kind == "copy" and post.confounder == "syndication":
            events[post.text].append(post.outlet)
    assert events
    assert all(len(set(outlets)) == len(outlets) >= 8 for outlets in events.values() if len(outlets) > 1)


def test_times_lie_in_the_window_and_people_sleep(posts):
    moments = [datetime.fromisoformat(post.published_at) for post in posts]
    assert min(moments) >= datetime(2024, 1, 1, tzinfo=UTC)
    assert max(moments) < datetime(2024, 5, 2, tzinfo=UTC)
    night = sum(moment.hour in (2, 3, 4) for moment in moments)
    evening = sum(moment.hour in (18, 19, 20) for moment in moments)
    assert evening > 4 * night


def test_reposts_come_after_what_they_repost(posts):
    by_id = {post.post_id: post for post in posts}
    reposts = [post for post in posts if post.kind == "repost"]
    assert reposts
    for post in reposts:
        original = by_id[post.repost_of]
        assert original.published_at < post.published_at
        assert original.narrative == post.narrative
        assert post.text == f"RT @{original.account}: {original.text}"


def test_planted_groups_act_together_and_hide_among_chatter(posts):
    plan = make_plan(5000, seed=0)
    planted = [cast for cast in plan.casts.values() if cast.kind == "planted"]
    assert all(8 <= len(cast.accounts) <= 25 for cast in planted)
    for cast in planted:
        theirs = [post for post in posts if post.account in cast.accounts]
        assert {post.account for post in theirs} == set(cast.accounts)
        assert any(post.group is None and post.narrative is None for post in theirs)
        assert all(post.group in (None, cast.key) for post in theirs)
    links = defaultdict(list)
    for post in posts:
        if post.group == "alder":
            links[post.urls].append(datetime.fromisoformat(post.published_at))
    assert all((max(times) - min(times)).total_seconds() <= 110 * 60 for times in links.values())


def test_lags(posts):
    plan = make_plan(5000, seed=0)
    first = defaultdict(lambda: DAYS)
    for post in posts:
        if post.narrative is not None:
            day = (datetime.fromisoformat(post.published_at) - datetime(2024, 1, 1, tzinfo=UTC)).days
            first[post.narrative] = min(first[post.narrative], day)
    for item in plan.narratives.values():
        if item.type in ("exploits", "reports"):
            assert 0 < first[item.key] - plan.onsets[item.incident] <= 6
        if item.type == "prepares":
            assert first[item.key] < plan.onsets[item.incident]


def test_large_corpora_keep_the_casts_small():
    plan = make_plan(2_000_000, seed=0)
    planned = sum(event.size for event in plan.events)
    organic = sum(int(days.sum()) for days in plan.volume.values())
    assert planned + organic + int(plan.background.sum()) == 2_000_000
    assert planned < 100_000
    assert plan.casts["party"].kind == "party discipline"
    assert {len(plan.casts[name].accounts) for name in CAST_SIZES} == set(CAST_SIZES.values())


def test_frames_are_whole_in_every_language():
    translations = 0
    for item in read_narratives():
        assert len(item.grammars[item.main].frames) >= 6
        assert set(item.languages) == set(item.grammars)
        assert sum(item.mix) == pytest.approx(1.0)
        for language, texts in item.grammars.items():
            translations += language != item.main
            assert len(texts.frames) >= 3
            draws = Draws(np.random.default_rng(0))
            for which in range(len(texts.frames)):
                sentence = texts.sentence(draws, which)
                assert not re.search(r"[{}]", sentence)
                assert sentence[0] == sentence[0].upper()
                assert bool(re.search("[а-яіїєґ]", sentence)) == (language in ("ru", "uk"))
    assert translations >= 12


def test_unknown_slot_is_refused():
    with pytest.raises(KeyError, match="unknown slot"):
        grammar(["{nothing} here"], {}, "en")


def test_invented_words_are_reproducible():
    first = [invented_word(Draws(np.random.default_rng(4))) for _ in range(2)]
    assert first[0] == first[1]
    assert re.fullmatch("[А-Я][а-я]+", invented_word(Draws(np.random.default_rng(1)), cyrillic=True))


def test_too_few_documents_are_refused(tmp_path):
    with pytest.raises(InputError, match="at least 100"):
        next(generate(99))
    with pytest.raises(InputError, match="at least 100"):
        write_scenario(tmp_path / "never", documents=0)
    assert not (tmp_path / "never").exists()


def write_case(folder, scenario, *, split=False):
    """A case as a stage that knew the truth would leave it; `split` halves every narrative and explains no confounder away."""
    folder.mkdir()
    truth = pq.read_table(scenario.truth_documents).to_pylist()
    documents = [{"doc_id": f"doc-{row['post_id']}", "post_id": row["post_id"]} for row in truth]
    pq.write_table(records.table(documents, records.DOCUMENTS), folder / "documents.parquet")
    members = [
        {
            "doc_id": f"doc-{row['post_id']}",
            "narrative_id": None if row["narrative"] is None else f"nar-{row['narrative']}" + (f"-{number % 2}" if split else ""),
        }
        for number, row in enumerate(truth)
    ]
    pq.write_table(records.table(members, records.MEMBERS), folder / "members.parquet")
    casts = defaultdict(list)
    for row in pq.read_table(scenario.truth_groups).to_pylist():
        casts[row["group"], row["kind"]].append(row["account"])
    groups = []
    for (key, kind), accounts in casts.items():
        fits = kind != "planted" and not split
        groups.append({"group_id": f"grp-{key}", "accounts": accounts, "explanations": [{"name": kind, "fits": fits}]})
    pq.write_table(records.table(groups, records.GROUPS), folder / "groups.parquet")
    pairs = pq.read_table(scenario.truth_links).to_pylist()
    names = sorted({pair["incident"] for pair in pairs})
    rows = [{"incident_id": f"inc-{name}", "name": name, "reports": []} for name in [*names, "decoy"]]
    pq.write_table(records.table(rows, records.INCIDENTS), folder / "incidents.parquet")
    links = []
    for number, pair in enumerate(pairs):
        half = "-0" if split else ""
        links.append((pair["incident"], pair["narrative"] + half, pair["type"], 0.9))
        # In the split case the decoy draws level with the first true incident.
        links.append(("decoy", pair["narrative"] + half, "co-occurs", 0.9 if split and number == 0 else 0.2))
    rows = [{"incident_id": f"inc-{name}", "narrative_id": f"nar-{key}", "type": kind, "p": p} for name, key, kind, p in links]
    pq.write_table(records.table(rows, records.LINKS), folder / "links.parquet")
    return folder


def test_evaluate_of_the_truth_is_perfect(scenario, tmp_path):
    figures = evaluate(write_case(tmp_path / "case", scenario), scenario.folder)
    assert figures.documents == 2000
    assert figures.missing_documents == 0
    assert figures.bcubed_all.f1 == pytest.approx(1.0)
    assert figures.groups_found == 4
    assert figures.flagged == {"planted": 4}
    assert figures.confounders_flagged == 0
    assert figures.links_first == figures.all_links_first == 1.0
    assert json.loads(to_json(figures))["links_first"] == 1.0
    assert "4 of 4 planted found" in format_figures(figures)


def test_evaluate_sees_splits_flags_and_ties(scenario, tmp_path):
    figures = evaluate(write_case(tmp_path / "case", scenario, split=True), scenario.folder)
    # Halving every narrative leaves precision at 1 and recall of narrative documents near one half.
    assert figures.bcubed_narratives.precision == pytest.approx(1.0)
    assert figures.bcubed_narratives.recall == pytest.approx(0.5, abs=0.02)
    assert figures.confounders_flagged == 5
    assert figures.all_links_first == pytest.approx(9 / 10)


def test_evaluate_names_the_missing_table(scenario, tmp_path):
    case = write_case(tmp_path / "case", scenario)
    (case / "groups.parquet").unlink()
    with pytest.raises(InputError, match=r"groups\.parquet"):
        evaluate(case, scenario.folder)


def test_evaluate_refuses_a_case_of_other_documents(scenario, tmp_path):
    case = write_case(tmp_path / "case", scenario)
    rows = records.table([{"doc_id": "doc-1", "post_id": "elsewhere"}], records.DOCUMENTS)
    pq.write_table(rows, case / "documents.parquet")
    with pytest.raises(InputError, match="no document"):
        evaluate(case, scenario.folder)


def test_evaluate_refuses_a_broken_table(scenario, tmp_path):
    case = write_case(tmp_path / "case", scenario)
    pq.write_table(pa.table({"doc_id": ["a"]}), case / "members.parquet")
    with pytest.raises(InputError, match="members"):
        evaluate(case, scenario.folder)
