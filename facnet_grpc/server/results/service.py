"""The methods of `facnet.v1.ValidationService` that read results, lines and logs of runs, and export files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from facnet_grpc import faults
from facnet_grpc.errors import InvalidInput
from facnet_grpc.export.formats import Format
from facnet_grpc.export.tables import export_lines
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.log_entry import LogLevel
from facnet_grpc.phi.redaction import Redactor
from facnet_grpc.server import request_fields
from facnet_grpc.server.executors import BlockingExecutor
from facnet_grpc.server.paging import NUMBER, Page
from facnet_grpc.server.proto import EXPORT_FORMAT, LOG_LEVEL, SEVERITY, member, members
from facnet_grpc.server.request_context import Context, current
from facnet_grpc.server.results import phi_audit, proto
from facnet_grpc.server.results.export import Export, Exports
from facnet_grpc.server.results.queries import ResultQueries
from facnet_grpc.storage.postgres.results import ResultFilter

MAX_RECORD_NUMBERS = 1000


class ResultService:
    """Results of the caller's runs, in the caller's language, with persons redacted unless the caller may see them."""

    def __init__(
        self, queries: ResultQueries, exports: Exports, redactor: Redactor, blocking: BlockingExecutor
    ) -> None:
        self._queries = queries
        self._exports = exports
        self._redactor = redactor
        self._blocking = blocking

    async def GetValidationSummary(
        self, request: pb.GetValidationSummaryRequest, _context: Context
    ) -> pb.GetValidationSummaryResponse:
        """Return the figures of a completed run."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        owner, locale = current().caller.scope, current().locale

        def read() -> pb.GetValidationSummaryResponse:
            return proto.summary(*self._queries.summary(run_id, owner), locale)

        return await self._blocking.run(read)

    async def ListValidationResults(
        self, request: pb.ListValidationResultsRequest, _context: Context
    ) -> pb.ListValidationResultsResponse:
        """List the results of a completed run."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        filters = ResultFilter(
            rule_ids=request_fields.texts("rule_ids", request.rule_ids),
            severities=members("severities", request.severities, SEVERITY),
            categories=request_fields.texts("categories", request.categories),
            scenarios=request_fields.texts("scenarios", request.scenarios),
            service_date_from=request_fields.day("service_date_from", request.service_date_from),
            service_date_to=request_fields.day("service_date_to", request.service_date_to),
        )
        doctor = request_fields.optional_text("doctor_key", request.doctor_key) or ""
        page = Page(request, ("results", run_id, filters, doctor), NUMBER)
        owner, renderer = current().caller.scope, proto.renderer(self._redactor)

        def read() -> pb.ListValidationResultsResponse:
            rows = self._queries.results(run_id, owner, filters, doctor=doctor, after=page.after or 0, limit=page.limit)
            results, token = page.build(rows, renderer.result, lambda row: row.result_number)
            return pb.ListValidationResultsResponse(results=results, next_page_token=token)

        return await self._blocking.run(read)

    async def ListRejectedRows(
        self, request: pb.ListRejectedRowsRequest, _context: Context
    ) -> pb.ListRejectedRowsResponse:
        """List the rejected lines of a completed run."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        page = Page(request, ("rejected", run_id), NUMBER)
        owner, renderer = current().caller.scope, proto.renderer(self._redactor)

        def read() -> pb.ListRejectedRowsResponse:
            run, rows = self._queries.rejected_rows(run_id, owner, after=page.after or 0, limit=page.limit)
            rejected, token = page.build(rows, renderer.rejected_row, lambda row: row.record_number)
            return pb.ListRejectedRowsResponse(
                rejected_rows=rejected, next_page_token=token, total_rejected=run.rejected_rows
            )

        return await self._blocking.run(read)

    async def ListBillingRecords(
        self, request: pb.ListBillingRecordsRequest, _context: Context
    ) -> pb.ListBillingRecordsResponse:
        """List the lines of a completed run."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        numbers = _record_numbers(request.record_numbers)
        page = Page(request, ("lines", run_id, numbers), NUMBER)
        owner, persons = current().caller.scope, phi_audit.person_view(self._redactor)

        def read() -> pb.ListBillingRecordsResponse:
            lines = self._queries.lines(run_id, owner, numbers=numbers, after=page.after or 0, limit=page.limit)
            rows = export_lines(lines, persons).to_pylist()
            billing_records, token = page.build(rows, proto.billing_record, lambda row: int(row["record_number"]))
            return pb.ListBillingRecordsResponse(records=billing_records, next_page_token=token)

        return await self._blocking.run(read)

    async def ListValidationLogs(
        self, request: pb.ListValidationLogsRequest, _context: Context
    ) -> pb.ListValidationLogsResponse:
        """List the log of a run."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        level = member("min_level", request.min_level, LOG_LEVEL, default=LogLevel.DEBUG)
        source = request_fields.optional_text("source", request.source)
        page = Page(request, ("logs", run_id, level, source), NUMBER)
        owner = current().caller.scope

        def read() -> pb.ListValidationLogsResponse:
            rows = self._queries.logs(
                run_id, owner, min_level=level, source=source, after=page.after or 0, limit=page.limit
            )
            entries, token = page.build(rows, proto.log_entry, lambda row: row.log_number)
            return pb.ListValidationLogsResponse(entries=entries, next_page_token=token)

        return await self._blocking.run(read)

    async def ExportValidation(
        self, request: pb.ExportValidationRequest, _context: Context
    ) -> AsyncIterator[pb.ExportValidationResponse]:
        """Send a whole file; the next part is made when the client has taken the one before it."""
        export = await self._blocking.run(self._export, request)
        media_type = export.media_type
        while (part := await self._blocking.run(next, export.parts, None)) is not None:
            faults.point("server.export.sending")
            yield pb.ExportValidationResponse(
                data=part.data, media_type=media_type, rows=part.rows, total_rows=export.total_rows
            )
            media_type = ""  # only the first part carries it

    def _export(self, request: pb.ExportValidationRequest) -> Export:
        run_id = request_fields.uuid("validation_id", request.validation_id)
        is_lines = request_fields.one_of("content", request.content, proto.EXPORTS_LINES)
        form = member("format", request.format, EXPORT_FORMAT, default=Format.JSONL)
        owner, persons = current().caller.scope, phi_audit.person_view(self._redactor)
        if is_lines:
            return self._exports.lines(run_id, owner, form, persons)
        return self._exports.results(run_id, owner, form, persons, current().locale)


def _record_numbers(values: Sequence[int]) -> tuple[int, ...]:
    """Read record numbers, sorted, each once."""
    if len(values) > MAX_RECORD_NUMBERS:
        raise InvalidInput(field="record_numbers", max_items=MAX_RECORD_NUMBERS)
    if any(value < 1 for value in values):
        request_fields.refuse("record_numbers")
    return tuple(sorted(set(values)))
