"""Second judgements of runs: asked for here, worked out by a worker, read here. The server itself computes nothing.

Answers come through PostgreSQL, like everything that has to be right: Redis only wakes the worker.
"""

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
from facnet_grpc.server.results.queries import completed
from facnet_grpc.storage.postgres import revalidations
from facnet_grpc.storage.postgres.database import Database

FIRST_POLL_SECONDS = 0.05
LONGEST_POLL_SECONDS = 0.5
CHANGES_AT_ONCE = 200

log = get_logger(__name__)


class Revalidations:
    """Asks workers to judge runs again, and reads what they say."""

    def __init__(
        self, database: Database, blocking: BlockingExecutor, background: BackgroundTasks, dispatcher: Dispatcher
    ) -> None:
        self._database = database
        self._blocking = blocking
        self._background = background
        self._dispatcher = dispatcher

    @contextlib.asynccontextmanager
    async def asked(self, run_id: UUID, owner: str | None) -> AsyncIterator[tuple[Run, Revalidation]]:
        """Wait until a worker has judged a run again; forget the answer on leaving.

        Raises `NotFound`, `Conflict` if the run is not completed, `FacnetError` with what the worker ran into.
        """
        revalidation_id = uuid4()
        try:
            run = await self._blocking.run(self._ask, revalidation_id, run_id, owner)
            self._dispatcher.send_revalidation(revalidation_id, run_id)
            yield run, await self._wait(revalidation_id)
        finally:
            self._background.start(self._forget(revalidation_id))

    async def changes(self, answer: Revalidation, owner: str | None) -> AsyncGenerator[Change, None]:
        """Yield the changes in their order. Raises `NotFound` if the run was deleted meanwhile."""
        after = 0
        while page := await self._blocking.run(self._page, answer, owner, after):
            for change in page:
                yield change
            after = page[-1].number

    async def _wait(self, revalidation_id: UUID) -> Revalidation:
        pause = FIRST_POLL_SECONDS
        while True:
            found = await self._blocking.run(self._get, revalidation_id)
            if found is None:  # PostgreSQL has crashed in between, or nobody came to it in time
                raise TransientError
            if found.error_code:
                raise FacnetError(Reason(found.error_code))
            if found.done:
                return found
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_POLL_SECONDS)

    async def _forget(self, revalidation_id: UUID) -> None:
        try:
            await self._blocking.run(self._remove, revalidation_id)
        except FacnetError as error:  # the workers' reconciler removes it later
            log.info("revalidation_not_removed", **exception_fields(error))

    # What follows blocks: it runs in the pool.

    def _ask(self, revalidation_id: UUID, run_id: UUID, owner: str | None) -> Run:
        with self._database.connection() as conn:
            run = completed(conn, run_id, owner)
            revalidations.ask(conn, revalidation_id, run_id)
            return run

    def _get(self, revalidation_id: UUID) -> Revalidation | None:
        with self._database.connection() as conn:
            return revalidations.get(conn, revalidation_id)

    def _page(self, answer: Revalidation, owner: str | None, after: int) -> list[Change]:
        with self._database.connection() as conn:
            completed(conn, answer.run_id, owner)
            found = revalidations.page(conn, answer, after=after, limit=CHANGES_AT_ONCE)
            if found:
                phi_audit.record(conn, "RevalidateValidation", answer.run_id, len(found))
            return found

    def _remove(self, revalidation_id: UUID) -> None:
        with self._database.connection() as conn:
            revalidations.leave(conn, revalidation_id)
