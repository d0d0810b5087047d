"""Wraps keys anew with the current key of the settings, so that an older one is not needed any more."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from psycopg import Connection, sql

from facnet_grpc.storage.blobs.key_wrapping import KeyWrapper


@dataclass(frozen=True, slots=True)
class KeyTable:
    """A table of wrapped keys, and the column that says what each is for."""

    name: str
    thing: str


FILES = KeyTable("data_keys", "upload_id")
ROWS = KeyTable("row_keys", "run_id")
_OLD = "SELECT {thing}, key_id, wrapped FROM {table} WHERE key_id = ANY(%s) LIMIT %s FOR UPDATE SKIP LOCKED"
_NEW = "UPDATE {table} SET key_id = %s, wrapped = %s WHERE {thing} = %s"


def rewrap_batch(conn: Connection, table: KeyTable, wrapper: KeyWrapper, *, limit: int) -> int:
    """Wrap at most `limit` keys anew that are wrapped with an older key that the settings name; return how many."""
    names = {"table": sql.Identifier(table.name), "thing": sql.Identifier(table.thing)}
    rows: list[tuple[UUID, str, bytes]] = conn.execute(
        sql.SQL(_OLD).format(**names), (wrapper.older_key_ids, limit)
    ).fetchall()
    again = [
        (wrapper.key_id, wrapper.wrap(wrapper.unwrap(key_id, wrapped, thing), thing), thing)
        for thing, key_id, wrapped in rows
    ]
    with conn.cursor() as cursor:
        cursor.executemany(sql.SQL(_NEW).format(**names), again)
    return len(again)
