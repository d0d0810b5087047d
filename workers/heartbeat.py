"""Says every few seconds that this process is there, and what it is at."""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib.metadata import version
from uuid import UUID, uuid4

from facnet_grpc.errors import FacnetError
from facnet_grpc.logs import exception_fields, get_logger
from facnet_grpc.storage.postgres import workers
from facnet_grpc.storage.postgres.database import Database

SAY_SECONDS = 5.0
TTL_SECONDS = 20.0  # three may be missed
log = get_logger(__name__)


class WorkerHeartbeat:
    """One process; `run_ids` tells what it works on. The id is made up, so that it says nothing about the machine."""

    def __init__(self, database: Database, *, threads: int, run_ids: Callable[[], Collection[UUID]]) -> None:
        self._database = database
        self._threads = threads
        self._run_ids = run_ids
        self._release = version("facnet-grpc")
        self.id = uuid4()

    def open(self) -> None:
        """Whoever owns this calls `say` from now on."""

    def close(self) -> None:
        """Say that it is gone; not being able to is no trouble, as it is forgotten anyway."""
        try:
            with self._database.connection(timeout=1.0) as conn:
                workers.delete(conn, self.id)
        except FacnetError as error:
            log.info("worker_not_signed_off", **exception_fields(error))

    def say(self) -> None:
        """Say that it is there. Raises `TransientError`."""
        with self._database.connection(durable=False) as conn:
            workers.heartbeat(
                conn,
                self.id,
                release=self._release,
                threads=self._threads,
                run_ids=self._run_ids(),
                ttl_seconds=TTL_SECONDS,
            )

    def forget_others(self) -> None:
        """Remove those that have gone without a word; a chore. Raises `TransientError`."""
        with self._database.connection() as conn:
            workers.delete_expired(conn)
