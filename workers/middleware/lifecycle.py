"""How a worker process takes messages: one for each thread that can work on it.

Opens what a worker process needs before its first job, closes it after its last, and tells jobs when to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Protocol

from dramatiq import Broker, Worker
from dramatiq.middleware import Middleware, MiddlewareError

from facnet_grpc.logs import exception_fields, get_logger

# The longest that threads with nothing to do go without looking up, so half of what an idle worker takes to stop. A
# message wakes them at once (`facnet_grpc.jobs.queue`).
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


log = get_logger(__name__)


class Component(Protocol):
    """Something with connections or threads. Both are made in `open`, so in the process that uses them."""

    def open(self) -> None:
        """Get ready; raises if that is impossible."""

    def close(self) -> None:
        """Give everything back."""


class Lifecycle(Middleware):
    """Opens components in order and closes them in reverse.

    Before the worker boots, not after the process has: dramatiq swallows what `after_` hooks raise, and a worker that
    cannot open its parts must not take jobs.
    """

    def __init__(self, components: Sequence[Component], stop_jobs: Callable[[], None]) -> None:
        self._components = components
        self._stop_jobs = stop_jobs
        self._opened = ExitStack()

    def before_worker_boot(self, _broker: Broker, worker: Worker) -> None:
        """Open everything, or refuse to boot."""
        with ExitStack() as opened:
            for component in self._components:
                _open(component)
                opened.callback(component.close)
            self._opened = opened.pop_all()
        log.info("worker_ready", threads=worker.worker_threads)

    def before_worker_shutdown(self, _broker: Broker, _worker: Worker) -> None:
        """Tell jobs that the process has to go."""
        self._stop_jobs()

    def after_worker_shutdown(self, _broker: Broker, _worker: Worker) -> None:
        """Close everything; the last job has ended."""
        self._opened.close()
        log.info("worker_stopped")


def _open(component: Component) -> None:
    try:
        component.open()
    except Exception as error:  # noqa: BLE001 - whatever it is, without its part the worker must not work
        log.critical("worker_cannot_start", component=type(component).__name__, **exception_fields(error))
        raise MiddlewareError(f"{type(component).__name__} cannot be opened") from None
