"""The part of `facnet.v1.ValidationService` that is about batches."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.phi.redaction import Redactor
from facnet_grpc.server import request_fields
from facnet_grpc.server.executors import BlockingExecutor
from facnet_grpc.server.paging import Cursor
from facnet_grpc.server.request_context import current
from facnet_grpc.server.results import phi_audit
from facnet_grpc.server.watching import proto
from facnet_grpc.server.watching.batches import Batches

Context = Any  # grpc.aio.ServicerContext; the stubs' own type is one of both worlds


class BatchCalls:
    """Read a batch, follow a batch."""

    _batches: Batches
    _blocking: BlockingExecutor
    _redactor: Redactor

    async def GetBatch(self, request: pb.GetBatchRequest, _context: Context) -> pb.GetBatchResponse:  # noqa: N802 - named by the API
        """Sum up a batch."""
        batch_id = request_fields.text("batch_id", request.batch_id)
        owner, locale = current().caller.owner, current().locale
        details = await self._batches.get(owner, batch_id, duplicates=request.include_duplicates)
        renderer = proto.BatchRenderer(locale, phi_audit.person_view(self._redactor))
        return await self._blocking.run(renderer.details, details)

    async def _watch_batch(self, request: pb.WatchValidationRequest) -> AsyncGenerator[pb.WatchValidationResponse]:
        """Follow a batch to its end."""
        if request.validation_id:
            request_fields.refuse("batch_id")
        batch_id = request_fields.text("batch_id", request.batch_id)
        cursor = Cursor.decode(request.after_cursor, proto.cursor_id(batch_id))
        least = cursor.percent if cursor else 0.0
        async with aclosing(self._batches.watch(current().caller.owner, batch_id, least)) as batches:
            async for batch in batches:
                yield proto.watched(batch, datetime.now(UTC))
