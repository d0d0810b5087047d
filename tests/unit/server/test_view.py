"""What a watcher sees, put together from parts that arrive in any order, never goes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facnet_grpc.model.run import Progress, RunEvent, RunPhase, RunStatus, SeverityCounts
from facnet_grpc.server.paging import Cursor
from facnet_grpc.server.watching.snapshot import RunSnapshot, clamp_to, from_event, merge

RUN = UUID(int=1)
NOW = datetime(2025, 1, 1, tzinfo=UTC)

views = st.builds(
    RunSnapshot,
    run_id=st.just(RUN),
    status=st.sampled_from(RunStatus),
    attempt=st.integers(0, 3),
    percent=st.sampled_from([0.0, 10.0, 50.0, 100.0]),
    phase=st.none() | st.sampled_from(RunPhase),
    rows_parsed=st.integers(0, 5),
    result_counts=st.builds(SeverityCounts, error=st.integers(0, 3)),
)


def processing(attempt: int, percent: float, **more: object) -> RunSnapshot:
    return replace(RunSnapshot(RUN, RunStatus.PROCESSING, attempt, percent), **more)


@given(st.lists(views, min_size=2))
def test_whatever_comes_in_whatever_order_only_grows(heard: list[RunSnapshot]) -> None:
    seen = [heard[0]]
    for view in heard[1:]:
        seen.append(merge(seen[-1], view))
    for before, after in pairwise(seen):
        assert (before.attempt, before.percent) <= (after.attempt, after.percent)
        if before.status.is_terminal:
            assert after == before
        if before.attempt == after.attempt and not after.status.is_terminal:
            assert before.rows_parsed <= after.rows_parsed
            assert before.result_counts.error <= after.result_counts.error


@given(views, views)
def test_hearing_it_again_changes_nothing(one: RunSnapshot, other: RunSnapshot) -> None:
    merged = merge(one, other)
    assert merge(merged, other) == merged


def test_waiting_comes_after_working_in_the_same_attempt() -> None:
    waiting = RunSnapshot(RUN, RunStatus.QUEUED, 1, 0)
    assert merge(processing(1, 40), waiting) == replace(waiting, percent=40)
    assert merge(waiting, processing(1, 50)) == waiting


def test_what_only_postgresql_knows_stays() -> None:
    known = processing(1, 10, started_at=NOW)
    assert merge(known, processing(1, 20)).started_at == NOW
    assert (
        merge(
            replace(known, status=RunStatus.QUEUED, queue_position=3), RunSnapshot(RUN, RunStatus.QUEUED, 1, 0)
        ).queue_position
        == 3
    )


def test_the_end_is_exact_but_never_less_than_was_seen() -> None:
    failed = RunSnapshot(RUN, RunStatus.FAILED, 1, 30, error_code="NOT_A_CSV")
    assert merge(processing(1, 40, rows_parsed=9), failed) == replace(failed, percent=40)


@pytest.mark.parametrize(
    ("cursor", "shown"),
    [(None, (2, 10)), (Cursor(RUN, 2, 50), (2, 50)), (Cursor(RUN, 1, 90), (2, 10)), (Cursor(RUN, 2, 5), (2, 10))],
)
def test_a_cursor_lifts_what_is_shown(cursor: Cursor | None, shown: tuple[int, float]) -> None:
    view = clamp_to(processing(2, 10), cursor)
    assert (view.attempt, view.percent) == shown


def test_events_without_news_of_their_own_send_the_reader_to_postgresql() -> None:
    progress = Progress(1, RunPhase.RULES, 80.0, rows_parsed=4)
    assert from_event(RunEvent(RUN, RunStatus.PROCESSING)) is None
    assert from_event(RunEvent(RUN, RunStatus.COMPLETED, progress)) is None
    view = from_event(RunEvent(RUN, RunStatus.PROCESSING, progress))
    assert view == processing(1, 80, phase=RunPhase.RULES, rows_parsed=4)


@pytest.mark.parametrize(
    ("view", "eta"),
    [
        (processing(1, 50, started_at=NOW - timedelta(seconds=10)), timedelta(seconds=10)),
        (processing(1, 80, started_at=NOW - timedelta(seconds=8)), timedelta(seconds=2)),
        (processing(1, 50, started_at=NOW + timedelta(seconds=10)), timedelta()),
        (processing(1, 1, started_at=NOW), None),
        (processing(1, 50), None),
        (RunSnapshot(RUN, RunStatus.QUEUED, 1, 50, started_at=NOW), None),
    ],
)
def test_the_rest_is_guessed_from_the_part_that_is_done(view: RunSnapshot, eta: timedelta | None) -> None:
    assert view.eta(NOW) == eta
