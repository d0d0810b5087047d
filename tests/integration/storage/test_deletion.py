"""A deleted run and one past its retention go, with everything; a line of the audit log stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pyarrow as pa
import pytest

from facnet_grpc.errors import Conflict, NotFound
from facnet_grpc.model.billing import BILLING_SCHEMA
from facnet_grpc.storage.postgres import deletion, run_log, runs, uploads
from facnet_grpc.storage.postgres.records import RecordWriter
from workers.periodic.retention import Retention

DAY = 86_400.0
LINES = 50
KEPT = ("validation_runs", "billing_records", "validation_logs", "data_keys", "row_keys", "uploads", "erasures")


@pytest.fixture
def old(database, add):
    """Stores a run with lines that ended some days ago."""

    def store(days=31, status="COMPLETED", owner="local"):
        run = add(owner=owner)
        lines = [
            {
                "record_number": number,
                "service_date": 20000,
                "code": "19928",
                "preliminary_cents": 1,
                "doctor_key": "1",
                "patient_key": "CANARY",
            }
            for number in range(1, LINES + 1)
        ]
        with database.connection() as conn:
            with RecordWriter(conn, run.id) as writer:
                writer.write(pa.RecordBatch.from_pylist(lines, schema=BILLING_SCHEMA))
            run_log.add(conn, run.id, "info", "worker", "completed", {})
            uploads.open_(conn, upload_id=run.id, owner=owner, file_name="claims.csv", ttl_seconds=9)
            conn.execute("INSERT INTO data_keys VALUES (%s, %s, 'a', 'x')", (run.id, run.id))
            uploads.finish(conn, run.id, run.id)
            conn.execute(
                "UPDATE validation_runs SET status = %s, error_code = CASE %s WHEN 'FAILED' THEN 'X' END, "
                "finished_at = now() - make_interval(days => %s) WHERE id = %s",
                (status, status, days, run.id),
            )
        return run

    return store


def counted(database):
    with database.connection() as conn:
        return [conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in KEPT]


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED"])
def test_an_old_run_goes_with_everything(database, old, status):
    run = old(status=status, owner="clinic")
    assert deletion.purge_all(database, older_than_seconds=30 * DAY) == 1
    assert counted(database) == [0] * len(KEPT)
    with database.connection() as conn:
        (line,) = conn.execute("SELECT owner, action, run_id, detail FROM audit_log").fetchall()
    counts = {"processed_rows": 0, "rejected_rows": 0, "results": 0}
    detail = {"status": status, "size_bytes": run.size_bytes, **counts}
    assert line == ("clinic", "validation_purged", run.id, detail)


def test_a_young_one_and_one_that_waits_stay(database, old, add):
    old(days=29)
    add()
    assert deletion.purge_all(database, older_than_seconds=30 * DAY) == 0
    assert counted(database) == [2, LINES, 1, 1, 1, 1, 0]


def test_it_is_gone_at_once_and_its_rows_piece_by_piece(database, old):
    old()
    with database.connection() as conn:
        assert len(deletion.take_old(conn, older_than_seconds=30 * DAY, limit=10)) == 1
    assert counted(database) == [0, LINES, 1, 0, 0, 0, 1]
    removed = []
    for _ in range(5):
        with database.connection() as conn:
            removed.append(deletion.sweep(conn, limit=20))
    assert removed == [21, 20, 10, None, None]
    assert counted(database) == [0] * len(KEPT)


def test_two_at_it_do_not_wait_for_each_other(database, old):
    old()
    with database.connection() as first:
        assert len(deletion.take_old(first, older_than_seconds=DAY, limit=10)) == 1
        with database.connection() as second:
            assert deletion.take_old(second, older_than_seconds=DAY, limit=10) == []


def test_the_workers_do_it(database, old, blob_store):
    old()
    retention = Retention(database, blob_store, failed_blob_seconds=0, retention_days=30)
    for step in retention.steps:
        step()
    assert counted(database) == [0] * len(KEPT)


def test_the_command_counts_and_then_does_it(database, clean_postgres_url, old, tmp_path):
    old()
    environment = {
        **os.environ,
        "DATABASE_URL": clean_postgres_url,
        "REDIS_URL": "redis://unused",
        "FACNET_BLOB_DIR": str(tmp_path),
        "FACNET_PSEUDONYM_KEY": "k" * 32,
        "FACNET_BLOB_KEY": "b" * 32,
    }

    def run(*words):
        command = [sys.executable, "-m", "facnet_grpc", "purge", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert json.loads(run("--json", "--dry-run").stdout) == {
        "validations": 1,
        "older_than_days": 30,
        "dry_run": True,
    }
    assert run("--older-than", "40d").stdout.startswith("0 validation ")
    assert run("--older-than", "3 weeks").returncode == 2
    assert counted(database)[0] == 1
    assert "1 validation that ended more than 30 days ago: removed" in run("--lang", "en", "--older-than", "30d").stdout
    assert counted(database) == [0] * len(KEPT)


def test_a_deleted_run_is_not_found_at_once_and_its_rows_go_piece_by_piece(database, old):
    run, other = old(days=1, status="FAILED"), old(days=1)
    with database.connection() as conn:
        assert deletion.take(conn, run.id, "local").blob_key == run.blob_key
    with database.connection() as conn, pytest.raises(NotFound):
        runs.get(conn, run.id)
    assert counted(database) == [1, 2 * LINES, 2, 1, 1, 1, 1]
    assert not deletion.sweep_for(database, 0, run_id=run.id, piece_rows=20)
    assert counted(database)[1] == 2 * LINES - 20
    assert deletion.sweep_for(database, 60, run_id=run.id, piece_rows=20)
    assert counted(database) == [1, LINES, 1, 1, 1, 1, 0]
    with database.connection() as conn:
        ((owner, action, run_id, detail),) = conn.execute("SELECT owner, action, run_id, detail FROM audit_log")
        assert runs.get(conn, other.id)
    assert (owner, action, run_id, detail["status"]) == ("local", "validation_deleted", run.id, "FAILED")
    assert not any(name in json.dumps(detail) for name in ("csv", "CANARY", "19928"))


def test_rows_that_a_deletion_leaves_are_removed_by_the_workers(database, old, blob_store):
    run = old(days=1)
    with database.connection() as conn:
        deletion.take(conn, run.id, "local")
    Retention(database, blob_store, failed_blob_seconds=0).purge_runs()
    assert counted(database) == [0] * len(KEPT)


def test_a_sweep_takes_the_run_that_is_asked_for_and_otherwise_the_one_taken_first(database, old):
    taken = [old(days=1), old(days=1)]
    for run in taken:
        with database.connection() as conn:
            deletion.take(conn, run.id, None)
    assert deletion.sweep_for(database, 60, run_id=taken[1].id)
    with database.connection() as conn:
        assert conn.execute("SELECT DISTINCT run_id FROM billing_records").fetchall() == [(taken[0].id,)]
        assert deletion.sweep(conn, limit=1) == 2
        assert conn.execute("SELECT count(*) FROM billing_records").fetchone() == (LINES - 1,)


def test_a_run_is_deleted_once_and_by_its_owner(database, old):
    run = old(days=1)
    with database.connection() as conn:
        with pytest.raises(NotFound):
            deletion.take(conn, run.id, "other")
        deletion.take(conn, run.id, "local")
        for owner in ("local", None):
            with pytest.raises(NotFound):
                deletion.take(conn, run.id, owner)


def test_a_run_that_has_not_ended_stays(database, add, take):
    for run in (add(), take().run):
        with database.connection() as conn, pytest.raises(Conflict) as refused:
            deletion.take(conn, run.id, "local")
        assert refused.value.params["status"] in {"QUEUED", "PROCESSING"}
        with database.connection() as conn:
            runs.get(conn, run.id)


def test_a_round_of_the_purge_takes_some_runs_and_says_that_there_are_more(database, old):
    for _ in range(3):
        old()
    found = [deletion.purge(database, older_than_seconds=30 * DAY, seconds=60, max_runs=2) for _ in range(2)]
    assert found == [deletion.Purged(2, more=True), deletion.Purged(1, more=False)]
    assert counted(database) == [0] * len(KEPT)
