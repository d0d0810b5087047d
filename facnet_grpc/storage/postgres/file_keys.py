"""The keys of encrypted files, in PostgreSQL, each wrapped with a key of the settings.

A row goes in the same transaction that says that its file is gone (see `runs.sql`, `uploads.sql`): what is left of the
file anywhere cannot be read from then on.
"""

from __future__ import annotations

import os
from uuid import UUID

from facnet_grpc.storage.blobs.encrypted import FileKey
from facnet_grpc.storage.blobs.frame_format import KEY_BYTES
from facnet_grpc.storage.blobs.key_wrapping import KeyWrapper
from facnet_grpc.storage.postgres.database import Database
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("file_keys")


class StoredDataKeys:
    """Makes and finds keys, each in a transaction of its own."""

    def __init__(self, database: Database, wrapper: KeyWrapper) -> None:
        self._database = database
        self._wrapper = wrapper

    def make(self, file_id: UUID) -> bytes:
        """Return a file's key, a new one if it has none. Raises `TransientError`."""
        data_key = os.urandom(KEY_BYTES)
        wrapped = self._wrapper.wrap(data_key, file_id)
        with self._database.connection() as conn:
            params = {"upload_id": file_id, "key_id": self._wrapper.key_id, "wrapped": wrapped}
            is_new = conn.execute(SQL["make"], params).fetchone() is not None
        if is_new:
            return data_key
        known = self.find(file_id)
        return known.secret if known else self.make(file_id)

    def find(self, file_id: UUID) -> FileKey | None:
        """Return a file's key, None if it was forgotten. Raises `TransientError`."""
        with self._database.connection() as conn:
            row = conn.execute(SQL["find"], {"upload_id": file_id}).fetchone()
        return FileKey(self._wrapper.unwrap(row[0], row[1], file_id), row[2]) if row else None
