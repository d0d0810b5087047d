"""Migrations of the schema, in order: each a module in `versions` that runs SQL. `schema.sql` is where they lead.

A landed migration never changes: databases have run it. What comes next is a migration of its own, with the same change
in `schema.sql`; a test compares the two.
"""

from __future__ import annotations

from importlib.resources import files

from alembic import op


def run_sql(path: str) -> None:
    """Run a file of statements, whose `path` is relative to `storage/postgres`."""
    text = (files("facnet_grpc.storage.postgres") / path).read_text(encoding="utf-8")
    # By the driver's own connection: SQLAlchemy would read `:name` as a parameter.
    cursor = op.get_bind().connection.cursor()
    cursor.execute(text)
    cursor.close()
