"""Creates databases for one stack on external PostgreSQL and Redis servers, which others use as well.

Two stacks must not share a database: each would claim the other's runs, whose files it does not have and whose rows it
cannot decrypt. An ephemeral stack gets a database that is dropped when it stops. What a killed stack left behind is
removed by the next: PostgreSQL databases with our prefix and owner and without a session; Redis databases that have the
key of a stack and whose key of life has expired.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import LiteralString
from urllib.parse import parse_qsl, urlencode

import psycopg
import redis
from psycopg import sql
from psycopg.conninfo import make_conninfo

from facnet_grpc.calendar import DAY_SECONDS
from facnet_grpc.errors import FacnetError, Reason, TransientError
from facnet_grpc.events.stream import connect
from facnet_grpc.storage.postgres.database import CONNECT_SECONDS
from facnet_grpc.storage.postgres.errors import translate

MIN_AGE_SECONDS = 300  # a younger one may have no session yet; clocks differ
MAX_DATABASES = 64
ALIVE_KEY, STACK_KEY = "facnet:stack:alive", "facnet:stack"
ALIVE_SECONDS = 60
STACK_SECONDS = 30 * DAY_SECONDS

_LEFT_BEHIND = """
    SELECT datname FROM pg_database AS d
    WHERE datname ~ '^facnet_run_[0-9a-f]{8}_[0-9a-f]{8}$'
      AND datdba = (SELECT oid FROM pg_roles WHERE rolname = current_user)
      AND ('x' || substr(datname, 12, 8))::bit(32)::bigint < %s
      AND NOT EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.datid = d.oid)
"""


class DatabaseUnavailable(Exception):
    """The server has no database for this stack: the role may not create one, or none is free."""


@contextmanager
def temporary_database(server: str) -> Iterator[str]:
    """Make a database beside that of the URL `server`, yield its URL, and drop it in the end.

    Raises `DatabaseUnavailable` if the role may not make databases, `TransientError` if PostgreSQL is away.
    """
    with _session(server) as conn:
        _drop_left_behind(conn)
        name = f"facnet_run_{int(time.time()):08x}_{secrets.token_hex(4)}"
        _create(conn, name)
    url = make_conninfo(server, dbname=name)
    try:
        with _session(url):  # as long as it lasts, nobody takes the database for one that was left behind
            yield url
    finally:
        with suppress(FacnetError), _session(server) as conn:  # else the next stack drops it
            _run(conn, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def persistent_database(server: str, name: str) -> str:
    """Return the URL of the database `name` beside that of the URL `server`, made if it is not there yet.

    Raises `DatabaseUnavailable` if the role may not make databases, `TransientError` if PostgreSQL is away.
    """
    with _session(server) as conn:
        if conn.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
            _create(conn, name)
    return make_conninfo(server, dbname=name)


@contextmanager
def redis_database(server: str, *, alive_seconds: float = ALIVE_SECONDS) -> Iterator[str]:
    """Yield the URL of a numbered database of a Redis server that nobody uses, and empty it in the end.

    Raises `DatabaseUnavailable` if none is free, `TransientError` if Redis is away.
    """
    url = _claim(server)
    over = threading.Event()
    keeping = threading.Thread(target=_keep, args=(url, over, alive_seconds), name="redis-database", daemon=True)
    keeping.start()
    try:
        yield url
    finally:
        over.set()
        keeping.join()
        with suppress(redis.RedisError), connect(url) as client:
            client.flushdb()


@contextmanager
def _session(url: str) -> Iterator[psycopg.Connection]:
    try:
        conn = psycopg.connect(
            url, autocommit=True, connect_timeout=CONNECT_SECONDS, application_name="facnet-stack", keepalives_idle=60
        )
    except psycopg.Error as error:
        raise translate(error) from None
    try:
        yield conn
    except psycopg.Error as error:
        raise translate(error) from None
    finally:
        conn.close()


def _run(conn: psycopg.Connection, statement: LiteralString, name: str) -> None:
    conn.execute(sql.SQL(statement).format(sql.Identifier(name)))


def _create(conn: psycopg.Connection, name: str) -> None:
    # UTF-8 whatever the server's own databases have; with a locale that does not fit, that of C.
    statement = "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'"
    try:
        try:
            _run(conn, statement, name)
        except (psycopg.errors.InvalidParameterValue, psycopg.errors.InvalidObjectDefinition):
            _run(conn, f"{statement} LOCALE 'C'", name)
    except psycopg.errors.InsufficientPrivilege:
        raise DatabaseUnavailable from None
    except psycopg.errors.DuplicateDatabase:
        pass


def _drop_left_behind(conn: psycopg.Connection) -> None:
    for (name,) in conn.execute(_LEFT_BEHIND, (int(time.time()) - MIN_AGE_SECONDS,)).fetchall():
        with suppress(psycopg.Error):  # somebody else was faster, or uses it after all
            _run(conn, "DROP DATABASE IF EXISTS {}", name)


def _claim(server: str) -> str:
    """Find a number that is free, or was used by a stack that is gone, and say so there.

    The one that the URL names, and that which everybody has who names none, may be somebody's, empty or not.
    """
    taken = {0, _number(server)}
    try:
        for url in (_numbered(server, number) for number in range(MAX_DATABASES) if number not in taken):
            with connect(url) as client:
                if _is_ours_now(client):
                    return url
    except (redis.ConnectionError, redis.TimeoutError):
        raise TransientError(Reason.BACKEND_UNAVAILABLE) from None
    except redis.RedisError:  # no such number, or no right to look
        pass
    raise DatabaseUnavailable


def _is_ours_now(client: redis.Redis) -> bool:
    """Claim a Redis database: whoever sets the key may look around, and go again if others live there."""
    if not client.set(ALIVE_KEY, 1, nx=True, ex=ALIVE_SECONDS):
        return False
    if client.exists(STACK_KEY):
        client.flushdb()
        client.set(ALIVE_KEY, 1, ex=ALIVE_SECONDS)
    elif client.dbsize() != 1:
        client.delete(ALIVE_KEY)
        return False
    client.set(STACK_KEY, 1, ex=STACK_SECONDS)
    return True


def _keep(url: str, over: threading.Event, alive_seconds: float) -> None:
    with connect(url) as client:
        while not over.wait(alive_seconds / 4):
            with suppress(redis.RedisError):
                client.set(ALIVE_KEY, 1, ex=ALIVE_SECONDS)
                client.set(STACK_KEY, 1, ex=STACK_SECONDS)


def _number(server: str) -> int:
    with redis.Redis.from_url(server) as client:
        return int(client.get_connection_kwargs().get("db") or 0)


def _numbered(server: str, number: int) -> str:
    address, _, query = server.partition("?")
    others = [(name, value) for name, value in parse_qsl(query) if name != "db"]
    return f"{address}?{urlencode([*others, ('db', number)])}"
