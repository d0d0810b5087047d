"""Reads from PostgreSQL for the unary calls and for watchers. Everything here blocks: it runs in the pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from facnet_grpc.errors import Conflict, Reason
from facnet_grpc.model.result import RejectedRow, Result
from facnet_grpc.model.run import Run, RunStatus
from facnet_grpc.model.summary import Summary
from facnet_grpc.phi.redaction import Redactor
from facnet_grpc.server.results import phi_audit
from facnet_grpc.server.runs.estimate import Estimate, QueueForecast
from facnet_grpc.server.watching.snapshot import RunSnapshot, from_run
from facnet_grpc.storage.postgres import records, results, runs
from facnet_grpc.storage.postgres.database import Database


class RunQueries:
    """Runs and what was found in them: of one owner at a time, or of any, for an owner of None."""

    def __init__(self, database: Database, redactor: Redactor, outlook: QueueForecast) -> None:
        self._database = database
        self._redactor = redactor
        self._outlook = outlook

    def run(self, run_id: UUID, owner: str | None) -> Run:
        """Return a run. Raises `NotFound`."""
        with self._database.connection() as conn:
            return runs.get(conn, run_id, owner)

    def expected(self, run: Run) -> Estimate:
        """Return what is expected of a run that has not ended."""
        return self._outlook.of(run)

    def runs(self, owner: str, filters: runs.RunFilter, *, before: UUID | None, limit: int) -> list[Run]:
        """Return a page of runs, newest first."""
        with self._database.connection() as conn:
            return runs.page(conn, owner, filters, before=before, limit=limit)

    def summary(self, run_id: UUID, owner: str | None) -> tuple[Run, Summary]:
        """Return a completed run and its figures. Raises `NotFound`, `Conflict` if it is not completed."""
        with self._database.connection() as conn:
            run = _completed(runs.get(conn, run_id, owner))
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
        """Return a page of results; `doctor` as the caller sees one, or empty. Raises `NotFound`, `Conflict`."""
        with self._database.connection() as conn:
            _completed(runs.get(conn, run_id, owner))
            if doctor:
                keys = results.doctor_keys(conn, run_id)
                persons = phi_audit.person_view(self._redactor)
                meant = tuple(key for key in keys if persons.is_doctor(key, doctor))
                filters = replace(filters, doctor_keys=meant)
            found = results.page(conn, run_id, filters, after=after, limit=limit)
            phi_audit.record(conn, "ListValidationResults", run_id, min(len(found), limit - 1))
            return found

    def rejected_rows(
        self, run_id: UUID, owner: str | None, *, after: int, limit: int
    ) -> tuple[Run, list[RejectedRow]]:
        """Return a completed run and a page of its rejected lines. Raises `NotFound`, `Conflict`."""
        with self._database.connection() as conn:
            run = _completed(runs.get(conn, run_id, owner))
            found = records.rejected_page(conn, run_id, after=after, limit=limit)
            phi_audit.record(conn, "ListRejectedRows", run_id, min(len(found), limit - 1))
            return run, found

    def one(self, run_id: UUID, owner: str | None) -> RunSnapshot:
        """Return what a watcher sees first. Raises `NotFound`."""
        with self._database.connection() as conn:
            run = runs.get(conn, run_id, owner)
        return from_run(run, self._outlook.of(run))

    def many(self, run_ids: Sequence[UUID]) -> list[RunSnapshot]:
        """Return the views of those runs that exist."""
        with self._database.connection() as conn:
            found = runs.get_many(conn, run_ids)
        return [from_run(run, self._outlook.of(run)) for run in found]


def _completed(run: Run) -> Run:
    if run.status is not RunStatus.COMPLETED:
        raise Conflict(Reason.WRONG_STATE, validation_id=str(run.id), status=run.status.value)
    return run
