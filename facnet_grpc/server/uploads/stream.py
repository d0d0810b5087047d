"""The client's side of an upload: a stream of messages, read with the care that streams need."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from facnet_grpc.errors import InvalidInput, Reason, TransientError
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.server import request_fields
from facnet_grpc.server.uploads.receiver import Chunk

DRAIN_BYTES = 64 << 20
DRAIN_SECONDS = 3.0
SETTLE_SECONDS = 0.01


def received(chunk: pb.UploadChunk) -> Chunk:
    """Return the chunk of a message. Raises `InvalidInput`."""
    file_sha256 = request_fields.sha256("chunk.file_sha256", chunk.file_sha256)
    return Chunk(chunk.offset, chunk.data, chunk.crc32c if chunk.HasField("crc32c") else None, file_sha256)


class UploadStream:
    """Reads a header, then chunks. A client that sends nothing for `idle_seconds` is given up."""

    def __init__(self, messages: AsyncIterator[pb.SubmitValidationRequest], idle_seconds: float) -> None:
        self._messages = messages
        self._idle = idle_seconds
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
        """Yield every chunk up to the end that the client set."""
        end = 0
        while message := await self._next():
            if message.WhichOneof("message") != "chunk":
                raise InvalidInput(field="message")
            end = message.chunk.offset + len(message.chunk.data)
            yield received(message.chunk)
        # A stream that broke may look ended for a moment, before this task is cancelled: half a file must not pass
        # for a whole one.
        if end != self._announced:
            await asyncio.sleep(SETTLE_SECONDS)

    async def drain(self) -> None:
        """Read on for a while without looking, before the call is ended early.

        grpc.aio clients that are still writing would otherwise see INTERNAL instead of the status.
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
