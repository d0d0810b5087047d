"""The client: `with FacnetClient("127.0.0.1:50051") as client: client.submit("claims.csv")`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self, Unpack
from uuid import uuid4

import grpc

from facnet_client import trace
from facnet_client.connection import CallOptions, Connection, File, Token, tls_credentials
from facnet_client.convert import timestamp
from facnet_client.operations import Operations
from facnet_client.reference import Reference
from facnet_client.results import Results
from facnet_client.retry import Backoff, Retry
from facnet_client.rules import Rules
from facnet_client.source import REPLAY_BYTES, display_name, open_source
from facnet_client.upload import OnProgress, Upload
from facnet_client.values import Priority, Status, Submission, Update, Validation
from facnet_client.watch import OnBreak
from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


class FacnetClient(Results):
    """A connection to one server. Safe to use from several threads; close it, or use it in a `with` statement.

    Every method raises `FacnetError` (see `facnet_client.errors`) and takes `timeout` and `metadata` of its own (see
    `CallOptions`). `rules`, `reference` and `operations` have calls of their own.

    Example:
        >>> with FacnetClient("127.0.0.1:50051", language="en", timeout=10) as client:
        ...     run = client.submit("claims.csv", metadata=[("x-clinic", "7")])
        >>> run.status
        <Status.QUEUED: 'QUEUED'>
    """

    def __init__(  # noqa: PLR0913 - the ways to reach a server are what they are
        self,
        target: str,
        *,
        language: str = "fr",
        credentials: grpc.ChannelCredentials | None = None,
        token: Token | None = None,
        tls: bool = False,
        ca: File | None = None,
        cert: File | None = None,
        key: File | None = None,
        retry: Retry | None = None,
        timeout: float = 30.0,
        replay_bytes: int = REPLAY_BYTES,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        """Prepare a channel to `target` (host:port); nothing is sent before the first call.

        `tls` encrypts, and so do `ca` (PEM file of who must have signed the server's certificate), `cert` and `key`
        (PEM files that show who the client is) and `credentials`, which take the place of all of them. `token` is a
        bearer token, or a function that returns the present one; it is never sent in the clear to another machine.

        `language` ("fr" or "en") is that of all texts. `timeout`, in seconds, is for calls with one answer. Of an
        upload that cannot be read twice (a pipe), the last `replay_bytes` stay in memory. Spans go to the global tracer
        provider of OpenTelemetry, if that is installed, or to `tracer_provider`.

        Raises `OSError` if a file cannot be read, `ValueError` if there is a certificate without a key or the other way
        round, `Refused` (TOKEN_NEEDS_TLS).
        """
        self._retry = retry or Retry()
        self._replay_bytes = replay_bytes
        self._tracer_provider = tracer_provider
        credentials = credentials or tls_credentials(tls=tls, ca=ca, cert=cert, key=key)
        self.connection = Connection(target, credentials, language=language, token=token, timeout=timeout)
        self.rules = Rules(self.connection)
        self.reference = Reference(self.connection)
        self.operations = Operations(self.connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls that are still going on fail."""
        self.connection.channel.close()

    def submit(  # noqa: PLR0913 - the options of an upload are what they are
        self,
        file: str | os.PathLike[str] | BinaryIO,
        *,
        file_name: str | None = None,
        idempotency_key: str | None = None,
        batch_id: str = "",
        priority: Priority = Priority.NORMAL,
        labels: Mapping[str, str] | None = None,
        rule_ids: Sequence[str] = (),
        encoding_hint: str = "",
        delimiter_hint: str = "",
        webhook_url: str = "",
        upload_id: str | None = None,
        on_progress: OnProgress | None = None,
        on_break: OnBreak | None = None,
        **options: Unpack[CallOptions],
    ) -> Submission:
        """Send a file, of any size, in constant memory, and return the run that it became.

        `file` is a path, or something open for reading in binary, sent from its present position. A broken connection
        is made again and the upload goes on; the same `idempotency_key` (one is made up for each upload) never makes
        two runs. `upload_id`, a UUID, names the upload: giving it again, within the hour, resumes one that was given
        up. `webhook_url`, of a host that the operator allows, is called when the run ends.
        `on_progress(bytes handed over, size or None)` is called from another thread, `on_break` with the error when a
        connection breaks and with None when the upload goes on.

        Raises `OSError` if the file cannot be read, `InvalidRequest`, `Refused` (too large, too many), `Conflict` (the
        key belongs to another file), `CorruptData`, `UploadLost`, `Unavailable`.

        Example:
            >>> run = client.submit("claims.csv", batch_id="2025-03", labels={"clinic": "7"}, timeout=3600)
            >>> run.validation_id
            '01930000-0000-7000-8000-000000000001'
        """
        source = open_source(file, replay_bytes=self._replay_bytes)
        upload = upload_id or str(uuid4())
        try:
            header = pb2.UploadHeader(
                file_name=display_name(file) if file_name is None else file_name,
                size_bytes=source.size,
                idempotency_key=idempotency_key or upload,
                upload_id=upload,
                batch_id=batch_id,
                priority=validation_pb2.Priority.Value(f"PRIORITY_{priority.name}"),
                labels=labels or {},
                rule_ids=rule_ids,
                encoding_hint=encoding_hint,
                delimiter_hint=delimiter_hint,
                webhook_url=webhook_url,
            )
            with trace.span("facnet.submit", self._tracer_provider):
                return Upload(
                    self.connection,
                    source,
                    header,
                    Backoff(self._retry, options.get("timeout")),
                    on_progress=on_progress,
                    on_break=on_break,
                    metadata=options.get("metadata", ()),
                ).run(resume=upload_id is not None)
        finally:
            source.close()

    def watch(
        self, validation_id: str, *, on_break: OnBreak | None = None, **options: Unpack[CallOptions]
    ) -> Iterator[Update]:
        """Yield the state of a run at once, every change, and its terminal state last; reconnects by itself.

        `on_break` is called with the error when a connection breaks, and with None once the server answers again.
        Closing the iterator ends the call.

        Example:
            >>> for update in client.watch(run.validation_id):
            ...     print(f"{update.status} {update.percent:.0f} %")
            PROCESSING 40 %
            COMPLETED 100 %
        """
        return self._watch(pb2.WatchValidationRequest(validation_id=validation_id), on_break, options)

    def get(self, validation_id: str, **options: Unpack[CallOptions]) -> Validation:
        """Return a run. Raises `NotFound` if there is none, or it is not the caller's.

        Example:
            >>> validation = client.get(run.validation_id, timeout=2)
            >>> validation.status, validation.total_rows
            (<Status.COMPLETED: 'COMPLETED'>, 5000)
        """
        request = pb2.GetValidationRequest(validation_id=validation_id)
        answer = self.connection.unary(self.connection.stub.GetValidation, request, **options)
        return Validation.from_message(answer.validation)

    def list(
        self,
        *,
        statuses: Sequence[Status] = (),
        batch_id: str = "",
        file_name_contains: str = "",
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        page_size: int = 100,
        **options: Unpack[CallOptions],
    ) -> Iterator[Validation]:
        """Yield the caller's runs, newest first, fetching pages (of at most 1,000) as they are needed.

        A moment without a zone is local time.

        Example:
            >>> from facnet_client import Status
            >>> [validation.file_name for validation in client.list(statuses=[Status.COMPLETED])]
            ['claims.csv']
        """
        request = pb2.ListValidationsRequest(
            page_size=page_size,
            statuses=[validation_pb2.ValidationStatus.Value(f"VALIDATION_STATUS_{one.name}") for one in statuses],
            batch_id=batch_id,
            file_name_contains=file_name_contains,
            created_from=timestamp(created_from),
            created_before=timestamp(created_before),
        )
        return self.connection.items(
            self.connection.stub.ListValidations, request, "validations", Validation, **options
        )

    def cancel(self, validation_id: str, **options: Unpack[CallOptions]) -> Validation:
        """End a run that is not over and return it: CANCELLED if it waited, PROCESSING until its worker notices.

        One that is over stays as it is; calling it again does no harm.

        Example:
            >>> client.cancel(run.validation_id).status
            <Status.COMPLETED: 'COMPLETED'>
        """
        request = pb2.CancelValidationRequest(validation_id=validation_id)
        answer = self.connection.unary(self.connection.stub.CancelValidation, request, **options)
        return Validation.from_message(answer.validation)

    def retry(self, validation_id: str, **options: Unpack[CallOptions]) -> Validation:
        """Queue a failed run again. Raises `Conflict` if it has not failed, or its file is not kept any more.

        Example:
            >>> client.retry(run.validation_id).validation_id == run.validation_id
            True
        """
        request = pb2.RetryValidationRequest(validation_id=validation_id)
        answer = self.connection.unary(self.connection.stub.RetryValidation, request, **options)
        return Validation.from_message(answer.validation)

    def delete(self, validation_id: str, **options: Unpack[CallOptions]) -> None:
        """Remove a run that is over, with its lines, results and file. Raises `Conflict` if it is not over.

        Example:
            >>> client.delete(run.validation_id)
        """
        request = pb2.DeleteValidationRequest(validation_id=validation_id)
        self.connection.unary(self.connection.stub.DeleteValidation, request, **options)
