"""`facnet submit --webhook`: through the real port, a worker and the outbox, to whoever listens."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from facnet_process import SAMPLE, WEBHOOK_KEY

PATIENCE = 30.0
CANARY = "ZQCANARI"


@pytest.fixture
def receiver():
    """Hears one webhook."""
    heard, arrived = [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append((self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            arrived.set()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()

    def wait():
        assert arrived.wait(PATIENCE)
        return heard[0]

    wait.url = f"http://127.0.0.1:{server.server_port}/facnet?token={CANARY}"
    yield wait
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_submitted_file_is_announced_when_its_run_ends(facnet, receiver):
    told = ("--name", f"{CANARY}.csv", "--label", f"{CANARY}={CANARY}", "--batch", CANARY)
    run_id = facnet("submit", "--json", "--webhook", receiver.url, *told, SAMPLE).json["validation_id"]
    headers, body = receiver()
    event = json.loads(body)
    assert (event["type"], event["subject"]) == ("facnet.validation.completed", run_id)
    assert event["data"].keys() == {
        "validation_id", "job_id", "status", "attempt", "total_rows", "processed_rows", "rejected_rows",
        "result_counts",
    }  # fmt: skip
    assert event["data"]["total_rows"] == 5000
    assert event["data"]["result_counts"]["error"] > 0
    assert CANARY.encode() not in body
    stamp, signed = (part.partition("=")[2] for part in headers["Facnet-Signature"].split(","))
    assert signed == hmac.new(WEBHOOK_KEY.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


def test_an_address_that_is_not_allowed_is_refused_with_its_cure(facnet):
    refused = facnet("submit", "--webhook", f"https://hooks.example.org/{CANARY}", SAMPLE)
    assert refused.code != 0
    assert "cet hôte ou ce port" in refused.err
    assert "FACNET_WEBHOOK_HOSTS" in refused.err
    assert CANARY not in refused.err
