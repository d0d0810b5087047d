"""Reads runs from PostgreSQL. Everything here blocks."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from facnet_grpc.model.run import Run, RunStatus
from facnet_grpc.server.runs.estimate import Estimate, QueueForecast
from facnet_grpc.storage.postgres import runs
from facnet_grpc.storage.postgres.database import Database


class RunQueries:
    """Runs of one owner, or of all owners if the owner is None."""

    def __init__(self, database: Database, forecast: QueueForecast) -> None:
        self._database = database
        self._forecast = forecast

    def run(self, run_id: UUID, owner: str | None) -> Run:
        """Return a run. Raises `NotFound`."""
        with self._database.connection() as conn:
            return runs.get(conn, run_id, owner)

    def runs(self, owner: str, filters: runs.RunFilter, *, before: UUID | None, limit: int) -> list[Run]:
        """Return a page of runs, newest first."""
        with self._database.connection() as conn:
            return runs.page(conn, owner, filters, before=before, limit=limit)

    def estimate(self, run: Run) -> Estimate:
        """Return the queue position of a run and when it will probably end."""
        return self._forecast.estimate(run)


def completed_run(conn: Any, run_id: UUID, owner: str | None) -> Run:
    """Return a completed run. Raises `NotFound`, or `Conflict` (WRONG_STATE) if it is not completed."""
    run = runs.get(conn, run_id, owner)
    if run.status is not RunStatus.COMPLETED:
        raise runs.wrong_state(run)
    return run
