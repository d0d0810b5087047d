"""Lines, rejects, results and logs: written by COPY, read back as they were."""

import json
import os
import socket
import threading
import time
from datetime import date
from datetime import time as clock
from uuid import uuid4

import pyarrow as pa
import pytest

from facnet_grpc.errors import FacnetError, LeaseLost, TransientError
from facnet_grpc.model.billing import BILLING_SCHEMA, REJECTED_SCHEMA
from facnet_grpc.model.result import RESULT_SCHEMA, Certainty, Result, Severity
from facnet_grpc.settings.keys import Keys
from facnet_grpc.storage.blobs.key_wrapping import KeyWrapper
from facnet_grpc.storage.postgres import column_encryption, records, results, run_log
from facnet_grpc.storage.postgres.database import PatientConnection
from facnet_grpc.storage.postgres.results import ResultFilter

PATIENTS = ("patient_key", "patient_name")
LINE = {
    "record_number": 1,
    "line_label": "1a",
    "invoice": "F-7",
    "ramq_id": "15000000001",
    "service_date": date(2025, 2, 28),
    "start_time": clock(8, 5),
    "end_time": clock(23, 59, 59),
    "payment_period": "202509",
    "place": "00123",
    "activity_sector": "cabinet",
    "diagnosis": "z000",
    "code": "19928",
    "units": 3,
    "role": "1",
    "context": "G160,MTA13",
    "preliminary_cents": -12_345_678_901,
    "paid_cents": 0,
    "doctor_key": "1234567",
    "doctor_name": "Bélanger-Côté, Noëlle",
    "doctor_info": '1234567 - Bélanger-Côté, Noëlle; "x"\t\\N',
    "agency": "12",
    "patient_key": "XXXX00000000",
    "patient_name": "ÉMOND, Zoé 🙂",
}
BARE = {field.name: LINE[field.name] if not field.nullable else None for field in BILLING_SCHEMA} | {"record_number": 2}


def lines(*rows):
    return pa.RecordBatch.from_pylist(list(rows), schema=BILLING_SCHEMA)


def stored(conn, run_id):
    names = ", ".join(BILLING_SCHEMA.names)
    rows = conn.execute(f"SELECT {names} FROM billing_records WHERE run_id = %s ORDER BY record_number", (run_id,))
    found = [dict(zip(BILLING_SCHEMA.names, row, strict=True)) for row in rows]
    decryptor = column_encryption.decryptor(conn, "billing_records", run_id)
    return [
        row | {name: decryptor.decrypt_one(row[name], name, row["record_number"]) for name in PATIENTS} for row in found
    ]


def write(conn, run_id, *batches):
    with records.RecordWriter(conn, run_id) as writer:
        for batch in batches:
            writer.write(batch)


def result(number, **changes):
    usual = {
        "result_number": number,
        "rule_id": "office_fee",
        "rule_version": "1",
        "scenario": "threshold",
        "severity": "warning",
        "category": "fees",
        "certainty": "certain",
        "record_number": 5,
        "affected_records": [5, 6],
        "ramq_ids": ["15", ""],
        "doctor_key": "1234567",
        "doctor_name": "Côté, Zoé",
        "patient_key": "K",
        "service_date": date(2025, 1, 2),
        "at_risk_cents": 100,
        "potential_gain_cents": 0,
        "data": json.dumps({"seuil": "dépassé", "n": [1, None]}),
    }
    return usual | changes


def findings(*rows):
    return pa.Table.from_pylist(list(rows), schema=RESULT_SCHEMA)


def test_lines_come_back_as_they_were(database):
    run_id = uuid4()
    with database.connection() as conn:
        write(conn, run_id, lines(LINE), lines(), lines(BARE))
    with database.connection() as conn:
        assert stored(conn, run_id) == [LINE, BARE]


def test_a_slice_of_a_batch_is_written_as_such(database):
    run_id = uuid4()
    batch = lines(*(LINE | {"record_number": number, "units": None if number % 3 else 1} for number in range(1, 50)))
    with database.connection() as conn:
        write(conn, run_id, batch.slice(7, 9), batch.slice(40))
        assert stored(conn, run_id) == batch.slice(7, 9).to_pylist() + batch.slice(40).to_pylist()


def test_a_local_socket_takes_more_than_a_moment_of_rows(clean_postgres_url):
    with PatientConnection.connect(clean_postgres_url) as conn, socket.socket(fileno=os.dup(conn.fileno())) as wire:
        if wire.family != socket.AF_UNIX:
            pytest.skip("TCP finds its own size")
        conn.key_wrapper = KeyWrapper.for_rows(Keys.parse("b" * 32))
        before = wire.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        write(conn, uuid4(), lines(LINE))
        assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) > before


def test_no_lines_are_no_error(database):
    with database.connection() as conn:
        write(conn, uuid4())
        writer = records.RecordWriter(conn, uuid4())
        writer.close()
        writer.close()
        assert conn.execute("SELECT count(*) FROM billing_records").fetchone() == (0,)


def test_nothing_is_kept_of_what_breaks_off(database):
    run_id = uuid4()

    def load():
        with database.connection() as conn, records.RecordWriter(conn, run_id) as writer:
            writer.write(lines(LINE))
            raise LeaseLost

    with pytest.raises(LeaseLost):
        load()
    with database.connection() as conn:
        assert stored(conn, run_id) == []


def test_nor_if_the_writer_is_forgotten(database):
    run_id = uuid4()

    def load():
        with database.connection() as conn:
            records.RecordWriter(conn, run_id).write(lines(LINE))
            raise LeaseLost

    with pytest.raises(LeaseLost):
        load()
    with database.connection() as conn:
        assert stored(conn, run_id) == []


def test_a_line_twice_is_a_mistake_whose_error_quotes_nothing(database):
    with pytest.raises(FacnetError) as caught, database.connection() as conn:
        write(conn, uuid4(), lines(LINE, LINE))
    assert caught.value.params == {
        "sqlstate": "23505",
        "table": "billing_records",
        "constraint": "billing_records_pkey",
    }
    assert caught.value.__suppress_context__


def test_a_frozen_worker_does_not_hold_up_its_successor(database):
    """Its rows are in an open transaction, and the successor writes the same keys."""
    run_id, wrote, go_on = uuid4(), threading.Event(), threading.Event()
    caught: list[FacnetError] = []

    def frozen():
        try:
            with database.connection(statement_timeout=None) as conn:
                writer = records.RecordWriter(conn, run_id)
                writer.write(lines(LINE))
                writer.close()
                wrote.set()
                go_on.wait(60)
                conn.execute("SELECT 1")
        except FacnetError as error:
            caught.append(error)

    thread = threading.Thread(target=frozen)
    thread.start()
    assert wrote.wait(30)
    began = time.monotonic()
    with database.connection() as conn:
        write(conn, run_id, lines(BARE))
    assert time.monotonic() - began < 15  # it waits for a transaction that stays open for a minute
    go_on.set()
    thread.join(10)
    assert isinstance(caught[0], TransientError)
    with database.connection() as conn:
        assert stored(conn, run_id) == [BARE]


def test_two_runs_load_at_the_same_time(database):
    one, two = uuid4(), uuid4()
    with (
        database.connection() as first,
        database.connection() as second,
        records.RecordWriter(first, one) as a,
        records.RecordWriter(second, two) as b,
    ):
        a.write(lines(LINE))
        b.write(lines(LINE))
    with database.connection() as conn:
        assert stored(conn, one) == stored(conn, two) == [LINE]


def test_rejected_lines_come_back_in_pages(database):
    run_id = uuid4()
    rows = [
        {"record_number": n, "column_name": None if n % 2 else "code", "reason": "bad", "raw": f"é{n}\0x"}
        for n in range(1, 6)
    ]
    batch = pa.RecordBatch.from_pylist(rows, schema=REJECTED_SCHEMA)
    with database.connection() as conn:
        records.write_rejected(conn, run_id, batch)
        records.write_rejected(conn, run_id, batch.slice(0, 0))
        first = records.rejected_page(conn, run_id, limit=3)
        assert [(row.record_number, row.column_name, row.reason, row.raw) for row in first] == [
            (1, None, "bad", "é1\ufffdx"),
            (2, "code", "bad", "é2\ufffdx"),
            (3, None, "bad", "é3\ufffdx"),
        ]
        assert [row.record_number for row in records.rejected_page(conn, run_id, after=3, limit=3)] == [4, 5]
        assert records.rejected_page(conn, uuid4(), limit=3) == []


def test_results_come_back_as_they_were(database):
    run_id = uuid4()
    empty = dict.fromkeys(("record_number", "doctor_key", "doctor_name", "patient_key", "service_date"))
    with database.connection() as conn:
        results.write(
            conn,
            run_id,
            findings(result(1), result(2, severity="info", affected_records=[], ramq_ids=[], data="{}", **empty)),
        )
        one, two = results.page(conn, run_id, limit=10)
    expected = result(1) | {
        "severity": Severity.WARNING,
        "certainty": Certainty.CERTAIN,
        "affected_records": (5, 6),
        "ramq_ids": ("15", ""),
        "data": {"seuil": "dépassé", "n": [1, None]},
    }
    assert one == Result(**expected)
    assert (two.severity, two.affected_records, two.ramq_ids, two.data) == (Severity.INFO, (), (), {})
    assert {getattr(two, name) for name in empty} == {None}


def test_many_results_in_pages(database):
    run_id, count = uuid4(), 20_000
    table = findings(*(result(n, affected_records=list(range(n % 4))) for n in range(1, count + 1)))
    with database.connection() as conn:
        results.write(conn, run_id, table.slice(0, 0))
        results.write(conn, run_id, pa.concat_tables([table.slice(0, 100), table.slice(100)]))
        after, seen = 0, 0
        while found := results.page(conn, run_id, after=after, limit=4096):
            seen, after = seen + len(found), found[-1].result_number
            assert all(len(one.affected_records) == one.result_number % 4 for one in found)
    assert (seen, after) == (count, count)


def test_results_are_filtered(database):
    run_id = uuid4()
    with database.connection() as conn:
        results.write(
            conn,
            run_id,
            findings(
                result(1),
                result(2, rule_id="visit_time", doctor_key=None),
                result(3, severity="error", service_date=date(2025, 1, 3)),
                result(4, category="codes", scenario="other", doctor_key="7654321", service_date=None),
            ),
        )

        def numbers(**changes):
            return [one.result_number for one in results.page(conn, run_id, ResultFilter(**changes), limit=9)]

        assert numbers() == [1, 2, 3, 4]
        assert numbers(rule_ids=("visit_time",)) == [2]
        assert numbers(severities=(Severity.ERROR, Severity.INFO)) == [3]
        assert numbers(categories=("codes",)) == [4]
        assert numbers(scenarios=("threshold",), rule_ids=("office_fee",)) == [1, 3]
        assert numbers(doctor_keys=("7654321",)) == [4]
        assert numbers(doctor_keys=()) == []
        assert numbers(service_date_from=date(2025, 1, 3)) == [3]
        assert numbers(service_date_to=date(2025, 1, 2)) == [1, 2]
        assert set(results.doctor_keys(conn, run_id)) == {"1234567", "7654321"}


def test_results_that_are_no_json_are_refused_without_being_quoted(database):
    with pytest.raises(FacnetError) as caught, database.connection() as conn:
        results.write(conn, uuid4(), findings(result(1, data="{secret")))
    assert "secret" not in str(caught.value)


def test_logs_are_kept_in_order(database):
    run_id = uuid4()
    with database.connection() as conn:
        run_log.add(conn, run_id, "info", "worker", "claimed", {"attempt": 1})
        run_log.add(conn, run_id, "warning", "worker", "released", {})
        run_log.add(conn, uuid4(), "info", "worker", "claimed", {})
        first, second = run_log.page(conn, run_id, limit=9)
        assert (first.event, first.level, first.source, first.data) == ("claimed", "info", "worker", {"attempt": 1})
        assert run_log.page(conn, run_id, after=first.log_number, limit=9) == [second]
