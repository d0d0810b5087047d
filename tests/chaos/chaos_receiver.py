"""Somebody who wants to hear by webhook that runs have ended, and remembers what they heard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from chaos_stack import ChaosStack, eventually
from chaos_truth import connected

ALLOWED = {  # settings
    "FACNET_WEBHOOK_KEYS": "w" * 32,
    "FACNET_WEBHOOK_HOSTS": "127.0.0.1:*",
    "FACNET_WEBHOOK_LOOPBACK": "true",
}


class Receiver:
    """Says yes to everything."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hook"
        self.heard: list[dict[str, Any]] = []

    def of(self, run_id: str) -> list[str]:
        """Return the ids of the events about a run, in the order that they came."""
        return [event["id"] for event in list(self.heard) if event["data"]["validation_id"] == run_id]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Listen on loopback, while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Receiver(server.server_address[1])
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def owed(stack: ChaosStack, run_id: str) -> list[tuple[str, int, str | None]]:
    """Return what was owed about a run: the id of the event, the attempts, and what became of it."""
    with connected(stack) as conn:
        return [
            (str(row[0]), row[1], row[2])
            for row in conn.execute("SELECT id, attempts, outcome FROM notifications WHERE run_id = %s", (run_id,))
        ]


def all_told(stack: ChaosStack, run_id: str) -> list[tuple[str, int, str | None]]:
    """Wait until nothing is owed about a run any more, without waiting for anybody's lease; return what was."""

    def settled() -> list[tuple[str, int, str | None]]:
        with connected(stack) as conn:
            conn.execute("UPDATE notifications SET due_at = now() WHERE run_id = %s AND ended_at IS NULL", (run_id,))
        found = owed(stack, run_id)
        return found if all(outcome for _, _, outcome in found) else []

    return list(eventually("everybody is told", settled))
