"""The thread beside an attempt, without servers: what it does when they are away."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import uuid4

import pytest

from facnet_grpc.errors import LeaseLost, TransientError
from facnet_grpc.events.memory import MemoryEvents
from facnet_grpc.model.run import Claim, Run, RunStatus, SeverityCounts
from workers.validation.lease_guard import GracefulShutdown, LeaseGuard
from workers.validation.progress import ProgressTracker, Reporter

RUN = Run(
    id=uuid4(),
    owner="local",
    file_name="claims.csv",
    size_bytes=100,
    sha256="0" * 64,
    blob_key=str(uuid4()),
    status=RunStatus.PROCESSING,
    phase=None,
    percent=0.0,
    bytes_parsed=0,
    total_rows=0,
    processed_rows=0,
    rejected_rows=0,
    result_counts=SeverityCounts(),
    attempt=1,
    created_at=datetime.now(UTC),
)


class Silent:
    """Events that nobody takes."""

    def __init__(self):
        self.tries = 0

    def publish(self, event):
        self.tries += 1
        raise TransientError


class Connection:
    """A connection to a database that has one row: the lease is held, and nobody has cancelled."""

    @contextmanager
    def cursor(self, **_):
        yield self

    def execute(self, *_):
        return self

    def fetchone(self):
        return {"cancel_requested": False}


class Database:
    """A database that gives connections, or none."""

    away = False

    @contextmanager
    def connection(self, **_):
        if self.away:
            raise TransientError
        yield Connection()


class Clock:
    """A clock that tests set."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def parts():
    queue = SimpleNamespace(lease_seconds=30.0, lease_beat_seconds=1.0)
    return SimpleNamespace(database=Database(), events=MemoryEvents(), settings=SimpleNamespace(queue=queue))


@pytest.fixture
def guard():
    return LeaseGuard(GracefulShutdown())


@pytest.fixture
def tracker():
    return ProgressTracker(1, 100)


@pytest.fixture
def reporter(parts, tracker, guard, clock):
    return Reporter(parts, Claim(RUN, uuid4()), tracker, guard, clock=clock)


def test_a_heartbeat_that_fails_for_a_while_is_no_reason_to_stop(parts, reporter, guard, clock):
    parts.database.away = True
    clock.now += 29.0
    reporter.step()
    guard.check()
    clock.now += 1.0
    reporter.step()
    with pytest.raises(LeaseLost):
        guard.check()


def test_a_heartbeat_after_a_failure_counts_again(parts, reporter, guard, clock):
    clock.now += 20.0
    reporter.step()
    parts.database.away = True
    clock.now += 20.0
    reporter.step()
    guard.check()


def test_events_are_sent_when_something_changes_and_once_a_second_otherwise(parts, reporter, tracker, clock):
    for tenth in range(20):
        if tenth in {3, 4}:
            tracker.update_loaded(bytes_loaded=tenth, rows_loaded=tenth)
        clock.now = 1000.0 + tenth / 10 + tenth / 1e6
        reporter.step()
    sent = parts.events.tail({RUN.id: ""}, block_seconds=0)
    assert [event.progress.rows_loaded for event in sent] == [0, 3, 4, 4]


def test_no_more_than_ten_events_a_second_however_fast_things_change(parts, reporter, tracker, clock):
    for millisecond in range(1000):
        tracker.update_loaded(bytes_loaded=millisecond, rows_loaded=millisecond)
        clock.now = 1000.0 + millisecond / 1000
        reporter.step()
    assert 9 <= len(parts.events.tail({RUN.id: ""}, block_seconds=0)) <= 10


def test_without_redis_it_tries_once_a_second_and_goes_on(parts, reporter, tracker, clock):
    parts.events = Silent()
    for tenth in range(31):
        tracker.update_loaded(bytes_loaded=tenth, rows_loaded=tenth)
        clock.now = 1000.0 + tenth / 10 + tenth / 1e6
        reporter.step()
    assert parts.events.tries == 4
