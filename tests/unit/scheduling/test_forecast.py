"""Guesses at the end of runs."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from facnet_grpc.model.run import Priority
from facnet_grpc.scheduling.forecast import Done, Pace, Running, forecast, left
from facnet_grpc.scheduling.order import ANY, ScheduledRun, WaitingRun

BY_THE_BYTE = Pace(0.0, 1.0)


def line(*runs):
    """A line of runs, each an owner and a size; large from 100 on."""
    return [
        ScheduledRun(WaitingRun(UUID(int=number), (owner, Priority.NORMAL, size >= 100), size), held_back=False)
        for number, (owner, size) in enumerate(runs)
    ]


def ends(runs, running=(), *, slots=1, max_large_running=ANY, pace=BY_THE_BYTE, **most):
    found = forecast(
        line(*runs),
        running,
        pace,
        slots=slots,
        most_active=lambda owner: most.get(owner, 0),
        max_large_running=max_large_running,
    )
    return [round(end, 6) for end in found.values()]


def test_runs_of_many_sizes_tell_what_a_run_costs_and_what_a_byte_does():
    pace = Pace.of([Done(size, 2.0 + size / 1000) for size in (100, 1000, 5000, 20_000)])
    assert (pace.base_seconds, pace.seconds_per_byte) == pytest.approx((2.0, 0.001))
    assert pace.seconds(10_000) == pytest.approx(12.0)


@pytest.mark.parametrize(
    "done",
    [
        [Done(1000, 2.0)],
        [Done(1000, 1.0), Done(1100, 3.2)],  # too alike
        [Done(100, 0.0), Done(1000, 0.1), Done(10_000, 22.1)],  # less than nothing for each
    ],
)
def test_others_tell_what_a_byte_costs(done):
    pace = Pace.of(done)
    assert pace.base_seconds == 0
    assert pace.seconds_per_byte == pytest.approx(
        sum(run.seconds for run in done) / sum(run.size_bytes for run in done)
    )


@pytest.mark.parametrize("done", [[], [Done(0, 1.0)], [Done(10, 0.0)]])
def test_without_work_there_is_no_pace(done):
    assert Pace.of(done) is None


def test_a_run_in_progress_goes_on_as_it_began():
    assert left(timedelta(seconds=10), 25.0) == timedelta(seconds=30)
    assert left(timedelta(seconds=10), 4.9) is None
    assert BY_THE_BYTE.left(Running("a", False, 40, 25.0, 10.0)) == 30.0
    assert BY_THE_BYTE.left(Running("a", False, 40, 1.0, 10.0)) == 30.0
    assert BY_THE_BYTE.left(Running("a", False, 40, 1.0, 50.0)) == 0.0


def test_a_run_ends_after_those_before_it():
    assert ends([("a", 5), ("b", 3), ("a", 2)]) == [5, 8, 10]
    assert ends([("a", 5), ("b", 3)], [Running("c", False, 20, 50.0, 10.0)]) == [15, 18]


def test_workers_share_the_line():
    assert ends([("a", 5), ("b", 3), ("a", 2)], slots=2) == [5, 3, 5]
    assert ends([("a", 5)], [Running("c", False, 20, 50.0, 10.0)] * 2, slots=3) == [5]
    assert ends([("a", 5)], [Running("c", False, 20, 50.0, 10.0)] * 2, slots=1) == [15]  # more than are known of


def test_limits_of_owners_and_of_large_files_delay_what_they_hold_back():
    assert ends([("a", 5), ("a", 5), ("b", 5)], slots=3, a=1) == [5, 10, 5]
    assert ends([("a", 5)], [Running("a", False, 20, 50.0, 10.0)], slots=3, a=1) == [15]
    assert ends([("a", 100), ("b", 100), ("c", 9)], slots=3, max_large_running=1) == [100, 200, 9]
