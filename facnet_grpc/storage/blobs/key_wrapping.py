"""The keys that everything at rest is protected with, derived from the secrets of the settings.

Each purpose has keys of its own, so that none tells anything about another.
"""

from __future__ import annotations

import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from facnet_grpc.errors import Reason, TransientError
from facnet_grpc.settings.keys import Key, Keys

_NONCE = 12


def derive(key: Key, purpose: str, size: int) -> bytes:
    """Return `size` bytes that only who knows the secret can tell, others for each purpose."""
    info = f"facnet.v1.{purpose}".encode()
    return HKDF(algorithm=SHA256(), length=size, salt=None, info=info).derive(key.secret)


def unknown_key(key_id: str) -> TransientError:
    """Return the error that something was protected with a key that the settings do not name (any more).

    It passes: once somebody puts the key back.
    """
    return TransientError(Reason.BACKEND_UNAVAILABLE, key_id=key_id)


class KeyWrapper:
    """Wraps the keys of one kind of thing: AES-256-GCM under a key of the settings, bound to the thing's id."""

    def __init__(self, keys: Keys, purpose: str = "wrap") -> None:
        self._ciphers = {key.id: AESGCM(derive(key, purpose, 32)) for key in keys.all}
        self.key_id = keys.current.id
        self.older_key_ids = [key.id for key in keys.all[1:]]

    def wrap(self, data_key: bytes, thing: UUID) -> bytes:
        """Return a data key as it may be stored beside `key_id`."""
        nonce = os.urandom(_NONCE)
        return nonce + self._ciphers[self.key_id].encrypt(nonce, data_key, thing.bytes)

    def unwrap(self, key_id: str, wrapped: bytes, thing: UUID) -> bytes:
        """Return the data key. Raises `TransientError` for a key that is not known, or that has become another."""
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise unknown_key(key_id)
        try:
            return cipher.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], thing.bytes)
        except InvalidTag:
            raise unknown_key(key_id) from None
