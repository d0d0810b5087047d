"""What stays of a file in memory while its batches go to PostgreSQL: what rules read, as narrow as it gets."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from facnet_grpc.model.billing import RULE_SCHEMA
from facnet_grpc.rules.columns import Digits, Growing, Values, Words

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

    def _none(self) -> dict[str, Growing]:
        return {field.name: _column(field) for field in self._fields}


def _column(field: pa.Field) -> Growing:
    if field.name in _DIGITS:
        return Digits()
    if pa.types.is_dictionary(field.type):
        return Words()
    return Values(field.type, narrow=field.name in _NARROW)
