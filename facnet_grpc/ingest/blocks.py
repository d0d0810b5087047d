"""Splits a file's text into blocks of lines with their cells; blank, total and malformed lines are separated."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from facnet_grpc.errors import FacnetError, Reason
from facnet_grpc.ingest.dialect import Dialect
from facnet_grpc.ingest.encoding import MARK_BYTES, Encoding
from facnet_grpc.ingest.frame import CR, LF, Frame, Framer, Layout, Positions
from facnet_grpc.ingest.options import MAX_RAW_BYTES, RejectReason
from facnet_grpc.ingest.source import Stream

TOTAL = r"(?i)^\W*(?:(?:grand|sous)[\W_]*)?(?:total|totaux|somme)\b"  # for Arrow and for `re`
_TOTAL_LINE = re.compile(TOTAL.encode())
_TOTAL_HINTS = (b"tota", b"somme")
REASONS = tuple(RejectReason)


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of a file. Positions count all lines of the block, blank ones too."""

    cells: Mapping[str, Any]
    """Canonical column: a `pa.StringArray` without nulls, one cell for every good line."""
    good: Positions
    """Positions of the lines that have all their fields."""
    bad: Positions
    """Positions of the broken lines."""
    bad_reasons: NDArray[np.int8]
    """For every broken line, the index of its reason in `REASONS`."""
    blank: int
    """How many lines are neither: empty ones, ones of nothing but separators, and totals with too few fields."""
    text: bytes
    layout: Layout | None
    framer: Framer

    def raw(self, positions: list[int]) -> list[str]:
        """Return the text of lines. It is PHI."""
        if not positions:
            return []
        layout = self.layout or _without_empty(self.framer.layout(self.text))
        spans = [(int(layout.starts[position]), int(layout.ends[position])) for position in positions]
        return [self.text[start : min(end, start + MAX_RAW_BYTES)].decode("utf-8", "ignore") for start, end in spans]


def read_text(stream: Stream, encoding: Encoding, block_bytes: int) -> Iterator[bytes]:
    """Return the file's text as UTF-8, block after block."""
    decode = encoding.decoder()
    while data := stream.read(block_bytes):
        yield decode(data, False)
    yield decode(b"", True)


class BlockReader:
    """Reads the lines below the header."""

    def __init__(
        self,
        dialect: Dialect,
        encoding: Encoding,
        columns: tuple[str, ...],
        *,
        read_csv: Callable[..., pa.Table] = csv.read_csv,
    ) -> None:
        """`columns` are the canonical columns to read, `read_csv` is pyarrow's parser."""
        self._read_csv = read_csv
        self._dialect = dialect
        self._encoding = encoding
        self._columns = columns
        self._delimiter = dialect.delimiter.encode()
        self._width = dialect.columns.width
        self._blank = bytes(range(33)) + b'"' + self._delimiter
        self._is_text = np.ones(256, np.bool_)
        self._is_text[list(self._blank)] = False

    def read(self, stream: Stream, block_bytes: int) -> Iterator[Block]:
        """Return the file's lines, block after block; a new stream each time."""
        framer = Framer(self._delimiter, self._width)
        begins_after = b"\n"
        block: Block | None = None
        for text, frame in self._frames(framer, stream, block_bytes):
            lines = 0 if frame.is_rest else _count_lines(text, begins_after)
            begins_after = text[-1:]
            # After a block with broken lines the next one likely has some as well: it would be parsed in vain.
            is_odd = block is not None and len(block.bad) > 0
            block = None if is_odd else self._well_formed(framer, text, frame.layout, lines)
            block = block or self._mixed(framer, text, frame.layout, lines)
            yield block

    def _frames(self, framer: Framer, stream: Stream, block_bytes: int) -> Iterator[tuple[bytes, Frame]]:
        to_skip = self._dialect.data_offset
        waiting: list[bytes] = []
        size = wanted = 0
        rest = b""
        for text in read_text(stream, self._encoding, block_bytes):
            skipped = min(to_skip, len(text))
            to_skip -= skipped
            waiting.append(text[skipped:])
            size += len(text) - skipped
            if size < wanted:
                continue
            data = b"".join([rest, *waiting])
            waiting.clear()
            while data:
                frame = framer.frame(data, final=False)
                if not frame.used:
                    break
                yield data[: frame.used], frame
                data = data[frame.used :]
            # A line longer than a block: look again when there is twice as much, or this would take for ever.
            rest, size, wanted = data, 0, len(data) if len(data) > block_bytes else 0
        data = b"".join([rest, *waiting])
        while data:
            frame = framer.frame(data, final=True)
            yield data[: frame.used], frame
            data = data[frame.used :]

    def _well_formed(self, framer: Framer, text: bytes, layout: Layout | None, lines: int) -> Block | None:
        """Read a block without malformed lines, as nearly all are; None if it has some."""
        if (layout and (layout.faults or not len(layout.starts))) or not self._is_clean(text):
            return None
        try:
            cells = self._parse(text, has_quotes=layout is not None)
        except pa.ArrowInvalid:
            # Some line has another number of fields. The message quotes it: never show it.
            return None
        count = len(next(iter(cells.values())))
        none = np.empty(0, np.int64)
        layout = layout and _without_empty(layout)
        blank = lines - count - (_inner_breaks(text, layout, np.arange(count)) if layout else 0)
        return Block(cells, np.arange(count), none, none.astype(np.int8), blank, text, layout, framer)

    def _mixed(self, framer: Framer, text: bytes, layout: Layout | None, lines: int) -> Block:
        """Read the good lines of a block in which some are malformed."""
        has_quotes = layout is not None
        layout = layout or framer.layout(text)
        reasons = self._faults(text, layout)
        good = np.flatnonzero(reasons < 0)
        bad = np.flatnonzero(reasons >= 0)
        bad = bad[~self._is_skipped(text, layout, bad, reasons)]
        kept = self._join_lines(text, layout, good)
        cells = self._parse_or_fail(kept, has_quotes=has_quotes)
        inner = _inner_breaks(text, layout, np.concatenate([good, bad])) if has_quotes else 0
        blank = lines - len(good) - len(bad) - inner
        return Block(cells, good, bad, reasons[bad].astype(np.int8), blank, text, layout, framer)

    def _faults(self, text: bytes, layout: Layout) -> NDArray[np.int64]:
        """Return for every line the index of its reason in `REASONS`, -1 if all is well."""
        wrong = REASONS.index(RejectReason.WRONG_FIELD_COUNT)
        reasons = np.where(layout.fields == self._width, -1, wrong)
        if not self._is_clean(text):
            marks = [match.start() for match in re.finditer(MARK_BYTES, text)]
            lines = np.searchsorted(layout.ends, marks)
            reasons[lines[lines < len(reasons)]] = REASONS.index(RejectReason.BAD_ENCODING)
        for line, reason in layout.faults.items():
            reasons[line] = REASONS.index(reason)
        return reasons

    def _is_skipped(self, text: bytes, layout: Layout, bad: Positions, reasons: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which of the broken lines are blank, or a total."""
        if not len(bad):
            return np.zeros(0, np.bool_)
        # The lines and what is between them, in turn; an empty one would be given what follows it.
        is_text = np.append(self._is_text[np.frombuffer(text, np.uint8)], False)
        bounds = np.column_stack([layout.starts[bad], layout.ends[bad]]).ravel()
        is_written = np.logical_or.reduceat(is_text, bounds)[::2] & (layout.ends[bad] > layout.starts[bad])
        is_short = reasons[bad] == REASONS.index(RejectReason.WRONG_FIELD_COUNT)
        is_none = is_short & ~is_written
        lower = text.lower()
        if any(hint in lower for hint in _TOTAL_HINTS):
            is_none |= is_short & np.array([self._is_total(text, layout, line) for line in bad], np.bool_)
        none: NDArray[np.bool_] = is_none
        return none

    def _is_total(self, text: bytes, layout: Layout, line: int) -> bool:
        cells = text[layout.starts[line] : layout.ends[line]].lstrip(self._blank)
        return _TOTAL_LINE.match(cells) is not None

    def _is_clean(self, text: bytes) -> bool:
        return self._encoding.is_clean or MARK_BYTES not in text

    @staticmethod
    def _join_lines(text: bytes, layout: Layout, good: Positions) -> bytes:
        """Return the good lines alone, each with a line break."""
        if not len(good):
            return b""
        spans = zip(layout.starts[good].tolist(), layout.ends[good].tolist(), strict=True)
        return b"\n".join([text[start:end] for start, end in spans]) + b"\n"

    def _parse_or_fail(self, text: bytes, *, has_quotes: bool) -> Mapping[str, Any]:
        try:
            return self._parse(text, has_quotes=has_quotes)
        except pa.ArrowInvalid:
            raise FacnetError(Reason.INTERNAL, part="parser") from None

    def _parse(self, text: bytes, *, has_quotes: bool) -> Mapping[str, Any]:
        """Return the cells of lines that all have the right number of fields."""
        if not text.strip(b"\r\n"):
            return {column: pa.array([], pa.string()) for column in self._columns}
        positions = self._dialect.columns.positions
        names = [f"f{number}" for number in range(self._width)]
        wanted = [names[positions[column]] for column in self._columns]
        table = self._read_csv(
            pa.BufferReader(text),
            csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=names),
            csv.ParseOptions(
                delimiter=self._dialect.delimiter,
                quote_char='"' if has_quotes else False,
                newlines_in_values=has_quotes,
            ),
            csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(wanted, pa.string()),
                include_columns=wanted,
                strings_can_be_null=False,
            ),
        )
        return {column: table.column(number).chunk(0) for number, column in enumerate(self._columns)}


def _without_empty(layout: Layout) -> Layout:
    """Leave out the lines with nothing at all in them, as the parser does."""
    kept = layout.ends > layout.starts
    return Layout(layout.starts[kept], layout.ends[kept], layout.fields[kept], {}, layout.may_break)


def _count_lines(text: bytes, begins_after: bytes) -> int:
    """Count lines as an editor does: CR, LF and CRLF end one each, and the last one may have no end."""
    letters = np.frombuffer(text, np.uint8)  # many times as fast as `count`, where there are many
    is_feed = letters == LF
    ends = int(np.count_nonzero(is_feed))
    if CR in text:
        is_return = letters == CR
        ends += int(np.count_nonzero(is_return)) - int(np.count_nonzero(is_feed[1:] & is_return[:-1]))
    is_split = begins_after == b"\r" and text.startswith(b"\n")  # between the two of a CRLF
    return ends - is_split + (text[-1:] not in {b"\n", b"\r"})


def _inner_breaks(text: bytes, layout: Layout, lines: Positions) -> int:
    """Count the line breaks within lines, in their quotes."""
    if not layout.may_break:
        return 0
    letters = np.frombuffer(text, np.uint8)
    is_return = letters == CR
    is_return[:-1] &= letters[1:] != LF
    breaks = np.flatnonzero(is_return | (letters == LF))
    inner = np.searchsorted(breaks, layout.ends[lines]) - np.searchsorted(breaks, layout.starts[lines])
    return int(inner.sum())
