"""The request stream of an upload: header first, chunks, an idle timeout, and draining before an error."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from facnet_grpc.errors import InvalidInput, Reason, TransientError
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.server.uploads import proto
from facnet_grpc.server.uploads.receiver import Chunk

DRAIN_BYTES = 64 << 20
DRAIN_SECONDS = 3.0
END_SECONDS = 0.01


class UploadStream:
    """Reads a header, then chunks; raises `TransientError` (DEADLINE_EXCEEDED) after `idle_seconds` of silence."""

    def __init__(
        self,
        messages: AsyncIterator[pb.SubmitValidationRequest],
        idle_seconds: float,
        *,
        end_seconds: float = END_SECONDS,
    ) -> None:
        """Wait `end_seconds` at the end of a stream that may have been interrupted."""
        self._messages = messages
        self._idle = idle_seconds
        self._end = end_seconds
        self._announced: int | None = None

    async def header(self) -> pb.UploadHeader:
        """Return the first message. Raises `InvalidInput` (HEADER_REQUIRED) if it is anything else."""
        message = await self._next()
        if message is None or message.WhichOneof("message") != "header":
            raise InvalidInput(Reason.HEADER_REQUIRED, field="header")
        if message.header.HasField("size_bytes"):
            self._announced = message.header.size_bytes
        return message.header

    async def chunks(self) -> AsyncIterator[Chunk]:
        """Yield the chunks. Raises `InvalidInput` for a message that is no chunk."""
        end = 0
        while message := await self._next():
            if message.WhichOneof("message") != "chunk":
                raise InvalidInput(field="message")
            end = message.chunk.offset + len(message.chunk.data)
            yield proto.chunk(message.chunk)
        # An interrupted stream looks ended for a moment before this task is cancelled: without this wait, half a file
        # could be taken for a whole one.
        if end != self._announced:
            await asyncio.sleep(self._end)

    async def drain(self) -> None:
        """Read and discard messages for a bounded time and size, before the call ends with an error.

        Otherwise grpc.aio clients that are still writing would see INTERNAL instead of the status.
        """
        drained = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                async for message in self._messages:
                    drained += len(message.chunk.data)
                    if drained > DRAIN_BYTES:
                        return

    async def _next(self) -> pb.SubmitValidationRequest | None:
        limit = asyncio.timeout(self._idle)
        try:
            async with limit:
                return await anext(self._messages, None)
        except TimeoutError:
            raise TransientError(Reason.DEADLINE_EXCEEDED) from None
