"""The audit as `make check` runs it, with the real pip-audit, against a service on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[3] / "tools" / "audit.py"
SUSPECT = "certifi"
KNOWN = {
    "id": "PYSEC-0000-1",
    "schema_version": "1.4.0",
    "summary": "An invented one",
    "affected": [
        {
            "package": {"name": SUSPECT, "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9999.1"}]}],
        }
    ],
}


class Osv(BaseHTTPRequestHandler):
    """Knows something against one package."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.questions.append(self.path)  # type: ignore[attr-defined]
        if self.path == "/v1/querybatch":
            names = [query["package"]["name"] for query in asked["queries"]]
            answer = {"results": [{"vulns": [{"id": KNOWN["id"]}]} if name == SUSPECT else {} for name in names]}
        else:
            answer = {"vulns": [KNOWN]} if asked["package"]["name"] == SUSPECT else {}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def osv() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Osv)
    server.questions = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), "--url", url]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_what_is_known_fails_and_takes_two_questions(osv: ThreadingHTTPServer) -> None:
    done = run(f"http://127.0.0.1:{osv.server_port}")
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith(f"audit: {SUSPECT} ")
    assert "PYSEC-0000-1, fixed in 9999.1" in done.stdout
    assert osv.questions == ["/v1/querybatch", "/v1/query"]  # type: ignore[attr-defined]


def test_nobody_there_passes_and_is_said() -> None:
    done = run("http://127.0.0.1:1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("not audited: http://127.0.0.1:1 does not answer")
