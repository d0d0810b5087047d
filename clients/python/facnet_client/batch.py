"""Batches as values; and messages of the API turned into them."""

from __future__ import annotations

from dataclasses import dataclass

from facnet_client import convert
from facnet_client.values import BatchCounts, Severity, SeverityCounts, Status, Validation
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2


@dataclass(frozen=True, slots=True)
class Place:
    """A line of one of a batch's files."""

    validation_id: str
    file_name: str
    record_number: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A line that is in several files of a batch."""

    severity: Severity
    ramq_id: str
    code: str
    service_date: str  # YYYY-MM-DD
    doctor_key: str
    places: tuple[Place, ...]  # the first 10
    message: str
    solution: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Runs that were submitted under one name. Money, in cents, is of the completed ones."""

    counts: BatchCounts
    status: Status
    percent: float  # 0-100
    total_rows: int
    processed_rows: int
    rejected_rows: int
    result_counts: SeverityCounts
    at_risk_cents: int
    potential_gain_cents: int
    validations: tuple[Validation, ...]  # the first 1,000
    duplicates: tuple[Duplicate, ...]  # the first 100, if they were asked for
    duplicate_count: int | None  # None if they were not


def batch(message: pb2.GetBatchResponse) -> Batch:
    """Return the value of a batch."""
    return Batch(
        counts=convert.batch_counts(message.counts),
        status=convert.status(message.status),
        percent=message.percent,
        total_rows=message.total_rows,
        processed_rows=message.processed_rows,
        rejected_rows=message.rejected_rows,
        result_counts=convert.severity_counts(message.result_counts),
        at_risk_cents=convert.cents(message.at_risk),
        potential_gain_cents=convert.cents(message.potential_gain),
        validations=tuple(convert.validation(one) for one in message.validations),
        duplicates=tuple(_duplicate(one) for one in message.duplicates),
        duplicate_count=message.duplicate_count if message.HasField("duplicate_count") else None,
    )


def _duplicate(message: pb2.BatchDuplicate) -> Duplicate:
    return Duplicate(
        severity=convert.severity(message.severity),
        ramq_id=message.ramq_id,
        code=message.code,
        service_date=message.service_date,
        doctor_key=message.doctor_key,
        places=tuple(Place(one.validation_id, one.file_name, one.record_number) for one in message.places),
        message=message.message,
        solution=message.solution,
    )
