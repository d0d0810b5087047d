"""Writes exported tables as JSON Lines, CSV, Parquet or an Arrow IPC stream.

Each writer takes record batches of one schema (`tables.LINE` or `tables.RESULT`) and writes to a `Sink`, which gives
the bytes out in chunks of 256 KiB. The same batches give the same bytes. Text formats are built column by column.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, ipc
from pyarrow import parquet as pq

from facnet_grpc.export.tables import JSON_COLUMNS

LIST_SEPARATOR = "|"
FORMULA = r"^[=+\-@\t\r\n]"  # what a spreadsheet would run, or what would hide it
_ESCAPED = r'["\\\x00-\x1f]'
CHUNK_BYTES = 256 << 10


class Sink:
    """A file object for writers; buffers bytes until they are taken."""

    closed = False

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._written = 0

    def write(self, data: bytes) -> int:
        """Append bytes."""
        self._waiting += data
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        """Return how much has been written in all."""
        return self._written

    def flush(self) -> None:
        """Do nothing: there is no buffer below."""

    def close(self) -> None:
        """Do nothing: what has been written can still be taken."""

    def chunks(self) -> Iterator[bytes]:
        """Take the full chunks."""
        view = memoryview(self._waiting)
        full = len(view) // CHUNK_BYTES * CHUNK_BYTES
        taken = [bytes(view[start : start + CHUNK_BYTES]) for start in range(0, full, CHUNK_BYTES)]
        view.release()
        del self._waiting[:full]
        return iter(taken)

    def rest(self) -> bytes:
        """Take what is left, less than a chunk."""
        rest = bytes(self._waiting)
        self._waiting.clear()
        return rest


BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # without it Excel reads UTF-8 as something else


class Format(StrEnum):
    """A file format of exports."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


class Writer(Protocol):
    """Writes one file."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""

    def close(self) -> None:
        """Write what comes last."""


class JsonLinesWriter:
    """One JSON object a line."""

    def __init__(self, sink: Sink, schema: pa.Schema) -> None:
        self._sink = sink
        self._keys = [f'{"{" if number == 0 else ", "}"{name}": ' for number, name in enumerate(schema.names)]

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        parts: list[Any] = []
        for key, name, column in zip(self._keys, batch.schema.names, batch.columns, strict=True):
            parts += [key, json_column(name, column)]
        self._sink.write(_text_of(pc.binary_join_element_wise(*parts, "}\n", "")))

    def close(self) -> None:
        """Do nothing: the format has no end."""


class CsvWriter:
    """Comma-separated values for spreadsheets."""

    def __init__(self, sink: Sink, schema: pa.Schema) -> None:
        sink.write(BYTE_ORDER_MARK)
        self._schema = pa.schema([(field.name, csv_column(_empty(field.type)).type) for field in schema])
        self._writer = csv.CSVWriter(sink, self._schema)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        self._writer.write(pa.RecordBatch.from_arrays([csv_column(one) for one in batch.columns], schema=self._schema))

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class ParquetWriter:
    """Apache Parquet: a row group a batch."""

    def __init__(self, sink: Sink, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(sink, schema, compression="zstd")

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        self._writer.write_batch(batch)

    def close(self) -> None:
        """Write the index."""
        self._writer.close()


class ArrowWriter:
    """An Apache Arrow IPC stream."""

    def __init__(self, sink: Sink, schema: pa.Schema) -> None:
        self._writer = ipc.new_stream(sink, schema)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        self._writer.write_batch(batch)

    def close(self) -> None:
        """Write the end of the stream."""
        self._writer.close()


@dataclass(frozen=True, slots=True)
class _Kind:
    media_type: str
    make: Callable[[Sink, pa.Schema], Writer]


_KINDS: Mapping[Format, _Kind] = MappingProxyType(
    {
        Format.JSONL: _Kind("application/jsonl; charset=utf-8", JsonLinesWriter),
        Format.CSV: _Kind("text/csv; charset=utf-8; header=present", CsvWriter),
        Format.PARQUET: _Kind("application/vnd.apache.parquet", ParquetWriter),
        Format.ARROW: _Kind("application/vnd.apache.arrow.stream", ArrowWriter),
    },
)


def media_type(form: Format) -> str:
    """Return the media type of a format."""
    return _KINDS[form].media_type


def make_writer(form: Format, sink: Sink, schema: pa.Schema) -> Writer:
    """Return a writer of a format for batches of `schema`, which writes to `sink`."""
    return _KINDS[form].make(sink, schema)


def _empty(kind: pa.DataType) -> pa.Array:
    return pa.array([], kind)


def _text_of(column: pa.Array) -> bytes:
    """Return the texts of a column one after the other; the column has no nulls, so that they lie there like that."""
    if not len(column):
        return b""
    _, offsets, texts = column.buffers()
    ends = pa.Array.from_buffers(pa.int32(), len(column) + 1, [None, offsets], offset=column.offset)
    return texts[ends[0].as_py() : ends[-1].as_py()].to_pybytes()  # type: ignore[no-any-return]  # pyarrow has no types


def json_column(name: str, column: pa.Array) -> pa.Array:
    """Return a column as a `string` column of JSON values.

    Missing numbers are `null`, missing texts and days `""`; lists are never missing.
    """
    if name in JSON_COLUMNS:
        return column
    if pa.types.is_list(column.type):
        return _json_list_column(column)
    if pa.types.is_integer(column.type):
        return pc.fill_null(column.cast(pa.string()), "null")
    return _quoted(pc.fill_null(column.cast(pa.string()), ""))


def csv_column(column: pa.Array) -> pa.Array:
    """Return a column as CSV cells: texts and lists as `string`, formulas escaped; other types unchanged."""
    if pa.types.is_list(column.type):
        return _escape_formulas(_join(column, LIST_SEPARATOR))
    return _escape_formulas(column) if pa.types.is_string(column.type) else column


def _escape_formulas(column: pa.Array) -> pa.Array:
    risky = pc.fill_null(pc.match_substring_regex(column, FORMULA), False)
    return pc.if_else(risky, _concat("'", column), column) if pc.any(risky).as_py() else column


def _json_list_column(column: pa.Array) -> pa.Array:
    items = column.flatten()
    texts = _quoted(items) if pa.types.is_string(items.type) else items.cast(pa.string())
    return _concat("[", _join(pa.ListArray.from_arrays(_offsets(column), texts), ", "), "]")


def _join(column: pa.Array, separator: str) -> pa.Array:
    items = column.flatten().cast(pa.string())
    return pc.binary_join(pa.ListArray.from_arrays(_offsets(column), items), separator)


def _offsets(column: pa.ListArray) -> pa.Array:
    return pc.subtract(column.offsets, column.offsets[0])


def _quoted(column: pa.Array) -> pa.Array:
    """Return texts as JSON strings, written as Python's `json` writes them with letters as they are."""
    quoted = _concat('"', column, '"')
    special = pc.match_substring_regex(column, _ESCAPED)
    if not pc.any(special).as_py():
        return quoted
    escaped = [json.dumps(text, ensure_ascii=False) for text in column.filter(special).to_pylist()]
    return pc.replace_with_mask(quoted, special, pa.array(escaped, pa.string()))


def _concat(*parts: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")
