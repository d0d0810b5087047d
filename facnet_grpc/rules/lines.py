"""What stays of a file in memory while its batches go to PostgreSQL: what rules read, text as dictionaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from facnet_grpc.model.billing import RULE_SCHEMA

_FEW = 1 << 16  # distinct values of a column up to which a Python dict of them costs next to nothing


class LineCollector:
    """Collects the rule columns of accepted lines, batch by batch.

    However a file was cut into batches, `finish` returns the same table: dictionaries hold their values in order of
    first appearance.
    """

    def __init__(self) -> None:
        self._columns = _columns()

    def add(self, batch: pa.RecordBatch) -> None:
        """Keep what rules need of `batch`, a batch of `BILLING_SCHEMA`; its other columns can be freed."""
        if batch.num_rows:
            for name, column in self._columns.items():
                column.add(batch.column(name))

    def finish(self) -> pa.Table:
        """Return all lines as one table of `RULE_SCHEMA`, one chunk a column, and forget the batches.

        Column by column, so that no more than one of them is there twice.
        """
        columns, self._columns = self._columns, _columns()
        arrays = []
        for field in RULE_SCHEMA:
            arrays.append(columns.pop(field.name).finish())
            pa.default_memory_pool().release_unused()  # or the parts of all columns would stay resident
        return pa.Table.from_arrays(arrays, schema=RULE_SCHEMA)


class _Values:
    """A column as it is."""

    def __init__(self, kind: pa.DataType) -> None:
        self._kind = kind
        self._parts: list[pa.Array] = []

    def add(self, column: pa.Array) -> None:
        self._parts.append(column.cast(self._kind))

    def finish(self) -> pa.Array:
        return _joined(self._parts, self._kind)


class _Words:
    """A column of text as a dictionary.

    As long as there are few different texts, each batch is numbered as it comes. Where there are many (patients), the
    text itself is kept and numbered in the end: one large table of texts takes less than as many small ones.
    """

    def __init__(self, kind: pa.DataType) -> None:
        self._kind = kind
        self._numbers: dict[str, int] = {}
        self._numbered: list[pa.Array] = []
        self._texts: list[pa.Array] = []

    def add(self, column: pa.Array) -> None:
        if self._texts or len(self._numbers) > _FEW:
            self._texts.append(_plain(column))
            return
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        texts = encoded.dictionary.to_pylist()
        if len(texts) * 4 > len(column) and len(texts) > _FEW >> 6:  # nearly every line has one of its own
            self._texts.append(_plain(column))
            return
        numbers = [self._numbers.setdefault(text, len(self._numbers)) for text in texts]
        self._numbered.append(_renumbered(encoded.indices, numbers))

    def finish(self) -> pa.Array:
        known = pa.array(list(self._numbers), self._kind.value_type)
        numbered = pa.DictionaryArray.from_arrays(_joined(self._numbered, self._kind.index_type), known)
        if not self._texts:
            return numbered
        texts, self._texts = [_plain(numbered), *self._texts] if len(numbered) else self._texts, []
        del numbered
        return _encoded(texts, self._kind)


def _columns() -> dict[str, Any]:
    return {
        field.name: _Words(field.type) if pa.types.is_dictionary(field.type) else _Values(field.type)
        for field in RULE_SCHEMA
    }


def _renumbered(indices: pa.Array, numbers: list[int]) -> pa.Array:
    if numbers == list(range(len(numbers))):
        return indices
    return pa.array(np.array(numbers, np.int32)).take(indices)


def _encoded(texts: list[pa.Array], kind: pa.DataType) -> pa.Array:
    """Return texts as one dictionary column; takes them out of the list."""
    chunks = pa.chunked_array(texts, kind.value_type)
    texts.clear()
    encoded = chunks.dictionary_encode()  # all chunks share one dictionary
    del chunks
    indices = [chunk.indices for chunk in encoded.chunks]
    return pa.DictionaryArray.from_arrays(_joined(indices, kind.index_type), encoded.chunk(0).dictionary)


def _joined(parts: list[pa.Array], kind: pa.DataType) -> pa.Array:
    """Return one array of parts; takes them out of the list."""
    joined = pa.concat_arrays(parts) if parts else pa.array([], kind)
    parts.clear()
    return joined


def _plain(column: pa.Array) -> pa.Array:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
