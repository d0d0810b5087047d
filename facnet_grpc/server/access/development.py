"""Tokens that stand in the settings, for trying things out: the server takes them on loopback addresses only.

Written `token=owner/role` or `token=owner/role/scope`, several with commas in between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from facnet_grpc.model.access import Caller, Role


def read(text: str) -> Mapping[bytes, Caller]:
    """Return the callers by the digest of their token. Raises `ValueError`."""
    return dict(_entry(entry.strip()) for entry in text.split(",") if entry.strip())


def digest(token: str) -> bytes:
    """Return what a token is looked up by: how long that takes says nothing about the token."""
    return hashlib.sha256(token.encode()).digest()


def _entry(entry: str) -> tuple[bytes, Caller]:
    token, _, rest = entry.partition("=")
    owner, _, rest = rest.partition("/")
    role_name, _, scope = rest.partition("/")
    role = Role.of(role_name)
    if not token or not owner or role is None:
        raise ValueError("needs the form token=owner/role or token=owner/role/scope")
    scopes = frozenset({scope} if scope else ())
    return digest(token), Caller(owner, subject=owner, roles=frozenset({role}), scopes=scopes)
