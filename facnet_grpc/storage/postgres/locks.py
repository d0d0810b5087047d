"""Who may do what alone, among all processes on one database."""

from __future__ import annotations

from psycopg import Connection

# Any number will do that nothing else locks.
RECONCILER = 0x66_61_63_72_65_63
REFERENCE = 0x66_61_63_72_65_66
REVALIDATION = 0x66_61_63_72_65_76


def try_lock(conn: Connection, number: int) -> bool:
    """Take an advisory lock until the end of the transaction; False if somebody has it."""
    row = conn.execute("SELECT pg_try_advisory_xact_lock(%s)", (number,)).fetchone()
    return bool(row and row[0])


def give_up_after(conn: Connection, seconds: float) -> None:
    """From here on, end this transaction when its process does nothing for so long: it may be frozen, and others wait.

    The next statement on the connection, or its commit, then raises `TransientError`.
    """
    milliseconds = str(max(1, int(seconds * 1000)))
    conn.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, true)", (milliseconds,))
