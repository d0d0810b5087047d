"""The heartbeat of a worker process: a row in PostgreSQL that says what it works on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib.metadata import version
from uuid import UUID, uuid4

from facnet_grpc.errors import FacnetError
from facnet_grpc.logs import exception_fields, get_logger
from facnet_grpc.storage.postgres import workers
from facnet_grpc.storage.postgres.database import Database

BEAT_SECONDS = 5.0
TTL_SECONDS = 20.0  # three heartbeats may be missed
log = get_logger(__name__)


class WorkerHeartbeat:
    """The row of one process; `run_ids` returns the runs that it works on. The id is random and names no machine."""

    def __init__(
        self,
        database: Database,
        *,
        threads: int,
        run_ids: Callable[[], Collection[UUID]],
        ttl_seconds: float = TTL_SECONDS,
    ) -> None:
        self._database = database
        self._threads = threads
        self._run_ids = run_ids
        self._ttl_seconds = ttl_seconds
        self._release = version("facnet-grpc")
        self.id = uuid4()

    def open(self) -> None:
        """Do nothing: the scheduler calls `beat`."""

    def close(self) -> None:
        """Remove the row. If that fails, the row expires."""
        try:
            with self._database.connection(timeout=1.0) as conn:
                workers.delete(conn, self.id)
        except FacnetError as error:
            log.info("worker_not_unregistered", **exception_fields(error))

    def beat(self) -> None:
        """Write the row. Raises `TransientError`."""
        with self._database.connection(durable=False) as conn:
            workers.heartbeat(
                conn,
                self.id,
                release=self._release,
                threads=self._threads,
                run_ids=self._run_ids(),
                ttl_seconds=self._ttl_seconds,
            )

    def remove_expired(self) -> None:
        """Remove the rows of processes that were killed. Raises `TransientError`."""
        with self._database.connection() as conn:
            workers.delete_expired(conn)
