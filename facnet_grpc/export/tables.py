"""What exported results and lines consist of: the names, their order, their types. The same in every format.

The command line writes its JSON Lines from values of the client, whose fields have these names in this order; a test
compares them.

Persons in columns: each distinct one is turned into what the caller may see once, however many lines name them.

Lines of a claim file as callers see them.

Results as callers see them: persons taken out, texts in the caller's language, facts as canonical JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from facnet_grpc.model.billing import LINE_SCHEMA
from facnet_grpc.model.result import RESULT_SCHEMA, Result
from facnet_grpc.phi.redaction import PersonView
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import ResultText, result_text

RESULT = pa.schema(
    [
        *(RESULT_SCHEMA.field(name) for name in ("rule_id", "rule_version", "scenario", "severity", "category")),
        *(RESULT_SCHEMA.field(name) for name in ("certainty", "record_number", "affected_records", "ramq_ids")),
        pa.field("doctor_key", pa.string()),  # a pseudonym, unless the caller reads PHI; so are the next two
        pa.field("doctor", pa.string()),
        pa.field("patient_key", pa.string()),
        *(RESULT_SCHEMA.field(name) for name in ("service_date", "at_risk_cents", "potential_gain_cents", "data")),
        pa.field("message", pa.string(), nullable=False),
        pa.field("solution", pa.string(), nullable=False),
    ],
)

LINE = pa.schema(
    [
        *(LINE_SCHEMA.field(name) for name in LINE_SCHEMA.names[: LINE_SCHEMA.get_field_index("context")]),
        pa.field("context", pa.list_(pa.string()), nullable=False),
        LINE_SCHEMA.field("preliminary_cents"),
        LINE_SCHEMA.field("paid_cents"),
        pa.field("doctor_key", pa.string()),
        pa.field("doctor", pa.string()),
        pa.field("patient_key", pa.string()),
        LINE_SCHEMA.field("agency"),
    ],
)

# Text that is JSON already.
JSON_COLUMNS = frozenset({"data"})


def shown(column: pa.Array, show: Callable[[str | None], str]) -> pa.Array:
    """Return a column of text as it may be seen; null where there is nothing to see."""
    encoded = pc.dictionary_encode(column)
    seen: list[Any] = [show(value) or None for value in encoded.dictionary.to_pylist()]
    return pc.take(pa.array(seen, pa.string()), encoded.indices)


def shaped(lines: pa.RecordBatch, persons: PersonView) -> pa.RecordBatch:
    """Return lines (LINE_SCHEMA) as they leave the service (layout.LINE)."""
    changed = {
        "context": _tokens(lines.column("context")),
        "doctor_key": shown(lines.column("doctor_key"), persons.doctor_key),
        "doctor": shown(lines.column("doctor_name"), persons.doctor_name),
        "patient_key": shown(lines.column("patient_key"), persons.patient),
    }
    columns = [changed[name] if name in changed else lines.column(name) for name in LINE.names]
    return pa.RecordBatch.from_arrays(columns, schema=LINE)


def _tokens(context: pa.Array) -> pa.Array:
    """Split `A,B`; none is an empty list. The list's offsets are made by hand, as no kernel turns null into that."""
    split = pc.split_pattern(context, ",")
    lengths = pc.fill_null(pc.list_value_length(split), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
    return pa.ListArray.from_arrays(offsets, pc.list_flatten(split))


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
    persons: PersonView

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
