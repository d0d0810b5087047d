"""What calls return: frozen values, money as integer cents, durations in seconds, times in UTC, shares in percent.

An enumeration value that is newer than this client reads as UNSPECIFIED.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from facnet_client.convert import Value


class Status(StrEnum):
    """Where a run is in its life."""

    UNSPECIFIED = "UNSPECIFIED"
    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in {Status.COMPLETED, Status.FAILED, Status.CANCELLED}


class Phase(StrEnum):
    """What a worker is doing with a run."""

    UNSPECIFIED = "UNSPECIFIED"
    LOADING = "LOADING"
    RULES = "RULES"
    STORING_RESULTS = "STORING_RESULTS"


class Priority(StrEnum):
    """In which order waiting runs are taken."""

    UNSPECIFIED = "UNSPECIFIED"
    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"


class Severity(StrEnum):
    """How bad a result is."""

    UNSPECIFIED = "unspecified"
    ERROR = "error"
    WARNING = "warning"
    OPTIMIZATION = "optimization"
    INFO = "info"


class Certainty(StrEnum):
    """How sure the reading of the manual is that a rule rests on."""

    UNSPECIFIED = "unspecified"
    CERTAIN = "certain"
    LIKELY = "likely"
    UNCERTAIN = "uncertain"


class LogLevel(StrEnum):
    """How severe an entry of a log is."""

    UNSPECIFIED = "unspecified"
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class ExportFormat(StrEnum):
    """What an exported file can be; also how its name ends."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


class ChangeKind(StrEnum):
    """How a result would change."""

    UNSPECIFIED = "unspecified"
    ADDED = "added"
    GONE = "gone"
    CHANGED = "changed"


class Submission(Value):
    """The server's promise: the file is kept and will be checked."""

    validation_id: str
    job_id: str
    status: Status


class SeverityCounts(Value):
    """How many results there are of each severity."""

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
    """How many runs of a batch there are of each status."""

    batch_id: str
    queued: int
    processing: int
    completed: int
    failed: int
    cancelled: int

    @property
    def runs(self) -> int:
        """All of them."""
        return self.queued + self.processing + self.over

    @property
    def over(self) -> int:
        """Those that have ended, however."""
        return self.completed + self.failed + self.cancelled


class Update(Value):
    """The state of a run at one moment; or that of a batch, with the figures of all its runs together."""

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
    queue_position: int | None  # runs ahead of it; None if unknown
    eta_seconds: float | None
    error: RunError | None
    preview: tuple[Result, ...] = ()  # the first results, while work goes on: without doctor and patient
    batch: BatchCounts | None = None  # of a batch only


class Validation(Value):
    """One validation of one claim file."""

    validation_id: str
    job_id: str
    file_name: str
    status: Status
    phase: Phase
    percent: float
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
    next_attempt_time: datetime | None
    error: RunError | None
    rule_set_version: str
    reference_version: str
    batch_id: str
    priority: Priority
    labels: Mapping[str, str]
    rule_ids: tuple[str, ...]
    queue_position: int | None = None  # runs that are begun before it while it waits; None if unknown
    eta_seconds: float | None = None  # until its end, if that can be told


class ScenarioSummary(Value):
    """Results of one scenario of one rule with one severity."""

    rule_id: str
    rule_name: str
    scenario: str
    title: str
    severity: Severity
    count: int
    at_risk_cents: int
    potential_gain_cents: int


class PassCount(Value):
    """What a rule looked at and found right."""

    rule_id: str
    scenario: str
    count: int


class NotEvaluable(Value):
    """A rule that could not be evaluated, and the columns that it lacks."""

    rule_id: str
    missing_columns: tuple[str, ...]


class RejectionCount(Value):
    """Rejected lines of one kind; `column` is empty if the whole line is at fault."""

    reason: str
    column: str
    count: int


class DefectCount(Value):
    """Unreadable values of one column in lines that were kept."""

    column: str
    count: int


class DaySummary(Value):
    """Figures of one day of service, YYYY-MM-DD."""

    service_date: str
    rows: int
    result_counts: SeverityCounts
    at_risk_cents: int
    potential_gain_cents: int


class Summary(Value):
    """What was found in a run, in figures; totals of money count each line at most once."""

    validation: Validation
    result_counts: SeverityCounts
    at_risk_cents: int
    potential_gain_cents: int
    scenarios: tuple[ScenarioSummary, ...]
    passes: tuple[PassCount, ...]
    not_evaluable: tuple[NotEvaluable, ...]
    rejections: tuple[RejectionCount, ...]
    defects: tuple[DefectCount, ...]
    reversal_rows: int
    days: tuple[DaySummary, ...]


class Result(Value):
    """One finding of one rule. The order of the fields is the order of the keys in JSON Lines files."""

    rule_id: str
    rule_version: str
    scenario: str
    severity: Severity
    category: str
    certainty: Certainty
    record_number: int | None  # 1 = first data line; None if it is about no line
    affected_records: tuple[int, ...]
    ramq_ids: tuple[str, ...]
    doctor_key: str
    doctor: str
    patient_key: str  # empty if it is about no patient
    service_date: str  # YYYY-MM-DD; empty if it is about no day
    at_risk_cents: int
    potential_gain_cents: int
    data: Mapping[str, Any]  # whole numbers are int
    message: str
    solution: str


class RejectedRow(Value):
    """A line that could not be read."""

    record_number: int
    column: str
    reason: str
    message: str


class Record(Value):
    """A line of a claim file, as it was read. The order of the fields is that of the keys in JSON Lines files."""

    record_number: int  # 1 = first data line
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
    """Something that happened to a run."""

    time: datetime
    level: LogLevel
    source: str
    event: str
    data: Mapping[str, Any]  # counts, codes and column names


class BatchPlace(Value):
    """A line of one of a batch's files."""

    validation_id: str
    file_name: str
    record_number: int


class BatchDuplicate(Value):
    """A line that is in several files of a batch."""

    severity: Severity
    ramq_id: str
    code: str
    service_date: str  # YYYY-MM-DD
    doctor_key: str
    places: tuple[BatchPlace, ...]  # the first 10
    message: str
    solution: str


class Batch(Value):
    """Runs that were submitted under one name. Money, in cents, is of the completed ones."""

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
    duplicates: tuple[BatchDuplicate, ...]  # the first 100, if they were asked for
    duplicate_count: int | None  # None if they were not


class ResultChange(Value):
    """A result as the run found it and as the present rules find it; None on the side that has none."""

    kind: ChangeKind
    before: Result | None
    after: Result | None


class RevalidationSummary(Value):
    """What all changes come to, and what the run was and would be judged by."""

    added: int
    gone: int
    changed: int
    unchanged: int
    rule_set_version_before: str
    rule_set_version_after: str
    reference_version_before: str
    reference_version_after: str
