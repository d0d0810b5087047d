"""Files of results and lines: the same names in every format, harmless in spreadsheets, the same bytes each time."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from datetime import date, time

import pyarrow as pa
import pytest
from pyarrow import ipc
from pyarrow import parquet as pq

from facnet_cli.output import to_json
from facnet_client import values
from facnet_grpc.export import tables
from facnet_grpc.export.formats import CHUNK_BYTES, Format, Sink, make_writer
from facnet_grpc.export.tables import canonical_json, export_lines, export_results
from facnet_grpc.model.billing import LINE_SCHEMA
from facnet_grpc.model.result import Certainty, Result, Severity
from facnet_grpc.phi.redaction import Redactor
from facnet_grpc.texts.language import Locale

PERSONS = Redactor(b"k" * 32)
NASTY = 'a "quoted" \\ cell,\nwith\teverything \x01 é 漢 😀'


def line(number, **changes):
    return {
        "record_number": number,
        "service_date": date(2025, 1, 2),
        "code": "15803",
        "preliminary_cents": 4285,
        "doctor_key": "1234567",
        **changes,
    }


LINES = [
    line(1, start_time=time(8, 5), units=2, context="AR,G160", paid_cents=-100, patient_key="TREM12345678"),
    line(2, preliminary_cents=-4285, invoice="=HYPERLINK()", ramq_id="+1", role="-1", agency="@x", diagnosis="\tx"),
    line(3, invoice=NASTY, doctor_name="Martin, Marie", place="=1+1"),
]


def batch(rows=LINES):
    return export_lines(pa.RecordBatch.from_pylist(rows, schema=LINE_SCHEMA), PERSONS)


def result(number, **changes):
    return Result(
        **{
            "result_number": number,
            "rule_id": "office_fee",
            "rule_version": "1",
            "scenario": "place",
            "severity": Severity.ERROR,
            "category": "office_fees",
            "certainty": Certainty.LIKELY,
            "record_number": number,
            "affected_records": (number, number + 1),
            "ramq_ids": ("R1", ""),
            "doctor_key": "1234567",
            "doctor_name": "Martin, Marie",
            "patient_key": "TREM12345678",
            "service_date": date(2025, 1, 2),
            "at_risk_cents": 100,
            "potential_gain_cents": 0,
            "data": {"b": 2.0, "a": [1.5, {"d": None, "c": True}]},
        }
        | changes,
    )


def written(form, batches, schema):
    sink = Sink()
    writer = make_writer(form, sink, schema)
    for one in batches:
        writer.write(one)
    writer.close()
    return b"".join(sink.chunks()) + sink.rest()


def test_names_and_their_order_are_those_of_the_client():
    """The command line writes JSON Lines from these values."""
    assert tables.RESULT.names == [field.name for field in dataclasses.fields(values.Result)]
    assert tables.LINE.names == [field.name for field in dataclasses.fields(values.Record)]


def test_json_lines_are_what_python_would_write():
    found = written(Format.JSONL, [batch()], tables.LINE).decode()

    rows = [json.loads(row) for row in found.splitlines()]
    assert [json.dumps(row, ensure_ascii=False) for row in rows] == found.splitlines()
    assert rows[2]["invoice"] == NASTY
    assert rows[0]["context"] == ["AR", "G160"]
    assert rows[1]["context"] == []
    assert (rows[0]["start_time"], rows[0]["end_time"], rows[1]["units"], rows[1]["paid_cents"]) == (
        "08:05:00",
        "",
        None,
        None,
    )
    assert [values.Record(**row | {"context": tuple(row["context"])}).record_number for row in rows] == [1, 2, 3]


def test_results_as_json_lines_are_what_the_command_line_writes():
    found = [result(1), result(2, record_number=None, affected_records=(), ramq_ids=(), service_date=None)]
    lines = written(Format.JSONL, [export_results(found, PERSONS, Locale.FR)], tables.RESULT).decode().splitlines()

    rows = [json.loads(row) for row in lines]
    assert [to_json(values.Result(**row)) for row in rows] == lines
    assert rows[0]["data"] == {"a": [1.5, {"c": True, "d": None}], "b": 2}
    assert (rows[1]["record_number"], rows[1]["affected_records"], rows[1]["service_date"]) == (None, [], "")
    assert rows[0]["doctor"] == "Dr M***"


def test_whole_numbers_in_facts_have_no_point_and_keys_are_sorted():
    assert canonical_json({"b": 2.0, "a": 1.5, "é": [True, 3.0]}) == '{"a": 1.5, "b": 2, "é": [true, 3]}'


def test_spreadsheets_run_nothing_and_numbers_stay_numbers():
    found = written(Format.CSV, [batch()], tables.LINE)

    assert found.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(found.decode("utf-8-sig"), newline="")))
    assert (rows[1]["preliminary_cents"], rows[0]["paid_cents"], rows[1]["paid_cents"]) == ("-4285", "-100", "")
    assert [rows[1][name] for name in ("invoice", "ramq_id", "role", "agency", "diagnosis")] == [
        "'=HYPERLINK()",
        "'+1",
        "'-1",
        "'@x",
        "'\tx",
    ]
    assert (rows[2]["invoice"], rows[2]["place"]) == (NASTY, "'=1+1")
    assert (rows[0]["context"], rows[0]["start_time"], rows[0]["code"]) == ("AR|G160", "08:05:00", "15803")
    assert b",-4285," in found


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("count", [0, 3])
def test_the_same_rows_give_the_same_bytes(form, count):
    batches = [batch(LINES[:count])] if count else []

    assert written(form, batches, tables.LINE) == written(form, batches, tables.LINE)


def test_parquet_and_arrow_give_the_rows_back():
    parts = [batch(LINES[:2]), batch(LINES[2:])]
    expected = pa.Table.from_batches(parts)

    parquet = pq.read_table(pa.BufferReader(written(Format.PARQUET, parts, tables.LINE)))
    arrow = ipc.open_stream(written(Format.ARROW, parts, tables.LINE)).read_all()

    assert arrow.equals(expected)
    assert parquet.to_pylist() == expected.to_pylist()
    assert pq.read_table(pa.BufferReader(written(Format.PARQUET, [], tables.LINE))).num_rows == 0


def test_a_slice_of_a_batch_is_written_like_a_batch():
    whole = written(Format.JSONL, [batch()], tables.LINE).splitlines(keepends=True)

    assert written(Format.JSONL, [batch().slice(1, 1)], tables.LINE) == whole[1]
    assert written(Format.CSV, [batch().slice(1, 1)], tables.LINE) == written(
        Format.CSV, [batch(LINES[1:2])], tables.LINE
    )


@pytest.mark.parametrize("form", Format)
def test_persons_are_pseudonyms(form):
    found = written(form, [batch()], tables.LINE)
    found += written(form, [export_results([result(1)], PERSONS, Locale.EN)], tables.RESULT)

    for secret in (b"TREM", b"Martin", b"Marie", b"1234567"):
        assert secret not in found


def test_chunks_are_of_one_size_and_nothing_is_lost():
    sink = Sink()
    sink.write(b"x" * (2 * CHUNK_BYTES + 5))

    assert [len(chunk) for chunk in sink.chunks()] == [CHUNK_BYTES, CHUNK_BYTES]
    assert list(sink.chunks()) == []
    assert (sink.rest(), sink.rest(), sink.tell()) == (b"xxxxx", b"", 2 * CHUNK_BYTES + 5)
