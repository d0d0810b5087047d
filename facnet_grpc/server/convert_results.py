"""Results and rejected lines: model ⇄ proto.

`ResultRenderer` is what one answer is written with: the caller's language, and what they may see of persons.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.struct_pb2 import Struct

from facnet_grpc.gen.facnet.v1 import result_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.glimpse import Glimpse
from facnet_grpc.model.result import RejectedRow, Result, Severity
from facnet_grpc.phi.policy import Persons
from facnet_grpc.server import fields
from facnet_grpc.server.convert import CERTAINTY, SEVERITY, money
from facnet_grpc.texts import Locale, reject_text, result_text, rule_name, scenario_title


def severities(values: Iterable[int]) -> tuple[Severity, ...]:
    """Read the severities of a filter, sorted."""
    known: dict[int, Severity] = {number: severity for severity, number in SEVERITY.items()}
    return tuple(sorted({fields.one_of("severities", value, known) for value in values}))


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
class ResultRenderer:
    """Writes what is stored for one caller: in their language, with persons as they may see them."""

    locale: Locale
    persons: Persons

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
