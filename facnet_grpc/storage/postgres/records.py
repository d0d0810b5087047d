"""Rows of a run as Arrow: accepted lines (`billing_records`) and rejected lines (`rejected_rows`).

Writing uses binary COPY, encoded a batch at a time; reading lets PostgreSQL write CSV and Arrow parse it. Neither loops
over rows in Python. Patients are encrypted and decrypted on the way (see `column_encryption`).
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
from facnet_grpc.storage.postgres.database import PatientConnection
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("records")
BATCHES_AHEAD = 1  # encoded batches that wait to be sent
_SEND_BUFFER_BYTES = 4 << 20  # of a local socket; the kernel caps it at `net.core.wmem_max`
_READ_ROWS = 50_000  # lines per batch that is read for rules
_MIN_CSV_BLOCK = 1 << 16
_RUN_ID = pa.field("run_id", pa.binary(16), nullable=False)  # a uuid is 16 bytes in binary COPY
# The columns of RULE_SCHEMA as plain text, before they are dictionary-encoded.
_PLAIN_RULE_SCHEMA = pa.schema([BILLING_SCHEMA.field(name) for name in RULE_SCHEMA.names])
_PARSE = csv.ParseOptions(newlines_in_values=True)


class RunCopy:
    """Writes rows of one run into one table; no other statement may run on the connection until it is closed.

    `schema` names the table's columns, without `run_id`; those named in `json_columns` are text that becomes jsonb.
    """

    def __init__(
        self,
        conn: PatientConnection,
        table: str,
        run_id: UUID,
        schema: pa.Schema,
        *,
        json_columns: tuple[str, ...] = (),
    ) -> None:
        self._encryptor = column_encryption.encryptor(conn, table, run_id)
        self._schema = pa.schema([_RUN_ID, *self._encryptor.stored_schema(schema)])
        self._run_id = pa.scalar(run_id.bytes, _RUN_ID.type)
        self._encoder = pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(
            self._schema,
            _encoders(self._schema, json_columns),
        )
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, self._schema.names)),
        )
        _enlarge_send_buffer(conn)
        cursor = conn.cursor()
        self._copy: AbstractContextManager[Copy] | None = cursor.copy(statement, writer=_QueueingWriter(cursor))
        self._rows = self._copy.__enter__()
        self._rows.write(self._encoder.write_header())

    def write(self, batch: pa.RecordBatch) -> None:
        """Send the rows of `batch`, whose columns are those of the schema, in its order."""
        if batch.num_rows:
            run_ids = pa.repeat(self._run_id, batch.num_rows)
            rows = pa.RecordBatch.from_arrays([run_ids, *self._encryptor.encrypt(batch)], schema=self._schema)
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
        copy.__exit__(kind, error, trace)  # with an error, PostgreSQL discards the rows


class _QueueingWriter(QueuedLibpqWriter):
    """Sends in a thread of its own, so that PostgreSQL works while the next batch is encoded.

    Psycopg's own queue holds 1,000 blocks. A block here is a batch, and 1,000 of them exceed a worker's memory.
    """

    def __init__(self, cursor: Cursor[Any]) -> None:
        super().__init__(cursor)
        self._queue = Queue(maxsize=BATCHES_AHEAD)  # type: ignore[assignment]  # psycopg names a subclass


def _enlarge_send_buffer(conn: Connection) -> None:
    """Enlarge the send buffer of a local socket, which has 200 KiB.

    PostgreSQL empties 200 KiB before the sending thread gets the GIL again, and is idle for a quarter of the time. TCP
    connections are left alone: the kernel tunes their buffers until somebody sets a size.
    """
    with socket.socket(fileno=os.dup(conn.fileno())) as transport:
        if transport.family == socket.AF_UNIX:
            transport.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)


def _encoders(schema: pa.Schema, json_columns: tuple[str, ...]) -> dict[str, Any]:
    inferred = {field.name: pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(field) for field in schema}
    return inferred | {name: StringEncoderBuilder.new_with_output(schema.field(name), Jsonb()) for name in json_columns}


class RecordWriter(RunCopy):
    """Writes batches of BILLING_SCHEMA into `billing_records`; only the holder of the run's lease may make one.

    A frozen worker may have lost its lease and still have rows of the run in an open transaction. They are never
    committed, but inserting the same primary keys would wait for that transaction: so its session is ended first.
    """

    def __init__(self, conn: PatientConnection, run_id: UUID) -> None:
        _lock_rows(conn, run_id)
        super().__init__(conn, "billing_records", run_id, BILLING_SCHEMA)


def evict(conn: Connection, run_id: UUID) -> None:
    """End the session that has uncommitted rows of a run, if there is one; they are rolled back."""
    conn.execute(SQL["terminate_writer"], {"run_id": run_id})


def _lock_rows(conn: Connection, run_id: UUID) -> None:
    params = {"run_id": run_id}
    locked = conn.execute(SQL["try_lock_rows"], params).fetchone()
    if locked is not None and not locked[0]:
        evict(conn, run_id)
        conn.execute(SQL["lock_rows"], params)


def record_page(
    conn: PatientConnection,
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
    return _read(conn, SQL["select_records"], params, LINE_SCHEMA)


def read_for_rules(conn: PatientConnection, run_id: UUID) -> Iterator[pa.RecordBatch]:
    """Yield all lines of a run in the order of the file, with the columns of RULE_SCHEMA as plain text."""
    after = 0
    while True:
        params = {"run_id": run_id, "after": after, "limit": _READ_ROWS}
        batch = _read(conn, SQL["select_records_for_rules"], params, _PLAIN_RULE_SCHEMA)
        if batch.num_rows:
            yield batch
        if batch.num_rows < _READ_ROWS:
            return
        after = batch.column("record_number")[-1].as_py()


def _read(conn: PatientConnection, query: str, params: Mapping[str, Any], schema: pa.Schema) -> pa.RecordBatch:
    decryptor = column_encryption.decryptor(conn, "billing_records", params["run_id"])
    statement = sql.SQL(f"COPY ({query}) TO STDOUT (FORMAT csv)")
    with conn.cursor() as cursor, cursor.copy(statement, params) as copy:
        data = b"".join(bytes(part) for part in copy)
    return decryptor.decrypt(_parse(data, schema))


def _parse(data: bytes, schema: pa.Schema) -> pa.RecordBatch:
    if not data:
        return pa.RecordBatch.from_pylist([], schema=schema)
    # One block, as a line may be longer than any smaller one; one thread, as pages are small and many.
    reading = csv.ReadOptions(
        column_names=schema.names,
        use_threads=False,
        block_size=max(_MIN_CSV_BLOCK, len(data) + 1),
    )
    # In PostgreSQL's CSV an empty text is quoted and a null is not.
    converting = csv.ConvertOptions(
        column_types={field.name: field.type for field in schema},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    table = csv.read_csv(pa.BufferReader(data), reading, _PARSE, converting)
    return table.cast(schema).combine_chunks().to_batches()[0]


def write_rejected(conn: PatientConnection, run_id: UUID, batch: pa.RecordBatch) -> None:
    """Store rejected lines: a batch of REJECTED_SCHEMA. Not while a `RecordWriter` is open on the same connection."""
    if not batch.num_rows:
        return
    # A rejected line may be binary, and NUL is the padding of ciphertext.
    raw = pc.replace_substring(batch.column("raw"), "\0", "\ufffd")
    with RunCopy(conn, "rejected_rows", run_id, REJECTED_SCHEMA) as copy:
        copy.write(batch.set_column(batch.schema.get_field_index("raw"), REJECTED_SCHEMA.field("raw"), raw))


def rejected_page(conn: PatientConnection, run_id: UUID, *, after: int = 0, limit: int) -> list[RejectedRow]:
    """Return at most `limit` rejected lines after the record number `after`, in the order of the file."""
    params = {"run_id": run_id, "after": after, "limit": limit}
    decryptor = column_encryption.decryptor(conn, "rejected_rows", run_id)
    with conn.cursor(row_factory=dict_row) as cursor:
        return [
            RejectedRow(**row | {"raw": decryptor.decrypt_one(row["raw"], "raw", row["record_number"])})
            for row in cursor.execute(SQL["select_rejected"], params)
        ]
