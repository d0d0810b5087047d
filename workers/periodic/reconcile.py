"""The reconciler: repairs lost messages, and requeues runs whose worker has stopped renewing its lease."""

from __future__ import annotations

from collections.abc import Callable

from facnet_grpc import faults, metrics
from facnet_grpc.jobs.contract import ValidateRun
from facnet_grpc.jobs.queue import JobQueue
from facnet_grpc.logs import get_logger
from facnet_grpc.model.run import Run
from facnet_grpc.scheduling.order import SchedulingPolicy
from facnet_grpc.settings.queue import QueueSettings
from facnet_grpc.storage.postgres import leases
from facnet_grpc.storage.postgres import queue as run_queue
from facnet_grpc.storage.postgres.database import Database

MESSAGE_SECONDS = 1.0  # a message that has not led to a claim after this may be lost
BATCH_SIZE = 1000
log = get_logger(__name__)


class Reconciler:
    """Two steps of a periodic job.

    `count_messages` returns the number of messages that no worker has taken yet. `on_change` is called with each run
    whose state was changed here.
    """

    def __init__(
        self,
        settings: QueueSettings,
        database: Database,
        queue: JobQueue,
        *,
        count_messages: Callable[[], int],
        on_change: Callable[[Run], None],
        message_seconds: float = MESSAGE_SECONDS,
    ) -> None:
        self._settings = settings
        self._database = database
        self._queue = queue
        self._count_messages = count_messages
        self._on_change = on_change
        self._message_seconds = message_seconds
        self.steps = (self.requeue_expired, self.enqueue_lost)

    def update_metrics(self) -> None:
        """Export the length of the queue. Every worker does, so that none shows old figures."""
        rules = SchedulingPolicy.of(self._settings)
        with self._database.connection() as conn:
            state = run_queue.queue(conn, rules, max_attempts=self._settings.max_attempts)
            figures = run_queue.stats(conn, state.held_back(rules))
        metrics.QUEUE_DEPTH.set(figures.depth)
        metrics.QUEUE_AGE.set(figures.age)
        metrics.QUEUE_HELD.set(figures.held)
        metrics.RECONCILER_SEEN.set_to_current_time()

    def requeue_expired(self) -> None:
        """Take runs from workers whose lease has expired; they are queued again, or end here."""
        with self._database.connection() as conn:
            changed = leases.requeue_expired(conn, max_attempts=self._settings.max_attempts, limit=BATCH_SIZE)
        for run in changed:
            faults.point("reconciler.taken_back")
            log.warning("lease_expired", run_id=str(run.id), status=run.status, attempt=run.attempt)
            metrics.RECONCILED.labels("lease").inc()
            self._on_change(run)

    def enqueue_lost(self) -> None:
        """Enqueue the runs that are due if there are fewer messages than such runs: some messages are lost then.

        A superfluous message finds nothing to claim. Enqueuing every queued run each time would fill Redis, though,
        while a long queue is processed.
        """
        messages = self._count_messages()
        if messages >= BATCH_SIZE:
            return
        with self._database.connection() as conn:
            _, line = run_queue.runs_in_order(
                conn,
                SchedulingPolicy.of(self._settings),
                max_attempts=self._settings.max_attempts,
                older_than_seconds=self._message_seconds,
            )
        due = [turn.run.id for turn in line if not turn.held_back][:BATCH_SIZE]
        if messages >= len(due):
            return
        for run_id in due:
            self._queue.enqueue(ValidateRun(run_id))
            faults.point("reconciler.queued_again")
        metrics.RECONCILED.labels("message").inc(len(due))
        log.info("runs_enqueued_again", count=len(due))
