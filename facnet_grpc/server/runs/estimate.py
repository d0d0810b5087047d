"""Queue positions and estimated end times of runs that have not ended.

The forecast of the whole queue is computed at once and cached for a second or more. Everything here blocks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from uuid import UUID

from facnet_grpc.errors import FacnetError
from facnet_grpc.logs import exception_fields, get_logger
from facnet_grpc.model.run import Run, RunStatus
from facnet_grpc.scheduling.forecast import Pace, forecast, left
from facnet_grpc.scheduling.order import SchedulingPolicy, max_large_running
from facnet_grpc.settings.queue import QueueSettings
from facnet_grpc.storage.postgres import queue
from facnet_grpc.storage.postgres.database import Database

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The forecast for one run; None: unknown."""

    position: int | None = None  # number of runs that start before it, if it is queued and due
    ends_at: datetime | None = None


UNKNOWN = Estimate()


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How long a forecast is used: at least so many seconds, and so many times as long as it took to compute."""

    seconds: float = 1.0
    costs: float = 20
    new_run_seconds: float = 0.1  # the same for runs that are newer than the forecast
    new_run_costs: float = 4


@dataclass(frozen=True, slots=True)
class _Snapshot:
    taken: float = float("-inf")  # by the monotonic clock
    cost: float = 0.0  # seconds
    now: datetime = _LONG_AGO  # by PostgreSQL's clock
    estimates: Mapping[UUID, Estimate] = field(default_factory=dict)


class QueueForecast:
    """Estimates from a cached forecast. Thread-safe."""

    def __init__(self, database: Database, settings: QueueSettings, cache: CachePolicy | None = None) -> None:
        self._database = database
        self._policy = SchedulingPolicy.of(settings)
        self._cache = cache or CachePolicy()
        self._max_attempts = settings.max_attempts
        self._lock = Lock()
        self._snapshot = _Snapshot()

    def estimate(self, run: Run) -> Estimate:
        """Return the estimate for a run. Uses a connection of its own: the caller must not hold one."""
        if run.status is RunStatus.QUEUED:
            return self._current(run).estimates.get(run.id, UNKNOWN)
        if run.status is RunStatus.PROCESSING and run.started_at is not None:
            now = datetime.now(UTC)
            rest = left(max(now - run.started_at, timedelta()), run.percent)
            return UNKNOWN if rest is None else Estimate(ends_at=now + rest)
        return UNKNOWN

    def _current(self, run: Run) -> _Snapshot:
        if self._is_fresh(run) or not self._lock.acquire(blocking=not self._snapshot.estimates):
            return self._snapshot
        try:
            if not self._is_fresh(run):
                self._snapshot = self._compute()
        except FacnetError as error:  # the previous forecast is used
            log.warning("forecast_failed", **exception_fields(error))
        finally:
            self._lock.release()
        return self._snapshot

    def _is_fresh(self, run: Run) -> bool:
        snapshot = self._snapshot
        age = time.monotonic() - snapshot.taken
        if run.created_at > snapshot.now:
            return age < max(self._cache.new_run_seconds, self._cache.new_run_costs * snapshot.cost)
        return age < max(self._cache.seconds, self._cache.costs * snapshot.cost)

    def _compute(self) -> _Snapshot:
        began = time.monotonic()
        with self._database.connection() as conn:
            state, line = queue.runs_in_order(conn, self._policy, max_attempts=self._max_attempts)
            running, done = queue.running(conn), queue.recently_completed(conn)
        pace, now = Pace.of(done), datetime.now(UTC)
        ends: Mapping[UUID, float] = {}
        if pace is not None and state.capacity.slots > 0:
            ends = forecast(
                line,
                running,
                pace,
                slots=state.capacity.slots,
                most_active=self._policy.most_active,
                max_large_running=max_large_running(state.capacity, self._policy),
            )
        estimates = {
            turn.run.id: Estimate(position, now + timedelta(seconds=ends[turn.run.id]) if ends else None)
            for position, turn in enumerate(line)
        }
        taken = time.monotonic()
        return _Snapshot(taken, taken - began, state.now, estimates)
