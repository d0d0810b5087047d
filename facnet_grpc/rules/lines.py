"""What stays of a file in memory while its batches go to PostgreSQL: what rules read, text as dictionaries."""

from __future__ import annotations

import pyarrow as pa

from facnet_grpc.model.billing import RULE_SCHEMA


class LineCollector:
    """Collects the rule columns of accepted lines, batch by batch.

    However a file was cut into batches, `finish` returns the same table: dictionaries hold their values in order of
    first appearance.
    """

    def __init__(self) -> None:
        self._batches: list[pa.RecordBatch] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Keep what rules need of `batch`, a batch of `BILLING_SCHEMA`; its other columns can be freed."""
        columns = [_narrow(batch.column(field.name), field.type) for field in RULE_SCHEMA]
        self._batches.append(pa.RecordBatch.from_arrays(columns, schema=RULE_SCHEMA))

    def finish(self) -> pa.Table:
        """Return all lines as one table of `RULE_SCHEMA`, one chunk a column, and forget the batches."""
        batches, self._batches = self._batches, []
        return pa.Table.from_batches(batches, schema=RULE_SCHEMA).unify_dictionaries().combine_chunks()


def _narrow(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind) and not pa.types.is_dictionary(column.type):
        return column.dictionary_encode().cast(kind)
    return column.cast(kind)
