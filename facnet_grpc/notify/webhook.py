"""What shows a receiver that a webhook is ours: HMAC-SHA-256 over the time and the body, by every key that is valid.

Sends a webhook: one POST to one machine that was looked at first.

The name is resolved here, every address that it has is checked, and the connection goes to one of them; TLS and the
Host header go on speaking of the name. So there is no second look-up that could answer otherwise. Proxies of the
environment are not asked, redirects not followed, answers not read beyond their status line and headers.
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

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from facnet_grpc.errors import InvalidInput
from facnet_grpc.model.notification import Notification
from facnet_grpc.notify import delivery, url_policy
from facnet_grpc.notify.delivery import NotDelivered
from facnet_grpc.notify.url_policy import Target
from facnet_grpc.settings.keys import Key, Keys
from facnet_grpc.settings.notify import NotifySettings

HEADER = "Facnet-Signature"


def header(keys: Keys, timestamp: int, body: bytes) -> str:
    """Return `t=<Unix time>,<key id>=<hexadecimal digits>,…`, the current key first.

    While a key is being changed there are two: a receiver takes the one that it knows.
    """
    return ",".join([f"t={timestamp}", *(f"{key.id}={_digest(key, timestamp, body)}" for key in keys.all)])


def _digest(key: Key, timestamp: int, body: bytes) -> str:
    return hmac.new(key.secret, b"%d.%s" % (timestamp, body), hashlib.sha256).hexdigest()


CONNECT_SECONDS = 3.0  # for one address
MAX_ADDRESSES = 3
AGENT = f"facnet/{version('facnet-grpc')}"

Resolve = Callable[[str, int], Sequence[str]]


def resolve(host: str, port: int) -> list[str]:
    """Return the IP addresses of a name. Raises `OSError`."""
    return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


class Webhooks:
    """Sends webhooks as the settings allow. Thread-safe."""

    def __init__(self, settings: NotifySettings, *, resolve: Resolve = resolve) -> None:
        self._settings = settings
        self._resolve = resolve
        self._tls = ssl.create_default_context()
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2

    def send(self, one: Notification) -> None:
        """Make one attempt. Raises `NotDelivered` unless the receiver says that it has it."""
        settings = self._settings
        try:
            target = url_policy.check(one.url or "", settings)
        except InvalidInput as error:
            raise NotDelivered(f"not_allowed_{error.params['webhook_problem']}", final=True) from None
        if settings.signing_keys is None:
            raise NotDelivered("no_key")
        message = delivery.message(one, settings.webhook_source)
        signed = header(settings.signing_keys, int(time.time()), message.body)
        headers = {**message.headers, HEADER: signed, "User-Agent": AGENT}
        _judge(self._post(target, headers, message.body))

    def _post(self, target: Target, headers: dict[str, str], body: bytes) -> int:
        seconds = self._settings.webhook_timeout_seconds
        with closing(self._connect(target)) as connection, _cut_off(connection, seconds):
            try:
                connection.request("POST", target.path, body=body, headers={"Host": target.netloc, **headers})
                return connection.getresponse().status
            except (HTTPError, HTTPException, OSError, ValueError) as error:
                raise NotDelivered(type(error).__name__) from None  # not its text: that quotes what was answered

    def _connect(self, target: Target) -> HTTPConnection:
        """Return a connection to the first of the target's machines that answers."""
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
        """Return the target's machines, all of which may be sent to."""
        try:
            found = self._resolve(target.host, target.port)
        except (OSError, UnicodeError):
            raise NotDelivered("not_resolved") from None
        if not url_policy.are_open(found, self._settings):
            raise NotDelivered("internal_address")
        return found

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
def _cut_off(connection: HTTPConnection, seconds: float) -> Iterator[None]:
    """End whatever is going on on a connection after so long: who answers byte by byte would keep it for ever."""

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


def _judge(status: int) -> None:
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise NotDelivered(f"status_{status}", final=status == HTTPStatus.GONE)
