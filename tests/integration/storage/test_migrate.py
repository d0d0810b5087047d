"""The migrations lead to schema.sql, once, whoever runs them."""

import subprocess
import sys
from hashlib import sha256
from importlib.resources import files

import psycopg
import pytest

from facnet_grpc.errors import FacnetError, TransientError
from facnet_grpc.storage.postgres.migrate import migrate, pending
from facnet_grpc.storage.postgres.migrations import versions

# What there is to know of a schema, in catalogues that look the same from PostgreSQL 15 to 18. (From 18 on, NOT NULL
# is among the constraints too; here it is compared as a property of columns.)
COLUMNS = """
    SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
        pg_get_expr(d.adbin, d.adrelid)
    FROM pg_attribute AS a
    JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind = 'r'
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
"""
CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, contype, pg_get_constraintdef(oid)
    FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
"""
INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
OTHERS = """
    SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind NOT IN ('r', 'i')
"""
FUNCTIONS = "SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
TRIGGERS = "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"


def described(url):
    with psycopg.connect(url) as conn:
        conn.execute("DROP TABLE IF EXISTS alembic_version")
        return {name: sorted(conn.execute(query).fetchall(), key=str) for name, query in CATALOGUES.items()}


CATALOGUES = {
    "columns": COLUMNS,
    "constraints": CONSTRAINTS,
    "indexes": INDEXES,
    "others": OTHERS,
    "functions": FUNCTIONS,
    "triggers": TRIGGERS,
}


def test_the_migrated_schema_is_schema_sql(empty_postgres_url, other_postgres_url):
    migrate(empty_postgres_url)
    with psycopg.connect(other_postgres_url) as conn:
        conn.execute((files("facnet_grpc.storage.postgres") / "schema.sql").read_bytes())
    wanted = described(other_postgres_url)
    assert len(wanted["columns"]) > 80
    assert described(empty_postgres_url) == wanted


# SHA-256 of the migrations that databases have run.
LANDED = {"0001.sql": "c13c829825665b39e4b7d38a78a33c48895469ca8f57dec7b98fe8ef96660e47"}


@pytest.mark.parametrize("name", LANDED)
def test_a_landed_migration_never_changes(name):
    assert sha256((files(versions) / name).read_bytes()).hexdigest() == LANDED[name]


def test_what_is_missing_is_named_until_it_is_applied(empty_postgres_url):
    assert pending(empty_postgres_url) == ["0001", "0002"]
    migrate(empty_postgres_url)
    assert pending(empty_postgres_url) == []
    migrate(empty_postgres_url)


def test_a_database_of_a_newer_release_is_complete_and_left_as_it_is(empty_postgres_url):
    migrate(empty_postgres_url)
    with psycopg.connect(empty_postgres_url) as conn:
        conn.execute("UPDATE alembic_version SET version_num = 'of a newer release'")
        conn.execute("ALTER TABLE validation_runs ADD COLUMN of_a_newer_release text")
    assert pending(empty_postgres_url) == []
    migrate(empty_postgres_url)
    with psycopg.connect(empty_postgres_url) as conn:
        assert conn.execute("SELECT version_num FROM alembic_version").fetchone() == ("of a newer release",)


def test_processes_that_migrate_at_once_all_succeed(empty_postgres_url):
    script = "import sys; from facnet_grpc.storage.postgres.migrate import migrate; migrate(sys.argv[1])"
    started = [subprocess.Popen([sys.executable, "-c", script, empty_postgres_url]) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert pending(empty_postgres_url) == []


def test_half_a_migration_is_none(empty_postgres_url):
    with psycopg.connect(empty_postgres_url) as conn:
        conn.execute("CREATE TABLE validation_logs ()")  # the last one of 0001 is in the way
    with pytest.raises(FacnetError) as caught:
        migrate(empty_postgres_url)
    assert caught.value.params["sqlstate"] == "42P07"
    assert pending(empty_postgres_url) == ["0001", "0002"]
    with psycopg.connect(empty_postgres_url) as conn:
        assert conn.execute("SELECT to_regclass('validation_runs')").fetchone() == (None,)


@pytest.mark.parametrize("ask", [migrate, pending])
def test_postgres_that_is_away_is_a_passing_trouble(tmp_path, ask):
    with pytest.raises(TransientError):
        ask(f"host={tmp_path} dbname=postgres")
