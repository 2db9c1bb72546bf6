"""Posting rhythm: expected meetings by hand, what the nulls explain, and what they do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, stats

from greyzone.coordinate.groups import find_network
from greyzone.coordinate.pairs import kept_pairs
from greyzone.coordinate.rhythm import fit_clock, minutes
from greyzone.coordinate.traces import Trace
from greyzone.doctrine import load_doctrine

DOCTRINE = load_doctrine().replace(coordination__resamples=50)


def _trace(posts: list[np.ndarray]) -> Trace:
    """Make the trace of accounts that post in the given minutes."""
    account = np.repeat(np.arange(len(posts)), [len(np.unique(times)) for times in posts])
    minute = np.concatenate([np.unique(times) for times in posts])
    found, column = np.unique(minute, return_inverse=True)
    incidence = sparse.csr_array((np.ones(len(minute)), (account, column)), shape=(len(posts), len(found)))
    items = np.array([f"rhythm:{stamp:010d}" for stamp in found], dtype=object)
    return Trace(
        "rhythm-1m", np.arange(len(posts)), items, incidence, account, column, np.arange(len(minute)), minute * 60_000_000, True, "", 60
    )


def _shifts(seed: int, accounts: int = 150) -> list[np.ndarray]:
    """Accounts that work shifts of four hours on some of forty days, some of them through an app that posts on the hour."""
    rng = np.random.default_rng(seed)
    found = []
    for account in range(accounts):
        days = np.flatnonzero(rng.random(40) < 0.5)
        start = (account % 3) * 480
        if account % 5 == 0:
            found.append((days[:, None] * 1440 + start + np.arange(4) * 60).ravel())
        else:
            found.append((days[:, None] * 1440 + start + rng.integers(0, 240, (len(days), 6))).ravel())
    return found


def test_labels_sort_by_time():
    assert minutes(np.array([0, 59_999_999, 60_000_000])).to_pylist() == ["rhythm:0000000000", "rhythm:0000000000", "rhythm:0000000001"]


def test_expected_meetings_by_hand():
    # Minutes 0, 1 and 60: accounts 0 and 1 post in all, account 2 in minute 0.
    trace = _trace([np.array([0, 1, 60]), np.array([0, 1, 60]), np.array([0])])
    clock = fit_clock(trace.incidence, trace.items)
    hours, minutes_of_day = clock.nulls
    # Hour 0 has five posts and one more a minute: shares 4/65 and 3/65 and 58 times 1/65; two posts each: 4 (16 + 9 + 58) / 65^2. Hour 1
    # has two: 3/62 and 59 times 1/62, one post each. On the clock each minute has one day, on which all meet.
    expected = 4 * 83 / 65**2 + (9 + 59) / 62**2
    assert (hours.scaled(np.ones(3)) @ hours.counts.T).toarray()[0, 1] == pytest.approx(expected)
    assert (minutes_of_day.scaled(np.ones(3)) @ minutes_of_day.counts.T).toarray()[0, 1] == pytest.approx(3)
    p = clock.judge(np.ones(3), 1.0).p_values(np.array([0]), np.array([1]), np.array([3.0]))
    assert p == pytest.approx(stats.poisson.sf(2, 3))
    assert clock.expected(np.array([0, 1])) == pytest.approx([4 * 4 / 65, 4 * 3 / 65, 2 * 3 / 62])


def test_shifts_and_posting_on_the_hour_are_no_rhythm_of_a_group():
    for seed in range(4):
        network = find_network(_trace(_shifts(seed)), DOCTRINE, np.random.default_rng(seed))
        assert network.groups == ()
        # Chance leaves c ties an account at most, on average.
        assert len(network.pairs.a) <= 150


def test_accounts_that_post_in_the_same_minutes_are_a_group():
    rng = np.random.default_rng(7)
    posts = _shifts(7)
    times = rng.integers(0, 40 * 1440, 60)
    for member in range(10):
        posts[member * 7 + 1] = np.concatenate([posts[member * 7 + 1], times[rng.random(60) < 0.6]])
    (group,) = find_network(_trace(posts), DOCTRINE, np.random.default_rng(0)).groups
    assert group.accounts.tolist() == [member * 7 + 1 for member in range(10)]
    assert group.p < 0.01


def test_draws_keep_the_posts_and_few_pairs():
    trace = _trace(_shifts(1))
    clock = fit_clock(trace.incidence, trace.items)
    drawn, weights = clock.sampler(np.ones(len(trace.items)))(np.random.default_rng(0))
    before, after = trace.incidence.sum(axis=1), drawn.sum(axis=1)
    # Two posts of an account may be moved to one minute.
    assert (after <= before).all()
    assert after.sum() > 0.97 * before.sum()
    pairs = kept_pairs(drawn, weights, clock.judge(np.ones(len(trace.items)), 2 / 149), minimum=2)
    assert len(pairs.a) <= 150
