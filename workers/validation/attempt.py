"""One attempt at a claimed run: everything that it stores is one transaction, which ends in status COMPLETED."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import pyarrow as pa
from psycopg import Connection

from facnet_grpc import faults, metrics, tracing
from facnet_grpc.errors import Reason, TerminalError
from facnet_grpc.ingest.options import ReadOptions
from facnet_grpc.ingest.reader import ClaimFile, FileFormat, open_claims
from facnet_grpc.model.run import Claim
from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.rules.api import Rule
from facnet_grpc.rules.engine import RuleProgress, RulesReport, columns_of, run_rules
from facnet_grpc.rules.registry import for_run
from facnet_grpc.rules.table.columns import LineCollector
from facnet_grpc.storage.postgres import leases, locks, results, run_log
from facnet_grpc.storage.postgres.database import PatientConnection
from workers.process import MemoryTrimmer
from workers.validation.lease_guard import LeaseGuard
from workers.validation.loading import LoadStats, Parsing, load
from workers.validation.progress import ProgressTracker
from workers.validation.resources import Resources


class Attempt:
    """The work on a claimed run, in the thread that calls `execute` and one more that parses."""

    def __init__(self, resources: Resources, claim: Claim, tracker: ProgressTracker, guard: LeaseGuard) -> None:
        self._resources = resources
        self._claim = claim
        self._run = claim.run
        self._tracker = tracker
        self._guard = guard
        self._reference: ReferenceSnapshot

    def execute(self, *, before_commit: Callable[[], None]) -> None:
        """Do everything and commit it, or raise and store nothing.

        `before_commit` is called when only the end of the run remains to be written. Raises what `LeaseGuard.check`
        raises, `TerminalError` for a file that cannot be validated, `TransientError` if a backend does not answer.
        """
        with self._resources.database.connection() as conn:
            self._reference = self._resources.references.in_force(conn)
        # No statement timeout: a COPY takes as long as the file needs, and the reporter watches lease and cancellation.
        with self._resources.database.connection(statement_timeout=None) as conn:
            with _phase("loading"):
                stats, lines, found = self._load(conn)
            with _phase("rules"):
                report = self._evaluate(lines, found)
                del lines
            with _phase("storing_results"):
                self._store(conn, report)
                before_commit()
                # Completing locks the row of the run. A worker that freezes now must not block the reconciler.
                locks.give_up_after(conn, self._resources.settings.queue.lease_seconds)
                self._complete(conn, stats, report)
                faults.point("worker.commit.before")
        faults.point("worker.commit.after")
        _count(stats, report)

    def _load(self, conn: PatientConnection) -> tuple[LoadStats, pa.Table, FileFormat]:
        collector = LineCollector(columns_of(self._rules()))
        with Parsing(self._open, self._store_found, self._tracker, collector) as parsing:
            stats = load(conn, self._run.id, parsing.batches(self._guard.check), self._tracker)
            if stats.accepted == 0:
                raise TerminalError(Reason.NO_USABLE_ROWS, **stats.worst())
            return stats, parsing.lines(), parsing.found

    def _open(self) -> ClaimFile:
        run, settings = self._run, self._resources.settings
        key = run.blob_key
        if key is None:
            raise TerminalError(Reason.BLOB_MISSING)
        options = ReadOptions(
            encoding_hint=run.encoding_hint,
            delimiter_hint=run.delimiter_hint,
            max_expanded_bytes=settings.uploads.max_expanded_bytes,
            max_expansion_ratio=settings.uploads.max_expansion_ratio,
        )
        return open_claims(lambda: self._resources.blobs.open(key), run.size_bytes, options)

    def _store_found(self, found: FileFormat) -> None:
        """Store what the file turned out to be, in a transaction of its own: it is kept when the attempt fails."""
        data: dict[str, Any] = {"attempt": self._run.attempt, **asdict(found)}
        with self._resources.database.connection(durable=False) as conn:
            leases.set_dialect(conn, self._claim, encoding=found.encoding, delimiter=found.delimiter)
            run_log.add(conn, self._run.id, "info", "worker", "file_understood", data)

    def _evaluate(self, lines: pa.Table, found: FileFormat) -> RulesReport:
        trimmer = MemoryTrimmer(lines.num_rows)

        def on_rule_done(progress: RuleProgress | None) -> None:
            self._guard.check()
            trimmer.trim(is_last=progress is not None and progress.rules_done == progress.rules_total)
            if progress is not None:
                faults.point("worker.rules.between")
                _trace_rule(progress)
                done, total = progress.rules_done, progress.rules_total
                self._tracker.update_rules(done=done, total=total, counts=progress.counts, preview=progress.preview)
                if progress.error_class is not None:
                    metrics.RULE_FAILURES.labels(metrics.rule_label(progress.rule_id)).inc()

        rules = for_run(self._rules(), self._run.created_at)
        return run_rules(
            lines,
            self._reference,
            rules,
            on_rule_done=on_rule_done,
            missing_columns=found.missing_wanted,
            threads=self._resources.rule_concurrency(lines.num_rows),
        )

    def _rules(self) -> tuple[Rule, ...]:
        return self._resources.rules.select(self._run.rule_ids)

    def _store(self, conn: PatientConnection, report: RulesReport) -> None:
        count = report.results.num_rows
        for start in range(0, count, self._resources.results_per_copy):
            self._guard.check()
            part = report.results.slice(start, self._resources.results_per_copy)
            results.write(conn, self._run.id, part)
            faults.point("worker.results.mid")
            self._tracker.update_results(done=start + part.num_rows, total=count)

    def _complete(self, conn: Connection, stats: LoadStats, report: RulesReport) -> None:
        counts = {
            "rows": stats.accepted,
            "rejected": stats.rejected,
            "blank": stats.blank,
            "results": report.results.num_rows,
        }
        run_log.add(conn, self._run.id, "info", "worker", "completed", {"attempt": self._run.attempt, **counts})
        leases.complete(
            conn,
            self._claim,
            summary=report.summary(stats.rejection_figures(), stats.defect_figures()),
            counts=report.counts,
            total_rows=stats.total,
            processed_rows=stats.accepted,
            rejected_rows=stats.rejected,
            rule_set_version=self._resources.rules.version,
            reference_version=self._reference.version,
        )


@contextmanager
def _phase(name: str) -> Iterator[None]:
    with tracing.span(name):
        began = time.perf_counter()
        try:
            yield
        finally:
            metrics.PHASE_SECONDS.labels(name).observe(time.perf_counter() - began, tracing.exemplar())


def _trace_rule(progress: RuleProgress) -> None:
    error = {"error__type": progress.error_class} if progress.error_class else {}
    tracing.record(f"rule {progress.rule_id}", progress.seconds, facnet__rule=progress.rule_id, **error)


def _count(stats: LoadStats, report: RulesReport) -> None:
    metrics.ROWS.inc(stats.accepted)
    for (reason, _), count in stats.rejections.items():
        metrics.REJECTED_ROWS.labels(reason).inc(count)
    for figures in report.scenarios:
        metrics.RESULTS.labels(metrics.rule_label(figures.rule_id), figures.severity).inc(figures.count)
