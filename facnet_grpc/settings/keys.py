"""Secrets with names: the first one is used for what is new, the others only for what is there already.

Written as `id:secret`, or as a secret alone, which is then named after its fingerprint. Others follow on lines of
their own, or after a comma if they have a name: a new one is put in front, and the old one is taken away once nothing
needs it any more.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Self

MIN_SECRET = 32  # characters
_ID = re.compile(r"[a-z0-9]{1,16}")
_SEPARATOR = re.compile(r"\s*\n\s*|,\s*(?=[a-z0-9]{1,16}:)")


class BadKeys(ValueError):
    """Keys that cannot be used; the message never holds a part of one."""


@dataclass(frozen=True, slots=True)
class Key:
    """A secret and its name, which may be stored beside what the secret protects."""

    id: str
    secret: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `id:secret` or `secret`. Raises `BadKeys`."""
        name, _, secret = text.partition(":")
        if not _ID.fullmatch(name):
            name, secret = "", text
        if len(secret) < MIN_SECRET:
            raise BadKeys(f"needs a secret of at least {MIN_SECRET} characters")
        return cls(name or _fingerprint(secret), secret.encode())


@dataclass(frozen=True, slots=True)
class Keys:
    """At least one key, the current one first."""

    all: tuple[Key, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read keys. Raises `BadKeys` if there is none, one cannot be read, or two have the same name."""
        keys = tuple(Key.parse(part) for part in _SEPARATOR.split(text.strip()) if part)
        if not keys:
            raise BadKeys("holds no key")
        if len({key.id for key in keys}) < len(keys):
            raise BadKeys("names two keys the same")
        return cls(keys)

    @property
    def current(self) -> Key:
        """The key for what is new."""
        return self.all[0]


def _fingerprint(secret: str) -> str:
    return hashlib.sha256(f"facnet.v1.key-id\0{secret}".encode()).hexdigest()[:8]
