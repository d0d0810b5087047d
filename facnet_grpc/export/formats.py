"""Where writers write: takes bytes in, gives chunks of one size out.

The formats: each takes batches of one layout and writes a file, part by part. Same batches, same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, ipc
from pyarrow import parquet as pq

from facnet_grpc.export.cells import csv_column, json_column

CHUNK_BYTES = 256 << 10


class Sink:
    """A file as writers see it; holds what has not been taken yet."""

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
        """Nothing waits below."""

    def close(self) -> None:
        """What has been written can still be taken."""

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
    """What a file can be."""

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
        """Nothing comes last."""


class CsvWriter:
    """Comma-separated values for spreadsheets."""

    def __init__(self, sink: Sink, schema: pa.Schema) -> None:
        sink.write(BYTE_ORDER_MARK)
        self._schema = pa.schema([(field.name, csv_column(_no(field.type)).type) for field in schema])
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


def _no(kind: pa.DataType) -> pa.Array:
    return pa.array([], kind)


def _text_of(column: pa.Array) -> bytes:
    """Return the texts of a column one after the other; the column has no nulls, so that they lie there like that."""
    if not len(column):
        return b""
    _, offsets, texts = column.buffers()
    ends = pa.Array.from_buffers(pa.int32(), len(column) + 1, [None, offsets], offset=column.offset)
    return texts[ends[0].as_py() : ends[-1].as_py()].to_pybytes()  # type: ignore[no-any-return]  # pyarrow has no types
