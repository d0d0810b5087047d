"""The whole system on this machine, for measuring: PostgreSQL, Valkey, a server, a worker, and a client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks import processes
from facnet_client import FacnetClient
from facnet_grpc.devstack.embedded import start_postgres, start_valkey


@dataclass(frozen=True)
class Stack:
    """What a benchmark needs to know of the running system."""

    client: FacnetClient
    database_url: str
    pid: int  # of the process that server and worker are children of

    def workers(self) -> list[int]:
        """Return the processes of the worker, one of which works on a run."""
        return processes.named(self.pid, "workers.main")


def _own_database(server: str) -> str:
    """Return the URL of the database that the stack has just made for itself on a server."""
    with psycopg.connect(server) as conn:
        row = conn.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, 'facnet_run_') ORDER BY datname DESC LIMIT 1"
        ).fetchone()
    assert row is not None
    return make_conninfo(server, dbname=row[0])


@contextmanager
def running() -> Iterator[Stack]:
    """Start everything, with durable writes as in production; `DATABASE_URL` and `REDIS_URL` win over the wheels."""
    with start_postgres(durable=True) as database_url, start_valkey() as redis_url:
        environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, **os.environ}
        command = [
            sys.executable,
            "-m",
            "facnet_grpc",
            "dev",
            "--ephemeral",
            "--announce",
            "json",
            "--until-stdin-closes",
        ]
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            try:
                target = json.loads(child.stdout.readline())["target"]
                with FacnetClient(target) as client:
                    yield Stack(client, _own_database(environment["DATABASE_URL"]), child.pid)
            finally:
                child.stdin.close()
