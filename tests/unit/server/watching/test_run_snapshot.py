"""What a watcher sees, put together from parts that arrive in any order, never goes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facnet_grpc.events.stream import RunEvent
from facnet_grpc.gen.facnet.v1.run_progress_pb2 import RunProgress
from facnet_grpc.gen.facnet.v1.validation_pb2 import VALIDATION_PHASE_RULES, SeverityCounts, ValidationPhase
from facnet_grpc.model.run import RunStatus
from facnet_grpc.server.paging import Cursor
from facnet_grpc.server.watching.snapshot import RunSnapshot, clamp_to, from_event, merge

RUN = UUID(int=1)
NOW = datetime(2025, 1, 1, tzinfo=UTC)

progress = st.builds(
    RunProgress,
    attempt=st.integers(0, 3),
    percent=st.sampled_from([0.0, 10.0, 50.0, 100.0]),
    phase=st.sampled_from(ValidationPhase.values()),
    rows_parsed=st.integers(0, 5),
    result_counts=st.none() | st.builds(SeverityCounts, error=st.integers(0, 3)),
)
views = st.builds(RunSnapshot, run_id=st.just(RUN), status=st.sampled_from(RunStatus), progress=progress)


def snapshot(status: RunStatus, attempt: int, percent: float, *, rows_parsed: int = 0, **more: Any) -> RunSnapshot:
    return RunSnapshot(RUN, status, RunProgress(attempt=attempt, percent=percent, rows_parsed=rows_parsed), **more)


def processing(attempt: int, percent: float, **more: Any) -> RunSnapshot:
    return snapshot(RunStatus.PROCESSING, attempt, percent, **more)


@given(st.lists(views, min_size=2))
def test_whatever_comes_in_whatever_order_only_grows(heard: list[RunSnapshot]) -> None:
    seen = [heard[0]]
    for view in heard[1:]:
        seen.append(merge(seen[-1], view))
    for before, after in pairwise(seen):
        old, new = before.progress, after.progress
        assert (old.attempt, old.percent) <= (new.attempt, new.percent)
        if before.status.is_terminal:
            assert after == before
        if old.attempt == new.attempt and not after.status.is_terminal:
            assert old.rows_parsed <= new.rows_parsed
            assert old.result_counts.error <= new.result_counts.error


@given(views, views)
def test_hearing_it_again_changes_nothing(one: RunSnapshot, other: RunSnapshot) -> None:
    merged = merge(one, other)
    assert merge(merged, other) == merged


def test_waiting_comes_after_working_in_the_same_attempt() -> None:
    waiting = snapshot(RunStatus.QUEUED, 1, 0)
    assert merge(processing(1, 40), waiting) == snapshot(RunStatus.QUEUED, 1, 40)
    assert merge(waiting, processing(1, 50)) == waiting


def test_what_only_postgresql_knows_stays() -> None:
    known = processing(1, 10, started_at=NOW)
    assert merge(known, processing(1, 20)).started_at == NOW
    assert (
        merge(
            replace(known, status=RunStatus.QUEUED, queue_position=3), snapshot(RunStatus.QUEUED, 1, 0)
        ).queue_position
        == 3
    )


def test_the_end_is_exact_but_never_less_than_was_seen() -> None:
    failed = snapshot(RunStatus.FAILED, 1, 30, error_code="NOT_A_CSV")
    merged = merge(processing(1, 40, rows_parsed=9), failed)
    assert merged == snapshot(RunStatus.FAILED, 1, 40, error_code="NOT_A_CSV")
    assert failed.progress.percent == 30, "a snapshot never changes"


@pytest.mark.parametrize(
    ("cursor", "shown"),
    [(None, (2, 10)), (Cursor(RUN, 2, 50), (2, 50)), (Cursor(RUN, 1, 90), (2, 10)), (Cursor(RUN, 2, 5), (2, 10))],
)
def test_a_cursor_lifts_what_is_shown(cursor: Cursor | None, shown: tuple[int, float]) -> None:
    view = clamp_to(processing(2, 10), cursor)
    assert (view.progress.attempt, view.progress.percent) == shown


def test_events_without_news_of_their_own_send_the_reader_to_postgresql() -> None:
    progress = RunProgress(attempt=1, phase=VALIDATION_PHASE_RULES, percent=80.0, rows_parsed=4)
    assert from_event(RunEvent(RUN, RunStatus.PROCESSING)) is None
    assert from_event(RunEvent(RUN, RunStatus.COMPLETED, progress)) is None
    view = from_event(RunEvent(RUN, RunStatus.PROCESSING, progress))
    assert view == RunSnapshot(RUN, RunStatus.PROCESSING, progress)


def test_an_event_that_this_release_cannot_read_says_nothing() -> None:
    assert from_event(RunEvent(RUN, None)) is None


def test_the_longer_preview_stays_until_work_ends() -> None:
    short, long = processing(1, 80), processing(1, 70)
    short.progress.preview.add(rule_id="a")
    long.progress.preview.add(rule_id="a")
    long.progress.preview.add(rule_id="b")
    for merged in (merge(short, long), merge(long, short)):
        assert [result.rule_id for result in merged.progress.preview] == ["a", "b"]
    assert not merge(long, snapshot(RunStatus.QUEUED, 1, 80)).progress.preview


def test_a_figure_of_a_newer_worker_reaches_the_watcher() -> None:
    rules_done = b"\x98\x06\x03"  # field 99: 3
    newer = RunProgress.FromString(RunProgress(attempt=1, percent=80).SerializeToString() + rules_done)
    merged = merge(processing(1, 10), RunSnapshot(RUN, RunStatus.PROCESSING, newer))
    assert merged.progress.SerializeToString().endswith(rules_done)


@pytest.mark.parametrize(
    ("view", "eta"),
    [
        (processing(1, 50, started_at=NOW - timedelta(seconds=10)), timedelta(seconds=10)),
        (processing(1, 80, started_at=NOW - timedelta(seconds=8)), timedelta(seconds=2)),
        (processing(1, 50, started_at=NOW + timedelta(seconds=10)), timedelta()),
        (processing(1, 1, started_at=NOW), None),
        (processing(1, 50), None),
        (snapshot(RunStatus.QUEUED, 1, 50, started_at=NOW), None),
    ],
)
def test_the_rest_is_guessed_from_the_part_that_is_done(view: RunSnapshot, eta: timedelta | None) -> None:
    assert view.eta(NOW) == eta
