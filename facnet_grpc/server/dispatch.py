"""Enqueues jobs in the background, so that Redis neither delays nor fails the call that created a run."""

from __future__ import annotations

from uuid import UUID

from facnet_grpc import faults, metrics, tracing
from facnet_grpc.errors import FacnetError
from facnet_grpc.jobs.contract import Job, RevalidateRun, ValidateRun
from facnet_grpc.jobs.queue import JobQueue
from facnet_grpc.logs import exception_fields, get_logger
from facnet_grpc.server.executors import BackgroundTasks, BlockingExecutor

log = get_logger(__name__)

MAX_PENDING = 8  # while Redis is down each occupies a thread for a second; beyond it the reconciler enqueues


class Dispatcher:
    """Enqueues in the background. The workers' reconciler enqueues within seconds what could not be sent here."""

    def __init__(self, queue: JobQueue, blocking: BlockingExecutor, background: BackgroundTasks) -> None:
        self._queue = queue
        self._blocking = blocking
        self._background = background
        self._pending = 0

    def send(self, run_id: UUID) -> None:
        """Enqueue a run; returns at once."""
        self._start(ValidateRun(run_id, tracing.inject()), run_id)

    def send_revalidation(self, revalidation_id: UUID, run_id: UUID) -> None:
        """Enqueue the revalidation of a run; returns at once."""
        self._start(RevalidateRun(revalidation_id, tracing.inject()), run_id)

    def _start(self, job: Job, run_id: UUID) -> None:
        if self._pending >= MAX_PENDING:
            metrics.ENQUEUE_FAILURES.inc()
            return
        self._pending += 1
        self._background.start(self._send(job, run_id))

    async def _send(self, job: Job, run_id: UUID) -> None:
        try:
            faults.point("server.job.enqueuing")
            await self._blocking.run(self._queue.enqueue, job)
            faults.point("server.job.enqueued")
        except FacnetError as error:
            metrics.ENQUEUE_FAILURES.inc()
            log.warning("enqueue_failed", run_id=str(run_id), **exception_fields(error))
        finally:
            self._pending -= 1
