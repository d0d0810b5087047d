"""The part of `facnet.v1.ValidationService` that reads lines and logs, and sends whole files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from facnet_grpc import faults
from facnet_grpc.errors import InvalidInput
from facnet_grpc.export.tables import shaped
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.phi.redaction import PersonView, Redactor
from facnet_grpc.server import request_fields
from facnet_grpc.server.executors import BlockingExecutor
from facnet_grpc.server.paging import cut, number_position, number_token
from facnet_grpc.server.request_context import current
from facnet_grpc.server.results import phi_audit, proto
from facnet_grpc.server.results.export import Export, Exports
from facnet_grpc.server.results.queries import RowQueries

ROWS_PER_PAGE = 100
MAX_NUMBERS = 1000

Context = Any  # grpc.aio.ServicerContext; the stubs' own type is one of both worlds


class LineCalls:
    """Lines, logs, exports."""

    _blocking: BlockingExecutor
    _exports: Exports
    _lines: RowQueries
    _redactor: Redactor

    async def ListBillingRecords(  # noqa: N802 - named by the API
        self,
        request: pb.ListBillingRecordsRequest,
        _context: Context,
    ) -> pb.ListBillingRecordsResponse:
        """List the lines of a completed run."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        numbers = _numbers(request.record_numbers)
        size = request_fields.page_size(request.page_size, ROWS_PER_PAGE)
        asked = ("lines", run_id, numbers)
        after = number_position(request.page_token, asked)
        owner, persons = current().caller.scope, self._persons()

        def read() -> pb.ListBillingRecordsResponse:
            found = self._lines.lines(run_id, owner, numbers=numbers, after=after, limit=size + 1)
            rows = shaped(found, persons).to_pylist()
            page, token = cut(rows, size, proto.billing_record, lambda row: number_token(asked, row["record_number"]))
            return pb.ListBillingRecordsResponse(records=page, next_page_token=token)

        return await self._blocking.run(read)

    async def ListValidationLogs(  # noqa: N802 - named by the API
        self,
        request: pb.ListValidationLogsRequest,
        _context: Context,
    ) -> pb.ListValidationLogsResponse:
        """List what happened to a run."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        level = request_fields.one_of("min_level", request.min_level, proto.LEVELS)
        source = request_fields.optional_text("source", request.source)
        size = request_fields.page_size(request.page_size, ROWS_PER_PAGE)
        asked = ("logs", run_id, level, source)
        after = number_position(request.page_token, asked)
        owner = current().caller.scope

        def read() -> pb.ListValidationLogsResponse:
            rows = self._lines.logs(run_id, owner, min_level=level, source=source, after=after, limit=size + 1)
            page, token = cut(rows, size, proto.log_entry, lambda row: number_token(asked, row.log_number))
            return pb.ListValidationLogsResponse(entries=page, next_page_token=token)

        return await self._blocking.run(read)

    async def ExportValidation(  # noqa: N802 - named by the API
        self,
        request: pb.ExportValidationRequest,
        _context: Context,
    ) -> AsyncIterator[pb.ExportValidationResponse]:
        """Send a whole file; the next part is made when the one before it has been taken."""
        export = await self._blocking.run(self._export, request)
        media_type = export.media_type
        while (part := await self._blocking.run(next, export.parts, None)) is not None:
            faults.point("server.export.sending")
            yield pb.ExportValidationResponse(
                data=part.data,
                media_type=media_type,
                rows=part.rows,
                total_rows=export.total_rows,
            )
            media_type = ""

    def _export(self, request: pb.ExportValidationRequest) -> Export:
        run_id = request_fields.uuid("validation_id", request.validation_id)
        is_lines = request_fields.one_of("content", request.content, proto.CONTENTS)
        form = request_fields.one_of("format", request.format, proto.FORMATS)
        owner = current().caller.scope
        if is_lines:
            return self._exports.lines(run_id, owner, form, self._persons())
        return self._exports.results(run_id, owner, form, self._persons(), current().locale)

    def _persons(self) -> PersonView:
        return phi_audit.person_view(self._redactor)


def _numbers(values: Sequence[int]) -> tuple[int, ...]:
    """Read record numbers, sorted, each once."""
    if len(values) > MAX_NUMBERS:
        raise InvalidInput(field="record_numbers", max_items=MAX_NUMBERS)
    if any(value < 1 for value in values):
        request_fields.refuse("record_numbers")
    return tuple(sorted(set(values)))
