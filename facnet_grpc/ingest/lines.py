"""Casts the cells of a block to claim lines, numbers them, and separates accepted from rejected ones.

Accepted lines are a record batch of `BILLING_SCHEMA`, rejected ones of `REJECTED_SCHEMA`. Everything is done by column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from facnet_grpc.ingest import casts, dates, values
from facnet_grpc.ingest.blocks import REASONS, TOTAL, Block
from facnet_grpc.ingest.casts import (
    BAD,
    EMPTY,
    OK,
    Cast,
    DictionaryCast,
    PatientCast,
    States,
    UniformCast,
    cast_text,
)
from facnet_grpc.ingest.dates import DateOrder
from facnet_grpc.ingest.encoding import MARK
from facnet_grpc.ingest.options import RejectReason
from facnet_grpc.model.billing import BILLING_SCHEMA, MAX_STORED_REJECTS, NEEDED, REJECTED_SCHEMA, WANTED

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
    """Arrays of the types of `BILLING_SCHEMA`, by column, without the record number.

    Null where a cell is empty or unreadable.
    """
    causes: NDArray[np.int8]
    """For every line the index in `CAUSES` of why it is rejected, -1 if it is kept."""
    is_skipped: NDArray[np.bool_] | None
    """Lines that are blank or a total; None if there are none."""
    defects: Mapping[str, NDArray[np.bool_]]
    """Wanted column: lines with an unreadable value."""


class LineCaster:
    """Casts the cells of one file; caches the values of distinct texts from block to block."""

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
        """Cast `cells`: a `pa.StringArray` without nulls per canonical column, all of one length."""
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
            is_skipped=_is_skipped(cells, states, causes),
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


def _is_skipped(
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
    is_skipped = np.zeros(len(causes), np.bool_)
    is_skipped[rows] = is_total | is_silent
    return is_skipped


@dataclass(frozen=True, slots=True)
class LineBlock:
    """The lines of one block of the file."""

    lines: pa.RecordBatch
    """Accepted lines, of `BILLING_SCHEMA`."""
    rejected: pa.RecordBatch
    """Rejected lines, of `REJECTED_SCHEMA`: the first `MAX_STORED_REJECTS` of the file over all batches."""
    rejected_counts: Mapping[tuple[str, str], int]
    """(reason, column or ""): rejected lines of this batch, all of them."""
    defects: Mapping[str, int]
    """Column: unreadable values of this batch in lines that were kept."""
    bytes_parsed: int
    """Cumulative: how far in the stored file reading is."""
    rows_parsed: int
    """Cumulative: accepted and rejected lines."""
    blank_rows: int
    """Lines of this batch that are neither: blank ones and totals."""


class LineBlockBuilder:
    """Numbers the lines of a file and separates accepted from rejected ones."""

    def __init__(self, caster: LineCaster) -> None:
        self._caster = caster
        self._stored = 0
        self.rows = 0

    def make(self, block: Block, position: int) -> LineBlock:
        """Make the next batch."""
        lines = self._caster.cast(block.cells)
        good, causes = block.good, lines.causes
        if not len(block.bad) and causes.max(initial=-1) < 0:
            return self._all_good(block, lines, position)
        is_row = np.ones(len(good), np.bool_) if lines.is_skipped is None else ~lines.is_skipped
        kept = np.flatnonzero(is_row & (causes < 0))
        refused = np.flatnonzero(is_row & (causes >= 0))
        # Every line of the block that is a line, by position; its place among them makes its number.
        positions = np.sort(np.concatenate([good[is_row], block.bad])) if len(block.bad) else good[is_row]
        first, self.rows = self.rows + 1, self.rows + len(positions)
        rejected = _Rejected(block, lines, refused)
        stored = rejected.store(positions, first, MAX_STORED_REJECTS - self._stored)
        self._stored += len(stored)
        return LineBlock(
            lines=_accepted(lines, kept, first + np.searchsorted(positions, good[kept])),
            rejected=stored,
            rejected_counts=rejected.counts(),
            defects=_defects(lines, kept),
            bytes_parsed=position,
            rows_parsed=self.rows,
            blank_rows=block.blank + len(good) - int(is_row.sum()),
        )

    def _all_good(self, block: Block, lines: ClaimLines, position: int) -> LineBlock:
        """Make a batch of lines that are all accepted, which is how most are."""
        first, self.rows = self.rows + 1, self.rows + len(block.good)
        kept = np.arange(len(block.good))
        return LineBlock(
            lines=_accepted(lines, kept, kept + first),
            rejected=_no_rejects(),
            rejected_counts={},
            defects=_defects(lines, kept),
            bytes_parsed=position,
            rows_parsed=self.rows,
            blank_rows=block.blank,
        )


class _Rejected:
    """The rejected lines of a block: malformed ones, and ones with an unusable needed cell."""

    def __init__(self, block: Block, lines: ClaimLines, refused: Any) -> None:
        self._block = block
        self._refused = block.good[refused]
        self._causes = lines.causes[refused]

    def counts(self) -> dict[tuple[str, str], int]:
        """Count them by reason and column."""
        counts: Counter[tuple[str, str]] = Counter()
        for reason, count in zip(*np.unique(self._block.bad_reasons, return_counts=True), strict=True):
            counts[REASONS[reason].value, ""] += int(count)
        for cause, count in zip(*np.unique(self._causes, return_counts=True), strict=True):
            counts[CAUSES[cause][0].value, CAUSES[cause][1]] += int(count)
        return dict(counts)

    def store(self, positions: Any, first: int, limit: int) -> pa.RecordBatch:
        """Return the first `limit` of them with their text; `positions` of all lines, the first one's number."""
        if limit <= 0 or not len(self._refused) + len(self._block.bad):
            return _no_rejects()
        broken = [
            (int(line), None, REASONS[reason].value)
            for line, reason in zip(self._block.bad[:limit], self._block.bad_reasons, strict=False)
        ]
        refused = [
            (int(line), CAUSES[cause][1], CAUSES[cause][0].value)
            for line, cause in zip(self._refused[:limit], self._causes, strict=False)
        ]
        rows = sorted([*broken, *refused], key=lambda row: row[0])[:limit]
        lines, columns, reasons = zip(*rows, strict=True)
        numbers = first + np.searchsorted(positions, np.array(lines))
        raw = [text.replace(MARK, "\ufffd") for text in self._block.raw(list(lines))]
        return pa.record_batch(
            [pa.array(numbers, pa.int32()), pa.array(columns, pa.string()), pa.array(reasons), pa.array(raw)],
            schema=REJECTED_SCHEMA,
        )


def _no_rejects() -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=REJECTED_SCHEMA)


def _accepted(lines: ClaimLines, kept: Any, numbers: Any) -> pa.RecordBatch:
    is_all = len(kept) == len(lines.causes)
    indexes = None if is_all else pa.array(kept)
    columns = [pa.array(numbers, pa.int32())]
    for field in list(BILLING_SCHEMA)[1:]:
        column = lines.columns.get(field.name)
        if column is None:
            column = pa.nulls(len(kept), field.type)
        elif indexes is not None:
            column = column.take(indexes)
        columns.append(column)
    return pa.record_batch(columns, schema=BILLING_SCHEMA)


def _defects(lines: ClaimLines, kept: Any) -> dict[str, int]:
    counts = {column: int(is_bad[kept].sum()) for column, is_bad in lines.defects.items()}
    return {column: count for column, count in counts.items() if count}
