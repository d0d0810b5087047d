"""The hub between runs and those who watch them: one state per run, which every watcher reads at its own pace.

A slow watcher never holds a backlog: it finds the latest state whenever it comes back for the next one. There is no
thread and, beyond its first read, no query per watcher; `follow.Follower` does all of that once for the process.
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

LATEST_SECONDS = 0.5  # how long the first message waits for Redis; PostgreSQL's word is enough


@dataclass(slots=True)
class _Topic:
    view: RunSnapshot
    watchers: int = 0
    gone: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def is_past(self, view: RunSnapshot) -> bool:
        """Whether this is about a run that ended before it was queued again; its watchers are about to leave."""
        return self.view.status.is_terminal and not view.status.is_terminal

    def offer(self, view: RunSnapshot) -> None:
        known, self.view = self.view, merge(self.view, view)
        if self.view != known:
            self.wake()

    def wake(self) -> None:
        # Whoever waits holds the old event; whoever comes later waits for the new one.
        self.changed.set()
        self.changed = asyncio.Event()


class WatchHub:
    """Everything that this process watches. Lives on the event loop."""

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
        self._topics: dict[UUID, _Topic] = {}
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._follower = Follower(events, runs.snapshots, self._publish, quiet_seconds=quiet_seconds)

    def start(self) -> None:
        """Begin to follow."""
        self._follower.start()

    def end_watches(self) -> None:
        """End every watch, and refuse new ones, with `TransientError` (SHUTTING_DOWN)."""
        self._closing = True
        for topic in self._topics.values():
            topic.wake()

    async def close(self) -> None:
        """Stop following."""
        self.end_watches()
        await self._blocking.run(self._follower.close)

    def is_following(self, run_id: UUID) -> bool:
        """Whether events of a run are being read."""
        return self._follower.is_following(run_id)

    async def watch(self, run_id: UUID, owner: str | None, cursor: Cursor | None = None) -> AsyncGenerator[RunSnapshot]:
        """Yield the state of a run: now, on every change, at every heartbeat; last, its terminal state.

        Never yields less than the cursor has seen. Raises `NotFound` if it is not `owner`'s, `TransientError` if
        PostgreSQL is away at the start or the server shuts down.
        """
        self._refuse_if_closing()
        async with self._joined(run_id, owner) as topic:
            while True:
                view, changed = topic.view, topic.changed
                yield clamp_to(view, cursor)
                if view.status.is_terminal:
                    return
                await _wait(changed, self._heartbeat)
                self._refuse_if_closing()
                if topic.gone:
                    raise NotFound(Reason.VALIDATION_NOT_FOUND, validation_id=str(run_id))

    @asynccontextmanager
    async def _joined(self, run_id: UUID, owner: str | None) -> AsyncIterator[_Topic]:
        """Take part in the topic of a run; the first one to come has it followed, the last one to go forgotten."""
        heard = None if run_id in self._topics else await self._latest(run_id)
        view = await self._blocking.run(self._runs.snapshot, run_id, owner)
        topic = self._topics.get(run_id)
        if topic is not None and topic.is_past(view):
            topic = None
        is_new = topic is None
        if topic is None:
            topic = self._topics[run_id] = _Topic(view)
        topic.offer(view)
        if heard and (hint := from_event(heard)):
            topic.offer(hint)
        topic.watchers += 1
        metrics.WATCHERS.inc()
        try:
            if is_new and not topic.view.status.is_terminal:
                await self._blocking.run(self._follower.follow, run_id, heard.position if heard else "")
            yield topic
        finally:
            metrics.WATCHERS.dec()
            topic.watchers -= 1
            if not topic.watchers and self._topics.get(run_id) is topic:
                del self._topics[run_id]
                self._follower.forget(run_id)

    async def _latest(self, run_id: UUID) -> RunEvent | None:
        if self._follower.redis_away:
            return None
        try:
            async with asyncio.timeout(LATEST_SECONDS):
                return await self._blocking.run(self._events.latest, run_id)
        except (TimeoutError, FacnetError):
            return None

    def _publish(self, views: list[RunSnapshot], gone: list[UUID]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._offer, views, gone)
        except RuntimeError:  # the loop is closed: nobody is watching any more
            return

    def _offer(self, views: list[RunSnapshot], gone: list[UUID]) -> None:
        for view in views:
            if topic := self._topics.get(view.run_id):
                topic.offer(view)
            else:  # its last watcher left while it was being followed
                self._follower.forget(view.run_id)
        for run_id in gone:
            if topic := self._topics.get(run_id):
                topic.gone = True
                topic.wake()
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
