"""Uploading a file of any size, and resuming after a broken connection.

Chunks are read when gRPC asks for the next one, so memory does not grow with the file. After a break the server is
asked how much it has; only the rest is sent. The idempotency key makes a lost answer harmless. The file's SHA-256 goes
with its end: whatever happened on the way, also to the file, the server has what was read here, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event

import google_crc32c
import grpc

from facnet_client.connection import Connection, Metadata
from facnet_client.errors import FacnetError, NotFound, from_rpc
from facnet_client.retry import Backoff
from facnet_client.source import FileDigest, Source
from facnet_client.values import Submission
from facnet_client.watch import OnBreak
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2

CHUNK_BYTES = 512 << 10

#: Called with the bytes handed over so far and the size of the file (None if unknown), from another thread.
OnProgress = Callable[[int, int | None], None]

# Errors of a stream after which the server says where to go on.
_RESUMABLE = frozenset({"UPLOAD_BUSY", "WRONG_OFFSET", "CHUNK_CORRUPT"})


class Upload:
    """One upload, over as many streams as it takes."""

    def __init__(
        self,
        connection: Connection,
        source: Source,
        header: pb2.UploadHeader,
        backoff: Backoff,
        *,
        on_progress: OnProgress | None = None,
        on_break: OnBreak | None = None,
        metadata: Metadata = (),
    ) -> None:
        """Prepare to send `source`; `header` must have an upload id."""
        self._connection = connection
        self._source = source
        self._digest = FileDigest(source)
        self._header = header
        self._backoff = backoff
        self._on_progress = on_progress
        self._on_break = on_break
        self._metadata = metadata
        self._committed = 0

    def run(self, *, resume: bool = False) -> Submission:
        """Send everything; with `resume`, what the server does not have yet.

        Raises `FacnetError`, and `OSError` if the source cannot be read.
        """
        upload = self._resume() if resume else pb2.GetUploadResponse()
        while not upload.validation_id:
            offset = upload.committed_bytes
            self._digest.catch_up(offset)
            attempt = _Attempt(self._source, self._digest, self._header, offset, self._on_progress)
            try:
                return attempt.run(self._connection, self._backoff.remaining, self._metadata)
            except FacnetError as error:
                if not (error.is_retryable or error.reason in _RESUMABLE):
                    raise
                broken = error
            if attempt.connected:
                self._backoff.connected()
            upload = self._reconnect(broken)
        return self._submitted(upload.validation_id)

    def _resume(self) -> pb2.GetUploadResponse:
        """Return the state of an upload that may have been begun by another program."""
        try:
            return self._get_upload()
        except FacnetError as error:
            if not error.is_retryable:
                raise
            return self._reconnect(error)

    def _reconnect(self, broken: FacnetError) -> pb2.GetUploadResponse:
        """Return the state of the upload as soon as the server answers. Raises `broken` when patience is over."""
        self._report(broken)
        while self._backoff.wait():
            try:
                upload = self._get_upload()
            except FacnetError as error:
                if not error.is_retryable:
                    raise
                continue
            self._report(None)
            return upload
        raise broken

    def _get_upload(self) -> pb2.GetUploadResponse:
        request = pb2.GetUploadRequest(upload_id=self._header.upload_id)
        try:
            upload = self._connection.unary(
                self._connection.stub.GetUpload, request, timeout=self._timeout, metadata=self._metadata
            )
        except NotFound:  # it never began, or has expired
            upload = pb2.GetUploadResponse()
        self._backoff.connected()
        if upload.committed_bytes > self._committed:
            self._committed = upload.committed_bytes
            self._backoff.progress()
        return upload

    def _submitted(self, validation_id: str) -> Submission:
        request = pb2.GetValidationRequest(validation_id=validation_id)
        answer = self._connection.unary(
            self._connection.stub.GetValidation, request, timeout=self._timeout, metadata=self._metadata
        )
        return Submission.from_message(answer.validation)

    @property
    def _timeout(self) -> float:
        """Seconds for a call with one answer: the client's, but never beyond the deadline of the upload."""
        remaining = self._backoff.remaining
        return self._connection.timeout if remaining is None else min(self._connection.timeout, remaining)

    def _report(self, broken: FacnetError | None) -> None:
        if self._on_break is not None:
            self._on_break(broken)


class _Attempt:
    """One stream: the header, then chunks from `offset`."""

    def __init__(
        self,
        source: Source,
        digest: FileDigest,
        header: pb2.UploadHeader,
        offset: int,
        on_progress: OnProgress | None,
    ) -> None:
        self._source = source
        self._digest = digest
        self._header = header
        self._offset = offset
        self._on_progress = on_progress
        self._call: grpc.Future[pb2.SubmitValidationResponse] | None = None
        self._called = Event()
        self._unreadable: Exception | None = None
        self._over = False
        self.connected = False

    def run(self, connection: Connection, timeout: float | None, metadata: Metadata) -> Submission:
        """Send, and wait for the answer. Raises `FacnetError`, or what reading the source raised."""
        self._call = connection.stub.SubmitValidation.future(
            self._requests(), timeout=timeout, metadata=connection.metadata(metadata)
        )
        self._called.set()
        try:
            return Submission.from_message(self._call.result())
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        except grpc.FutureCancelledError:
            raise self._unreadable or RuntimeError("cancelled by nobody") from None
        finally:
            self._over = True
            self._call.cancel()  # when the caller was interrupted: the server keeps what it has

    def _requests(self) -> Iterator[pb2.SubmitValidationRequest]:
        """Yield the messages. gRPC only logs what is raised here: it is kept for `run`, and the call is cancelled."""
        try:
            yield pb2.SubmitValidationRequest(header=self._header)
            self.connected = True  # gRPC asks for the next message once the last one is on its way
            yield from self._chunks()
        except Exception as error:  # noqa: BLE001 - raised again by run()
            self._unreadable = error
            self._called.wait()
            if self._call is not None:
                self._call.cancel()  # before the stream ends: its end would mean that the file is whole

    def _chunks(self) -> Iterator[pb2.SubmitValidationRequest]:
        offset = self._offset
        self._report(offset)
        while data := self._source.read_at(offset, CHUNK_BYTES):
            yield pb2.SubmitValidationRequest(
                chunk=pb2.UploadChunk(offset=offset, data=data, crc32c=google_crc32c.value(data)),
            )
            self._digest.update(offset, data)
            offset += len(data)
            self._report(offset)
        end = pb2.UploadChunk(offset=offset, file_sha256=self._digest.hexdigest())
        yield pb2.SubmitValidationRequest(chunk=end)

    def _report(self, offset: int) -> None:
        if self._on_progress is not None and not self._over:
            self._on_progress(offset, self._source.size)
