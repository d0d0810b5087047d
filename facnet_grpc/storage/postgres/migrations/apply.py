"""Runs the SQL of one change."""

from __future__ import annotations

from importlib.resources import files

from alembic import op


def apply(revision: str) -> None:
    """Run `versions/<revision>.sql` as it stands, several statements at once."""
    text = (files(__package__) / "versions" / f"{revision}.sql").read_text(encoding="utf-8")
    # Past SQLAlchemy, which would read `:name` as a parameter, to the driver's own connection.
    cursor = op.get_bind().connection.cursor()
    cursor.execute(text)
    cursor.close()
