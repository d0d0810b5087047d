"""Results and rejected lines: model ⇄ proto.

`ResultRenderer` is what one answer is written with: the caller's language, and what they may see of persons.

Lines, logs and exports: model ⇄ proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from google.protobuf.struct_pb2 import Struct

from facnet_grpc.export.formats import Format
from facnet_grpc.gen.facnet.v1 import result_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.log_entry import LogEntry, LogLevel
from facnet_grpc.model.result import RejectedRow, Result, Severity
from facnet_grpc.phi.redaction import PersonView
from facnet_grpc.server import request_fields
from facnet_grpc.server.proto import CERTAINTY, SEVERITY, money, timestamp
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import reject_text, result_text, rule_name, scenario_title


def severities(values: Iterable[int]) -> tuple[Severity, ...]:
    """Read the severities of a filter, sorted."""
    known: dict[int, Severity] = {number: severity for severity, number in SEVERITY.items()}
    return tuple(sorted({request_fields.one_of("severities", value, known) for value in values}))


def preview_message(result: result_pb2.ValidationResult, locale: Locale) -> str:
    """Return the text of a previewed result, its title: its full text could name a person."""
    names = (rule_name(result.rule_id, locale), scenario_title(result.rule_id, result.scenario, locale))
    return " · ".join(name for name in names if name)


@dataclass(frozen=True, slots=True)
class ResultRenderer:
    """Writes what is stored for one caller: in their language, with persons as they may see them."""

    locale: Locale
    persons: PersonView

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


LEVELS: dict[int, LogLevel] = {
    pb.LOG_LEVEL_UNSPECIFIED: LogLevel.DEBUG,
    **{pb.LogLevel.Value(f"LOG_LEVEL_{level.name}"): level for level in LogLevel},
}
FORMATS: dict[int, Format] = {
    pb.EXPORT_FORMAT_UNSPECIFIED: Format.JSONL,
    **{pb.ExportFormat.Value(f"EXPORT_FORMAT_{form.name}"): form for form in Format},
}
# Whether an export is of lines.
CONTENTS: dict[int, bool] = {
    pb.EXPORT_CONTENT_UNSPECIFIED: False,
    pb.EXPORT_CONTENT_RESULTS: False,
    pb.EXPORT_CONTENT_RECORDS: True,
}
_MONEY = {"preliminary_cents": "preliminary", "paid_cents": "paid"}


def billing_record(row: Mapping[str, Any]) -> pb.BillingRecord:
    """Return a line, given as it leaves the service (a row of export.layout.LINE)."""
    return pb.BillingRecord(**{_MONEY.get(name, name): _value(name, value) for name, value in row.items()})


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _MONEY:
        return money(value)
    return value.isoformat() if isinstance(value, date | time) else value


def log_entry(entry: LogEntry) -> pb.LogEntry:
    """Return what happened."""
    data = Struct()
    data.update(dict(entry.data))
    return pb.LogEntry(
        time=timestamp(entry.logged_at),
        level=pb.LogLevel.Value(f"LOG_LEVEL_{entry.level.upper()}"),
        source=entry.source,
        event=entry.event,
        data=data,
    )
