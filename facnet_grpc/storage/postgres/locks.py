"""Advisory locks of PostgreSQL, by which one process among all on a database does something alone."""

from __future__ import annotations

from psycopg import Connection
from psycopg.errors import LockNotAvailable

# Arbitrary numbers that nothing else locks.
RECONCILER = 0x66_61_63_72_65_63
REFRESH = 0x66_61_63_72_65_73
RETENTION = 0x66_61_63_72_65_74
REFERENCE = 0x66_61_63_72_65_66
REVALIDATION = 0x66_61_63_72_65_76
CLAIM = 0x66_61_63_63_6C_00  # and the next number, while the owner of this one is frozen


def lock(conn: Connection, number: int) -> None:
    """Take an advisory lock until the end of the transaction; waits for it."""
    conn.execute("SELECT pg_advisory_xact_lock(%s)", (number,))


def try_lock(conn: Connection, number: int) -> bool:
    """Take an advisory lock until the end of the transaction; False if another transaction has it."""
    row = conn.execute("SELECT pg_try_advisory_xact_lock(%s)", (number,)).fetchone()
    return bool(row and row[0])


def lock_within(conn: Connection, number: int, seconds: float) -> bool:
    """Take an advisory lock until the end of the transaction; False if it is not free within `seconds`."""
    if try_lock(conn, number):
        return True
    try:
        with conn.transaction():
            conn.execute("SELECT set_config('lock_timeout', %s, true)", (str(int(seconds * 1000)),))
            lock(conn, number)
            conn.execute("SET LOCAL lock_timeout TO DEFAULT")  # a released savepoint would keep the short one
    except LockNotAvailable:
        return False
    return True


def give_up_after(conn: Connection, seconds: float) -> None:
    """From here on, end this transaction when its process sends nothing for so long: it may be frozen, and others wait.

    The next statement on the connection, or its commit, then raises `TransientError`.
    """
    milliseconds = str(max(1, int(seconds * 1000)))
    conn.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, true)", (milliseconds,))
