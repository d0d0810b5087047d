"""Dramatiq middleware: the components of a worker process, and how many messages it fetches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Protocol

from dramatiq import Broker, Worker
from dramatiq.middleware import Middleware, MiddlewareError

from facnet_grpc.logs import exception_fields, get_logger

# How often an idle thread checks whether to stop: about half of what an idle worker takes to stop. A message wakes it
# at once (`facnet_grpc.jobs.queue`).
IDLE_MILLISECONDS = 500
log = get_logger(__name__)


class Prefetch(Middleware):
    """Makes a worker fetch one message per thread.

    By default dramatiq fetches twice as many, so that a run would wait behind a long one while another process is idle.
    Dramatiq reads these values from the environment when it is imported; here they are set later.
    """

    def before_worker_boot(self, _broker: Broker, worker: Worker) -> None:
        """Set the numbers of messages, and how long idle threads wait."""
        worker.queue_prefetch = worker.worker_threads
        worker.delay_prefetch = worker.worker_threads
        worker.worker_timeout = IDLE_MILLISECONDS


class Component(Protocol):
    """An object with connections or threads, which it makes in `open`: in the process that uses them."""

    def open(self) -> None:
        """Connect and start threads. Raises if that fails."""

    def close(self) -> None:
        """Stop threads and disconnect."""


class Lifecycle(Middleware):
    """Opens components in order and closes them in reverse.

    Before the worker boots, not after the process has: dramatiq swallows what `after_` hooks raise, and a worker that
    cannot open its parts must not take jobs.
    """

    def __init__(self, components: Sequence[Component], request_shutdown: Callable[[], None]) -> None:
        self._components = components
        self._request_shutdown = request_shutdown
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
        """Ask jobs to stop."""
        self._request_shutdown()

    def after_worker_shutdown(self, _broker: Broker, _worker: Worker) -> None:
        """Close everything; the last job has ended."""
        self._opened.close()
        log.info("worker_stopped")


def _open(component: Component) -> None:
    try:
        component.open()
    except Exception as error:  # noqa: BLE001 - a worker must not work without one of its components
        log.critical("worker_cannot_start", component=type(component).__name__, **exception_fields(error))
        raise MiddlewareError(f"{type(component).__name__} cannot be opened") from None
