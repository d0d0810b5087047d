"""Arrow into PostgreSQL by binary COPY: encoded in one go per batch, without a Python loop over rows.

Patients are encrypted on the way if the connection says so (`columns`).
"""

from __future__ import annotations

import os
import socket
from contextlib import AbstractContextManager
from queue import Queue
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import pgpq
import pyarrow as pa
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb
from psycopg import Connection, Copy, Cursor, sql
from psycopg.copy import QueuedLibpqWriter

from facnet_grpc.storage.postgres import columns

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
        self._columns = columns.writing(conn, table, run_id)
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
