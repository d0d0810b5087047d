"""Run a query and return its rows: as dictionaries, as objects of a class, or as the values of its first column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from psycopg import Connection
from psycopg.rows import DictRow, class_row, dict_row, scalar_row

Row = TypeVar("Row")
Params = Mapping[str, Any] | None


def fetch_one(conn: Connection, query: str, params: Params = None) -> DictRow | None:
    """Return the first row by column names, None if there is none."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, params).fetchone()


def fetch_all(conn: Connection, query: str, params: Params = None) -> list[DictRow]:
    """Return all rows by column names."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, params).fetchall()


def fetch_object(conn: Connection, kind: type[Row], query: str, params: Params = None) -> Row | None:
    """Return the first row as a `kind`, whose fields are the query's columns; None if there is no row."""
    with conn.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(query, params).fetchone()


def fetch_objects(conn: Connection, kind: type[Row], query: str, params: Params = None) -> list[Row]:
    """Return all rows as instances of `kind`, whose fields are the query's columns."""
    with conn.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(query, params).fetchall()


def fetch_value(conn: Connection, query: str, params: Params = None) -> Any:
    """Return the first column of the first row, None if there is no row."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query, params).fetchone()


def fetch_values(conn: Connection, query: str, params: Params = None) -> list[Any]:
    """Return the first column of all rows."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query, params).fetchall()
