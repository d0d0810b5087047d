"""The tables that are exported: lines and results as callers see them, the same in every format.

`RESULT`: rule_id, rule_version, scenario, severity, category, certainty `string`; record_number `int32`;
affected_records `list<int32>`; ramq_ids `list<string>`; doctor_key, doctor, patient_key `string`; service_date
`date32`; at_risk_cents, potential_gain_cents `int64`; data `string` (canonical JSON); message, solution `string`.

`LINE`: record_number `int32`; invoice, ramq_id `string`; service_date `date32`; start_time, end_time `time32[s]`;
payment_period, place, activity_sector, diagnosis, code `string`; units `int32`; role `string`; context
`list<string>`; preliminary_cents, paid_cents `int64`; doctor_key, doctor, patient_key, agency `string`.

Patients and doctors are redacted per distinct value, not per line. The command line writes its JSON Lines from the
client's values, whose fields have these names in this order; a test compares them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from facnet_grpc.model.billing import LINE_SCHEMA
from facnet_grpc.model.result import RESULT_SCHEMA, Result
from facnet_grpc.phi.redaction import PersonView
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import result_text

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


def _redact(column: pa.Array, redact: Callable[[str | None], str]) -> pa.Array:
    """Apply `redact` to each distinct text of a column; null where it returns nothing."""
    encoded = pc.dictionary_encode(column)
    redacted: list[Any] = [redact(value) or None for value in encoded.dictionary.to_pylist()]
    return pc.take(pa.array(redacted, pa.string()), encoded.indices)


def export_lines(lines: pa.RecordBatch, persons: PersonView) -> pa.RecordBatch:
    """Turn lines of `LINE_SCHEMA` into lines of `LINE`, with persons as the caller may see them."""
    changed = {
        "context": _tokens(lines.column("context")),
        "doctor_key": _redact(lines.column("doctor_key"), persons.doctor_key),
        "doctor": _redact(lines.column("doctor_name"), persons.doctor_name),
        "patient_key": _redact(lines.column("patient_key"), persons.patient),
    }
    columns = [changed[name] if name in changed else lines.column(name) for name in LINE.names]
    return pa.RecordBatch.from_arrays(columns, schema=LINE)


def _tokens(context: pa.Array) -> pa.Array:
    """Split `A,B`; none is an empty list. The list's offsets are made by hand, as no kernel turns null into that."""
    split = pc.split_pattern(context, ",")
    lengths = pc.fill_null(pc.list_value_length(split), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
    return pa.ListArray.from_arrays(offsets, pc.list_flatten(split))


def export_results(results: Sequence[Result], persons: PersonView, locale: Locale) -> pa.RecordBatch:
    """Turn results into rows of `RESULT`, with persons as the caller may see them and texts in their language."""
    rows = [_row(result, persons, locale) for result in results]
    columns: Iterable[tuple[Any, ...]] = zip(*rows, strict=True) if rows else [()] * len(RESULT)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, RESULT, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=RESULT)


def _row(result: Result, persons: PersonView, locale: Locale) -> tuple[Any, ...]:
    doctor = persons.doctor_name(result.doctor_name)
    text = result_text(
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
        persons.doctor_key(result.doctor_key) or None,
        doctor or None,
        persons.patient(result.patient_key) or None,
        result.service_date,
        result.at_risk_cents,
        result.potential_gain_cents,
        canonical_json(result.data),
        text.message,
        text.solution,
    )


def canonical_json(data: Any) -> str:
    """Return facts as JSON, keys sorted, whole numbers without a point: as a client reads them off the API."""
    return json.dumps(_plain(data), ensure_ascii=False, sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
