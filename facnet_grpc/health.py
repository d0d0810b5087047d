"""Whether a process can do its work: what it stands on, asked rarely, and told over HTTP beside the figures.

`/livez` answers as long as the process does: restarting it would not bring PostgreSQL back. `/readyz` says whether to
send it work, and names what is missing; nothing else is told, as anybody on the network of the probes may ask.
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
from facnet_grpc.settings.storage import StorageSettings
from facnet_grpc.storage.blobs.local import LocalBlobStore
from facnet_grpc.storage.postgres.database import Database

KEEP_SECONDS = 2.0  # probes come from several sides at once
WAIT_SECONDS = 2.0
NEEDED = frozenset({"postgres", "schema", "blobs"})  # without Redis runs are still taken, and found by the reconciler

Check = Callable[[], None]


class Readiness:
    """Asks each part whether it is there, and remembers the answers for two seconds. Thread-safe."""

    def __init__(self, checks: Mapping[str, Check], *, needed: frozenset[str] = NEEDED) -> None:
        """Use `checks`, which raise `FacnetError` or `redis.RedisError`; those that are not `needed` are only told."""
        self._checks = checks
        self._needed = needed
        self._lock = Lock()
        self._asked_at = float("-inf")
        self._answers: dict[str, bool] = {}
        self._stopping = False

    def stop(self) -> None:
        """Say from now on that no work is wanted."""
        self._stopping = True

    def look(self) -> dict[str, bool]:
        """Return which parts are there. Blocks, for seconds if one does not answer."""
        with self._lock:
            if time.monotonic() - self._asked_at > KEEP_SECONDS:
                self._answers = {name: _holds(check) for name, check in self._checks.items()}
                self._asked_at = time.monotonic()
            return dict(self._answers)

    def is_ready(self) -> bool:
        """Whether everything is there that work needs."""
        return not self._stopping and all(found for name, found in self.look().items() if name in self._needed)


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
    """Whether the schema is one that this release can work with: asked until it is, and then no more."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._complete = False

    def __call__(self) -> None:
        if not self._complete:
            # Alembic takes a worker 25 MB, and most are never asked.
            from facnet_grpc.storage.postgres import migrate  # noqa: PLC0415 - see above

            self._complete = not migrate.pending(self._url, until=migrate.Stage.BEFORE)
        if not self._complete:
            raise FacnetError


def _ping(database: Database) -> None:
    database.ping(timeout=WAIT_SECONDS)


def _ping_redis(url: str) -> None:
    with connect(url) as client:
        client.ping()


def _holds(check: Check) -> bool:
    try:
        check()
    except (FacnetError, redis.RedisError):
        return False
    return True


class Page:
    """`/metrics`, `/livez` and `/readyz` of this process, on an address of its own."""

    def __init__(self, host: str, port: int, readiness: Readiness | None) -> None:
        """Listen. Raises `OSError` if that is impossible. Without `readiness`, `/readyz` says what `/livez` says."""
        kind = _Server6 if ":" in host else _Server
        self._server = make_server(host, port, _application(readiness), kind, handler_class=_Silent)
        self._thread = Thread(target=self._server.serve_forever, name="metrics-page", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it is at."""
        return self._server.server_port

    def close(self) -> None:
        """Stop answering."""
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
            return _answer(start_response, status, {"ready": ready, **readiness.look()})
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


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Log nothing: probes come every few seconds."""
