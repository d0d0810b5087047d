"""Liveness and readiness of a process, served over HTTP beside its metrics.

`/livez` answers as long as the process does: restarting it would not bring PostgreSQL back. `/readyz` answers whether
the process can work, with the state of each dependency and nothing else: the page has no authentication.
`prometheus_client.start_http_server` serves metrics only, so that the page has a server of its own.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from socketserver import ThreadingMixIn
from threading import Lock, Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import redis
from prometheus_client import make_wsgi_app

from facnet_grpc.errors import FacnetError
from facnet_grpc.events.stream import connect
from facnet_grpc.logs import get_logger
from facnet_grpc.settings.storage import StorageSettings
from facnet_grpc.storage.blobs.local import LocalBlobStore
from facnet_grpc.storage.postgres.database import Database

log = get_logger(__name__)

CACHE_SECONDS = 2.0  # several probes ask at once
PING_SECONDS = 2.0
REQUIRED = frozenset(
    {"postgres", "schema", "blobs"}
)  # without Redis runs are still accepted: the reconciler finds them

Check = Callable[[], None]


class Readiness:
    """Checks the dependencies of a process, and caches the outcome for `CACHE_SECONDS`. Thread-safe."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        *,
        required: frozenset[str] = REQUIRED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use `checks`, which raise an exception to fail; the `required` ones decide on readiness."""
        self._checks = checks
        self._required = required
        self._clock = clock
        self._lock = Lock()
        self._checked_at = float("-inf")
        self._outcomes: dict[str, bool] = {}
        self._stopping = False

    def stop(self) -> None:
        """Report not ready from now on."""
        self._stopping = True

    def check(self) -> dict[str, bool]:
        """Return the outcome of each check. Blocks, for seconds if a dependency does not answer."""
        with self._lock:
            if self._clock() - self._checked_at > CACHE_SECONDS:
                self._outcomes = {name: _passes(name, check) for name, check in self._checks.items()}
                self._checked_at = self._clock()
            return dict(self._outcomes)

    def is_ready(self) -> bool:
        """Whether all required checks pass."""
        return not self._stopping and all(passed for name, passed in self.check().items() if name in self._required)


def of(settings: StorageSettings, database: Database) -> Readiness:
    """Return the readiness of a process that works with `database` and what the settings name."""
    return Readiness(
        {
            "postgres": lambda: _ping(database),
            "schema": _Schema(settings.database_url.get_secret_value()),
            "redis": lambda: _ping_redis(settings.redis_url.get_secret_value()),
            "blobs": lambda: LocalBlobStore(settings.blob_dir).check(),
        },
    )


class _Schema:
    """Checks that the schema is complete for this release; not again once it is."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._complete = False

    def __call__(self) -> None:
        if not self._complete:
            # Alembic takes 25 MB of a worker, and most workers are never probed.
            from facnet_grpc.storage.postgres import migrate  # noqa: PLC0415 - see above

            self._complete = not migrate.pending(self._url, until=migrate.Stage.BEFORE)
        if not self._complete:
            raise FacnetError


def _ping(database: Database) -> None:
    database.ping(timeout=PING_SECONDS)


def _ping_redis(url: str) -> None:
    with connect(url) as client:
        client.ping()


def _passes(name: str, check: Check) -> bool:
    try:
        check()
    except (FacnetError, redis.RedisError):
        return False
    except Exception as error:  # noqa: BLE001 - a defect in a check must not end the task that reports readiness
        log.warning("health_check_raised", check=name, kind=type(error).__name__)
        return False
    return True


class Page:
    """`/metrics`, `/livez` and `/readyz` of this process, on an address of its own."""

    def __init__(self, host: str, port: int, readiness: Readiness | None) -> None:
        """Listen. Raises `OSError` if the address is taken. Without `readiness`, `/readyz` answers like `/livez`."""
        kind = _Server6 if ":" in host else _Server
        self._server = make_server(host, port, _application(readiness), kind, handler_class=_SilentHandler)
        self._thread = Thread(target=self._server.serve_forever, name="metrics-page", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.server_port

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _application(readiness: Readiness | None) -> Any:
    figures = make_wsgi_app()

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/livez" or (path == "/readyz" and readiness is None):
            return _answer(start_response, HTTPStatus.OK, {"alive": True})
        if path == "/readyz" and readiness is not None:
            ready = readiness.is_ready()
            status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
            return _answer(start_response, status, {"ready": ready, **readiness.check()})
        page: Iterable[bytes] = figures(environ, start_response)
        return page

    return application


def _answer(start_response: Callable[..., Any], status: HTTPStatus, body: Mapping[str, bool]) -> list[bytes]:
    start_response(f"{status.value} {status.phrase}", [("Content-Type", "application/json")])
    return [json.dumps(body).encode() + b"\n"]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Log nothing: probes come every few seconds."""
