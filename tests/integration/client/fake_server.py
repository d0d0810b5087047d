"""A gRPC server that says what a test tells it to, and remembers what it was told."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import google_crc32c
import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2
from facnet_grpc.gen.facnet.v1.run_progress_pb2 import RunProgress
from facnet_grpc.gen.facnet.v1.validation_service_pb2_grpc import (
    ValidationServiceServicer,
    add_ValidationServiceServicer_to_server,
)

RUN_ID = "01930000-0000-7000-8000-000000000001"


def rich_status(code: grpc.StatusCode, reason: str, *texts: str):
    """Make a status as the server does: ErrorInfo, then one LocalizedMessage a text."""
    details = [error_details_pb2.ErrorInfo(reason=reason, domain="facnet.v1")]
    details += [error_details_pb2.LocalizedMessage(locale="fr-CA", message=text) for text in texts]
    packed = []
    for detail in details:
        box = AnyMessage()
        box.Pack(detail)
        packed.append(box)
    return rpc_status.to_status(status_pb2.Status(code=code.value[0], message=reason, details=packed))


@dataclass
class Fake(ValidationServiceServicer):
    """What the server knows and what it will do."""

    validation: validation_pb2.Validation = field(
        default_factory=lambda: validation_pb2.Validation(
            validation_id=RUN_ID,
            job_id=f"validation-{RUN_ID}",
            file_name="claims.csv",
            status=validation_pb2.VALIDATION_STATUS_COMPLETED,
        ),
    )
    summary: pb2.GetValidationSummaryResponse | None = None
    results: list = field(default_factory=list)
    rejects: list = field(default_factory=list)
    runs: list = field(default_factory=list)

    # Chunks to take in each stream before it breaks with UNAVAILABLE, stream by stream.
    break_after: list[int] = field(default_factory=list)
    lose_answer: bool = False
    # One list a watch: messages, and perhaps a status to end it with.
    watches: list[list] = field(default_factory=list)
    refuse: object = None  # the status that every call is answered with

    uploads: dict[str, bytearray] = field(default_factory=dict)
    finished: dict[str, str] = field(default_factory=dict)
    headers: list = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    streams: list[list[int]] = field(default_factory=list)
    requests: list = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)

    def SubmitValidation(self, request_iterator, context):  # noqa: N802 - named by the service
        self._enter(context)
        header = next(request_iterator).header
        self.headers.append(header)
        stored = self.uploads.setdefault(header.upload_id, bytearray())
        offsets: list[int] = []
        self.streams.append(offsets)
        limit = self.break_after.pop(0) if self.break_after else None
        for message in request_iterator:
            chunk = message.chunk
            if len(offsets) == limit and not chunk.file_sha256:
                context.abort_with_status(
                    rich_status(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", "Le serveur s'arrête."),
                )
            assert chunk.file_sha256 or chunk.crc32c == google_crc32c.value(chunk.data)
            if chunk.file_sha256:
                self.hashes.append(chunk.file_sha256)
                continue
            if chunk.offset != len(stored):
                context.abort_with_status(rich_status(grpc.StatusCode.OUT_OF_RANGE, "WRONG_OFFSET", "Ailleurs."))
            offsets.append(chunk.offset)
            stored += chunk.data
        if not context.is_active():  # a caller that went away can look like the end of the file
            context.abort(grpc.StatusCode.CANCELLED, "")
        assert not header.HasField("size_bytes") or header.size_bytes == len(stored)
        self.finished[header.upload_id] = RUN_ID
        if self.lose_answer:
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        return pb2.SubmitValidationResponse(
            validation_id=RUN_ID,
            job_id=f"validation-{RUN_ID}",
            status=validation_pb2.VALIDATION_STATUS_QUEUED,
        )

    def GetUpload(self, request, context):  # noqa: N802 - named by the service
        self._enter(context)
        if request.upload_id not in self.uploads:
            context.abort_with_status(rich_status(grpc.StatusCode.NOT_FOUND, "UPLOAD_NOT_FOUND", "Inconnu."))
        return pb2.GetUploadResponse(
            upload_id=request.upload_id,
            committed_bytes=len(self.uploads[request.upload_id]),
            validation_id=self.finished.get(request.upload_id, ""),
        )

    def WatchValidation(self, request, context):  # noqa: N802 - named by the service
        self._enter(context)
        self.cursors.append(request.after_cursor)
        script = self.watches.pop(0) if self.watches else [terminal()]
        for step in script:
            if isinstance(step, pb2.WatchValidationResponse):
                yield step
            else:
                context.abort_with_status(step)

    def GetValidation(self, request, context):  # noqa: N802 - named by the service
        self._enter(context)
        return pb2.GetValidationResponse(validation=self.validation)

    def CancelValidation(self, request, context):  # noqa: N802 - named by the service
        self._enter(context)
        self.requests.append(request)
        return pb2.CancelValidationResponse(validation=self.validation)

    def RetryValidation(self, request, context):  # noqa: N802 - named by the service
        self._enter(context)
        self.requests.append(request)
        return pb2.RetryValidationResponse(validation=self.validation)

    def DeleteValidation(self, request, context):  # noqa: N802 - named by the service
        self._enter(context)
        self.requests.append(request)
        return pb2.DeleteValidationResponse()

    def ListValidations(self, request, context):  # noqa: N802 - named by the service
        self._enter(context)
        self.requests.append(request)
        page, token = self._page(self.runs, request)
        return pb2.ListValidationsResponse(validations=page, next_page_token=token)

    def GetValidationSummary(self, request, context):  # noqa: N802 - named by the service
        self._enter(context)
        return self.summary or pb2.GetValidationSummaryResponse(validation=self.validation)

    def ListValidationResults(self, request, context):  # noqa: N802 - named by the service
        self._enter(context)
        self.requests.append(request)
        page, token = self._page(self.results, request)
        return pb2.ListValidationResultsResponse(results=page, next_page_token=token)

    def ListRejectedRows(self, request, context):  # noqa: N802 - named by the service
        self._enter(context)
        page, token = self._page(self.rejects, request)
        return pb2.ListRejectedRowsResponse(
            rejected_rows=page,
            next_page_token=token,
            total_rejected=len(self.rejects),
        )

    def _enter(self, context):
        self.languages.append(dict(context.invocation_metadata())["accept-language"])
        if self.refuse is not None:
            context.abort_with_status(self.refuse)

    @staticmethod
    def _page(items, request):
        start = int(request.page_token or 0)
        end = start + request.page_size
        return items[start:end], str(end) if end < len(items) else ""


_cursors = itertools.count(1)


def progress(percent: float, *, attempt: int = 1, cursor: str | None = None, **figures) -> pb2.WatchValidationResponse:
    """Make a message about a run that is being worked on."""
    return pb2.WatchValidationResponse(
        validation_id=RUN_ID,
        cursor=cursor or f"c{next(_cursors)}",
        status=validation_pb2.VALIDATION_STATUS_PROCESSING,
        progress=RunProgress(
            attempt=attempt, phase=validation_pb2.VALIDATION_PHASE_LOADING, percent=percent, **figures
        ),
    )


def terminal(status: int = validation_pb2.VALIDATION_STATUS_COMPLETED, **more) -> pb2.WatchValidationResponse:
    """Make the last message of a run."""
    return pb2.WatchValidationResponse(
        validation_id=RUN_ID,
        cursor="end",
        status=status,
        progress=RunProgress(attempt=1, percent=100),
        **more,
    )


def gone():
    """Make the status that watches end with when the server shuts down."""
    return rich_status(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", "Le serveur s'arrête.")


class _LateLookup:
    """Looks a method up when it is called, so that a test can replace it on the fake."""

    def __init__(self, fake: Fake) -> None:
        for name in (name for name in vars(ValidationServiceServicer) if not name.startswith("_")):
            setattr(self, name, lambda request, context, name=name: getattr(fake, name)(request, context))


@contextmanager
def serving(fake: Fake) -> Iterator[str]:
    """Serve on a free port of the loopback; yields the target."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    add_ValidationServiceServicer_to_server(_LateLookup(fake), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()
