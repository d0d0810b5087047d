"""Arrow into PostgreSQL by binary COPY: encoded in one go per batch, without a Python loop over rows.

Patients are encrypted on the way if the connection says so (`columns`).

The accepted lines of a run, on their way into PostgreSQL.

The accepted lines of a run, read back as Arrow: PostgreSQL writes CSV, Arrow reads it, no Python loop over rows.

The rejected lines of a run.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from queue import Queue
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import pgpq
import pyarrow as pa
import pyarrow.compute as pc
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb
from psycopg import Connection, Copy, Cursor, sql
from psycopg.copy import QueuedLibpqWriter
from psycopg.rows import dict_row
from pyarrow import csv

from facnet_grpc.model.billing import BILLING_SCHEMA, LINE_SCHEMA, REJECTED_SCHEMA, RULE_SCHEMA
from facnet_grpc.model.result import RejectedRow
from facnet_grpc.storage.postgres import column_encryption
from facnet_grpc.storage.postgres.sql_loader import load

BATCHES_AHEAD = 1  # ready to be sent
_SENT_AHEAD = 4 << 20  # bytes in the kernel that PostgreSQL has not taken yet; fewer if `net.core.wmem_max` says so
_RUN_ID = pa.field("run_id", pa.binary(16), nullable=False)  # a uuid is 16 bytes in binary COPY


class RunCopy:
    """Writes rows of one run into one table; no other statement may run on the connection until it is closed.

    `schema` names the table's columns, without `run_id`; those named in `json_columns` are text that becomes jsonb.
    """

    def __init__(
        self,
        conn: Connection,
        table: str,
        run_id: UUID,
        schema: pa.Schema,
        *,
        json_columns: tuple[str, ...] = (),
    ) -> None:
        self._columns = column_encryption.writing(conn, table, run_id)
        self._schema = pa.schema([_RUN_ID, *self._columns.stored(schema)])
        self._run_id = pa.scalar(run_id.bytes, _RUN_ID.type)
        self._encoder = pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(
            self._schema,
            _encoders(self._schema, json_columns),
        )
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, self._schema.names)),
        )
        _send_ahead(conn)
        cursor = conn.cursor()
        self._copy: AbstractContextManager[Copy] | None = cursor.copy(statement, writer=_Ahead(cursor))
        self._rows = self._copy.__enter__()
        self._rows.write(self._encoder.write_header())

    def write(self, batch: pa.RecordBatch) -> None:
        """Send the rows of `batch`, whose columns are those of the schema, in its order."""
        if batch.num_rows:
            run_ids = pa.repeat(self._run_id, batch.num_rows)
            rows = pa.RecordBatch.from_arrays([run_ids, *self._columns.seal(batch)], schema=self._schema)
            self._rows.write(self._encoder.write_batch(rows))

    def close(self) -> None:
        """Finish; PostgreSQL reports what it refuses here at the latest. Closing twice is allowed."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        copy, self._copy = self._copy, None
        if copy is None:
            return
        if error is None:
            self._rows.write(self._encoder.finish())
        copy.__exit__(kind, error, trace)  # with an error, tells PostgreSQL to forget the rows


class _Ahead(QueuedLibpqWriter):
    """Sends in a thread of its own, so that PostgreSQL has something to do while the next batch is made ready.

    Psycopg's own queue holds a thousand blocks, which here are batches: more than the memory of a worker.
    """

    def __init__(self, cursor: Cursor[Any]) -> None:
        super().__init__(cursor)
        self._queue = Queue(maxsize=BATCHES_AHEAD)  # type: ignore[assignment]  # psycopg names a subclass


def _send_ahead(conn: Connection) -> None:
    """Let more wait in the kernel than the 200 KiB of a local socket.

    PostgreSQL is through with those sooner than Python gives its lock to the thread that sends, and stands idle for a
    quarter of the time. A TCP connection grows its buffer by itself, until somebody sets it.
    """
    with socket.socket(fileno=os.dup(conn.fileno())) as wire:
        if wire.family == socket.AF_UNIX:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SENT_AHEAD)


def _encoders(schema: pa.Schema, json_columns: tuple[str, ...]) -> dict[str, Any]:
    found = {field.name: pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(field) for field in schema}
    made = {name: StringEncoderBuilder.new_with_output(schema.field(name), Jsonb()) for name in json_columns}
    return found | made


SQL = load("records")


class RecordWriter(RunCopy):
    """Writes batches of BILLING_SCHEMA into `billing_records`; only whoever holds the run's lease may make one.

    A worker that was frozen may have lost its lease and still have rows of the run in an open transaction. They will
    never be committed, but writing the same keys would wait for that: so its session is ended first.
    """

    def __init__(self, conn: Connection, run_id: UUID) -> None:
        _take_over(conn, run_id)
        super().__init__(conn, "billing_records", run_id, BILLING_SCHEMA)


def evict(conn: Connection, run_id: UUID) -> None:
    """End the session that has rows of a run in an open transaction, if there is one: they are rolled back."""
    conn.execute(SQL["evict"], {"run_id": run_id})


def _take_over(conn: Connection, run_id: UUID) -> None:
    params = {"run_id": run_id}
    locked = conn.execute(SQL["try_lock"], params).fetchone()
    if locked is not None and not locked[0]:
        evict(conn, run_id)
        conn.execute(SQL["lock"], params)


# What rules read, as text that is not a dictionary yet.
_PLAIN_RULE_SCHEMA = pa.schema([BILLING_SCHEMA.field(name) for name in RULE_SCHEMA.names])
_AT_ONCE = 50_000
_LEAST_BLOCK = 1 << 16

_PARSE = csv.ParseOptions(newlines_in_values=True)


def record_page(
    conn: Connection,
    run_id: UUID,
    *,
    after: int = 0,
    limit: int,
    numbers: Sequence[int] = (),
) -> pa.RecordBatch:
    """Return at most `limit` lines after the record number `after`, in the order of the file: LINE_SCHEMA.

    With `numbers`, only lines of these numbers.
    """
    params = {"run_id": run_id, "after": after, "limit": limit, "numbers": list(numbers) or None}
    return _read(conn, "record_page", params, LINE_SCHEMA)


def read_for_rules(conn: Connection, run_id: UUID) -> Iterator[pa.RecordBatch]:
    """Yield all lines of a run in the order of the file, with the columns of RULE_SCHEMA as plain text."""
    after = 0
    while True:
        params = {"run_id": run_id, "after": after, "limit": _AT_ONCE}
        batch = _read(conn, "read_for_rules", params, _PLAIN_RULE_SCHEMA)
        if batch.num_rows:
            yield batch
        if batch.num_rows < _AT_ONCE:
            return
        after = batch.column("record_number")[-1].as_py()


def _read(conn: Connection, name: str, params: Mapping[str, Any], schema: pa.Schema) -> pa.RecordBatch:
    patients = column_encryption.reading(conn, "billing_records", params["run_id"])
    statement = sql.SQL(f"COPY ({SQL[name]}) TO STDOUT (FORMAT csv)")
    with conn.cursor() as cursor, cursor.copy(statement, params) as copy:
        data = b"".join(bytes(part) for part in copy)
    return patients.open(_parse(data, schema))


def _parse(data: bytes, schema: pa.Schema) -> pa.RecordBatch:
    if not data:
        return pa.RecordBatch.from_pylist([], schema=schema)
    # One block, as a line may be longer than any other size; one thread, as pages are small and many.
    reading = csv.ReadOptions(
        column_names=schema.names,
        use_threads=False,
        block_size=max(_LEAST_BLOCK, len(data) + 1),
    )
    # PostgreSQL quotes an empty text and leaves a null empty.
    converting = csv.ConvertOptions(
        column_types={field.name: field.type for field in schema},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    table = csv.read_csv(pa.BufferReader(data), reading, _PARSE, converting)
    return table.cast(schema).combine_chunks().to_batches()[0]


def write_rejected(conn: Connection, run_id: UUID, batch: pa.RecordBatch) -> None:
    """Store rejected lines: a batch of REJECTED_SCHEMA. Not while a `RecordWriter` is open on the same connection."""
    if not batch.num_rows:
        return
    # A line may be rejected for being binary, and what is encrypted is padded with NUL.
    raw = pc.replace_substring(batch.column("raw"), "\0", "\ufffd")
    kept = batch.set_column(batch.schema.get_field_index("raw"), REJECTED_SCHEMA.field("raw"), raw)
    with RunCopy(conn, "rejected_rows", run_id, REJECTED_SCHEMA) as copy:
        copy.write(kept)


def rejected_page(conn: Connection, run_id: UUID, *, after: int = 0, limit: int) -> list[RejectedRow]:
    """Return at most `limit` rejected lines after the record number `after`, in the order of the file."""
    params = {"run_id": run_id, "after": after, "limit": limit}
    lines = column_encryption.reading(conn, "rejected_rows", run_id)
    with conn.cursor(row_factory=dict_row) as cursor:
        return [
            RejectedRow(**row | {"raw": lines.open_one(row["raw"], "raw", row["record_number"])})
            for row in cursor.execute(SQL["rejected_page"], params)
        ]
