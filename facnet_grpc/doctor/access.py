"""What the doctor looks at of those who may call: certificates, the issuer's keys, the list of client certificates.

It reads everything by the code that the server reads it with, so that both are of one mind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from facnet_grpc.doctor.finding import Finding
from facnet_grpc.server.access import certificates, development, jwks
from facnet_grpc.server.transport import check_pair
from facnet_grpc.settings.access import AccessSettings

SOON = timedelta(days=30)

NAMES: Mapping[str, Mapping[str, str]] = {
    "fr": {
        "access": "Accès",
        "certificate": "Certificat",
        "authorities": "Autorités des clients",
        "tokens": "Jetons",
        "subjects": "Certificats des clients",
    },
    "en": {
        "access": "Access",
        "certificate": "Certificate",
        "authorities": "Clients' authorities",
        "tokens": "Tokens",
        "subjects": "Clients' certificates",
    },
}
TEXTS: Mapping[str, Mapping[str, str]] = {
    "fr": {
        "access_ok": "{value}",
        "access_open": "sans authentification : adresse locale seulement",
        "certificate_ok": "bon jusqu'au {value}, avec sa clé",
        "certificate_expired": "échu depuis le {value}. Renouvelez FACNET_TLS_CERT.",
        "certificate_soon": "échoit le {value}. Renouvelez FACNET_TLS_CERT.",
        "certificate_unusable": "{value}. Vérifiez FACNET_TLS_CERT et FACNET_TLS_KEY.",
        "authorities_ok": "{value}",
        "authorities_expired": "échue depuis le {value}. Renouvelez FACNET_TLS_CLIENT_CA.",
        "authorities_soon": "échoit le {value}. Renouvelez FACNET_TLS_CLIENT_CA.",
        "authorities_unusable": "le fichier ne contient aucun certificat lisible. Vérifiez FACNET_TLS_CLIENT_CA.",
        "tokens_ok": "{value} clé(s) de l'émetteur",
        "tokens_away": "les clés de l'émetteur ne peuvent pas être lues. Vérifiez FACNET_JWT_JWKS_URL et le réseau.",
        "tokens_unusable": "aucune clé de l'émetteur n'est utilisable : il en faut une RS256 (2048 bits) ou ES256, "
        "avec un « kid ». Vérifiez FACNET_JWT_JWKS_URL.",
        "tokens_off": "{value} sans effet : aucun jeton n'est accepté. Définissez FACNET_JWT_JWKS_URL.",
        "tokens_development": "FACNET_DEV_TOKENS ne se lit pas : {value}.",
        "subjects_ok": "{value} connu(s)",
        "subjects_none": "le fichier n'en connaît aucun : personne n'entre. Vérifiez FACNET_MTLS_SUBJECTS.",
        "subjects_unusable": "le fichier ne se lit pas : {value}. Vérifiez FACNET_MTLS_SUBJECTS.",
    },
    "en": {
        "access_ok": "{value}",
        "access_open": "no authentication: loopback addresses only",
        "certificate_ok": "good until {value}, with its key",
        "certificate_expired": "expired on {value}. Renew FACNET_TLS_CERT.",
        "certificate_soon": "expires on {value}. Renew FACNET_TLS_CERT.",
        "certificate_unusable": "{value}. Check FACNET_TLS_CERT and FACNET_TLS_KEY.",
        "authorities_ok": "{value}",
        "authorities_expired": "expired on {value}. Renew FACNET_TLS_CLIENT_CA.",
        "authorities_soon": "expires on {value}. Renew FACNET_TLS_CLIENT_CA.",
        "authorities_unusable": "the file has no certificate that can be read. Check FACNET_TLS_CLIENT_CA.",
        "tokens_ok": "{value} key(s) of the issuer",
        "tokens_away": "the issuer's keys cannot be read. Check FACNET_JWT_JWKS_URL and the network.",
        "tokens_unusable": "none of the issuer's keys can be used: RS256 (2,048 bits) or ES256 with a “kid” is needed. "
        "Check FACNET_JWT_JWKS_URL.",
        "tokens_off": "{value} has no effect: no token is taken. Set FACNET_JWT_JWKS_URL.",
        "tokens_development": "FACNET_DEV_TOKENS cannot be read: {value}.",
        "subjects_ok": "{value} known",
        "subjects_none": "the file knows none: nobody gets in. Check FACNET_MTLS_SUBJECTS.",
        "subjects_unusable": "the file cannot be read: {value}. Check FACNET_MTLS_SUBJECTS.",
    },
}


def examine(settings: AccessSettings) -> Iterator[Finding]:
    """Yield how callers are told apart, and what is to be said of each way that is set."""
    yield check_ways(settings)
    if settings.tls_cert and settings.tls_key:
        yield check_certificate(settings.tls_cert, settings.tls_key)
    if settings.tls_client_ca:
        yield check_authorities(settings.tls_client_ca)
    yield from check_tokens(settings)
    if settings.mtls_subjects:
        yield check_subjects(settings.mtls_subjects)


def check_ways(settings: AccessSettings) -> Finding:
    """Say how callers are told apart, and what keeps what they say secret."""
    if not settings.jwt_jwks_url and not settings.mtls_subjects:
        return Finding("access", ok=True, code="access_open")
    ways = {
        "TLS": settings.tls_cert,
        "mTLS": settings.tls_client_ca,
        "JWT": settings.jwt_jwks_url,
        "proxy": settings.tls_elsewhere,
    }
    return Finding("access", ok=True, code="access_ok", value=", ".join(name for name, told in ways.items() if told))


def check_certificate(cert: Path, key: Path) -> Finding:
    """Check that the server's certificate belongs to its key, and is good for a while."""
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
    return _lasting("certificate", leaf.not_valid_after_utc, f"{leaf.not_valid_after_utc:%Y-%m-%d}")


def check_authorities(path: Path) -> Finding:
    """Check that there are certificates that clients' can be signed with, and that the first to end lasts a while."""
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return Finding("authorities", ok=False, code="authorities_unusable")
    return _lasting("authorities", min(one.not_valid_after_utc for one in found), str(len(found)))


def check_tokens(settings: AccessSettings) -> Iterator[Finding]:
    """Check that the issuer's keys can be read, and that there is one to use. Asks the issuer."""
    try:
        development.read(settings.dev_tokens.get_secret_value())
    except ValueError as error:
        yield Finding("tokens", ok=False, code="tokens_development", value=str(error))
    told = {"FACNET_JWT_ISSUER": settings.jwt_issuer, "FACNET_JWT_AUDIENCE": settings.jwt_audience}
    if not settings.jwt_jwks_url:
        if without := [name for name, value in told.items() if value]:
            yield Finding("tokens", ok=False, code="tokens_off", value=", ".join(without))
        return
    try:
        known = jwks.parse(jwks.fetch(settings.jwt_jwks_url))
    except (OSError, ValueError):
        yield Finding("tokens", ok=False, code="tokens_away")
    else:
        yield Finding("tokens", bool(known), "tokens_ok" if known else "tokens_unusable", str(len(known)))


def check_subjects(path: Path) -> Finding:
    """Check that the list of client certificates is one."""
    try:
        known = certificates.read(path.read_bytes())
    except OSError as error:
        return Finding("subjects", ok=False, code="subjects_unusable", value=error.strerror or "")
    except ValueError as error:
        return Finding("subjects", ok=False, code="subjects_unusable", value=str(error))
    return Finding("subjects", bool(known), "subjects_ok" if known else "subjects_none", str(len(known)))


def _lasting(name: str, end: datetime, value: str) -> Finding:
    now = datetime.now(UTC)
    if end >= now + SOON:
        return Finding(name, ok=True, code=f"{name}_ok", value=value)
    return Finding(name, ok=False, code=f"{name}_{'expired' if end < now else 'soon'}", value=f"{end:%Y-%m-%d}")
