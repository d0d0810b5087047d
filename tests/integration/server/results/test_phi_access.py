"""The scope phi:read: who has it sees persons as they are, and it is noted; who has it not sees pseudonyms."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import grpc
import pyarrow as pa
import pytest
from serving import KEY, Server, Worker, messages

from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.billing import BILLING_SCHEMA, REJECTED_SCHEMA
from facnet_grpc.model.result import RESULT_SCHEMA
from facnet_grpc.phi.redaction import Redactor
from facnet_grpc.storage.postgres import records, results
from facnet_grpc.storage.postgres.records import RecordWriter

pytestmark = pytest.mark.system

NAM, DOCTOR, NAME, LINE = "TREM12345678", "1234567", "Martin, Marie", "31/31/2025;TREM12345678;" + "x" * 2000
TOKENS = "ed=clinic/editor, doc=clinic/viewer/phi:read, adm=hospital/admin/phi:read"


def bearing(token: str) -> dict[str, Any]:
    return {"metadata": (("authorization", f"Bearer {token}"),), "timeout": 10}


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server(dev_tokens=TOKENS)


@pytest.fixture
def completed(server: Server) -> str:
    run_id = UUID(server.stub.SubmitValidation(messages(b"some,claims\n"), **bearing("ed")).validation_id)
    worker = Worker(server, run_id).start()
    result = {
        "result_number": 1, "rule_id": "office_fee", "rule_version": "1", "scenario": "threshold_19928_registered",
        "severity": "error", "category": "office_fees", "certainty": "certain", "affected_records": [1],
        "ramq_ids": ["R1"], "doctor_key": DOCTOR, "doctor_name": NAME, "patient_key": NAM, "at_risk_cents": 1,
        "potential_gain_cents": 0, "data": json.dumps({"visits": 3}),
    }  # fmt: skip
    line = {
        "record_number": 1, "service_date": 20000, "code": "19928", "preliminary_cents": 100, "doctor_key": DOCTOR,
        "doctor_name": NAME, "patient_key": NAM, "patient_name": "TREMBLAY, MARIE",
    }  # fmt: skip
    rejected = {"record_number": 2, "column_name": "service_date", "reason": "bad_date", "raw": LINE}
    with server.database.connection() as conn:
        with RecordWriter(conn, run_id) as writer:
            writer.write(pa.RecordBatch.from_pylist([line], schema=BILLING_SCHEMA))
        results.write(conn, run_id, pa.Table.from_pylist([result], schema=RESULT_SCHEMA))
        records.write_rejected(conn, run_id, pa.RecordBatch.from_pylist([rejected], schema=REJECTED_SCHEMA))
    worker.complete(rejected_rows=1)
    return str(run_id)


def read_all(server: Server, run_id: str, token: str) -> tuple[Any, Any, Any, bytes]:
    found = server.stub.ListValidationResults(pb.ListValidationResultsRequest(validation_id=run_id), **bearing(token))
    rows = server.stub.ListRejectedRows(pb.ListRejectedRowsRequest(validation_id=run_id), **bearing(token))
    lines = server.stub.ListBillingRecords(pb.ListBillingRecordsRequest(validation_id=run_id), **bearing(token))
    export = server.stub.ExportValidation(pb.ExportValidationRequest(validation_id=run_id), **bearing(token))
    return found.results[0], rows.rejected_rows[0], lines.records[0], b"".join(part.data for part in export)


def noted(server: Server) -> list[tuple[Any, ...]]:
    with server.database.connection() as conn:
        columns = "owner, subject, action, run_id::text, row_count, request_id <> ''"
        return conn.execute(f"SELECT {columns} FROM phi_access_log ORDER BY id").fetchall()


@pytest.mark.parametrize(("token", "owner"), [("doc", "clinic"), ("adm", "hospital")])
def test_who_has_the_scope_sees_persons_and_it_is_noted(server: Server, completed: str, token: str, owner: str) -> None:
    result, rejected, line, export = read_all(server, completed, token)
    assert (result.patient_key, result.doctor_key, result.doctor) == (NAM, DOCTOR, NAME)
    assert NAME in result.message + result.solution + result.doctor
    assert rejected.raw == LINE[:1000]
    assert (line.patient_key, line.doctor_key) == (NAM, DOCTOR)
    assert NAM.encode() in export
    calls = ["ListValidationResults", "ListRejectedRows", "ListBillingRecords", "ExportValidation"]
    assert noted(server) == [(owner, owner, call, completed, 1, True) for call in calls]


def test_who_has_it_not_sees_pseudonyms_and_nothing_is_noted(server: Server, completed: str) -> None:
    answers = read_all(server, completed, "ed")
    assert answers[0].patient_key == Redactor(KEY.encode()).patient(NAM)
    assert answers[1].raw == ""
    said = " ".join(map(str, answers))
    for secret in (NAM, NAME, "Martin", "TREMBLAY"):
        assert secret not in said
    assert noted(server) == []


def test_without_the_note_there_is_nothing_to_see(server: Server, completed: str) -> None:
    with server.database.connection() as conn:
        conn.execute("ALTER TABLE phi_access_log RENAME TO gone")
    try:
        for call in (server.stub.ListRejectedRows, server.stub.ListBillingRecords):
            request = {
                server.stub.ListRejectedRows: pb.ListRejectedRowsRequest,
                server.stub.ListBillingRecords: pb.ListBillingRecordsRequest,
            }[call](validation_id=completed)
            with pytest.raises(grpc.RpcError):
                call(request, **bearing("doc"))
    finally:
        with server.database.connection() as conn:
            conn.execute("ALTER TABLE gone RENAME TO phi_access_log")


def test_a_refused_read_is_not_noted(server: Server) -> None:
    run_id = str(UUID(int=7))
    with pytest.raises(grpc.RpcError) as caught:
        server.stub.ListValidationResults(pb.ListValidationResultsRequest(validation_id=run_id), **bearing("doc"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert noted(server) == []


def test_doctors_are_found_by_what_the_caller_sees_of_them(server: Server, completed: str) -> None:
    pseudonym = Redactor(KEY.encode()).doctor_key(DOCTOR)
    for token, said, count in (("ed", pseudonym, 1), ("ed", DOCTOR, 0), ("doc", DOCTOR, 1), ("doc", pseudonym, 0)):
        request = pb.ListValidationResultsRequest(validation_id=completed, doctor_key=said)
        assert len(server.stub.ListValidationResults(request, **bearing(token)).results) == count
