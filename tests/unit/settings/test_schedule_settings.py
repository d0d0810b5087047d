"""How schedules are written, and when they say that something is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from facnet_grpc.settings.schedule import Schedule, ScheduleSettings

NOON = datetime(2026, 11, 23, 12, 3, 20, tzinfo=UTC)  # a Monday, 7:03 in Quebec


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("30s", "2026-11-23T12:03:30"),
        ("5m", "2026-11-23T12:05:00"),
        (" 1h ", "2026-11-23T13:00:00"),
        ("1d", "2026-11-24T00:00:00"),
        ("*/10 * * * *", "2026-11-23T12:10:00"),
        ("15 3 * * *", "2026-11-24T08:15:00"),
        ("15 3 * * sun", "2026-11-29T08:15:00"),
        ("0 12 1 1,7 *", "2027-01-01T17:00:00"),
    ],
)
def test_a_schedule_says_when_it_is_next(text, first):
    assert Schedule.parse(text).after(NOON).astimezone(UTC).isoformat() == f"{first}+00:00"


@pytest.mark.parametrize(
    "text", ["", "5", "0s", "-1m", "5 m", "1w", "x", "* * * *", "61 * * * *", "0 0 31 2 *", "15 3 * * 0", "@daily"]
)
def test_what_is_none_is_refused(text):
    with pytest.raises(ValueError, match="needs a period"):
        Schedule.parse(text)
    with pytest.raises(ValueError, match="retention_schedule"):
        ScheduleSettings(retention_schedule=text)


def test_a_moment_is_over_once_it_has_come():
    schedule = Schedule.parse("5m")
    moment = schedule.after(NOON)
    assert schedule.after(moment - timedelta(milliseconds=1)) == moment
    assert schedule.after(moment) == moment + timedelta(minutes=5)
    assert schedule.gap(NOON) == timedelta(minutes=5)


def test_all_processes_mean_the_same_moments():
    one, other = (Schedule.every(0.7) for _ in range(2))
    assert one.after(NOON) == other.after(NOON + timedelta(milliseconds=1))


def test_days_with_another_number_of_hours_have_one_moment_each():
    schedule, moment, days = Schedule.parse("30 2 * * *"), datetime(2027, 3, 12, tzinfo=UTC), []
    for _ in range(4):
        moment = schedule.after(moment)
        days.append(moment.day)
    assert days == [12, 13, 14, 15]


def test_every_periodic_job_has_its_schedule():
    schedules = ScheduleSettings(reconcile_seconds=2, reference_refresh_schedule="0 4 * * *").job_schedules
    assert schedules["reconcile"].gap(NOON) == timedelta(seconds=2)
    assert schedules["retention"].gap(NOON) == timedelta(minutes=1)
    assert schedules["reference"].after(NOON).hour == 4
