"""`facnet` as people start it: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

SAMPLE = Path(__file__).parents[3] / "facnet_grpc" / "sample" / "claims-5000.csv"
WEBHOOK_KEY = "a key that webhooks are signed with"
_FACNET = ("-c", "from facnet_cli import main; main()")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]


def run_facnet(*arguments, stdin=b"", **environ) -> Ended:
    """Run `facnet` to its end; `environ` is added to an environment that names no servers and no language."""
    dropped = ("FACNET_SERVER", "DATABASE_URL", "REDIS_URL", "LANG", "LC_ALL", "LC_MESSAGES")
    inherited = {name: value for name, value in os.environ.items() if name not in dropped}
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, *_FACNET, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=90,
        env=inherited | environ,
    )
    seconds = time.monotonic() - began
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode(), seconds)
