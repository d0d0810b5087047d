"""TLS: server certificates, reloaded when their files change, and required client certificates (mTLS).

gRPC fetches the certificate configuration at every handshake, so that a renewed certificate is used from the next
connection on. TLS 1.2 and 1.3 only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from facnet_grpc.server.access.reloading import ReloadedFiles, file_errors
from facnet_grpc.settings.access import AccessSettings


def credentials(settings: AccessSettings, *, require_client: bool) -> grpc.ServerCredentials | None:
    """Return the credentials of a port, None for plain text; `require_client` demands client certificates (mTLS).

    Raises `SettingsError` if a file cannot be read or is no certificate.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    with file_errors("tls_cert"):
        return serving(settings.tls_cert, settings.tls_key, settings.tls_client_ca if require_client else None)


def serving(cert: Path, key: Path, client_ca: Path | None) -> grpc.ServerCredentials:
    """Return credentials that are reloaded when the files change. Raises `OSError`, `ValueError`."""
    paths = [cert, key, *([client_ca] if client_ca else [])]
    configuration = ReloadedFiles("tls", paths, lambda: _read(cert, key, client_ca))
    initial = configuration.get()
    return grpc.dynamic_ssl_server_credentials(
        initial,
        renewals(initial, configuration.get),  # type: ignore[arg-type]  # None is "unchanged"; the stub lacks it
        require_client_authentication=client_ca is not None,
    )


def renewals(
    initial: grpc.ServerCertificateConfiguration, read: Callable[[], grpc.ServerCertificateConfiguration]
) -> Callable[[], grpc.ServerCertificateConfiguration | None]:
    """Return the function that gRPC calls at each handshake: a new configuration once, None while it is unchanged.

    gRPC replaces its handshaker for every configuration that it gets, without a lock, even for an unchanged one: two
    concurrent handshakes could then use a freed handshaker, and the process would crash.
    """
    lock = Lock()
    served = initial

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal served
        current = read()
        with lock:
            if current is served:
                return None
            served = current
            return current

    return fetch


def _read(cert: Path, key: Path, client_ca: Path | None) -> grpc.ServerCertificateConfiguration:
    chain, private = cert.read_bytes(), key.read_bytes()
    authorities = client_ca.read_bytes() if client_ca else None
    if authorities is not None:
        x509.load_pem_x509_certificates(authorities)
    check_pair(chain, private)
    return grpc.ssl_server_certificate_configuration([(private, chain)], root_certificates=authorities)


def check_pair(chain: bytes, private: bytes) -> None:
    """Raise `ValueError` unless both can be read and belong together: gRPC would fail at every handshake instead."""
    leaf = x509.load_pem_x509_certificates(chain)[0]
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        own = serialization.load_pem_private_key(private, password=None).public_key()
    except TypeError:
        raise ValueError("the private key is encrypted") from None
    if own.public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise ValueError("the private key is not that of the certificate")
