"""Puts jobs on the queue by name: whoever enqueues knows a job's name and payload, never its code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from redis.backoff import NoBackoff
from redis.retry import Retry

from facnet_grpc.errors import TransientError
from facnet_grpc.jobs.consumer import WaitingConsumer
from facnet_grpc.jobs.contract import QUEUE, Job

NAMESPACE = "facnet:jobs"
TIMEOUT_SECONDS = 0.45

# Longer than all workers may be away without losing sight of who left a message unacknowledged.
KEEP_SECONDS = 86_400
_RENEW_SECONDS = 1.0
# Commands out of a million with which Redis looks for messages of workers that are gone. Dramatiq's own share, a
# thousand, is for consumers that look again and again: of those that wait, messages would stay with the dead for hours.
MAINTENANCE_CHANCE = 200_000


class _Broker(RedisBroker):
    """A Redis broker that leaves nothing behind for ever, and whose consumers wait instead of looking.

    Dramatiq keeps a list of everyone who has ever sent a command; its other keys go away when they are empty. Here the
    list goes away too, a day after the last command. A message that is lost with it is found by the reconciler.
    """

    def __init__(self, redis_url: str, middleware: Sequence[dramatiq.Middleware]) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            client=_connect(redis_url, 0.0),
            middleware=list(middleware),
            namespace=NAMESPACE,
            maintenance_chance=MAINTENANCE_CHANCE,
        )
        self._redis_url = redis_url
        self._renewed_at = float("-inf")

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> WaitingConsumer:
        """Return a consumer that waits at most `timeout` milliseconds at a time."""
        return WaitingConsumer(self, queue_name, prefetch, timeout, connect=partial(_connect, self._redis_url))

    def _dispatch(self, command: str) -> Callable[..., Any]:
        dispatch: Callable[..., Any] = super()._dispatch(command)  # type: ignore[no-untyped-call]

        def dispatch_and_renew(*args: Any) -> Any:
            answer = dispatch(*args)
            if monotonic() - self._renewed_at > _RENEW_SECONDS:
                self.client.expire(f"{self.namespace}:__heartbeats__", KEEP_SECONDS)
                self._renewed_at = monotonic()
            return answer

        return dispatch_and_renew


def make_broker(redis_url: str, *, middleware: Sequence[dramatiq.Middleware] = ()) -> RedisBroker:
    """Return a broker with just this middleware; it connects at its first command.

    Without dramatiq's own: `Retries` writes tracebacks into messages, and attempts are counted in PostgreSQL.
    """
    broker = _Broker(redis_url, middleware)
    broker.declare_queue(QUEUE)
    return broker


def _connect(redis_url: str, wait_seconds: float) -> redis.Redis:
    """Return a client that gives up soon on commands that wait for at most so long; it connects at its first one."""
    return redis.Redis.from_url(
        redis_url,
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_timeout=wait_seconds + TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1),  # a connection that broke while idle
        retry_on_error=[redis.ConnectionError],
    )


class JobQueue:
    """The sending end of the queue. Thread-safe."""

    def __init__(self, broker: dramatiq.Broker) -> None:
        self._broker = broker
        broker.declare_queue(QUEUE)

    def enqueue(self, job: Job) -> None:
        """Send a job. Raises `TransientError` within a second if Redis is away; the reconciler then sends it later."""
        message: dramatiq.Message[Any] = dramatiq.Message(
            queue_name=QUEUE,
            actor_name=job.actor,
            args=(),
            kwargs=job.to_kwargs(),
            options={},
        )
        try:
            self._broker.enqueue(message)
        except (redis.RedisError, dramatiq.DramatiqError):
            raise TransientError from None
