"""One thread that follows every watched run of this process: its events in Redis, and PostgreSQL in case one is lost.

Redis gives speed and PostgreSQL the truth. A run of which nothing was heard for a while is read from PostgreSQL, all
such runs in one query; so is one whose event says that it ended or waits, because only PostgreSQL knows why. While
Redis is away, that query once a second is all there is.
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

QUIET_SECONDS = 2.0  # after this long without an event a run is read from PostgreSQL; half of it while Redis is away
BLOCK_SECONDS = 1.0  # how long one read of Redis waits
GATHER_SECONDS = 0.02  # pause after events, so that many of them cost one read
MAX_READ = 1000  # runs read from PostgreSQL at once; the others come next

# Reads views of runs from PostgreSQL; those that do not exist any more are left out.
ReadSnapshots = Callable[[Sequence[UUID]], list[RunSnapshot]]
# Takes views, and ids of runs that exist no more. Called on the follower's thread.
Publish = Callable[[list[RunSnapshot], list[UUID]], None]


@dataclass(slots=True)
class _Followed:
    position: str
    read_at: float  # when PostgreSQL is asked next, by the monotonic clock


class Follower:
    """Follows runs and publishes what it hears of them, until it is closed."""

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
        self._redis_away = False
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop and wait for the thread. Blocks; at most as long as one read."""
        self._closing.set()
        self._nudge()
        self._thread.join()

    @property
    def redis_away(self) -> bool:
        """Whether the last attempt to read events failed."""
        return self._redis_away

    def follow(self, run_id: UUID, position: str) -> None:
        """Follow a run, from an event's position on. May block for a moment: not for the event loop."""
        with self._lock:
            self._followed[run_id] = _Followed(position, time.monotonic() + self._patience)
        self._nudge()

    def is_following(self, run_id: UUID) -> bool:
        """Whether a run is followed."""
        return run_id in self._followed

    def forget(self, run_id: UUID) -> None:
        """Stop following a run. Never blocks."""
        with self._lock:
            self._followed.pop(run_id, None)

    @property
    def _patience(self) -> float:
        return self._poll_seconds if self._redis_away else self._quiet_seconds

    def _nudge(self) -> None:
        self._wake.set()
        self._events.interrupt()

    def _run(self) -> None:
        while not self._closing.is_set():
            positions = self._positions()
            if not positions:
                self._pause(None)
                continue
            has_heard = self._guarded(partial(self._hear, positions))
            self._guarded(self._ask)  # before the pause, and whatever became of the events
            if has_heard:
                self._closing.wait(GATHER_SECONDS)

    def _guarded(self, step: Callable[[], bool]) -> bool:
        """Do a step and return its result; every watcher depends on this thread, so no exception may end it."""
        try:
            return step()
        except Exception as error:  # noqa: BLE001 - see above
            log.error("follower_failed", **exception_fields(error))  # noqa: TRY400 - no traceback: it quotes
            self._pause(self._poll_seconds)
            return False

    def _positions(self) -> dict[UUID, str]:
        with self._lock:
            return {run_id: followed.position for run_id, followed in self._followed.items()}

    def _hear(self, positions: dict[UUID, str]) -> bool:
        """Publish what is new in Redis, and return whether anything is."""
        self._wake.clear()
        try:
            events = self._events.tail(positions, block_seconds=self._time_to_next())
        except FacnetError as error:
            if not self._redis_away:
                log.warning("events_unavailable", **exception_fields(error))
                self._hurry()
            self._redis_away = True
            self._pause(min(self._poll_seconds, self._time_to_next()))
            return False
        if self._redis_away:
            log.info("events_available")
        self._redis_away = False
        self._take(events)
        return bool(events)

    def _take(self, events: list[RunEvent]) -> None:
        """Publish what events say. An unreadable one is skipped: PostgreSQL is asked when it would have been anyway."""
        views: list[RunSnapshot] = []
        now = time.monotonic()
        with self._lock:
            for event in events:
                followed = self._followed.get(event.run_id)
                if followed is None:
                    continue
                followed.position = event.position
                if event.status is None:
                    continue
                view = from_event(event)
                followed.read_at = now if view is None else now + self._quiet_seconds
                if view is not None:
                    views.append(view)
        if views:
            self._publish(views, [])

    def _ask(self) -> bool:
        due = self._due()
        if not due:
            return False
        try:
            views = self._read(due)
        except FacnetError as error:
            log.warning("runs_unavailable", **exception_fields(error))
            views, due = [], []
            self._pause(self._poll_seconds)
        self._publish(views, sorted(set(due) - {view.run_id for view in views}))
        return True

    def _due(self) -> list[UUID]:
        now = time.monotonic()
        with self._lock:
            late = (run_id for run_id, followed in self._followed.items() if followed.read_at <= now)
            due = list(islice(late, MAX_READ))
            for run_id in due:
                self._followed[run_id].read_at = now + self._patience
        return due

    def _time_to_next(self) -> float:
        with self._lock:
            soonest = min((followed.read_at for followed in self._followed.values()), default=0.0)
        return min(BLOCK_SECONDS, max(GATHER_SECONDS, soonest - time.monotonic()))

    def _hurry(self) -> None:
        soon = time.monotonic() + self._poll_seconds
        with self._lock:
            for followed in self._followed.values():
                followed.read_at = min(followed.read_at, soon)

    def _pause(self, seconds: float | None) -> None:
        self._wake.wait(seconds)
        self._wake.clear()
