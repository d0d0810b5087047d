"""How a worker process takes messages: one for each thread that can work on it."""

from __future__ import annotations

from dramatiq import Broker, Worker
from dramatiq.middleware import Middleware

# The longest that threads with nothing to do go without looking up, so half of what an idle worker takes to stop. A
# message wakes them at once (`facnet_grpc.jobs.consumer`).
WAIT_MILLISECONDS = 500


class Fetching(Middleware):
    """Sets what dramatiq otherwise reads from the environment while it is imported.

    By default a worker takes twice as many messages as it has threads, and a run would wait behind a long one while
    another process is idle.
    """

    def before_worker_boot(self, _broker: Broker, worker: Worker) -> None:
        """Take no more than can be worked on."""
        worker.queue_prefetch = worker.worker_threads
        worker.delay_prefetch = worker.worker_threads
        worker.worker_timeout = WAIT_MILLISECONDS
