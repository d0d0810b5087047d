"""Puts together what keeps data at rest, from the settings."""

from __future__ import annotations

from facnet_grpc.settings.keys import Keys
from facnet_grpc.settings.storage import StorageSettings
from facnet_grpc.storage.blobs.encrypted import EncryptedBlobStore
from facnet_grpc.storage.blobs.key_wrapping import KeyWrapper
from facnet_grpc.storage.blobs.local import LocalBlobStore
from facnet_grpc.storage.postgres import key_rotation as rewrapping
from facnet_grpc.storage.postgres.database import IDLE_SECONDS, Database
from facnet_grpc.storage.postgres.file_keys import StoredDataKeys


def database(settings: StorageSettings, application_name: str, *, idle_seconds: float = IDLE_SECONDS) -> Database:
    """Return the database, in which patients are encrypted; it is not open yet.

    A session may do nothing in a transaction for `idle_seconds`.

    Raises `SettingsError` if there is no key.
    """
    return Database(
        settings.database_url.get_secret_value(),
        max_connections=settings.database_connections,
        application_name=application_name,
        wrapper=row_key_wrapper(settings.blob_keys),
        idle_seconds=idle_seconds,
    )


def row_key_wrapper(keys: Keys) -> KeyWrapper:
    """Return what wraps the keys of rows."""
    return KeyWrapper(keys, "wrap-rows")


def blob_store(settings: StorageSettings, database: Database) -> EncryptedBlobStore:
    """Return the store of uploaded files, whose keys are in `database`.

    Raises `FacnetError` if its directory cannot be made, `SettingsError` if there is no key.
    """
    return encrypted(LocalBlobStore(settings.blob_dir), database, settings.blob_keys)


def rewrap(database: Database, keys: Keys, *, limit: int) -> int:
    """Wrap at most `limit` keys of files and as many of runs anew with the current key; return how many.

    Raises `TransientError`.
    """
    with database.connection() as conn:
        files = rewrapping.rewrap_batch(conn, rewrapping.FILES, KeyWrapper(keys), limit=limit)
    with database.connection() as conn:
        return files + rewrapping.rewrap_batch(conn, rewrapping.ROWS, row_key_wrapper(keys), limit=limit)


def encrypted(store: LocalBlobStore, database: Database, keys: Keys) -> EncryptedBlobStore:
    """Return an encrypting store around another one."""
    return EncryptedBlobStore(store, StoredDataKeys(database, KeyWrapper(keys)))
