"""However a file is cut, on its way in or while it is read, PostgreSQL ends up with the same bytes."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from uuid import uuid4

import pytest

from facnet_grpc.ingest.reader import open_claims
from facnet_grpc.model.run import NewRun, RunStatus
from facnet_grpc.sample.writer import write_sample
from facnet_grpc.storage.postgres import records, results, run_log, runs
from workers.validation import attempt

ROWS = 3000
TABLES = {
    "billing_records": "record_number",
    "rejected_rows": "record_number",
    "validation_results": "result_number",
}


@pytest.fixture(scope="module")
def content():
    out = io.BytesIO()
    write_sample(ROWS, out, bad_share=0.05)
    lines = out.getvalue().split(b"\r\n")
    lines[10] = b'"' + lines[10]  # never closed
    lines[500:500] = [b"", b" ", b"Total;12,00"]
    return b"\r\n".join(lines)


def stored(bench, run_id):
    """Return a checksum of everything that a run has left, but for its id; of patients after decryption."""
    digest = hashlib.sha256()
    with bench.resources.database.connection() as conn:
        for batch in records.read_for_rules(conn, run_id):
            digest.update(repr(batch.select(["patient_key", "patient_name"]).to_pydict()).encode())
        digest.update(repr(records.rejected_page(conn, run_id, limit=ROWS)).encode())
        digest.update(repr([found.patient_key for found in results.page(conn, run_id, limit=10 * ROWS)]).encode())
        for table, key in TABLES.items():
            columns = conn.execute(
                "SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)"
                " FROM information_schema.columns WHERE table_name = %s AND column_name <> 'run_id'"
                " AND data_type <> 'bytea'",
                (table,),
            ).fetchone()[0]
            query = f"COPY (SELECT {columns} FROM {table} WHERE run_id = %s ORDER BY {key}) TO STDOUT (FORMAT binary)"
            with conn.cursor().copy(query, (run_id,)) as rows:
                for block in rows:
                    digest.update(block)
    return digest.hexdigest()


def submit(bench, content, piece):
    """Store a file that came in pieces, and its run."""
    upload_id, key, run_id = uuid4(), str(uuid4()), uuid4()
    for start in range(0, len(content), piece * 40):  # a connection lasts for 40 pieces
        with bench.resources.blobs.open_part(upload_id) as part:
            for at in range(start, min(start + piece * 40, len(content)), piece):
                part.write(content[at : min(at + piece, start + piece * 40)])
    bench.resources.blobs.commit(upload_id, key)
    sha256 = hashlib.sha256(content).hexdigest()
    with bench.resources.database.connection() as conn:
        new = NewRun(id=run_id, owner="local", file_name="x.csv", size_bytes=len(content), sha256=sha256, blob_key=key)
        runs.insert(conn, new)
    return run_id


def test_the_cut_of_upload_and_blocks_does_not_matter(bench, content, monkeypatch):
    found = set()
    for piece, block_bytes in ((len(content), 1 << 20), (1000, 1 << 20), (len(content), 5000), (77_777, 33_333)):

        def in_blocks(source, size, options, block_bytes=block_bytes):
            return open_claims(source, size, replace(options, block_bytes=block_bytes))

        monkeypatch.setattr(attempt, "open_claims", in_blocks)
        run_id = submit(bench, content, piece)
        run = bench.validate(run_id)
        assert run.status is RunStatus.COMPLETED
        found.add((run.total_rows, run.processed_rows, run.rejected_rows, stored(bench, run_id)))
    assert len(found) == 1


def test_the_log_accounts_for_every_line(bench, content):
    run = bench.validate(submit(bench, content, len(content)))
    with bench.resources.database.connection() as conn:
        entries = {entry.event: entry.data for entry in run_log.page(conn, run.id, after=0, limit=100)}
    done, found = entries["completed"], entries["file_understood"]
    assert done["blank"] == 3
    assert done["rows"] + done["rejected"] + done["blank"] == content.count(b"\r\n") - 1 + (content[-2:] != b"\r\n")
    assert (found["decimal_mark"], found["date_format"], found["delimiter"]) == (",", "%Y-%m-%d", ";")
    assert found["columns"]["code"] == "Code"
