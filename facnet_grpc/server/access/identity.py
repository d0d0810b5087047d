"""Authenticates callers: by a bearer token (JWT or development token), else by a client certificate.

A server without any authentication, which may listen on loopback addresses only, treats every caller as `LOCAL`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from facnet_grpc.errors import Unauthenticated
from facnet_grpc.model.access import LOCAL, Caller, Role
from facnet_grpc.server.access.bearer import Bearer, TokenPolicy
from facnet_grpc.server.access.certificates import Certificates
from facnet_grpc.server.access.jwks import KeySet
from facnet_grpc.server.access.reloading import file_errors
from facnet_grpc.server.interceptors.chain import Call
from facnet_grpc.settings.access import AccessSettings

HEADER = "authorization"
SCHEME = "bearer"
PEER_CERTIFICATE = "x509_pem_cert"


@dataclass(frozen=True, slots=True)
class Identity:
    """The configured ways to authenticate. `dev_tokens` holds callers by the SHA-256 of their development token."""

    bearer: Bearer | None = None
    certificates: Certificates | None = None
    dev_tokens: Mapping[bytes, Caller] = field(default_factory=dict)

    async def caller(self, call: Call) -> Caller:
        """Return the caller. Raises `Unauthenticated`, or `TransientError` if the signing keys were never read."""
        if not self.bearer and not self.certificates and not self.dev_tokens:
            return LOCAL
        if headers := call.all_metadata(HEADER):
            return await self._by_token(_token(headers))
        pem = next(iter(call.context.auth_context().get(PEER_CERTIFICATE, ())), None)
        if pem and self.certificates:
            return self.certificates.caller(pem)
        raise Unauthenticated(why="missing")

    async def _by_token(self, token: str) -> Caller:
        if (caller := self.dev_tokens.get(_digest(token))) is not None:
            return caller
        if self.bearer is None:
            raise Unauthenticated(why="token")
        return await self.bearer.caller(token)


def from_settings(settings: AccessSettings) -> Identity:
    """Build the authentication that the settings describe. Raises `SettingsError` if a file or token is unusable."""
    bearer = None
    if settings.jwt_jwks_url:
        keys = KeySet(
            settings.jwt_jwks_url,
            max_age_seconds=settings.jwt_keys_seconds,
            pause_seconds=settings.jwt_keys_pause_seconds,
        )
        policy = TokenPolicy(
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            leeway_seconds=settings.jwt_leeway_seconds,
            owner_claim=settings.jwt_owner_claim,
            roles_claim=settings.jwt_roles_claim,
        )
        bearer = Bearer(keys, policy)
    with file_errors("mtls_subjects"):
        certificates = Certificates(settings.mtls_subjects) if settings.mtls_subjects else None
    with file_errors("dev_tokens"):
        dev_tokens = parse_dev_tokens(settings.dev_tokens.get_secret_value())
    return Identity(bearer, certificates, dev_tokens)


def parse_dev_tokens(text: str) -> Mapping[bytes, Caller]:
    """Return the callers by the digest of their development token, for trying things out on loopback addresses.

    The form is `token=owner/role` or `token=owner/role/scope`, several separated by commas. Raises `ValueError`.
    """
    return dict(_dev_token(entry.strip()) for entry in text.split(",") if entry.strip())


def _dev_token(entry: str) -> tuple[bytes, Caller]:
    token, _, rest = entry.partition("=")
    owner, _, rest = rest.partition("/")
    role_name, _, scope = rest.partition("/")
    role = Role.of(role_name)
    if not token or not owner or role is None:
        raise ValueError("needs the form token=owner/role or token=owner/role/scope")
    scopes = frozenset({scope} if scope else ())
    return _digest(token), Caller(owner, subject=owner, roles=frozenset({role}), scopes=scopes)


def _digest(token: str) -> bytes:
    """Return the key to look a token up by: the time that takes reveals nothing about the token."""
    return hashlib.sha256(token.encode()).digest()


def _token(headers: list[str]) -> str:
    scheme, _, token = headers[0].partition(" ")
    if len(headers) != 1 or scheme.lower() != SCHEME or not token.strip():
        raise Unauthenticated(why="malformed")
    return token.strip()
