"""What is left of a run that was deleted: a line that says so."""

from __future__ import annotations

import json

import pytest

from facnet_grpc.errors import Conflict, NotFound, TerminalError
from facnet_grpc.storage.postgres import erasure, leases, run_log, runs, uploads

OF_RUNS = ("billing_records", "rejected_rows", "validation_results", "validation_logs", "uploads")
LINE = """
    INSERT INTO billing_records (run_id, record_number, service_date, code, preliminary_cents, doctor_key, patient_key)
    VALUES (%s, 1, '2025-01-01', '15804', 1, '1234567', 'ZTES85010112')
"""


@pytest.fixture
def failed(database, take):
    claim = take()
    with database.connection() as conn:
        conn.execute(LINE, (claim.run.id,))
        run_log.add(conn, claim.run.id, "info", "worker", "failed", {})
        upload_id = claim.run.id
        uploads.open_(conn, upload_id=upload_id, owner="local", file_name="secret.csv", ttl_seconds=60)
        uploads.finish(conn, upload_id, claim.run.id)
        leases.fail(conn, claim, TerminalError())
    return claim.run


def left(conn, run_id):
    return [
        table for table in OF_RUNS if conn.execute(f"SELECT 1 FROM {table} WHERE run_id = %s", (run_id,)).fetchone()
    ]


def test_nothing_is_left_but_a_line_without_names(database, failed):
    with database.connection() as conn:
        assert left(conn, failed.id) == ["billing_records", "validation_logs", "uploads"]
        assert erasure.erase(conn, failed.id, "local").blob_key == failed.blob_key
        assert left(conn, failed.id) == []
        with pytest.raises(NotFound):
            runs.get(conn, failed.id)
        ((owner, action, run_id, detail),) = conn.execute(
            "SELECT owner, action, run_id, detail FROM audit_log"
        ).fetchall()
    assert (owner, action, run_id) == ("local", "validation_deleted", failed.id)
    assert (detail["status"], detail["removed"]["records"]) == ("FAILED", 1)
    assert not any(name in json.dumps(detail) for name in ("csv", "ZTES", "1234567"))


def test_it_is_deleted_once_and_by_its_owner(database, failed):
    for owner, run_id in (("other", failed.id), ("local", failed.id), ("local", failed.id)):
        with database.connection() as conn:
            if owner == "local" and runs.get_many(conn, [run_id]):
                erasure.erase(conn, run_id, owner)
            else:
                with pytest.raises(NotFound):
                    erasure.erase(conn, run_id, owner)


def test_a_run_that_is_not_over_stays(database, add, take):
    for run in (add(), take().run):
        with database.connection() as conn, pytest.raises(Conflict) as refused:
            erasure.erase(conn, run.id, "local")
        assert refused.value.params["status"] in {"QUEUED", "PROCESSING"}
        with database.connection() as conn:
            runs.get(conn, run.id)
