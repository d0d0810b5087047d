"""What tests stand on: PostgreSQL and Redis, a clean database, a blob store; and no sockets in unit tests.

`DATABASE_URL` and `REDIS_URL` are used if they are set: each session makes a database of its own and takes an empty
Redis database, and removes both in the end. Otherwise both servers come from wheels.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

import psycopg
import pytest
import redis
from psycopg import sql
from psycopg.conninfo import make_conninfo

from facnet_grpc.devstack.embedded import start_postgres, start_valkey
from facnet_grpc.events.stream import connect
from facnet_grpc.settings.keys import Keys
from facnet_grpc.storage.blobs.key_wrapping import KeyWrapper
from facnet_grpc.storage.blobs.local import LocalBlobStore
from facnet_grpc.storage.postgres.database import Database
from facnet_grpc.storage.postgres.migrate import migrate

# A program started in the background ignores Ctrl-C, and so would every program that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Before anybody imports grpc: its fork handlers crash programs that are started while a client of this process talks.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

UNIT = Path(__file__).parent / "unit"
TABLES = (
    "validation_runs, notifications, uploads, billing_records, rejected_rows, validation_results, "
    "revalidations, revalidated_results, revalidation_changes, validation_logs, "
    "audit_log, data_keys, row_keys, phi_access_log, erasures, workers, scheduled_work"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need servers, by what they ask for."""
    for item in items:
        if {"postgres_server", "redis_server"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.system)


@pytest.fixture(autouse=True)
def _no_sockets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit tests talk to nobody."""
    if not request.path.is_relative_to(UNIT):
        return

    def refuse(*_: object) -> None:
        raise AssertionError("a unit test opens a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


class OwnDatabase:
    """Makes a database and drops it in the end."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._name = f"facnet_test_{uuid4().hex[:12]}"

    def __enter__(self) -> str:
        self._run(sql.SQL("CREATE DATABASE {}"))
        return make_conninfo(self._server, dbname=self._name)

    def __exit__(self, *_: object) -> None:
        self._run(sql.SQL("DROP DATABASE {} WITH (FORCE)"))

    def _run(self, statement: sql.SQL) -> None:
        with psycopg.connect(self._server, autocommit=True) as conn:
            conn.execute(statement.format(sql.Identifier(self._name)))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server, by the URL of a database on it."""
    if "DATABASE_URL" in os.environ:
        yield os.environ["DATABASE_URL"]
        return
    with start_postgres(durable=False) as url:
        yield url


@pytest.fixture
def empty_postgres_url(postgres_server: str) -> Iterator[str]:
    """A database of this test's own, without any tables."""
    with OwnDatabase(postgres_server) as url:
        yield url


@pytest.fixture
def other_postgres_url(postgres_server: str) -> Iterator[str]:
    """Another one."""
    with OwnDatabase(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A migrated database for all tests of one run, as conninfo; for tests, ask for `database`."""
    with OwnDatabase(postgres_server) as url:
        migrate(url)
        yield url


@pytest.fixture(scope="session")
def _open_database(postgres_url: str) -> Iterator[Database]:
    wrapper = KeyWrapper.for_rows(Keys.parse("b" * 32))
    with Database(postgres_url, key_wrapper=wrapper, max_connections=8, application_name="facnet-test") as opened:
        yield opened


@pytest.fixture
def clean_postgres_url(postgres_url: str, _open_database: Database) -> str:
    """The session's database, migrated and empty; for tests that start programs."""
    with _open_database.connection() as conn:
        conn.execute(f"TRUNCATE {TABLES}")
    return postgres_url


@pytest.fixture
def database(clean_postgres_url: str, _open_database: Database) -> Database:
    """The session's database, migrated and empty."""
    return _open_database


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """A Redis server, by the URL of a database that was empty."""
    if "REDIS_URL" not in os.environ:
        with start_valkey() as url:
            yield url
        return
    url = _empty_redis(os.environ["REDIS_URL"])
    yield url
    with redis.Redis.from_url(url) as client:
        client.flushdb()


def _empty_redis(server: str) -> str:
    """Return an empty database. Parallel test processes look at different numbers; stacks look from the other end."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    first = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for number in range(15 - first, 0, -processes):
        url = _with_db(server, number)
        with redis.Redis.from_url(url) as client:
            if client.dbsize() == 0:
                return url
    pytest.exit("REDIS_URL has no empty database left for the tests", returncode=2)


def _with_db(server: str, number: int) -> str:
    address, _, query = server.partition("?")
    return f"{address}?{urlencode([*parse_qsl(query), ('db', number)])}"


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The session's Redis, empty."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushdb()
    return redis_server


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A client of the session's Redis, made as the product makes it."""
    with connect(redis_url) as client:
        yield client


@pytest.fixture
def blob_store(tmp_path: Path) -> LocalBlobStore:
    """An empty blob store."""
    return LocalBlobStore(tmp_path / "blobs-root")
