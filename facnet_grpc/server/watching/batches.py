"""Batches: their figures, their duplicates, and following them.

A batch is followed by asking PostgreSQL once a second for the sums of its runs, once however many watch it; its figures
change more slowly than those of a run, and a worker stores its progress as often as that.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from facnet_grpc import metrics
from facnet_grpc.errors import Reason, TransientError
from facnet_grpc.model.batch import Duplicate, Money, RunBatch
from facnet_grpc.model.run import Run
from facnet_grpc.server.executors import BlockingExecutor
from facnet_grpc.server.results import phi_audit
from facnet_grpc.storage.postgres import batches, runs
from facnet_grpc.storage.postgres.database import Database

POLL_SECONDS = 1.0
DUPLICATES_SECONDS = 25.0  # how long the search may take; within the deadline that calls have by default
MAX_RUNS = 1000
MAX_DUPLICATES = 100
MAX_PLACES = 10

_Key = tuple[str, str]  # owner, batch


@dataclass(frozen=True, slots=True)
class Details:
    """A batch as it is read at once. `duplicates` and their number are None unless they were asked for."""

    batch: RunBatch
    money: Money
    runs: list[Run]
    duplicates: list[Duplicate] | None = None
    duplicate_count: int | None = None


@dataclass(slots=True)
class _Topic:
    watchers: int = 0
    batch: RunBatch | None = None
    read_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Batches:
    """Batches of one owner at a time. Lives on the event loop."""

    def __init__(self, database: Database, blocking: BlockingExecutor, *, heartbeat_seconds: float) -> None:
        self._database = database
        self._blocking = blocking
        self._heartbeat = heartbeat_seconds
        self._topics: dict[_Key, _Topic] = {}
        self._closing = asyncio.Event()

    async def get(self, owner: str, batch_id: str, *, duplicates: bool) -> Details:
        """Return a batch, with duplicates if they are asked for. Raises `NotFound`."""
        return await self._blocking.run(self._details, owner, batch_id, duplicates=duplicates)

    async def watch(self, owner: str, batch_id: str, least_percent: float = 0.0) -> AsyncGenerator[RunBatch]:
        """Yield a batch: now, on every change, at every heartbeat; last, when none of its runs waits or is worked on.

        Its percent never goes back, nor below `least_percent`. Raises `NotFound`; `TransientError` if PostgreSQL is
        away at the start or the server shuts down.
        """
        shown: RunBatch | None = None
        quiet = 0.0
        async with self._joined((owner, batch_id)) as topic:
            while True:
                batch = await self._read((owner, batch_id), topic)
                batch = replace(batch, percent=max(batch.percent, shown.percent if shown else least_percent))
                if batch != shown or quiet >= self._heartbeat:
                    shown, quiet = batch, 0.0
                    yield batch
                if batch.status.is_terminal:
                    return
                await self._pause()
                quiet += POLL_SECONDS

    def end_watches(self) -> None:
        """End every watch, and refuse new ones, with `TransientError` (SHUTTING_DOWN)."""
        self._closing.set()

    @asynccontextmanager
    async def _joined(self, key: _Key) -> AsyncIterator[_Topic]:
        topic = self._topics.setdefault(key, _Topic())
        topic.watchers += 1
        metrics.WATCHERS.inc()
        try:
            yield topic
        finally:
            metrics.WATCHERS.dec()
            topic.watchers -= 1
            if not topic.watchers:
                del self._topics[key]

    async def _read(self, key: _Key, topic: _Topic) -> RunBatch:
        """Return the batch as it is, or was less than a poll ago; as it was, while PostgreSQL is away."""
        async with topic.lock:
            now = asyncio.get_running_loop().time()
            if topic.batch is None or now - topic.read_at >= POLL_SECONDS / 2:
                try:
                    topic.batch = await self._blocking.run(self._figures, *key)
                except TransientError:
                    if topic.batch is None:
                        raise
                topic.read_at = now
            return topic.batch

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._closing.wait()
        except TimeoutError:
            return
        raise TransientError(Reason.SHUTTING_DOWN)

    def _figures(self, owner: str, batch_id: str) -> RunBatch:
        with self._database.connection() as conn:
            return batches.figures(conn, owner, batch_id)

    def _details(self, owner: str, batch_id: str, *, duplicates: bool) -> Details:
        with self._database.connection() as conn:
            batch = batches.figures(conn, owner, batch_id)
            money = batches.money(conn, owner, batch_id)
            found = runs.get_many(conn, batches.run_ids(conn, owner, batch_id, limit=MAX_RUNS))
        details = Details(batch, money, sorted(found, key=lambda run: run.id))
        if not duplicates:
            return details
        with self._database.connection(statement_timeout=DUPLICATES_SECONDS) as conn:
            same, count = batches.duplicates(conn, owner, batch_id, limit=MAX_DUPLICATES, places=MAX_PLACES)
            for run_id, lines in Counter(place.run_id for one in same for place in one.places).items():
                phi_audit.record(conn, "GetBatch", run_id, lines)
        return replace(details, duplicates=same, duplicate_count=count)
