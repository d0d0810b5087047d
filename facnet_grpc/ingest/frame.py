"""Where lines end: quotes respected, whatever the blocks that the text arrives in.

A cell that begins with a quote ends at the next quote that is not doubled, and a delimiter or the end of the line must
follow. Where that fails, or where a quoted line break leads to a wrong number of fields, the quote was never closed:
the line ends at its first line break, it alone is at fault, and reading goes on with the next one.

Blocks without quotes, and blocks whose quotes are all in order, are measured with numpy; others line by line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from facnet_grpc.ingest.options import MAX_LINE_BYTES, RejectReason

QUOTE, LF, CR = b'"\n\r'
_EOL = re.compile(rb"[\r\n]")
_EOL_BYTES = (LF, CR)
_TEXT = re.compile(rb"[^\r\n]")
# No possessive quantifiers: before Python 3.11.5 they match too little around groups. Nothing here needs to backtrack.
_OPEN = re.compile(rb'"[^"]*(?:""[^"]*)*')

Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the lines of a block are: text from start to end, how many fields, faulty ones by their index."""

    starts: Positions
    ends: Positions
    fields: Positions
    faults: dict[int, RejectReason]
    may_break: bool = True
    """Whether there may be line breaks within lines, in quotes."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The first `used` bytes are whole lines; `layout` says where they are if that had to be found out.

    With `is_rest` they are what remains of a line that was too long, which has been reported already.
    """

    used: int
    layout: Layout | None = None
    is_rest: bool = False


class Framer:
    """Cuts text, given block after block, after whole lines of `fields` fields."""

    def __init__(self, delimiter: bytes, fields: int) -> None:
        self._delimiter_text = delimiter
        self._delimiter = delimiter[0]
        self._fields = fields
        self._record = record_pattern(delimiter)
        self._quoted = re.compile(rb"(?:\A|(?<=" + re.escape(delimiter) + rb"))" + _OPEN.pattern + rb'"(?!")')
        self._skipping = False
        self._is_edge = np.zeros(256, np.bool_)
        self._is_edge[[self._delimiter, LF, CR, QUOTE]] = True

    def frame(self, data: bytes, *, final: bool) -> Frame:
        """Find how much of the data is whole lines; it begins where the last frame ended, `final` if nothing follows.

        Nothing used means that more data is needed.
        """
        if self._skipping:
            return self._skip(data)
        if QUOTE not in data:
            used = len(data) if final else max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
            if len(data) <= MAX_LINE_BYTES or self._is_short(data, used):
                return Frame(used)
        elif layout := self._in_order(data, final=final):
            return Frame(_used(layout, data), layout)
        return self._line_by_line(data, final=final)

    def layout(self, block: bytes) -> Layout:
        """Measure a block of whole lines that came without a layout, so has no quotes."""
        text = np.frombuffer(block, np.uint8)
        ends = _close(_breaks(block, text), len(block))
        return self._measure(ends, text == self._delimiter, may_break=False)

    def _is_short(self, data: bytes, used: int) -> bool:
        if len(data) - used > MAX_LINE_BYTES:
            return False
        layout = self.layout(data[:used])
        return not len(layout.starts) or int((layout.ends - layout.starts).max()) <= MAX_LINE_BYTES

    def _in_order(self, data: bytes, *, final: bool) -> Layout | None:
        """Measure all whole lines, if every quote up to there opens or closes a cell as it should."""
        text = np.frombuffer(data, np.uint8)
        is_quote = text == QUOTE
        # Within a cell from its first quote on: the number of quotes so far is odd.
        is_inside = np.bitwise_xor.accumulate(is_quote.view(np.uint8)).view(np.bool_)
        breaks = _breaks(data, text)
        is_inner = is_inside[breaks]
        ends = breaks[~is_inner]
        if final:
            ends = _close(ends, len(data))
        if not len(ends):
            return None
        if not self._are_in_order(text, np.flatnonzero(is_quote[: ends[-1]])):
            return None
        end = ends[-1]
        inner = breaks[is_inner]
        layout = self._measure(ends, (text[:end] == self._delimiter) > is_inside[:end], may_break=len(inner) > 0)
        lines = np.searchsorted(ends, inner)
        lines = lines[lines < len(ends)]
        is_long = (layout.ends - layout.starts).max() > MAX_LINE_BYTES
        return None if is_long or (layout.fields[lines] != self._fields).any() else layout

    def _are_in_order(self, text: NDArray[np.uint8], quotes: Positions) -> bool:
        if len(quotes) % 2:
            return False
        opening, closing = quotes[::2], quotes[1::2]
        before = text[opening[opening > 0] - 1]
        after = text[closing[closing + 1 < len(text)] + 1]
        return bool(self._is_edge[before].all() and self._is_edge[after].all())

    def _measure(self, ends: Positions, is_delimiter: NDArray[np.bool_], *, may_break: bool) -> Layout:
        delimiters = np.flatnonzero(is_delimiter)
        starts = np.concatenate([np.zeros(min(len(ends), 1), np.int64), ends[:-1] + 1])
        fields = np.searchsorted(delimiters, ends) - np.searchsorted(delimiters, starts) + 1
        return Layout(starts, ends, fields, {}, may_break)

    def _line_by_line(self, data: bytes, *, final: bool) -> Frame:
        lines: list[tuple[int, int, int]] = []
        faults: dict[int, RejectReason] = {}
        position = 0
        # Empty lines, and what is between CR and LF, are not worth a look.
        while (position := _past_empty(data, position)) < len(data):
            line = self._next_line(data, position, final=final)
            if line is None:
                break
            end, fields, fault = line
            if fault:
                faults[len(lines)] = fault
            lines.append((position, end, fields))
            position = end + 1
        starts, ends, counts = np.array(lines, np.int64).reshape(-1, 3).T
        return Frame(min(position, len(data)), Layout(starts, ends, counts, faults))

    def _next_line(self, data: bytes, start: int, *, final: bool) -> tuple[int, int, RejectReason | None] | None:
        """Return the line's end, its fields and its fault; None if more data is needed."""
        match = self._record.match(data, start)
        end = match.end() if match else start
        is_whole = final if end == len(data) else data[end] in _EOL_BYTES
        if is_whole and end - start <= MAX_LINE_BYTES:
            text = data[start:end]
            fields = len(self._quoted.sub(b"", text).split(self._delimiter_text))
            if fields == self._fields or not _EOL.search(text):
                return end, fields, None
        elif not is_whole and not final and len(data) - start <= MAX_LINE_BYTES and self._may_go_on(data, start, end):
            return None
        return self._faulty_line(data, start, final=final)

    def _may_go_on(self, data: bytes, start: int, end: int) -> bool:
        """Tell whether a line that could be matched up to `end` may still end well: the data ends inside of a cell."""
        if end == len(data):
            return True
        is_first = end == start and data[end] == QUOTE
        match = _OPEN.match(data, end if is_first else end + 1)
        return match is not None and (match.end() == len(data) or (match.end() == len(data) - 1 and data[-1] == QUOTE))

    def _faulty_line(self, data: bytes, start: int, *, final: bool) -> tuple[int, int, RejectReason | None] | None:
        match = _EOL.search(data, start)
        end = match.start() if match else len(data)
        if end - start > MAX_LINE_BYTES:
            self._skipping = match is None
            return end, 0, RejectReason.TOO_LONG
        return (end, 0, RejectReason.UNTERMINATED_QUOTE) if match or final else None

    def _skip(self, data: bytes) -> Frame:
        """Leave out the rest of a line that is too long."""
        match = _EOL.search(data)
        self._skipping = match is None
        none = np.empty(0, np.int64)
        return Frame(match.end() if match else len(data), Layout(none, none, none, {}), is_rest=True)


@cache
def record_pattern(delimiter: bytes) -> re.Pattern[bytes]:
    """Return what matches a line up to its end, or up to the first cell whose quote is not closed as it should."""
    mark = re.escape(delimiter)
    quoted = rb'"[^"]*(?:""[^"]*)*"(?=[' + mark + rb"\r\n]|\Z)"
    cell = rb"(?:" + quoted + rb'|(?!")[^' + mark + rb"\r\n]*)"
    return re.compile(cell + rb"(?:" + mark + cell + rb")*")


def _past_empty(data: bytes, position: int) -> int:
    match = _TEXT.search(data, position)
    return match.start() if match else len(data)


def _breaks(data: bytes, text: NDArray[np.uint8]) -> Positions:
    is_break = text == LF
    if CR in data:
        is_break |= text == CR
    return np.flatnonzero(is_break)


def _close(ends: Positions, length: int) -> Positions:
    """Add the end of a last line that has no line break."""
    return ends if len(ends) and ends[-1] == length - 1 else np.append(ends, length)


def _used(layout: Layout, data: bytes) -> int:
    return min(int(layout.ends[-1]) + 1, len(data))
