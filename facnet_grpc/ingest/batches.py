"""Blocks of lines to batches: lines numbered, accepted ones apart from rejected ones, and all of them counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from facnet_grpc.ingest.blocks import REASONS, Block
from facnet_grpc.ingest.encoding import MARK
from facnet_grpc.ingest.lines import CAUSES, ClaimLines, LineCaster
from facnet_grpc.model.billing import BILLING_SCHEMA, MAX_STORED_REJECTS, REJECTED_SCHEMA


@dataclass(frozen=True, slots=True)
class LineBlock:
    """What one block of the file gave."""

    lines: pa.RecordBatch
    """Accepted lines, in `BILLING_SCHEMA`."""
    rejected: pa.RecordBatch
    """Rejected lines, in `REJECTED_SCHEMA`: the first `MAX_STORED_REJECTS` of the file over all batches."""
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
    """Numbers the lines of a file and sorts them into accepted and rejected ones."""

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
        is_row = np.ones(len(good), np.bool_) if lines.is_none is None else ~lines.is_none
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
    """The rejected lines of a block: broken ones, and ones with a cell that cannot do."""

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
