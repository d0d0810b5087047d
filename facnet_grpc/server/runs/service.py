"""`facnet.v1.ValidationService`: thin by intent. Fields are read here; the work is elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from uuid_utils.compat import uuid7

from facnet_grpc import faults
from facnet_grpc.errors import FacnetError
from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.gen.facnet.v1 import validation_service_pb2_grpc as pb_grpc
from facnet_grpc.model.run import Run
from facnet_grpc.model.upload import UploadHeader
from facnet_grpc.phi.redaction import Redactor
from facnet_grpc.rules.registry import Registry
from facnet_grpc.server import request_fields
from facnet_grpc.server.dispatch import Dispatcher
from facnet_grpc.server.executors import BlockingExecutor
from facnet_grpc.server.paging import Cursor, cut, number_position, number_token, page_token, uuid_position
from facnet_grpc.server.proto import moment
from facnet_grpc.server.request_context import current
from facnet_grpc.server.results import phi_audit
from facnet_grpc.server.results import proto as results_proto
from facnet_grpc.server.results.export import Exports
from facnet_grpc.server.results.queries import RowQueries
from facnet_grpc.server.results.service import LineCalls
from facnet_grpc.server.revalidations.queries import Revalidations
from facnet_grpc.server.revalidations.service import RevalidationCalls
from facnet_grpc.server.runs import proto
from facnet_grpc.server.runs.commands import RunCommands
from facnet_grpc.server.runs.control_calls import ControlCalls
from facnet_grpc.server.runs.queries import RunQueries
from facnet_grpc.server.uploads import proto as uploads_proto
from facnet_grpc.server.uploads.commands import Uploads
from facnet_grpc.server.uploads.stream import UploadStream, received
from facnet_grpc.server.watching.batch_calls import BatchCalls
from facnet_grpc.server.watching.batches import Batches
from facnet_grpc.server.watching.hub import WatchHub
from facnet_grpc.storage.postgres.results import ResultFilter
from facnet_grpc.storage.postgres.runs import RunFilter

UPLOAD_HEADER = "x-upload-id"  # initial metadata: the id to go on with, for clients that did not choose one
RUNS_PER_PAGE = 50
ROWS_PER_PAGE = 100

Context = Any  # grpc.aio.ServicerContext; the stubs' own type is one of both worlds


class ValidationService(BatchCalls, ControlCalls, LineCalls, RevalidationCalls, pb_grpc.ValidationServiceServicer):
    """Takes claim files, follows them, and says what was found."""

    def __init__(  # noqa: PLR0913 - the parts that the service is made of
        self,
        *,
        rules: Registry,
        uploads: Uploads,
        hub: WatchHub,
        reads: RunQueries,
        redactor: Redactor,
        blocking: BlockingExecutor,
        idle_seconds: float,
        control: RunCommands,
        dispatcher: Dispatcher,
        lines: RowQueries,
        exports: Exports,
        revalidations: Revalidations,
        batches: Batches,
        check_webhook: Callable[[str], object],
    ) -> None:
        self._check_webhook = check_webhook
        self._batches = batches
        self._lines = lines
        self._exports = exports
        self._revalidations = revalidations
        self._control = control
        self._dispatcher = dispatcher
        self._rules = rules
        self._uploads = uploads
        self._hub = hub
        self._reads = reads
        self._redactor = redactor
        self._blocking = blocking
        self._idle_seconds = idle_seconds

    async def SubmitValidation(  # noqa: N802 - named by the API
        self,
        request_iterator: AsyncIterator[pb.SubmitValidationRequest],
        context: Context,
    ) -> pb.SubmitValidationResponse:
        """Take a file."""
        stream = UploadStream(request_iterator, self._idle_seconds)
        try:
            run = await self._submit(stream, context)
        except FacnetError:
            await stream.drain()
            raise
        faults.point("server.submit.answering")
        return uploads_proto.submitted(run)

    async def _submit(self, stream: UploadStream, context: Context) -> Run:
        owner = current().caller.owner
        header = self._header(await stream.header())
        if (run := await self._uploads.earlier(header, owner)) is not None:
            await stream.drain()
            return run
        upload_id = header.upload_id or uuid7()
        await context.send_initial_metadata(((UPLOAD_HEADER, str(upload_id)),))
        return await self._uploads.receive(header, owner, upload_id, stream.chunks())

    def _header(self, message: pb.UploadHeader) -> UploadHeader:
        header = uploads_proto.upload_header(message)
        if header.rule_ids:
            self._rules.select(header.rule_ids)
        if header.webhook_url:
            self._check_webhook(header.webhook_url)
        return header

    async def UploadChunk(self, request: pb.UploadChunkRequest, _context: Context) -> pb.UploadChunkResponse:  # noqa: N802 - named by the API
        """Take a chunk of a file, and perhaps its end."""
        owner = current().caller.owner
        header = self._header(request.header)
        if header.upload_id is None:
            request_fields.refuse("header.upload_id")
        chunk = received(request.chunk) if request.HasField("chunk") else None
        if chunk is None and not request.finish:
            request_fields.refuse("chunk")
        if (run := await self._uploads.earlier(header, owner)) is not None:
            return uploads_proto.uploaded(run.size_bytes, run)
        stored = await self._uploads.append(header, owner, header.upload_id, chunk, finish=request.finish)
        return uploads_proto.uploaded(*stored)

    async def GetUpload(self, request: pb.GetUploadRequest, _context: Context) -> pb.GetUploadResponse:  # noqa: N802 - named by the API
        """Say how much of an upload is stored."""
        upload_id = request_fields.uuid("upload_id", request.upload_id)
        return uploads_proto.upload(*await self._uploads.get(upload_id, current().caller.owner))

    async def WatchValidation(  # noqa: N802 - named by the API
        self,
        request: pb.WatchValidationRequest,
        _context: Context,
    ) -> AsyncIterator[pb.WatchValidationResponse]:
        """Follow a run to its end, or a batch."""
        if request.batch_id:
            async with aclosing(self._watch_batch(request)) as messages:
                async for message in messages:
                    yield message
            return
        run_id = request_fields.uuid("validation_id", request.validation_id)
        cursor = Cursor.decode(request.after_cursor, run_id)
        locale = current().locale
        async with aclosing(self._hub.watch(run_id, current().caller.scope, cursor)) as views:
            async for view in views:
                faults.point("server.watch.sending")
                yield proto.watched(view, locale, datetime.now(UTC))

    async def GetValidation(self, request: pb.GetValidationRequest, _context: Context) -> pb.GetValidationResponse:  # noqa: N802 - named by the API
        """Read one run."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        run = await self._blocking.run(self._reads.run, run_id, current().caller.scope)
        expected = await self._blocking.run(self._reads.expected, run)
        return pb.GetValidationResponse(validation=proto.validation(run, current().locale, expected))

    async def ListValidations(  # noqa: N802 - named by the API
        self,
        request: pb.ListValidationsRequest,
        _context: Context,
    ) -> pb.ListValidationsResponse:
        """List the caller's runs."""
        filters = RunFilter(
            statuses=proto.statuses(request.statuses),
            batch_id=request_fields.optional_text("batch_id", request.batch_id),
            file_name_contains=request_fields.optional_text("file_name_contains", request.file_name_contains),
            created_from=moment(request, "created_from"),
            created_before=moment(request, "created_before"),
        )
        size = request_fields.page_size(request.page_size, RUNS_PER_PAGE)
        asked = ("runs", current().caller.owner, filters)
        before = uuid_position(request.page_token, asked)
        locale = current().locale

        def shown(run: Run) -> validation_pb2.Validation:
            return proto.validation(run, locale, self._reads.expected(run))

        def read() -> pb.ListValidationsResponse:
            rows = self._reads.runs(current().caller.owner, filters, before=before, limit=size + 1)
            page, token = cut(rows, size, shown, lambda run: page_token(asked, run.id.bytes))
            return pb.ListValidationsResponse(validations=page, next_page_token=token)

        return await self._blocking.run(read)

    async def GetValidationSummary(  # noqa: N802 - named by the API
        self,
        request: pb.GetValidationSummaryRequest,
        _context: Context,
    ) -> pb.GetValidationSummaryResponse:
        """Sum up a completed run."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        locale = current().locale

        def read() -> pb.GetValidationSummaryResponse:
            return proto.summary(*self._reads.summary(run_id, current().caller.scope), locale)

        return await self._blocking.run(read)

    async def ListValidationResults(  # noqa: N802 - named by the API
        self,
        request: pb.ListValidationResultsRequest,
        _context: Context,
    ) -> pb.ListValidationResultsResponse:
        """List what was found in a completed run."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        filters = ResultFilter(
            rule_ids=request_fields.texts("rule_ids", request.rule_ids),
            severities=results_proto.severities(request.severities),
            categories=request_fields.texts("categories", request.categories),
            scenarios=request_fields.texts("scenarios", request.scenarios),
            service_date_from=request_fields.day("service_date_from", request.service_date_from),
            service_date_to=request_fields.day("service_date_to", request.service_date_to),
        )
        doctor = request_fields.optional_text("doctor_key", request.doctor_key) or ""
        size = request_fields.page_size(request.page_size, ROWS_PER_PAGE)
        asked = ("results", run_id, filters, doctor)
        after = number_position(request.page_token, asked)
        renderer = self._renderer()

        def read() -> pb.ListValidationResultsResponse:
            owner = current().caller.scope
            rows = self._reads.results(run_id, owner, filters, doctor=doctor, after=after, limit=size + 1)
            page, token = cut(rows, size, renderer.result, lambda row: number_token(asked, row.result_number))
            return pb.ListValidationResultsResponse(results=page, next_page_token=token)

        return await self._blocking.run(read)

    async def ListRejectedRows(  # noqa: N802 - named by the API
        self,
        request: pb.ListRejectedRowsRequest,
        _context: Context,
    ) -> pb.ListRejectedRowsResponse:
        """List the lines of a completed run that could not be read."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        size = request_fields.page_size(request.page_size, ROWS_PER_PAGE)
        asked = ("rejected", run_id)
        after = number_position(request.page_token, asked)
        renderer = self._renderer()

        def read() -> pb.ListRejectedRowsResponse:
            run, rows = self._reads.rejected_rows(run_id, current().caller.scope, after=after, limit=size + 1)
            page, token = cut(rows, size, renderer.rejected_row, lambda row: number_token(asked, row.record_number))
            return pb.ListRejectedRowsResponse(
                rejected_rows=page,
                next_page_token=token,
                total_rejected=run.rejected_rows,
            )

        return await self._blocking.run(read)

    def _renderer(self) -> results_proto.ResultRenderer:
        return results_proto.ResultRenderer(current().locale, phi_audit.person_view(self._redactor))
