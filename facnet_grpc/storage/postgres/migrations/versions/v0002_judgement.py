"""What results need to be true and to be found in the file: the day of judgement."""

from facnet_grpc.storage.postgres.migrations import run_sql

revision = "0002"
down_revision = "0001"
source = "migrations/versions/0002.sql"


def upgrade() -> None:
    """Add the columns."""
    run_sql(source)
