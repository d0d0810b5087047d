"""Reads the state of watched runs, and batches, from PostgreSQL. Everything here blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from facnet_grpc.model.batch import Duplicate, Money, RunBatch
from facnet_grpc.model.run import Run
from facnet_grpc.server.results import phi_audit
from facnet_grpc.server.runs.estimate import QueueForecast
from facnet_grpc.server.watching.snapshot import RunSnapshot, from_run
from facnet_grpc.storage.postgres import batches, runs
from facnet_grpc.storage.postgres.database import Database

DUPLICATES_SECONDS = 25.0  # timeout of the search; less than the default deadline of a call
MAX_RUNS = 1000
MAX_DUPLICATES = 100
MAX_PLACES = 10


class SnapshotQueries:
    """The state of runs as watchers see it."""

    def __init__(self, database: Database, forecast: QueueForecast) -> None:
        self._database = database
        self._forecast = forecast

    def snapshot(self, run_id: UUID, owner: str | None) -> RunSnapshot:
        """Return the state of a run of `owner`, or of any owner for None. Raises `NotFound`."""
        with self._database.connection() as conn:
            run = runs.get(conn, run_id, owner)
        return from_run(run, self._forecast.estimate(run))

    def snapshots(self, run_ids: Sequence[UUID]) -> list[RunSnapshot]:
        """Return the states of those runs that exist."""
        with self._database.connection() as conn:
            found = runs.get_many(conn, run_ids)
        return [from_run(run, self._forecast.estimate(run)) for run in found]


@dataclass(frozen=True, slots=True)
class BatchDetails:
    """A batch with its runs. `duplicates` and `duplicate_count` are None unless they were requested."""

    batch: RunBatch
    money: Money
    runs: list[Run]
    duplicates: list[Duplicate] | None = None
    duplicate_count: int | None = None


class BatchQueries:
    """Batches of one owner."""

    def __init__(
        self, database: Database, *, max_duplicates: int = MAX_DUPLICATES, max_places: int = MAX_PLACES
    ) -> None:
        """List at most `max_duplicates` duplicated lines with `max_places` of their places each."""
        self._database = database
        self._max_duplicates = max_duplicates
        self._max_places = max_places

    def figures(self, owner: str, batch_id: str) -> RunBatch:
        """Return the sums over a batch's runs. Raises `NotFound`."""
        with self._database.connection() as conn:
            return batches.totals(conn, owner, batch_id)

    def details(self, owner: str, batch_id: str, *, duplicates: bool) -> BatchDetails:
        """Return a batch with its first `MAX_RUNS` runs, and with duplicated lines if requested. Raises `NotFound`."""
        with self._database.connection() as conn:
            batch = batches.totals(conn, owner, batch_id)
            money = batches.money(conn, owner, batch_id)
            found = runs.get_many(conn, batches.run_ids(conn, owner, batch_id, limit=MAX_RUNS))
        details = BatchDetails(batch, money, sorted(found, key=lambda run: run.id))
        if not duplicates:
            return details
        with self._database.connection(statement_timeout=DUPLICATES_SECONDS) as conn:
            listed, count = batches.duplicates(
                conn, owner, batch_id, limit=self._max_duplicates, places=self._max_places
            )
            for run_id, lines in Counter(place.run_id for one in listed for place in one.places).items():
                phi_audit.record(conn, "GetBatch", run_id, lines)
        return replace(details, duplicates=listed, duplicate_count=count)
