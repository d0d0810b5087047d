"""A whole service to break: PostgreSQL and Valkey that can be stopped, a server and two workers under a supervisor.

Clients reach the server through a proxy. PostgreSQL is durable: what it has said to be committed must be there after a
crash. Valkey is not: it forgets everything.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import redis
from chaos_proxy import Proxy
from chaos_supervisor import Program, Supervisor, family

from facnet_client import FacnetClient
from facnet_client.retry import Retry
from facnet_grpc import faults
from facnet_grpc.devstack.embedded import EmbeddedPostgres, EmbeddedValkey
from facnet_grpc.devstack.probe import is_serving
from facnet_grpc.storage.postgres.migrate import migrate

WORKERS = ("worker-1", "worker-2")
LEASE_SECONDS = 2.0
PATIENCE = 60.0  # generous: the machine may be busy with other things
PATIENT = Retry(connect=PATIENCE, patience=PATIENCE, first_delay=0.05, largest_delay=0.5)
POLL_SECONDS = 0.02
SOON = {
    "FACNET_LEASE_SECONDS": str(LEASE_SECONDS),
    "FACNET_RECONCILE_SECONDS": "0.2",
    "FACNET_RETENTION_SCHEDULE": "1s",
    "FACNET_RETRY_BASE_SECONDS": "0.1",
    "FACNET_HEARTBEAT_SECONDS": "1",
    "FACNET_SHUTDOWN_SECONDS": "2",
    "FACNET_WORKER_PROCESSES": "1",
    "FACNET_METRICS_LISTEN": "",
    "FACNET_LOG_FORMAT": "json",
    "FACNET_PSEUDONYM_KEY": "k" * 32,
    "FACNET_BLOB_KEY": "b" * 32,
    "PYTHONUNBUFFERED": "1",
}


class Broken(Exception):
    """Something that was waited for did not come."""


def eventually(what: str, condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait until `condition` gives something true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise Broken(f"{what}: not within {seconds:g} s")
        time.sleep(POLL_SECONDS)
    return found


class ChaosStack:
    """Everything, while the context lasts; `more` are settings other than those in `SOON`."""

    def __init__(self, directory: Path, **more: str) -> None:
        self.directory = directory
        self.blob_dir = directory / "blobs"
        self._plan = directory / "plan"
        self._hits = directory / "hits"
        self._more = more
        self._opened = ExitStack()
        self.postgres = EmbeddedPostgres(durable=True)
        self.valkey = EmbeddedValkey()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            opened.enter_context(self.postgres)
            opened.enter_context(self.valkey)
            migrate(self.postgres.url)
            self._port = _free_port()
            self.proxy = opened.enter_context(Proxy(self._port))
            self.supervisor = opened.enter_context(Supervisor(self._programs()))
            self.redis = opened.enter_context(redis.Redis.from_url(self.valkey.url))
            try:
                self.wait_until_serving()
            except Broken as error:
                raise Broken(f"{error}\n{self.log('server')[-2000:]}") from None
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.disarm()
        self._opened.close()

    def client(self) -> FacnetClient:
        """Return a client that goes through the proxy and does not give up soon."""
        return FacnetClient(f"127.0.0.1:{self.proxy.port}", language="en", retry=PATIENT)

    # Faults at points

    def arm(self, plan: str) -> None:
        """Make faults happen from now on, counted from now on."""
        faults.parse(plan)
        self.disarm()
        self._hits.write_text("")
        _replace(self._plan, plan)

    def disarm(self) -> None:
        """Make no more faults happen, and let go whoever stands still."""
        _replace(self._plan, "")
        self.go_on()

    def hits(self, point: str) -> list[int]:
        """Return which processes have reached a point of the plan, in order."""
        lines = self._hits.read_text().splitlines() if self._hits.exists() else []
        return [int(pid) for name, pid in map(str.split, lines) if name == point]

    def stopped_at(self, point: str) -> int:
        """Wait until a process stands still at a point, and return its id."""
        pid = eventually(f"{point} reached", lambda: self.hits(point))[0]
        eventually(f"{point} stops", lambda: _state(pid) in {"T", None})
        return int(pid)

    def go_on(self) -> None:
        """Let go every process that stands still."""
        for program in self.supervisor.programs.values() if hasattr(self, "supervisor") else ():
            for pid in family(program.child.pid) if program.child else ():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    # Faults around

    @contextmanager
    def without_redis(self) -> Iterator[None]:
        """Valkey is away, and has forgotten everything afterwards."""
        self.valkey.stop(crash=True)
        try:
            yield
        finally:
            self.valkey.start()

    def wait_until_serving(self) -> None:
        """Wait until the server answers."""
        eventually("the server answers", lambda: is_serving(f"127.0.0.1:{self._port}", timeout=1.0))

    def log(self, name: str) -> str:
        """Return what a program has written."""
        path = self.directory / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _programs(self) -> list[Program]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FACNET_")}
        environment = {
            **clean,
            **SOON,
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.valkey.url,
            "FACNET_BLOB_DIR": str(self.blob_dir),
            "FACNET_LISTEN": f"127.0.0.1:{self._port}",
            "FACNET_FAULTS": f"@{self._plan}",
            "FACNET_FAULTS_STATE": str(self._hits),
            **self._more,
        }
        commands = {"server": "serve"} | dict.fromkeys(WORKERS, "worker")
        return [
            Program(
                name,
                [sys.executable, "-m", "facnet_grpc", command],
                environment,
                self.directory / f"{name}.log",
            )
            for name, command in commands.items()
        ]


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def _state(pid: int) -> str | None:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
