"""The results of a run: what its rules found."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import pyarrow as pa
from psycopg import Connection
from psycopg.rows import DictRow, dict_row, scalar_row

from facnet_grpc.model.result import RESULT_SCHEMA, Certainty, Result, Severity
from facnet_grpc.storage.postgres import column_encryption
from facnet_grpc.storage.postgres.column_encryption import ColumnDecryptor
from facnet_grpc.storage.postgres.database import PatientConnection
from facnet_grpc.storage.postgres.records import RunCopy
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("results")
_BATCH_ROWS = 8192


@dataclass(frozen=True, slots=True)
class ResultFilter:
    """Which results to list; an empty field does not filter. Both days are included.

    `doctor_keys` are keys as stored; those of pseudonyms are found by `doctor_keys()`. An empty tuple matches nothing,
    None everything.
    """

    rule_ids: tuple[str, ...] = ()
    severities: tuple[Severity, ...] = ()
    categories: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    doctor_keys: tuple[str, ...] | None = None
    service_date_from: date | None = None
    service_date_to: date | None = None


EVERY_RESULT = ResultFilter()


def write(conn: PatientConnection, run_id: UUID, table: pa.Table, *, into: str = "validation_results") -> None:
    """Store results: a table of RESULT_SCHEMA. Not while a `RecordWriter` is open on the same connection."""
    with RunCopy(conn, into, run_id, RESULT_SCHEMA, json_columns=("data",)) as copy:
        for batch in table.select(RESULT_SCHEMA.names).to_batches(max_chunksize=_BATCH_ROWS):
            copy.write(batch)


def page(
    conn: PatientConnection,
    run_id: UUID,
    filters: ResultFilter = EVERY_RESULT,
    *,
    after: int = 0,
    limit: int,
) -> list[Result]:
    """Return at most `limit` results after the result number `after`, in their order."""
    params = {
        "run_id": run_id,
        "after": after,
        "limit": limit,
        "rule_ids": _or_none(filters.rule_ids),
        "severities": _or_none([severity.value for severity in filters.severities]),
        "categories": _or_none(filters.categories),
        "scenarios": _or_none(filters.scenarios),
        "doctor_keys": None if filters.doctor_keys is None else list(filters.doctor_keys),
        "service_date_from": filters.service_date_from,
        "service_date_to": filters.service_date_to,
    }
    return read(conn, SQL["select_results"], params, run_id)


def read(
    conn: PatientConnection,
    query: str,
    params: Mapping[str, Any],
    run_id: UUID,
    table: str = "validation_results",
) -> list[Result]:
    """Return what a query finds that reads the columns of `Result` of one run from `table`."""
    decryptor = column_encryption.decryptor(conn, table, run_id)
    with conn.cursor(row_factory=dict_row) as cursor:
        return [_result(row, decryptor) for row in cursor.execute(query, params)]


def doctor_keys(conn: Connection, run_id: UUID) -> Collection[str]:
    """Return the keys of the doctors that a run's results are about, in no order. PHI by our rules."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(SQL["select_doctor_keys"], {"run_id": run_id}).fetchall()


def _or_none(values: Sequence[str]) -> list[str] | None:
    return list(values) or None


def _result(row: DictRow, decryptor: ColumnDecryptor) -> Result:
    return Result(
        **row
        | {
            "patient_key": decryptor.decrypt_one(row["patient_key"], "patient_key", row["result_number"]),
            "severity": Severity(row["severity"]),
            "certainty": Certainty(row["certainty"]),
            "affected_records": tuple(row["affected_records"]),
            "ramq_ids": tuple(row["ramq_ids"]),
        },
    )
