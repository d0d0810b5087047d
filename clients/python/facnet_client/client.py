"""The client: `with FacnetClient("127.0.0.1:50051") as client: client.submit("claims.csv")`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import BinaryIO, Self
from uuid import uuid4

import grpc

from facnet_client import convert, trace
from facnet_client.access import File, Token, bearer, transport
from facnet_client.backoff import Retry
from facnet_client.calls import Calls
from facnet_client.channel import connect
from facnet_client.operations import Operations
from facnet_client.reading import Reading
from facnet_client.reference import Reference
from facnet_client.revalidation import ResultChange, RevalidationSummary, revalidate
from facnet_client.rulebook import Rules
from facnet_client.source import label, open_source
from facnet_client.upload import OnBreak, OnProgress, Upload
from facnet_client.values import Priority, RejectedRow, Result, Severity, Status, Submitted, Summary, Update, Validation
from facnet_client.watch import watch
from facnet_grpc.gen.facnet.v1 import result_pb2, validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2
from facnet_grpc.gen.facnet.v1.validation_service_pb2_grpc import ValidationServiceStub

LARGEST_PAGE = 1000


class FacnetClient(Reading):
    """A connection to one server. Safe to use from several threads; close it, or use it in a `with` statement.

    Every method raises `FacnetError`. `rules`, `reference` and `operations` have calls of their own.
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
    ) -> None:
        """Prepare a channel to `target` (host:port); nothing is sent before the first call.

        `tls` encrypts, and so do `ca` (PEM file of who must have signed the server's certificate), `cert` and `key`
        (PEM files that show who the client is) and `credentials`, which take the place of all of them. `token` is a
        bearer token, or a function that returns the present one; it is never sent in the clear to another machine.

        `language` ("fr" or "en") is that of all texts. `timeout`, in seconds, is for calls with one answer.

        Raises `OSError` if a file cannot be read, `ValueError` if there is a certificate without a key or the other way
        round, `Refused` (TOKEN_NEEDS_TLS).
        """
        self._retry = retry or Retry()
        credentials = credentials or transport(tls=tls, ca=ca, cert=cert, key=key)
        asked = bearer(token, target, encrypted=credentials is not None, language=language)
        self._channel = connect(target, credentials)
        self._calls = Calls(
            ValidationServiceStub(self._channel),
            headers=(("accept-language", f"{language}-CA"),),
            timeout=timeout,
            token=asked,
        )
        self.rules = Rules(self._channel, self._calls)
        self.reference = Reference(self._channel, self._calls)
        self.operations = Operations(self._channel, self._calls)

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
        self._channel.close()

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
    ) -> Submitted:
        """Send a file, of any size, in constant memory, and return the run that it became.

        `file` is a path, or something open for reading in binary, sent from its present position. A broken connection
        is made again and the upload goes on; the same `idempotency_key` (one is made up for each upload) never makes
        two runs. `upload_id`, a UUID, names the upload: giving it again, within the hour, goes on with one that was
        given up. `webhook_url`, of a host that the operator allows, is told when the run ends.
        `on_progress(bytes handed over, size or None)` is called from another thread, `on_break` with the error when a
        connection breaks and with None when the upload goes on.

        Raises `OSError` if the file cannot be read.
        """
        source = open_source(file)
        upload = upload_id or str(uuid4())
        try:
            header = pb2.UploadHeader(
                file_name=label(file) if file_name is None else file_name,
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
            resumed = upload_id is not None
            with trace.span("facnet.submit"):
                return Upload(self._calls, source, header, self._retry, on_progress, on_break, resumed=resumed).run()
        finally:
            source.close()

    def watch(self, validation_id: str, *, on_break: OnBreak | None = None) -> Iterator[Update]:
        """Yield the state of a run at once, every change, and its terminal state last; reconnects by itself.

        `on_break` is called as for `submit`.
        """
        return watch(self._calls, validation_id, self._retry, on_break)

    def cancel(self, validation_id: str) -> Validation:
        """End a run that is not over and return it: CANCELLED if it waited, PROCESSING until its worker notices.

        One that is over stays as it is.
        """
        request = pb2.CancelValidationRequest(validation_id=validation_id)
        return convert.validation(self._calls.unary(self._calls.stub.CancelValidation, request).validation)

    def retry(self, validation_id: str) -> Validation:
        """Queue a failed run again. Raises `Conflict` if it has not failed, or its file is not kept any more."""
        request = pb2.RetryValidationRequest(validation_id=validation_id)
        return convert.validation(self._calls.unary(self._calls.stub.RetryValidation, request).validation)

    def delete(self, validation_id: str) -> None:
        """Remove a run that is over, with its lines, results and file. Raises `Conflict` if it is not over."""
        request = pb2.DeleteValidationRequest(validation_id=validation_id)
        self._calls.unary(self._calls.stub.DeleteValidation, request)

    def get(self, validation_id: str) -> Validation:
        """Return a run."""
        request = pb2.GetValidationRequest(validation_id=validation_id)
        return convert.validation(self._calls.unary(self._calls.stub.GetValidation, request).validation)

    def summary(self, validation_id: str) -> Summary:
        """Return what was found in a completed run, in figures."""
        request = pb2.GetValidationSummaryRequest(validation_id=validation_id)
        return convert.summary(self._calls.unary(self._calls.stub.GetValidationSummary, request))

    def list(
        self,
        *,
        statuses: Sequence[Status] = (),
        batch_id: str = "",
        file_name_contains: str = "",
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        page_size: int = 100,
    ) -> Iterator[Validation]:
        """Yield the caller's runs, newest first, fetching pages as they are needed."""
        request = pb2.ListValidationsRequest(
            page_size=page_size,
            statuses=[validation_pb2.ValidationStatus.Value(f"VALIDATION_STATUS_{one.name}") for one in statuses],
            batch_id=batch_id,
            file_name_contains=file_name_contains,
            created_from=convert.timestamp(created_from) if created_from else None,
            created_before=convert.timestamp(created_before) if created_before else None,
        )
        for page in self._calls.pages(self._calls.stub.ListValidations, request):
            yield from map(convert.validation, page.validations)

    def results(  # noqa: PLR0913 - likewise the filters of a list
        self,
        validation_id: str,
        *,
        rule_ids: Sequence[str] = (),
        severities: Sequence[Severity] = (),
        categories: Sequence[str] = (),
        scenarios: Sequence[str] = (),
        doctor_key: str = "",
        service_date_from: str = "",
        service_date_to: str = "",
        page_size: int = LARGEST_PAGE,
    ) -> Iterator[Result]:
        """Yield what was found in a completed run, by rule, then by line, fetching pages as they are needed."""
        request = pb2.ListValidationResultsRequest(
            validation_id=validation_id,
            page_size=page_size,
            rule_ids=rule_ids,
            severities=[result_pb2.Severity.Value(f"SEVERITY_{one.name}") for one in severities],
            categories=categories,
            scenarios=scenarios,
            doctor_key=doctor_key,
            service_date_from=service_date_from,
            service_date_to=service_date_to,
        )
        for page in self._calls.pages(self._calls.stub.ListValidationResults, request):
            yield from map(convert.result, page.results)

    def revalidate(self, validation_id: str) -> Iterator[ResultChange | RevalidationSummary]:
        """Yield what would change if a completed run were judged today, the sum of it last. Nothing is stored."""
        return revalidate(self._calls, validation_id)

    def rejects(self, validation_id: str, *, page_size: int = LARGEST_PAGE) -> Iterator[RejectedRow]:
        """Yield the lines of a completed run that could not be read, by line; the first 1,000 are kept."""
        request = pb2.ListRejectedRowsRequest(validation_id=validation_id, page_size=page_size)
        for page in self._calls.pages(self._calls.stub.ListRejectedRows, request):
            yield from map(convert.rejected_row, page.rejected_rows)
