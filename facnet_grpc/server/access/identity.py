"""Says who calls: by a bearer token, else by a client certificate, else nobody.

Only a server without any way to tell, which listens on loopback only, takes everybody for the same local caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from facnet_grpc.errors import Unauthenticated
from facnet_grpc.model.access import LOCAL, Caller
from facnet_grpc.server.access import development
from facnet_grpc.server.access.bearer import Bearer, TokenPolicy
from facnet_grpc.server.access.certificates import Certificates
from facnet_grpc.server.access.jwks import KeySet
from facnet_grpc.server.access.reloading import blamed_on
from facnet_grpc.server.interceptors.chain import Call
from facnet_grpc.settings.access import AccessSettings

HEADER = "authorization"
SCHEME = "bearer"
PEER_CERTIFICATE = "x509_pem_cert"


@dataclass(frozen=True, slots=True)
class Identity:
    """The ways in which callers are told apart; without any, everybody is local."""

    bearer: Bearer | None = None
    certificates: Certificates | None = None
    development: Mapping[bytes, Caller] = field(default_factory=dict)

    async def caller(self, call: Call) -> Caller:
        """Return who makes a call. Raises `Unauthenticated`, or `TransientError` if it cannot be told just now."""
        if not self.bearer and not self.certificates and not self.development:
            return LOCAL
        presented = call.all_metadata(HEADER)
        if presented:
            return await self._by_token(_token(presented))
        pem = next(iter(call.context.auth_context().get(PEER_CERTIFICATE, ())), None)
        if pem and self.certificates:
            return self.certificates.caller(pem)
        raise Unauthenticated(why="missing")

    async def _by_token(self, token: str) -> Caller:
        if (known := self.development.get(development.digest(token))) is not None:
            return known
        if self.bearer is None:
            raise Unauthenticated(why="token")
        return await self.bearer.caller(token)


def from_settings(settings: AccessSettings) -> Identity:
    """Return what the settings ask for. Raises `SettingsError` if that cannot be had."""
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
    with blamed_on("mtls_subjects"):
        certificates = Certificates(settings.mtls_subjects) if settings.mtls_subjects else None
    with blamed_on("dev_tokens"):
        known = development.read(settings.dev_tokens.get_secret_value())
    return Identity(bearer, certificates, known)


def _token(presented: list[str]) -> str:
    scheme, _, token = presented[0].partition(" ")
    if len(presented) != 1 or scheme.lower() != SCHEME or not token.strip():
        raise Unauthenticated(why="malformed")
    return token.strip()
