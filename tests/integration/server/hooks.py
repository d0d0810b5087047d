"""A database and a blob store whose operations a test can delay, count or fail."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Self
from uuid import UUID

import psycopg

from facnet_grpc.storage.blobs.api import PartWriter
from facnet_grpc.storage.blobs.local import LocalBlobStore
from facnet_grpc.storage.postgres.database import Database


def do_nothing(*_: object) -> None:
    pass


def fail(error: Exception) -> Callable[..., None]:
    """A hook that raises."""

    def hook(*_: object) -> None:
        raise error

    return hook


class HookedDatabase:
    """Calls `before_connection` before each connection is opened, with `options` in addition to those of the caller."""

    def __init__(self, database: Database) -> None:
        self.real = database
        self.before_connection: Callable[[], object] = do_nothing
        self.options: dict[str, Any] = {}

    def connection(self, **options: Any) -> AbstractContextManager[psycopg.Connection]:
        self.before_connection()
        return self.real.connection(**{**options, **self.options})

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class HookedBlobs:
    """Calls hooks before its operations, and `after_commit` after a commit."""

    def __init__(self, blobs: LocalBlobStore) -> None:
        self.real = blobs
        self.before_write: Callable[[], object] = do_nothing
        self.before_commit: Callable[[], object] = do_nothing
        self.after_commit: Callable[[], object] = do_nothing
        self.before_delete: Callable[[], object] = do_nothing
        self.after_open_part: Callable[[Exception | None], object] = do_nothing

    def open_part(self, upload_id: UUID) -> PartWriter:
        try:
            part = self.real.open_part(upload_id)
        except Exception as error:
            self.after_open_part(error)
            raise
        self.after_open_part(None)
        return HookedPart(part, self)  # type: ignore[return-value]

    def commit(self, upload_id: UUID, blob_key: str) -> None:
        self.before_commit()
        self.real.commit(upload_id, blob_key)
        self.after_commit()

    def delete(self, blob_key: str) -> None:
        self.before_delete()
        self.real.delete(blob_key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class HookedPart:
    """A part of such a store."""

    def __init__(self, part: PartWriter, blobs: HookedBlobs) -> None:
        self._part = part
        self._blobs = blobs

    def write(self, data: bytes | memoryview) -> None:
        self._blobs.before_write()
        self._part.write(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._part.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)
