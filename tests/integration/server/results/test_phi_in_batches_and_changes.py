"""The scope phi:read where several runs, or several judgements of one, are shown: seen, and noted by run."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import grpc
import pyarrow as pa
import pytest
from serving import Server, Worker, eventually, messages
from structlog.testing import capture_logs

from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.billing import BILLING_SCHEMA
from facnet_grpc.model.result import RESULT_SCHEMA
from facnet_grpc.storage.postgres import results, revalidations
from facnet_grpc.storage.postgres.records import RecordWriter

pytestmark = pytest.mark.system

NAM, DOCTOR, NAME = "TREM12345678", "1234567", "Martin, Marie"
OWNER = "clinic-" + "x" * 80
TOKENS = f"ed={OWNER}/editor, doc={OWNER}/viewer/phi:read"


def bearing(token: str) -> dict[str, Any]:
    return {"metadata": (("authorization", f"Bearer {token}"),), "timeout": 10}


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server(dev_tokens=TOKENS)


def complete(server: Server, **header: Any) -> UUID:
    """A run with one line and one result."""
    data = json.dumps(header).encode()
    run_id = UUID(server.stub.SubmitValidation(messages(data, **header), **bearing("ed")).validation_id)
    worker = Worker(server, run_id).start()
    line = {
        "record_number": 1, "service_date": 20000, "code": "19928", "preliminary_cents": 100, "doctor_key": DOCTOR,
        "doctor_name": NAME, "patient_key": NAM, "ramq_id": "R1",
    }  # fmt: skip
    with server.database.connection() as conn:
        with RecordWriter(conn, run_id) as writer:
            writer.write(pa.RecordBatch.from_pylist([line], schema=BILLING_SCHEMA))
        results.write(conn, run_id, judged("gone"))
    worker.complete()
    return run_id


def judged(rule_id: str) -> pa.Table:
    result = {
        "result_number": 1, "rule_id": rule_id, "rule_version": "1", "scenario": "threshold_19928_registered",
        "severity": "error", "category": "office_fees", "certainty": "certain", "affected_records": [1],
        "ramq_ids": ["R1"], "doctor_key": DOCTOR, "doctor_name": NAME, "patient_key": NAM, "at_risk_cents": 1,
        "potential_gain_cents": 0, "data": "{}",
    }  # fmt: skip
    return pa.Table.from_pylist([result], schema=RESULT_SCHEMA)


def batch(server: Server, token: str) -> Any:
    return server.stub.GetBatch(pb.GetBatchRequest(batch_id="lot", include_duplicates=True), **bearing(token))


def changes(server: Server, run_id: UUID, token: str) -> list[Any]:
    """Ask what would change, and answer as a worker does: one result is gone, another is new."""

    def judge() -> None:
        with server.database.connection() as conn:
            found = eventually(lambda: revalidations.queued(conn, older_than_seconds=0, limit=1))[0]
            revalidations.write(conn, found, judged("new"))
            versions = {"rule_set_version": "r2", "reference_version": "v2"}
            assert revalidations.finish(conn, found, run_id, results=1, **versions)

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(judge)
        request = pb.RevalidateValidationRequest(validation_id=str(run_id))
        answer = list(server.stub.RevalidateValidation(request, **bearing(token)))
        working.result(10)
    return answer


def noted(server: Server) -> list[tuple[Any, ...]]:
    with server.database.connection() as conn:
        return conn.execute("SELECT owner, action, run_id, row_count FROM phi_access_log ORDER BY id").fetchall()


def test_doctors_of_duplicates_are_shown_and_noted_for_each_run(server: Server) -> None:
    runs = [complete(server, file_name=name, batch_id="lot") for name in ("a.csv", "b.csv")]
    hidden = batch(server, "ed")
    assert hidden.duplicate_count == 1
    assert not [secret for secret in (DOCTOR, "Martin", NAM) if secret in str(hidden)]
    assert noted(server) == []

    shown = batch(server, "doc").duplicates[0]
    assert shown.doctor_key == DOCTOR
    assert NAME in shown.message + shown.solution
    assert sorted(noted(server), key=str) == sorted(((OWNER, "GetBatch", run_id, 1) for run_id in runs), key=str)


def test_persons_in_changes_are_shown_and_noted(server: Server) -> None:
    run_id = complete(server)
    hidden = changes(server, run_id, "ed")
    assert len(hidden) == 3
    assert not [secret for secret in (DOCTOR, "Martin", NAM) if secret in str(hidden)]
    assert noted(server) == []

    gone, new, _ = changes(server, run_id, "doc")
    for result in (gone.change.before, new.change.after):
        assert (result.patient_key, result.doctor_key, result.doctor) == (NAM, DOCTOR, NAME)
    assert noted(server) == [(OWNER, "RevalidateValidation", run_id, 2)]


def test_without_the_note_there_is_nothing_to_see(server: Server) -> None:
    run_id, _ = (complete(server, file_name=name, batch_id="lot") for name in ("a.csv", "b.csv"))
    with server.database.connection() as conn:
        conn.execute("ALTER TABLE phi_access_log RENAME TO gone")
    try:
        for read in (lambda: batch(server, "doc"), lambda: changes(server, run_id, "doc")):
            with pytest.raises(grpc.RpcError) as caught:
                read()
            assert NAME not in str(caught.value)
    finally:
        with server.database.connection() as conn:
            conn.execute("ALTER TABLE gone RENAME TO phi_access_log")


def test_logs_say_whose_call_it_was_and_who_saw_persons(server: Server) -> None:
    run_id = complete(server)
    with capture_logs() as lines:
        server.stub.ListBillingRecords(pb.ListBillingRecordsRequest(validation_id=str(run_id)), **bearing("doc"))
        with pytest.raises(grpc.RpcError):
            server.stub.ListValidations(pb.ListValidationsRequest(), **bearing("nobody"))
        eventually(lambda: len([line for line in lines if line["event"] == "call"]) == 2)
    label = OWNER[:64]
    calls = [(line["code"], line.get("owner")) for line in lines if line["event"] == "call"]
    assert calls == [("OK", label), ("UNAUTHENTICATED", None)]
    shown = next(line for line in lines if line["event"] == "persons_shown")
    assert (shown["owner"], shown["action"], shown["run_id"], shown["rows"]) == (
        label, "ListBillingRecords", str(run_id), 1,
    )  # fmt: skip
    assert not [secret for secret in (DOCTOR, "Martin", NAM) if secret in str(lines)]
