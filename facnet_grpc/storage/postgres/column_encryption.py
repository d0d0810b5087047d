"""Encryption of patients' columns: whole columns of one run's rows at once, with a key of that run.

Each run (and each revalidation) has a row key of its own, made in the transaction that writes its rows and stored
wrapped by the key-encryption key (KEK) of the settings. Once a row key is deleted, nobody can read the run's patients,
in backups of the rows either.

The cipher is AES-256 in counter mode. A counter block holds the column's number, the number of the 16-byte block within
the value, and the row's number. A key encrypts each cell once, so no counter block repeats under a key, no nonce is
stored, and any row can be decrypted alone. Values are padded with NUL, which PostgreSQL text cannot hold, so a
ciphertext shows the length of its value only roughly.

Nothing is authenticated: whoever can change these columns can change the amounts and codes beside them as well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from psycopg import Connection

from facnet_grpc.errors import FacnetError, TransientError
from facnet_grpc.storage.blobs.key_wrapping import KeyWrapper
from facnet_grpc.storage.postgres.database import PatientConnection
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("column_encryption")
KEY_BYTES: Final = 32
#: The number of each encrypted column, by table. A number is never given to another column.
PATIENT_COLUMNS: Final[Mapping[str, Mapping[str, int]]] = {
    "billing_records": {"patient_key": 1, "patient_name": 2},
    "rejected_rows": {"raw": 3},
    "validation_results": {"patient_key": 4},
    "revalidated_results": {"patient_key": 5},
}
# The column that numbers a run's rows in each table; with `run_id` it is the primary key, so no number repeats.
_ROW_NUMBERS: Final[Mapping[str, str]] = {
    "billing_records": "record_number",
    "rejected_rows": "record_number",
    "validation_results": "result_number",
    "revalidated_results": "result_number",
}
_BLOCK_BYTES: Final = 16
_PADDING_BYTES: Final = 8  # the values of an array are padded to one width, a multiple of this
_MAX_WIDTH: Final = 64  # bytes; an array with a longer value is encrypted value by value, not padded to it

Bytes = npt.NDArray[np.uint8]


class RowCipher:
    """Encrypts and decrypts columns with one key. `column` is below 2³¹; `rows` are the rows' numbers, from 0."""

    def __init__(self, key: bytes) -> None:
        # Counter mode is ECB over counter blocks; the library's own counter mode can only count upwards by one.
        self._cipher = Cipher(algorithms.AES256(key), modes.ECB())  # noqa: S305 - see above

    def encrypt(self, texts: pa.Array, column: int, rows: pa.Array) -> pa.Array:
        """Return an array of text as an array of ciphertext; null stays null."""
        if not len(texts):
            return pa.array([], pa.binary())
        width = _padded(_longest(texts))
        if width > _MAX_WIDTH:
            pairs = zip(texts.to_pylist(), rows.to_pylist(), strict=True)
            return pa.array([self._encrypt_one(text, column, row) for text, row in pairs], pa.binary())
        if not width:
            return texts.cast(pa.binary())
        padded = pc.ascii_rpad(texts.fill_null(""), width, padding="\0")  # pads bytes, in spite of its name
        plain = np.frombuffer(padded.buffers()[2], np.uint8, count=len(texts) * width).reshape(len(texts), width)
        ciphertext = plain ^ self._stream(column, rows.to_numpy(), width)
        ends = np.arange(0, len(texts) * width + 1, width, dtype=np.int32)
        return pa.Array.from_buffers(
            pa.binary(), len(texts), [_validity(texts), pa.py_buffer(ends), pa.py_buffer(ciphertext)]
        )

    def decrypt(self, ciphertext: pa.Array, column: int, rows: pa.Array) -> pa.Array:
        """Return an array of ciphertext as text. Raises `FacnetError` if a plain text is not UTF-8."""
        width = _longest(ciphertext)
        if width > _MAX_WIDTH:
            pairs = zip(ciphertext.to_pylist(), rows.to_pylist(), strict=True)
            return pa.array([None if value is None else self.decrypt_one(value, column, row) for value, row in pairs])
        if not width:
            return ciphertext.cast(pa.string())
        starts, data = _buffers(ciphertext)
        inside = np.arange(width) < np.diff(starts)[:, np.newaxis]
        text = data ^ self._stream(column, rows.to_numpy(), width)[inside]
        values = [_validity(ciphertext), pa.py_buffer(starts), pa.py_buffer(text)]
        return pc.ascii_rtrim(_text(pa.Array.from_buffers(pa.binary(), len(ciphertext), values)), "\0")

    def decrypt_one(self, ciphertext: bytes, column: int, row: int) -> str:
        """Return the text of one value. Raises `FacnetError` if it is not UTF-8."""
        if not ciphertext:
            return ""
        plain = np.frombuffer(ciphertext, np.uint8) ^ self._stream(column, np.array([row]), len(ciphertext))[0]
        try:
            return bytes(plain).rstrip(b"\0").decode()
        except UnicodeDecodeError:
            raise FacnetError from None

    def _encrypt_one(self, text: str | None, column: int, row: int) -> bytes | None:
        if not text:
            return None if text is None else b""
        encoded = text.encode()
        padded = np.frombuffer(encoded.ljust(_padded(len(encoded)), b"\0"), np.uint8)
        return bytes(padded ^ self._stream(column, np.array([row]), len(padded))[0])

    def _stream(self, column: int, rows: npt.NDArray[Any], width: int) -> Bytes:
        """Return `width` bytes of key stream for each row: shape (rows, width)."""
        blocks = -(-width // _BLOCK_BYTES)
        counters = np.empty((len(rows), blocks, 2), "<u8")
        counters[..., 0] = np.arange(blocks, dtype="<u8") | np.uint64(column << 32)
        counters[..., 1] = rows[:, np.newaxis]
        stream = self._cipher.encryptor().update(counters.data.cast("B"))
        return np.frombuffer(stream, np.uint8).reshape(len(rows), blocks * _BLOCK_BYTES)[:, :width]


def decode_hex(texts: pa.Array) -> pa.Array:
    """Return an array of hexadecimal digits as an array of bytes."""
    starts, data = _buffers(texts)
    values = [_validity(texts), pa.py_buffer(starts // 2), pa.py_buffer(bytes.fromhex(data.tobytes().decode("ascii")))]
    return pa.Array.from_buffers(pa.binary(), len(texts), values)


def _padded(size: int) -> int:
    return -(-size // _PADDING_BYTES) * _PADDING_BYTES


def _longest(values: pa.Array) -> int:
    return pc.max(pc.binary_length(values)).as_py() or 0


def _validity(values: pa.Array) -> pa.Buffer | None:
    """Return the validity bitmap of an array with offset 0; None if no value is null."""
    if not values.null_count:
        return None
    valid: Sequence[pa.Buffer | None] = pc.is_valid(values).buffers()
    return valid[1]


def _buffers(values: pa.Array) -> tuple[npt.NDArray[np.int32], Bytes]:
    """Return the offsets of the values, the first of which is 0, and their bytes."""
    _, starts, data = values.buffers()
    ends = np.frombuffer(starts, np.int32)[values.offset : values.offset + len(values) + 1]
    if data is None:
        return ends - ends[0], np.empty(0, np.uint8)
    return ends - ends[0], np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]


def _text(values: pa.Array) -> pa.Array:
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:  # Arrow's message quotes the bytes
        raise FacnetError from None


class ColumnEncryptor:
    """Encrypts the patients' columns of one run's rows in one table, within one transaction."""

    def __init__(self, table: str, cipher: RowCipher) -> None:
        self._cipher = cipher
        self._columns = PATIENT_COLUMNS[table]
        self._row_number = _ROW_NUMBERS[table]

    def stored_schema(self, schema: pa.Schema) -> pa.Schema:
        """Return `schema` with patients' columns as binary, as `encrypt` returns them."""
        return pa.schema(
            [field.with_type(pa.binary()) if field.name in self._columns else field for field in schema],
        )

    def encrypt(self, batch: pa.RecordBatch) -> list[pa.Array]:
        """Return the columns of a batch in its order, those of patients as ciphertext."""
        numbers = batch.column(self._row_number)
        return [
            self._cipher.encrypt(batch.column(name), self._columns[name], numbers)
            if name in self._columns
            else batch.column(name)
            for name in batch.schema.names
        ]


class ColumnDecryptor:
    """Decrypts the patients' columns of one run's rows in one table; reads null if the run's key is deleted."""

    def __init__(self, table: str, cipher: RowCipher | None) -> None:
        self._cipher = cipher
        self._columns = PATIENT_COLUMNS[table]
        self._row_number = _ROW_NUMBERS[table]

    def decrypt(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch, whose patients' columns are hexadecimal digits, with plain text.

        Raises `FacnetError` if a plain text is not UTF-8.
        """
        numbers = batch.column(self._row_number)
        for index, name in enumerate(batch.schema.names):
            if name in self._columns:
                batch = batch.set_column(index, name, self._decrypt_column(batch.column(index), name, numbers))
        return batch

    def decrypt_one(self, ciphertext: bytes | None, name: str, number: int) -> str | None:
        """Return the text of the column `name` in the row `number`. Raises `FacnetError` if it is not UTF-8."""
        if ciphertext is None or self._cipher is None:
            return None
        return self._cipher.decrypt_one(ciphertext, self._columns[name], number)

    def _decrypt_column(self, digits: pa.Array, name: str, numbers: pa.Array) -> pa.Array:
        if self._cipher is None:
            return pa.nulls(len(digits), pa.string())
        return self._cipher.decrypt(decode_hex(digits), self._columns[name], numbers)


def encryptor(conn: PatientConnection, table: str, run_id: UUID) -> ColumnEncryptor:
    """Return what encrypts a run's rows in `table`; makes the run's key if this transaction has not made it yet.

    Raises `TransientError` if another transaction makes the key at the same time: rows are never written without one.
    """
    wrapper = conn.key_wrapper
    wrapped = wrapper.wrap(os.urandom(KEY_BYTES), run_id)
    params = {"run_id": run_id, "key_id": wrapper.key_id, "wrapped": wrapped}
    cipher = _cipher(conn, wrapper, SQL["insert"], params)
    if cipher is None:
        raise TransientError(validation_id=str(run_id))
    return ColumnEncryptor(table, cipher)


def decryptor(conn: PatientConnection, table: str, run_id: UUID) -> ColumnDecryptor:
    """Return what decrypts a run's rows in `table`.

    Raises `TransientError` if the settings do not name the KEK that wraps the run's key.
    """
    return ColumnDecryptor(table, _cipher(conn, conn.key_wrapper, SQL["select"], {"run_id": run_id}))


def delete_keys(conn: Connection, run_ids: Sequence[UUID]) -> None:
    """Delete the row keys of runs: nobody can read their patients any more."""
    conn.execute(SQL["delete"], {"ids": list(run_ids)})


def _cipher(conn: Connection, wrapper: KeyWrapper, query: str, params: Mapping[str, Any]) -> RowCipher | None:
    row = conn.execute(query, params).fetchone()
    return RowCipher(wrapper.unwrap(row[0], row[1], params["run_id"])) if row else None
