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
from workers.validation import progress as reporter_module
from workers.validation.lease_guard import LeaseGuard, Stopping
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


class Database:
    """A database that gives connections, or none."""

    away = False

    @contextmanager
    def connection(self, **_):
        if self.away:
            raise TransientError
        yield None


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(reporter_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def parts(clock):
    return SimpleNamespace(
        database=Database(),
        events=MemoryEvents(),
        settings=SimpleNamespace(lease_seconds=30.0, lease_beat_seconds=1.0),
    )


@pytest.fixture
def control():
    return LeaseGuard(Stopping())


def make(parts, control, board=None):
    return Reporter(parts, Claim(RUN, uuid4()), board or ProgressTracker(1, 100), control)


def test_a_heartbeat_that_fails_for_a_while_is_no_reason_to_stop(parts, control, clock):
    reporter = make(parts, control)
    parts.database.away = True
    clock.now += 29.0
    reporter._beat(clock.now)
    control.check()
    clock.now += 1.0
    reporter._beat(clock.now)
    with pytest.raises(LeaseLost):
        control.check()


def test_a_heartbeat_after_a_failure_counts_again(parts, control, clock, monkeypatch):
    monkeypatch.setattr(reporter_module.leases, "extend", lambda *_, **__: False)
    reporter = make(parts, control)
    clock.now += 20.0
    reporter._beat(clock.now)
    parts.database.away = True
    clock.now += 20.0
    reporter._beat(clock.now)
    control.check()


def test_events_are_sent_when_something_moves_and_once_a_second_otherwise(parts, control, clock):
    board = ProgressTracker(1, 100)
    reporter = make(parts, control, board)
    for tenth in range(20):
        if tenth in {3, 4}:
            board.loaded(bytes_loaded=tenth, rows_loaded=tenth)
        reporter._publish(clock.now + tenth / 10 + tenth / 1e6)
    sent = parts.events.tail({RUN.id: ""}, block_seconds=0)
    assert [event.progress.rows_loaded for event in sent] == [0, 3, 4, 4]


def test_without_redis_it_tries_once_a_second_and_goes_on(parts, control, clock):
    parts.events = Silent()
    reporter = make(parts, control)
    for tenth in range(31):
        reporter._publish(clock.now + tenth / 10 + tenth / 1e6)
    assert parts.events.tries == 4
