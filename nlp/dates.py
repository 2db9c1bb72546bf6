"""Dates as sources write them, each as the interval of time that it can mean.

A source that says "July 2016" does not say the 1st of July: a date is read as a closed interval [lo, hi] of UTC microseconds with
the precision that the source gave, and whatever comes after has to carry it. Read are ISO 8601 (every precision, basic forms too),
Unix epochs (seconds, milliseconds, microseconds, nanoseconds), RFC 2822, Twitter's ``created_at``, numeric national forms and
forms with month names in en, de, fr, es, it, pt, pl, ru and uk. A time without a zone is taken as UTC.

Numeric dates whose order is open follow one rule: a value above 12 decides; else `day_first` decides; else dots mean day first
(the European habit) and slashes or hyphens are left open: 03/04/2016 becomes the interval from 4 March to 3 April with precision
"year", never a guess. A reader that sees a whole column settles the order first with `day_first_of`.
"""

from __future__ import annotations

import calendar
import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np

FIRST_YEAR, LAST_YEAR = 1000, 2199
"""Years outside are placeholders (0001-01-01, 9999-12-31), not dates."""

EPOCH_YEARS = (1990, 2100)
"""A bare number is an epoch only if it falls from the first year to the end of the year before the second."""

LONGEST = 80
"""Longer strings are sentences, not dates."""

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_LOW = int(datetime(EPOCH_YEARS[0], 1, 1, tzinfo=UTC).timestamp())
_EPOCH_HIGH = int(datetime(EPOCH_YEARS[1], 1, 1, tzinfo=UTC).timestamp())
_EPOCH_UNITS = (1, 10**3, 10**6, 10**9)

_ZONES = {"z": 0, "utc": 0, "gmt": 0, "ut": 0, "wet": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6}
_ZONES |= {"pst": -8, "pdt": -7, "cet": 1, "cest": 2, "mez": 1, "mesz": 2, "eet": 2, "eest": 3, "msk": 3}

_OFFSET = r"(?P<zone>(?:UTC|GMT)?[+\-−][0-9]{2}(?::?[0-9]{2})?(?![0-9:])|\b(?:Z|" + "|".join(_ZONES) + r")\b|(?<=[0-9])Z\b)"
_CLOCK = (
    r"(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?)?"
    r"(?:\s*(?P<half>[ap])\.?m\b\.?)?(?:\s*" + _OFFSET + ")?"
)
_TIME_ALONE = re.compile(rf"{_CLOCK}$", re.IGNORECASE)
_TIME_WITHIN = re.compile(rf"(?<![0-9:])(?=[0-9]{{1,2}}(?::|\s*[ap]\.?m\b)){_CLOCK}", re.IGNORECASE)
_YEAR_FIRST = re.compile(
    r"(?P<year>[0-9]{4})(?:(?P<mark>[-/.])(?P<month>[0-9]{1,2})(?:(?P=mark)(?P<day>[0-9]{1,2}))?)?"
    r"(?P<rest>(?:(?:[Tt]|,?\s+)(?=[0-9])|\s*(?=Z$|[+\-−][0-9]{2}:)).*)?$"
)
_BASIC = re.compile(
    r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"
    r"(?:T?(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})(?P<second>[0-9]{2})(?P<zone>Z|[+\-][0-9]{2}:?[0-9]{2})?)?$"
)
_YEAR_LAST = re.compile(
    r"(?P<first>[0-9]{1,2})(?P<mark>[-/.])(?P<second>[0-9]{1,2})(?P=mark)(?P<year>[0-9]{4}|[0-9]{2})(?:,?\s+(?P<rest>[0-9].*))?$"
)
_MONTH_YEAR = re.compile(r"(?P<month>[0-9]{1,2})[-/.](?P<year>[0-9]{4})$")
_NUMBER = re.compile(r"[0-9]{9,19}(?:\.[0-9]+)?$")
_SECONDS = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-5][0-9](?:Z|[+-][0-9]{2}:[0-9]{2})?$")
_TOKEN = re.compile(r"[^\W\d_]+|[0-9]+")

_MONTHS = (
    "january jan januar jänner janvier janv enero ene gennaio gen janeiro styczeń stycznia sty январь января янв січень січня січ",
    "february feb februar feber février févr fév febrero febbraio fevereiro fev luty lutego lut февраль февраля фев февр лютий лютого лют",
    "march mar märz mär mrz mars marzo março marzec marca март марта мар березень березня бер",
    "april apr avril avr abril abr aprile kwiecień kwietnia kwi апрель апреля апр квітень квітня квіт кві",
    "may mai mayo maggio mag maio maj maja май мая травень травня трав тра",
    "june jun juni juin junio giugno giu junho czerwiec czerwca cze июнь июня июн червень червня черв чер",
    "july jul juli juillet juil julio luglio lug julho lipiec lipca lip июль июля июл липень липня лип",
    "august aug août aoû agosto ago sierpień sierpnia sie август августа авг серпень серпня серп сер",
    "september sep sept septembre septiembre settembre set setembro wrzesień września wrz сентябрь сентября сен сент вересень вересня вер",
    "october oct oktober okt octobre octubre ottobre ott outubro out październik października paź октябрь октября окт жовтень жовтня жовт",
    "november nov novembre noviembre novembro listopad listopada lis ноябрь ноября ноя нояб листопад листопада лист",
    "december dec dezember dez décembre déc diciembre dicembre dic dezembro grudzień grudnia gru декабрь декабря дек грудень грудня груд",
)
_FILLERS = (
    "mon monday tue tues tuesday wed weds wednesday thu thur thurs thursday fri friday sat saturday sun sunday "
    "montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag mo di mi do fr sa so "
    "lundi mardi mercredi jeudi vendredi samedi dimanche lunes martes miércoles jueves viernes sábado domingo "
    "lunedì martedì mercoledì giovedì venerdì sabato domenica segunda terça quarta quinta sexta feira "
    "poniedziałek wtorek środa czwartek piątek sobota niedziela понедельник вторник среда четверг пятница суббота воскресенье "
    "понеділок вівторок середа четвер пʼятниця субота неділя пн вт ср чт пт сб вс нд "
    "the of at on um uhr den der am le à de del el la il alle ore às o godz w г года году в о р рік року th st nd rd er r"
)


@dataclass(frozen=True, slots=True)
class Moment:
    """What a date can mean.

    Parameters
    ----------
    lo, hi
        First and last microsecond covered, both aware and in UTC.
    precision
        One of `greyzone.records.PRECISIONS`: how exactly the source said it.
    """

    lo: datetime
    hi: datetime
    precision: str


def parse_date(value: object, *, day_first: bool | None = None) -> Moment | None:
    """Read a date in any of the forms that the module's docstring lists.

    Parameters
    ----------
    value
        A string, a number (Unix epoch, or a bare year), a `datetime`, a `date` or a NumPy scalar.
    day_first
        How to read a numeric date with the year last whose first two numbers are both at most 12; None leaves it open as the
        module's docstring says. Numbers above 12 always decide.

    Returns
    -------
    Moment or None
        None if `value` is not a date that can be understood.

    Examples
    --------
    >>> parse_date("2016-07").hi.isoformat()
    '2016-07-31T23:59:59.999999+00:00'
    >>> parse_date("22.07.2016").precision, parse_date("0000-00-00")
    ('day', None)
    """
    try:
        return _parse(value, day_first)
    except (ValueError, OverflowError):
        return None


def day_first_of(values: Iterable[object]) -> bool | None:
    """Tell the order of day and month in a column from the values where it is plain.

    Parameters
    ----------
    values
        Dates of one file; anything that is not a numeric date with slashes or hyphens and the year last is passed over.

    Returns
    -------
    bool or None
        True if some values can only be day first and none only month first, False the other way round; None if no value tells or
        if the values contradict each other.
    """
    day_seen = month_seen = False
    for value in values:
        if not isinstance(value, str) or not (match := _YEAR_LAST.match(value.strip())) or match["mark"] == ".":
            continue
        first, second = int(match["first"]), int(match["second"])
        day_seen |= 12 < first <= 31 and second <= 12
        month_seen |= 12 < second <= 31 and first <= 12
        if day_seen and month_seen:
            return None
    return day_seen if day_seen or month_seen else None


def is_open(value: object) -> bool:
    """Tell whether `value` is a numeric date that reads as two different days and that only `day_first` can settle."""
    if not isinstance(value, str) or not (match := _YEAR_LAST.match(value.strip())) or match["mark"] == ".":
        return False
    return match["first"].lstrip("0") != match["second"].lstrip("0") and max(int(match["first"]), int(match["second"])) <= 12


def _parse(value: object, day_first: bool | None) -> Moment | None:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return _from_text(value.strip(), day_first) if len(value) <= LONGEST else None
    if isinstance(value, datetime):
        aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        lo = datetime(*aware.timetuple()[:6], aware.microsecond, tzinfo=UTC)
        return _span(lo, _MICROSECOND if lo.microsecond else timedelta(seconds=1), "second")
    if isinstance(value, date):
        return _calendar(value.year, value.month, value.day)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if EPOCH_YEARS[0] <= value < EPOCH_YEARS[1] and float(value).is_integer():
        return _calendar(int(value), None, None)
    return _from_basic(str(value)) or _from_number(value)


def _from_text(text: str, day_first: bool | None) -> Moment | None:
    if _SECONDS.match(text):
        lo = datetime.fromisoformat(text)
        return _span(lo.replace(tzinfo=UTC) if lo.tzinfo is None else lo.astimezone(UTC), timedelta(seconds=1), "second")
    if match := _YEAR_FIRST.match(text):
        return _from_year_first(match)
    if match := _YEAR_LAST.match(text):
        return _from_year_last(match, day_first)
    if match := _MONTH_YEAR.match(text):
        return _calendar(int(match["year"]), int(match["month"]), None)
    if text[:1].isdigit() and (basic := _from_basic(text)):
        return basic
    if _NUMBER.match(text):
        return _from_number(float(text) if "." in text else int(text))
    return _from_words(text)


def _from_number(value: float) -> Moment | None:
    if not math.isfinite(value):
        return None
    for unit in _EPOCH_UNITS:
        if _EPOCH_LOW <= value / unit < _EPOCH_HIGH:
            # Whole numbers stay integers: a float of nanoseconds has lost its last digits.
            micro = value * 10**6 // unit if isinstance(value, int) else round(value * 10**6 / unit)
            lo = _EPOCH + timedelta(microseconds=int(micro))
            return _span(lo, timedelta(seconds=1) if unit == 1 and float(value).is_integer() else _MICROSECOND, "second")
    return None


def _from_basic(text: str) -> Moment | None:
    match = _BASIC.match(text)
    if not match:
        return None
    day = _calendar(int(match["year"]), int(match["month"]), int(match["day"]))
    if day is None or match["hour"] is None:
        return day
    lo = day.lo.replace(hour=int(match["hour"]), minute=int(match["minute"]), second=min(int(match["second"]), 59))
    return _span(lo - _offset(match["zone"]), timedelta(seconds=1), "second")


def _from_year_first(match: re.Match[str]) -> Moment | None:
    month = int(match["month"]) if match["month"] else None
    day = int(match["day"]) if match["day"] else None
    # Databases write an unknown month or day as 00; what is left is a coarser date.
    moment = _calendar(int(match["year"]), month or None, (day or None) if month else None)
    return _with_time(moment, match["rest"])


def _from_year_last(match: re.Match[str], day_first: bool | None) -> Moment | None:
    first, second, mark = int(match["first"]), int(match["second"]), match["mark"]
    year = int(match["year"])
    if len(match["year"]) == 2:
        if mark == "-":
            return None
        year += 2000 if year < 69 else 1900
    if day_first is None and mark == ".":
        day_first = True
    if first > 12 or second > 12:
        day_first = first > 12
    if day_first is None and first != second:
        one, other = _calendar(year, first, second), _calendar(year, second, first)
        if one is None or other is None or (match["rest"] and _with_time(one, match["rest"]) is None):
            return None
        return Moment(min(one.lo, other.lo), max(one.hi, other.hi), "year")
    month, day = (second, first) if day_first else (first, second)
    return _with_time(_calendar(year, month, day), match["rest"])


def _from_words(text: str) -> Moment | None:
    time = _TIME_WITHIN.search(text)
    rest = text
    if time:
        rest = f"{text[: time.start()]} {text[time.end() :]}"
    month = year = day = None
    for token in _TOKEN.findall(_fold(rest)):
        if token.isascii() and token.isdigit():
            if len(token) == 4 and year is None:
                year = int(token)
            elif len(token) <= 2 and day is None:
                day = int(token)
            elif len(token) == 2 and year is None and month is not None:
                year = int(token) + (2000 if int(token) < 69 else 1900)
            else:
                return None
        elif token in _MONTH_OF and month is None:
            month = _MONTH_OF[token]
        elif token not in _FILLER_SET:
            return None
    if month is None or year is None or day == 0:
        return None
    return _with_time(_calendar(year, month, day), time.group(0) if time else None)


def _calendar(year: int, month: int | None, day: int | None) -> Moment | None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return None
    if month is None:
        return _span(datetime(year, 1, 1, tzinfo=UTC), timedelta(days=366 if calendar.isleap(year) else 365), "year")
    if not 1 <= month <= 12:
        return None
    if day is None:
        return _span(datetime(year, month, 1, tzinfo=UTC), timedelta(days=calendar.monthrange(year, month)[1]), "month")
    return _span(datetime(year, month, day, tzinfo=UTC), timedelta(days=1), "day")


def _with_time(moment: Moment | None, rest: str | None) -> Moment | None:
    """Narrow a day to the time of day written in `rest`; a coarser date with a time is not a date."""
    text = (rest or "").strip().lstrip("Tt,").strip()
    if moment is None or not text:
        return moment
    if moment.precision != "day":
        return None
    if not text[0].isdigit():
        return _span(moment.lo - _offset(text), timedelta(days=1), "day")
    match = _TIME_ALONE.match(text)
    if not match:
        return None
    hour = int(match["hour"])
    if match["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match["half"].lower() == "p" else 0)
    minute, second, fraction = match["minute"], match["second"], match["fraction"] or ""
    # A leap second has no place in datetime: it is read as the second before.
    lo = moment.lo.replace(
        hour=hour, minute=int(minute or 0), second=min(int(second or 0), 59), microsecond=int(fraction[:6].ljust(6, "0") or 0)
    )
    lo -= _offset(match["zone"])
    if fraction:
        return _span(lo, timedelta(microseconds=10 ** max(6 - len(fraction), 0)), "second")
    if second:
        return _span(lo, timedelta(seconds=1), "second") if int(second) <= 60 else None
    return _span(lo, timedelta(minutes=1), "minute") if minute else _span(lo, timedelta(hours=1), "hour")


def _offset(zone: str | None) -> timedelta:
    if not zone:
        return timedelta(0)
    name = zone.casefold()
    if name in _ZONES:
        return timedelta(hours=_ZONES[name])
    digits = name.removeprefix("utc").removeprefix("gmt").replace("−", "-").replace(":", "")
    minutes = int(digits[1:3]) * 60 + int(digits[3:5] or 0)
    # timezone() refuses offsets of a day and more, so that nonsense is a ValueError and no date.
    return timezone(timedelta(minutes=-minutes if digits[0] == "-" else minutes)).utcoffset(None)


def _span(lo: datetime, length: timedelta, precision: str) -> Moment | None:
    if not FIRST_YEAR <= lo.year <= LAST_YEAR:
        return None
    return Moment(lo, lo + length - _MICROSECOND, precision)


def _fold(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(char))


_MONTH_OF = {_fold(name): number for number, names in enumerate(_MONTHS, start=1) for name in names.split()}
_FILLER_SET = frozenset(_fold(word) for word in _FILLERS.split())
