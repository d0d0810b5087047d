"""Metrics of a worker process: counters of dramatiq's messages, and the page that Prometheus scrapes."""

from __future__ import annotations

import errno

from dramatiq import Broker
from dramatiq.broker import MessageProxy
from dramatiq.middleware import Middleware

from facnet_grpc import metrics
from facnet_grpc.health import Page, Readiness
from facnet_grpc.logs import get_logger

PORTS = 100
log = get_logger(__name__)


class JobMetrics(Middleware):
    """Counts messages, under the names of dramatiq's own dashboards. Actors never raise: an error is a bug."""

    def before_process_message(self, _broker: Broker, message: MessageProxy) -> None:
        """Count a message whose processing starts."""
        metrics.MESSAGES_IN_PROGRESS.labels(message.queue_name, message.actor_name).inc()

    def after_process_message(
        self,
        _broker: Broker,
        message: MessageProxy,
        *,
        result: object = None,  # noqa: ARG002 - dramatiq passes it
        exception: BaseException | None = None,
    ) -> None:
        """Count a message whose processing ended."""
        labels = (message.queue_name, message.actor_name)
        metrics.MESSAGES_IN_PROGRESS.labels(*labels).dec()
        metrics.MESSAGES.labels(*labels).inc()
        if exception is not None:
            metrics.MESSAGE_ERRORS.labels(*labels).inc()

    def after_nack(self, _broker: Broker, message: MessageProxy) -> None:
        """Count a rejected message."""
        metrics.MESSAGES_REJECTED.labels(message.queue_name).inc()


class MetricsPage:
    """Serves the metrics of this process at the first free port above the configured one.

    Each process has a page of its own, and logs its port. The configured port itself is left to a server on the same
    machine, which would not start without it.
    """

    def __init__(self, listen: str, readiness: Readiness | None = None) -> None:
        self._listen = listen
        self._readiness = readiness
        self._page: Page | None = None

    @property
    def port(self) -> int | None:
        """The port of the page, once open."""
        return self._page.port if self._page else None

    def open(self) -> None:
        """Start serving if an address is configured. Having no free port is logged, and no error."""
        host, _, first = self._listen.rpartition(":")
        for port in range(int(first) + 1, min(int(first) + 1 + PORTS, 65536)) if host else ():
            try:
                self._page = Page(host.strip("[]"), port, self._readiness)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    break
            else:
                log.info("metrics_page_open", port=port)
                return
        if host:
            log.warning("metrics_page_not_open")

    def close(self) -> None:
        """Stop serving."""
        if self._page is not None:
            self._page.close()
            self._page = None
