"""Lines, logs and exports: model ⇄ proto."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from typing import Any

from google.protobuf.struct_pb2 import Struct

from facnet_grpc.export.formats import Format
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.log_entry import LogEntry, LogLevel
from facnet_grpc.server.convert import money, timestamp

LEVELS: dict[int, LogLevel] = {
    pb.LOG_LEVEL_UNSPECIFIED: LogLevel.DEBUG,
    **{pb.LogLevel.Value(f"LOG_LEVEL_{level.name}"): level for level in LogLevel},
}
FORMATS: dict[int, Format] = {
    pb.EXPORT_FORMAT_UNSPECIFIED: Format.JSONL,
    **{pb.ExportFormat.Value(f"EXPORT_FORMAT_{form.name}"): form for form in Format},
}
# Whether an export is of lines.
CONTENTS: dict[int, bool] = {
    pb.EXPORT_CONTENT_UNSPECIFIED: False,
    pb.EXPORT_CONTENT_RESULTS: False,
    pb.EXPORT_CONTENT_RECORDS: True,
}
_MONEY = {"preliminary_cents": "preliminary", "paid_cents": "paid"}


def billing_record(row: Mapping[str, Any]) -> pb.BillingRecord:
    """Return a line, given as it leaves the service (a row of export.layout.LINE)."""
    return pb.BillingRecord(**{_MONEY.get(name, name): _value(name, value) for name, value in row.items()})


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _MONEY:
        return money(value)
    return value.isoformat() if isinstance(value, date | time) else value


def log_entry(entry: LogEntry) -> pb.LogEntry:
    """Return what happened."""
    data = Struct()
    data.update(dict(entry.data))
    return pb.LogEntry(
        time=timestamp(entry.logged_at),
        level=pb.LogLevel.Value(f"LOG_LEVEL_{entry.level.upper()}"),
        source=entry.source,
        event=entry.event,
        data=data,
    )
