"""Dates: golden forms, what stays open, and properties over random times."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import format_datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyzone.dates import Moment, day_first_of, is_open, parse_date
from greyzone.records import PRECISIONS

MICRO = timedelta(microseconds=1)
DAY = datetime(2016, 7, 22, tzinfo=UTC)
TIMES = st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31)).map(lambda time: time.replace(microsecond=0, tzinfo=UTC))


def span(lo: datetime, length: timedelta, precision: str) -> Moment:
    return Moment(lo, lo + length - MICRO, precision)


def test_every_iso_precision():
    noon = DAY.replace(hour=14, minute=30)
    assert parse_date("2016") == Moment(datetime(2016, 1, 1, tzinfo=UTC), datetime(2017, 1, 1, tzinfo=UTC) - MICRO, "year")
    assert parse_date("2016-02") == span(datetime(2016, 2, 1, tzinfo=UTC), timedelta(days=29), "month")
    assert parse_date("2016-07-22") == span(DAY, timedelta(days=1), "day")
    assert parse_date("2016-07-22T14") == span(DAY.replace(hour=14), timedelta(hours=1), "hour")
    assert parse_date("2016-07-22 14:30") == span(noon, timedelta(minutes=1), "minute")
    assert parse_date("2016-07-22T14:30:00Z") == span(noon, timedelta(seconds=1), "second")
    assert parse_date("2016-07-22T14:30:00.25Z") == span(noon.replace(microsecond=250_000), timedelta(microseconds=10_000), "second")
    assert parse_date("2016-07-22T14:30:00.123456789Z") == span(noon.replace(microsecond=123_456), MICRO, "second")


@pytest.mark.parametrize(
    "text",
    [
        "2016-07-22T16:30:05+02:00",
        "2016-07-22T16:30:05+0200",
        "2016-07-22 09:30:05 -05:00",
        "2016-07-22 14:30:05 UTC",
        "20160722T143005Z",
        "20160722143005",
        "20160722T163005+0200",
        "20160722T073005-07:00",
        "Fri, 22 Jul 2016 14:30:05 GMT",
        "22 Jul 2016 10:30:05 EDT",
        "22 Jul 2016 06:30:05 PST",
        "22 Jul 2016 07:30:05 PDT",
        "22 Jul 2016 08:30:05 CST",
        "22 Jul 2016 16:30:05 MESZ",
        "22 Jul 2016 17:30:05 MSK",
        "22 Jul 2016 18:00:05 +0330",
        "Fri Jul 22 14:30:05 +0000 2016",
        "July 22, 2016 2:30:05 PM",
        "7/22/2016 14:30:05",
        "22.07.2016, 14:30:05",
        # 1469188800 is noon of that day (date -u -d @1469188800); 2 h 30 min 5 s later:
        "1469197805",
        1469197805,
        1469197805.0,
        np.int64(1469197805),
        datetime(2016, 7, 22, 14, 30, 5),
        datetime(2016, 7, 22, 16, 30, 5, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_one_second_in_many_spellings(text):
    assert parse_date(text) == span(DAY.replace(hour=14, minute=30, second=5), timedelta(seconds=1), "second")


@pytest.mark.parametrize("text", ["1469197805000", 1469197805000, "1469197805000000", 1469197805000000000])
def test_finer_epochs_are_points(text):
    time = DAY.replace(hour=14, minute=30, second=5)
    assert parse_date(text) == Moment(time, time, "second")


def test_half_days_leap_seconds_and_two_digits_of_a_year():
    assert parse_date("July 22, 2016 12:30 AM").lo == DAY.replace(minute=30)
    assert parse_date("July 22, 2016 12:30 PM").lo == DAY.replace(hour=12, minute=30)
    assert parse_date("July 22, 2016 13:30 PM") is parse_date("July 22, 2016 0:30 AM") is None
    assert parse_date("2016-12-31T23:59:60.5Z").lo == datetime(2016, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)
    assert parse_date("2016-12-31 23:59:60") == parse_date("2016-12-31 23:59:59")
    assert parse_date("2016-12-31 23:59:61") is None
    for form in ("22/7/{}", "22-Jul-{}"):
        assert [parse_date(form.format(year)).lo.year for year in ("00", "68", "69", "99")] == [2000, 2068, 1969, 1999]


def test_a_bare_number_is_a_year_or_an_epoch():
    assert parse_date(2016) == parse_date(2016.0) == parse_date("2016")
    assert [parse_date(number) for number in (1989, 2016.5, 2100, 1_000_000)] == [None] * 4
    # Seconds of 1990 to 2099: 631152000 is the first (date -u -d 1990-01-01 +%s), 4102444799 the last.
    assert [parse_date(number).lo.year for number in (631_152_000, 4_102_444_799)] == [1990, 2099]
    assert parse_date(4_102_444_800) is None


def test_years_end_where_placeholders_begin():
    assert [parse_date(text) is None for text in ("0999-12-31", "1000-01-01", "2199-12-31", "2200-01-01")] == [True, False, False, True]
    assert parse_date("1000-01-01 00:30 +01:00") is None


@pytest.mark.parametrize(
    "text",
    [
        "22.07.2016",
        "22/07/2016",
        "7/22/2016",
        "22-07-2016",
        "22/7/16",
        "20160722",
        "2016/07/22",
        "22 July 2016",
        "July 22nd, 2016",
        "Friday, 22 July 2016",
        "2016 July 22",
        "22-Jul-16",
        "22. Juli 2016",
        "22 juillet 2016",
        "22 de julio de 2016",
        "venerdì 22 luglio 2016",
        "22 lipca 2016 r.",
        "22 июля 2016 года",
        "22 липня 2016 року",
        date(2016, 7, 22),
        "2016-07-22Z",
    ],
)
def test_one_day_in_many_languages(text):
    assert parse_date(text) == span(DAY, timedelta(days=1), "day")


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "0000-00-00",
        "0000-00-00 00:00:00",
        "2016-13-01",
        "2016-02-30",
        "31.02.2016",
        "13/13/2016",
        "9999-12-31",
        "0001-01-01",
        "yesterday",
        "may",
        "12",
        "July",
        "8 pm",
        "2016-07-22 25:00",
        "2016-07-22 14:99",
        "2016-07-22T14:30+99:00",
        "22 July",
        "x" * 500,
        "22 Foo 2016",
        "2016-07 14:30",
        None,
        True,
        False,
        float("nan"),
        float("inf"),
        -1,
        0,
        10**30,
        [],
        {},
        b"2016",
        "631151999",
        "٢٠١٦",
    ],
)
def test_nonsense_is_none(value):
    assert parse_date(value) is None


def test_unknown_parts_written_as_zero_make_it_coarser():
    assert parse_date("2016-07-00") == parse_date("2016-07")
    assert parse_date("2016-00-00") == parse_date("2016")


def test_an_open_slash_date_is_the_interval_of_both_readings():
    # 03/04 is 4 March or 3 April.
    both = parse_date("03/04/2016")
    assert both == Moment(datetime(2016, 3, 4, tzinfo=UTC), datetime(2016, 4, 4, tzinfo=UTC) - MICRO, "year")
    assert parse_date("03/04/2016", day_first=True) == parse_date("2016-04-03")
    assert parse_date("03/04/2016", day_first=False) == parse_date("2016-03-04")
    assert parse_date("03.04.2016") == parse_date("2016-04-03")
    assert parse_date("03.04.2016", day_first=False) == parse_date("2016-03-04")
    assert parse_date("05/05/2016") == parse_date("2016-05-05")
    assert parse_date("22/07/2016", day_first=False) == parse_date("7/22/2016", day_first=True) == parse_date("2016-07-22")
    assert [is_open(text) for text in ("03/04/2016", "03.04.2016", "5/05/2016", "22/07/2016", "2016-03-04", 3)] == [True] + [False] * 5


def test_a_column_tells_its_order():
    assert day_first_of(["03/04/2016", "22/07/2016"]) is True
    assert day_first_of(["03/04/2016", "7/22/2016 3:05"]) is False
    assert day_first_of(["22/07/2016", "7/22/2016"]) is None
    assert day_first_of(["03/04/2016", "22.07.2016", None, "x"]) is None


@given(TIMES, st.integers(-14 * 60, 14 * 60))
def test_any_time_survives_any_zone(time, minutes):
    local = time.astimezone(timezone(timedelta(minutes=minutes)))
    expected = span(time, timedelta(seconds=1), "second")
    assert parse_date(local.isoformat()) == expected
    assert parse_date(local.isoformat(sep=" ", timespec="microseconds")).lo == time
    assert parse_date(format_datetime(local)) == expected
    assert parse_date(local.strftime("%a %b %d %H:%M:%S %z %Y")) == expected
    assert parse_date(int(time.timestamp())) == expected
    assert parse_date(int(time.timestamp()) * 1000).lo == time


@given(st.dates(date(1990, 1, 1), date(2099, 12, 31)), st.sampled_from(["%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%d %B %Y", "%Y%m%d"]))
def test_days_round_trip(day, form):
    moment = parse_date(day.strftime(form), day_first=True)
    assert moment.lo.date() == moment.hi.date() == day
    assert moment.precision == "day"


@given(st.one_of(st.text(max_size=90), st.integers(), st.floats(), st.from_regex(r"[0-9/:. TZ+-]{1,30}", fullmatch=True)))
def test_anything_is_a_sound_moment_or_none(value):
    moment = parse_date(value)
    if moment is not None:
        assert moment.lo <= moment.hi
        assert moment.lo.tzinfo is UTC
        assert moment.hi.tzinfo is UTC
        assert moment.precision in PRECISIONS


@given(st.integers(1, 28), st.integers(1, 12), st.integers(1990, 2099), st.sampled_from("/-"))
def test_an_open_date_covers_both_settled_ones(first, second, year, mark):
    text = f"{first}{mark}{second}{mark}{year}"
    whole = parse_date(text)
    for order in (True, False):
        settled = parse_date(text, day_first=order)
        assert whole.lo <= settled.lo <= settled.hi <= whole.hi
