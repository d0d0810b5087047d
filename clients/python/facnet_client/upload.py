"""Sending a file of any size, and going on where a broken connection left off.

Chunks are read when gRPC asks for the next one, so memory does not grow with the file. After a break the server is
asked how much it has; only the rest is sent. The idempotency key makes a lost answer harmless. The file's SHA-256 goes
with its end: whatever happened on the way, also to the file, the server has what was read here, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event

import google_crc32c
import grpc

from facnet_client.backoff import Backoff, Retry
from facnet_client.calls import Calls
from facnet_client.convert import submitted, validation
from facnet_client.digest import FileDigest
from facnet_client.errors import FacnetError, NotFound, from_rpc
from facnet_client.source import Source
from facnet_client.values import Submitted
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2

CHUNK_BYTES = 512 << 10

# Called with what broke the connection when it is about to be made again, and with None once it is.
OnBreak = Callable[[FacnetError | None], None]

# Called with the bytes handed over so far and the size of the file (None if unknown), from another thread.
OnProgress = Callable[[int, int | None], None]

# Errors of a stream after which the server says where to go on.
_RESUMABLE = frozenset({"UPLOAD_BUSY", "WRONG_OFFSET", "CHUNK_CORRUPT"})


class Upload:
    """One file on its way to becoming a run."""

    def __init__(
        self,
        calls: Calls,
        source: Source,
        header: pb2.UploadHeader,
        retry: Retry,
        on_progress: OnProgress | None = None,
        on_break: OnBreak | None = None,
        *,
        resumed: bool = False,
    ) -> None:
        """Prepare to send `source`; `header` must have an upload id. If `resumed`, the server may know it already."""
        self._calls = calls
        self._source = source
        self._digest = FileDigest(source)
        self._header = header
        self._backoff = Backoff(retry)
        self._on_progress = on_progress
        self._on_break = on_break
        self._resumed = resumed
        self._committed = 0

    def run(self) -> Submitted:
        """Send everything. Raises `FacnetError`, and `OSError` if the source cannot be read."""
        upload = self._begin() if self._resumed else pb2.GetUploadResponse()
        while not upload.validation_id:
            offset = upload.committed_bytes
            self._digest.reach(offset)
            attempt = _Attempt(self._source, self._digest, self._header, offset, self._on_progress)
            try:
                return attempt.run(self._calls)
            except FacnetError as error:
                if not (error.is_passing or error.reason in _RESUMABLE):
                    raise
                broken = error
            if attempt.connected:
                self._backoff.connected()
            upload = self._ask(broken)
        return self._finished(upload.validation_id)

    def _begin(self) -> pb2.GetUploadResponse:
        """Ask how much of an upload the server has that may have been begun by another program."""
        try:
            return self._look()
        except FacnetError as error:
            if not error.is_passing:
                raise
            return self._ask(error)

    def _ask(self, broken: FacnetError) -> pb2.GetUploadResponse:
        """Wait, then ask how much the server has; until it answers, or patience is over: then `broken` is raised."""
        self._tell(broken)
        while self._backoff.wait():
            try:
                upload = self._look()
            except FacnetError as error:
                if not error.is_passing:
                    raise
                continue
            self._tell(None)
            return upload
        raise broken

    def _look(self) -> pb2.GetUploadResponse:
        request = pb2.GetUploadRequest(upload_id=self._header.upload_id)
        try:
            upload = self._calls.unary(self._calls.stub.GetUpload, request)
        except NotFound:  # it never began, or its time is over
            upload = pb2.GetUploadResponse()
        self._backoff.connected()
        if upload.committed_bytes > self._committed:
            self._committed = upload.committed_bytes
            self._backoff.progress()
        return upload

    def _tell(self, broken: FacnetError | None) -> None:
        if self._on_break is not None:
            self._on_break(broken)

    def _finished(self, validation_id: str) -> Submitted:
        request = pb2.GetValidationRequest(validation_id=validation_id)
        run = validation(self._calls.unary(self._calls.stub.GetValidation, request).validation)
        return Submitted(run.validation_id, run.job_id, run.status)


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

    def run(self, calls: Calls) -> Submitted:
        """Send, and wait for the answer. Raises `FacnetError`, or what reading the source raised."""
        self._call = calls.stub.SubmitValidation.future(self._requests(), metadata=calls.metadata)
        self._called.set()
        try:
            return submitted(self._call.result())
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        except grpc.FutureCancelledError:
            raise self._unreadable or RuntimeError("cancelled by nobody") from None
        finally:
            self._over = True
            self._call.cancel()  # when the caller was interrupted: the server keeps what it has

    def _requests(self) -> Iterator[pb2.SubmitValidationRequest]:
        """Yield what to send. An exception in here would end up in gRPC's log: it cancels the call and is kept."""
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
        self._tell(offset)
        while data := self._source.read_at(offset, CHUNK_BYTES):
            yield pb2.SubmitValidationRequest(
                chunk=pb2.UploadChunk(offset=offset, data=data, crc32c=google_crc32c.value(data)),
            )
            self._digest.add(offset, data)
            offset += len(data)
            self._tell(offset)
        end = pb2.UploadChunk(offset=offset, file_sha256=self._digest.hexdigest())
        yield pb2.SubmitValidationRequest(chunk=end)

    def _tell(self, offset: int) -> None:
        if self._on_progress is not None and not self._over:
            self._on_progress(offset, self._source.size)
