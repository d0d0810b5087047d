"""Lines, logs and whole files over the real port."""

from __future__ import annotations

import csv
import io
import json
import time
from datetime import date
from uuid import UUID, uuid4

import grpc
import pyarrow as pa
import pytest
from pyarrow import ipc
from pyarrow import parquet as pq
from serving import KEY, Server, Worker, eventually, refused, submit
from test_lists import ROWS as RESULTS

from facnet_cli.output import to_json
from facnet_client import ExportFormat, FacnetClient, LogLevel, NotFound
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.billing import BILLING_SCHEMA
from facnet_grpc.model.result import RESULT_SCHEMA
from facnet_grpc.phi.redaction import Redactor
from facnet_grpc.server.main import Tuning
from facnet_grpc.storage.postgres import deletion, results, run_log
from facnet_grpc.storage.postgres.records import RecordWriter

pytestmark = pytest.mark.system

PATIENT, DOCTOR = "TREM12345678", "1234567"
SECRETS = (PATIENT, DOCTOR, "Martin", "Marie", "TREMBLAY")
COUNT = 10


def line(number, **changes):
    return {
        "record_number": number,
        "invoice": f"I{number}",
        "ramq_id": None if number % 2 else f"R{number}",
        "service_date": date(2025, 1, 1),
        "code": "15803",
        "units": number,
        "context": "AR,G160" if number == 1 else None,
        "preliminary_cents": -5 if number == 2 else 4285,
        "paid_cents": None if number == 3 else 4285,
        "doctor_key": DOCTOR,
        "doctor_name": "Martin, Marie",
        "doctor_info": "1234567-12345 | Martin, Marie",
        "patient_key": PATIENT,
        "patient_name": "TREMBLAY, M",
        **changes,
    }


@pytest.fixture
def server(make_server) -> Server:
    """A server that exports small pages."""
    return make_server(tuning=Tuning(export_lines_per_page=3, export_results_per_page=2))


@pytest.fixture
def completed(server: Server) -> UUID:
    """A run with ten lines and five results."""
    run_id = submit(server)
    worker = Worker(server, run_id).start()
    rows = [line(number) for number in range(1, COUNT + 1)]
    rows[4]["invoice"] = '=1+1, "x"'
    with server.database.connection() as conn:
        writer = RecordWriter(conn, run_id)
        writer.write(pa.RecordBatch.from_pylist(rows, schema=BILLING_SCHEMA))
        writer.close()
        results.write(conn, run_id, pa.Table.from_pylist(RESULTS, schema=RESULT_SCHEMA))
        run_log.add(conn, run_id, "info", "worker", "file_understood", {"attempt": 1, "encoding": "cp1252"})
        run_log.add(conn, run_id, "warning", "server", "something", {})
        run_log.add(conn, run_id, "info", "worker", "completed", {"rows": COUNT})
    worker.complete()
    return run_id


@pytest.fixture
def client(server: Server):
    with FacnetClient(server.target, language="en") as opened:
        yield opened


def records(server, run_id, **asked):
    return server.stub.ListBillingRecords(pb.ListBillingRecordsRequest(validation_id=str(run_id), **asked))


def export(server, run_id, language="en", **asked):
    request = pb.ExportValidationRequest(validation_id=str(run_id), **asked)
    return list(server.stub.ExportValidation(request, metadata=(("accept-language", language),)))


def test_lines_are_read_page_by_page_without_persons(server, completed):
    first = records(server, completed, page_size=4)
    second = records(server, completed, page_size=4, page_token=first.next_page_token)
    third = records(server, completed, page_size=4, page_token=second.next_page_token)

    numbers = [one.record_number for page in (first, second, third) for one in page.records]
    assert numbers == list(range(1, COUNT + 1))
    assert third.next_page_token == ""
    one, two, three = first.records[:3]
    assert (list(one.context), one.units, one.service_date, one.ramq_id) == (["AR", "G160"], 1, "2025-01-01", "")
    assert (two.preliminary.nanos, two.paid.units) == (-50_000_000, 42)
    assert not three.HasField("paid")
    assert not any(one.start_time or one.place for one in first.records)
    redactor = Redactor(KEY.encode())
    assert (one.doctor, one.doctor_key) == ("Dr M***", redactor.doctor_key(DOCTOR))
    assert one.patient_key == redactor.patient(PATIENT)
    assert not [secret for secret in SECRETS if secret in str(first)]


def test_certain_lines_are_read(server, completed):
    found = records(server, completed, record_numbers=[7, 2, 7, 99, 2**60])
    assert [one.record_number for one in found.records] == [2, 7]
    token = records(server, completed, record_numbers=[7, 2], page_size=1).next_page_token
    more = records(server, completed, record_numbers=[2, 7], page_size=1, page_token=token)
    assert [one.record_number for one in more.records] == [7]
    assert refused(lambda: records(server, completed, page_token=token)).reason == "BAD_PAGE_TOKEN"


@pytest.mark.parametrize("numbers", [range(1, 1002), [0], [-1]])
def test_too_many_or_impossible_numbers_are_refused(server, completed, numbers):
    refusal = refused(lambda: records(server, completed, record_numbers=numbers))
    assert (refusal.code, refusal.params["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, "record_numbers")


def test_logs_are_read_by_level_and_source_whatever_the_state(server, client, completed):
    everything = list(client.logs(str(completed), page_size=2))
    assert [one.event for one in everything] == ["file_understood", "something", "completed"]
    assert (everything[0].level, everything[0].source) == (LogLevel.INFO, "worker")
    assert everything[0].data == {"attempt": 1, "encoding": "cp1252"}
    assert [one.event for one in client.logs(str(completed), min_level=LogLevel.WARNING)] == ["something"]
    assert [one.event for one in client.logs(str(completed), source="server")] == ["something"]
    assert list(client.logs(str(submit(server, b"another")))) == []


def test_logs_are_followed_to_the_end(server, client):
    run_id = submit(server)
    worker = Worker(server, run_id).start()

    def say(event):
        with server.database.connection() as conn:
            run_log.add(conn, run_id, "info", "worker", event, {})

    say("one")
    entries = client.logs(str(run_id), follow=True, poll_seconds=0.02)
    assert next(entries).event == "one"
    say("two")
    assert next(entries).event == "two"
    say("three")
    worker.complete()
    assert [entry.event for entry in entries] == ["three"]


@pytest.mark.parametrize(
    ("form", "media_type"),
    [
        (pb.EXPORT_FORMAT_UNSPECIFIED, "application/jsonl; charset=utf-8"),
        (pb.EXPORT_FORMAT_CSV, "text/csv; charset=utf-8; header=present"),
        (pb.EXPORT_FORMAT_PARQUET, "application/vnd.apache.parquet"),
        (pb.EXPORT_FORMAT_ARROW, "application/vnd.apache.arrow.stream"),
    ],
)
@pytest.mark.parametrize("content", [pb.EXPORT_CONTENT_RESULTS, pb.EXPORT_CONTENT_RECORDS])
def test_a_file_is_the_same_each_time_and_names_nobody(server, completed, form, media_type, content):
    parts = export(server, completed, content=content, format=form)
    again = export(server, completed, content=content, format=form)

    data = b"".join(part.data for part in parts)
    assert data == b"".join(part.data for part in again)
    assert [part.media_type for part in parts] == [media_type] + [""] * (len(parts) - 1)
    assert parts[-1].rows == (COUNT if content == pb.EXPORT_CONTENT_RECORDS else len(RESULTS))
    assert not [secret for secret in SECRETS if secret.encode() in data]


def test_json_lines_are_those_of_the_command_line(client, completed, tmp_path):
    out = tmp_path / "out.jsonl"

    assert client.export(str(completed), out) == len(RESULTS)
    assert out.read_text() == "".join(f"{to_json(one)}\n" for one in client.results(str(completed)))
    assert client.export(str(completed), out, records=True) == COUNT
    assert out.read_text() == "".join(f"{to_json(one)}\n" for one in client.records(str(completed)))


def test_texts_are_in_the_callers_language(server, completed):
    french, english = (
        json.loads(export(server, completed, language)[0].data.splitlines()[0]) for language in ("fr", "en")
    )

    assert french["message"] != english["message"]
    assert {**french, "message": "", "solution": ""} == {**english, "message": "", "solution": ""}


def test_tables_can_be_read(client, completed, tmp_path):
    paths = {form: tmp_path / f"lines.{form.value}" for form in ExportFormat}
    for path in paths.values():
        client.export(str(completed), path, records=True)

    parquet = pq.read_table(paths[ExportFormat.PARQUET])
    assert ipc.open_stream(paths[ExportFormat.ARROW].read_bytes()).read_all().to_pylist() == parquet.to_pylist()
    assert parquet.column("preliminary_cents").to_pylist()[:2] == [4285, -5]
    rows = list(csv.DictReader(io.StringIO(paths[ExportFormat.CSV].read_text("utf-8-sig"))))
    assert (rows[1]["preliminary_cents"], rows[4]["invoice"]) == ("-5", '\'=1+1, "x"')


def test_a_large_file_comes_in_chunks_and_as_fast_as_it_is_read(make_server):
    server = make_server(tuning=Tuning(export_lines_per_page=2_000))
    run_id, count = submit(server, b"large"), 40_000
    worker = Worker(server, run_id).start()
    with server.database.connection() as conn:
        writer = RecordWriter(conn, run_id)
        rows = [line(number, invoice=f"{number:0>200}") for number in range(1, count + 1)]
        writer.write(pa.RecordBatch.from_pylist(rows, schema=BILLING_SCHEMA))
        writer.close()
    worker.complete()
    read = []  # one connection a page
    server.hooked_database.before_connection = lambda: read.append(1)

    request = pb.ExportValidationRequest(validation_id=str(run_id), content=pb.EXPORT_CONTENT_RECORDS)
    call = server.stub.ExportValidation(request)
    parts = [next(call)]
    eventually(lambda: len(read) > 1)
    ahead = _settled(read)
    parts += call

    assert ahead < count // 2_000  # it waits for its reader
    assert {len(part.data) for part in parts[:-1]} == {256 << 10}
    assert len(parts[-1].data) < 256 << 10
    assert sum(part.data.count(b"\n") for part in parts) == parts[-1].rows == count


def _settled(read):
    """The number of pages once none has been read for a while."""
    seen = []
    while seen[-5:] != [len(read)] * 5:
        seen.append(len(read))
        time.sleep(0.05)  # that nothing happens can only be waited for
    return len(read)


def test_a_run_that_is_deleted_meanwhile_gives_no_half_file(server, client, completed, tmp_path):
    connections = []

    def delete_before_the_third_page() -> None:
        connections.append(1)
        if len(connections) == 4:  # the first one is that of the run itself
            with server.database.connection() as conn:
                deletion.take(conn, completed, None)

    server.hooked_database.before_connection = delete_before_the_third_page
    out = tmp_path / "out.csv"
    out.write_text("before")

    with pytest.raises(NotFound):
        client.export(str(completed), out, records=True)
    assert (out.read_text(), list(tmp_path.glob("*.part")), list(tmp_path.glob(".*"))) == ("before", [], [])


@pytest.mark.parametrize(
    "call",
    [
        lambda stub, run_id: stub.ListBillingRecords(pb.ListBillingRecordsRequest(validation_id=run_id)),
        lambda stub, run_id: stub.ListValidationLogs(pb.ListValidationLogsRequest(validation_id=run_id)),
        lambda stub, run_id: list(stub.ExportValidation(pb.ExportValidationRequest(validation_id=run_id))),
    ],
)
def test_runs_that_do_not_exist_cannot_be_told_from_others(server, completed, call):
    assert refused(lambda: call(server.stub, str(uuid4()))).reason == "VALIDATION_NOT_FOUND"


@pytest.mark.parametrize(
    "call",
    [
        lambda stub, run_id: stub.ListBillingRecords(pb.ListBillingRecordsRequest(validation_id=run_id)),
        lambda stub, run_id: list(stub.ExportValidation(pb.ExportValidationRequest(validation_id=run_id))),
    ],
)
def test_runs_that_are_not_completed_have_no_lines(server, call):
    run_id = str(submit(server))

    assert refused(lambda: call(server.stub, run_id)).reason == "WRONG_STATE"


@pytest.mark.parametrize("asked", [{"format": 99}, {"content": 99}, {"validation_id": "x"}])
def test_nonsense_is_refused(server, completed, asked):
    request = pb.ExportValidationRequest(**{"validation_id": str(completed), **asked})

    assert refused(lambda: list(server.stub.ExportValidation(request))).reason == "INVALID_ARGUMENT"
