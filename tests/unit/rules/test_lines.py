"""The collector keeps what rules need, the same however a file was cut."""

from __future__ import annotations

from datetime import date

import pyarrow as pa

from facnet_grpc.model.billing import BILLING_SCHEMA, RULE_SCHEMA
from facnet_grpc.rules.table.columns import LineCollector


def batch(first, count):
    rows = [
        {
            "record_number": number,
            "service_date": date(2025, 1, 1),
            "code": f"{number % 3:05}",
            "context": None if number % 2 else "AR",
            "preliminary_cents": number,
            "doctor_key": f"{number % 2}",
            "diagnosis": "not kept",
        }
        for number in range(first, first + count)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=BILLING_SCHEMA)


def collected(*batches):
    collector = LineCollector()
    for each in batches:
        collector.add(each)
    return collector.finish()


def test_batches_become_one_table_with_one_dictionary_a_column():
    table = collected(batch(1, 4), batch(5, 2), batch(7, 3))
    assert [(field.name, field.nullable) for field in table.schema] == [(at.name, at.nullable) for at in RULE_SCHEMA]
    assert {column.num_chunks for column in table.columns} == {1}
    assert table.column("record_number").to_pylist() == list(range(1, 10))
    assert table.column("code").chunk(0).dictionary.to_pylist() == ["00001", "00002", "00000"]
    assert table.column("context").to_pylist()[:2] == [None, "AR"]


def test_the_cut_does_not_matter():
    whole, parts = collected(batch(1, 9)), collected(batch(1, 1), batch(2, 5), batch(7, 0), batch(7, 3))
    assert whole.equals(parts)
    assert whole.column("code").chunk(0).dictionary.equals(parts.column("code").chunk(0).dictionary)


def test_columns_are_as_narrow_as_their_values():
    types = dict(zip(RULE_SCHEMA.names, collected(batch(1, 9)).schema.types, strict=True))
    assert types["code"] == pa.dictionary(pa.int8(), pa.string())
    assert (types["preliminary_cents"], types["record_number"]) == (pa.int8(), pa.int32())
    wide = collected(batch(1, 2), batch(40_000, 1)).column("preliminary_cents")
    assert (wide.type, wide.to_pylist()) == (pa.int32(), [1, 2, 40_000])


def test_nothing_collected():
    assert collected().column_names == RULE_SCHEMA.names
    assert collected().num_rows == 0


def test_finish_forgets():
    collector = LineCollector()
    collector.add(batch(1, 2))
    collector.finish()
    assert collector.finish().num_rows == 0
