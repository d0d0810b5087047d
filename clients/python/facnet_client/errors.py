"""What calls raise, as one tree.

    FacnetError
    ├── InvalidRequest        the request or the file is not valid
    ├── NotFound              no such run or upload, or it belongs to another owner
    ├── Conflict              the state of the run or upload does not allow the call
    ├── Refused               over a limit of size, number or rate; or not permitted
    ├── CorruptData           size or checksum of what arrived differ from what was announced
    ├── Unavailable           no server answers, it cannot work at present, or the timeout is over
    ├── UploadLost            the upload of a stream broke, and the stream cannot be read again
    └── ServerError           a defect of the service

Each carries the stable `reason` of the API (a name of `ErrorReason` without its prefix; the gRPC status if nobody gave
one), a `message` in the client's language, and a `cure`, what to do about it, if there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from grpc_status import rpc_status

# Reasons after which the same call may succeed if it is repeated later.
RETRYABLE_REASONS = frozenset({"BACKEND_UNAVAILABLE", "SHUTTING_DOWN", "RATE_LIMITED"})


class FacnetError(Exception):
    """Base of all: a stable `reason` for programs, a `message` and perhaps a `cure` for people."""

    def __init__(
        self,
        reason: str,
        message: str,
        cure: str | None = None,
        status: grpc.StatusCode | None = None,
        request_id: str | None = None,
    ) -> None:
        """Make an error; `status` is None if no call was made, `request_id` if the server did not say."""
        super().__init__(reason, message)
        self.reason = reason
        self.message = message
        self.cure = cure
        self.status = status
        self.request_id = request_id

    def __str__(self) -> str:
        """Return `REASON: message cure`."""
        return f"{self.reason}: {self.message}" + (f" {self.cure}" if self.cure else "")

    @property
    def is_retryable(self) -> bool:
        """Whether the same call may succeed if it is repeated later."""
        return self.reason in RETRYABLE_REASONS or isinstance(self, Unavailable)


class InvalidRequest(FacnetError):
    """The request or the file is not valid."""


class NotFound(FacnetError):
    """No such run or upload, or it belongs to another owner."""


class Conflict(FacnetError):
    """The state of the run or upload does not allow the call."""


class Refused(FacnetError):
    """Over a limit of size, number or rate; or not permitted."""


class CorruptData(FacnetError):
    """Size or checksum of what arrived differ from what was announced."""


class Unavailable(FacnetError):
    """No server answers, it cannot work at present, or the timeout is over."""


class UploadLost(FacnetError):
    """An upload broke, and what it was reading cannot be read again from where the server stopped."""


class ServerError(FacnetError):
    """A defect of the service."""


_KINDS: dict[grpc.StatusCode, type[FacnetError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.FAILED_PRECONDITION: Conflict,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Refused,
    grpc.StatusCode.PERMISSION_DENIED: Refused,
    grpc.StatusCode.UNAUTHENTICATED: Refused,
    grpc.StatusCode.DATA_LOSS: CorruptData,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
}
# Parts of what gRPC says when this program itself ended a call. Any other CANCELLED is the server's, which had to go
# before the call was over, or of something on the way that broke.
_OURS = ("Locally cancelled", "Channel closed")


def from_rpc(error: grpc.RpcError) -> FacnetError:
    """Return the `FacnetError` that a failed call means."""
    call: Any = error  # the errors of grpc are calls too, which its types do not say
    code: grpc.StatusCode = call.code()
    found = _details(call)
    kind = _KINDS.get(code, ServerError)
    if code is grpc.StatusCode.CANCELLED and not any(part in (call.details() or "") for part in _OURS):
        kind = Unavailable
    message = found.message or call.details() or code.name
    return kind(found.reason or code.name, message, found.cure, code, found.request_id)


@dataclass(slots=True)
class _Details:
    reason: str = ""
    message: str = ""
    cure: str | None = None
    request_id: str | None = None


def _details(call: grpc.Call) -> _Details:
    found = _Details()
    info = error_details_pb2.ErrorInfo()
    text = error_details_pb2.LocalizedMessage()
    request = error_details_pb2.RequestInfo()
    for packed in _packed(call):
        if packed.Unpack(info):
            found.reason = info.reason
        elif packed.Unpack(request):
            found.request_id = request.request_id
        elif packed.Unpack(text) and not found.message:
            found.message = text.message
        elif packed.Is(text.DESCRIPTOR):  # a second text says what to do about it
            found.cure = text.message
    return found


def _packed(call: grpc.Call) -> list[AnyMessage]:
    try:
        status = rpc_status.from_call(call)
    except (ValueError, DecodeError):  # a proxy on the way made these details
        return []
    return list(status.details) if status is not None else []
