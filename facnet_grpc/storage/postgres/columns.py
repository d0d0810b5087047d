"""Patients in PostgreSQL: encrypted text in text columns, the same for the same patient.

AES-256-SIV, deterministic within a deployment, so that equal stays equal: lines can be grouped and looked up while
PostgreSQL does not know the key. Stored as `~`, the key's name, `~`, Base64. The name of the column is part of what is
authenticated, so a value means nothing in another column; tables share it.

Each distinct value of a batch is encrypted once. Whoever reads such columns passes what was read through `open_batch`
or `open_text`.
"""

from __future__ import annotations

from binascii import Error as NotBase64
from binascii import a2b_base64, b2a_base64
from typing import Final
from weakref import WeakKeyDictionary

import psycopg
import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from facnet_grpc.errors import FacnetError
from facnet_grpc.keys import Keys
from facnet_grpc.storage.keyring import derive, unknown_key

MARK: Final = "~"
PATIENTS: Final = ("patient_key", "patient_name", "raw")


class ColumnCipher:
    """Encrypts with the current key, decrypts with any. Thread-safe."""

    def __init__(self, keys: Keys) -> None:
        self._ciphers = {key.id: AESSIV(derive(key, "columns", 64)) for key in keys.all}
        self._current = keys.current.id

    def seal(self, text: str, column: str) -> str:
        """Return the text as it is stored in `column`."""
        return self._seal(text, column, self._current)

    def candidates(self, text: str, column: str) -> list[str]:
        """Return everything that the text may be stored as: to look for, also after a key was changed."""
        return [self._seal(text, column, key_id) for key_id in self._ciphers]

    def open(self, stored: str, column: str) -> str:
        """Return what was stored; text that is not encrypted as it is.

        Raises `TransientError` if the key is not known, `FacnetError` (INTERNAL) if it was tampered with.
        """
        if not stored.startswith(MARK):
            return stored
        _, key_id, sealed = stored.split(MARK, 2)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise unknown_key(key_id)
        try:
            return cipher.decrypt(a2b_base64(sealed, strict_mode=True), [column.encode()]).decode()
        except (InvalidTag, NotBase64, ValueError):
            raise FacnetError(column=column) from None

    def seal_array(self, values: pa.Array, column: str) -> pa.Array:
        """Encrypt an array of text, each distinct value once."""
        encoded = values.dictionary_encode()
        encrypt, bound = self._ciphers[self._current].encrypt, [column.encode()]
        head = f"{MARK}{self._current}{MARK}".encode()
        # A loop over a hundred thousand patients: what can be done before or after it is.
        texts = encoded.dictionary.cast(pa.binary()).to_pylist()
        sealed = [head + b2a_base64(encrypt(text, bound), newline=False) for text in texts]
        return pa.array(sealed, pa.binary()).cast(pa.string()).take(encoded.indices)

    def open_array(self, values: pa.Array | pa.ChunkedArray, column: str) -> pa.Array:
        """Decrypt an array of text, each distinct value once."""
        whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        encoded = whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
        opened = [None if text is None else self.open(text, column) for text in encoded.dictionary.to_pylist()]
        return pa.array(opened, pa.string()).take(encoded.indices)

    def _seal(self, text: str, column: str, key_id: str) -> str:
        sealed = self._ciphers[key_id].encrypt(text.encode(), [column.encode()])
        return f"{MARK}{key_id}{MARK}{b2a_base64(sealed, newline=False).decode()}"


_CIPHERS: WeakKeyDictionary[psycopg.Connection, ColumnCipher] = WeakKeyDictionary()


def use(conn: psycopg.Connection, cipher: ColumnCipher | None) -> None:
    """Have what is written and read over a connection encrypted."""
    if cipher is not None:
        _CIPHERS[conn] = cipher


def seal_batch(conn: psycopg.Connection, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Encrypt the columns of patients of a batch, if the connection has a cipher."""
    cipher = _CIPHERS.get(conn)
    if cipher is None:
        return batch
    arrays = {name: batch.column(name) for name in batch.schema.names}
    arrays |= {name: cipher.seal_array(arrays[name], name) for name in PATIENTS if name in arrays}
    return pa.RecordBatch.from_arrays(list(arrays.values()), schema=batch.schema)


def open_batch(conn: psycopg.Connection, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Decrypt the columns of patients of a batch; they may be text or dictionaries, and become text."""
    cipher = _CIPHERS.get(conn)
    if cipher is None:
        return batch
    for index, name in enumerate(batch.schema.names):
        if name in PATIENTS:
            batch = batch.set_column(
                index, batch.schema.field(index).with_type(pa.string()), cipher.open_array(batch.column(index), name)
            )
    return batch


def open_text(conn: psycopg.Connection, stored: str | None, column: str) -> str | None:
    """Decrypt one value."""
    cipher = _CIPHERS.get(conn)
    return stored if cipher is None or stored is None else cipher.open(stored, column)


def candidates(conn: psycopg.Connection, text: str, column: str) -> list[str]:
    """Return everything that a patient may be stored as in `column`."""
    cipher = _CIPHERS.get(conn)
    return [text] if cipher is None else cipher.candidates(text, column)
