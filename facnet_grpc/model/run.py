"""A run: one validation of one claim file, and the states of its life."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID


class RunStatus(StrEnum):
    """Where a run is in its life."""

    QUEUED = "QUEUED"  # stored, waiting for a worker or for its next attempt
    PROCESSING = "PROCESSING"  # a worker holds its lease
    COMPLETED = "COMPLETED"  # rows and results can be read
    FAILED = "FAILED"  # ended without results; error_code says why
    CANCELLED = "CANCELLED"  # ended by a caller

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in TERMINAL


class RunPhase(StrEnum):
    """What a worker is doing with a run."""

    LOADING = "LOADING"  # parse and COPY, which overlap: 0-75 %
    RULES = "RULES"  # 75-90 %
    STORING_RESULTS = "STORING_RESULTS"  # 90-100 %


class Priority(StrEnum):
    """In which order waiting runs are taken."""

    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"


TERMINAL = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})

# Every change of state that exists. Each UPDATE of a status names its sources from here, so no other can be written.
TRANSITIONS: Mapping[RunStatus, frozenset[RunStatus]] = MappingProxyType(
    {
        RunStatus.QUEUED: frozenset({RunStatus.PROCESSING, RunStatus.FAILED, RunStatus.CANCELLED}),
        RunStatus.PROCESSING: frozenset(
            {RunStatus.QUEUED, RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED},
        ),
        RunStatus.COMPLETED: frozenset(),
        RunStatus.FAILED: frozenset({RunStatus.QUEUED}),
        RunStatus.CANCELLED: frozenset(),
    },
)


def sources(target: RunStatus) -> list[RunStatus]:
    """Return the states from which `target` may be reached, sorted."""
    return sorted(status for status, targets in TRANSITIONS.items() if target in targets)


@dataclass(frozen=True, slots=True)
class SeverityCounts:
    """How many results there are of each severity."""

    error: int = 0
    warning: int = 0
    optimization: int = 0
    info: int = 0


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a caller asks for: everything about a run that is known before work begins."""

    id: UUID
    owner: str
    file_name: str
    size_bytes: int
    sha256: str  # 64 hexadecimal digits
    blob_key: str
    idempotency_key: str | None = None
    batch_id: str | None = None
    priority: Priority = Priority.NORMAL
    labels: Mapping[str, str] = field(default_factory=dict)
    rule_ids: tuple[str, ...] = ()  # empty: all that are on
    encoding_hint: str | None = None
    delimiter_hint: str | None = None
    large: bool = False  # waits behind the smaller ones of its owner and priority
    traceparent: str | None = None  # the span that its attempts belong under, in W3C's form
    webhook_url: str | None = field(default=None, repr=False)  # where to say that it has ended; may hold a secret
    notify_by_mail: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """A row of `validation_runs`."""

    id: UUID
    owner: str
    file_name: str
    size_bytes: int
    sha256: str
    blob_key: str | None  # None once the blob is deleted
    status: RunStatus
    phase: RunPhase | None
    percent: float
    bytes_parsed: int
    total_rows: int
    processed_rows: int
    rejected_rows: int
    result_counts: SeverityCounts
    attempt: int
    created_at: datetime
    idempotency_key: str | None = None
    batch_id: str | None = None
    priority: Priority = Priority.NORMAL
    labels: Mapping[str, str] = field(default_factory=dict)
    rule_ids: tuple[str, ...] = ()
    encoding_hint: str | None = None
    delimiter_hint: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    next_attempt_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    error_code: str | None = None
    error_params: Mapping[str, Any] = field(default_factory=dict)
    rule_set_version: str | None = None
    reference_version: str | None = None
    large: bool = False
    traceparent: str | None = None
    uncounted_attempts: int = 0  # of `attempt`, those that a worker gave back because it had to stop

    @property
    def job_id(self) -> str:
        """The id that the predecessor's clients know a run by."""
        return job_id(self.id)


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to work on a run until `lease_seconds` after its last heartbeat."""

    run: Run
    lease_token: UUID


def job_id(run_id: UUID) -> str:
    """Return `validation-<run_id>`."""
    return f"validation-{run_id}"
