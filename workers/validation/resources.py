"""The reference data as runs see it: the version in force when work begins, read once per version and process.

Which runs this process is at.

What an attempt needs from outside, made once per process by `workers.main`.
"""

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
from workers.validation.lease_guard import Stopping


class References:
    """Remembers the last version that was asked for: a new one is used from the next run on."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: ReferenceSnapshot | None = None

    def in_force(self, conn: Connection) -> ReferenceSnapshot:
        """Return the version in force. Raises `TransientError`."""
        version = reference.in_force(conn).version
        with self._lock:
            if self._last is None or self._last.version != version:
                self._last = reference.snapshot(conn, version)
            return self._last


class Busy:
    """Remembers runs for as long as somebody works on them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._at: list[UUID] = []

    @contextmanager
    def at(self, run_id: UUID) -> Iterator[None]:
        """Remember a run in a `with` statement."""
        with self._lock:
            self._at.append(run_id)
        try:
            yield
        finally:
            with self._lock:
                self._at.remove(run_id)

    def run_ids(self) -> tuple[UUID, ...]:
        """Return the runs."""
        with self._lock:
            return tuple(self._at)


@dataclass(frozen=True)
class Resources:
    """Ready things; whoever made them opens and closes them."""

    settings: Settings
    database: Database
    blobs: BlobStore
    events: EventStream
    queue: JobQueue
    rules: Registry
    references: References
    stopping: Stopping
    busy: Busy = field(default_factory=Busy)
