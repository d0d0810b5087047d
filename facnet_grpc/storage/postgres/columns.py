"""Patients in PostgreSQL: bytes that only who has the key of their run can read.

Each run's rows, and each second judgement's, have a key of their own, made in the transaction that writes them, wrapped
with a key of the settings. A run whose key is deleted cannot be read any more, wherever copies of its rows are.

What is written and read over a connection is encrypted if somebody said so with `use`; otherwise the same columns hold
plain text as bytes, which is for tests.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
import pyarrow as pa
from psycopg import Connection

from facnet_grpc.errors import TransientError
from facnet_grpc.storage.keyring import Wrapper
from facnet_grpc.storage.postgres.queries import load
from facnet_grpc.storage.row_cipher import RowCipher, unhexed

SQL = load("row_keys")
KEY_BYTES: Final = 32
# The number of each encrypted column, which is never given to another one, by table.
PATIENTS: Final[Mapping[str, Mapping[str, int]]] = {
    "billing_records": {"patient_key": 1, "patient_name": 2},
    "rejected_rows": {"raw": 3},
    "validation_results": {"patient_key": 4},
    "revalidated_results": {"patient_key": 5},
}
# What numbers a run's rows in each table: a part of its primary key, so that no two rows have the same.
_NUMBERS: Final[Mapping[str, str]] = {
    "billing_records": "record_number",
    "rejected_rows": "record_number",
    "validation_results": "result_number",
    "revalidated_results": "result_number",
}

_WRAPPERS: WeakKeyDictionary[psycopg.Connection, Wrapper] = WeakKeyDictionary()


def use(conn: Connection, wrapper: Wrapper | None) -> None:
    """Have what is written and read over a connection encrypted."""
    if wrapper is not None:
        _WRAPPERS[conn] = wrapper


class Columns:
    """The encrypted columns of one run's rows in one table, for as long as a transaction."""

    def __init__(self, table: str, cipher: RowCipher | None, *, erased: bool = False) -> None:
        self._cipher = cipher
        self._erased = erased
        self._columns = PATIENTS[table]
        self._number = _NUMBERS[table]

    def stored(self, schema: pa.Schema) -> pa.Schema:
        """Return the schema that a batch of `schema` has once it is sealed."""
        return pa.schema(
            [field.with_type(pa.binary()) if field.name in self._columns else field for field in schema],
        )

    def seal(self, batch: pa.RecordBatch) -> list[pa.Array]:
        """Return the columns of a batch as they are stored."""
        numbers = batch.column(self._number)
        return [self._seal(batch.column(name), name, numbers) for name in batch.schema.names]

    def open(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch, whose encrypted columns are hexadecimal digits, with the text that was stored.

        Raises `FacnetError` if it is none.
        """
        numbers = batch.column(self._number)
        for index, name in enumerate(batch.schema.names):
            if name in self._columns:
                batch = batch.set_column(index, name, self._open(unhexed(batch.column(index)), name, numbers))
        return batch

    def open_one(self, stored: bytes | None, name: str, number: int) -> str | None:
        """Return the text of one value. Raises `FacnetError`."""
        if stored is None or self._erased:
            return None
        if self._cipher is None:
            return stored.decode()
        return self._cipher.open_one(stored, self._columns[name], number)

    def _seal(self, values: pa.Array, name: str, numbers: pa.Array) -> pa.Array:
        if name not in self._columns:
            return values
        return self._cipher.seal(values, self._columns[name], numbers) if self._cipher else values.cast(pa.binary())

    def _open(self, values: pa.Array, name: str, numbers: pa.Array) -> pa.Array:
        if self._erased:
            return pa.nulls(len(values), pa.string())
        return self._cipher.open(values, self._columns[name], numbers) if self._cipher else values.cast(pa.string())


def writing(conn: Connection, table: str, run_id: UUID) -> Columns:
    """Return the columns of a run that this transaction writes; its key is made if it is the first to be written.

    Raises `TransientError` if another transaction has made it at the same time: never is anything written without one.
    """
    wrapper = _WRAPPERS.get(conn)
    if wrapper is None:
        return Columns(table, None)
    params = {"run_id": run_id, "key_id": wrapper.key_id, "wrapped": wrapper.wrap(os.urandom(KEY_BYTES), run_id)}
    cipher = _cipher(conn, "make", params, wrapper)
    if cipher is None:
        raise TransientError(validation_id=str(run_id))
    return Columns(table, cipher)


def reading(conn: Connection, table: str, run_id: UUID) -> Columns:
    """Return the columns of a run to be read; values whose key is deleted are read as null.

    Raises `TransientError` if the key was wrapped with one that the settings do not name.
    """
    wrapper = _WRAPPERS.get(conn)
    if wrapper is None:
        return Columns(table, None)
    cipher = _cipher(conn, "find", {"run_id": run_id}, wrapper)
    return Columns(table, cipher, erased=cipher is None)


def forget(conn: Connection, run_ids: Sequence[UUID]) -> None:
    """Delete the keys of runs: their patients cannot be read any more."""
    conn.execute(SQL["forget"], {"ids": list(run_ids)})


def _cipher(conn: Connection, query: str, params: Mapping[str, Any], wrapper: Wrapper) -> RowCipher | None:
    row = conn.execute(SQL[query], params).fetchone()
    return RowCipher(wrapper.unwrap(row[0], row[1], params["run_id"])) if row else None
