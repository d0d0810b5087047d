"""Watches of batches: PostgreSQL is polled for the sums over a batch's runs, once for all of its watchers.

One poll a second is enough: a worker stores its progress as often, and a batch changes more slowly than a run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from facnet_grpc import metrics
from facnet_grpc.errors import Reason, TransientError
from facnet_grpc.model.batch import RunBatch
from facnet_grpc.server.executors import BlockingExecutor
from facnet_grpc.server.watching.queries import BatchQueries

POLL_SECONDS = 1.0

_Key = tuple[str, str]  # owner, batch


@dataclass(slots=True)
class _WatchedBatch:
    watchers: int = 0
    batch: RunBatch | None = None
    read_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class BatchHub:
    """The watched batches of this process. Used on the event loop."""

    def __init__(
        self,
        batches: BatchQueries,
        blocking: BlockingExecutor,
        *,
        heartbeat_seconds: float,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._batches = batches
        self._blocking = blocking
        self._heartbeat = heartbeat_seconds
        self._poll = poll_seconds
        self._watched: dict[_Key, _WatchedBatch] = {}
        self._closing = asyncio.Event()

    async def watch(self, owner: str, batch_id: str, min_percent: float = 0.0) -> AsyncGenerator[RunBatch]:
        """Yield a batch: now, on every change, at every heartbeat, and last when all of its runs have ended.

        Its percent never decreases, nor falls below `min_percent`. Raises `NotFound`; `TransientError` if PostgreSQL is
        down at the start or the server shuts down.
        """
        sent: RunBatch | None = None
        quiet = 0.0
        async with self._joined((owner, batch_id)) as watched:
            while True:
                batch = await self._read((owner, batch_id), watched)
                batch = replace(batch, percent=max(batch.percent, sent.percent if sent else min_percent))
                if batch != sent or quiet >= self._heartbeat:
                    sent, quiet = batch, 0.0
                    yield batch
                if batch.status.is_terminal:
                    return
                await self._pause()
                quiet += self._poll

    def end_watches(self) -> None:
        """End every watch, and refuse new ones, with `TransientError` (SHUTTING_DOWN)."""
        self._closing.set()

    @asynccontextmanager
    async def _joined(self, key: _Key) -> AsyncIterator[_WatchedBatch]:
        watched = self._watched.setdefault(key, _WatchedBatch())
        watched.watchers += 1
        metrics.WATCHERS.inc()
        try:
            yield watched
        finally:
            metrics.WATCHERS.dec()
            watched.watchers -= 1
            if not watched.watchers:
                del self._watched[key]

    async def _read(self, key: _Key, watched: _WatchedBatch) -> RunBatch:
        """Return the batch, at most half a poll old; the previous one while PostgreSQL is down."""
        async with watched.lock:
            now = asyncio.get_running_loop().time()
            if watched.batch is None or now - watched.read_at >= self._poll / 2:
                try:
                    watched.batch = await self._blocking.run(self._batches.figures, *key)
                except TransientError:
                    if watched.batch is None:
                        raise
                watched.read_at = now
            return watched.batch

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._poll):
                await self._closing.wait()
        except TimeoutError:
            return
        raise TransientError(Reason.SHUTTING_DOWN)
