"""What attempts use, made once per process by `workers.main`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from uuid import UUID

from psycopg import Connection

from facnet_grpc.events.stream import EventStream
from facnet_grpc.jobs.queue import JobQueue
from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.rules.registry import Registry
from facnet_grpc.settings import Settings
from facnet_grpc.storage.blobs.api import BlobStore
from facnet_grpc.storage.postgres import reference
from facnet_grpc.storage.postgres.database import Database
from workers.validation.lease_guard import GracefulShutdown

MIN_PARALLEL_LINES = 100_000  # with fewer, threads wait for the interpreter as long as they save
# Lines over all rules that are evaluated beside the first one: each needs 40 to 80 bytes a line while it is evaluated.
MAX_PARALLEL_LINES = 2_500_000


class ReferenceCache:
    """The reference data in force, read from PostgreSQL once per version. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._snapshot: ReferenceSnapshot | None = None

    def in_force(self, conn: Connection) -> ReferenceSnapshot:
        """Return the version in force. Raises `TransientError`."""
        version = reference.in_force(conn).version
        with self._lock:
            if self._snapshot is None or self._snapshot.version != version:
                self._snapshot = reference.snapshot(conn, version)
            return self._snapshot


class ActiveRuns:
    """The runs that this process works on. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._run_ids: list[UUID] = []

    @contextmanager
    def track(self, run_id: UUID) -> Iterator[None]:
        """Count a run as active for as long as the context lasts."""
        with self._lock:
            self._run_ids.append(run_id)
        try:
            yield
        finally:
            with self._lock:
                self._run_ids.remove(run_id)

    def run_ids(self) -> tuple[UUID, ...]:
        """Return the ids of the active runs."""
        with self._lock:
            return tuple(self._run_ids)


@dataclass(frozen=True)
class Resources:
    """Everything is ready for use; whoever made it opens and closes it."""

    settings: Settings
    database: Database
    blobs: BlobStore
    events: EventStream
    queue: JobQueue
    rules: Registry
    references: ReferenceCache
    shutdown: GracefulShutdown
    active_runs: ActiveRuns = field(default_factory=ActiveRuns)
    min_parallel_lines: int = MIN_PARALLEL_LINES
    results_per_copy: int = 50_000

    def rule_concurrency(self, lines: int) -> int:
        """Return how many rules of a run with so many lines to evaluate in parallel."""
        return rule_concurrency(lines, self.settings.rules.rule_threads, self.min_parallel_lines)


def rule_concurrency(lines: int, max_threads: int, min_lines: int = MIN_PARALLEL_LINES) -> int:
    """Return how many rules to evaluate in parallel: 1 for small files, and for very large ones, to save memory."""
    return 1 if lines < min_lines else min(max_threads, 1 + MAX_PARALLEL_LINES // max(lines, 1))
