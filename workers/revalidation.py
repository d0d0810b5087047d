"""Judges a completed run again, by the present rules and reference, and keeps only the comparison.

One at a time in all workers, under an advisory lock, so that whatever is asked, all other worker threads go on with
runs. Whoever finds the lock taken leaves; whoever gives it back sends for the next one, at the end of the queue.
"""

from __future__ import annotations

from collections.abc import Callable
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
from facnet_grpc.rules.engine import RuleOutcome, RulesReport, run_rules
from facnet_grpc.rules.registry import for_run
from facnet_grpc.rules.table.columns import LineCollector
from facnet_grpc.storage.postgres import locks, records, revalidations, runs
from facnet_grpc.storage.postgres.database import PatientConnection
from workers.validation.resources import Resources

MAX_ATTEMPTS = 2
MESSAGE_SECONDS = 2.0  # a message that has not led to work after this may be lost
TTL_SECONDS = 900.0  # an answer that nobody has come back for
FAILED_TTL_SECONDS = float(DAY_SECONDS)
AT_ONCE = 100
log = get_logger(__name__)


class Revalidator:
    """Works on revalidations. Nothing here raises, save the chores, which the reconciler calls."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._database = resources.database

    def work(self, revalidation_id: UUID) -> None:
        """Do one, unless one is being done."""
        try:
            if self._try(revalidation_id):
                self.send_for_next()
        except BaseException as error:  # noqa: BLE001 - the last line of defence: dramatiq would keep the text
            log.error("revalidation_failed", **exception_fields(error))  # noqa: TRY400 - no traceback: it quotes
        finally:
            pa.default_memory_pool().release_unused()

    @property
    def chores(self) -> tuple[Callable[[], None], ...]:
        """What is to be done from time to time. Each raises `FacnetError` if PostgreSQL or Redis does not answer."""
        return (self.send_for_next, self.forget)

    def send_for_next(self) -> None:
        """Send for what has waited longest."""
        with self._database.connection() as conn:
            ids = revalidations.queued(conn, older_than_seconds=MESSAGE_SECONDS, limit=1)
        for revalidation_id in ids:
            self._resources.queue.enqueue(RevalidateRun(revalidation_id))

    def forget(self) -> None:
        """Remove what nobody has come back for."""
        with self._database.connection() as conn:
            ids = revalidations.expired(
                conn, ttl_seconds=TTL_SECONDS, failed_ttl_seconds=FAILED_TTL_SECONDS, limit=AT_ONCE
            )
            if ids:
                revalidations.delete(conn, ids)
                metrics.RECONCILED.labels("revalidation").inc(len(ids))

    def _try(self, revalidation_id: UUID) -> bool:
        """Do one; False if another worker is at one."""
        with self._database.connection(statement_timeout=None) as conn:
            if not locks.try_lock(conn, locks.REVALIDATION):
                return False
            with self._database.connection() as other:  # stays counted when the work fails, or takes its worker down
                run_id = revalidations.start_attempt(other, revalidation_id, max_attempts=MAX_ATTEMPTS)
            if run_id is not None:
                with self._resources.active_runs.track(run_id):
                    self._answer(conn, revalidation_id, run_id)
        return True

    def _answer(self, conn: PatientConnection, revalidation_id: UUID, run_id: UUID) -> None:
        try:
            with conn.transaction():
                self._judge_and_compare(conn, revalidation_id, run_id)
        except (Shutdown, TransientError) as error:  # it waits on, and somebody else begins again
            log.warning("revalidation_interrupted", run_id=str(run_id), **exception_fields(error))
        except Exception as error:  # noqa: BLE001 - whoever asked has to hear of it
            reason = error.reason if isinstance(error, FacnetError) else Reason.INTERNAL
            log.error("revalidation_failed", run_id=str(run_id), **exception_fields(error))  # noqa: TRY400 - it quotes
            revalidations.fail(conn, revalidation_id, reason.value)

    def _judge_and_compare(self, conn: PatientConnection, revalidation_id: UUID, run_id: UUID) -> None:
        with self._database.connection() as other:
            reference = self._resources.references.in_force(other)
        run = runs.get(conn, run_id)
        report = self._judge(conn, run, reference)
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

    def _judge(self, conn: PatientConnection, run: Run, reference: ReferenceSnapshot) -> RulesReport:
        collector = LineCollector()
        for batch in records.read_for_rules(conn, run.id):
            self._check()
            collector.add(batch)
        table = collector.finish()
        return run_rules(
            table,
            reference,
            for_run(self._resources.rules.still(run.rule_ids), run.created_at),
            between=self._between,
            missing_columns=revalidations.missing_columns(conn, run.id),
            threads=self._resources.rule_concurrency(table.num_rows),
        )

    def _between(self, _: RuleOutcome | None) -> None:
        self._check()

    def _check(self) -> None:
        if self._resources.shutdown.expired:
            raise Shutdown
