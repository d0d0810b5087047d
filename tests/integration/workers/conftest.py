"""Everything a worker needs, on real servers, and files that can be stopped in the middle."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from threading import Event as Flag
from threading import Thread
from typing import Any, Self
from uuid import UUID, uuid4

import pytest
from psycopg import sql

from facnet_grpc.events.stream import RunEvent
from facnet_grpc.ingest.lines import LineBlock
from facnet_grpc.ingest.reader import ClaimFile, FileFormat, open_claims
from facnet_grpc.model.run import NewRun, Run
from facnet_grpc.settings import Settings
from facnet_grpc.storage import factory
from facnet_grpc.storage.postgres import runs
from facnet_grpc.storage.postgres.database import Database
from workers import main
from workers.validation.job import validate
from workers.validation.resources import Resources

PATIENCE = 30.0


@pytest.fixture(scope="session")
def sample() -> bytes:
    """The synthetic file that ships with the project."""
    return (files("facnet_grpc.sample") / "claims-5000.csv").read_bytes()


@pytest.fixture
def settings(clean_postgres_url: str, redis_url: str, tmp_path: Any) -> Settings:
    """Settings that make everything happen soon."""
    return Settings.of(
        database_url=clean_postgres_url,
        redis_url=redis_url,
        blob_dir=tmp_path / "files",
        pseudonym_key="x" * 32,
        blob_key="b" * 32,
        metrics_listen="",
        lease_seconds=3.0,
        retry_base_seconds=0.01,
        reconcile_seconds=0.05,
        shutdown_seconds=0.0,
    )


@pytest.fixture
def resources(settings: Settings, database: Database) -> Resources:
    """What an attempt needs."""
    return replace(
        main.make_resources(settings), database=database, blobs=factory.blob_store(settings.storage, database)
    )


@dataclass
class Bench:
    """Hands in files and looks at what became of them."""

    resources: Resources

    def submit(self, content: bytes, **more: Any) -> UUID:
        """Store a file and its run, as the server does; nothing is queued."""
        upload_id, key, run_id = uuid4(), str(uuid4()), uuid4()
        with self.resources.blobs.open_part(upload_id) as part:
            part.write(content)
        self.resources.blobs.commit(upload_id, key)
        new = NewRun(
            id=run_id,
            owner="local",
            file_name="claims.csv",
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            blob_key=key,
            **more,
        )
        with self.resources.database.connection() as conn:
            runs.insert(conn, new)
        return run_id

    def validate(self, run_id: UUID) -> Run:
        """Do one attempt and return the run after it."""
        validate(self.resources, run_id)
        return self.run(run_id)

    def run(self, run_id: UUID) -> Run:
        """Return the run as it is now."""
        with self.resources.database.connection() as conn:
            return runs.get(conn, run_id)

    def count(self, table: str, run_id: UUID) -> int:
        """Count what a run has in a table."""
        query = sql.SQL("SELECT count(*) FROM {} WHERE run_id = %s").format(sql.Identifier(table))
        with self.resources.database.connection() as conn:
            return conn.execute(query, (run_id,)).fetchone()[0]

    def stored(self, run_id: UUID) -> dict[str, int]:
        """Count what is stored of a run's content."""
        return {
            table: self.count(table, run_id) for table in ("billing_records", "rejected_rows", "validation_results")
        }

    def execute(self, statement: str, *params: Any) -> None:
        """Change something behind everybody's back."""
        with self.resources.database.connection() as conn:
            conn.execute(statement, params)

    def events(self, run_id: UUID) -> list[RunEvent]:
        """Return what watchers were told."""
        return self.resources.events.tail({run_id: ""}, block_seconds=0.01)

    def blobs(self) -> set[str]:
        """Return the keys of the files that are there."""
        return {blob.key for blob in self.resources.blobs.blobs()}


NOTHING = {"billing_records": 0, "rejected_rows": 0, "validation_results": 0}


@pytest.fixture
def bench(resources: Resources) -> Bench:
    """A bench on real servers."""
    return Bench(resources)


class HeldFile:
    """A claim file whose reader stops after its first batch until it may go on."""

    def __init__(self, file: ClaimFile, reached: Flag, go_on: Flag) -> None:
        self._file, self._reached, self._go_on = file, reached, go_on

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._file.__exit__(*error)

    @property
    def format(self) -> FileFormat:
        return self._file.format

    def batches(self) -> Iterator[LineBlock]:
        for batch in self._file.batches():
            yield batch
            self._reached.set()
            self._go_on.wait(2 * PATIENCE)


@dataclass
class Held:
    """An attempt that waits in the middle of its file."""

    go_on: Flag
    thread: Thread

    def finish(self) -> None:
        """Let it go on, and wait for its end."""
        self.go_on.set()
        self.join()

    def join(self) -> None:
        """Wait for its end."""
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


@pytest.fixture
def held(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[[UUID], Any]:
    """Begin an attempt and stop it after its first batch; only this attempt, not those that follow."""

    @contextmanager
    def hold(run_id: UUID) -> Iterator[Held]:
        reached, go_on = Flag(), Flag()
        with monkeypatch.context() as patched:
            patched.setattr(
                "workers.validation.attempt.open_claims",
                lambda *args: HeldFile(open_claims(*args), reached, go_on),
            )
            thread = Thread(target=validate, args=(bench.resources, run_id), daemon=True)
            thread.start()
            assert reached.wait(PATIENCE)
        try:
            yield Held(go_on, thread)
        finally:
            go_on.set()
            thread.join(PATIENCE)

    return hold
