"""The job queue on Redis: a dramatiq broker whose consumers block instead of polling, and the sender of jobs.

Jobs are enqueued by name: the sender knows the name and payload of a job, never its code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from threading import Event
from time import monotonic
from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed
from redis.backoff import NoBackoff
from redis.retry import Retry

from facnet_grpc.calendar import DAY_SECONDS
from facnet_grpc.errors import TransientError
from facnet_grpc.jobs.contract import QUEUE, Job


class WaitingConsumer(_RedisConsumer):
    """Dramatiq's consumer, which fetches, counts and acknowledges as ever; only its pause is another.

    Where dramatiq's sleeps, this one moves the first id of the list to where it is. That changes nothing, and Redis
    does not answer before there is an id. All consumers that wait then fetch, and one of them gets it.
    """

    def __init__(
        self,
        broker: RedisBroker,
        queue_name: str,
        prefetch: int,
        timeout: int,
        *,
        connect: Callable[[float], redis.Redis],
    ) -> None:
        """Wait at most `timeout` milliseconds at a time; `connect` makes a client that is patient for some seconds."""
        super().__init__(broker, queue_name, prefetch, timeout=0)  # type: ignore[no-untyped-call]
        self._key = f"{broker.namespace}:{queue_name}"
        self._seconds = timeout / 1000
        self._client = connect(self._seconds)
        self._acknowledged = Event()

    def __next__(self) -> Any:
        """Return a message, or None after a while; then there may be one."""
        message = super().__next__()  # type: ignore[no-untyped-call]
        if message is None:
            self._wait()
        return message

    def ack(self, message: Any) -> None:
        """Remove a message whose job is done."""
        try:
            super().ack(message)  # type: ignore[no-untyped-call]
        finally:
            self._acknowledged.set()

    def nack(self, message: Any) -> None:
        """Reject a message."""
        try:
            super().nack(message)  # type: ignore[no-untyped-call]
        finally:
            self._acknowledged.set()

    def close(self) -> None:
        """Close the connection that waits."""
        self._client.close()

    def _wait(self) -> None:
        """Wait until a message can be fetched: if all threads are busy for one of them, else for a message."""
        self._acknowledged.clear()
        if self.outstanding_message_count >= self.prefetch:
            self._acknowledged.wait(self._seconds)
            return
        try:
            self._client.execute_command("BLMOVE", self._key, self._key, "LEFT", "LEFT", self._seconds)  # type: ignore[no-untyped-call]
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]


NAMESPACE = "facnet:jobs"
TIMEOUT_SECONDS = 0.45

# Longer than all workers may be down without losing track of unacknowledged messages.
KEEP_SECONDS = DAY_SECONDS
_RENEW_SECONDS = 1.0
# Commands out of a million at which dramatiq's script requeues the messages of dead workers. Its default, a thousand,
# is meant for consumers that poll: with consumers that block, messages would stay with dead workers for hours.
MAINTENANCE_CHANCE = 200_000


class _Broker(RedisBroker):
    """A Redis broker whose consumers block instead of polling, and whose keys all expire.

    Dramatiq keeps a list of every client that has ever sent a command. Here that list expires a day after the last
    command. The reconciler enqueues a run whose message is lost with it.
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
    """Sends jobs. Thread-safe."""

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
