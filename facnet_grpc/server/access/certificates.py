"""Client certificates: the callers by certificate, from a TOML file that the operators maintain.

Each table is named after a certificate: its subject in the form of RFC 4514, or one of its alternative names as
`URI:…` or `DNS:…`.

    ["CN=night-batch,O=Clinique Exemple"]
    owner = "clinique-exemple"
    roles = ["editor"]
    scopes = ["phi:read"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography import x509

from facnet_grpc.errors import Unauthenticated
from facnet_grpc.model.access import Caller, Role
from facnet_grpc.server.access.reloading import ReloadedFiles

_FIELDS = {"owner", "roles", "scopes"}


class Certificates:
    """Maps client certificates, which the transport has verified, to callers."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises `OSError`, `ValueError`."""
        self._callers = ReloadedFiles("mtls_subjects", [path], lambda: read(path.read_bytes()))

    def caller(self, pem: bytes) -> Caller:
        """Return the caller of a certificate. Raises `Unauthenticated`."""
        callers = self._callers.get()
        found = next((callers[name] for name in names(pem) if name in callers), None)
        if found is None:
            raise Unauthenticated(why="certificate")
        return found


def read(document: bytes) -> Mapping[str, Caller]:
    """Return the callers by certificate name. Raises `ValueError` if the file has anything else in it."""
    return {name: _caller(name, table) for name, table in tomllib.loads(document.decode()).items()}


def _caller(name: str, table: Any) -> Caller:
    if not isinstance(table, dict) or set(table) - _FIELDS or not isinstance(table.get("owner"), str):
        raise ValueError("a subject needs an owner and roles, and may have scopes")
    roles = [Role.of(str(word)) for word in table.get("roles", ())]
    if not table["owner"] or not roles or None in roles:
        raise ValueError("a subject needs an owner, and roles among viewer, editor and admin")
    scopes = frozenset(str(word) for word in table.get("scopes", ()))
    return Caller(table["owner"], subject=name, roles=frozenset(role for role in roles if role), scopes=scopes)


@lru_cache(maxsize=1024)
def names(pem: bytes) -> tuple[str, ...]:
    """Return the names in a certificate, most specific first; none if it cannot be read."""
    try:
        return tuple(_names(x509.load_pem_x509_certificate(pem)))
    except (ValueError, x509.ExtensionNotFound):
        return ()


def _names(certificate: x509.Certificate) -> Iterator[str]:
    if certificate.subject.rdns:
        yield certificate.subject.rfc4514_string()
    try:
        others = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    yield from (f"URI:{name}" for name in others.get_values_for_type(x509.UniformResourceIdentifier))
    yield from (f"DNS:{name}" for name in others.get_values_for_type(x509.DNSName))
