"""Bearer tokens: verifies JWTs with the issuer's keys and reads the caller from their claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from facnet_grpc.errors import Unauthenticated
from facnet_grpc.model.access import Caller, Role
from facnet_grpc.server.access.jwks import ALGORITHMS, KeySet

MAX_TOKEN = 8192
MAX_NAME = 128
REQUIRED_CLAIMS = ["exp", "iss", "aud", "sub"]

# For the log; the first class that matches: subclasses come before their bases.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "expired"),
    (jwt.ImmatureSignatureError, "not_yet"),
    (jwt.InvalidAudienceError, "audience"),
    (jwt.InvalidIssuerError, "issuer"),
    (jwt.InvalidAlgorithmError, "algorithm"),
    (jwt.InvalidSignatureError, "signature"),
    (jwt.MissingRequiredClaimError, "claims"),
    (jwt.DecodeError, "malformed"),
)


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """Required values, and the claims that hold owner and roles. A claim may be a path: `realm_access.roles`."""

    issuer: str
    audience: str
    leeway_seconds: float
    owner_claim: str
    roles_claim: str


class Bearer:
    """Reads callers from tokens."""

    def __init__(self, keys: KeySet, policy: TokenPolicy) -> None:
        self._keys = keys
        self._policy = policy

    async def caller(self, token: str) -> Caller:
        """Return the caller of `token`. Raises `Unauthenticated`; `TransientError` if the keys were never read."""
        if len(token) > MAX_TOKEN:
            raise Unauthenticated(why="malformed")
        header = _header(token)
        # Checked before any key is used: rejects `none`, and HMAC with a public key as the secret.
        if header.get("alg") not in ALGORITHMS:
            raise Unauthenticated(why="algorithm")
        key_id = header.get("kid")
        key = await self._keys.find(key_id) if isinstance(key_id, str) and key_id else None
        if key is None:
            raise Unauthenticated(why="key")
        if key.algorithm_name != header["alg"]:
            raise Unauthenticated(why="algorithm")
        return self._read(self._verified(token, key))

    def _verified(self, token: str, key: jwt.PyJWK) -> Mapping[str, Any]:
        policy = self._policy
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=policy.audience,
                issuer=policy.issuer,
                leeway=policy.leeway_seconds,
                options={"require": REQUIRED_CLAIMS, "enforce_minimum_key_length": True},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
            why = next((word for kind, word in _REASONS if isinstance(error, kind)), "claims")
            raise Unauthenticated(why=why) from None

    def _read(self, claims: Mapping[str, Any]) -> Caller:
        owner, subject = _name(_claim(claims, self._policy.owner_claim)), _name(claims.get("sub"))
        roles = (Role.of(word) for word in _words(_claim(claims, self._policy.roles_claim)))
        return Caller(
            owner=owner,
            subject=subject,
            roles=frozenset(role for role in roles if role is not None),
            scopes=frozenset((*_words(claims.get("scope")), *_words(claims.get("scp")))),
        )


def _header(token: str) -> Mapping[str, Any]:
    try:
        return jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError):
        raise Unauthenticated(why="malformed") from None


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    if path in claims:  # names with dots, as URLs are, come first
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _words(found: Any) -> list[str]:
    """Return the words of a claim: a list of them, or a text with spaces in between."""
    if isinstance(found, str):
        return found.split()
    return [word for word in found if isinstance(word, str)] if isinstance(found, list) else []


def _name(found: Any) -> str:
    if isinstance(found, str) and 0 < len(found) <= MAX_NAME and found.isprintable():
        return found
    raise Unauthenticated(why="claims")
