"""Turns errors into statuses: the one place that knows which kind of error is which gRPC code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

import grpc

from facnet_grpc import errors
from facnet_grpc.errors import FacnetError, Reason
from facnet_grpc.logs import exception_fields, get_logger
from facnet_grpc.server.interceptors.chain import Call
from facnet_grpc.server.interceptors.request_id import HEADER
from facnet_grpc.server.request import current
from facnet_grpc.server.status import DETAILS, details
from facnet_grpc.texts import Locale, error_text

log = get_logger(__name__)

# What a kind of error means on the wire.
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
# A few reasons for which gRPC has a code of their own, whatever kind of error brings them.
CODES_BY_REASON = MappingProxyType(
    {
        Reason.IDEMPOTENCY_CONFLICT: grpc.StatusCode.ALREADY_EXISTS,
        Reason.UPLOAD_BUSY: grpc.StatusCode.ABORTED,
        Reason.BLOB_DAMAGED: grpc.StatusCode.DATA_LOSS,
        Reason.DISK_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
        Reason.DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
    },
)

# What is no fault of the caller: somebody here has to know, and do something.
OURS = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL})


def code_of(error: FacnetError) -> grpc.StatusCode:
    """Return the status code of an error."""
    return CODES_BY_REASON.get(error.reason) or CODES[next(kind for kind in type(error).__mro__ if kind in CODES)]


@asynccontextmanager
async def status_errors(call: Call) -> AsyncIterator[None]:
    """End the call with a status that says all that the caller may know; what nobody expected says only its id."""
    try:
        yield
    except (asyncio.CancelledError, grpc.aio.AbortError):
        raise
    except NotImplementedError:  # by the generated base class, for a call that is described but not served
        await call.context.abort(grpc.StatusCode.UNIMPLEMENTED, "This call is not served.")
    except FacnetError as error:
        await _abort(call, error)
    except Exception as error:  # noqa: BLE001 - the last resort: logged by class and place, since its text may quote a cell
        log.error("unexpected_error", method=call.method, **exception_fields(error))  # noqa: TRY400 - no traceback: it quotes
        await _abort(call, FacnetError(Reason.INTERNAL, request_id=current().id))


async def _abort(call: Call, error: FacnetError) -> None:
    code = code_of(error)
    message, packed = details(error, code, current())
    if code in OURS and error.reason is not Reason.SHUTTING_DOWN:
        cure = error_text(error, Locale.EN).cure
        log.warning("call_failed", method=call.method, code=code.name, reason=error.reason.value, cure=cure)
    await call.context.abort(code, message, ((HEADER, current().id), (DETAILS, packed)))
