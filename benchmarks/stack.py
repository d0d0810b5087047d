"""The whole system on this machine, for measuring: PostgreSQL, Valkey, a server, a worker, and a client."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from benchmarks import processes
from facnet_client import FacnetClient
from facnet_grpc.devstack.embedded import start_postgres
from facnet_grpc.devstack.environment import Environment
from facnet_grpc.devstack.probe import is_serving
from facnet_grpc.devstack.process import Child
from facnet_grpc.storage.postgres.migrate import migrate

READY_SECONDS = 60.0
STOP_SECONDS = 15.0
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Stack:
    """What a benchmark needs to know of the running system."""

    client: FacnetClient
    target: str
    variables: Mapping[str, str]  # environment of server and worker
    server: Child
    worker: Child

    @property
    def database_url(self) -> str:
        """Where PostgreSQL is, as a URL or conninfo."""
        return self.variables["DATABASE_URL"]

    def workers(self) -> list[int]:
        """Return the processes of the worker, one of which works on a run."""
        return processes.named(self.worker.pid, "workers.main")


@contextmanager
def running(more: Mapping[str, str] = NOTHING, token: str | None = None) -> Iterator[Stack]:
    """Start everything, with `more` settings and durable writes as in production; the client shows `token`.

    Servers that `DATABASE_URL` and `REDIS_URL` name win over the wheels.
    """
    with ExitStack() as opened:
        data_dir = Path(opened.enter_context(TemporaryDirectory(ignore_cleanup_errors=True)))
        given = {**os.environ, **more}
        if "DATABASE_URL" not in given:
            given["DATABASE_URL"] = opened.enter_context(start_postgres(durable=True))
        variables = Environment(data_dir, opened, ephemeral=True, environ=given).variables
        migrate(variables["DATABASE_URL"])
        server = _start("serve", variables, data_dir, opened)
        worker = _start("worker", {**variables, "FACNET_METRICS_LISTEN": ""}, data_dir, opened)
        target = variables["FACNET_LISTEN"]
        deadline = time.monotonic() + READY_SECONDS
        while not is_serving(target, timeout=1.0):
            if time.monotonic() > deadline:
                sys.exit(server.log_tail())
        client = opened.enter_context(FacnetClient(target, token=token))
        yield Stack(client, target, variables, server, worker)


def _start(command: str, variables: Mapping[str, str], data_dir: Path, opened: ExitStack) -> Child:
    child = Child(command, [sys.executable, "-m", "facnet_grpc", command], variables, data_dir / f"{command}.log")
    opened.callback(child.stop, STOP_SECONDS)
    return child
