"""Connections fail fast, recover by themselves, and their errors say nothing about the data."""

import threading
import time

import psycopg
import pytest

from facnet_grpc.devstack.embedded import EmbeddedPostgres
from facnet_grpc.errors import FacnetError, Reason, TransientError
from facnet_grpc.storage.postgres.database import KeylessDatabase


@pytest.fixture
def small(postgres_url):
    with KeylessDatabase(postgres_url, max_connections=1, application_name="facnet-small") as database:
        yield database


def test_a_database_says_who_it_is(small):
    assert small.ping() >= 150000
    with small.connection() as conn:
        assert conn.execute("SELECT current_setting('application_name')").fetchone() == ("facnet-small",)
        assert conn.execute("SELECT current_setting('TimeZone')").fetchone() == ("UTC",)


def test_options_of_the_url_are_kept(postgres_url):
    url = psycopg.conninfo.make_conninfo(postgres_url, options="-c work_mem=5MB")
    with KeylessDatabase(url, max_connections=1, application_name="x") as database, database.connection() as conn:
        assert conn.execute("SELECT current_setting('work_mem')").fetchone() == ("5MB",)
        assert conn.execute("SELECT current_setting('lock_timeout')").fetchone() == ("5s",)


def test_a_transaction_is_kept_or_not(small):
    with small.connection() as conn:
        conn.execute("CREATE TABLE kept (n int)")

    def fail():
        with small.connection() as conn:
            conn.execute("DROP TABLE kept")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with small.connection() as conn:
        conn.execute("DROP TABLE kept")


def test_our_own_errors_pass_through(small):
    wanted = TransientError(Reason.SHUTTING_DOWN)
    with pytest.raises(TransientError) as caught, small.connection():
        raise wanted
    assert caught.value is wanted


def test_no_connection_in_time_is_a_passing_trouble(small):
    with small.connection():
        began = time.monotonic()
        with pytest.raises(TransientError) as caught, small.connection(timeout=0.2):
            pass
        assert time.monotonic() - began < 5  # without it, ten seconds
    assert caught.value.reason is Reason.BACKEND_UNAVAILABLE


def test_postgres_that_is_away_is_a_passing_trouble_within_the_timeout(tmp_path):
    with KeylessDatabase(f"host={tmp_path} dbname=postgres", max_connections=2, application_name="x") as database:
        began = time.monotonic()
        with pytest.raises(TransientError):
            database.ping(timeout=0.5)
        assert time.monotonic() - began < 5  # without it, ten seconds


def test_a_closed_pool_is_a_passing_trouble(postgres_url):
    database = KeylessDatabase(postgres_url, max_connections=1, application_name="x")
    with pytest.raises(TransientError):
        database.ping()
    with database:
        database.ping()
    with pytest.raises(TransientError):
        database.ping()


def test_a_mistake_in_a_statement_quotes_nothing(small):
    with pytest.raises(FacnetError) as caught, small.connection() as conn:
        conn.execute("SELECT %s::int", ("TREM12345678",))
    assert type(caught.value) is FacnetError
    assert caught.value.params == {"sqlstate": "22P02"}
    assert "TREM" not in str(caught.value)


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("SET LOCAL statement_timeout = 5; SELECT pg_sleep(5)", "57014"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "57P01"),
        ("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$", "53100"),
        ("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$", "40001"),
    ],
)
def test_passing_troubles_are_told_from_mistakes(small, statement, state):
    with pytest.raises(TransientError) as caught, small.connection() as conn:
        conn.execute(statement)
    assert caught.value.reason is (Reason.DISK_FULL if state == "53100" else Reason.BACKEND_UNAVAILABLE)
    assert caught.value.params["sqlstate"] == state
    assert small.ping()


def test_a_lock_is_not_waited_for_for_ever(database, small):
    def read():
        with small.connection() as conn:
            conn.execute("SET LOCAL lock_timeout = 20")
            conn.execute("SELECT * FROM uploads")

    with database.connection() as holder:
        holder.execute("LOCK TABLE uploads")
        with pytest.raises(TransientError) as caught:
            read()
    assert caught.value.params["sqlstate"] == "55P03"


def test_a_long_load_may_take_its_time_and_the_next_user_may_not(small):
    ask = "SELECT current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout')"
    with small.connection(statement_timeout=None) as conn:
        assert conn.execute(ask).fetchone() == ("0", "0")
    with small.connection(statement_timeout=2.5) as conn:
        assert conn.execute(ask).fetchone() == ("2500ms", "1min")
    with small.connection() as conn:
        assert conn.execute(ask).fetchone() == ("15s", "1min")


@pytest.fixture
def own():
    """A server of one's own, and a pool on it."""
    with (
        EmbeddedPostgres(durable=False) as server,
        KeylessDatabase(server.url, max_connections=2, application_name="x") as database,
    ):
        yield server, database


@pytest.mark.parametrize("crash", [False, True])
def test_it_goes_on_when_postgres_comes_back(own, crash):
    server, database = own
    assert database.ping()
    server.stop(crash=crash)
    with pytest.raises(TransientError):
        database.ping(timeout=0.3)
    server.start()
    assert database.ping(timeout=5)


def test_whoever_waits_while_postgres_comes_back_waits_no_longer_than_that(own):
    server, database = own
    database.ping()
    server.stop()
    found = []
    waiting = threading.Thread(target=lambda: found.append(database.ping(timeout=30.0)))
    waiting.start()
    waiting.join(2.5)  # the pool's own attempts are over by then, and there is no other caller to make one
    assert not found
    server.start()
    waiting.join(10.0)

    assert found


def test_a_transaction_that_postgres_breaks_off_is_a_passing_trouble(own):
    server, database = own

    def work():
        with database.connection() as conn:
            conn.execute("SELECT 1")
            server.restart(crash=True)
            conn.execute("SELECT 1")

    with pytest.raises(TransientError):
        work()
    assert database.ping(timeout=5)


def test_no_thread_is_left(postgres_url):
    before = threading.active_count()
    with KeylessDatabase(postgres_url, max_connections=2, application_name="x") as database:
        database.ping()
    assert threading.active_count() == before
