"""Revalidation: evaluates the current rules on a completed run, and stores only the differences.

One at a time in all workers, under an advisory lock, so that all other worker threads go on with runs. If the lock is
taken, the job is dropped; the holder enqueues the next revalidation when it finishes.
"""

from __future__ import annotations

from uuid import UUID

import pyarrow as pa
from dramatiq.middleware import Shutdown
from psycopg import Rollback

from facnet_grpc import metrics
from facnet_grpc.calendar import DAY_SECONDS
from facnet_grpc.errors import FacnetError, Reason, TransientError
from facnet_grpc.jobs.contract import RevalidateRun
from facnet_grpc.logs import exception_fields, get_logger
from facnet_grpc.model.run import Run
from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.rules.engine import RulesReport, run_rules
from facnet_grpc.rules.registry import for_run
from facnet_grpc.rules.table.columns import LineCollector
from facnet_grpc.storage.postgres import locks, records, revalidations, runs
from facnet_grpc.storage.postgres.database import PatientConnection
from workers.validation.resources import Resources

MAX_ATTEMPTS = 2
MESSAGE_SECONDS = 2.0  # a message that has not led to work after this may be lost
TTL_SECONDS = 900.0  # how long differences are kept that nobody reads
FAILED_TTL_SECONDS = float(DAY_SECONDS)
BATCH_SIZE = 100
log = get_logger(__name__)


class Revalidator:
    """The revalidation job, and two steps of a periodic job."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._database = resources.database

    def run(self, revalidation_id: UUID) -> None:
        """Do a revalidation, unless another one is running. Never raises."""
        try:
            if self._run_locked(revalidation_id):
                self.enqueue_next()
        except BaseException as error:  # noqa: BLE001 - the last line of defence: dramatiq would keep the text
            log.error("revalidation_failed", **exception_fields(error))  # noqa: TRY400 - no traceback: it quotes
        finally:
            pa.default_memory_pool().release_unused()

    def enqueue_next(self) -> None:
        """Enqueue the revalidation that has waited longest. Raises `TransientError`."""
        with self._database.connection() as conn:
            ids = revalidations.queued(conn, older_than_seconds=MESSAGE_SECONDS, limit=1)
        for revalidation_id in ids:
            self._resources.queue.enqueue(RevalidateRun(revalidation_id))

    def delete_expired(self) -> None:
        """Delete differences that nobody has read. Raises `TransientError`."""
        with self._database.connection() as conn:
            ids = revalidations.expired(
                conn, ttl_seconds=TTL_SECONDS, failed_ttl_seconds=FAILED_TTL_SECONDS, limit=BATCH_SIZE
            )
            if ids:
                revalidations.delete(conn, ids)
                metrics.RECONCILED.labels("revalidation").inc(len(ids))

    def _run_locked(self, revalidation_id: UUID) -> bool:
        """Do a revalidation; return False if another one is running."""
        with self._database.connection(statement_timeout=None) as conn:
            if not locks.try_lock(conn, locks.REVALIDATION):
                return False
            with self._database.connection() as other:  # the attempt is counted even if it kills the worker
                run_id = revalidations.start_attempt(other, revalidation_id, max_attempts=MAX_ATTEMPTS)
            if run_id is not None:
                with self._resources.active_runs.track(run_id):
                    self._revalidate(conn, revalidation_id, run_id)
        return True

    def _revalidate(self, conn: PatientConnection, revalidation_id: UUID, run_id: UUID) -> None:
        try:
            with conn.transaction():
                self._store_differences(conn, revalidation_id, run_id)
        except (Shutdown, TransientError) as error:  # it stays queued, and another worker starts it again
            log.warning("revalidation_interrupted", run_id=str(run_id), **exception_fields(error))
        except Exception as error:  # noqa: BLE001 - the caller waits for an outcome
            reason = error.reason if isinstance(error, FacnetError) else Reason.INTERNAL
            log.error("revalidation_failed", run_id=str(run_id), **exception_fields(error))  # noqa: TRY400 - it quotes
            revalidations.fail(conn, revalidation_id, reason.value)

    def _store_differences(self, conn: PatientConnection, revalidation_id: UUID, run_id: UUID) -> None:
        with self._database.connection() as other:
            reference = self._resources.references.in_force(other)
        run = runs.get(conn, run_id)
        report = self._evaluate(conn, run, reference)
        revalidations.write(conn, revalidation_id, report.results)
        wanted = revalidations.finish(
            conn,
            revalidation_id,
            run_id,
            results=report.results.num_rows,
            rule_set_version=self._resources.rules.version,
            reference_version=reference.version,
        )
        if not wanted:
            raise Rollback
        log.info("run_revalidated", run_id=str(run_id), rows=run.processed_rows, results=report.results.num_rows)

    def _evaluate(self, conn: PatientConnection, run: Run, reference: ReferenceSnapshot) -> RulesReport:
        collector = LineCollector()
        for batch in records.read_for_rules(conn, run.id):
            self._check()
            collector.add(batch)
        table = collector.finish()
        return run_rules(
            table,
            reference,
            for_run(self._resources.rules.select_known(run.rule_ids), run.created_at),
            on_rule_done=lambda _: self._check(),
            missing_columns=revalidations.missing_columns(conn, run.id),
            threads=self._resources.rule_concurrency(table.num_rows),
        )

    def _check(self) -> None:
        if self._resources.shutdown.expired:
            raise Shutdown
