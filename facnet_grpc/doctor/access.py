"""Checks of access: certificates, the issuer's keys, the list of client certificates.

The files are read with the server's own code, so that both accept the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from facnet_grpc.doctor.report import Finding
from facnet_grpc.server.access import certificates, identity, jwks
from facnet_grpc.server.transport import check_pair
from facnet_grpc.settings.access import AccessSettings

SOON = timedelta(days=30)


def examine(settings: AccessSettings) -> Iterator[Finding]:
    """Check how callers are authenticated, and each method that is configured."""
    yield check_methods(settings)
    if settings.tls_cert and settings.tls_key:
        yield check_certificate(settings.tls_cert, settings.tls_key)
    if settings.tls_client_ca:
        yield check_authorities(settings.tls_client_ca)
    yield from check_tokens(settings)
    if settings.mtls_subjects:
        yield check_subjects(settings.mtls_subjects)


def check_methods(settings: AccessSettings) -> Finding:
    """Name the methods of authentication and encryption that are configured."""
    if not settings.jwt_jwks_url and not settings.mtls_subjects:
        return Finding("access", ok=True, code="access_open")
    methods = {
        "TLS": settings.tls_cert,
        "mTLS": settings.tls_client_ca,
        "JWT": settings.jwt_jwks_url,
        "proxy": settings.tls_elsewhere,
    }
    return Finding(
        "access", ok=True, code="access_ok", value=", ".join(name for name, value in methods.items() if value)
    )


def check_certificate(cert: Path, key: Path) -> Finding:
    """Check that the server's certificate belongs to its key, and is valid for 30 days more."""
    try:
        chain = cert.read_bytes()
        check_pair(chain, key.read_bytes())
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except OSError as error:
        return Finding("certificate", ok=False, code="certificate_unusable", value=error.strerror or "")
    except ValueError as error:
        # What the library says of a file may quote it; ours are sentences without a full stop.
        own = str(error) if str(error).startswith("the private key") else "cannot be read"
        return Finding("certificate", ok=False, code="certificate_unusable", value=own)
    return _expiry("certificate", leaf.not_valid_after_utc, f"{leaf.not_valid_after_utc:%Y-%m-%d}")


def check_authorities(path: Path) -> Finding:
    """Check the CA certificates of clients: the first to expire is valid for 30 days more."""
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return Finding("authorities", ok=False, code="authorities_unusable")
    return _expiry("authorities", min(one.not_valid_after_utc for one in found), str(len(found)))


def check_tokens(settings: AccessSettings) -> Iterator[Finding]:
    """Check that the issuer's keys can be read, and that there is one to use. Asks the issuer."""
    try:
        identity.parse_dev_tokens(settings.dev_tokens.get_secret_value())
    except ValueError as error:
        yield Finding("tokens", ok=False, code="tokens_development", value=str(error))
    values = {"FACNET_JWT_ISSUER": settings.jwt_issuer, "FACNET_JWT_AUDIENCE": settings.jwt_audience}
    if not settings.jwt_jwks_url:
        if without := [name for name, value in values.items() if value]:
            yield Finding("tokens", ok=False, code="tokens_off", value=", ".join(without))
        return
    try:
        known = jwks.parse(jwks.fetch(settings.jwt_jwks_url))
    except (OSError, ValueError):
        yield Finding("tokens", ok=False, code="tokens_away")
    else:
        yield Finding("tokens", bool(known), "tokens_ok" if known else "tokens_unusable", len(known))


def check_subjects(path: Path) -> Finding:
    """Check that the list of client certificates is one."""
    try:
        known = certificates.read(path.read_bytes())
    except OSError as error:
        return Finding("subjects", ok=False, code="subjects_unusable", value=error.strerror or "")
    except ValueError as error:
        return Finding("subjects", ok=False, code="subjects_unusable", value=str(error))
    return Finding("subjects", bool(known), "subjects_ok" if known else "subjects_none", len(known))


def _expiry(name: str, end: datetime, value: str) -> Finding:
    now = datetime.now(UTC)
    if end >= now + SOON:
        return Finding(name, ok=True, code=f"{name}_ok", value=value)
    return Finding(name, ok=False, code=f"{name}_{'expired' if end < now else 'soon'}", value=f"{end:%Y-%m-%d}")
