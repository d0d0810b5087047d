"""How much one owner may ask for: calls a minute over all servers, and calls open at once on this one.

Each owner has a bucket of tokens in Redis that fills at an even rate, by the clock of Redis (GCRA: all that is stored
is when it will be full). A server takes a small part of a bucket at a time and hands it out by itself, so that few
calls wait for Redis. While Redis does not answer, each server fills buckets of its own: no call is held up or refused
because of it.
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

REDIS_SECONDS = 0.25  # how long a call waits for Redis at most
AWAY_SECONDS = 5.0  # how long Redis is left alone after it did not answer
PARTS = 1000  # a bucket is taken in so many parts
CONNECTIONS = 4
MAX_OWNERS = 10_000  # remembered at once; the oldest is forgotten, and with it at most one part


@dataclass(slots=True)
class _Share:
    left: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class RateLimiter:
    """Counts the calls of each owner. Lives on the event loop; close it."""

    def __init__(self, redis_url: str, per_minute: int, burst: int, *, clock: Callable[[], float] = monotonic) -> None:
        """Prepare it: buckets of `burst` tokens, into which `per_minute` flow; 0 a minute counts nothing."""
        self._limit = per_minute
        self._burst = burst
        self._part = max(1, burst // PARTS)
        self._redis = RedisStoreBackend(redis_url, _connections())
        self._shared = RedisLimitAtomicAction(self._redis)
        self._alone = MemoryLimitAtomicAction(MemoryStoreBackend(options={"MAX_SIZE": MAX_OWNERS}))
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
                share.left = self._part
            share.left -= 1

    async def close(self) -> None:
        """Let go of Redis."""
        await self._redis.get_client().connection_pool.disconnect()  # type: ignore[attr-defined]  # not in its protocol

    def _share(self, owner: str) -> _Share:
        share = self._shares.get(owner)
        if share is None:
            if len(self._shares) >= MAX_OWNERS:
                self._shares.pop(next(iter(self._shares)))
            share = self._shares[owner] = _Share()
        return share

    async def _take(self, bucket: str) -> None:
        """Take a part of a bucket, or raise `LimitExceeded`."""
        limited, _, _, wait = await self._ask(bucket)
        if limited:
            # Upwards, so that whoever comes back then is let in.
            seconds = math.ceil(wait * 1000) / 1000
            raise LimitExceeded(Reason.RATE_LIMITED, limit=self._limit, retry_seconds=seconds)

    async def _ask(self, bucket: str) -> tuple[float, ...]:
        """Return whether the bucket has too little, what is left, when it will be full, and when it has enough."""
        keys, arguments = [bucket], [60 / self._limit, self._burst, self._part]
        if self._clock() >= self._away_until:
            try:
                async with asyncio.timeout(REDIS_SECONDS):
                    return await self._shared.do(keys, arguments)
            except (StoreUnavailableError, OSError, TimeoutError) as error:
                self._away_until = self._clock() + AWAY_SECONDS
                log.warning("rate_counted_alone", kind=type(error).__name__)
        return await self._alone.do(keys, arguments)


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


def key(owner: str) -> str:
    """Return what an owner's bucket is called in Redis, where names of clinics have no business."""
    return f"facnet:limits:calls:{hashlib.sha256(owner.encode()).hexdigest()[:32]}"


def _connections() -> dict[str, object]:
    """Return how to talk to Redis: never for longer than a call may wait."""
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
