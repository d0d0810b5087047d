"""How a client shows who it is: TLS with or without a certificate of its own, and a bearer token."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import grpc

from facnet_client.channel import is_local
from facnet_client.errors import Refused

# A token, or what returns the present one: it is asked before every call, so that a token may be renewed.
Token = str | Callable[[], str]
File = str | os.PathLike[str]

_NEEDS_TLS = {
    "fr": (
        "Le jeton est resté ici, parce que la connexion à ce serveur se fait en clair.",
        "Utilisez TLS (option tls ou ca du client, --tls ou --ca en ligne de commande).",
    ),
    "en": (
        "The token was kept here: the connection to this server is not encrypted.",
        "Use TLS (option tls or ca of the client; --tls or --ca on the command line).",
    ),
}


def transport(
    *, tls: bool = False, ca: File | None = None, cert: File | None = None, key: File | None = None
) -> grpc.ChannelCredentials | None:
    """Return what a channel is opened with; None, for plain text, if nothing is asked for.

    `ca` is who the server's certificate must come from, else those whom gRPC trusts; `cert` and `key` show who the
    client is. All are PEM files. Raises `OSError` if one cannot be read, `ValueError` if one of the last two is
    missing.
    """
    if (cert is None) != (key is None):
        raise ValueError("a certificate and its key go together")
    if not tls and ca is None and cert is None:
        return None
    return grpc.ssl_channel_credentials(_read(ca), _read(key), _read(cert))


def bearer(token: Token | None, target: str, *, encrypted: bool, language: str) -> Callable[[], str] | None:
    """Return what is asked for the token before every call.

    Raises `Refused` (TOKEN_NEEDS_TLS) if it would travel in the clear to another machine.
    """
    if token is None:
        return None
    if not encrypted and not is_local(target):
        message, cure = _NEEDS_TLS.get(language, _NEEDS_TLS["fr"])
        raise Refused("TOKEN_NEEDS_TLS", message, cure)
    if callable(token):
        return token
    text = token.strip()
    return lambda: text


def _read(path: File | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
