"""What PostgreSQL stores of patients and of the keys of files and rows, and what is left of it in the end."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest

from facnet_grpc.errors import Reason, TerminalError, TransientError
from facnet_grpc.model.billing import BILLING_SCHEMA, REJECTED_SCHEMA
from facnet_grpc.model.result import RESULT_SCHEMA
from facnet_grpc.settings.keys import Keys
from facnet_grpc.storage.blobs.encrypted import EncryptedBlobStore
from facnet_grpc.storage.blobs.key_wrapping import KeyWrapper
from facnet_grpc.storage.postgres import (
    column_encryption,
    deletion,
    key_rotation,
    records,
    results,
    revalidations,
    runs,
    uploads,
)
from facnet_grpc.storage.postgres.database import Database, KeylessDatabase
from facnet_grpc.storage.postgres.file_keys import PostgresFileKeys
from facnet_grpc.storage.postgres.records import RecordWriter

OLD, NEW = Keys.parse("a:" + "o" * 32), Keys.parse("b:" + "n" * 32)
BOTH = Keys.parse(f"b:{'n' * 32},a:{'o' * 32}")
NAM, NAME, RAW = "TREM12345678", "TREMBLAY, Éloïse", "31/31/2025;TREM12345678"


def opened(url, keys):
    wrapper = KeyWrapper.for_rows(keys)
    return Database(url, key_wrapper=wrapper, max_connections=2, application_name="facnet-test")


def encrypted(blob_store, database, keys):
    return EncryptedBlobStore(blob_store, PostgresFileKeys(database, KeyWrapper.for_files(keys)))


def write(database, run_id):
    line = {"service_date": 20000, "code": "19928", "preliminary_cents": 1, "doctor_key": "1"}
    patients = [(NAM, NAME), (NAM, NAME), ("OTHE12345678", None), (None, None), ("", "")]
    batch = [
        {**line, "record_number": number, "patient_key": key, "patient_name": name}
        for number, (key, name) in enumerate(patients, 1)
    ]
    rejected = {"record_number": 9, "column_name": None, "reason": "bad_date", "raw": RAW}
    with database.connection() as conn:
        with RecordWriter(conn, run_id) as writer:
            writer.write(pa.RecordBatch.from_pylist(batch, schema=BILLING_SCHEMA))
        records.write_rejected(conn, run_id, pa.RecordBatch.from_pylist([rejected], schema=REJECTED_SCHEMA))


def read(database, run_id):
    with database.connection() as conn:
        keys = records.record_page(conn, run_id, limit=10).column("patient_key").to_pylist()
        names = pa.Table.from_batches(records.read_for_rules(conn, run_id)).column("patient_name").to_pylist()
        return keys, names, records.rejected_page(conn, run_id, limit=1)[0].raw


def stored(database):
    with database.connection() as conn:
        patients = conn.execute("SELECT patient_key, patient_name FROM billing_records ORDER BY record_number")
        raw = conn.execute("SELECT raw FROM rejected_rows")
        return patients.fetchall(), raw.fetchone()[0]


def test_patients_are_encrypted_and_come_back(database, clean_postgres_url):
    run_id = uuid4()
    with opened(clean_postgres_url, OLD) as sealed:
        write(sealed, run_id)
        wanted = ([NAM, NAM, "OTHE12345678", None, ""], [NAME, NAME, None, None, ""], RAW)
        assert read(sealed, run_id) == wanted
    patients, raw = stored(database)
    assert all(text.encode() not in b"".join(filter(None, sum(patients, ()))) + raw for text in (NAM, "TREMBLAY"))
    assert patients[0][0] != patients[1][0]  # nobody sees that it is the same patient
    assert {len(key) for key, _ in patients if key is not None} == {16}  # nor how long it is
    assert patients[3] == (None, None)
    with opened(clean_postgres_url, BOTH) as both:  # after a change of keys
        assert read(both, run_id) == wanted
    with opened(clean_postgres_url, NEW) as new, pytest.raises(TransientError) as caught:
        read(new, run_id)
    assert caught.value.params == {"key_id": "a"}


def test_the_same_file_twice_looks_different(database, clean_postgres_url):
    seen = set()
    with opened(clean_postgres_url, OLD) as sealed:
        for run_id in (uuid4(), uuid4()):
            write(sealed, run_id)
            seen.add(stored(database)[0][0][0])
            with database.connection() as conn:
                conn.execute("TRUNCATE billing_records, rejected_rows")
    assert len(seen) == 2


def test_results_about_no_line_or_the_same_one_are_encrypted_apart(database, clean_postgres_url):
    run_id = uuid4()
    found = [RESULT | {"result_number": at, "record_number": about} for at, about in enumerate((7, 7, None), 1)]
    with opened(clean_postgres_url, OLD) as sealed, sealed.connection() as conn:
        results.write(conn, run_id, pa.Table.from_pylist(found, schema=RESULT_SCHEMA))
        assert [one.patient_key for one in results.page(conn, run_id, limit=9)] == [NAM] * 3
    with database.connection() as conn:
        assert conn.execute("SELECT count(DISTINCT patient_key) FROM validation_results").fetchone() == (3,)


RESULT = {
    "result_number": 1, "record_number": 1, "rule_id": "r", "rule_version": "1", "scenario": "s", "severity": "error",
    "category": "c", "certainty": "certain", "affected_records": [], "ramq_ids": [], "at_risk_cents": 0,
    "potential_gain_cents": 0, "data": "{}", "patient_key": NAM,
}  # fmt: skip
LINE = {"record_number": 1, "service_date": 20000, "code": "19928", "preliminary_cents": 1, "doctor_key": "1"}
LINES = pa.RecordBatch.from_pylist([LINE | {"patient_key": NAM, "patient_name": NAME}], schema=BILLING_SCHEMA)
REJECTED = pa.RecordBatch.from_pylist([{"record_number": 1, "reason": "bad_date", "raw": RAW}], schema=REJECTED_SCHEMA)
RESULTS = pa.Table.from_pylist([RESULT], schema=RESULT_SCHEMA)


def write_records(conn, run_id):
    with RecordWriter(conn, run_id) as writer:
        writer.write(LINES)


WRITERS = {
    "billing_records": write_records,
    "rejected_rows": lambda conn, run_id: records.write_rejected(conn, run_id, REJECTED),
    "validation_results": lambda conn, run_id: results.write(conn, run_id, RESULTS),
    "revalidated_results": lambda conn, run_id: revalidations.write(conn, run_id, RESULTS),
}
READERS = {
    "billing_records": lambda conn, run_id: records.record_page(conn, run_id, limit=1),
    "rejected_rows": lambda conn, run_id: records.rejected_page(conn, run_id, limit=1),
    "validation_results": lambda conn, run_id: results.page(conn, run_id, limit=1),
}


def content_of(database, table):
    with database.connection() as conn, conn.cursor().copy(f"COPY {table} TO STDOUT (FORMAT binary)") as rows:
        return b"".join(rows)


@pytest.mark.parametrize("table", WRITERS)
def test_no_writer_stores_a_patient_in_clear_text(database, table):
    with database.connection() as conn:
        WRITERS[table](conn, uuid4())
        assert conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,)
    content = content_of(database, table)
    assert not [text for text in (NAM, NAME, RAW, "TREMBLAY", "31/31/2025") if text.encode() in content]


@pytest.mark.parametrize("table", WRITERS)
def test_without_keys_a_patient_is_neither_written_nor_read(database, clean_postgres_url, table):
    keyless = KeylessDatabase(clean_postgres_url, max_connections=1, application_name="facnet-test")
    with keyless, keyless.connection() as conn:
        with pytest.raises(AttributeError, match="key_wrapper"):
            WRITERS[table](conn, uuid4())
        assert conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        with pytest.raises(AttributeError, match="key_wrapper"):
            READERS.get(table, READERS["validation_results"])(conn, uuid4())
    with pytest.raises(TypeError, match="key_wrapper"):
        Database(clean_postgres_url, max_connections=1, application_name="facnet-test")


def test_the_encrypted_columns_are_those_that_the_schema_has_as_bytes(database):
    """A column of patients that is text, or one that nobody encrypts, does not go unseen."""
    columns = """
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND column_name <> 'wrapped'
            AND (data_type = 'bytea' OR column_name LIKE 'patient%' OR column_name = 'raw')
    """
    with database.connection() as conn:
        found = set(conn.execute(columns).fetchall())
    known = column_encryption.PATIENT_COLUMNS
    assert found == {(table, column) for table, columns in known.items() for column in columns}
    assert set(known) == set(WRITERS)


def test_rows_with_patients_are_written_by_one_encrypting_writer_only():
    """No query inserts or updates them, and the COPY of `RunCopy` encrypts the columns that the table above names."""
    product = [path for folder in ("facnet_grpc", "workers") for path in Path(folder).rglob("*") if path.is_file()]
    texts = {path: path.read_text() for path in product if path.suffix in {".py", ".sql"}}
    tables = "|".join(column_encryption.PATIENT_COLUMNS)
    written = re.compile(rf"(INSERT\s+INTO|UPDATE|COPY)\s+({tables})\b", re.IGNORECASE)
    assert [path for path, text in texts.items() if written.search(text)] == []
    copies = {path.name: text.count("FROM STDIN") for path, text in texts.items() if "FROM STDIN" in text}
    assert copies == {"records.py": 1, "reference.py": 1}


def test_without_its_key_nothing_of_a_run_can_be_read(clean_postgres_url):
    run_id = uuid4()
    with opened(clean_postgres_url, OLD) as sealed:
        write(sealed, run_id)
        with sealed.connection() as conn:
            column_encryption.delete_keys(conn, [run_id])
        assert read(sealed, run_id) == ([None] * 5, [None] * 5, None)


def test_what_was_rolled_back_leaves_no_key(database, clean_postgres_url):
    with opened(clean_postgres_url, OLD) as sealed, sealed.connection() as conn, conn.transaction(force_rollback=True):
        column_encryption.encryptor(conn, "billing_records", uuid4())
    with database.connection() as conn:
        assert conn.execute("SELECT count(*) FROM row_keys").fetchone() == (0,)


def test_nothing_is_written_in_clear_by_who_comes_second(clean_postgres_url):
    run_id = uuid4()
    with opened(clean_postgres_url, OLD) as sealed, ThreadPoolExecutor(1) as pool:

        def second():
            with sealed.connection() as conn:
                column_encryption.encryptor(conn, "billing_records", run_id)

        with sealed.connection() as first:
            column_encryption.encryptor(first, "billing_records", run_id)
            going = pool.submit(second)
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while first.execute(waits).fetchone() == (0,):
                assert not going.done()
        with pytest.raises(TransientError):
            going.result(30)


@pytest.fixture
def files(database, blob_store):
    return encrypted(blob_store, database, OLD)


@pytest.fixture
def uploaded(database, files, add):
    """A run with its file, as the server makes it."""

    def upload():
        run, upload_id = add(), uuid4()
        with database.connection() as conn:
            uploads.open_(conn, upload_id=upload_id, owner="local", file_name="claims.csv", ttl_seconds=9)
        with files.open_part(upload_id) as part:
            part.write(b"claims")
            part.seal()
        with database.connection() as conn:
            uploads.finish(conn, upload_id, run.id)
            files.commit(upload_id, run.blob_key)
        return run, upload_id

    return upload


def count_keys(database):
    with database.connection() as conn:
        return conn.execute("SELECT count(*) FROM data_keys").fetchone()[0]


def content(files, run):
    with files.open(run.blob_key) as file:
        return file.read()


def test_a_key_is_wrapped_and_outlives_a_change_of_keys(database, blob_store, files, uploaded):
    run, upload_id = uploaded()
    assert content(files, run) == b"claims"
    assert content(encrypted(blob_store, database, BOTH), run) == b"claims"
    with pytest.raises(TransientError):
        content(encrypted(blob_store, database, NEW), run)
    with database.connection() as conn:
        row = conn.execute("SELECT upload_id, run_id, key_id, length(wrapped) FROM data_keys").fetchone()
    assert row == (upload_id, run.id, "a", 12 + 32 + 16)


@pytest.mark.parametrize("end", ["cleared", "forgotten", "deleted"])
def test_the_key_goes_with_the_file_and_with_it_every_copy(database, files, uploaded, end):
    run, _ = uploaded()
    with database.connection() as conn:
        if end == "cleared":
            runs.clear_blob(conn, run.id)
        elif end == "deleted":
            conn.execute("UPDATE validation_runs SET status = 'CANCELLED'")
            deletion.take(conn, run.id, "local")
        else:
            assert not runs.forget_blob(conn, run.id, run.blob_key)  # it is QUEUED: needed
            assert conn.execute("SELECT count(*) FROM data_keys").fetchone()[0] == 1
            conn.execute("UPDATE validation_runs SET status = 'CANCELLED'")
            assert runs.forget_blob(conn, run.id, run.blob_key)
    assert count_keys(database) == 0
    with pytest.raises(TerminalError) as caught:  # the file itself is still there
        content(files, run)
    assert caught.value.reason is Reason.BLOB_MISSING


def test_an_upload_that_expires_takes_its_key_and_one_that_became_a_run_does_not(database, files, uploaded):
    _, done = uploaded()
    left = uuid4()
    with database.connection() as conn:
        uploads.open_(conn, upload_id=left, owner="local", file_name="claims.csv", ttl_seconds=9)
    files.open_part(left).close()
    assert count_keys(database) == 2
    with database.connection() as conn:
        assert not uploads.delete(conn, left)
        conn.execute("UPDATE uploads SET expires_at = now() - interval '1 s'")
        assert uploads.delete(conn, left)
        assert uploads.delete(conn, done)
        assert conn.execute("SELECT upload_id FROM data_keys").fetchall() == [(done,)]


@pytest.mark.parametrize("end", ["expired", "deleted", "purged"])
@pytest.mark.parametrize("is_over", [True, False])
def test_the_key_of_a_file_that_was_sent_twice_is_not_kept(database, files, uploaded, is_over, end):
    run, _ = uploaded()
    again = uuid4()
    files.open_part(again).close()
    with database.connection() as conn:
        if is_over:
            runs.clear_blob(conn, run.id)
        uploads.open_(conn, upload_id=again, owner="local", file_name="claims.csv", ttl_seconds=9)
        uploads.finish(conn, again, run.id)
        runs.clear_blob(conn, run.id)
        assert conn.execute("SELECT upload_id, run_id FROM data_keys").fetchall() == [(again, None)]
        conn.execute("UPDATE validation_runs SET status = 'CANCELLED', finished_at = now()")
        conn.execute("UPDATE uploads SET expires_at = now()")
    with database.connection() as conn:
        if end == "expired":
            assert uploads.delete(conn, again)
        elif end == "deleted":
            deletion.take(conn, run.id, "local")
            assert conn.execute("SELECT count(*) FROM uploads").fetchone() == (0,)
    if end == "purged":
        assert deletion.purge(database, older_than_seconds=0, seconds=9).runs == 1
    assert count_keys(database) == 0


def test_a_part_keeps_its_key(database, files):
    upload_id = uuid4()
    for content_ in (b"one", b"two"):
        with files.open_part(upload_id) as part:
            part.write(content_)
    with files.open_part_for_reading(upload_id) as file:
        assert file.read() == b"onetwo"


def test_after_a_change_of_keys_everything_is_wrapped_anew(database, blob_store, uploaded, clean_postgres_url):
    run, _ = uploaded()
    with opened(clean_postgres_url, OLD) as sealed:
        write(sealed, run.id)
        wanted = read(sealed, run.id)
    assert key_rotation.rotate(database, BOTH, limit=1) == 2
    assert key_rotation.rotate(database, BOTH, limit=1) == 0
    with opened(clean_postgres_url, NEW) as new:
        assert read(new, run.id) == wanted
    assert content(encrypted(blob_store, database, NEW), run) == b"claims"


def test_a_key_that_nobody_knows_is_left_as_it_is(database, uploaded):
    uploaded()
    assert key_rotation.rotate(database, NEW, limit=9) == 0
    with database.connection() as conn:
        assert conn.execute("SELECT key_id FROM data_keys").fetchone() == ("a",)
