"""Messages of the API to values of this library, and the few ways back."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from facnet_client.values import (
    BatchCounts,
    Certainty,
    DaySummary,
    DefectCount,
    NotEvaluable,
    PassCount,
    Phase,
    Priority,
    RejectedRow,
    RejectionCount,
    Result,
    RunError,
    ScenarioSummary,
    Severity,
    SeverityCounts,
    Status,
    Submitted,
    Summary,
    Update,
    Validation,
)
from facnet_grpc.gen.facnet.v1 import money_pb2, result_pb2, validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as service_pb2

_NANOS_PER_CENT = 10_000_000
_Enum = TypeVar("_Enum", bound=StrEnum)


def submitted(message: service_pb2.SubmitValidationResponse) -> Submitted:
    """Return the value of an answer to SubmitValidation."""
    return Submitted(message.validation_id, message.job_id, status(message.status))


def update(message: service_pb2.WatchValidationResponse) -> Update:
    """Return the value of one message of a watch."""
    return Update(
        validation_id=message.validation_id,
        cursor=message.cursor,
        attempt=message.attempt,
        status=status(message.status),
        phase=_phase(message.phase),
        percent=message.percent,
        bytes_parsed=message.bytes_parsed,
        total_bytes=message.total_bytes,
        rows_parsed=message.rows_parsed,
        rows_loaded=message.rows_loaded,
        rows_rejected=message.rows_rejected,
        result_counts=severity_counts(message.result_counts),
        **_expected(message),
        error=_error(message),
        preview=tuple(result(found) for found in message.preview),
        batch=batch_counts(message.batch) if message.HasField("batch") else None,
    )


def batch_counts(message: service_pb2.BatchCounts) -> BatchCounts:
    """Return the value of a batch's runs by status."""
    return BatchCounts(
        batch_id=message.batch_id,
        queued=message.queued,
        processing=message.processing,
        completed=message.completed,
        failed=message.failed,
        cancelled=message.cancelled,
    )


def validation(message: validation_pb2.Validation) -> Validation:
    """Return the value of a run."""
    return Validation(
        validation_id=message.validation_id,
        job_id=message.job_id,
        file_name=message.file_name,
        status=status(message.status),
        phase=_phase(message.phase),
        percent=message.percent,
        size_bytes=message.size_bytes,
        sha256=message.sha256,
        encoding=message.encoding,
        delimiter=message.delimiter,
        total_rows=message.total_rows,
        processed_rows=message.processed_rows,
        rejected_rows=message.rejected_rows,
        result_counts=severity_counts(message.result_counts),
        attempt=message.attempt,
        create_time=moment(message, "create_time"),
        start_time=moment(message, "start_time"),
        end_time=moment(message, "end_time"),
        next_attempt_time=moment(message, "next_attempt_time"),
        error=_error(message),
        rule_set_version=message.rule_set_version,
        reference_version=message.reference_version,
        batch_id=message.batch_id,
        priority=named(Priority, validation_pb2.Priority, message.priority, "PRIORITY_"),
        labels=dict(sorted(message.labels.items())),
        rule_ids=tuple(message.rule_ids),
        **_expected(message),
    )


def summary(message: service_pb2.GetValidationSummaryResponse) -> Summary:
    """Return the value of a summary."""
    return Summary(
        validation=validation(message.validation),
        result_counts=severity_counts(message.result_counts),
        at_risk_cents=cents(message.at_risk),
        potential_gain_cents=cents(message.potential_gain),
        scenarios=tuple(_scenario(item) for item in message.scenarios),
        passes=tuple(PassCount(item.rule_id, item.scenario, item.count) for item in message.passes),
        not_evaluable=tuple(NotEvaluable(item.rule_id, tuple(item.missing_columns)) for item in message.not_evaluable),
        rejections=tuple(RejectionCount(item.reason, item.column, item.count) for item in message.rejections),
        defects=tuple(DefectCount(item.column, item.count) for item in message.defects),
        reversal_rows=message.reversal_rows,
        days=tuple(_day(item) for item in message.days),
    )


def result(message: result_pb2.ValidationResult) -> Result:
    """Return the value of a finding."""
    return Result(
        rule_id=message.rule_id,
        rule_version=message.rule_version,
        scenario=message.scenario,
        severity=severity(message.severity),
        category=message.category,
        certainty=named(Certainty, result_pb2.Certainty, message.certainty, "CERTAINTY_"),
        record_number=message.record_number or None,
        affected_records=tuple(message.affected_records),
        ramq_ids=tuple(message.ramq_ids),
        doctor_key=message.doctor_key,
        doctor=message.doctor,
        patient_key=message.patient_key,
        service_date=message.service_date,
        at_risk_cents=cents(message.at_risk),
        potential_gain_cents=cents(message.potential_gain),
        data=plain(message.data),
        message=message.message,
        solution=message.solution,
    )


def rejected_row(message: service_pb2.RejectedRow) -> RejectedRow:
    """Return the value of a rejected line."""
    return RejectedRow(message.record_number, message.column, message.reason, message.message)


def cents(money: money_pb2.Money) -> int:
    """Return an amount in cents; exact, because nanos are whole cents."""
    return money.units * 100 + round(money.nanos / _NANOS_PER_CENT)


def plain(struct: Struct) -> dict[str, Any]:
    """Return a Struct as plain values, keys sorted: whole numbers are int again, although Struct only knows doubles."""
    return {name: _plain(struct.fields[name]) for name in sorted(struct.fields)}


def timestamp(value: datetime) -> Timestamp:
    """Return a moment for a request; one without a zone is taken as local time."""
    made = Timestamp()
    made.FromDatetime(value.astimezone(UTC))
    return made


def status(number: int) -> Status:
    """Return the status behind a number of the wire."""
    return named(Status, validation_pb2.ValidationStatus, number, "VALIDATION_STATUS_")


def _plain(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case "struct_value":
            return plain(value.struct_value)
        case _:
            return None


def _scenario(message: service_pb2.ScenarioSummary) -> ScenarioSummary:
    return ScenarioSummary(
        rule_id=message.rule_id,
        rule_name=message.rule_name,
        scenario=message.scenario,
        title=message.title,
        severity=severity(message.severity),
        count=message.count,
        at_risk_cents=cents(message.at_risk),
        potential_gain_cents=cents(message.potential_gain),
    )


def _day(message: service_pb2.DaySummary) -> DaySummary:
    return DaySummary(
        service_date=message.service_date,
        rows=message.rows,
        result_counts=severity_counts(message.result_counts),
        at_risk_cents=cents(message.at_risk),
        potential_gain_cents=cents(message.potential_gain),
    )


def severity_counts(message: validation_pb2.SeverityCounts) -> SeverityCounts:
    """Return how many results there are of each severity."""
    return SeverityCounts(message.error, message.warning, message.optimization, message.info)


def _error(message: validation_pb2.Validation | service_pb2.WatchValidationResponse) -> RunError | None:
    if not message.HasField("error"):
        return None
    return RunError(message.error.code, message.error.message, message.error.cure)


def _expected(message: validation_pb2.Validation | service_pb2.WatchValidationResponse) -> dict[str, Any]:
    """Return what a run and an update have in common that may be unknown."""
    return {
        "queue_position": message.queue_position if message.HasField("queue_position") else None,
        "eta_seconds": message.eta.ToTimedelta().total_seconds() if message.HasField("eta") else None,
    }


def moment(message: Message, field: str) -> datetime | None:
    """Return a moment in UTC; None if it is not set."""
    if not message.HasField(field):
        return None
    found: datetime = getattr(message, field).ToDatetime(tzinfo=UTC)
    return found


def _phase(number: int) -> Phase:
    return named(Phase, validation_pb2.ValidationPhase, number, "VALIDATION_PHASE_")


def severity(number: int) -> Severity:
    """Return the severity behind a number of the wire."""
    return named(Severity, result_pb2.Severity, number, "SEVERITY_")


def named(kind: type[_Enum], wire: Any, number: int, prefix: str) -> _Enum:
    """Return a value of an enumeration by its number on the wire; UNSPECIFIED for one that is newer than we are."""
    known = wire.DESCRIPTOR.values_by_number.get(number)
    name = known.name.removeprefix(prefix) if known is not None else "UNSPECIFIED"
    return kind[name] if name in kind.__members__ else kind["UNSPECIFIED"]
