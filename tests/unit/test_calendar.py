"""Days and Quebec's clock."""

from __future__ import annotations

from datetime import UTC, date, datetime

from facnet_grpc.calendar import day_in_quebec, day_number


def test_a_moment_has_the_day_that_quebec_has():
    assert day_in_quebec(datetime(2025, 3, 4, 3, 59, tzinfo=UTC)) == date(2025, 3, 3)
    assert day_in_quebec(datetime(2025, 7, 4, 4, 0, tzinfo=UTC)) == date(2025, 7, 4)


def test_days_are_counted_from_1970():
    assert [day_number(date(1969, 12, 31)), day_number(date(1970, 1, 1)), day_number(date(2025, 3, 3))] == [
        -1,
        0,
        20150,
    ]
