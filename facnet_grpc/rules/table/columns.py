"""Columns that grow batch by batch and take no more room than their values need.

Numbers are kept in as few bytes as the largest of the column takes, texts as numbers of a dictionary whose values
stand in order of first appearance. Parts are joined as they come, so that there are never many small ones: those
would keep memory from being used again.

What stays of a file in memory while its batches go to PostgreSQL: what rules read, as narrow as it gets.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facnet_grpc.model.billing import RULE_SCHEMA
from facnet_grpc.rules.table import arrays

_FEW = 1 << 16  # distinct values of a column up to which a Python dict of them costs next to nothing
_PARTS = 64
_WAITING = 1 << 17  # texts that are numbered together
_WIDTHS = ((1 << 7, pa.int8()), (1 << 15, pa.int16()), (1 << 31, pa.int32()))


class ColumnBuilder(Protocol):
    """A column on its way into memory."""

    def add(self, values: pa.Array) -> None:
        """Keep the values of one more batch."""

    def finish(self) -> pa.Array:
        """Return all values as one array. Once, and then no more are added."""


class ValueBuilder:
    """A column as it is, or (`narrow`) whole numbers in as few bytes as they fit into."""

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
    """Texts of digits as numbers (see `digits`), or as they are if there is one of something else."""

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
    """A column of text as a dictionary.

    As long as there are few different texts, each batch is numbered as it comes; for columns with many (patients) see
    `_BlockEncoder`.
    """

    def __init__(self) -> None:
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
            self._encoder = _BlockEncoder(*self._so_far())
        self._encoder.add(_plain(values))

    def finish(self) -> pa.Array:
        """See `ColumnBuilder`."""
        numbers, texts = self._so_far() if self._encoder is None else self._encoder.finish()
        return pa.DictionaryArray.from_arrays(numbers, texts)

    def _are_few(self, encoded: pa.DictionaryArray) -> bool:
        distinct = len(encoded.dictionary)
        own = distinct * 4 > len(encoded) and distinct > _FEW >> 6  # nearly every line has one of its own
        return not own and len(self._number_of) <= _FEW

    def _so_far(self) -> tuple[pa.Array, pa.Array]:
        return self._numbers.finish(), pa.array(list(self._number_of), pa.string())


class _BlockEncoder:
    """Numbers texts of which there are many: block by block, and in the end the blocks' texts once more.

    At no time is there a hash table of all of them, which would take more than the texts themselves.
    """

    def __init__(self, numbers: pa.Array, texts: pa.Array) -> None:
        self._blocks: list[tuple[pa.Array, pa.Array]] = [(numbers, texts)]
        self._waiting: list[pa.Array] = []
        self._rows = 0

    def add(self, values: pa.Array) -> None:
        self._waiting.append(values)
        self._rows += len(values)
        if self._rows >= _WAITING:
            self._encode()

    def finish(self) -> tuple[pa.Array, pa.Array]:
        """Return the number of each value (null for none), and the texts."""
        self._encode()
        own, texts = zip(*self._blocks, strict=True)
        self._blocks.clear()
        ends = np.cumsum([len(block) for block in texts]).tolist()
        texts = pa.concat_arrays(texts)
        numbers, texts = arrays.number_texts(texts)
        indices = ValueBuilder(pa.int32(), narrow=True)
        for first, end, local in zip([0, *ends], ends, own, strict=False):
            indices.add(pa.array(numbers[first:end]).take(local))
        return indices.finish(), texts

    def _encode(self) -> None:
        if self._waiting:
            encoded = pa.concat_arrays(self._waiting).dictionary_encode()
            self._blocks.append((encoded.indices, encoded.dictionary))
            self._waiting, self._rows = [], 0


def narrowed(values: pa.Array) -> pa.Array:
    """Return whole numbers in as few bytes as they fit into."""
    bounds = pc.min_max(values)
    least, most = bounds["min"].as_py(), bounds["max"].as_py()
    if least is None:
        return values.cast(pa.int8())
    kind = next((kind for bound, kind in _WIDTHS if -bound <= least and most < bound), pa.int64())
    return values.cast(kind)


def _join(parts: list[pa.Array]) -> pa.Array:
    """Return one array of parts, as wide as the widest; takes them out of the list."""
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
_MANY = 1 << 17
_NARROW = ("units", "preliminary_cents", "paid_cents")


class LineCollector:
    """Collects the rule columns of accepted lines, batch by batch.

    However a file was cut into batches, `finish` returns the same table: dictionaries hold their values in order of
    first appearance, and numbers are as wide as the largest of the file.
    """

    def __init__(self, columns: Collection[str] = RULE_SCHEMA.names) -> None:
        """Collect these columns."""
        self._fields = [field for field in RULE_SCHEMA if field.name in columns]
        self._columns = self._none()

    def add(self, batch: pa.RecordBatch) -> None:
        """Keep what rules need of `batch`, a batch of `BILLING_SCHEMA`; its other columns can be freed."""
        if batch.num_rows:
            for name, column in self._columns.items():
                column.add(batch.column(name))

    def finish(self) -> pa.Table:
        """Return all lines as a table of columns of `RULE_SCHEMA`, narrow and in one chunk each, and forget batches.

        Column by column, so that no more than one of them is there twice.
        """
        columns, self._columns = self._columns, self._none()
        arrays, fields = [], []
        for field in self._fields:
            arrays.append(columns.pop(field.name).finish())
            fields.append(field.with_type(arrays[-1].type))
            if len(arrays[-1]) > _MANY:  # or the parts of all columns would stay resident
                pa.default_memory_pool().release_unused()
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

    def _none(self) -> dict[str, ColumnBuilder]:
        return {field.name: _column(field) for field in self._fields}


def _column(field: pa.Field) -> ColumnBuilder:
    if field.name in _DIGITS:
        return DigitsBuilder()
    if pa.types.is_dictionary(field.type):
        return DictionaryBuilder()
    return ValueBuilder(field.type, narrow=field.name in _NARROW)
