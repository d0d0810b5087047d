"""The client of a facnet service: submit claim files, watch their runs, read what was found.

What is imported from here is loaded when it is used, so that a program can set how gRPC behaves before gRPC is loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facnet_client.client import FacnetClient
    from facnet_client.connection import CallOptions
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
    from facnet_client.retry import Retry
    from facnet_client.values import (
        Batch,
        BatchCounts,
        Certainty,
        ExportFormat,
        LogEntry,
        LogLevel,
        Phase,
        Priority,
        Record,
        RejectedRow,
        Result,
        Severity,
        Status,
        Submission,
        Summary,
        Update,
        Validation,
    )

__all__ = [
    "Batch",
    "BatchCounts",
    "CallOptions",
    "Certainty",
    "Conflict",
    "CorruptData",
    "ExportFormat",
    "FacnetClient",
    "FacnetError",
    "InvalidRequest",
    "LogEntry",
    "LogLevel",
    "NotFound",
    "Phase",
    "Priority",
    "Record",
    "Refused",
    "RejectedRow",
    "Result",
    "Retry",
    "ServerError",
    "Severity",
    "Status",
    "Submission",
    "Summary",
    "Unavailable",
    "Update",
    "UploadLost",
    "Validation",
]

_MODULES = ("client", "errors", "values", "retry", "connection")


def __getattr__(name: str) -> object:
    """Import the module that defines a public name."""
    if name in __all__:
        for name_of_module in _MODULES:
            module = import_module(f"facnet_client.{name_of_module}")
            if name in vars(module):
                return vars(module)[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
