"""${message}."""

from facnet_grpc.storage.postgres.migrations.apply import apply

revision = "${up_revision}"
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Apply `${up_revision}.sql`."""
    apply(revision)
