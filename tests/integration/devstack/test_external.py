"""A database and a Redis of one's own on servers that others use: made, found again, dropped; never those of others."""

from __future__ import annotations

import time
from contextlib import ExitStack
from secrets import token_hex

import psycopg
import pytest
import redis
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from facnet_grpc.devstack import external
from facnet_grpc.devstack.embedded import start_valkey
from facnet_grpc.devstack.environment import Environment
from facnet_grpc.devstack.external import DatabaseUnavailable, persistent_database, redis_database, temporary_database
from facnet_grpc.errors import TransientError

pytestmark = pytest.mark.system


def name_of(url):
    return conninfo_to_dict(url)["dbname"]


def databases(server):
    with psycopg.connect(server, autocommit=True) as conn:
        return {name for (name,) in conn.execute("SELECT datname FROM pg_database").fetchall()}


def execute(server, statement, *names):
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@pytest.fixture
def poor(postgres_server):
    """The server, by the URL of a role that may connect and no more."""
    name = f"facnet_poor_{token_hex(4)}"
    try:
        execute(postgres_server, "CREATE ROLE {} LOGIN PASSWORD 'poor'", name)
    except psycopg.errors.InsufficientPrivilege:
        pytest.skip("the role of DATABASE_URL may not make roles")
    yield make_conninfo(postgres_server, user=name, password="poor")
    execute(postgres_server, "DROP ROLE {}", name)


@pytest.fixture(scope="module")
def own_valkey():
    with start_valkey() as url:
        yield url


@pytest.fixture
def valkey(own_valkey):
    with redis.Redis.from_url(own_valkey) as client:
        client.flushall()
    return own_valkey


def numbered(server, number):
    return redis.Redis.from_url(f"{server}?db={number}")


def test_two_stacks_have_a_database_each_and_leave_none(postgres_server):
    with temporary_database(postgres_server) as one, temporary_database(postgres_server) as other:
        assert name_of(one) != name_of(other)
        assert {name_of(one), name_of(other)} <= databases(postgres_server)
        with psycopg.connect(one) as conn:
            assert conn.execute("SHOW server_encoding").fetchone() == ("UTF8",)
    assert not {name_of(one), name_of(other)} & databases(postgres_server)


def test_a_database_goes_although_somebody_still_talks_to_it(postgres_server):
    with temporary_database(postgres_server) as url:
        left = psycopg.connect(url)
    assert name_of(url) not in databases(postgres_server)
    left.close()


def test_what_a_killed_stack_left_is_dropped_by_the_next_and_nothing_else(postgres_server):
    long_ago = f"{int(time.time()) - external.MIN_AGE_SECONDS - 60:08x}"
    left, used, young, other = (
        f"facnet_run_{long_ago}_{token_hex(4)}",
        f"facnet_run_{long_ago}_{token_hex(4)}",
        f"facnet_run_{int(time.time()):08x}_{token_hex(4)}",
        f"facnet_run_of_somebody_{token_hex(4)}",
    )
    for name in (left, used, young, other):
        execute(postgres_server, "CREATE DATABASE {}", name)
    try:
        with psycopg.connect(make_conninfo(postgres_server, dbname=used)), temporary_database(postgres_server):
            assert databases(postgres_server) & {left, used, young, other} == {used, young, other}
    finally:
        for name in (left, used, young, other):
            execute(postgres_server, "DROP DATABASE IF EXISTS {}", name)


def test_a_persistent_database_is_the_same_again(postgres_server):
    name = f"facnet_dev_{token_hex(4)}"
    try:
        url = persistent_database(postgres_server, name)
        execute(url, "CREATE TABLE kept ()")
        assert persistent_database(postgres_server, name) == url
        execute(url, "SELECT FROM kept")
    finally:
        execute(postgres_server, "DROP DATABASE {}", name)


def test_a_role_that_may_not_make_databases_is_told_from_a_server_that_is_away(poor):
    with pytest.raises(DatabaseUnavailable), temporary_database(poor):
        pass
    with pytest.raises(DatabaseUnavailable):
        persistent_database(poor, "facnet_dev_test")
    with pytest.raises(TransientError), temporary_database("postgresql://127.0.0.1:1/x"):
        pass


def test_each_stack_has_a_redis_database_that_nobody_uses(valkey):
    with numbered(valkey, 1) as client:
        client.set("somebody", 1)
    with redis_database(valkey) as one, redis_database(valkey) as other:
        assert [url.rpartition("=")[2] for url in (one, other)] == ["2", "3"]
        with redis.Redis.from_url(one) as client:
            client.set("facnet:jobs", 1)
            assert client.ttl(external.ALIVE_KEY) > 0
    for number, left in ((0, []), (1, [b"somebody"]), (2, []), (3, [])):
        with numbered(valkey, number) as client:
            assert client.keys() == left


def test_the_redis_database_of_a_killed_stack_is_emptied_and_used_again(valkey):
    with numbered(valkey, 1) as client:
        client.mset({external.STACK_KEY: 1, "facnet:jobs": 1})
        with redis_database(valkey) as url:
            assert url.endswith("db=1")
            assert sorted(client.keys()) == [external.STACK_KEY.encode(), external.ALIVE_KEY.encode()]


def test_a_stack_goes_on_saying_that_it_lives(valkey):
    with redis_database(valkey, alive_seconds=1.0) as url, redis.Redis.from_url(url) as client:
        client.flushdb()
        deadline = time.monotonic() + 30
        while not client.exists(external.ALIVE_KEY):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_redis_without_a_free_database_is_told_from_one_that_is_away(valkey):
    for number in range(1, 16):
        with numbered(valkey, number) as client:
            client.set("somebody", 1)
    with pytest.raises(DatabaseUnavailable), redis_database(valkey):
        pass
    with pytest.raises(TransientError), redis_database("redis://127.0.0.1:1/0"):
        pass


def test_without_the_right_the_stack_has_servers_of_its_own_and_says_so(poor, valkey, tmp_path, monkeypatch):
    for number in range(1, 16):
        with numbered(valkey, number) as client:
            client.set("somebody", 1)
    monkeypatch.setenv("DATABASE_URL", poor)
    monkeypatch.setenv("REDIS_URL", valkey)
    monkeypatch.setenv("FACNET_BLOB_DIR", "/srv/of/somebody")
    with ExitStack() as opened:
        found = Environment(tmp_path, opened, ephemeral=True)
        assert [code for code, _ in found.notes] == ["postgres_embedded", "redis_embedded"]
        with (
            psycopg.connect(found.variables["DATABASE_URL"]) as conn,
            redis.from_url(found.variables["REDIS_URL"]) as r,
        ):
            assert (conn.execute("SELECT current_user").fetchone(), r.ping()) == (("facnet",), True)
        assert found.variables["FACNET_BLOB_DIR"] == str(tmp_path / "blobs")
