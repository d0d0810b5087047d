"""Builders of the columns that rules read: a file's lines come in batches, and end as one narrow Arrow table.

Integers are as wide as the largest value of the column needs; dictionaries hold their values in order of first
appearance. Parts are concatenated as they come: many small ones would fragment the memory.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facnet_grpc.model.billing import RULE_SCHEMA
from facnet_grpc.rules.table import arrays

_MAX_DICT_TEXTS = 1 << 16  # distinct values of a column up to which a Python dict of them costs next to nothing
_PARTS = 64
_BLOCK_ROWS = 1 << 17  # texts that are encoded together
_WIDTHS = ((1 << 7, pa.int8()), (1 << 15, pa.int16()), (1 << 31, pa.int32()))


class ColumnBuilder(Protocol):
    """Builds one column from its batches."""

    def add(self, values: pa.Array) -> None:
        """Append the values of a batch."""

    def finish(self) -> pa.Array:
        """Return all values as one array. The builder cannot be used afterwards."""


class ValueBuilder:
    """Builds an array of type `kind`, or (`narrow`) of the narrowest integer type that holds all values."""

    def __init__(self, kind: pa.DataType, *, narrow: bool = False) -> None:
        self._kind = kind
        self._narrow = narrow
        self._joined: list[pa.Array] = []
        self._parts: list[pa.Array] = []

    def add(self, values: pa.Array) -> None:
        """See `ColumnBuilder`."""
        self._parts.append(narrowed(values) if self._narrow else values.cast(self._kind))
        if len(self._parts) == _PARTS:
            self._joined.append(_join(self._parts))

    def finish(self) -> pa.Array:
        """See `ColumnBuilder`."""
        parts, self._joined = [*self._joined, *self._parts], []
        self._parts.clear()
        return _join(parts) if parts else pa.array([], self._kind)


class DigitsBuilder:
    """Builds an integer array of texts of digits (see `arrays.pack`), or a string array if a text is something else."""

    def __init__(self) -> None:
        self._numbers = ValueBuilder(pa.int64(), narrow=True)
        self._texts: ValueBuilder | None = None

    def add(self, values: pa.Array) -> None:
        """See `ColumnBuilder`."""
        if self._texts is None:
            packed = arrays.pack(values)
            if packed is not None:
                self._numbers.add(packed)
                return
            self._texts = ValueBuilder(pa.string())
            self._texts.add(arrays.unpack(self._numbers.finish()))
        self._texts.add(values)

    def finish(self) -> pa.Array:
        """See `ColumnBuilder`."""
        return (self._numbers if self._texts is None else self._texts).finish()


class DictionaryBuilder:
    """Builds a dictionary array of texts; its indices are of the narrowest integer type that holds them.

    As long as there are few distinct texts, the indices of each batch are translated as it comes, with a Python dict of
    at most `max_dict_texts`. Columns with more (patients) are encoded in blocks of `block_rows`.
    """

    def __init__(
        self,
        *,
        max_dict_texts: int = _MAX_DICT_TEXTS,
        block_rows: int = _BLOCK_ROWS,
        partition_rows: int = arrays.PARTITION_ROWS,
    ) -> None:
        self._max_dict_texts, self._block_rows, self._partition_rows = max_dict_texts, block_rows, partition_rows
        self._number_of: dict[str, int] = {}
        self._numbers = ValueBuilder(pa.int32(), narrow=True)
        self._encoder: _BlockEncoder | None = None

    def add(self, values: pa.Array) -> None:
        """See `ColumnBuilder`."""
        if self._encoder is None:
            encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
            if self._are_few(encoded):
                texts = encoded.dictionary.to_pylist()
                numbers = [self._number_of.setdefault(text, len(self._number_of)) for text in texts]
                self._numbers.add(_renumbered(encoded.indices, numbers))
                return
            self._encoder = _BlockEncoder(*self._encoded(), self._block_rows, self._partition_rows)
        self._encoder.add(_plain(values))

    def finish(self) -> pa.Array:
        """See `ColumnBuilder`."""
        numbers, texts = self._encoded() if self._encoder is None else self._encoder.finish()
        return pa.DictionaryArray.from_arrays(numbers, texts)

    def _are_few(self, encoded: pa.DictionaryArray) -> bool:
        distinct = len(encoded.dictionary)
        # A quarter of the lines or more have a text of their own.
        many = distinct * 4 > len(encoded) and distinct > self._max_dict_texts >> 6
        return not many and len(self._number_of) <= self._max_dict_texts

    def _encoded(self) -> tuple[pa.Array, pa.Array]:
        return self._numbers.finish(), pa.array(list(self._number_of), pa.string())


class _BlockEncoder:
    """Dictionary encoding of many distinct texts: block by block, then once more over the dictionaries of all blocks.

    There is never a hash table of all texts, which would take more memory than the texts.
    """

    def __init__(self, numbers: pa.Array, texts: pa.Array, block_rows: int, partition_rows: int) -> None:
        self._block_rows, self._partition_rows = block_rows, partition_rows
        self._blocks: list[tuple[pa.Array, pa.Array]] = [(numbers, texts)]
        self._waiting: list[pa.Array] = []
        self._rows = 0

    def add(self, values: pa.Array) -> None:
        self._waiting.append(values)
        self._rows += len(values)
        if self._rows >= self._block_rows:
            self._encode()

    def finish(self) -> tuple[pa.Array, pa.Array]:
        """Return the index of each value (null for null), and the distinct texts."""
        self._encode()
        indices_of_blocks, texts = zip(*self._blocks, strict=True)
        self._blocks.clear()
        ends = np.cumsum([len(block) for block in texts]).tolist()
        texts = pa.concat_arrays(texts)
        numbers, texts = arrays.number_texts(texts, self._partition_rows)
        indices = ValueBuilder(pa.int32(), narrow=True)
        for first, end, local in zip([0, *ends], ends, indices_of_blocks, strict=False):
            indices.add(pa.array(numbers[first:end]).take(local))
        return indices.finish(), texts

    def _encode(self) -> None:
        if self._waiting:
            encoded = pa.concat_arrays(self._waiting).dictionary_encode()
            self._blocks.append((encoded.indices, encoded.dictionary))
            self._waiting, self._rows = [], 0


def narrowed(values: pa.Array) -> pa.Array:
    """Return an integer array in the narrowest type (int8 … int64) that holds its values; int8 if all are null."""
    bounds = pc.min_max(values)
    least, most = bounds["min"].as_py(), bounds["max"].as_py()
    if least is None:
        return values.cast(pa.int8())
    kind = next((kind for bound, kind in _WIDTHS if -bound <= least and most < bound), pa.int64())
    return values.cast(kind)


def _join(parts: list[pa.Array]) -> pa.Array:
    """Return the concatenated parts, in the type of the widest, and empty the list."""
    widest = max((part.type for part in parts), key=lambda kind: kind.bit_width if pa.types.is_integer(kind) else 0)
    joined = pa.concat_arrays([part.cast(widest) for part in parts])
    parts.clear()
    return joined


def _renumbered(indices: pa.Array, numbers: list[int]) -> pa.Array:
    if numbers == list(range(len(numbers))):
        return indices
    return pa.array(np.array(numbers, np.int32)).take(indices)


def _plain(column: pa.Array) -> pa.Array:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


_DIGITS = ("invoice", "ramq_id")
_RELEASE_ROWS = 1 << 17
_NARROW = ("units", "preliminary_cents", "paid_cents")


class LineCollector:
    """Collects the rule columns of accepted lines, batch by batch, in a table.

    The table does not depend on how the file was cut into batches.
    """

    def __init__(self, columns: Collection[str] = RULE_SCHEMA.names) -> None:
        """Collect these columns of `RULE_SCHEMA`."""
        self._fields = [field for field in RULE_SCHEMA if field.name in columns]
        self._columns = self._builders()

    def add(self, batch: pa.RecordBatch) -> None:
        """Append the collected columns of `batch`, which has the columns of `BILLING_SCHEMA` or of `RULE_SCHEMA`."""
        if batch.num_rows:
            for name, column in self._columns.items():
                column.add(batch.column(name))

    def finish(self) -> pa.Table:
        """Return all lines as a table with the collected columns in the order of `RULE_SCHEMA`, in one chunk each.

        Types are those of the schema, but `units`, `preliminary_cents`, `paid_cents` and the indices of dictionaries
        are narrowed, and `invoice` and `ramq_id` may be integers. The collector is empty afterwards. Columns are
        finished one after the other, so that at most one is in memory twice.
        """
        columns, self._columns = self._columns, self._builders()
        arrays, fields = [], []
        for field in self._fields:
            arrays.append(columns.pop(field.name).finish())
            fields.append(field.with_type(arrays[-1].type))
            if len(arrays[-1]) > _RELEASE_ROWS:  # or the parts of all columns would stay resident
                pa.default_memory_pool().release_unused()
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

    def _builders(self) -> dict[str, ColumnBuilder]:
        return {field.name: _column(field) for field in self._fields}


def _column(field: pa.Field) -> ColumnBuilder:
    if field.name in _DIGITS:
        return DigitsBuilder()
    if pa.types.is_dictionary(field.type):
        return DictionaryBuilder()
    return ValueBuilder(field.type, narrow=field.name in _NARROW)
