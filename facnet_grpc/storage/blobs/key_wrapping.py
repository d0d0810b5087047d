"""Key-encryption keys (KEK), derived from the secrets of the settings; they wrap the stored data-encryption keys.

Each purpose has KEKs of its own, so that one reveals nothing about another.
"""

from __future__ import annotations

import os
from typing import Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from facnet_grpc.errors import Reason, TransientError
from facnet_grpc.settings.keys import Key, Keys

_NONCE_BYTES = 12


def derive(key: Key, purpose: str, size: int) -> bytes:
    """Return a key of `size` bytes for one purpose (HKDF-SHA-256)."""
    info = f"facnet.v1.{purpose}".encode()
    return HKDF(algorithm=SHA256(), length=size, salt=None, info=info).derive(key.secret)


def unknown_key(key_id: str) -> TransientError:
    """Return the error for data under a key that the settings do not name. It is transient: the key can be put back."""
    return TransientError(Reason.BACKEND_UNAVAILABLE, key_id=key_id)


class KeyWrapper:
    """Wraps data-encryption keys: AES-256-GCM under the current KEK, with the id of what the key is for as context."""

    def __init__(self, keys: Keys, purpose: str) -> None:
        self._ciphers = {key.id: AESGCM(derive(key, purpose, 32)) for key in keys.all}
        self.key_id = keys.current.id
        self.older_key_ids = [key.id for key in keys.all[1:]]

    @classmethod
    def for_files(cls, keys: Keys) -> Self:
        """Return what wraps the keys of uploaded files, by the ids of their uploads."""
        return cls(keys, "wrap")

    @classmethod
    def for_rows(cls, keys: Keys) -> Self:
        """Return what wraps the keys of patients' columns, by the ids of their runs."""
        return cls(keys, "wrap-rows")

    def wrap(self, data_key: bytes, owner_id: UUID) -> bytes:
        """Return a wrapped key, to be stored beside `key_id`."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[self.key_id].encrypt(nonce, data_key, owner_id.bytes)

    def unwrap(self, key_id: str, wrapped: bytes, owner_id: UUID) -> bytes:
        """Return the key. Raises `TransientError` if the settings do not name its KEK, or another KEK by its id."""
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise unknown_key(key_id)
        try:
            return cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], owner_id.bytes)
        except InvalidTag:
            raise unknown_key(key_id) from None

    def rewrap(self, key_id: str, wrapped: bytes, owner_id: UUID) -> bytes:
        """Return a wrapped key under the current KEK. Raises what `unwrap` raises."""
        return self.wrap(self.unwrap(key_id, wrapped, owner_id), owner_id)
