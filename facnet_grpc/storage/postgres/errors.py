"""Translates psycopg's errors into ours, without their text, which may quote a cell."""

from __future__ import annotations

import psycopg

from facnet_grpc.errors import FacnetError, Reason, TransientError

# SQLSTATEs and their classes of transient errors: the same request may succeed later.
DISK_FULL = "53100"
_TRANSIENT = (
    "08",  # connection exception
    "40",  # serialization failure, deadlock
    "53",  # insufficient resources
    "55P03",  # lock not available in time
    "57014",  # statement timeout
    "57P",  # shut down, crashed, starting up
    "25P03",  # idle in transaction for too long
    "58",  # system error
)


def translate(error: psycopg.Error) -> FacnetError:
    """Return our error for `error`; raise it `from None`."""
    state = error.sqlstate
    if state == DISK_FULL:
        return TransientError(Reason.DISK_FULL, sqlstate=state)
    if state is None and isinstance(error, psycopg.OperationalError):  # connection lost, or pool timeout
        return TransientError(Reason.BACKEND_UNAVAILABLE)
    if state is not None and state.startswith(_TRANSIENT):
        return TransientError(Reason.BACKEND_UNAVAILABLE, sqlstate=state)
    return FacnetError(Reason.INTERNAL, sqlstate=state or "", **_names(error))


def _names(error: psycopg.Error) -> dict[str, str]:
    # Names in the schema identify the mistake and contain no data.
    found = {
        "table": error.diag.table_name,
        "column": error.diag.column_name,
        "constraint": error.diag.constraint_name,
    }
    return {name: value for name, value in found.items() if value}
