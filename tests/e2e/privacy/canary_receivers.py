"""Those who are told that runs have ended, by webhook and by e-mail; they keep all that they hear."""

from __future__ import annotations

import email
import email.policy
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller


class Receivers:
    """A receiver of webhooks and one of e-mail."""

    def __init__(self) -> None:
        self.webhooks: list[bytes] = []
        self.mails: list[bytes] = []
        heard = self.webhooks

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                heard.append(bytes(self.headers) + body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        self._thread.start()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._smtp = Controller(self, hostname="127.0.0.1", port=port)
        self._smtp.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/"
        self.environment = {
            "FACNET_WEBHOOK_KEYS": "w" * 32,
            "FACNET_WEBHOOK_HOSTS": f"127.0.0.1:{self._http.server_port}",
            "FACNET_WEBHOOK_LOOPBACK": "true",
            "FACNET_SMTP_HOST": "127.0.0.1",
            "FACNET_SMTP_PORT": str(port),
            "FACNET_SMTP_SECURITY": "none",
            "FACNET_SMTP_FROM": "facnet@example.org",
            "FACNET_MAIL_TO": "*=operator@example.org",
        }

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - named by the library
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append(bytes(mail) + mail.get_content().encode())
        return "250 OK"

    def close(self) -> None:
        self._smtp.stop()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
