"""Reads lines and logs of runs from PostgreSQL. Everything here blocks: it runs in the pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pyarrow as pa

from facnet_grpc.model.log_entry import LogEntry, LogLevel
from facnet_grpc.model.run import Run, RunStatus
from facnet_grpc.server.results import phi_audit
from facnet_grpc.storage.postgres import records, run_log, runs
from facnet_grpc.storage.postgres.database import Database


class RowQueries:
    """Lines and logs of runs of one owner at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lines(
        self, run_id: UUID, owner: str | None, *, numbers: Sequence[int], after: int, limit: int
    ) -> pa.RecordBatch:
        """Return a page of a completed run's lines (LINE_SCHEMA). Raises `NotFound`, `Conflict`."""
        with self._database.connection() as conn:
            completed(conn, run_id, owner)
            found = records.record_page(conn, run_id, numbers=numbers, after=after, limit=limit)
            phi_audit.record(conn, "ListBillingRecords", run_id, min(found.num_rows, limit - 1))
            return found

    def logs(
        self,
        run_id: UUID,
        owner: str | None,
        *,
        min_level: LogLevel,
        source: str | None,
        after: int,
        limit: int,
    ) -> list[LogEntry]:
        """Return a page of what happened to a run, in whichever state it is. Raises `NotFound`."""
        with self._database.connection() as conn:
            runs.get(conn, run_id, owner)
            return run_log.page(conn, run_id, min_level=min_level, source=source, after=after, limit=limit)


def completed(conn: Any, run_id: UUID, owner: str | None) -> Run:
    """Return a run. Raises `NotFound`, or `Conflict` (WRONG_STATE) if it is not completed."""
    run = runs.get(conn, run_id, owner)
    if run.status is not RunStatus.COMPLETED:
        raise runs.wrong_state(run)
    return run
