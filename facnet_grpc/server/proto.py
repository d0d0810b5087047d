"""Model ⇄ proto: enums, and the values that messages of several features contain.

Only this module, the `proto` modules of the features and the services use the generated classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from facnet_grpc.export.formats import Format
from facnet_grpc.gen.facnet.v1 import (
    money_pb2,
    operations_service_pb2,
    reference_service_pb2,
    result_pb2,
    validation_pb2,
)
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as service_pb2
from facnet_grpc.model.log_entry import LogLevel
from facnet_grpc.model.operations import JobKind
from facnet_grpc.model.reference import ReferenceKind
from facnet_grpc.model.result import Certainty, Severity
from facnet_grpc.model.revalidation import ChangeKind
from facnet_grpc.model.run import Priority, RunPhase, RunStatus, SeverityCounts
from facnet_grpc.model.summary import DayFigures
from facnet_grpc.server import request_fields
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import error_text

CENTS_IN_NANOS = 10_000_000

Member = TypeVar("Member", bound=Enum)
Text = TypeVar("Text", bound=StrEnum)


def _numbers(members: type[Member], enum: Any, prefix: str) -> Mapping[Member, Any]:
    """Return the numbers of a generated enum by our members: both have the same names, there with a prefix."""
    return {member: enum.Value(f"{prefix}_{member.name}") for member in members}


STATUS = _numbers(RunStatus, validation_pb2.ValidationStatus, "VALIDATION_STATUS")
PHASE: Mapping[RunPhase | None, Any] = {
    None: validation_pb2.VALIDATION_PHASE_UNSPECIFIED,
    **{phase: validation_pb2.ValidationPhase.Value(f"VALIDATION_PHASE_{phase.name}") for phase in RunPhase},
}
PRIORITY = _numbers(Priority, validation_pb2.Priority, "PRIORITY")
SEVERITY = _numbers(Severity, result_pb2.Severity, "SEVERITY")
CERTAINTY = _numbers(Certainty, result_pb2.Certainty, "CERTAINTY")
LOG_LEVEL = _numbers(LogLevel, service_pb2.LogLevel, "LOG_LEVEL")
EXPORT_FORMAT = _numbers(Format, service_pb2.ExportFormat, "EXPORT_FORMAT")
CHANGE_KIND = _numbers(ChangeKind, service_pb2.ChangeKind, "CHANGE_KIND")
JOB_KIND = _numbers(JobKind, operations_service_pb2.JobKind, "JOB_KIND")
REFERENCE_KIND = _numbers(ReferenceKind, reference_service_pb2.ReferenceKind, "REFERENCE_KIND")


def member(field: str, number: int, numbers: Mapping[Member, int], default: Member | None = None) -> Member:
    """Read an enum field; the number 0 is `default`. Raises `InvalidInput` naming the field for unknown numbers."""
    if number == 0 and default is not None:
        return default
    return request_fields.one_of(field, number, {number: member for member, number in numbers.items()})


def members(field: str, values: Iterable[int], numbers: Mapping[Text, int]) -> tuple[Text, ...]:
    """Read a repeated enum field, sorted, each member once. Raises `InvalidInput` naming the field."""
    return tuple(sorted({member(field, value, numbers) for value in values}))


def read_timestamp(message: Message, field: str) -> datetime | None:
    """Read an optional timestamp field. Raises `InvalidInput` naming the field."""
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        return request_fields.refuse(field)


def timestamp(value: datetime | None) -> Timestamp | None:
    """Return a timestamp; None stays None, which leaves a field unset."""
    if value is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp


def duration(value: timedelta | None) -> Duration | None:
    """Return a duration in whole seconds; None stays None."""
    return None if value is None else Duration(seconds=int(value.total_seconds()))


def money(cents: int) -> money_pb2.Money:
    """Return an amount in Canadian dollars."""
    units, rest = divmod(abs(cents), 100)
    sign = -1 if cents < 0 else 1
    return money_pb2.Money(currency_code="CAD", units=sign * units, nanos=sign * rest * CENTS_IN_NANOS)


def severity_counts(value: SeverityCounts | DayFigures) -> validation_pb2.SeverityCounts:
    """Return the number of results of each severity."""
    return validation_pb2.SeverityCounts(
        error=value.error,
        warning=value.warning,
        optimization=value.optimization,
        info=value.info,
    )


def run_error(code: str | None, params: Mapping[str, object], locale: Locale) -> validation_pb2.RunError | None:
    """Return why a run failed, in the caller's language; None if it did not."""
    if not code:
        return None
    text = error_text((code, params), locale)
    return validation_pb2.RunError(code=code, message=text.message, cure=text.cure)
