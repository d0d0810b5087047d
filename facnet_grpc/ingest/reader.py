"""Claim files to claim lines: finds out how a file is written, then reads it block after block.

A file is read twice: once for what only the whole of it can tell (its encoding; which part of a date is the day), and
once for its lines. Memory does not grow with it, and the lines do not depend on the size of the blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa

from facnet_grpc.errors import Reason, TerminalError
from facnet_grpc.ingest import dialect as dialects
from facnet_grpc.ingest import encoding as encodings
from facnet_grpc.ingest.blocks import REASONS, Block, BlockReader, read_text
from facnet_grpc.ingest.dates import DateTally
from facnet_grpc.ingest.lines import CAUSES, ClaimLines, LineCaster
from facnet_grpc.ingest.options import PROBE_BYTES, ReadOptions
from facnet_grpc.ingest.source import OpenSource, Stream
from facnet_grpc.model.billing import BILLING_SCHEMA, MAX_STORED_REJECTS, REJECTED_SCHEMA

__all__ = ["Batch", "ClaimFile", "Found", "ReadOptions", "open_claims"]

_PROBED_ROWS = 5000


@dataclass(frozen=True, slots=True)
class Found:
    """How a file is written, as found."""

    encoding: str
    compression: str | None
    delimiter: str
    decimal_mark: str
    date_format: str
    """As for `strftime`."""
    header_line: int
    """Number of the header's line, from 1."""
    columns: Mapping[str, str]
    """Canonical column: what the file calls it."""
    missing_wanted: tuple[str, ...]
    ignored_columns: int


@dataclass(frozen=True, slots=True)
class Batch:
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


def open_claims(open_source: OpenSource, size_bytes: int, options: ReadOptions = ReadOptions()) -> ClaimFile:  # noqa: B008 - frozen
    """Open a claim file. `open_source` opens it from its beginning, several times; `size_bytes` is its stored size.

    Raises:
        TerminalError: EMPTY_FILE, NOT_A_CSV, UNKNOWN_ENCODING, NO_USABLE_HEADER, MISSING_COLUMNS, DUPLICATE_COLUMNS,
            AMBIGUOUS_DATES, CORRUPT_ARCHIVE or EXPANDS_TOO_LARGE. What `open_source` raises is passed on.
    """
    return ClaimFile(_Opener(open_source, size_bytes, options))


class _Opener:
    """Finds out how a file is written."""

    def __init__(self, open_source: OpenSource, size_bytes: int, options: ReadOptions) -> None:
        self._open_source = open_source
        self.size_bytes = size_bytes
        self.options = options
        with self.stream() as stream:
            self.compression = stream.compression
            start = stream.read(64)
        dialects.refuse_known_binary(start)
        with self.stream() as stream:
            self.encoding = encodings.detect(stream, options.encoding_hint, options.block_bytes)
        probe = self._probe()
        dialects.refuse_binary(probe)
        self.dialect = dialects.sniff(probe, options.delimiter_hint)
        rows = list(dialects.rows(probe, self.dialect, _PROBED_ROWS))
        self.decimal_mark = dialects.decimal_mark(self._column(rows, "preliminary_cents"))
        self.dates = self._dates(self._column(rows, "service_date"))
        self.order = self.dates.order()

    def stream(self) -> Stream:
        return Stream(self._open_source, self.size_bytes, self.options)

    def found(self) -> Found:
        columns = self.dialect.columns
        return Found(
            encoding=self.encoding.label,
            compression=self.compression,
            delimiter=self.dialect.delimiter,
            decimal_mark=self.decimal_mark,
            date_format=self.dates.format(self.order),
            header_line=self.dialect.header_line,
            columns=columns.header,
            missing_wanted=columns.missing_wanted,
            ignored_columns=columns.width - len(columns.positions),
        )

    def _probe(self) -> bytes:
        probe = b""
        with self.stream() as stream:
            for text in read_text(stream, self.encoding, self.options.block_bytes):
                probe += text
                if len(probe) >= PROBE_BYTES:
                    break
        return probe[:PROBE_BYTES]

    def _column(self, rows: list[list[str]], column: str) -> list[str]:
        position = self.dialect.columns.positions[column]
        return [row[position] for row in rows]

    def _dates(self, probed: list[str]) -> DateTally:
        """Count dates: in the first rows if those leave no doubt, otherwise in all."""
        tally = DateTally()
        tally.add(probed, [1] * len(probed))
        if not tally.is_empty and not tally.is_year_last:
            return tally
        tally = DateTally()
        reader = BlockReader(self.dialect, self.encoding, ("service_date",))
        with self.stream() as stream:
            for block in reader.read(stream, self.options.block_bytes):
                counts = block.cells["service_date"].value_counts()
                tally.add(counts.field(0).to_pylist(), counts.field(1).to_pylist())
        return tally


class ClaimFile:
    """A claim file that can be read; a context manager that closes what it opened."""

    def __init__(self, opener: _Opener) -> None:
        self._opener = opener
        self._stream: Stream | None = None
        self.found = opener.found()

    def batches(self) -> Iterator[Batch]:
        """Read the file from its beginning, block after block.

        Raises:
            TerminalError: HEADER_ONLY at the end of a file without lines, CORRUPT_ARCHIVE or EXPANDS_TOO_LARGE.
        """
        opener = self._opener
        self.close()
        self._stream = stream = opener.stream()
        reader = BlockReader(opener.dialect, opener.encoding, tuple(opener.dialect.columns.positions))
        maker = _BatchMaker(LineCaster(opener.order, opener.decimal_mark))
        try:
            for block in reader.read(stream, opener.options.block_bytes):
                yield maker.make(block, stream.position)
        finally:
            stream.close()
        if not maker.rows:
            raise TerminalError(Reason.HEADER_ONLY)

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._stream:
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _BatchMaker:
    """Numbers the lines of a file and sorts them into accepted and rejected ones."""

    def __init__(self, caster: LineCaster) -> None:
        self._caster = caster
        self._stored = 0
        self.rows = 0

    def make(self, block: Block, position: int) -> Batch:
        """Make the next batch."""
        lines = self._caster.cast(block.cells)
        good, causes = block.good, lines.causes
        is_row = np.ones(len(good), np.bool_) if lines.is_none is None else ~lines.is_none
        kept = np.flatnonzero(is_row & (causes < 0))
        refused = np.flatnonzero(is_row & (causes >= 0))
        # Every line of the block that is a line, by position; its place among them makes its number.
        positions = np.sort(np.concatenate([good[is_row], block.bad])) if len(block.bad) else good[is_row]
        first, self.rows = self.rows + 1, self.rows + len(positions)
        rejected = _Rejected(block, lines, refused)
        stored = rejected.store(positions, first, MAX_STORED_REJECTS - self._stored)
        self._stored += len(stored)
        return Batch(
            lines=_accepted(lines, kept, first + np.searchsorted(positions, good[kept])),
            rejected=stored,
            rejected_counts=rejected.counts(),
            defects=_defects(lines, kept),
            bytes_parsed=position,
            rows_parsed=self.rows,
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
        raw = [text.replace(encodings.MARK, "\ufffd") for text in self._block.raw(list(lines))]
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
