"""How a file is written: what separates its cells, which line is the header, decimal comma or point."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from facnet_grpc.errors import Reason, TerminalError
from facnet_grpc.ingest import columns as names
from facnet_grpc.ingest.columns import Columns
from facnet_grpc.ingest.frame import record_pattern

_DELIMITERS = (";", ",", "\t", "|")
_SPELLED_OUT = {"tab": "\t", "\\t": "\t", "semicolon": ";", "comma": ",", "pipe": "|"}
_LAST_HEADER_LINE = 60  # titles above a header are few
_FEWEST_RECOGNISED = 3  # fewer names of columns are a coincidence
_ROWS_COMPARED = 20

_MAGIC = (
    *(
        b"%PDF",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"\x89PNG",
        b"\xff\xd8\xff",
        b"GIF8",
        b"\xd0\xcf\x11\xe0",
        b"{\\rtf",
        b"7z\xbc\xaf",
    ),
    *(b"Rar!", b"BZh", b"\xfd7zXZ", b"PAR1", b"ARROW1", b"SQLite format 3", b"\x7fELF", b"II*\0", b"MM\0*"),
    *(b"\x1f\x8b", b"\x28\xb5\x2f\xfd"),
)
_CONTROLS = bytes(byte for byte in range(1, 32) if byte not in b"\t\n\v\f\r\x1a\x1c\x1d\x1e\x1f")
_MARKUP = re.compile(rb"\s*<(?:!doctype|html|\?xml|table)", re.IGNORECASE)
_BREAK = re.compile(rb"\r\n|\r|\n")
_COMMA_DECIMALS = re.compile(r"\d,\d{1,2}(?!\d)")
_POINT_DECIMALS = re.compile(r"\d\.\d{1,2}(?!\d)")


@dataclass(frozen=True, slots=True)
class Dialect:
    """What was found out about a file's text from its first megabyte."""

    delimiter: str
    header_line: int
    """Number of the header's line, from 1."""
    data_offset: int
    """Where the first line below the header begins, in bytes of the text as UTF-8."""
    columns: Columns


def refuse_known_binary(start: bytes) -> None:
    """Make sure that a file does not begin as a file of another kind does.

    Raises:
        TerminalError: NOT_A_CSV or EMPTY_FILE.
    """
    if not start:
        raise TerminalError(Reason.EMPTY_FILE)
    if start.startswith(_MAGIC):
        raise TerminalError(Reason.NOT_A_CSV)


def refuse_binary(text: bytes) -> None:
    """Make sure that what was decoded can be a table in text.

    Raises:
        TerminalError: NOT_A_CSV or EMPTY_FILE.
    """
    controls = len(text) - len(text.translate(None, _CONTROLS))
    if controls * 20 > len(text) or _MARKUP.match(text[:256]):
        raise TerminalError(Reason.NOT_A_CSV)
    if not text.strip():
        raise TerminalError(Reason.EMPTY_FILE)


def sniff(text: bytes, delimiter_hint: str | None) -> Dialect:
    """Find the header and the delimiter in the beginning of a file, in UTF-8.

    The line and delimiter that give the most names of columns win; between equals, those with more rows below that have
    as many fields as the header.

    Raises:
        TerminalError: NO_USABLE_HEADER, DUPLICATE_COLUMNS, MISSING_COLUMNS or INVALID_ARGUMENT.
    """
    lines = list(_lines(text))
    candidates = (_hinted(delimiter_hint),) if delimiter_hint else _DELIMITERS
    best: tuple[tuple[int, int], Dialect, list[str]] | None = None
    for delimiter in candidates:
        for number, start in lines:
            cells, end = split(text, start, delimiter)
            # Below the header there is little that could be a name, and the best line has to be outdone.
            if names.most(cells) < max(_FEWEST_RECOGNISED, best[0][0] if best else 0):
                continue
            columns = names.match(cells)
            if columns.recognised < _FEWEST_RECOGNISED:
                continue
            below = _BREAK.match(text, end)
            dialect = Dialect(delimiter, number, below.end() if below else end, columns)
            score = (len(columns.positions), _agreement(text, dialect))
            if best is None or score > best[0]:
                best = (score, dialect, cells)
    if best is None:
        raise TerminalError(Reason.NO_USABLE_HEADER)
    names.check(best[1].columns, best[2])
    return best[1]


def split(text: bytes, start: int, delimiter: str) -> tuple[list[str], int]:
    """Return the cells of the line that begins at `start`, without their quotes, and where it ends."""
    end = _line_end(text, start)
    if text.find(b'"', start, end) < 0:
        return text[start:end].decode("utf-8", "replace").split(delimiter), end
    match = record_pattern(delimiter.encode()).match(text, start)
    end = match.end() if match else start
    if end < len(text) and text[end] not in b"\r\n":
        end = _line_end(text, start)
        return text[start:end].decode("utf-8", "replace").split(delimiter), end
    return _cells(text[start:end], delimiter), end


def rows(text: bytes, dialect: Dialect, limit: int) -> Iterator[list[str]]:
    """Return the cells of the first `limit` lines below the header that are not empty and have all their fields."""
    position, count = dialect.data_offset, 0
    while position < len(text) and count < limit:
        cells, end = split(text, position, dialect.delimiter)
        position = end + 2 if text[end : end + 2] == b"\r\n" else end + 1
        if len(cells) == dialect.columns.width:
            count += 1
            yield cells


def decimal_mark(amounts: Sequence[str]) -> str:
    """Tell whether amounts have a decimal comma or point; the comma if there is nothing to tell by."""
    counts = Counter(amounts).items()
    commas = sum(count for amount, count in counts if _COMMA_DECIMALS.search(amount))
    points = sum(count for amount, count in counts if _POINT_DECIMALS.search(amount))
    return "." if points > commas else ","


def _hinted(hint: str) -> str:
    delimiter = _SPELLED_OUT.get(hint.lower(), hint)
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter.isalnum() or delimiter in '"\r\n\0':
        raise TerminalError(Reason.INVALID_ARGUMENT, field="delimiter_hint")
    return delimiter


def _lines(text: bytes) -> Iterator[tuple[int, int]]:
    """Return number and start of the lines that may be the header."""
    start = 0
    for number in range(1, _LAST_HEADER_LINE + 1):
        yield number, start
        line_break = _BREAK.search(text, start)
        if not line_break:
            return
        start = line_break.end()


def _line_end(text: bytes, start: int) -> int:
    """Return where the line that begins at `start` would end if it had no quotes."""
    end = text.find(b"\n", start)
    end = len(text) if end < 0 else end
    returned = text.find(b"\r", start, end)
    return end if returned < 0 else returned


def _cells(line: bytes, delimiter: str) -> list[str]:
    text = line.decode("utf-8", "replace")
    if '"' in text:
        with suppress(csv.Error):  # a cell beyond the limits of that module is no header
            return next(csv.reader([text], delimiter=delimiter), [""])
    return text.split(delimiter)


def _agreement(text: bytes, dialect: Dialect) -> int:
    """Count the lines below the header that have as many fields as it."""
    counts: Counter[int] = Counter()
    position = dialect.data_offset
    for _ in range(_ROWS_COMPARED):
        if position >= len(text):
            break
        cells, end = split(text, position, dialect.delimiter)
        counts[len(cells)] += 1
        position = end + 1
    return counts[dialect.columns.width]
