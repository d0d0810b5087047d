"""Lines of a claim file and what happened to a run, as values; and messages of the API turned into them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from facnet_client.convert import cents, plain
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2


class LogLevel(StrEnum):
    """How severe an entry of a log is."""

    UNSPECIFIED = "unspecified"
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class ExportFormat(StrEnum):
    """What an exported file can be; also how its name ends."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


@dataclass(frozen=True, slots=True)
class Record:
    """A line of a claim file, as it was read. The order of the fields is that of the keys in JSON Lines files."""

    record_number: int  # 1 = first data line
    invoice: str
    ramq_id: str
    service_date: str  # YYYY-MM-DD
    start_time: str  # HH:MM:SS; empty if unknown
    end_time: str
    payment_period: str  # YYYYWW
    place: str
    activity_sector: str
    diagnosis: str
    code: str
    units: int | None
    role: str
    context: tuple[str, ...]
    preliminary_cents: int
    paid_cents: int | None  # None if the file does not say
    doctor_key: str
    doctor: str
    patient_key: str
    agency: str


@dataclass(frozen=True, slots=True)
class LogEntry:
    """Something that happened to a run."""

    time: datetime
    level: LogLevel
    source: str
    event: str
    data: Mapping[str, Any]  # counts, codes and column names


def record(message: pb2.BillingRecord) -> Record:
    """Return the value of a line."""
    return Record(
        record_number=message.record_number,
        invoice=message.invoice,
        ramq_id=message.ramq_id,
        service_date=message.service_date,
        start_time=message.start_time,
        end_time=message.end_time,
        payment_period=message.payment_period,
        place=message.place,
        activity_sector=message.activity_sector,
        diagnosis=message.diagnosis,
        code=message.code,
        units=message.units if message.HasField("units") else None,
        role=message.role,
        context=tuple(message.context),
        preliminary_cents=cents(message.preliminary),
        paid_cents=cents(message.paid) if message.HasField("paid") else None,
        doctor_key=message.doctor_key,
        doctor=message.doctor,
        patient_key=message.patient_key,
        agency=message.agency,
    )


def log_entry(message: pb2.LogEntry) -> LogEntry:
    """Return the value of an entry."""
    known = pb2.LogLevel.DESCRIPTOR.values_by_number.get(message.level)
    name = known.name.removeprefix("LOG_LEVEL_") if known is not None else "UNSPECIFIED"
    level = LogLevel[name] if name in LogLevel.__members__ else LogLevel.UNSPECIFIED
    return LogEntry(message.time.ToDatetime(tzinfo=UTC), level, message.source, message.event, plain(message.data))
