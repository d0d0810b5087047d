"""Reads results, summaries, lines and logs of runs from PostgreSQL. Everything here blocks.

An owner of None means the runs of all owners. Reads of persons' data are recorded in the PHI access log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pyarrow as pa

from facnet_grpc.model.log_entry import LogEntry, LogLevel
from facnet_grpc.model.result import RejectedRow, Result
from facnet_grpc.model.run import Run
from facnet_grpc.model.summary import Summary
from facnet_grpc.phi.redaction import Redactor
from facnet_grpc.server.results import phi_audit
from facnet_grpc.server.runs.queries import completed_run
from facnet_grpc.storage.postgres import records, results, run_log, runs
from facnet_grpc.storage.postgres.database import Database


class ResultQueries:
    """What a run has produced. Raises `NotFound`, and `Conflict` (WRONG_STATE) if the run is not completed."""

    def __init__(self, database: Database, redactor: Redactor) -> None:
        self._database = database
        self._redactor = redactor

    def summary(self, run_id: UUID, owner: str | None) -> tuple[Run, Summary]:
        """Return a completed run and its summary."""
        with self._database.connection() as conn:
            run = completed_run(conn, run_id, owner)
            return run, runs.summary(conn, run_id) or Summary()

    def results(
        self,
        run_id: UUID,
        owner: str | None,
        filters: results.ResultFilter,
        *,
        doctor: str,
        after: int,
        limit: int,
    ) -> list[Result]:
        """Return a page of results; `doctor` is a key as the caller sees it, or empty for all."""
        with self._database.connection() as conn:
            completed_run(conn, run_id, owner)
            if doctor:
                keys = results.doctor_keys(conn, run_id)
                persons = phi_audit.person_view(self._redactor)
                filters = replace(filters, doctor_keys=tuple(key for key in keys if persons.is_doctor(key, doctor)))
            found = results.page(conn, run_id, filters, after=after, limit=limit)
            phi_audit.record(conn, "ListValidationResults", run_id, min(len(found), limit - 1))
            return found

    def rejected_rows(
        self, run_id: UUID, owner: str | None, *, after: int, limit: int
    ) -> tuple[Run, list[RejectedRow]]:
        """Return a completed run and a page of its rejected lines."""
        with self._database.connection() as conn:
            run = completed_run(conn, run_id, owner)
            found = records.rejected_page(conn, run_id, after=after, limit=limit)
            phi_audit.record(conn, "ListRejectedRows", run_id, min(len(found), limit - 1))
            return run, found

    def lines(
        self, run_id: UUID, owner: str | None, *, numbers: Sequence[int], after: int, limit: int
    ) -> pa.RecordBatch:
        """Return a page of lines (LINE_SCHEMA), of the record numbers in `numbers` or of all."""
        with self._database.connection() as conn:
            completed_run(conn, run_id, owner)
            found = records.record_page(conn, run_id, numbers=numbers, after=after, limit=limit)
            phi_audit.record(conn, "ListBillingRecords", run_id, min(found.num_rows, limit - 1))
            return found

    def logs(
        self, run_id: UUID, owner: str | None, *, min_level: LogLevel, source: str | None, after: int, limit: int
    ) -> list[LogEntry]:
        """Return a page of the log of a run in any state."""
        with self._database.connection() as conn:
            runs.get(conn, run_id, owner)
            return run_log.page(conn, run_id, min_level=min_level, source=source, after=after, limit=limit)
