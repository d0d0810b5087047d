"""The receiving end of the queue: waits in Redis until there is a message, instead of looking again and again."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

import redis
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed


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
        """Put a message aside that nobody could take."""
        try:
            super().nack(message)  # type: ignore[no-untyped-call]
        finally:
            self._acknowledged.set()

    def close(self) -> None:
        """Close the connection that waits."""
        self._client.close()

    def _wait(self) -> None:
        """Wait until something can be fetched: for room if all threads have work, else for a message."""
        self._acknowledged.clear()
        if self.outstanding_message_count >= self.prefetch:
            self._acknowledged.wait(self._seconds)
            return
        try:
            self._client.execute_command("BLMOVE", self._key, self._key, "LEFT", "LEFT", self._seconds)  # type: ignore[no-untyped-call]
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
