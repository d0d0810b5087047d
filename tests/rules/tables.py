"""Small claim tables for rule tests, written as a biller would: one row a line, only the columns that matter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, time
from typing import Any

import pyarrow as pa

from facnet_grpc.model.billing import RULE_SCHEMA

DEFAULTS: Mapping[str, Any] = {
    "invoice": None,
    "ramq_id": None,
    "payment_period": None,
    "role": None,
    "service_date": date(2025, 3, 3),
    "start_time": None,
    "end_time": None,
    "place": "55433",
    "code": "15804",
    "units": None,
    "context": None,
    "preliminary_cents": 4000,
    "paid_cents": 0,
    "doctor_key": "1000001",
    "doctor_name": "Roy, Anne",
    "patient_key": None,
    "patient_name": None,
}


def lines(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return a table of `RULE_SCHEMA`; record numbers count from 1 unless a row says its own."""
    whole = [{"record_number": number, **DEFAULTS, **row} for number, row in enumerate(rows, 1)]
    return of_rows(whole)


def of_rows(rows: list[dict[str, Any]]) -> pa.Table:
    """Return a table of complete rows."""
    columns = [_column([row[field.name] for row in rows], field) for field in RULE_SCHEMA]
    return pa.Table.from_arrays(columns, schema=RULE_SCHEMA)


def _column(values: list[Any], field: pa.Field) -> pa.Array:
    if pa.types.is_dictionary(field.type):
        return pa.array(values, pa.string()).dictionary_encode().cast(field.type)
    return pa.array(values, field.type)


def cents(text: str) -> int:
    """Read `32.40` as cents."""
    whole, _, part = (text or "0").partition(".")
    return int(whole) * 100 + int(part.ljust(2, "0"))


def clock(text: str) -> time:
    """Read `09:30`."""
    return time.fromisoformat(text)
