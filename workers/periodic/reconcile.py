"""Sets right what fell between PostgreSQL and the queue: lost messages, and runs whose worker has gone silent.

What it does is a chore of the timetable: one worker does it for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from facnet_grpc import faults, metrics
from facnet_grpc.jobs.contract import ValidateRun
from facnet_grpc.jobs.queue import JobQueue
from facnet_grpc.logs import get_logger
from facnet_grpc.model.run import Run
from facnet_grpc.scheduling.order import SchedulingPolicy
from facnet_grpc.settings.queue import QueueSettings
from facnet_grpc.storage.postgres import leases, queue
from facnet_grpc.storage.postgres import queue as queue_module
from facnet_grpc.storage.postgres.database import Database

MESSAGE_SECONDS = 1.0  # a message that has not led to a claim after this may be lost
AT_ONCE = 1000
log = get_logger(__name__)


class Reconciler:
    """Its chores are done every `reconcile_seconds`; `others` are whatever else is to be done at that pace.

    `messages` tells how many messages no worker has taken yet. `changed` is told of runs whose state is another than
    their watchers think.
    """

    def __init__(
        self,
        settings: QueueSettings,
        database: Database,
        queue: JobQueue,
        *,
        messages: Callable[[], int],
        changed: Callable[[Run], None],
        others: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._settings = settings
        self._database = database
        self._queue = queue
        self._messages = messages
        self._changed = changed
        self.chores = (self.take_back, self.queue_again, *others)

    def measure(self) -> None:
        """Tell Prometheus how long the queue is. Every worker does, so that none shows figures of long ago."""
        rules = SchedulingPolicy.of(self._settings)
        with self._database.connection() as conn:
            state = queue_module.queue(conn, rules, max_attempts=self._settings.max_attempts)
            figures = queue.stats(conn, state.held_back(rules))
        metrics.QUEUE_DEPTH.set(figures.depth)
        metrics.QUEUE_AGE.set(figures.age)
        metrics.QUEUE_HELD.set(figures.held)
        metrics.RECONCILER_SEEN.set_to_current_time()

    def take_back(self) -> None:
        """Take runs from workers that have gone silent; they wait again, or end here."""
        with self._database.connection() as conn:
            changed = leases.requeue_expired(conn, max_attempts=self._settings.max_attempts, limit=AT_ONCE)
        for run in changed:
            faults.point("reconciler.taken_back")
            log.warning("lease_expired", run_id=str(run.id), status=run.status, attempt=run.attempt)
            metrics.RECONCILED.labels("lease").inc()
            self._changed(run)

    def queue_again(self) -> None:
        """Queue runs that are due, if there are fewer messages than such runs: some are lost then.

        A message too many finds nothing to claim. Still, asking for every waiting run in every round would fill Redis
        while a long queue is worked off.
        """
        messages = self._messages()
        if messages >= AT_ONCE:
            return
        with self._database.connection() as conn:
            _, line = queue_module.runs_in_order(
                conn,
                SchedulingPolicy.of(self._settings),
                max_attempts=self._settings.max_attempts,
                older_than_seconds=MESSAGE_SECONDS,
            )
        due = [turn.run.id for turn in line if not turn.held_back][:AT_ONCE]
        if messages >= len(due):
            return
        for run_id in due:
            self._queue.enqueue(ValidateRun(run_id))
            faults.point("reconciler.queued_again")
        metrics.RECONCILED.labels("message").inc(len(due))
        log.info("runs_queued_again", count=len(due))
