"""Links: the lag likelihood against numerical integration, placebo and event study against noise, and the rules every link keeps."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from greyzone.bursts import burst_starts
from greyzone.doctrine import load_doctrine
from greyzone.errors import CaseError, InputError
from greyzone.link import Linker, link
from greyzone.link.bursts import Bursts, find_bursts
from greyzone.link.circle import Circle, Courses, tabulate
from greyzone.link.content import entity_evidence, sector_factors, subject_evidence
from greyzone.link.corpus import read_corpus
from greyzone.link.eventstudy import shift_test
from greyzone.link.kinds import prepared, speaks_of_leaks, type_scores
from greyzone.link.lag import ANCHORS, Kernel, Onsets, kernel_of, timing
from greyzone.link.meaning import Cosines, Null, semantic_evidence
from greyzone.link.placebo import Placebo, draw_placebo, precision_at, q_values, shift_days
from greyzone.link.population import _fit, change_points, hawkes_test, population_tests, state_tests
from greyzone.link.sectors import SECTORS, topics_of
from greyzone.link.shown import rivals_of
from greyzone.models.links import Beta, Fit, LinkModel
from greyzone.records import DOCUMENTS, INCIDENTS, LINK_TYPES, LINKS, LLRS, MEMBERS, NARRATIVES, check, table

DOCTRINE = load_doctrine()
KERNEL = kernel_of(DOCTRINE)
NO_END = Kernel(0.85, 3.0, 5.0, 45.0, 0.0)
START = datetime(2030, 1, 1, tzinfo=UTC)


def onsets(*intervals: tuple[float, float], ends: tuple[float, float] = (math.nan, math.nan)) -> Onsets:
    lo, hi = (np.array(column, dtype=float) for column in zip(*intervals, strict=True))
    return Onsets(lo, hi, np.full(len(lo), ends[0]), np.full(len(lo), ends[1]))


def bursts(*days: float, mass: float = 1.0) -> Bursts:
    return Bursts(np.arange(len(days)), np.array(days, dtype=float), np.full(len(days), mass))


def ratio(lo: float, hi: float, day: float, mass: float = 1.0) -> float:
    found = timing(onsets((lo, hi)), bursts(day, mass=mass), NO_END)
    return float(found.ratio[0])


# --- time -------------------------------------------------------------------------------------------------------------------------


def test_lag_density_by_hand():
    # .85/3 e^{-2/3} = .145468..., .15/5 e^{-1} = .011036...
    assert NO_END.density(np.array([2.0]))[0] == pytest.approx(0.85 / 3 * math.exp(-2 / 3))
    assert NO_END.density(np.array([-5.0]))[0] == pytest.approx(0.15 / 5 * math.exp(-1))


@pytest.mark.parametrize(
    ("lo", "hi", "day"), [(100, 101, 100), (100, 101, 103), (100, 131, 110), (100, 131, 90), (100.25, 100.3, 99), (0, 365, 200)]
)
def test_likelihood_ratio_equals_the_numerical_integral(lo: float, hi: float, day: float):
    us = np.linspace(lo, hi, 4001)[:-1] + (hi - lo) / 8000
    bs = day + (np.arange(200) + 0.5) / 200
    density = np.mean([NO_END.density(b - us).mean() for b in bs])
    assert ratio(lo, hi, day) == pytest.approx(91 * density, rel=2e-3)


def test_window_mass_and_two_bursts_by_hand():
    # Onset known to the hour, burst on day 102 holding 60 %; one at day 300 holding 40 %: 1 + .6 (91 * mean f1 - 1).
    found = timing(onsets((100.0, 100.0 + 1 / 24)), Bursts(np.array([0, 0]), np.array([102.0, 300.0]), np.array([0.6, 0.4])), NO_END)
    lags = 102 + (np.arange(2000) + 0.5) / 2000 - 100 - 1 / 48
    assert found.ratio[0] == pytest.approx(0.4 + 0.6 * 91 * NO_END.density(lags).mean(), rel=1e-3)
    assert found.burst[0] == 0


def test_coarser_onsets_say_less():
    day = math.log(ratio(100, 101, 101))
    month = math.log(ratio(90, 121, 101))
    year = math.log(ratio(0, 365, 101))
    assert day > 2.5 > month > 0.3
    # A year says only how likely the pair is a candidate at all.
    assert year == pytest.approx(math.log(91 / 365), abs=0.05)
    # And where the guess of the day would be far off, the month does not turn into evidence against.
    assert math.log(ratio(90, 91, 119)) < -4
    assert math.log(ratio(90, 121, 119)) > 0


def test_blocking_leaves_out_what_is_out_of_the_window():
    found = timing(onsets((100, 101), (math.nan, math.nan)), bursts(145, 147, 55, 50), NO_END)
    # Bursts at 145.5 and 55.5 (half a day is added to each) lie within 45 days of [100, 101]; 147.5 and 50.5 do not.
    assert found.incident.tolist() == [0, 0]
    assert found.narrative.tolist() == [0, 2]


def test_blocking_equals_the_naive_scan():
    rng = np.random.default_rng(3)
    lo = rng.uniform(0, 700, 40)
    intervals = onsets(*zip(lo, lo + rng.choice([1, 31, 365], 40), strict=True))
    rises = Bursts(np.arange(60), rng.integers(0, 700, 60).astype(float), np.ones(60))
    found = timing(intervals, rises, NO_END)
    naive = {(i, n) for i in range(40) for n in range(60) if intervals.lo[i] - 45 <= rises.day[n] + 0.5 <= intervals.hi[i] + 45}
    assert set(zip(found.incident.tolist(), found.narrative.tolist(), strict=True)) == naive


def test_known_end_is_a_second_anchor():
    leak = timing(onsets((0, 1), ends=(100, 101)), bursts(102), Kernel(0.85, 3, 5, 45, 0.25))
    assert float(leak.ratio[0]) == pytest.approx(0.25 * ratio(100, 101, 102))


@given(st.floats(0, 50), st.floats(0.05, 400), st.floats(0, 60), st.floats(0, 60), st.integers(0, 120), st.floats(0.05, 1))
@settings(max_examples=300, deadline=None)
def test_a_wider_onset_never_narrows_the_envelope(lo: float, width: float, left: float, right: float, day: int, mass: float):
    narrow = timing(onsets((lo + 60, lo + 60 + width)), bursts(float(day), mass=mass), NO_END)
    wide = timing(onsets((lo + 60 - left, lo + 60 + width + right)), bursts(float(day), mass=mass), NO_END)
    if len(narrow.ratio):
        assert wide.lowest[0] <= narrow.lowest[0] + 1e-12
        assert wide.highest[0] >= narrow.highest[0] - 1e-12
        assert narrow.lowest[0] - 1e-3 <= narrow.ratio[0] <= narrow.highest[0] + 1e-3


def test_bursts_of_a_steady_a_sudden_and_a_twice_risen_narrative():
    assert burst_starts(np.full(100, 5.0)) == [(0, pytest.approx(70 / 500))]  # fourteen days from the start, then background
    assert burst_starts(np.array([40.0, 40, 20])) == [(0, 1.0)]
    quiet = np.zeros(60)
    quiet[0], quiet[30] = 10, 30
    # The second burst lies above a base of 10 / 28 a day... which has left the 28-day window by day 30: all of its 30 count.
    assert burst_starts(quiet) == [(0, 0.25), (30, 0.75)]
    assert burst_starts(np.array([1.0, 0, 1, 0, 0, 1])) == [(0, 1.0)]
    assert burst_starts(np.zeros(0)) == []


# --- content ------------------------------------------------------------------------------------------------------------------------


def unit(rng: np.random.Generator, rows: int, dimensions: int = 24) -> np.ndarray:
    x = rng.normal(size=(rows, dimensions)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def nearness(incidents: np.ndarray, narratives: np.ndarray, candidate: np.ndarray, block: int = 7) -> np.ndarray:
    """(narratives, incidents) evidence, made block by block."""
    cosines, rows = Cosines.of(incidents, narratives), np.arange(len(incidents))
    blocks = [slice(start, min(start + block, len(narratives))) for start in range(0, len(narratives), block)]
    null = Null.of(cosines, ((part, rows, candidate[part]) for part in blocks))
    return np.concatenate([semantic_evidence(cosines, null, part, rows, candidate[part], DOCTRINE) for part in blocks])


def test_semantic_null_is_calibrated_and_needs_comparisons():
    rng = np.random.default_rng(1)
    candidate = rng.random((40, 120)) < 0.2
    evidence = nearness(unit(rng, 120), unit(rng, 40), candidate)
    # The calibrator has mean 1; ranks among m comparisons cannot reach below 1 / m, which cuts its tail to 1 - m^-kappa = .7.
    assert 0.6 < np.exp(evidence[candidate]).mean() <= 1.05
    assert np.isnan(nearness(unit(rng, 2), unit(rng, 2), np.ones((2, 2), bool))).all()
    zero = unit(rng, 120)
    zero[7] = 0
    assert np.isnan(nearness(zero, unit(rng, 40), candidate)[:, 7]).all()


def test_semantic_ranks_equal_those_of_the_dense_cosines():
    rng = np.random.default_rng(4)
    incidents, narratives, candidate = unit(rng, 60, 8), unit(rng, 25, 8), rng.random((25, 60)) < 0.3
    incidents[3], narratives[5] = 0, 0
    whole = [np.rint(4000.0 * rows.astype(np.float64)) for rows in (incidents, narratives)]
    cosine = np.rint(whole[1] @ whole[0].T / 16e6 * 1000)
    known = np.outer(narratives.any(axis=1), incidents.any(axis=1))
    null = known & ~candidate
    expected = np.full(cosine.shape, np.nan)
    for n, i in np.argwhere(known):
        row, column = null[n].copy(), null[:, i].copy()
        row[i] = False
        column[n] = False
        others = np.concatenate([cosine[n, row], cosine[column, i]])
        # A null pair counts once besides the others, a candidate is added once.
        share = (1 + (others >= cosine[n, i]).sum()) / (1 + len(others))
        expected[n, i] = np.clip(math.log(0.25) - 0.75 * math.log(share), -4, 4)
    found = nearness(incidents, narratives, candidate)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.array_equal(found, nearness(incidents, narratives, candidate, block=25), equal_nan=True)


@given(*(st.floats(0, 1) for _ in range(4)), st.floats(0, 8))
def test_types_sum_to_one(before: float, coordinated: float, media: float, leaks: float, content: float):
    scores = type_scores(*(np.array([value]) for value in (before, content, coordinated, media, leaks)), scale=2.0)
    assert scores.shape == (1, 5)
    assert scores.sum() == pytest.approx(1.0)
    assert (scores >= 0).all()


def test_types_by_hand():
    def top(before: float, content: float, coordinated: float, media: float, leaks: float) -> str:
        values = (np.array([value]) for value in (before, content, coordinated, media, leaks))
        return LINK_TYPES[int(type_scores(*values, scale=2.0)[0].argmax())]

    assert top(0, 5, 0, 1, 1) == "reports"
    assert top(0, 5, 0, 0, 1) == "co-occurs"  # uncoordinated, but no media
    assert top(0, 5, 0.9, 1, 0) == "exploits"
    assert top(0, 5, 0.9, 0, 0.9) == "enabled-by"
    assert top(1, 5, 0.9, 0, 0) == "prepares"
    assert top(1, 0, 0.9, 0, 0) == "co-occurs"  # before, but nothing ties the two
    assert top(0, 0, 0.9, 0, 0) == "co-occurs"
    assert speaks_of_leaks("Утечка писем штаба")
    assert not speaks_of_leaks("A quiet evening on the river")


def test_preparation_by_hand():
    def prepares(lo: float, hi: float, days: dict[int, int]) -> float:
        first, last = min(days), max(days)
        volume = np.array([days.get(day, 0) for day in range(first, last + 1)], dtype=float)
        course = Bursts(np.zeros(len(days), dtype=np.int64), np.array(sorted(days), dtype=float), np.full(len(days), 1 / len(days)))
        rows = np.zeros(1, dtype=np.int64)
        return float(prepared(onsets((lo, hi)), course, NO_END, [(first, volume)], (rows, rows), stray=0.05)[0])

    # Ten documents on day 90, thirty on day 102, onset on day 100: a quarter before, .15 / (.15 + .85 19 .75^18).
    assert prepares(100, 101, {90: 10, 102: 30}) == pytest.approx(0.15 / (0.15 + 0.85 * 19 * 0.75**18))
    # What stands on the day of the onset answers it; a stray document is no preparation; nothing is known of an unknown onset.
    assert prepares(90, 91, {90: 10, 102: 30}) == 0
    assert prepares(100, 101, {99: 1, 102: 39}) < 0.05
    assert prepares(math.nan, math.nan, {90: 10, 102: 30}) == 0
    # A story told every day leads to nothing, and a year says that it follows rather than precedes.
    assert prepares(100, 101, dict.fromkeys(range(40, 160), 3)) == 0
    assert prepares(0, 365, {102: 40}) < 0.2
    assert prepares(0, 365, {90: 10, 102: 30}) < 0.5


# --- placebo ------------------------------------------------------------------------------------------------------------------------


def test_placebo_precision_and_q_by_hand():
    # Two shifts of three narratives: .5 of them a shift at 2.0 or above, 1.5 at .5.
    placebo = Placebo(10, np.array([0.5, 0.5, 0.5, 2.0]), np.array([[2.0, -np.inf, 0.5], [0.5, -np.inf, -np.inf]]))
    # The second narrative meets an event against two states, the first a look-alike besides: 1 of 1, 2 of 2, 3 narratives of 4 pairs.
    log_odds = np.array([3.0, 2.0, 2.0, 0.5, 0.5])
    found = precision_at(log_odds, np.array([0, 1, 1, 0, 2]), np.array([0, 1, 1, 2, 3]), placebo)
    assert found.tolist() == pytest.approx([1.0, 1.5 / 2, 1.5 / 2, 1.5 / 4, 1.5 / 4])
    # p = 1/11, 2/11, 5/11 of 6 candidates: 6/11, 6/11, 10/11.
    assert q_values(np.array([3.0, 2.0, 0.5]), placebo, 6).tolist() == pytest.approx([6 / 11, 6 / 11, 10 / 11])
    one = np.zeros(1, dtype=np.int64)
    assert np.isnan(precision_at(np.array([1.0]), one, one, Placebo.none(1))).all()


def test_look_alikes_never_raise_the_placebo_precision():
    rng = np.random.default_rng(3)
    placebo = Placebo(500, np.zeros(0), np.where(rng.random((20, 40)) < 0.3, rng.normal(size=(20, 40)), -np.inf))
    log_odds, narrative = rng.normal(1.0, 1.0, 30), np.arange(30)
    alone = precision_at(log_odds, narrative, narrative, placebo)
    # Each narrative is near a second event of the days of the one that it answers, somewhat less likely.
    both = np.concatenate([log_odds, log_odds - 0.1])
    doubled = precision_at(both, np.tile(narrative, 2), np.arange(60), placebo)
    assert (doubled[:30] <= alone + 1e-12).all()


def test_shifts_keep_clear_of_zero():
    days = shift_days(200.0, KERNEL, 20)
    assert len(days) == 20
    assert days.min() >= 20
    assert days.max() <= 180
    assert len(shift_days(30.0, KERNEL, 20)) == 0


def bursty_series(rng: np.random.Generator, days: int) -> np.ndarray:
    """Autocorrelated log-rate with sudden bursts that decay over days: volume as social media has it."""
    rate = np.zeros(days)
    level = 0.0
    for day in range(days):
        level = 0.8 * level + rng.normal(0, 0.5)
        rate[day] = math.exp(level)
    for start in rng.integers(0, days, 6):
        length = min(12, days - start)
        rate[start : start + length] += rng.uniform(5, 30) * np.exp(-np.arange(length) / 3)
    return rng.poisson(3 * rate).astype(float)


def test_event_study_holds_its_level_on_bursty_noise():
    rng = np.random.default_rng(11)
    rejected = 0
    for draw in range(200):
        series = bursty_series(rng, 300)
        days = np.sort(rng.choice(300, 12, replace=False))
        rejected += shift_test(series, days, shifts=999, seed=draw)[1] <= 0.05
    assert 0.02 <= rejected / 200 <= 0.09


def test_event_study_finds_planted_rises():
    rng = np.random.default_rng(5)
    series = rng.poisson(5, 300).astype(float)
    days = np.array([30, 80, 120, 190, 250])
    for day in days:
        series[day : day + 5] += 20
    statistic, p = shift_test(series, days, shifts=999)
    assert statistic > 0.5
    assert p < 0.01


# --- the stage ------------------------------------------------------------------------------------------------------------------------


def incident(name: str, day: float, *, width: float = 1.0, state: str | None = "XA", **more: object) -> dict[str, object]:
    onset = START + timedelta(days=day)
    return {
        "incident_id": f"inc-{name}",
        "name": name,
        "description": f"{name} was met with an intrusion",
        "onset_lo": onset,
        "onset_hi": onset + timedelta(days=width) - timedelta(microseconds=1),
        "onset_precision": "day",
        "target_state": state,
        "technique_class": "doxing",
        **more,
    }


def narrative(name: str, volume: dict[int, int], targets: list[str] | None = None) -> dict[str, object]:
    first = START + timedelta(days=min(volume))
    return {
        "narrative_id": f"nar-{name}",
        "label": name,
        "size": sum(volume.values()),
        "onset_lo": first,
        "onset_hi": first + timedelta(days=1),
        "volume": [{"day": (START + timedelta(days=day)).date(), "documents": count} for day, count in volume.items()],
        "targets": targets if targets is not None else ["XA"],
    }


def corpus(narratives: list[dict[str, object]], texts: dict[str, str]) -> tuple[pa.Table, pa.Table]:
    """Documents on the days of each narrative's volume, with the text given for it, and their memberships."""
    documents, members = [], []
    for row in narratives:
        for item in row["volume"]:
            for at in range(item["documents"]):
                doc = f"doc-{row['narrative_id']}-{item['day']}-{at:03d}"
                time = datetime(item["day"].year, item["day"].month, item["day"].day, 12, tzinfo=UTC)
                documents.append(
                    {"doc_id": doc, "text": texts.get(row["narrative_id"], "Plain talk") + f" number {at}", "published_at": time}
                )
                members.append({"doc_id": doc, "narrative_id": row["narrative_id"]})
    return table(documents, DOCUMENTS), table(members, MEMBERS)


def small_case() -> dict[str, object]:
    incidents = [incident("Zarnovik", 100), incident("Hellmark", 160), incident("Oldport", 20, state="XB")]
    incidents += [incident(f"Faraway{at:02d}q", 1000 + at) for at in range(30)]
    narratives = [
        narrative("a", {101: 20, 102: 30, 103: 8}),
        narrative("b", {60: 20, 61: 9}, ["XB"]),
        narrative("c", dict.fromkeys(range(200), 2)),
    ]
    texts = {"nar-a": "The leaked mails of Zarnovik show it", "nar-c": "Weather and sport"}
    documents, members = corpus(narratives, texts)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(incidents), 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    stories = rng.normal(size=(3, 16)).astype(np.float32)
    stories[0] = vectors[0]
    stories /= np.linalg.norm(stories, axis=1, keepdims=True)
    return {
        "incidents": table(incidents, INCIDENTS),
        "narratives": table(narratives, NARRATIVES),
        "members": members,
        "documents": documents,
        "incident_vectors": vectors,
        "narrative_vectors": stories,
    }


def run(case: dict[str, object], **options: object):
    return link(**{"doctrine": DOCTRINE, **case, **options})


def test_planted_link_comes_first_with_its_evidence():
    result = run(small_case(), coordinated={"nar-a": 0.5})
    first = result.links.to_pylist()[0]
    assert (first["incident_id"], first["narrative_id"]) == ("inc-Zarnovik", "nar-a")
    assert first["p"] > 0.8
    assert first["p_lo"] < first["p"] < first["p_hi"]
    assert first["type"] == "enabled-by"
    assert first["shared_entities"] == ["name:Zarnovik"]
    assert first["calibrated"] is False
    assert len(first["evidence"]) == 5
    assert first["evidence"][0].startswith("doc-nar-a-2030-04-12")
    assert first["lag_days"] == pytest.approx(1.0, abs=0.01)
    # Without coordinated accounts the same coverage is reporting.
    assert run(small_case(), coordinated={}).links.to_pylist()[0]["type"] == "reports"


def test_rows_are_consistent_and_context_counts_every_pair():
    result = run(small_case())
    context = result.context
    json.dumps(context)
    assert context["pairs_total"] == context["pairs_screened"] + context["pairs_candidate"]
    assert context["pairs_candidate"] == context["below_prior"] + result.links.num_rows
    assert context["placebo_shifts"] == 20
    tests = {test["state"]: test for test in context["population_tests"]}
    assert "at least 5 are needed" in tests["XB"]["refused"]
    rows = result.links.to_pylist()
    assert [row["log_odds"] for row in rows] == sorted((row["log_odds"] for row in rows), reverse=True)
    for row in rows:
        total = sum(row[f"llr_{name}"] or 0.0 for name in LLRS)
        assert row["log_odds"] == pytest.approx(math.log(0.002 / 0.998) + 0.9 * total)
        assert row["p"] == pytest.approx(1 / (1 + math.exp(-row["log_odds"])))
        assert sum(row["type_probabilities"]) == pytest.approx(1)
        assert row["type"] == LINK_TYPES[int(np.argmax(row["type_probabilities"]))]
        assert all(abs(row[f"llr_{name}"] or 0) <= (7 if name == "artefact" else 4) for name in LLRS)
        assert row["incident_id"] not in [rival["incident_id"] for rival in row["rivals"]]


def test_order_of_rows_does_not_change_a_byte():
    case = small_case()
    once = run(case)
    rng = np.random.default_rng(9)
    for _ in range(3):
        mixed = dict(case)
        for name in ("members", "documents"):
            mixed[name] = case[name].take(rng.permutation(case[name].num_rows))
        for name, vectors in (("incidents", "incident_vectors"), ("narratives", "narrative_vectors")):
            order = rng.permutation(case[name].num_rows)
            mixed[name], mixed[vectors] = case[name].take(order), case[vectors][order]
        again = run(mixed)
        assert again.links.equals(once.links)
        assert again.context == once.context


def test_shared_artefact_is_decisive_and_platforms_are_not():
    entities = [{"kind": "domain", "value": "leaks-of-hellmark[.]test"}, {"kind": "domain", "value": "twitter.com"}]
    case = small_case()
    incidents = [*case["incidents"].to_pylist()]
    incidents[1]["entities"] = entities
    narratives = [narrative("a", {161: 10}), narrative("b", {161: 10}), narrative("c", dict.fromkeys(range(200), 2))]
    texts = {"nar-a": "see hxxps://leaks-of-hellmark[.]test/files", "nar-b": "see https://twitter.com/x"}
    documents, members = corpus(narratives, texts)
    case |= {
        "incidents": table(incidents, INCIDENTS),
        "narratives": table(narratives, NARRATIVES),
        "documents": documents,
        "members": members,
    }
    rows = {(row["incident_id"], row["narrative_id"]): row for row in run(case).links.to_pylist()}
    assert rows["inc-Hellmark", "nar-a"]["llr_artefact"] > 3
    assert "domain:leaks-of-hellmark[.]test" in rows["inc-Hellmark", "nar-a"]["shared_entities"]
    assert rows["inc-Hellmark", "nar-b"]["llr_artefact"] < 0
    # A corpus in which nobody names the artefact says nothing of who would.
    documents, _ = corpus(narratives, {"nar-b": texts["nar-b"]})
    assert {row["llr_artefact"] for row in run(case | {"documents": documents}).links.to_pylist()} == {None}


def test_missing_evidence_is_null():
    case = small_case()
    incidents = case["incidents"].to_pylist()
    incidents[0] |= {"target_state": None, "name": "Attack on ministry", "description": "Attack on ministry"}
    case["incidents"] = table(incidents, INCIDENTS)
    rows = [row for row in run(case).links.to_pylist() if row["incident_id"] == "inc-Zarnovik" and row["narrative_id"] == "nar-a"]
    assert rows[0]["llr_geo_sector"] is None
    assert rows[0]["llr_entity"] is None
    assert rows[0]["llr_artefact"] is None


def test_an_added_incident_leaves_the_evidence_of_other_pairs_but_for_ranks():
    case = small_case()
    before = {row["link_id"]: row for row in run(case).links.to_pylist()}
    more = [*case["incidents"].to_pylist(), incident("Newcomer", 100, state="XC")]
    extra = np.zeros((1, 16), dtype=np.float32)
    case |= {"incidents": table(more, INCIDENTS), "incident_vectors": np.vstack([case["incident_vectors"], extra])}
    after = {row["link_id"]: row for row in run(case).links.to_pylist()}
    for key, row in before.items():
        assert after[key]["p"] == row["p"]
        assert after[key]["evidence"] == row["evidence"]


def test_empty_tables_and_undated_incidents():
    case = small_case()
    none = case | {"incidents": case["incidents"].slice(0, 0), "incident_vectors": np.zeros((0, 16), np.float32)}
    assert run(none).links.num_rows == 0
    silent = case | {"narratives": case["narratives"].slice(0, 0), "narrative_vectors": np.zeros((0, 16), np.float32)}
    assert run(silent).context["placebo_reason"]
    undated = case["incidents"].to_pylist()
    undated[0] |= {"onset_lo": None, "onset_hi": None}
    result = run(case | {"incidents": table(undated, INCIDENTS)})
    assert result.context["undated_incidents"] == 1
    assert "inc-Zarnovik" not in result.links["incident_id"].to_pylist()


def test_bad_input_is_named():
    case = small_case()
    with pytest.raises(InputError, match="2 narrative vectors for 3 narratives"):
        run(case | {"narrative_vectors": case["narrative_vectors"][:2]})
    with pytest.raises(InputError, match="16 and narrative vectors of 8"):
        run(case | {"narrative_vectors": case["narrative_vectors"][:, :8]})
    with pytest.raises(InputError, match=r"share of 1\.5"):
        run(case, coordinated={"nar-a": 1.5})


def test_noise_gives_no_confident_links():
    rng = np.random.default_rng(21)
    incidents = [incident(f"Vork{chr(97 + at % 26)}{chr(97 + at // 26)}m", float(rng.integers(0, 400)), state=None) for at in range(80)]
    narratives = [narrative(f"{at:02d}", {int(rng.integers(0, 400)): 10}, []) for at in range(40)]
    documents, members = corpus(narratives, {})
    vectors = [rng.normal(size=(n, 16)).astype(np.float32) for n in (80, 40)]
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in vectors]
    rows = link(
        table(incidents, INCIDENTS),
        table(narratives, NARRATIVES),
        members,
        documents,
        incident_vectors=unit[0],
        narrative_vectors=unit[1],
        doctrine=DOCTRINE,
    ).links.to_pylist()
    assert max(row["p"] for row in rows) < 0.8
    assert min(row["q"] for row in rows) > 0.1
    assert np.mean([row["placebo_precision"] for row in rows]) < 0.5


def test_bursts_read_the_tables_volume():
    found = find_bursts(table([narrative("a", {5: 10}), narrative("b", {9: 4, 40: 20})], NARRATIVES))
    day = (date(2030, 1, 1) - date(1970, 1, 1)).days
    assert found.narrative.tolist() == [0, 1, 1]
    assert (found.day - day).tolist() == [5, 9, 40]
    assert found.mass.tolist() == pytest.approx([1, 4 / 24, 20 / 24])


def test_type_scores_stay_probabilities_when_a_share_passes_one_by_rounding():
    before = np.array([np.nextafter(1.0, 2.0), -np.finfo(float).eps])
    found = type_scores(before, np.array([6.0, 6.0]), np.array([0.3, 0.3]), np.array([0.5, 0.5]), np.array([0.5, 0.5]), scale=2.0)
    assert found.min() >= 0.0
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)


# --- all pairs at once ------------------------------------------------------------------------------------------------------------


def random_course(seed: int, incidents: int = 30, narratives: int = 20) -> tuple[Onsets, Bursts]:
    rng = np.random.default_rng(seed)
    lo = rng.uniform(-100, 500, incidents)
    width = rng.choice([0.5, 1, 31, 365], incidents)
    end, told = lo + width + rng.choice([math.nan, 5, 40], incidents), lo + rng.choice([math.nan, 10, 200], incidents)
    anchors = Onsets(lo, lo + width, end, end + 1, told, told + rng.choice([1, 31], incidents))
    narrative, day = np.sort(rng.integers(0, narratives, 2 * narratives)), rng.integers(0, 300, 2 * narratives).astype(float)
    order = np.lexsort((day, narrative))
    return anchors, Bursts(narrative[order], day[order], rng.uniform(0.05, 0.3, 2 * narratives))


def turned(anchors: Onsets, course: Bursts, circle: Circle, shift: int) -> np.ndarray:
    """LR of all pairs with the incidents moved on the circle, interval by interval: cut where the circle closes, bursts on all turns."""
    copies = [Bursts(course.narrative, course.day + turn * circle.length, course.mass) for turn in (-1, 0, 1)]
    narrative, day, mass = (np.concatenate([getattr(copy, name) for copy in copies]) for name in ("narrative", "day", "mass"))
    order = np.lexsort((day, narrative))
    rolled = Bursts(narrative[order], day[order], mass[order])
    found = np.zeros((20, len(anchors.lo)))
    stop = circle.origin + circle.length
    for anchor in anchors.anchors(KERNEL):
        for i in np.flatnonzero(np.isfinite(anchor.lo)):
            lo, hi = max(anchor.lo[i], circle.origin) + shift, min(anchor.hi[i], stop) + shift
            for begin, end in ((lo, min(hi, stop)), (max(lo, stop), hi)):
                if end - begin > 1e-12:
                    back = circle.length if begin >= stop else 0
                    piece = timing(onsets((begin - back, end - back)), rolled, NO_END)
                    found[piece.narrative, i] += anchor.share[i] * (end - begin) / (anchor.hi[i] - anchor.lo[i]) * piece.ratio
    return found


@pytest.mark.parametrize("shift", [0, 1, 100, 333])
def test_the_circle_equals_the_pairs_one_by_one(shift: int):
    anchors, course = random_course(2)
    circle = Circle.of(course, KERNEL)
    courses = Courses.of(course, 20, circle)
    ratio, candidate = courses.ratios(tabulate(anchors, circle), slice(0, 20), shift)
    naive = turned(anchors, course, circle, shift)
    assert np.array_equal(candidate, naive > 1e-9)
    np.testing.assert_allclose(np.where(candidate, ratio, 0), naive, atol=1e-11)
    if shift == 0:
        plain = timing(anchors, course, KERNEL)
        dense = np.zeros((20, 30))
        dense[plain.narrative, plain.incident] = plain.ratio
        np.testing.assert_allclose(np.where(candidate, ratio, 0), dense, atol=1e-12)
        some = timing(anchors, course, KERNEL, (plain.incident[::3], plain.narrative[::3]))
        for name in ("ratio", "lowest", "highest", "after", "burst", "anchor"):
            assert np.array_equal(getattr(some, name), getattr(plain, name)[::3]), name


def test_small_tiles_and_one_thread_change_no_byte(monkeypatch: pytest.MonkeyPatch):
    case = small_case()
    once = Linker(DOCTRINE, workers=2).link(**case)
    monkeypatch.setattr("greyzone.link.circle.TILE_CELLS", 5)
    monkeypatch.setattr("greyzone.link.circle.TABLE_CELLS", 2000)
    monkeypatch.setattr("greyzone.link.rows.PART", 2)
    monkeypatch.setattr("greyzone.link.corpus.BATCH", 11)
    again = Linker(DOCTRINE, workers=1).link(**case)
    assert again.links.equals(once.links)
    assert again.context == once.context


def test_disclosure_is_an_anchor_of_its_own():
    told = Onsets(*(np.array([value], dtype=float) for value in (0, 1, math.nan, math.nan, 100, 101)))
    kernel = Kernel(0.85, 3, 5, 45, 0.25, 0.6)
    found = timing(told, bursts(102), kernel)
    assert float(found.ratio[0]) == pytest.approx(0.6 * ratio(100, 101, 102))
    assert ANCHORS[int(found.anchor[0])] == "disclosure"
    # An onset that nobody knows leaves the whole weight to the disclosure; a disclosure before the onset is none.
    unknown = Onsets(*(np.array([value], dtype=float) for value in (math.nan, math.nan, math.nan, math.nan, 100, 101)))
    assert float(timing(unknown, bursts(102), kernel).ratio[0]) == pytest.approx(ratio(100, 101, 102))
    early = Onsets(*(np.array([value], dtype=float) for value in (100, 101, math.nan, math.nan, 50, 51)))
    assert float(timing(early, bursts(102), kernel).ratio[0]) == pytest.approx(ratio(100, 101, 102))
    # Talk between onset and disclosure is no preparation.
    assert timing(told, bursts(98), kernel).after[0] == pytest.approx(1.0)


def test_stories_answer_the_first_and_the_last_disclosure_alike():
    told = Onsets(*(np.array([value], dtype=float) for value in (0, 1, math.nan, math.nan, 100, 101, 200, 201)))
    kernel = Kernel(0.85, 3, 5, 45, 0.25, 0.6)
    for day, anchor, kind in ((102, 100, "disclosure"), (203, 200, "later disclosure")):
        found = timing(told, bursts(day), kernel)
        assert float(found.ratio[0]) == pytest.approx(0.3 * ratio(anchor, anchor + 1, day))
        assert ANCHORS[int(found.anchor[0])] == kind
    # Without a first disclosure there is no later one.
    alone = Onsets(*(np.array([value], dtype=float) for value in (0, 1, math.nan, math.nan, math.nan, math.nan, 200, 201)))
    assert not len(timing(alone, bursts(203), kernel).ratio)


def test_the_links_of_a_disclosure_say_so():
    case = small_case()
    rows = case["incidents"].to_pylist()
    rows[0] |= {"onset_lo": START, "onset_hi": START + timedelta(days=1)}
    rows[0] |= {"disclosed_lo": START + timedelta(days=100), "disclosed_hi": START + timedelta(days=101, microseconds=-1)}
    first = run(case | {"incidents": table(rows, INCIDENTS)}).links.to_pylist()[0]
    assert (first["incident_id"], first["narrative_id"], first["anchor"]) == ("inc-Zarnovik", "nar-a", "disclosure")
    assert first["lag_days"] == pytest.approx(1.0, abs=0.01)


def test_sectors_agree_disagree_and_abstain():
    rows = [["critical infrastructure", "energy"], ["health"], None, ["state institutions"]]
    # A narrative of power cuts, one of hospitals, one that names no sector; nine in ten documents belong to none and name none.
    sizes = np.array([10.0, 10.0, 10.0, 270.0])
    spoken = np.zeros((4, len(SECTORS)))
    spoken[0, SECTORS.index("energy")] = 8
    spoken[1, SECTORS.index("health")] = 3
    factors, column = sector_factors(rows, sparse.csr_array(spoken), sizes, DOCTRINE)
    found = factors[:, column]
    assert np.exp(found[0, :2]) == pytest.approx([2, 0.8])
    assert np.exp(found[1, :2]) == pytest.approx([0.8, 2])
    assert np.isnan(found[2]).all()
    assert np.isnan(found[:, 2:]).all()
    assert topics_of(["bolnitsa", "pod", "atakoy", "khakerov"]) == {"health", "attack"}


def test_subject_by_hand():
    # Two narratives, one of which speaks of attacks in half of its documents: q = .5 / .6, u' = (.8333 + .5) / 3.
    found = subject_evidence(np.array([5.0, 0.0, 9.0]), np.array([10.0, 10.0, 10.0]), np.array([True, True, False]), DOCTRINE)
    speaks, usual = 0.5 / 0.6, (0.5 / 0.6 + 0.5) / 3
    assert found[:2] == pytest.approx([math.log(speaks * 0.7 / usual + (1 - speaks) * 0.3 / (1 - usual)), math.log(0.3 / (1 - usual))])
    assert math.isnan(found[2])
    # Where all speak of attacks, that a story does tells nothing.
    every = subject_evidence(np.full(50, 10.0), np.full(50, 10.0), np.ones(50, dtype=bool), DOCTRINE)
    assert every.tolist() == [0.0] * 50


@pytest.mark.parametrize("others", [9, 99, 9999])
def test_a_rare_subject_makes_a_narrative_answer_one_incident_at_most(others: int):
    speaking = np.array([10.0] + [0.0] * others)
    found = subject_evidence(speaking, np.full(others + 1, 10.0), np.ones(others + 1, dtype=bool), DOCTRINE)
    assert 0.9 < DOCTRINE["link.answering"] * math.exp(found[0]) <= 1.0


def test_rivals_lose_by_the_kind_that_decides():
    evidence = {"temporal": np.array([2.0, 1.0, 0.5, 0.0]), "entity": np.array([1.0, 1.5, math.nan, 0.0])}
    found = rivals_of(np.array([0, 0, 1, 0]), np.array([3.0, 2.5, 1.0, 0.5]), evidence, {"temporal": 0.7, "entity": 0.7})
    assert found.links[:, :3].tolist() == [[1, 3, -1], [0, 3, -1], [-1, -1, -1], [0, 1, -1]]
    # The first beats the second by a nat of time (and trails by half a nat of names); the last loses to the first by two nats of time.
    assert (found.kinds[0, 0], found.nats[0, 0]) == (0, 1.0)
    assert (found.kinds[1, 0], found.nats[1, 0]) == (0, -1.0)
    assert (found.kinds[3, 1], found.nats[3, 1]) == (1, -1.5)


def test_rivals_are_the_likeliest_other_candidates_listed_or_not():
    case = small_case()
    near = [incident(f"Nearby{at:02d}q", 96 + at, width=1 + 20 * at, state="XC") for at in range(9)]
    vectors = np.concatenate([case["incident_vectors"], np.random.default_rng(1).normal(size=(9, 16)).astype(np.float32) / 8])
    case |= {"incidents": pa.concat_tables([case["incidents"], table(near, INCIDENTS)]), "incident_vectors": vectors}
    links = run(case).links.to_pylist()
    everything = LinkModel(Fit((1.0,) * len(LLRS), 1e3, Beta(1.0, 1.0, 0.0)), (), {})
    candidates = link(**case, doctrine=DOCTRINE, model=everything).links.to_pylist()
    assert len(candidates) > len(links) > 0
    listed = {row["link_id"] for row in links}
    unlisted = 0
    for row in links:
        others = [one for one in candidates if one["narrative_id"] == row["narrative_id"] and one["incident_id"] != row["incident_id"]]
        ranked = [one["incident_id"] for one in sorted(others, key=lambda one: (-round(one["log_odds"], 6), one["incident_id"]))]
        assert [rival["incident_id"] for rival in row["rivals"]] == ranked[:5]
        assert len(row["rival_reasons"]) == len(row["rivals"]) > 0
        shown = {rival["incident_id"] for rival in row["rivals"]}
        unlisted += sum(one["incident_id"] in shown and one["link_id"] not in listed for one in others)
    assert unlisted


def test_evidence_says_why_it_was_chosen():
    case = small_case()
    rows = case["narratives"].to_pylist()
    rows[0]["exemplars"] = ["doc-nar-a-2030-04-13-007"]
    first = run(case | {"narratives": table(rows, NARRATIVES)}).links.to_pylist()[0]
    assert first["evidence_reasons"] == ["entity"] * 4 + ["exemplar"]
    assert first["evidence"][4] == "doc-nar-a-2030-04-13-007"
    incidents = case["incidents"].to_pylist()
    incidents[0] |= {"name": "Attack on ministry", "description": "Attack on ministry"}
    other = run(case | {"incidents": table(incidents, INCIDENTS)}).links.to_pylist()[0]
    assert (other["incident_id"], other["shared_entities"]) == ("inc-Zarnovik", [])
    assert other["evidence_reasons"] == ["time"] * 5


# --- states as a whole --------------------------------------------------------------------------------------------------------------


def test_hawkes_holds_its_level_on_bursty_noise_and_finds_excitation():
    rng = np.random.default_rng(31)
    rejected = 0
    for draw in range(60):
        series, days = bursty_series(rng, 200), np.sort(rng.choice(200, 30, replace=False))
        rejected += hawkes_test(series, days, mean=3.0, shifts=99, seed=draw)["p"] <= 0.05
    assert rejected <= 8  # of 60 at the 5 % level: 3 expected, more than 8 in 1 of 200
    days = np.sort(rng.choice(200, 30, replace=False))
    series = rng.poisson(5, 200).astype(float)
    for day in days:
        series[day : day + 4] += rng.poisson(4, len(series[day : day + 4]))
    found = hawkes_test(series, days, mean=3.0, shifts=99, seed=0)
    assert found["p"] <= 0.02
    # Each incident brought some sixteen items.
    assert 8 < found["excited"] < 24


def test_hawkes_fit_is_at_least_as_likely_as_any_on_a_grid():
    rng = np.random.default_rng(3)
    series = rng.poisson(4, 120).astype(float)
    own = np.convolve(series, [0, 0.5, 0.3, 0.2])[:120]
    events = np.zeros((1, 120))
    events[0, 20:120:20] = 1
    likely, weights = _fit(series, own, events)
    assert (weights >= 0).all()
    for mu in np.linspace(0.5, 5, 10):
        for alpha in np.linspace(0, 0.9, 10):
            for gamma in np.linspace(0, 3, 7):
                rate = mu + alpha * own + gamma * events[0]
                assert likely[0] >= (series * np.log(rate) - rate).sum() - 1e-3


def test_changepoints_by_hand_and_in_noise():
    assert change_points(np.array([1.0, 1.1, 1, 1.1, 5, 5.1, 5, 5.1])) == [4]
    assert change_points(np.full(30, 2.0)) == []
    rng = np.random.default_rng(8)
    assert sum(len(change_points(rng.normal(size=60))) for _ in range(50)) <= 15


def test_tests_of_states_are_a_table_with_the_reasons_of_those_refused():
    days = np.arange(30) * 11.0 + 20
    volume = np.random.default_rng(0).poisson(3.0, 365).astype(float)
    found = population_tests(
        onsets(*zip(days, days + 1, strict=True)), ["XA"] * 30, [(0, volume)], [["XA", "XB"]], doctrine=DOCTRINE, seed=0
    )
    rows = state_tests({"link": {"context": found}}).to_pylist()
    assert [(row["state"], row["test"]) for row in rows] == [
        (state, test) for state in ("XA", "XB") for test in ("event study", "bursts", "Hawkes process", "changepoints")
    ]
    for row, told in zip(rows[:3], (found[name][0] for name in ("population_tests", "burst_tests", "hawkes_tests")), strict=True):
        assert (row["statistic"], row["p"], row["refused"]) == (told["statistic"], told["p"], told["refused"])
    assert rows[2]["refused"] is None
    assert "branching" in rows[2]["found"]
    assert rows[4]["refused"].startswith("incidents with an onset known to the week during the corpus: 0")
    assert rows[4]["found"] is None
    with pytest.raises(CaseError, match="greyzone link CASE"):
        state_tests({"link": {}})


def test_population_tests_refuse_with_a_reason_and_tell_otherwise():
    days = np.arange(20, 320, 10, dtype=float)
    when = Onsets(days, days + 1, np.full(30, math.nan), np.full(30, math.nan))
    rng = np.random.default_rng(2)
    volume = rng.poisson(3, 330).astype(float)
    volume[100:110] += 40
    found = population_tests(when, ["XA"] * 30, [(0, volume)], [["XA", "XB"]], doctrine=DOCTRINE, seed=0)
    assert {name: [row["state"] for row in rows] for name, rows in found.items()} == {name: ["XA", "XB"] for name in found}
    assert all(rows[0]["refused"] is None for rows in found.values())
    assert found["burst_tests"][0]["bursts"] == 1
    assert found["changepoints"][0]["changes"]
    for name in ("population_tests", "burst_tests", "hawkes_tests"):
        assert 0 < found[name][0]["p"] <= 1
        assert "corpus: 0; at least" in found[name][1]["refused"]
        assert found[name][1]["p"] is None
    few = population_tests(when.rows(np.arange(12)), ["XA"] * 12, [(0, volume)], [["XA"]], doctrine=DOCTRINE, seed=0)
    assert few["hawkes_tests"][0]["refused"].endswith("at least 30 are needed")
    assert few["burst_tests"][0]["refused"] is None
    silent = population_tests(when, ["XA"] * 30, [(0, volume)], [[]], doctrine=DOCTRINE, seed=0)
    assert {rows[0]["refused"] for rows in silent.values()} == {"no narrative names the state"}


# --- the corpus ---------------------------------------------------------------------------------------------------------------------


def test_texts_are_told_apart_with_titles_addresses_and_tags():
    rows = [
        {"doc_id": "d3", "title": "T", "text": "a", "urls": ["https://x.test/1", "https://y.test"], "hashtags": ["#One", "Two"]},
        {"doc_id": "d1", "text": "a", "outlet": "Gazette"},
        {"doc_id": "d2", "text": "a", "account": "acc-1", "lang": "ar"},
    ]
    members = table([{"doc_id": "d3", "narrative_id": "nar-b"}, {"doc_id": "d2", "narrative_id": None}], MEMBERS)
    found = read_corpus(table(rows, DOCUMENTS), members, table([{"narrative_id": "nar-a"}, {"narrative_id": "nar-b"}], NARRATIVES))
    assert found.texts.to_pylist() == ["T\na\nhttps://x.test/1 https://y.test\n#One #Two", "\na\n\n"]
    assert found.text.tolist() == [0, 1, 1]
    assert found.copies.tolist() == [1, 2]
    assert found.owner.tolist() == [1, -1, -1]
    assert found.rank.tolist() == [2, 0, 1]
    assert found.media.tolist() == pytest.approx([math.nan, 1, 0], nan_ok=True)
    assert found.legible.tolist() == [True, True, False]


def test_entity_evidence_equals_the_formula_pair_by_pair():
    rng = np.random.default_rng(6)
    own, counts = (rng.random((5, 4)) < 0.5).astype(float), rng.integers(0, 4, (7, 4)).astype(float)
    counts[:, 3] = 0
    sizes = np.full(7, 10.0)
    kinds = ("organisation", "name", "cve", "actor")
    shared = entity_evidence(sparse.csr_array(own), sparse.csr_array(counts), sizes, kinds, DOCTRINE)
    found = shared.block(slice(0, 6), np.arange(5))
    inside = counts[:6] / 10
    for n in range(6):
        for i in range(5):
            total, known = 0.0, False
            for e in (0, 1, 3):
                known |= bool(own[i, e]) and counts[:, e].sum() > 0
                if not own[i, e] or not counts[n, e]:
                    continue
                outside = (counts[:, e].sum() - counts[n, e] + 0.5) / (70 - 10 + 1)
                spread = sum(inside[m, e] / (inside[m, e] + 0.05) for m in range(6) if m != n) / 5
                u = max(DOCTRINE[f"link.entity_u_{kinds[e]}"], outside, spread)
                total += max(1 - outside / inside[n, e], 0) * inside[n, e] / (inside[n, e] + 0.05) * max(math.log(0.4 / u), 0)
            expected = min(total, 4) if total > 0 else math.log(0.6 / 0.98) if known else math.nan
            assert found[n, i] == pytest.approx(expected, nan_ok=True)


def test_placebo_equals_pairs_turned_one_by_one():
    anchors, course = random_course(5)
    circle = Circle.of(course, KERNEL)
    drawn = draw_placebo(anchors, course, KERNEL, shifts=20, floor=0.0, log_odds=lambda pairs: np.log(np.maximum(pairs.ratio, 1e-300)))
    days = shift_days(circle.length, KERNEL, 20)
    ratios = np.concatenate([turned(anchors, course, circle, int(day)).ravel() for day in days])
    assert drawn.shifts == len(days)
    assert drawn.pairs == (ratios > 1e-9).sum()
    best = np.stack([turned(anchors, course, circle, int(day)).max(axis=1) for day in days])[:, : drawn.best.shape[1]]
    np.testing.assert_allclose(np.exp(drawn.best), np.where(best >= 1.0, best, 0.0), atol=1e-9)


def test_links_of_an_earlier_version_are_read_without_reasons():
    links = run(small_case()).links
    old = check(links.drop_columns(["anchor", "evidence_reasons", "rival_reasons"]), LINKS, "links")
    assert old.schema == LINKS
    assert old["anchor"].null_count == links.num_rows
    assert old["rivals"].equals(links["rivals"])
