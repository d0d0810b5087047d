"""The details of an error on the wire: google.rpc.Status with everything that a program or a person can use."""

from __future__ import annotations

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as rpc
from google.rpc.status_pb2 import Status

from facnet_grpc.errors import FacnetError, InvalidInput, NotFound, Reason, TransientError
from facnet_grpc.server.request import Request
from facnet_grpc.texts import Locale, error_text

DOMAIN = "facnet.v1"
DETAILS = "grpc-status-details-bin"  # where gRPC carries a google.rpc.Status
RETRY_SECONDS = 1
RETRY_REASONS = (
    Reason.UPLOAD_BUSY,
    Reason.TOO_MANY_UPLOADS,
    Reason.TOO_MANY_RUNS,
    Reason.TOO_MANY_CALLS,
    Reason.RATE_LIMITED,
)  # worth waiting for, though not TransientErrors
RESOURCES = {
    Reason.VALIDATION_NOT_FOUND: ("facnet.v1.Validation", "validation_id"),
    Reason.UPLOAD_NOT_FOUND: ("facnet.v1.Upload", "upload_id"),
}


def details(error: FacnetError, code: grpc.StatusCode, request: Request) -> tuple[str, bytes]:
    """Return the status message (English, for logs and developers) and the packed google.rpc.Status."""
    english = error_text(error, Locale.EN).message
    status = Status(code=code.value[0], message=english)
    status.details.extend(_pack(part) for part in _parts(error, request, english))
    return english, status.SerializeToString()


def _parts(error: FacnetError, request: Request, english: str) -> list[Message]:
    text = error_text(error, request.locale)
    parts: list[Message] = [
        rpc.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=_metadata(error)),
        # The first says what is wrong, the second what to do about it.
        *(rpc.LocalizedMessage(locale=request.locale.tag, message=part) for part in (text.message, text.cure) if part),
        rpc.RequestInfo(request_id=request.id),
    ]
    if isinstance(error, InvalidInput) and (field := error.params.get("field")):
        violation = rpc.BadRequest.FieldViolation(field=str(field), description=english, reason=error.reason)
        parts.append(rpc.BadRequest(field_violations=[violation]))
    if isinstance(error, NotFound) and error.reason in RESOURCES:
        kind, name = RESOURCES[error.reason]
        parts.append(rpc.ResourceInfo(resource_type=kind, resource_name=str(error.params.get(name, ""))))
    if isinstance(error, TransientError) or error.reason in RETRY_REASONS:
        parts.append(rpc.RetryInfo(retry_delay=_delay(error)))
    return parts


def _delay(error: FacnetError) -> Duration:
    """Return when to come back: what the error knows of it, else soon."""
    seconds = error.params.get("retry_seconds")
    delay = Duration(seconds=RETRY_SECONDS)
    if isinstance(seconds, float):
        delay.FromMilliseconds(round(seconds * 1000))
    return delay


def _metadata(error: FacnetError) -> dict[str, str]:
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in error.params.items()
    }


def _pack(message: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
