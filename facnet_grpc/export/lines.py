"""Lines of a claim file as callers see them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from facnet_grpc.export.layout import LINE
from facnet_grpc.export.persons import shown
from facnet_grpc.phi.policy import Persons


def shaped(lines: pa.RecordBatch, persons: Persons) -> pa.RecordBatch:
    """Return lines (LINE_SCHEMA) as they leave the service (layout.LINE)."""
    changed = {
        "context": _tokens(lines.column("context")),
        "doctor_key": shown(lines.column("doctor_key"), persons.doctor_key),
        "doctor": shown(lines.column("doctor_name"), persons.doctor_name),
        "patient_key": shown(lines.column("patient_key"), persons.patient),
    }
    columns = [changed[name] if name in changed else lines.column(name) for name in LINE.names]
    return pa.RecordBatch.from_arrays(columns, schema=LINE)


def _tokens(context: pa.Array) -> pa.Array:
    """Split `A,B`; none is an empty list. The list's offsets are made by hand, as no kernel turns null into that."""
    split = pc.split_pattern(context, ",")
    lengths = pc.fill_null(pc.list_value_length(split), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
    return pa.ListArray.from_arrays(offsets, pc.list_flatten(split))
