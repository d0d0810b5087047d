"""Dramatiq as the workers use it: the job queue's broker with our own middleware, and nothing of dramatiq's.

`Retries` would write tracebacks into messages; time and age limits throw into a thread at any point, and the lease in
PostgreSQL does what they are for. Shutdown is told by a flag that jobs look at (`pipeline/control.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import redis
from dramatiq.brokers.redis import RedisBroker

from facnet_grpc.errors import TransientError
from facnet_grpc.jobs.contract import QUEUE
from facnet_grpc.jobs.queue import make_broker
from workers.middleware.lifecycle import Component, Fetching, Lifecycle
from workers.middleware.metrics import JobMetrics


def make(redis_url: str, components: Sequence[Component], stop_jobs: Callable[[], None]) -> RedisBroker:
    """Return the broker of a worker process; `components` are open while it works."""
    return make_broker(redis_url, middleware=[Lifecycle(components, stop_jobs), Fetching(), JobMetrics()])


def messages(broker: RedisBroker) -> int:
    """Return how many messages no worker has taken yet. Raises `TransientError`."""
    try:
        return int(broker.client.llen(f"{broker.namespace}:{QUEUE}"))
    except redis.RedisError:
        raise TransientError from None
