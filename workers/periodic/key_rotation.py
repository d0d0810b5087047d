"""Wraps keys of files and of rows anew after a change of keys, so that the old key can be taken away."""

from __future__ import annotations

from facnet_grpc import metrics
from facnet_grpc.logs import get_logger
from facnet_grpc.settings.keys import Keys
from facnet_grpc.storage.postgres import key_rotation
from facnet_grpc.storage.postgres.database import Database

AT_ONCE = 1000
log = get_logger(__name__)


class KeyRotation:
    """A chore for one worker at a time: two that name their keys in another order would undo each other's work."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database = database
        self._keys = keys

    def look(self) -> None:
        """Do some, if there are any. Raises `TransientError`."""
        count = key_rotation.rotate(self._database, self._keys, limit=AT_ONCE)
        if count:
            metrics.RECONCILED.labels("rewrapped_key").inc(count)
            log.info("keys_wrapped_anew", count=count, key_id=self._keys.current.id)
