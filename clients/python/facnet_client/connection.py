"""The connection to one server: its channel, who the caller is, and how every call is made.

TLS and tokens, keepalive, retries of calls that may be repeated, metadata, deadlines, pages, and errors of gRPC turned
into those of this library.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol, TypedDict, TypeVar, Unpack

import grpc

from facnet_client import trace
from facnet_client.convert import Value
from facnet_client.errors import Refused, from_rpc
from facnet_grpc.gen.facnet.v1.validation_service_pb2_grpc import ValidationServiceStub

#: A bearer token, or a function that returns the present one; it is called before every call.
Token = str | Callable[[], str]
File = str | os.PathLike[str]
Metadata = Sequence[tuple[str, str | bytes]]


class CallOptions(TypedDict, total=False):
    """What every method that makes calls takes besides its own arguments.

    `timeout` is in seconds. It bounds each call with one answer (each page of a list), in place of the client's
    `timeout`; and the whole of an upload, a watch or an export, which nothing bounds otherwise. When it is over,
    `Unavailable` (DEADLINE_EXCEEDED) is raised. `metadata` is sent along with the call: pairs of a lower-case name and
    a text, or bytes if the name ends with `-bin`.
    """

    timeout: float | None
    metadata: Metadata


class _Paged(Protocol):
    page_token: str


class _Page(Protocol):
    next_page_token: str


_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")
_PagedRequest = TypeVar("_PagedRequest", bound=_Paged)
_PageAnswer = TypeVar("_PageAnswer", bound=_Page)
_Value = TypeVar("_Value", bound=Value)

# Calls that only read may be repeated at will; CancelValidation changes nothing the second time. Uploads (with
# GetUpload) and watches have a way of their own.
_REPEATABLE = (
    "GetValidation",
    "ListValidations",
    "GetValidationSummary",
    "ListValidationResults",
    "ListRejectedRows",
    "ListBillingRecords",
    "ListValidationLogs",
    "GetBatch",
    "CancelValidation",
)
SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": "facnet.v1.ValidationService", "method": method} for method in _REPEATABLE],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        },
    ],
}
# What the server puts on a page at most.
MAX_PAGE_SIZE = 1000
# A page of 1,000 results whose lines are many is larger than gRPC's default of 4 MiB.
_MAX_ANSWER_BYTES = 64 << 20
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


class Connection:
    """A channel, and how calls are made on it. For calls that the client has no method for, take its `stub`.

    Example:
        >>> from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2
        >>> connection = client.connection
        >>> request = pb2.GetUploadRequest(upload_id="0193b8c2-4f6e-7a10-9d3b-5c8e2f1a7b44")
        >>> connection.unary(connection.stub.GetUpload, request, timeout=5).committed_bytes
        1048576
    """

    def __init__(
        self,
        target: str,
        credentials: grpc.ChannelCredentials | None,
        *,
        language: str,
        token: Token | None,
        timeout: float,
    ) -> None:
        """Prepare a channel to `target` (host:port); nothing is sent. Without credentials it is not encrypted.

        Raises `Refused` (TOKEN_NEEDS_TLS) if a token would travel unencrypted to another machine.
        """
        if token is not None and credentials is None and not _is_local(target):
            raise Refused("TOKEN_NEEDS_TLS", *_NEEDS_TLS.get(language, _NEEDS_TLS["fr"]))
        self._token = token
        self._language = language
        self.timeout = timeout
        self.channel = _open_channel(target, credentials)
        self.stub = ValidationServiceStub(self.channel)

    def unary(
        self,
        method: grpc.UnaryUnaryMultiCallable[_Request, _Answer],
        request: _Request,
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> _Answer:
        """Make one call with one answer. Raises `FacnetError`."""
        seconds = self.timeout if timeout is None else timeout
        try:
            return method(request, timeout=seconds, metadata=self.metadata(metadata))
        except grpc.RpcError as error:
            raise from_rpc(error) from None

    def stream(
        self,
        method: grpc.UnaryStreamMultiCallable[_Request, _Answer],
        request: _Request,
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> Generator[_Answer, None, None]:
        """Yield the answers to one request; the call is cancelled if the iterator is closed. Raises `FacnetError`."""
        call = method(request, timeout=timeout, metadata=self.metadata(metadata))
        try:
            yield from call
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        finally:
            call.cancel()

    def pages(
        self,
        method: grpc.UnaryUnaryMultiCallable[_PagedRequest, _PageAnswer],
        request: _PagedRequest,
        **options: Unpack[CallOptions],
    ) -> Iterator[_PageAnswer]:
        """Yield page after page, each fetched when it is needed. Raises `FacnetError`.

        The page token of `request` is set to that of each page: called again with it, the last page is read again.
        """
        while True:
            page = self.unary(method, request, **options)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def items(
        self,
        method: grpc.UnaryUnaryMultiCallable[_PagedRequest, _PageAnswer],
        request: _PagedRequest,
        field: str,
        kind: type[_Value],
        **options: Unpack[CallOptions],
    ) -> Iterator[_Value]:
        """Yield the values in `field` of page after page, each page fetched when it is needed. Raises `FacnetError`."""
        for page in self.pages(method, request, **options):
            yield from map(kind.from_message, getattr(page, field))

    def metadata(self, more: Metadata = ()) -> tuple[tuple[str, Any], ...]:
        """Return the metadata of a call that is about to be made: language, trace, token, and `more`."""
        pairs = (("accept-language", f"{self._language}-CA"), *trace.inject(), *more)
        if self._token is None:
            return pairs
        token = self._token() if callable(self._token) else self._token.strip()
        return (*pairs, ("authorization", f"Bearer {token}"))


def tls_credentials(
    *, tls: bool = False, ca: File | None = None, cert: File | None = None, key: File | None = None
) -> grpc.ChannelCredentials | None:
    """Return the credentials of a channel; None, for plain text, if nothing is asked for.

    `ca` holds the authorities that may sign the server's certificate, else those that gRPC trusts; `cert` and `key`
    identify the client. All are PEM files. Raises `OSError` if one cannot be read, `ValueError` if one of the last two
    is missing.
    """
    if (cert is None) != (key is None):
        raise ValueError("a certificate and its key go together")
    if not tls and ca is None and cert is None:
        return None
    return grpc.ssl_channel_credentials(_read(ca), _read(key), _read(cert))


def _read(path: File | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


def _open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    options: list[tuple[str, str | int]] = [
        ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
        # Servers send something every 15 s while a stream is open, which makes these pings welcome.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.max_receive_message_length", _MAX_ANSWER_BYTES),
        # One reconnect after the other, not one a minute: runs are watched for seconds.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # A proxy of the environment is never the way to this machine itself.
        ("grpc.enable_http_proxy", 0 if _is_local(target) else 1),
        # Each client has a connection of its own, so that closing one leaves others alone.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if credentials is None:
        return grpc.insecure_channel(target, options)
    return grpc.secure_channel(target, credentials, options)


def _is_local(target: str) -> bool:
    """Return whether `target` is an address of this machine's loopback."""
    if target.startswith("unix:"):
        return True
    host = target.rpartition("/")[2].rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
