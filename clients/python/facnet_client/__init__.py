"""The client: submit, watch, read, from Python and from the command line."""

from facnet_client.backoff import Retry
from facnet_client.client import FacnetClient
from facnet_client.errors import (
    Conflict,
    CorruptData,
    FacnetError,
    InvalidRequest,
    NotFound,
    Refused,
    ServerError,
    Unavailable,
    UploadLost,
)
from facnet_client.values import (
    Certainty,
    Phase,
    Priority,
    RejectedRow,
    Result,
    Severity,
    Status,
    Submitted,
    Summary,
    Update,
    Validation,
)

__all__ = [
    "Certainty",
    "Conflict",
    "CorruptData",
    "FacnetClient",
    "FacnetError",
    "InvalidRequest",
    "NotFound",
    "Phase",
    "Priority",
    "Refused",
    "RejectedRow",
    "Result",
    "Retry",
    "ServerError",
    "Severity",
    "Status",
    "Submitted",
    "Summary",
    "Unavailable",
    "Update",
    "UploadLost",
    "Validation",
]
