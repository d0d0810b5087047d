"""Brings the schema up to date. Safe to run by several processes at once, and again."""

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
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from facnet_grpc.errors import FacnetError
from facnet_grpc.storage.postgres.database import CONNECT_SECONDS
from facnet_grpc.storage.postgres.errors import translate
from facnet_grpc.storage.postgres.reference import load_shipped

# Any number will do that nothing else locks.
_LOCK = 0x66_61_63_6E_65_74
_LOCATION = "facnet_grpc.storage.postgres:migrations"


class Stage(StrEnum):
    """When a change of the schema is applied while an old and a new release are at work together.

    What both can live with comes BEFORE the new one is started: new tables, columns, indexes. What only the new one can
    live with comes AFTER the old one is gone. A module of `versions/` says so by `stage`; without it, BEFORE.
    """

    BEFORE = "before"
    AFTER = "after"


def migrate(url: str, *, until: Stage = Stage.AFTER) -> None:
    """Apply the changes that are missing and store the shipped reference, all or none; waits while another does so.

    With BEFORE, stops in front of the first change that has to come after.

    Raises `TransientError` if PostgreSQL is away.
    """
    with _connection(url) as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        config = _config()
        config.attributes["connection"] = connection
        for script in due(_missing(connection), until)[-1:]:
            command.upgrade(config, script.revision)
        _load_reference(connection)


def pending(url: str, *, until: Stage = Stage.AFTER) -> list[str]:
    """Return the numbers of the changes that are missing, oldest first. Raises `TransientError`."""
    with _connection(url) as connection:
        missing = _missing(connection)
    return [script.revision for script in due(missing, until)]


def due(missing: Sequence[Script], until: Stage) -> list[Script]:
    """Return the changes, oldest first, that may be applied at a stage."""
    if until is Stage.AFTER:
        return list(missing)
    return list(takewhile(lambda script: getattr(script.module, "stage", Stage.BEFORE) != Stage.AFTER, missing))


def _missing(connection: Connection) -> list[Script]:
    heads = MigrationContext.configure(connection).get_current_heads()
    return list(ScriptDirectory.from_config(_config()).iterate_revisions("heads", heads or "base"))[::-1]


def _load_reference(connection: Connection) -> None:
    driver = connection.connection.driver_connection
    if isinstance(driver, psycopg.Connection):  # which it is; SQLAlchemy's types do not say so
        load_shipped(driver)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", _LOCATION)
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    """Give a connection in one transaction."""
    engine = create_engine(
        "postgresql+psycopg://",
        # Made by the driver itself, which understands every form of `url`.
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
