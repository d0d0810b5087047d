"""One thread that follows all watched runs of this process: their events in Redis, and their rows in PostgreSQL.

Redis is fast, PostgreSQL is the truth. Runs without an event for a while are read from PostgreSQL, all of them in one
query; so are runs whose event says that they ended or are queued, because only PostgreSQL has the reason. While Redis
is down, the runs are polled in PostgreSQL once a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from uuid import UUID

from facnet_grpc.errors import FacnetError
from facnet_grpc.events.stream import EventStream, RunEvent
from facnet_grpc.logs import exception_fields, get_logger
from facnet_grpc.server.watching.snapshot import RunSnapshot, from_event

log = get_logger(__name__)

QUIET_SECONDS = 2.0  # after this long without an event a run is read from PostgreSQL; half of it while Redis is down
BLOCK_SECONDS = 1.0  # how long one read of Redis blocks
GATHER_SECONDS = 0.02  # pause after events, so that one read takes many of them
MAX_READ = 1000  # runs per query of PostgreSQL; the others follow in the next one

# Reads the states of runs from PostgreSQL, without those that do not exist any more.
ReadSnapshots = Callable[[Sequence[UUID]], list[RunSnapshot]]
# Takes states, and ids of runs that do not exist any more. Called on the follower's thread.
Publish = Callable[[list[RunSnapshot], list[UUID]], None]


@dataclass(slots=True)
class _Followed:
    position: str  # of the last event in the run's stream
    read_at: float  # when PostgreSQL is read next, by the monotonic clock


class Follower:
    """Follows runs and publishes their states, until it is closed."""

    def __init__(
        self, events: EventStream, read: ReadSnapshots, publish: Publish, *, quiet_seconds: float = QUIET_SECONDS
    ) -> None:
        self._events = events
        self._quiet_seconds = quiet_seconds
        self._poll_seconds = quiet_seconds / 2
        self._read = read
        self._publish = publish
        self._followed: dict[UUID, _Followed] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._redis_down = False
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and wait for it. Blocks for one read at most."""
        self._closing.set()
        self._interrupt()
        self._thread.join()

    @property
    def redis_down(self) -> bool:
        """Whether the last attempt to read events failed."""
        return self._redis_down

    def follow(self, run_id: UUID, position: str) -> None:
        """Follow a run from the position of an event on. Blocks for the lock: not for the event loop."""
        with self._lock:
            self._followed[run_id] = _Followed(position, time.monotonic() + self._max_age)
        self._interrupt()

    def is_following(self, run_id: UUID) -> bool:
        """Whether a run is followed."""
        return run_id in self._followed

    def forget(self, run_id: UUID) -> None:
        """Stop following a run."""
        with self._lock:
            self._followed.pop(run_id, None)

    @property
    def _max_age(self) -> float:
        return self._poll_seconds if self._redis_down else self._quiet_seconds

    def _interrupt(self) -> None:
        self._wake.set()
        self._events.interrupt()

    def _run(self) -> None:
        while not self._closing.is_set():
            positions = self._positions()
            if not positions:
                self._pause(None)
                continue
            has_events = self._guarded(partial(self._read_events, positions))
            self._guarded(self._read_rows)  # before the pause, and even if reading events failed
            if has_events:
                self._closing.wait(GATHER_SECONDS)

    def _guarded(self, step: Callable[[], bool]) -> bool:
        """Run a step and return its result; every watcher depends on this thread, so no exception may end it."""
        try:
            return step()
        except Exception as error:  # noqa: BLE001 - see above
            log.error("follower_failed", **exception_fields(error))  # noqa: TRY400 - no traceback: it quotes
            self._pause(self._poll_seconds)
            return False

    def _positions(self) -> dict[UUID, str]:
        with self._lock:
            return {run_id: followed.position for run_id, followed in self._followed.items()}

    def _read_events(self, positions: dict[UUID, str]) -> bool:
        """Publish new events from Redis, and return whether there are any."""
        self._wake.clear()
        try:
            events = self._events.tail(positions, block_seconds=self._time_to_next())
        except FacnetError as error:
            if not self._redis_down:
                log.warning("events_unavailable", **exception_fields(error))
                self._read_all_soon()
            self._redis_down = True
            self._pause(min(self._poll_seconds, self._time_to_next()))
            return False
        if self._redis_down:
            log.info("events_available")
        self._redis_down = False
        self._publish_events(events)
        return bool(events)

    def _publish_events(self, events: list[RunEvent]) -> None:
        """Publish the states in events. An unreadable event is skipped: PostgreSQL is read when it is due anyway."""
        snapshots: list[RunSnapshot] = []
        now = time.monotonic()
        with self._lock:
            for event in events:
                followed = self._followed.get(event.run_id)
                if followed is None:
                    continue
                followed.position = event.position
                if event.status is None:
                    continue
                snapshot = from_event(event)
                followed.read_at = now if snapshot is None else now + self._quiet_seconds
                if snapshot is not None:
                    snapshots.append(snapshot)
        if snapshots:
            self._publish(snapshots, [])

    def _read_rows(self) -> bool:
        """Publish the states of due runs from PostgreSQL, and return whether there are any."""
        due = self._due()
        if not due:
            return False
        try:
            snapshots = self._read(due)
        except FacnetError as error:
            log.warning("runs_unavailable", **exception_fields(error))
            snapshots, due = [], []
            self._pause(self._poll_seconds)
        self._publish(snapshots, sorted(set(due) - {snapshot.run_id for snapshot in snapshots}))
        return True

    def _due(self) -> list[UUID]:
        now = time.monotonic()
        with self._lock:
            late = (run_id for run_id, followed in self._followed.items() if followed.read_at <= now)
            due = list(islice(late, MAX_READ))
            for run_id in due:
                self._followed[run_id].read_at = now + self._max_age
        return due

    def _time_to_next(self) -> float:
        with self._lock:
            soonest = min((followed.read_at for followed in self._followed.values()), default=0.0)
        return min(BLOCK_SECONDS, max(GATHER_SECONDS, soonest - time.monotonic()))

    def _read_all_soon(self) -> None:
        soon = time.monotonic() + self._poll_seconds
        with self._lock:
            for followed in self._followed.values():
                followed.read_at = min(followed.read_at, soon)

    def _pause(self, seconds: float | None) -> None:
        self._wake.wait(seconds)
        self._wake.clear()
