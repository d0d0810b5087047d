"""Runs to play with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Thread

import pytest
import uuid_utils.compat

from facnet_grpc.model.run import Claim, NewRun, Run
from facnet_grpc.storage.postgres import leases, runs
from facnet_grpc.storage.postgres.database import Database


@pytest.fixture
def new_run() -> Callable[..., NewRun]:
    """Makes what a caller asks for; everything can be changed."""

    def make(**changes: object) -> NewRun:
        run_id = uuid_utils.compat.uuid7()
        usual = {
            "id": run_id,
            "owner": "local",
            "file_name": "réclamations.csv",
            "size_bytes": 1234,
            "sha256": "ab" * 32,
            "blob_key": str(run_id),
        }
        return NewRun(**(usual | changes))

    return make


@pytest.fixture
def add(database: Database, new_run: Callable[..., NewRun]) -> Callable[..., Run]:
    """Stores a run."""

    def store(**changes: object) -> Run:
        with database.connection() as conn:
            run, is_new = runs.insert(conn, new_run(**changes))
        assert is_new
        return run

    return store


@pytest.fixture
def take(database: Database, add: Callable[..., Run]) -> Callable[..., Claim]:
    """Claims a run, a new one unless it is given."""

    def claim(run: Run | None = None, *, lease_seconds: float = 60, max_attempts: int = 3) -> Claim:
        with database.connection() as conn:
            found = leases.claim(conn, (run or add()).id, lease_seconds=lease_seconds, max_attempts=max_attempts)
        assert found is not None
        return found

    return claim


@pytest.fixture
def wait_for_lock(database: Database) -> Iterator[Callable[[Callable[[], object]], None]]:
    """Does something as soon as a session waits for an advisory lock."""
    threads: list[Thread] = []

    def start(then: Callable[[], object]) -> None:
        def watch() -> None:
            with database.connection() as conn:
                while not conn.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone():
                    conn.rollback()
            then()

        threads.append(Thread(target=watch))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()
