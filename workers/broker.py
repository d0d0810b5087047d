"""The broker of a worker process: that of the job queue with our own middleware, and none of dramatiq's.

`Retries` would write tracebacks into messages in Redis. Time and age limits raise in a thread at any point; leases in
PostgreSQL replace them. At shutdown, jobs check a flag (`workers.validation.lease_guard`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import redis
from dramatiq.brokers.redis import RedisBroker

from facnet_grpc.errors import TransientError
from facnet_grpc.jobs.contract import QUEUE
from facnet_grpc.jobs.queue import make_broker
from workers.middleware.lifecycle import Component, Lifecycle, Prefetch
from workers.middleware.metrics import JobMetrics


def make(redis_url: str, components: Sequence[Component], request_shutdown: Callable[[], None]) -> RedisBroker:
    """Return the broker of a worker process; `components` are open while it works. `request_shutdown` stops jobs."""
    return make_broker(redis_url, middleware=[Lifecycle(components, request_shutdown), Prefetch(), JobMetrics()])


def count_messages(broker: RedisBroker) -> int:
    """Return the number of messages that no worker has taken yet. Raises `TransientError`."""
    try:
        return int(broker.client.llen(f"{broker.namespace}:{QUEUE}"))
    except redis.RedisError:
        raise TransientError from None
