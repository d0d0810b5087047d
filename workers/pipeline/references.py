"""The reference data as runs see it: the version in force when work begins, read once per version and process."""

from __future__ import annotations

from threading import Lock

from psycopg import Connection

from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.storage.postgres import reference


class References:
    """Remembers the last version that was asked for: a new one is used from the next run on."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: ReferenceSnapshot | None = None

    def in_force(self, conn: Connection) -> ReferenceSnapshot:
        """Return the version in force. Raises `TransientError`."""
        version = reference.in_force(conn).version
        with self._lock:
            if self._last is None or self._last.version != version:
                self._last = reference.snapshot(conn, version)
            return self._last
