"""How a worker process takes messages: one for each thread that can work on it, and promptly."""

from __future__ import annotations

from dramatiq import Broker, Worker
from dramatiq.common import dq_name, q_name
from dramatiq.middleware import Middleware
from dramatiq.worker import ConsumerThread

POLL_MILLISECONDS = 10  # longest wait between two looks at an empty queue
DELAYED_POLL_MILLISECONDS = 1000  # nothing is ever delayed in Redis; looking there keeps this worker's heartbeat going


class Fetching(Middleware):
    """Sets what dramatiq otherwise reads from the environment while it is imported.

    By default a worker takes twice as many messages as it has threads, and a run would wait behind a long one while
    another process is idle.
    """

    def before_worker_boot(self, _broker: Broker, worker: Worker) -> None:
        """Take no more than can be worked on, and look often."""
        worker.queue_prefetch = worker.worker_threads
        worker.delay_prefetch = worker.worker_threads
        worker.worker_timeout = POLL_MILLISECONDS

    def after_consumer_thread_boot(self, _broker: Broker, thread: ConsumerThread) -> None:
        """Look at the queue of delayed messages less often."""
        if thread.queue_name == dq_name(q_name(thread.queue_name)):
            thread.worker_timeout = DELAYED_POLL_MILLISECONDS
