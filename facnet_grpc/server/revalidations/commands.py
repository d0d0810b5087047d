"""Requests revalidations of runs from the workers, and reads their outcome from PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from uuid import UUID, uuid4

from facnet_grpc.errors import FacnetError, Reason, TransientError
from facnet_grpc.logs import exception_fields, get_logger
from facnet_grpc.model.revalidation import Change, Revalidation
from facnet_grpc.model.run import Run
from facnet_grpc.server.dispatch import Dispatcher
from facnet_grpc.server.executors import BackgroundTasks, BlockingExecutor
from facnet_grpc.server.results import phi_audit
from facnet_grpc.server.runs.queries import completed_run
from facnet_grpc.storage.postgres import revalidations
from facnet_grpc.storage.postgres.database import Database

MIN_POLL_SECONDS = 0.05
MAX_POLL_SECONDS = 0.5
CHANGES_PER_PAGE = 200

log = get_logger(__name__)


class Revalidations:
    """Has workers evaluate completed runs again."""

    def __init__(
        self, database: Database, blocking: BlockingExecutor, background: BackgroundTasks, dispatcher: Dispatcher
    ) -> None:
        self._database = database
        self._blocking = blocking
        self._background = background
        self._dispatcher = dispatcher

    @contextlib.asynccontextmanager
    async def requested(self, run_id: UUID, owner: str | None) -> AsyncIterator[tuple[Run, Revalidation]]:
        """Request a revalidation, wait for its outcome, and delete it on exit.

        Raises `NotFound`, `Conflict` if the run is not completed, `FacnetError` with the reason of the worker's error.
        """
        revalidation_id = uuid4()
        try:
            run = await self._blocking.run(self._insert, revalidation_id, run_id, owner)
            self._dispatcher.send_revalidation(revalidation_id, run_id)
            yield run, await self._wait(revalidation_id)
        finally:
            self._background.start(self._discard(revalidation_id))

    async def changes(self, revalidation: Revalidation, owner: str | None) -> AsyncGenerator[Change, None]:
        """Yield the changes in order. Raises `NotFound` if the run was deleted meanwhile."""
        after = 0
        while page := await self._blocking.run(self._page, revalidation, owner, after):
            for change in page:
                yield change
            after = page[-1].number

    async def _wait(self, revalidation_id: UUID) -> Revalidation:
        pause = MIN_POLL_SECONDS
        while True:
            found = await self._blocking.run(self._get, revalidation_id)
            if found is None:  # PostgreSQL crashed (the table is unlogged), or no worker took it in time
                raise TransientError
            if found.error_code:
                raise FacnetError(Reason(found.error_code))
            if found.done:
                return found
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, MAX_POLL_SECONDS)

    async def _discard(self, revalidation_id: UUID) -> None:
        try:
            await self._blocking.run(self._delete, revalidation_id)
        except FacnetError as error:  # the workers' reconciler deletes it later
            log.info("revalidation_not_removed", **exception_fields(error))

    # The methods below block.

    def _insert(self, revalidation_id: UUID, run_id: UUID, owner: str | None) -> Run:
        with self._database.connection() as conn:
            run = completed_run(conn, run_id, owner)
            revalidations.insert(conn, revalidation_id, run_id)
            return run

    def _get(self, revalidation_id: UUID) -> Revalidation | None:
        with self._database.connection() as conn:
            return revalidations.get(conn, revalidation_id)

    def _page(self, revalidation: Revalidation, owner: str | None, after: int) -> list[Change]:
        with self._database.connection() as conn:
            completed_run(conn, revalidation.run_id, owner)
            found = revalidations.page(conn, revalidation, after=after, limit=CHANGES_PER_PAGE)
            if found:
                phi_audit.record(conn, "RevalidateValidation", revalidation.run_id, len(found))
            return found

    def _delete(self, revalidation_id: UUID) -> None:
        with self._database.connection() as conn:
            revalidations.discard(conn, revalidation_id)
