"""Results as callers see them: persons taken out, texts in the caller's language, facts as canonical JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from facnet_grpc.export.layout import RESULT
from facnet_grpc.model.result import Result
from facnet_grpc.phi.policy import Persons
from facnet_grpc.texts import Locale, ResultText, result_text


def rendered(result: Result, doctor: str, locale: Locale) -> ResultText:
    """Return the texts of a result, with the doctor as the caller may see them."""
    return result_text(
        result.rule_id,
        result.scenario,
        result.data,
        locale,
        doctor=doctor,
        service_date=result.service_date,
        affected_records=result.affected_records,
        at_risk_cents=result.at_risk_cents,
        potential_gain_cents=result.potential_gain_cents,
    )


@dataclass(frozen=True, slots=True)
class Shaper:
    """Makes rows of results for one caller."""

    locale: Locale
    persons: Persons

    def shaped(self, results: Sequence[Result]) -> pa.RecordBatch:
        """Return results as they leave the service (layout.RESULT)."""
        rows = [self._row(result) for result in results]
        columns: Iterable[tuple[Any, ...]] = zip(*rows, strict=True) if rows else [()] * len(RESULT)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, RESULT, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=RESULT)

    def _row(self, result: Result) -> tuple[Any, ...]:
        doctor = self.persons.doctor_name(result.doctor_name)
        text = rendered(result, doctor, self.locale)
        return (
            result.rule_id,
            result.rule_version,
            result.scenario,
            result.severity.value,
            result.category,
            result.certainty.value,
            result.record_number,
            result.affected_records,
            result.ramq_ids,
            self.persons.doctor_key(result.doctor_key) or None,
            doctor or None,
            self.persons.patient(result.patient_key) or None,
            result.service_date,
            result.at_risk_cents,
            result.potential_gain_cents,
            canonical(result.data),
            text.message,
            text.solution,
        )


def canonical(data: Any) -> str:
    """Return facts as JSON, keys sorted, whole numbers without a point: as a client reads them off the API."""
    return json.dumps(_plain(data), ensure_ascii=False, sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
