"""Cells to claim lines: every column cast, lines that cannot be used told apart, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from facnet_grpc.ingest import casts, dates, values
from facnet_grpc.ingest.blocks import TOTAL
from facnet_grpc.ingest.casts import BAD, EMPTY, OK, Cast, DictionaryCast, States, UniformCast, cast_text
from facnet_grpc.ingest.dates import DateOrder
from facnet_grpc.ingest.options import RejectReason
from facnet_grpc.ingest.patients import PatientCast
from facnet_grpc.model.billing import BILLING_SCHEMA, NEEDED, WANTED

# What a canonical column of a file becomes, if not one column of the same name.
_PARTS = {
    "doctor_key": ("doctor_key", "doctor_name", "doctor_info"),
    "patient_key": ("patient_key", "patient_name"),
}
_BAD_REASONS = {
    "service_date": RejectReason.BAD_DATE,
    "code": RejectReason.BAD_CODE,
    "preliminary_cents": RejectReason.BAD_AMOUNT,
    # A cell without a doctor's seven digits names no doctor.
    "doctor_key": RejectReason.MISSING_REQUIRED,
}
# Why a line with all its fields is rejected: the first of these that holds.
CAUSES = tuple(
    cause for column in NEEDED for cause in ((_BAD_REASONS[column], column), (RejectReason.MISSING_REQUIRED, column))
)
_AMOUNTS = ("preliminary_cents", "paid_cents")


@dataclass(frozen=True, slots=True)
class ClaimLines:
    """The lines of a block that have all their fields, cast."""

    columns: Mapping[str, Any]
    """Columns of `BILLING_SCHEMA` without the record number; null where a cell is empty or unreadable."""
    causes: NDArray[np.int8]
    """For every line the index in `CAUSES` of why it is rejected, -1 if it is kept."""
    is_none: NDArray[np.bool_] | None
    """Lines that are blank or a total; None if there are none."""
    defects: Mapping[str, NDArray[np.bool_]]
    """Wanted column: lines with an unreadable value."""


class LineCaster:
    """Casts the cells of one file; remembers what it has read from block to block."""

    def __init__(self, order: DateOrder, decimal_mark: str) -> None:
        cents = partial(values.cents, decimal_mark=decimal_mark)
        self._casts: Mapping[str, Callable[[Any], Cast]] = {
            "service_date": DictionaryCast(partial(dates.days, order=order), pa.int32()),
            "start_time": UniformCast(casts.clocks, DictionaryCast(values.seconds, pa.int32())),
            "end_time": UniformCast(casts.clocks, DictionaryCast(values.seconds, pa.int32())),
            "place": UniformCast(casts.codes, DictionaryCast(values.place, pa.string())),
            "code": UniformCast(casts.codes, DictionaryCast(values.code, pa.string())),
            "units": DictionaryCast(values.units, pa.int32()),
            "context": DictionaryCast(values.context, pa.string()),
            "preliminary_cents": DictionaryCast(cents, pa.int64()),
            "paid_cents": DictionaryCast(cents, pa.int64()),
            "doctor_key": DictionaryCast(values.doctor, pa.string(), pa.string(), pa.string()),
            "patient_key": PatientCast(),
        }

    def cast(self, cells: Mapping[str, Any]) -> ClaimLines:
        """Cast columns of text, all of one length."""
        count = len(next(iter(cells.values())))
        columns: dict[str, Any] = {}
        states: dict[str, States] = {}
        for column, text in cells.items():
            cast = self._casts.get(column, cast_text)(text)
            columns.update(zip(_PARTS.get(column, (column,)), cast.columns, strict=True))
            if cast.states is not None:
                states[column] = cast.states
        causes = _causes(states, count)
        return ClaimLines(
            columns={
                field.name: _typed(columns[field.name], field.type) for field in BILLING_SCHEMA if field.name in columns
            },
            causes=causes,
            is_none=_is_none(cells, states, causes),
            defects={column: states[column] == BAD for column in WANTED if column in states},
        )


def _typed(column: Any, kind: pa.DataType) -> Any:
    """Return days and seconds as dates and times, which are the same in memory."""
    return column if column.type == kind else column.view(kind)


def _causes(states: Mapping[str, States], count: int) -> NDArray[np.int8]:
    causes = np.full(count, -1, np.int8)
    for number, column in reversed(list(enumerate(NEEDED))):
        if column in states:
            causes = np.where(states[column] == BAD, 2 * number, causes)
            causes = np.where(states[column] == EMPTY, 2 * number + 1, causes)
    return causes


def _is_none(
    cells: Mapping[str, Any],
    states: Mapping[str, States],
    causes: NDArray[np.int8],
) -> NDArray[np.bool_] | None:
    """Find lines without a date and a doctor that say they are a total, or say nothing but amounts."""
    if not (causes >= 0).any() or "service_date" not in states or "doctor_key" not in states:
        return None
    rows = np.flatnonzero((states["service_date"] != OK) & (states["doctor_key"] == EMPTY))
    if not len(rows):
        return None
    is_total = np.zeros(len(rows), np.bool_)
    is_silent = np.ones(len(rows), np.bool_)
    for column, text in cells.items():
        some = text.take(pa.array(rows))
        is_total |= pc.match_substring_regex(some, TOTAL).to_numpy(zero_copy_only=False)
        if column not in _AMOUNTS:
            is_silent &= pc.binary_length(pc.utf8_trim_whitespace(some)).to_numpy() == 0
    is_none = np.zeros(len(causes), np.bool_)
    is_none[rows] = is_total | is_silent
    return is_none
