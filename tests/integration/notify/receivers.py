"""Those who hear: an HTTP server that answers as it is told, and one for mail."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CANARY = "ZQCANARY-of-a-response"


@dataclass(frozen=True)
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)


class HookServer:
    """Keeps what it receives; gives `answers` one after another, then 204: a status, or what to do with the socket."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.answers: list[Any] = []
        self._let_go = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.received.append(
                    Received(self.command, self.path, {k.title(): v for k, v in self.headers.items()}, body)
                )
                answer = outer.answers.pop(0) if outer.answers else 204
                if callable(answer):
                    answer(self)
                else:
                    outer.answer(self, answer)

            do_GET = do_POST  # noqa: N815 - named by the library

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Clients that hang up are what is tested."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @staticmethod
    def answer(handler: BaseHTTPRequestHandler, status: int, **headers: str) -> None:
        body = CANARY.encode() if status != 204 else b""
        handler.send_response(status, CANARY)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("X-Canary", CANARY)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def never(self, handler: BaseHTTPRequestHandler) -> None:
        """Do not answer."""
        self._let_go.wait(10)
        handler.close_connection = True

    def trickle(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer a byte at a time, without end."""
        handler.wfile.write(b"HTTP/")
        while not self._let_go.wait(0.05):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    @staticmethod
    def rubbish(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(f"{CANARY}\r\n\r\n".encode())
        handler.close_connection = True

    @staticmethod
    def hang_up(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True

    def wait_for(self, count: int, seconds: float = 10.0) -> list[Received]:
        deadline = time.monotonic() + seconds
        while len(self.received) < count:
            assert time.monotonic() < deadline, f"{len(self.received)} of {count} arrived"
            time.sleep(0.02)
        return self.received

    def close(self) -> None:
        self._let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@contextmanager
def hook_server(context: ssl.SSLContext | None = None) -> Iterator[HookServer]:
    server = HookServer(context)
    try:
        yield server
    finally:
        server.close()


def certificate(folder: Path, *names: str) -> tuple[ssl.SSLContext, Path]:
    """Return a server's side of TLS, and the file that clients have to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "facnet test")])
    now = dt.datetime.now(dt.UTC)
    others = [x509.DNSName(one) if one.isascii() and not one[0].isdigit() else _ip(one) for one in names]
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(others), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    cert, private = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, private)
    return context, cert


def _ip(address: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_address(address))
