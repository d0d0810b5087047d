"""Ways to get Arrow batches into PostgreSQL, side by side: `python -m benchmarks.copying`. See ADR 15.

Each writes the same rows into the same empty table, in turn, several times; medians are printed. Processor time, here
and in PostgreSQL, tells more than the clock on a machine that others use as well.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import dbapi
from pyarrow import csv

from benchmarks import processes
from facnet_grpc.devstack.embedded import start_postgres
from facnet_grpc.ingest.reader import open_claims
from facnet_grpc.model.billing import BILLING_SCHEMA
from facnet_grpc.sample.writer import write_sample
from facnet_grpc.settings.keys import Keys
from facnet_grpc.storage.blobs.key_wrapping import KeyWrapper
from facnet_grpc.storage.postgres.database import PatientConnection
from facnet_grpc.storage.postgres.migrate import migrate
from facnet_grpc.storage.postgres.records import RecordWriter

COLUMNS = ", ".join(["run_id", *BILLING_SCHEMA.names])
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
_DAYS_TO_2000 = 10_957
REAPED_SECONDS = 0.3  # after which the time of a session that has ended is its parent's
KEYS = KeyWrapper.for_rows(Keys.parse("a:" + "x" * 32))
Batches = list[pa.RecordBatch]


def by_pgpq(url: str, batches: Batches) -> None:
    """As the product does: patients are encrypted as well, unlike in the other ways."""
    with PatientConnection.connect(url) as connection:
        connection.key_wrapper = KEYS
        with RecordWriter(connection, uuid4()) as writer:
            for batch in batches:
                writer.write(batch)


def by_adbc(url: str, batches: Batches) -> None:
    run_id = pa.scalar(uuid4().bytes, pa.binary(16))
    schema = pa.schema([pa.field("run_id", pa.binary(16)), *BILLING_SCHEMA])
    with_id = [
        pa.RecordBatch.from_arrays([pa.repeat(run_id, batch.num_rows), *batch.columns], schema=schema)
        for batch in batches
    ]
    reader = pa.RecordBatchReader.from_batches(schema, with_id)
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("billing_records", reader, mode="append")
        connection.commit()


def by_numpy(url: str, batches: Batches) -> None:
    run_id = uuid4()
    _pump(url, "(FORMAT binary)", [HEADER, *(encode(run_id, batch) for batch in batches), TRAILER])


def by_csv(url: str, batches: Batches) -> None:
    _pump(url, "(FORMAT csv)", _text(uuid4(), batches, csv.WriteOptions(include_header=False)))


def by_text(url: str, batches: Batches) -> None:
    # Tabs, line breaks and backslashes would have to be escaped first: this is the least that text can take.
    options = csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    _pump(url, "(FORMAT text, NULL '')", _text(uuid4(), batches, options))


def _text(run_id: UUID, batches: Batches, options: csv.WriteOptions) -> Iterator[bytes]:
    for batch in batches:
        columns = [pa.repeat(pa.scalar(str(run_id)), batch.num_rows), *batch.columns]
        out = io.BytesIO()
        csv.write_csv(pa.RecordBatch.from_arrays(columns, names=["run_id", *batch.schema.names]), out, options)
        yield out.getvalue()


def _pump(url: str, how: str, blocks: Any) -> None:
    with (
        psycopg.connect(url) as connection,
        connection.cursor().copy(f"COPY billing_records ({COLUMNS}) FROM STDIN {how}") as copy,
    ):
        for block in blocks:
            copy.write(block)


def encode(run_id: UUID, batch: pa.RecordBatch) -> bytes:
    """Encode a batch as PostgreSQL's binary COPY wants it: for each row all lengths and values, column by column."""
    count = batch.num_rows
    fields = [_field(column) for column in batch.columns]
    head = (len(fields) + 1).to_bytes(2, "big") + (16).to_bytes(4, "big") + run_id.bytes
    sizes = [len(head) + np.zeros(count, np.int64), *(4 + np.maximum(length, 0) for length, _, _ in fields)]
    ends = np.cumsum(np.sum(sizes, axis=0))
    at = ends - np.sum(sizes, axis=0)
    out = np.empty(int(ends[-1]) if count else 0, np.uint8)
    out[at[:, None] + np.arange(len(head))] = np.frombuffer(head, np.uint8)
    at = at + len(head)
    for length, starts, data in fields:
        out[at[:, None] + np.arange(4)] = length.astype(">i4").view(np.uint8).reshape(-1, 4)
        size = np.maximum(length, 0)
        within = np.arange(int(size.sum())) - np.repeat(np.cumsum(size) - size, size)
        out[np.repeat(at + 4, size) + within] = data[np.repeat(starts, size) + within]
        at = at + 4 + size
    return out.tobytes()


def _field(column: pa.Array) -> tuple[Any, Any, Any]:
    """Return length (-1 for null), start and bytes of each value, as PostgreSQL writes them."""
    valid = np.asarray(column.is_valid())
    if pa.types.is_string(column.type):
        offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
        data = column.buffers()[2]
        text = np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)
        return np.where(valid, np.diff(offsets), -1), offsets[:-1].astype(np.int64), text
    if pa.types.is_date(column.type):
        values = np.asarray(column.view(pa.int32()).fill_null(0)) - _DAYS_TO_2000
    elif pa.types.is_time(column.type):
        values = np.asarray(column.view(pa.int32()).fill_null(0)).astype(np.int64) * 1_000_000
    else:
        values = np.asarray(column.fill_null(0))
    width = values.dtype.itemsize
    data = values.astype(values.dtype.newbyteorder(">")).view(np.uint8)
    return np.where(valid, width, -1), np.arange(len(column)) * width, data


WAYS: dict[str, Callable[[str, Batches], None]] = {
    "pgpq": by_pgpq,
    "adbc": by_adbc,
    "own numpy encoder": by_numpy,
    "CSV": by_csv,
    "text": by_text,
}


def sample_batches(count: int) -> Batches:
    """Return the lines of a sample file as the reader gives them."""
    sample = io.BytesIO()
    write_sample(count, sample)
    content = sample.getvalue()
    with open_claims(lambda: io.BytesIO(content), len(content)) as file:
        return [batch.lines for batch in file.batches()]


def _taken(way: Callable[[str, Batches], None], url: str, batches: Batches) -> tuple[float, float, float]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE billing_records")
        connection.execute("CHECKPOINT")
    servers = processes.named(os.getpid(), "postgres")
    wall, here, there = time.perf_counter(), time.process_time(), processes.processor_seconds(servers)
    way(url, batches)
    seconds, used = time.perf_counter() - wall, time.process_time() - here
    time.sleep(REAPED_SECONDS)
    server = processes.processor_seconds(processes.named(os.getpid(), "postgres")) - there
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*), sum(preliminary_cents) FROM billing_records").fetchone()
    total = sum(pc.sum(batch.column("preliminary_cents")).as_py() for batch in batches)
    assert found is not None
    assert (found[0], int(found[1])) == (sum(batch.num_rows for batch in batches), total)
    return seconds, used, server


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.copying", description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--times", type=int, default=5)
    arguments = parser.parse_args()
    batches = sample_batches(arguments.rows)
    ready = [HEADER, *(encode(uuid4(), batch) for batch in batches), TRAILER]
    ways = {"encoded beforehand": lambda url, _: _pump(url, "(FORMAT binary)", ready), **WAYS}
    found: dict[str, list[tuple[float, float, float]]] = {}
    with start_postgres(durable=True) as url:
        migrate(url)
        for _ in range(arguments.times):
            for name, way in ways.items():
                found.setdefault(name, []).append(_taken(way, url, batches))
    print("| way | seconds | processor here | processor in PostgreSQL |\n| --- | ---: | ---: | ---: |")
    for name, taken in found.items():
        print(f"| {name} | " + " | ".join(f"{statistics.median(kind):.2f}" for kind in zip(*taken, strict=True)) + " |")


if __name__ == "__main__":
    main()
