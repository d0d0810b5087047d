"""Limits per owner: calls per minute over all servers, and concurrent calls on this server.

Each owner has a token bucket in Redis (GCRA: only the time when it will be full is stored), by the clock of Redis. A
server takes a small share of a bucket at a time and counts it down locally, so that few calls wait for Redis. While
Redis does not answer, each server uses buckets in its own memory: no call is delayed or refused because of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from throttled.asyncio.rate_limiter.gcra import MemoryLimitAtomicAction, RedisLimitAtomicAction
from throttled.asyncio.store import MemoryStoreBackend, RedisStoreBackend
from throttled.exceptions import StoreUnavailableError

from facnet_grpc.errors import LimitExceeded, Reason
from facnet_grpc.logs import get_logger

log = get_logger(__name__)

REDIS_SECONDS = 0.25  # timeout of a call to Redis
AWAY_SECONDS = 5.0  # after a failure Redis is not asked for this long
PARTS = 1000  # a share is this fraction of a bucket
CONNECTIONS = 4
MAX_OWNERS = 10_000  # in memory; the oldest is dropped, and with it at most one share


@dataclass(slots=True)
class _Share:
    left: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class RateLimiter:
    """Counts the calls of each owner. Used on the event loop; close it."""

    def __init__(self, redis_url: str, per_minute: int, burst: int, *, clock: Callable[[], float] = monotonic) -> None:
        """Use buckets of `burst` tokens that refill at `per_minute`; 0 disables the limit."""
        self._limit = per_minute
        self._burst = burst
        self._share_size = max(1, burst // PARTS)
        self._redis = RedisStoreBackend(redis_url, _connections())
        self._shared = RedisLimitAtomicAction(self._redis)
        self._local = MemoryLimitAtomicAction(MemoryStoreBackend(options={"MAX_SIZE": MAX_OWNERS}))
        self._shares: dict[str, _Share] = {}
        self._clock = clock
        self._away_until = float("-inf")

    async def count(self, owner: str) -> None:
        """Count a call. Raises `LimitExceeded` (RATE_LIMITED, with `retry_seconds`) if the bucket is empty."""
        if self._limit == 0:
            return
        share = self._share(owner)
        async with share.lock:
            if share.left == 0:
                await self._take(key(owner))
                share.left = self._share_size
            share.left -= 1

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._redis.get_client().connection_pool.disconnect()  # type: ignore[attr-defined]  # not in its protocol

    def _share(self, owner: str) -> _Share:
        share = self._shares.get(owner)
        if share is None:
            if len(self._shares) >= MAX_OWNERS:
                self._shares.pop(next(iter(self._shares)))
            share = self._shares[owner] = _Share()
        return share

    async def _take(self, bucket: str) -> None:
        """Take a share of a bucket, or raise `LimitExceeded`."""
        limited, _, _, wait = await self._count(bucket)
        if limited:
            # Rounded up, so that a call after this time is accepted.
            seconds = math.ceil(wait * 1000) / 1000
            raise LimitExceeded(Reason.RATE_LIMITED, limit=self._limit, retry_seconds=seconds)

    async def _count(self, bucket: str) -> tuple[float, ...]:
        """Return: is it limited, tokens left, seconds until it is full, seconds until it has enough tokens."""
        keys, arguments = [bucket], [60 / self._limit, self._burst, self._share_size]
        if self._clock() >= self._away_until:
            try:
                async with asyncio.timeout(REDIS_SECONDS):
                    return await self._shared.do(keys, arguments)
            except (StoreUnavailableError, OSError, TimeoutError) as error:
                self._away_until = self._clock() + AWAY_SECONDS
                log.warning("rate_counted_locally", kind=type(error).__name__)
        return await self._local.do(keys, arguments)


class OpenCalls:
    """Counts the concurrent calls of each owner on this server."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: Counter[str] = Counter()

    @contextmanager
    def track(self, owner: str) -> Iterator[None]:
        """Count a call while it is open. Raises `LimitExceeded` (TOO_MANY_CALLS) beyond the limit."""
        if self._open[owner] >= self._limit:
            raise LimitExceeded(Reason.TOO_MANY_CALLS, limit=self._limit)
        self._open[owner] += 1
        try:
            yield
        finally:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]


def key(owner: str) -> str:
    """Return the Redis key of an owner's bucket: a hash, because Redis holds no names of clinics."""
    return f"facnet:limits:calls:{hashlib.sha256(owner.encode()).hexdigest()[:32]}"


def _connections() -> dict[str, object]:
    """Return the options of the connection pool: every wait is bounded."""
    return {
        "CONNECTION_POOL_CLASS": "redis.asyncio.BlockingConnectionPool",
        "CONNECTION_POOL_KWARGS": {
            "max_connections": CONNECTIONS,
            "timeout": REDIS_SECONDS,
            "socket_timeout": REDIS_SECONDS,
            "socket_connect_timeout": REDIS_SECONDS,
            "retry": Retry(NoBackoff(), 0),
        },
    }
