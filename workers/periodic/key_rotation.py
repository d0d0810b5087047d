"""Key rotation: wraps the data keys of files and rows with the current key-encryption key."""

from __future__ import annotations

from facnet_grpc import metrics
from facnet_grpc.logs import get_logger
from facnet_grpc.settings.keys import Keys
from facnet_grpc.storage.postgres import key_rotation
from facnet_grpc.storage.postgres.database import Database

BATCH_SIZE = 1000
log = get_logger(__name__)


class KeyRotation:
    """A step of a periodic job. Two workers with their keys in another order would undo each other's work."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database = database
        self._keys = keys

    def run(self) -> None:
        """Wrap up to `BATCH_SIZE` keys anew. Raises `TransientError`."""
        count = key_rotation.rotate(self._database, self._keys, limit=BATCH_SIZE)
        if count:
            metrics.RECONCILED.labels("rewrapped_key").inc(count)
            log.info("keys_rotated", count=count, key_id=self._keys.current.id)
