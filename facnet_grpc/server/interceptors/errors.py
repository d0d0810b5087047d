"""Turns errors into gRPC statuses with `google.rpc.Status` details: the only place that maps errors to status codes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as rpc
from google.rpc.status_pb2 import Status

from facnet_grpc import errors
from facnet_grpc.errors import FacnetError, InvalidInput, NotFound, Reason, TransientError
from facnet_grpc.logs import exception_fields, get_logger
from facnet_grpc.server.interceptors.chain import Call
from facnet_grpc.server.request_context import REQUEST_ID_HEADER, Request, current
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import error_text

log = get_logger(__name__)

DOMAIN = "facnet.v1"
DETAILS_HEADER = "grpc-status-details-bin"  # where gRPC carries a google.rpc.Status
RETRY_SECONDS = 1

CODES: Mapping[type[object], grpc.StatusCode] = MappingProxyType(
    {
        errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
        errors.Forbidden: grpc.StatusCode.PERMISSION_DENIED,
        errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
        errors.NotFound: grpc.StatusCode.NOT_FOUND,
        errors.Conflict: grpc.StatusCode.FAILED_PRECONDITION,
        errors.WrongOffset: grpc.StatusCode.OUT_OF_RANGE,
        errors.CorruptData: grpc.StatusCode.DATA_LOSS,
        errors.LimitExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
        errors.TerminalError: grpc.StatusCode.FAILED_PRECONDITION,
        errors.TransientError: grpc.StatusCode.UNAVAILABLE,
        errors.LeaseLost: grpc.StatusCode.ABORTED,
        errors.RunCancelled: grpc.StatusCode.CANCELLED,
        FacnetError: grpc.StatusCode.INTERNAL,
    },
)
# These reasons have a status code of their own, whatever class of error carries them.
CODES_BY_REASON = MappingProxyType(
    {
        Reason.IDEMPOTENCY_CONFLICT: grpc.StatusCode.ALREADY_EXISTS,
        Reason.UPLOAD_BUSY: grpc.StatusCode.ABORTED,
        Reason.BLOB_DAMAGED: grpc.StatusCode.DATA_LOSS,
        Reason.DISK_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
        Reason.DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
    },
)
# Reasons that get `RetryInfo` although their class is not `TransientError`.
RETRY_REASONS = (
    Reason.UPLOAD_BUSY,
    Reason.TOO_MANY_UPLOADS,
    Reason.TOO_MANY_RUNS,
    Reason.TOO_MANY_CALLS,
    Reason.RATE_LIMITED,
)
# Resource type, and the parameter of the error that names the resource.
RESOURCES = {
    Reason.VALIDATION_NOT_FOUND: ("facnet.v1.Validation", "validation_id"),
    Reason.UPLOAD_NOT_FOUND: ("facnet.v1.Upload", "upload_id"),
}
# The server's fault and not the caller's: logged as a warning, for an operator to act on.
SERVER_FAULTS = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL})


@asynccontextmanager
async def status_errors(call: Call) -> AsyncIterator[None]:
    """End a failed call with the status and the details of its error; of an unexpected error only the request id."""
    try:
        yield
    except (asyncio.CancelledError, grpc.aio.AbortError):
        raise
    except FacnetError as error:
        await _abort(call, error)
    except Exception as error:  # noqa: BLE001 - the last resort: logged by class and place, since its text may quote a cell
        log.error("unexpected_error", method=call.method, **exception_fields(error))  # noqa: TRY400 - no traceback: it quotes
        await _abort(call, FacnetError(Reason.INTERNAL, request_id=current().id))


async def _abort(call: Call, error: FacnetError) -> None:
    code = code_of(error)
    message, packed = details(error, code, current())
    if code in SERVER_FAULTS and error.reason is not Reason.SHUTTING_DOWN:
        cure = error_text(error, Locale.EN).cure
        log.warning("call_failed", method=call.method, code=code.name, reason=error.reason.value, cure=cure)
    await call.context.abort(code, message, ((REQUEST_ID_HEADER, current().id), (DETAILS_HEADER, packed)))


def code_of(error: FacnetError) -> grpc.StatusCode:
    """Return the status code of an error."""
    return CODES_BY_REASON.get(error.reason) or CODES[next(kind for kind in type(error).__mro__ if kind in CODES)]


def details(error: FacnetError, code: grpc.StatusCode, request: Request) -> tuple[str, bytes]:
    """Return the status message (English, for logs and developers) and the packed google.rpc.Status."""
    english = error_text(error, Locale.EN).message
    status = Status(code=code.value[0], message=english)
    for detail in _details(error, request, english):
        status.details.append(_pack(detail))
    return english, status.SerializeToString()


def _details(error: FacnetError, request: Request, english: str) -> list[Message]:
    text = error_text(error, request.locale)
    found: list[Message] = [
        rpc.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=_metadata(error)),
        # The first says what is wrong, the second what to do about it.
        *(rpc.LocalizedMessage(locale=request.locale.tag, message=part) for part in (text.message, text.cure) if part),
        rpc.RequestInfo(request_id=request.id),
    ]
    if isinstance(error, InvalidInput) and (field := error.params.get("field")):
        violation = rpc.BadRequest.FieldViolation(field=str(field), description=english, reason=error.reason)
        found.append(rpc.BadRequest(field_violations=[violation]))
    if isinstance(error, NotFound) and error.reason in RESOURCES:
        kind, name = RESOURCES[error.reason]
        found.append(rpc.ResourceInfo(resource_type=kind, resource_name=str(error.params.get(name, ""))))
    if isinstance(error, TransientError) or error.reason in RETRY_REASONS:
        found.append(rpc.RetryInfo(retry_delay=_retry_delay(error)))
    return found


def _retry_delay(error: FacnetError) -> Duration:
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
