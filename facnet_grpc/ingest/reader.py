"""Opens a claim file: detects its format, then reads its lines block by block.

A file is read twice: once to detect what depends on all of it (the encoding; the order of day and month), and once for
its lines. Memory does not grow with the file, and the lines do not depend on the block size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from facnet_grpc.errors import Reason, TerminalError
from facnet_grpc.ingest import dialect as dialects
from facnet_grpc.ingest import encoding as encodings
from facnet_grpc.ingest.blocks import BlockReader, read_text
from facnet_grpc.ingest.dates import DateTally
from facnet_grpc.ingest.encoding import Encoding
from facnet_grpc.ingest.lines import LineBlock, LineBlockBuilder, LineCaster
from facnet_grpc.ingest.options import PROBE_BYTES, ReadOptions
from facnet_grpc.ingest.source import OpenSource, Stream, fetched_once


@dataclass(frozen=True, slots=True)
class Probe:
    """Compression, encoding and beginning of a file."""

    compression: str | None
    encoding: Encoding
    text: bytes
    """The first megabyte, as UTF-8. It is PHI."""


def read_probe(open_source: OpenSource, size_bytes: int, options: ReadOptions) -> Probe:
    """Read the beginning of a file; all of it, where only that tells the encoding.

    Raises:
        TerminalError: EMPTY_FILE, NOT_A_CSV, UNKNOWN_ENCODING, CORRUPT_ARCHIVE or EXPANDS_TOO_LARGE.
    """
    with Stream(open_source, size_bytes, options) as stream:
        dialects.refuse_known_binary(stream.read(64))
    with Stream(open_source, size_bytes, options) as stream:
        encoding = encodings.detect(stream, options.encoding_hint, options.block_bytes)
    text = bytearray()
    with Stream(open_source, size_bytes, options) as stream:
        for block in read_text(stream, encoding, options.block_bytes):
            text += block
            if len(text) >= PROBE_BYTES:
                break
    probe = bytes(text[:PROBE_BYTES])
    dialects.refuse_binary(probe)
    return Probe(stream.compression, encoding, probe)


_PROBED_ROWS = 5000


@dataclass(frozen=True, slots=True)
class FileFormat:
    """The format of a claim file, as detected."""

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


def open_claims(open_source: OpenSource, size_bytes: int, options: ReadOptions = ReadOptions()) -> ClaimFile:  # noqa: B008 - frozen
    """Open a claim file. `open_source` opens it from its beginning, several times; `size_bytes` is its stored size.

    Raises:
        TerminalError: EMPTY_FILE, NOT_A_CSV, UNKNOWN_ENCODING, NO_USABLE_HEADER, MISSING_COLUMNS, DUPLICATE_COLUMNS,
            AMBIGUOUS_DATES, CORRUPT_ARCHIVE or EXPANDS_TOO_LARGE. What `open_source` raises is passed on.
    """
    return ClaimFile(_Opener(fetched_once(open_source, size_bytes), size_bytes, options))


class _Opener:
    """Detects the format of a file."""

    def __init__(self, open_source: OpenSource, size_bytes: int, options: ReadOptions) -> None:
        self._open_source = open_source
        self.size_bytes = size_bytes
        self.options = options
        self.probe = read_probe(open_source, size_bytes, options)
        self.encoding = self.probe.encoding
        self.dialect = dialects.sniff(self.probe.text, options.delimiter_hint)
        rows = list(dialects.rows(self.probe.text, self.dialect, _PROBED_ROWS))
        self.decimal_mark = dialects.decimal_mark(self._column(rows, "preliminary_cents"))
        self.dates = self._dates(self._column(rows, "service_date"))
        self.order = self.dates.order()

    def stream(self) -> Stream:
        return Stream(self._open_source, self.size_bytes, self.options)

    def format(self) -> FileFormat:
        columns = self.dialect.columns
        return FileFormat(
            encoding=self.encoding.label,
            compression=self.probe.compression,
            delimiter=self.dialect.delimiter,
            decimal_mark=self.decimal_mark,
            date_format=self.dates.format(self.order),
            header_line=self.dialect.header_line,
            columns=columns.header,
            missing_wanted=columns.missing_wanted,
            ignored_columns=columns.width - len(columns.positions),
        )

    def _column(self, rows: list[list[str]], column: str) -> list[str]:
        position = self.dialect.columns.positions[column]
        return [row[position] for row in rows]

    def _dates(self, probed: list[str]) -> DateTally:
        """Count dates: in the first rows if those leave no doubt, otherwise in all."""
        tally = DateTally()
        counts = Counter(probed)
        tally.add(counts.keys(), counts.values())
        if not tally.is_empty and not tally.is_year_last:
            return tally
        tally = DateTally()
        reader = BlockReader(self.dialect, self.encoding, ("service_date",))
        with self.stream() as stream:
            for block in reader.read(stream, self.options.block_bytes):
                found = block.cells["service_date"].value_counts()
                tally.add(found.field(0).to_pylist(), found.field(1).to_pylist())
        return tally


class ClaimFile:
    """A claim file that can be read; a context manager that closes what it opened."""

    def __init__(self, opener: _Opener) -> None:
        self._opener = opener
        self._stream: Stream | None = None
        self.format = opener.format()

    def batches(self) -> Iterator[LineBlock]:
        """Read the file from its beginning, block after block.

        Raises:
            TerminalError: HEADER_ONLY at the end of a file without lines, CORRUPT_ARCHIVE or EXPANDS_TOO_LARGE.
        """
        opener = self._opener
        self.close()
        self._stream = stream = opener.stream()
        reader = BlockReader(opener.dialect, opener.encoding, tuple(opener.dialect.columns.positions))
        maker = LineBlockBuilder(LineCaster(opener.order, opener.decimal_mark))
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
