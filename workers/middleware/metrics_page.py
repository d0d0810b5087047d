"""The Prometheus page of one worker process."""

from __future__ import annotations

import errno
from wsgiref.simple_server import WSGIServer

from prometheus_client import start_http_server

from facnet_grpc.logs import get_logger

PORTS = 100
log = get_logger(__name__)


class MetricsPage:
    """Serves the figures of this process at the first free port above the configured one.

    Each process of a worker has figures and a page of its own; the port is in the log, and Prometheus adds them up. The
    configured port itself is left to a server on the same machine, which would not start without it.
    """

    def __init__(self, listen: str) -> None:
        self._listen = listen
        self._server: WSGIServer | None = None

    @property
    def port(self) -> int | None:
        """The port that the page is at, once open."""
        return self._server.server_port if self._server else None

    def open(self) -> None:
        """Begin to serve, unless no address is configured. Having no free port is no reason not to work."""
        host, _, first = self._listen.rpartition(":")
        for port in range(int(first) + 1, min(int(first) + 1 + PORTS, 65536)) if host else ():
            try:
                self._server, _ = start_http_server(port, host.strip("[]"))
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
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
