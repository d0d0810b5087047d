"""How much one owner may ask for: calls a minute over all servers, and calls open at once on this one.

Calls are counted in Redis, in a sliding window. A server takes a small part of an owner's minute at a time and hands
it out by itself, so that few calls wait for Redis. While Redis does not answer, each server counts alone: no call is
held up or refused because of it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

import redis
import redis.asyncio
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from facnet_grpc.errors import LimitExceeded, Reason
from facnet_grpc.logs import get_logger

log = get_logger(__name__)

REDIS_SECONDS = 0.25  # how long a call waits for Redis at most
AWAY_SECONDS = 5.0  # how long Redis is left alone after it did not answer
PARTS = 1000  # a minute is taken in so many parts
CONNECTIONS = 4
MAX_OWNERS = 10_000  # remembered at once; the oldest is forgotten, and with it at most one part


@dataclass(slots=True)
class _Share:
    left: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class RateLimiter:
    """Counts the calls of each owner. Lives on the event loop; close it."""

    def __init__(self, redis_url: str, per_minute: int, *, clock: Callable[[], float] = monotonic) -> None:
        """Prepare it; `per_minute` 0 counts nothing."""
        self._limit = per_minute
        self._item = RateLimitItemPerMinute(per_minute, namespace="calls") if per_minute else None
        self._part = max(1, per_minute // PARTS)
        self._pool = redis.asyncio.BlockingConnectionPool.from_url(
            redis_url,
            max_connections=CONNECTIONS,
            timeout=REDIS_SECONDS,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        shared = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix="facnet:limits",
            connection_pool=self._pool,  # type: ignore[arg-type]  # documented, and popped before it is passed on
        )
        self._shared = SlidingWindowCounterRateLimiter(shared)
        self._alone = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shares: dict[str, _Share] = {}
        self._clock = clock
        self._away_until = float("-inf")

    async def count(self, owner: str) -> None:
        """Count a call. Raises `LimitExceeded` (RATE_LIMITED) beyond the limit."""
        if self._item is None:
            return
        share = self._share(owner)
        async with share.lock:
            if share.left == 0:
                if not await self._take(self._item, _key(owner)):
                    raise LimitExceeded(Reason.RATE_LIMITED, limit=self._limit)
                share.left = self._part
            share.left -= 1

    async def close(self) -> None:
        """Let go of Redis."""
        await self._pool.disconnect()

    def _share(self, owner: str) -> _Share:
        share = self._shares.get(owner)
        if share is None:
            if len(self._shares) >= MAX_OWNERS:
                self._shares.pop(next(iter(self._shares)))
            share = self._shares[owner] = _Share()
        return share

    async def _take(self, item: RateLimitItemPerMinute, key: str) -> bool:
        if self._clock() >= self._away_until:
            try:
                async with asyncio.timeout(REDIS_SECONDS):
                    return await self._shared.hit(item, key, cost=self._part)
            except (redis.RedisError, OSError, TimeoutError) as error:
                self._away_until = self._clock() + AWAY_SECONDS
                log.warning("rate_counted_alone", kind=type(error).__name__)
        return await self._alone.hit(item, key, cost=self._part)


class OpenCalls:
    """Counts the calls of each owner that are open on this server."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    @contextmanager
    def one(self, owner: str) -> Iterator[None]:
        """Count a call while it is open. Raises `LimitExceeded` (TOO_MANY_CALLS) beyond the limit."""
        if self._open[owner] >= self._most:
            raise LimitExceeded(Reason.TOO_MANY_CALLS, limit=self._most)
        self._open[owner] += 1
        try:
            yield
        finally:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]


def _key(owner: str) -> str:
    """Return what an owner is called in Redis, where names of clinics have no business."""
    return hashlib.sha256(owner.encode()).hexdigest()[:32]
