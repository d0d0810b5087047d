"""The upload methods of `facnet.v1.ValidationService`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from uuid_utils.compat import uuid7

from facnet_grpc import faults
from facnet_grpc.errors import FacnetError, InvalidInput, Reason
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.run import Run
from facnet_grpc.model.upload import UploadHeader
from facnet_grpc.rules.registry import Registry
from facnet_grpc.server import request_fields
from facnet_grpc.server.request_context import Context, current
from facnet_grpc.server.request_stream import RequestStream
from facnet_grpc.server.uploads import proto
from facnet_grpc.server.uploads.commands import Uploads
from facnet_grpc.server.uploads.receiver import Chunk

UPLOAD_ID_HEADER = "x-upload-id"  # initial metadata: the id to resume with, for clients that did not choose one


class UploadStream(RequestStream[pb.SubmitValidationRequest]):
    """The messages of an upload: a header, then chunks."""

    _announced_bytes: int | None = None

    async def header(self) -> pb.UploadHeader:
        """Return the first message. Raises `InvalidInput` (HEADER_REQUIRED) if it is anything else."""
        message = await self.next()
        if message is None or message.WhichOneof("message") != "header":
            raise InvalidInput(Reason.HEADER_REQUIRED, field="header")
        if message.header.HasField("size_bytes"):
            self._announced_bytes = message.header.size_bytes
        return message.header

    async def chunks(self) -> AsyncIterator[Chunk]:
        """Yield the chunks. Raises `InvalidInput` for a message that is no chunk."""
        end = 0
        while (message := await self.next()) is not None:
            if message.WhichOneof("message") != "chunk":
                raise InvalidInput(field="message")
            end = message.chunk.offset + len(message.chunk.data)
            yield proto.chunk(message.chunk)
        if end != self._announced_bytes:  # half a file must not be taken for a whole one
            await self.confirm_end()


class UploadService:
    """Takes files, as a stream or chunk by chunk."""

    def __init__(
        self, uploads: Uploads, rules: Registry, check_webhook: Callable[[str], object], *, idle_seconds: float
    ) -> None:
        """Use `check_webhook`, which raises `InvalidInput` for URLs that must not be called."""
        self._uploads = uploads
        self._rules = rules
        self._check_webhook = check_webhook
        self._idle_seconds = idle_seconds

    async def SubmitValidation(
        self, request_iterator: AsyncIterator[pb.SubmitValidationRequest], context: Context
    ) -> pb.SubmitValidationResponse:
        """Take a file as a stream."""
        stream = UploadStream(request_iterator, self._idle_seconds)
        try:
            run = await self._submit(stream, context)
        except FacnetError:
            await stream.drain()
            raise
        faults.point("server.submit.answering")
        return proto.submitted(run)

    async def UploadChunk(self, request: pb.UploadChunkRequest, _context: Context) -> pb.UploadChunkResponse:
        """Take one chunk of a file, and optionally its end."""
        owner = current().caller.owner
        header = self._header(request.header)
        if header.upload_id is None:
            request_fields.refuse("header.upload_id")
        chunk = proto.chunk(request.chunk) if request.HasField("chunk") else None
        if chunk is None and not request.finish:
            request_fields.refuse("chunk")
        if (run := await self._uploads.find_finished(header, owner)) is not None:
            return proto.chunk_stored(run.size_bytes, run)
        size, run = await self._uploads.append(header, owner, header.upload_id, chunk, finish=request.finish)
        return proto.chunk_stored(size, run)

    async def GetUpload(self, request: pb.GetUploadRequest, _context: Context) -> pb.GetUploadResponse:
        """Return how much of an upload is stored."""
        upload_id = request_fields.uuid("upload_id", request.upload_id)
        return proto.upload(*await self._uploads.get(upload_id, current().caller.owner))

    async def _submit(self, stream: UploadStream, context: Context) -> Run:
        owner = current().caller.owner
        header = self._header(await stream.header())
        if (run := await self._uploads.find_finished(header, owner)) is not None:
            await stream.drain()
            return run
        upload_id = header.upload_id or uuid7()
        await context.send_initial_metadata(((UPLOAD_ID_HEADER, str(upload_id)),))
        return await self._uploads.receive(header, owner, upload_id, stream.chunks())

    def _header(self, message: pb.UploadHeader) -> UploadHeader:
        header = proto.upload_header(message)
        if header.rule_ids:
            self._rules.select(header.rule_ids)
        if header.webhook_url:
            self._check_webhook(header.webhook_url)
        return header
