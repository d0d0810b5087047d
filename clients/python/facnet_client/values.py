"""What calls return: frozen values, money in cents, durations in seconds, times in UTC; newer enums are UNSPECIFIED."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from facnet_client.convert import Value


class Status(StrEnum):
    """The state of a run."""

    UNSPECIFIED = "UNSPECIFIED"
    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended; a FAILED one may be retried."""
        return self in {Status.COMPLETED, Status.FAILED, Status.CANCELLED}


class Phase(StrEnum):
    """The step of processing that a run is in."""

    UNSPECIFIED = "UNSPECIFIED"
    LOADING = "LOADING"
    RULES = "RULES"
    STORING_RESULTS = "STORING_RESULTS"


class Priority(StrEnum):
    """Scheduling priority among waiting runs."""

    UNSPECIFIED = "UNSPECIFIED"
    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"


class Severity(StrEnum):
    """The severity of a result."""

    UNSPECIFIED = "unspecified"
    ERROR = "error"
    WARNING = "warning"
    OPTIMIZATION = "optimization"
    INFO = "info"


class Certainty(StrEnum):
    """How certain the interpretation of the RAMQ manual is on which a rule is based."""

    UNSPECIFIED = "unspecified"
    CERTAIN = "certain"
    LIKELY = "likely"
    UNCERTAIN = "uncertain"


class LogLevel(StrEnum):
    """The level of a log entry."""

    UNSPECIFIED = "unspecified"
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class ExportFormat(StrEnum):
    """The format of an exported file; its value is the extension of the file name."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


class ChangeKind(StrEnum):
    """How a result differs between a run and its revalidation."""

    UNSPECIFIED = "unspecified"
    ADDED = "added"
    GONE = "gone"
    CHANGED = "changed"


class Submission(Value):
    """An accepted file: it is stored, and its run will end COMPLETED, FAILED or CANCELLED."""

    validation_id: str
    job_id: str
    status: Status


class SeverityCounts(Value):
    """Number of results by severity."""

    error: int = 0
    warning: int = 0
    optimization: int = 0
    info: int = 0


class RunError(Value):
    """Why a run failed, in the client's language."""

    code: str
    message: str
    cure: str


class BatchCounts(Value):
    """Number of runs of a batch by status."""

    batch_id: str
    queued: int
    processing: int
    completed: int
    failed: int
    cancelled: int

    @property
    def runs(self) -> int:
        """All runs of the batch."""
        return self.queued + self.processing + self.over

    @property
    def over(self) -> int:
        """Runs that have ended, whatever the outcome."""
        return self.completed + self.failed + self.cancelled


class Update(Value):
    """The state of a run at one moment; or that of a batch, with the sums over its runs."""

    sources = {  # noqa: RUF012 - as in the base, which says that it is of the class
        name: f"progress.{name}"
        for name in (
            *("attempt", "phase", "percent", "bytes_parsed", "total_bytes", "rows_parsed", "rows_loaded"),
            *("rows_rejected", "result_counts", "preview"),
        )
    }

    validation_id: str  # empty for a batch
    cursor: str
    attempt: int
    status: Status
    phase: Phase
    percent: float  # 0-100
    bytes_parsed: int
    total_bytes: int
    rows_parsed: int
    rows_loaded: int
    rows_rejected: int
    result_counts: SeverityCounts
    queue_position: int | None  # number of runs ahead of it; None if it does not wait, or unknown
    eta_seconds: float | None  # until its end; None if unknown
    error: RunError | None
    preview: tuple[Result, ...] = ()  # the first results, while rules are evaluated; without doctor and patient
    batch: BatchCounts | None = None  # None for a run


class Validation(Value):
    """One validation of one claim file."""

    validation_id: str
    job_id: str
    file_name: str
    status: Status
    phase: Phase
    percent: float  # 0-100
    size_bytes: int
    sha256: str
    encoding: str
    delimiter: str
    total_rows: int
    processed_rows: int
    rejected_rows: int
    result_counts: SeverityCounts
    attempt: int
    create_time: datetime | None
    start_time: datetime | None
    end_time: datetime | None
    next_attempt_time: datetime | None  # earliest; only while QUEUED after a temporary failure
    error: RunError | None
    rule_set_version: str
    reference_version: str
    batch_id: str
    priority: Priority
    labels: Mapping[str, str]
    rule_ids: tuple[str, ...]
    queue_position: int | None = None  # number of runs ahead of it; None if it does not wait, or unknown
    eta_seconds: float | None = None  # until its end; None if unknown


class ScenarioSummary(Value):
    """Number and money of the results of one scenario of one rule with one severity."""

    rule_id: str
    rule_name: str
    scenario: str
    title: str
    severity: Severity
    count: int
    at_risk_cents: int
    potential_gain_cents: int


class PassCount(Value):
    """Number of items that a rule evaluated and found correct; `scenario` is their kind."""

    rule_id: str
    scenario: str
    count: int


class NotEvaluable(Value):
    """A rule that was not evaluated, and the columns that the file does not have."""

    rule_id: str
    missing_columns: tuple[str, ...]


class RejectionCount(Value):
    """Number of rejected lines by reason and column; `column` is empty if the reason is about the whole line."""

    reason: str
    column: str
    count: int


class DefectCount(Value):
    """Number of unreadable values of one column, in lines that were kept without them."""

    column: str
    count: int


class DaySummary(Value):
    """Figures of one day of service."""

    service_date: str  # YYYY-MM-DD
    rows: int
    result_counts: SeverityCounts
    at_risk_cents: int
    potential_gain_cents: int


class Summary(Value):
    """Figures of a completed run. Totals of money count each line at most once, also if several results name it."""

    validation: Validation
    result_counts: SeverityCounts
    at_risk_cents: int
    potential_gain_cents: int
    scenarios: tuple[ScenarioSummary, ...]
    passes: tuple[PassCount, ...]
    not_evaluable: tuple[NotEvaluable, ...]
    rejections: tuple[RejectionCount, ...]
    defects: tuple[DefectCount, ...]
    reversal_rows: int  # lines with an amount of zero or less, which no rule evaluates
    reversed_lines: int  # lines that one of them cancels; not evaluated either
    reversal_lines_without_partner: int
    superseded_lines: int  # refused and corrected since; not evaluated either
    days: tuple[DaySummary, ...]


class Result(Value):
    """One finding of one rule. The order of the fields is the order of the keys in JSON Lines files."""

    rule_id: str
    rule_version: str
    scenario: str
    severity: Severity
    category: str
    certainty: Certainty
    record_number: int | None  # 1 is the first line after the header; None if it is about no single line
    affected_records: tuple[int, ...]
    ramq_ids: tuple[str, ...]
    doctor_key: str
    doctor: str
    patient_key: str  # a pseudonym, or the NAM for callers with phi:read; empty if it is about no patient
    service_date: str  # YYYY-MM-DD; empty if it is about no day
    at_risk_cents: int
    potential_gain_cents: int
    data: Mapping[str, Any]  # facts that the message is made of; whole numbers are int
    message: str
    solution: str


class RejectedRow(Value):
    """A line that was rejected, the column and the reason."""

    record_number: int
    column: str
    reason: str
    message: str


class Record(Value):
    """A line of a claim file, as it was read. The order of the fields is that of the keys in JSON Lines files."""

    record_number: int  # 1 is the first line after the header
    invoice: str
    ramq_id: str
    service_date: str  # YYYY-MM-DD
    start_time: str  # HH:MM:SS; empty if unknown
    end_time: str
    payment_period: str  # YYYYWW
    place: str
    activity_sector: str
    diagnosis: str
    code: str
    units: int | None
    role: str
    context: tuple[str, ...]
    preliminary_cents: int
    paid_cents: int | None  # None if the file does not say
    doctor_key: str
    doctor: str
    patient_key: str
    agency: str


class LogEntry(Value):
    """An event in the life of a run."""

    time: datetime
    level: LogLevel
    source: str
    event: str
    data: Mapping[str, Any]  # counts, codes and column names


class BatchPlace(Value):
    """A line of one of the files of a batch."""

    validation_id: str
    file_name: str
    record_number: int


class BatchDuplicate(Value):
    """A line that occurs in several files of a batch."""

    severity: Severity
    ramq_id: str
    code: str
    service_date: str  # YYYY-MM-DD
    doctor_key: str
    places: tuple[BatchPlace, ...]  # the first 10
    message: str
    solution: str


class Batch(Value):
    """Runs that were submitted with one batch id. Amounts are of the completed ones."""

    counts: BatchCounts
    status: Status
    percent: float  # 0-100
    total_rows: int
    processed_rows: int
    rejected_rows: int
    result_counts: SeverityCounts
    at_risk_cents: int
    potential_gain_cents: int
    validations: tuple[Validation, ...]  # the first 1,000
    duplicates: tuple[BatchDuplicate, ...]  # the first 100, if they were requested
    duplicate_count: int | None  # None if they were not requested


class ResultChange(Value):
    """A result of the run (`before`) and of its revalidation (`after`); None where there is none."""

    kind: ChangeKind
    before: Result | None
    after: Result | None


class RevalidationSummary(Value):
    """Number of changes by kind, and the versions that the run and its revalidation used."""

    added: int
    gone: int
    changed: int
    unchanged: int
    rule_set_version_before: str
    rule_set_version_after: str
    reference_version_before: str
    reference_version_after: str
