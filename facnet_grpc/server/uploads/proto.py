"""Uploads: model ⇄ proto."""

from __future__ import annotations

from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.run import Priority, Run
from facnet_grpc.model.upload import Upload, UploadHeader
from facnet_grpc.server import request_fields
from facnet_grpc.server.proto import PRIORITY, STATUS, member, timestamp
from facnet_grpc.server.uploads.receiver import Chunk


def upload_header(header: pb.UploadHeader) -> UploadHeader:
    """Read the header of an upload. Raises `InvalidInput` naming the first invalid field."""
    if header.HasField("size_bytes") and header.size_bytes < 0:
        request_fields.refuse("header.size_bytes")
    return UploadHeader(
        file_name=request_fields.text("header.file_name", header.file_name, max_length=request_fields.MAX_FILE_NAME),
        size_bytes=header.size_bytes if header.HasField("size_bytes") else None,
        sha256=request_fields.sha256("header.sha256", header.sha256),
        idempotency_key=request_fields.optional_text("header.idempotency_key", header.idempotency_key),
        upload_id=request_fields.optional_uuid("header.upload_id", header.upload_id),
        batch_id=request_fields.optional_text("header.batch_id", header.batch_id),
        priority=member("header.priority", header.priority, PRIORITY, default=Priority.NORMAL),
        labels=request_fields.labels("header.labels", header.labels),
        rule_ids=request_fields.texts("header.rule_ids", header.rule_ids),
        encoding_hint=request_fields.optional_text(
            "header.encoding_hint", header.encoding_hint, max_length=request_fields.MAX_LABEL
        ),
        delimiter_hint=request_fields.delimiter("header.delimiter_hint", header.delimiter_hint),
        webhook_url=header.webhook_url or None,
    )


def chunk(message: pb.UploadChunk) -> Chunk:
    """Read a chunk. Raises `InvalidInput`."""
    file_sha256 = request_fields.sha256("chunk.file_sha256", message.file_sha256)
    return Chunk(message.offset, message.data, message.crc32c if message.HasField("crc32c") else None, file_sha256)


def upload(value: Upload, committed_bytes: int) -> pb.GetUploadResponse:
    """Return the state of an upload."""
    return pb.GetUploadResponse(
        upload_id=str(value.id),
        committed_bytes=committed_bytes,
        expire_time=timestamp(value.expires_at),
        validation_id=str(value.run_id) if value.run_id else "",
    )


def chunk_stored(committed_bytes: int, run: Run | None) -> pb.UploadChunkResponse:
    """Return the bytes of an upload that are stored, and its run once there is one."""
    if run is None:
        return pb.UploadChunkResponse(committed_bytes=committed_bytes)
    return pb.UploadChunkResponse(
        committed_bytes=committed_bytes,
        validation_id=str(run.id),
        job_id=run.job_id,
        status=STATUS[run.status],
    )


def submitted(run: Run) -> pb.SubmitValidationResponse:
    """Return the acceptance of a run."""
    return pb.SubmitValidationResponse(validation_id=str(run.id), job_id=run.job_id, status=STATUS[run.status])
