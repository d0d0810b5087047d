"""Results: what a rule returns and what is stored (Arrow schemas), and the rows that are read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

import pyarrow as pa


class Severity(StrEnum):
    """How bad a result is."""

    ERROR = "error"  # will be refused or clawed back
    WARNING = "warning"  # somebody should look at it
    OPTIMIZATION = "optimization"  # money not claimed
    INFO = "info"  # good to know


class Certainty(StrEnum):
    """How sure the reading of the manual is that a rule rests on."""

    CERTAIN = "certain"
    LIKELY = "likely"
    UNCERTAIN = "uncertain"


# What a rule returns: one row a finding. Money is in cents and never negative.
FINDING_SCHEMA = pa.schema(
    [
        pa.field("scenario", pa.string(), nullable=False),
        pa.field("severity", pa.string(), nullable=False),
        pa.field("affected_records", pa.list_(pa.int32()), nullable=False),  # the main one first; may be empty
        pa.field("doctor_key", pa.string()),
        pa.field("patient_key", pa.string()),
        pa.field("service_date", pa.date32()),
        pa.field("at_risk_cents", pa.int64(), nullable=False),
        pa.field("potential_gain_cents", pa.int64(), nullable=False),
        # Which lines carry the money at risk and how much each: sums up to at_risk_cents. Totals over several rules
        # count a line once by it. Not stored.
        pa.field("risk_records", pa.list_(pa.int32()), nullable=False),
        pa.field("risk_cents", pa.list_(pa.int64()), nullable=False),
        pa.field("data", pa.string(), nullable=False),  # a JSON object: typed per scenario, no PHI
    ],
)

# What is stored of it, in the order of the columns of `validation_results`.
RESULT_SCHEMA = pa.schema(
    [
        pa.field("result_number", pa.int32(), nullable=False),  # from 1, in order of rule, then first affected record
        pa.field("rule_id", pa.string(), nullable=False),
        pa.field("rule_version", pa.string(), nullable=False),
        pa.field("scenario", pa.string(), nullable=False),
        pa.field("severity", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("certainty", pa.string(), nullable=False),
        pa.field("record_number", pa.int32()),
        pa.field("affected_records", pa.list_(pa.int32()), nullable=False),
        pa.field("ramq_ids", pa.list_(pa.string()), nullable=False),  # "" where a line has none
        pa.field("doctor_key", pa.string()),
        pa.field("doctor_name", pa.string()),
        pa.field("patient_key", pa.string()),
        pa.field("service_date", pa.date32()),
        pa.field("at_risk_cents", pa.int64(), nullable=False),
        pa.field("potential_gain_cents", pa.int64(), nullable=False),
        pa.field("data", pa.string(), nullable=False),
    ],
)


@dataclass(frozen=True, slots=True)
class Result:
    """A row of `validation_results`. `doctor_*` and `patient_key` are PHI: redact them on the way out."""

    result_number: int
    rule_id: str
    rule_version: str
    scenario: str
    severity: Severity
    category: str
    certainty: Certainty
    record_number: int | None
    affected_records: tuple[int, ...]
    ramq_ids: tuple[str, ...]
    doctor_key: str | None
    doctor_name: str | None
    patient_key: str | None
    service_date: date | None
    at_risk_cents: int
    potential_gain_cents: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row of `rejected_rows`. `raw` is PHI: redact it on the way out."""

    record_number: int
    column_name: str | None
    reason: str
    raw: str | None = None


MAX_PREVIEWS = 10  # of a run


@dataclass(frozen=True, slots=True)
class ResultPreview:
    """One of the first results of a run, shown to watchers while it runs: no person, no day, no amount."""

    rule_id: str
    rule_version: str
    scenario: str
    severity: Severity
    category: str
    certainty: Certainty
    record_number: int | None
