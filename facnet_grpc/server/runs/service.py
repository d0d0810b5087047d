"""The methods of `facnet.v1.ValidationService` that read, list and change runs."""

from __future__ import annotations

from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.run import Run
from facnet_grpc.server import request_fields
from facnet_grpc.server.dispatch import Dispatcher
from facnet_grpc.server.executors import BlockingExecutor
from facnet_grpc.server.paging import ID, Page
from facnet_grpc.server.proto import STATUS, members, read_timestamp
from facnet_grpc.server.request_context import Context, current
from facnet_grpc.server.runs import proto
from facnet_grpc.server.runs.commands import RunCommands
from facnet_grpc.server.runs.queries import RunQueries
from facnet_grpc.storage.postgres.runs import RunFilter

RUNS_PER_PAGE = 50


class RunService:
    """Runs of the caller's owner."""

    def __init__(
        self, queries: RunQueries, commands: RunCommands, dispatcher: Dispatcher, blocking: BlockingExecutor
    ) -> None:
        self._queries = queries
        self._commands = commands
        self._dispatcher = dispatcher
        self._blocking = blocking

    async def GetValidation(self, request: pb.GetValidationRequest, _context: Context) -> pb.GetValidationResponse:
        """Return a run."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        run = await self._blocking.run(self._queries.run, run_id, current().caller.scope)
        estimate = await self._blocking.run(self._queries.estimate, run)
        return pb.GetValidationResponse(validation=proto.validation(run, current().locale, estimate))

    async def ListValidations(
        self, request: pb.ListValidationsRequest, _context: Context
    ) -> pb.ListValidationsResponse:
        """List runs, newest first."""
        owner, locale = current().caller.owner, current().locale
        filters = RunFilter(
            statuses=members("statuses", request.statuses, STATUS),
            batch_id=request_fields.optional_text("batch_id", request.batch_id),
            file_name_contains=request_fields.optional_text("file_name_contains", request.file_name_contains),
            created_from=read_timestamp(request, "created_from"),
            created_before=read_timestamp(request, "created_before"),
        )
        page = Page(request, ("runs", owner, filters), ID, RUNS_PER_PAGE)

        def render(run: Run) -> validation_pb2.Validation:
            return proto.validation(run, locale, self._queries.estimate(run))

        def read() -> pb.ListValidationsResponse:
            runs = self._queries.runs(owner, filters, before=page.after, limit=page.limit)
            validations, token = page.build(runs, render, lambda run: run.id)
            return pb.ListValidationsResponse(validations=validations, next_page_token=token)

        return await self._blocking.run(read)

    async def CancelValidation(
        self, request: pb.CancelValidationRequest, _context: Context
    ) -> pb.CancelValidationResponse:
        """Cancel a run that has not ended."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        run = await self._blocking.run(self._commands.cancel, run_id, current().caller.scope)
        return pb.CancelValidationResponse(validation=proto.validation(run, current().locale))

    async def RetryValidation(
        self, request: pb.RetryValidationRequest, _context: Context
    ) -> pb.RetryValidationResponse:
        """Queue a failed run again."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        run = await self._blocking.run(self._commands.retry, run_id, current().caller.scope)
        self._dispatcher.send(run_id)
        return pb.RetryValidationResponse(validation=proto.validation(run, current().locale))

    async def DeleteValidation(
        self, request: pb.DeleteValidationRequest, _context: Context
    ) -> pb.DeleteValidationResponse:
        """Delete a run that has ended."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        await self._blocking.run(self._commands.delete, run_id, current().caller.scope)
        return pb.DeleteValidationResponse()
