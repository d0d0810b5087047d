"""Sends webhooks: one POST of a signed CloudEvent 1.0 (JSON, structured mode) to one checked address.

The signature is HMAC-SHA-256 over the time and the body, with every valid key.

The name is resolved here, every address of it is checked, and the connection goes to one of them; TLS and the Host
header use the name. So there is no second look-up that could answer otherwise. Proxies of the environment are ignored,
redirects are not followed, and of answers only the status line and headers are read.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPException
from importlib.metadata import version
from threading import Timer

from cloudevents.core.bindings.http import HTTPMessage, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from facnet_grpc.errors import InvalidInput
from facnet_grpc.model.notification import Notification
from facnet_grpc.notify import NotDelivered, url_policy
from facnet_grpc.notify.url_policy import Target
from facnet_grpc.settings.keys import Key, Keys
from facnet_grpc.settings.notify import NotifySettings

HEADER = "Facnet-Signature"
CONNECT_SECONDS = 3.0  # for one address
MAX_ADDRESSES = 3
AGENT = f"facnet/{version('facnet-grpc')}"

Resolve = Callable[[str, int], Sequence[str]]


def message(notification: Notification, source: str) -> HTTPMessage:
    """Return headers and body of the CloudEvent, the same for every attempt: its id is the notification's."""
    attributes = {
        "id": str(notification.id),
        "source": source,
        "type": f"facnet.validation.{notification.status.lower()}",
        "subject": str(notification.run_id),
        "time": notification.created_at,
        "datacontenttype": "application/json",
    }
    return to_structured(CloudEvent(attributes, dict(notification.data)), JSONFormat())


def signature(keys: Keys, timestamp: int, body: bytes) -> str:
    """Return `t=<Unix time>,<key id>=<hexadecimal digits>,…`, the current key first.

    While a key is being changed there are two: a receiver takes the one that it knows.
    """
    return ",".join([f"t={timestamp}", *(f"{key.id}={_digest(key, timestamp, body)}" for key in keys.all)])


def _digest(key: Key, timestamp: int, body: bytes) -> str:
    return hmac.new(key.secret, b"%d.%s" % (timestamp, body), hashlib.sha256).hexdigest()


def resolve(host: str, port: int) -> list[str]:
    """Return the IP addresses of a name. Raises `OSError`."""
    return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


class WebhookSender:
    """Sends webhooks as the settings allow. Thread-safe."""

    def __init__(self, settings: NotifySettings, *, resolve: Resolve = resolve) -> None:
        self._settings = settings
        self._resolve = resolve
        self._tls = ssl.create_default_context()
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2

    def send(self, notification: Notification) -> None:
        """Make one attempt. Raises `NotDelivered` unless the receiver says that it has it."""
        settings = self._settings
        try:
            target = url_policy.check(notification.url or "", settings)
        except InvalidInput as error:
            raise NotDelivered(f"not_allowed_{error.params['webhook_problem']}", final=True) from None
        if settings.signing_keys is None:
            raise NotDelivered("no_key")
        event = message(notification, settings.webhook_source)
        signed = signature(settings.signing_keys, int(time.time()), event.body)
        headers = {**event.headers, HEADER: signed, "User-Agent": AGENT}
        _check_status(self._post(target, headers, event.body))

    def _post(self, target: Target, headers: dict[str, str], body: bytes) -> int:
        seconds = self._settings.webhook_timeout_seconds
        with closing(self._connect(target)) as connection, _deadline(connection, seconds):
            try:
                connection.request("POST", target.path, body=body, headers={"Host": target.netloc, **headers})
                return connection.getresponse().status
            except (HTTPError, HTTPException, OSError, ValueError) as error:
                raise NotDelivered(type(error).__name__) from None  # not its text: that quotes what was answered

    def _connect(self, target: Target) -> HTTPConnection:
        """Return a connection to the first of the target's addresses that answers."""
        problem = "no_address"
        for address in self._addresses(target)[:MAX_ADDRESSES]:
            connection = self._connection(target, address)
            try:
                connection.connect()
            except (HTTPError, OSError) as error:
                connection.close()
                problem = type(error).__name__
            else:
                return connection
        raise NotDelivered(problem)

    def _addresses(self, target: Target) -> Sequence[str]:
        """Return the target's addresses, after a check that all of them are allowed."""
        try:
            addresses = self._resolve(target.host, target.port)
        except (OSError, UnicodeError):
            raise NotDelivered("not_resolved") from None
        if not url_policy.are_open(addresses, self._settings):
            raise NotDelivered("internal_address")
        return addresses

    def _connection(self, target: Target, address: str) -> HTTPConnection:
        if target.scheme == "http":
            return HTTPConnection(address, target.port, timeout=CONNECT_SECONDS)
        return HTTPSConnection(
            address,
            target.port,
            timeout=CONNECT_SECONDS,
            ssl_context=self._tls,
            server_hostname=target.host,
        )


@contextmanager
def _deadline(connection: HTTPConnection, seconds: float) -> Iterator[None]:
    """Shut the connection down after `seconds`, however slowly the receiver answers."""

    def cut() -> None:
        sock = connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    connection.timeout = seconds  # of each step, so far that for connecting
    timer = Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _check_status(status: int) -> None:
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise NotDelivered(f"status_{status}", final=status == HTTPStatus.GONE)
