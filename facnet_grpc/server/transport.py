"""TLS: certificates that are read again when they are renewed, and whether clients have to show one of their own.

gRPC asks for the certificates at every handshake, so that a renewed one serves the next connection; those that are
open keep theirs. It speaks TLS 1.2 and 1.3 and nothing older.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from facnet_grpc.server.access.reloading import Reloaded, blamed_on
from facnet_grpc.settings.access import AccessSettings


def credentials(settings: AccessSettings, *, of_clients: bool) -> grpc.ServerCredentials | None:
    """Return what a port is opened with, None for plain text; with `of_clients` they need a certificate too.

    Raises `SettingsError` if a file cannot be read or is no certificate.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    with blamed_on("tls_cert"):
        return serving(settings.tls_cert, settings.tls_key, settings.tls_client_ca if of_clients else None)


def serving(cert: Path, key: Path, client_ca: Path | None) -> grpc.ServerCredentials:
    """Return credentials that follow the files. Raises `OSError`, `ValueError`."""
    paths = [cert, key, *([client_ca] if client_ca else [])]
    configuration = Reloaded("tls", paths, lambda: _read(cert, key, client_ca))
    initial = configuration.get()
    return grpc.dynamic_ssl_server_credentials(
        initial,
        renewals(initial, configuration.get),  # type: ignore[arg-type]  # None is "unchanged"; the stub lacks it
        require_client_authentication=client_ca is not None,
    )


def renewals(
    initial: grpc.ServerCertificateConfiguration, read: Callable[[], grpc.ServerCertificateConfiguration]
) -> Callable[[], grpc.ServerCertificateConfiguration | None]:
    """Return what gRPC calls at each handshake: a new configuration once, and None while nothing has changed.

    For every configuration that it is given, gRPC replaces its handshaker without a lock, even for the one it has:
    two handshakes at once would then use a handshaker that is freed already, and the process would crash.
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
    """Raise `ValueError` unless both are whole and belong together: gRPC would find out at every handshake."""
    leaf = x509.load_pem_x509_certificates(chain)[0]
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        own = serialization.load_pem_private_key(private, password=None).public_key()
    except TypeError:
        raise ValueError("the private key is encrypted") from None
    if own.public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise ValueError("the private key is not that of the certificate")
