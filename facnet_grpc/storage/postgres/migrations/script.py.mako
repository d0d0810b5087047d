"""${message}."""

from facnet_grpc.storage.postgres.migrations import run_sql

revision = "${up_revision}"
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Apply `${up_revision}.sql`."""
    run_sql("migrations/versions/${up_revision}.sql")
