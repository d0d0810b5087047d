"""Weekends and holidays."""

from datetime import date

import numpy as np
import pytest

from facnet_grpc.rules.checks import days_off

EPOCH = date(1970, 1, 1)


@pytest.mark.parametrize(
    ("day", "off"),
    [
        (date(2025, 1, 1), True),
        (date(2025, 1, 2), False),
        (date(2025, 3, 8), True),  # Saturday
        (date(2025, 3, 9), True),  # Sunday
        (date(2025, 3, 10), False),
        (date(2025, 4, 18), True),  # Good Friday
        (date(2025, 4, 21), True),  # Easter Monday
        (date(2025, 5, 19), True),  # journée des patriotes
        (date(2025, 6, 24), True),
        (date(2025, 7, 1), True),
        (date(2025, 9, 1), True),
        (date(2025, 10, 13), True),
        (date(2025, 12, 25), True),
        (date(2025, 12, 26), False),
    ],
)
def test_days_off(day, off):
    assert days_off.is_off(np.array([(day - EPOCH).days]))[0] == off


def test_another_calendar_can_be_given():
    day = date(2025, 3, 10)

    assert days_off.is_off(np.array([(day - EPOCH).days]), lambda _: [day])[0]


def test_no_days_no_holidays():
    assert len(days_off.is_off(np.zeros(0, np.int64))) == 0


def test_weeks_begin_on_monday():
    sunday, monday = ((date(2025, 3, day) - EPOCH).days for day in (9, 10))

    assert days_off.week(np.array([monday]))[0] == days_off.week(np.array([sunday]))[0] + 1
    assert days_off.weekday(np.array([sunday, monday])).tolist() == [6, 0]
