"""Everything that can go wrong, as one tree.

    FacnetError
    ├── Unauthenticated       the caller is not known
    ├── Forbidden             the caller is known, and may not do this
    ├── InvalidInput          the caller's request cannot be read
    ├── NotFound              no such thing, or not the caller's
    ├── Conflict              the state of things does not allow it
    ├── WrongOffset           an upload goes on elsewhere
    ├── CorruptData           bytes arrived otherwise than announced
    ├── LimitExceeded         larger, more or faster than allowed
    ├── TerminalError         the file can never be validated
    ├── TransientError        worth trying again
    │   └── LeaseLost         another worker has the run now
    └── RunCancelled          somebody asked for the work to stop

An error carries a `reason` (a name of the API's `ErrorReason`) and `params`: counts, ids, limits and column names that
a text in the reader's language is made of. Never a cell, a name or a NAM: both end up in logs and in PostgreSQL.
Nothing here knows gRPC; `server/interceptors/errors.py` maps the classes to statuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Reason(StrEnum):
    """Why something failed; the same names as `facnet.v1.ErrorReason` without its prefix (a test compares them)."""

    INTERNAL = "INTERNAL"
    BACKEND_UNAVAILABLE = "BACKEND_UNAVAILABLE"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RATE_LIMITED = "RATE_LIMITED"
    TOO_MANY_CALLS = "TOO_MANY_CALLS"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    BAD_PAGE_TOKEN = "BAD_PAGE_TOKEN"  # noqa: S105 - a name, not a secret
    BAD_CURSOR = "BAD_CURSOR"
    VALIDATION_NOT_FOUND = "VALIDATION_NOT_FOUND"
    UPLOAD_NOT_FOUND = "UPLOAD_NOT_FOUND"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    WRONG_STATE = "WRONG_STATE"
    RULE_NOT_FOUND = "RULE_NOT_FOUND"
    REFERENCE_NOT_FOUND = "REFERENCE_NOT_FOUND"
    BATCH_NOT_FOUND = "BATCH_NOT_FOUND"
    WEBHOOK_REFUSED = "WEBHOOK_REFUSED"
    BAD_REFERENCE_FILE = "BAD_REFERENCE_FILE"
    HEADER_REQUIRED = "HEADER_REQUIRED"
    EMPTY_FILE = "EMPTY_FILE"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    CHUNK_TOO_LARGE = "CHUNK_TOO_LARGE"
    WRONG_OFFSET = "WRONG_OFFSET"
    CHUNK_CORRUPT = "CHUNK_CORRUPT"
    SIZE_MISMATCH = "SIZE_MISMATCH"
    CHECKSUM_MISMATCH = "CHECKSUM_MISMATCH"
    DISK_FULL = "DISK_FULL"
    TOO_MANY_UPLOADS = "TOO_MANY_UPLOADS"
    UPLOAD_BUSY = "UPLOAD_BUSY"
    TOO_MANY_RUNS = "TOO_MANY_RUNS"
    NOT_A_CSV = "NOT_A_CSV"
    NO_USABLE_HEADER = "NO_USABLE_HEADER"
    MISSING_COLUMNS = "MISSING_COLUMNS"
    DUPLICATE_COLUMNS = "DUPLICATE_COLUMNS"
    HEADER_ONLY = "HEADER_ONLY"
    NO_USABLE_ROWS = "NO_USABLE_ROWS"
    AMBIGUOUS_DATES = "AMBIGUOUS_DATES"
    UNKNOWN_ENCODING = "UNKNOWN_ENCODING"
    CORRUPT_ARCHIVE = "CORRUPT_ARCHIVE"
    EXPANDS_TOO_LARGE = "EXPANDS_TOO_LARGE"
    WORKER_CRASHED = "WORKER_CRASHED"
    ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED"
    BLOB_MISSING = "BLOB_MISSING"
    LEASE_LOST = "LEASE_LOST"
    BLOB_DAMAGED = "BLOB_DAMAGED"


Param = str | int | float | list[str]


class FacnetError(Exception):
    """Base of all: `reason` for programs, `params` for texts."""

    default_reason = Reason.INTERNAL

    def __init__(self, reason: Reason | None = None, /, **params: Param) -> None:
        """Make an error of this kind; `params` must be free of PHI."""
        self.reason = reason or self.default_reason
        self.params: Mapping[str, Param] = params
        super().__init__(self.reason, params)

    def __str__(self) -> str:
        """Return `REASON name=value …`, fit for a log."""
        return " ".join([self.reason, *(f"{name}={value!r}" for name, value in sorted(self.params.items()))])


class Unauthenticated(FacnetError):
    """The caller is not known; `params["why"]` is one of a few words, never a part of what was presented."""

    default_reason = Reason.UNAUTHENTICATED


class Forbidden(FacnetError):
    """The caller is known, and may not do this; `params["role"]` is the role that may."""

    default_reason = Reason.PERMISSION_DENIED


class InvalidInput(FacnetError):
    """The caller's request cannot be read; `params["field"]` names the field."""

    default_reason = Reason.INVALID_ARGUMENT


class NotFound(FacnetError):
    """No such thing, or not the caller's: nobody can tell which."""

    default_reason = Reason.VALIDATION_NOT_FOUND


class Conflict(FacnetError):
    """The state of things does not allow it."""

    default_reason = Reason.WRONG_STATE


class WrongOffset(FacnetError):
    """A chunk begins elsewhere than the stored bytes end; `params["expected"]` is where, in bytes."""

    default_reason = Reason.WRONG_OFFSET


class CorruptData(FacnetError):
    """Bytes arrived otherwise than announced; nothing was kept."""

    default_reason = Reason.CHECKSUM_MISMATCH


class LimitExceeded(FacnetError):
    """Larger, more or faster than allowed."""

    default_reason = Reason.FILE_TOO_LARGE


class TerminalError(FacnetError):
    """The file can never be validated as it is: the run ends FAILED at once."""

    default_reason = Reason.NOT_A_CSV


class TransientError(FacnetError):
    """Worth trying again: a part is not answering just now."""

    default_reason = Reason.BACKEND_UNAVAILABLE


class LeaseLost(TransientError):
    """Another worker has the run now; whatever this one did is rolled back."""

    default_reason = Reason.LEASE_LOST


class RunCancelled(FacnetError):
    """Somebody asked for the work on a run to stop. Not a failure."""

    default_reason = Reason.WRONG_STATE
