"""Watches of runs: one coalesced state per run, which every watcher reads at its own pace.

A slow watcher has no backlog: it gets the latest state when it is ready for the next message. There is no thread and,
after the first read, no query per watcher: one `Follower` per process reads events and PostgreSQL for all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from facnet_grpc import metrics
from facnet_grpc.errors import FacnetError, NotFound, Reason, TransientError
from facnet_grpc.events.stream import EventStream, RunEvent
from facnet_grpc.server.executors import BlockingExecutor
from facnet_grpc.server.paging import Cursor
from facnet_grpc.server.watching.follower import QUIET_SECONDS, Follower
from facnet_grpc.server.watching.queries import SnapshotQueries
from facnet_grpc.server.watching.snapshot import RunSnapshot, clamp_to, from_event, merge

LATEST_SECONDS = 0.5  # how long the first message waits for Redis; PostgreSQL has the state as well


@dataclass(slots=True)
class _WatchedRun:
    snapshot: RunSnapshot
    watchers: int = 0
    gone: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def is_before_retry(self, snapshot: RunSnapshot) -> bool:
        """Whether the run had ended here and was queued again since; its watchers are about to leave."""
        return self.snapshot.status.is_terminal and not snapshot.status.is_terminal

    def update(self, snapshot: RunSnapshot) -> None:
        previous, self.snapshot = self.snapshot, merge(self.snapshot, snapshot)
        if self.snapshot != previous:
            self.wake()

    def wake(self) -> None:
        # Waiting watchers hold the old event; later ones wait for the new one.
        self.changed.set()
        self.changed = asyncio.Event()


class WatchHub:
    """The watched runs of this process. Used on the event loop."""

    def __init__(
        self,
        events: EventStream,
        runs: SnapshotQueries,
        blocking: BlockingExecutor,
        *,
        heartbeat_seconds: float,
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        self._events = events
        self._runs = runs
        self._blocking = blocking
        self._heartbeat = heartbeat_seconds
        self._watched: dict[UUID, _WatchedRun] = {}
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._follower = Follower(events, runs.snapshots, self._publish, quiet_seconds=quiet_seconds)

    def start(self) -> None:
        """Start the follower."""
        self._follower.start()

    def end_watches(self) -> None:
        """End every watch, and refuse new ones, with `TransientError` (SHUTTING_DOWN)."""
        self._closing = True
        for watched in self._watched.values():
            watched.wake()

    async def close(self) -> None:
        """End every watch and stop the follower."""
        self.end_watches()
        await self._blocking.run(self._follower.close)

    @property
    def watched_runs(self) -> list[UUID]:
        """The runs that have a watcher."""
        return list(self._watched)

    def is_following(self, run_id: UUID) -> bool:
        """Whether events of a run are being read."""
        return self._follower.is_following(run_id)

    async def watch(self, run_id: UUID, owner: str | None, cursor: Cursor | None = None) -> AsyncGenerator[RunSnapshot]:
        """Yield the state of a run: now, on every change, at every heartbeat, and last its terminal state.

        The progress is never less than that of the cursor. Raises `NotFound` if the run is not of `owner`;
        `TransientError` if PostgreSQL is down at the start or the server shuts down.
        """
        self._refuse_if_closing()
        async with self._joined(run_id, owner) as watched:
            while True:
                snapshot, changed = watched.snapshot, watched.changed
                yield clamp_to(snapshot, cursor)
                if snapshot.status.is_terminal:
                    return
                await _wait(changed, self._heartbeat)
                self._refuse_if_closing()
                if watched.gone:
                    raise NotFound(Reason.VALIDATION_NOT_FOUND, validation_id=str(run_id))

    @asynccontextmanager
    async def _joined(self, run_id: UUID, owner: str | None) -> AsyncIterator[_WatchedRun]:
        """Register a watcher of a run; the run is followed from its first watcher to its last."""
        latest = None if run_id in self._watched else await self._latest(run_id)
        snapshot = await self._blocking.run(self._runs.snapshot, run_id, owner)
        watched = self._watched.get(run_id)
        if watched is not None and watched.is_before_retry(snapshot):
            watched = None
        is_new = watched is None
        if watched is None:
            watched = self._watched[run_id] = _WatchedRun(snapshot)
        watched.update(snapshot)
        if latest and (hint := from_event(latest)):
            watched.update(hint)
        watched.watchers += 1
        metrics.WATCHERS.inc()
        try:
            if is_new and not watched.snapshot.status.is_terminal:
                await self._blocking.run(self._follower.follow, run_id, latest.position if latest else "")
            yield watched
        finally:
            metrics.WATCHERS.dec()
            watched.watchers -= 1
            if not watched.watchers and self._watched.get(run_id) is watched:
                del self._watched[run_id]
                self._follower.forget(run_id)

    async def _latest(self, run_id: UUID) -> RunEvent | None:
        if self._follower.redis_down:
            return None
        try:
            async with asyncio.timeout(LATEST_SECONDS):
                return await self._blocking.run(self._events.latest, run_id)
        except (TimeoutError, FacnetError):
            return None

    def _publish(self, snapshots: list[RunSnapshot], gone: list[UUID]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._update, snapshots, gone)
        except RuntimeError:  # the loop is closed: there are no watchers
            return

    def _update(self, snapshots: list[RunSnapshot], gone: list[UUID]) -> None:
        for snapshot in snapshots:
            if watched := self._watched.get(snapshot.run_id):
                watched.update(snapshot)
            else:  # its last watcher has left meanwhile
                self._follower.forget(snapshot.run_id)
        for run_id in gone:
            if watched := self._watched.get(run_id):
                watched.gone = True
                watched.wake()
            self._follower.forget(run_id)

    def _refuse_if_closing(self) -> None:
        if self._closing:
            raise TransientError(Reason.SHUTTING_DOWN)


async def _wait(changed: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        return
