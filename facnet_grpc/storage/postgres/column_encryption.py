"""Encrypts columns of one run's rows in one go: AES-256 in counter mode, each counter made of where a value stands.

A counter block is the number of the column, the number of the 16 bytes within the value, and the number of the row. A
run's key is used for nothing else and each place of a run is written once, so no counter comes twice, nothing has to be
stored beside a value, and any row can be read without the others. Values are padded with NUL, which text in PostgreSQL
cannot hold, so how long a name is shows only roughly.

Nothing is authenticated: whoever can change these columns can change amounts and codes beside them as well.

Patients in PostgreSQL: bytes that only who has the key of their run can read.

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

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from psycopg import Connection

from facnet_grpc.errors import FacnetError, TransientError
from facnet_grpc.storage.blobs.key_wrapping import KeyWrapper
from facnet_grpc.storage.postgres.sql_loader import load

Bytes = npt.NDArray[np.uint8]
BLOCK: Final = 16
STEP: Final = 8  # values of an array are padded to a multiple of this, all to the same
WIDE: Final = 64  # a longer value is treated alone: it must not make every other as long


class RowCipher:
    """Encrypts and decrypts what belongs to one key. `column` is a number below 2³¹, rows are numbers from 0."""

    def __init__(self, key: bytes) -> None:
        # Encrypting blocks that are counters is what counter mode is; the library's own counts upwards only.
        self._cipher = Cipher(algorithms.AES256(key), modes.ECB())  # noqa: S305 - see above

    def seal(self, texts: pa.Array, column: int, rows: pa.Array) -> pa.Array:
        """Return an array of text as an array of bytes; null stays null."""
        if not len(texts):
            return pa.array([], pa.binary())
        width = _padded(_longest(texts))
        if width > WIDE:
            pairs = zip(texts.to_pylist(), rows.to_pylist(), strict=True)
            return pa.array([self._seal_one(text, column, row) for text, row in pairs], pa.binary())
        if not width:
            return texts.cast(pa.binary())
        padded = pc.ascii_rpad(texts.fill_null(""), width, padding="\0")  # of bytes, whatever its name says
        plain = np.frombuffer(padded.buffers()[2], np.uint8, count=len(texts) * width).reshape(len(texts), width)
        sealed = plain ^ self._stream(column, rows.to_numpy(), width)
        ends = np.arange(0, len(texts) * width + 1, width, dtype=np.int32)
        return pa.Array.from_buffers(
            pa.binary(), len(texts), [_validity(texts), pa.py_buffer(ends), pa.py_buffer(sealed)]
        )

    def open(self, sealed: pa.Array, column: int, rows: pa.Array) -> pa.Array:
        """Return an array of bytes as the array of text that it was. Raises `FacnetError` if it was not."""
        width = _longest(sealed)
        if width > WIDE:
            pairs = zip(sealed.to_pylist(), rows.to_pylist(), strict=True)
            return pa.array([None if value is None else self.open_one(value, column, row) for value, row in pairs])
        if not width:
            return sealed.cast(pa.string())
        starts, data = _buffers(sealed)
        inside = np.arange(width) < np.diff(starts)[:, np.newaxis]
        opened = data ^ self._stream(column, rows.to_numpy(), width)[inside]
        values = [_validity(sealed), pa.py_buffer(starts), pa.py_buffer(opened)]
        return pc.ascii_rtrim(_text(pa.Array.from_buffers(pa.binary(), len(sealed), values)), "\0")

    def open_one(self, sealed: bytes, column: int, row: int) -> str:
        """Return the text of one value. Raises `FacnetError` if it is none."""
        if not sealed:
            return ""
        plain = np.frombuffer(sealed, np.uint8) ^ self._stream(column, np.array([row]), len(sealed))[0]
        try:
            return bytes(plain).rstrip(b"\0").decode()
        except UnicodeDecodeError:
            raise FacnetError from None

    def _seal_one(self, text: str | None, column: int, row: int) -> bytes | None:
        if not text:
            return None if text is None else b""
        encoded = text.encode()
        padded = np.frombuffer(encoded.ljust(_padded(len(encoded)), b"\0"), np.uint8)
        return bytes(padded ^ self._stream(column, np.array([row]), len(padded))[0])

    def _stream(self, column: int, rows: npt.NDArray[Any], width: int) -> Bytes:
        """Return `width` bytes of the key's stream for each row."""
        blocks = -(-width // BLOCK)
        counters = np.empty((len(rows), blocks, 2), "<u8")
        counters[..., 0] = np.arange(blocks, dtype="<u8") | np.uint64(column << 32)
        counters[..., 1] = rows[:, np.newaxis]
        stream = self._cipher.encryptor().update(counters.data.cast("B"))
        return np.frombuffer(stream, np.uint8).reshape(len(rows), blocks * BLOCK)[:, :width]


def unhexed(texts: pa.Array) -> pa.Array:
    """Return hexadecimal digits as an array of bytes."""
    starts, data = _buffers(texts)
    values = [_validity(texts), pa.py_buffer(starts // 2), pa.py_buffer(bytes.fromhex(data.tobytes().decode("ascii")))]
    return pa.Array.from_buffers(pa.binary(), len(texts), values)


def _padded(size: int) -> int:
    return -(-size // STEP) * STEP


def _longest(values: pa.Array) -> int:
    return pc.max(pc.binary_length(values)).as_py() or 0


def _validity(values: pa.Array) -> pa.Buffer | None:
    """Return which values are not null, as an array that begins with the first of them has it."""
    if not values.null_count:
        return None
    valid: Sequence[pa.Buffer | None] = pc.is_valid(values).buffers()
    return valid[1]


def _buffers(values: pa.Array) -> tuple[npt.NDArray[np.int32], Bytes]:
    """Return where values start and end, counted from the first one, and their bytes."""
    _, starts, data = values.buffers()
    ends = np.frombuffer(starts, np.int32)[values.offset : values.offset + len(values) + 1]
    if data is None:
        return ends - ends[0], np.empty(0, np.uint8)
    return ends - ends[0], np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]


def _text(values: pa.Array) -> pa.Array:
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:  # its text quotes the bytes
        raise FacnetError from None


SQL = load("column_encryption")
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

_WRAPPERS: WeakKeyDictionary[psycopg.Connection, KeyWrapper] = WeakKeyDictionary()


def use(conn: Connection, wrapper: KeyWrapper | None) -> None:
    """Have what is written and read over a connection encrypted."""
    if wrapper is not None:
        _WRAPPERS[conn] = wrapper


class EncryptedColumns:
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


def writing(conn: Connection, table: str, run_id: UUID) -> EncryptedColumns:
    """Return the columns of a run that this transaction writes; its key is made if it is the first to be written.

    Raises `TransientError` if another transaction has made it at the same time: never is anything written without one.
    """
    wrapper = _WRAPPERS.get(conn)
    if wrapper is None:
        return EncryptedColumns(table, None)
    params = {"run_id": run_id, "key_id": wrapper.key_id, "wrapped": wrapper.wrap(os.urandom(KEY_BYTES), run_id)}
    cipher = _cipher(conn, "make", params, wrapper)
    if cipher is None:
        raise TransientError(validation_id=str(run_id))
    return EncryptedColumns(table, cipher)


def reading(conn: Connection, table: str, run_id: UUID) -> EncryptedColumns:
    """Return the columns of a run to be read; values whose key is deleted are read as null.

    Raises `TransientError` if the key was wrapped with one that the settings do not name.
    """
    wrapper = _WRAPPERS.get(conn)
    if wrapper is None:
        return EncryptedColumns(table, None)
    cipher = _cipher(conn, "find", {"run_id": run_id}, wrapper)
    return EncryptedColumns(table, cipher, erased=cipher is None)


def forget(conn: Connection, run_ids: Sequence[UUID]) -> None:
    """Delete the keys of runs: their patients cannot be read any more."""
    conn.execute(SQL["forget"], {"ids": list(run_ids)})


def _cipher(conn: Connection, query: str, params: Mapping[str, Any], wrapper: KeyWrapper) -> RowCipher | None:
    row = conn.execute(SQL[query], params).fetchone()
    return RowCipher(wrapper.unwrap(row[0], row[1], params["run_id"])) if row else None
