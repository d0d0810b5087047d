"""From findings to results: in order, numbered, with what the lines say of invoice and doctor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facnet_grpc.model.result import MAX_PREVIEWS, RESULT_SCHEMA, ResultPreview, Severity
from facnet_grpc.rules.api import SYSTEM_ERROR, Rule, RuleFindings
from facnet_grpc.rules.table.arrays import slices
from facnet_grpc.rules.table.claims import Claims

_CATEGORY_OF_FAILURE = "system"


def table(claims: Claims, evaluated: Sequence[tuple[Rule, RuleFindings]]) -> pa.Table:
    """Return the results of all rules as `RESULT_SCHEMA`.

    Within a rule: by first affected record (findings without one first, by doctor and day), then by scenario.
    """
    names = _first_names(claims)
    parts = [_of_rule(claims, names, rule, found.findings) for rule, found in evaluated if found.findings.num_rows]
    joined = pa.concat_tables([_SCHEMA_WITHOUT_NUMBER.empty_table(), *parts]).combine_chunks()
    numbers = pa.array(np.arange(1, joined.num_rows + 1, dtype=np.int32))
    return joined.add_column(0, RESULT_SCHEMA.field(0), numbers).cast(RESULT_SCHEMA)


def preview(rule: Rule, findings: pa.Table) -> tuple[ResultPreview, ...]:
    """Return the first findings of a rule, as many as watchers are shown at most."""
    names = ["scenario", "severity", "affected_records"]
    return tuple(_preview(rule, row) for row in findings.select(names).slice(0, MAX_PREVIEWS).to_pylist())


def _preview(rule: Rule, row: dict[str, Any]) -> ResultPreview:
    scenario, records = row["scenario"], row["affected_records"]
    return ResultPreview(
        rule_id=rule.info.id,
        rule_version=rule.info.version,
        scenario=scenario,
        severity=Severity(row["severity"]),
        category=_CATEGORY_OF_FAILURE if scenario == SYSTEM_ERROR else rule.info.category,
        certainty=rule.info.certainty_of(scenario),
        record_number=records[0] if records else None,
    )


_SCHEMA_WITHOUT_NUMBER = pa.schema(list(RESULT_SCHEMA)[1:])


def _of_rule(claims: Claims, names: pa.Array, rule: Rule, findings: pa.Table) -> pa.Table:
    records = _first(findings.column("affected_records").combine_chunks())
    ordered = _ordered(findings, records)
    findings = findings.take(ordered)
    count = findings.num_rows
    affected = findings.column("affected_records").combine_chunks()
    scenario = findings.column("scenario")
    columns = {
        "rule_id": pa.array([rule.info.id] * count),
        "rule_version": pa.array([rule.info.version] * count),
        "category": pc.if_else(pc.equal(scenario, SYSTEM_ERROR), _CATEGORY_OF_FAILURE, rule.info.category),
        "certainty": _certainties(rule, scenario),
        "record_number": records.take(ordered),
        "ramq_ids": _ramq_ids(claims, affected),
        "doctor_name": _doctor_names(claims, names, findings.column("doctor_key")),
    }
    return pa.table(
        [columns[name] if name in columns else findings.column(name) for name in _SCHEMA_WITHOUT_NUMBER.names],
        schema=_SCHEMA_WITHOUT_NUMBER,
    )


def _first(lists: pa.Array) -> pa.Array:
    """Return the first value of each list, null for an empty one."""
    starts = np.asarray(lists.offsets)[:-1]
    empty = np.asarray(pc.list_value_length(lists)) == 0
    return lists.values.take(pa.array(starts, pa.int64(), mask=empty))


def _ordered(findings: pa.Table, records: pa.Array) -> pa.Array:
    columns = {name: findings.column(name) for name in ("doctor_key", "service_date", "scenario", "patient_key")}
    keys = pa.table({"record": pc.fill_null(records, 0), **columns})
    order = ["record", "doctor_key", "service_date", "scenario", "patient_key"]
    return pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in order])


def _certainties(rule: Rule, scenario: pa.ChunkedArray) -> pa.Array:
    encoded = scenario.combine_chunks().dictionary_encode()
    values = [rule.info.certainty_of(name).value for name in encoded.dictionary.to_pylist()]
    return pa.array(values).take(encoded.indices)


def _ramq_ids(claims: Claims, affected: pa.Array) -> pa.Array:
    rows = claims.rows_of(np.asarray(affected.values, np.int64))
    ids = pc.fill_null(claims.text("ramq_id", rows), "")
    return pa.ListArray.from_arrays(affected.offsets, ids)


def _doctor_names(claims: Claims, names: pa.Array, keys: pa.ChunkedArray) -> pa.Array:
    return names.take(pc.index_in(keys, value_set=claims.dictionary("doctor_key")))


def _first_names(claims: Claims) -> pa.Array:
    """Return, for each doctor, the first name that the file has for them in order of record numbers."""
    names = claims.column("doctor_name")
    has_name = np.asarray(names.is_valid())
    order = None if claims.is_in_order else np.argsort(claims.record)
    row_of = np.full(claims.size_of("doctor_key"), -1, np.int64)
    for part in reversed(slices(len(claims))):
        rows = np.arange(part.start, part.stop) if order is None else order[part]
        latest_first = rows[has_name[rows]][::-1]
        row_of[claims.doctor[latest_first]] = latest_first  # the earliest is written last, and stays
    return names.take(pa.array(row_of, mask=row_of < 0)).cast(pa.string())
