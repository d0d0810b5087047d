"""The keys of encrypted files in PostgreSQL, each wrapped by a key of the settings.

A key is deleted in the transaction that records the deletion of its file (see `runs.sql`, `uploads.sql`,
`deletion.sql`): from then on no copy of the file can be decrypted.
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


class PostgresFileKeys:
    """Makes and finds keys of files, each in a transaction of its own."""

    def __init__(self, database: Database, wrapper: KeyWrapper) -> None:
        self._database = database
        self._wrapper = wrapper

    def make(self, file_id: UUID) -> bytes:
        """Return a file's key, a new one if it has none. Raises `TransientError`."""
        data_key = os.urandom(KEY_BYTES)
        wrapped = self._wrapper.wrap(data_key, file_id)
        with self._database.connection() as conn:
            params = {"upload_id": file_id, "key_id": self._wrapper.key_id, "wrapped": wrapped}
            is_new = conn.execute(SQL["insert"], params).fetchone() is not None
        if is_new:
            return data_key
        found = self.find(file_id)
        return found.secret if found else self.make(file_id)

    def find(self, file_id: UUID) -> FileKey | None:
        """Return a file's key, None if it was deleted. Raises `TransientError`."""
        with self._database.connection() as conn:
            row = conn.execute(SQL["select"], {"upload_id": file_id}).fetchone()
        return FileKey(self._wrapper.unwrap(row[0], row[1], file_id), row[2]) if row else None
