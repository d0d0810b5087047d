"""Public holidays in Quebec: the days on which tariffs for nights and holidays hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import cache
from typing import TypeAlias

import holidays
import numpy as np

from facnet_grpc.calendar import EPOCH, day_number
from facnet_grpc.rules.table.arrays import Ints, Mask

# The holidays of a year.
Calendar: TypeAlias = Callable[[int], Iterable[date]]

_SATURDAY = 5
_MONDAY_SHIFT = 3  # 1970-01-01 was a Thursday


@cache
def quebec(year: int) -> frozenset[date]:
    """Return the public holidays of a year in Quebec, Good Friday and Easter Monday both among them.

    New Year, Good Friday, Easter Monday, the Monday before May 25, June 24, July 1, Labour Day, Thanksgiving and
    Christmas. An employer chooses between Good Friday and Easter Monday; a claim on either is not held against anyone.
    """
    found = holidays.country_holidays("CA", subdiv="QC", years=year, language="en_CA")
    good_friday = found.get_named("Good Friday")[0]
    return frozenset([*found, good_friday + timedelta(days=3)])


def is_off(days: Ints, calendar: Calendar = quebec) -> Mask:
    """Return which days (since 1970-01-01) are Saturdays, Sundays or holidays."""
    weekend = weekday(days) >= _SATURDAY
    return weekend | np.isin(days, _holidays(days, calendar))


def weekday(days: Ints) -> Ints:
    """Return the day of the week, 0 for Monday."""
    return (days + _MONDAY_SHIFT) % 7


def week(days: Ints) -> Ints:
    """Return the number of the ISO week, counted from the one of 1970-01-01."""
    return (days + _MONDAY_SHIFT) // 7


def last_day(weeks: Ints) -> Ints:
    """Return the Sunday of weeks that are counted as `week` does."""
    return weeks * 7 - _MONDAY_SHIFT + 6


def _holidays(days: Ints, calendar: Calendar) -> Ints:
    if not len(days):
        return np.zeros(0, np.int64)
    years = range(_year(int(days.min())), _year(int(days.max())) + 1)
    return np.array([day_number(day) for year in years for day in calendar(year)], np.int64)


def _year(day: int) -> int:
    return (EPOCH + timedelta(days=day)).year
