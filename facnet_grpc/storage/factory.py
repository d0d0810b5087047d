"""Builds the storage of a process from the settings: the database and the blob store, with their keys."""

from __future__ import annotations

from facnet_grpc.settings.storage import StorageSettings
from facnet_grpc.storage.blobs.encrypted import EncryptedBlobStore
from facnet_grpc.storage.blobs.key_wrapping import KeyWrapper
from facnet_grpc.storage.blobs.local import LocalBlobStore
from facnet_grpc.storage.postgres.database import IDLE_SECONDS, Database
from facnet_grpc.storage.postgres.file_keys import PostgresFileKeys


def database(settings: StorageSettings, application_name: str, *, idle_seconds: float = IDLE_SECONDS) -> Database:
    """Return the database, which is not open yet; see `Database` for `idle_seconds`.

    Raises `SettingsError` if the settings name no key.
    """
    return Database(
        settings.database_url.get_secret_value(),
        key_wrapper=KeyWrapper.for_rows(settings.blob_keys),
        max_connections=settings.database_connections,
        application_name=application_name,
        idle_seconds=idle_seconds,
    )


def blob_store(settings: StorageSettings, database: Database) -> EncryptedBlobStore:
    """Return the store of uploaded files, whose keys are in `database`.

    Raises `FacnetError` if its directory cannot be made, `SettingsError` if the settings name no key.
    """
    file_keys = PostgresFileKeys(database, KeyWrapper.for_files(settings.blob_keys))
    return EncryptedBlobStore(LocalBlobStore(settings.blob_dir), file_keys)
