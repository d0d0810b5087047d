"""Model ⇄ proto: the values that several messages are made of.

With the services, this module and those beside it (`convert_runs`, `convert_results`, …) are the only ones that know
the generated classes; and where PHI stops.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from facnet_grpc.gen.facnet.v1 import money_pb2, result_pb2, validation_pb2
from facnet_grpc.model.result import Certainty, Severity
from facnet_grpc.model.run import Priority, RunPhase, RunStatus, SeverityCounts
from facnet_grpc.model.summary import DayFigures
from facnet_grpc.server import request_fields
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import error_text

CENTS_IN_NANOS = 10_000_000

STATUS: Mapping[RunStatus, validation_pb2.ValidationStatus.ValueType] = {
    status: validation_pb2.ValidationStatus.Value(f"VALIDATION_STATUS_{status}") for status in RunStatus
}
PHASE: Mapping[RunPhase | None, validation_pb2.ValidationPhase.ValueType] = {
    None: validation_pb2.VALIDATION_PHASE_UNSPECIFIED,
    **{phase: validation_pb2.ValidationPhase.Value(f"VALIDATION_PHASE_{phase}") for phase in RunPhase},
}
PRIORITY: Mapping[Priority, validation_pb2.Priority.ValueType] = {
    priority: validation_pb2.Priority.Value(f"PRIORITY_{priority}") for priority in Priority
}
SEVERITY: Mapping[Severity, result_pb2.Severity.ValueType] = {
    severity: result_pb2.Severity.Value(f"SEVERITY_{severity.upper()}") for severity in Severity
}
CERTAINTY: Mapping[Certainty, result_pb2.Certainty.ValueType] = {
    certainty: result_pb2.Certainty.Value(f"CERTAINTY_{certainty.upper()}") for certainty in Certainty
}


def moment(message: Message, field: str) -> datetime | None:
    """Read an optional timestamp field."""
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
    """Return a length of time in whole seconds; None stays None."""
    return None if value is None else Duration(seconds=int(value.total_seconds()))


def money(cents: int) -> money_pb2.Money:
    """Return an amount in Canadian dollars."""
    units, rest = divmod(abs(cents), 100)
    sign = -1 if cents < 0 else 1
    return money_pb2.Money(currency_code="CAD", units=sign * units, nanos=sign * rest * CENTS_IN_NANOS)


def severity_counts(value: SeverityCounts | DayFigures) -> validation_pb2.SeverityCounts:
    """Return how many results there are of each severity."""
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
