"""The part of the client that reads what came of runs: figures, findings, lines, logs, files, batches."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Unpack

from facnet_client.connection import MAX_PAGE_SIZE, CallOptions, Connection
from facnet_client.export import OnRows, export
from facnet_client.retry import Backoff, Retry
from facnet_client.values import (
    Batch,
    ExportFormat,
    LogEntry,
    LogLevel,
    Record,
    RejectedRow,
    Result,
    ResultChange,
    RevalidationSummary,
    Severity,
    Summary,
    Update,
    Validation,
)
from facnet_client.watch import OnBreak, watch
from facnet_grpc.gen.facnet.v1 import result_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2


class Results:
    """Every method raises `FacnetError` (`NotFound`, `Unavailable`, ...) and takes `CallOptions`.

    Methods that return an iterator make their first call when the first item is asked for.
    """

    connection: Connection
    _retry: Retry

    def summary(self, validation_id: str, **options: Unpack[CallOptions]) -> Summary:
        """Return what was found in a completed run, in figures; amounts are in cents.

        Raises `Conflict` if the run is not completed.

        Example:
            >>> summary = client.summary(run.validation_id)
            >>> summary.result_counts.error, summary.at_risk_cents / 100
            (2, 128.5)
        """
        request = pb2.GetValidationSummaryRequest(validation_id=validation_id)
        return Summary.from_message(
            self.connection.unary(self.connection.stub.GetValidationSummary, request, **options)
        )

    def results(  # noqa: PLR0913 - the filters of a list are what they are
        self,
        validation_id: str,
        *,
        rule_ids: Sequence[str] = (),
        severities: Sequence[Severity] = (),
        categories: Sequence[str] = (),
        scenarios: Sequence[str] = (),
        doctor_key: str = "",
        service_date_from: str = "",
        service_date_to: str = "",
        page_size: int = MAX_PAGE_SIZE,
        **options: Unpack[CallOptions],
    ) -> Iterator[Result]:
        """Yield what was found in a completed run, by rule, then by line, fetching pages as they are needed.

        Days are YYYY-MM-DD, both included; `page_size` is at most 1,000. Raises `Conflict` if the run is not completed.

        Example:
            >>> from facnet_client import Severity
            >>> for result in client.results(run.validation_id, severities=[Severity.ERROR]):
            ...     print(result.record_number, result.rule_id, result.message)
            7 office_fee Le lieu manque.
            12 office_fee Le lieu manque.
        """
        request = pb2.ListValidationResultsRequest(
            validation_id=validation_id,
            page_size=page_size,
            rule_ids=rule_ids,
            severities=[result_pb2.Severity.Value(f"SEVERITY_{one.name}") for one in severities],
            categories=categories,
            scenarios=scenarios,
            doctor_key=doctor_key,
            service_date_from=service_date_from,
            service_date_to=service_date_to,
        )
        return self.connection.items(self.connection.stub.ListValidationResults, request, "results", Result, **options)

    def rejects(
        self, validation_id: str, *, page_size: int = MAX_PAGE_SIZE, **options: Unpack[CallOptions]
    ) -> Iterator[RejectedRow]:
        """Yield the lines of a completed run that could not be read, by line; the first 1,000 are kept.

        Example:
            >>> [(row.record_number, row.column, row.reason) for row in client.rejects(run.validation_id)]
            [(3, 'service_date', 'bad_date')]
        """
        request = pb2.ListRejectedRowsRequest(validation_id=validation_id, page_size=page_size)
        return self.connection.items(
            self.connection.stub.ListRejectedRows, request, "rejected_rows", RejectedRow, **options
        )

    def records(
        self,
        validation_id: str,
        *,
        record_numbers: Sequence[int] = (),
        page_size: int = MAX_PAGE_SIZE,
        **options: Unpack[CallOptions],
    ) -> Iterator[Record]:
        """Yield the lines of a completed run, by number, or those of certain numbers (at most 1,000).

        Example:
            >>> for record in client.records(run.validation_id, record_numbers=[7]):
            ...     print(record.service_date, record.code, record.preliminary_cents)
            2025-03-03 15803 6425
        """
        request = pb2.ListBillingRecordsRequest(
            validation_id=validation_id, page_size=page_size, record_numbers=record_numbers
        )
        return self.connection.items(self.connection.stub.ListBillingRecords, request, "records", Record, **options)

    def logs(
        self,
        validation_id: str,
        *,
        min_level: LogLevel = LogLevel.UNSPECIFIED,
        source: str = "",
        follow: bool = False,
        poll_seconds: float = 1.0,
        page_size: int = MAX_PAGE_SIZE,
        **options: Unpack[CallOptions],
    ) -> Iterator[LogEntry]:
        """Yield what happened to a run, oldest first; with `follow`, what happens until it is over as well.

        New entries are looked for every `poll_seconds`.

        Example:
            >>> for entry in client.logs(run.validation_id, follow=True):
            ...     print(entry.level, entry.event)
            info claimed
            info completed
        """
        request = pb2.ListValidationLogsRequest(
            validation_id=validation_id,
            page_size=page_size,
            min_level=pb2.LogLevel.Value(f"LOG_LEVEL_{min_level.name}"),
            source=source,
        )
        if follow:
            return self._follow_logs(request, poll_seconds, options)
        return self.connection.items(self.connection.stub.ListValidationLogs, request, "entries", LogEntry, **options)

    def _follow_logs(
        self, request: pb2.ListValidationLogsRequest, poll_seconds: float, options: CallOptions
    ) -> Iterator[LogEntry]:
        seen: list[pb2.LogEntry] = []  # of the last page, which is read again until there is another
        over = False
        while True:
            fresh = []
            for page in self.connection.pages(self.connection.stub.ListValidationLogs, request, **options):
                fresh = [message for message in page.entries if message not in seen]
                yield from map(LogEntry.from_message, fresh)
                seen = [] if page.next_page_token else seen + fresh
            if over and not fresh:
                return
            if not over:
                over = self._is_over(request.validation_id, options)
                time.sleep(0 if over else poll_seconds)

    def _is_over(self, validation_id: str, options: CallOptions) -> bool:
        request = pb2.GetValidationRequest(validation_id=validation_id)
        answer = self.connection.unary(self.connection.stub.GetValidation, request, **options)
        return Validation.from_message(answer.validation).status.is_terminal

    def export(
        self,
        validation_id: str,
        out: str | os.PathLike[str],
        *,
        file_format: ExportFormat | None = None,
        records: bool = False,
        on_rows: OnRows | None = None,
        **options: Unpack[CallOptions],
    ) -> int:
        """Write all results of a completed run, or with `records` all its lines, to the file `out`; return how many.

        The file takes its name once it is whole. Without `file_format`, its name says what it is: `.jsonl`, `.csv`,
        `.parquet` or `.arrow`; another name raises `ValueError`. A broken connection begins the file anew.
        `on_rows(rows so far, rows in all, bytes so far)` is called as it grows. Raises `OSError` if it cannot be
        written, `Conflict` if the run is not completed.

        Example:
            >>> client.export(run.validation_id, "results.csv")
            2
        """
        path = Path(out)
        wanted = file_format or ExportFormat(path.suffix.removeprefix(".").lower())
        request = pb2.ExportValidationRequest(
            validation_id=validation_id,
            content=pb2.EXPORT_CONTENT_RECORDS if records else pb2.EXPORT_CONTENT_RESULTS,
            format=pb2.ExportFormat.Value(f"EXPORT_FORMAT_{wanted.name}"),
        )
        backoff = Backoff(self._retry, options.get("timeout"))
        return export(self.connection, request, path, backoff, on_rows=on_rows, metadata=options.get("metadata", ()))

    def batch(self, batch_id: str, *, duplicates: bool = False, **options: Unpack[CallOptions]) -> Batch:
        """Return a batch; with `duplicates`, also the lines that are in several of its files (a search).

        Example:
            >>> batch = client.batch("2025-03")
            >>> batch.status, batch.counts.completed, batch.counts.runs
            (<Status.PROCESSING: 'PROCESSING'>, 1, 2)
        """
        request = pb2.GetBatchRequest(batch_id=batch_id, include_duplicates=duplicates)
        return Batch.from_message(self.connection.unary(self.connection.stub.GetBatch, request, **options))

    def watch_batch(
        self, batch_id: str, on_break: OnBreak | None = None, **options: Unpack[CallOptions]
    ) -> Iterator[Update]:
        """Yield the state of a batch at once, every change, and its terminal state last; reconnects by itself.

        It is over when none of its runs waits or is worked on. `on_break` is called as for `watch`.

        Example:
            >>> for update in client.watch_batch("2025-03"):
            ...     print(f"{update.batch.over} of {update.batch.runs}, {update.percent:.0f} %")
            2 of 2, 100 %
        """
        return self._watch(pb2.WatchValidationRequest(batch_id=batch_id), on_break, options)

    def _watch(
        self, request: pb2.WatchValidationRequest, on_break: OnBreak | None, options: CallOptions
    ) -> Iterator[Update]:
        backoff = Backoff(self._retry, options.get("timeout"))
        return watch(self.connection, request, backoff, on_break=on_break, metadata=options.get("metadata", ()))

    def revalidate(
        self, validation_id: str, **options: Unpack[CallOptions]
    ) -> Iterator[ResultChange | RevalidationSummary]:
        """Yield what would change if a completed run were judged today, the sum of it last. Nothing is stored.

        Example:
            >>> *changes, summary = client.revalidate(run.validation_id)
            >>> [change.kind for change in changes], summary.unchanged
            ([<ChangeKind.GONE: 'gone'>], 1)
        """
        request = pb2.RevalidateValidationRequest(validation_id=validation_id)
        with closing(self.connection.stream(self.connection.stub.RevalidateValidation, request, **options)) as messages:
            for message in messages:
                is_summary = message.WhichOneof("message") == "summary"
                yield (
                    RevalidationSummary.from_message(message.summary)
                    if is_summary
                    else ResultChange.from_message(message.change)
                )
