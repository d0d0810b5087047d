"""Connections to PostgreSQL: a pool that fails fast, and errors that say nothing about the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from facnet_grpc.storage.blobs.key_wrapping import KeyWrapper
from facnet_grpc.storage.postgres.errors import translate
from facnet_grpc.storage.postgres.tracing_cursor import TracingCursor

CONNECT_SECONDS = 3
STATEMENT_SECONDS = 15.0
LOCK_SECONDS = 5.0
IDLE_SECONDS = 60.0

# How long the pool goes on trying to connect by itself. It is short so that the next attempt is made for a caller, and
# not after a backoff that has grown while PostgreSQL was away.
RECONNECT_SECONDS = 1.0

ConnectionT = TypeVar("ConnectionT", bound=psycopg.Connection[TupleRow])


class PatientConnection(psycopg.Connection[TupleRow]):
    """A connection that can write and read patients: it holds the key-encryption key (KEK) of their row keys."""

    key_wrapper: KeyWrapper


class _PooledDatabase(Generic[ConnectionT]):
    """PostgreSQL, reached through a pool of at most `max_connections` connections. Thread-safe.

    PostgreSQL ends a session that does nothing for `idle_seconds` in a transaction: its process may be frozen, and
    others wait for what it has locked.
    """

    def __init__(
        self,
        url: str,
        connection_class: type[ConnectionT],
        configure: Callable[[ConnectionT], None] | None = None,
        *,
        max_connections: int,
        application_name: str,
        idle_seconds: float,
    ) -> None:
        self._idle_seconds = idle_seconds
        self._pool = ConnectionPool(
            url,
            connection_class=connection_class,
            kwargs=_parameters(url, application_name, idle_seconds),
            min_size=1,
            max_size=max_connections,
            open=False,
            check=ConnectionPool.check_connection,
            name=application_name,
            reconnect_timeout=RECONNECT_SECONDS,
            reconnect_failed=_reconnect_for_waiting,
            configure=configure,
        )

    def open(self) -> None:
        """Start connecting. Returns at once, also while PostgreSQL is away."""
        self._pool.open(wait=False)

    def close(self) -> None:
        """Close every connection; those in use when they are given back."""
        self._pool.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def connection(
        self,
        *,
        timeout: float = 5.0,
        statement_timeout: float | None = STATEMENT_SECONDS,
        durable: bool = True,
    ) -> Iterator[ConnectionT]:
        """Give a connection for one transaction: commits at the end, rolls back on an error.

        `timeout` is how long to wait for a connection, in seconds; `statement_timeout` how long one statement may take,
        None for a long load, which may then also pause between statements. Without `durable` the commit does not wait
        for the disk: what it stored may be gone after a power failure, as if it had never been.
        Raises `TransientError` if PostgreSQL is away, busy or full, `FacnetError` (INTERNAL) on a mistake of ours; both
        without the driver's text.
        """
        try:
            with self._pool.connection(timeout) as conn:
                if statement_timeout != STATEMENT_SECONDS:
                    _set_timeouts(conn, statement_timeout, self._idle_seconds)
                if not durable:
                    conn.execute("SET LOCAL synchronous_commit = off")
                yield conn
        except psycopg.Error as error:
            raise translate(error) from None

    def ping(self, *, timeout: float = 3.0) -> int:
        """Return PostgreSQL's version as a number, such as 180006. Raises `TransientError`."""
        with self.connection(timeout=timeout) as conn:
            conn.execute("SELECT 1")
            return conn.info.server_version


class Database(_PooledDatabase[PatientConnection]):
    """The database of servers and workers. Patients are encrypted under `key_wrapper` (see `column_encryption`)."""

    def __init__(
        self,
        url: str,
        *,
        key_wrapper: KeyWrapper,
        max_connections: int,
        application_name: str,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        def set_key_wrapper(conn: PatientConnection) -> None:
            conn.key_wrapper = key_wrapper

        super().__init__(
            url,
            PatientConnection,
            set_key_wrapper,
            max_connections=max_connections,
            application_name=application_name,
            idle_seconds=idle_seconds,
        )


class KeylessDatabase(_PooledDatabase[psycopg.Connection[TupleRow]]):
    """A database opened without keys, for health checks: its connections can neither write nor read patients."""

    def __init__(
        self, url: str, *, max_connections: int, application_name: str, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        super().__init__(
            url,
            psycopg.Connection,
            max_connections=max_connections,
            application_name=application_name,
            idle_seconds=idle_seconds,
        )


def _reconnect_for_waiting(pool: ConnectionPool[Any]) -> None:
    """Connect again for callers that wait: by itself, the pool leaves them waiting when PostgreSQL has come back."""
    if pool.get_stats().get("requests_waiting", 0):
        pool.check()


def _set_timeouts(conn: psycopg.Connection, seconds: float | None, idle_seconds: float) -> None:
    statement, idle = (0, 0) if seconds is None else (int(seconds * 1000), int(idle_seconds * 1000))
    conn.execute(
        "SELECT set_config('statement_timeout', %s, true), set_config('idle_in_transaction_session_timeout', %s, true)",
        (str(statement), str(idle)),
    )


def _parameters(url: str, application_name: str, idle_seconds: float) -> dict[str, Any]:
    settings = {
        "TimeZone": "UTC",
        "statement_timeout": int(STATEMENT_SECONDS * 1000),
        "lock_timeout": int(LOCK_SECONDS * 1000),
        "idle_in_transaction_session_timeout": int(idle_seconds * 1000),
    }
    ours = " ".join(f"-c {name}={value}" for name, value in settings.items())
    theirs = conninfo_to_dict(url).get("options") or ""
    return {
        "application_name": application_name,
        "cursor_factory": TracingCursor,
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": int(STATEMENT_SECONDS * 1000),  # a peer that vanished without a word
        "options": f"{ours} {theirs}".strip(),
    }
