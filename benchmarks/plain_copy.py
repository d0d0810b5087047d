"""The floor: a plain binary COPY of a run's rows into an identical, empty table of the same PostgreSQL."""

from __future__ import annotations

import time
from uuid import UUID

import psycopg


def seconds(url: str, run_id: UUID) -> float:
    """Return how long COPY takes for the rows of `run_id`, from the first byte to the commit."""
    with psycopg.connect(url) as connection:
        with connection.cursor().copy(
            "COPY (SELECT * FROM billing_records WHERE run_id = %s ORDER BY record_number) TO STDOUT (FORMAT binary)",
            (run_id,),
        ) as copy:
            blocks = _joined(copy)
        connection.execute("DROP TABLE IF EXISTS plain_copy")
        connection.execute("CREATE TABLE plain_copy (LIKE billing_records INCLUDING ALL)")
        connection.commit()
        started = time.perf_counter()
        with connection.cursor().copy("COPY plain_copy FROM STDIN (FORMAT binary)") as copy:
            for block in blocks:
                copy.write(block)
        connection.commit()
        taken = time.perf_counter() - started
        connection.execute("DROP TABLE plain_copy")
    return taken


def forget(url: str, run_id: UUID) -> None:
    """Take the rows of `run_id` out of the table, so that the next run finds it as this one did."""
    with psycopg.connect(url, autocommit=True) as connection:
        count = connection.execute("SELECT count(*) FROM validation_runs WHERE status = 'PROCESSING'").fetchone()
        assert count == (0,), "another run is going on"
        connection.execute("TRUNCATE billing_records, validation_results, rejected_rows")
        connection.execute("DELETE FROM validation_runs WHERE id = %s", (run_id,))
        connection.execute("CHECKPOINT")


def _joined(copy: psycopg.Copy, size: int = 1 << 18) -> list[bytes]:
    """Gather the rows into blocks as large as a loader would send: one message a row would measure the client."""
    blocks, block = [], bytearray()
    for row in copy:
        block += row
        if len(block) >= size:
            blocks.append(bytes(block))
            block.clear()
    return [*blocks, bytes(block)]
