"""The methods of `facnet.v1.ValidationService` that follow runs and batches, and read batches."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime

from facnet_grpc import faults
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.phi.redaction import Redactor
from facnet_grpc.server import request_fields
from facnet_grpc.server.executors import BlockingExecutor
from facnet_grpc.server.paging import Cursor
from facnet_grpc.server.request_context import Context, current
from facnet_grpc.server.results import phi_audit
from facnet_grpc.server.watching import proto
from facnet_grpc.server.watching.batch_hub import BatchHub
from facnet_grpc.server.watching.hub import WatchHub
from facnet_grpc.server.watching.queries import BatchQueries


class WatchService:
    """Watches of runs and batches of the caller's owner."""

    def __init__(
        self,
        hub: WatchHub,
        batch_hub: BatchHub,
        batches: BatchQueries,
        redactor: Redactor,
        blocking: BlockingExecutor,
    ) -> None:
        self._hub = hub
        self._batch_hub = batch_hub
        self._batches = batches
        self._redactor = redactor
        self._blocking = blocking

    async def WatchValidation(
        self, request: pb.WatchValidationRequest, _context: Context
    ) -> AsyncIterator[pb.WatchValidationResponse]:
        """Follow a run, or a batch, to its end."""
        async with aclosing(self._watch_batch(request) if request.batch_id else self._watch_run(request)) as messages:
            async for message in messages:
                yield message

    async def GetBatch(self, request: pb.GetBatchRequest, _context: Context) -> pb.GetBatchResponse:
        """Return the figures of a batch."""
        batch_id = request_fields.text("batch_id", request.batch_id)
        owner, locale = current().caller.owner, current().locale
        renderer = proto.BatchRenderer(locale, phi_audit.person_view(self._redactor))

        def read() -> pb.GetBatchResponse:
            return renderer.details(self._batches.details(owner, batch_id, duplicates=request.include_duplicates))

        return await self._blocking.run(read)

    async def _watch_run(self, request: pb.WatchValidationRequest) -> AsyncGenerator[pb.WatchValidationResponse]:
        run_id = request_fields.uuid("validation_id", request.validation_id)
        cursor = Cursor.decode(request.after_cursor, run_id)
        locale = current().locale
        async with aclosing(self._hub.watch(run_id, current().caller.scope, cursor)) as snapshots:
            async for snapshot in snapshots:
                faults.point("server.watch.sending")
                yield proto.watched_run(snapshot, locale, datetime.now(UTC))

    async def _watch_batch(self, request: pb.WatchValidationRequest) -> AsyncGenerator[pb.WatchValidationResponse]:
        if request.validation_id:
            request_fields.refuse("batch_id")
        batch_id = request_fields.text("batch_id", request.batch_id)
        cursor = Cursor.decode(request.after_cursor, proto.cursor_id(batch_id))
        min_percent = cursor.percent if cursor else 0.0
        async with aclosing(self._batch_hub.watch(current().caller.owner, batch_id, min_percent)) as batches:
            async for batch in batches:
                yield proto.watched_batch(batch, datetime.now(UTC))
