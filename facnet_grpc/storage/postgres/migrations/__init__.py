"""Migrations of the schema, in order: each a module in `versions` that runs SQL. `schema.sql` is where they lead.

No release has been published yet, so revision 0001 loads `schema.sql` itself. The second migration freezes it: copy the
`schema.sql` of that moment to `versions/0001.sql`, and let `v0001_initial` run that. A test demands it.
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
