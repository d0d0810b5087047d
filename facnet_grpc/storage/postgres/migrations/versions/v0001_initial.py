"""Runs, uploads, lines, results and logs."""

from facnet_grpc.storage.postgres.migrations.apply import apply

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Apply `0001.sql`."""
    apply(revision)
