"""Layouts of the table of claim lines, side by side: `python -m benchmarks.layout`. See ADR 16.

Each takes the same rows by binary COPY. Bytes of WAL and of the table are the same however busy the machine is.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import psycopg
from uuid_utils.compat import uuid7

from benchmarks import processes
from benchmarks.copying import COLUMNS, HEADER, TRAILER, encode, sample_batches
from facnet_grpc.devstack.embedded import start_postgres
from facnet_grpc.storage.postgres.migrate import migrate

_LIKE = "CREATE TABLE layout (LIKE billing_records INCLUDING DEFAULTS)"
_KEY = "ALTER TABLE layout ADD PRIMARY KEY (run_id, record_number)"
_MIDDLE = "'01000000-0000-0000-0000-000000000000'"
_PARTITIONED = (
    "CREATE TABLE layout (LIKE billing_records, PRIMARY KEY (run_id, record_number)) PARTITION BY RANGE (run_id)",
    *(
        f"CREATE TABLE layout_{number} PARTITION OF layout FOR VALUES FROM ({low}) TO ({high})"
        for number, (low, high) in enumerate(
            [
                ("MINVALUE", _MIDDLE),
                (_MIDDLE, "MAXVALUE"),
            ]
        )
    ),
)
LAYOUTS: dict[str, tuple[str, ...]] = {
    "the key (run_id, record_number)": (_LIKE, _KEY),
    "no key": (_LIKE,),
    "the key, fill factor 90": (_LIKE, _KEY, "ALTER TABLE layout SET (fillfactor = 90)"),
    "the key, every text column EXTERNAL": (_LIKE, _KEY, "{external}"),
    "the key, partitioned by run_id": _PARTITIONED,
    "the key and an index on (run_id, service_date)": (_LIKE, _KEY, "CREATE INDEX ON layout (run_id, service_date)"),
    "a BRIN index on run_id instead of the key": (_LIKE, "CREATE INDEX ON layout USING brin (run_id)"),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layout", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--times", type=int, default=5)
    arguments = parser.parse_args()
    batches = sample_batches(arguments.rows)
    print("| layout | seconds | processor in PostgreSQL | WAL | on disk |\n| --- | ---: | ---: | ---: | ---: |")
    with start_postgres(durable=True) as url:
        migrate(url)
        found: dict[str, list[tuple[float, float, float, float]]] = {}
        for _ in range(arguments.times):
            for name, statements in LAYOUTS.items():
                run_id = uuid7()
                blocks = [HEADER, *(encode(run_id, batch) for batch in batches), TRAILER]
                found.setdefault(name, []).append(_taken(url, statements, blocks))
    for name, taken in found.items():
        seconds, processor, wal, size = (statistics.median(kind) for kind in zip(*taken, strict=True))
        print(f"| {name} | {seconds:.2f} | {processor:.2f} | {wal / 1e6:.1f} MB | {size / 1e6:.1f} MB |")


def _taken(url: str, statements: tuple[str, ...], blocks: list[bytes]) -> tuple[float, float, float, float]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS layout")
        for statement in statements:
            connection.execute(statement.format(external=_external(connection)))
        connection.execute("CHECKPOINT")
        before = connection.execute("SELECT pg_current_wal_lsn()").fetchone()
        there = processes.processor_seconds(processes.named(os.getpid(), "postgres"))
        began = time.perf_counter()
        with connection.cursor().copy(f"COPY layout ({COLUMNS}) FROM STDIN (FORMAT binary)") as copy:
            for block in blocks:
                copy.write(block)
        taken = time.perf_counter() - began
        there = processes.processor_seconds(processes.named(os.getpid(), "postgres")) - there
        assert before is not None
        wal = connection.execute("SELECT pg_current_wal_lsn() - %s::pg_lsn", before).fetchone()
        size = connection.execute(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
            " WHERE relname ~ '^layout(_[0-9])?$' AND relkind = 'r'"
        ).fetchone()
    assert wal is not None
    assert size is not None
    return taken, there, float(wal[0]), float(size[0])


def _external(connection: psycopg.Connection) -> str:
    names = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'layout' AND data_type = 'text'"
    ).fetchall()
    return "ALTER TABLE layout " + ", ".join(f"ALTER {name} SET STORAGE EXTERNAL" for (name,) in names)


if __name__ == "__main__":
    main()
