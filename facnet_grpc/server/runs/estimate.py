"""What can be told of a run before it has ended: how many are begun before it, and when it will probably have ended.

The whole line is worked out at once and kept for a second or more, however many look at it. Everything here blocks.
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
from facnet_grpc.scheduling.order import SchedulingPolicy, places_for_large
from facnet_grpc.settings.queue import QueueSettings
from facnet_grpc.storage.postgres import queue
from facnet_grpc.storage.postgres.database import Database

KEEP_SECONDS = 1.0
KEEP_COSTS = 20  # a line that takes long to work out is kept for so many times as long
HURRY_SECONDS = 0.1  # the same for runs that have come since
HURRY_COSTS = 4
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is expected of a run; None: cannot be told."""

    position: int | None = None  # runs that are begun before it, if it waits and is due
    ends_at: datetime | None = None


NOTHING = Estimate()


@dataclass(frozen=True, slots=True)
class _Snapshot:
    taken: float = float("-inf")  # by the monotonic clock
    cost: float = 0.0  # seconds
    now: datetime = _LONG_AGO  # by PostgreSQL's clock
    places: Mapping[UUID, Estimate] = field(default_factory=dict)


class QueueForecast:
    """Looks at the line. Thread-safe."""

    def __init__(self, database: Database, settings: QueueSettings) -> None:
        self._database = database
        self._rules = SchedulingPolicy.of(settings)
        self._max_attempts = settings.max_attempts
        self._lock = Lock()
        self._snapshot = _Snapshot()

    def of(self, run: Run) -> Estimate:
        """Return what is expected of a run. Takes a connection of its own: do not hold one."""
        if run.status is RunStatus.QUEUED:
            return self._look(run).places.get(run.id, NOTHING)
        if run.status is RunStatus.PROCESSING and run.started_at is not None:
            now = datetime.now(UTC)
            rest = left(max(now - run.started_at, timedelta()), run.percent)
            return NOTHING if rest is None else Estimate(ends_at=now + rest)
        return NOTHING

    def _look(self, run: Run) -> _Snapshot:
        if self._is_good_enough(run) or not self._lock.acquire(blocking=not self._snapshot.places):
            return self._snapshot
        try:
            if not self._is_good_enough(run):
                self._snapshot = self._take()
        except FacnetError as error:  # the old one will do
            log.warning("line_unknown", **exception_fields(error))
        finally:
            self._lock.release()
        return self._snapshot

    def _is_good_enough(self, run: Run) -> bool:
        snapshot = self._snapshot
        age = time.monotonic() - snapshot.taken
        if run.created_at > snapshot.now:
            return age < max(HURRY_SECONDS, HURRY_COSTS * snapshot.cost)
        return age < max(KEEP_SECONDS, KEEP_COSTS * snapshot.cost)

    def _take(self) -> _Snapshot:
        began = time.monotonic()
        with self._database.connection() as conn:
            state, line = queue.line(conn, self._rules, max_attempts=self._max_attempts)
            running, done = queue.running(conn), queue.done_lately(conn)
        pace, now = Pace.of(done), datetime.now(UTC)
        ends: Mapping[UUID, float] = {}
        if pace is not None and state.fleet.slots > 0:
            ends = forecast(
                line,
                running,
                pace,
                slots=state.fleet.slots,
                most_active=self._rules.most_active,
                places_for_large=places_for_large(state.fleet, self._rules),
            )
        places = {
            turn.run.id: Estimate(position, now + timedelta(seconds=ends[turn.run.id]) if ends else None)
            for position, turn in enumerate(line)
        }
        taken = time.monotonic()
        return _Snapshot(taken, taken - began, state.now, places)
