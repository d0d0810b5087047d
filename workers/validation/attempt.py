"""How many rules of a run are evaluated at once: where that saves time, and the memory is there.

One attempt at a claimed run: everything that it stores is one transaction, ending in status COMPLETED.
"""

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
from facnet_grpc.rules.engine import RuleOutcome, RulesReport, columns_of, run_rules
from facnet_grpc.rules.registry import for_run
from facnet_grpc.storage.postgres import leases, locks, results, run_log
from facnet_grpc.storage.postgres.database import PatientConnection
from workers.process import MemoryTrimmer
from workers.validation.lease_guard import LeaseGuard
from workers.validation.loading import LoadStats, Parsing, load
from workers.validation.progress import ProgressTracker
from workers.validation.resources import Resources

# With fewer lines rules are too short: threads wait for the interpreter as long as they save.
_WORTH_IT = 100_000
# Lines of the file, once for each rule beside the first: each takes 40 to 80 bytes a line as it works.
_MOST_BESIDE = 2_500_000


def rule_concurrency(lines: int, most: int) -> int:
    """Return how many rules to evaluate at once over so many lines, `most` at most."""
    return 1 if lines < _WORTH_IT else min(most, 1 + _MOST_BESIDE // lines)


RESULTS_AT_ONCE = 50_000


class Attempt:
    """The work on a claimed run, in the thread that calls `work` and one more that parses."""

    def __init__(self, resources: Resources, claim: Claim, board: ProgressTracker, control: LeaseGuard) -> None:
        self._resources = resources
        self._claim = claim
        self._run = claim.run
        self._board = board
        self._control = control
        self._reference: ReferenceSnapshot

    def work(self, *, before_commit: Callable[[], None]) -> None:
        """Do everything and commit it, or raise and leave nothing behind.

        `before_commit` is called when nothing is left to be done but to write the end of the run.
        Raises what `Control.check` raises, `TerminalError` for a file that cannot be validated, `TransientError` for a
        part that does not answer.
        """
        with self._resources.database.connection() as conn:
            self._reference = self._resources.references.in_force(conn)
        # No limit for a statement: a COPY is one, however long it takes, and cancel and lease are watched beside it.
        with self._resources.database.connection(statement_timeout=None) as conn:
            with _phase("loading"):
                tally, lines, found = self._load(conn)
            with _phase("rules"):
                report = self._judge(lines, found)
                del lines
            with _phase("storing_results"):
                self._store(conn, report)
                before_commit()
                # The end of a run locks its row. A worker that freezes there must not keep others from taking it back.
                locks.give_up_after(conn, self._resources.settings.queue.lease_seconds)
                self._complete(conn, tally, report)
                faults.point("worker.commit.before")
        faults.point("worker.commit.after")
        _count(tally, report)

    def _load(self, conn: PatientConnection) -> tuple[LoadStats, pa.Table, FileFormat]:
        with Parsing(self._open, self._note_found, self._board, columns_of(self._rules())) as parsing:
            tally = load(conn, self._run.id, parsing.batches(self._control.check), self._board)
            if tally.accepted == 0:
                raise TerminalError(Reason.NO_USABLE_ROWS, **tally.worst())
            return tally, parsing.lines(), parsing.found

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

    def _note_found(self, found: FileFormat) -> None:
        """Store what the file turned out to be, apart from all else: it stays when the attempt fails."""
        data: dict[str, Any] = {"attempt": self._run.attempt, **asdict(found)}
        with self._resources.database.connection(durable=False) as conn:
            leases.set_dialect(conn, self._claim, encoding=found.encoding, delimiter=found.delimiter)
            run_log.add(conn, self._run.id, "info", "worker", "file_understood", data)

    def _judge(self, lines: pa.Table, found: FileFormat) -> RulesReport:
        tide = MemoryTrimmer(lines.num_rows)

        def between(outcome: RuleOutcome | None) -> None:
            self._control.check()
            tide.ebb(is_last=outcome is not None and outcome.rules_done == outcome.rules_total)
            if outcome is not None:
                faults.point("worker.rules.between")
                _trace_rule(outcome)
                done, total = outcome.rules_done, outcome.rules_total
                self._board.judged(done=done, total=total, counts=outcome.counts, preview=outcome.preview)
                if outcome.error_class is not None:
                    metrics.RULE_FAILURES.labels(metrics.rule_label(outcome.rule_id)).inc()

        rules = for_run(self._rules(), self._run.created_at)
        return run_rules(
            lines,
            self._reference,
            rules,
            between=between,
            missing_columns=found.missing_wanted,
            threads=rule_concurrency(lines.num_rows, self._resources.settings.rules.rule_threads),
        )

    def _rules(self) -> tuple[Rule, ...]:
        return self._resources.rules.select(self._run.rule_ids)

    def _store(self, conn: PatientConnection, report: RulesReport) -> None:
        count = report.results.num_rows
        for start in range(0, count, RESULTS_AT_ONCE):
            self._control.check()
            part = report.results.slice(start, RESULTS_AT_ONCE)
            results.write(conn, self._run.id, part)
            faults.point("worker.results.mid")
            self._board.stored(done=start + part.num_rows, total=count)

    def _complete(self, conn: Connection, tally: LoadStats, report: RulesReport) -> None:
        counted = {
            "rows": tally.accepted,
            "rejected": tally.rejected,
            "blank": tally.blank,
            "results": report.results.num_rows,
        }
        run_log.add(conn, self._run.id, "info", "worker", "completed", {"attempt": self._run.attempt, **counted})
        leases.complete(
            conn,
            self._claim,
            summary=report.summary(tally.rejection_figures(), tally.defect_figures()),
            counts=report.counts,
            total_rows=tally.total,
            processed_rows=tally.accepted,
            rejected_rows=tally.rejected,
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


def _trace_rule(outcome: RuleOutcome) -> None:
    error = {"error__type": outcome.error_class} if outcome.error_class else {}
    tracing.record(f"rule {outcome.rule_id}", outcome.seconds, facnet__rule=outcome.rule_id, **error)


def _count(tally: LoadStats, report: RulesReport) -> None:
    metrics.ROWS.inc(tally.accepted)
    for (reason, _), count in tally.rejections.items():
        metrics.REJECTED_ROWS.labels(reason).inc(count)
    for figures in report.scenarios:
        metrics.RESULTS.labels(metrics.rule_label(figures.rule_id), figures.severity).inc(figures.count)
