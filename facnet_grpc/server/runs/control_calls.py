"""The part of `facnet.v1.ValidationService` that changes runs."""

from __future__ import annotations

from typing import Any

from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.server import request_fields
from facnet_grpc.server.dispatch import Dispatcher
from facnet_grpc.server.executors import BlockingExecutor
from facnet_grpc.server.request_context import current
from facnet_grpc.server.runs import proto
from facnet_grpc.server.runs.commands import RunCommands

Context = Any  # grpc.aio.ServicerContext; the stubs' own type is one of both worlds


class ControlCalls:
    """Cancel, try again, delete."""

    _blocking: BlockingExecutor
    _control: RunCommands
    _dispatcher: Dispatcher

    async def CancelValidation(  # noqa: N802 - named by the API
        self,
        request: pb.CancelValidationRequest,
        _context: Context,
    ) -> pb.CancelValidationResponse:
        """End a run that is not over."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        run = await self._blocking.run(self._control.cancel, run_id, current().caller.scope)
        return pb.CancelValidationResponse(validation=proto.validation(run, current().locale))

    async def RetryValidation(  # noqa: N802 - named by the API
        self,
        request: pb.RetryValidationRequest,
        _context: Context,
    ) -> pb.RetryValidationResponse:
        """Queue a failed run again."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        run = await self._blocking.run(self._control.retry, run_id, current().caller.scope)
        self._dispatcher.send(run_id)
        return pb.RetryValidationResponse(validation=proto.validation(run, current().locale))

    async def DeleteValidation(  # noqa: N802 - named by the API
        self,
        request: pb.DeleteValidationRequest,
        _context: Context,
    ) -> pb.DeleteValidationResponse:
        """Remove a run that is over."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        await self._blocking.run(self._control.delete, run_id, current().caller.scope)
        return pb.DeleteValidationResponse()
