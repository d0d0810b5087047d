"""The first schema: runs, uploads, rows, results and logs."""

from facnet_grpc.storage.postgres.migrations import run_sql

revision = "0001"
down_revision = None
source = "migrations/versions/0001.sql"


def upgrade() -> None:
    """Create the tables."""
    run_sql(source)
