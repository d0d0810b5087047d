"""The part of the client that reads lines and logs, fetches whole files, and sees batches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from facnet_client import convert, logs
from facnet_client.backoff import Retry
from facnet_client.batch import Batch, batch
from facnet_client.calls import Calls
from facnet_client.errors import FacnetError
from facnet_client.export import OnRows, export
from facnet_client.record import ExportFormat, LogEntry, LogLevel, Record, record
from facnet_client.values import Update
from facnet_client.watch import watch
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2

LARGEST_PAGE = 1000


class Reading:
    """Lines, logs, exports, batches. Every method raises `FacnetError`."""

    _calls: Calls
    _retry: Retry

    def records(
        self,
        validation_id: str,
        *,
        record_numbers: Sequence[int] = (),
        page_size: int = LARGEST_PAGE,
    ) -> Iterator[Record]:
        """Yield the lines of a completed run, by number, or those of certain numbers (at most 1,000)."""
        request = pb2.ListBillingRecordsRequest(
            validation_id=validation_id,
            page_size=page_size,
            record_numbers=record_numbers,
        )
        for page in self._calls.pages(self._calls.stub.ListBillingRecords, request):
            yield from map(record, page.records)

    def logs(
        self,
        validation_id: str,
        *,
        min_level: LogLevel = LogLevel.UNSPECIFIED,
        source: str = "",
        follow: bool = False,
        page_size: int = LARGEST_PAGE,
    ) -> Iterator[LogEntry]:
        """Yield what happened to a run, oldest first; with `follow`, what happens until it is over as well."""
        request = pb2.ListValidationLogsRequest(
            validation_id=validation_id,
            page_size=page_size,
            min_level=pb2.LogLevel.Value(f"LOG_LEVEL_{min_level.name}"),
            source=source,
        )
        if follow:
            return logs.following(self._calls, request, lambda: self._is_over(validation_id))
        return logs.entries(self._calls, request)

    def export(
        self,
        validation_id: str,
        out: str | os.PathLike[str],
        *,
        form: ExportFormat | None = None,
        records: bool = False,
        on_rows: OnRows | None = None,
    ) -> int:
        """Write all results of a completed run, or all its lines, to the file `out`, and return how many.

        The file takes its name once it is whole. Without `form`, its name says what it is: `.jsonl`, `.csv`,
        `.parquet` or `.arrow`; another name raises `ValueError`. A broken connection begins the file anew.
        `on_rows(rows so far, rows in all, bytes so far)` is called as it grows. Raises `OSError` if it cannot be
        written.
        """
        path = Path(out)
        wanted = form or ExportFormat(path.suffix.removeprefix(".").lower())
        request = pb2.ExportValidationRequest(
            validation_id=validation_id,
            content=pb2.EXPORT_CONTENT_RECORDS if records else pb2.EXPORT_CONTENT_RESULTS,
            format=pb2.ExportFormat.Value(f"EXPORT_FORMAT_{wanted.name}"),
        )
        return export(self._calls, request, path, self._retry, on_rows)

    def batch(self, batch_id: str, *, duplicates: bool = False) -> Batch:
        """Return a batch; with `duplicates`, also the lines that are in several of its files (a search)."""
        request = pb2.GetBatchRequest(batch_id=batch_id, include_duplicates=duplicates)
        return batch(self._calls.unary(self._calls.stub.GetBatch, request))

    def watch_batch(
        self,
        batch_id: str,
        on_break: Callable[[FacnetError | None], None] | None = None,
    ) -> Iterator[Update]:
        """Yield the state of a batch at once, every change, and its terminal state last; reconnects by itself.

        It is over when none of its runs waits or is worked on.
        """
        return watch(self._calls, "", self._retry, on_break, batch_id=batch_id)

    def _is_over(self, validation_id: str) -> bool:
        request = pb2.GetValidationRequest(validation_id=validation_id)
        answer = self._calls.unary(self._calls.stub.GetValidation, request)
        return convert.status(answer.validation.status).is_terminal
