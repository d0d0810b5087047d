"""`sslmode` and `rediss://` are honoured: nothing is said in the clear to a server that should speak TLS."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from facnet_grpc.errors import FacnetError, TransientError
from facnet_grpc.events.stream import connect
from facnet_grpc.server.access.limits import RateLimiter
from facnet_grpc.storage.postgres.database import KeylessDatabase

SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # what libpq asks before anything else
CLIENT_HELLO = 0x16  # the first byte of TLS
SECRET = "canary"


class Eavesdropper:
    """A server that has no TLS, and writes down what is said to it."""

    def __init__(self, refusal: bytes) -> None:
        self._refusal = refusal
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.heard: list[bytes] = []
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                try:
                    while said := connection.recv(4096):
                        self.heard.append(said)
                        connection.sendall(self._refusal)
                except OSError:
                    continue

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@contextmanager
def listening(refusal: bytes) -> Iterator[Eavesdropper]:
    listener = Eavesdropper(refusal)
    try:
        yield listener
    finally:
        listener.close()


@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_postgresql_without_tls_hears_no_password(mode: str) -> None:
    with listening(b"N") as listener:
        root = "&sslrootcert=system" if mode == "verify-full" else ""
        url = f"postgresql://facnet:{SECRET}@127.0.0.1:{listener.port}/facnet?sslmode={mode}{root}"
        with (
            KeylessDatabase(url, max_connections=1, application_name="test") as database,
            pytest.raises(TransientError),
        ):
            database.ping(timeout=1)
    assert set(listener.heard) == {SSL_REQUEST}


def test_redis_without_tls_hears_no_password() -> None:
    with listening(b"-ERR\r\n") as listener:
        url = f"rediss://:{SECRET}@127.0.0.1:{listener.port}/0"
        with connect(url) as client, pytest.raises(Exception, match="SSL"):
            client.ping()
        asyncio.run(_count(url))
    assert listener.heard
    assert {said[0] for said in listener.heard} == {CLIENT_HELLO}
    assert not any(SECRET.encode() in said for said in listener.heard)


async def _count(url: str) -> None:
    limiter = RateLimiter(url, 10, 10)
    try:
        await limiter.count("owner")
    except FacnetError:
        pytest.fail("a call was refused because of Redis")
    finally:
        await limiter.close()
