"""Applies the migrations of the schema, under an advisory lock: several processes may do it at once, and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from itertools import takewhile

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import ResolutionError
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from facnet_grpc.errors import FacnetError
from facnet_grpc.storage.postgres.database import CONNECT_SECONDS
from facnet_grpc.storage.postgres.errors import translate
from facnet_grpc.storage.postgres.reference import load_shipped

_LOCK = 0x66_61_63_6E_65_74  # an arbitrary number that nothing else locks (see `locks`)
_LOCATION = "facnet_grpc.storage.postgres:migrations"


class Stage(StrEnum):
    """When a migration is applied during a rolling upgrade, while the old and the new release run side by side.

    BEFORE the new release is started: what both releases work with, such as new tables, columns and indexes. AFTER the
    old release is stopped: what only the new one works with. A module in `versions/` sets `stage`; without it, BEFORE.
    """

    BEFORE = "before"
    AFTER = "after"


def migrate(url: str, *, until: Stage = Stage.AFTER) -> None:
    """Apply the missing migrations and store the shipped reference, in one transaction.

    With BEFORE, stops in front of the first migration whose stage is AFTER. Waits while another process migrates.
    Changes nothing in a database that a newer release has migrated.

    Raises `TransientError` if PostgreSQL is away.
    """
    with _connection(url) as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        missing = _missing(connection)
        if missing is None:
            return
        config = _config()
        config.attributes["connection"] = connection
        for script in due(missing, until)[-1:]:
            command.upgrade(config, script.revision)
        _load_reference(connection)


def pending(url: str, *, until: Stage = Stage.AFTER) -> list[str]:
    """Return the revisions that are missing, oldest first; none if a newer release has migrated the database.

    During a rolling upgrade, and after a roll-back, the release before works with a schema that is one revision ahead.
    Raises `TransientError`.
    """
    with _connection(url) as connection:
        missing = _missing(connection)
    return [script.revision for script in due(missing or [], until)]


def due(missing: Sequence[Script], until: Stage) -> list[Script]:
    """Return those of the missing migrations, oldest first, that may be applied at a stage."""
    if until is Stage.AFTER:
        return list(missing)
    return list(takewhile(lambda script: getattr(script.module, "stage", Stage.BEFORE) != Stage.AFTER, missing))


def _missing(connection: Connection) -> list[Script] | None:
    """Return the migrations that are missing, None if the database has a revision that this release does not know."""
    heads = MigrationContext.configure(connection).get_current_heads()
    try:
        return list(ScriptDirectory.from_config(_config()).iterate_revisions("heads", heads or "base"))[::-1]
    except ResolutionError:
        return None


def _load_reference(connection: Connection) -> None:
    driver = connection.connection.driver_connection
    if isinstance(driver, psycopg.Connection):  # always; SQLAlchemy's types do not say so
        load_shipped(driver)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", _LOCATION)
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    """Open a connection with one transaction, and turn the driver's errors into ours."""
    engine = create_engine(
        "postgresql+psycopg://",
        # psycopg itself connects, as it understands every form of `url`.
        creator=lambda: psycopg.connect(url, connect_timeout=CONNECT_SECONDS),
        poolclass=NullPool,
    )
    failure: FacnetError | None = None
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.Error):
            raise
        failure = translate(error.orig)
    except psycopg.Error as error:
        failure = translate(error)
    if failure is not None:
        raise failure from None
