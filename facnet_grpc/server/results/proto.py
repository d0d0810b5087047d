"""Results, rejected lines, billing records and logs: model ⇄ proto."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from google.protobuf.struct_pb2 import Struct

from facnet_grpc.gen.facnet.v1 import result_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.log_entry import LogEntry, LogLevel
from facnet_grpc.model.result import RejectedRow, Result
from facnet_grpc.model.run import Run
from facnet_grpc.model.summary import DayFigures, ScenarioFigures, Summary
from facnet_grpc.phi.redaction import PersonView, Redactor
from facnet_grpc.server.proto import CERTAINTY, LOG_LEVEL, SEVERITY, money, severity_counts, timestamp
from facnet_grpc.server.request_context import current
from facnet_grpc.server.results import phi_audit
from facnet_grpc.server.runs import proto as runs_proto
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import reject_text, result_text, rule_name, scenario_title


@dataclass(frozen=True, slots=True)
class ResultRenderer:
    """Renders results for one caller: in their language, with persons redacted unless they may see them."""

    locale: Locale
    persons: PersonView

    def result(self, result: Result) -> result_pb2.ValidationResult:
        """Return a result with its texts."""
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
        """Return a rejected line; with its raw text if the caller may see it."""
        return pb.RejectedRow(
            record_number=row.record_number,
            column=row.column_name or "",
            reason=row.reason,
            message=reject_text(row.reason, row.column_name, self.locale),
            raw=self.persons.raw(row.raw),
        )


# By content: whether an export has lines, and not results.
EXPORTS_LINES: dict[int, bool] = {
    pb.EXPORT_CONTENT_UNSPECIFIED: False,
    pb.EXPORT_CONTENT_RESULTS: False,
    pb.EXPORT_CONTENT_RECORDS: True,
}
_MONEY_FIELDS = {"preliminary_cents": "preliminary", "paid_cents": "paid"}


def renderer(redactor: Redactor) -> ResultRenderer:
    """Return the renderer for the current caller."""
    return ResultRenderer(current().locale, phi_audit.person_view(redactor))


def billing_record(row: Mapping[str, Any]) -> pb.BillingRecord:
    """Return a line, given as a row of the table `export.tables.LINE`."""
    return pb.BillingRecord(**{_MONEY_FIELDS.get(name, name): _value(name, value) for name, value in row.items()})


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _MONEY_FIELDS:
        return money(value)
    return value.isoformat() if isinstance(value, date | time) else value


def log_entry(entry: LogEntry) -> pb.LogEntry:
    """Return a log entry."""
    data = Struct()
    data.update(dict(entry.data))
    return pb.LogEntry(
        time=timestamp(entry.logged_at),
        level=LOG_LEVEL[LogLevel[entry.level.upper()]],
        source=entry.source,
        event=entry.event,
        data=data,
    )


def summary(run: Run, found: Summary, locale: Locale) -> pb.GetValidationSummaryResponse:
    """Return the figures of a run."""
    return pb.GetValidationSummaryResponse(
        validation=runs_proto.validation(run, locale),
        result_counts=severity_counts(run.result_counts),
        at_risk=money(found.at_risk_cents),
        potential_gain=money(found.potential_gain_cents),
        scenarios=[_scenario(figures, locale) for figures in found.scenarios],
        passes=[pb.PassCount(rule_id=p.rule_id, scenario=p.scenario, count=p.count) for p in found.passes],
        not_evaluable=[
            pb.NotEvaluable(rule_id=rule.rule_id, missing_columns=rule.missing_columns) for rule in found.not_evaluable
        ],
        rejections=[
            pb.RejectionCount(reason=kind.reason, column=kind.column, count=kind.count) for kind in found.rejections
        ],
        defects=[pb.DefectCount(column=defect.column, count=defect.count) for defect in found.defects],
        reversal_rows=found.reversal_rows,
        reversed_lines=found.reversed_lines,
        reversal_lines_without_partner=found.reversal_lines_without_partner,
        superseded_lines=found.superseded_lines,
        days=[_day(figures) for figures in found.days],
    )


def _scenario(figures: ScenarioFigures, locale: Locale) -> pb.ScenarioSummary:
    return pb.ScenarioSummary(
        rule_id=figures.rule_id,
        scenario=figures.scenario,
        severity=SEVERITY[figures.severity],
        count=figures.count,
        at_risk=money(figures.at_risk_cents),
        potential_gain=money(figures.potential_gain_cents),
        rule_name=rule_name(figures.rule_id, locale),
        title=scenario_title(figures.rule_id, figures.scenario, locale),
    )


def _day(figures: DayFigures) -> pb.DaySummary:
    return pb.DaySummary(
        service_date=figures.service_date.isoformat(),
        rows=figures.rows,
        result_counts=severity_counts(figures),
        at_risk=money(figures.at_risk_cents),
        potential_gain=money(figures.potential_gain_cents),
    )
