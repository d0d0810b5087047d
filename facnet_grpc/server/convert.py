"""Model ⇄ proto. With the services, the only place that knows the generated classes; and where PHI stops.

`Renderer` is what one answer is written with: the caller's language, and what they may see of persons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from facnet_grpc.gen.facnet.v1 import money_pb2, result_pb2, validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.glimpse import Glimpse
from facnet_grpc.model.result import Certainty, RejectedRow, Result, Severity
from facnet_grpc.model.run import Priority, Run, RunPhase, RunStatus, SeverityCounts
from facnet_grpc.model.summary import DayFigures, ScenarioFigures, Summary
from facnet_grpc.model.upload import Upload, UploadHeader
from facnet_grpc.phi.policy import Persons
from facnet_grpc.server import fields
from facnet_grpc.server.outlook import NOTHING, Expected
from facnet_grpc.server.view import View
from facnet_grpc.texts import Locale, error_text, reject_text, result_text, rule_name, scenario_title

CENTS_IN_NANOS = 10_000_000

STATUS: Mapping[RunStatus, validation_pb2.ValidationStatus.ValueType] = {
    status: validation_pb2.ValidationStatus.Value(f"VALIDATION_STATUS_{status}") for status in RunStatus
}
PHASE: Mapping[RunPhase | None, validation_pb2.ValidationPhase.ValueType] = {
    None: validation_pb2.VALIDATION_PHASE_UNSPECIFIED,
    **{phase: validation_pb2.ValidationPhase.Value(f"VALIDATION_PHASE_{phase}") for phase in RunPhase},
}
PRIORITY: Mapping[Priority, validation_pb2.Priority.ValueType] = {
    priority: validation_pb2.Priority.Value(f"PRIORITY_{priority}") for priority in Priority
}
SEVERITY: Mapping[Severity, result_pb2.Severity.ValueType] = {
    severity: result_pb2.Severity.Value(f"SEVERITY_{severity.upper()}") for severity in Severity
}
CERTAINTY: Mapping[Certainty, result_pb2.Certainty.ValueType] = {
    certainty: result_pb2.Certainty.Value(f"CERTAINTY_{certainty.upper()}") for certainty in Certainty
}


def upload_header(header: pb.UploadHeader) -> UploadHeader:
    """Read the header of an upload. Raises `InvalidInput` naming the first field that cannot be taken."""
    if header.HasField("size_bytes") and header.size_bytes < 0:
        fields.refuse("header.size_bytes")
    priorities: dict[int, Priority] = {number: priority for priority, number in PRIORITY.items()}
    priorities[validation_pb2.PRIORITY_UNSPECIFIED] = Priority.NORMAL
    return UploadHeader(
        file_name=fields.text("header.file_name", header.file_name, most=fields.MAX_FILE_NAME),
        size_bytes=header.size_bytes if header.HasField("size_bytes") else None,
        sha256=fields.sha256("header.sha256", header.sha256),
        idempotency_key=fields.optional_text("header.idempotency_key", header.idempotency_key),
        upload_id=fields.optional_uuid("header.upload_id", header.upload_id),
        batch_id=fields.optional_text("header.batch_id", header.batch_id),
        priority=fields.one_of("header.priority", header.priority, priorities),
        labels=fields.labels("header.labels", header.labels),
        rule_ids=fields.texts("header.rule_ids", header.rule_ids),
        encoding_hint=fields.optional_text("header.encoding_hint", header.encoding_hint, most=fields.MAX_LABEL),
        delimiter_hint=fields.delimiter("header.delimiter_hint", header.delimiter_hint),
        webhook_url=header.webhook_url or None,
    )


def statuses(values: Iterable[int]) -> tuple[RunStatus, ...]:
    """Read the statuses of a filter, sorted."""
    known: dict[int, RunStatus] = {number: status for status, number in STATUS.items()}
    return tuple(sorted({fields.one_of("statuses", value, known) for value in values}))


def severities(values: Iterable[int]) -> tuple[Severity, ...]:
    """Read the severities of a filter, sorted."""
    known: dict[int, Severity] = {number: severity for severity, number in SEVERITY.items()}
    return tuple(sorted({fields.one_of("severities", value, known) for value in values}))


def moment(message: Message, field: str) -> datetime | None:
    """Read an optional timestamp field."""
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        return fields.refuse(field)


def timestamp(value: datetime | None) -> Timestamp | None:
    """Return a timestamp; None stays None, which leaves a field unset."""
    if value is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp


def duration(value: timedelta | None) -> Duration | None:
    """Return a length of time in whole seconds; None stays None."""
    return None if value is None else Duration(seconds=int(value.total_seconds()))


def money(cents: int) -> money_pb2.Money:
    """Return an amount in Canadian dollars."""
    units, rest = divmod(abs(cents), 100)
    sign = -1 if cents < 0 else 1
    return money_pb2.Money(currency_code="CAD", units=sign * units, nanos=sign * rest * CENTS_IN_NANOS)


def counts(value: SeverityCounts | DayFigures) -> validation_pb2.SeverityCounts:
    """Return how many results there are of each severity."""
    return validation_pb2.SeverityCounts(
        error=value.error,
        warning=value.warning,
        optimization=value.optimization,
        info=value.info,
    )


def upload(value: Upload, committed_bytes: int) -> pb.GetUploadResponse:
    """Return how far an upload is."""
    return pb.GetUploadResponse(
        upload_id=str(value.id),
        committed_bytes=committed_bytes,
        expire_time=timestamp(value.expires_at),
        validation_id=str(value.run_id) if value.run_id else "",
    )


def uploaded(committed_bytes: int, run: Run | None) -> pb.UploadChunkResponse:
    """Return how far an upload is that comes chunk by chunk, and what it became."""
    if run is None:
        return pb.UploadChunkResponse(committed_bytes=committed_bytes)
    return pb.UploadChunkResponse(
        committed_bytes=committed_bytes,
        validation_id=str(run.id),
        job_id=run.job_id,
        status=STATUS[run.status],
    )


def submitted(run: Run) -> pb.SubmitValidationResponse:
    """Return the promise that a run will end."""
    return pb.SubmitValidationResponse(validation_id=str(run.id), job_id=run.job_id, status=STATUS[run.status])


def run_error(code: str | None, params: Mapping[str, object], locale: Locale) -> validation_pb2.RunError | None:
    """Return why a run failed, in the caller's language; None if it did not."""
    if not code:
        return None
    text = error_text((code, params), locale)
    return validation_pb2.RunError(code=code, message=text.message, cure=text.cure)


def watched(view: View, locale: Locale, now: datetime) -> pb.WatchValidationResponse:
    """Return the state of a run to a watcher."""
    eta = view.eta(now)
    return pb.WatchValidationResponse(
        cursor=view.cursor.encode(),
        validation_id=str(view.run_id),
        attempt=view.attempt,
        status=STATUS[view.status],
        phase=PHASE[view.phase],
        percent=view.percent,
        bytes_parsed=view.bytes_parsed,
        total_bytes=view.total_bytes,
        rows_parsed=view.rows_parsed,
        rows_loaded=view.rows_loaded,
        rows_rejected=view.rows_rejected,
        result_counts=counts(view.result_counts),
        queue_position=view.queue_position,
        eta=duration(eta),
        error=run_error(view.error_code, view.error_params, locale),
        preview=[glimpse(number, found, locale) for number, found in enumerate(view.preview, 1)],
    )


def glimpse(number: int, found: Glimpse, locale: Locale) -> result_pb2.ValidationResult:
    """Return one of the first results, by its title: its whole text would speak of people."""
    names = (rule_name(found.rule_id, locale), scenario_title(found.rule_id, found.scenario, locale))
    return result_pb2.ValidationResult(
        result_number=number,
        rule_id=found.rule_id,
        rule_version=found.rule_version,
        scenario=found.scenario,
        severity=SEVERITY[found.severity],
        category=found.category,
        certainty=CERTAINTY[found.certainty],
        record_number=found.record_number or 0,
        affected_records=[found.record_number] if found.record_number else [],
        message=" · ".join(name for name in names if name),
    )


@dataclass(frozen=True, slots=True)
class Renderer:
    """Writes what is stored for one caller: in their language, with persons as they may see them."""

    locale: Locale
    persons: Persons

    def validation(self, run: Run, expected: Expected = NOTHING) -> validation_pb2.Validation:
        """Return a run, and what is expected of it."""
        return validation_pb2.Validation(
            validation_id=str(run.id),
            job_id=run.job_id,
            file_name=run.file_name,
            status=STATUS[run.status],
            phase=PHASE[run.phase],
            percent=run.percent,
            size_bytes=run.size_bytes,
            sha256=run.sha256,
            encoding=run.encoding or "",
            delimiter=run.delimiter or "",
            total_rows=run.total_rows,
            processed_rows=run.processed_rows,
            rejected_rows=run.rejected_rows,
            result_counts=counts(run.result_counts),
            attempt=run.attempt,
            create_time=timestamp(run.created_at),
            start_time=timestamp(run.started_at),
            end_time=timestamp(run.finished_at),
            next_attempt_time=timestamp(run.next_attempt_at) if run.status is RunStatus.QUEUED else None,
            error=run_error(run.error_code, run.error_params, self.locale),
            rule_set_version=run.rule_set_version or "",
            reference_version=run.reference_version or "",
            batch_id=run.batch_id or "",
            priority=PRIORITY[run.priority],
            labels=run.labels,
            rule_ids=run.rule_ids,
            queue_position=expected.position,
            eta=_until(expected.ends_at),
        )

    def summary(self, run: Run, summary: Summary) -> pb.GetValidationSummaryResponse:
        """Return the figures of a run."""
        return pb.GetValidationSummaryResponse(
            validation=self.validation(run),
            result_counts=counts(run.result_counts),
            at_risk=money(summary.at_risk_cents),
            potential_gain=money(summary.potential_gain_cents),
            scenarios=[self._scenario(figures) for figures in summary.scenarios],
            passes=[pb.PassCount(rule_id=p.rule_id, scenario=p.scenario, count=p.count) for p in summary.passes],
            not_evaluable=[
                pb.NotEvaluable(rule_id=rule.rule_id, missing_columns=rule.missing_columns)
                for rule in summary.not_evaluable
            ],
            rejections=[
                pb.RejectionCount(reason=kind.reason, column=kind.column, count=kind.count)
                for kind in summary.rejections
            ],
            defects=[pb.DefectCount(column=defect.column, count=defect.count) for defect in summary.defects],
            reversal_rows=summary.reversal_rows,
            days=[_day(figures) for figures in summary.days],
        )

    def _scenario(self, figures: ScenarioFigures) -> pb.ScenarioSummary:
        return pb.ScenarioSummary(
            rule_id=figures.rule_id,
            scenario=figures.scenario,
            severity=SEVERITY[figures.severity],
            count=figures.count,
            at_risk=money(figures.at_risk_cents),
            potential_gain=money(figures.potential_gain_cents),
            rule_name=rule_name(figures.rule_id, self.locale),
            title=scenario_title(figures.rule_id, figures.scenario, self.locale),
        )

    def result(self, result: Result) -> result_pb2.ValidationResult:
        """Return a result: persons as the caller may see them, texts made of that."""
        doctor = self.persons.doctor_name(result.doctor_name)
        text = result_text(
            result.rule_id,
            result.scenario,
            result.data,
            self.locale,
            doctor=doctor,
            service_date=result.service_date,
            affected_records=result.affected_records,
            at_risk_cents=result.at_risk_cents,
            potential_gain_cents=result.potential_gain_cents,
        )
        data = Struct()
        data.update(result.data)
        return result_pb2.ValidationResult(
            result_number=result.result_number,
            rule_id=result.rule_id,
            rule_version=result.rule_version,
            scenario=result.scenario,
            severity=SEVERITY[result.severity],
            category=result.category,
            certainty=CERTAINTY[result.certainty],
            record_number=result.record_number or 0,
            affected_records=result.affected_records,
            ramq_ids=result.ramq_ids,
            doctor_key=self.persons.doctor_key(result.doctor_key),
            doctor=doctor,
            patient_key=self.persons.patient(result.patient_key),
            service_date=result.service_date.isoformat() if result.service_date else "",
            at_risk=money(result.at_risk_cents),
            potential_gain=money(result.potential_gain_cents),
            data=data,
            message=text.message,
            solution=text.solution,
        )

    def rejected_row(self, row: RejectedRow) -> pb.RejectedRow:
        """Return a line that could not be read; its text if the caller may see it."""
        return pb.RejectedRow(
            record_number=row.record_number,
            column=row.column_name or "",
            reason=row.reason,
            message=reject_text(row.reason, row.column_name, self.locale),
            raw=self.persons.raw(row.raw),
        )


def _until(moment: datetime | None) -> Duration | None:
    now = datetime.now(UTC)
    return duration(moment - now) if moment is not None and moment > now else None


def _day(figures: DayFigures) -> pb.DaySummary:
    return pb.DaySummary(
        service_date=figures.service_date.isoformat(),
        rows=figures.rows,
        result_counts=counts(figures),
        at_risk=money(figures.at_risk_cents),
        potential_gain=money(figures.potential_gain_cents),
    )
