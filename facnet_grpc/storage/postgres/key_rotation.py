"""Key rotation: rewraps stored keys under the current key-encryption key (KEK), so that an older KEK can be removed."""

from __future__ import annotations

from uuid import UUID

from psycopg import Connection

from facnet_grpc.settings.keys import Keys
from facnet_grpc.storage.blobs.key_wrapping import KeyWrapper
from facnet_grpc.storage.postgres.database import Database
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("key_rotation")


def rotate(database: Database, keys: Keys, *, limit: int) -> int:
    """Rewrap at most `limit` keys of files and as many of runs; returns how many. Raises `TransientError`.

    Keys that are wrapped under a KEK that `keys` does not name stay as they are.
    """
    file_keys = (KeyWrapper.for_files(keys), SQL["lock_old_file_keys"], SQL["update_file_key"])
    row_keys = (KeyWrapper.for_rows(keys), SQL["lock_old_row_keys"], SQL["update_row_key"])
    count = 0
    for wrapper, select, update in (file_keys, row_keys):
        with database.connection() as conn:
            count += _rewrap(conn, wrapper, select, update, limit)
    return count


def _rewrap(conn: Connection, wrapper: KeyWrapper, select: str, update: str, limit: int) -> int:
    rows: list[tuple[UUID, str, bytes]] = conn.execute(
        select, {"old_key_ids": wrapper.older_key_ids, "limit": limit}
    ).fetchall()
    rewrapped = [
        {"id": owner_id, "key_id": wrapper.key_id, "wrapped": wrapper.rewrap(key_id, wrapped, owner_id)}
        for owner_id, key_id, wrapped in rows
    ]
    with conn.cursor() as cursor:
        cursor.executemany(update, rewrapped)
    return len(rewrapped)
